"""What a page may switch on, and what is the app's to add."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from flask_llmchat import ChatRequest, Endpoint, LLMChat
from flask_llmchat.providers.builtin import builtin_providers
from flask_llmchat.testing import FakeUpstream, text_reply
from tests.support.apps import asked, body, make_app, ui_body

ROUTE = "/api/chat/{}"
COMPLETIONS = "/api/chat/{}/chat/completions"
KEYED = {row.key_attr: "k" for row in builtin_providers if row.key_attr}
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {}}}


@pytest.fixture
def app(upstream: FakeUpstream) -> Flask:
    llmchat = LLMChat()
    llmchat.endpoint_loader(lambda name: Endpoint(upstream.base_url))
    return make_app(upstream, llmchat=llmchat, profile=KEYED)


OTHERS: list[tuple[dict[str, Any], str]] = [
    ({"type": "mcp", "server_url": "https://a.example", "headers": {"a": "b"}}, "Only tools of"),
    ({"type": "web_search"}, "Only tools of type 'function' and 'custom' are accepted from cl"),
    ({"type": "web_search_20250305", "name": "web_search"}, "in before_chat"),
    ({"type": "openrouter:web_search"}, "in before_chat"),
    ({"type": ["function"]}, "in before_chat"),
    ({"google_search": {}}, "Unknown field 'google_search'"),
    ({**FUNCTION, "googleSearch": {}}, "Unknown field 'googleSearch'"),
    ({**FUNCTION, "server_url": "https://a.example"}, "Unknown field 'server_url'"),
    ({**FUNCTION, "headers": {}}, "Only the app can add the provider's own tools, addresses and h"),
    ({"type": "function"}, "Must have an object under the name of its type"),
    ({"type": "custom", "function": {}}, "Must have an object under the name of its type"),
    ({}, "Must have an object under the name of its type"),
]


def posted(tool: Any) -> list[tuple[str, str, Any]]:
    settings = {"model": "m", "tools": [FUNCTION, tool]}
    return [
        (ROUTE, "chatSettings.tools.1", body(tools=settings["tools"])),
        (ROUTE, "chatSettings.tools.1", ui_body(chatSettings=settings)),
        (COMPLETIONS, "tools.1", asked(tools=settings["tools"])),
    ]


@pytest.mark.parametrize(("tool", "why"), OTHERS)
def test_tools_that_the_provider_runs_are_the_apps_to_add(
    client: FlaskClient, upstream: FakeUpstream, tool: Any, why: str
) -> None:
    for name in ("openai", "custom", "openrouter"):
        for route, field, given in posted(tool):
            response = client.post(route.format(name), json=given)
            assert response.status_code == 422
            assert f"{field}: " in response.text and why in response.text
    assert not upstream.requests


def test_functions_and_custom_tools_are_taken(client: FlaskClient, upstream: FakeUpstream) -> None:
    tools = [
        FUNCTION,
        {"type": "custom", "custom": {"name": "c"}},
        {"function": {"name": "g"}},
        {**FUNCTION, "cache_control": {"type": "ephemeral"}},
    ]
    for tool in tools:
        for route, _, given in posted(tool):
            upstream.add(text_reply("Hi"))
            with client.post(route.format("openai"), json=given) as response:
                assert response.status_code == 200, response.text
            assert upstream.requests[-1].json["tools"] == [FUNCTION, tool]


@pytest.mark.parametrize("name", ["chat_template", "tokenize", "tokenizer_kwargs"])
def test_a_page_does_not_replace_the_chat_template(client: FlaskClient, name: str) -> None:
    given = asked(chat_template_kwargs={"enable_thinking": False, name: "x"})
    response = client.post(COMPLETIONS.format("vllm"), json=given)
    assert response.status_code == 422
    assert f"chat_template_kwargs.{name}: Not accepted from clients" in response.text


@pytest.mark.parametrize("row", builtin_providers, ids=lambda row: row.name)
def test_no_row_takes_what_costs_more(client: FlaskClient, row: Any) -> None:
    costly = {
        "service_tier": "priority",
        "web_search_options": {},
        "search_parameters": {"mode": "on"},
        "plugins": [{"id": "web"}],
        "models": ["dear"],
        "chat_template": "x",
    }
    response = client.post(COMPLETIONS.format(row.name), json=asked(**costly))
    assert response.status_code == 422
    assert all(f"{name}: " in response.text for name in costly)
    assert "service_tier: Not taken from a page; the app adds it in before_chat" in response.text


def test_the_app_may_let_a_row_take_it_or_add_it_itself(upstream: FakeUpstream) -> None:
    rows = [replace(r, extra_params=r.extra_params | {"service_tier"}) for r in builtin_providers]
    llmchat = LLMChat(providers=rows)

    @llmchat.before_chat
    def search(chat: ChatRequest) -> None:
        chat.tools = [*(chat.tools or ()), {"type": "openrouter:web_search"}]
        chat.extra["web_search_options"] = {"search_context_size": "low"}

    client = make_app(upstream, llmchat=llmchat).test_client()
    upstream.add(text_reply("Hi"))
    given = asked(service_tier="flex", tools=[FUNCTION])
    with client.post(COMPLETIONS.format("openrouter"), json=given) as response:
        assert response.status_code == 200
    got = upstream.requests[-1].json
    assert got["service_tier"] == "flex" and got["web_search_options"]
    assert [tool["type"] for tool in got["tools"]] == ["function", "openrouter:web_search"]


# Other things that programs send


def test_minus_one_is_no_limit(client: FlaskClient, upstream: FakeUpstream) -> None:
    given = [
        (ROUTE, body(maxTokens=-1)),
        (ROUTE, ui_body(chatSettings={"model": "m", "maxTokens": -1})),
        (COMPLETIONS, asked(max_tokens=-1)),
        (COMPLETIONS, asked(max_completion_tokens=-1)),
    ]
    for route, posted in given:
        upstream.add(text_reply("Hi"))
        with client.post(route.format("vllm"), json=posted) as response:
            assert response.status_code == 200, response.text
        assert not {"max_tokens", "max_completion_tokens"} & set(upstream.requests[-1].json)
    for wrong in (-2, 0, 1.5, True, "-1"):
        response = client.post(ROUTE.format("vllm"), json=body(maxTokens=wrong))
        assert response.status_code == 422


def test_openais_own_form_is_told_where_to_go(client: FlaskClient) -> None:
    response = client.post(ROUTE.format("openai"), json=asked())
    assert response.status_code == 422
    told = response.get_json()["message"]
    assert told.startswith("chatSettings: Missing data for required field.")
    assert "add /chat/completions to this address" in told


def test_what_is_made_of_brackets_is_refused(client: FlaskClient) -> None:
    for item in (b"[1,2]", b'{"a":1}', b"[" * 200 + b"]" * 200):
        data = b'{"a":[' + b",".join([item] * (600_000 // len(item))) + b"]}"
        response = client.post(ROUTE.format("openai"), data=data, content_type="application/json")
        assert response.status_code == 400
        assert "almost only of brackets" in response.text


@pytest.mark.parametrize(
    "text",
    [
        "(let [x {:a [1]}] [[x]])\n",
        "\\frac{a}{b}^{c}_{d}\\{x\\}",
        '[{"a":[]},{"b":"\\\\"}]',
        "[[1,2],[3,4]],",
        '\\"[[[',
    ],
)
def test_brackets_in_a_text_are_no_structure(client: FlaskClient, text: str) -> None:
    told = text * (600_000 // len(text))
    data = json.dumps(body(text=told))
    response = client.post(ROUTE.format("openai"), data=data, content_type="application/json")
    assert response.status_code == 200, response.text
    # But a text beside them hides none.
    data = data[:-1] + ',"x":[' + "[]," * len(data) + "[]]}"
    response = client.post(ROUTE.format("openai"), data=data, content_type="application/json")
    assert "almost only of brackets" in response.text


def test_parts_and_calls_are_counted_wherever_they_stand(client: FlaskClient) -> None:
    said = {"type": "text", "text": "a"}
    steering = {"type": "steering-message", "parts": [said] * 1_000}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    answer = {"role": "assistant", "content": "", "tool_calls": [call] * 128}
    image = {"type": "image_url", "image_url": {"url": "https://a.example"}}
    many = {"role": "user", "content": [image] * 256}
    hi = {"role": "user", "content": "Hi"}
    for route, given, told in [
        (ROUTE, ui_body(messages=[{"role": "assistant", "parts": [steering] * 17}]), "16384 parts"),
        (COMPLETIONS, asked(hi, *[answer] * 9), "more than 1024 tool calls and parts other than p"),
        (COMPLETIONS, asked(*[many] * 5), "more than 1024 tool calls and parts other than"),
        (ROUTE, {**body(), "messages": [many] * 5}, "more than 1024 tool calls and parts"),
    ]:
        response = client.post(route.format("openai"), json=given)
        assert response.status_code == 422 and told in response.text, response.text
