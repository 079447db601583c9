"""Chats that somebody stops, from anywhere and at any moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from flask import Flask

from flask_llmchat import ChatRequest, LLMChat, ToolContext
from flask_llmchat.testing import HOLD, FakeUpstream, Reply, error_reply, text_reply, tool_reply
from tests.support.apps import Finished, finished
from tests.support.redis_server import RedisServer
from tests.support.streams import (
    PATHS,
    URL,
    Came,
    asking,
    frames_of,
    keeping,
    visited,
)

HALF = text_reply("Half", then=[HOLD], finish_reason=None, done=False, usage=None)


class Somewhere:
    """An app, or two workers of it that share a store.

    :ivar here: a client of the worker that runs the chats.
    :ivar there: a client of the other worker, if there is one.
    """

    def __init__(self, make: Callable[[], Flask], workers: int, stack: ExitStack) -> None:
        apps = [make() for _ in range(workers)]
        clients = [stack.enter_context(visited(app)) for app in apps]
        self.here, self.there = clients[0], clients[-1]
        self.finished: Finished = stack.enter_context(finished(apps[0]))
        self.elsewhere = stack.enter_context(finished(apps[-1])) if workers > 1 else self.finished


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.slow)])
def somewhere(request: pytest.FixtureRequest) -> Iterator[Callable[..., Somewhere]]:
    """Return a function that serves an app in one worker, or in two."""
    store, workers = "memory://", 1
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis")
        store, workers = server.url, 2
    with ExitStack() as stack:

        def serve(
            upstream: FakeUpstream,
            add_to: Callable[[LLMChat], object] = lambda llmchat: None,
            **settings: Any,
        ) -> Somewhere:
            def make() -> Flask:
                llmchat = LLMChat()
                add_to(llmchat)
                return keeping(upstream, llmchat, store=store, **settings)

            return Somewhere(make, workers, stack)

        yield serve


def assert_stopped(came: Came, dialect: str) -> None:
    """Hold a response against what its dialect has for a chat that was stopped."""
    if dialect == "text":
        assert came.is_broken
    elif dialect == "ui":
        *_, abort, finish, done = frames_of(came.body)
        assert abort == {"type": "abort", "reason": "The answer was stopped."}
        assert (finish, done) == ({"type": "finish", "finishReason": "other"}, "[DONE]")
        assert not came.is_broken
    else:
        error = frames_of(came.body)[-1]["error"]
        assert (error["code"], error["message"]) == ("stopped", "The answer was stopped.")
        assert not came.is_broken


@pytest.mark.parametrize("by", ["conversation", "stream"])
def test_a_chat_is_stopped_for_its_client_and_for_every_reader(
    by: str, dialect: str, somewhere: Any, upstream: FakeUpstream
) -> None:
    at = somewhere(upstream)
    upstream.add(HALF)
    writing = at.here.post(dialect)
    writing.until("Half")
    readers = [client.open("GET", f"{URL}/c1/stream") for client in (at.here, at.there, at.there)]
    for reader in readers:
        reader.until("Half")
    name = "c1" if by == "conversation" else str(writing.stream)
    assert at.there.stop(name).json == {"success": True}
    upstream.wait_for(lambda fake: len(fake.gone) == 1)
    told = [opened.rest() for opened in (writing, *readers)]
    for came in told:
        assert_stopped(came, dialect)
        assert came.body == told[0].body
    result = at.finished.only
    assert (result.outcome, result.error.code) == ("stopped", "stopped")
    assert (result.text, result.stream_id) == ("Half", writing.stream)
    # Also for who comes afterwards.
    assert at.there.get("c1").status == 204
    assert_stopped(at.there.get(str(writing.stream)), dialect)
    assert at.there.stop(name).json == {"success": True}
    assert len(at.finished.results + at.elsewhere.results) in (1, 2)
    assert len({id(one) for one in at.finished.results + at.elsewhere.results}) == 1


def test_a_chat_whose_client_has_left_is_stopped(
    dialect: str, somewhere: Any, upstream: FakeUpstream
) -> None:
    at = somewhere(upstream)
    more = ["more"] * 5
    upstream.add(text_reply("Half", *more, delay=0.05, then=[HOLD], finish_reason=None, done=False))
    writing = at.here.post(dialect)
    writing.until("Half")
    writing.leave()
    reader = at.there.open("GET", f"{URL}/c1/stream")
    reader.until("more")
    at.there.stop("c1")
    assert_stopped(reader.rest(), dialect)
    assert at.finished.only.outcome == "stopped"
    upstream.wait_for(lambda fake: len(fake.gone) == 1)


def test_what_came_until_then_is_in_the_result(upstream: FakeUpstream) -> None:
    app = keeping(upstream, anthropic_api_key="sk-ant")
    upstream.add(text_reply("Half", reasoning="Hm.", then=[HOLD], finish_reason=None, done=False))
    with visited(app) as client, finished(app) as done:
        sent = asking("ui")
        sent["chatSettings"]["model"] = "claude-sonnet-5-5"
        writing = client.open("POST", "/api/chat/anthropic", sent)
        writing.until("Half")
        client.stop("c1")
        writing.rest()
    assert (done.only.outcome, done.only.text) == ("stopped", "Half")
    assert done.only.usage is not None and done.only.usage.prompt_tokens == 1


# At any moment.


class Slow:
    """A tool that runs until its chat is stopped."""

    def __init__(self) -> None:
        self.started, self.cancelled = threading.Event(), threading.Event()

    def add_to(self, llmchat: LLMChat) -> None:
        @llmchat.tool
        def slow(context: ToolContext) -> str:
            """Take long."""
            self.started.set()
            if context.cancelled.wait(10):
                self.cancelled.set()
            return "late"


def test_a_chat_is_stopped_while_a_tool_runs(
    dialect: str, somewhere: Any, upstream: FakeUpstream
) -> None:
    tool = Slow()
    at = somewhere(upstream, tool.add_to, tool_timeout=20)
    upstream.add(tool_reply("slow", {}, text="I look."))
    writing = at.here.post(dialect)
    assert tool.started.wait(5)
    at.there.stop("c1")
    assert tool.cancelled.wait(5)
    assert_stopped(writing.rest(), dialect)
    result = at.finished.only
    assert (result.outcome, result.text) == ("stopped", "I look.")
    assert [run.name for run in result.tool_runs] == ["slow"]
    assert len(upstream.requests) == 1


BEFORE_THE_HEAD = {
    "while the head is awaited": ([], {}, 1),
    "while it is tried again": ([error_reply(503, "No.", headers={"Retry-After": "4"})], {}, 1),
    "while the retry is awaited": ([error_reply(503, "No.")], {}, 2),
    "while a fallback is awaited": (
        [error_reply(503, "No.")],
        {"max_retries": 0, "fallbacks": {"openai": ["groq", "xai"]}},
        2,
    ),
}


@pytest.mark.parametrize(
    ("replies", "settings", "requests"), BEFORE_THE_HEAD.values(), ids=BEFORE_THE_HEAD
)
def test_a_chat_is_stopped_before_its_response_begins(
    replies: list[Reply],
    settings: dict[str, Any],
    requests: int,
    dialect: str,
    somewhere: Any,
) -> None:
    waiting = threading.Event()

    def respond(request: Any) -> Reply:
        if replies_left:
            return replies_left.pop(0)
        waiting.wait(10)
        return text_reply("Late")

    replies_left = list(replies)
    with FakeUpstream(respond) as upstream:
        at = somewhere(upstream, read_timeout=20, **settings)
        connection = at.here.send("POST", PATHS[dialect], asking(dialect))
        upstream.wait_for(lambda fake: len(fake.requests) == requests)
        reader = at.there.send("GET", f"{URL}/c1/stream")
        at.there.stop("c1")
        assert at.finished.only.outcome == "stopped"
        told = [at.here.opened(connection).rest(), at.there.opened(reader).rest()]
        if dialect == "text":  # there is nothing to break off
            assert (told[0].status, told[0].json["code"]) == (499, "stopped")
            assert told[1].status == 500
        else:
            for came in told:
                assert came.status == 200
                assert_stopped(came, dialect)
            assert told[0].body == told[1].body.replace(b": keep-alive\n\n", b"")
        waiting.set()
    assert len(upstream.requests) == requests


def test_a_chat_that_is_stopped_in_a_hook_is_not_sent(
    somewhere: Any, upstream: FakeUpstream
) -> None:
    inside, may_go_on = threading.Event(), threading.Event()

    def add_to(llmchat: LLMChat) -> None:
        @llmchat.before_chat
        def look(chat: ChatRequest) -> None:
            inside.set()
            may_go_on.wait(5)

    at = somewhere(upstream, add_to)
    connection = at.here.send("POST", PATHS["ui"], asking("ui"))
    assert inside.wait(5)
    at.there.stop("c1")
    if at.there is not at.here:
        threading.Event().wait(1.0)  # until the other worker has looked
    may_go_on.set()
    assert_stopped(at.here.opened(connection).rest(), "ui")
    assert at.finished.only.outcome == "stopped"
    assert not upstream.requests or upstream.gone


# What is sent.


@pytest.mark.parametrize(
    ("sent", "stops"),
    [
        (None, True),
        (b"", True),
        (b"  \n", True),
        ({}, True),
        ({"activeStreamId": None}, True),
        ({"activeStreamId": "0" * 32}, False),
        ({"activeStreamId": ""}, False),
        ({"activeStreamId": "x" * 100_000}, False),
        ({"assistantMessage": {"parts": ["x" * 300_000]}}, True),
    ],
)
def test_a_body_may_name_the_stream_that_is_to_be_stopped(
    sent: Any, stops: bool, upstream: FakeUpstream
) -> None:
    upstream.add(HALF)
    app = keeping(upstream)
    with visited(app) as client, finished(app) as done:
        writing = client.post("ui")
        writing.until("Half")
        assert client.stop("c1", sent).json == {"success": True}
        if not stops:
            assert not done.results
            assert client.stop("c1", {"activeStreamId": writing.stream}).json == {"success": True}
        assert_stopped(writing.rest(), "ui")


@pytest.mark.parametrize(
    ("sent", "status", "told"),
    [
        (b"junk", 400, "not valid JSON"),
        (b"[]", 422, "object"),
        (b'"c1"', 422, "object"),
        (b"null", 422, "object"),
        ({"activeStreamId": 7}, 422, "activeStreamId: Not a valid string."),
        ({"activeStreamId": ["x"]}, 422, "activeStreamId: Not a valid string."),
        (b" " * 2000, 413, "at most 1000 bytes"),
    ],
)
def test_a_wrong_body_stops_nothing(
    sent: Any, status: int, told: str, upstream: FakeUpstream
) -> None:
    upstream.add(HALF)
    app = keeping(upstream, max_content_length=1000)
    with visited(app) as client, finished(app) as done:
        writing = client.post("ui")
        writing.until("Half")
        came = client.stop("c1", sent)
        assert (came.status, told in came.json["message"]) == (status, True), came.body
        assert not done.results
        client.stop("c1")
        writing.rest()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "https://evil.example", "Content_Type": "text/plain"}, 403),
        ({"Origin": "https://evil.example", "Content_Type": "application/json"}, 200),
        ({"Origin": "https://good.example", "Sec_Fetch_Site": "cross-site"}, 200),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
    ],
)
def test_another_sites_page_stops_nothing(
    headers: dict[str, str], status: int, upstream: FakeUpstream
) -> None:
    upstream.add(HALF)
    app = keeping(upstream, trusted_origins=["https://good.example"])
    with visited(app) as client, finished(app) as done:
        writing = client.post("ui")
        writing.until("Half")
        assert client.stop("c1", **headers).status == status
        if status == 403:
            assert not done.results
            client.stop("c1")
        assert_stopped(writing.rest(), "ui")


def test_what_is_not_there_is_not_stopped(somewhere: Any, upstream: FakeUpstream) -> None:
    at = somewhere(upstream)
    for name in ("c1", "0" * 32, "nobody's"):
        assert at.here.stop(name).json == {"success": True}
    ended = at.here.post("ui").rest()
    assert at.here.stop(str(ended.stream)).json == {"success": True}
    assert at.finished.only.outcome == "ok"
    assert frames_of(at.here.get(str(ended.stream)).body)[-2]["finishReason"] == "stop"


def test_while_the_store_is_away_a_stop_is_not_said_to_have_worked(
    redis: RedisServer, upstream: FakeUpstream
) -> None:
    app = keeping(upstream, store=f"unix://{redis.folder}/none.sock")
    with visited(app) as client:
        came = client.stop("c1")
        assert (came.status, came.json["code"]) == (503, "overloaded")
        assert client.get("c1").status == 204
        assert client.ask("GET", "/api/chat/streams").json == []
