"""Pages with the AI SDK whose user approves tool calls of the server's, or does not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from flask_llmchat import LLMChat, ToolContext
from flask_llmchat.testing import FakeUpstream, text_reply, tool_reply
from tests.support.apps import finished, make_app
from tests.support.pages import play
from tests.support.servers import served
from tests.support.tool_chats import wait_for
from tests.support.ui_conversations import INTERRUPTED

pytestmark = pytest.mark.external

PAGES_TOOL = {"type": "function", "function": {"name": "city", "parameters": {"type": "object"}}}
YES, NO = {"approved": True}, {"approved": False, "reason": "Too much."}


@pytest.fixture(params=["ai6", "ai"])  # version 5 knows no approvals
def sdk(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def paid() -> list[float]:
    return []


@pytest.fixture
def cancelled() -> threading.Event:
    return threading.Event()


@pytest.fixture
def app(upstream: FakeUpstream, paid: list[float], cancelled: threading.Event) -> Flask:
    llmchat = LLMChat()
    llmchat.caller_loader(lambda profile: "ada")

    @llmchat.tool(approval=True)
    def refund(amount: float) -> dict[str, float]:
        """Pay back."""
        paid.append(amount)
        return {"paid": amount}

    @llmchat.tool(approval=True)
    def order(context: ToolContext, item: str) -> str:
        """Order something, which takes a while."""
        context.progress("I order it.")
        if context.cancelled.wait(10):
            cancelled.set()
        return "ordered"

    @llmchat.tool
    def tell_time() -> str:
        """Tell the time."""
        return "12:30"

    return make_app(upstream, llmchat=llmchat, config={"SECRET_KEY": "secret"})


@pytest.fixture
def port(app: Flask) -> Iterator[int]:
    with served(app) as port:
        yield port


def results(upstream: FakeUpstream, request: int = -1) -> list[str]:
    """Return what the model was told of its calls."""
    messages = upstream.requests[request].json["messages"]
    return [message["content"] for message in messages if message["role"] == "tool"]


def states(page: Any, step: int = -1, message: int = -1) -> list[str]:
    return [part["state"] for part in page.tools(step, message)]


def test_a_call_is_run_once_the_user_approves(
    sdk: str, port: int, upstream: FakeUpstream, paid: list[float]
) -> None:
    upstream.add(tool_reply("refund", {"amount": 9.5}, ("tell_time", {}), text="Well."))
    upstream.add(text_reply("Paid back."), text_reply("Bye."))
    steps = ["Refund me", {"reload": True}, {"decide": {"refund": YES}}, {"reload": True}, "Bye"]
    page = play(sdk, port, *steps)
    assert page.errors == [] and len(page.requests) == 3
    assert states(page, 0) == ["approval-requested", "output-available"]
    assert [end["finishReason"] for end in page.finished] == ["tool-calls", "stop", "stop"]
    assert paid == [9.5]
    # The response goes on in the same message.
    assert len(page.snapshots[2]["messages"]) == 2
    assert states(page, 2) == ["output-available"] * 2
    assert page.tools(2)[0]["output"] == {"paid": 9.5}
    assert page.kinds(2)[-2:] == ["step-start", "Paid back."]
    assert results(upstream, 1) == results(upstream, 2) == ['{"paid":9.5}', "12:30"]


def test_the_model_is_told_why_the_user_denies(
    sdk: str, port: int, upstream: FakeUpstream, paid: list[float]
) -> None:
    upstream.add(tool_reply("refund", {"amount": 9}), text_reply("Sorry."), text_reply("Bye."))
    page = play(sdk, port, "Refund me", {"decide": {"refund": NO}}, {"reload": True}, "Bye")
    assert page.errors == [] and len(page.requests) == 3 and paid == []
    assert states(page, 1) == ["output-denied"]
    assert page.kinds(1)[-1] == "Sorry."
    assert results(upstream, 1) == results(upstream, 2) == ["Too much."]


def test_nothing_is_sent_before_the_user_has_decided_on_all(
    sdk: str, port: int, upstream: FakeUpstream, paid: list[float]
) -> None:
    upstream.add(
        tool_reply("refund", {"amount": 1}, ("order", {"item": "tea"}), ("city", {})),
        text_reply("One of them."),
    )
    page = play(
        sdk,
        port,
        "Do both",
        {"decide": {"refund": YES}},
        {"decide": {"order": NO}},
        settings={"tools": [PAGES_TOOL]},
        tools={"city": "Rome"},
    )
    assert page.errors == [] and len(page.requests) == 2
    assert [len(step["messages"][-1]["parts"]) for step in page.snapshots] == [4, 4, 6]
    assert states(page) == ["output-available", "output-denied", "output-available"]
    assert results(upstream) == ['{"paid":1.0}', "Too much.", "Rome"]
    assert paid == [1]


def test_a_user_who_writes_on_has_approved_nothing(
    sdk: str, port: int, upstream: FakeUpstream, paid: list[float]
) -> None:
    upstream.add(tool_reply("refund", {"amount": 9}, text="Shall I?"), text_reply("As you like."))
    page = play(sdk, port, "Refund me", {"reload": True}, "No, wait")
    assert page.errors == [] and len(page.requests) == 2 and paid == []
    assert page.kinds() == ["step-start", "As you like."]
    assert results(upstream) == []


def test_a_user_who_stops_the_approved_tool_does_not_run_it_again(
    sdk: str, app: Flask, port: int, upstream: FakeUpstream, cancelled: threading.Event
) -> None:
    upstream.add(tool_reply("order", {"item": "tea"}), text_reply("As you like."))
    stop = {"decide": {"order": YES}, "stopAfter": "I order it."}
    with finished(app) as done:
        page = play(sdk, port, "Order tea", stop, {"reload": True}, "Go on")
        wait_for(cancelled.is_set)
        outcomes = [result.outcome for result in done.wait(3)]
    assert sorted(outcomes) == ["cancelled", "ok", "tool_calls"]
    assert page.errors == [] and len(page.requests) == 3
    assert [end["isAbort"] for end in page.finished] == [False, True, False]
    assert page.kinds() == ["step-start", "As you like."]
    assert results(upstream) == [f"{INTERRUPTED} It had come to this: I order it."]


def test_a_page_that_was_open_twice_runs_the_call_once(
    sdk: str, port: int, upstream: FakeUpstream, paid: list[float]
) -> None:
    upstream.add(tool_reply("refund", {"amount": 9}), text_reply("Paid."), text_reply("Hm."))
    decide = {"decide": {"refund": YES}}
    first = play(sdk, port, "Refund me", decide)
    other = play(sdk, port, decide, messages=first.snapshots[0]["messages"])
    assert first.errors == other.errors == [] and paid == [9]
    assert len(other.requests) == 1 and other.kinds()[-1] == "Hm."
    (part,) = other.tools()
    assert part["state"] == "output-error" and "already carried out" in part["errorText"]
    assert results(upstream) == [part["errorText"]]


def test_a_step_after_the_approval_may_ask_again(
    sdk: str, port: int, upstream: FakeUpstream, paid: list[float]
) -> None:
    # The same id in every step, as some providers have it.
    upstream.add(*(tool_reply("refund", {"amount": amount}) for amount in (1, 2)))
    upstream.add(text_reply("Both."))
    decide = {"decide": {"refund": YES}}
    page = play(sdk, port, "Refund me twice", decide, {"reload": True}, decide)
    assert page.errors == [] and len(page.requests) == 3
    assert states(page, 1) == ["output-available", "approval-requested"]
    assert states(page) == ["output-available"] * 2 and page.kinds()[-1] == "Both."
    assert paid == [1, 2]
