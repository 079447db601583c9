"""Token counts, in the events at the beginning and at the end of a response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.result import Usage


def usage_of(counts: Mapping[str, Any]) -> Usage:
    """Return the token counts of a response.

    The provider counts the tokens of the request in three parts: read from its cache, written to
    it, and neither.
    """
    cached = _count(counts, "cache_read_input_tokens")
    written = _count(counts, "cache_creation_input_tokens")
    prompt = _count(counts, "input_tokens") + cached + written
    completion = _count(counts, "output_tokens")
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=_count(counts.get("output_tokens_details"), "thinking_tokens"),
        details=counts,
    )


def _count(counts: Any, name: str) -> int:
    value = counts.get(name) if isinstance(counts, Mapping) else None
    return int(value) if isinstance(value, int | float) and 0 <= value < 2**53 else 0
