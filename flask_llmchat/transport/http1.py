"""HTTP/1.1 as it stands on the wire: bytes in, bytes out, and no socket.

What comes in one read comes out as one piece, however many chunks it was cut into.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

Fields = list[tuple[bytes, bytes]]


_LONGEST_HEAD = 64 * 2**10


_LARGEST_CHUNK = 2**60


_LONGEST_CHUNK_LINE = 256  # it is matched anew with every read until its end is there


_HEAD_END = re.compile(rb"\r?\n\r?\n")


_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: |$)")


_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


_NO_VALUE = re.compile(rb"[\0\r\v\f]")  # other readers end a line at some of these


# With the line end that closes the chunk before: the first one has it put in front. Possessive:
# a size that does not end is not tried again at each of its digits.
_CHUNK_LINE = re.compile(rb"\r\n([0-9A-Fa-f]{1,32}+)[ \t]*+(?:;[^\r\n]*+)?\r\n")


class Malformed(Exception):
    """The other side speaks no HTTP, or broke off in the middle."""


def write_head(method: str, target: bytes, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write a request's head down.

    :raises ValueError: when something in it would begin a line of its own.
    """
    lines = [b"%b %b HTTP/1.1" % (method.encode("ascii"), target)]
    lines += [b"%b: %b" % field for field in fields]
    head = b"\r\n".join(lines)
    breaks = len(lines) - 1
    if head.count(b"\r") != breaks or head.count(b"\n") != breaks or b"\0" in head:
        raise ValueError("a header holds a line break")
    return head + b"\r\n\r\n"


@dataclass(slots=True)
class ResponseHead:
    """The head of an answer.

    :ivar lowered: its fields by lower-case name; several of one name are joined.
    :ivar is_odd: whether it is written in a way that is taken, but that other readers may take
        for something else.
    """

    status: int
    minor: int
    fields: Fields
    lowered: dict[bytes, bytes]
    is_odd: bool = False

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection can serve another request.

        The other side has to allow it, and where this answer ends must be beyond doubt: of one
        that two readers can read in two ways, the rest would be the next chat's answer.
        """
        options = listed(self, b"connection") + listed(self, b"proxy-connection")
        if self.is_odd or self._is_doubtful() or b"close" in options:
            return False
        return self.minor == 1 or b"keep-alive" in options

    def _is_doubtful(self) -> bool:
        length = self.lowered.get(b"content-length")
        coding = self.lowered.get(b"transfer-encoding")
        if coding is not None and (length is not None or self.minor == 0):
            return True
        return self.status in (204, 304)  # which have no body, whatever they say


class HeadReader:
    """Reads an answer's head, in whatever pieces it comes.

    Heads before the answer's own (``103 Early Hints``, say) are passed over, and so are empty
    lines before a head.

    :ivar size: how many bytes have come.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._is_odd = False
        self.size = 0

    def feed(self, data: bytes) -> tuple[ResponseHead, bytes] | None:
        """Take what was read; return the head and what follows it, or None as yet.

        :raises Malformed: when it is none.
        """
        start = max(len(self._data) - 3, 0)  # what stands before was searched: it may be long
        self.size += len(data)
        if not self._data:
            data = self._without_empty_lines(data)
        self._data += data
        while end := _HEAD_END.search(self._data, start):
            head = _parse_head(bytes(self._data[: end.end()]))
            head.is_odd |= self._is_odd
            rest = self._without_empty_lines(bytes(self._data[end.end() :]), head.status < 200)
            self._data, start = bytearray(rest), 0
            if head.status >= 200:
                return head, bytes(self._data)
            if head.status == 101:
                raise Malformed("the server changed the protocol")
        if self.size > _LONGEST_HEAD:
            raise Malformed("the head of the answer does not end")
        return None

    def _without_empty_lines(self, data: bytes, is_before_a_head: bool = True) -> bytes:
        """Return what follows them; of a body's beginning nothing is taken."""
        if not is_before_a_head or data[:1] not in (b"\r", b"\n"):
            return data
        self._is_odd = True
        return data.lstrip(b"\r\n")


def _parse_head(head: bytes) -> ResponseHead:
    """Read a head with the empty line that ends it."""
    *lines, _, _ = head.split(b"\n")
    is_odd = head.count(b"\r\n") != head.count(b"\n")  # some servers end lines with LF alone
    first, *lines = [line.removesuffix(b"\r") for line in lines]
    status_line = _STATUS_LINE.match(first)
    if not status_line or _NO_VALUE.search(first):
        raise Malformed("no HTTP/1 answer")
    fields: Fields = []
    for line in lines:
        if _NO_VALUE.search(line):
            raise Malformed("a header that is none")
        if line[:1] in (b" ", b"\t") and fields:  # a line folded, as was once allowed
            name, value = fields[-1]
            fields[-1], is_odd = (name, value + b" " + line.strip(b" \t")), True
            continue
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name):
            raise Malformed("a header that is none")
        fields.append((name, value.strip(b" \t")))
    lowered: dict[bytes, bytes] = {}
    kept: Fields = []
    for name, value in fields:
        lower = name.lower()
        if lower == b"content-type" and lowered.get(lower) == value:
            continue  # some proxies say it once more, and two of it joined would be none
        kept.append((name, value))
        lowered[lower] = lowered[lower] + b", " + value if lower in lowered else value
    return ResponseHead(int(status_line[2]), int(status_line[1]), kept, lowered, is_odd)


