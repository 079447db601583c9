"""The example's tools: the user's own orders, and one that asks before it writes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from itsdangerous import TimestampSigner
from sqlalchemy import func, select

from example_app import demo
from example_app.approvals import claim
from example_app.chat import llmchat
from example_app.database import db
from example_app.models import Message, Order, UsedApproval, User
from flask_llmchat import ChatError
from flask_llmchat.testing import FakeUpstream
from tests.support.example import ACCOUNT, MakeExample, Visitor

ASKED = "Cancel my latest order"
NOT_VALID = "This approval is no longer valid."


@pytest.fixture(autouse=True)
def quick_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_SECONDS_A_WORD", 0)


class Page:
    """A page that was loaded anew: it has what the server has saved, and sends that back."""

    def __init__(self, visitor: Visitor, chat: str = "c1") -> None:
        self.visitor, self.chat = visitor, chat
        self.messages = visitor.messages(chat)

    @property
    def answer(self) -> dict[str, Any]:
        return self.messages[-1]

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [part for part in self.answer["parts"] if part["type"] == "tool-cancel_order"]

    def decide(self, *decisions: bool) -> Any:
        """Send what the user decides on the calls that wait; then load the page anew."""
        answer = self.send(*decisions)
        self.messages = self.visitor.messages(self.chat)
        return answer

    def send(self, *decisions: bool) -> Any:
        decided = json.loads(json.dumps(self.messages))
        parts = [p for p in decided[-1]["parts"] if p.get("state") == "approval-requested"]
        for part, approved in zip(parts, decisions, strict=True):
            part["state"] = "approval-responded"
            part["approval"]["approved"] = approved
        return self.post(decided)

    def post(self, messages: list[dict[str, Any]]) -> Any:
        known = [message["id"] for message in messages if message["role"] == "user"]
        body = {"id": self.chat, "chatSettings": {"model": "demo"}, "known": known}
        return self.visitor.client.post(
            "/api/chat/demo",
            json={**body, "messages": messages},
            headers=self.visitor.headers,
            buffered=True,
        )


def statuses(app: Flask, email: str = ACCOUNT["email"]) -> dict[str, str]:
    with app.app_context():
        user = select(User.id).filter_by(email=email).scalar_subquery()
        orders = db.session.scalars(select(Order).where(Order.user_id == user))
        return {order.item: order.status for order in orders}


OPEN = {"A teapot": "sent", "Green tea, 500 g": "open", "Two cups": "open"}


def ask(visitor: Visitor, text: str = ASKED) -> Page:
    visitor.ask("c1", ("q1", text), provider="demo")
    return Page(visitor)


def test_nothing_is_cancelled_until_the_user_says_yes(example: Flask, ada: Visitor) -> None:
    page = ask(ada)
    found, step, text, call = page.answer["parts"]
    assert (found["type"], found["state"]) == ("tool-find_orders", "output-available")
    assert step["type"] == "step-start" and "say yes" in text["text"]
    number = found["output"][0]["number"]
    assert (call["type"], call["state"]) == ("tool-cancel_order", "approval-requested")
    assert call["input"] == {"number": number} and set(call["approval"]) == {"id"}
    assert page.answer["metadata"]["outcome"] == "tool_calls"
    assert statuses(example) == OPEN

    answer_id = page.answer["id"]
    assert f'"messageId":"{answer_id}"' in page.decide(True).text
    assert statuses(example) == {**OPEN, "Two cups": "cancelled"}
    assert len(page.messages) == 2 and page.answer["id"] == answer_id
    assert page.answer["metadata"]["outcome"] == "ok"
    *before, call, step, text = page.answer["parts"]
    assert len(before) == 3
    assert (call["state"], call["output"]) == (
        "output-available",
        f"Order {number} is cancelled.",
    )
    assert call["approval"]["approved"] is True
    assert step["type"] == "step-start" and f"“Order {number} is cancelled.”" in text["text"]


def test_what_was_carried_out_goes_with_the_next_question(
    ada: Visitor, upstream: FakeUpstream
) -> None:
    page = ask(ada)
    page.decide(True)
    question = {"id": "q2", "role": "user", "parts": [{"type": "text", "text": "And?"}]}
    body = {"chatSettings": {"model": "m"}, "messages": [*page.messages, question]}
    ada.client.post("/api/chat/openai", json=body, headers=ada.headers, buffered=True)
    sent = upstream.requests[0].json["messages"]
    roles = ["system", "user", *["assistant", "tool"] * 2, "assistant", "user"]
    assert [message["role"] for message in sent] == roles
    assert sent[5]["content"] == page.calls[0]["output"]


def test_after_a_no_nothing_is_cancelled(example: Flask, ada: Visitor) -> None:
    page = ask(ada)
    page.decide(False)
    assert statuses(example) == OPEN
    (call,) = page.calls
    assert call["state"] == "output-denied" and call["approval"]["approved"] is False
    assert "Tool call execution denied." in page.answer["parts"][-1]["text"]


def test_several_calls_are_decided_on_one_by_one(example: Flask, ada: Visitor) -> None:
    page = ask(ada, "Cancel all of my orders")
    assert len(page.calls) == 2
    page.decide(False, True)
    assert statuses(example) == {**OPEN, "Green tea, 500 g": "cancelled"}
    assert [call["state"] for call in page.calls] == ["output-denied", "output-available"]


def test_a_call_that_the_page_knows_by_another_id(
    example: Flask, ada: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some providers repeat their ids; the stream has another one then, and what is saved not."""
    same = SimpleNamespace(uuid4=lambda: SimpleNamespace(hex="same"))
    monkeypatch.setattr(demo, "uuid", same)
    answer = ada.ask("c1", ("q1", ASKED), provider="demo")
    frames = [json.loads(line[6:]) for line in answer.text.splitlines() if line[:7] == "data: {"]
    asked = next(frame for frame in frames if frame["type"] == "tool-approval-request")
    page = Page(ada)
    assert asked["toolCallId"] != page.calls[0]["toolCallId"] == "call_same"
    saved = json.dumps(page.messages)
    page.calls[0] |= {"toolCallId": asked["toolCallId"], "approval": {"id": asked["approvalId"]}}
    page.decide(True)
    assert page.calls[0]["state"] == "output-available"
    assert statuses(example)["Two cups"] == "cancelled"
    page.messages = json.loads(saved)  # and so does the other id, which is of the same approval
    assert page.decide(True).status_code == 409


