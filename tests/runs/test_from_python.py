"""Chats that the app starts itself: complete(), stream() and client()."""

from __future__ import annotations

import gc
import gzip
import json
import threading
from typing import Any

import openai
import pytest
from flask import Flask, abort

from flask_llmchat import ChatError, ChatRequest, LLMChat, TextDelta
from flask_llmchat.testing import CUT, HOLD, FakeUpstream, Reply, error_reply, text_reply
from tests.support.apps import KEYS, body, finished, make_app

QUESTION: Any = "Why is the sky blue?"


@pytest.fixture
def llmchat() -> LLMChat:
    return LLMChat()


def complete(app: Flask, llmchat: LLMChat, **more: Any) -> Any:
    with app.app_context():
        given = {"model": "gpt-4.1", "profile": KEYS, **more}
        return llmchat.complete("openai", QUESTION, **given)


def test_complete_returns_the_whole_response(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    upstream.add(text_reply("Ray", "leigh"))
    app = make_app(upstream, llmchat=llmchat)
    with finished(app) as done:
        result = complete(app, llmchat, max_tokens=5, context={"job": 7})
        assert done.only is result
    assert result.text == "Rayleigh" and result.outcome == "ok"
    assert result.context == {"job": 7}
    (request,) = upstream.requests
    assert request.json["messages"] == [{"role": "user", "content": QUESTION}]
    assert request.json["max_tokens"] == 5
    assert request.headers["Authorization"] == f"Bearer {KEYS['openai_api_key']}"


def test_hooks_see_a_chat_from_python(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    seen = []

    @llmchat.before_chat
    def look(chat: ChatRequest) -> None:
        seen.append((chat.dialect, chat.profile is KEYS))
        chat.messages.insert(0, {"role": "system", "content": "Be brief."})

    complete(make_app(upstream, llmchat=llmchat), llmchat)
    assert seen == [("python", True)]
    assert upstream.requests[0].json["messages"][0]["content"] == "Be brief."


def test_a_hook_that_aborts_is_a_chat_error(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    @llmchat.before_chat
    def refuse(chat: ChatRequest) -> None:
        abort(403, "Not you.")

    app = make_app(upstream, llmchat=llmchat)
    with finished(app) as done:
        with pytest.raises(ChatError, match=r"Not you\.") as caught:
            complete(app, llmchat)
        assert done.only.outcome == "refused"
    assert caught.value.status == 403 and not upstream.requests


def test_the_profile_loader_is_called_within_a_request(
    upstream: FakeUpstream, llmchat: LLMChat
) -> None:
    app = make_app(upstream, llmchat=llmchat)

    @app.get("/title")
    def title() -> str:
        return llmchat.complete("openai", QUESTION, model="gpt-4.1").text

    assert app.test_client().get("/title").text == "Hello from the fake upstream."


def test_a_loader_that_needs_a_request_says_what_to_pass(
    upstream: FakeUpstream, llmchat: LLMChat
) -> None:
    from flask import session

    llmchat.profile_loader(lambda: session["profile"])
    app = make_app(upstream, llmchat=llmchat)
    with pytest.raises(RuntimeError, match="pass profile="):
        complete(app, llmchat, profile=None)


def test_without_an_app_context_flask_says_so(llmchat: LLMChat) -> None:
    with pytest.raises(RuntimeError, match="application context"):
        llmchat.complete("openai", QUESTION, model="m", profile=KEYS)


def test_an_app_without_the_instance_is_told_how_to_register_it(llmchat: LLMChat) -> None:
    with Flask("other").app_context(), pytest.raises(RuntimeError, match="has not registered"):
        llmchat.complete("openai", QUESTION, model="m", profile=KEYS)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"temperature": "warm"}, "temperature"),
        ({"temprature": 1}, "temprature"),
        ({"tools": [{"type": "function"}]}, "tools.0"),
        ({"model": ""}, "model"),
    ],
)
def test_a_wrong_argument_is_named(
    arguments: dict[str, Any], told: str, upstream: FakeUpstream, llmchat: LLMChat
) -> None:
    with pytest.raises(ChatError, match=told):
        complete(make_app(upstream, llmchat=llmchat), llmchat, **arguments)
    assert not upstream.requests


def test_an_unknown_provider_lists_those_that_are_served(llmchat: LLMChat) -> None:
    app = make_app(llmchat=llmchat)
    with app.app_context(), pytest.raises(ChatError, match="Unknown provider 'opnai'. Available"):
        llmchat.complete("opnai", QUESTION, model="m", profile=KEYS)


def test_complete_falls_back_also_when_the_response_breaks_off(
    upstream: FakeUpstream, llmchat: LLMChat
) -> None:
    upstream.add(text_reply("Hel", finish_reason=None, done=False, then=[CUT]), text_reply("Hi"))
    config = {"LLMCHAT_FALLBACKS": {"openai": ["groq"]}, "LLMCHAT_MAX_RETRIES": 0}
    app = make_app(upstream, llmchat=llmchat, config=config)
    result = complete(app, llmchat)
    assert (result.provider, result.text) == ("groq", "Hi")


