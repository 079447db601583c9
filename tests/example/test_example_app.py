"""The example app: its pages, what it keeps, and its chats, under the servers it names."""

from __future__ import annotations

import hashlib
import html
import http.client
import http.cookiejar
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from werkzeug.test import TestResponse

from example_app.database import db
from example_app.models import Message, Order, User
from flask_llmchat.testing import CUT, FakeUpstream, error_reply, event, text_reply
from tests.support.apps import KEYS, body
from tests.support.example import (
    ACCOUNT,
    KEY,
    ROOT,
    Browser,
    MakeExample,
    Visitor,
    environment,
    post,
    row_of,
    sign_up,
    token_in,
)


@pytest.fixture
def visitor(make_example: MakeExample) -> FlaskClient:
    return make_example().test_client()


def chat(client: FlaskClient, provider: str) -> TestResponse:
    headers = {"X-CSRFToken": token_in(client.get("/login", follow_redirects=True).text)}
    return client.post(f"/api/chat/{provider}", json=body(), headers=headers)


# ---- Accounts


def test_pages_ask_for_a_login(visitor: FlaskClient) -> None:
    assert visitor.get("/").location == "/login?next=%2F"
    assert visitor.get("/settings").location == "/login?next=%2Fsettings"


def test_sign_up_log_out_log_in(visitor: FlaskClient) -> None:
    sign_up(visitor)
    assert ACCOUNT["email"] in visitor.get("/").text
    assert post(visitor, "/logout").location == "/login"
    assert visitor.get("/").status_code == 302
    assert post(visitor, "/login", {**ACCOUNT, "email": " ADA@example.org "}).location == "/"
    assert visitor.get("/").status_code == 200


def test_a_page_of_the_one_before_sends_nothing_as_the_next_one(visitor: FlaskClient) -> None:
    old = token_in(sign_up(visitor).get("/").text)
    ada = visitor.get("/api/token").get_json()
    post(visitor, "/logout")
    post(visitor, "/signup", {**ACCOUNT, "email": "bob@example.org"})
    for token in (old, ada["token"]):
        answer = visitor.post("/api/chat/demo", json=body(), headers={"X-CSRFToken": token})
        assert (answer.status_code, answer.get_json()["code"]) == (400, "csrf")
    bob = visitor.get("/api/token").get_json()
    assert bob["user"] != ada["user"]
    assert f'data-user="{bob["user"]}"' in visitor.get("/").text
    assert visitor.get("/api/choices").get_json()["user"] == bob["user"]


@pytest.mark.parametrize("wrong", [{"password": "incorrect"}, {"email": "bob@example.org"}])
def test_a_wrong_login_does_not_say_which_part_is_wrong(
    visitor: FlaskClient, wrong: dict[str, str]
) -> None:
    post(sign_up(visitor), "/logout")
    answer = post(visitor, "/login", {**ACCOUNT, **wrong})
    assert answer.status_code == 422
    assert "do not go together" in answer.text
    assert "horse" not in answer.text


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({**ACCOUNT, "email": "ada"}, "does not look like an email address"),
        ({**ACCOUNT, "email": f"{'a' * 250}@example.org"}, "does not look like an email address"),
        ({**ACCOUNT, "password": "short"}, "At least 8 characters"),
        ({}, "At least 8 characters"),
    ],
)
def test_sign_up_says_what_is_wrong(
    visitor: FlaskClient, form: dict[str, str], problem: str
) -> None:
    answer = post(visitor, "/signup", form)
    assert answer.status_code == 422
    assert problem in answer.text


def test_one_account_for_an_address(visitor: FlaskClient) -> None:
    post(sign_up(visitor), "/logout")
    answer = post(visitor, "/signup", ACCOUNT)
    assert answer.status_code == 422
    assert "an account with this address already" in answer.text


@pytest.mark.parametrize(
    ("asked_for", "target"),
    [
        ("/settings", "/settings"),
        ("https://elsewhere.example/", "/"),
        ("//elsewhere.example/", "/"),
        ("/\\elsewhere.example/", "/"),
    ],
)
def test_login_leads_only_to_own_pages(visitor: FlaskClient, asked_for: str, target: str) -> None:
    post(sign_up(visitor), "/logout")
    assert post(visitor, "/login", {**ACCOUNT, "next": asked_for}).location == target


# ---- Settings


