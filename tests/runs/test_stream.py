"""How a chat ends, at the raw WSGI callable: no test client and no context in between."""

from __future__ import annotations

import gc
import gzip
import http.client
import json
import time
from contextlib import closing
from typing import Any

import pytest
from flask import Flask, has_app_context, has_request_context

from flask_llmchat import ChatRequest, ChatResult, LLMChat
from flask_llmchat.core.errors import StreamAborted
from flask_llmchat.testing import CUT, HOLD, FakeUpstream, Reply, error_reply, event, text_reply
from tests.support.apps import KEYS, body, finished, make_app
from tests.support.raw_chats import DONE, STOP, Wsgi, delta, posted, sse
from tests.support.servers import served


def test_an_answer_streams_and_is_reported_once(upstream: FakeUpstream) -> None:
    app = make_app(upstream)
    upstream.add(text_reply("Hello", " wörld", usage={"prompt_tokens": 3, "completion_tokens": 2}))
    with finished(app) as done, posted(app) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-cache, no-transform"
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert "Connection" not in answer.headers
        assert answer.text() == "Hello wörld"
    result = done.only
    assert (result.outcome, result.text, result.error) == ("ok", "Hello wörld", None)
    assert result.usage and (result.usage.prompt_tokens, result.usage.total_tokens) == (3, 5)
    assert result.provider == "openai" and result.model == "gpt-4.1"
    assert result.request_id == answer.headers["X-Request-ID"]
    assert result.time_to_first_token and 0 < result.time_to_first_token <= result.duration


def test_pieces_come_one_by_one_as_bytes(upstream: FakeUpstream) -> None:
    upstream.add(text_reply("a", "b", "c", delay=0.1))
    with posted(make_app(upstream)) as answer:
        pieces, times = [], []
        for piece in answer.iterator:
            pieces.append(piece)
            times.append(time.monotonic())
    assert pieces == [b"a", b"b", b"c"]
    assert times[2] - times[0] > 0.1


def test_events_of_one_read_come_out_as_one_piece(upstream: FakeUpstream) -> None:
    upstream.add(sse(event(delta(content="a")) + event(delta(content="b")), STOP, DONE))
    with posted(make_app(upstream)) as answer:
        assert list(answer.iterator) == [b"ab"]


@pytest.mark.parametrize(
    ("finish", "outcome"),
    [
        ("stop", "ok"),
        ("length", "length"),
        ("content_filter", "content_filtered"),
        ("tool_calls", "tool_calls"),
        ("end_turn", "ok"),
    ],
)
def test_the_providers_own_endings(upstream: FakeUpstream, finish: str, outcome: str) -> None:
    app = make_app(upstream)
    upstream.add(text_reply("Hello", finish_reason=finish))
    with finished(app) as done, posted(app) as answer:
        assert answer.text() == "Hello"
    assert done.only.outcome == outcome
    assert done.only.error is None


@pytest.mark.parametrize(
    "reply",
    [
        text_reply("Hello", done=False),
        text_reply("Hello", done=False, then=[CUT]),
        text_reply("Hello", finish_reason=None),
        text_reply("Hello", finish_reason=None, usage=None),
        sse(delta(content="Hello"), STOP, b'data: {"choices": [], "usage": {"promp', CUT),
    ],
    ids=["no-done", "cut-after-finish", "no-finish", "no-finish-no-usage", "cut-in-usage"],
)
def test_one_of_finish_reason_and_done_is_enough(upstream: FakeUpstream, reply: Reply) -> None:
    app = make_app(upstream)
    upstream.add(reply)
    with finished(app) as done, posted(app) as answer:
        assert answer.text() == "Hello"
    assert done.only.outcome == "ok"


def test_half_a_character_before_a_bare_done_is_told(upstream: FakeUpstream) -> None:
    half = b'data: {"choices": [{"delta": {"content": "Hello \\ud83d"}}]}\n\n'
    upstream.add(sse(half, DONE))
    with posted(make_app(upstream)) as answer:
        assert answer.text() == "Hello \ufffd"


@pytest.mark.parametrize(
    "steps",
    [
        [delta(content="Hel")],
        [delta(content="Hel"), CUT],
        [delta(content="Hel"), b'data: {"choices": [{"ind', CUT],
        [delta(content="Hel"), b'data: {"choices": [{"ind'],
    ],
    ids=["ends", "cut", "cut-in-event", "ends-in-event"],
)
def test_an_answer_without_an_ending_is_truncated(upstream: FakeUpstream, steps: list[Any]) -> None:
    app = make_app(upstream)
    upstream.add(sse(*steps))
    with finished(app) as done, posted(app) as answer:
        assert next(answer.iterator) == b"Hel"
        with pytest.raises(StreamAborted, match=r"^chat [0-9a-f]{32} broke off \(truncated\)$"):
            next(answer.iterator)
    result = done.only
    assert (result.outcome, result.text) == ("truncated", "Hel")
    assert result.error and result.error.code == "truncated"


