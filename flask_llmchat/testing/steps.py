"""What replies are made of: the steps of a response, before and after they are written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Protocol

Signal = Enum("Signal", ["CUT", "HOLD"])
CUT, HOLD = Signal.CUT, Signal.HOLD


class Part(tuple[Any, ...]):
    """A part of a response in the form of no protocol yet: its kind, then what belongs to it.

    ``start`` model usage; ``reasoning`` piece; ``text`` piece; ``call`` id name; ``arguments``
    piece; ``finish`` finish_reason usage done; ``error`` message. The body of an error status is
    one part: ``error body`` status error.
    """


Step = bytes | float | Signal | Part


class Writer(Protocol):
    """Writes the parts of one response in the form of one protocol.

    :param request_body: of the request that gets the response.
    """

    def __init__(self, request_body: bytes) -> None: ...

    def write(self, part: Part) -> Iterator[bytes]:
        """Write the next part as one HTTP chunk or several."""


def event(data: object, name: str = "") -> bytes:
    """Encode one server-sent event: ``data:``, compact JSON, an empty line.

    :param name: of the event, for a line ``event:`` before the data; none by default.
    """
    named = f"event: {name}\n" if name else ""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"{named}data: {text}\n\n".encode()


def detailed(usage: Mapping[str, Any]) -> tuple[int, int, int, int, int]:
    """Return the tokens of prompt and completion, then cached, written to the cache, reasoning."""
    prompt = usage.get("prompt_tokens_details", {})
    completion = usage.get("completion_tokens_details", {})
    return (
        usage.get("prompt_tokens", 0),
        usage.get("completion_tokens", 0),
        prompt.get("cached_tokens", 0),
        prompt.get("cache_write_tokens", 0),
        completion.get("reasoning_tokens", 0),
    )
