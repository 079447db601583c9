"""The model catalogue: what is known of the models the providers serve.

It advises and never refuses: a model it does not know is asked for just the same, without
a token limit. What it knows stands in :mod:`flask_llmchat.catalogue`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model, as one provider serves it.

    :param name: the provider's name for it.
    :param context_window: tokens of prompt and answer together; None when not known.
    :param max_output: the most tokens an answer can have; None when not known.
    :param default_limit: token limit to send when the chat sets none. Only models have one
        whose original routes sent it: the newer ones need none, and Groq counts the limit
        against the user's tokens per minute, so that a high one refuses every chat.
    :param token_param: name of the parameter that limits the answer; "" leaves it to the
        provider's row.
    :param reasons: whether it thinks before it answers, by ``reasoning_effort``.
    :param takes_temperature: whether temperature and top_p may be sent when the chat says
        nothing of reasoning effort. Models that reason refuse both while they do.
    :param refuses: other parameters it answers with an error.
    :param takes_system: False for a model that refuses system messages; they are sent as the
        user's.
    """

    name: str
    context_window: int | None = None
    max_output: int | None = None
    default_limit: int | None = None
    token_param: str = ""
    reasons: bool = False
    takes_temperature: bool = True
    refuses: frozenset[str] = frozenset()
    takes_system: bool = True

    def takes_temperature_at(self, effort: str | None) -> bool:
        """Tell whether temperature and top_p may be sent at a reasoning effort."""
        if not self.reasons or effort is None:
            return self.takes_temperature
        return effort == "none"


def find(
    catalogue: str, name: str, overrides: Mapping[str, Mapping[str, Any]] | None = None
) -> Model:
    """Return what is known of a model; for an unknown one, as little as that is.

    A dated snapshot (``gpt-4o-2024-08-06``) is known by its undated name, and a new member
    of a family that reasons by the family's.

    :param catalogue: a provider's :attr:`Provider.catalogue <flask_llmchat.Provider>`.
    :param overrides: what the host knows better: model name to fields of :class:`Model`.
    """
    found = _find(catalogue, name)
    return replace(found, **overrides[name]) if overrides and name in overrides else found


@cache
def catalogue_of(catalogue: str) -> dict[str, Model]:
    """Return the known models of a catalogue, by name."""
    from .catalogue import CATALOGUE  # made of Models itself

    return {model.name: model for model in CATALOGUE.get(catalogue, ())}


# What to ask where nobody names a model, and the first of a catalogue is not an ordinary one of
# today: some lists begin with models that are shut down, some with the dearest one.
STARTERS = {
    "openai": "gpt-4.1-mini",
    "anthropic": "claude-sonnet-4-6",
    "groq": "openai/gpt-oss-20b",
}


def starter(catalogue: str, own: Iterable[str] = ()) -> str | None:
    """Return the model to ask where nobody names one; None when none is known.

    :param own: names of models that the host knows besides.
    """
    return STARTERS.get(catalogue) or next(iter((*catalogue_of(catalogue), *own)), None)


@lru_cache(1024)  # names come from outside
def _find(catalogue: str, name: str) -> Model:
    known = catalogue_of(catalogue)
    for candidate in (name, _DATE.sub("", name)):
        if candidate in known:
            return replace(known[candidate], name=name)
    if (family := _FAMILIES.get(catalogue)) and family[0].match(name):
        return replace(family[1], name=name)
    return Model(name=name)


_DATE = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|\d{4})$")

_REFUSES_TEMPERATURE = Model(name="", reasons=True, takes_temperature=False)

# Families whose newer members are known by their name alone.
_FAMILIES: dict[str, tuple[re.Pattern[str], Model]] = {
    "openai": (
        # gpt-5-chat is an ordinary model; gpt-5.1-chat and its successors are not.
        re.compile(r"o[1-9]\b|gpt-(?:[5-9]|\d\d)(?!\d|-chat)"),
        replace(
            _REFUSES_TEMPERATURE,
            token_param="max_completion_tokens",
            refuses=frozenset({"stop"}),
        ),
    ),
    "anthropic": (
        re.compile(r"claude-(?:opus-4-[7-9]|[a-z]+-(?:[5-9]|\d\d))\b"),
        _REFUSES_TEMPERATURE,
    ),
    "moonshot": (re.compile(r"kimi-k"), _REFUSES_TEMPERATURE),
}
