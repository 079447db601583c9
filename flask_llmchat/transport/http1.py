"""An HTTP/1.1 parser and request writer: bytes in, bytes out, no sockets.

Body bytes that come in one read are returned as one piece, however many HTTP chunks they form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

Fields = list[tuple[bytes, bytes]]
"""Header fields: name and value."""

_MAX_HEAD = 64 * 2**10
_MAX_CHUNK = 2**60
_MAX_CHUNK_LINE = 256  # an incomplete line is matched from its start again with every read

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: |$)")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_A_LINE = re.compile(rb"[\0\r\v\f]")  # some parsers end a line at some of these
# With the line end that closes the previous chunk; the reader puts one before the first chunk.
# Possessive: an incomplete size is not tried again at each of its digits.
_CHUNK_LINE = re.compile(rb"\r\n([0-9A-Fa-f]{1,32}+)[ \t]*+(?:;[^\r\n]*+)?\r\n")


class Malformed(Exception):
    """The server sent something that is not valid HTTP, or an incomplete response."""


def write_head(method: str, target: bytes, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the head of a request.

    :raises ValueError: when a line break in one part would begin a line of its own.
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
    """The head of a response.

    :ivar minor: the 0 or 1 of HTTP/1.0 or 1.1.
    :ivar fields: the header fields as they were sent.
    :ivar by_name: values by lower-case name; those of repeated fields are joined.
    :ivar is_ambiguous: whether it is written in a way that is accepted here, but that other
        parsers may read differently.
    """

    status: int
    minor: int
    fields: Fields
    by_name: dict[bytes, bytes]
    is_ambiguous: bool = False

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection may serve another request.

        The server has to allow it, and the end of this response must be unambiguous: where two
        parsers can see it in two places, the rest would be taken for the next chat's response.
        """
        if self.is_ambiguous or self.status in (204, 304):  # these have no body, whatever they say
            return False
        if b"transfer-encoding" in self.by_name and (
            b"content-length" in self.by_name or self.minor == 0
        ):
            return False
        options = list_items(self, b"connection") + list_items(self, b"proxy-connection")
        return b"close" not in options and (self.minor == 1 or b"keep-alive" in options)


