"""API keys and other values that end up in HTTP headers: cleaning and checking."""

from __future__ import annotations

_ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff"


def clean_key(value: str | None) -> str:
    """Strip white space from both ends, and the invisible characters that pasting adds."""
    return (value or "").strip().strip(_ZERO_WIDTH).strip()


def is_header_safe(key: str) -> bool:
    """Tell whether a key can stand in an HTTP header: visible ASCII, and no quotes.

    No key has quotes or backslashes; in a log they would be escaped, and the key not found.
    """
    return all("!" <= c <= "~" and c not in '"\\' for c in key)
