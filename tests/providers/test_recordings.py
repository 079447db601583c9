"""Real recorded streams and error answers, through the app, over real sockets."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from typing import Any

import pytest

from flask_llmchat.protocols.chat_completions.parser import ChatCompletionParser
from flask_llmchat.protocols.sse import SSEDecoder
from flask_llmchat.testing import FakeUpstream, Reply, sse_reply
from tests.support.apps import body, finished, make_app
from tests.support.recordings import (
    RECORDED,
    assert_as_expected,
    assert_sources,
    assert_usage,
    everybodys_keys,
    expected_calls,
    recordings,
    route_of,
    tool_calls,
    wire_form,
)
from tests.support.servers import served


def awkward_cuts(raw: bytes) -> list[int]:
    """Return offsets inside line ends, between events, and in the middle of characters."""
    cuts = set()
    for i, byte in enumerate(raw):
        if byte == 0x0A:
            cuts |= {i, i + 1}
        elif byte >= 0xC0:
            cuts.add(i + 1)
    return sorted(cuts)[:1000]


def splits(raw: bytes) -> dict[str, Any]:
    if len(raw) > 60_000:  # the long ones differ from the others in nothing but their length
        return {"whole": None, "prime": 499, "awkward": awkward_cuts(raw)}
    return {
        "whole": None,
        "every byte": 1 if len(raw) < 6000 else 17,
        "prime": 61,
        "awkward": awkward_cuts(raw),
    }


@pytest.mark.parametrize("recorded", recordings())
def test_a_recorded_stream_comes_out_as_its_text(
    recorded: dict[str, Any], upstream: FakeUpstream
) -> None:
    raw = wire_form(recorded)
    expected = recorded["expected"]
    ways = splits(raw)
    upstream.add(*[sse_reply(raw, split=split) for split in ways.values()])
    app = make_app(upstream, profile=everybodys_keys(upstream))
    with (
        served(app) as port,
        finished(app) as done,
        closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection,
    ):
        for _ in ways:
            connection.request(
                "POST", f"/api/chat/{route_of(recorded)}", json.dumps(body("gpt-4.1"))
            )
            with connection.getresponse() as response:
                assert response.status == 200
                assert response.read().decode() == expected["text"]
        results = done.wait(len(ways))
    for result in results:
        assert_as_expected(result, expected)


@pytest.mark.parametrize("recorded", recordings())
def test_every_recording_reads_as_its_index_says(recorded: dict[str, Any]) -> None:
    """Also of providers that have no row yet: the reader is one for all of them."""
    raw = wire_form(recorded)
    for size in (1 << 30, 7):
        events, reader = SSEDecoder(), ChatCompletionParser()
        told = [e for i in range(0, len(raw), size) for e in events.feed(raw[i : i + size])]
        for _, data in told + events.finish():
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


def error_answers() -> list[Any]:
    file = RECORDED / "errors.json"
    if not file.exists():
        return recordings()
    answers = json.loads(file.read_text())
    return [pytest.param(a, id=a["id"]) for a in answers]


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
