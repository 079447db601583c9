"""The model catalogue: what is known of the models the providers serve.

It advises and never refuses: a model it does not know is asked for just the same, without
a token limit. What it knows stands in :mod:`flask_llmchat.catalogue`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from ..core.model import Model
from .catalogue import DEFAULT_MODELS, FAMILIES, REPLAYED_BY_FAMILY


def get_model(
    catalogue: str,
    name: str,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    sent_as: str | None = None,
) -> Model:
    """Return what is known of a model; for an unknown one, as little as that is.

    A dated snapshot (``gpt-4o-2024-08-06``) is known by its undated name, and a new member
    of a family that reasons by the family's.

    :param catalogue: a provider's :attr:`Provider.catalogue <flask_llmchat.Provider>`.
    :param overrides: what the host knows better: model name to fields of :class:`Model`.
    :param sent_as: what the provider calls it, where that is another name: the name of an Azure
        deployment may say more than the front end's for it.
    """
    names = dict.fromkeys((name, sent_as or name))
    known = (_lookup(catalogue, one) for one in names)
    found = replace(next(filter(None, known), Model(name="")), name=name)
    if back := next(filter(None, map(_taken_back, reversed(names))), None):
        found = replace(found, replay_fields=back)
    return replace(found, **overrides[name]) if overrides and name in overrides else found


@cache
def models_of(catalogue: str) -> dict[str, Model]:
    """Return the known models of a catalogue, by name."""
    from .catalogue import CATALOGUE  # made of Models itself

    return {model.name: model for model in CATALOGUE.get(catalogue, ())}


def default_model(catalogue: str, own: Iterable[str] = ()) -> str | None:
    """Return the model to ask where nobody names one; None when none is known.

    :param own: names of models that the host knows besides.
    """
    return DEFAULT_MODELS.get(catalogue) or next(iter((*models_of(catalogue), *own)), None)


def _lookup(catalogue: str, name: str) -> Model | None:
    known = models_of(catalogue)
    for candidate in (name, _DATE.sub("", name)):
        if candidate in known:
            return known[candidate]
    families = FAMILIES.get(catalogue, ())
    return next((model for pattern, model in families if pattern.search(name)), None)


def _taken_back(name: str) -> frozenset[str]:
    found = (fields for pattern, fields in REPLAYED_BY_FAMILY if pattern.search(name))
    return next(found, frozenset())


_DATE = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|\d{4})$")
