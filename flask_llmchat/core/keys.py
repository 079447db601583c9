"""API keys: strip what pasting adds, and check that they fit into an HTTP header."""

from __future__ import annotations

import re

_ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff"

_HEADER_SAFE = re.compile(r"[!#-\[\]-~]*")


def clean_key(value: str | None) -> str:
    """Strip white space from both ends, and the invisible characters that pasting adds there."""
    return (value or "").strip().strip(_ZERO_WIDTH).strip()


def is_header_safe(key: str) -> bool:
    """Tell whether a key fits into an HTTP header: visible ASCII without quotes and backslashes.

    No provider's keys have those; a log would escape them, and redaction would miss the key.
    """
    return _HEADER_SAFE.fullmatch(key) is not None
