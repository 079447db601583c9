"""The parameters of a request, without those that provider or model reject."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ..core.request import ChatRequest
from ..models import Model
from ..providers import Provider

logger = logging.getLogger("flask_llmchat")


def sampling_of(
    chat: ChatRequest, row: Provider, model: Model
) -> tuple[float | None, frozenset[str]]:
    """Return the temperature to send, and the parameters to leave out."""
    temperature = chat.temperature
    if temperature is not None and temperature > row.max_temperature:
        temperature = row.max_temperature
        logger.debug("temperature is lowered to %s for %s", temperature, row.name)
    refused = row.unsupported_params | model.unsupported_params
    if row.temperature_or_top_p and temperature is not None:
        refused |= {"top_p"}
    if not model.supports_temperature_at(chat.reasoning_effort):
        refused |= {"temperature", "top_p"}
    return temperature, refused


def limit_of(chat: ChatRequest, model: Model) -> int | None:
    """Return the token limit to send."""
    limit = model.default_max_tokens if chat.max_tokens is None else chat.max_tokens
    # Some clients send -1 for no limit, which no provider accepts.
    return limit if limit and limit > 0 else None


def add_parameters(
    body: dict[str, Any],
    parameters: Mapping[str, Any],
    refused: frozenset[str],
    row: Provider,
    chat: ChatRequest,
) -> None:
    """Add parameters to a body, without those that are None or refused."""
    for name, value in parameters.items():
        if value is None:
            continue
        if name in refused:
            # Values from outside are quoted in the log: they may hold line breaks.
            logger.debug("%s is left out: %s with %r refuses it", name, row.name, chat.model)
        else:
            body[row.param_names.get(name, name)] = value
