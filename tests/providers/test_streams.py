"""One made-up stream for each built-in row, of the shape its provider sends, in every dialect.

The streams need no folder beside the checkout. Names, ids and texts are invented; what a real
provider sent is in the recordings.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_llmchat import ChatRequest, Endpoint, LLMChat, Provider, builtin_providers
from flask_llmchat.testing import FakeUpstream, sse_reply
from tests.support.apps import body, finished, make_app
from tests.support.recordings import everybodys_keys

STREAMS = Path(__file__).with_name("streams")
EXPECTED = json.loads((STREAMS / "expected.json").read_text(encoding="utf-8"))
UI_REASONS = {"tool_calls": "tool-calls"}
OUTCOMES = {"stop": "ok"}
rows = pytest.mark.parametrize("row", builtin_providers, ids=lambda row: row.name)


def expected_of(row: Provider) -> dict[str, Any]:
    assert row.name in EXPECTED, f"{row.name} has no stream: add {row.name}.sse and what it holds"
    expected: dict[str, Any] = EXPECTED[row.name]
    return expected


def played(row: Provider, upstream: FakeUpstream, split: int | None = None) -> Flask:
    """Return an app whose upstream sends the row's stream."""
    upstream.add(sse_reply((STREAMS / f"{row.name}.sse").read_bytes(), split=split))
    llmchat = LLMChat()

    @llmchat.before_chat
    def use_endpoint(chat: ChatRequest) -> None:
        """Give the ``custom`` row what others have in LLMCHAT_BASE_URLS."""
        chat.endpoint = Endpoint(upstream.base_url)

    config = {"LLMCHAT_ALLOW_PRIVATE_ENDPOINTS": True}
    return make_app(upstream, everybodys_keys(upstream), config, llmchat)


def posted(app: Flask, path: str, json: Any) -> Any:
    response = app.test_client().post(path, json=json)
    assert response.status_code == 200, response.text
    return response


def data_of(text: str) -> list[dict[str, Any]]:
    """Return the JSON of every event of an SSE response."""
    lines = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_every_stream_belongs_to_a_row() -> None:
    names = {row.name for row in builtin_providers}
    assert {path.stem for path in STREAMS.glob("*.sse")} == set(EXPECTED) == names


@rows
@pytest.mark.parametrize("split", [None, 7], ids=["whole", "pieces"])
def test_each_rows_stream_in_the_text_dialect_and_the_result(
    row: Provider, split: int | None, upstream: FakeUpstream
) -> None:
    expected = expected_of(row)
    app = played(row, upstream, split)
    with finished(app) as done:
        response = posted(app, f"/api/chat/{row.name}", body("gpt-4.1"))
        assert response.text == expected["text"]
    result = done.only
    assert (result.provider, result.error) == (row.name, None)
    assert result.text == expected["text"]
    assert result.reasoning == expected["reasoning"]
    assert result.outcome == OUTCOMES.get(expected["finish_reason"], expected["finish_reason"])
    calls = [[call.id, call.name, call.arguments] for call in result.tool_calls]
    assert calls == expected["tool_calls"]
    usage = result.usage
    assert [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens] == expected["usage"]
    assert [source.url for source in result.sources] == expected["sources"]


@rows
def test_each_rows_stream_in_the_ui_dialect(row: Provider, upstream: FakeUpstream) -> None:
    expected = expected_of(row)
    message = {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}
    asked = {"chatSettings": {"model": "gpt-4.1"}, "id": "c", "messages": [message]}
    chunks = data_of(posted(played(row, upstream), f"/api/chat/{row.name}", asked).text)

    def joined(kind: str) -> str:
        return "".join(chunk["delta"] for chunk in chunks if chunk["type"] == kind)

    assert joined("text-delta") == expected["text"]
    assert joined("reasoning-delta") == expected["reasoning"]
    inputs = [chunk for chunk in chunks if chunk["type"] == "tool-input-available"]
    calls = [chunk for chunk in inputs if not chunk.get("providerExecuted")]
    assert [[c["toolCallId"], c["toolName"], c["input"]] for c in calls] == [
        [id, name, json.loads(arguments)] for id, name, arguments in expected["tool_calls"]
    ]
    urls = [chunk["url"] for chunk in chunks if chunk["type"] == "source-url"]
    assert urls == expected["sources"]
    finish = chunks[-1]
    assert (finish["type"], finish["finishReason"]) == (
        "finish",
        UI_REASONS.get(expected["finish_reason"], expected["finish_reason"]),
    )
    usage = finish["messageMetadata"]["usage"]
    assert [usage[f"{k}Tokens"] for k in ("input", "output", "total")] == expected["usage"]


def message_of(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """Add chunks up as an SDK does: choice 0, tool calls by their index."""
    added: dict[str, Any] = {"text": "", "reasoning": "", "finish_reason": None}
    calls: dict[int, list[str]] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            delta = choice["delta"]
            added["text"] += delta.get("content") or ""
            added["reasoning"] += delta.get("reasoning_content") or delta.get("reasoning") or ""
            added["finish_reason"] = choice["finish_reason"] or added["finish_reason"]
            for piece in delta.get("tool_calls") or ():
                call = calls.setdefault(piece["index"], ["", "", ""])
                call[0] = call[0] or piece.get("id") or ""
                call[1] = call[1] or piece["function"].get("name") or ""
                call[2] += piece["function"].get("arguments") or ""
    return {**added, "tool_calls": [call for _, call in sorted(calls.items())]}


@rows
def test_each_rows_stream_in_the_openai_dialect(row: Provider, upstream: FakeUpstream) -> None:
    expected = expected_of(row)
    asked = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hi"}]}
    streamed = {**asked, "stream": True, "stream_options": {"include_usage": True}}
    path = f"/api/chat/{row.name}/chat/completions"
    chunks = data_of(posted(played(row, upstream), path, streamed).text)
    added = message_of(chunks)
    assert added == {name: expected[name] for name in added}
    assert usage_of(chunks[-1]) == expected["usage"]

    completion = posted(played(row, upstream), path, asked).json
    (choice,) = completion["choices"]
    message = choice["message"]
    assert (message["content"] or "") == expected["text"]
    reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
    assert reasoning == expected["reasoning"]
    calls = message.get("tool_calls") or ()
    functions = [[c["id"], c["function"]["name"], c["function"]["arguments"]] for c in calls]
    assert functions == expected["tool_calls"]
    assert choice["finish_reason"] == expected["finish_reason"]
    assert usage_of(completion) == expected["usage"]


def usage_of(body: dict[str, Any]) -> list[int]:
    return [body["usage"][f"{name}_tokens"] for name in ("prompt", "completion", "total")]
