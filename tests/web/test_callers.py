"""Whose chat it is: the caller loader, and where its answer can be seen."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, abort, session

from flask_llmchat import Caller, ChatError, ChatRequest, LLMChat, ToolContext, chat_started
from flask_llmchat.testing import FakeUpstream, error_reply, text_reply, tool_reply
from tests.support.apps import KEYS, body, finished, make_app, profile_for

URL = "/api/chat/openai"
ANN = Caller("ann", "red")


def app_with(upstream: FakeUpstream, returned: Any, **more: Any) -> tuple[Flask, LLMChat]:
    llmchat = LLMChat()
    llmchat.caller_loader(lambda profile: returned)
    return make_app(upstream, llmchat=llmchat, **more), llmchat


def test_hooks_tools_signals_and_the_result_have_the_caller(upstream: FakeUpstream) -> None:
    app, llmchat = app_with(upstream, ANN)
    seen: list[Any] = []
    llmchat.before_chat(lambda chat: seen.append(chat.caller))

    @llmchat.tool(when=lambda chat: chat.caller == ANN)
    def whose(context: ToolContext) -> str:
        """Tell whose chat it is."""
        return repr(context.caller)

    def started(sender: Flask, chat: ChatRequest) -> None:
        seen.append(chat.caller)

    upstream.add(tool_reply("whose", {}), text_reply("Ann's."))
    with chat_started.connected_to(started, sender=app), finished(app) as done:
        assert app.test_client().post(URL, json=body()).text == "Ann's."
    assert seen == [ANN, ANN] and done.only.caller == ANN
    assert upstream.requests[1].json["messages"][-1]["content"] == repr(ANN)


def test_the_caller_is_not_sent(upstream: FakeUpstream) -> None:
    app, _ = app_with(upstream, Caller("id-of-ann", "id-of-reds"))
    assert app.test_client().post(URL, json=body()).status_code == 200
    (sent,) = upstream.requests
    assert "id-of-" not in f"{sent.json} {sent.headers}"


@pytest.mark.parametrize(("returned", "caller"), [("ann", Caller("ann")), (None, None)])
def test_a_loader_may_return_an_id_or_none(
    upstream: FakeUpstream, returned: str | None, caller: Caller | None
) -> None:
    app, _ = app_with(upstream, returned)
    with finished(app) as done:
        app.test_client().post(URL, json=body()).close()
    assert done.only.caller == caller


def test_without_a_loader_there_is_no_caller(upstream: FakeUpstream) -> None:
    app = make_app(upstream)
    with finished(app) as done:
        assert app.test_client().post(URL, json=body()).status_code == 200
    assert done.only.caller is None


def test_an_async_loader_gets_the_profile(upstream: FakeUpstream) -> None:
    llmchat = LLMChat()

    @llmchat.caller_loader
    async def load(profile: dict[str, Any]) -> Caller:
        return Caller(profile["name"])

    app = make_app(upstream, profile=profile_for(upstream, name="ann"), llmchat=llmchat)
    with finished(app) as done:
        app.test_client().post(URL, json=body()).close()
    assert done.only.caller == Caller("ann")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda: 7,
            "caller_loader: a caller's id has to be a string, such as str(user.id)",
        ),
        (lambda: SimpleNamespace(id="ann"), "not SimpleNamespace"),
        (lambda: "", "caller_loader: a caller's id is empty; for nobody in particular, use None"),
        (lambda: Caller(""), "a caller's id is empty"),
        (lambda: Caller(7), "a caller's id has to be a string"),  # type: ignore[arg-type]
        (lambda: Caller("ann", ""), "a caller's team is empty"),
        (lambda: Caller("ann", 7), "a caller's team has to be a string"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_caller_is_a_500_and_told_in_the_log(
    make: Any, told: str, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    llmchat = LLMChat()
    llmchat.caller_loader(lambda profile: make())
    response = make_app(upstream, llmchat=llmchat).test_client().post(URL, json=body())
    assert (response.status_code, response.json["code"]) == (500, "internal")
    assert told not in response.text and told in caplog.text
    assert not upstream.requests


def test_the_loader_runs_once_for_a_chat_and_not_for_what_is_none(upstream: FakeUpstream) -> None:
    llmchat = LLMChat()
    calls: list[Any] = []
    llmchat.caller_loader(lambda profile: calls.append(profile) or "ann")
    config = {"LLMCHAT_FALLBACKS": {"openai": ["groq"]}, "LLMCHAT_MAX_RETRIES": 0}
    app = make_app(upstream, llmchat=llmchat, config=config)
    client = app.test_client()
    assert client.post("/api/chat/nobody", json=body()).status_code == 404
    assert client.post(URL, data=b"junk").status_code == 400
    assert client.post(URL, json=body(temperature="warm")).status_code == 422
    unknown = {"model": "gpt-4.1", "messages": body()["messages"], "temprature": 1}
    assert client.post(f"{URL}/chat/completions", json=unknown).status_code == 422
    assert client.get(f"{URL}/models").status_code == 200
    assert calls == []
    upstream.add(error_reply(503, "Down."), text_reply("Hi"))
    with finished(app) as done:
        assert client.post(URL, json=body()).text == "Hi"
    assert (done.only.provider, done.only.caller, len(calls)) == ("groq", Caller("ann"), 1)


def test_a_loader_that_aborts_refuses_the_chat(upstream: FakeUpstream) -> None:
    llmchat = LLMChat()
    llmchat.caller_loader(lambda profile: abort(403, "Not you."))
    response = make_app(upstream, llmchat=llmchat).test_client().post(URL, json=body())
    assert (response.status_code, response.json["message"]) == (403, "Not you.")


def complete(app: Flask, llmchat: LLMChat, **more: Any) -> Any:
    with app.app_context():
        return llmchat.complete("openai", "Hi", **{"model": "gpt-4.1", "profile": KEYS, **more})


@pytest.mark.parametrize("given", ["bob", Caller("bob")])
def test_from_python_the_argument_goes_before_the_loader(
    upstream: FakeUpstream, given: str | Caller
) -> None:
    app, llmchat = app_with(upstream, "ann")
    assert complete(app, llmchat, caller=given).caller == Caller("bob")
    assert complete(app, llmchat).caller == Caller("ann")
    with app.app_context():
        with llmchat.stream("openai", "Hi", model="m", profile=KEYS, caller=given) as chat:
            list(chat)
        assert chat.result.caller == Caller("bob")


@pytest.mark.parametrize(("given", "error"), [(7, TypeError), ("", ValueError)])
def test_a_wrong_argument_is_named(
    given: Any, error: type[Exception], upstream: FakeUpstream
) -> None:
    app, llmchat = app_with(upstream, "ann")
    with pytest.raises(error, match="caller=: a caller's id"):
        complete(app, llmchat, caller=given)
    assert not upstream.requests


def test_a_loader_that_needs_a_request_says_what_to_pass(upstream: FakeUpstream) -> None:
    llmchat = LLMChat()
    llmchat.caller_loader(lambda profile: session["user"])
    app = make_app(upstream, llmchat=llmchat)
    with pytest.raises(RuntimeError, match="pass caller="):
        complete(app, llmchat)
    assert complete(app, llmchat, caller="ann").caller == Caller("ann")
    with app.test_request_context(), pytest.raises(KeyError):  # here it is the host's own
        llmchat.complete("openai", "Hi", model="m", profile=KEYS)


def test_a_refused_chat_has_its_caller(upstream: FakeUpstream) -> None:
    app, llmchat = app_with(upstream, ANN)

    @llmchat.before_chat
    def refuse(chat: ChatRequest) -> None:
        raise ChatError("No.", "rate_limited")

    with finished(app) as done:
        assert app.test_client().post(URL, json=body()).status_code == 429
    assert (done.only.outcome, done.only.caller) == ("refused", ANN)
