"""OpenAI's own SDKs as clients of ours, over real sockets; the recordings as they read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conftest import finished, make_app, recordings, served, wire_form
from node import run_js
from openai import LengthFinishReasonError, OpenAI
from test_recordings import (
    assert_as_expected,
    everybodys_keys,
    expected_calls,
    route_of,
)

from flask_llmchat.testing import FakeUpstream, ReceivedRequest, Reply, sse_reply

STREAMS: dict[str, Any] = {p.values[0]["id"]: p.values[0] for p in recordings() if p.values[0]}


def play(request: ReceivedRequest) -> Reply:
    """Answer with the recording that the question names."""
    recorded = STREAMS[request.json["messages"][-1]["content"]]
    return sse_reply(wire_form(recorded), split=4096)


@pytest.fixture(scope="module")
def player() -> Iterator[Any]:
    with FakeUpstream(play) as upstream:
        app = make_app(upstream, profile=everybodys_keys(upstream))
        with served(app) as port, finished(app) as done:
            yield port, done


def asked(recorded: dict[str, Any]) -> dict[str, Any]:
    return {"model": "gpt-4.1", "messages": [{"role": "user", "content": recorded["id"]}]}


def client_of(port: int, provider: str = "openai", **more: Any) -> OpenAI:
    base_url = f"http://127.0.0.1:{port}/api/chat/{provider}"
    return OpenAI(base_url=base_url, api_key="sk-of-the-client", max_retries=0, **more)


def calls_in(message: Any) -> list[tuple[str, str, str]]:
    return [(c.id, c.function.name, c.function.arguments) for c in message.tool_calls or []]


def assert_message(completion: Any, expected: dict[str, Any]) -> None:
    """Hold an SDK's completion against the recording's index."""
    (choice,) = completion.choices
    message = choice.message
    assert (message.content or "") == expected["text"]
    thought = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    if thought or expected["reasoning_field"] != "reasoning_details":
        assert (thought or "") == expected["reasoning"]
    assert calls_in(message) == expected_calls(expected)
    assert choice.finish_reason == expected["finish_reason"]
    usage = completion.usage and completion.usage.to_dict()
    assert usage == expected["usage"]


@pytest.mark.parametrize("recorded", recordings())
def test_pythons_sdk_adds_a_recorded_stream_up(recorded: dict[str, Any], player: Any) -> None:
    port, done = player
    done.results.clear()
    expected = recorded["expected"]
    with client_of(port, route_of(recorded)) as client:
        options = {"stream_options": {"include_usage": True}}
        with client.chat.completions.stream(**asked(recorded), **options) as stream:
            for _ in stream:
                pass
            try:
                added_up = stream.get_final_completion()
            except LengthFinishReasonError as error:  # its way to tell that the limit was reached
                added_up = error.completion
            assert_message(added_up, expected)
        with client.chat.completions.create(**asked(recorded), stream=True) as chunks:
            told = list(chunks)
        completion = client.chat.completions.create(**asked(recorded))
    pieces = [c.choices[0].delta.content or "" for c in told if c.choices]
    assert "".join(pieces) == expected["text"]
    assert not any(c.usage and not c.choices for c in told)  # nobody asked
    assert_message(completion, expected)
    assert completion.object == "chat.completion"
    for result in done.wait(3):
        assert_as_expected(result, expected)


@pytest.fixture(scope="module")
def nodes_sdk(player: Any) -> dict[str, Any]:
    jobs = [{"id": id_, "route": route_of(recorded)} for id_, recorded in STREAMS.items()]
    told: dict[str, Any] = run_js("openai_recordings.mjs", {"port": player[0], "jobs": jobs})
    return told


@pytest.mark.parametrize("recorded", recordings())
def test_nodes_sdk_adds_a_recorded_stream_up(
    recorded: dict[str, Any], nodes_sdk: dict[str, Any]
) -> None:
    told, expected = nodes_sdk[recorded["id"]], recorded["expected"]
    assert told.get("error") is None
    names = ("text", "finish_reason", "usage")
    for completion in (told["accumulated"], told["whole"]):
        assert completion["role"] == "assistant"
        calls = [(c["id"], c["name"], c["arguments"]) for c in completion["tool_calls"]]
        assert calls == expected_calls(expected)
        assert {n: completion[n] for n in names} == {n: expected[n] for n in names}
    # Its accumulator keeps the last piece alone of what it does not know.
    assert told["whole"]["reasoning"] == expected["reasoning"]
    assert told["loop"] == expected["text"]
    assert told["usages"] == 0
