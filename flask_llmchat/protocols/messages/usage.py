"""Token counts, in the events at the beginning and at the end of a response."""

from __future__ import annotations

from typing import Any

from ...core.result import Usage
from ..json_values import count_in


def usage_of(counts: dict[str, Any]) -> Usage:
    """Return the token counts of a response.

    The provider counts the tokens of the request in three parts: read from its cache, written to
    it, and neither.
    """
    cached = count_in(counts, "cache_read_input_tokens")
    written = count_in(counts, "cache_creation_input_tokens")
    prompt = count_in(counts, "input_tokens") + cached + written
    completion = count_in(counts, "output_tokens")
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=count_in(counts.get("output_tokens_details"), "thinking_tokens"),
        details=counts,
    )
