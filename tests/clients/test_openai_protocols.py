"""Recordings of Responses and Messages, as OpenAI's SDKs add up the chunks made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import APIError, OpenAI

from flask_llmchat import LLMChat, Provider
from flask_llmchat.testing import FakeUpstream, ReceivedRequest, Reply, sse_reply
from tests.support.apps import Finished, finished, make_app
from tests.support.node import run_js
from tests.support.recordings import error_answers, recordings, wire_form
from tests.support.servers import served

PROTOCOLS = ("responses", "messages")


def recorded_in(parameters: list[Any]) -> list[dict[str, Any]]:
    """Return the recordings; none where there is no folder with them."""
    return [parameter.values[0] for parameter in parameters if parameter.values[0]]


RECORDED = [one for protocol in PROTOCOLS for one in recordings(protocol=protocol)]
ERRORS = [one for protocol in PROTOCOLS for one in error_answers(protocol)]
KNOWN = {one["id"]: one for one in recorded_in([*RECORDED, *ERRORS])}
FAILED = [p for p in RECORDED if any(one["expected"]["error"] for one in recorded_in([p]))]
COMPLETE = [p for p in RECORDED if p not in FAILED]

# The finish reasons of those that end in another way than the outcome's name says.
FINISH = {"ok": "stop", "content_filtered": "content_filter", "paused": "length"}


def play(request: ReceivedRequest) -> Reply:
    """Answer with the recording that the model is called after."""
    recorded = KNOWN[request.json["model"]]
    if "status" in recorded:
        return Reply(recorded["status"], recorded["headers"], [recorded["body"].encode()])
    return sse_reply(wire_form(recorded), split=997)


@pytest.fixture(scope="module")
def playing() -> Iterator[tuple[int, Finished]]:
    with FakeUpstream(play) as upstream:
        rows = [
            Provider(
                name=name,
                label=name,
                key_required=False,
                protocol=name,
                base_url=upstream.base_url,
            )
            for name in PROTOCOLS
        ]
        app = make_app(llmchat=LLMChat(providers=rows), config={"LLMCHAT_MAX_RETRIES": 0})
        with served(app) as port, finished(app) as done:
            yield port, done


def asked(recorded: dict[str, Any]) -> dict[str, Any]:
    return {"model": recorded["id"], "messages": [{"role": "user", "content": "Hi"}]}


def route_of(recorded: dict[str, Any]) -> str:
    return "messages" if recorded["id"].startswith("m-") else "responses"


WITH_USAGE: Any = {"stream_options": {"include_usage": True}}


def assert_completion(completion: dict[str, Any], recorded: dict[str, Any], result: Any) -> None:
    """Hold a completion, as an SDK has it, against the recording's index."""
    expected = recorded["expected"]
    (choice,) = completion["choices"]
    message = choice["message"]
    told = message.get("refusal") if "refusal" in recorded["kind"] else message.get("content")
    assert (told or "") == expected["text"]
    assert message.get("reasoning_content", "") == expected["reasoning"]
    calls = [_call(call) for call in message.get("tool_calls") or ()]
    assert calls == [_expected_call(call) for call in expected["tool_calls"]]
    finish = expected["finish"]
    reasons = [FINISH.get(name, name) for name in (finish, *expected["finish_also"])]
    assert choice["finish_reason"] in reasons
    assert_usage(completion["usage"], expected["usage"])
    annotations = message.get("annotations") or []
    pages = [a["url_citation"] for a in annotations if a["type"] == "url_citation"]
    cited = {page["url"]: page["title"] or "" for page in expected["sources"]}
    found = {page["url"]: page["title"] for page in pages}
    assert cited.items() <= found.items()
    assert found.keys() - cited.keys() <= {page["url"] for page in expected["search_results"]}
    files = [a["file_citation"] for a in annotations if a["type"] == "file_citation"]
    assert len(files) == len(expected["documents"])
    assert all(file["filename"] for file in files)
    assert len(message.get("images") or []) == expected["images"]
    assert message.get("reasoning_details", []) == list(result.reasoning_details)


def _call(call: dict[str, Any]) -> tuple[str, str, str]:
    held = call[call["type"]]
    return (call["id"], held["name"], held["input" if call["type"] == "custom" else "arguments"])


def _expected_call(call: dict[str, Any]) -> tuple[str, str, str]:
    arguments = call["arguments"]
    return (call["id"], call["name"], json.loads(arguments) if call.get("custom") else arguments)


