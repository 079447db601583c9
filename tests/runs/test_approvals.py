"""Tool calls that the user has to approve: asked for in one chat, carried out in the next."""

from __future__ import annotations

import http.client
import json
import logging
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, has_app_context, has_request_context
from itsdangerous import TimestampSigner

from flask_llmchat import (
    Caller,
    ChatError,
    ChatRequest,
    Denied,
    LLMChat,
    ProposedCall,
    ToolContext,
    ToolError,
)
from flask_llmchat.testing import CUT, HOLD, FakeUpstream, error_reply, text_reply, tool_reply
from flask_llmchat.transport.runtime import current_runtime
from tests.support.apps import finished, make_app
from tests.support.servers import served
from tests.support.tool_chats import wait_for

SETTINGS = {"model": "gpt-4.1"}
ASKED = {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Refund order 5, please."}]}


class Page:
    """What a page does: it keeps the conversation, and sends it with the user's decisions."""

    def __init__(self, app: Flask, headers: dict[str, str] | None = None) -> None:
        self.app, self.headers = app, headers
        self.messages: list[dict[str, Any]] = [ASKED]
        self.answer: dict[str, Any] = {}
        self.kinds: list[str] = []

    def send(self, dialect: str = "ui", **more: Any) -> Any:
        """Send the conversation; return the chat's result."""
        body = {"chatSettings": SETTINGS, "messages": self.messages, "id": "c1", **more}
        with finished(self.app) as done:
            client = self.app.test_client()
            response = client.post("/api/chat/openai", json=body, headers=self.headers)
            self.status, self.text = response.status_code, response.get_data(as_text=True)
            response.close()
            self.take(self.text)
            return done.only

    def take(self, text: str) -> None:
        """Add what has come to the answer, as the AI SDK's pages do."""
        frames = [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: {")]
        self.kinds = [frame["type"] for frame in frames]
        for frame in frames:
            kind = frame["type"]
            if kind == "start":
                if self.messages[-1]["role"] == "user":
                    self.messages.append({"role": "assistant", "parts": []})
                self.answer = self.messages[-1]
                self.answer |= {"id": frame["messageId"]} if "messageId" in frame else {}
            elif kind == "start-step":
                self.parts.append({"type": "step-start"})
            elif kind == "text-delta":
                self.parts.append({"type": "text", "text": frame["delta"]})
            elif kind == "tool-input-available":
                part = {"type": f"tool-{frame['toolName']}", "toolCallId": frame["toolCallId"]}
                self.parts.append({**part, "state": "input-available", "input": frame["input"]})
            elif kind == "tool-approval-request":
                part = self.part(frame["toolCallId"])
                part |= {"state": "approval-requested", "approval": {"id": frame["approvalId"]}}
            elif kind == "tool-output-available":
                part = self.part(frame["toolCallId"])
                part |= {"state": "output-available", "output": frame["output"]}
            elif kind == "tool-output-error":
                part = self.part(frame["toolCallId"])
                part |= {"state": "output-error", "errorText": frame["errorText"]}
            elif kind == "tool-output-denied":
                self.part(frame["toolCallId"])["state"] = "output-denied"

    @property
    def parts(self) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = self.answer["parts"]
        return parts

    def part(self, call_id: str) -> dict[str, Any]:
        return next(part for part in self.parts if part.get("toolCallId") == call_id)

    @property
    def tool(self) -> dict[str, Any]:
        """Return the last tool part."""
        return [part for part in self.parts if "toolCallId" in part][-1]

    def decide(self, approved: bool = True, reason: str | None = None) -> None:
        for part in self.parts:
            if part.get("state") == "approval-requested":
                part["state"] = "approval-responded"
                part["approval"] |= {"approved": approved, "reason": reason}
        # Numbers come back as JavaScript writes them.
        text = json.dumps(self.messages).replace("1.0,", "1,").replace("-0.0", "0")
        self.messages = json.loads(text)
        self.answer = self.messages[-1]


@pytest.fixture
def paid() -> list[tuple[Any, ...]]:
    return []


@pytest.fixture
def llmchat(paid: list[tuple[Any, ...]]) -> LLMChat:
    llmchat = LLMChat()
    llmchat.caller_loader(lambda profile: profile.get("user", "ada"))

    @llmchat.tool(approval=True)
    def refund(context: ToolContext, order: int, amount: float) -> str:
        """Pay an order back."""
        assert has_app_context() and not has_request_context() and context.approved
        paid.append((context.caller and context.caller.id, order, amount, context.key))
        return f"{amount:g} of order {order} was paid back."

    @llmchat.tool
    def find_order(order: int) -> str:
        """Find an order."""
        return f"Order {order} was for tea."

    return llmchat


def app_for(upstream: FakeUpstream, llmchat: LLMChat, /, **config: Any) -> Flask:
    settings = {"SECRET_KEY": "secret", "LLMCHAT_MAX_RETRIES": 0, **config}
    return make_app(upstream, config=settings, llmchat=llmchat)


@pytest.fixture
def app(upstream: FakeUpstream, llmchat: LLMChat) -> Flask:
    return app_for(upstream, llmchat)


def ask(page: Page, upstream: FakeUpstream, **arguments: Any) -> Any:
    upstream.add(tool_reply("refund", {"order": 5, "amount": 9.5, **arguments}))
    return page.send()


def results_sent(upstream: FakeUpstream) -> list[str]:
    messages = upstream.requests[-1].json["messages"]
    return [m["content"] for m in messages if m["role"] == "tool"]


# ---- Yes and no


def test_what_the_user_approves_is_carried_out(
    app: Flask, upstream: FakeUpstream, paid: list[Any]
) -> None:
    page = Page(app)
    result = ask(page, upstream)
    assert page.kinds[-4:] == [
        "tool-input-available",
        "tool-approval-request",
        "finish-step",
        "finish",
    ]
    assert '"finishReason":"tool-calls"' in page.text and not paid
    assert (result.outcome, result.tool_calls, result.tool_runs) == ("tool_calls", (), ())
    (pending,) = result.approvals
    assert (pending.name, pending.step) == ("refund", 1)
    assert json.loads(pending.arguments) == {"order": 5, "amount": 9.5}
    assert "9.5" not in repr(result)
    token = page.tool["approval"]["id"]
    assert len(token) < 130 and token not in repr(result)

    page.decide()
    answer_id = page.answer["id"]
    upstream.add(text_reply("Paid."))
    result = page.send()
    said = "9.5 of order 5 was paid back."
    assert page.kinds[:3] == ["start", "tool-output-available", "start-step"]
    assert page.answer["id"] == answer_id and len(page.messages) == 2
    assert page.tool["state"] == "output-available" and page.tool["output"] == said
    assert results_sent(upstream) == [said]
    assert paid == [("ada", 5, 9.5, pending.key)]
    assert (result.outcome, result.text, result.approvals) == ("ok", "Paid.", ())
    (run,) = result.tool_runs
    assert (run.outcome, run.step, run.approved, run.result) == ("ok", 0, True, said)
    assert len(result.steps) == 1 and len(result.steps[0].attempts) == 1


def test_a_conversation_that_the_app_has_saved_can_still_be_decided_on(
    app: Flask, upstream: FakeUpstream, paid: list[Any]
) -> None:
    """Also when the page knew the call by another id, since the provider repeats its ids."""
    page = Page(app)
    ask(page, upstream)
    page.decide()
    (pending,) = ask(page, upstream).approvals
    page.tool["toolCallId"] = pending.call_id
    page.tool["approval"] = {"id": pending.id}
    page.decide()
    upstream.add(text_reply("Paid again."))
    page.send()
    assert len(paid) == 2 and paid[1][-1] == pending.key
    assert pending.id not in repr(pending)


def test_the_next_turn_sends_what_was_carried_out(
    app: Flask, upstream: FakeUpstream, paid: list[Any]
) -> None:
    page = Page(app)
    ask(page, upstream)
    page.decide()
    upstream.add(text_reply("Paid."), text_reply("You are welcome."))
    page.send()
    first = upstream.requests[-1].json["messages"]
    page.messages.append({**ASKED, "id": "u2"})
    page.send()
    assert upstream.requests[-1].json["messages"][: len(first)] == first
    assert len(paid) == 1


@pytest.mark.parametrize("reason", [None, "Too much."])
def test_what_the_user_denies_is_not(
    reason: str | None, app: Flask, upstream: FakeUpstream, paid: list[Any]
) -> None:
    page = Page(app)
    ask(page, upstream)
    page.decide(False, reason)
    upstream.add(text_reply("As you like."), text_reply("Yes?"))
    result = page.send()
    assert page.kinds[:3] == ["start", "tool-output-denied", "start-step"] and not paid
    said = reason or "Tool call execution denied."
    assert results_sent(upstream) == [said]
    (run,) = result.tool_runs
    assert (run.outcome, run.approved, run.result) == ("denied", False, said)
    page.messages.append({**ASKED, "id": "u2"})
    page.send()
    assert results_sent(upstream) == [said]


def test_the_other_calls_of_the_step_are_run_at_once(
    app: Flask, upstream: FakeUpstream, paid: list[Any]
) -> None:
    refund = ("refund", {"order": 5, "amount": 1})
    upstream.add(tool_reply("find_order", {"order": 5}, refund, refund))
    page = Page(app)
    result = page.send()
    assert page.kinds.count("tool-approval-request") == 2
    assert [run.name for run in result.tool_runs] == ["find_order"]
    page.decide()
    upstream.add(text_reply("Paid twice."))
    page.send()
    said = "1 of order 5 was paid back."
    assert results_sent(upstream) == ["Order 5 was for tea.", said, said]
    assert len({key for *_, key in paid}) == 2


def test_a_step_after_the_approval_may_ask_again(
    app: Flask, upstream: FakeUpstream, paid: list[Any]
) -> None:
    page = Page(app)
    ask(page, upstream)
    page.decide()
    ask(page, upstream, amount=2)
    assert len(paid) == 1
    page.decide()
    upstream.add(text_reply("Both are paid."))
    result = page.send()
    assert [amount for _, _, amount, _ in paid] == [9.5, 2]
    assert result.text == "Both are paid." and page.tool["state"] == "output-available"


@pytest.mark.parametrize(
    ("arguments", "as_sent"),
    [
        ({"amount": 1.0}, {"amount": 1}),
        ({"amount": -0.0}, {"amount": 0}),
        ({"amount": 1e21}, {"amount": 1000000000000000000000}),
        ({"amount": 2**53}, {"amount": 9007199254740992.0}),
        ({"amount": 0.1 + 0.2}, {"amount": 0.30000000000000004}),
    ],
)
def test_numbers_come_back_as_a_browser_writes_them(
    arguments: dict[str, Any],
    as_sent: dict[str, Any],
    app: Flask,
    upstream: FakeUpstream,
    paid: list[Any],
) -> None:
    page = Page(app)
    ask(page, upstream, **arguments)
    page.decide()
    page.tool["input"] |= as_sent
    upstream.add(text_reply("Paid."))
    page.send()
    assert page.tool["state"] == "output-available" and len(paid) == 1


def test_a_number_that_a_browser_cannot_write_is_not_asked_for(
    app: Flask, upstream: FakeUpstream, paid: list[Any]
) -> None:
    page = Page(app)
    upstream.add(tool_reply("refund", {"order": 2**53 + 1, "amount": 1}), text_reply("Sorry."))
    page.send()
    assert "tool-approval-request" not in page.kinds
    assert "send it as text" in page.tool["errorText"]
    assert results_sent(upstream) == [page.tool["errorText"]]


def test_a_hook_may_add_messages(
    app: Flask, upstream: FakeUpstream, llmchat: LLMChat, paid: list[Any]
) -> None:
    note = {"role": "system", "content": "It is Sunday."}
    llmchat.before_chat(lambda chat: chat.messages.append(note))
    page = Page(app)
    ask(page, upstream)
    page.decide()
    upstream.add(text_reply("Paid."))
    page.send()
    assert upstream.requests[-1].json["messages"][-1] == note
    assert results_sent(upstream) == ["9.5 of order 5 was paid back."] and len(paid) == 1


def test_the_result_is_that_of_the_last_call_with_this_id(
    app: Flask, upstream: FakeUpstream, paid: list[Any]
) -> None:
    upstream.add(tool_reply("find_order", {"order": 4}), text_reply("For tea."))
    page = Page(app)
    page.send()
    page.messages.append({**ASKED, "id": "u2"})
    ask(page, upstream)
    page.decide()
    upstream.add(text_reply("Paid."))
    page.send()
    assert results_sent(upstream) == ["Order 4 was for tea.", "9.5 of order 5 was paid back."]


def test_half_a_character_can_be_approved(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    """The page sent it back, and could not send anything in this chat any more."""
    sent: list[str] = []

    @llmchat.tool(approval=True)
    def mail(text: str) -> None:
        """Send a mail."""
        sent.append(text)

    page = Page(app_for(upstream, llmchat))
    upstream.add(tool_reply("mail", '{"text": "Hi\\ud83d"}'), text_reply("Sent."))
    (pending,) = page.send().approvals
    assert json.loads(pending.arguments) == page.tool["input"]  # what an app saves
    page.decide()
    page.send()
    assert sent == ["Hi\ufffd"] and page.tool["state"] == "output-available"


# ---- Approvals that nobody gave


NOT_VALID = "This approval is no longer valid."


def other_caller(page: Page, upstream: FakeUpstream, llmchat: LLMChat) -> None:
    llmchat.caller_loader(lambda profile: "eve")


def nobody(page: Page, upstream: FakeUpstream, llmchat: LLMChat) -> None:
    llmchat.caller_loader(lambda profile: None)


def other_input(page: Page, upstream: FakeUpstream, llmchat: LLMChat) -> None:
    page.tool["input"]["amount"] = 9000


def other_name(page: Page, upstream: FakeUpstream, llmchat: LLMChat) -> None:
    page.tool["type"] = "tool-find_order"
    page.tool["input"] = {"order": 5}


def other_call(page: Page, upstream: FakeUpstream, llmchat: LLMChat) -> None:
    page.tool["toolCallId"] = "another"


def forged(page: Page, upstream: FakeUpstream, llmchat: LLMChat) -> None:
    id = page.tool["approval"]["id"]
    page.tool["approval"]["id"] = id[:-1] + ("A" if id[-1] != "A" else "B")


def made_up(page: Page, upstream: FakeUpstream, llmchat: LLMChat) -> None:
    page.tool["approval"] = {"approved": True}


def of_the_call_itself(page: Page, upstream: FakeUpstream, llmchat: LLMChat) -> None:
    page.tool["approval"]["id"] = page.tool["toolCallId"]


def odd_id(page: Page, upstream: FakeUpstream, llmchat: LLMChat) -> None:
    page.tool["approval"]["id"] = "é" * 111


def no_longer_offered(page: Page, upstream: FakeUpstream, llmchat: LLMChat) -> None:
    llmchat.before_chat(lambda chat: chat.server_tools.clear())


def other_secret(page: Page, upstream: FakeUpstream, llmchat: LLMChat) -> None:
    page.app.secret_key = "another"


@pytest.mark.parametrize(
    "change",
    [
        other_caller,
        nobody,
        other_input,
        other_name,
        other_call,
        forged,
        made_up,
        of_the_call_itself,
        odd_id,
        no_longer_offered,
        other_secret,
    ],
)
def test_another_approval_carries_nothing_out(
    change: Callable[[Page, FakeUpstream, LLMChat], None],
    app: Flask,
    upstream: FakeUpstream,
    llmchat: LLMChat,
    paid: list[Any],
) -> None:
    page = Page(app)
    ask(page, upstream)
    page.decide()
    change(page, upstream, llmchat)
    upstream.add(text_reply("Sorry."))
    result = page.send()
    assert not paid
    assert page.kinds[:3] == ["start", "tool-output-error", "start-step"]
    assert page.tool["errorText"] == NOT_VALID and results_sent(upstream) == [NOT_VALID]
    assert (result.outcome, result.text) == ("ok", "Sorry.")
    assert [run.outcome for run in result.tool_runs] == ["refused"]


def test_an_approval_of_a_team_is_not_another_teams(
    upstream: FakeUpstream, llmchat: LLMChat, paid: list[Any]
) -> None:
    llmchat.caller_loader(lambda profile: Caller("ada", team="red"))
    page = Page(app_for(upstream, llmchat))
    ask(page, upstream)
    page.decide()
    llmchat.caller_loader(lambda profile: Caller("ada"))
    upstream.add(text_reply("Sorry."))
    page.send()
    assert not paid and page.tool["errorText"] == NOT_VALID


def test_an_approval_expires(
    upstream: FakeUpstream,
    llmchat: LLMChat,
    paid: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = Page(app_for(upstream, llmchat, LLMCHAT_APPROVAL_AGE=60))
    ask(page, upstream)
    page.decide()
    now = TimestampSigner.get_timestamp
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: now(self) + 62)
    upstream.add(text_reply("Sorry."))
    page.send()
    assert not paid and page.tool["errorText"] == NOT_VALID


def test_a_key_that_was_replaced_still_signs(
    upstream: FakeUpstream, llmchat: LLMChat, paid: list[Any]
) -> None:
    app = app_for(upstream, llmchat)
    page = Page(app)
    ask(page, upstream)
    page.decide()
    app.config |= {"SECRET_KEY": "new", "SECRET_KEY_FALLBACKS": ["secret"]}
    upstream.add(text_reply("Paid."))
    page.send()
    assert len(paid) == 1


@pytest.mark.parametrize("older", ["secret", b"secret"])
def test_older_keys_are_a_list(
    older: Any, upstream: FakeUpstream, llmchat: LLMChat, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a string each letter would be a key, with which anybody could sign."""
    page = Page(app_for(upstream, llmchat, SECRET_KEY_FALLBACKS=older))
    ask(page, upstream)
    assert page.status == 500 and "SECRET_KEY_FALLBACKS has to be a list" in caplog.text


def test_an_approval_of_another_instance_is_none(
    upstream: FakeUpstream, llmchat: LLMChat, paid: list[Any]
) -> None:
    page = Page(app_for(upstream, llmchat))
    ask(page, upstream)
    page.decide()
    other = LLMChat(url_prefix="/api/chat2")
    other.caller_loader(lambda profile: "ada")

    @other.tool(approval=True)
    def refund(order: int, amount: float) -> None:
        """Pay an order back."""
        paid.append(order)

    app = app_for(upstream, other)
    upstream.add(text_reply("Sorry."))
    body = {"chatSettings": SETTINGS, "messages": page.messages}
    with app.test_client().post("/api/chat2/openai", json=body) as response:
        page.take(response.text)
    assert not paid and page.tool["errorText"] == NOT_VALID


def test_an_approval_is_used_once(app: Flask, upstream: FakeUpstream, paid: list[Any]) -> None:
    page = Page(app)
    ask(page, upstream)
    page.decide()
    sent = json.loads(json.dumps(page.messages))
    upstream.add(text_reply("Paid."), text_reply("It is done."))
    page.send()
    page.messages = sent
    page.answer = sent[-1]
    result = page.send()
    said = "This was already carried out; its result is not known here."
    assert len(paid) == 1 and page.tool["errorText"] == said and results_sent(upstream) == [said]
    assert result.outcome == "ok"


def test_a_connection_that_broke_after_the_tool_had_run(
    upstream: FakeUpstream, llmchat: LLMChat, paid: list[Any]
) -> None:
    """The page sends the same request again: nothing is paid twice, and the chat goes on."""
    app = app_for(upstream, llmchat)
    page = Page(app)
    ask(page, upstream)
    page.decide()
    upstream.add(text_reply("Pa", then=[HOLD], finish_reason=None, done=False))
    body = {"chatSettings": SETTINGS, "messages": page.messages}
    with finished(app) as done, served(app) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/api/chat/openai", json.dumps(body), headers)
        response = connection.getresponse()  # which closes the connection when it is collected
        response.read(20)
        wait_for(lambda: len(upstream.requests) == 2, 20)
        response.close()
        connection.close()
        assert done.only.outcome == "cancelled"
    goes_on = Page(app)
    goes_on.messages = [*page.messages, {**ASKED, "id": "u2"}]
    upstream.add(text_reply("I cannot tell."), text_reply("It was paid."))
    goes_on.send()
    assert "Whether it was carried out is not known" in results_sent(upstream)[0]
    page.send()
    assert len(paid) == 1
    assert page.tool["errorText"].startswith("This was already carried out")
    assert page.kinds[-1] == "finish"


def test_nothing_but_the_end_of_the_conversation_counts(
    app: Flask, upstream: FakeUpstream, paid: list[Any]
) -> None:
    page = Page(app)
    ask(page, upstream)
    page.decide()
    text = {"type": "text", "text": "?"}
    later = {**ASKED, "id": "u2"}
    further_step = {**page.answer, "parts": [*page.parts, {"type": "step-start"}, text]}
    upstream.add(*[text_reply("Yes?")] * 3)
    for messages in (
        [*page.messages, later],
        [*page.messages, {"id": "a2", "role": "assistant", "parts": [text]}],
        [page.messages[0], further_step],
    ):
        other = Page(app)
        other.messages = messages
        other.send()
        assert "tool-output-available" not in other.kinds
        assert "tool-output-error" not in other.kinds
    assert not paid


def test_a_regenerated_answer_runs_nothing(
    app: Flask, upstream: FakeUpstream, paid: list[Any]
) -> None:
    page = Page(app)
    ask(page, upstream)
    page.decide()
    upstream.add(text_reply("Yes?"))
    page.send(trigger="regenerate-message")
    assert not paid and "tool-output-error" not in page.kinds


def test_the_first_of_two_decisions_counts(
    app: Flask, upstream: FakeUpstream, paid: list[Any]
) -> None:
    page = Page(app)
    ask(page, upstream)
    page.decide(False)
    again = json.loads(json.dumps(page.tool))
    again["approval"]["approved"] = True
    page.parts.append(again)
    upstream.add(text_reply("No."))
    page.send()
    assert not paid and page.kinds.count("tool-output-denied") == 1


def test_a_call_without_a_decision_is_settled_too(
    app: Flask, upstream: FakeUpstream, paid: list[Any]
) -> None:
    refund = ("refund", {"order": 6, "amount": 1})
    upstream.add(tool_reply("refund", {"order": 5, "amount": 1}, refund))
    page = Page(app)
    page.send()
    first = next(part for part in page.parts if "toolCallId" in part)
    first["state"] = "approval-responded"
    first["approval"]["approved"] = True
    upstream.add(text_reply("One was paid."))
    page.send()
    assert [order for _, order, *_ in paid] == [5]
    states = [part["state"] for part in page.parts if "toolCallId" in part]
    assert states == ["output-available", "output-denied"]
    denied = "Tool call execution denied."
    assert results_sent(upstream)[1] == denied
    page.messages.append({**ASKED, "id": "u2"})
    upstream.add(text_reply("Yes?"))
    page.send()
    assert results_sent(upstream)[1] == denied


@pytest.mark.parametrize("id", [None, 5, ""])
def test_a_message_needs_no_id(
    id: Any, app: Flask, upstream: FakeUpstream, paid: list[Any]
) -> None:
    page = Page(app)
    ask(page, upstream)
    page.decide()
    del page.answer["id"]
    if id is not None:
        page.answer["id"] = id
    upstream.add(text_reply("Paid."))
    page.send()
    assert len(paid) == 1 and results_sent(upstream) == ["9.5 of order 5 was paid back."]
    assert page.answer.get("id") == id and len(page.messages) == 2


@pytest.mark.parametrize("approved", [None, "yes", 1, [True]])
def test_a_decision_that_is_none_is_a_no(
    approved: Any, app: Flask, upstream: FakeUpstream, paid: list[Any]
) -> None:
    page = Page(app)
    ask(page, upstream)
    page.decide()
    page.tool["approval"] |= {"approved": approved, "reason": "\ud83d"}
    upstream.add(text_reply("No."))
    page.send()
    assert not paid and page.kinds[:3] == ["start", "tool-output-denied", "start-step"]
    assert results_sent(upstream) == ["Tool call execution denied."]


def test_a_part_of_version_4_has_no_approval(
    app: Flask, upstream: FakeUpstream, paid: list[Any]
) -> None:
    page = Page(app)
    ask(page, upstream)
    page.decide()
    old = {"state": "result", "toolName": "old", "toolCallId": "c0", "args": {}, "result": 1}
    part = {"type": "tool-invocation", "state": "approval-responded", "toolInvocation": old}
    page.parts.append(part)
    upstream.add(text_reply("Paid."))
    page.send()
    assert results_sent(upstream) == ["9.5 of order 5 was paid back.", "1"] and len(paid) == 1


# ---- The app's own rule


def rules(llmchat: LLMChat, rule: Any, ran: list[Any]) -> None:
    @llmchat.tool(approval=rule)
    def pay(context: ToolContext, amount: float) -> str:
        """Pay."""
        ran.append((amount, context.approved))
        return "Paid."


def test_a_function_decides_whether_to_ask(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    ran: list[Any] = []
    seen: list[Any] = []

    def large(call: ProposedCall, context: ToolContext) -> bool | Denied:
        assert has_app_context() and not has_request_context()
        seen.append((call.name, call.arguments["amount"], context.approved))
        if call.arguments["amount"] > 1000:
            return Denied("Nobody may pay that much.")
        return bool(call.arguments["amount"] > 50)

    rules(llmchat, large, ran)
    page = Page(app_for(upstream, llmchat))
    more = [("pay", {"amount": 60}), ("pay", {"amount": 5000})]
    upstream.add(tool_reply("pay", {"amount": 10}, *more))
    result = page.send()
    assert ran == [(10, False)] and len(result.approvals) == 1
    assert [run.outcome for run in result.tool_runs] == ["denied", "ok"]
    assert page.tool["errorText"] == "Nobody may pay that much."
    page.decide()
    upstream.add(text_reply("Done."))
    page.send()
    assert ran == [(10, False), (60, True)]
    assert seen[-1] == ("pay", 60, True)
    assert results_sent(upstream) == ["Paid.", "Paid.", "Nobody may pay that much."]


def test_a_rule_may_say_no_after_the_user_said_yes(
    upstream: FakeUpstream, llmchat: LLMChat
) -> None:
    ran: list[Any] = []
    rights = [True, Denied("Not any more.")]
    rules(llmchat, lambda call, context: rights.pop(0), ran)
    page = Page(app_for(upstream, llmchat))
    upstream.add(tool_reply("pay", {"amount": 10}), text_reply("Sorry."))
    page.send()
    page.decide()
    page.send()
    assert not ran and page.tool["errorText"] == "Not any more."


@pytest.mark.parametrize("odd", [None, "yes", 0, ZeroDivisionError("sk-secret"), SystemError()])
def test_a_rule_that_fails_asks(
    odd: Any, upstream: FakeUpstream, llmchat: LLMChat, caplog: pytest.LogCaptureFixture
) -> None:
    def rule(call: ProposedCall, context: ToolContext) -> Any:
        if isinstance(odd, Exception):
            raise odd
        return odd

    ran: list[Any] = []
    rules(llmchat, rule, ran)
    page = Page(app_for(upstream, llmchat))
    upstream.add(tool_reply("pay", {"amount": 10}))
    with caplog.at_level(logging.ERROR):
        result = page.send()
    assert not ran and len(result.approvals) == 1
    assert "the approval function of tool 'pay'" in caplog.text


@pytest.mark.parametrize("reason", ["", " ", None, 5])
def test_a_denial_has_a_reason(reason: Any, upstream: FakeUpstream, llmchat: LLMChat) -> None:
    """Without words it looked as if the tool had run."""
    with pytest.raises(TypeError, match="reason of Denied has to be words"):
        Denied(reason)
    ran: list[Any] = []
    rules(llmchat, lambda call, context: Denied(reason), ran)
    page = Page(app_for(upstream, llmchat))
    upstream.add(tool_reply("pay", {"amount": 10}))
    assert len(page.send().approvals) == 1 and not ran


def test_a_rule_may_be_async(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    pytest.importorskip("asgiref")

    async def rule(call: ProposedCall, context: ToolContext) -> bool:
        return True

    ran: list[Any] = []
    rules(llmchat, rule, ran)
    page = Page(app_for(upstream, llmchat))
    upstream.add(tool_reply("pay", {"amount": 10}))
    assert len(page.send().approvals) == 1 and not ran


def test_an_approved_tool_may_fail(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    @llmchat.tool(approval=True)
    def pay() -> str:
        """Pay."""
        raise ToolError("The bank is closed.")

    page = Page(app_for(upstream, llmchat))
    upstream.add(tool_reply("pay"), text_reply("Sorry."))
    page.send()
    page.decide()
    page.send()
    assert page.tool["errorText"] == "The bank is closed."


# ---- Claims


def test_the_apps_own_claimer(upstream: FakeUpstream, llmchat: LLMChat, paid: list[Any]) -> None:
    claimed: list[tuple[str, float]] = []

    @llmchat.approval_claimer
    def claim(key: str, expires_at: float) -> bool:
        assert has_app_context() and not has_request_context()
        claimed.append((key, expires_at))
        return len(claimed) == 1

    page = Page(app_for(upstream, llmchat))
    ask(page, upstream)
    page.decide()
    sent = json.loads(json.dumps(page.messages))
    upstream.add(text_reply("Paid."), text_reply("It is done."))
    page.send()
    (key, expires_at), *_ = claimed
    # It is kept for as long as a chat that had found it valid may still be running.
    deadline = 600
    assert key == paid[0][-1] and 800 < expires_at - deadline - time.time() <= 901
    page.messages, page.answer = sent, sent[-1]
    page.send()
    assert len(paid) == 1 and page.tool["errorText"].startswith("This was already carried out")


@pytest.mark.parametrize("answer", [OSError("redis://:secret@host"), None, 1])
def test_where_nobody_can_tell_nothing_is_run(
    answer: Any, upstream: FakeUpstream, llmchat: LLMChat, paid: list[Any]
) -> None:
    @llmchat.approval_claimer
    def claim(key: str, expires_at: float) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    page = Page(app_for(upstream, llmchat))
    ask(page, upstream)
    page.decide()
    upstream.add(text_reply("Sorry."))
    page.send()
    assert not paid and "could not be checked" in page.tool["errorText"]


def test_approved_calls_count_as_calls_of_their_chat(
    upstream: FakeUpstream, llmchat: LLMChat, paid: list[Any]
) -> None:
    page = Page(app_for(upstream, llmchat))
    refunds = [("refund", {"order": order, "amount": 1}) for order in (6, 7)]
    upstream.add(tool_reply("refund", {"order": 5, "amount": 1}, *refunds))
    page.send()
    page.decide()
    page.app = app_for(upstream, llmchat, LLMCHAT_TOOL_CALLS=2)
    upstream.add(tool_reply("find_order", {"order": 5}), text_reply("Two are paid."))
    result = page.send()
    assert [order for _, order, *_ in paid] == [5, 6]
    assert [run.outcome for run in result.tool_runs].count("refused") == 2
    assert "no tool calls left" in page.tool["errorText"]
    assert "no tool calls left" in page.part("call_3")["errorText"]


def test_an_approval_that_came_in_time_is_used_once_however_long_its_call_waits(
    upstream: FakeUpstream,
    llmchat: LLMChat,
    paid: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits = 30  # for other calls of the chat, which are sequential
    clock = SimpleNamespace(time=lambda: now + waits, monotonic=time.monotonic)
    monkeypatch.setattr("flask_llmchat.streams.memory.time", clock)
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: int(now))
    now = 1_000_000.0
    page = Page(app_for(upstream, llmchat))
    ask(page, upstream)
    page.decide()
    sent = json.dumps(page.messages)
    now += 900.9
    for _ in range(2):
        upstream.add(text_reply("Done."))
        page.messages = json.loads(sent)
        page.answer = page.messages[-1]
        page.send()
    assert len(paid) == 1


# ---- Where nobody can be asked


def post(app: Flask, upstream: FakeUpstream, dialect: str) -> Any:
    upstream.add(tool_reply("pay", {"amount": 60}), text_reply("Sorry."))
    message = {"role": "user", "content": "Pay."}
    with finished(app) as done:
        if dialect == "text":
            body: dict[str, Any] = {"chatSettings": SETTINGS, "messages": [message]}
            app.test_client().post("/api/chat/openai", json=body).close()
        elif dialect == "openai":
            path = "/api/chat/openai/chat/completions"
            app.test_client().post(path, json={**SETTINGS, "messages": [message]}).close()
        else:  # the body of a page whose answer is text
            body = {"chatSettings": SETTINGS, "messages": [ASKED]}
            headers = {"Accept": "text/plain"}
            app.test_client().post("/api/chat/openai", json=body, headers=headers).close()
        return done.only


@pytest.mark.parametrize("dialect", ["text", "openai", "ui to text"])
def test_other_dialects_have_no_place_for_the_question(
    dialect: str, upstream: FakeUpstream, llmchat: LLMChat
) -> None:
    ran: list[Any] = []
    rules(llmchat, lambda call, context: call.arguments["amount"] > 50, ran)
    result = post(app_for(upstream, llmchat), upstream, dialect)
    offered = {tool["function"]["name"] for tool in upstream.requests[0].json["tools"]}
    assert offered == {"find_order", "pay"}  # refund always asks
    assert not ran and [run.outcome for run in result.tool_runs] == ["denied"]
    assert "needs the user's approval" in results_sent(upstream)[0]


def test_a_chat_from_python_has_none_either(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    app = app_for(upstream, llmchat)
    upstream.add(text_reply("Hi."))
    with app.app_context():
        llmchat.complete("openai", "Hi", model="gpt-4.1", profile={"openai_api_key": "sk-1"})
    offered = {tool["function"]["name"] for tool in upstream.requests[0].json["tools"]}
    assert offered == {"find_order"}


def test_nobodys_chat_is_not_offered_tools_that_ask(
    upstream: FakeUpstream, llmchat: LLMChat, caplog: pytest.LogCaptureFixture
) -> None:
    llmchat.caller_loader(lambda profile: None)
    page = Page(app_for(upstream, llmchat))
    upstream.add(text_reply("Hi."))
    page.send()
    offered = {tool["function"]["name"] for tool in upstream.requests[0].json["tools"]}
    assert offered == {"find_order"} and "caller_loader" not in caplog.text


def test_an_app_without_a_caller_loader_is_told_so(
    upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    llmchat = LLMChat()
    llmchat.tool(approval=True, name="pay")(lambda: "Paid.")
    page = Page(app_for(upstream, llmchat))
    upstream.add(text_reply("Hi."), text_reply("Hi."))
    page.send()
    page.send()
    assert "tools" not in upstream.requests[0].json
    assert caplog.text.count("@llmchat.caller_loader") == 1


def test_an_app_without_a_secret_key_is_told_so(
    upstream: FakeUpstream, llmchat: LLMChat, caplog: pytest.LogCaptureFixture
) -> None:
    page = Page(app_for(upstream, llmchat, SECRET_KEY=None))
    page.send()
    assert page.status == 500 and "app.config['SECRET_KEY']" in caplog.text


def test_without_a_secret_key_others_can_chat(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    ran: list[Any] = []
    rules(llmchat, lambda call, context: call.arguments["amount"] > 50, ran)
    result = post(app_for(upstream, llmchat, SECRET_KEY=None), upstream, "text")
    assert not ran and [run.outcome for run in result.tool_runs] == ["denied"]


def test_a_hook_that_takes_the_caller_away(
    app: Flask, upstream: FakeUpstream, llmchat: LLMChat, paid: list[Any]
) -> None:
    @llmchat.before_chat
    def nobody(chat: ChatRequest) -> None:
        chat.caller = None

    page = Page(app)
    upstream.add(tool_reply("refund", {"order": 5, "amount": 1}), text_reply("Sorry."))
    result = page.send()
    assert result.outcome == "ok" and not paid
    assert "needs the user's approval" in page.tool["errorText"]


def test_approvals_without_tools_are_settled(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    page = Page(app_for(upstream, llmchat))
    ask(page, upstream)
    page.decide()
    bare = LLMChat()
    page.app = app_for(upstream, bare)
    upstream.add(text_reply("Sorry."))
    page.send()
    assert page.tool["errorText"] == NOT_VALID and page.kinds[-1] == "finish"


@pytest.mark.parametrize("approval", ["yes", 1, None])
def test_an_approval_that_is_none_is_refused_at_once(approval: Any) -> None:
    with pytest.raises(TypeError, match="approval has to be True, False or a function"):
        LLMChat().tool(approval=approval, name="pay")(lambda: "")


# ---- What else may go wrong


@pytest.mark.parametrize(
    "reply",
    [
        error_reply(500, "No."),
        error_reply(429, "No."),
        text_reply("Pa", then=[CUT], finish_reason=None, done=False),
    ],
)
def test_the_provider_fails_after_the_tool_has_run(
    reply: Any, upstream: FakeUpstream, llmchat: LLMChat, paid: list[Any]
) -> None:
    app = app_for(upstream, llmchat, LLMCHAT_FALLBACKS={"openai": ["groq"]})
    page = Page(app)
    ask(page, upstream)
    page.decide()
    upstream.add(reply)
    result = page.send()
    assert page.status == 200 and page.kinds[-1] == "error"
    assert page.kinds[1] == "tool-output-available" and len(paid) == 1
    assert result.error is not None and len(result.tool_runs) == 1
    assert len(upstream.requests) == 2  # no fallback: tools have run


@pytest.mark.parametrize("obeys", [True, False])
def test_a_server_that_stops_says_what_became_of_the_tool(
    obeys: bool, upstream: FakeUpstream, llmchat: LLMChat
) -> None:
    """Otherwise nobody would know, and the user might have it done again."""
    release = threading.Event()

    @llmchat.tool(approval=True, timeout=1)
    def pay(context: ToolContext) -> str:
        """Pay."""
        (token,) = current_runtime().watchdog._tokens
        token.interrupt("stopping")
        (context.cancelled if obeys else release).wait(10)
        return "Paid."

    page = Page(app_for(upstream, llmchat))
    upstream.add(tool_reply("pay"))
    page.send()
    page.decide()
    result = page.send()
    release.set()
    assert result.error is not None and result.error.code == "overloaded"
    assert page.kinds[0] == "start" and page.kinds[2:] == ["error"]
    ended = "The chat ended before the tool did."
    assert page.tool.get("output", page.tool.get("errorText")) == ("Paid." if obeys else ended)


def test_a_client_that_does_not_read_has_not_left(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    @llmchat.tool(approval=True)
    def pay() -> str:
        """Pay."""
        return "Paid."

    page = Page(app_for(upstream, llmchat, LLMCHAT_DEADLINE=2.0))
    upstream.add(tool_reply("pay"))
    page.send()
    page.decide()
    body = {"chatSettings": SETTINGS, "messages": page.messages}
    with finished(page.app) as done:
        response = page.app.test_client().post("/api/chat/openai", json=body)
        (token,) = current_runtime().watchdog._tokens
        wait_for(lambda: token.reason)
        response.close()
        assert done.only.outcome == "deadline"


def test_a_chat_that_is_refused_uses_no_approval(
    upstream: FakeUpstream, llmchat: LLMChat, paid: list[Any]
) -> None:
    refuse: list[bool] = []

    @llmchat.before_chat
    def quota(chat: Any) -> None:
        if refuse:
            raise ChatError("Too much.", "rate_limited")

    page = Page(app_for(upstream, llmchat))
    ask(page, upstream)
    page.decide()
    refuse.append(True)
    page.send()
    assert page.status == 429 and not paid
    refuse.clear()
    upstream.add(text_reply("Paid."))
    page.send()
    assert len(paid) == 1


def test_ids_that_a_provider_repeats(app: Flask, upstream: FakeUpstream, paid: list[Any]) -> None:
    """The page knows the second call by another id: the approval holds for that one."""
    page = Page(app)
    reply = tool_reply("refund", {"order": 5, "amount": 1})
    upstream.add(reply)
    page.send()
    page.decide()
    upstream.add(reply)
    page.send()
    page.decide()
    upstream.add(text_reply("Paid."))
    page.send()
    ids = [part["toolCallId"] for part in page.parts if "toolCallId" in part]
    assert len(set(ids)) == 2 and len(paid) == 2
