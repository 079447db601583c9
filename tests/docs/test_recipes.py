"""The recipes of docs/recipes.md do what they say: each is run, and asked."""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest
from flask import session
from flask_login import login_required, login_user
from prometheus_client import REGISTRY
from werkzeug.test import Client

from flask_llmchat import LLMChat
from flask_llmchat.testing import HOLD, FakeUpstream, error_reply, text_reply
from tests.support.apps import body, finished
from tests.support.docs_blocks import runs
from tests.support.node import run_js
from tests.support.servers import served

PAGE = "docs/recipes.md"
HELLO = "Hello from the fake upstream."
ASK: dict[str, dict[str, Any]] = {
    "text": {"path": "/api/chat/openai", "json": body()},
    "ui": {
        "path": "/api/chat/groq",
        "json": {
            "chatSettings": {"model": "m"},
            "messages": [{"role": "user", "id": "1", "parts": [{"type": "text", "text": "Hi"}]}],
        },
    },
    "openai": {
        "path": "/api/chat/openai/chat/completions",
        "json": {"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hi"}]},
    },
}


def told(dialect: str, response: Any) -> tuple[str, str]:
    """Return the message and code of an error, in the form that a dialect has for it."""
    if dialect == "ui":
        assert response.mimetype == "text/plain"
        return response.text, response.headers["X-LLMChat-Error"]
    error = response.json if dialect == "text" else response.json["error"]
    assert response.json.keys() == ({"error"} if dialect == "openai" else error.keys())
    return error["message"], error["code"]


def recipe(*codes: str) -> Any:
    """Run blocks as one module; return it."""
    module = ModuleType("recipe")
    sys.modules["recipe"] = module  # Flask and SQLAlchemy look there
    try:
        for code in codes:
            exec(code, vars(module))
    finally:
        del sys.modules["recipe"]
    return module


@runs(PAGE, under="Rate limits: Flask-Limiter")
def test_the_limiters_429_comes_in_each_dialects_form(python: list[str], host: Any) -> None:
    client = recipe(*python).app.test_client()
    assert [client.post(**ASK["text"]).status_code for _ in range(19)] == [200] * 19
    assert client.get("/api/chat/groq/models").status_code == 200  # counts too
    for dialect, asked in ASK.items():
        refused = client.post(**asked)
        assert refused.status_code == 429
        assert told(dialect, refused) == ("Please wait a minute.", "rate_limited")
        assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert len(host.requests) == 19


@runs(PAGE, under="Logins: Flask-Login", count=2)
def test_flask_logins_401_comes_in_each_dialects_form(python: list[str], host: Any) -> None:
    whole, setting = python
    module = recipe(whole)

    @module.app.post("/login")
    def log_in() -> str:
        return str(login_user(module.users["ann"]))

    client = module.app.test_client()
    for dialect, asked in ASK.items():
        refused = client.post(**asked)
        assert (refused.status_code, told(dialect, refused)[1]) == (401, "no_permission")
    client.post("/login")
    module.users["ann"].profile = {"openai_api_key": "sk-of-ann"}
    assert client.post(**ASK["text"]).text == HELLO
    (sent,) = host.requests
    assert sent.headers["Authorization"] == "Bearer sk-of-ann"

    # What the page says of login_required.
    guarded = LLMChat(name="guarded", url_prefix="/guarded", decorators=[login_required])
    second = recipe(whole)
    second.app.add_url_rule("/login", "log_in", lambda: "a form")
    second.app.register_blueprint(guarded.blueprint)
    client = second.app.test_client()
    assert client.post("/guarded/openai", json=body()).status_code == 302
    code = setting.replace('"llmchat"', '"guarded"')
    exec(code, {"login_manager": second.login_manager})
    refused = client.post("/guarded/openai", json=body())
    assert (refused.status_code, refused.json["code"]) == (401, "no_permission")


