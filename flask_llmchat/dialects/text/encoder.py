"""The response of the ``text`` dialect: the text alone, without framing."""

from __future__ import annotations

from collections.abc import Mapping

from ...core.errors import ChatError
from ...core.events import Event, TextDelta
from ...core.result import ChatResult


class TextEncoder:
    """Encodes a response as its text."""

    mimetype = "text/plain"
    headers: Mapping[str, str] = {}
    heartbeat = b""  # every byte counts as text of the response
    passes_chunks = False

    def encode(self, events: list[Event]) -> bytes:
        """Return the text in some events."""
        return "".join([e.text for e in events if isinstance(e, TextDelta)]).encode()

    def finish(self, result: ChatResult) -> bytes:
        """Return b"": the end of the body is the end of the response."""
        return b""

    def fail(self, error: ChatError) -> None:
        """Return None: a message would count as text, so the connection is aborted."""
        return None
