"""Our HTTP/1 reader beside h11's, which is strict and was written apart from it."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import dataclass

import pytest

from flask_llmchat.transport.http1 import HeadReader, Malformed, body_reader

h11 = pytest.importorskip("h11")

BODIES = [b"", b"hello", b"data: {}\n\n", b"x" * 300]


@dataclass
class Read:
    """What a reader made of some bytes; ``is_kept``: whether another request may follow."""

    status: int
    body: bytes
    is_kept: bool


def by_us(raw: bytes) -> Read | str:
    """Return what we read, or why we read nothing."""
    try:
        found = HeadReader().feed(raw)
        if found is None:
            return "no end of the head"
        head, rest = found
        frame = body_reader(head)
        body = b""
        for piece in (rest, b""):  # what is wrong after a good piece is noticed at the next read
            if frame.ended:
                frame.spare = frame.spare or piece
            elif piece or body:
                body += frame.feed(piece)
        if not frame.ended:
            frame.finish()
        until_closed = frame.until_close
        kept = head.keeps_alive and not until_closed and not frame.spare
        return Read(head.status, body, kept)
    except Malformed as error:
        return str(error)


def by_h11(raw: bytes) -> Read | str:
    connection = h11.Connection(h11.CLIENT)
    fields = [("Host", "h"), ("Content-Length", "0")]
    connection.send(h11.Request(method="POST", target="/", headers=fields))
    connection.send(h11.EndOfMessage())
    status, body = 0, b""
    try:
        connection.receive_data(raw)
        connection.receive_data(b"")
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                kept = connection.their_state is h11.DONE and not connection.trailing_data[0]
                return Read(status, body, kept)
            elif event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
                return "no end"
    except h11.RemoteProtocolError as error:
        return str(error)


def made_up(draw: random.Random) -> bytes:
    """Return an answer, mostly a good one with something odd in it."""
    end = draw.choice([b"\r\n"] * 12 + [b"\n"])
    body = draw.choice(BODIES)
    version = draw.choice([b"1.1"] * 8 + [b"1.0", b"1.0", b"1.2", b"2.0"])
    status = draw.choice([b"200"] * 8 + [b"204", b"404", b"304", b"099", b"000"])
    fields = [b"Content-Type: text/event-stream"]
    kind = draw.choice(["sized", "chunked", "chunked", "both", "none", "twice"])
    if kind in ("sized", "both", "twice"):
        blank = draw.choice([b" "] * 8 + [b"", b"\t", b"\v", b"\f", b" \r"])
        length = len(body) + draw.choice([0] * 12 + [1, -1])
        fields.append(b"Content-Length:%b%d" % (blank, length))
    if kind == "twice":
        fields.append(b"Content-Length: %d" % (len(body) + draw.choice([0, 0, 1])))
    if kind in ("chunked", "both"):
        fields.append(b"Transfer-Encoding: " + draw.choice([b"chunked"] * 8 + [b"gzip, chunked"]))
        pieces = [body[:3], body[3:]]
        extension = draw.choice([b""] * 4 + [b";a=b", b" ;a", b"\t"])
        wire = b"".join(b"%x%b\r\n%b\r\n" % (len(p), extension, p) for p in pieces if p)
        body = wire + b"0\r\n" + draw.choice([b""] * 6 + [b"X: 1\r\n", b"X: 1\n"]) + b"\r\n"
    if draw.random() < 0.5:
        options = [
            b"close",
            b"keep-alive",
            b"keep-alive",
            b"keep-alive, close",
            b"Close",
            b"x",
            b"closed",
        ]
        fields.append(b"Connection: " + draw.choice(options))
    if draw.random() < 0.2:
        odd = [b"X: a\rb", b"X: a\0b", b"X: a", b" folded", b"X : a", b"no colon", b"X:\v"]
        fields.append(draw.choice(odd))
    draw.shuffle(fields)
    early = draw.choice([b""] * 8 + [b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", b"\r\n"])
    head = end.join([b"HTTP/%b %b OK" % (version, status), *fields, b"", b""])
    return early + head + body + draw.choice([b""] * 8 + [b"X", b"HTTP/1.1 200 OK\r\n\r\n"])


def mutated(raw: bytes, draw: random.Random) -> bytes:
    data = bytearray(raw)
    for _ in range(draw.choice([0, 0, 0, 1])):
        at = draw.randrange(len(data))
        match draw.randrange(4):
            case 0:
                data[at] = draw.choice(b"\r\n\0 :0a;,\t\v\xff")
            case 1:
                del data[at]
            case 2:
                data.insert(at, draw.choice(b"\r\n 0:;"))
            case _:
                del data[at:]
                data += b"x"
    return bytes(data)


FIRST_LINES = rb"(HTTP/1\.1 103 [^\n]*\r\n([^\r\n]+\r\n)*\r\n)?HTTP/1\.[01] [2-9]\d\d[ \r].*"


def difference(raw: bytes, ours: Read | str, theirs: Read | str) -> str:
    """Name what two readers do not agree on; "" where they do."""
    if isinstance(ours, str):
        if isinstance(theirs, str):
            return ""
        if ours == "not an HTTP/1 response" and not re.fullmatch(FIRST_LINES, raw, re.DOTALL):
            return "we refuse: a version or a status that does not exist"
        if ours == "an invalid trailer" or re.search(rb"\n0[^\n]*\r\n[^\r\n]*\n", raw):
            return "we refuse: a trailer that is written oddly"
        if re.search(rb"\n[0-9a-f]+[^\n]*\r[^\n]", raw):
            return "we refuse: a bare CR in a chunk's extension"
        return f"NO NAME: we refuse: {ours}"
    if isinstance(theirs, str):
        if re.search(rb"\n[0-9a-f]+[ \t]+;", raw) and "illegal chunk header" in theirs:
            return "we take: a blank before a chunk's extension"  # which RFC 9112 7.1.1 has
        if re.search(rb"oding:[ \t]*(,[ \t]*chunked|chunked[ \t]*,)[ \t]*\r?\n", raw):
            return "we take: an empty item of a list"  # which RFC 9110 5.6.1.2 asks for
        return "NO NAME: we keep" if ours.is_kept else "we take, and keep no connection"
    if (ours.status, ours.body) != (theirs.status, theirs.body):
        return "NO NAME: we read something else"
    if ours.is_kept and not theirs.is_kept:
        # Old proxies; h11 keeps no connection of HTTP/1.0, whatever it says.
        return "we keep: keep-alive of HTTP/1.0" if b"HTTP/1.0" in raw else "NO NAME: we keep"
    return ""


def test_what_two_readers_make_of_the_same_bytes() -> None:
    draw = random.Random(11)
    agreed: Counter[str] = Counter()
    for _ in range(10_000):
        raw = mutated(made_up(draw), draw)
        ours, theirs = by_us(raw), by_h11(raw)
        name = difference(raw, ours, theirs)
        assert not name.startswith("NO NAME"), (name, raw, ours, theirs)
        agreed[name or type(ours).__name__] += 1
    assert agreed["Read"] > 2_000 and agreed["str"] > 2_000, agreed
    assert len(agreed) >= 7, agreed  # all the differences have been seen