@runs(PAGE, under="Pages on another origin: Flask-CORS")
def test_cors_answers_the_preflight_and_is_on_the_stream(python: list[str], host: Any) -> None:
    page = {"Origin": "https://pages.example.com"}
    asks = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    exposed = "Retry-After, X-LLMChat-Error, X-Request-ID"
    with served(recipe(*python).app) as port:
        url = f"http://127.0.0.1:{port}"
        for asked in ASK.values():
            preflight = send("OPTIONS", url + asked["path"], {**page, **asks})
            assert preflight.status < 300
            assert preflight.headers["Access-Control-Allow-Origin"] == page["Origin"]
            assert preflight.headers["Access-Control-Allow-Credentials"] == "true"
            assert preflight.headers["Access-Control-Allow-Headers"] == "content-type"
            assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
            stranger = send("OPTIONS", url + asked["path"], {"Origin": "https://else", **asks})
            assert "Access-Control-Allow-Origin" not in stranger.headers
        host.add(text_reply("Hel", "lo"), error_reply(401, "No"))
        for status in (200, 401):
            answer = send("POST", url + ASK["text"]["path"], page, body())
            assert answer.status == status
            assert answer.headers["Access-Control-Allow-Origin"] == page["Origin"]
            assert answer.headers["Access-Control-Expose-Headers"] == exposed
            assert answer.headers["X-Request-ID"]


def send(method: str, url: str, headers: dict[str, str], posted: Any = None) -> Any:
    """Send a request to a served app; errors are answers too."""
    request = urllib.request.Request(url, method=method, headers=headers)
    if posted is not None:
        request.data = json.dumps(posted).encode()
        request.add_header("Content-Type", "application/json")
    with urllib.request.build_opener(AnyStatus).open(request, timeout=10) as answer:
        answer.read()
        return answer


class AnyStatus(urllib.request.HTTPErrorProcessor):
    def http_response(self, request: Any, response: Any) -> Any:
        return response


@runs(PAGE, under="CSRF: Flask-WTF", count=2)
@runs(PAGE, "js", under="CSRF: Flask-WTF")
def test_csrf_takes_the_token_as_a_header_and_may_be_left_out(
    python: list[str], js: list[str], host: Any
) -> None:
    whole, exempt = python
    module = recipe(whole)
    with served(module.app) as port:
        origin = f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(origin) as answer:
            (token,) = re.findall('content="(.*)"', answer.read().decode())
            cookie = answer.headers["Set-Cookie"].partition(";")[0]
        job = {"code": js[0], "origin": origin, "cookie": cookie, "messages": body()["messages"]}
        meta = 'meta[name="csrf-token"]'
        with_token = run_js("docs_page.mjs", {**job, "elements": {meta: {"content": token}}})
        without = run_js("docs_page.mjs", {**job, "elements": {meta: {"content": ""}}})
    assert with_token["response"] == {"status": 200, "text": HELLO}
    assert without["response"]["status"] == 400
    client = recipe(whole).app.test_client()
    for dialect, asked in ASK.items():
        refused = client.post(**asked)
        assert refused.status_code == 400
        assert told(dialect, refused) == ("The CSRF token is missing.", "bad_request")
    module = recipe(whole, exempt)
    client = module.app.test_client()
    assert client.post(**ASK["openai"]).status_code == 200
    foreign = {"Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"}
    assert client.post("/api/chat/openai", data="{}", headers=foreign).status_code == 403


