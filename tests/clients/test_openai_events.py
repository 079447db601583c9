"""Responses whose provider sends no chunks of chat completions, as OpenAI's SDKs add them up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI
from pydantic import BaseModel

from flask_llmchat import (
    Document,
    Event,
    Finish,
    Image,
    ProviderToolCall,
    ProviderToolResult,
    ReasoningDelta,
    ReasoningEnd,
    Source,
    TextDelta,
    ToolCallDelta,
)
from tests.support.apps import make_app
from tests.support.node import run_js
from tests.support.played import Script, played, player
from tests.support.servers import served

# Reasoning that is hidden, that has two parts of a summary, and that is signed.
DETAILS: list[dict[str, Any]] = [
    {
        "type": "reasoning.encrypted",
        "format": "responses:toy",
        "id": "rs_1",
        "data": "gAAA" * 20_000,
        "summary": [],
    },
    {
        "type": "reasoning.encrypted",
        "format": "responses:toy",
        "id": "rs_2",
        "data": "gBBB",
        "summary": ["**One**", "Two, with é."],
        "tool_call_id": "call_1",
    },
    {"type": "reasoning.text", "format": "messages:toy", "text": "Hm. So", "signature": "Er"},
]
PROVIDER_TOOL: list[Event] = [
    ProviderToolCall("ws_1", "web_search", {"query": "hidden"}),
    ProviderToolResult("ws_1", "web_search", [{"url": "https://hidden.example"}]),
]
SCRIPTS: dict[str, Script] = {
    "text": [[TextDelta("Hel")], [TextDelta("lo"), TextDelta(" é")], [Finish("stop")]],
    "everything": [
        [ReasoningEnd(DETAILS[0])],
        [ReasoningDelta("Hm. ")],
        [ReasoningDelta("So"), ReasoningEnd(None)],
        PROVIDER_TOOL,
        [TextDelta("It is "), Source("https://a.example", "A")],
        [TextDelta("7."), Document("Facts", "facts.txt", "text/plain"), Image("data:image/png,A")],
        [Source("https://b.example"), Image("data:image/png,B"), ReasoningEnd(DETAILS[1])],
        [ToolCallDelta(0, "call_1", "get_time", "")],
        [ToolCallDelta(0, "", "", '{"zone":'), ToolCallDelta(0, "", "", ' "UTC"}')],
        [ReasoningEnd(DETAILS[2]), ToolCallDelta(1, "call_2", "get_time", "{}")],
        [Finish("tool_calls")],
    ],
    "one piece": [
        [ReasoningDelta("Hm"), ReasoningEnd(DETAILS[1]), TextDelta("Yes."), Finish("stop")]
    ],
    "hidden": [[ReasoningEnd(DETAILS[0])], [Finish("length")]],
    "custom": [
        [ToolCallDelta(0, "call_1", "sql", "", custom=True)],
        [ToolCallDelta(0, "", "", "SELECT", custom=True)],
        [ToolCallDelta(0, "", "", " 1", custom=True)],
        [Finish("tool_calls")],
    ],
    "refusal": [
        [TextDelta("I ", refusal=True)],
        [TextDelta("cannot.", refusal=True), Finish("stop")],
    ],
    "refusal after text": [
        [TextDelta("Sure. "), TextDelta("No.", refusal=True), Finish("content_filter")],
    ],
    "image": [[Image("data:image/png,A")], [Finish("stop")]],
    "provider tool": [PROVIDER_TOOL, [TextDelta("7.")], [Finish("stop")]],
}
CALLS = [
    {"id": "call_1", "name": "get_time", "arguments": '{"zone": "UTC"}'},
    {"id": "call_2", "name": "get_time", "arguments": "{}"},
]
PAGES = [
    {
        "type": "url_citation",
        "url_citation": {"url": url, "title": title, "start_index": 0, "end_index": 0},
    }
    for url, title in (("https://a.example", "A"), ("https://b.example", ""))
]
FILE = {
    "type": "file_citation",
    "file_citation": {"filename": "facts.txt", "title": "Facts"},
}
IMAGES = [{"type": "image_url", "image_url": {"url": f"data:image/png,{x}"}} for x in "AB"]
USAGE = {
    "prompt_tokens": 7,
    "completion_tokens": 5,
    "total_tokens": 12,
    "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 4},
}

# The fields of the message, beside the role, and the finish reason.
MESSAGES: dict[str, tuple[dict[str, Any], str]] = {
    "text": ({"content": "Hello é"}, "stop"),
    "everything": (
        {
            "content": "It is 7.",
            "reasoning_content": "Hm. So",
            "reasoning_details": DETAILS,
            "annotations": [*PAGES, FILE],
            "images": IMAGES,
            "tool_calls": CALLS,
        },
        "tool_calls",
    ),
    "one piece": (
        {"content": "Yes.", "reasoning_content": "Hm", "reasoning_details": DETAILS[1:2]},
        "stop",
    ),
    "hidden": ({"reasoning_details": DETAILS[:1]}, "length"),
    "custom": (
        {"tool_calls": [{"id": "call_1", "name": "sql", "input": "SELECT 1"}]},
        "tool_calls",
    ),
    "refusal": ({"refusal": "I cannot."}, "stop"),
    "refusal after text": ({"content": "Sure. ", "refusal": "No."}, "content_filter"),
    "image": ({"images": IMAGES[:1]}, "stop"),
    "provider tool": ({"content": "7."}, "stop"),
}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with player() as upstream, served(make_app(upstream, llmchat=played(SCRIPTS))) as port:
        yield port


def asked(name: str) -> dict[str, Any]:
    return {"model": "t-1", "messages": [{"role": "user", "content": name}]}


WITH_USAGE: Any = {"stream_options": {"include_usage": True}}


def client_of(port: int) -> OpenAI:
    return OpenAI(base_url=f"http://127.0.0.1:{port}/api/chat/toy", api_key="x", max_retries=0)


def assert_completion(completion: dict[str, Any], name: str, usage: Any = USAGE) -> None:
    """Hold a completion, as an SDK has it, against what the script adds up to."""
    message, reason = MESSAGES[name]
    (choice,) = completion["choices"]
    assert choice["finish_reason"] == reason
    assert completion["usage"] == usage
    found = {n: value for n, value in choice["message"].items() if value not in (None, "", [])}
    found.pop("parsed", None)
    if calls := found.get("tool_calls"):
        found["tool_calls"] = [_call(call) for call in calls]
    assert found == {"role": "assistant", **message}


def _call(call: dict[str, Any]) -> dict[str, Any]:
    held = dict(call[call["type"]])
    held.pop("parsed_arguments", None)
    return {"id": call["id"], **held}


@pytest.mark.parametrize("name", SCRIPTS)
def test_pythons_sdk_adds_events_up(name: str, port: int) -> None:
    with client_of(port) as client:
        with client.chat.completions.stream(**asked(name), **WITH_USAGE) as stream:
            for _ in stream:
                pass
            # The final one is an exception after some endings, and fails on custom calls.
            added_up = stream.current_completion_snapshot
        whole = client.chat.completions.create(**asked(name))
    assert_completion(added_up.to_dict(), name)
    assert_completion(whole.to_dict(), name)
    assert whole.object == "chat.completion"


class Answer(BaseModel):
    """What a client asks for as JSON."""

    number: int


def test_a_refusal_is_not_parsed_as_the_json_that_was_asked_for(port: int) -> None:
    with client_of(port) as client:
        completions = client.chat.completions
        whole = completions.parse(**asked("refusal"), response_format=Answer)
        with completions.stream(**asked("refusal"), response_format=Answer) as stream:
            added_up = stream.get_final_completion()
    for completion in (whole, added_up):
        message = completion.choices[0].message
        assert (message.refusal, message.parsed) == ("I cannot.", None)


@pytest.mark.external
def test_nodes_sdk_adds_events_up(port: int) -> None:
    jobs = [
        job
        for name in SCRIPTS
        for job in (
            {"route": "toy", "body": {**asked(name), **WITH_USAGE}, "accumulate": True},
            {"route": "toy", "body": asked(name)},
        )
    ]
    told = run_js("openai_jobs.mjs", {"port": port, "jobs": jobs})
    for i, name in enumerate(SCRIPTS):
        added_up, whole = (answer.get("completion") for answer in told[2 * i : 2 * i + 2])
        assert added_up, told[2 * i]
        message = added_up["choices"][0]["message"]
        if "reasoning_content" in message:  # it keeps the last piece of what it does not know
            expected = MESSAGES[name][0]["reasoning_content"]
            assert expected.endswith(message["reasoning_content"])
            message["reasoning_content"] = expected
        assert_completion(added_up, name)
        assert_completion(whole, name)


@pytest.mark.parametrize("name", SCRIPTS)
def test_made_chunks_have_one_envelope_one_role_and_one_ending(name: str, port: int) -> None:
    with (
        client_of(port) as client,
        client.chat.completions.create(**asked(name), stream=True) as stream,
    ):
        chunks: list[dict[str, Any]] = [chunk.to_dict() for chunk in stream]
    envelopes = {
        (chunk["id"], chunk["object"], chunk["created"], chunk["model"]) for chunk in chunks
    }
    ((id_, object_, created, model),) = envelopes
    assert str(id_).startswith("chatcmpl-")
    assert (object_, model, type(created)) == ("chat.completion.chunk", "t-1", int)
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    roles = ["role" in choice["delta"] for choice in choices]
    assert roles == [True] + [False] * (len(choices) - 1)
    reasons = [choice["finish_reason"] for choice in choices]
    assert reasons == [None] * (len(reasons) - 1) + [MESSAGES[name][1]]
    assert not any("usage" in chunk for chunk in chunks)  # nobody asked
    assert "hidden" not in str(chunks)
    for once in ("reasoning_details", "annotations", "images"):
        assert sum(once in choice["delta"] for choice in choices) == (once in MESSAGES[name][0])
