"""Provider errors in every shape they come in, told safely."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from flask_llmchat import ChatError
from flask_llmchat.core.errors import redact, safe_sentence
from flask_llmchat.protocols.errors import from_body, parse_json

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
def test_a_providers_error_code_decides_ours(status: int, error: dict[str, Any], code: str) -> None:
    error_ = told({"error": error}, status)
    # A key that is wrong is 401, whatever the provider makes of it.
    assert (error_.code, error_.status) == (code, 401 if code == "bad_key" else status)


# In the words of today's providers and gateways.
SAID = [
    (400, "The input token count (81881) exceeds the maximum number of tokens allowed (65536).",
     "context_too_long"),
    (400, "This model's maximum prompt length is 131072 but the request contains 140000 tokens.",
     "context_too_long"),
    (400, "the request exceeds the available context size, try increasing it",
     "context_too_long"),
    (500, "the request exceeds the available context size", "context_too_long"),
    (400, "The length of all messages is too long", "context_too_long"),
    (400, "prompt is too long: 210000 tokens > 200000 maximum", "context_too_long"),
    (400, "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768",
     "context_too_long"),
    (400, "Please reduce the length of the messages or completion.", "context_too_long"),
    (400, "Range of input length should be [1, 30720]", "context_too_long"),
    (422, "`inputs` tokens + `max_new_tokens` must be <= 4097", "context_too_long"),
    (400, "Input is too long for requested model.", "context_too_long"),
    (413, "Request body too large for m-1 model. Max size: 8000 tokens.", "context_too_long"),
    (400, "The decoder prompt (length 5000) is longer than the maximum model length of 4096",
     "context_too_long"),
    (400, "Your request exceeded model token limit: 8192", "context_too_long"),
    (400, "invalid params, context window exceeds limit (2013)", "context_too_long"),
    (400, "Prompt 超长", "context_too_long"),
    (429, "Too many tokens, please wait before trying again.", "rate_limited"),
    (429, "Request too large for m-1 on tokens per min (TPM): Limit 30000", "rate_limited"),
    (429, "You exceeded your current quota, please check your plan and billing details.",
     "rate_limited"),
    (429, "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 requests",
     "rate_limited"),
    (429, "Rate limit reached. Need more? Upgrade at https://x.test/settings/billing",
     "rate_limited"),
    (429, "The model `m` is not found in this region's quota", "rate_limited"),
    (429, "Your input was flagged too often", "rate_limited"),
    (403, "Quota exceeded for quota metric 'Generate requests'", "rate_limited"),
    (400, "Too many requests, slow down", "rate_limited"),
    (500, "insufficient balance (1008)", "out_of_credit"),
    (429, "余额不足或无可用资源包,请充值。", "out_of_credit"),
    (429, "Insufficient balance or no resource package. Please recharge.", "out_of_credit"),
    (403, "Your newly created team doesn't have any credits yet.", "out_of_credit"),
    (403, "user quota is not enough", "out_of_credit"),
    (402, "You have exceeded your monthly included credits", "out_of_credit"),
    (400, "Budget has been exceeded! Current cost: 1.2", "out_of_credit"),
    (412, "Account suspended, possibly due to reaching the monthly spending limit",
     "out_of_credit"),
    (404, 'model "m:7b" not found, try pulling it first', "model_not_found"),
    (400, "m-1 is not a valid model ID", "model_not_found"),
    (400, "Unknown model: m-1", "model_not_found"),
    (404, "The model m-1 does not exist or your team does not have access to it",
     "model_not_found"),
    (404, "Publisher Model `projects/p/models/m` was not found", "model_not_found"),
    (400, "The requested model 'm-1' is not supported by any provider you have enabled.",
     "model_not_found"),
    (503, "The model is currently not available", "overloaded"),
    (500, "The model is overloaded. Please try again later.", "overloaded"),
    (400, "Input data may contain inappropriate content.", "content_filtered"),
    (403, "Content violates usage guidelines.", "content_filtered"),
    (400, "Incorrect API key provided: xa***", "bad_key"),
    (400, "Unsupported parameter: 'max_tokens' is not supported with this model.",
     "bad_request"),
    (400, "max_tokens must be at least 1", "bad_request"),
    (500, "Internal error", "upstream_error"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "message", "code"), SAID)
def test_a_providers_message_decides_the_code(status: int, message: str, code: str) -> None:
    assert told({"error": {"message": message}}, status).code == code
    # What fails in the middle of a stream has no status to go by.
    if status not in (429, 503, 402):
        assert told({"error": {"message": message}}, None).code == code.replace(
            "bad_request", "upstream_error"
        )


@pytest.mark.parametrize(
    ("status", "code", "known_as"),
    [
        (400, "exceed_context_size_error", "context_too_long"),
        (413, "tokens_limit_reached", "context_too_long"),
        (429, "context_length_exceeded", "rate_limited"),
        (429, "server_is_overloaded", "rate_limited"),
        (429, "throttling_error", "rate_limited"),
        (403, "Throttling.RateQuota", "rate_limited"),
        (403, "RateLimitReached", "rate_limited"),
        (429, "insufficient_user_quota", "out_of_credit"),
        (400, "budget_exceeded", "out_of_credit"),
        (400, "Arrearage", "out_of_credit"),
        (403, "AccountOverdueError", "out_of_credit"),
        (500, "billing_error", "out_of_credit"),
        (404, "ModelNotOpen", "model_not_found"),
        (400, "invalid_model_error", "model_not_found"),
        (400, "data_inspection_failed", "content_filtered"),
        (400, "API_KEY_INVALID", "bad_key"),
        (400, "InvalidApiKey", "bad_key"),
        (400, "invalid_request_error", "bad_request"),
        (498, "capacity_exceeded", "overloaded"),
    ],
)
def test_codes_of_todays_providers_are_recognised(status: int, code: str, known_as: str) -> None:
    assert told({"error": {"code": code}}, status).code == known_as


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
         "out_of_credit", "insufficient balance"),
        ({"success": False, "errors": [{"code": 7009, "message": "Not now"}], "result": None},
         "upstream_error", "Not now"),
        ({"code": 1, "msg": "Not now", "data": None}, "upstream_error", "Not now"),
        ({"response": {"error": {"code": "insufficient_quota", "message": "No funds"}}},
         "out_of_credit", "No funds"),
        ({"error_code": 17, "error_msg": "Open api daily request limit reached"},
         "upstream_error", "Open api daily request limit reached"),
        ({"type": "about:blank", "title": "Not now", "status": 500}, "upstream_error", "Not now"),
    ],
)  # fmt: skip
def test_words_are_found_where_gateways_put_them(
    body: dict[str, Any], code: str, message: str
) -> None:
    error = told(body, None)
    assert (error.code, error.message) == (code, message)


@pytest.mark.parametrize(
    "raw",
    [
        b'data: {"error":{"message":"Daily limit of 50 requests reached","code":429}}\n\n',
        b'event: error\r\ndata: {"error":{"message":"Daily limit of 50 requests reached"}}',
        b': hello\n\ndata: null\n\ndata: {"message":"Daily limit of 50 requests reached"}\n\n'
        b"data: [DONE]\n\n",
    ],
)
def test_an_error_body_may_be_an_event_stream(raw: bytes) -> None:
    assert told(parse_json(raw), 429).message == "Daily limit of 50 requests reached"


def test_html_and_words_are_no_event_stream() -> None:
    for raw in (b"data", b"data: x", b"<html>\n{}", b"event: error\n\n", b"data: [DONE]\n\n"):
        assert parse_json(raw) == raw.decode()


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ([{"error": {"details": [{"@type": "…RetryInfo", "retryDelay": "45s"}]}}], "45"),
        ({"error": {"details": [{}, {"retryDelay": "45.8s"}]}}, "46"),
        ({"error": {"retry_after": 7}}, "7"),
        ({"error": {"metadata": {"retry_after_seconds": 0.2}}}, "1"),
        ({"error": {"details": [{"retryDelay": "soon"}]}}, None),
        ({"error": {"details": [{"retryDelay": {"seconds": 1}}]}}, None),
        ({"error": {"details": [{"retryDelay": "-1s"}]}}, None),
        ({"error": {"details": [{"retryDelay": "1" * 5000}]}}, None),
    ],
)
def test_when_to_come_back_may_stand_in_the_body(body: Any, seconds: str | None) -> None:
    assert told(body, 429).retry_after == seconds
    assert told(body, 429, {"retry-after": "3"}).retry_after == "3"


@pytest.mark.parametrize(
    "shape",
    ["[{}%s]", '{"error":[{"code":1}%s]}', '{"a":%s1', "[%s", '{"error":%s1', '{"message":"%s"}'],
)
def test_no_error_body_costs_more_than_its_length(shape: str) -> None:
    filler = {
        "[{}%s]": ",{}",
        '{"error":[{"code":1}%s]}': ',{"code":1}',
        '{"a":%s1': '{"a":',
        "[%s": "[[",
        '{"error":%s1': '{"error":',
        '{"message":"%s"}': "model tokens ",
    }
    nested = shape.count("}") < shape.count("{")
    times = 900 if nested else 64 * 2**10 // len(filler[shape])
    raw = (shape % (filler[shape] * times) + "}" * (times + 1 if nested else 0)).encode()
    started = time.process_time()
    for _ in range(5):
        told(parse_json(raw), 400)
    assert time.process_time() - started < 2  # for ever, with one visit too many a level


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
        ({"retry-after": "Fri, 20 Nov 2020 10:00:00 GMT"}, "0"),
        ({"retry-after": "Fri, 20 Nov 2020 10:00:00 GMT\r\nX-Evil: 1"}, "0"),
        ({"retry-after": "Fri, 20 Nov 99999 10:00:00 GMT"}, None),
        ({"retry-after": "soon\r\nX-Evil: 1"}, None),
        ({"retry-after": "1000000"}, None),
        ({"retry-after": "9" * 5000}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "日" * 24 + " GMT"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_passed_on_in_seconds(headers: dict[str, str], value: str | None) -> None:
    assert told({}, 429, headers).retry_after == value


def test_a_date_to_come_back_at_is_passed_on_as_seconds() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 80 < int(told({}, 429, {"retry-after": date}).retry_after or "") <= 100


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
        ("nvapi-abcdef and vck_abcdef", "[key] and [key]"),
        ("bedrock-api-key-YWJjZGVm is old", "[key] is old"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [key]"),
        ("ask-someone about risk-free sky", "ask-someone about risk-free sky"),
        ("the model `gpt-5` is **new**", "the model `gpt-5` is **new**"),
    ],
)
def test_keys_are_redacted_from_text(text: str, safe: str) -> None:
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
    with pytest.raises(
        ValueError, match="unknown code 'quota'; use one of missing_key, bad_request"
    ):
        ChatError("No", "quota")  # type: ignore[arg-type]


def test_what_is_no_json_is_text() -> None:
    assert parse_json(b"[" * 100_000).startswith("[[")
    assert parse_json(b"\xff") == "\ufffd"
    assert parse_json(json.dumps({"a": 1}).encode()) == {"a": 1}
