"""Three turns with tools and reasoning through OpenAI's SDKs: what goes back to the provider."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

from flask_llmchat import ChatRequest, LLMChat
from flask_llmchat.testing import FakeUpstream, Reply, event
from tests.support.apps import make_app
from tests.support.node import run_js
from tests.support.servers import served

ENCRYPTED = [f"gAAAAAB{letter * 3000}+/==" for letter in "abc"]
SIGNATURES = [f"EqQB{letter * 3000}+/==" for letter in "abc"]


def summary(*texts: str) -> list[dict[str, str]]:
    return [{"type": "summary_text", "text": text} for text in texts]


# Responses: the output of the first two turns.
REASONING = [
    {
        "type": "reasoning",
        "id": "rs_1",
        "summary": summary("**One**\n\nHm.", "Two: é"),
        "encrypted_content": ENCRYPTED[0],
    },
    {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": ENCRYPTED[1]},
    {"type": "reasoning", "id": "rs_3", "summary": [], "encrypted_content": ENCRYPTED[2]},
]
CALL_1 = {
    "type": "function_call",
    "call_id": "call_1",
    "name": "get_time",
    "arguments": '{"zone": "UTC"}',
}
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


def response_of(items: list[dict[str, Any]]) -> Reply:
    """Return a stream of Responses with these output items."""
    events = []
    for index, item in enumerate(items):
        begun = {n: value for n, value in item.items() if n not in ("arguments", "input")}
        events += [
            {"type": "response.output_item.added", "output_index": index, "item": begun},
            {"type": "response.output_item.done", "output_index": index, "item": item},
        ]
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    whole = {"id": "resp_1", "status": "completed", "output": items, "usage": usage}
    events.append({"type": "response.completed", "response": whole})
    return Reply(body=[event(one) for one in events])


# Messages: the content of the first two turns.
THINKING = [
    {"type": "thinking", "thinking": "Hm. é", "signature": SIGNATURES[0]},
    {"type": "redacted_thinking", "data": ENCRYPTED[0]},
    {"type": "thinking", "thinking": "", "signature": SIGNATURES[1]},
    {"type": "thinking", "thinking": "So.", "signature": SIGNATURES[2]},
]
USES: list[dict[str, Any]] = [
    {"type": "tool_use", "id": "toolu_1", "name": "get_time", "input": {"zone": "UTC"}},
    {"type": "tool_use", "id": "toolu_2", "name": "get_time", "input": {}},
    {"type": "tool_use", "id": "toolu_3", "name": "get_time", "input": {"zone": "é"}},
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


def message_of(blocks: list[dict[str, Any]], reason: str = "") -> Reply:
    """Return a stream of Messages with these content blocks.

    :param reason: why it stopped; by default at a tool call, or at its end.
    """
    usage = {"input_tokens": 1, "output_tokens": 1}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"id": "msg_1", "content": [], "usage": usage}}
    ]
    for index, block in enumerate(blocks):
        begun, deltas = begun_and_deltas(block)
        events.append({"type": "content_block_start", "index": index, "content_block": begun})
        events += [
            {"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas
        ]
        events.append({"type": "content_block_stop", "index": index})
    reason = reason or ("tool_use" if blocks[-1]["type"] == "tool_use" else "end_turn")
    delta = {"stop_reason": reason, "stop_sequence": None}
    events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 9}})
    events.append({"type": "message_stop"})
    return Reply(body=[event(one) for one in events])


def begun_and_deltas(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a block as its first event has it, and the deltas that complete it."""
    match block["type"]:
        case "thinking":
            texts = [block["thinking"][:3], block["thinking"][3:]]
            deltas = [{"type": "thinking_delta", "thinking": text} for text in texts]
            signed = {"type": "signature_delta", "signature": block["signature"]}
            return {"type": "thinking", "thinking": "", "signature": ""}, [*deltas, signed]
        case "text":
            return {**block, "text": ""}, [{"type": "text_delta", "text": block["text"]}]
        case "tool_use":
            pieces = ["", json.dumps(block["input"])]
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
            return {**block, "input": {}}, deltas
    return block, []


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
    assert signatures == [SIGNATURES[0], SIGNATURES[2]]
    assert completion.usage.total_tokens == 2 * (1 + 9)
    assert len(upstream.requests) == 2
