"""Responses that outlive their client: read again from anywhere in them, by whoever may."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from flask import request

from flask_llmchat import LLMChat
from flask_llmchat.testing import HOLD, FakeUpstream, text_reply
from flask_llmchat.transport.runtime import current_runtime
from tests.support.apps import finished, make_app, ui_body
from tests.support.redis_server import RedisServer
from tests.support.streams import (
    PATHS,
    URL,
    asking,
    frames_of,
    keeping,
    visited,
    without_ids,
)
from tests.support.tool_chats import wait_for

WORDS = [f"word-{n} " for n in range(1, 9)]


@pytest.mark.parametrize("has_left", [False, True])
def test_a_response_is_read_from_its_beginning_while_it_is_written_and_afterwards(
    has_left: bool, dialect: str, store: str, upstream: FakeUpstream
) -> None:
    app = keeping(upstream, store=store)
    upstream.add(*[text_reply(*WORDS, delay=0.03)] * 2)
    with visited(app) as client, finished(app) as done:
        undisturbed = client.post(dialect, "other").rest()
        writing = client.post(dialect, "c1")
        writing.until("word-2")
        if has_left:
            writing.leave()
        again = client.get("c1")
        assert (again.status, again.is_broken) == (200, False)
        assert without_ids(again.body) == without_ids(undisturbed.body)
        assert again.headers["Content-Type"] == undisturbed.headers["Content-Type"]
        assert again.stream == writing.stream
        assert has_left or writing.rest().body == again.body
        # Over for those who ask for the conversation, and kept under its own id.
        assert client.get("c1").status == 204
        assert client.get(str(writing.stream)).body == again.body
        result = done.wait(2)[1]
    assert (result.outcome, result.text) == ("ok", "".join(WORDS))
    assert (result.stream_id, result.conversation_id) == (writing.stream, "c1")


def test_another_worker_reads_the_same(
    dialect: str, redis: RedisServer, upstream: FakeUpstream
) -> None:
    apps = [keeping(upstream, store=redis.url) for _ in range(2)]
    # Larger than what is read at once.
    upstream.add(text_reply(*WORDS, "x" * 600_000, *WORDS, delay=0.02))
    query = "after" if dialect == "text" else "startIndex"
    with visited(apps[0]) as here, visited(apps[1]) as there, finished(apps[1]) as elsewhere:
        writing = here.post(dialect)
        writing.until("word-2")
        reader = there.open("GET", f"{URL}/c1/stream")
        writing.leave()
        read = reader.rest()
        again = here.get(str(writing.stream))
        assert read.body == again.body and again.body.endswith(there.get(str(writing.stream)).body)
        wait_for(lambda: there.get("c1").status == 204)
        (size, rest) = (1000, read.body[1000:])
        if dialect != "text":
            size, rest = 5, b"".join(read.events[5:])
        assert there.get(str(writing.stream), f"?{query}={size}").body == rest
        assert not elsewhere.results


def test_the_client_of_a_chat_gets_its_streams_id_and_numbers_of_its_events(
    dialect: str, store: str, upstream: FakeUpstream
) -> None:
    with visited(keeping(upstream, store=store)) as client:
        came = client.post(dialect).rest()
    assert len(str(came.stream)) == 32
    run_id = came.headers["x-workflow-run-id"]
    assert run_id == (came.stream if dialect == "ui" else None)
    if dialect == "text":
        assert came.body == b"Hello from the fake upstream."
        return
    ids = [event.partition(b"\n")[0] for event in came.events]
    assert ids == [b"id: %d" % number for number in range(1, len(ids) + 1)]
    assert all(event.count(b"\n") == 3 for event in came.events)


def test_a_result_has_the_id_that_pages_give_the_message(upstream: FakeUpstream) -> None:
    app = keeping(upstream)
    with visited(app) as client, finished(app) as done:
        frames = frames_of(client.post("ui").rest().body)
        client.post("text").rest()
        first, second = done.wait(2)
    assert frames[0] == {"type": "start", "messageId": first.message_id}
    assert second.message_id is None


def test_heartbeats_are_neither_counted_nor_kept(upstream: FakeUpstream) -> None:
    upstream.add(text_reply("One", "Two", delay=0.2))
    with visited(keeping(upstream, heartbeat=0.02)) as client:
        came = client.post("ui").rest()
        again = client.get(str(came.stream))
        assert b": keep-alive" in came.body and b": keep-alive" not in again.body
        assert came.events == again.events
        for n in range(len(came.events)):
            assert client.get(str(came.stream), f"?startIndex={n}").events == came.events[n:]


def test_a_reader_gets_heartbeats_of_its_own(store: str, upstream: FakeUpstream) -> None:
    upstream.add(text_reply("One", "Two", delay=0.4))
    with visited(keeping(upstream, store=store, heartbeat=0.05)) as client:
        client.post("ui").leave()
        assert b": keep-alive" in client.get("c1").body


def test_a_chat_goes_on_also_when_its_client_leaves_before_the_first_byte(
    dialect: str, upstream: FakeUpstream
) -> None:
    app = keeping(upstream)
    upstream.add(text_reply("Late", delay=2))
    with visited(app) as client, finished(app) as done:
        connection = client.send("POST", PATHS[dialect], asking(dialect))
        upstream.wait_for(lambda fake: fake.streaming == 1)
        connection.close()
        assert b"Late" in client.get("c1").body
    assert done.only.outcome == "ok"


# Which stream a name names.

NAMES = {
    "slash": "a/b/c",
    "line break": "a\nb/c\r\n",
    "slashes": "a//b",
    "percent": "100%25 of 50%",
    "unicode": "чат/日本 🎉",
    "dots": "a/../b",
    "looks like a route": "c/stream",
    "looks like stop": "c/stop",
    "question": "a?startIndex=3#x",
    "spaces": "  a b\t",
    "longest": "ü" * 256,
    "like a stream": "0" * 32,
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_any_conversation_is_found_by_its_id(name: str, store: str, upstream: FakeUpstream) -> None:
    upstream.add(text_reply("Half", then=[HOLD], finish_reason=None, done=False))
    app = keeping(upstream, store=store)
    with visited(app) as client, finished(app) as done:
        writing = client.post("ui", name)
        writing.until("Half")
        assert [one["chat"] for one in client.ask("GET", "/api/chat/streams").json] == [name]
        assert client.stop(name).json == {"success": True}
        assert b"Half" in writing.rest().body
        assert client.get(str(writing.stream)).status == 200
    assert (done.only.outcome, done.only.conversation_id) == ("stopped", name)


@pytest.mark.parametrize("name", ["models/a", "/a", "//a"])
def test_an_id_that_looks_like_another_path_is_reached_by_the_streams_id_alone(
    name: str, upstream: FakeUpstream
) -> None:
    upstream.add(*[text_reply("Half", then=[HOLD], finish_reason=None, done=False)] * 2)
    app = keeping(upstream)
    with visited(app) as client, finished(app) as done:
        named, other = client.post("ui", name), client.post("ui", "a")
        named.until("Half")
        other.until("Half")
        # Not that of another conversation, either.
        for came in (client.get(name), client.stop(name)):
            assert came.status in (404, 405) and "Location" not in came.headers
        assert client.stop(str(named.stream)).json == {"success": True}
        assert done.only.conversation_id == name
        client.stop("a")
        assert b"abort" in other.rest().body
        assert client.get(str(named.stream)).body == named.rest().body


@pytest.mark.parametrize("name", ["x" * 257, "x" * 100_000, "", None, 7, "\ud800"])
def test_a_chat_whose_id_is_none_can_be_resumed_by_its_streams_id(
    name: Any, upstream: FakeUpstream
) -> None:
    """A page may send any ``id``: it is never refused for that."""
    app = keeping(upstream)
    with visited(app) as client, finished(app) as done:
        came = client.open("POST", URL, {**ui_body(), "id": name}).rest()
        assert came.status == 200
        assert client.get(str(came.stream)).body == came.body
    assert done.only.conversation_id is None


@pytest.mark.parametrize("length", [257, 30_000])
def test_a_name_that_is_too_long_is_no_stream(length: int, upstream: FakeUpstream) -> None:
    with visited(keeping(upstream)) as client:
        assert client.get("x" * length).status == 204
        assert client.stop("x" * length).json == {"success": True}


def test_a_hundred_kilobytes_of_name_reach_nothing(upstream: FakeUpstream) -> None:
    client = keeping(upstream).test_client()
    assert client.get(f"{URL}/{'x' * 100_000}/stream").status_code == 204
    assert client.post(f"{URL}/{'x' * 100_000}/stop").json == {"success": True}


def test_the_newest_chat_of_a_conversation_is_found(store: str, upstream: FakeUpstream) -> None:
    half = text_reply("Half", then=[HOLD], finish_reason=None, done=False)
    upstream.add(half, half)
    with visited(keeping(upstream, store=store)) as client:
        first, second = client.post("ui"), client.post("ui")
        first.until("Half")
        second.until("Half")
        assert client.open("GET", f"{URL}/c1/stream").stream == second.stream
        assert client.open("GET", f"{URL}/{first.stream}/stream").stream == first.stream
        running = client.ask("GET", "/api/chat/streams").json
        assert [one["id"] for one in running] == [first.stream, second.stream]
        for one in (first, second):
            client.stop(str(one.stream))
            one.rest()


def test_another_provider_in_the_path_does_not_matter(upstream: FakeUpstream) -> None:
    with visited(keeping(upstream)) as client:
        came = client.post("ui").rest()
        assert client.ask("GET", f"/api/chat/groq/{came.stream}/stream").body == came.body


# Whose streams they are.


def test_a_stream_is_its_callers_alone(dialect: str, store: str, upstream: FakeUpstream) -> None:
    upstream.add(text_reply("Mine", then=[HOLD], finish_reason=None, done=False))
    app = keeping(upstream, store=store)
    with visited(app) as ada, finished(app) as done:
        writing = ada.post(dialect)
        writing.until("Mine")
        for user in ("bob", ""):
            other = ada.other(user)
            for name in ("c1", str(writing.stream)):
                came = other.get(name)
                assert (came.status, came.body) == (204, b"")
                assert came.headers["Cache-Control"] == "no-store"
                assert came.stream is None
                # As for one that is not there.
                assert other.stop(name).json == {"success": True}
            assert other.ask("GET", "/api/chat/streams").json == []
        assert not done.results
        assert ada.stop("c1").json == {"success": True}
        assert b"Mine" in writing.rest().body
    assert done.only.outcome == "stopped"


def test_two_callers_may_have_conversations_of_one_name(store: str, upstream: FakeUpstream) -> None:
    upstream.add(*(text_reply(name, delay=0.2) for name in ("Adas", "Bobs")))
    with visited(keeping(upstream, store=store)) as ada:
        bob = ada.other("bob")
        ada.post("ui").until("Adas")
        bob.post("ui").until("Bobs")
        assert b"Adas" in ada.get("c1").body or ada.get("c1").status == 204
        assert b"Adas" not in bob.get("c1").body


def test_nobodys_chat_ends_with_its_client(dialect: str, upstream: FakeUpstream) -> None:
    upstream.add(text_reply(*WORDS * 10, delay=0.02))
    app = keeping(upstream)
    with visited(app) as ada, finished(app) as done:
        nobody = ada.other("")
        writing = nobody.post(dialect, Idempotency_Key="k")
        assert writing.stream is None and b"id: 1\n" not in writing.until("word-2")
        assert nobody.get("c1").status == 204
        writing.leave()
        assert done.only.outcome == "cancelled"
        assert done.only.stream_id is None
        # Nothing is known of its key.
        assert nobody.post(dialect, Idempotency_Key="k").rest().status == 200
    assert len(upstream.requests) == 2


def test_a_missing_caller_loader_is_told_at_the_first_chat(
    upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(upstream, config={"LLMCHAT_RESUMABLE": True})
    client = app.test_client()
    for dialect, path in PATHS.items():
        response = client.post(path, json=asking(dialect))
        assert response.status_code == 500
        assert "An unexpected error occurred" in response.text
    assert "@llmchat.caller_loader" in caplog.text
    assert not upstream.requests
    assert client.get(f"{URL}/c1/stream").status_code == 204


def test_without_a_profile_nothing_is_told(upstream: FakeUpstream) -> None:
    app = keeping(upstream, LLMChat())
    app.extensions["llmchat"]["llmchat"].hooks.profile_loader = lambda: None
    client = app.test_client()
    for response in (
        client.get(f"{URL}/c1/stream"),
        client.post(f"{URL}/c1/stop"),
        client.get("/api/chat/streams"),
    ):
        assert (response.status_code, response.json["message"]) == (401, "Profile not found")


def test_decorators_run_on_the_routes_of_streams(upstream: FakeUpstream) -> None:
    seen: list[str] = []

    def seeing(view: Any) -> Any:
        def decorated(**values: Any) -> Any:
            seen.append(view.__name__)
            return view(**values)

        decorated.__name__ = view.__name__
        return decorated

    client = keeping(upstream, LLMChat(decorators=[seeing])).test_client()
    client.get(f"{URL}/c1/stream")
    client.post(f"{URL}/c1/stop")
    client.get("/api/chat/streams")
    assert seen == ["read_stream", "stop_stream", "running_streams"]


# Methods, and other providers.


def test_a_reader_whose_response_the_app_refuses_is_gone(
    upstream: FakeUpstream,
) -> None:
    upstream.add(text_reply("Half", then=[HOLD], finish_reason=None, done=False))
    app = keeping(upstream)

    @app.after_request
    def refuse(response: Any) -> Any:
        if request.method == "GET":
            raise RuntimeError("not now")
        return response

    store = app.extensions["llmchat"]["llmchat"].streams.store
    with visited(app) as client:
        writing = client.post("ui")
        writing.until("Half")
        assert client.get("c1").status == 500
        (writer,) = store._running.values()
        assert not writer.has_readers and len(current_runtime().slots) == 1
        client.stop("c1")
        writing.rest()


def test_head_reads_nothing(store: str, upstream: FakeUpstream) -> None:
    app = keeping(upstream, store=store, max_streams=2)
    upstream.add(text_reply("Half", then=[HOLD], finish_reason=None, done=False))
    with visited(app) as client:
        assert client.ask("HEAD", f"{URL}/c1/stream").status == 204
        writing = client.post("ui")
        writing.until("Half")
        for _ in range(3):
            head = client.ask("HEAD", f"{URL}/c1/stream")
            assert (head.status, head.stream, head.body) == (200, writing.stream, b"")
            wait_for(lambda: len(current_runtime().slots) == 1)
        assert client.ask("HEAD", "/api/chat/streams").status == 200
        client.stop("c1")
        writing.rest()


@pytest.mark.parametrize(
    ("path", "methods", "allowed"),
    [
        (f"{URL}/c1/stream", ("POST", "PUT", "PATCH", "DELETE"), "GET, HEAD, OPTIONS"),
        (f"{URL}/c1/stop", ("GET", "HEAD", "PUT", "PATCH", "DELETE"), "POST, OPTIONS"),
        ("/api/chat/streams", ("POST", "PUT", "PATCH", "DELETE"), "GET, HEAD, OPTIONS"),
    ],
)
def test_wrong_methods_are_refused(
    path: str, methods: tuple[str, ...], allowed: str, upstream: FakeUpstream
) -> None:
    client = keeping(upstream).test_client()
    for method in methods:
        response = client.open(path, method=method)
        assert (response.status_code, response.headers["Allow"]) == (405, allowed), method
        assert method == "HEAD" or "is not allowed here" in response.json["message"]
    response = client.options(path)
    assert (response.status_code, response.headers["Allow"]) == (204, allowed)


def test_a_provider_that_is_not_served_has_no_streams(upstream: FakeUpstream) -> None:
    client = keeping(upstream, providers=["openai"]).test_client()
    assert client.get("/api/chat/groq/c1/stream").status_code == 404
    assert client.post("/api/chat/nobody/c1/stop").status_code == 404


# Without the setting.


def test_without_the_setting_all_is_as_before(dialect: str, upstream: FakeUpstream) -> None:
    app = keeping(upstream, resumable=False)
    upstream.add(text_reply(*WORDS * 10, delay=0.02), text_reply("Hello"))
    with visited(app) as client, finished(app) as done:
        writing = client.post(dialect)
        assert b"id: 1\n" not in writing.until("word-2")
        for name in ("X-LLMChat-Stream", "x-workflow-run-id"):
            assert name not in writing.headers
        assert client.get("c1").status == 204
        assert client.stop("c1").status == 404
        assert client.ask("GET", "/api/chat/streams").status == 404
        writing.leave()
        assert done.only.outcome == "cancelled"
        assert done.only.stream_id is None
        for _ in range(2):
            client.post(dialect, Idempotency_Key="k").rest()
    assert len(upstream.requests) == 3


def test_without_the_setting_nothing_of_streams_is_loaded(upstream: FakeUpstream) -> None:
    program = f"""
import sys
from tests.support.apps import body, make_app
from flask_llmchat import LLMChat
llmchat = LLMChat()
llmchat.caller_loader(lambda profile: "ada")
llmchat.profile_loader(lambda: {{"openai_api_key": "sk-x"}})
config = {{"LLMCHAT_BASE_URLS": {{"openai": {upstream.base_url!r}}}}}
client = make_app(llmchat=llmchat, config=config).test_client()
assert client.post("{URL}", json=body()).status_code == 200
assert client.get("{URL}/c1/stream").status_code == 204
loaded = [name for name in sys.modules if name.startswith("flask_llmchat.streams")]
assert "redis" not in sys.modules and not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
