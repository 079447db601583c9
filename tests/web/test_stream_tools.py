"""Chats with tools of the server, whose responses are read again: each call is run once."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from flask import Flask

from flask_llmchat import LLMChat, ToolContext
from flask_llmchat.core.result import TOKEN_COUNTS
from flask_llmchat.streams.base import Orphan
from flask_llmchat.streams.memory import MemoryWriter
from flask_llmchat.testing import FakeUpstream, text_reply, tool_reply
from tests.support.apps import finished
from tests.support.redis_server import RedisServer
from tests.support.streams import (
    URL,
    Came,
    Client,
    frames_of,
    keeping,
    visited,
    without_ids,
)

HEARTBEAT = b": keep-alive\n\n"


def test_who_comes_back_in_the_middle_of_a_tool_runs_nothing(
    dialect: str, store: str, upstream: FakeUpstream
) -> None:
    llmchat = LLMChat()
    runs: list[str] = []
    started, may_end = threading.Event(), threading.Event()

    @llmchat.tool
    def look(context: ToolContext) -> str:
        """Look for the order."""
        runs.append(context.call_id)
        context.progress("half")
        started.set()
        assert may_end.wait(5)
        return "tea"

    for _ in range(2):
        upstream.add(tool_reply("look", {}, text="I look."), text_reply("It is ", "tea."))
    app = keeping(upstream, llmchat, store=store)
    with visited(app) as client, finished(app) as done:
        may_end.set()
        undisturbed = client.post(dialect, "other").rest()
        started.clear(), may_end.clear()
        writing = client.post(dialect, "c1", Idempotency_Key="k")
        assert started.wait(5)
        writing.leave()
        readers = [
            client.open("GET", f"{URL}/c1/stream"),
            client.post(dialect, "c1", Idempotency_Key="k"),
        ]
        may_end.set()
        told = [reader.rest().body.replace(HEARTBEAT, b"") for reader in readers]
        whole = client.get(str(writing.stream)).body
        assert told == [whole, whole]
        if dialect != "openai":  # where deltas that come at once are one chunk
            assert without_ids(whole) == without_ids(undisturbed.body)
        result = done.wait(2)[1]
    assert (result.outcome, result.text) == ("ok", "I look.\n\nIt is tea.")
    assert len(runs) == 2
    assert len(upstream.requests) == 4


# Approvals.

CALL = tool_reply("pay", {"order": 5})


def app_that_asks(upstream: FakeUpstream, paid: list[int], store: str) -> Flask:
    llmchat = LLMChat()

    @llmchat.tool(approval=True)
    def pay(order: int) -> str:
        """Pay an order back."""
        paid.append(order)
        return "Paid."

    app = keeping(upstream, llmchat, store=store)
    app.secret_key = "secret"
    return app


def approved(asked: Came) -> dict[str, Any]:
    """Return the body of the next chat, in which the user has said yes."""
    frames = {frame["type"]: frame for frame in frames_of(asked.body) if frame != "[DONE]"}
    call = frames["tool-input-available"]
    part = {
        "type": "tool-pay",
        "toolCallId": call["toolCallId"],
        "state": "approval-responded",
        "input": call["input"],
        "approval": {"id": frames["tool-approval-request"]["approvalId"], "approved": True},
    }
    messages = [
        {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Pay it back."}]},
        {"id": "a1", "role": "assistant", "parts": [{"type": "step-start"}, part]},
    ]
    return {"id": "c1", "chatSettings": {"model": "gpt-4.1"}, "messages": messages}


def outcome_of(came: Came) -> Any:
    """Return what a page is told of the call."""
    assert came.status == 200, came.body
    (told,) = [
        frame.get("output") or frame["errorText"]
        for frame in frames_of(came.body)
        if frame != "[DONE]" and frame["type"].startswith("tool-output")
    ]
    return told


USED = "This was already carried out; its result is not known here."


def test_an_approval_is_used_once_by_all_workers(
    redis: RedisServer, upstream: FakeUpstream
) -> None:
    paid: list[int] = []
    apps = [app_that_asks(upstream, paid, redis.url) for _ in range(2)]
    upstream.add(CALL, text_reply("Done."), text_reply("Done before."))
    with visited(apps[0]) as one, visited(apps[1]) as other:
        body = approved(one.post("ui").rest())
        first = one.open("POST", URL, body).rest()
        second = other.open("POST", URL, body).rest()
    assert [outcome_of(first), outcome_of(second)] == ["Paid.", USED]
    assert paid == [5]


def test_an_approval_that_two_workers_get_at_the_same_moment_is_used_once(
    redis: RedisServer,
) -> None:
    paid: list[int] = []
    replies = [CALL]
    with FakeUpstream(lambda _: replies.pop() if replies else text_reply("Done.")) as upstream:
        apps = [app_that_asks(upstream, paid, redis.url) for _ in range(2)]
        told: list[Any] = []
        together = threading.Barrier(6)

        def send(client: Client) -> None:
            together.wait(10)
            told.append(outcome_of(client.open("POST", URL, body).rest()))

        with visited(apps[0]) as one, visited(apps[1]) as other:
            body = approved(one.post("ui").rest())
            threads = [threading.Thread(target=send, args=(c,)) for c in [one, other] * 3]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
    assert sorted(told) == ["Paid.", *[USED] * 5]
    assert paid == [5]


def test_while_the_store_is_away_what_was_approved_is_not_run(
    redis: RedisServer, upstream: FakeUpstream
) -> None:
    paid: list[int] = []
    app = app_that_asks(upstream, paid, redis.url)
    away = app_that_asks(upstream, paid, f"unix://{redis.folder}/none.sock")
    upstream.add(CALL, text_reply("Later."), text_reply("Done."))
    with visited(app) as client, visited(away) as cut_off:
        body = approved(client.post("ui").rest())
        told = outcome_of(cut_off.open("POST", URL, body).rest())
        assert told.startswith("This call was not run: its approval could not be checked.")
        assert paid == []
        assert outcome_of(client.open("POST", URL, body).rest()) == "Paid."
    assert paid == [5]


def test_an_approval_is_another_one_in_each_instance(
    redis: RedisServer, upstream: FakeUpstream
) -> None:
    """Of one app name, on one Redis: whoever signs differently claims nothing of the other's."""
    paid: list[int] = []
    one, other = (app_that_asks(upstream, paid, redis.url) for _ in range(2))
    other.secret_key = "another"
    upstream.add(CALL, text_reply("Sorry."), text_reply("Done."))
    with visited(one) as client, visited(other) as stranger:
        body = approved(client.post("ui").rest())
        told = outcome_of(stranger.open("POST", URL, body).rest())
        assert told == "This approval is no longer valid."
        assert outcome_of(client.open("POST", URL, body).rest()) == "Paid."