def test_the_first_of_two_windows_decides(example: Flask, ada: Visitor) -> None:
    page, other = ask(ada), Page(ada)
    page.decide(False)
    refused = other.decide(True)
    assert refused.status_code == 409 and "decided on before" in refused.text
    assert statuses(example) == OPEN and other.messages == page.messages


def test_a_window_that_is_behind_decides_nothing(example: Flask, ada: Visitor) -> None:
    page = ask(ada)
    first = [(m["id"], m["role"]) for m in page.messages]
    ada.ask("c1", *first, ("q2", "Hello?"), provider="demo")
    refused = page.send(True)
    assert refused.status_code == 409 and "gone on in another window" in refused.text
    ada.client.delete("/api/chats/c1", headers=ada.headers)
    refused = page.send(True)
    assert refused.status_code == 409 and "deleted in another window" in refused.text
    assert statuses(example) == OPEN


def test_who_goes_on_without_a_decision_has_the_call_saved_and_not_run(
    example: Flask, ada: Visitor, upstream: FakeUpstream
) -> None:
    page = ask(ada)
    question = {"id": "q2", "role": "user", "parts": [{"type": "text", "text": "Hello?"}]}
    page.post([*page.messages, question])
    page = Page(ada)
    assert [message["role"] for message in page.messages] == ["user", "assistant"] * 2
    call = page.messages[1]["parts"][-1]
    assert call["state"] == "approval-requested"
    assert statuses(example) == OPEN


