"""The response of the ``text`` dialect: the answer's text and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from ...core.errors import ChatError
from ...core.events import Event, TextDelta
from ...core.result import ChatResult


class TextEncoder:
    mimetype = "text/plain"
    headers: Mapping[str, str] = {}
    heartbeat = b""  # whatever is written is the answer's
    passes_chunks = False

    def encode(self, events: list[Event]) -> bytes:
        return "".join([e.text for e in events if isinstance(e, TextDelta)]).encode()

    def finish(self, result: ChatResult) -> bytes:
        return b""

    def fail(self, error: ChatError) -> None:
        return None  # any words would be read as the answer's
