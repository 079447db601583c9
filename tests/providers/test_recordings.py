"""Real recorded streams and error answers, through the app, over real sockets."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from typing import Any

import pytest

from flask_llmchat.protocols.chat_completions.parser import ChatCompletionParser
from flask_llmchat.testing import FakeUpstream, Reply
from tests.support.apps import BY_CHAT_COMPLETIONS, body, make_app
from tests.support.recordings import (
    answers,
    assert_as_expected,
    assert_sources,
    assert_usage,
    error_answers,
    everybodys_keys,
    expected_calls,
    recordings,
    route_of,
    server_sent,
    tool_calls,
    wire_form,
)
from tests.support.servers import served


@pytest.mark.parametrize("recorded", recordings())
def test_a_recorded_stream_comes_out_as_its_text(
    recorded: dict[str, Any], upstream: FakeUpstream
) -> None:
    expected = recorded["expected"]
    app = make_app(upstream, everybodys_keys(upstream), BY_CHAT_COMPLETIONS)
    told, results = answers(app, upstream, route_of(recorded), wire_form(recorded))
    assert set(told) == {(200, expected["text"])}
    for result in results:
        assert_as_expected(result, expected)


@pytest.mark.parametrize("recorded", recordings())
def test_every_recording_reads_as_its_index_says(recorded: dict[str, Any]) -> None:
    """Also of providers that have no row yet: the reader is one for all of them."""
    raw = wire_form(recorded)
    for size in (1 << 30, 7):
        reader = ChatCompletionParser()
        for _, data in server_sent(raw, size):
            if data != b"[DONE]":
                reader.read(json.loads(data))
        expected = recorded["expected"]
        assert "".join(reader.totals().text) == expected["text"]
        assert "".join(reader.totals().reasoning) == expected["reasoning"]
        assert reader.finish_reason == expected["finish_reason"]
        assert tool_calls(reader.totals().tool_calls) == expected_calls(expected)
        assert_usage(reader.totals().usage, expected["usage"])
        assert_sources(reader.totals().sources, expected)


# What each recorded error answer is to a user of ours: status, code, how the message begins.
ERRORS = {
    "openai-404-model": (404, "model_not_found", "The model `gpt-5.2-proo` does not exist"),
    "openai-400-role": (400, "bad_request", "Unsupported value: 'messages[0].role' does not"),
    "groq-404-model": (404, "model_not_found", "The model `llama-3.3-70b-versatlie` does not"),
    "openrouter-401": (401, "bad_key", "OpenRouter API Key is incorrect. Please fix it in your"),
    "openrouter-429": (429, "rate_limited", "google/gemini-2.0-flash-exp:free is temporarily"),
    "azure-401": (401, "bad_key", "Azure OpenAI API Key is incorrect. Please fix it in your"),
    "azure-404-deployment": (404, "model_not_found", "The API deployment for this resource"),
    "azure-400-content-filter": (400, "content_filtered", "The prompt was stopped by the"),
    "groq-429-tpm": (429, "rate_limited", "Rate limit reached: tokens per minute"),
    "openai-400-max-tokens": (400, "bad_request", "Unsupported parameter: 'max_tokens'"),
    "mistral-401-detail": (401, "bad_key", "Mistral API Key is incorrect. Please fix it in"),
    "perplexity-401": (401, "bad_key", "Perplexity API Key is incorrect. Please fix it in"),
    "deepseek-401": (401, "bad_key", "DeepSeek API Key is incorrect. Please fix it in"),
    "openai-401-key": (401, "bad_key", "OpenAI API Key is incorrect. Please fix it in your"),
}


@pytest.mark.parametrize("recorded", error_answers())
def test_a_recorded_error_answer_is_told(recorded: dict[str, Any], upstream: FakeUpstream) -> None:
    status, code, message = ERRORS[recorded["id"]]
    reply = Reply(recorded["status"], recorded["headers"], [recorded["body"].encode()])
    upstream.add(reply, reply)  # one more, for what is tried again
    app = make_app(upstream, profile=everybodys_keys(upstream))
    provider = recorded["provider"]
    with (
        served(app) as port,
        closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection,
    ):
        connection.request("POST", f"/api/chat/{provider}", json.dumps(body("gpt-4.1")))
        with connection.getresponse() as response:
            told = json.loads(response.read())
            assert response.status == status
            assert response.headers["Retry-After"] == recorded["headers"].get("retry-after")
    assert (told["code"], told["provider"]) == (code, provider)
    assert told["message"].startswith(message)
    assert response.headers["Content-Type"] == "application/json"
