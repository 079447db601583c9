"""Requests that are sent twice, with an ``Idempotency-Key``: they are carried out once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from flask_llmchat import ChatError, ChatRequest, LLMChat
from flask_llmchat.testing import HOLD, FakeUpstream, error_reply, text_reply
from tests.support.apps import asked, finished, ui_body
from tests.support.redis_server import RedisServer
from tests.support.streams import (
    PATHS,
    URL,
    asking,
    frames_of,
    keeping,
    visited,
)
from tests.support.tool_chats import wait_for

KEY = {"Idempotency_Key": "key-1"}
HALF = text_reply("Half", then=[HOLD], finish_reason=None, done=False)


def test_the_same_request_gets_the_response_of_the_first(
    dialect: str, store: str, upstream: FakeUpstream
) -> None:
    upstream.add(text_reply("One ", "two ", "three", delay=0.1))
    app = keeping(upstream, store=store)
    with visited(app) as client, finished(app) as done:
        first = client.post(dialect, **KEY)
        first.until("One")
        running = client.post(dialect, **KEY).rest()
        over = client.post(dialect, **KEY).rest()
        whole = first.rest()
        assert b"three" in whole.body
        for came in (running, over):
            assert (came.status, came.body, came.stream) == (200, whole.body, whole.stream)
            for name in ("Content-Type", "x-workflow-run-id"):
                assert came.headers[name] == whole.headers[name]
        assert len(done.wait(1)) == 1
    assert len(upstream.requests) == 1


def test_two_that_come_at_the_same_moment_are_one_chat(store: str) -> None:
    with FakeUpstream(lambda request: text_reply("One ", "two", delay=0.1)) as upstream:
        # Two workers, where they can share a store.
        apps = [keeping(upstream, store=store) for _ in range(1 if store == "memory://" else 2)]
        together = threading.Barrier(8)
        told: list[Any] = []

        def send(client: Any) -> None:
            together.wait(10)
            told.append(client.post("ui", **KEY).rest())

        with visited(apps[0]) as one, visited(apps[-1]) as other:
            threads = [threading.Thread(target=send, args=(client,)) for client in [one, other] * 4]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
        assert [came.status for came in told] == [200] * 8
        heartbeat = b": keep-alive\n\n"
        assert len({came.body.replace(heartbeat, b"") for came in told}) == 1
        assert len({came.stream for came in told}) == 1
        assert len(upstream.requests) == 1


def test_one_that_comes_while_the_first_is_being_opened_waits_for_it(
    redis: RedisServer, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flask_llmchat.streams.redis_store.store import RedisStore

    admit, reserved = RedisStore._admit, threading.Event()

    def admit_slowly(self: RedisStore, *arguments: Any) -> None:
        admit(self, *arguments)
        reserved.set()
        time.sleep(0.3)

    monkeypatch.setattr(RedisStore, "_admit", admit_slowly)
    with visited(keeping(upstream, store=redis.url)) as client:
        connection = client.send("POST", URL, asking("ui"), **KEY)
        assert reserved.wait(5)
        second = client.post("ui", **KEY).rest()
        first = client.opened(connection).rest()
        assert (second.status, second.body) == (200, first.body)
    assert len(upstream.requests) == 1


def test_another_body_with_the_same_key_is_refused(
    dialect: str, store: str, upstream: FakeUpstream
) -> None:
    with visited(keeping(upstream, store=store)) as client:
        client.post(dialect, **KEY).rest()
        came = client.open("POST", PATHS[dialect], asking(dialect, "c2"), **KEY).rest()
        assert came.status == 422
        assert b"Idempotency-Key: it was used for another request." in came.body
        assert came.stream is None
        # The same fields in another order are the same body.
        turned = dict(reversed([*asking(dialect).items()]))
        assert client.open("POST", PATHS[dialect], turned, **KEY).rest().status == 200
    assert len(upstream.requests) == 1


def test_the_same_body_at_another_path_is_another_request(upstream: FakeUpstream) -> None:
    with visited(keeping(upstream)) as client:
        client.post("ui", **KEY).rest()
        assert client.open("POST", "/api/chat/groq", asking("ui"), **KEY).rest().status == 422
    assert len(upstream.requests) == 1


def test_a_key_is_its_callers(store: str, upstream: FakeUpstream) -> None:
    upstream.add(text_reply("Adas"), text_reply("Bobs"))
    with visited(keeping(upstream, store=store)) as ada:
        adas = ada.post("ui", **KEY).rest()
        bobs = ada.other("bob").post("ui", **KEY).rest()
    assert b"Adas" in adas.body and b"Bobs" in bobs.body and adas.stream != bobs.stream


def test_a_key_is_free_again_when_its_response_is_no_longer_kept(
    store: str, upstream: FakeUpstream
) -> None:
    upstream.add(text_reply("First"), text_reply("Second"))
    with visited(keeping(upstream, store=store, stream_keep=0.3)) as client:
        assert b"First" in client.post("ui", **KEY).rest().body
        wait_for(lambda: b"Second" in client.post("ui", **KEY).rest().body)


@pytest.mark.parametrize("why", ["hook", "key", "body"])
def test_a_key_is_free_again_after_a_refusal(
    why: str, dialect: str, store: str, upstream: FakeUpstream
) -> None:
    llmchat, keys = LLMChat(), {}
    refused: list[bool] = []

    @llmchat.before_chat
    def refuse(chat: ChatRequest) -> None:
        refused.append(True)
        if why == "hook" and len(refused) == 1:
            raise ChatError("Not now.", "rate_limited")
        if why == "body":
            chat.model = "gpt-4.1"

    if why == "key":
        llmchat.key_resolver(lambda name, profile: "sk-x" if len(refused) > 1 else None)
    with visited(keeping(upstream, llmchat, store=store, **keys)) as client:
        sent: Any = asking(dialect)
        if why == "body":
            sent |= {"messages": 7}
        first = client.open("POST", PATHS[dialect], sent, **KEY).rest()
        assert first.status == {"hook": 429, "key": 400, "body": 422}[why]
        assert first.stream is None
        assert client.ask("GET", "/api/chat/streams").json == []
        second = client.post(dialect, **KEY).rest()
        assert (second.status, second.stream is not None) == (200, True)
    assert len(upstream.requests) == 1


def test_what_a_provider_has_refused_is_not_asked_again(
    dialect: str, store: str, upstream: FakeUpstream
) -> None:
    upstream.add(error_reply(401, "Who are you?"))
    with visited(keeping(upstream, store=store)) as client:
        assert client.post(dialect, **KEY).rest().status == 401
        again = client.post(dialect, **KEY).rest()
        if dialect == "text":
            assert again.status == 500
        else:
            assert b"OpenAI API Key is incorrect" in again.body
    assert len(upstream.requests) == 1


def test_a_key_of_a_chat_that_is_not_kept_is_ignored(upstream: FakeUpstream) -> None:
    """A whole response, one of nobody's, and an empty key."""
    with visited(keeping(upstream)) as client:
        for _ in range(2):
            whole = client.open("POST", PATHS["openai"], asked(), **KEY).rest()
            assert (whole.status, whole.stream) == (200, None)
            client.other("").post("ui", **KEY).rest()
            assert client.post("ui", Idempotency_Key="").rest().stream
    assert len(upstream.requests) == 6


