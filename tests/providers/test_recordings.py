"""Real recorded streams and error answers, through the app, over real sockets."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from typing import Any

import pytest

from flask_llmchat import builtin_providers
from flask_llmchat.protocols.chat_completions.parser import ChatCompletionParser
from flask_llmchat.testing import FakeUpstream, Reply
from tests.support.apps import (
    BY_CHAT_COMPLETIONS,
    SPEAKING_CHAT_COMPLETIONS,
    body,
    make_app,
    profile_for,
)
from tests.support.recordings import answers, error_answers, recordings, server_sent, wire_form
from tests.support.servers import served

ROUTE_OF = {"openrouter/novita": "openrouter"}


def everybodys_keys(upstream: FakeUpstream) -> dict[str, Any]:
    keys = {row.key_attr: "sk-x" for row in builtin_providers if row.key_attr}
    return profile_for(upstream, **keys)


def route_of(recorded: dict[str, Any]) -> str:
    """Return the route a recording goes through; of providers without one it is any."""
    name = ROUTE_OF.get(recorded["provider"], recorded["provider"])
    return name if name in SPEAKING_CHAT_COMPLETIONS else "openai"


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


def assert_as_expected(result: Any, expected: dict[str, Any]) -> None:
    assert result.text == expected["text"]
    assert result.reasoning == expected["reasoning"]
    outcome = {"stop": "ok"}.get(expected["finish_reason"], expected["finish_reason"])
    assert result.outcome == outcome
    assert tool_calls(result.tool_calls) == expected_calls(expected)
    assert_usage(result.usage, expected["usage"])
    assert_sources(result.sources, expected)


def assert_sources(sources: Any, expected: dict[str, Any]) -> None:
    annotated = [a["url_citation"] for a in expected["annotations"]]
    told = [*expected["citations"], *[a["url"] for a in annotated]]
    assert [source.url for source in sources] == list(dict.fromkeys(told))
    titles = {a["url"]: a["title"] for a in annotated}
    assert all(source.title == titles.get(source.url, source.title) for source in sources)


def tool_calls(calls: Any) -> list[tuple[str, str, str]]:
    return [(call.id, call.name, call.arguments) for call in calls]


def expected_calls(expected: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(c["id"], c["name"], c["arguments"]) for c in expected["tool_calls"]]


def assert_usage(usage: Any, expected: dict[str, Any] | None) -> None:
    if expected is None:
        assert usage is None
        return
    assert dict(usage.details) == expected
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert getattr(usage, name) == expected[name]


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
