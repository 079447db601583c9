"""HTTP/1.1 on the wire: whatever the reads are, what is read is the same."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_llmchat.transport import http1
from flask_llmchat.transport.http1 import (
    ChunkedReader,
    HeadReader,
    Malformed,
    body_reader,
    write_head,
)


def head(*lines: bytes, end: bytes = b"\r\n") -> http1.ResponseHead:
    found = HeadReader().feed(end.join([*lines, b"", b""]))
    assert found and found[1] == b""
    return found[0]


def read(frame: http1.BodyReader, raw: bytes, cuts: list[int] | None = None) -> bytes:
    edges = [0, *sorted(cuts or []), len(raw)]
    pieces = [raw[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    return b"".join(frame.feed(piece) for piece in pieces if piece)


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_fields_of_a_head_are_parsed_and_joined(end: bytes) -> None:
    found = head(b"HTTP/1.1 429 Too Many", b"X-One:  1 ", b"x-one: 2", b"Empty:", end=end)
    assert (found.status, found.minor) == (429, 1)
    assert found.fields == [(b"X-One", b"1"), (b"x-one", b"2"), (b"Empty", b"")]
    assert found.by_name == {b"x-one": b"1, 2", b"empty": b""}


def test_a_head_without_words_or_fields() -> None:
    assert head(b"HTTP/1.1 200").status == head(b"HTTP/1.0 200 ").status == 200


def test_a_folded_line_belongs_to_the_one_before() -> None:
    assert head(b"HTTP/1.1 200 OK", b"X: a", b"\t b").fields == [(b"X", b"a b")]


def test_a_head_comes_in_any_pieces_and_early_ones_are_passed_over() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    raw = early + b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
    for end in range(len(raw)):
        assert HeadReader().feed(raw[:end]) is None
    found = HeadReader().feed(raw + b"body")
    assert found and found[0].status == 200 and found[1] == b"body"


def test_a_head_or_a_trailer_byte_by_byte_costs_no_more_than_its_length() -> None:
    raw = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX: %b\r\n\r\n" % (b"a" * 60_000)
    reader, frame = HeadReader(), ChunkedReader()
    started = time.process_time()
    found = [reader.feed(raw[at : at + 1]) for at in range(len(raw))]
    assert found[-1] and len(found[-1][0].fields[0][1]) == 60_000
    assert not any(found[:-1])
    trailer = b"0\r\nX: %b\r\n\r\n" % (b"a" * 60_000)
    for at in range(len(trailer)):
        assert not frame.ended
        assert frame.feed(trailer[at : at + 1]) == b""
    assert frame.ended and frame.spare == b""
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/2 200 OK",
        b"HTTP/1.2 200 OK",
        b"HTTP/1.1 000 OK",
        b"HTTP/1.1 099 OK",
        b"HTTP/1.1 200 O\rK",
        b"HTTP/1.1 200 OK\r\nX: a\rb",
        b"HTTP/1.1 200 OK\r\nX: a\0b",
        b"HTTP/1.1 200 OK\r\nContent-Length: \v5",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 101 Switching Protocols",
        b"<html>",
        b"SSH-2.0-x",
        b"HTTP/1.1 200 OK\r\nno colon",
        b"HTTP/1.1 200 OK\r\n: no name",
        b"HTTP/1.1 200 OK\r\n folded: nothing",
        b"HTTP/1.1 200 OK\r\nContent-Length : 5",
    ],
)
def test_an_invalid_head_is_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        HeadReader().feed(raw + b"\r\n\r\n")


@pytest.mark.parametrize("raw", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 100 C\r\n\r\n" * 4000])
def test_a_head_that_does_not_end(raw: bytes) -> None:
    with pytest.raises(Malformed):
        HeadReader().feed(raw + b"x" * 70_000)


@pytest.mark.parametrize(
    ("lines", "keeps"),
    [
        ([b"HTTP/1.1 200 OK"], True),
        ([b"HTTP/1.1 200 OK", b"Connection: Close"], False),
        ([b"HTTP/1.1 200 OK", b"Connection: keep-alive", b"Connection: close"], False),
        ([b"HTTP/1.0 200 OK"], False),
        ([b"HTTP/1.0 200 OK", b"Connection: Keep-Alive"], True),
        ([b"HTTP/1.0 200 OK", b"Connection: keep-alive, close"], False),
        ([b"HTTP/1.0 200 OK", b"Connection: keep-alive", b"Transfer-Encoding: chunked"], False),
        ([b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked"], True),
        ([b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked", b"Content-Length: 5"], False),
        ([b"HTTP/1.1 204 No Content", b"Content-Length: 5"], False),
        ([b"HTTP/1.1 200 OK", b"Proxy-Connection: close"], False),
        ([b"HTTP/1.1 200 OK", b"Connection: x-closed"], True),
        ([b"HTTP/1.1 200 OK", b"X: a", b" folded"], False),
        ([b"", b"HTTP/1.1 200 OK"], False),
    ],
)
def test_who_keeps_connections(lines: list[bytes], keeps: bool) -> None:
    assert head(*lines).keeps_alive is keeps


def test_who_ends_lines_with_lf_alone_is_understood_and_not_kept() -> None:
    assert not head(b"HTTP/1.1 200 OK", b"A: b", end=b"\n").keeps_alive
    found = HeadReader().feed(b"HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n")
    assert found and not found[0].keeps_alive


def test_empty_lines_before_a_head_come_in_any_pieces() -> None:
    raw = b"\r\n\r\nHTTP/1.1 103 Early\r\n\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n"
    reader = HeadReader()
    found = [reader.feed(raw[at : at + 1]) for at in range(len(raw))]
    assert found[-1] and not found[-1][0].keeps_alive and not any(found[:-1])
    with pytest.raises(Malformed):
        for _ in range(2):
            HeadReader().feed(b"\r\n" * 40_000)
    body = HeadReader().feed(b"HTTP/1.1 200 OK\r\n\r\n\r\n")
    assert body and body[1] == b"\r\n"


def test_a_size_of_very_many_digits_costs_no_square() -> None:
    wire = b"0" * 250 + b"1\r\na"
    started = time.process_time()
    for _ in range(40):
        frame = ChunkedReader()
        with pytest.raises(Malformed):
            for at in range(4_000):
                frame.feed(wire[at : at + 1] or b"0")
    assert time.process_time() - started < 1


OK = b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length: -1",
        b"Content-Length: 1, 2",
        b"Content-Length: 0x10",
        b"Content-Length: ",
        b"Content-Length: 9999999999999999",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, identity",
    ],
)
def test_a_body_must_say_how_long_it_is_and_say_one_thing(line: bytes) -> None:
    with pytest.raises(Malformed):
        body_reader(head(OK, line))


def test_the_kinds_of_bodies() -> None:
    sized = body_reader(head(OK, b"Content-Length: 3", b"content-length: 3"))
    assert read(sized, b"abc") == b"abc" and sized.ended
    both = body_reader(head(OK, b"Content-Length: 3", b"Transfer-Encoding: Chunked"))
    assert isinstance(both, ChunkedReader)
    rest = body_reader(head(OK))
    assert read(rest, b"abc") == b"abc" and not rest.ended
    assert rest.finish() == b"" and rest.ended
    for status in (b"204 No Content", b"304 Not Modified"):
        assert body_reader(head(b"HTTP/1.1 " + status)).ended
    assert body_reader(head(OK, b"Content-Length: 0")).ended


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    st.sampled_from([b"", b";ext=1", b" ; a=b", b"\t"]),
    st.sampled_from([b"", b"X-Sum: 1\r\n", b"A: b\r\nC: d\r\n"]),
    st.binary(max_size=5),
    st.lists(st.integers(0, 300), max_size=20),
)
def test_chunks_come_in_any_pieces(
    pieces: list[bytes], extension: bytes, trailer: bytes, spare: bytes, cuts: list[int]
) -> None:
    chunks = [b"%X%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces]
    raw = b"".join(chunks) + b"0%b\r\n%b\r\n" % (extension, trailer)
    frame = ChunkedReader()
    assert read(frame, raw, [cut for cut in cuts if cut <= len(raw)]) == b"".join(pieces)
    assert frame.ended and frame.spare == b""
    frame = ChunkedReader()
    assert read(frame, raw + spare) == b"".join(pieces)
    assert frame.ended and frame.spare == spare


def test_many_chunks_of_one_read_are_one_piece() -> None:
    assert ChunkedReader().feed(b"1\r\na\r\n2\r\nbc\r\n3\r\nde") == b"abcde"


@pytest.mark.parametrize(
    "raw",
    [
        b"x\r\n",
        b"-1\r\n",
        b"+1\r\na",
        b"1_0\r\n",
        b"0x1\r\na",
        b" 1\r\na",
        b"1\na",
        b"\r\n",
        b"1\r\nab\r\n",
        b"1\r\na0\r\n\r\n",
        b"fffffffffffffffff\r\n",
        b"1;" + b"x" * 5000,
    ],
)
def test_an_invalid_chunk_is_refused(raw: bytes) -> None:
    frame = ChunkedReader()
    with pytest.raises(Malformed):
        for _ in range(2):  # what stands before it comes first
            frame.feed(raw)
            raw = b"x"


@pytest.mark.parametrize("line", [b"no colon", b": x", b"A: b\rC: d", b"A: \0", b"A: b\nC: d"])
def test_an_invalid_trailer_is_refused(line: bytes) -> None:
    with pytest.raises(Malformed):
        ChunkedReader().feed(b"0\r\n" + line + b"\r\n\r\n")


def test_a_trailer_that_does_not_end() -> None:
    frame = ChunkedReader()
    with pytest.raises(Malformed):
        for _ in range(20):
            frame.feed(b"0\r\n" if frame._trailer is None else b"X: y\r\n" * 1000)


@pytest.mark.parametrize("raw", [b"", b"5", b"5\r\nab", b"2\r\nab", b"0\r\n", b"0\r\nX: y\r\n"])
def test_a_body_in_chunks_that_breaks_off(raw: bytes) -> None:
    frame = ChunkedReader()
    read(frame, raw)
    assert not frame.ended
    with pytest.raises(Malformed):
        frame.finish()


def test_a_head_is_written() -> None:
    written = write_head("POST", b"/v1?a=b", [(b"Host", b"h"), (b"X", b"\xc3\xa9")])
    assert written == b"POST /v1?a=b HTTP/1.1\r\nHost: h\r\nX: \xc3\xa9\r\n\r\n"


@pytest.mark.parametrize("bad", [b"a\r\nX-Evil: 1", b"a\nb", b"a\rb", b"a\0b"])
def test_no_header_begins_another(bad: bytes) -> None:
    for fields in ([(b"X", bad)], [(bad, b"x")]):
        with pytest.raises(ValueError, match="^a header holds a line break$"):
            write_head("POST", b"/", fields)
    with pytest.raises(ValueError):
        write_head("POST", b"/" + bad, [])
