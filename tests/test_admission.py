"""Only so many chats at once: the next one is told so, and the host's own routes go on."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import pytest
from conftest import body, finished, make_app, served
from flask import abort

from flask_llmchat import ChatRequest, LLMChat
from flask_llmchat.testing import HOLD, FakeUpstream, Reply, text_reply
from flask_llmchat.upstream.process import Place, current


@pytest.fixture(autouse=True)
def no_place_is_left_taken() -> Iterator[None]:
    yield
    until = time.monotonic() + 2
    while current().places and time.monotonic() < until:
        time.sleep(0.01)
    assert not current().places


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
    places = [Place(2), Place(2)]
    with pytest.raises(LookupError):
        Place(2)
    places[0].give_up()
    places[0].give_up()
    third = Place(2)
    with pytest.raises(LookupError):
        Place(2)
    for place in (*places, third):
        place.give_up()
