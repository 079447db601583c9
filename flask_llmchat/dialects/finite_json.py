"""JSON that every client can parse: Python writes NaN and Infinity, and JSON has neither."""

from __future__ import annotations

import json
import math
from typing import Any

# ``json.dumps`` would make one for each chunk.
encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
"""Serialize a value without such numbers, or else raise ValueError."""


def dump(value: Any) -> str:
    """Serialize a value; numbers that JSON lacks become null."""
    try:
        return encode(value)
    except ValueError:
        return encode(_finite(value))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
