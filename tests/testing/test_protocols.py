"""The same replies in each protocol, as its clients read them."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from flask_llmchat.testing import FakeUpstream, Reply, error_reply, text_reply, tool_reply

COUNTS = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
CALLS = tool_reply("f", {"a": 1}, ("g", "{"), text="See", reasoning="Hm", ids=["x"])
QUESTION: Any = {"model": "m", "input": "Hi"}


@pytest.fixture
def client(upstream: FakeUpstream) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="sk-x", base_url=upstream.base_url, max_retries=0) as client:
        yield client


def ask(upstream: FakeUpstream, reply: Reply, path: str) -> tuple[int, bytes]:
    """Post an empty body; return the status and the body of the response."""
    upstream.add(reply)
    with closing(http.client.HTTPConnection(upstream.url[7:], timeout=5)) as connection:
        connection.request("POST", f"/v1/{path}")
        response = connection.getresponse()
        return response.status, response.read()


def events(upstream: FakeUpstream, reply: Reply, path: str) -> list[dict[str, Any]]:
    """Return the data of the events; those of these protocols are named like their type."""
    _, body = ask(upstream, reply, path)
    told = []
    for block in body.decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        told.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {told[-1]['type']}"
    return told


def blocks(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the content blocks together as Anthropic's SDK does; none is open when one starts."""
    done: list[dict[str, Any]] = []
    is_open = False
    for event in told:
        match event:
            case {"type": "content_block_start", "content_block": block, "index": index}:
                assert (is_open, index) == (False, len(done))
                is_open = True
                done.append(block | ({"input": ""} if block["type"] == "tool_use" else {}))
            case {"type": "content_block_delta", "delta": delta, "index": index}:
                assert (is_open, index) == (True, len(done) - 1)
                (name,) = delta.keys() - {"type"}
                assert delta["type"] in (f"{name}_delta", "input_json_delta")
                done[-1]["input" if name == "partial_json" else name] += delta[name]
            case {"type": "content_block_stop", "index": index}:
                assert (is_open, index) == (True, len(done) - 1)
                is_open = False
    assert not is_open
    return done


def final(client: openai.OpenAI, **asked: Any) -> Response:
    with client.responses.stream(**QUESTION, **asked) as stream:
        return stream.get_final_response()


def test_responses_have_text_reasoning_and_usage(
    upstream: FakeUpstream, client: openai.OpenAI
) -> None:
    upstream.add(text_reply("Good", " é", reasoning=["Hm", "."], usage=COUNTS, model="gpt-6"))
    response = final(client)
    assert (response.model, response.status, response.output_text) == (
        "gpt-6",
        "completed",
        "Good é",
    )
    reasoning, message = response.output
    assert [part.text for part in reasoning.summary] == ["Hm."]
    assert reasoning.encrypted_content is None
    assert message.status == "completed"
    assert response.usage.model_dump(exclude_none=True) == {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 120,
    }


def test_responses_have_encrypted_reasoning_when_asked(
    upstream: FakeUpstream, client: openai.OpenAI
) -> None:
    upstream.add(CALLS)
    response = final(client, include=["reasoning.encrypted_content"])
    assert response.output[0].encrypted_content == "fake-encrypted"


def test_responses_have_function_calls(upstream: FakeUpstream, client: openai.OpenAI) -> None:
    upstream.add(tool_reply("f", {"a": 1}, ("g", {}), text="See", reasoning="Hm", ids=["x"]))
    reasoning, message, first, second = final(client).output
    assert (reasoning.summary[0].text, message.content[0].text) == ("Hm", "See")
    told = [(call.call_id, call.name, call.arguments) for call in (first, second)]
    assert told == [("x", "f", '{"a": 1}'), ("call_2", "g", "{}")]
    assert len({item.id for item in (reasoning, message, first, second)}) == 4


@pytest.mark.parametrize(
    "reply",
    [
        text_reply("a", "b", reasoning="c"),
        text_reply("a", finish_reason="length", usage=COUNTS),
        text_reply(usage=None),
        CALLS,
    ],
    ids=["text", "length", "empty", "calls"],
)
@pytest.mark.external  # the types of older versions require a name that no provider sends
def test_events_of_responses_have_the_fields_of_the_sdk_s_types(
    upstream: FakeUpstream, reply: Reply
) -> None:
    """All that it requires: its client itself constructs what is missing as None."""
    told = events(upstream, reply, "responses")
    adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    for number, event in enumerate(told):
        assert adapter.validate_python(event).type == event["type"]
        assert event["sequence_number"] == number


def test_messages_have_text_thinking_and_usage(upstream: FakeUpstream) -> None:
    reply = text_reply("Good", " é", reasoning=["Hm", "."], usage=COUNTS, model="claude")
    told = events(upstream, reply, "messages")
    assert blocks(told) == [
        {"type": "thinking", "thinking": "Hm.", "signature": "fake-signature"},
        {"type": "text", "text": "Good é"},
    ]
    started, delta = told[0]["message"], told[-2]
    assert (started["model"], started["content"], started["stop_reason"]) == ("claude", [], None)
    assert delta["usage"] == {
        "input_tokens": 30,
        "cache_creation_input_tokens": 10,
        "cache_read_input_tokens": 60,
        "output_tokens": 20,
        "output_tokens_details": {"thinking_tokens": 5},
    }
    assert {**delta["usage"], **started["usage"]}["input_tokens"] == 30
    assert started["usage"]["output_tokens"] == 1
    assert [event["type"] for event in told if "content_block" not in event["type"]] == [
        "message_start",
        "ping",
        "message_delta",
        "message_stop",
    ]


