"""The token counts of a response."""

from __future__ import annotations

from typing import Any

from ...core.result import Usage


def usage_in(response: dict[str, Any]) -> Usage | None:
    """Return the token counts of a response; None when it has none."""
    usage = response.get("usage")
    if not isinstance(usage, dict) or not usage:
        return None
    prompt, completion = _count(usage, "input_tokens"), _count(usage, "output_tokens")
    details = usage.get("input_tokens_details")
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=_count(usage, "total_tokens") or prompt + completion,
        cached_tokens=_count(details, "cached_tokens", "cache_read_input_tokens"),
        cache_write_tokens=_count(details, "cache_write_tokens", "cache_creation_input_tokens"),
        reasoning_tokens=_count(usage.get("output_tokens_details"), "reasoning_tokens"),
        details=usage,
    )


def _count(counts: Any, *names: str) -> int:
    """Return the first count that is there; the second name is Perplexity's."""
    for name in names if isinstance(counts, dict) else ():
        value = counts.get(name)
        if isinstance(value, int | float) and 0 < value < 2**63:
            return int(value)
    return 0
