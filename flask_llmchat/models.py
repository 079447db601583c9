"""The model catalogue: what is known of the models the providers serve.

It advises and never refuses: a model it does not know is asked for just the same, without
a token limit. What it knows stands in :mod:`flask_llmchat.catalogue`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
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
    :param takes_back: what it needs back of its earlier answers, whoever passes them on: such
        as the signatures of Gemini's tool calls. Heeded by the rows of those who do pass on,
        see :attr:`Provider.takes_back_by_model <flask_llmchat.Provider>`.
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
    takes_back: frozenset[str] = frozenset()

    def takes_temperature_at(self, effort: str | None) -> bool:
        """Tell whether temperature and top_p may be sent at a reasoning effort."""
        if not self.reasons or effort is None:
            return self.takes_temperature
        return effort == "none"


def find(
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
    known = (_find(catalogue, one) for one in names)
    found = replace(next(filter(None, known), Model(name="")), name=name)
    if back := next(filter(None, map(_taken_back, reversed(names))), None):
        found = replace(found, takes_back=back)
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


def _find(catalogue: str, name: str) -> Model | None:
    known = catalogue_of(catalogue)
    for candidate in (name, _DATE.sub("", name)):
        if candidate in known:
            return known[candidate]
    families = _FAMILIES.get(catalogue, ())
    return next((model for pattern, model in families if pattern.search(name)), None)


def _taken_back(name: str) -> frozenset[str]:
    found = (fields for pattern, fields in _TAKEN_BACK if pattern.search(name))
    return next(found, frozenset())


_DATE = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|\d{4})$")

_REFUSES_TEMPERATURE = Model(name="", reasons=True, takes_temperature=False)

# Families whose members are known by their name alone, newer ones and those that a deployment or
# a fine-tune is named after: "my-gpt5", "ft:gpt-4o-mini:acme::1".
_FAMILIES: dict[str, tuple[tuple[re.Pattern[str], Model], ...]] = {
    "openai": (
        (
            # gpt-5-chat is an ordinary model; gpt-5.1-chat and its successors are not. In names
            # without a dot "gpt-35" is 3.5 and "gpt-41" 4.1, but "gpt-51" reasons as 5.1 does.
            re.compile(
                r"(?<![a-z0-9])o[1-9](?![a-z0-9])|gpt[-_]?(?:[5-9]\d?|[12]\d)(?!\d|[-_]?chat)",
                re.IGNORECASE,
            ),
            replace(
                _REFUSES_TEMPERATURE,
                token_param="max_completion_tokens",
                refuses=frozenset({"stop"}),
            ),
        ),
        # Azure's older deployments do not know the limit's new name.
        # https://github.com/BerriAI/litellm/issues/8855
        (
            re.compile(r"gpt[-_]?[34]\d?(?!\d)", re.IGNORECASE),
            Model(name="", token_param="max_tokens"),
        ),
    ),
    "anthropic": (
        (
            re.compile(r"^claude-(?:opus-4-[7-9]|[a-z]+-(?:[5-9]|\d\d))\b"),
            _REFUSES_TEMPERATURE,
        ),
    ),
    "moonshot": ((re.compile(r"^kimi-k"), _REFUSES_TEMPERATURE),),
}

# What the makers' own servers want back, by the models' names: these reach them through gateways
# too, and there are gateways of every kind. A gateway's own form of the same is in it.
_TAKEN_BACK: tuple[tuple[re.Pattern[str], frozenset[str]], ...] = (
    # "Function call is missing a thought_signature": https://ai.google.dev/gemini-api/docs
    (
        re.compile("gemini", re.IGNORECASE),
        frozenset({"extra_content", "provider_specific_fields", "reasoning_details"}),
    ),
    # Thinking is signed, and a tool's result refused without it.
    (
        re.compile("claude", re.IGNORECASE),
        frozenset({"thinking_blocks", "provider_specific_fields", "reasoning_details"}),
    ),
    # R1 and what was distilled from it refuse their thinking; later ones want it back.
    (
        re.compile(r"deepseek(?!.*(?:\br1|distill))|kimi", re.IGNORECASE),
        frozenset({"reasoning_content", "reasoning_details"}),
    ),
)
