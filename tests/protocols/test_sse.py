"""The event reader: whatever the pieces are, the events are the same."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_llmchat.protocols import sse
from flask_llmchat.protocols.sse import EventTooLarge, SSEDecoder


def read(raw: bytes, cuts: list[int] | None = None) -> list[tuple[str, bytes]]:
    reader = SSEDecoder()
    edges = [0, *sorted(cuts or []), len(raw)]
    pieces = [raw[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    return [event for piece in pieces for event in reader.feed(piece)] + reader.finish()


@pytest.mark.parametrize(
    ("raw", "events"),
    [
        (b"", []),
        (b"data: a\n\n", [("", b"a")]),
        (b"data:a\n\n", [("", b"a")]),
        (b"data:  a\n\n", [("", b" a")]),
        (b"data: a\ndata: b\n\n", [("", b"a\nb")]),
        (b"data\n\n", [("", b"")]),
        (b"event: error\ndata: a\n\n", [("error", b"a")]),
        (b"id: 1\nretry: 5\nother: x\ndata: a\n\n", [("", b"a")]),
        (b": comment\n\ndata: a\n\n: more\n\n", [("", b"a")]),
        (b"event: ping\n\n", []),
        (b"data: a\n\ndata: b", [("", b"a"), ("", b"b")]),
        (b"\n\n\n\ndata: a\n\n\n\n", [("", b"a")]),
        (b"   data: a\n\n", [("", b"a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [("", b"a")]),
        (b'error: {"a": 1}\n\n', [("error", b'{"a": 1}')]),
        (b'{"error": "x"}\n\n', [("", b'{"error": "x"}')]),
        ("data: \u2028é😀\n\n".encode(), [("", "\u2028é😀".encode())]),
        (b"<html>\n<body>\n\n", []),
    ],
)
def test_events_are_the_same_however_lines_end_and_bytes_are_cut(
    raw: bytes, events: list[tuple[str, bytes]]
) -> None:
    for line_end in (b"\n", b"\r\n", b"\r"):
        wire = raw.replace(b"\n", line_end)
        assert read(wire) == events
        assert read(wire, list(range(len(wire)))) == events


LINES = st.lists(
    st.sampled_from(
        ["", "", "data: a", "data: é😀\u2028", ":", "event: error", "id: 7", "data", "error: x"]
    ),
    max_size=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(LINES, st.sampled_from(["\n", "\r\n", "\r"]), st.lists(st.integers(0, 200), max_size=30))
def test_cuts_and_line_ends_change_nothing(lines: list[str], end: str, cuts: list[int]) -> None:
    expected = read("".join(line + "\n" for line in lines).encode())
    raw = "".join(line + end for line in lines).encode()
    assert read(raw, [cut for cut in cuts if cut <= len(raw)]) == expected


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=100), st.lists(st.integers(0, 100), max_size=30))
def test_no_bytes_at_all_upset_it(raw: bytes, cuts: list[int]) -> None:
    assert read(raw, [cut for cut in cuts if cut <= len(raw)]) == read(raw)


def test_an_event_that_does_not_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", 1000)
    reader = SSEDecoder()
    with pytest.raises(EventTooLarge):
        for _ in range(11):
            reader.feed(b"x" * 100)


def test_a_large_event_in_small_pieces_costs_no_square(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = SSEDecoder()
    reader.feed(b"data: ")
    for _ in range(8_000):  # 8 MB: searched anew for each piece it would take minutes
        assert reader.feed(b"x" * 1000) == []
    ((_, data),) = reader.feed(b"\n\n")
    assert len(data) == 8_000_000
