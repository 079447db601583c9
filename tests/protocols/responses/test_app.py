"""Responses through the app, over real sockets, in every dialect."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from flask_llmchat import ChatResult
from flask_llmchat.core.errors import StreamAborted
from flask_llmchat.testing import FakeUpstream, Reply, error_reply, sse_reply
from tests.support.apps import body, finished, make_app, profile_for

from .streams import USAGE, added, completed, done, event, message, text, wire

SETTINGS = {"LLMCHAT_PROTOCOLS": {"openai": "responses", "azure": "responses"}}
SDK = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hi"}]}
UI = {
    "chatSettings": {"model": "gpt-4.1"},
    "messages": [{"id": "m", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}],
}
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "text": ("", body()),
    "ui": ("", UI),
    "openai": ("/chat/completions", {**SDK, "stream": True}),
    "whole": ("/chat/completions", SDK),
}


def asked(
    upstream: FakeUpstream, way: str = "text", provider: str = "openai", **config: Any
) -> tuple[int, str, ChatResult]:
    path, posted = WAYS[way]
    app = make_app(upstream, config={**SETTINGS, **config})
    with finished(app) as results:
        response = app.test_client().post(f"/api/chat/{provider}{path}", json=posted)
        told: list[bytes] = []
        with contextlib.suppress(StreamAborted):  # how a text that broke off looks to a client
            told += response.response
        response.close()
        return response.status_code, b"".join(told).decode(), results.only


HELLO = [
    event("created", response={}),
    added(0, "message"),
    text("Hel"),
    text("lo"),
    done(0, "message", **message("Hello")),
]
CALL = {"id": "f", "call_id": "c1", "name": "now", "arguments": "{}"}
CALLED = [added(0, "function_call", **CALL), done(0, "function_call", **CALL)]


def incomplete(reason: str) -> dict[str, Any]:
    response = {"status": "incomplete", "incomplete_details": {"reason": reason}, "usage": USAGE}
    return event("incomplete", response=response)


ERROR = {"code": "server_error", "message": "The model is tired."}

ENDINGS: dict[str, tuple[bytes, str, str]] = {
    "completed": (wire(*HELLO, completed()), "ok", '"stop"'),
    "a call": (wire(*CALLED, completed()), "tool_calls", '"tool'),
    "too long": (wire(*HELLO, incomplete("max_output_tokens")), "length", '"length"'),
    "filtered": (wire(*HELLO, incomplete("content_filter")), "content_filtered", '"content'),
    "failed": (wire(*HELLO, event("failed", response={"error": ERROR})), "upstream_error", "tired"),
    "error": (wire(*HELLO, {"type": "error", **ERROR}), "upstream_error", "tired"),
    "a named error": (
        wire(*HELLO) + b"event: error\ndata: " + json.dumps({"error": ERROR}).encode() + b"\n\n",
        "upstream_error",
        "tired",
    ),
    "broken off": (wire(*HELLO), "truncated", "broke off"),
    "broken off, as chat completions end": (wire(*HELLO, b"[DONE]"), "truncated", "broke off"),
    "the end alone": (b"data: [DONE]\n\n", "truncated", "broke off"),
    "nothing": (wire(completed()), "upstream_error", "nothing in it"),
}


@pytest.mark.parametrize("name", ENDINGS)
@pytest.mark.parametrize("way", WAYS)
def test_every_ending_is_told_apart_in_every_dialect(
    way: str, name: str, upstream: FakeUpstream
) -> None:
    raw, outcome, told = ENDINGS[name]
    upstream.add(*[sse_reply(raw)] * 3)
    status, answer, result = asked(upstream, way)
    assert result.outcome == outcome
    if "Hel" in raw.decode():
        assert result.text == "Hello"
    if way != "text":
        assert told in answer
    elif status == 200:
        assert answer == result.text
    if outcome in ("ok", "tool_calls", "length", "content_filtered"):
        assert status == 200 and result.error is None
        assert result.usage is not None and result.usage.total_tokens == 12
    else:
        assert result.error is not None and told in result.error.message


def test_a_whole_response_in_place_of_a_stream_is_taken(upstream: FakeUpstream) -> None:
    whole = {
        "object": "response",
        "status": "completed",
        "output": [{"type": "message", **message("Hello")}],
    }
    upstream.add(
        Reply(headers={"Content-Type": "application/json"}, body=[json.dumps(whole).encode()])
    )
    status, answer, result = asked(upstream)
    assert (status, answer, result.outcome) == (200, "Hello", "ok")


def test_a_failure_with_status_200_is_a_failure(upstream: FakeUpstream) -> None:
    error = {"code": "rate_limit_exceeded", "message": "Slow down."}
    whole = {"object": "response", "status": "failed", "output": [], "error": error}
    reply = Reply(headers={"Content-Type": "application/json"}, body=[json.dumps(whole).encode()])
    upstream.add(*[reply] * 3)
    status, _, result = asked(upstream)
    assert status == 429 and result.error is not None
    assert (result.error.code, result.error.message) == ("rate_limited", "Slow down.")


def test_the_message_of_a_failure_is_found_in_a_long_event(upstream: FakeUpstream) -> None:
    response = {"instructions": "Be kind. " * 20_000, "error": ERROR}
    upstream.add(sse_reply(wire(*HELLO, event("failed", response=response))))
    _, _, result = asked(upstream)
    assert result.error is not None and result.error.message == "The model is tired."


def test_a_request_without_summaries_follows_where_they_are_refused(upstream: FakeUpstream) -> None:
    message = "Your organization must be verified to generate reasoning summaries."
    upstream.add(error_reply(400, message), *[sse_reply(wire(*HELLO, completed()))] * 2)
    app = make_app(
        upstream, {**profile_for(), "openai_api_key": "sk-of-nobody-0123456789"}, config=SETTINGS
    )
    for expected in (1, 2):
        response = app.test_client().post("/api/chat/openai", json=body("gpt-5"))
        assert response.get_data(as_text=True) == "Hello"
        response.close()
        assert len(upstream.requests) == expected + 1
    assert ["reasoning" in request.json for request in upstream.requests] == [True, False, False]
    assert all(request.json["store"] is False for request in upstream.requests)


def test_azure_has_responses_at_its_new_address(upstream: FakeUpstream) -> None:
    upstream.add(sse_reply(wire(*HELLO, completed())))
    asked(upstream, provider="azure")
    (request,) = upstream.requests
    assert request.path == "/openai/v1/responses"
    assert request.json["model"] == "my-deployment"


def test_without_the_setting_a_model_goes_by_chat_completions(upstream: FakeUpstream) -> None:
    asked(upstream, LLMCHAT_PROTOCOLS={})
    assert {request.path for request in upstream.requests} == {"/v1/chat/completions"}
