"""A page may be offered fewer of the server's tools, and never more."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from flask_llmchat import ChatRequest, LLMChat, Tool
from flask_llmchat.testing import FakeUpstream, text_reply, tool_reply
from tests.support.apps import body, finished, make_app, ui_body

URL = "/api/chat/openai"


def said(name: str, **more: Any) -> Tool:
    return Tool(lambda: name, name=name, description=name, **more)


@pytest.fixture
def app(upstream: FakeUpstream) -> Flask:
    llmchat = LLMChat()
    llmchat.add_tools(said("one"), said("two"), said("secret", when=lambda chat: False))
    llmchat.tools_loader(lambda chat: [said("own")])
    return make_app(upstream, llmchat=llmchat)


def bodies(names: Any) -> list[dict[str, Any]]:
    return [
        body(serverTools=names),
        ui_body(chatSettings={"model": "gpt-4.1", "serverTools": names}),
    ]


@pytest.mark.parametrize(
    ("wanted", "offered"),
    [
        (None, ["one", "two", "own"]),
        (["own", "two", "own"], ["two", "own"]),
        ([], None),
        (["secret"], None),
        (["one", "nobody", ""], ["one"]),
    ],
)
def test_only_the_named_tools_are_offered(
    app: Flask, upstream: FakeUpstream, wanted: Any, offered: list[str] | None
) -> None:
    for posted in bodies(wanted):
        assert app.test_client().post(URL, json=posted).status_code == 200
        tools = upstream.requests[-1].json.get("tools")
        assert (tools and [tool["function"]["name"] for tool in tools]) == offered
        assert "serverTools" not in str(upstream.requests[-1].json)


def test_a_tool_that_is_not_wanted_cannot_be_called(app: Flask, upstream: FakeUpstream) -> None:
    upstream.add(tool_reply("two", {}), text_reply("So."))
    with finished(app) as done:
        assert app.test_client().post(URL, json=body(serverTools=["one"])).text == "So."
    assert [run.outcome for run in done.only.tool_runs] == ["refused"]


def test_hooks_see_what_the_page_wants(upstream: FakeUpstream) -> None:
    llmchat = LLMChat()
    chats: list[ChatRequest] = []
    llmchat.before_chat(chats.append)
    make_app(upstream, llmchat=llmchat).test_client().post(URL, json=body(serverTools=["a"]))
    assert chats[0].settings["serverTools"] == ["a"]


def test_a_client_may_use_the_name_of_a_tool_that_it_does_not_want(
    app: Flask, upstream: FakeUpstream
) -> None:
    tools = [{"type": "function", "function": {"name": "one"}}]
    client = app.test_client()
    assert client.post(URL, json=body(tools=tools)).status_code == 422
    assert client.post(URL, json=body(tools=tools, serverTools=["two"])).status_code == 200
    names = [tool["function"]["name"] for tool in upstream.requests[0].json["tools"]]
    assert names == ["one", "two"]