def test_a_saved_key_is_never_sent_back_nor_readable_in_the_file(
    make_example: MakeExample, tmp_path: Path
) -> None:
    app = make_example()
    client = sign_up(app.test_client())
    assert post(client, "/settings", KEYS).location == "/settings"
    page = client.get("/settings").text
    assert page.count("A key is saved") == len(KEYS)
    row = row_of(app)
    for name, key in KEYS.items():
        assert key not in page
        assert getattr(row, name) == key
    files = [file for file in (tmp_path / "instance").rglob("*") if file.is_file()]
    assert any(file.suffix == ".sqlite3" for file in files)
    for file in files:
        content = file.read_bytes()
        assert not [key for key in KEYS.values() if key.encode() in content]
        assert ACCOUNT["password"].encode() not in content


def test_an_empty_input_keeps_a_key_and_remove_removes_it(make_example: MakeExample) -> None:
    app = make_example()
    client = sign_up(app.test_client())
    post(client, "/settings", KEYS)
    post(client, "/settings", {"remove": "groq_api_key", "openrouter_api_key": "  another  "})
    row = row_of(app)
    assert row.openai_api_key == KEY
    assert row.openrouter_api_key == "another"
    assert row.groq_api_key is None


def test_what_goes_with_a_key(make_example: MakeExample) -> None:
    app = make_example()
    client = sign_up(app.test_client())
    post(
        client,
        "/settings",
        {
            "openai_organization_id": "org-1",
            "azure_openai_endpoint": "https://me.openai.azure.com/",
            "azure_openai_deployments": "gpt-4.1 = mine\r\n\r\n gpt-5=five=5 ",
        },
    )
    row = row_of(app)
    assert row.openai_organization_id == "org-1"
    assert row.azure_openai_endpoint == "https://me.openai.azure.com"
    assert row.azure_openai_deployments == {"gpt-4.1": "mine", "gpt-5": "five=5"}
    assert "gpt-4.1 = mine\ngpt-5 = five=5" in client.get("/settings").text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("groq_api_key", "not a key"),
        ("groq_api_key", "clé"),
        ("azure_openai_endpoint", "http://me.openai.azure.com"),
        ("azure_openai_endpoint", "https://169.254.169.254/latest"),
        ("azure_openai_endpoint", "https://openai.azure.com.elsewhere.example"),
        ("azure_openai_endpoint", "https://[::1"),
        ("azure_openai_deployments", "gpt-4.1"),
        ("azure_openai_deployments", "gpt-4.1 ="),
    ],
)
def test_a_wrong_setting_saves_nothing(make_example: MakeExample, name: str, value: str) -> None:
    app = make_example()
    client = sign_up(app.test_client())
    answer = post(client, "/settings", {"openai_api_key": KEY, name: value})
    assert answer.status_code == 422
    assert f'aria-invalid="true" aria-describedby="{name}-note"' in answer.text
    assert KEY not in answer.text
    assert (value in html.unescape(answer.text)) is not name.endswith("_key")
    assert row_of(app).openai_api_key is None


def test_a_key_encrypted_with_a_lost_fernet_key_counts_as_not_set(
    make_example: MakeExample, tmp_path: Path
) -> None:
    post(sign_up(make_example().test_client()), "/settings", KEYS)
    kept = tmp_path / "instance" / "fernet.key"
    old = kept.read_text()
    kept.unlink()
    assert row_of(make_example()).openai_api_key is None
    both = f"{kept.read_text()}, {old}"
    assert row_of(make_example(FERNET_KEY=both)).openai_api_key == KEY


# ---- Chats


def test_a_chat_runs_on_the_saved_key(make_example: MakeExample) -> None:
    with FakeUpstream() as upstream:
        upstream.add(text_reply("Good", " morning"))
        app = make_example(LLMCHAT_BASE_URLS={"openai": upstream.base_url})
        client = sign_up(app.test_client())
        post(client, "/settings", {"openai_api_key": KEY, "openai_organization_id": "org-1"})
        answer = chat(client, "openai")
        assert (answer.mimetype, answer.text) == ("text/plain", "Good morning")
        (request,) = upstream.requests
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        assert request.headers["OpenAI-Organization"] == "org-1"


