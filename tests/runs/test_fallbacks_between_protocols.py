"""A chat falls back from one protocol to another: what each provider is sent of its messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from flask_llmchat import ChatRequest, LLMChat
from flask_llmchat.testing import FakeUpstream, error_reply, text_reply
from tests.support.apps import finished, make_app

MODELS = {
    "openai": "gpt-6-luna",
    "anthropic": "claude-sonnet-4-6",
    "openrouter": "anthropic/claude-sonnet-4.6",
    "groq": "openai/gpt-oss-120b",
}
KEYS = {f"{name}_api_key": f"sk-of-{name}" for name in MODELS}
PIXEL = "iVBORw0KGgo="
DETAILS: dict[str, list[dict[str, Any]]] = {
    "openai": [
        {
            "type": "reasoning.encrypted",
            "format": "responses:openai",
            "id": "rs_1",
            "data": "openai's",
            "summary": ["Hm, said openai"],
        }
    ],
    "xai": [
        {
            "type": "reasoning.encrypted",
            "format": "responses:xai",
            "id": "rs_2",
            "data": "xai's",
            "summary": [],
        }
    ],
    "anthropic": [
        {
            "type": "reasoning.text",
            "format": "messages:anthropic",
            "text": "Hm, said anthropic",
            "signature": "anthropic's",
        },
        {"type": "reasoning.encrypted", "format": "messages:anthropic", "data": "hidden"},
    ],
    "openrouter": [
        {
            "type": "reasoning.text",
            "format": "anthropic-claude-v1",
            "text": "Hm, said openrouter",
            "signature": "openrouter's",
            "index": 0,
        }
    ],
}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "look", "arguments": '{"at": 1}'},
}
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
QUESTION = {"role": "user", "content": [{"type": "text", "text": "What is it?"}, IMAGE]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "A cat."}
ANSWER = {"role": "assistant", "content": "A cat."}
NEXT = {"role": "user", "content": "Sure?"}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
SCHEMA = {"type": "object", "properties": {"at": {"type": "integer"}}}
FUNCTION = {"name": "look", "description": "Looks.", "parameters": SCHEMA}
BODY = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        QUESTION,
        {
            **CALLING,
            "reasoning_content": "Hm",
            "reasoning_details": [detail for details in DETAILS.values() for detail in details],
        },
        RESULT,
        ANSWER,
        NEXT,
    ],
    "tools": [{"type": "function", "function": FUNCTION}],
    "max_completion_tokens": 2000,
}


def call_of_chat(*details: Any) -> list[dict[str, Any]]:
    """Return the conversation as chat completions have it."""
    replayed = {"reasoning_details": list(details)} if details else {}
    system = {"role": "system", "content": "Be brief."}
    return [system, QUESTION, {**CALLING, **replayed}, RESULT, ANSWER, NEXT]


# What each is sent of the conversation and of the client's tools.
SENT: dict[str, dict[str, Any]] = {
    "openai": {
        "instructions": "Be brief.",
        "input": [
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is it?"},
                    {
                        "type": "input_image",
                        "image_url": f"data:image/png;base64,{PIXEL}",
                        "detail": "auto",
                    },
                ],
            },
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "Hm, said openai"}],
                "encrypted_content": "openai's",
            },
            {
                "type": "function_call",
                "call_id": "call_1",
                "name": "look",
                "arguments": '{"at": 1}',
            },
            {"type": "function_call_output", "call_id": "call_1", "output": "A cat."},
            {"type": "message", "role": "assistant", "content": "A cat."},
            {"type": "message", "role": "user", "content": "Sure?"},
        ],
        "tools": [{"type": "function", "strict": False, **FUNCTION}],
    },
    "anthropic": {
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
                    },
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {
                        "type": "thinking",
                        "thinking": "Hm, said anthropic",
                        "signature": "anthropic's",
                    },
                    {"type": "redacted_thinking", "data": "hidden"},
                    {"type": "tool_use", "id": "call_1", "name": "look", "input": {"at": 1}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "call_1",
                        "content": [{"type": "text", "text": "A cat."}],
                    }
                ],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]},
            {"role": "user", "content": [{"type": "text", "text": "Sure?"}]},
        ],
        "tools": [{"name": "look", "description": "Looks.", "input_schema": SCHEMA}],
    },
    "openrouter": {"messages": call_of_chat(*DETAILS["openrouter"]), "tools": BODY["tools"]},
    "groq": {"messages": call_of_chat(), "tools": BODY["tools"]},
}
OWN_TOOL = {"type": "own_search", "secret": "of the first provider"}


@pytest.fixture
def upstreams() -> Iterator[dict[str, FakeUpstream]]:
    fakes = {name: FakeUpstream() for name in MODELS}
    for fake in fakes.values():
        fake.start()
    yield fakes
    for fake in fakes.values():
        fake.stop()


@pytest.mark.parametrize("first", MODELS)
def test_each_is_sent_what_it_can_read(first: str, upstreams: dict[str, FakeUpstream]) -> None:
    others = [name for name in MODELS if name != first]
    for name in (first, *others[:-1]):
        upstreams[name].add(error_reply(503, "busy"))
    upstreams[others[-1]].add(text_reply("Yes."))
    llmchat = LLMChat()

    @llmchat.before_chat
    def switch_on(chat: ChatRequest) -> None:
        chat.provider_tools = [OWN_TOOL]

    config = {
        "LLMCHAT_BASE_URLS": {name: fake.base_url for name, fake in upstreams.items()},
        "LLMCHAT_PROTOCOLS": {"openai": "responses"},
        "LLMCHAT_FALLBACKS": {first: {name: {MODELS[first]: MODELS[name]} for name in others}},
        "LLMCHAT_MAX_RETRIES": 0,
    }
    app = make_app(llmchat=llmchat, profile=KEYS, config=config)
    with finished(app) as done:
        url = f"/api/chat/{first}/chat/completions"
        response = app.test_client().post(url, json={"model": MODELS[first], **BODY})
        assert response.get_json()["choices"][0]["message"]["content"] == "Yes."
        response.close()
        ((*_, last),) = (step.attempts for step in done.only.steps)
    assert (last.provider, last.error) == (others[-1], None)
    for name, fake in upstreams.items():
        (request,) = fake.requests
        expected = SENT[name]
        tools = [*expected["tools"], *([OWN_TOOL] if name == first else [])]
        assert {field: request.json[field] for field in expected} == {**expected, "tools": tools}
        assert request.json["model"] == MODELS[name]
        secrets = [f"sk-of-{other}" for other in MODELS if other != name]
        secrets += [f"said {other}" for other in DETAILS if other != name]
        secrets += [f"{other}'s" for other in DETAILS if other != name]
        told = request.body.decode() + str(request.headers)
        assert not [secret for secret in secrets if secret in told]


@pytest.mark.parametrize("name", ["groq", "openai"])
def test_what_a_hook_added_for_one_provider_reaches_no_other(
    name: str, upstream: FakeUpstream
) -> None:
    llmchat = LLMChat()
    server = {"type": "url", "url": "https://mcp.example", "authorization_token": "planted-token"}

    @llmchat.before_chat
    def add(chat: ChatRequest) -> None:
        chat.extra |= {"mcp_servers": [server], "user": "u1"}

    settings = {"LLMCHAT_MAX_RETRIES": 0, "LLMCHAT_FALLBACKS": {"anthropic": [name]}}
    app = make_app(upstream, KEYS, settings, llmchat)
    upstream.add(error_reply(529, "Overloaded"), text_reply("Hi"))
    body = {"model": MODELS["anthropic"], "messages": [NEXT]}
    with app.test_client().post("/api/chat/anthropic/chat/completions", json=body) as response:
        assert response.status_code == 200
    first, second = upstream.requests
    assert first.json["mcp_servers"] == [server]
    assert b"planted-token" not in second.body and second.json["user"] == "u1"
