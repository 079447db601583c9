"""Only so many chats at once: the next one is told so, and the host's own routes go on."""

from __future__ import annotations

import gc
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, abort, current_app
from flask.typing import ResponseReturnValue

from flask_llmchat import ChatRequest, ChatResult, LLMChat, chat_finished
from flask_llmchat.testing import HOLD, FakeUpstream, Reply, text_reply
from flask_llmchat.transport.runtime import Slot, current_runtime, is_full
from tests.support.apps import body, finished, make_app
from tests.support.servers import served


@pytest.fixture(autouse=True)
def no_place_is_left_taken() -> Iterator[None]:
    yield
    until = time.monotonic() + 2
    while current_runtime().slots and time.monotonic() < until:
        time.sleep(0.01)
    assert not current_runtime().slots


def test_the_next_chat_is_refused_at_once(upstream: FakeUpstream) -> None:
    app = make_app(upstream, config={"LLMCHAT_MAX_STREAMS": 1})
    upstream.add(text_reply("Hi", then=[HOLD]), text_reply("Hi again"))
    with finished(app) as done:
        first = app.test_client().post("/api/chat/openai", json=body(), buffered=False)
        assert first.status_code == 200
        refused = app.test_client().post("/api/chat/openai", json=body())
        assert refused.status_code == 503
        assert refused.json["code"] == "overloaded"
        assert int(refused.headers["Retry-After"]) > 0
        assert len(upstream.requests) == 1
        first.close()
        assert app.test_client().post("/api/chat/openai", json=body()).text == "Hi again"
        assert len(done.wait(2)) == 2  # the refused one never started


def test_a_place_is_given_up_whatever_becomes_of_the_request(upstream: FakeUpstream) -> None:
    llmchat = LLMChat()

    @llmchat.before_chat
    def refuse(chat: ChatRequest) -> None:
        if chat.model == "abort":
            abort(403)
        if chat.model == "fail":
            raise RuntimeError("on purpose")

    app = make_app(upstream, llmchat=llmchat, config={"LLMCHAT_MAX_STREAMS": 1})
    client = app.test_client()
    for model, status in (("abort", 403), ("fail", 500), ("", 422), ("gpt-4.1", 200)):
        upstream.add(*[text_reply("Hi")] * (status == 200))
        assert client.post("/api/chat/openai", json=body(model)).status_code == status
    client.post("/api/chat/openai", data="{")
    client.post("/api/chat/openai", data="{}", headers={"Sec-Fetch-Site": "cross-site"})


def test_a_host_whose_after_request_fails_loses_no_place(upstream: FakeUpstream) -> None:
    app = make_app(upstream, config={"LLMCHAT_MAX_STREAMS": 1})
    app.after_request(lambda response: 1 / 0)  # type: ignore[arg-type, return-value]
    upstream.add(text_reply("Hi"))
    assert app.test_client().post("/api/chat/openai", json=body()).status_code == 500


def test_without_a_limit_as_many_as_come(upstream: FakeUpstream) -> None:
    app = make_app(upstream)
    upstream.add(*[Reply(body=[HOLD])] * 20)
    with served(app) as port:
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        for client in clients:
            content = json.dumps(body()).encode()
            client.sendall(
                b"POST /api/chat/openai HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
                % (len(content), content)
            )
        upstream.wait_for(lambda u: u.streaming == 20, timeout=20)
        for client in clients:
            client.close()
        upstream.wait_for(lambda u: u.streaming == 0, timeout=5)


def test_a_place_is_given_up_once() -> None:
    places = [Slot(2), Slot(2)]
    with pytest.raises(LookupError):
        Slot(2)
    places[0].release()
    places[0].release()
    third = Slot(2)
    with pytest.raises(LookupError):
        Slot(2)
    for place in (*places, third):
        place.release()
    assert not is_full(2) and is_full(0) and not is_full(None)


ONE = {"LLMCHAT_MAX_STREAMS": 1}


def with_own_route(upstream: FakeUpstream, **instance: Any) -> Flask:
    app = make_app(upstream, config=ONE, **instance)

    @app.post("/mine")
    def mine() -> ResponseReturnValue:
        return current_app.view_functions["llmchat.openai"]()  # type: ignore[no-any-return]

    return app


def test_a_route_of_the_host_s_own_may_call_our_view(upstream: FakeUpstream) -> None:
    client = with_own_route(upstream).test_client()
    for _ in range(3):
        assert client.post("/mine", json=body("")).status_code == 422
        assert not current_runtime().slots
    with client.post("/mine", json=body()) as response:
        assert response.text == "Hello from the fake upstream."


