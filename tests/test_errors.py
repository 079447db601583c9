"""Provider errors in every shape they come in, told safely."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from flask_llmchat import ChatError
from flask_llmchat.errors import redact, safe_sentence
from flask_llmchat.upstream.errors import from_body, parse_json

KEY = "sk-planted-0123456789abcdef0123456789"


def told(body: Any, status: int | None = 400, headers: dict[str, str] | None = None) -> ChatError:
    return from_body(
        body,
        status=status,
        headers=headers or {},
        label="Acme",
        provider="acme",
        secrets=(KEY,),
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "Bad"}}, "Bad"),
        ({"error": "Bad"}, "Bad"),
        ({"message": "Bad"}, "Bad"),
        ([{"error": {"code": 400, "message": "Bad", "status": "INVALID_ARGUMENT"}}], "Bad"),
        ("Bad", "Bad"),
        ({"detail": "Bad"}, "Bad"),
        ({"detail": [{"loc": ["body", "x"], "msg": "Bad", "type": "missing"}]}, "Bad"),
        ({"object": "error", "message": {"detail": [{"msg": "Bad"}]}}, "Bad"),
        ({"error": {"message": "Provider returned error", "metadata": {"raw": "Bad"}}}, "Bad"),
        (
            {"error": {"message": "x", "metadata": {"raw": '{"error": {"message": "Bad"}}'}}},
            "Bad",
        ),
        ({"error": {"message": "Two\n  lines\x00"}}, "Two lines"),
        ({}, "Acme could not answer (status 400)."),
        ("", "Acme could not answer (status 400)."),
        (None, "Acme could not answer (status 400)."),
        ([], "Acme could not answer (status 400)."),
        (7, "Acme could not answer (status 400)."),
        ("<!doctype html><h1>Bad</h1>", "Acme could not answer (status 400)."),
        ({"error": {"message": "x" * 2000}}, "x" * 499 + "…"),
    ],
)
def test_the_message_is_dug_out(body: Any, message: str) -> None:
    assert told(body).message == message


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (401, {}, "bad_key"),
        (400, {"message": "API key not valid. Please pass a valid API key."}, "bad_key"),
        (400, {"code": "invalid_api_key"}, "bad_key"),
        (402, {}, "out_of_credit"),
        (429, {"type": "exceeded_current_quota_error"}, "out_of_credit"),
        (429, {"message": "You have used all available credits"}, "out_of_credit"),
        (429, {"details": {"error_code": "enforced_spend_limit_reached"}}, "out_of_credit"),
        (429, {"status": "RESOURCE_EXHAUSTED", "message": "check billing"}, "rate_limited"),
        (400, {"message": "Your credit balance is too low"}, "out_of_credit"),
        (403, {"message": "Key limit exceeded"}, "out_of_credit"),
        (403, {"message": "Your input was flagged"}, "content_filtered"),
        (400, {"message": "API key expired. Please renew it."}, "bad_key"),
        (404, {"type": "not_found_error", "message": "model: claude-x"}, "model_not_found"),
        (404, {"message": "models/gemini-x is not found for API version"}, "model_not_found"),
        (404, {"message": "No endpoints found for x"}, "model_not_found"),
        (400, {"message": "The input token count exceeds the maximum"}, "context_too_long"),
        (
            400,
            {"message": "x", "metadata": {"raw": '{"error":{"code":"context_length_exceeded"}}'}},
            "context_too_long",
        ),
        (403, {}, "no_permission"),
        (404, {"code": "model_not_found"}, "model_not_found"),
        (404, {"code": "DeploymentNotFound"}, "model_not_found"),
        (404, {"message": "Resource not found"}, "bad_request"),
        (400, {"message": "The model `x` does not exist"}, "model_not_found"),
        (400, {"code": "context_length_exceeded"}, "context_too_long"),
        (400, {"message": "This model's maximum context length is 8192"}, "context_too_long"),
        (413, {}, "context_too_long"),
        (413, {"code": "rate_limit_exceeded", "type": "tokens"}, "rate_limited"),
        (400, {"code": "content_filter"}, "content_filtered"),
        (400, {"innererror": {"code": "ResponsibleAIPolicyViolation"}}, "content_filtered"),
        (429, {}, "rate_limited"),
        (429, {"type": "insufficient_quota"}, "out_of_credit"),
        (429, {"code": "project_spend_limit_exceeded"}, "out_of_credit"),
        (503, {}, "overloaded"),
        (529, {"type": "overloaded_error"}, "overloaded"),
        (500, {}, "upstream_error"),
        (504, {}, "timeout"),
        (400, {"code": "unsupported_parameter"}, "bad_request"),
        (422, {"code": True}, "bad_request"),
    ],
)
def test_the_code(status: int, error: dict[str, Any], code: str) -> None:
    error_ = told({"error": error}, status)
    # A key that is wrong is 401, whatever the provider makes of it.
    assert (error_.code, error_.status) == (code, 401 if code == "bad_key" else status)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": 503}, 503),
        ({"code": "429"}, 429),
        ({"code": "x", "status_code": 400}, 400),
        ({"code": 42}, 502),
        ({}, 502),
    ],
)
def test_an_error_inside_a_stream_may_bring_its_status(error: dict[str, Any], status: int) -> None:
    assert told({"error": error}, None).status == status


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        ({"retry-after": "7"}, "7"),
        ({"retry-after": "6.78"}, "7"),
        ({"retry-after-ms": "1500", "retry-after": "9"}, "2"),
        ({"retry-after": "Fri, 20 Nov 2026 10:00:00 GMT"}, "Fri, 20 Nov 2026 10:00:00 GMT"),
        ({"retry-after": "soon\r\nX-Evil: 1"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "日" * 24 + " GMT"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], value: str | None) -> None:
    assert told({}, 429, headers).retry_after == value


def test_the_providers_request_id_is_kept() -> None:
    assert told({}, 500, {"x-request-id": "req_1"}).upstream_request_id == "req_1"
    odd = told({}, 500, {"x-request-id": f"a\x1b[31m{'x' * 180}{KEY}"}).upstream_request_id
    assert odd and odd.isprintable() and KEY[:12] not in odd


@pytest.mark.parametrize("status", [302, 600, 999])
def test_an_odd_status_is_a_failure(status: int) -> None:
    assert told({}, status).status == 502


def test_a_key_that_is_quoted_back_is_taken_out() -> None:
    body = {"error": {"message": f"Incorrect: {KEY}", "seen": [KEY, KEY[:10] + "***", KEY[:14]]}}
    error = told(body, 400)
    assert "planted" not in error.message + repr(error) + str(vars(error))
    assert '"seen": ["[key]", "[key]", "[key]"]' in error.detail


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("key sk-abc123***", "key [key]"),
        ("Your api key: ****-key is invalid", "Your api key: [key] is invalid"),
        ("gsk_abcdef and AIzaSyabcdefgh", "[key] and [key]"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [key]"),
        ("ask-someone about risk-free sky", "ask-someone about risk-free sky"),
        ("the model `gpt-5` is **new**", "the model `gpt-5` is **new**"),
    ],
)
def test_redact(text: str, safe: str) -> None:
    assert redact(text) == safe


def test_a_long_word_costs_no_square() -> None:
    started = time.process_time()
    assert told({"error": "x" * 10**6}).message.endswith("…")
    redact("x" * 10**6)
    assert time.process_time() - started < 2  # hours, if it did


def test_a_short_secret_does_not_tear_words_apart() -> None:
    assert safe_sentence("a cat", ("a",)) == "a cat"


def test_a_chat_error_knows_its_status() -> None:
    assert ChatError("No", "rate_limited").status == 429
    assert ChatError("No").status == 400
    with pytest.raises(ValueError, match="unknown code 'quota'; use one of missing_key"):
        ChatError("No", "quota")  # type: ignore[arg-type]


def test_what_is_no_json_is_text() -> None:
    assert parse_json(b"[" * 100_000).startswith("[[")
    assert parse_json(b"\xff") == "\ufffd"
    assert parse_json(json.dumps({"a": 1}).encode()) == {"a": 1}
