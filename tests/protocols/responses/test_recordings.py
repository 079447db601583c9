"""Recorded streams and error answers of Responses."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from typing import Any

import pytest

from flask_llmchat import ChatResult, LLMChat, Provider, Totals
from flask_llmchat.core.errors import StreamErrorEvent
from flask_llmchat.protocols.responses.parser import ResponsesParser
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

OUTCOMES = {"stop": "ok", "content_filter": "content_filtered"}

# The AI SDK's names; a list of the tools of a server is no call.
NAMES = {
    "mcp_list_tools": None,
    "mcp_call": "mcp.{}",
    "mcp_approval_request": "mcp.{}",
    "search_results": "search_results",
}


def names_of(tools: list[dict[str, Any]]) -> list[str]:
    names = []
    for tool in tools:
        name = NAMES.get(tool["type"], tool["type"].removesuffix("_call"))
        names += [name.format(tool.get("name"))] if name else []
    return names


def assert_as_expected(found: Totals | ChatResult, expected: dict[str, Any]) -> None:
    assert "".join(found.text) == expected["text"]
    assert "".join(found.reasoning) == expected["reasoning"]
    told = [(c.id, c.name, c.arguments) for c in found.tool_calls]
    assert told == [
        (c["id"], c["name"], json.loads(c["arguments"]) if c.get("custom") else c["arguments"])
        for c in expected["tool_calls"]
    ]
    assert [c.custom for c in found.tool_calls] == [
        bool(c.get("custom")) for c in expected["tool_calls"]
    ]
    assert [tool.name for tool in found.provider_tools] == names_of(expected["provider_tools"])
    pages = [(source.url, source.title or None) for source in found.sources]
    # Perplexity's text cites what the search found by its numbers, without annotations.
    numbered = [t["type"] for t in expected["provider_tools"]] == ["search_results"]
    cited = expected["search_results"] if numbered else expected["sources"]
    assert pages == [(page["url"], page["title"]) for page in cited]
    assert [d.filename for d in found.documents] == [d["filename"] for d in expected["documents"]]
    assert len(found.images) == expected["images"]
    if expected["usage"] is None:
        assert found.usage is None
    else:
        assert found.usage is not None
        for name, count in expected["usage"].items():
            assert getattr(found.usage, name) == (count or 0)


@pytest.mark.parametrize("recorded", recordings(protocol="responses"))
@pytest.mark.parametrize("size", [1 << 30, 7])
def test_every_recording_reads_as_its_index_says(recorded: dict[str, Any], size: int) -> None:
    expected, error = recorded["expected"], None
    parser = ResponsesParser(recorded["provider"])
    try:
        for name, data in server_sent(wire_form(recorded), size):
            assert not parser.done or data == b"[DONE]"
            parser.parse(name, data)
        parser.finish()
    except StreamErrorEvent as raised:
        error = raised.body
    assert_as_expected(parser.totals(), expected)
    if expected["error"]:
        assert expected["finish"] == "upstream_error"
        assert error["error"]["message"] == expected["error"]["message"]
        assert error["error"]["code"] == expected["error"]["code"]
    else:
        assert error is None and parser.done
        reason = parser.finish_reason
        assert OUTCOMES.get(str(reason), reason) == expected["finish"]


def without(event: dict[str, Any], *names: str) -> bool:
    return not any(event["type"].endswith(name) for name in names)


@pytest.mark.parametrize("recorded", recordings(protocol="responses"))
@pytest.mark.parametrize(
    "left_out",
    [
        (".delta",),
        ("_text.done", "refusal.done", "arguments.done", "part.done"),
        (".delta", "item.added", "item.done", ".done", ".added", ".annotation.added"),
    ],
    ids=["deltas", "parts that are done", "all but the last event"],
)
def test_what_a_provider_leaves_out_is_completed(
    recorded: dict[str, Any], left_out: tuple[str, ...]
) -> None:
    expected = recorded["expected"]
    last = chunks_of(recorded)[-1].get("response", {})
    if expected["error"] or (len(left_out) > 3 and not last.get("output")):
        pytest.skip("has no last event to complete anything from")
    parser = ResponsesParser("openai")
    for event in chunks_of(recorded):
        if without(event, *left_out):
            parser.parse("", json.dumps(event).encode())
    assert "".join(parser.totals().text) == expected["text"]
    assert "".join(parser.totals().reasoning) == expected["reasoning"]
    assert len(parser.totals().tool_calls) == len(expected["tool_calls"])
    for call, told in zip(parser.totals().tool_calls, expected["tool_calls"], strict=True):
        assert (call.id, call.name) == (told["id"], told["name"])
        assert json.dumps(call.arguments) == told["arguments"] or (
            call.arguments == told["arguments"]
        )


@pytest.mark.parametrize("recorded", recordings(protocol="responses"))
def test_a_whole_response_in_place_of_a_stream_is_the_same(recorded: dict[str, Any]) -> None:
    response = chunks_of(recorded)[-1].get("response")
    if not response:
        pytest.skip("has no whole response")
    data = json.dumps(response).encode()
    parser = ResponsesParser(recorded["provider"])
    if recorded["expected"]["error"]:
        with pytest.raises(StreamErrorEvent):
            parser.parse_whole(response, data)
        return
    assert parser.parse_whole(response, data)
    assert parser.done and parser.finish() == []
    if response["output"]:
        assert "".join(parser.totals().text) == recorded["expected"]["text"]


CHOSEN = (
    "r-text-image-input",
    "r-two-tools",
    "r-reasoning-summary",
    "r-incomplete",
    "r-refusal",
    "r-openrouter-cot",
    "r-perplexity-agent",
    "r-mcp",
)


def app_for(upstream: FakeUpstream) -> Any:
    row = Provider(name="maker", label="Maker", base_url=f"{upstream.url}/v1", protocol="responses")
    return make_app(upstream, {"maker_api_key": "sk-x"}, llmchat=LLMChat(providers=[row]))


@pytest.mark.parametrize(
    "recorded", [p for p in recordings(protocol="responses") if p.id in (*CHOSEN, "no-recordings")]
)
def test_a_stream_may_be_cut_anywhere(recorded: dict[str, Any], upstream: FakeUpstream) -> None:
    expected = recorded["expected"]
    told, results = answers(app_for(upstream), upstream, "maker", wire_form(recorded))
    assert set(told) == {(200, expected["text"])}
    assert {request.path for request in upstream.requests} == {"/v1/responses"}
    for result in results:
        assert_as_expected(result, expected)
        assert result.outcome == expected["finish"]


@pytest.mark.parametrize("recorded", error_answers("responses"))
def test_a_recorded_error_answer_is_told(recorded: dict[str, Any], upstream: FakeUpstream) -> None:
    reply = Reply(recorded["status"], recorded["headers"], [recorded["body"].encode()])
    upstream.add(reply, reply, reply)
    with (
        served(app_for(upstream)) as port,
        closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection,
    ):
        connection.request("POST", "/api/chat/maker", json.dumps(body("gpt-4.1")))
        with connection.getresponse() as response:
            told = json.loads(response.read())
    assert told["code"] in recorded["expected"]["code"]
