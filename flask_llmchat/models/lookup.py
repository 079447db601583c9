"""Look models up in the catalogue. Models it does not list are served as well."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

from ..core.model import Model
from .catalogue import CATALOGUE, DEFAULT_MODELS, FAMILIES, REPLAYED_BY_FAMILY, Facts

_DATE = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|\d{4})$")


def get_model(
    catalogue: str,
    name: str,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    sent_as: str | None = None,
) -> Model:
    """Return the facts about a model; for an unknown one, the defaults of :class:`Model`.

    A dated snapshot (``gpt-5.5-2026-04-23``) is found by its undated name, and an unlisted member
    of a family by the family's pattern.

    :param catalogue: a provider's :attr:`Provider.catalogue <flask_llmchat.Provider>`.
    :param overrides: facts that take precedence: model name to fields of :class:`Model`.
    :param sent_as: the provider's name for it, where that is another one: the name of an Azure
        deployment may say more than the model name of the request.
    """
    names = dict.fromkeys((name, sent_as or name))
    known = (_lookup(catalogue, one) for one in names)
    found = replace(next(filter(None, known), Model(name="")), name=name)
    if replayed := next(filter(None, map(_replay_fields, reversed(names))), None):
        found = replace(found, replay_fields=replayed)
    return replace(found, **overrides[name]) if overrides and name in overrides else found


def models_of(catalogue: str) -> dict[str, Model]:
    """Return the models that a catalogue lists, by name, without those that are shut down."""
    today = datetime.now(UTC).date()
    return {
        name: model
        for name, model in _listed(catalogue).items()
        if model.shutdown is None or model.shutdown >= today
    }


def default_model(catalogue: str, own: Iterable[str] = ()) -> str | None:
    """Return the model to use where a request names none; None when there is none.

    :param own: names of further models, from ``LLMCHAT_MODELS``.
    """
    served = models_of(catalogue)
    chosen = DEFAULT_MODELS.get(catalogue)
    return chosen if chosen in served else next(iter((*served, *own)), None)


@cache
def _listed(catalogue: str) -> dict[str, Model]:
    return {
        name: Model(
            **{
                "name": name,
                "context_window": window,
                "max_output": output,
                "supports_reasoning": reasons,
                "shutdown": date.fromisoformat(shutdown) if shutdown else None,
                **(_family_facts(catalogue, name) or {}),
            }
        )
        for name, window, output, reasons, shutdown in CATALOGUE.get(catalogue, ())
    }


def _lookup(catalogue: str, name: str) -> Model | None:
    listed = _listed(catalogue)
    undated = _DATE.sub("", name)
    if found := listed.get(name) or listed.get(undated):
        return found
    facts = _family_facts(catalogue, undated)
    return None if facts is None else Model(name=name, **facts)


def _family_facts(catalogue: str, name: str) -> Facts | None:
    families = FAMILIES.get(catalogue, ())
    found = (facts for pattern, facts in families if re.search(pattern, name, re.IGNORECASE))
    return next(found, None)


def _replay_fields(name: str) -> frozenset[str]:
    found = (fields for pattern, fields in REPLAYED_BY_FAMILY if pattern.search(name))
    return next(found, frozenset())