class HeadReader:
    """Parses the head of a response, in whatever pieces it comes.

    Informational heads before it (``103 Early Hints``, say) are skipped, and so are empty lines
    before a head.

    :ivar size: how many bytes have come.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._is_ambiguous = False
        self.size = 0

    def feed(self, data: bytes) -> tuple[ResponseHead, bytes] | None:
        """Add what was read; return the head and the bytes after it, or None until it is complete.

        :raises Malformed: when it is not the head of an HTTP/1 response.
        """
        start = max(len(self._data) - 3, 0)  # the rest has been searched already: it may be long
        self.size += len(data)
        if not self._data:
            data = self._skip_empty_lines(data)
        self._data += data
        while end := _HEAD_END.search(self._data, start):
            head = _parse_head(bytes(self._data[: end.end()]))
            head.is_ambiguous |= self._is_ambiguous
            rest = bytes(self._data[end.end() :])
            if head.status >= 200:
                return head, rest
            if head.status == 101:
                raise Malformed("the server switched protocols")
            self._data, start = bytearray(self._skip_empty_lines(rest)), 0
        if self.size > _MAX_HEAD:
            raise Malformed("the head of the response is too long")
        return None

    def _skip_empty_lines(self, data: bytes) -> bytes:
        if data[:1] not in (b"\r", b"\n"):
            return data
        self._is_ambiguous = True
        return data.lstrip(b"\r\n")


def _parse_head(head: bytes) -> ResponseHead:
    """Parse a head, which ends with an empty line."""
    *lines, _, _ = head.split(b"\n")
    is_ambiguous = head.count(b"\r\n") != head.count(b"\n")  # some servers end lines with LF alone
    first, *lines = [line.removesuffix(b"\r") for line in lines]
    status_line = _STATUS_LINE.match(first)
    if not status_line or _NOT_IN_A_LINE.search(first):
        raise Malformed("not an HTTP/1 response")
    fields: Fields = []
    for line in lines:
        if _NOT_IN_A_LINE.search(line):
            raise Malformed("an invalid header")
        if line[:1] in (b" ", b"\t") and fields:  # a folded line, which HTTP once allowed
            name, value = fields[-1]
            fields[-1], is_ambiguous = (name, value + b" " + line.strip(b" \t")), True
            continue
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name):
            raise Malformed("an invalid header")
        fields.append((name, value.strip(b" \t")))
    by_name: dict[bytes, bytes] = {}
    kept: Fields = []
    for name, value in fields:
        lower = name.lower()
        if lower == b"content-type" and by_name.get(lower) == value:
            continue  # some proxies repeat it, and the two joined would be invalid
        kept.append((name, value))
        by_name[lower] = by_name[lower] + b", " + value if lower in by_name else value
    return ResponseHead(int(status_line[2]), int(status_line[1]), kept, by_name, is_ambiguous)


def _check_trailer(trailer: bytes) -> None:
    """Check that what follows the last chunk is header fields; their content is ignored."""
    for line in trailer.split(b"\r\n") if trailer else ():
        name, colon, _ = line.partition(b":")
        invalid = b"\n" in line or _NOT_IN_A_LINE.search(line)
        if invalid or not colon or not _NAME.fullmatch(name):
            raise Malformed("an invalid trailer")


def list_items(head: ResponseHead, name: bytes) -> list[bytes]:
    """Return the items of a comma-separated field, in lower case."""
    if name not in head.by_name:
        return []
    items = head.by_name[name].lower().split(b",")
    return [stripped for item in items if (stripped := item.strip(b" \t"))]


def codings_of(head: ResponseHead, name: bytes) -> list[bytes]:
    """Return the codings in a field, without any leading ``identity``, which changes nothing."""
    codings = list_items(head, name)
    while codings[:1] == [b"identity"]:
        del codings[0]
    return codings


class BodyReader:
    """Finds the end of a body, which its length marks, or the end of the connection.

    :param length: the length; None where the server closes the connection after the body.
    :ivar ended: whether the body has ended.
    :ivar spare: bytes that came after its end, and should not have.
    """

    __slots__ = ("_left", "ended", "spare")

    def __init__(self, length: int | None) -> None:
        self._left = length
        self.ended = length == 0
        self.spare = b""

    @property
    def until_close(self) -> bool:
        """Whether the body ends when the server closes the connection."""
        return self._left is None

    def feed(self, data: bytes) -> bytes:
        """Add what was read; return the part of it that is the body's.

        :raises Malformed: when the body is not framed as the head says.
        """
        if self._left is None:
            return data
        piece, self.spare = data[: self._left], data[self._left :]
        self._left -= len(piece)
        self.ended = not self._left
        return piece

    def finish(self) -> bytes:
        """Handle the end of the connection; return b"".

        :raises Malformed: when the body has not ended.
        """
        if self._left is not None:
            raise Malformed("the body is incomplete")
        self.ended = True
        return b""


def body_reader(head: ResponseHead) -> BodyReader:
    """Return the reader for the body that follows a head.

    :raises Malformed: when the head does not say clearly where the body ends.
    """
    if head.status in (204, 304):
        return BodyReader(0)
    codings = codings_of(head, b"transfer-encoding")
    if set(codings) == {b"chunked"}:  # some proxies repeat it
        return ChunkedReader()
    if codings:
        raise Malformed("an unsupported transfer coding")
    if b"content-length" not in head.by_name:
        return BodyReader(None)
    lengths = {length.strip(b" \t") for length in head.by_name[b"content-length"].split(b",")}
    length = lengths.pop()
    if lengths or not length.isdigit() or len(length) > 15:
        raise Malformed("an invalid Content-Length")
    return BodyReader(int(length))


class ChunkedReader(BodyReader):
    """Reads a body with ``Transfer-Encoding: chunked``."""

    __slots__ = ("_missing", "_rest", "_trailer")

    def __init__(self) -> None:
        super().__init__(-1)  # the chunks say it
        self._missing = 0  # bytes of the present chunk that have not come yet
        self._rest = b"\r\n"  # bytes that could not be parsed yet
        self._trailer: bytearray | None = None  # after the last chunk

    def feed(self, data: bytes) -> bytes:
        """See :class:`BodyReader`."""
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
            if size > _MAX_CHUNK:
                raise Malformed("a chunk of impossible size")
            at = start + size
            pieces.append(data[start:at])
        self._missing = max(at - len(data), 0)
        self._rest = data[at:]
        if self._rest and not pieces:  # otherwise the pieces before it are returned first
            self._check_rest()
        return b"".join(pieces)

    def _end(self, trailer: bytearray, data: bytes) -> None:
        start = max(len(trailer) - 3, 0)
        trailer += data
        if (end := trailer.find(b"\r\n\r\n", start)) >= 0:
            _check_trailer(bytes(trailer[2:end]))
            self.ended, self.spare = True, bytes(trailer[end + 4 :])
        elif len(trailer) > _MAX_HEAD:
            raise Malformed("the trailer is too long")

    def _check_rest(self) -> None:
        """Check that the rest may still become the first line of a chunk."""
        rest = self._rest
        if rest[:2] not in (b"\r", b"\r\n") or b"\n" in rest[2:] or len(rest) > _MAX_CHUNK_LINE:
            raise Malformed("no chunk where one should begin")
