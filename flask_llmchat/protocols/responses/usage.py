"""The token counts of a response."""

from __future__ import annotations

from typing import Any

from ...core.result import Usage
from ..json_values import count_in


def usage_in(response: dict[str, Any]) -> Usage | None:
    """Return the token counts of a response; None when it has none."""
    usage = response.get("usage")
    if not isinstance(usage, dict) or not usage:
        return None
    prompt, completion = count_in(usage, "input_tokens"), count_in(usage, "output_tokens")
    details = usage.get("input_tokens_details")
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=count_in(usage, "total_tokens") or prompt + completion,
        # The second names are Perplexity's.
        cached_tokens=count_in(details, "cached_tokens", "cache_read_input_tokens"),
        cache_write_tokens=count_in(details, "cache_write_tokens", "cache_creation_input_tokens"),
        reasoning_tokens=count_in(usage.get("output_tokens_details"), "reasoning_tokens"),
        details=usage,
    )