@runs(PAGE, under="Metrics: prometheus-client")
def test_prometheus_counts_outcomes_and_tokens(
    python: list[str], host: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = recipe(*python)
    try:
        client = module.app.test_client()
        cut = text_reply("Hel", finish_reason=None, usage=None, done=False)
        host.add(text_reply("Hel", "lo"), text_reply("Hello"), cut)
        assert client.post(**ASK["text"]).text == "Hello"
        assert "Hello" in client.post(**ASK["ui"]).text
        assert '"error"' in client.post(**ASK["ui"]).text
        monkeypatch.delenv("OPENAI_API_KEY")
        assert client.post(**ASK["openai"]).status_code == 400
        told = client.get("/metrics")
    finally:
        for collector in (module.chats, module.tokens, module.first_token):
            REGISTRY.unregister(collector)
    assert told.content_type.startswith("text/plain; version=")
    for line in (
        'llmchat_chats_total{outcome="ok",provider="openai"} 1.0',
        'llmchat_chats_total{outcome="ok",provider="groq"} 1.0',
        'llmchat_chats_total{outcome="truncated",provider="groq"} 1.0',
        'llmchat_chats_total{outcome="refused",provider="openai"} 1.0',
        'llmchat_tokens_total{kind="prompt",provider="openai"} 1.0',
        'llmchat_tokens_total{kind="completion",provider="openai"} 2.0',
        'llmchat_tokens_total{kind="completion",provider="groq"} 1.0',
        'llmchat_first_token_seconds_count{provider="openai"} 1.0',
        'llmchat_first_token_seconds_count{provider="groq"} 2.0',
    ):
        assert line in told.text


@pytest.fixture
def in_a_folder(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@contextmanager
def database_of(module: Any) -> Iterator[Client]:
    """Give a client who is logged in as ann; close the database afterwards."""

    @module.app.post("/login/<user>")
    def log_in(user: str) -> str:
        session["user"] = user
        return ""

    client = module.app.test_client()
    try:
        yield client
    finally:
        with module.app.app_context():
            module.db.engine.dispose()


def turns(module: Any) -> list[tuple[Any, ...]]:
    with module.app.app_context():
        rows = module.db.session.query(module.Turn).all()
        return [(row.question["content"], row.answer, row.outcome, row.tokens) for row in rows]


@pytest.mark.usefixtures("in_a_folder")
@runs(PAGE, under="Saving messages: Flask-SQLAlchemy")
def test_messages_are_saved_once_partial_answers_included(
    python: list[str], host: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = recipe(*python)
    host.add(
        text_reply("Hel", "lo"),
        text_reply("Half an an", finish_reason=None, usage=None, done=False),
        text_reply("As far as the reader st", "ayed", delay=0.02, then=[HOLD], done=False),
    )
    with database_of(module) as client:
        assert client.post(**ASK["text"]).status_code == 401
        client.post("/login/ann")
        assert client.post("/api/chat/openai", json=body(text="One?")).text == "Hello"
        with client.post("/api/chat/openai", json=body(text="Two?")) as broken:
            assert b"".join(pieces(broken)) == b"Half an an"
        with finished(module.app) as ended:
            with client.post("/api/chat/openai", json=body(text="Three?")) as left:
                assert next(iter(left.response)) == b"As far as the reader st"
                saved = turns(module)
            ended.wait()
        monkeypatch.delenv("OPENAI_API_KEY")
        assert client.post("/api/chat/openai", json=body(text="Four?")).status_code == 400
        assert saved == [
            ("One?", "Hello", "ok", 3),
            ("Two?", "Half an an", "truncated", 8),
            ("Three?", "", None, 6),
        ]
        assert turns(module) == [
            *saved[:2],
            ("Three?", "As far as the reader st", "cancelled", 11),
            ("Four?", "", "refused", 0),
        ]


def pieces(response: Any) -> Iterator[bytes]:
    """Give the pieces of an answer as far as it comes."""
    with pytest.raises(Exception, match="broke off"):
        yield from response.iter_encoded()


@pytest.mark.usefixtures("in_a_folder")
@runs(PAGE, count=2, under=("Saving messages: Flask-SQLAlchemy", "Quotas"))
def test_a_quota_refuses_with_retry_after(python: list[str], host: FakeUpstream) -> None:
    module = recipe(*python)
    used = {"prompt_tokens": 40_000, "completion_tokens": 60_000, "total_tokens": 100_000}
    host.add(text_reply("Hello", usage=used))
    with database_of(module) as client:
        client.post("/login/ann")
        assert client.post(**ASK["text"]).text == "Hello"
        for dialect, asked in ASK.items():
            refused = client.post(**asked)
            assert refused.status_code == 429
            assert told(dialect, refused) == ("That was enough for today.", "rate_limited")
            wait = timedelta(seconds=int(refused.headers["Retry-After"]))
            then = datetime.now(UTC) + wait
            assert timedelta() <= then - then.replace(hour=0, minute=0, second=0) < timedelta(0, 5)
        assert len(host.requests) == 1
        assert [turn[2:] for turn in turns(module)] == [("ok", 100_000), *[("refused", 0)] * 3]
        client.post("/login/bob")
        assert client.post(**ASK["text"]).text == HELLO