def _check_trailer(trailer: bytes) -> None:
    """Tell fields after the last chunk, which say nothing that matters, from something else."""
    for line in trailer.split(b"\r\n") if trailer else ():
        name, colon, _ = line.partition(b":")
        if b"\n" in line or _NO_VALUE.search(line) or not colon or not _NAME.fullmatch(name):
            raise Malformed("a trailer that is none")


def listed(head: ResponseHead, name: bytes) -> list[bytes]:
    """Return what a field lists, in lower case."""
    items = head.lowered.get(name, b"").lower().split(b",")
    return [stripped for item in items if (stripped := item.strip(b" \t"))]


def codings_of(head: ResponseHead, name: bytes) -> list[bytes]:
    """Return the codings that a field lists, without those that are none before the first."""
    codings = listed(head, name)
    while codings[:1] == [b"identity"]:
        del codings[0]
    return codings


class BodyReader(Protocol):
    """What tells where a body ends.

    :ivar ended: whether it has.
    :ivar spare: what came after its end, and should not have.
    """

    ended: bool
    spare: bytes

    def feed(self, data: bytes) -> bytes:
        """Take what was read; return what of it is the body's."""

    def finish(self) -> bytes:
        """Take note that there is nothing more to read; return nothing.

        :raises Malformed: when the body has not ended.
        """


def body_reader(head: ResponseHead) -> BodyReader:
    """Return what frames the body that follows a head.

    :raises Malformed: when the head does not say it clearly.
    """
    if head.status in (204, 304):
        return ContentLengthReader(0)
    codings = codings_of(head, b"transfer-encoding")
    if set(codings) == {b"chunked"}:  # some proxies say it once more
        return ChunkedReader()
    if codings:
        raise Malformed("a transfer coding that was not asked for")
    if b"content-length" not in head.lowered:
        return UntilCloseReader()
    lengths = {length.strip(b" \t") for length in head.lowered[b"content-length"].split(b",")}
    length = lengths.pop()
    if lengths or not length.isdigit() or len(length) > 15:
        raise Malformed("a length that is none")
    return ContentLengthReader(int(length))


class ContentLengthReader:
    """A body of a length that was told."""

    __slots__ = ("_left", "ended", "spare")

    def __init__(self, length: int) -> None:
        self._left = length
        self.ended = not length
        self.spare = b""

    def feed(self, data: bytes) -> bytes:
        """Take what was read; return what of it is the body's."""
        piece, self.spare = data[: self._left], data[self._left :]
        self._left -= len(piece)
        self.ended = not self._left
        return piece

    def finish(self) -> bytes:
        """Take note that there is nothing more to read."""
        raise Malformed("the body broke off")


class UntilCloseReader:
    """A body that goes on until the connection is closed."""

    __slots__ = ("ended", "spare")

    def __init__(self) -> None:
        self.ended = False
        self.spare = b""

    def feed(self, data: bytes) -> bytes:
        """Take what was read; return it."""
        return data

    def finish(self) -> bytes:
        """Take note that there is nothing more to read."""
        self.ended = True
        return b""


class ChunkedReader:
    """A body in chunks."""

    __slots__ = ("_missing", "_rest", "_trailer", "ended", "spare")

    def __init__(self) -> None:
        self._missing = 0  # bytes that the present chunk lacks
        self._rest = b"\r\n"  # what could not be read yet
        self._trailer: bytearray | None = None  # once the last chunk was there
        self.ended = False
        self.spare = b""

    def feed(self, data: bytes) -> bytes:
        """Take what was read; return what of it is the body's.

        :raises Malformed: when it is not in chunks.
        """
        if self._trailer is not None:
            self._end(self._trailer, data)
            return b""
        at = self._missing
        if at > len(data):
            self._missing -= len(data)
            return data
        pieces = [data[:at]] if at else []
        data = self._rest + data
        while line := _CHUNK_LINE.match(data, at):
            start = line.end()
            size = int(line[1], 16)
            if not size:
                self._trailer = bytearray()
                self._end(self._trailer, data[start - 2 :])
                return b"".join(pieces)
            if size > _LARGEST_CHUNK:
                raise Malformed("a chunk that cannot be")
            at = start + size
            pieces.append(data[start:at])
        self._missing = max(at - len(data), 0)
        self._rest = data[at:]
        if self._rest and not pieces:  # what came before it is told first
            self._check()
        return b"".join(pieces)

    def _end(self, trailer: bytearray, data: bytes) -> None:
        start = max(len(trailer) - 3, 0)
        trailer += data
        if (end := trailer.find(b"\r\n\r\n", start)) >= 0:
            _check_trailer(bytes(trailer[2:end]))
            self.ended, self.spare = True, bytes(trailer[end + 4 :])
        elif len(trailer) > _LONGEST_HEAD:
            raise Malformed("the trailer does not end")

    def _check(self) -> None:
        """Tell the beginning of a chunk's first line from what will never be one."""
        rest = self._rest
        if rest[:2] not in (b"\r", b"\r\n") or b"\n" in rest[2:] or len(rest) > _LONGEST_CHUNK_LINE:
            raise Malformed("no chunk where one should begin")

    def finish(self) -> bytes:
        """Take note that there is nothing more to read."""
        raise Malformed("the body broke off")
