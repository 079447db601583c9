"""What families of models accept in a request, where it differs.

By name, as the models of one maker are served by many providers. Most of it is documented in
https://platform.claude.com/docs/en/about-claude/models/migration-guide
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Family:
    """What the models of one family accept.

    :param reasoning: how it is controlled: ``adaptive`` by an effort, ``budget`` by a number of
        tokens; "" for models that do not reason.
    :param always_reasons: whether it cannot be switched off.
    :param between_tools: whether it can be limited to the time between tool calls.
    :param xhigh: whether the effort ``xhigh`` exists.
    :param sampling: whether temperature, top_p and top_k are accepted while it does not reason.
    :param forced_tools: whether a tool call can be required.
    :param prefill: whether the last message may be the assistant's, for the model to go on with.
    :param structured: whether the response can be bound to a JSON schema.
    """

    reasoning: str = "adaptive"
    always_reasons: bool = False
    between_tools: bool = False
    xhigh: bool = True
    sampling: bool = False
    forced_tools: bool = True
    prefill: bool = False
    structured: bool = True


_NEWEST = Family()

_STRICT = replace(_NEWEST, always_reasons=True, forced_tools=False)

_BUDGET = Family("budget", xhigh=False, sampling=True, prefill=True)

# The first that matches counts. Gateways write 5.5 where the maker writes 5-5.
_FAMILIES = tuple(
    (re.compile(rf"claude-{pattern}"), family)
    for pattern, family in (
        (r"sonnet-5[-.]5", replace(_STRICT, between_tools=True)),
        (r"opus-5[-.]5|(fable|mythos)-5[-.]\d", _STRICT),
        (r"(fable|mythos)-5", replace(_STRICT, forced_tools=True)),
        (r"(opus|sonnet)-4[-.]6", replace(_NEWEST, xhigh=False, sampling=True)),
        (r"(opus|sonnet|haiku)-4[-.]5|opus-4[-.]1", _BUDGET),
        (
            r"(opus|sonnet)-4([-.]0|-20\d{6}|@|$)|(4-(opus|sonnet)|3[-.]7)",
            replace(_BUDGET, structured=False),
        ),
        (r"(3|2|v2|instant)", replace(_BUDGET, reasoning="", structured=False)),
        ("", _NEWEST),
    )
)


def family_of(model: str) -> Family:
    """Return what a model accepts; of other makers' models, what the oldest Claude that reasons."""
    return next((family for pattern, family in _FAMILIES if pattern.search(model)), _BUDGET)
