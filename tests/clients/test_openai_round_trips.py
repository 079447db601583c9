"""Three turns with tools and reasoning through OpenAI's SDKs: what goes back to the provider."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

from flask_llmchat import ChatRequest, LLMChat
from flask_llmchat.testing import FakeUpstream, Reply
from tests.support.apps import make_app
from tests.support.node import run_js
from tests.support.protocol_streams import (
    CALL_1,
    REASONING,
    SIGNATURES,
    THINKING,
    USES,
    message_of,
    response_of,
)
from tests.support.servers import served

CALL_2 = {"type": "function_call", "call_id": "call_2", "name": "get_time", "arguments": "{}"}
CALL_3 = {"type": "custom_tool_call", "call_id": "call_3", "name": "sql", "input": "SELECT 'é'"}
OUTPUT_TEXT = [{"type": "output_text", "text": "Let me see. ", "annotations": []}]
OUTPUTS: list[list[dict[str, Any]]] = [
    [REASONING[0], {**CALL_1, "id": "fc_1"}, REASONING[1], {**CALL_2, "id": "fc_2"}],
    [
        REASONING[2],
        {"type": "message", "id": "msg_1", "role": "assistant", "content": OUTPUT_TEXT},
        {**CALL_3, "id": "ctc_1"},
    ],
    [{"type": "message", "id": "msg_2", "role": "assistant", "content": OUTPUT_TEXT}],
]


def output_of(call: dict[str, Any], output: str) -> dict[str, Any]:
    return {"type": f"{call['type']}_output", "call_id": call["call_id"], "output": output}


ITEMS = [
    {"type": "message", "role": "user", "content": "Ask the tools."},
    REASONING[0],
    CALL_1,
    REASONING[1],
    CALL_2,
    output_of(CALL_1, "4"),
    output_of(CALL_2, "4"),
    REASONING[2],
    {"type": "message", "role": "assistant", "content": "Let me see. "},
    CALL_3,
    {"type": "custom_tool_call_output", "call_id": "call_3", "output": "7"},
]


TEXT = {"type": "text", "text": "Let me see. "}
CONTENTS: list[list[dict[str, Any]]] = [
    [*THINKING[:2], USES[0], THINKING[2], USES[1]],
    [THINKING[3], TEXT, USES[2]],
    [TEXT],
]


def result_of(use: dict[str, Any], text: str) -> dict[str, Any]:
    content = [{"type": "text", "text": text}]
    return {"type": "tool_result", "tool_use_id": use["id"], "content": content}


MESSAGES = [
    {"role": "user", "content": [{"type": "text", "text": "Ask the tools."}]},
    {"role": "assistant", "content": CONTENTS[0]},
    {"role": "user", "content": [result_of(USES[0], "4"), result_of(USES[1], "4")]},
    {"role": "assistant", "content": CONTENTS[1]},
    {"role": "user", "content": [result_of(USES[2], "7")]},
]


TOOLS: list[Any] = [{"type": "function", "function": {"name": "get_time", "parameters": {}}}]
CUSTOM: Any = {"type": "custom", "custom": {"name": "sql"}}
RESULTS = ["4", "7"]

# The provider, its model, its three responses, the tools, and the field with the conversation.
CONVERSATIONS: dict[str, tuple[str, str, list[Reply], list[Any], str, Any]] = {
    "responses": (
        "openai",
        "gpt-6-luna",
        [response_of(items) for items in OUTPUTS],
        [*TOOLS, CUSTOM],
        "input",
        ITEMS,
    ),
    "messages": (
        "anthropic",
        "claude-sonnet-4-6",
        [message_of(blocks) for blocks in CONTENTS],
        TOOLS,
        "messages",
        MESSAGES,
    ),
}


@pytest.fixture(scope="module")
def conversing() -> Iterator[tuple[int, FakeUpstream]]:
    with FakeUpstream() as upstream:
        profile = {"openai_api_key": "sk-1", "anthropic_api_key": "sk-2"}
        config = {"LLMCHAT_PROTOCOLS": {"openai": "responses"}}
        app = make_app(upstream, profile=profile, config=config)
        with served(app) as port:
            yield port, upstream


def first_request(name: str) -> dict[str, Any]:
    _, model, _, tools, _, _ = CONVERSATIONS[name]
    question = {"role": "user", "content": "Ask the tools."}
    return {"model": model, "messages": [question], "tools": tools, "max_completion_tokens": 999}


def assert_sent(name: str, upstream: FakeUpstream) -> None:
    """Check what the provider was sent in the third turn, and in the earlier ones of it."""
    field, expected = CONVERSATIONS[name][4:]
    sent = [request.json[field] for request in upstream.requests]
    assert sent[2] == expected
    assert sent[1] == expected[: len(sent[1])]
    assert sent[0] == expected[:1]


@pytest.mark.parametrize("way", ["accumulated", "whole"])
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_pythons_sdk_sends_reasoning_back(name: str, way: str, conversing: Any) -> None:
    port, upstream = conversing
    upstream.requests.clear()
    provider, _, replies, _, _, _ = CONVERSATIONS[name]
    upstream.add(*replies)
    body = first_request(name)
    url = f"http://127.0.0.1:{port}/api/chat/{provider}"
    with OpenAI(base_url=url, api_key="x", max_retries=0) as client:
        for result in (*RESULTS, None):
            message: Any
            if way == "accumulated":
                with client.chat.completions.stream(**body) as stream:
                    for _ in stream:
                        pass
                    message = stream.current_completion_snapshot.choices[0].message
            else:
                message = client.chat.completions.create(**body).choices[0].message
            if result is None:
                break
            body["messages"].append(message)  # as the SDK's own guide does
            for call in message.tool_calls:
                answer = {"role": "tool", "tool_call_id": call.id, "content": result}
                body["messages"].append(answer)
    assert message.content == "Let me see. " and not message.tool_calls
    assert_sent(name, upstream)


@pytest.mark.external
@pytest.mark.parametrize("way", ["accumulated", "whole"])
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_nodes_sdk_sends_reasoning_back(name: str, way: str, conversing: Any) -> None:
    port, upstream = conversing
    upstream.requests.clear()
    provider, _, replies, _, _, _ = CONVERSATIONS[name]
    upstream.add(*replies)
    job = {"route": provider, "body": first_request(name), "results": RESULTS}
    (told,) = run_js(
        "openai_jobs.mjs", {"port": port, "jobs": [{**job, "accumulate": way == "accumulated"}]}
    )
    assert "error" not in told, told
    assert told["completion"]["choices"][0]["message"]["content"] == "Let me see. "
    assert_sent(name, upstream)


SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}


@pytest.mark.parametrize("stream", [True, False])
def test_a_response_that_was_paused_is_one_message(stream: bool, upstream: FakeUpstream) -> None:
    upstream.add(
        message_of([THINKING[0], TEXT, SEARCH], "pause_turn"), message_of([THINKING[3], TEXT])
    )
    llmchat = LLMChat()

    @llmchat.before_chat
    def switch_on(chat: ChatRequest) -> None:
        chat.provider_tools = [{"type": "web_search_20250305", "name": "web_search"}]

    app = make_app(upstream, profile={"anthropic_api_key": "sk-2"}, llmchat=llmchat)
    with served(app) as port:
        url = f"http://127.0.0.1:{port}/api/chat/anthropic"
        body: dict[str, Any] = {**first_request("messages"), "tools": TOOLS}
        with OpenAI(base_url=url, api_key="x", max_retries=0) as client:
            if stream:
                options: Any = {"stream_options": {"include_usage": True}}
                with client.chat.completions.stream(**body, **options) as chunks:
                    completion: Any = chunks.get_final_completion()
            else:
                completion = client.chat.completions.create(**body)
    (choice,) = completion.choices
    assert choice.message.content == TEXT["text"] * 2
    assert choice.finish_reason == "stop"
    signatures = [detail["signature"] for detail in choice.message.reasoning_details]
    # What follows the search is bound to it, and does not go back without.
    assert signatures == [SIGNATURES[0]]
    assert completion.usage.total_tokens == 2 * (1 + 9)
    assert len(upstream.requests) == 2