@pytest.mark.parametrize("steps", [[], [CUT], [b": ping\n\n"], [b"<html>busy</html>"]])
def test_truncated_before_the_first_event_has_a_status(
    upstream: FakeUpstream, steps: list[Any]
) -> None:
    app = make_app(upstream)
    upstream.add(sse(*steps))
    with finished(app) as done, posted(app) as answer:
        assert answer.status == 502
        assert json.loads(answer.text())["code"] == "truncated"
    assert done.only.outcome == "truncated"


ERRORS_IN_THE_STREAM = {
    "top-level": event({"error": {"message": "Busy", "code": "server_is_overloaded"}}),
    "event-error": b'event: error\ndata: {"message": "Busy", "code": "overloaded_error"}\n\n',
    "bare-error-line": b'error: {"message": "Busy", "type": "overloaded_error"}\n\n',
    "no-data-field": b'{"error": {"message": "Busy", "code": 503}}\n\n',
    "object-error": event({"object": "error", "message": "Busy", "code": 503}),
    "beside-choices": event(
        {"error": {"message": "Busy", "code": 503}, "choices": [{"finish_reason": "error"}]}
    ),
    "text": event({"error": "Busy", "status_code": 503}),
}


@pytest.mark.parametrize("error", ERRORS_IN_THE_STREAM.values(), ids=ERRORS_IN_THE_STREAM)
def test_an_error_in_the_middle_breaks_the_answer(upstream: FakeUpstream, error: bytes) -> None:
    app = make_app(upstream)
    upstream.add(sse(delta(content="Hel"), error, DONE))
    with finished(app) as done, posted(app) as answer:
        assert next(answer.iterator) == b"Hel"
        with pytest.raises(StreamAborted):
            next(answer.iterator)
    assert done.only.outcome == "upstream_error"
    assert done.only.error and done.only.error.message == "Busy"
    assert done.only.error.code == "overloaded"


@pytest.mark.parametrize("error", ERRORS_IN_THE_STREAM.values(), ids=ERRORS_IN_THE_STREAM)
def test_an_error_as_the_first_event_has_a_status(upstream: FakeUpstream, error: bytes) -> None:
    upstream.add(sse(b": PROCESSING\n\n", delta(role="assistant", content=""), error))
    with posted(make_app(upstream)) as answer:
        told = json.loads(answer.text())
        assert answer.status in (502, 503)
        assert (told["message"], told["code"]) == ("Busy", "overloaded")


def test_a_provider_that_says_it_timed_out_has_failed(upstream: FakeUpstream) -> None:
    app = make_app(upstream, config={"LLMCHAT_MAX_RETRIES": 0})
    upstream.add(error_reply(504, "Upstream timed out"))
    with finished(app) as done, posted(app) as answer:
        assert answer.status == 504
    assert done.only.outcome == "upstream_error"


def test_an_error_after_thinking_alone_has_a_status(upstream: FakeUpstream) -> None:
    error = event({"error": {"message": "Slow down", "code": 429}})
    upstream.add(sse(delta(reasoning_content="Hm"), 0.2, error))
    app = make_app(upstream)
    with finished(app) as done, posted(app) as answer:
        assert answer.status == 429
        assert json.loads(answer.text())["message"] == "Slow down"
    assert done.only.reasoning == "Hm"


@pytest.mark.parametrize("failure", [event({"error": "Busy"}), b"data: {oops\n\n"])
def test_text_in_the_same_piece_as_a_failure_is_told_first(
    upstream: FakeUpstream, failure: bytes
) -> None:
    together = event(delta(content="Hel")) + event(delta(content="lo")) + failure
    upstream.add(sse(together))
    app = make_app(upstream)
    with finished(app) as done, posted(app) as answer:
        assert next(answer.iterator) == b"Hello"
        with pytest.raises(StreamAborted):
            next(answer.iterator)
    assert done.only.text == "Hello"


def test_events_without_data_are_passed_over(upstream: FakeUpstream) -> None:
    upstream.add(sse(b"data:\n\n", b"data: \n\n", delta(content="Hello"), STOP, DONE))
    with posted(make_app(upstream)) as answer:
        assert answer.text() == "Hello"


