"""A provider fails before its answer begins, and another one is asked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from flask_llmchat import ChatError, ChatRequest, ChatResult, LLMChat
from flask_llmchat.core.server import Server
from flask_llmchat.testing import CUT, FakeUpstream, Reply, error_reply, event, text_reply
from flask_llmchat.transport.runtime import current_runtime
from flask_llmchat.transport.watchdog import CancelToken
from tests.support.apps import KEYS, body, finished, make_app, profile_for


@pytest.fixture
def other() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


def app_with(
    upstream: FakeUpstream,
    other: FakeUpstream,
    fallbacks: Any,
    *,
    read_timeout: float = 10.0,
    **more: Any,
) -> Flask:
    """Make an app whose openai is one upstream, and openrouter and groq another."""
    config = {
        "LLMCHAT_BASE_URLS": {
            "openai": upstream.base_url,
            "openrouter": other.base_url,
            "groq": other.base_url,
        },
        "LLMCHAT_FALLBACKS": {"openai": fallbacks},
        "LLMCHAT_MAX_RETRIES": 0,
        "LLMCHAT_READ_TIMEOUT": read_timeout,
    }
    return make_app(config=config, **more)


def attempts(result: ChatResult) -> list[tuple[str, bool]]:
    """Return the provider of each attempt, and whether it failed."""
    (step,) = result.steps
    return [(attempt.provider, attempt.error is not None) for attempt in step.attempts]


FAILURES = {
    "503": error_reply(503, "busy"),
    "500": error_reply(500, "broken"),
    "429": error_reply(429, "slow down", code="rate_limit_exceeded"),
    "no credit": error_reply(429, "no money", code="insufficient_quota"),
    "silent": Reply(body=[3.0]),
    "cut": Reply(body=[CUT]),
    "error frame": Reply(body=[event({"error": {"message": "overloaded", "code": 503}})]),
    "thinking, then cut": Reply(
        body=[event({"choices": [{"index": 0, "delta": {"reasoning": "Hm"}}]}), CUT]
    ),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
def test_another_provider_answers(
    failure: Reply, upstream: FakeUpstream, other: FakeUpstream
) -> None:
    upstream.add(failure)
    other.add(text_reply("Hi", " there"))
    names = {"openrouter": {"gpt-4.1": "openai/gpt-4.1"}}
    wait = 0.4 if failure is FAILURES["silent"] else 10.0  # a busy machine is slow as well
    app = app_with(upstream, other, names, read_timeout=wait)
    with finished(app) as done:
        response = app.test_client().post("/api/chat/openai", json=body("gpt-4.1"))
        assert (response.status_code, response.text) == (200, "Hi there")
        assert done.only.provider == "openrouter"
        assert done.only.model == "openai/gpt-4.1"
        assert attempts(done.only) == [("openai", True), ("openrouter", False)]
        assert done.only.outcome == "ok"
    (asked,) = other.requests
    assert asked.json["model"] == "openai/gpt-4.1"
    assert asked.headers["Authorization"] == f"Bearer {KEYS['openrouter_api_key']}"


@pytest.mark.parametrize(
    "failure",
    [
        error_reply(400, "wrong", code="invalid_request_error"),
        error_reply(401, "bad key"),
        error_reply(404, "no such model", code="model_not_found"),
    ],
)
def test_what_the_user_has_to_mend_is_told(
    failure: Reply, upstream: FakeUpstream, other: FakeUpstream
) -> None:
    upstream.add(failure)
    app = app_with(upstream, other, ["openrouter"])
    with finished(app) as done:
        response = app.test_client().post("/api/chat/openai", json=body())
        assert response.status_code == failure.status
        assert attempts(done.only) == [("openai", True)]
    assert other.requests == []


def test_they_are_asked_in_order_and_the_first_error_is_told(
    upstream: FakeUpstream, other: FakeUpstream
) -> None:
    upstream.add(error_reply(503, "OpenAI is busy"))
    other.add(error_reply(401, "bad key"), error_reply(500, "broken"))
    app = app_with(upstream, other, ["openrouter", "groq"])
    with finished(app) as done:
        response = app.test_client().post("/api/chat/openai", json=body())
        assert (response.status_code, response.json["code"]) == (503, "overloaded")
        assert response.json["provider"] == "openai"
        assert done.only.provider == "openai"
        assert attempts(done.only) == [("openai", True), ("openrouter", True), ("groq", True)]
        assert done.only.outcome == "upstream_error"


def test_one_without_a_key_is_passed_over(upstream: FakeUpstream, other: FakeUpstream) -> None:
    upstream.add(error_reply(503, "busy"))
    other.add(text_reply("Hi"))
    profile = profile_for(openrouter_api_key="")
    app = app_with(upstream, other, ["openrouter", "groq"], profile=profile)
    with finished(app) as done:
        assert app.test_client().post("/api/chat/openai", json=body()).text == "Hi"
        assert attempts(done.only) == [("openai", True), ("groq", False)]


def test_an_answer_that_has_begun_is_not_begun_again(
    upstream: FakeUpstream, other: FakeUpstream
) -> None:
    upstream.add(text_reply("Hi", finish_reason=None, usage=None, done=False, then=[CUT]))
    app = app_with(upstream, other, ["openrouter"])
    with finished(app) as done:
        response = app.test_client().post("/api/chat/openai", json=body(), buffered=False)
        with pytest.raises(Exception, match="broke off"):
            list(response.response)
        response.close()
        assert (done.only.outcome, done.only.provider) == ("truncated", "openai")
    assert other.requests == []


def test_hooks_run_once_and_may_refuse_for_all(upstream: FakeUpstream, other: FakeUpstream) -> None:
    llmchat = LLMChat()
    seen: list[str] = []

    @llmchat.before_chat
    def add_prompt(chat: ChatRequest) -> None:
        seen.append(chat.provider)
        if len(seen) == 2:
            raise ChatError("No more today.", "rate_limited")
        chat.messages = [{"role": "system", "content": "Be short."}, *chat.messages]

    upstream.add(error_reply(503, "busy"))
    other.add(text_reply("Hi"))
    app = app_with(upstream, other, ["openrouter"], llmchat=llmchat)
    assert app.test_client().post("/api/chat/openai", json=body()).text == "Hi"
    assert other.requests[0].json["messages"][0]["content"] == "Be short."
    assert app.test_client().post("/api/chat/openai", json=body()).status_code == 429
    assert (seen, len(other.requests)) == (["openai", "openai"], 1)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("openai", "must be a mapping"),
        ({"openai": "groq"}, r"\['openai'\] must be a list of provider names, or a mapping"),
        ({"openai": ["groq", 7]}, "must be a list of provider names"),
        ({"openai": ["openai"]}, r"\['openai'\] names 'openai', which cannot be one"),
        ({"openai": ["nobody"]}, "names 'nobody'"),
        ({"nobody": ["openai"]}, "names 'nobody'"),
        ({"openai": ["custom"]}, "names 'custom', which cannot be one"),
        ({"openai": {"groq": {"gpt-4.1": 7}}}, r"\['groq'\]\['gpt-4.1'\] must be a string, not 7"),
        ({"openai": {"groq": "llama"}}, r"\['groq'\] must be a mapping of model names"),
    ],
)
def test_a_wrong_setting_is_named(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^LLMCHAT_FALLBACKS.*{message}"):
        make_app(config={"LLMCHAT_FALLBACKS": value})


def test_one_that_is_not_served_cannot_be_one() -> None:
    config = {"LLMCHAT_FALLBACKS": {"openai": ["groq"]}, "LLMCHAT_PROVIDERS": ["openai"]}
    with pytest.raises(ValueError, match="'groq', which cannot be one"):
        make_app(config=config)


def test_a_hook_that_fails_for_a_fallback_hides_nothing(
    upstream: FakeUpstream, other: FakeUpstream
) -> None:
    llmchat = LLMChat()

    @llmchat.key_resolver
    def find_key(provider: str, profile: Any) -> str:
        return {"openai": "sk-x", "groq": "sk-y"}[provider]

    upstream.add(error_reply(503, "busy", headers={"Retry-After": "7"}))
    other.add(text_reply("Hi"))
    app = app_with(upstream, other, ["openrouter", "groq"], llmchat=llmchat)
    assert app.test_client().post("/api/chat/openai", json=body()).text == "Hi"
    upstream.add(error_reply(503, "busy", headers={"Retry-After": "7"}))
    app = app_with(upstream, other, ["openrouter"], llmchat=llmchat)
    response = app.test_client().post("/api/chat/openai", json=body())
    assert (response.status_code, response.headers["Retry-After"]) == (503, "7")


def test_a_server_that_stops_asks_nobody_else(
    upstream: FakeUpstream, other: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.add(error_reply(503, "busy"))
    app = app_with(upstream, other, ["openrouter"])
    stopping = Server(grace=60, is_stopping=lambda: True)
    monkeypatch.setattr(current_runtime().watchdog, "server", stopping)
    monkeypatch.setattr(current_runtime().watchdog, "_stops_at", math.inf)
    assert app.test_client().post("/api/chat/openai", json=body()).status_code == 503
    assert other.requests == []


def test_what_a_hook_notes_comes_back_whoever_answers(
    upstream: FakeUpstream, other: FakeUpstream
) -> None:
    upstream.add(error_reply(503, "busy"), text_reply("Hi"))
    other.add(text_reply("Hi"))
    llmchat = LLMChat()

    @llmchat.before_chat
    def note(chat: ChatRequest) -> None:
        chat.context["user"] = 7

    @llmchat.before_chat
    def refuse(chat: ChatRequest) -> None:
        if chat.model == "refused":
            raise ChatError("No.", "no_permission")
        chat.context = {**chat.context, "model": chat.model}

    app = app_with(upstream, other, {"openrouter": {}}, llmchat=llmchat)
    with finished(app) as done:
        for model in ("fallback", "straight", "refused"):
            app.test_client().post("/api/chat/openai", json=body(model)).close()
    assert [dict(result.context) for result in done.wait(3)] == [
        {"user": 7, "model": "fallback"},
        {"user": 7, "model": "straight"},
        {"user": 7},
    ]


def test_a_retry_is_an_attempt_of_the_same_step(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_llmchat.runs.retry._BACKOFF", 0.01)
    upstream.add(
        error_reply(503, "busy", headers={"x-request-id": "req-1"}),
        replace(text_reply("Hi"), headers={"x-request-id": "req-2"}),
    )
    app = make_app(upstream, config={"LLMCHAT_MAX_RETRIES": 1})
    with finished(app) as done:
        assert app.test_client().post("/api/chat/openai", json=body()).text == "Hi"
        (step,) = done.only.steps
    failed, taken = step.attempts
    assert failed.error is not None and failed.error.code == "overloaded"
    assert (failed.usage, failed.upstream_request_id) == (None, "req-1")
    assert taken.error is None
    assert taken.usage is not None and taken.usage == done.only.usage
    assert taken.upstream_request_id == done.only.upstream_request_id == "req-2"
    assert {(attempt.provider, attempt.model) for attempt in step.attempts} == {
        ("openai", done.only.model)
    }
    assert failed.duration > 0 and taken.duration > 0
    assert failed.duration + taken.duration <= done.only.duration


def test_an_attempt_that_breaks_off_has_the_error(upstream: FakeUpstream) -> None:
    upstream.add(text_reply("Hi", finish_reason=None, usage=None, done=False, then=[CUT]))
    app = make_app(upstream)
    with finished(app) as done:
        response = app.test_client().post(
            "/api/chat/openai/chat/completions",
            json={"model": "m", "stream": True, "messages": [{"role": "user", "content": "?"}]},
        )
        assert "truncated" in response.text
        (step,) = done.only.steps
    (attempt,) = step.attempts
    assert attempt.error is done.only.error
    assert attempt.error is not None and attempt.error.code == "truncated"


def test_a_refused_chat_has_no_steps(upstream: FakeUpstream) -> None:
    app = make_app(upstream, profile=profile_for(openai_api_key=""))
    with finished(app) as done:
        assert app.test_client().post("/api/chat/openai", json=body()).status_code == 400
        assert (done.only.outcome, done.only.steps) == ("refused", ())


def test_a_retry_that_is_not_sent_is_no_attempt(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep(seconds: float, cancel: CancelToken) -> None:
        cancel.interrupt("stopping")

    monkeypatch.setattr("flask_llmchat.runs.retry._sleep", sleep)
    upstream.add(error_reply(503, "busy"))
    app = make_app(upstream, config={"LLMCHAT_MAX_RETRIES": 1})
    with finished(app) as done:
        assert app.test_client().post("/api/chat/openai", json=body()).status_code == 503
        assert attempts(done.only) == [("openai", True)]
    assert len(upstream.requests) == 1
