"""How much a model reasons: the fields of a request for a reasoning effort."""

from __future__ import annotations

from typing import Any

from .families import Family

_BUDGETS = {
    "minimal": 1024,
    "low": 4096,
    "medium": 12_000,
    "high": 24_000,
    "xhigh": 32_000,
    "max": 48_000,
}
"""Tokens of reasoning at each effort, for models that are given a number."""

_LEAST_BUDGET = 1024

EFFORTS = ("none", *_BUDGETS)


def reasoning_fields(
    effort: str | None, family: Family, max_tokens: int, *, bound: bool
) -> dict[str, Any]:
    """Return ``thinking``, and ``output_config`` with an effort, as a model accepts them.

    :param effort: one of :data:`EFFORTS`; None leaves it to the provider.
    :param max_tokens: the most tokens of the response, its reasoning included.
    :param bound: whether the response has to be a tool call, or goes on with what has no reasoning:
        neither is accepted with a budget.
    """
    if family.reasoning == "adaptive":
        if effort == "none" and family.between_tools:
            return {"thinking": {"type": "between_tools"}}
        if effort == "none" and not family.always_reasons:
            return {"thinking": {"type": "disabled"}}
        if effort is None and not family.always_reasons:
            return {}
        # Newer models leave the reasoning out of the response unless it is requested.
        thinking = {"thinking": {"type": "adaptive", "display": "summarized"}}
        if effort is None:
            return thinking
        if effort in ("none", "minimal"):
            effort = "low"
        elif effort == "xhigh" and not family.xhigh:
            effort = "high"
        return {**thinking, "output_config": {"effort": effort}}
    if not family.reasoning or effort is None:
        return {}
    if effort == "none":
        return {"thinking": {"type": "disabled"}}
    # The text needs a part of the tokens, too.
    budget = min(_BUDGETS[effort], max_tokens * 4 // 5)
    if bound or budget < _LEAST_BUDGET:
        return {}
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}