def test_messages_have_tool_use(upstream: FakeUpstream) -> None:
    told = events(upstream, CALLS, "messages")
    assert blocks(told)[1:] == [
        {"type": "text", "text": "See"},
        {"type": "tool_use", "id": "x", "name": "f", "input": '{"a": 1}'},
        {"type": "tool_use", "id": "call_2", "name": "g", "input": "{"},
    ]
    assert told[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}


def test_chat_completions_have_reasoning(upstream: FakeUpstream, client: openai.OpenAI) -> None:
    upstream.add(tool_reply("f", text=["a", "b"], reasoning="Hm"))
    with client.chat.completions.create(model="m", messages=[], stream=True) as stream:
        chunks = list(stream)
    deltas = [chunk.choices[0].delta.to_dict() for chunk in chunks if chunk.choices]
    assert deltas[1:4] == [{"reasoning_content": "Hm"}, {"content": "a"}, {"content": "b"}]
    assert chunks[-1].usage.completion_tokens_details.reasoning_tokens == 1


@pytest.mark.parametrize(
    ("reason", "event", "details", "stop_reason"),
    [
        ("stop", "response.completed", None, "end_turn"),
        ("tool_calls", "response.completed", None, "tool_use"),
        ("length", "response.incomplete", {"reason": "max_output_tokens"}, "max_tokens"),
        ("content_filter", "response.incomplete", {"reason": "content_filter"}, "refusal"),
        ("pause_turn", "response.incomplete", {"reason": "pause_turn"}, "pause_turn"),
    ],
)
def test_finish_reasons(
    upstream: FakeUpstream, reason: str, event: str, details: Any, stop_reason: str
) -> None:
    reply = text_reply("a", finish_reason=reason)
    last = events(upstream, reply, "responses")[-1]
    assert (last["type"], last["response"]["incomplete_details"]) == (event, details)
    assert last["response"]["status"] == event.removeprefix("response.")
    assert events(upstream, reply, "messages")[-2]["delta"]["stop_reason"] == stop_reason


def test_a_stream_without_a_finish_reason_has_no_terminal_event(upstream: FakeUpstream) -> None:
    reply = text_reply("a", finish_reason=None)
    assert events(upstream, reply, "responses")[-1]["type"] == "response.output_text.delta"
    assert events(upstream, reply, "messages")[-1]["type"] == "content_block_delta"


def test_usage_can_be_left_out(upstream: FakeUpstream) -> None:
    reply = text_reply("a", usage=None)
    assert events(upstream, reply, "responses")[-1]["response"]["usage"] is None
    assert b"usage" not in ask(upstream, reply, "messages")[1]


def test_an_error_takes_the_place_of_the_ending(
    upstream: FakeUpstream, client: openai.OpenAI
) -> None:
    reply = text_reply("a", error="No é")
    for create in (
        lambda: client.chat.completions.create(model="m", messages=[], stream=True),
        lambda: client.responses.create(**QUESTION, stream=True),
    ):
        upstream.add(reply)
        with create() as stream, pytest.raises(openai.APIError, match="No é"):
            list(stream)
    error, failed = events(upstream, reply, "responses")[-2:]
    assert error["error"]["message"] == failed["response"]["error"]["message"] == "No é"
    assert (failed["type"], failed["response"]["status"]) == ("response.failed", "failed")
    told = events(upstream, reply, "messages")[-1]
    assert told == {"type": "error", "error": {"type": "overloaded_error", "message": "No é"}}
    assert b"[DONE]" not in ask(upstream, reply, "chat/completions")[1]


@pytest.mark.parametrize(
    ("status", "given", "kind"),
    [
        (429, None, "rate_limit_error"),
        (422, None, "invalid_request_error"),
        (502, None, "api_error"),
        (400, "billing_error", "billing_error"),
    ],
)
def test_an_error_reply_in_each_protocol(
    upstream: FakeUpstream, status: int, given: str | None, kind: str
) -> None:
    reply = error_reply(status, "No", code="c", type=given)
    told, body = ask(upstream, reply, "messages")
    error = {"type": kind, "message": "No"}
    assert told == status
    assert json.loads(body) == {"type": "error", "error": error, "request_id": "req_fake"}
    for path in ("responses", "chat/completions"):
        told, body = ask(upstream, reply, path)
        error = {"message": "No", "type": given, "param": None, "code": "c"}
        assert (told, json.loads(body)) == (status, {"error": error})


@pytest.mark.parametrize("path", ["chat/completions", "responses", "messages"])
def test_bytes_are_sent_as_they_are(upstream: FakeUpstream, path: str) -> None:
    """Also between what is written in the protocol."""
    assert ask(upstream, Reply(body=[b"a", 0.01, b"b"]), path) == (200, b"ab")
    reply = text_reply("a")
    mixed = ask(upstream, Reply(body=[b"x", *reply.body, b"y"]), path)[1]
    assert mixed == b"x" + ask(upstream, reply, path)[1] + b"y"


def test_the_greeting_is_in_each_protocol(upstream: FakeUpstream, client: openai.OpenAI) -> None:
    greeting = "Hello from the fake upstream."
    assert final(client).output_text == greeting
    with closing(http.client.HTTPConnection(upstream.url[7:], timeout=5)) as connection:
        connection.request("POST", "/v1/messages", b"{}")
        assert b'{"type":"text_delta","text":"Hello"}' in connection.getresponse().read()


def test_other_paths_are_served_as_chat_completions() -> None:
    with FakeUpstream(paths=["/chat"]) as upstream:
        assert b"chat.completion.chunk" in ask(upstream, text_reply("a"), "chat")[1]
        assert ask(upstream, text_reply("a"), "messages")[0] == 404
