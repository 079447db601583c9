"""Token counts, wherever a chunk has them and in whatever form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.result import TOKEN_COUNTS, Usage
from ..json_values import count_in


def usage_in(chunk: Mapping[str, Any]) -> Usage | None:
    """Return the token counts of a chunk; the last ones of a response are its totals."""
    usage = chunk.get("usage")
    if not usage and isinstance(groq := chunk.get("x_groq"), dict):
        usage = groq.get("usage")
    if not usage or not isinstance(usage, dict):
        return None
    prompt, completion, total = (count_in(usage, name) for name in TOKEN_COUNTS)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=total or prompt + completion,
        cached_tokens=count_in(usage.get("prompt_tokens_details"), "cached_tokens")
        or count_in(usage, "prompt_cache_hit_tokens", "cached_tokens"),
        reasoning_tokens=count_in(usage.get("completion_tokens_details"), "reasoning_tokens"),
        details=usage,
    )


def counts_are_plain(usage: Any) -> bool:
    """Return whether a chunk's ``usage`` is null, or has the three integers that clients expect."""
    if usage is None:
        return True
    return isinstance(usage, dict) and all(_is_plain(usage.get(name)) for name in TOKEN_COUNTS)


def _is_plain(value: Any) -> bool:
    return value.__class__ is int and value >= 0
