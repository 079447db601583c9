"""The HTTP/1.1 parser of ``transport/http1.py`` beside httptools and h11: cost and strictness.

    pip install flask-llmchat httptools h11
    python benchmarks/http1.py

Prints the tables of ``http1.md``. Everything runs in one process, and the parsers take turns, so
look at the ratios: they hold on another machine, the microseconds do not.
"""

from __future__ import annotations

import contextlib
import platform
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import h11
import httptools

from flask_llmchat.transport.connection import Connection, Origin
from flask_llmchat.transport.http1 import HeadReader, Malformed, body_reader
from flask_llmchat.transport.response_body import ResponseBody
from flask_llmchat.transport.watchdog import CancelToken

EVENT = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}\n\n'
)
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"Date: Fri, 27 Nov 2026 10:00:00 GMT\r\n"
    b"Content-Type: text/event-stream; charset=utf-8\r\n"
    b"Transfer-Encoding: chunked\r\n"
    b"Connection: keep-alive\r\n"
    b"access-control-expose-headers: X-Request-ID\r\n"
    b"openai-organization: someone\r\n"
    b"openai-processing-ms: 212\r\n"
    b"openai-version: 2020-10-01\r\n"
    b"x-ratelimit-limit-requests: 10000\r\n"
    b"x-ratelimit-remaining-requests: 9999\r\n"
    b"x-request-id: req_0123456789abcdef\r\n"
    b"strict-transport-security: max-age=31536000; includeSubDomains; preload\r\n"
    b"cf-cache-status: DYNAMIC\r\n\r\n"
)
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

# The lenient modes of httptools that make it accept more of what ours accepts.
LENIENCIES = (
    "lenient_headers",
    "lenient_chunked_length",
    "lenient_optional_cr_before_lf",
    "lenient_spaces_after_chunk_size",
)


class Refused(Exception):
    """A parser refused a response."""


class Ours:
    """``http1.py``, head and body."""

    def __init__(self) -> None:
        self._head: HeadReader | None = HeadReader()
        self._frame: Any = None

    def feed(self, data: bytes) -> bytes:
        try:
            if self._head is not None:
                found = self._head.feed(data)
                if found is None:
                    return b""
                self._head, self._frame, data = None, body_reader(found[0]), found[1]
            return bytes(self._frame.feed(data)) if data else b""
        except Malformed as error:
            raise Refused(str(error)) from None

    def finish(self) -> str:
        if self._frame is None:
            raise Refused("the head does not end")
        try:
            if not self._frame.ended:
                self._frame.finish()
        except Malformed as error:
            raise Refused(str(error)) from None
        return "with more behind it" if self._frame.spare else ""


class Httptools:
    """What would stand in the place of ``http1.py``: one read gives one joined piece."""

    def __init__(self, *leniencies: str) -> None:
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append  # no method of ours in between
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(**dict.fromkeys(leniencies, True))
        self.fields: list[tuple[bytes, bytes]] = []
        self.lowered: dict[bytes, bytes] = {}
        self.status = 0
        self.ended = False
        self.spare = b""
        self._failed: Exception | None = None

    def on_message_begin(self) -> None:
        if self.ended:
            self.spare = b"?"  # how much, httptools does not say

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        if lower == b"content-type" and self.lowered.get(lower) == value:
            return
        self.fields.append((name, value))
        lowered = self.lowered
        lowered[lower] = lowered[lower] + b", " + value if lower in lowered else value

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_message_complete(self) -> None:
        if self.status < 200:
            self.fields.clear()
            self.lowered.clear()
            self.status = 0
        else:
            self.ended = True

    def feed(self, data: bytes) -> bytes:
        if self._failed is not None:
            raise Refused(str(self._failed))
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self.ended:
                self.spare = b"?"
            elif not self._pieces:
                raise Refused(str(error)) from None
            self._failed = error  # what stands before it comes first
        pieces = self._pieces
        if len(pieces) == 1:
            return pieces.pop()
        data = b"".join(pieces)
        pieces.clear()
        return data

    def finish(self) -> str:
        if self._failed is not None and not self.ended:
            raise Refused(str(self._failed))
        if not self.status:
            raise Refused("the head does not end")
        framed = b"content-length" in self.lowered or b"transfer-encoding" in self.lowered
        if not self.ended and framed:
            raise Refused("the body broke off")
        return "with more behind it" if self.spare else ""


class H11:
    """h11, as httpcore uses it."""

    def __init__(self) -> None:
        self._connection = h11.Connection(h11.CLIENT)
        self._connection.send(h11.Request(method="POST", target="/", headers=[("Host", "h")]))
        self._connection.send(h11.EndOfMessage())
        self._has_head = False

    def feed(self, data: bytes) -> bytes:
        self._connection.receive_data(data)
        pieces = []
        try:
            while (event := self._connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
                if isinstance(event, h11.Data):
                    pieces.append(bytes(event.data))
                elif isinstance(event, h11.Response):
                    self._has_head = True
                elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                    break
        except h11.RemoteProtocolError as error:
            if not pieces:
                raise Refused(str(error)) from None
        return b"".join(pieces)

    def finish(self) -> str:
        if self._connection.their_state is h11.SEND_BODY and self._has_head:
            self.feed(b"")
        if self._connection.their_state not in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED):
            raise Refused("the response broke off")
        return "with more behind it" if self._connection.trailing_data[0] else ""