def test_no_database_connection_is_held_while_the_provider_thinks(
    make_example: MakeExample,
) -> None:
    held: list[int] = []

    def respond(request: object) -> Any:
        with app.app_context():
            held.append(db.engine.pool.checkedout())  # type: ignore[attr-defined]
        return text_reply("Hm.")

    with FakeUpstream(respond) as upstream:
        app = make_example(LLMCHAT_BASE_URLS={"groq": upstream.base_url})
        ada = Visitor(app, **KEYS)
        assert chat(ada.client, "groq").text == "Hm."
        ada.ask("c1", ("q1", "Hello?"), provider="groq")
        assert ada.texts("c1") == ["Hello?", "Hm."]
    assert held == [0, 0]


def test_chat_without_a_key(visitor: FlaskClient) -> None:
    answer = chat(sign_up(visitor), "groq")
    assert answer.status_code == 400
    assert answer.get_json()["code"] == "missing_key"


def test_chat_without_a_login(visitor: FlaskClient) -> None:
    answer = chat(visitor, "demo")
    assert (answer.status_code, answer.mimetype) == (401, "application/json")
    assert answer.get_json()["message"] == "Profile not found"


def test_every_post_needs_the_token(visitor: FlaskClient) -> None:
    for path in ("/login", "/signup"):
        assert visitor.post(path, data=ACCOUNT).status_code == 400
    answer = visitor.post("/api/chat/demo", json=body())
    assert (answer.status_code, answer.get_json()["code"]) == (401, "no_permission")
    sign_up(visitor)
    assert visitor.post("/settings", data=KEYS).status_code == 400
    assert visitor.post("/logout").status_code == 400
    answer = visitor.post("/api/chat/demo", json=body())
    assert (answer.status_code, answer.get_json()["code"]) == (400, "csrf")
    assert "out of date" in answer.get_json()["message"]


def test_the_chat_page_offers_every_provider(visitor: FlaskClient) -> None:
    page = sign_up(visitor).get("/").text
    for name in ("demo", "openai", "azure", "openrouter", "groq"):
        assert f'data-url="/api/chat/{name}"' in page
    assert '<datalist id="models-groq"><option value="' in page
    post(visitor, "/settings", {"azure_openai_deployments": "my-model = mine"})
    assert '<datalist id="models-azure"><option value="my-model">' in visitor.get("/").text


