"""FakeUpstream over real sockets, as clients see it."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from flask_llmchat.testing import (
    CUT,
    HOLD,
    FakeUpstream,
    ReceivedRequest,
    Reply,
    error_reply,
    event,
    sse_reply,
    text_reply,
    tool_reply,
)

CHAT = "/v1/chat/completions"
QUESTION = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    """Start an upstream that answers from its queue."""
    with FakeUpstream() as upstream:
        yield upstream


def connect(upstream: FakeUpstream) -> closing[http.client.HTTPConnection]:
    """Connect, and close when the block ends."""
    address = upstream.url.removeprefix("http://")
    return closing(http.client.HTTPConnection(address, timeout=5))


def post(client: http.client.HTTPConnection, path: str = CHAT) -> http.client.HTTPResponse:
    """Ask for a chat; the answer is not read yet."""
    client.request("POST", path, json.dumps(QUESTION), {"Authorization": "Bearer sk-secret"})
    return client.getresponse()


def ask(upstream: FakeUpstream, path: str = CHAT) -> tuple[int, bytes]:
    """Ask on a connection of its own, and read the whole answer."""
    with connect(upstream) as client:
        response = post(client, path)
        return response.status, response.read()


def events(body: bytes) -> list[object]:
    """Decode a stream; ``[DONE]`` stays a string."""
    lines = [part.removeprefix(b"data: ") for part in body.split(b"\n\n") if part]
    return [line.decode() if line == b"[DONE]" else json.loads(line) for line in lines]


def text(body: bytes) -> str:
    """Join the text of a stream's chunks."""
    chunks = [chunk for chunk in events(body) if isinstance(chunk, dict) and chunk["choices"]]
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)