PARSERS: dict[str, Callable[[], Any]] = {"ours": Ours, "httptools": Httptools, "h11": H11}


# Cost


def microseconds(runs: dict[str, Callable[[], int]], rounds: int = 15) -> dict[str, float]:
    """Run each in turn, round after round; return the median CPU time of one of its steps."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            started = time.thread_time()
            steps = run()
            taken[name].append((time.thread_time() - started) / steps * 1e6)
    return {name: statistics.median(each) for name, each in taken.items()}


def heads(make: Callable[[], Any]) -> Callable[[], int]:
    def run() -> int:
        for _ in range(300):
            make().feed(HEAD)
        return 300

    return run


def chunks(make: Callable[[], Any], reads: int, each: int) -> Callable[[], int]:
    def run() -> int:
        feed = make().feed
        feed(CHUNKED)
        data = CHUNK * each
        for _ in range(reads):
            feed(data)
        return reads * each

    return run


class _Frame:
    """A parser as :class:`ResponseBody` sees the one that it has."""

    def __init__(self, make: Callable[[], Any]) -> None:
        parser = make()
        parser.feed(CHUNKED)
        self.feed = parser.feed
        self.ended = False
        self.spare = b""


def reads(make: Callable[[], Any]) -> Callable[[], int]:
    """Read a body from a socket, an event at a time, through all of ``ResponseBody``."""

    def run() -> int:
        theirs, ours = socket.socketpair()
        with contextlib.closing(theirs), contextlib.closing(ours):
            found = HeadReader().feed(CHUNKED)
            assert found
            connection = Connection(Origin("http", "h", 80), ours)
            body = ResponseBody(connection, found[0], b"", 5.0, CancelToken(), lambda _: None)
            if make is not Ours:
                body._reader = _Frame(make)
            ours.settimeout(5.0)
            for _ in range(2000):
                theirs.sendall(CHUNK)
                assert body.read(5.0) == EVENT
        return 2000

    return run


COSTS: dict[str, Callable[[Callable[[], Any]], Callable[[], int]]] = {
    "a head of 13 fields": heads,
    "a chunk, one a read": lambda make: chunks(make, 2000, 1),
    "a chunk, 50 a read": lambda make: chunks(make, 60, 50),
    "`ResponseBody.read()` of a chunk, from a socket": reads,
}


def cost_rows() -> Iterator[str]:
    yield "| µs of CPU | ours | httptools | h11 | httptools : ours | h11 : ours |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for what, run_with in COSTS.items():
        taken = microseconds({name: run_with(make) for name, make in PARSERS.items()})
        ours, *others = taken.values()
        times = " | ".join(f"{each:.2f}" for each in taken.values())
        yield f"| {what} | {times} | {' | '.join(f'{other / ours:.2f}' for other in others)} |"


# What each accepts

TAKEN: dict[str, bytes] = {  # by ours: some server or proxy does it, or may
    "lines that end with LF alone": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "a status line without words": b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
    "the same in HTTP/1.0": b"HTTP/1.0 200 \r\nContent-Length: 2\r\n\r\nok",
    "a folded line": OK + b"X: a\r\n\t b\r\nContent-Length: 2\r\n\r\nok",
    "`103` and `100` before the response": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok",
    "`Content-Type` twice, the same": OK
    + b"Content-Type: a/b\r\n" * 2
    + b"Content-Length: 0\r\n\r\n",
    "`Content-Length` twice, the same": OK + b"Content-Length: 2\r\n" * 2 + b"\r\nok",
    "`Content-Length: 2, 2`": OK + b"Content-Length: 2, 2\r\n\r\nok",
    "`chunked` twice, in two lines": OK + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n",
    "`chunked, chunked`": OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "`identity, chunked`": OK + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
    "`Transfer-Encoding: identity`": OK + b"Transfer-Encoding: identity\r\n\r\nok",
    "chunked and a length": OK
    + b"Content-Length: 3\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "no length: until it is closed": OK + b"\r\nok",
    "`204` with a length": b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n",
    "space behind a chunk's size": CHUNKED + b"2 \r\nok\r\n0\t\r\n\r\n",
    "space before a chunk's extension": CHUNKED + b"2 ; a=b\r\nok\r\n0\r\n\r\n",
    "a chunk's extension of any bytes": CHUNKED + b"2;@\x01\xff\r\nok\r\n0\r\n\r\n",
    "a chunk's size with many zeros": CHUNKED + b"0000000000000000000002\r\nok\r\n0\r\n\r\n",
    "a trailer": CHUNKED + b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
    "a trailer that is no field": CHUNKED + b"2\r\nok\r\n0\r\nno colon\r\n\r\n",
    "a field value with bytes over 127": OK + b"X: \xe9\xff\r\nContent-Length: 0\r\n\r\n",
    "a field value with a control character": OK + b"X: a\x01b\r\nContent-Length: 0\r\n\r\n",
    "something behind the end": OK + b"Content-Length: 2\r\n\r\nokHTTP/1.1",
    "something behind the end, then closed": OK
    + b"Content-Length: 2\r\nConnection: close\r\n\r\nokmore",
}

REFUSED: dict[str, bytes] = {
    "HTTP/2": b"HTTP/2 200 OK\r\n\r\n",
    "status `20`": b"HTTP/1.1 20 OK\r\n\r\n",
    "status `2000`": b"HTTP/1.1 2000 OK\r\n\r\n",
    "status `101`": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "HTML": b"<html>\r\n\r\n",
    "SSH": b"SSH-2.0-x\r\n\r\n",
    "a line without a colon": OK + b"no colon\r\n\r\n",
    "a field without a name": OK + b": no name\r\n\r\n",
    "a folded line with none before": OK + b" folded: nothing\r\n\r\n",
    "`Content-Length : 5`": OK + b"Content-Length : 5\r\n\r\nhello",
    "a head of 70,000 bytes": OK + b"X: " + b"x" * 70_000 + b"\r\n\r\n",
    "`Content-Length: -1`": OK + b"Content-Length: -1\r\n\r\n",
    "`Content-Length: 1, 2`": OK + b"Content-Length: 1, 2\r\n\r\nok",
    "`Content-Length: 0x10`": OK + b"Content-Length: 0x10\r\n\r\n",
    "`Content-Length: ` and no number": OK + b"Content-Length: \r\n\r\n",
    "a length of 16 digits": OK + b"Content-Length: 9999999999999999\r\n\r\n",
    "`gzip, chunked`": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "`chunked, identity`": OK + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a chunk of size `x`": CHUNKED + b"x\r\n",
    "a chunk of size `-1`": CHUNKED + b"-1\r\n",
    "a chunk of size `+1`": CHUNKED + b"+1\r\na\r\n0\r\n\r\n",
    "a chunk of size `1_0`": CHUNKED + b"1_0\r\n",
    "a chunk of size `0x1`": CHUNKED + b"0x1\r\na\r\n0\r\n\r\n",
    "a space before a chunk's size": CHUNKED + b" 1\r\na\r\n0\r\n\r\n",
    "a chunk's line that ends with LF alone": CHUNKED + b"1\na\r\n0\r\n\r\n",
    "an empty line for a chunk's": CHUNKED + b"\r\n",
    "a chunk longer than its size": CHUNKED + b"1\r\nab\r\n0\r\n\r\n",
    "a chunk without its line end": CHUNKED + b"1\r\na0\r\n\r\n",
    "a chunk of 17 digits": CHUNKED + b"fffffffffffffffff\r\n",
    "a chunk's line of 5,000 bytes": CHUNKED + b"1;" + b"x" * 5000 + b"\r\na\r\n0\r\n\r\n",
    "a trailer of 70,000 bytes": CHUNKED + b"0\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    "a sized body that breaks off": OK + b"Content-Length: 5\r\n\r\nok",
    "a chunk that breaks off": CHUNKED + b"5\r\nok",
    "no last chunk": CHUNKED + b"2\r\nok\r\n",
    "a trailer that breaks off": CHUNKED + b"0\r\nX: y\r\n",
}


def verdict(parser: Any, raw: bytes) -> str:
    """Return what a parser makes of a response that arrives in chunks, as a long one does."""
    try:
        body = b"".join(parser.feed(raw[at : at + 4096]) for at in range(0, len(raw), 4096))
        more = parser.finish()
    except Refused:
        return "refuses"
    return f"accepts `{body.decode()}` {more}".strip().replace(" ``", "")


def case_rows(cases: dict[str, bytes], *, differences: bool) -> Iterator[str]:
    yield "| | ours | httptools | httptools, lenient | h11 |"
    yield "| --- | --- | --- | --- | --- |"
    for what, raw in cases.items():
        ours, *others = (verdict(make(), raw) for make in (Ours, Httptools, _lenient, H11))
        if not differences or set(others[:2]) != {ours}:
            marked = [other if other == ours else f"**{other}**" for other in others]
            yield f"| {what} | {ours} | {' | '.join(marked)} |"


def _lenient() -> Httptools:
    return Httptools(*LENIENCIES)


def main() -> None:
    installed = ", ".join(f"{name} {version(name)}" for name in ("httptools", "h11"))
    print(f"Python {platform.python_version()}, {installed}, {platform.machine()}\n")
    print("\n".join(cost_rows()), "\n")
    print("\n".join(case_rows(TAKEN, differences=False)), "\n")
    print(f"Of {len(REFUSED)} responses that ours refuses, httptools accepts these:\n")
    print("\n".join(case_rows(REFUSED, differences=True)))


if __name__ == "__main__":
    main()
