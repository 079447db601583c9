"""Streams through the servers people use: what the test client cannot show."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from flask_llmchat.testing import (
    CUT,
    HOLD,
    FakeUpstream,
    ReceivedRequest,
    Reply,
    error_reply,
    event,
    text_reply,
)
from tests.support.apps import body
from tests.support.server_processes import SERVERS, Server, started


@pytest.fixture(scope="module", params=SERVERS)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One server for all the tests: they start slowly, and are not meant to start often."""
    with started(request.param, tmp_path_factory.mktemp(request.param)) as running:
        yield running


@pytest.fixture
def server(shared: Server) -> Iterator[Server]:
    """The shared server as if it were new: with a provider, results and a log of its own."""
    for written in (shared.results, shared.beginnings):
        written.unlink(missing_ok=True)
    os.truncate(shared.log, 0)
    with FakeUpstream(port=shared.upstream._address[1]) as upstream:
        shared.upstream = upstream
        yield shared
    # What this test's chats have still to tell must not be told to the next.
    shared.ended(shared.begun())


def test_pieces_come_as_they_are_written(server: Server) -> None:
    server.upstream.add(text_reply("one ", "twö ", "three", delay=0.25))
    times, pieces = [], []
    with server.posted() as connection, connection.getresponse() as response:
        while piece := response.read1():
            pieces.append(piece.decode())
            times.append(time.monotonic())
    assert pieces == ["one ", "twö ", "three"]
    assert times[1] - times[0] > 0.15 and times[2] - times[1] > 0.15
    assert [e["outcome"] for e in server.ended()] == ["ok"]


def test_a_cut_answer_never_looks_complete(server: Server) -> None:
    server.upstream.add(text_reply("Hel", finish_reason=None, usage=None, done=False, then=[CUT]))
    with server.posted() as connection, connection.getresponse() as response:
        assert response.status == 200
        with pytest.raises(http.client.IncompleteRead):
            response.read()
    assert server.ended() == [{"outcome": "truncated", "text": "Hel"}]


def test_an_error_before_the_first_byte_has_its_status(server: Server) -> None:
    server.upstream.add(error_reply(429, "Slow down", headers={"Retry-After": "9"}))
    with server.posted() as connection, connection.getresponse() as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "9")
        assert json.loads(response.read())["message"] == "Slow down"


def seconds_until_closed(server: Server, left: float) -> float:
    """Return how long after the client left the upstream's connection was closed."""
    server.upstream.wait_for(lambda u: bool(u.gone))
    return server.upstream.gone[0] - left


def test_a_client_that_leaves_closes_the_upstream(server: Server) -> None:
    server.upstream.add(text_reply(*["word "] * 200, delay=0.05))
    with server.posted() as connection, connection.getresponse() as response:
        assert response.read1().startswith(b"word")
    assert seconds_until_closed(server, time.monotonic()) < 1
    assert [e["outcome"] for e in server.ended()] == ["cancelled"]


def test_a_client_that_leaves_a_silent_stream_closes_the_upstream(server: Server) -> None:
    text = event({"choices": [{"index": 0, "delta": {"content": "Hm"}}]})
    server.upstream.add(Reply(body=[text, HOLD]))
    with server.posted() as connection, connection.getresponse() as response:
        assert response.read1() == b"Hm"
    assert seconds_until_closed(server, time.monotonic()) < 1
    assert [e["outcome"] for e in server.ended()] == ["cancelled"]
    assert "Traceback" not in server.log.read_text()


def test_a_client_that_leaves_before_the_first_byte_closes_the_upstream(server: Server) -> None:
    server.upstream.add(Reply(body=[b": thinking\n\n", HOLD]))
    with server.posted():
        server.upstream.wait_for(lambda u: u.streaming == 1)
    assert seconds_until_closed(server, time.monotonic()) < 1
    assert [e["outcome"] for e in server.ended()] == ["cancelled"]


def test_twenty_chats_in_a_row_open_one_connection(server: Server) -> None:
    for _ in range(20):
        with server.posted() as connection, connection.getresponse() as response:
            assert response.read() == b"Hello from the fake upstream."
    assert [e["outcome"] for e in server.ended(20)] == ["ok"] * 20
    assert server.upstream.connections == 1


def test_a_client_that_leaves_before_the_headers_is_noticed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(request: ReceivedRequest) -> Reply:
        time.sleep(4)
        return text_reply("late")

    monkeypatch.setattr(server.upstream, "_respond", late)
    with server.posted():
        server.upstream.wait_for(lambda u: len(u.requests) == 1)
    left = time.monotonic()
    assert [e["outcome"] for e in server.ended()] == ["cancelled"]
    assert time.monotonic() - left < 1.5