@pytest.mark.slow
def test_a_slow_reader_of_a_whole_answer_does_not_cut_the_next(upstream: FakeUpstream) -> None:
    """Whose connection went back to the pool while its own last words were still to be read."""
    first, second = make_app(upstream, config={"LLMCHAT_DEADLINE": 0.5}), make_app(upstream)
    unended = b"data: " + json.dumps({"choices": [{"delta": {"content": "A"}}]}).encode()
    upstream.add(Reply(body=[event(STOP) + unended]), text_reply(*"BBBBBBBB", delay=0.2))
    with posted(first) as slow_reader, posted(second) as other:
        assert other.text() == "BBBBBBBB"
        assert slow_reader.text() == "A"
    assert upstream.connections == 1


def test_a_provider_gone_mad_is_not_kept_for_ever(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_llmchat.runs.response_stream._MAX_RESPONSE", 10_000)
    app = make_app(upstream)
    upstream.add(sse(delta(content="x"), 0.2, *[delta(content="x" * 500)] * 100))
    with finished(app) as done, posted(app) as answer, pytest.raises(StreamAborted):
        answer.text()
    assert done.only.outcome == "upstream_error"
    assert len(done.only.text) < 10_000


def test_a_teardown_that_fails_breaks_no_answer(
    upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(upstream)

    torn_down = []

    @app.teardown_appcontext
    def fails(error: Any) -> None:
        torn_down.append(error)
        if len(torn_down) == 2:  # the first is the request's own
            raise RuntimeError("the host's own")

    with posted(app) as answer:
        assert answer.text() == "Hello from the fake upstream."
    assert "failed after chat_finished" in caplog.text


def test_being_stopped_is_an_ending_too(upstream: FakeUpstream) -> None:
    llmchat = LLMChat()

    @llmchat.before_chat
    def stopped(chat: ChatRequest) -> None:
        raise SystemExit

    app = make_app(upstream, llmchat=llmchat)
    with finished(app) as done, pytest.raises(SystemExit):
        Wsgi(app, body())
    assert done.only.outcome == "refused"


def test_a_finish_reason_error_is_an_error(upstream: FakeUpstream) -> None:
    upstream.add(sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]}, DONE))
    with posted(make_app(upstream)) as answer:
        assert answer.status == 502
        assert json.loads(answer.text())["code"] == "upstream_error"


@pytest.mark.parametrize("junk", [b"data: {oops\n\n", b"data: [1]\n\n", b"data: \xff\xfe\n\n"])
def test_junk_in_the_stream_is_an_error(upstream: FakeUpstream, junk: bytes) -> None:
    app = make_app(upstream)
    upstream.add(sse(delta(content="Hel"), junk, STOP, DONE))
    with finished(app) as done, posted(app) as answer:
        assert next(answer.iterator) == b"Hel"
        with pytest.raises(StreamAborted):
            next(answer.iterator)
    assert done.only.outcome == "upstream_error"