def test_the_react_page_says_how_to_build_it(
    visitor: FlaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("example_app.react.BUILT", tmp_path)
    assert visitor.get("/react/").location == "/login?next=%2Freact%2F"
    assert visitor.get("/api/choices").status_code == 401
    sign_up(visitor)
    page = visitor.get("/react", follow_redirects=True)
    assert page.status_code == 404
    assert "npm install &amp;&amp; npm run build" in page.text
    told = visitor.get("/api/choices").get_json()
    assert told["first"] == "demo"
    assert {"openai", "groq"} < {choice["name"] for choice in told["choices"]}
    (tmp_path / "index.html").write_text("built")
    with visitor.get("/react/") as built:
        assert built.text == "built"
    assert visitor.get("/react/none.js").status_code == 404
    assert visitor.get("/react/%2e%2e/package.json").status_code == 404


def test_pages_work_under_their_own_policy(visitor: FlaskClient) -> None:
    pages = [visitor.get(path) for path in ("/login", "/signup")]
    sign_up(visitor)
    pages += [visitor.get(path) for path in ("/", "/settings")]
    for page in pages:
        policy = page.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "require-trusted-types-for 'script'" in policy
        assert "unsafe" not in policy
        assert page.headers["X-DNS-Prefetch-Control"] == "off"
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page.text)
        assert not re.search(r"""(src|href|action)=["']?(https?:)?//""", page.text)
    scripts = sorted((ROOT / "example_app/static").glob("*.js"))
    assert "chat.js" in [script.name for script in scripts]
    turning_text_into_html = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|setHTML|document\.write|DOMParser|eval\(|Function\("
    )
    for script in scripts:
        assert not turning_text_into_html.search(script.read_text()), script


def test_vendored_files_are_what_they_say() -> None:
    folder = ROOT / "example_app/static/vendor"
    rows = re.findall(r"^\| `(.+?)` .*`([0-9a-f]{64})`", (folder / "README.md").read_text(), re.M)
    assert {name for name, _ in rows} == {file.name for file in folder.glob("*.js")}
    for name, digest in rows:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


# ---- Saved chats


def test_a_chat_is_saved_as_the_provider_said_it(ada: Visitor, upstream: FakeUpstream) -> None:
    upstream.add(text_reply("Good", " morning"))
    answer = ada.ask("c1", ("q1", "Hello,\n  who are you?"))
    assert '"delta":" morning"' in answer.text
    question, saved = ada.messages("c1")
    assert question["parts"] == [{"type": "text", "text": "Hello,\n  who are you?"}]
    assert saved["parts"] == [{"type": "text", "text": "Good morning"}]
    assert f'"messageId":"{saved["id"]}"' in answer.text
    about = saved["metadata"]
    assert (about["outcome"], about["provider"], about["model"]) == ("ok", "openai", "gpt-4.1")
    assert about["usage"] == {"inputTokens": 1, "outputTokens": 2, "reasoningTokens": 0}
    assert 0 <= about["firstWord"] <= about["total"]
    assert ada.titles() == ["Hello, who are you?"]
    (system, asked) = upstream.requests[0].json["messages"]
    assert (system["role"], asked["content"]) == ("system", "Hello,\n  who are you?")

    # What the page says the answer was is sent, and is not what is saved.
    ada.ask("c1", ("q1", "Hello, who are you?"), (saved["id"], "Bad evening"), ("q2", "Really?"))
    assert upstream.requests[1].json["messages"][2]["content"] == "Bad evening"
    assert ada.texts("c1")[1:] == ["Good morning", "Really?", "Hello from the fake upstream."]


def test_failed_and_partial_answers_are_saved(ada: Visitor, upstream: FakeUpstream) -> None:
    upstream.add(error_reply(429, "Slow down."))
    assert ada.ask("c1", ("q1", "Hello?")).status_code == 429
    (_, saved) = ada.messages("c1")
    assert saved["parts"] == []
    assert saved["metadata"]["error"] == {"message": "Slow down.", "code": "rate_limited"}

    upstream.add(text_reply("Once", " upon", finish_reason=None, done=False, then=[CUT]))
    assert '"type":"error"' in ada.ask("c1", ("q1", "Hello?")).text
    (_, saved) = ada.messages("c1")
    assert saved["parts"] == [{"type": "text", "text": "Once upon"}]
    assert saved["metadata"]["outcome"] == "truncated"


BEGUN = {"provider": "openai", "model": "gpt-4.1"}


def test_an_answer_that_is_not_there_yet(ada: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    ada.ask("c1", ("q1", "Hello?"))
    with ada.client.application.app_context():
        db.session.execute(update(Message).values(about=BEGUN))
        db.session.commit()
    assert ada.messages("c1")[1]["metadata"] == {**BEGUN, "outcome": "running"}
    now = time.time()
    monkeypatch.setattr("example_app.saved_chats.time.time", lambda: now + 150)
    assert ada.messages("c1")[1]["metadata"] == {**BEGUN, "outcome": "lost"}
    monkeypatch.undo()
    ada.ask("c1", ("q2", "Are you there?"))
    outcomes = [message["metadata"].get("outcome") for message in ada.messages("c1")]
    assert outcomes == [None, "lost", None, "ok"]


def test_a_question_asked_again_or_edited_replaces_what_followed(
    ada: Visitor, upstream: FakeUpstream
) -> None:
    upstream.add(*(text_reply(answer) for answer in ("A1", "A2", "A2 again", "A1 edited")))
    ada.ask("c1", ("q1", "Q1"))
    first = ada.messages("c1")[1]["id"]
    ada.ask("c1", ("q1", "Q1"), (first, "A1"), ("q2", "Q2"))
    assert ada.texts("c1") == ["Q1", "A1", "Q2", "A2"]
    ada.ask("c1", ("q1", "Q1"), (first, "A1"), ("q2", "Q2"))
    assert ada.texts("c1") == ["Q1", "A1", "Q2", "A2 again"]
    ada.ask("c1", ("q1", "Q1 edited"))
    assert ada.texts("c1") == ["Q1 edited", "A1 edited"]


def test_a_page_that_is_behind_loses_nothing(ada: Visitor) -> None:
    ada.ask("c1", ("q1", "Q1"))
    ada.ask("c1", ("q2", "Q2, from a window that knows nothing of Q1"))
    assert [text[:2] for text in ada.texts("c1")] == ["Q1", "He", "Q2", "He"]


def test_a_page_that_says_what_it_knows_is_told_that_it_is_behind(
    ada: Visitor, upstream: FakeUpstream
) -> None:
    first = ("q1", "Q1")
    assert ada.ask("c1", first, known=["q1"]).status_code == 200
    answer = ("a1", "Hello from the fake upstream.")
    assert ada.ask("c1", first, answer, ("q2", "Q2"), known=["q1", "q2"]).status_code == 200
    asked = len(upstream.requests)
    for messages in ([first, answer, ("q3", "Q3")], [first]):  # to go on, or to ask anew
        refused = ada.ask("c1", *messages, known=["q1", "q3", 3, None])
        assert (refused.status_code, len(upstream.requests)) == (409, asked)
        assert "gone on in another window" in refused.text
    assert [text[:2] for text in ada.texts("c1")] == ["Q1", "He", "Q2", "He"]
    # It has seen Q2, and drops it.
    assert ada.ask("c1", first, known=["q1", "q2"]).status_code == 200
    assert [text[:2] for text in ada.texts("c1")] == ["Q1", "He"]

    ada.client.delete("/api/chats/c1", headers=ada.headers)
    refused = ada.ask("c1", first, answer, ("q2", "Q2"))
    assert refused.status_code == 409
    assert "deleted in another window" in refused.text
    assert ada.titles() == []


def test_everything_in_an_answer_is_saved_and_can_be_sent_back(
    ada: Visitor, upstream: FakeUpstream
) -> None:
    post(ada.client, "/settings", {"openrouter_api_key": "sk-or-v1-any"})
    details = [{"type": "reasoning.text", "text": "Hm.", "signature": "s", "index": 0}]
    calls = [
        {"index": 0, "id": "1", "function": {"name": "city", "arguments": "{}"}},
        {"index": 1, "id": "2", "function": {"name": "half", "arguments": '{"a'}},
    ]
    delta = {
        "content": "Look:",
        "reasoning": "Hm.",
        "reasoning_details": details,
        "images": [{"image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}],
        "annotations": [{"url_citation": {"url": "https://example.com", "title": "Example"}}],
        "tool_calls": calls,
    }
    reply = text_reply(finish_reason="tool_calls")
    chunk = event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    upstream.add(replace(reply, body=[chunk, *reply.body]))
    ada.ask("c1", ("q1", "Show me"), provider="openrouter")
    question, saved = ada.messages("c1")
    kinds = [part["type"] for part in saved["parts"]]
    assert kinds == ["reasoning", "text", "tool-city", "tool-half", "file", "source-url"]
    again = {"id": "q2", "role": "user", "parts": [{"type": "text", "text": "And?"}]}
    body = {"chatSettings": {"model": "m"}, "messages": [question, saved, again]}
    answer = ada.client.post("/api/chat/openrouter", json=body, headers=ada.headers)
    assert answer.status_code == 200, answer.text
    assistant = upstream.requests[1].json["messages"][2]
    assert assistant["content"] == "Look:"
    assert assistant["reasoning_details"] == details
    assert [call["id"] for call in assistant["tool_calls"]] == ["1"]


def test_the_orders_tool_finds_the_users_own_alone(
    example: Flask, ada: Visitor, upstream: FakeUpstream
) -> None:
    bob = Visitor(example, "bob@example.org")
    with example.app_context():
        ada_id = db.session.scalar(select(User.id).filter_by(email=ACCOUNT["email"]))
        kettle = Order(user_id=ada_id, item="A kettle", status="open", placed=date(2026, 1, 1))
        db.session.add(kettle)
        db.session.commit()
    told = {}
    for name, who in (("ada", ada), ("bob", bob)):
        who.ask("c1", ("q1", "Which orders of Ada's?"), provider="demo")
        told[name] = who.texts("c1")[-1]
    assert "3 open" in told["ada"] and "**A kettle**" in told["ada"]
    assert "2 open" in told["bob"] and "kettle" not in told["bob"]
    ada.ask("c2", ("q1", "My orders?"))
    assert "tools" not in upstream.requests[0].json  # offered in the demo alone


def test_a_call_that_the_server_ran_is_saved_and_can_be_sent_back(
    ada: Visitor, upstream: FakeUpstream
) -> None:
    ada.ask("c1", ("q1", "My orders?"), provider="demo")
    question, saved = ada.messages("c1")
    call, step, text = saved["parts"]
    assert (call["type"], call["state"]) == ("tool-find_orders", "output-available")
    assert call["input"] == {"status": "open"}
    assert [order["item"] for order in call["output"]] == ["Two cups", "Green tea, 500 g"]
    assert step == {"type": "step-start"} and "2 open" in text["text"]
    again = {"id": "q2", "role": "user", "parts": [{"type": "text", "text": "And?"}]}
    body = {"chatSettings": {"model": "m"}, "messages": [question, saved, again]}
    ada.client.post("/api/chat/openai", json=body, headers=ada.headers)
    sent = upstream.requests[0].json["messages"]
    assert [m["role"] for m in sent] == ["system", "user", "assistant", "tool", "assistant", "user"]
    assert json.loads(sent[3]["content"]) == call["output"]


def test_images_are_saved(ada: Visitor) -> None:
    image = {
        "type": "file",
        "mediaType": "image/png",
        "filename": "dot.png",
        "url": "data:image/png;base64,iVBORw0KGgo=",
    }
    message = {"id": "q1", "role": "user", "parts": [{**image, "other": 1}, {"type": "data-x"}]}
    body = {"id": "c1", "messages": [message], "chatSettings": {"model": "gpt-4.1"}}
    answer = ada.client.post("/api/chat/openai", json=body, headers=ada.headers)
    assert answer.status_code == 200
    assert ada.messages("c1")[0]["parts"] == [image]
    assert ada.titles() == ["An image"]


def test_everybody_sees_their_own_chats_only(example: Flask, ada: Visitor) -> None:
    bob = Visitor(example, "bob@example.org", openai_api_key=KEY)
    ada.ask("c1", ("q1", "Ada's secret"))
    assert bob.titles() == []
    for method in ("get", "patch", "delete"):
        answer = getattr(bob.client, method)(
            "/api/chats/c1", json={"title": "Bob's now"}, headers=bob.headers
        )
        assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")
    # The same name is another chat of his own.
    bob.ask("c1", ("q1", "Bob's question"))
    assert bob.texts("c1")[0] == "Bob's question"
    assert ada.texts("c1")[0] == "Ada's secret"
    bob.client.delete("/api/chats/c1", headers=bob.headers)
    assert ada.titles() == ["Ada's secret"]


def test_renaming_and_deleting(example: Flask, ada: Visitor) -> None:
    ada.ask("c1", ("q1", "word " * 40))
    assert ada.titles() == ["word " * 11 + "word…"]
    ada.ask("c2", ("q1", "x" * 100))
    assert ada.titles()[0] == "x" * 60 + "…"
    renamed = ada.client.patch("/api/chats/c1", json={"title": " New  "}, headers=ada.headers)
    assert renamed.get_json() == {"id": "c1", "title": "New", "url": "/chats/c1"}
    for title in ("", "  ", None, 1, ["a"]):
        answer = ada.client.patch("/api/chats/c1", json={"title": title}, headers=ada.headers)
        assert answer.status_code == 422
    half = ada.client.patch("/api/chats/c1", data='{"title": "\\ud800"}', headers=ada.headers)
    assert half.status_code == 422  # it does not say that it is JSON
    half = ada.client.patch("/api/chats/c1", json={"title": "\ud800"}, headers=ada.headers)
    assert half.get_json()["title"] == "?"
    assert ada.client.delete("/api/chats/c1", headers=ada.headers).status_code == 204
    assert ada.client.get("/api/chats/c1").status_code == 404
    with example.app_context():
        assert db.session.scalar(select(func.count()).select_from(Message)) == 2


def test_the_api_wants_a_login_and_a_token(example: Flask) -> None:
    visitor = example.test_client()
    for path in ("/api/chats", "/api/chats/c1", "/api/token"):
        answer = visitor.get(path)
        assert (answer.status_code, answer.get_json()["code"]) == (401, "no_permission")
    bob = Visitor(example, "bob@example.org")
    for method in ("patch", "delete"):
        answer = getattr(bob.client, method)("/api/chats/c1", json={"title": "x"})
        assert (answer.status_code, answer.get_json()["code"]) == (400, "csrf")
    token = bob.client.get("/api/token").get_json()["token"]
    answer = bob.client.delete("/api/chats/c1", headers={"X-CSRFToken": token})
    assert answer.status_code == 404
    assert visitor.get("/chats/c1").location == "/login?next=%2Fchats%2Fc1"


@pytest.mark.parametrize("name", ["", "a/b", "ä", "a" * 65, 1, ["a"]])
def test_names_that_are_none(ada: Visitor, name: Any) -> None:
    assert ada.ask(name, ("q1", "Hello?")).status_code == 422
    assert ada.ask("c1", (name, "Hello?")).status_code == 422
    assert ada.titles() == []


def test_a_client_that_names_no_chat_keeps_it_itself(ada: Visitor) -> None:
    assert chat(ada.client, "demo").status_code == 200
    assert ada.ask(None, ("q1", "Hello?")).status_code == 200  # type: ignore[arg-type]
    assert ada.titles() == []


@pytest.mark.parametrize(
    ("wish", "kind"),
    [
        ("markdown", "text-delta"),
        ("Reason!", "reasoning-delta"),
        ("your sources?", "source-url"),
        ("an image", "file"),
        ("my orders", "tool-output-available"),
        ("a cut", "error"),
    ],
)
def test_what_the_demo_can_show(
    visitor: FlaskClient, monkeypatch: pytest.MonkeyPatch, wish: str, kind: str
) -> None:
    monkeypatch.setattr("example_app.demo._SECONDS_A_WORD", 0)
    sign_up(visitor)
    message = {"id": "q", "role": "user", "parts": [{"type": "text", "text": wish}]}
    answer = visitor.post(
        "/api/chat/demo",
        json={"messages": [message], "chatSettings": {"model": "demo"}},
        headers={"X-CSRFToken": token_in(visitor.get("/").text)},
    )
    assert f'{{"type":"{kind}"' in answer.text
    assert answer.text.endswith("data: [DONE]\n\n")


# ---- Starting


def run(code: str, instance: Path, *arguments: str) -> str:
    """Run a script in a process of its own; return what it printed."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        env=environment(instance),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


START_TWELVE = """
import os, sys, traceback
from example_app import create_app

for folder in sys.argv[1:]:
    gate, opener = os.pipe()
    workers = []
    for _ in range(12):
        workers.append(os.fork())
        if not workers[-1]:
            os.close(opener)
            os.read(gate, 1)  # all are let through at once, when the parent closes its end
            try:
                app = create_app({"INSTANCE_PATH": folder})
                keys = app.config["SECRET_KEY"] + " " + app.config["FERNET_KEY"]
                os.write(1, keys.encode() + b"\\n")
            except BaseException:
                traceback.print_exc()
            os._exit(0)
    os.close(opener)
    os.close(gate)
    for worker in workers:
        os.waitpid(worker, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_workers_starting_at_once(tmp_path: Path) -> None:
    """They agree on the keys, and none crashes because another has made the tables."""
    folders = [tmp_path / str(number) for number in range(5)]  # a race is not lost every time
    told = run(START_TWELVE, tmp_path, *map(str, folders)).splitlines()
    assert len(told) == 5 * 12
    for number, folder in enumerate(folders):
        assert len(set(told[number * 12 : number * 12 + 12])) == 1
        kept = sorted(file.name for file in folder.iterdir())
        assert kept == ["example.sqlite3", "fernet.key", "secret.key"]
        for name in ("fernet.key", "secret.key"):
            assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_keys_from_the_environment(
    make_example: MakeExample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fernet_key = "Zm9yIHRoZSB0ZXN0cyBhbmQgbm90aGluZyBlbHNlISE="
    monkeypatch.setenv("EXAMPLE_SECRET_KEY", "from the environment")
    monkeypatch.setenv("EXAMPLE_FERNET_KEY", fernet_key)
    app = make_example()
    assert app.config["SECRET_KEY"] == "from the environment"
    assert app.config["FERNET_KEY"] == fernet_key
    assert not list((tmp_path / "instance").glob("*.key"))


GAIN_ACME = """
import flask_llmchat
row = flask_llmchat.Provider(name="acme", label="Acme", base_url="https://acme.example")
flask_llmchat.builtin_providers += (row,)
"""

USE_ACME = """
from example_app import create_app
from example_app.database import db
from example_app.models import Profile, User
app = create_app({"WTF_CSRF_ENABLED": False})
with app.app_context():
    if db.session.get(User, 1) is None:
        db.session.add(User(email="a@b", password_hash="", profile=Profile()))
    user = db.session.get(User, 1)
    user.begin_session()
    db.session.commit()
    made = user.get_id()
client = app.test_client()
with client.session_transaction() as session:
    session["_user_id"] = made
client.post("/settings", data={"acme_api_key": "acme-key"})
print(client.get("/settings").text, client.get("/").text)
with app.app_context():
    print(getattr(db.session.get(Profile, 1), "acme_api_key", None))
    db.session.remove()
    db.engine.dispose()
"""


def test_a_provider_the_library_gains(tmp_path: Path) -> None:
    """It gets its input, its place in the picker and its column, in an older database too."""
    before = run(USE_ACME, tmp_path)
    assert before.endswith("None\n")
    for _ in range(2):  # the second time the column is there
        after = run(GAIN_ACME + USE_ACME, tmp_path)
        assert 'name="acme_api_key"' in after
        assert after.count("A key is saved") == 1
        assert 'data-url="/api/chat/acme"' in after
        assert after.endswith("acme-key\n")


# ---- Under real servers

SERVERS = {
    "flask": ["flask", "--app", "example_app", "run", "--port", "0"],
    "gthread": ["gunicorn", "example_app:create_app()", "-k", "gthread", "--threads", "4"],
    "gevent": ["gunicorn", "example_app:create_app()", "-k", "gevent"],
    "preload": ["gunicorn", "example_app:create_app()", "--preload", "-w", "2", "--threads", "4"],
}


@contextmanager
def running(command: list[str], folder: Path) -> Iterator[str]:
    """Run a server from the repository's root; give its address."""
    arguments = [sys.executable, "-m", *command]
    if command[0] == "gunicorn":
        arguments += ["-b", "127.0.0.1:0", "--graceful-timeout", "2"]
    log = folder / "server.log"
    with log.open("w") as file:
        server = subprocess.Popen(
            arguments, cwd=ROOT, env=environment(folder / "instance"), stdout=file, stderr=file
        )
    try:
        end = time.monotonic() + 60
        while not (found := re.search(r"http://127\.0\.0\.1:[1-9]\d*", log.read_text())):
            assert server.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield found[0]
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.mark.parametrize("server", SERVERS)
def test_the_demo_under_a_real_server(server: str, tmp_path: Path) -> None:
    with running(SERVERS[server], tmp_path) as address:
        browser = Browser(address)
        page = browser.post("/signup", ACCOUNT)
        assert 'id="composer"' in page

        with browser.ask("What is a tea cosy?") as answer:
            assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
            pieces, times = [], []
            while piece := answer.read1():
                pieces.append(piece)
                times.append(time.monotonic())
        text = b"".join(pieces).decode()
        assert "not a language model" in text
        assert "“What is a tea cosy?”" in text
        # It is written in two seconds or more, word by word, and read while it is written.
        assert len(pieces) > 10
        assert times[-1] - times[0] > 0.5

        with pytest.raises(urllib.error.HTTPError) as refused, browser.ask("Show me an error"):
            pass
        with refused.value as answer:
            assert answer.status == 429
            assert answer.headers["Retry-After"] == "20"
            told = json.load(answer)
        assert told["code"] == "rate_limited"
        assert "rate limit" in told["message"]

        partial = b""
        broken = (OSError, http.client.HTTPException)
        with browser.ask("Please cut") as answer, pytest.raises(broken):
            while piece := answer.read1():
                partial += piece
        assert partial.startswith(b"This is the demo")

        with browser.ask("Write something long", chat="c1") as answer:
            assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            seen = b""
            while b'" 3,"' not in seen:
                seen += answer.read1()
        # It goes on without its reader, until it is stopped; in memory, each worker knows its own.
        assert browser.saved("c1")["metadata"] == {
            "provider": "demo",
            "model": "demo",
            "outcome": "running",
        }
        end = time.monotonic() + 10
        while (told := browser.saved("c1"))["metadata"]["outcome"] == "running":
            assert time.monotonic() < end, told
            browser.stop("c1")
            time.sleep(0.05)
        assert told["metadata"]["outcome"] == "stopped"
        assert "1, 2, 3" in told["parts"][0]["text"]
        assert "400" not in told["parts"][0]["text"]

        with pytest.raises(urllib.error.HTTPError) as refused, Browser(address).ask("Hi"):
            pass
        with refused.value as answer:
            assert answer.status == 401
            assert json.load(answer)["message"] == "Profile not found"