def test_while_the_store_is_away_a_key_is_not_honoured(
    redis: RedisServer, upstream: FakeUpstream
) -> None:
    app = keeping(upstream, store=f"unix://{redis.folder}/none.sock")
    with visited(app) as client:
        for _ in range(2):
            came = client.post("ui", **KEY).rest()
            assert (came.status, came.stream) == (200, None)
            assert b"id: " not in came.body
    assert len(upstream.requests) == 2


def test_a_response_that_is_lost_is_not_made_again(store: str, upstream: FakeUpstream) -> None:
    upstream.add(text_reply("x" * 2000, then=[HOLD], finish_reason=None, done=False))
    with visited(keeping(upstream, store=store, stream_max_bytes=1000)) as client:
        writing = client.post("ui", **KEY)
        writing.until("xxx")
        wait_for(lambda: client.get("c1").status == 204)
        came = client.post("ui", **KEY).rest()
        assert (came.status, came.body) == (409, b"The answer to this request is no longer kept.")
        client.stop("c1")
        writing.rest()
    assert len(upstream.requests) == 1


def test_the_same_request_counts_once_among_those_that_run(
    store: str, upstream: FakeUpstream
) -> None:
    upstream.add(HALF)
    with visited(keeping(upstream, store=store, max_running=1)) as client:
        first = client.post("ui", **KEY)
        first.until("Half")
        again = client.post("ui", **KEY)
        again.until("Half")
        assert client.post("ui", Idempotency_Key="key-2").rest().status == 429
        client.stop("c1")
        assert first.rest().body == again.rest().body


def test_a_page_that_continues_a_message_has_its_earlier_parts_already(
    upstream: FakeUpstream,
) -> None:
    call = {"type": "tool-city", "toolCallId": "call_1", "state": "output-available"}
    answer = {
        "id": "a1",
        "role": "assistant",
        "parts": [{"type": "step-start"}, {**call, "input": {}, "output": "Rome"}],
    }
    body = ui_body()
    body["messages"].append(answer)
    with visited(keeping(upstream)) as client:
        first = client.open("POST", URL, body, **KEY).rest()
        assert client.open("POST", URL, body, **KEY).rest().body == first.body
        again = client.get(str(first.stream))
        kinds = [frame["type"] for frame in frames_of(again.body)[:5]]
        call = ["tool-input-start", "tool-input-delta", "tool-output-available"]
        assert kinds == ["start", "start-step", *call]
        assert len(frames_of(again.body)) > len(frames_of(first.body))


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    from flask_llmchat.transport.runtime import current_runtime

    yield
    wait_for(lambda: not current_runtime().slots and not current_runtime().detached_slots)