def assert_usage(usage: dict[str, Any], expected: dict[str, Any]) -> None:
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert usage[name] == expected[name]
    assert usage["prompt_tokens_details"]["cached_tokens"] == (expected["cached_tokens"] or 0)
    reasoning = usage["completion_tokens_details"]["reasoning_tokens"]
    assert reasoning == (expected["reasoning_tokens"] or 0)
    written = usage["prompt_tokens_details"].get("cache_write_tokens", 0)
    assert written == (expected["cache_write_tokens"] or 0)


@pytest.mark.parametrize("recorded", COMPLETE)
def test_pythons_sdk_adds_a_recording_up(recorded: dict[str, Any], playing: Any) -> None:
    port, done = playing
    done.results.clear()
    base_url = f"http://127.0.0.1:{port}/api/chat/{route_of(recorded)}"
    with OpenAI(base_url=base_url, api_key="x", max_retries=0) as client:
        with client.chat.completions.stream(**asked(recorded), **WITH_USAGE) as stream:
            for _ in stream:
                pass
            added_up = stream.current_completion_snapshot.to_dict()
        whole = client.chat.completions.create(**asked(recorded)).to_dict()
    for completion, result in zip((added_up, whole), done.wait(2), strict=True):
        assert_completion(completion, recorded, result)


@pytest.fixture(scope="module")
def nodes_sdk(playing: Any) -> dict[str, Any]:
    port, done = playing
    done.results.clear()
    complete = recorded_in(COMPLETE)
    jobs = [
        {"route": route_of(recorded), "body": {**asked(recorded), **more}, "accumulate": bool(more)}
        for recorded in complete
        for more in (WITH_USAGE, {})
    ]
    told = run_js("openai_jobs.mjs", {"port": port, "jobs": jobs})
    results = done.wait(len(jobs))
    return {
        recorded["id"]: list(zip(told, results, strict=True))[2 * i : 2 * i + 2]
        for i, recorded in enumerate(complete)
    }


@pytest.mark.external
@pytest.mark.parametrize("recorded", COMPLETE)
def test_nodes_sdk_adds_a_recording_up(recorded: dict[str, Any], nodes_sdk: Any) -> None:
    for number, (answer, result) in enumerate(nodes_sdk[recorded["id"]]):
        completion = answer.get("completion")
        assert completion, answer
        message = completion["choices"][0]["message"]
        if number == 0 and "reasoning_content" in message:  # it keeps the last piece
            assert recorded["expected"]["reasoning"].endswith(message["reasoning_content"])
            message["reasoning_content"] = recorded["expected"]["reasoning"]
        assert_completion(completion, recorded, result)


@pytest.mark.parametrize("recorded", FAILED or RECORDED)
def test_a_recorded_failure_is_raised(recorded: dict[str, Any], playing: Any) -> None:
    port, done = playing
    route = route_of(recorded)
    base_url = f"http://127.0.0.1:{port}/api/chat/{route}"
    with OpenAI(base_url=base_url, api_key="x", max_retries=0) as client:
        text = ""
        with (
            pytest.raises(APIError) as raised,
            client.chat.completions.create(**asked(recorded), stream=True) as stream,
        ):
            for chunk in stream:
                text += chunk.choices[0].delta.content or ""
        assert text == recorded["expected"]["text"]
        assert raised.value.code in ("upstream_error", "overloaded", "out_of_credit")
        with pytest.raises(APIError) as whole:
            client.chat.completions.create(**asked(recorded))
        assert (whole.value.code, whole.value.message) == (raised.value.code, whole.value.message)
    bodies = [{**asked(recorded), "stream": stream} for stream in (True, False)]
    jobs = [{"route": route, "body": body} for body in bodies]
    for answer in run_js("openai_jobs.mjs", {"port": port, "jobs": jobs}):
        assert answer["error"]["isApiError"] and "complete" not in answer
        assert answer["error"]["code"] == raised.value.code


@pytest.mark.parametrize("recorded", ERRORS)
def test_a_recorded_error_answer_is_raised(recorded: dict[str, Any], playing: Any) -> None:
    port, done = playing
    base_url = f"http://127.0.0.1:{port}/api/chat/{route_of(recorded)}"
    with OpenAI(base_url=base_url, api_key="x", max_retries=0) as client:
        for stream in (True, False):
            with pytest.raises(APIError) as raised:
                client.chat.completions.create(**asked(recorded), stream=stream)
            assert raised.value.code in recorded["expected"]["code"]
