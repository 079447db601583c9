"""What the example app keeps, reads and tells has bounds; its sessions end."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event as sql_event
from sqlalchemy import func, select

from example_app import demo, history
from example_app.attempts import Attempts
from example_app.database import db
from example_app.history import _title
from example_app.models import Chat, Message, Profile
from flask_llmchat.testing import FakeUpstream, ReceivedRequest, text_reply
from flask_llmchat.testing import event as sse
from tests.support.example import (
    ACCOUNT,
    KEY,
    MakeExample,
    Visitor,
    post,
    row_of,
    sign_up,
    token_in,
)

MB = 1_000_000


def kept(app: Flask) -> tuple[int, int]:
    """Return how many chats there are, and how many messages."""
    with app.app_context():
        counts = [db.session.scalar(select(func.count()).select_from(t)) for t in (Chat, Message)]
        return counts[0] or 0, counts[1] or 0


# ---- What is kept


def test_a_chat_without_a_key_is_not_kept(example: Flask, ada: Visitor) -> None:
    for _ in range(3):
        answer = ada.ask("c1", ("q1", "x" * MB), provider="groq")
        assert (answer.status_code, answer.headers["X-LLMChat-Error"]) == (400, "missing_key")
    assert kept(example) == (0, 0)
    # Nor is anything lost with it.
    ada.ask("c1", ("q1", "Q1"))
    ada.ask("c1", ("q1", "Q1, edited"), provider="groq")
    assert ada.texts("c1") == ["Q1", "Hello from the fake upstream."]


def test_a_chat_refused_before_it_was_sent_is_not_kept(example: Flask, ada: Visitor) -> None:
    post(ada.client, "/settings", {"azure_openai_api_key": "key"})  # and no endpoint
    assert ada.ask("c1", ("q1", "x" * MB), provider="azure").status_code == 400
    assert kept(example) == (0, 0)
    ada.ask("c1", ("q1", "Q1"))
    history = (("q1", "Q1"), ("a1", "Hello"), ("q2", "Q2"))
    assert ada.ask("c1", *history, provider="azure").status_code == 400
    assert ada.texts("c1") == ["Q1", "Hello from the fake upstream."]


def test_an_account_has_room_for_so_many_bytes(make_example: MakeExample) -> None:
    app = make_example(MAX_KEPT_BYTES=3 * MB)
    ada, bob = Visitor(app), Visitor(app, "bob@example.org")
    for number in range(9):
        answer = ada.ask(f"c{number}", ("q1", "x" * (MB // 2)), provider="demo")
    assert answer.status_code == 507
    assert (
        answer.text == "Your saved chats fill the 3 MB there are for them. "
        "To go on, delete some of them."
    )
    assert kept(app) == (5, 10)
    assert bob.ask("c1", ("q1", "x" * MB), provider="demo").status_code == 200
    ada.client.delete("/api/chats/c0", headers=ada.headers)
    assert ada.ask("c8", ("q1", "x" * (MB // 2)), provider="demo").status_code == 200
    # To ask again, or edit, takes the room of what it replaces.
    assert ada.ask("c8", ("q1", "y" * (MB // 2)), provider="demo").status_code == 200
    assert ada.ask("c8", ("q1", "z" * MB), provider="demo").status_code == 507
    assert ada.texts("c8")[0][0] == "y"


def test_a_chat_can_grow_only_so_large(make_example: MakeExample) -> None:
    app = make_example(MAX_CHAT_BYTES=MB)
    ada = Visitor(app)
    assert ada.ask("c1", ("q1", "x" * (MB // 2)), provider="demo").status_code == 200
    answer = ada.ask("c1", ("q2", "x" * (MB // 2)), provider="demo")
    assert (answer.status_code, "Please begin a new one." in answer.text) == (507, True)
    assert ada.ask("c2", ("q2", "x" * (MB // 2)), provider="demo").status_code == 200
    assert kept(app) == (2, 4)


def test_an_account_has_so_many_chats_and_messages(make_example: MakeExample) -> None:
    app = make_example(MAX_KEPT_CHATS=2, MAX_KEPT_MESSAGES=6)
    ada = Visitor(app)
    told = [ada.ask(f"c{n}", ("q1", "Hi"), provider="demo") for n in range(3)]
    assert [answer.status_code for answer in told] == [200, 200, 507]
    assert "You have 2 saved chats" in told[2].text
    assert ada.ask("c1", ("q2", "Hi"), provider="demo").status_code == 200
    answer = ada.ask("c1", ("q3", "Hi"), provider="demo")
    assert (answer.status_code, "6 messages" in answer.text) == (507, True)


def test_an_answer_for_which_there_is_no_room(
    make_example: MakeExample, upstream: FakeUpstream
) -> None:
    base_urls = {"openai": upstream.base_url}
    app = make_example(LLMCHAT_BASE_URLS=base_urls, MAX_KEPT_BYTES=MB)
    ada = Visitor(app, openai_api_key=KEY)
    upstream.add(text_reply("a" * 2 * MB))
    answer = ada.ask("c1", ("q1", "Hello?"))
    assert len(answer.text) > 2 * MB  # its reader has it
    (_, saved) = ada.messages("c1")
    assert (saved["parts"], saved["metadata"]["cut"]) == ([], True)
    assert saved["metadata"]["outcome"] == "ok"
    ada.ask("c1", ("q2", "Hello?"))
    assert ada.messages("c1")[-1]["metadata"]["cut"] is False


def test_an_answer_of_many_parts(ada: Visitor, upstream: FakeUpstream) -> None:
    cited = [
        {"url_citation": {"url": f"https://example.com/{n}", "title": ""}} for n in range(1200)
    ]
    reply = text_reply("Look.")
    chunk = sse({"choices": [{"index": 0, "delta": {"annotations": cited}, "finish_reason": None}]})
    upstream.add(replace(reply, body=[chunk, *reply.body]))
    ada.ask("c1", ("q1", "Hello?"))
    (_, saved) = ada.messages("c1")
    assert (len(saved["parts"]), saved["metadata"]["cut"]) == (1000, True)
    assert saved["parts"][0] == {"type": "text", "text": "Look."}


def test_two_questions_at_once_have_no_more_room_than_one(
    make_example: MakeExample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is looked at when the first is saved, though it came before that."""
    app = make_example(MAX_KEPT_BYTES=MB)
    ada = Visitor(app)
    refuse, gate = history.refuse_without_room, threading.Barrier(2)

    def slowly(*given: Any) -> None:
        refuse(*given)
        time.sleep(0.3)  # the other one is here by now, or waits for its turn

    monkeypatch.setattr(history, "refuse_without_room", slowly)
    cookie = ada.client.get_cookie("session")
    assert cookie
    told = []

    def ask(name: str) -> None:
        same = Visitor.__new__(Visitor)
        same.client, same.headers = app.test_client(), ada.headers
        same.client.set_cookie("session", cookie.value)
        gate.wait()
        told.append(same.ask(name, ("q1", "x" * (MB * 6 // 10)), provider="demo").status_code)

    threads = [threading.Thread(target=ask, args=(name,)) for name in ("c1", "c2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [200, 507]
    assert kept(app) == (1, 2)


def test_an_older_database_learns_its_sizes(make_example: MakeExample, tmp_path: Path) -> None:
    ada = Visitor(make_example())
    ada.ask("c1", ("q1", "x" * 1000), provider="demo")
    with sqlite3.connect(tmp_path / "instance" / "example.sqlite3") as database:
        for sql in (
            "DROP INDEX ix_message_sizes",
            "ALTER TABLE message DROP COLUMN size",
            "ALTER TABLE user DROP COLUMN session_key",
        ):
            database.execute(sql)
    database.close()
    app = make_example()
    with app.app_context():
        for message in db.session.scalars(select(Message)):
            assert message.size == len(json.dumps(message.parts))
    # The sessions of before have no key, and so have ended.
    client = app.test_client()
    cookie = ada.client.get_cookie("session")
    assert cookie
    client.set_cookie("session", cookie.value)
    assert client.get("/api/chats").status_code == 401


# ---- How it is read


@pytest.fixture
def long_chat(example: Flask, ada: Visitor) -> Visitor:
    """Give a chat of 100 questions with answers."""
    ada.ask("c1", ("q0", "Question 0"))
    with example.app_context():
        chat = db.session.scalars(select(Chat)).one()
        for number in range(1, 100):
            parts = [{"type": "text", "text": f"Question {number}"}]
            question = Message(name=f"q{number}", role="user", parts=parts, size=50)
            answer = Message(name=f"a{number}", role="assistant", parts=[], about={"outcome": "ok"})
            for message in (question, answer):
                message.chat_id = chat.id
                db.session.add(message)
                db.session.flush()
        db.session.commit()
    return ada


def test_a_chat_comes_in_pages(long_chat: Visitor) -> None:
    seen: list[dict[str, Any]] = []
    address, pages = "/api/chats/c1", 0
    while True:
        told = long_chat.client.get(address).get_json()
        assert len(told["messages"]) <= 40
        assert told["messages"][0]["role"] == "user"
        seen, pages = told["messages"] + seen, pages + 1
        if told["older"] is None:
            break
        assert told["older"] == told["messages"][0]["id"]
        address = f"/api/chats/c1?before={told['older']}"
    assert pages == 5
    questions = [m["parts"][0]["text"] for m in seen if m["role"] == "user"]
    assert questions == [f"Question {number}" for number in range(100)]
    answer = long_chat.client.get("/api/chats/c1?before=gone")
    assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")


def test_a_page_has_a_bound_in_bytes(make_example: MakeExample) -> None:
    ada = Visitor(make_example())
    for number in range(6):
        ada.ask("c1", (f"q{number}", "x" * MB), provider="demo")
    tracemalloc.start()
    answer = ada.client.get("/api/chats/c1")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(answer.data) < 2.5 * MB
    assert peak < 20 * MB
    assert len(answer.get_json()["messages"]) in (2, 3)
    assert answer.get_json()["older"] is not None
    (only,) = [m for m in answer.get_json()["messages"][:1]]
    assert only["role"] == "user"


def test_deleting_reads_no_message(example: Flask, long_chat: Visitor) -> None:
    statements: list[str] = []
    with example.app_context():
        engine = db.engine

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    sql_event.listen(engine, "before_cursor_execute", note)
    answer = long_chat.client.delete("/api/chats/c1", headers=long_chat.headers)
    sql_event.remove(engine, "before_cursor_execute", note)
    assert answer.status_code == 204
    assert kept(example) == (0, 0)
    assert sum("DELETE FROM message" in statement for statement in statements) == 1
    assert not [sql for sql in statements if "SELECT" in sql and "FROM message" in sql]


def test_an_earlier_answer_is_not_one_that_is_running(example: Flask, long_chat: Visitor) -> None:
    with example.app_context():
        first = db.session.scalars(select(Message).filter_by(role="assistant")).first()
        assert first
        first.about, first.began = {}, time.time()
        db.session.commit()
    told = long_chat.client.get("/api/chats/c1?before=q1").get_json()
    assert told["messages"][-1]["metadata"] == {"outcome": "lost"}


# ---- Work that is in no proportion


def cpu(work: Any) -> float:
    costs = []
    for _ in range(3):
        began = time.process_time()
        work()
        costs.append(time.process_time() - began)
    return min(costs)


def test_a_long_question_costs_the_demo_and_a_title_little() -> None:
    """No more than reading its JSON costs."""
    text = "ab " * (5 * MB)
    message = {"role": "user", "content": text}
    asked = json.dumps({"messages": [message]}).encode()

    class Asked(ReceivedRequest):
        json = {"messages": [message]}  # noqa: RUF012

    request = Asked.__new__(Asked)
    reading = cpu(lambda: json.loads(asked))
    demo._upstream()
    tracemalloc.start()
    demo._respond(request)
    title = _title([{"type": "text", "text": text}])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MB
    assert title.startswith("ab ab")
    assert cpu(lambda: demo._respond(request)) < max(reading, 0.02)
    assert cpu(lambda: _title([{"type": "text", "text": text}])) < max(reading, 0.02)


def test_only_chats_may_be_large(example: Flask, ada: Visitor) -> None:
    large = {"title": "x" * 300_000}
    answer = ada.client.patch("/api/chats/c1", json=large, headers=ada.headers)
    assert answer.status_code == 413
    for path in ("/settings", "/login", "/signup", "/api/chats/c1", "/nowhere"):
        form = {"openai_organization_id": "x" * 300_000, "csrf_token": ada.headers["X-CSRFToken"]}
        for sent in ({"data": form}, {"data": form, "content_type": "multipart/form-data"}):
            answer = ada.client.post(path, **sent)  # type: ignore[arg-type]
            assert answer.status_code in (404, 405, 413), path
    assert ada.ask("c1", ("q1", "x" * MB)).status_code == 200


def test_what_a_page_knows_is_read_to_a_bound(ada: Visitor) -> None:
    ada.ask("c1", ("q1", "Q1"), known=["q1"])
    odd = [[], {}, None, 1, "q1"]
    assert ada.ask("c1", ("q1", "Q1"), known=odd).status_code == 200
    far = [[]] * 20_000 + ["q1"]
    assert ada.ask("c1", ("q1", "Q1"), known=far).status_code == 409


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("openai_organization_id", "o" * 201),
        ("openai_organization_id", "org\nX-Other: 1"),
        ("azure_openai_endpoint", f"https://{'a' * 60}.openai.azure.com/{'a' * 500}"),
        ("azure_openai_deployments", "m = d\n" * 2000),
        ("groq_api_key", "k" * 4001),
    ],
)
def test_settings_have_bounds(example: Flask, name: str, value: str) -> None:
    client = sign_up(example.test_client())
    answer = post(client, "/settings", {name: value, "openai_api_key": KEY})
    assert answer.status_code == 422
    assert f'aria-describedby="{name}-note"' in answer.text
    assert row_of(example).openai_api_key is None


# ---- Addresses

AZURE = [
    "https://me.openai.azure.com",
    "https://ME.OpenAI.Azure.com/",
    "https://me.openai.azure.com:443/",
    "https://me-eastus2.cognitiveservices.azure.com",
    "https://me.services.ai.azure.com/openai/v1/",
    "https://me.openai.azure.us",
    "https://me.openai.azure.com/openai/deployments/gpt-4.1/chat/completions?api-version=2024-10-21",
]
NOT_AZURE = [
    "https://x.westeurope.cloudapp.azure.com",
    "https://me.azurewebsites.net",
    "https://me.azure-api.net",
    "https://me.blob.core.windows.net",
    "https://openai.azure.com",
    "https://.openai.azure.com",
    "https://evilopenai.azure.com",
    "https://me.openai.azure.com.evil.example",
    "https://me.openai.azure.com:22",
    "https://me.openai.azure.com:",
    "https://me.openai.azure.com.",
    "http://me.openai.azure.com",
    "https://user@me.openai.azure.com",
    "https://evil.example\\@me.openai.azure.com",
    "https://evil.example\\.openai.azure.com",
    "https://127.0.0.1\\.openai.azure.com",
    "https://127.0.0.1%2f.openai.azure.com",
    "https://evil.example#.openai.azure.com",
    "https://evil.example?.openai.azure.com",
    "https://evil.example/.openai.azure.com",
    "https://m\u0435.openai.azure.com",
    "https://me\uff0eopenai.azure.com",
    "https://-me.openai.azure.com",
    "https://me..openai.azure.com",
    "https://me.openai.azure.com/%2e%2e",
    "https://me.openai.azure.com/#fragment",
    "https://[::1].openai.azure.com",
    "//me.openai.azure.com",
    "me.openai.azure.com",
]


@pytest.mark.parametrize("address", AZURE)
def test_addresses_of_azure(example: Flask, address: str) -> None:
    client = sign_up(example.test_client())
    assert post(client, "/settings", {"azure_openai_endpoint": address}).status_code == 302
    assert row_of(example).azure_openai_endpoint == address.rstrip("/")


@pytest.mark.parametrize("address", NOT_AZURE)
def test_addresses_that_are_not_azures(example: Flask, address: str) -> None:
    client = sign_up(example.test_client())
    answer = post(client, "/settings", {"azure_openai_endpoint": address})
    assert answer.status_code == 422
    assert "own address, please" in answer.text
    assert row_of(example).azure_openai_endpoint is None


def test_an_address_saved_under_other_rules_is_not_called(example: Flask) -> None:
    ada = Visitor(example, azure_openai_api_key="key", azure_openai_deployments="gpt-4.1 = d")
    with example.app_context():
        profile = db.session.scalars(select(Profile)).one()
        profile.azure_openai_endpoint = "https://127.0.0.1:9"
        db.session.commit()
    assert ada.ask("c1", ("q1", "Hello?"), provider="azure").status_code == 400
    assert row_of(example).azure_openai_endpoint == "https://127.0.0.1:9"  # for its user to see


# ---- Sessions


def thief_of(client: FlaskClient) -> FlaskClient:
    """Return a client with a copy of another one's session."""
    cookie = client.get_cookie("session")
    assert cookie
    other = client.application.test_client()
    other.set_cookie("session", cookie.value)
    return other


def test_logging_out_ends_the_session_and_its_copies(example: Flask) -> None:
    client = sign_up(example.test_client())
    thief = thief_of(client)
    elsewhere = example.test_client()
    post(elsewhere, "/login", ACCOUNT)
    assert thief.get("/api/chats").status_code == elsewhere.get("/api/chats").status_code == 200
    headers = {"X-CSRFToken": token_in(thief.get("/").text)}
    post(client, "/logout")
    for other in (thief, elsewhere):
        assert other.get("/api/chats").status_code == 401
        assert other.get("/settings").status_code == 302
    body = {"messages": [], "chatSettings": {}}
    assert thief.post("/api/chat/demo", json=body, headers=headers).status_code == 401
    assert post(client, "/login", ACCOUNT).status_code == 302
    assert client.get("/api/chats").status_code == 200
    assert thief.get("/api/chats").status_code == 401


def test_a_session_lasts_a_week(example: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    client = sign_up(example.test_client())
    now = time.time()
    for days, status in ((6, 200), (8, 401)):
        monkeypatch.setattr("itsdangerous.timed.time.time", lambda d=days: now + d * 86_400)
        assert thief_of(client).get("/api/chats").status_code == status


@pytest.mark.parametrize("kept", ["1", "1.", "1.None", "x.y", "", "1.\u00e4", "2.a"])
def test_sessions_that_are_none(example: Flask, kept: str) -> None:
    sign_up(example.test_client())
    client = example.test_client()
    with client.session_transaction() as session:
        session["_user_id"] = kept
    assert client.get("/api/chats").status_code == 401


def test_no_page_is_kept_by_the_browser(
    example: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("example_app.react.BUILT", tmp_path)
    (tmp_path / "index.html").write_text("built")
    client = example.test_client()

    def cached(path: str) -> str | None:
        with client.get(path) as answer:
            return answer.headers.get("Cache-Control")

    before = {path: cached(path) for path in ("/login", "/signup", "/nowhere", "/settings")}
    sign_up(client)
    pages = ("/", "/settings", "/react/", "/chats/c1")
    told = {path: cached(path) for path in (*pages, "/api/chats", "/api/choices", "/api/token")}
    assert {*before.values(), *told.values()} == {"no-store"}
    assert cached("/static/chat.js") != "no-store"


# ---- Attempts


def test_sign_ups_have_a_bound(make_example: MakeExample) -> None:
    app = make_example(SIGN_UPS_AN_HOUR=3)
    forms = [{**ACCOUNT, "email": f"u{number}@example.org"} for number in range(5)]
    told = [post(app.test_client(), "/signup", form).status_code for form in forms]
    assert told == [302, 302, 302, 429, 429]
    answer = post(app.test_client(), "/signup", forms[0])
    assert (answer.status_code, "try again in an hour" in answer.text) == (429, True)
    assert "already" not in answer.text  # it no longer tells who has an account
    assert post(app.test_client(), "/login", forms[0]).status_code == 302


def test_wrong_logins_have_a_bound(make_example: MakeExample) -> None:
    app = make_example(WRONG_LOGINS_AN_HOUR=2)
    post(sign_up(app.test_client()), "/logout")
    for _ in range(3):  # right ones are not counted
        assert post(app.test_client(), "/login", ACCOUNT).status_code == 302
    wrong = {**ACCOUNT, "password": "incorrect"}
    told = [post(app.test_client(), "/login", wrong).status_code for _ in range(3)]
    assert told == [422, 422, 429]
    assert post(app.test_client(), "/login", ACCOUNT).status_code == 429


def test_attempts_are_counted_by_network_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(2)
    assert attempts.take("2001:db8::1") and attempts.take("2001:db8::ffff:1")
    assert not attempts.take("2001:db8::2")  # one customer has them all
    assert attempts.take("2001:db8:0:1::2")
    attempts.give_back("2001:db8::3")
    assert attempts.take("2001:db8::4") and not attempts.take("2001:db8::4")
    assert attempts.take("10.0.0.1") and attempts.take("") and attempts.take(None)
    for number in range(20_000):
        attempts.take(f"10.1.{number >> 8}.{number & 255}")
    assert len(attempts._counts) <= 10_001
    assert not attempts.take("192.0.2.1")  # one of the rest
    monkeypatch.setattr(attempts, "_began", attempts._began - 3601)
    assert attempts.take("2001:db8::2")


def test_a_password_has_a_bound(example: Flask) -> None:
    answer = post(example.test_client(), "/signup", {**ACCOUNT, "password": "x" * 501})
    assert (answer.status_code, "At most 500 characters" in answer.text) == (422, True)
