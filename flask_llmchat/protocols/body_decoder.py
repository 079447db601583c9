"""What the body of an answer is, whatever its type says: events, or one JSON value.

Gateways send event streams as ``application/json`` and whole completions as event streams. So
what the body begins with decides, and the type only where that leaves a doubt.
"""

from __future__ import annotations

import re

from .sse import MAX_EVENT, EventTooLarge, SSEDecoder

WHOLE = "\0whole"
"""The name of the one event that a body of one JSON value is read as."""


_BLANK = b" \t\r\n\xef\xbb\xbf"  # with the bytes of a byte order mark


_FIELD = re.compile(rb"(?:data|event|id|retry) *:|:")


_LONGEST_FIELD = 10  # bytes after which a first line is one of these, or none


class NotAResponse(Exception):
    """A page to log in, say: neither events nor JSON."""


class BodyDecoder:
    """Turns the bytes of a body into events, each ``(name, data)``.

    :param content_type: what the body says it is.
    """

    def __init__(self, content_type: str) -> None:
        self._says_events = content_type.partition(";")[0].strip().lower() == "text/event-stream"
        self._reader: SSEDecoder | _JsonReader | None = None
        self._held = b""

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """Take the next bytes; return the events that are complete now.

        :raises EventTooLarge: when an event does not end.
        :raises NoAnswer: when there will be none.
        """
        if self._reader is None:
            data = (self._held + data).lstrip(_BLANK)
            self._reader = self._choose(data)
            self._held = b"" if self._reader else data
            if self._reader is None:
                return []
        return self._reader.feed(data)

    def finish(self) -> list[tuple[str, bytes]]:
        """Return what the end of the body completes."""
        if self._reader is None and not self._says_events:
            raise NotAResponse
        return self._reader.finish() if self._reader else []

    def _choose(self, data: bytes) -> SSEDecoder | _JsonReader | None:
        """Return what the body is to be read with; None while that cannot be told."""
        if not data or (data == b"{" and self._says_events):
            return None
        if data[:1] == b"[":
            return _JsonReader()
        if data[:1] == b"{":
            # In an event stream an error may stand on a line of its own, without its field.
            if not self._says_events or data[1:2] in (b"\r", b"\n"):
                return _JsonReader()
        elif not self._says_events and not _FIELD.match(data):
            if len(data) < _LONGEST_FIELD and data[:1] != b"<":
                return None
            raise NotAResponse
        return SSEDecoder()


class _JsonReader:
    """Collects a body that is one JSON value."""

    def __init__(self) -> None:
        self._pieces = bytearray()

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        self._pieces += data
        if len(self._pieces) > MAX_EVENT:
            raise EventTooLarge(f"JSON of more than {MAX_EVENT} bytes")
        return []

    def finish(self) -> list[tuple[str, bytes]]:
        return [(WHOLE, bytes(self._pieces))]
