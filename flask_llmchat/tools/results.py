"""What the model, and the page, get of a tool's result."""

from __future__ import annotations

import json
from typing import Any


def read_result(value: Any, limit: int) -> tuple[Any, str]:
    """Return a result for the page, and the same as text for the model.

    Strings stay as they are, anything else becomes compact JSON. A longer result than allowed is
    shortened, for both: what a page shows now is what it sends as the history of the next turn.

    :param limit: characters of the text.
    :raises Exception: whatever pydantic raises for a value that it cannot write as JSON.
    """
    from pydantic_core import to_json

    if not isinstance(value, str):
        text = to_json(value, inf_nan_mode="null").decode()
        if len(text) <= limit:
            return json.loads(text), text
        value = text
    text = shortened(value, limit)
    return text, text


def shortened(text: str, limit: int) -> str:
    """Return a text that can be sent: not much longer than allowed, and without half characters."""
    if (left_out := len(text) - limit) > 0:
        head, tail = text[: limit - limit // 2], text[len(text) - limit // 2 :]
        text = f"{head}\n[{left_out:,} characters are left out here]\n{tail}"
    return text.encode(errors="replace").decode()  # UTF-8 has no lone surrogates
