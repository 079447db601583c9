"""Decodes the body of a response: server-sent events, or one JSON value.

Gateways send event streams as ``application/json`` and whole completions as ``text/event-stream``.
So the first bytes of the body decide, and the content type only where they are ambiguous.
"""

from __future__ import annotations

import re

from .sse import MAX_EVENT, EventTooLarge, SSEDecoder

WHOLE = "\0whole"
"""The name of the one event that a body of one JSON value is decoded to."""

_BLANK = b" \t\r\n\xef\xbb\xbf"  # with the bytes of a byte order mark

_FIELD = re.compile(rb"(?:data|event|id|retry) *:|:")

_MAX_FIELD = 10  # bytes: a field name is found within them, or the body is not an event stream


class NotAResponse(Exception):
    """The body is neither events nor JSON: a login page, for example."""


class BodyDecoder:
    """Turns the bytes of a body into events, each ``(name, data)``.

    :param content_type: the ``Content-Type`` of the response.
    """

    def __init__(self, content_type: str) -> None:
        self._is_event_stream = (
            content_type.partition(";")[0].strip().lower() == "text/event-stream"
        )
        self._decoder: SSEDecoder | _JsonDecoder | None = None
        self._held = b""

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """Take the next bytes; return the events that are complete now.

        :raises EventTooLarge: when an event does not end.
        :raises NotAResponse: when the body is neither events nor JSON.
        """
        if self._decoder is None:
            data = (self._held + data).lstrip(_BLANK)
            self._decoder = self._choose(data)
            self._held = b"" if self._decoder else data
            if self._decoder is None:
                return []
        return self._decoder.feed(data)

    def finish(self) -> list[tuple[str, bytes]]:
        """Return the events that the end of the body completes.

        :raises NotAResponse: when the body is neither events nor JSON.
        """
        if self._decoder is None and not self._is_event_stream:
            raise NotAResponse
        return self._decoder.finish() if self._decoder else []

    def _choose(self, data: bytes) -> SSEDecoder | _JsonDecoder | None:
        """Return the decoder for the body; None while its first bytes are ambiguous."""
        if not data or (data == b"{" and self._is_event_stream):
            return None
        if data[:1] == b"[":
            return _JsonDecoder()
        if data[:1] == b"{":
            # In an event stream an error may be a line of its own, without a field name.
            if not self._is_event_stream or data[1:2] in (b"\r", b"\n"):
                return _JsonDecoder()
        elif not self._is_event_stream and not _FIELD.match(data):
            if len(data) < _MAX_FIELD and data[:1] != b"<":
                return None
            raise NotAResponse
        return SSEDecoder()


class _JsonDecoder:
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
