"""The seam between a source of events and the body that writes them.

The source here is made up: two steps with a pause between, as a loop of tools would be. Nothing
in the package knows it, and every dialect writes it.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator

import pytest

from flask_llmchat import (
    ChatError,
    ChatRequest,
    ChatResult,
    Dialect,
    Event,
    Finish,
    StepStart,
    TextDelta,
    builtin_dialects,
)
from flask_llmchat.runs.body import StreamingBody
from flask_llmchat.runs.recorder import ChatRecorder
from flask_llmchat.transport.runtime import current_runtime
from flask_llmchat.transport.watchdog import CancelToken
from tests.support.apps import KEYS  # noqa: F401 - the guards against leaked keys

PAUSE = None
STEPS: list[list[Event] | None] = [
    [TextDelta("Let me look. ")],
    PAUSE,
    PAUSE,
    [StepStart(), TextDelta("It is 7.")],
    [Finish("stop")],
    [],
]


class TwoSteps:
    """An event source that nobody in the package has heard of."""

    def __init__(self, script: list[list[Event] | None | Exception]) -> None:
        self.script = list(script)
        self.closed = 0
        self.why: ChatError | None = None

    def read(self, timeout: float | None = None) -> list[Event] | None:
        step = self.script.pop(0) if self.script else []
        while step is None and timeout is None:  # a pause ends by itself
            step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def close(self) -> None:
        self.closed += 1

    def interruption(self) -> ChatError | None:
        return self.why


def body_of(
    dialect: Dialect, source: TwoSteps, raw: dict[str, object] | None = None
) -> tuple[StreamingBody, list[ChatResult]]:
    results: list[ChatResult] = []
    chat = ChatRequest(
        provider="openai", model="m", messages=[], raw=raw or {"stream": True}, request_id="r"
    )
    recorder = ChatRecorder(chat, results.append)
    cancel = CancelToken(None, math.inf)
    current_runtime().watchdog.add(cancel)
    return (
        StreamingBody(source, dialect.encoder(chat), recorder, cancel, heartbeat=0.01),
        results,
    )


@pytest.fixture(params=builtin_dialects, ids=lambda dialect: dialect.name)
def dialect(request: pytest.FixtureRequest) -> Iterator[Dialect]:
    before = len(current_runtime().watchdog)
    yield request.param
    assert len(current_runtime().watchdog) == before, "a cancel token was left with the watchdog"


def text_in(dialect: Dialect, data: bytes) -> str:
    if dialect.name == "text":
        return data.decode()
    lines = [line[6:] for line in data.decode().split("\n") if line.startswith("data: {")]
    parts = [json.loads(line) for line in lines]
    if dialect.name == "ui":
        return "".join(part.get("delta", "") for part in parts)
    return "".join(
        choice["delta"].get("content") or "" for part in parts for choice in part["choices"]
    )


def test_two_steps_with_a_pause_are_one_response_with_one_ending(dialect: Dialect) -> None:
    source = TwoSteps(STEPS)
    body, results = body_of(dialect, source)
    body.start()
    pieces = list(body)
    body.close()
    data = b"".join(pieces)
    assert text_in(dialect, data) == "Let me look. It is 7."
    assert [result.outcome for result in results] == ["ok"]
    assert source.closed
    heartbeats = data.count(b": keep-alive\n\n")
    assert heartbeats == (0 if dialect.name == "text" else 2)
    if dialect.name == "ui":
        frames = [line for line in data.decode().split("\n") if line.startswith("data: {")]
        kinds = [json.loads(frame[6:])["type"] for frame in frames]
        assert kinds.count("start-step") == kinds.count("finish-step") == 2
        assert kinds.count("text-start") == kinds.count("text-end") == 2
        assert kinds.count("finish") == 1
    if dialect.name == "openai":
        assert data.count(b'"finish_reason":"stop"') == 1
        assert data.endswith(b"data: [DONE]\n\n")


def test_a_whole_completion_holds_both_steps() -> None:
    (openai,) = (dialect for dialect in builtin_dialects if dialect.name == "openai")
    body, results = body_of(openai, TwoSteps(STEPS), raw={"stream": False})
    body.start()
    completion = json.loads(b"".join(body))
    body.close()
    assert completion["choices"][0]["message"]["content"] == "Let me look. It is 7."
    assert [result.outcome for result in results] == ["ok"]


@pytest.mark.parametrize("code", ["timeout", "deadline", "upstream_error"])
def test_a_source_that_fails_in_its_second_step_has_one_ending(dialect: Dialect, code: str) -> None:
    failure = ChatError("It took too long.", code)
    source = TwoSteps([*STEPS[:1], failure])
    body, results = body_of(dialect, source)
    body.start()
    if dialect.name == "text":
        with pytest.raises(Exception, match="broke off"):
            list(body)
    else:
        assert "It took too long." in b"".join(body).decode()
    body.close()
    assert [(result.outcome, result.error) for result in results] == [(code, failure)]
    assert source.closed


def test_a_failure_before_the_first_byte_is_raised_and_ends_nothing(dialect: Dialect) -> None:
    source = TwoSteps([ChatError("No.", "upstream_error")])
    body, results = body_of(dialect, source)
    with pytest.raises(ChatError):
        body.start()
    assert source.closed
    assert not results, "another provider may still answer"
    current_runtime().watchdog.remove(body._cancel)


def test_a_client_that_leaves_in_the_pause_is_cancelled(dialect: Dialect) -> None:
    source = TwoSteps(STEPS)
    body, results = body_of(dialect, source)
    body.start()
    next(body)
    body.close()
    assert [result.outcome for result in results] == ["cancelled"]
    assert source.closed
    body.close()
    assert len(results) == 1


def test_a_client_that_is_cut_off_is_told_apart_from_one_that_left(dialect: Dialect) -> None:
    source = TwoSteps(STEPS)
    body, results = body_of(dialect, source)
    body.start()
    next(body)
    source.why = ChatError("It took too long.", "deadline")
    body.close()
    assert [result.outcome for result in results] == ["deadline"]


def test_the_result_has_a_step_for_each_response() -> None:
    results: list[ChatResult] = []
    chat = ChatRequest(provider="openai", model="m", messages=[])
    recorder = ChatRecorder(chat, results.append)
    started = time.monotonic()
    recorder.start_attempt("openai", "m")
    recorder.fail_attempt(ChatError("Busy.", "overloaded"))
    recorder.retry_attempt()
    recorder.start_step()
    first_ended = time.monotonic()
    time.sleep(0.02)
    recorder.start_attempt("groq", "n")
    recorder.finish("ok")
    (result,) = results
    assert [[attempt.provider for attempt in step.attempts] for step in result.steps] == [
        ["openai", "openai"],
        ["groq"],
    ]
    failed, answered = result.steps[0].attempts
    assert failed.error is not None and failed.error.code == "overloaded"
    assert answered.error is None
    assert 0 <= answered.duration <= first_ended - started, "the next step is not part of it"
    assert (result.provider, result.model) == ("groq", "n")