def test_it_may_fail_after_our_view(upstream: FakeUpstream) -> None:
    app = with_own_route(upstream)

    @app.after_request
    def fail(response: Any) -> Any:
        raise ZeroDivisionError("on purpose")

    @app.teardown_request
    def fail_again(exception: BaseException | None) -> None:
        assert not current_runtime().slots

    for path in ("/mine", "/api/chat/openai"):
        upstream.add(text_reply("Hi", then=[HOLD]))
        assert app.test_client().post(path, json=body()).status_code == 500
        assert not current_runtime().slots
    upstream.wait_for(lambda u: u.streaming == 0)


@pytest.mark.parametrize("kept", [False, True], ids=["dropped", "kept"])
def test_a_decorator_may_call_the_view_twice(upstream: FakeUpstream, kept: bool) -> None:
    answers: list[Any] = []

    def twice(view: Any) -> Any:
        def wrapped(**values: Any) -> Any:
            for _ in range(2):
                answer = view(**values)
                answers[:] = [*answers, answer] if kept else []
            return answer

        return wrapped

    app = make_app(upstream, decorators=[twice], config={"LLMCHAT_MAX_STREAMS": 1 + kept})
    client = app.test_client()
    content = json.dumps({**body(), "messages": 7}) + " " * 20_000
    for _ in range(3):  # what was read for the first call is there for the second
        response = client.post("/api/chat/openai", data=content)
        assert (response.status_code, "messages: " in response.text) == (422, True)
        answers.clear()
        assert not current_runtime().slots
    upstream.add(text_reply("Hi"))
    client.post("/api/chat/openai", json=body()).close()  # the body of an answered one is gone
    answers.clear()
    assert not current_runtime().slots


def test_a_teardown_of_the_host_s_that_fails_loses_no_place(upstream: FakeUpstream) -> None:
    llmchat = LLMChat()

    @llmchat.blueprint.teardown_request
    def fail(exception: BaseException | None) -> None:
        raise ZeroDivisionError("on purpose")

    app = make_app(upstream, config=ONE, llmchat=llmchat)
    for model in ("", "gpt-4.1"):
        with pytest.raises(ZeroDivisionError):
            app.test_client().post("/api/chat/openai", json=body(model))
        deadline = time.monotonic() + 2
        while current_runtime().slots and time.monotonic() < deadline:
            gc.collect()  # the response was never given to a server
        assert not current_runtime().slots


class Stop(BaseException):
    """What gevent.Timeout is, and SystemExit."""


@pytest.mark.parametrize("model", ["", "gpt-4.1", "refused"])
def test_a_receiver_that_stops_everything_loses_no_place(
    upstream: FakeUpstream, model: str
) -> None:
    llmchat = LLMChat()

    @llmchat.before_chat
    def refuse(chat: ChatRequest) -> None:
        if chat.model == "refused":
            abort(403)

    def stop(sender: Flask, result: ChatResult) -> None:
        raise Stop

    app = make_app(upstream, config=ONE, llmchat=llmchat)
    with chat_finished.connected_to(stop, sender=app):
        if model == "":
            assert app.test_client().post("/api/chat/openai", json=body("")).status_code == 422
        elif model == "refused":
            with pytest.raises(Stop):
                app.test_client().post("/api/chat/openai", json=body(model))
        else:
            upstream.add(text_reply("Hi", then=[HOLD]))
            response = app.test_client().post("/api/chat/openai", json=body(), buffered=False)
            with pytest.raises(Stop):
                response.close()
        assert not current_runtime().slots


def test_a_reader_that_closes_its_side_and_reads_nothing_keeps_no_place(
    upstream: FakeUpstream,
) -> None:
    app = make_app(upstream, config={**ONE, "LLMCHAT_DEADLINE": 60})
    piece = b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % (b"x" * 60_000)
    upstream.add(Reply(body=[piece] * 1000))
    content = json.dumps(body()).encode()
    head = b"POST /api/chat/openai HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    with served(app) as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(head % len(content) + content)
        assert client.recv(12) == b"HTTP/1.1 200"
        until = time.monotonic() + 10
        while (sent := len(upstream.requests)) < 1 and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.5)  # by now its thread waits in a write that is not read
        assert sent and current_runtime().slots
        client.shutdown(socket.SHUT_WR)
        while current_runtime().slots and time.monotonic() < until:
            time.sleep(0.01)
        assert not current_runtime().slots
