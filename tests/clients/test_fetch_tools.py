"""The page of docs/fetch.md, which reads text, in chats with tools that the server runs."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from flask_llmchat import LLMChat, ToolContext, ToolError
from flask_llmchat.testing import CUT, FakeUpstream, error_reply, text_reply, tool_reply
from tests.support.apps import body, finished, make_app
from tests.support.docs_blocks import BLOCKS
from tests.support.node import run_js
from tests.support.servers import served

CODE = [b.code for b in BLOCKS if (b.page, b.language) == ("docs/fetch.md", "js")]


@pytest.fixture
def may_end() -> threading.Event:
    """Return what the tool ``slow`` waits for."""
    return threading.Event()


@pytest.fixture
def app(upstream: FakeUpstream, may_end: threading.Event) -> Flask:
    llmchat = LLMChat()

    @llmchat.tool
    def find_orders() -> list[str]:
        """List the user's orders."""
        return ["secret"]

    @llmchat.tool
    def slow(context: ToolContext) -> Iterator[str]:
        """Take some time."""
        yield "half"
        may_end.wait(5)
        yield "whole"

    @llmchat.tool
    def fail_late() -> Iterator[str]:
        """Fail after some time."""
        yield "half"
        time.sleep(0.1)
        raise ToolError("No stock.")

    @llmchat.tool(timeout=0.1)
    def too_slow(context: ToolContext) -> None:
        """Never end in time."""
        context.cancelled.wait(5)

    config = {"LLMCHAT_HEARTBEAT": 0.02, "LLMCHAT_MAX_RETRIES": 0}
    return make_app(upstream, llmchat=llmchat, config=config)


def shown_by_the_page(app: Flask) -> Any:
    with served(app) as port:
        (shown,) = run_js("page.mjs", {"code": CODE, "origins": [f"http://127.0.0.1:{port}"]})
    return shown


@pytest.mark.external
def test_a_page_shows_the_words_of_all_steps(
    app: Flask, upstream: FakeUpstream, may_end: threading.Event
) -> None:
    threading.Timer(0.2, may_end.set).start()  # some heartbeats later, were there any
    upstream.add(
        tool_reply("find_orders", text=["Let me", " look."]),
        tool_reply("slow", {}, ("no_such_tool", {})),  # a step without words
        tool_reply("find_orders", {}, text="I see."),
        text_reply("Two", " were sent: \U0001f375."),
    )
    assert shown_by_the_page(app) == "Let me look.\n\nI see.\n\nTwo were sent: \U0001f375."


@pytest.mark.external
@pytest.mark.parametrize(
    ("tool", "told"),
    [("fail_late", "No stock."), ("too_slow", "The tool timed out after 0.1 seconds.")],
)
def test_a_tool_that_fails_late_is_told_to_the_model_alone(
    tool: str, told: str, app: Flask, upstream: FakeUpstream
) -> None:
    upstream.add(tool_reply(tool, text="I look."), text_reply("There is none."))
    assert shown_by_the_page(app) == "I look.\n\nThere is none."
    assert upstream.requests[1].json["messages"][-1]["content"] == told


@pytest.mark.external
@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        (error_reply(503, "Busy."), "I look."),
        (text_reply("Tw", finish_reason=None, done=False, usage=None, then=[CUT]), "I look.\n\nTw"),
    ],
    ids=["refused", "cut"],
)
def test_a_later_step_that_fails_does_not_look_complete(
    reply: Any, shown: str, app: Flask, upstream: FakeUpstream
) -> None:
    upstream.add(tool_reply("find_orders", text="I look."), reply)
    assert shown_by_the_page(app) == f"{shown}\n\n[The response broke off.]"


@pytest.mark.external
def test_a_page_that_has_seen_no_word_yet_shows_the_error(
    app: Flask, upstream: FakeUpstream
) -> None:
    upstream.add(tool_reply("find_orders"), error_reply(503, "Busy."))
    assert shown_by_the_page(app) == "\n\n[The server failed.]"


def test_words_are_there_while_a_tool_runs(
    app: Flask, upstream: FakeUpstream, may_end: threading.Event
) -> None:
    upstream.add(tool_reply("slow", text="I look."), text_reply("Done."))
    with served(app) as port, finished(app) as done:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/api/chat/openai", json.dumps(body()), headers)
        response = connection.getresponse()
        assert response.read1(100) == b"I look."
        may_end.set()
        assert response.read() == b"\n\nDone."
        connection.close()
        assert done.only.outcome == "ok"