@pytest.mark.parametrize(
    ("content_type", "content", "code", "message"),
    [
        ("text/html", b"<html>Sign in</html>", "upstream_error", "OpenAI could not answer"),
        ("application/json", b"<html>data: {}</html>", "upstream_error",
         "OpenAI could not answer"),
        ("text/plain", b"Sign in, please", "upstream_error", "OpenAI could not answer"),
        ("text/plain", b"dat", "upstream_error", "OpenAI could not answer"),
        ("text/event-stream", b"<html>Sign in</html>", "truncated", "OpenAI broke off"),
        ("application/json", b'{"error": "No funds", "code": "insufficient_quota"}',
         "out_of_credit", "No funds"),
        ("application/json", b'{"base_resp": {"status_msg": "insufficient balance"}}',
         "out_of_credit", "insufficient balance"),
        ("application/json", b'[{"error": {"message": "Slow down", "code": 429}}]',
         "rate_limited", "Slow down"),
        ("text/event-stream", b'[{"error": {"message": "Slow down", "code": 429}}]',
         "rate_limited", "Slow down"),
        ("text/event-stream", b'{"error": {"message": "Slow down", "code": 429}}',
         "rate_limited", "Slow down"),
        ("text/event-stream", b'{\n "error": {\n "message": "Slow down",\n "code": 429}\n}\n',
         "rate_limited", "Slow down"),
        ("application/json", b'{"choices": [], "id": "x"}', "upstream_error",
         "OpenAI could not answer"),
        ("application/json", b'{"result": "fine"}', "upstream_error", "OpenAI could not answer"),
        ("application/json", b'{"choices": [{"mess', "upstream_error", "OpenAI sent something"),
        ("application/json", b"", "upstream_error", "OpenAI could not answer"),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_refused(
    upstream: FakeUpstream, content_type: str, content: bytes, code: str, message: str
) -> None:
    upstream.add(Reply(headers={"Content-Type": content_type}, body=[content] if content else []))
    with posted(make_app(upstream)) as answer:
        told = json.loads(answer.text())
        assert answer.status == {"out_of_credit": 402, "rate_limited": 429}.get(code, 502)
        assert told["code"] == code
        assert told["message"].startswith(message)
        assert "html" not in told["message"]


def test_silence_is_a_timeout(upstream: FakeUpstream) -> None:
    app = make_app(upstream, config={"LLMCHAT_READ_TIMEOUT": 0.3})
    upstream.add(sse(delta(content="Hel"), HOLD))
    with finished(app) as done, posted(app) as answer:
        assert next(answer.iterator) == b"Hel"
        started = time.monotonic()
        with pytest.raises(StreamAborted, match="timeout"):
            next(answer.iterator)
        assert time.monotonic() - started < 1
    assert done.only.outcome == "timeout"
    upstream.wait_for(lambda u: u.open_connections == 0)


def test_comments_are_no_events(upstream: FakeUpstream) -> None:
    app = make_app(upstream, config={"LLMCHAT_READ_TIMEOUT": 0.4})
    upstream.add(sse(delta(content="Hel"), *[b": keep-alive\n\n", 0.1] * 30, STOP, DONE))
    with finished(app) as done, posted(app) as answer:
        assert next(answer.iterator) == b"Hel"
        started = time.monotonic()
        with pytest.raises(StreamAborted, match="timeout"):
            next(answer.iterator)
        assert 0.3 < time.monotonic() - started < 1.5
    assert done.only.outcome == "timeout"


def test_silence_before_the_first_event_has_a_status(upstream: FakeUpstream) -> None:
    app = make_app(upstream, config={"LLMCHAT_READ_TIMEOUT": 0.3})
    upstream.add(sse(HOLD))
    with finished(app) as done, posted(app) as answer:
        assert answer.status == 504
        assert json.loads(answer.text())["code"] == "timeout"
    assert done.only.outcome == "timeout"


@pytest.mark.slow
def test_a_chat_that_goes_on_too_long_meets_its_deadline(upstream: FakeUpstream) -> None:
    app = make_app(upstream, config={"LLMCHAT_DEADLINE": 0.5})
    upstream.add(text_reply(*["x"] * 30, delay=0.1))
    with (
        finished(app) as done,
        posted(app) as answer,
        pytest.raises(StreamAborted, match="deadline"),
    ):
        answer.text()
    assert done.only.outcome == "deadline"
    assert 2 < len(done.only.text) < 12


def test_silence_after_the_finish_reason_is_no_failure(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_llmchat.runs.response_stream._AFTER_FINISH", 0.3)
    app = make_app(upstream)
    upstream.add(sse(delta(content="Hello"), STOP, HOLD))
    with finished(app) as done, posted(app) as answer:
        assert answer.text() == "Hello"
    assert done.only.outcome == "ok"


def test_closing_early_is_cancelled_and_closes_the_upstream(upstream: FakeUpstream) -> None:
    app = make_app(upstream)
    upstream.add(text_reply(*["x"] * 100, delay=0.05))
    with finished(app) as done:
        with posted(app) as answer:
            assert next(answer.iterator) == b"x"
        assert done.only.outcome == "cancelled"
        assert done.only.text.startswith("x")
    upstream.wait_for(lambda u: u.open_connections == 0)


def test_closing_before_the_first_byte_is_cancelled(upstream: FakeUpstream) -> None:
    app = make_app(upstream)
    upstream.add(text_reply(*["x"] * 100, delay=0.05))
    with finished(app) as done, posted(app):
        pass
    assert done.only.outcome == "cancelled"
    upstream.wait_for(lambda u: u.open_connections == 0)


def test_an_answer_that_is_dropped_is_closed_all_the_same(upstream: FakeUpstream) -> None:
    app = make_app(upstream)

    @app.after_request
    def fails(response: Any) -> Any:
        raise RuntimeError("the host's own")

    upstream.add(sse(delta(content="Hel"), HOLD))
    with finished(app) as done, posted(app) as answer:
        assert answer.status == 500
    assert done.only.outcome == "cancelled"
    upstream.wait_for(lambda u: u.open_connections == 0)


def test_connections_are_used_again(upstream: FakeUpstream) -> None:
    app = make_app(upstream)
    for _ in range(20):
        with posted(app) as answer:
            assert answer.text()
    assert upstream.connections == 1


def test_connections_are_used_again_after_an_error_answer(upstream: FakeUpstream) -> None:
    app = make_app(upstream)
    for _ in range(5):
        upstream.add(error_reply(400, "No"))
        with posted(app) as answer:
            assert answer.status == 400
    assert upstream.connections == 1


def test_a_body_that_never_ends_after_done_is_not_waited_for(upstream: FakeUpstream) -> None:
    app = make_app(upstream)
    upstream.add(sse(delta(content="Hello"), STOP, DONE, HOLD))
    with finished(app) as done:
        started = time.monotonic()
        with posted(app) as answer:
            assert answer.text() == "Hello"
        assert time.monotonic() - started < 1
        assert done.only.outcome == "ok"
    upstream.wait_for(lambda u: u.open_connections == 0)


def test_a_compressed_stream_is_read(upstream: FakeUpstream) -> None:
    plain = event(delta(content="Hello")) + event(STOP) + DONE
    upstream.add(Reply(headers={"Content-Encoding": "gzip"}, body=[gzip.compress(plain)]))
    with posted(make_app(upstream)) as answer:
        assert answer.text() == "Hello"


def test_no_context_is_left_while_streaming(upstream: FakeUpstream) -> None:
    app = make_app(upstream)
    torn_down = []
    app.teardown_appcontext(lambda exc: torn_down.append(exc))
    contexts = []

    def receiver(sender: Flask, result: ChatResult) -> None:
        contexts.append((has_app_context(), has_request_context()))

    from flask_llmchat import chat_finished

    with chat_finished.connected_to(receiver, sender=app), posted(app) as answer:
        assert torn_down == [None]  # the host has its database session back before the first byte
        for _ in answer.iterator:
            assert not has_app_context() and not has_request_context()
    assert contexts == [(True, False)]


def test_a_receiver_that_fails_stops_nothing(
    upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    from flask_llmchat import chat_finished

    app = make_app(upstream)

    def fails(sender: Flask, result: ChatResult) -> None:
        raise RuntimeError("the host's own")

    with chat_finished.connected_to(fails, sender=app), finished(app) as done:
        with posted(app) as answer:
            assert answer.text()
        assert done.only.outcome == "ok"
    assert "a receiver of chat-finished failed" in caplog.text


def test_keys_are_in_no_repr_and_no_log(
    upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    key = KEYS["openai_api_key"]
    upstream.add(error_reply(400, f"Do not use {key}, or {key[:12]}…, as a model"))
    app = make_app(upstream)
    with finished(app) as done, posted(app) as answer:
        text = answer.text()
    assert json.loads(text)["message"] == "Do not use [key], or [key]…, as a model"
    seen = text + caplog.text + repr(done.results) + repr(done.only.error)
    assert "planted" not in seen


@pytest.mark.slow
def test_a_reader_who_takes_nothing_until_the_deadline_has_not_left(upstream: FakeUpstream) -> None:
    upstream.add(Reply(body=[*text_reply("Hi").body[:2], HOLD]))
    app = make_app(upstream, config={"LLMCHAT_DEADLINE": 0.5})
    with finished(app) as done:
        response = app.test_client().post("/api/chat/openai", json=body(), buffered=False)
        time.sleep(1)
        response.close()
        assert done.only.outcome == "deadline"


@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["text", "ui", "openai"])
def test_a_stream_does_not_hold_what_was_asked(dialect: str, upstream: FakeUpstream) -> None:
    """A prompt may be megabytes, and an answer goes on for minutes."""
    upstream.add(Reply(body=[*text_reply("Hi").body[:2], HOLD]))
    asked = {"model": "m", "stream": True, "messages": body()["messages"]}
    path, posted = {
        "text": ("", body()),
        "ui": ("", {"chatSettings": {"model": "m"}, "messages": [UI_MESSAGE]}),
        "openai": ("/chat/completions", asked),
    }[dialect]
    before = chats_alive()
    with served(make_app(upstream)) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("POST", f"/api/chat/openai{path}", json.dumps(posted))
        with closing(connection), connection.getresponse() as response:
            assert response.read(1)
            assert chats_alive() <= before


UI_MESSAGE = {"id": "u", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}


def chats_alive() -> int:
    gc.collect()
    return sum(type(thing) is ChatRequest for thing in gc.get_objects())
