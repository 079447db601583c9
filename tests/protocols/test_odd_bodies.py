"""Answers in another form than was asked for, and events that hold nothing: good ones stay good."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from flask_llmchat.core.errors import StreamAborted
from flask_llmchat.testing import HOLD, FakeUpstream, Reply, event
from tests.support.apps import body, finished, make_app
from tests.support.raw_chats import DONE, STOP, delta, posted, sse
from tests.support.recordings import CASES

HELLO = event(delta(content="Hel")) + event(delta(content="lo")) + event(STOP) + DONE
WHOLE = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m-1",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
}


def case(name: str) -> Path:
    """Return the path of one of the public reports' inputs; skip where they are not."""
    path = CASES / name
    if not path.exists():
        pytest.skip(f"no cases at {CASES.parent.name}/{CASES.name} beside the checkout")
    return path


def answered(upstream: FakeUpstream, reply: Reply, text: str = "Hello") -> Any:
    """Return the result of a chat that must end well, with one call."""
    upstream.add(reply)
    app = make_app(upstream)
    with finished(app) as done, posted(app) as answer:
        assert (answer.status, answer.text()) == (200, text)
    assert done.only.outcome == "ok" and len(upstream.requests) == 1
    return done.only


def json_reply(value: Any) -> Reply:
    return Reply(headers={"Content-Type": "application/json"}, body=[json.dumps(value).encode()])


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("05a-null-event.sse", "text/event-stream"),
        ("05b-null-after-finish.sse", "text/event-stream"),
        ("06a-sse-under-application-json.sse", "application/json"),
        ("06b-whole-json-for-a-stream.json", "application/json"),
        ("06b-whole-json-for-a-stream.json", "text/event-stream"),
        ("06b-whole-json-for-a-stream.json", "text/plain"),
    ],
)
def test_answers_of_public_reports(upstream: FakeUpstream, name: str, content_type: str) -> None:
    content = case(name).read_bytes()
    answered(upstream, Reply(headers={"Content-Type": content_type}, body=[content]))


NOTHING = {
    "null": b"data: null\n\n",
    "list": b"data: []\n\n",
    "object": b"data: {}\n\n",
    "text": b'data: ""\n\n',
    "empty": b"data:\n\n",
    "blank": b"data:  \n\n",
    "ping": b"event: ping\ndata: still here\n\n",
    "ping-json": b'event: ping\ndata: {"type": "ping", "message": "still here"}\n\n',
    "ping-number": b"event: ping\ndata: 1751000000\n\n",
    "Heartbeat": b"event: Heartbeat\ndata: {}\n\n",
    "keep-alive": b"event: keep-alive\ndata:\n\n",
    "words": b"data: ping\n\n",
    "more-words": b"data: [keep-alive]\n\n",
    "own-name": b"event: status\ndata: thinking\n\n",
    "own-name-list": b"event: metrics\ndata: [1, 2]\n\n",
}


@pytest.mark.parametrize("nothing", NOTHING.values(), ids=NOTHING)
def test_events_that_hold_nothing_are_passed_over(upstream: FakeUpstream, nothing: bytes) -> None:
    steps = [delta(content="Hel"), delta(content="lo"), STOP]
    raw = [nothing + event(step) for step in steps] + [nothing + DONE]
    answered(upstream, sse(*raw))
    upstream.requests.clear()
    answered(upstream, sse(*raw[:-1], nothing[:-1]))  # the last one without its blank line


@pytest.mark.parametrize("nothing", NOTHING.values(), ids=NOTHING)
def test_events_that_hold_nothing_are_no_progress(upstream: FakeUpstream, nothing: bytes) -> None:
    app = make_app(upstream, config={"LLMCHAT_READ_TIMEOUT": 0.2})
    upstream.add(sse(delta(content="Hel"), *[nothing, 0.05] * 60, STOP, DONE))
    with finished(app) as done, posted(app) as answer:
        assert next(answer.iterator) == b"Hel"
        started = time.monotonic()
        with pytest.raises(StreamAborted, match="timeout"):
            next(answer.iterator)
        assert time.monotonic() - started < 2
    assert done.only.outcome == "timeout"


def test_an_event_with_a_name_may_be_a_chunk_or_an_error(upstream: FakeUpstream) -> None:
    named = [b"event: message\n" + event(delta(content="Hel"))]
    named += [b"event: chat.completion.chunk\n" + event(delta(content="lo")), STOP, DONE]
    answered(upstream, sse(*named))
    for name in (b"error", b"Error", b"stream_error", b"response.error"):
        failure = b"event: " + name + b'\ndata: {"message": "Slow down", "code": 429}\n\n'
        upstream.add(sse(failure))
        with posted(make_app(upstream)) as answer:
            assert answer.status == 429
            assert json.loads(answer.text())["message"] == "Slow down"


