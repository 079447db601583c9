"""Recorded Messages streams and error answers, by the parser and through the app."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from typing import Any

import pytest

from flask_llmchat.core.errors import StreamErrorEvent
from flask_llmchat.protocols.base import Totals
from flask_llmchat.protocols.messages.parser import MessageParser
from flask_llmchat.testing import FakeUpstream, Reply
from tests.support.apps import body, make_app
from tests.support.recordings import (
    answers,
    chunks_of,
    error_answers,
    recordings,
    server_sent,
    wire_form,
)
from tests.support.servers import served

MODEL = "claude-sonnet-4-5"
OUTCOMES = {"ok": "stop", "content_filtered": "content_filter", "paused": "length"}


def messages_app(upstream: FakeUpstream) -> Any:
    return make_app(upstream, {"anthropic_api_key": "sk-x"}, {"LLMCHAT_MAX_RETRIES": 0})


def assert_as_expected(got: Any, expected: dict[str, Any]) -> None:
    """Compare totals or a result with what the index says."""
    calls = [(call.id, call.name, call.arguments) for call in got.tool_calls]
    assert calls == [(c["id"], c["name"], c["arguments"]) for c in expected["tool_calls"]]
    tools = [tool.name for tool in got.provider_tools]
    assert tools == [tool["name"] for tool in expected["provider_tools"]]
    ran = [tool for tool in got.provider_tools if tool.output is not None]
    assert ran == list(got.provider_tools) or expected["finish"] == "paused"
    sources = [{"url": source.url, "title": source.title} for source in got.sources]
    assert sources == expected["sources"]
    documents = [document.title for document in got.documents]
    assert documents == [document["title"] for document in expected["documents"]]
    for name, count in expected["usage"].items():
        if name != "input_tokens":
            assert getattr(got.usage, name) == (count or 0), name
    hidden = [d for d in got.reasoning_details if d["type"] == "reasoning.encrypted"]
    assert len(hidden) == expected["redacted"]
    assert all(d["format"] == "messages:anthropic" for d in got.reasoning_details)


@pytest.mark.parametrize("size", [1 << 30, 7])
@pytest.mark.parametrize("recorded", recordings(protocol="messages"))
def test_every_recording_reads_as_its_index_says(recorded: dict[str, Any], size: int) -> None:
    expected = recorded["expected"]
    parser = MessageParser("anthropic")
    error = None
    try:
        for name, data in server_sent(wire_form(recorded), size):
            parser.parse(name, data)
        parser.finish()
    except StreamErrorEvent as raised:
        error = raised.body["error"]["type"]
    assert error == (expected["error"] and expected["error"]["type"])
    totals: Totals = parser.totals()
    assert "".join(totals.text) == expected["text"]
    assert "".join(totals.reasoning) == expected["reasoning"]
    finish = expected["finish"]
    assert totals.finish_reason == (None if error else OUTCOMES.get(finish, finish))
    assert_as_expected(totals, expected)


@pytest.mark.parametrize("recorded", recordings(protocol="messages"))
def test_a_recorded_stream_comes_out_as_its_text(
    recorded: dict[str, Any], upstream: FakeUpstream
) -> None:
    expected = recorded["expected"]
    if expected["error"]:
        pytest.skip("breaks off, see test_endings.py")
    app = messages_app(upstream)
    told, results = answers(app, upstream, "anthropic", wire_form(recorded), MODEL)
    finish = {"paused": "length"}.get(expected["finish"], expected["finish"])
    for result in results:
        assert result.text == expected["text"]
        assert result.reasoning == expected["reasoning"]
        assert result.outcome == finish
        assert_as_expected(result, expected)
    assert set(told) == {(200, expected["text"])}


@pytest.mark.parametrize("recorded", recordings(protocol="messages"))
def test_a_whole_message_reads_as_its_stream(recorded: dict[str, Any]) -> None:
    if recorded["expected"]["error"]:
        pytest.skip("has no whole form")
    streamed, whole = MessageParser("anthropic"), MessageParser("anthropic")
    events: list[Any] = []
    for name, data in server_sent(wire_form(recorded)):
        events += streamed.parse(name, data) or []
    message = whole_message(chunks_of(recorded))
    at_once = whole.parse_whole(message, json.dumps(message).encode())
    assert at_once is not None and whole.done
    assert at_once[-1:] == events[-1:] or recorded["expected"]["finish"] == "paused"
    one, other = streamed.totals(), whole.totals()
    assert "".join(other.text) == "".join(one.text)
    assert other.reasoning_details == one.reasoning_details
    assert [json.loads(c.arguments) for c in other.tool_calls] == [
        json.loads(c.arguments) for c in one.tool_calls
    ]
    assert (other.provider_tools, other.sources) == (one.provider_tools, one.sources)
    assert other.finish_reason == one.finish_reason


def whole_message(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the message that a stream adds up to, in the provider's form."""
    message: dict[str, Any] = {}
    for event in events:
        match event["type"]:
            case "message_start":
                message = {**event["message"], "content": []}
            case "content_block_start":
                block = {**event["content_block"]}
                message["content"].append(block)
                arguments = ""
            case "content_block_delta":
                delta = event["delta"]
                if delta["type"] == "input_json_delta":
                    arguments += delta["partial_json"]
                elif delta["type"] == "citations_delta":
                    block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
                else:
                    name = delta["type"].removesuffix("_delta")
                    block[name] = block.get(name, "") + delta[name]
            case "content_block_stop":
                if arguments:
                    block["input"] = json.loads(arguments)
            case "message_delta":
                message |= event["delta"]
                message["usage"] |= event["usage"]
    return message


@pytest.mark.parametrize("recorded", error_answers("messages"))
def test_a_recorded_error_answer_is_told(recorded: dict[str, Any], upstream: FakeUpstream) -> None:
    expected = recorded["expected"]
    upstream.add(Reply(recorded["status"], recorded["headers"], [recorded["body"].encode()]))
    with (
        served(messages_app(upstream)) as port,
        closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection,
    ):
        connection.request("POST", "/api/chat/anthropic", json.dumps(body(MODEL)))
        with connection.getresponse() as response:
            told = json.loads(response.read())
            assert response.headers["Retry-After"] == recorded["headers"].get("retry-after")
    assert told["code"] in expected["code"]
    assert response.status == expected["status"]
    assert told["provider"] == "anthropic"
