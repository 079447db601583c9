"""How a Messages response ends, through the app and over real sockets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flask_llmchat import ChatRequest, LLMChat
from flask_llmchat.testing import CUT, FakeUpstream, Reply, error_reply, sse_reply
from tests.support.apps import finished, make_app

from .streams import START, STOP, begin, call, end, ended, text, thinking, whole, wire

SEARCH = {"type": "web_search_20260318", "name": "web_search"}
FAILURE = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
HI = {"role": "user", "content": "Hi"}


def app_with(upstream: FakeUpstream, *tools: dict[str, Any]) -> Any:
    llmchat = LLMChat()

    @llmchat.before_chat
    def switch_on(chat: ChatRequest) -> None:
        chat.provider_tools = [*tools]

    profile = {"anthropic_api_key": "sk-x"}
    return make_app(upstream, profile, {"LLMCHAT_MAX_RETRIES": 0}, llmchat)


def chat(app: Any, messages: Any = (HI,)) -> tuple[int, Any, Any]:
    """Send a chat in the ``openai`` dialect; return status, body and result."""
    with finished(app) as done:
        response = app.test_client().post(
            "/api/chat/anthropic/chat/completions",
            json={"model": "claude-sonnet-4-5", "messages": [*messages]},
        )
        response.close()
        return response.status_code, response.get_json(), done.only


STOPPED = [
    ("end_turn", [text(0, "a")], "ok", "stop"),
    ("stop_sequence", [text(0, "a")], "ok", "stop"),
    ("max_tokens", [text(0, "a")], "length", "length"),
    ("model_context_window_exceeded", [], "length", "length"),
    ("refusal", [], "content_filtered", "content_filter"),
    ("tool_use", [call(0, "t", "now")], "tool_calls", "tool_calls"),
    ("end_turn", [call(0, "t", "now")], "tool_calls", "tool_calls"),
    ("pause_turn", [call(0, "t", "now")], "tool_calls", "tool_calls"),  # not to be gone on with
    ("end_turn", [thinking(0, "a")], "ok", "stop"),
]


@pytest.mark.parametrize(("reason", "blocks", "outcome", "told"), STOPPED)
def test_each_stop_reason_has_its_outcome(
    upstream: FakeUpstream, reason: str, blocks: Any, outcome: str, told: str
) -> None:
    upstream.add(sse_reply(wire(whole(*blocks, reason=reason))))
    status, completion, result = chat(app_with(upstream))
    assert (status, result.outcome) == (200, outcome)
    assert completion["choices"][0]["finish_reason"] == told


FAILED = {
    "cut": ([START, *text(0, "a")], "truncated"),
    "cut before anything": ([START], "truncated"),
    "no last event": ([START, *text(0, "a"), ended("end_turn")], "truncated"),
    "no stop reason": ([START, *text(0, "a"), STOP], "truncated"),
    "stop reason null": ([START, *text(0, "a"), ended(None), STOP], "truncated"),
    "unknown reason": (whole(text(0, "a"), reason="bored"), "upstream_error"),
    "odd reason": (whole(text(0, "a"), reason=[1]), "upstream_error"),  # type: ignore[arg-type]
    "nothing": (whole(), "upstream_error"),
    "a call without a name": (whole(call(0, "t", ""), reason="tool_use"), "upstream_error"),
    "an error": ([START, *text(0, "a"), FAILURE], "upstream_error"),
    "an error after the reason": (
        [START, *text(0, "a"), ended("end_turn"), FAILURE],
        "upstream_error",
    ),
}


@pytest.mark.parametrize("name", FAILED)
def test_what_is_not_complete_never_looks_complete(name: str, upstream: FakeUpstream) -> None:
    events, outcome = FAILED[name]
    upstream.add(sse_reply(wire(events)))
    status, told, result = chat(app_with(upstream))
    assert (status >= 400, result.outcome) == (True, outcome), told
    if name == "an error":
        assert told["error"]["code"] == "overloaded"


@pytest.mark.parametrize("raw", [b"data: [DONE]\n\n", b"event: ping\ndata: {}\n\n"])
def test_a_stream_of_nothing_is_truncated(upstream: FakeUpstream, raw: bytes) -> None:
    upstream.add(sse_reply(raw))
    assert chat(app_with(upstream))[2].outcome == "truncated"


def test_a_connection_that_breaks_off_is_truncated(upstream: FakeUpstream) -> None:
    headers = {"Content-Type": "text/event-stream"}
    upstream.add(Reply(headers=headers, body=[wire([START, *text(0, "a")]), CUT]))
    assert chat(app_with(upstream))[2].outcome == "truncated"


def test_a_whole_message_is_taken_in_place_of_a_stream(upstream: FakeUpstream) -> None:
    message = {
        "type": "message",
        "content": [{"type": "text", "text": "Seven."}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }
    body = json.dumps(message).encode()
    upstream.add(Reply(headers={"Content-Type": "application/json"}, body=[body]))
    _, _, result = chat(app_with(upstream))
    assert (result.outcome, result.text, result.usage.total_tokens) == ("ok", "Seven.", 5)


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "invalid_request_error", "bad_request"),
        (401, "authentication_error", "bad_key"),
        (402, "billing_error", "out_of_credit"),
        (403, "permission_error", "no_permission"),
        (404, "not_found_error", "model_not_found"),
        (413, "request_too_large", "context_too_long"),
        (429, "rate_limit_error", "rate_limited"),
        (500, "api_error", "upstream_error"),
        (504, "timeout_error", "timeout"),
        (529, "overloaded_error", "overloaded"),
    ],
)
def test_each_type_of_error_has_its_code(
    upstream: FakeUpstream, status: int, kind: str, code: str
) -> None:
    error = {"type": "error", "error": {"type": kind, "message": "It is so."}}
    headers = {"Content-Type": "application/json"}
    upstream.add(Reply(status, headers, [json.dumps(error).encode()]))
    assert chat(app_with(upstream))[1]["error"]["code"] == code


# Paused responses


SEARCHED = [
    *call(1, "srvtoolu_1", "web_search", '{"query":', ' "a"}', kind="server_tool_use"),
    begin(2, "web_search_tool_result", tool_use_id="srvtoolu_1", content=[{"url": "u"}]),
    end(2),
]
CITED = {"type": "web_search_result_location", "url": "https://a.example", "encrypted_index": "E"}
FIRST = [
    START,
    *thinking(0, "Let", " me."),
    *SEARCHED,
    ended("pause_turn") | {"delta": {"stop_reason": "pause_turn", "container": {"id": "c_1"}}},
    STOP,
]
SECOND = whole(text(0, "It ", "is "), text(1, "", citations=[CITED]), reason="pause_turn")
LAST = whole(text(0, "7."))


def test_a_paused_response_goes_on_with_its_blocks_as_they_came(upstream: FakeUpstream) -> None:
    last = whole(thinking(0, "Seven?"), text(1, "7."))
    upstream.add(*[sse_reply(wire(events), split=11) for events in (FIRST, SECOND, last)])
    status, completion, result = chat(app_with(upstream, SEARCH))
    # The rest of the reasoning is bound to the search, which does not go back.
    assert [detail["text"] for detail in result.reasoning_details] == ["Let me."]
    assert (status, result.outcome, result.text) == (200, "ok", "It is 7.")
    assert completion["choices"][0]["message"]["content"] == "It is 7."
    assert result.usage.prompt_tokens == 15
    assert [tool.name for tool in result.provider_tools] == ["web_search"]
    first, second, third = (request.json for request in upstream.requests)
    blocks = [
        {"type": "thinking", "thinking": "Let me.", "signature": "sig"},
        {
            "type": "server_tool_use",
            "id": "srvtoolu_1",
            "name": "web_search",
            "input": {"query": "a"},
        },
        {
            "type": "web_search_tool_result",
            "tool_use_id": "srvtoolu_1",
            "content": [{"url": "u"}],
        },
    ]
    user = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
    assert first["messages"] == [user] and first["tools"] == [SEARCH]
    assert second == first | {
        "messages": [user, {"role": "assistant", "content": blocks}],
        "container": "c_1",
    }
    more = {"type": "text", "text": "It is "}
    assert third == second | {"messages": [user, {"role": "assistant", "content": [*blocks, more]}]}


def test_a_pause_keeps_the_skills_of_the_container(upstream: FakeUpstream) -> None:
    llmchat = LLMChat()

    @llmchat.before_chat
    def switch_on(chat: ChatRequest) -> None:
        chat.provider_tools = [SEARCH]
        chat.extra["container"] = {"skills": ["s"]}

    app = make_app(upstream, {"anthropic_api_key": "k"}, llmchat=llmchat)
    upstream.add(sse_reply(wire(FIRST)), sse_reply(wire(LAST)))
    assert chat(app)[2].outcome == "ok"
    assert upstream.requests[1].json["container"] == {"skills": ["s"], "id": "c_1"}


def test_citations_go_back_with_their_text(upstream: FakeUpstream) -> None:
    cited = whole(text(0, "It is 7.", citations=[CITED]), reason="pause_turn")
    upstream.add(sse_reply(wire(cited)), sse_reply(wire(LAST)))
    chat(app_with(upstream, SEARCH))
    assert upstream.requests[1].json["messages"][1]["content"] == [
        {"type": "text", "text": "It is 7.", "citations": [CITED]}
    ]


def test_a_pause_that_brought_nothing_is_requested_again(upstream: FakeUpstream) -> None:
    upstream.add(sse_reply(wire(whole(reason="pause_turn"))), sse_reply(wire(LAST)))
    assert chat(app_with(upstream, SEARCH))[2].text == "7."
    first, second = (request.json for request in upstream.requests)
    assert first == second


def test_the_last_part_of_a_response_may_be_empty(upstream: FakeUpstream) -> None:
    upstream.add(sse_reply(wire(SECOND)), sse_reply(wire(whole())))
    result = chat(app_with(upstream, SEARCH))[2]
    assert (result.outcome, result.text) == ("ok", "It is ")


# Reasoning that is refused


def remembered(signature: str) -> list[dict[str, Any]]:
    detail = {"type": "reasoning.text", "format": "messages:anthropic", "text": "Hm."}
    return [
        HI,
        {
            "role": "assistant",
            "content": "Hello.",
            "reasoning_details": [detail | {"signature": signature}],
        },
        {"role": "user", "content": "And?"},
    ]


@pytest.mark.parametrize(
    "message",
    [
        "messages.1.content.0: Invalid `signature` in `thinking` block",
        "messages.1.content.0: The block is bound to a different conversation",
    ],
)
def test_a_chat_goes_on_without_reasoning_that_is_refused(
    upstream: FakeUpstream, message: str
) -> None:
    upstream.add(error_reply(400, message), sse_reply(wire(LAST)))
    assert chat(app_with(upstream), remembered("old"))[2].outcome == "ok"
    first, second = (request.json["messages"][1]["content"] for request in upstream.requests)
    said = {"type": "text", "text": "Hello."}
    assert first == [{"type": "thinking", "thinking": "Hm.", "signature": "old"}, said]
    assert second == [said]


def test_another_refusal_stands(upstream: FakeUpstream) -> None:
    upstream.add(error_reply(400, "messages.1: too many images"))
    assert chat(app_with(upstream), remembered("old"))[0] == 400
    assert len(upstream.requests) == 1


def test_a_refusal_without_reasoning_stands(upstream: FakeUpstream) -> None:
    upstream.add(error_reply(400, "thinking.type: not supported"))
    assert chat(app_with(upstream))[0] == 400
    assert len(upstream.requests) == 1