def test_who_comes_back_to_a_chat_with_an_approval_runs_nothing(
    store: str, upstream: FakeUpstream
) -> None:
    paid: list[int] = []
    app = app_that_asks(upstream, paid, store)
    upstream.add(CALL, text_reply("Done.", delay=0.2))
    with visited(app) as client:
        body = approved(client.post("ui").rest())
        writing = client.open("POST", URL, body)
        writing.until("Paid.")
        writing.leave()
        again = client.get("c1")
        assert outcome_of(again) == "Paid."
        kinds = [frame["type"] for frame in frames_of(again.body)[:4]]
        # Its question is not put again.
        assert kinds == ["start", "start-step", "tool-input-available", "finish-step"]
        assert b"Done." in again.body
    assert paid == [5] and len(upstream.requests) == 2


def test_a_worker_that_dies_leaves_what_the_finished_steps_have_cost(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    llmchat = LLMChat()
    llmchat.tool(name="look")(lambda: "tea")
    llmchat.before_chat(lambda chat: chat.context.update(seen=1))
    left: list[Orphan] = []

    def update(writer: MemoryWriter, state: dict[str, Any]) -> None:
        left.append(Orphan(writer.info, "I look.", json.loads(json.dumps(state))))

    monkeypatch.setattr(MemoryWriter, "update", update)
    upstream.add(tool_reply("look", {}, text="I look."), text_reply("It is tea."))
    app = keeping(upstream, llmchat)
    with visited(app) as client, finished(app) as done:
        client.post("ui").rest()
        app.extensions["llmchat"]["llmchat"].streams._finish_orphan(left[-1])
        whole, orphan = done.wait(2)
    assert (orphan.outcome, orphan.text, orphan.context) == ("interrupted", "I look.", {"seen": 1})
    counted = {name: getattr(whole.steps[0].usage, name) for name in TOKEN_COUNTS}
    assert {name: getattr(orphan.usage, name) for name in TOKEN_COUNTS} == counted
    assert (orphan.caller, orphan.stream_id) == (whole.caller, whole.stream_id)
    assert (orphan.conversation_id, orphan.message_id) == ("c1", whole.message_id)
    assert orphan.error.code == "interrupted"