def test_stream_gives_the_events_as_they_come(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    upstream.add(text_reply("Ray", "leigh", delay=0.02))
    app = make_app(upstream, llmchat=llmchat)
    with app.app_context():
        with llmchat.stream("openai", QUESTION, model="gpt-4.1", profile=KEYS) as chat:
            with pytest.raises(RuntimeError, match="no result yet"):
                assert chat.result
            texts = [event.text for event in chat if isinstance(event, TextDelta)]
        assert texts == ["Ray", "leigh"]
        assert chat.result.text == "Rayleigh" and chat.result.outcome == "ok"


def test_leaving_the_block_closes_the_upstream(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    upstream.add(text_reply("Ray", finish_reason=None, done=False, then=[HOLD]))
    app = make_app(upstream, llmchat=llmchat)
    with finished(app) as done, app.app_context():
        with llmchat.stream("openai", QUESTION, model="gpt-4.1", profile=KEYS) as chat:
            assert next(iter(chat)) == TextDelta("Ray")
        assert done.only.outcome == "cancelled" and chat.result.text == "Ray"
    upstream.wait_for(lambda fake: fake.streaming == 0)


def test_a_stream_that_breaks_off_raises_and_keeps_its_text(
    upstream: FakeUpstream, llmchat: LLMChat
) -> None:
    upstream.add(text_reply("Ray", finish_reason=None, done=False, then=[CUT]))
    app = make_app(upstream, llmchat=llmchat)
    with (
        app.app_context(),
        llmchat.stream("openai", QUESTION, model="gpt-4.1", profile=KEYS) as chat,
        pytest.raises(ChatError, match="broke off"),
    ):
        list(chat)
    assert chat.result.outcome == "truncated" and chat.result.text == "Ray"


def test_a_slot_is_given_back_whatever_happens(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    gc.collect()  # what other tests have left unread
    upstream.add(error_reply(400, "no"), *[text_reply("Hi")] * 3)
    app = make_app(upstream, llmchat=llmchat, config={"LLMCHAT_MAX_STREAMS": 1})
    with pytest.raises(ChatError):
        complete(app, llmchat)
    with app.app_context():
        with (
            llmchat.stream("openai", QUESTION, model="gpt-4.1", profile=KEYS),
            pytest.raises(ChatError, match="Too many chats") as caught,
        ):
            complete(app, llmchat)
        assert caught.value.status == 503
    assert complete(app, llmchat).text == "Hi"


def test_a_job_in_another_thread_needs_no_request(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    app = make_app(upstream, llmchat=llmchat)
    texts: list[str] = []
    job = threading.Thread(target=lambda: texts.append(complete(app, llmchat).text))
    job.start()
    job.join(10)
    assert texts == ["Hello from the fake upstream."]


def embeddings_upstream(count: int) -> FakeUpstream:
    answer = {
        "object": "list",
        "model": "e",
        "data": [{"object": "embedding", "index": i, "embedding": [0.5] * 8} for i in range(count)],
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
    }
    packed = gzip.compress(json.dumps(answer).encode())
    head = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    return FakeUpstream(lambda request: Reply(headers=head, body=[packed]), paths=("/embeddings",))


def test_client_calls_other_endpoints_with_the_users_key(llmchat: LLMChat) -> None:
    with embeddings_upstream(5000) as upstream:  # more than an error's 64 KiB
        app = make_app(upstream, llmchat=llmchat)
        with app.app_context():
            client = llmchat.client("openai", profile=KEYS)
            made = client.embeddings.create(model="e", input="x", encoding_format="float")
            assert len(made.data) == 5000
            again = llmchat.client("openai", profile=KEYS)
            again.embeddings.create(model="e", input="x", encoding_format="float")
            client.close()
        first, second = upstream.requests
        assert first.path == "/v1/embeddings"
        assert first.headers["Authorization"] == f"Bearer {KEYS['openai_api_key']}"
        assert first.connection == second.connection  # the pool is shared


def test_client_repr_and_log_hold_no_key(
    llmchat: LLMChat, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with embeddings_upstream(1) as upstream:
        app = make_app(upstream, llmchat=llmchat)
        with app.app_context():
            client = llmchat.client("openai", profile=KEYS)
            client.embeddings.create(model="e", input="x", encoding_format="float")
    key = KEYS["openai_api_key"]
    assert key not in caplog.text
    assert key not in f"{client!r} {vars(client)}"


def test_client_errors_are_the_sdks_own(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    app = make_app(upstream, llmchat=llmchat, config={"LLMCHAT_MAX_RETRIES": 0})
    with app.app_context(), pytest.raises(openai.NotFoundError):
        llmchat.client("openai", profile=KEYS).files.list()


def test_client_without_a_key_says_so(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    app = make_app(upstream, llmchat=llmchat)
    with app.app_context(), pytest.raises(ChatError, match="OpenAI API Key not found"):
        llmchat.client("openai", profile={"openai_api_key": ""})


def test_client_connection_that_breaks_is_the_sdks_error(llmchat: LLMChat) -> None:
    def respond(request: Any) -> Reply:
        return Reply(headers={"Content-Type": "application/json"}, body=[b'{"data": [', CUT])

    with FakeUpstream(respond, paths=("/embeddings",)) as upstream:
        app = make_app(upstream, llmchat=llmchat, config={"LLMCHAT_MAX_RETRIES": 0})
        with app.app_context(), pytest.raises(Exception) as caught:
            llmchat.client("openai", profile=KEYS).embeddings.create(model="e", input="x")
    assert type(caught.value).__module__.partition(".")[0] in ("httpx2", "openai")


def test_a_chat_over_http_is_still_a_chat(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    app = make_app(upstream, llmchat=llmchat)
    assert app.test_client().post("/api/chat/openai", json=body()).status_code == 200
