"""Decodes server-sent events from bytes that come in pieces of any size.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
defines an event stream; deviations of real providers are accepted too.
"""

from __future__ import annotations

MAX_EVENT = 32 * 2**20
"""Bytes one event may have: a generated image fits, a faulty server's endless one does not."""

_MAX_LINES = 10_000  # of one event: each becomes an object, however short it is


class EventTooLarge(ValueError):
    """An event has more bytes, or lines, than any response needs."""


class SSEDecoder:
    """Turns the bytes of an event stream into events, each ``(name, data)``.

    The name is "" for an event without one. Comments are skipped. Line ends may be LF, CRLF or
    CR. The bytes may be cut anywhere: lines are split as bytes, so no character is torn apart.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._after_cr = False

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """Take the next bytes; return the events that are complete now.

        :raises EventTooLarge: when an event does not end, or has too many lines.
        """
        if b"\r" in data or self._after_cr:
            data = self._with_newlines(data)
        if self._buffer and not (data := self._joined(data)):
            return []
        *blocks, rest = data.split(b"\n\n")
        if rest:
            self._keep(rest)
        events = []
        for block in blocks:
            if block.startswith(b"data: ") and b"\n" not in block:
                events.append(("", block[6:]))  # nearly every event of a real stream
            elif not block or block == b":":
                continue  # the shortest heartbeat, and the most frequent in one read
            elif event := _parse(block):
                events.append(event)
        return events

    def _joined(self, data: bytes) -> bytes:
        """Return the kept bytes and those that follow; b"" while no event is complete."""
        # The first of the two line feeds may have come already.
        searched = len(self._buffer) - 1
        self._keep(data)
        if self._buffer.find(b"\n\n", searched) < 0:
            return b""
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def _keep(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > MAX_EVENT and b"\n\n" not in data:
            raise EventTooLarge(f"an event of more than {MAX_EVENT} bytes")

    def finish(self) -> list[tuple[str, bytes]]:
        """Return the event that the end of the body left without its blank line, if any.

        :raises EventTooLarge: when it has too many lines.
        """
        event = _parse(bytes(self._buffer))
        self._buffer.clear()
        return [event] if event else []

    def _with_newlines(self, data: bytes) -> bytes:
        if self._after_cr and data[:1] == b"\n":
            data = data[1:]  # the second half of a CRLF whose CR ended the last piece
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _parse(block: bytes) -> tuple[str, bytes] | None:
    """Read the lines of one event; None when they hold no data."""
    name, data = "", []
    if block.count(b"\n") > _MAX_LINES:
        raise EventTooLarge(f"an event of more than {_MAX_LINES} lines")
    for line in block.split(b"\n"):
        # Some gateways put spaces in front of the first line, some a byte order mark.
        field, colon, value = line.lstrip(b" \xef\xbb\xbf").partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
        elif field == b"error":  # not in the standard, but llama.cpp sends it
            name, data = "error", [value]
        elif field[:1] == b"{":  # an error body in the middle of a stream, without its field
            data.append(line.strip())
    return (name, b"\n".join(data)) if data else None