def test_a_flood_stops_nobody_else(server: Server) -> None:
    flood = b": nothing\n\n" * 20_000
    server.upstream.add(Reply(body=[flood] * 300))
    with server.posted():
        server.upstream.wait_for(lambda u: u.streaming == 1)
        slowest = 0.0
        for _ in range(10):
            started = time.monotonic()
            with closing(server.connect()) as connection:
                connection.request("GET", "/health")
                connection.getresponse().read()
            slowest = max(slowest, time.monotonic() - started)
            time.sleep(0.05)
    assert slowest < 2  # the whole of the flood takes several seconds


@pytest.mark.parametrize("size", [17 * 2**20, 15 * 2**20])
def test_a_chunked_body_has_the_same_limit(server: Server, size: int) -> None:
    content = json.dumps(body()).encode()
    pieces = [content, *[b" " * 2**16] * (size // 2**16)]
    with closing(server.connect()) as connection:
        connection.request("POST", "/api/chat/openai", iter(pieces), encode_chunked=True)
        with connection.getresponse() as response:
            assert response.status == (413 if size > 16 * 2**20 else 200)
            response.read()


@pytest.mark.parametrize("headers", [{}, {"X-Protected": "1"}], ids=["plain", "protected"])
@pytest.mark.parametrize("megabytes", [17, 60])
def test_a_large_body_is_refused_in_words(
    server: Server, megabytes: int, headers: dict[str, str]
) -> None:
    """At once, and it is kept nowhere, also where the host looks into every body for a token."""
    before = server.most_memory()
    with (
        server.posted(b" " * (megabytes * 2**20), **headers) as connection,
        connection.getresponse() as response,
    ):
        assert response.status == 413
        assert json.loads(response.read())["message"].startswith("The request body is too large")
    assert server.most_memory() < before + 10 * 2**20


@pytest.mark.parametrize("name", SERVERS)
def test_many_first_chats_at_once(name: str, tmp_path: Path) -> None:
    def chat(_: int) -> bytes:
        with server.posted() as connection, connection.getresponse() as response:
            return response.read()

    with started(name, tmp_path) as server, server.upstream, ThreadPoolExecutor(6) as pool:
        server.upstream.add(*[text_reply("Hi", delay=0.5)] * 6)
        assert list(pool.map(chat, range(6))) == [b"Hi"] * 6


def test_the_host_answers_while_chats_are_silent(server: Server) -> None:
    server.upstream.add(*[Reply(body=[HOLD])] * 3)
    with server.posted(), server.posted(), server.posted():
        server.upstream.wait_for(lambda u: u.streaming == 3, timeout=20)  # their first chats
        with closing(server.connect()) as connection:
            connection.request("GET", "/health")
            assert connection.getresponse().read() == b"ok"


def test_streams_never_take_the_last_threads(tmp_path: Path) -> None:
    with started("gthread", tmp_path) as server, server.upstream, ExitStack() as chats:
        server.upstream.add(*[Reply(body=[HOLD])] * 7, text_reply("Hi"))
        for _ in range(7):
            chats.enter_context(server.posted())
        server.upstream.wait_for(lambda u: u.streaming == 7, timeout=20)
        with server.posted() as connection, connection.getresponse() as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "2")
        with closing(server.connect()) as connection:
            connection.request("GET", "/health")
            assert connection.getresponse().read() == b"ok"
        chats.close()
        server.ended(7)
        with server.posted() as connection, connection.getresponse() as response:
            assert response.read() == b"Hi"


@pytest.mark.parametrize("name", ["gthread", "gevent"])
def test_a_server_that_stops_lets_answers_end_and_tells_the_rest(name: str, tmp_path: Path) -> None:
    url = "/api/chat/openai/chat/completions"
    asked = json.dumps({"model": "m", "stream": True, "messages": body()["messages"]})
    grace = {"GUNICORN_CMD_ARGS": "--graceful-timeout 4"}
    with started(name, tmp_path, **grace) as server, server.upstream:
        words = [f"word{i} " for i in range(10)]
        begun = text_reply("Hi", finish_reason=None, usage=None, done=False)
        server.upstream.add(
            text_reply(*words, delay=0.15), begun_and_held(begun), begun_and_held(begun)
        )
        with ExitStack() as stack:
            answers = []
            for content in (None, asked, None):
                connection = stack.enter_context(closing(server.connect()))
                path = url if content else "/api/chat/openai"
                connection.request("POST", path, content or json.dumps(body()))
                answers.append(connection.getresponse())  # each gets the reply that is its own
            assert [answer.status for answer in answers] == [200] * 3
            server.stop()
            stopped = time.monotonic()
            assert answers[0].read() == "".join(words).encode()
            assert b'"message":"The server is being restarted.' in answers[1].read()
            with pytest.raises(http.client.IncompleteRead):
                answers[2].read()
            assert 1 < time.monotonic() - stopped < 4
        assert sorted(end["outcome"] for end in server.ended(3)) == ["cancelled", "cancelled", "ok"]


def begun_and_held(begun: Reply) -> Reply:
    return Reply(body=[*begun.body, HOLD])