TYPES = ["application/json", "application/json; charset=utf-8", "text/plain", "x/unknown", ""]


@pytest.mark.parametrize("content_type", TYPES)
def test_events_under_another_type(upstream: FakeUpstream, content_type: str) -> None:
    result = Reply(headers={"Content-Type": content_type}, body=[HELLO])
    answered(upstream, result)


@pytest.mark.parametrize("front", [b"", b"\n\n", b": hello\n\n", b"event: x\n", b"\xef\xbb\xbf  "])
def test_events_under_another_type_come_in_any_pieces(upstream: FakeUpstream, front: bytes) -> None:
    raw = front + HELLO
    pieces: list[Any] = [step for at in range(12) for step in (raw[at : at + 1], 0.01)]
    answered(
        upstream, Reply(headers={"Content-Type": "application/json"}, body=[*pieces, raw[12:]])
    )


def test_events_under_another_type_are_told_as_they_come(upstream: FakeUpstream) -> None:
    steps: list[Any] = [event(delta(content="Hel")), HOLD]
    upstream.add(Reply(headers={"Content-Type": "application/json"}, body=steps))
    with posted(make_app(upstream)) as answer:
        assert next(answer.iterator) == b"Hel"


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("front", ["", "\n\n\n", "   "])
def test_a_whole_completion_is_an_answer(
    upstream: FakeUpstream, content_type: str, indent: int | None, front: str
) -> None:
    raw = (front + json.dumps(WHOLE, indent=indent)).encode()
    result = answered(
        upstream,
        Reply(
            headers={"Content-Type": content_type},
            body=[raw[: len(front) + 1], 0.02, raw[len(front) + 1 :]],
        ),
    )
    assert result.usage.total_tokens == 8


def test_a_whole_completion_with_a_call(upstream: FakeUpstream) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    whole = {**WHOLE, "choices": [{"message": message, "finish_reason": "tool_calls"}]}
    upstream.add(
        Reply(headers={"Content-Type": "application/json"}, body=[json.dumps(whole).encode()])
    )
    app = make_app(upstream)
    with finished(app) as done, posted(app) as answer:
        assert answer.status == 200
        assert answer.text() == ""
    (made,) = done.only.tool_calls
    assert (done.only.outcome, made.id, made.name) == ("tool_calls", "call_1", "f")


@pytest.mark.parametrize("stream", [True, False])
def test_a_whole_completion_for_openais_client(upstream: FakeUpstream, stream: bool) -> None:
    upstream.add(
        Reply(headers={"Content-Type": "application/json"}, body=[json.dumps(WHOLE).encode()])
    )
    asked = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    url = "/api/chat/openai/chat/completions"
    response = make_app(upstream).test_client().post(url, json=asked)
    assert response.status_code == 200
    if not stream:
        assert response.json["choices"][0]["message"]["content"] == "Hello"
        return
    data = [line[6:] for line in response.text.split("\n") if line.startswith("data: {")]
    choices = [choice for line in data for choice in json.loads(line)["choices"]]
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == "Hello"


@pytest.mark.parametrize(
    ("name", "status", "code", "words", "calls"),
    [
        ("16a-context-gemini.json", 400, "context_too_long", "input token count", 1),
        ("16b-context-xai.json", 400, "context_too_long", "maximum prompt length", 1),
        ("16c-context-llama-cpp.json", 400, "context_too_long", "context size", 1),
        ("16d-context-perplexity.json", 400, "context_too_long", "too long", 1),
        ("17-too-many-tokens-please-wait.json", 429, "rate_limited", "please wait", 2),
        ("18-gemini-retry-info.json", 429, "rate_limited", "retry in 45.8s", 1),
        ("19-money-with-500.json", 500, "out_of_credit", "insufficient balance", 1),
        ("20a-errors-list.json", 400, "bad_request", "No such model m-1", 1),
        ("20b-sse-shaped-error-body.json", 429, "rate_limited", "Daily limit of 50", 2),
    ],
)
def test_errors_of_public_reports(
    upstream: FakeUpstream, name: str, status: int, code: str, words: str, calls: int
) -> None:
    told = json.loads(case(name).read_text())
    content = told["body"]
    raw = content if isinstance(content, str) else json.dumps(content)
    upstream.add(*[Reply(told["status"], told["headers"], [raw.encode()])] * 2)
    response = make_app(upstream).test_client().post("/api/chat/openai", json=body())
    assert (response.status_code, response.json["code"]) == (status, code)
    assert words in response.json["message"]
    assert len(upstream.requests) == calls
    if code == "rate_limited" and calls == 1:
        assert response.headers["Retry-After"] in ("45", "46")
