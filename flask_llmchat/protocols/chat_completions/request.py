"""The request body of chat completions."""

from __future__ import annotations

import logging
from typing import Any

from ...core.parameters import SENT_AS
from ...core.request import ChatRequest
from ...models import Model
from ...providers import Provider, Target
from .messages import sent_messages

logger = logging.getLogger("flask_llmchat")


def build_body(
    chat: ChatRequest, provider: Provider, target: Target, model: Model
) -> dict[str, Any]:
    """Return the request body.

    Parameters that the chat does not set are left out, and so are those that the provider or the
    model rejects.
    """
    temperature = chat.temperature
    if temperature is not None and temperature > provider.max_temperature:
        temperature = provider.max_temperature
        logger.debug("temperature is lowered to %s for %s", temperature, provider.name)
    refused = provider.unsupported_params | model.unsupported_params
    if provider.temperature_or_top_p and temperature is not None:
        refused |= {"top_p"}
    if not model.supports_temperature_at(chat.reasoning_effort):
        refused |= {"temperature", "top_p"}
    tools = [*(chat.tools or ()), *chat.provider_tools]
    if not tools or "tools" in refused:
        refused |= {"tools", "tool_choice", "parallel_tool_calls"}  # invalid without tools
    parameters = {sent: getattr(chat, attribute) for attribute, sent in SENT_AS.items()}
    parameters |= {"temperature": temperature, "tools": tools or None}
    limit = parameters.pop("max_tokens")
    limit = model.default_max_tokens if limit is None else limit
    extra = dict(chat.extra)
    options = {"include_usage": True, **extra.pop("stream_options", {})}
    optional = {
        "stream_options": options if target.supports_stream_usage else None,
        **parameters,
        # Some clients send -1 for no limit, which no provider accepts.
        model.max_tokens_param or provider.max_tokens_param: limit if limit and limit > 0 else None,
        **extra,
    }
    messages = provider.messages(list(sent_messages(chat.messages, provider, model)))
    body = {"model": target.model, "messages": messages, "stream": True}
    for name, value in optional.items():
        if value is None:
            continue
        if name in refused:
            # Values from outside are quoted in the log: they may hold line breaks.
            logger.debug("%s is left out: %s with %r refuses it", name, provider.name, chat.model)
        else:
            body[provider.param_names.get(name, name)] = value
    return body