def test_a_chat_that_is_refused_leaves_the_decision_to_the_user(
    example: Flask, ada: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(chat: Any) -> None:
        raise ChatError("Too much.", "rate_limited")

    page = ask(ada)
    before = page.messages
    monkeypatch.setattr(llmchat.hooks, "before_chat", [*llmchat.hooks.before_chat, refuse])
    assert page.decide(True).status_code == 429
    assert page.messages == before
    monkeypatch.undo()
    page.decide(True)
    assert statuses(example)["Two cups"] == "cancelled"


def test_what_was_decided_is_saved_while_it_is_carried_out(
    example: Flask, ada: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[dict[str, Any]]] = []

    def look(key: str, expires_at: float) -> bool:
        with example.app_context():
            seen.append(db.session.scalars(select(Message)).all()[-1].parts)
        return False

    page = ask(ada)
    monkeypatch.setattr(llmchat.hooks, "approval_claimer", look)
    page.decide(True)
    assert seen[0][-1]["state"] == "approval-responded"
    assert seen[0][-1]["approval"]["approved"] is True
    assert page.calls[0]["errorText"].startswith("This was already carried out")


def late(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    now = TimestampSigner.get_timestamp
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: now(self) + 902)


def changed(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    page.calls[0]["input"]["number"] -= 1


def forged(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    page.calls[0]["approval"]["id"] = "made.up"


def anothers(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = Visitor(page.visitor.client.application, "bob@example.org")
    page.calls[0].update(ask(bob).calls[0])


@pytest.mark.parametrize("how", [late, changed, forged, anothers])
def test_an_approval_that_is_none_cancels_nothing(
    how: Callable[[Page, pytest.MonkeyPatch], None],
    example: Flask,
    ada: Visitor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = ask(ada)
    how(page, monkeypatch)
    assert page.decide(True).status_code == 200
    assert statuses(example) == OPEN
    assert (page.calls[0]["state"], page.calls[0]["errorText"]) == ("output-error", NOT_VALID)
    assert NOT_VALID in page.answer["parts"][-1]["text"]


def test_only_the_users_own_open_orders_are_cancelled(example: Flask, ada: Visitor) -> None:
    """Whatever a model has been talked into, and whoever says yes to it."""
    bob = Visitor(example, "bob@example.org")
    with example.app_context():
        ada_id = db.session.scalar(select(User.id).filter_by(email=ACCOUNT["email"]))
        kettle = Order(user_id=ada_id, item="A kettle", status="open", placed=date(2026, 1, 1))
        db.session.add(kettle)
        db.session.commit()
        of_ada = kettle.id
        teapot = select(Order.id).filter_by(item="A teapot").where(Order.user_id != ada_id)
        sent = db.session.scalar(teapot)
    told = {
        of_ada: f"The user has no order {of_ada}.",
        10**15: f"The user has no order {10**15}.",
        -1: "The user has no order -1.",
        sent: f"Order {sent} is sent already, and cannot be cancelled.",
    }
    for number, error in told.items():
        with pytest.MonkeyPatch.context() as patched:
            call = ("cancel_order", {"number": number})
            patched.setattr(demo, "_look_up_orders", lambda call=call: demo._call(call, text=""))
            patched.setitem(demo._RESPONSES, "cancel", demo._look_up_orders)
            page = ask(bob, f"Cancel it: {number}")
        page.decide(True)
        assert (page.calls[0]["state"], page.calls[0]["errorText"]) == ("output-error", error)
    assert statuses(example)["A kettle"] == "open"
    assert statuses(example, "bob@example.org") == OPEN


def test_an_order_is_cancelled_once(example: Flask, ada: Visitor) -> None:
    page = ask(ada)
    page.decide(True)
    ada.ask("c2", ("q1", ASKED), provider="demo")
    other = Page(ada, "c2")
    assert other.calls[0]["input"] != page.calls[0]["input"]  # the next one that is open


def test_an_approval_is_used_once_by_all_workers(make_example: MakeExample) -> None:
    apps = [make_example(), make_example()]  # which have one database
    soon = time.time() + 100
    told = []
    for key in ("a", "a", "b"):
        for app in apps:
            with app.app_context():
                told.append(claim(key, soon))
    assert told == [True, False, False, False, True, False]
    with apps[0].app_context():
        assert claim("c", time.time() - 1)
        assert claim("d", soon)  # forgets those whose time is over
        assert db.session.scalar(select(func.count()).select_from(UsedApproval)) == 3
        assert claim("c", soon)


def test_other_providers_are_not_offered_the_tools(ada: Visitor, upstream: FakeUpstream) -> None:
    ada.ask("c1", ("q1", ASKED))
    assert "tools" not in upstream.requests[0].json