def chunks_on_the_wire(upstream: FakeUpstream) -> list[bytes]:
    """Ask on a raw socket, and tell the HTTP chunks apart."""
    host, port = upstream.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as client:
        client.sendall(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" % CHAT.encode())
        chunks = []
        with client.makefile("rb") as stream:
            while stream.readline().strip():
                pass  # the headers
            while size := int(stream.readline(), 16):
                chunks.append(stream.read(size))
                assert stream.readline() == b"\r\n"
            assert stream.readline() == b"\r\n"
        return chunks


class TestReplies:
    """What the constructors build."""

    def test_a_text_is_a_role_chunk_pieces_a_finish_chunk_usage_and_done(
        self, upstream: FakeUpstream
    ) -> None:
        """In the order that OpenAI sends them."""
        upstream.add(text_reply("Bon", "jour é", model="gpt-4o"))
        status, body = ask(upstream)
        role, first, second, finish, usage, done = events(body)
        assert status == 200
        assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert first["choices"][0]["delta"] == {"content": "Bon"}
        assert second["choices"][0]["delta"] == {"content": "jour é"}
        assert second["choices"][0]["finish_reason"] is None
        assert finish["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
        assert usage["choices"] == []
        assert usage["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
        assert done == "[DONE]"
        assert {chunk["object"] for chunk in (role, usage)} == {"chat.completion.chunk"}
        assert {chunk["model"] for chunk in (role, first, finish, usage)} == {"gpt-4o"}

    def test_every_part_of_the_ending_can_be_left_out(self) -> None:
        """For streams as real providers break them."""
        reply = text_reply("Hel", finish_reason=None, usage=None, done=False, then=[0.5, CUT])
        assert len(reply.body) == 4
        assert reply.body[2:] == [0.5, CUT]

    def test_the_usage_can_be_given(self, upstream: FakeUpstream) -> None:
        """As the provider would count it."""
        upstream.add(text_reply(usage={"prompt_tokens": 7}, done=False))
        assert events(ask(upstream)[1])[-1]["usage"] == {"prompt_tokens": 7}

    def test_a_delay_stands_before_each_piece(self) -> None:
        """Not before the role chunk."""
        steps = text_reply("a", "b", delay=0.25).body
        assert [step for step in steps if not isinstance(step, tuple)] == [0.25, 0.25]
        assert steps[1] == steps[3] == 0.25

    def test_an_event_is_compact_and_keeps_its_letters(self) -> None:
        """A line separator within the text must not end the line."""
        assert event({"a": ["é", 1]}) == 'data: {"a":["é",1]}\n\n'.encode()
        assert event("x\n\u2028") == 'data: "x\\n\u2028"\n\n'.encode()

    def test_bytes_alone_are_no_body(self) -> None:
        """They would be read as seconds to sleep."""
        with pytest.raises(TypeError, match="list of bytes"):
            Reply(body=b"data")
        for step in ("text", ("text", "a")):
            with pytest.raises(TypeError, match="list of bytes"):
                Reply(body=[b"data", step])  # type: ignore[list-item]

    def test_what_cannot_be_written_comes_out_of_the_with_block(self) -> None:
        """As what respond raises does."""
        with pytest.raises(AttributeError), FakeUpstream() as upstream:
            upstream.add(text_reply("a", usage=7))  # type: ignore[arg-type]
            assert ask(upstream, "/v1/messages")[0] == 500


class TestAnswers:
    """Which answer a request gets, and how it looks on the wire."""

    def test_queued_replies_come_in_order_and_then_a_greeting(self, upstream: FakeUpstream) -> None:
        """One reply a request."""
        upstream.add(text_reply("one"), text_reply("two"))
        upstream.add(text_reply("three"))
        texts = [text(ask(upstream)[1]) for _ in range(4)]
        assert texts == ["one", "two", "three", "Hello from the fake upstream."]

    def test_respond_makes_the_reply_from_the_request(self) -> None:
        """It sees the body, the path and the headers."""

        def respond(request: ReceivedRequest) -> Reply:
            return text_reply(request.json["model"], " ", request.headers["authorization"])

        with FakeUpstream(respond) as upstream:
            assert text(ask(upstream)[1]) == "gpt-4o Bearer sk-secret"

    @pytest.mark.parametrize("failure", [ValueError, ConnectionError, AssertionError])
    def test_what_respond_raises_comes_out_of_the_with_block(
        self, failure: type[Exception]
    ) -> None:
        """An assertion in it must fail the test that it stands in."""

        def respond(request: ReceivedRequest) -> Reply:
            raise failure("from respond")

        with pytest.raises(failure, match="from respond"), FakeUpstream(respond) as upstream:
            status, body = ask(upstream)
            assert status == 500
            assert failure.__name__ in json.loads(body)["error"]["message"]

    def test_headers_of_a_stream(self, upstream: FakeUpstream) -> None:
        """200 is a chunked event stream unless it says otherwise."""
        upstream.add(text_reply("a"), Reply(headers={"content-type": "text/html"}, body=[b"<p>"]))
        with connect(upstream) as client:
            response = post(client)
            assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            assert response.headers["Transfer-Encoding"] == "chunked"
            response.read()
            response = post(client)
            assert response.headers.get_all("Content-Type") == ["text/html"]
            assert response.read() == b"<p>"

    def test_an_error_reply(self, upstream: FakeUpstream) -> None:
        """JSON with a length, and the connection stays open."""
        details = {"code": "rate_limit_exceeded", "type": "requests", "param": "model"}
        upstream.add(error_reply(429, "Slow down é", headers={"Retry-After": "3"}, **details))
        with connect(upstream) as client:
            response = post(client)
            body = response.read()
            assert response.status == 429
            assert response.headers["Retry-After"] == "3"
            assert response.headers["Content-Type"] == "application/json"
            assert response.headers["Content-Length"] == str(len(body))
            assert json.loads(body) == {"error": {"message": "Slow down é", **details}}
            post(client).read()
        assert upstream.connections == 1

    def test_an_error_can_hide_in_a_200(self, upstream: FakeUpstream) -> None:
        """It is still JSON."""
        upstream.add(error_reply(200, "No"))
        with connect(upstream) as client:
            response = post(client)
            assert response.headers["Content-Type"] == "application/json"
            assert json.loads(response.read())["error"]["message"] == "No"

    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
    def test_other_paths_are_404_in_the_shape_of_openai(
        self, upstream: FakeUpstream, method: str
    ) -> None:
        """And use up no queued reply."""
        upstream.add(text_reply("queued"))
        with connect(upstream) as client:
            client.request(method, "/v1/embeddings")
            response = client.getresponse()
            assert response.status == 404
            assert set(json.loads(response.read())["error"]) == {"message", "type", "param", "code"}
            assert text(post(client).read()) == "queued"

    def test_the_recorded_bytes_are_cut_every_so_many(self, upstream: FakeUpstream) -> None:
        """In the middle of a letter too."""
        data = "data: é\r\n\r\ndata: [DONE]\n\n".encode()
        upstream.add(sse_reply(data, split=7), sse_reply(data), sse_reply(b""))
        assert chunks_on_the_wire(upstream) == [data[:7], data[7:14], data[14:21], data[21:]]
        assert chunks_on_the_wire(upstream) == [data]
        assert chunks_on_the_wire(upstream) == []

    def test_the_recorded_bytes_are_cut_at_the_offsets(self, upstream: FakeUpstream) -> None:
        """Every offset, in turn, keeps every byte."""
        data = b"data: {}\n\n"
        for offset in range(len(data) + 1):
            upstream.add(sse_reply(data, split=[offset]))
            expected = [part for part in (data[:offset], data[offset:]) if part]
            assert chunks_on_the_wire(upstream) == expected
        upstream.add(sse_reply(data, split=[1, 1, 4], headers={"X-Request-Id": "r1"}))
        assert chunks_on_the_wire(upstream) == [data[:1], data[1:4], data[4:]]

    def test_empty_bytes_do_not_end_the_body(self, upstream: FakeUpstream) -> None:
        """An empty HTTP chunk would."""
        upstream.add(Reply(body=[b"a", b"", b"b"]))
        assert chunks_on_the_wire(upstream) == [b"a", b"b"]

    def test_a_chunk_arrives_while_the_next_one_sleeps(self, upstream: FakeUpstream) -> None:
        """Nothing is held back."""
        upstream.add(Reply(body=[b"first", 0.5, b"second"]))
        with connect(upstream) as client:
            start = time.monotonic()
            response = post(client)
            assert response.read1() == b"first"
            assert time.monotonic() - start < 0.4
            assert response.read() == b"second"
            assert 0.49 < time.monotonic() - start < 2


class TestRequests:
    """What is kept of a request."""

    def test_a_request_is_kept_as_it_came(self, upstream: FakeUpstream) -> None:
        """With the query apart, and headers in any case."""
        path = "/openai/deployments/mine/chat/completions"
        status, _ = ask(upstream, path + "?api-version=2024-10-21&empty=")
        (request,) = upstream.requests
        assert status == 200
        assert (request.method, request.path, request.connection) == ("POST", path, 1)
        assert request.query == {"api-version": "2024-10-21", "empty": ""}
        assert request.headers["AUTHORIZATION"] == "Bearer sk-secret"
        assert request.headers["x-missing"] is None
        assert request.json == json.loads(request.body) == QUESTION

    def test_a_chunked_body_is_put_together(self, upstream: FakeUpstream) -> None:
        """And the connection goes on after it."""
        with connect(upstream) as client:
            for _ in range(2):
                body = iter([b'{"model":', b'"gpt-4o"', b"}"])
                client.request("POST", CHAT, body, encode_chunked=True)
                client.getresponse().read()
        assert [request.body for request in upstream.requests] == [b'{"model":"gpt-4o"}'] * 2
        assert upstream.connections == 1

    def test_half_a_request_is_none(self, upstream: FakeUpstream) -> None:
        with socket.create_connection(("127.0.0.1", int(upstream.url.rpartition(":")[2]))) as half:
            half.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 9\r\n\r\n{}")
            upstream.wait_for(lambda u: u.open_connections == 1)
        upstream.wait_for(lambda u: u.open_connections == 0)
        assert upstream.requests == []

    def test_the_repr_hides_what_may_hold_a_key(self, upstream: FakeUpstream) -> None:
        """Test logs are public often enough."""
        ask(upstream, CHAT + "?key=sk-in-the-query")
        (request,) = upstream.requests
        assert repr(request) == f"ReceivedRequest(method='POST', path='{CHAT}', connection=1)"
        with pytest.raises(AssertionError) as caught:
            upstream.wait_for(lambda it: False, timeout=0.01)
        assert "sk-" not in str(caught.value)

    def test_what_is_no_http_ends_only_its_connection(self, upstream: FakeUpstream) -> None:
        """Quietly."""
        address = upstream.url.removeprefix("http://").split(":")
        with socket.create_connection((address[0], int(address[1])), timeout=5) as client:
            client.sendall(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n")
            assert client.recv(100) == b""
        assert ask(upstream)[0] == 200


class TestConnections:
    """Connections are reused, cut, held and counted."""

    def test_connections_are_kept_alive(self, upstream: FakeUpstream) -> None:
        """And numbered in the order they came."""
        with connect(upstream) as first, connect(upstream) as second:
            for client in [first] * 20 + [second]:
                post(client).read()
            assert upstream.connections == upstream.open_connections == 2
        assert [request.connection for request in upstream.requests] == [1] * 20 + [2]
        assert upstream.wait_for(lambda it: it.open_connections == 0)
        assert upstream.connections == 2
        assert upstream.gone == []

    def test_small_writes_do_not_wait_for_each_other(self, upstream: FakeUpstream) -> None:
        """Without TCP_NODELAY every answer may take 40 ms more."""
        with connect(upstream) as client:
            post(client).read()
            (accepted,) = upstream._clients.values()
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def test_a_cut_body_is_seen_as_incomplete(self, upstream: FakeUpstream) -> None:
        """What was sent before it arrives."""
        upstream.add(text_reply("Hel", finish_reason=None, usage=None, done=False, then=[CUT]))
        with connect(upstream) as client:
            with pytest.raises(http.client.IncompleteRead) as caught:
                post(client).read()
            assert text(caught.value.partial) == "Hel"
        assert ask(upstream)[0] == 200
        assert upstream.connections == 2
        assert upstream.gone == []

    @pytest.mark.parametrize("body", [[CUT], [b'{"err', CUT], [b'{"err', CUT, b'or"}']])
    def test_a_cut_error_is_seen_as_incomplete(
        self, upstream: FakeUpstream, body: list[object]
    ) -> None:
        """Its length promises more."""
        upstream.add(Reply(500, body=body))
        with connect(upstream) as client, pytest.raises(http.client.IncompleteRead):
            post(client).read()

    def test_a_held_answer_notices_that_the_client_closed(self, upstream: FakeUpstream) -> None:
        """Within 50 ms, or on a slow machine within a second."""
        upstream.add(text_reply("Hel", then=[HOLD]))
        with connect(upstream) as client:
            response = post(client)
            assert response.read1()
            upstream.wait_for(lambda it: it.streaming == 1)
            time.sleep(0.2)
            assert (upstream.streaming, upstream.open_connections, upstream.gone) == (1, 1, [])
            response.close()
            closing_at = time.monotonic()
        upstream.wait_for(lambda it: len(it.gone) == 1, timeout=1)
        assert 0 <= upstream.gone[0] - closing_at < 1
        upstream.wait_for(lambda it: it.streaming == it.open_connections == 0)

    def test_a_sleeping_answer_notices_that_the_client_closed(self, upstream: FakeUpstream) -> None:
        """Long before it would write again."""
        upstream.add(text_reply("Hel", "lo", delay=60))
        with connect(upstream) as client:
            post(client).close()
        upstream.wait_for(lambda it: len(it.gone) == 1, timeout=1)

    def test_a_writing_answer_notices_that_the_client_closed(self, upstream: FakeUpstream) -> None:
        """Also one that the client never read."""
        upstream.add(Reply(body=[b"x" * 1_000_000] * 100))
        with connect(upstream) as client:
            post(client).close()
        upstream.wait_for(lambda it: len(it.gone) == 1 and it.streaming == 0)

    def test_a_slow_reader_is_not_a_close(self, upstream: FakeUpstream) -> None:
        """Also after a sleep, which looks at the socket with a time-out."""
        upstream.add(Reply(body=[b"a", 0.02, b"x" * 20_000_000]))
        with connect(upstream) as client:
            response = post(client)
            assert response.read1() == b"a"
            time.sleep(0.3)
            assert len(response.read()) == 20_000_000
        assert upstream.gone == []

    def test_an_early_next_request_is_not_a_close(self, upstream: FakeUpstream) -> None:
        """Its bytes wait until the answer is complete."""
        upstream.add(text_reply("one", delay=0.2), text_reply("two"))
        address = upstream.url.removeprefix("http://").split(":")
        with socket.create_connection((address[0], int(address[1])), timeout=5) as client:
            head = b"POST %b HTTP/1.1\r\nContent-Length: 0\r\n" % CHAT.encode()
            client.sendall(head + b"\r\n")
            upstream.wait_for(lambda it: it.streaming == 1)
            client.sendall(head + b"Connection: close\r\n\r\n")
            with client.makefile("rb") as stream:
                answers = stream.read()
        assert answers.index(b"one") < answers.index(b"two")
        assert upstream.gone == []

    def test_many_at_once(self) -> None:
        """They do not wait for each other."""
        together = threading.Barrier(50)

        def respond(request: ReceivedRequest) -> Reply:
            together.wait(10)
            return text_reply("a", delay=0.1)

        with FakeUpstream(respond) as upstream:
            threads = [threading.Thread(target=ask, args=[upstream]) for _ in range(50)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            upstream.wait_for(lambda it: it.streaming == it.open_connections == 0)
            assert upstream.connections == len(upstream.requests) == 50


class TestLife:
    """Starting, stopping and starting again."""

    def test_stopping_cuts_held_answers_and_idle_connections(self) -> None:
        """At once, and counts no client as gone."""
        upstream = FakeUpstream().start()
        upstream.add(Reply(body=[b"a", HOLD]))
        with connect(upstream) as held, connect(upstream) as idle:
            response = post(held)
            post(idle)  # the greeting, never read
            start = time.monotonic()
            upstream.stop()
            assert time.monotonic() - start < 0.9
            with pytest.raises(http.client.IncompleteRead):
                response.read()
        assert upstream.streaming == upstream.open_connections == 0
        assert upstream.gone == []
        upstream.stop()
        with pytest.raises(ConnectionRefusedError):
            ask(upstream)

    def test_it_starts_again_on_its_port(self) -> None:
        """As a provider that comes back; starting twice is starting once."""
        upstream = FakeUpstream()
        with upstream:
            url = upstream.base_url
            assert url == upstream.url + "/v1"
            assert upstream.start() is upstream
            assert ask(upstream)[0] == 200
        with upstream:
            assert upstream.base_url == url
            assert ask(upstream)[0] == 200
        assert upstream.connections == 2

    def test_a_taken_port_is_an_error(self, upstream: FakeUpstream) -> None:
        """And leaves nothing open."""
        with pytest.raises(OSError), FakeUpstream(port=int(upstream.url.rpartition(":")[2])):
            pass

    @pytest.mark.slow
    def test_a_busy_respond_does_not_hold_the_stop_up(self) -> None:
        """For long."""
        release = threading.Event()

        def respond(request: ReceivedRequest) -> Reply:
            release.wait(20)
            return text_reply()

        with FakeUpstream(respond) as upstream, connect(upstream) as client:
            client.request("POST", CHAT, b"{}")
            upstream.wait_for(lambda it: bool(it.requests))
            start = time.monotonic()
            upstream.stop()
            assert time.monotonic() - start < 3
            release.set()
            upstream.wait_for(lambda it: it.open_connections == 0)

    def test_nothing_is_written_to_stderr(self, capfd: pytest.CaptureFixture[str]) -> None:
        """Whatever the clients do."""
        with FakeUpstream() as upstream:
            upstream.add(Reply(body=[b"x" * 100_000] * 50), text_reply("a", then=[CUT]))
            with connect(upstream) as client:
                post(client).close()
            with connect(upstream) as client, pytest.raises(http.client.IncompleteRead):
                post(client).read()
            ask(upstream, "/nowhere")
            upstream.wait_for(lambda it: it.open_connections == 0)
        assert capfd.readouterr() == ("", "")


def test_the_openai_sdk_streams_from_it(upstream: FakeUpstream) -> None:
    """Text, usage, errors and a cut, as the SDK tells them."""
    openai = pytest.importorskip("openai")
    upstream.add(text_reply("Good", " morning"), error_reply(401, "Wrong key", code="bad"))
    upstream.add(text_reply("Hel", finish_reason=None, usage=None, done=False, then=[CUT]))
    with openai.OpenAI(api_key="sk-x", base_url=upstream.base_url, max_retries=0) as client:
        create = client.chat.completions.create
        with create(**QUESTION) as stream:
            chunks = list(stream)
        texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
        assert "".join(piece or "" for piece in texts) == "Good morning"
        assert chunks[-2].choices[0].finish_reason == "stop"
        assert chunks[-1].usage.completion_tokens == 2
        with pytest.raises(openai.AuthenticationError) as caught:
            create(**QUESTION)
        assert caught.value.code == "bad"
        with (
            create(**QUESTION) as stream,
            pytest.raises((openai.APIConnectionError, httpx2.RemoteProtocolError)),
        ):
            list(stream)
    assert upstream.requests[0].headers["authorization"] == "Bearer sk-x"


GEVENT = """
{imports}
import http.client, time
with FakeUpstream() as upstream:
    upstream.add(Reply(body=[b"a", 0.2, b"b"]), Reply(body=[b"a", CUT]), Reply(body=[b"a", HOLD]))
    address = upstream.url.removeprefix("http://")
    client = http.client.HTTPConnection(address, timeout=5)
    client.request("POST", "/v1/chat/completions", b"{{}}")
    assert client.getresponse().read() == b"ab"
    client.request("POST", "/v1/chat/completions", b"{{}}")
    try:
        client.getresponse().read()
        raise SystemExit("the cut was not seen")
    except http.client.IncompleteRead:
        client.close()
    client.request("POST", "/v1/chat/completions", b"{{}}")
    response = client.getresponse()
    assert response.read1() == b"a"
    upstream.wait_for(lambda it: it.streaming == 1)
    response.close()
    client.close()
    closed = time.monotonic()
    upstream.wait_for(lambda it: len(it.gone) == 1, timeout=1)
    client.request("POST", "/v1/chat/completions", b"{{}}")
    client.getresponse().read(1)
    start = time.monotonic()
assert time.monotonic() - start < 0.5
assert upstream.connections == 3
client.close()
"""
PATCH = "from gevent import monkey; monkey.patch_all()"
LOAD = "from flask_llmchat.testing import CUT, HOLD, FakeUpstream, Reply"


@pytest.mark.slow
@pytest.mark.parametrize("imports", [f"{PATCH}\n{LOAD}", f"{LOAD}\n{PATCH}"], ids=["early", "late"])
def test_it_runs_where_gevent_patched_the_process(imports: str) -> None:
    """Before or after the import."""
    pytest.importorskip("gevent")
    script = GEVENT.format(imports=imports)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")


def calls_in(body: bytes) -> list[tuple[str, str, str]]:
    """Join the pieces of tool calls as OpenAI's SDK does: id, name, arguments."""
    calls: dict[int, list[str]] = {}
    for chunk in events(body):
        for choice in chunk["choices"] if isinstance(chunk, dict) else ():
            for piece in choice["delta"].get("tool_calls", ()):
                call = calls.setdefault(piece["index"], [piece.get("id"), "", ""])
                call[1] += piece["function"].get("name", "")
                call[2] += piece["function"].get("arguments", "")
    return [(call[0], call[1], call[2]) for call in calls.values()]


def test_tool_calls_are_streamed_in_pieces(upstream: FakeUpstream) -> None:
    upstream.add(tool_reply("f", {"city": "Ulm\u00e4"}, text="Let me see."))
    _, body = ask(upstream)
    assert calls_in(body) == [("call_1", "f", '{"city": "Ulm\u00e4"}')]
    assert text(body) == "Let me see."
    chunks = [chunk for chunk in events(body) if isinstance(chunk, dict)]
    assert [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]][-1] == "tool_calls"
    assert chunks[-1]["usage"]["total_tokens"] > 0
    assert events(body)[-1] == "[DONE]"


def test_several_calls_broken_ones_and_a_cut(upstream: FakeUpstream) -> None:
    upstream.add(
        tool_reply("f", None, ("g", '{"a'), ids=["a", "b"], finish_reason=None, usage=None),
        tool_reply("f", finish_reason=None, usage=None, done=False, then=[CUT]),
    )
    assert calls_in(ask(upstream)[1]) == [("a", "f", "{}"), ("b", "g", '{"a')]
    with pytest.raises(http.client.IncompleteRead):
        ask(upstream)


def test_openai_s_sdk_reads_a_tool_reply(upstream: FakeUpstream) -> None:
    openai = pytest.importorskip("openai")
    upstream.add(tool_reply("f", {"a": 1}, ("g", {})))
    with (
        openai.OpenAI(api_key="x", base_url=upstream.base_url, max_retries=0) as client,
        client.chat.completions.stream(model="m", messages=[]) as stream,
    ):
        message = stream.get_final_completion().choices[0].message
    assert [(c.id, c.function.name, c.function.arguments) for c in message.tool_calls] == [
        ("call_1", "f", '{"a": 1}'),
        ("call_2", "g", "{}"),
    ]
