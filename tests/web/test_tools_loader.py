"""Tools that are loaded for one chat, and those of them that a client selects."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from typing import Any

import pytest
from flask import Flask, request

from flask_llmchat import ChatRequest, LLMChat, Provider, Tool, ToolContext
from flask_llmchat.testing import FakeUpstream, Reply, text_reply, tool_reply
from tests.support.apps import KEYS, asked, body, finished, make_app, ui_body

URL = "/api/chat/openai"
ROWS = {"7": "orders", "row-8": "parcels"}
NO_ARGUMENTS = {"type": "object", "properties": {}}
THIS = f"<Tool 'orders' of id '7': {__name__}.run_row>"


def registered() -> str:
    """Tell something."""
    return "registered"


def run_row(row: str, context: ToolContext) -> str:
    return f"{row} of {context.caller and context.caller.id}"


def tool_of(row: str, **more: Any) -> Tool:
    function = partial(run_row, row)
    return Tool(function, id=row, name=ROWS[row], parameters=NO_ARGUMENTS, **more)


def app_with(upstream: FakeUpstream, loaded: Any, **config: Any) -> tuple[Flask, LLMChat]:
    llmchat = LLMChat()
    llmchat.tool(registered)
    llmchat.caller_loader(lambda profile: "ann")
    llmchat.tools_loader(loaded)
    return make_app(upstream, llmchat=llmchat, config=config), llmchat


def selecting(*ids: Any, **row: Any) -> dict[str, Any]:
    """Return a body as chatbot-ui posts it, with whole rows of its table."""
    rows = [{"id": id, "name": "x", "schema": "{}", "custom_headers": None, **row} for id in ids]
    return {**body(), "selectedTools": rows}


def offered(upstream: FakeUpstream) -> list[str]:
    return [tool["function"]["name"] for tool in upstream.requests[-1].json.get("tools", ())]


def logged(caplog: pytest.LogCaptureFixture) -> str:
    errors = (record.exc_info for record in caplog.records if record.levelno >= logging.ERROR)
    return " ".join(str(info[1]) for info in errors if info)


def test_loaded_tools_come_after_the_registered_ones_and_run(upstream: FakeUpstream) -> None:
    seen: list[Any] = []

    def load(chat: ChatRequest) -> Iterable[Tool]:
        seen.append((request.path, chat.caller and chat.caller.id, chat.profile["groq_api_key"]))
        yield from map(tool_of, ROWS)

    app, llmchat = app_with(upstream, load)
    llmchat.before_chat(lambda chat: seen.append([*chat.server_tools]))
    upstream.add(tool_reply("parcels", {}), text_reply("None."))
    with finished(app) as done:
        assert app.test_client().post(URL, json=body()).text == "None."
    assert seen == [(URL, "ann", KEYS["groq_api_key"]), ["registered", "orders", "parcels"]]
    assert offered(upstream) == ["registered", "orders", "parcels"]
    assert upstream.requests[-1].json["messages"][-1]["content"] == "row-8 of ann"
    assert [run.outcome for run in done.only.tool_runs] == ["ok"]


def test_the_loader_may_be_async(upstream: FakeUpstream) -> None:
    async def load(chat: ChatRequest) -> list[Tool]:
        return [tool_of("7")]

    app, _ = app_with(upstream, load)
    app.test_client().post(URL, json=body()).close()
    assert offered(upstream) == ["registered", "orders"]


def test_every_dialect_and_python_have_them(upstream: FakeUpstream) -> None:
    app, llmchat = app_with(upstream, lambda chat: [tool_of("7")])
    client = app.test_client()
    for path, posted in ((URL, ui_body()), (f"{URL}/chat/completions", asked())):
        client.post(path, json=posted).close()
        assert offered(upstream) == ["registered", "orders"]
    with app.app_context():
        llmchat.complete("openai", "Hi", model="gpt-4.1", profile=KEYS)
    assert offered(upstream) == ["registered", "orders"] and len(upstream.requests) == 3


def test_when_holds_for_loaded_tools_too(upstream: FakeUpstream) -> None:
    app, _ = app_with(upstream, lambda chat: [tool_of("7", when=lambda chat: False)])
    app.test_client().post(URL, json=body()).close()
    assert offered(upstream) == ["registered"]


def test_where_no_tool_is_offered_none_is_loaded(upstream: FakeUpstream) -> None:
    calls: list[Any] = []
    app, _ = app_with(upstream, calls.append, LLMCHAT_TOOL_STEPS=1)
    assert app.test_client().post(URL, json=body()).status_code == 200
    row = Provider(name="plain", label="Plain", base_url="", unsupported_params={"tools"})
    llmchat = LLMChat(providers=[row])
    llmchat.tools_loader(calls.append)
    app = make_app(upstream, profile={"plain_api_key": "sk-x"}, llmchat=llmchat)
    assert app.test_client().post("/api/chat/plain", json=selecting("gone")).status_code == 200
    assert calls == []


def test_a_fallback_has_the_same_tools_without_another_call(upstream: FakeUpstream) -> None:
    calls: list[Any] = []

    def load(chat: ChatRequest) -> list[Tool]:
        calls.append(chat.provider)
        return [tool_of("7")]

    config = {"LLMCHAT_FALLBACKS": {"openai": ["groq"]}, "LLMCHAT_MAX_RETRIES": 0}
    app, _ = app_with(upstream, load, **config)
    upstream.add(Reply(503), text_reply("Hi"))
    assert app.test_client().post(URL, json=body()).text == "Hi"
    assert calls == ["openai"] and offered(upstream) == ["registered", "orders"]


@pytest.mark.parametrize(
    ("loaded", "told"),
    [
        (lambda chat: None, "tools_loader: a NoneType is no list of tools; return [] for none"),
        (lambda chat: tool_of("7"), "tools_loader: a Tool is no list of tools"),
        (lambda chat: [registered], "tools_loader: a function is no tool; write Tool(function)"),
        (lambda chat: {"7": tool_of("7")}, "tools_loader: a str is no tool"),
        (
            lambda chat: [tool_of("7"), tool_of("7")],
            f"{THIS} and {THIS} have the same name",
        ),
        (
            lambda chat: [Tool(lambda: "", name="registered")],
            f"<lambda>> and <Tool 'registered': {__name__}.registered> have the same name; give",
        ),
        (
            lambda chat: [Tool(registered, id=7)],  # type: ignore[arg-type]
            "tool 'registered': id has to be a string, such as str(row.id)",
        ),
    ],
)
def test_a_mistake_of_the_loaders_is_a_500_and_told_in_the_log(
    loaded: Any, told: str, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    app, _ = app_with(upstream, loaded)
    with finished(app) as done:
        response = app.test_client().post(URL, json=body())
    assert (response.status_code, response.json["code"]) == (500, "internal")
    assert told in logged(caplog) and not upstream.requests
    assert done.only.outcome == "refused"


# What a client selects.


def by_id(chat: ChatRequest) -> Iterable[Tool]:
    return [tool_of(row) for row in ROWS if row in chat.tool_ids]


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        ((), []),
        (("7",), ["orders"]),
        ((7,), ["orders"]),
        (("row-8", 7.0, "7"), ["orders", "parcels"]),
    ],
)
def test_the_loader_gets_the_ids_that_a_client_selects(
    upstream: FakeUpstream, ids: tuple[Any, ...], names: list[str]
) -> None:
    app, _ = app_with(upstream, by_id)
    posted = selecting(*ids, name="orders", schema='{"servers": [{"url": "http://evil.example"}]}')
    assert app.test_client().post(URL, json=posted).status_code == 200
    assert offered(upstream) == ["registered", *names]
    assert "evil" not in str(upstream.requests[0].json)


def test_what_was_not_selected_may_be_offered_too(upstream: FakeUpstream) -> None:
    app, _ = app_with(upstream, lambda chat: map(tool_of, ROWS))
    app.test_client().post(URL, json={**selecting("7")}).close()
    assert offered(upstream) == ["registered", "orders", "parcels"]
    app.test_client().post(URL, json={**body(), "selectedTools": None}).close()
    assert offered(upstream) == ["registered", "orders", "parcels"]


@pytest.mark.parametrize("id", ["9", "", "registered", "orders", "7 ", "é"])
def test_an_id_that_the_loader_does_not_give_is_refused(upstream: FakeUpstream, id: str) -> None:
    app, llmchat = app_with(upstream, by_id)
    seen: list[ChatRequest] = []
    llmchat.before_chat(seen.append)
    response = app.test_client().post(URL, json=selecting("7", id))
    assert (response.status_code, response.json["code"]) == (422, "bad_request")
    assert response.json["message"].startswith("selectedTools.1.id: ")
    assert not upstream.requests and not seen


def test_without_a_loader_what_is_selected_is_ignored(upstream: FakeUpstream) -> None:
    llmchat = LLMChat()
    llmchat.tool(registered)
    app = make_app(upstream, llmchat=llmchat)
    assert app.test_client().post(URL, json=selecting("7", "gone")).status_code == 200
    assert offered(upstream) == ["registered"]


def test_other_dialects_select_nothing(upstream: FakeUpstream) -> None:
    app, _ = app_with(upstream, by_id)
    posted = {**ui_body(), "selectedTools": [{"id": "gone"}]}
    assert app.test_client().post(URL, json=posted).status_code == 200
    assert offered(upstream) == ["registered"]


@pytest.mark.parametrize(
    ("selected", "told"),
    [
        ({}, "selectedTools: Not a valid list"),
        (["7"], "selectedTools.0: Invalid input type"),
        ([{}], "selectedTools.0.id: Missing data"),
        ([{"id": None}], "selectedTools.0.id: Field may not be null"),
        ([{"id": True}], "selectedTools.0.id: Not a valid string"),
        ([{"id": 1.5}], "selectedTools.0.id: Not a valid string"),
        ([{"id": {"a": 1}}], "selectedTools.0.id: Not a valid string"),
        ([{"id": "x" * 257}], "selectedTools.0.id: Length must be between 1 and 256"),
        ([{"id": "\ud83d"}], "selectedTools.0.id: Holds half a character"),
        ([{"id": "7"}] * 129, "selectedTools: Length must be between 0 and 128"),
        ([{"id": "7", **{f"x{i}": i for i in range(64)}}], "selectedTools.0: Has more than 64"),
    ],
)
def test_what_is_no_selection_is_named(upstream: FakeUpstream, selected: Any, told: str) -> None:
    response = (
        make_app(upstream).test_client().post(URL, json={**body(), "selectedTools": selected})
    )
    assert response.status_code == 422 and told in response.json["message"]
    assert not upstream.requests
