"""Running the tool calls of a chat: where, how long, how many, and what comes of each."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, current_app, g, has_request_context
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.pool import QueuePool

from flask_llmchat import Tool, ToolCall, ToolContext, ToolError
from flask_llmchat.tools.results import shortened
from flask_llmchat.transport.runtime import current_runtime
from tests.support.tool_chats import Chat, call, no_thread_is_left, wait_for


@pytest.fixture(autouse=True)
def all_threads_are_given_back() -> Iterator[None]:
    yield
    wait_for(no_thread_is_left)


def add(a: int, b: int = 1) -> int:
    return a + b


async def add_async(a: int, b: int = 1) -> int:
    await asyncio.sleep(0)
    return a + b


# Results


def test_page_and_model_get_the_same_result() -> None:
    def words(of: str) -> str:
        return of

    def order() -> Any:
        return {"day": date(2026, 11, 27), "total": 9.5, "name": "Zoë", "nan": float("nan")}

    chat = Chat(words, order, add, add_async)
    calls = [call("words", of="yes"), call("order"), call("add", a=1), call("add_async", a=2)]
    text = '{"day":"2026-11-27","total":9.5,"name":"Zoë","nan":null}'
    assert chat.run(*calls) == ["yes", text, "2", "3"]
    outputs = {result.name: result.output for result in chat.results}
    assert outputs == {"words": "yes", "order": json.loads(text), "add": 2, "add_async": 3}
    assert not any(result.error or result.invalid for result in chat.results)
    assert chat.outcomes == ["ok"] * 4
    chat.check(calls)


def test_a_run_tells_what_was_called_and_what_came_of_it() -> None:
    chat = Chat(add)
    asked = call("add", a=7_777_776)
    chat.run(asked, step=3)
    (run,) = chat.finished
    assert (run.call_id, run.name, run.step, run.outcome) == (asked.id, "add", 3, "ok")
    assert (run.arguments, run.result, run.size) == ('{"a": 7777776}', "7777777", 7)
    assert 0 < run.duration < 5 and "777777" not in repr(run)


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="'add'"):
        Chat(add, Tool(add_async, name="add")).with_settings()


def test_a_long_result_is_shortened_for_both() -> None:
    def long(json: bool) -> Any:
        text = "a" * 100 + "é" * 10**6 + "z" * 100
        return [text] if json else text

    chat = Chat(long).with_settings(tool_result=101)
    plain, json_text = chat.run(call("long", json=False), call("long", json=True))
    left_out = "\n[1,000,%s characters are left out here]\n"
    assert plain == "a" * 51 + left_out % "099" + "z" * 50
    assert json_text == '["' + "a" * 49 + left_out % "103" + "z" * 48 + '"]'
    assert [result.output for result in chat.results] == [r.result for r in chat.finished]


def test_shortening_leaves_out_as_many_characters_as_it_says() -> None:
    assert shortened("abc", 3) == "abc"
    assert shortened("abcdef", 3) == "ab\n[3 characters are left out here]\nf"
    assert shortened("abc", 1) == "a\n[2 characters are left out here]\n"


def test_half_characters_are_replaced_as_no_request_can_hold_them() -> None:
    assert Chat(half).run(call("half")) == ["a?b"]


def half() -> str:
    return "a\ud800b"


def test_a_huge_result_is_bounded() -> None:
    def huge() -> str:
        return "x" * 2**28

    (text,) = Chat(huge).run(call("huge"))
    assert len(text) < 32_100


def test_what_is_not_json_is_an_error_in_words(caplog: pytest.LogCaptureFixture) -> None:
    def odd() -> Any:
        return {"what": object()}

    def endless() -> Any:
        found: list[Any] = []
        found.append(found)
        return found

    chat = Chat(odd, endless)
    assert chat.run(call("odd"), call("endless")) == ["The tool's result is not JSON."] * 2
    assert chat.outcomes == ["error"] * 2
    assert "Unable to serialize unknown type" in caplog.text


# Errors


@pytest.mark.parametrize("kind", ["def", "async def", "generator", "async generator"])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ToolError("There is no such order."), "There is no such order."),
        (ToolError(), "The tool failed."),
        (ValueError("secret"), "The tool failed."),
        (SystemExit(1), "The tool failed."),
        (KeyboardInterrupt(), "The tool failed."),
        (GeneratorExit(), "The tool failed."),
        (asyncio.CancelledError(), "The tool failed."),
        (StopIteration(), "The tool failed."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_exception_is_told_in_words_and_logged(
    kind: str, error: BaseException, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    def tool() -> None:
        raise error

    async def async_tool() -> None:
        raise error

    def generator() -> Any:
        yield 1
        raise error

    async def async_generator() -> Any:
        yield 1
        raise error

    tools = dict(
        zip(
            ("def", "async def", "generator", "async generator"),
            (tool, async_tool, generator, async_generator),
            strict=True,
        )
    )
    chat = Chat(Tool(tools[kind], name="tool"))
    assert chat.run(call("tool")) == [words]
    assert chat.outcomes == ["error"]
    assert [(result.output, result.error) for result in chat.results] == [(None, words)]
    logged = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(logged) == (0 if isinstance(error, ToolError) else 1)
    assert all(record.exc_info for record in logged)


def test_the_event_loop_goes_on_after_a_task_of_a_tool_ends_it() -> None:
    async def evil() -> None:
        async def task() -> None:
            raise SystemExit

        await asyncio.gather(asyncio.create_task(task()))

    async def stop() -> None:
        asyncio.get_running_loop().stop()

    chat = Chat(evil, stop, add_async)
    assert chat.run(call("evil"), call("stop"))[1] == "null"
    assert chat.run(call("add_async", a=1)) == ["2"]


def test_unknown_tools_and_wrong_arguments_are_told_and_nothing_is_run() -> None:
    ran: list[int] = []

    def tool(n: int) -> None:
        ran.append(n)

    async def other(n: int) -> None:
        ran.append(n)

    chat = Chat(tool, other)
    texts = chat.run(
        ToolCall("u", "no\nsuch" + "x" * 1000, "{}"),
        ToolCall("j", "tool", "{"),
        call("tool", n="many"),
        call("other", n="many"),
    )
    assert texts[0].startswith("There is no tool 'no\\nsuch") and len(texts[0]) < 130
    assert texts[0].endswith("The tools are: tool, other.")
    assert "not valid JSON" in texts[1]
    assert "n: Input should be a valid integer" in texts[2] == texts[3]
    assert not ran and chat.outcomes == ["refused"] * 4
    assert all(result.invalid and result.error for result in chat.results)


@pytest.mark.parametrize("depth", range(800, 1000, 10))
def test_deeply_nested_arguments_are_no_failure_of_the_chat(depth: int) -> None:
    def tool(x: Any) -> None: ...

    chat = Chat(tool)
    chat.run(ToolCall("deep", "tool", '{"x": ' + "[" * depth + "]" * depth + "}"))
    assert chat.outcomes[0] in ("ok", "refused", "error")


def test_a_call_ends_after_the_teardown_of_its_app_context() -> None:
    app = Flask("host")
    order: list[str] = []

    @app.teardown_appcontext
    def teardown(error: BaseException | None) -> None:
        if g.get("tool"):
            time.sleep(0.1)
            order.append("torn down")

    def tool(ctx: ToolContext) -> None:
        g.tool = True
        ctx.progress(1)

    chat = Chat(tool, app=app)
    chat.start(call("tool"))
    chat.read_all()
    order.append("ended")
    assert order == ["torn down", "ended"]


def test_the_same_call_is_not_run_a_third_time_in_a_row() -> None:
    chat = Chat(add)
    again = "This call was not run: it repeats the last two. Use their results."
    first = chat.run(call("add", a=1, b=2), ToolCall("x", "add", '{"b":2,"a":1}'))
    assert first == ["3", "3"]
    assert chat.run(call("add", a=1, b=2), step=2) == [again]
    assert chat.run(call("add", a=1, b=2), call("add", a=2), step=3) == [again, "3"]
    assert chat.run(call("add", a=1, b=2), step=4) == ["3"]
    assert chat.outcomes == ["ok", "ok", "repeated", "repeated", "ok", "ok"]
    assert not any(result.invalid for result in chat.results)


def test_calls_over_the_limit_of_a_chat_are_refused() -> None:
    chat = Chat(add).with_settings(tool_calls=3)
    chat.run(*[call("add", a=n) for n in range(2)])
    texts = chat.run(*[call("add", a=n) for n in range(3)], step=2)
    assert texts[0] == "1" and "no tool calls left" in texts[1] == texts[2]
    assert chat.outcomes.count("refused") == 2
    assert not any(result.invalid for result in chat.results)


# The context


def test_the_context_tells_of_the_chat() -> None:
    seen: list[ToolContext] = []

    def tool(ctx: ToolContext) -> None:
        seen.append(ctx)

    async def other(ctx: ToolContext) -> None:
        seen.append(ctx)

    chat = Chat(Tool(tool, timeout=5), other)
    calls = [call("tool"), call("other")]
    chat.run(*calls, step=2)
    for ctx in seen:
        assert (ctx.profile, ctx.context) == ({"name": "Ada"}, {"user": 7})
        assert (ctx.provider, ctx.model, ctx.request_id, ctx.step) == ("openai", "gpt-4.1", "r1", 2)
        assert ctx.caller is None and not ctx.cancelled.is_set()
        assert ctx.key == f"r1:2:{ctx.call_id}" and "Ada" not in repr(ctx)
    assert {ctx.call_id for ctx in seen} == {asked.id for asked in calls}
    left = sorted(ctx.deadline - time.monotonic() for ctx in seen)
    assert 4 < left[0] <= 5 and 19 < left[1] <= 20  # the second is the chat's


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="empty")


def test_a_tool_has_an_app_context_of_its_own_and_nothing_of_the_request() -> None:
    app = Flask("host")
    torn_down: list[Any] = []

    @app.teardown_appcontext
    def teardown(error: BaseException | None) -> None:
        torn_down.append((g.get("tool"), error))

    def look(name: str) -> Any:
        g.tool = name
        if name == "bad":
            raise ToolError("bad")
        seen = variable.get()
        variable.set("changed")
        return [current_app.name, has_request_context(), seen, threading.get_ident()]

    async def look_async(name: str) -> Any:
        found = look(name)
        await asyncio.sleep(0.05)
        assert g.tool == name
        return found

    chat = Chat(look, look_async, app=app)
    with app.test_request_context():
        variable.set("of the request")
        texts = chat.run(
            call("look", name="a"),
            call("look", name="b"),
            call("look_async", name="c"),
            call("look_async", name="d"),
            call("look", name="bad"),
        )
        assert variable.get() == "of the request"
    found = [json.loads(text) for text in texts[:4]]
    assert all(one[:3] == ["host", False, "empty"] for one in found)
    assert found[2][3] == found[3][3] != threading.get_ident()
    told = {name: error for name, error in torn_down if name}
    assert {*told} == {"a", "b", "c", "d", "bad"} and isinstance(told["bad"], ToolError)
    assert len(torn_down) == 10 + 1  # one for every tool, one for every run, and the request's own


def test_a_receiver_or_a_teardown_that_fails_changes_no_result(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = Flask("host")
    app.teardown_appcontext(lambda error: 1 / 0)
    chat = Chat(add, add_async, app=app)
    assert chat.run(call("add", a=1), call("add_async", a=2)) == ["2", "3"]
    assert caplog.text.count("ZeroDivisionError") == 4


def test_an_app_context_that_cannot_be_made_is_a_failure() -> None:
    app = Flask("host")
    chat = Chat(add, add_async, app=app)

    def broken() -> Any:
        raise OSError("no context")

    app.app_context = broken  # type: ignore[method-assign]
    asked = [call("add", a=1), call("add_async", a=2)]
    chat.start(*asked)
    chat.read_all()
    assert [chat.runner.text_of(one.id) for one in asked] == ["The tool failed."] * 2


def test_every_call_has_a_database_session_of_its_own(tmp_path: Path) -> None:
    """The pool has as many connections as calls run at once: one that is kept would show."""
    db = SQLAlchemy()
    app = Flask("host")
    pool = {"poolclass": QueuePool, "pool_size": 4, "max_overflow": 0, "pool_timeout": 2}
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path / 'a.db'}"
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = pool
    db.init_app(app)
    sessions: list[Any] = []

    def query(n: int) -> Any:
        sessions.append(db.session())
        time.sleep(0.01)
        return db.session.execute(db.text("select 1")).scalar()

    async def query_async(n: int) -> Any:
        sessions.append(db.session())
        await asyncio.sleep(0.01)
        return db.session.execute(db.text("select 1")).scalar()

    chat = Chat(query, query_async, app=app)
    names = ("query", "query_async")
    assert chat.run(*[call(names[n % 2], n=n) for n in range(20)]) == ["1"] * 20
    assert len({id(session) for session in sessions}) == 20
    with app.app_context():
        assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        db.engine.dispose()


# Progress


def test_a_generator_gives_progress_and_its_last_value_is_the_result() -> None:
    def report() -> Iterator[Any]:
        for n in range(3):
            yield {"done": n}
            time.sleep(0.05)

    async def report_async(ctx: ToolContext) -> AsyncIterator[Any]:
        ctx.progress("begun")
        for n in range(3):
            await asyncio.sleep(0.05)
            yield {"done": n}

    chat = Chat(report, report_async)
    assert chat.run(call("report")) == ['{"done":2}']
    assert chat.progress == [{"done": 0}, {"done": 1}, {"done": 2}]
    chat.events.clear()
    assert chat.run(call("report_async")) == ['{"done":2}']
    assert chat.progress == ["begun", {"done": 0}, {"done": 1}, {"done": 2}]


def test_what_a_generator_returns_is_its_result() -> None:
    def report() -> Any:
        yield 1
        return "all"

    def nothing() -> Any:
        yield from ()

    async def nothing_async() -> Any:
        for _ in ():
            yield

    chat = Chat(report, nothing, nothing_async)
    calls = [call("report"), call("nothing"), call("nothing_async")]
    assert chat.run(*calls) == ["all", "null", "null"]


def test_progress_is_bounded_as_results_are() -> None:
    async def endless() -> AsyncIterator[str]:
        while True:
            yield "x" * 10_000

    def endless_too() -> Iterator[str]:
        while True:
            yield "x" * 10_000

    chat = Chat(Tool(endless, timeout=0.5), Tool(endless_too, timeout=0.5))
    chat.with_settings(tool_result=100).start(call("endless"), call("endless_too"))
    time.sleep(0.3)  # nobody reads
    first = chat.runner.read()
    assert first is not None and len(first) == 2
    chat.read_all()
    assert chat.outcomes == ["timeout"] * 2
    assert max(map(len, chat.progress)) < 150


def test_progress_that_is_not_json_fails_the_tool() -> None:
    def tool(ctx: ToolContext) -> None:
        ctx.progress(object())

    assert Chat(tool).run(call("tool")) == ["The tool failed."]


def test_progress_after_the_end_is_dropped() -> None:
    kept: list[ToolContext] = []

    def tool(ctx: ToolContext) -> None:
        kept.append(ctx)

    chat = Chat(tool)
    chat.run(call("tool"))
    kept[0].progress(1)
    assert chat.runner.read() == []


# Time


def test_a_tool_that_takes_too_long_is_told_and_abandoned() -> None:
    ended = threading.Event()

    def slow(ctx: ToolContext) -> str:
        assert ctx.cancelled.wait(10)
        ended.set()
        return "late"

    chat = Chat(Tool(slow, timeout=0.2))
    began = time.monotonic()
    assert chat.run(call("slow")) == ["The tool timed out after 0.2 seconds."]
    assert 0.2 <= time.monotonic() - began < 5
    assert ended.wait(5)
    wait_for(no_thread_is_left)
    assert chat.runner.read() == [] and chat.outcomes == ["timeout"]


def test_an_async_tool_that_takes_too_long_is_cancelled() -> None:
    cancelled = threading.Event()

    async def slow() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    chat = Chat(slow).with_settings(tool_timeout=0.2)
    assert chat.run(call("slow")) == ["The tool timed out after 0.2 seconds."]
    assert cancelled.wait(5) and chat.outcomes == ["timeout"]


def test_the_deadline_of_the_chat_bounds_its_tools() -> None:
    def slow(ctx: ToolContext, n: int) -> None:
        ctx.cancelled.wait(10)

    chat = Chat(slow, seconds=0.3).with_settings(tool_concurrency=1)
    texts = chat.run(call("slow", n=1), call("slow", n=2))
    assert texts[0].startswith("The tool timed out after 0.")
    assert texts[1] == "The time of the chat is over."
    assert chat.outcomes == ["timeout", "refused"]


def test_reading_waits_no_longer_than_it_may() -> None:
    release = threading.Event()

    def slow() -> None:
        release.wait(10)

    chat = Chat(slow)
    chat.start(call("slow"))
    for seconds in (0, 0.1):
        began = time.monotonic()
        assert chat.runner.read(seconds) is None
        assert seconds <= time.monotonic() - began < 3
    release.set()
    chat.read_all(0.05)
    assert chat.outcomes == ["ok"]


# How many at once


class Gauge:
    """Counts how many calls run at once."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *exc_info: Any) -> None:
        with self._lock:
            self.now -= 1


@pytest.mark.parametrize("is_async", [False, True])
def test_calls_of_a_chat_run_at_once_up_to_the_limit(is_async: bool) -> None:
    gauge = Gauge()

    def tool(n: int) -> int:
        with gauge:
            time.sleep(0.05)
        return n

    async def async_tool(n: int) -> int:
        with gauge:
            await asyncio.sleep(0.05)
        return n

    chat = Chat(Tool(async_tool if is_async else tool, name="tool"))
    chat.with_settings(tool_concurrency=3)
    assert chat.run(*[call("tool", n=n) for n in range(10)]) == [str(n) for n in range(10)]
    assert gauge.most == 3


def test_a_sequential_tool_runs_alone() -> None:
    order: list[str] = []

    def tool(name: str) -> None:
        order.append(f"{name} begins")
        time.sleep(0.05)
        order.append(f"{name} ends")

    chat = Chat(tool, Tool(tool, name="alone", sequential=True))
    chat.run(call("tool", name="a"), call("alone", name="b"), call("tool", name="c"))
    assert order == [f"{name} {what}" for name in "abc" for what in ("begins", "ends")]


def test_a_call_waits_for_a_thread_of_the_process() -> None:
    release = threading.Event()

    def slow() -> str:
        release.wait(10)
        return "done"

    first, second = Chat(slow).with_settings(tool_threads=1), Chat(slow, add_async)
    second.with_settings(tool_threads=1)
    first.start(call("slow"))
    asked = [call("slow"), call("add_async", a=1)]
    second.start(*asked)
    assert second.runner.read(0.2) is None
    assert len(current_runtime().tool_slots) == 1
    release.set()
    first.read_all()
    second.read_all()
    assert second.runner.text_of(asked[0].id) == "done"
    assert second.runner.text_of(asked[1].id) == "2"


def test_a_call_that_gets_no_thread_in_time_is_refused() -> None:
    """The threads of tools that hang stay taken."""
    release = threading.Event()

    def hangs() -> None:
        release.wait(20)

    chat = Chat(hangs, add).with_settings(tool_threads=1, tool_timeout=0.3)
    assert "timed out" in chat.run(call("hangs"))[0]
    assert chat.run(call("add", a=1)) == [
        "This call was not run: the server runs too many tools. Try again later."
    ]
    assert chat.outcomes == ["timeout", "refused"]
    release.set()
    wait_for(no_thread_is_left)
    assert chat.run(call("add", a=1)) == ["2"]


def test_a_thread_that_cannot_be_started_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any) -> None:
        raise RuntimeError("can't start new thread")

    chat = Chat(add)
    monkeypatch.setattr(threading.Thread, "start", fail)
    assert chat.run(call("add", a=1)) == ["The tool failed."]
    assert no_thread_is_left()


def test_a_hundred_chats_lose_no_result_and_run_nothing_twice() -> None:
    ran: list[int] = []

    def tool(n: int) -> int:
        ran.append(n)
        time.sleep(0.002)
        if n % 7 == 0:
            raise ToolError(str(n))
        return n

    async def async_tool(n: int) -> int:
        ran.append(n)
        await asyncio.sleep(0.002)
        return n

    failed: list[BaseException] = []

    def run(first: int) -> None:
        try:
            chat = Chat(tool, async_tool).with_settings(tool_threads=8)
            for step in (1, 2):
                names = ("tool", "tool", "async_tool")
                base = first + 6 * step
                calls = [call(names[n % 3], n=base + n) for n in range(6)]
                chat.events.clear()
                texts = chat.run(*calls, step=step)
                assert texts == [str(base + n) for n in range(6)]
                assert len(chat.results) == 6
            assert len(chat.finished) == 12
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(n * 100,)) for n in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed
    assert len(ran) == len({*ran}) == 1200
    wait_for(no_thread_is_left)
    assert not [t for t in threading.enumerate() if "flask_llmchat-tool" in t.name]


# The end of the chat


def test_closing_tells_the_tools_waits_for_them_and_begins_no_other() -> None:
    began: list[int] = []

    def works(ctx: ToolContext, n: int) -> str:
        began.append(n)
        assert ctx.cancelled.wait(10)
        time.sleep(0.1)
        return "finished all the same"

    async def waits() -> None:
        await asyncio.sleep(10)

    chat = Chat(works, waits).with_settings(tool_concurrency=2)
    calls = [call("works", n=1), call("waits"), call("works", n=2)]
    chat.start(*calls)
    wait_for(lambda: began)
    start = time.monotonic()
    chat.runner.close()
    assert 0.1 <= time.monotonic() - start < 5
    outcomes = {run.call_id: (run.outcome, run.result) for run in chat.finished}
    assert outcomes == {
        calls[0].id: ("ok", "finished all the same"),
        calls[1].id: ("abandoned", "The chat ended before the tool did."),
        calls[2].id: ("refused", "The chat ended before the tool was run."),
    }
    assert began == [1] and no_thread_is_left()
    chat.runner.close()
    chat.read_all()  # they can still be told
    chat.check(calls)


def test_closing_at_once_cancels_an_async_tool_that_has_not_begun() -> None:
    async def waits() -> None:
        await asyncio.sleep(10)

    for _ in range(50):
        chat = Chat(waits)
        chat.start(call("waits"))
        start = time.monotonic()
        chat.runner.close()
        assert time.monotonic() - start < 5
        assert chat.outcomes == ["abandoned"]


def test_closing_waits_for_a_tool_that_hangs_only_up_to_its_timeout() -> None:
    release = threading.Event()

    def hangs() -> None:
        release.wait(20)

    chat = Chat(Tool(hangs, timeout=0.3))
    chat.start(call("hangs"))
    start = time.monotonic()
    chat.runner.close()
    assert 0.25 < time.monotonic() - start < 3
    assert chat.outcomes == ["abandoned"]
    release.set()


def test_a_server_that_stops_waits_for_no_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flask_llmchat.tools.runner._STOP_GRACE", 0.1)
    monkeypatch.setattr(current_runtime().watchdog, "server_is_stopping", lambda: True)
    release = threading.Event()

    def hangs() -> None:
        release.wait(20)

    chat = Chat(hangs)
    chat.start(call("hangs"))
    start = time.monotonic()
    chat.runner.close()
    assert time.monotonic() - start < 3
    assert chat.outcomes == ["abandoned"]
    release.set()


def test_closing_ends_a_generator() -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
                time.sleep(0.01)
        finally:
            closed.set()

    chat = Chat(endless)
    chat.start(call("endless"))
    assert chat.runner.read()
    chat.runner.close()
    assert closed.is_set() and chat.outcomes == ["abandoned"]


# The log, forks


def test_the_log_has_sizes_and_times_and_nothing_of_the_content(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def tell(secret: str) -> str:
        if secret == "wrong":
            raise ToolError("a private reason")
        return secret * 2

    Chat(tell).run(
        call("tell", secret="planted-text"),
        call("tell", secret="wrong"),
        call("tell", private=1),
        ToolCall("c\n", "x\ny", "{"),
    )
    infos = [r.getMessage() for r in caplog.records if r.name == "flask_llmchat"]
    assert len(infos) == 4
    assert any(
        "chat r1, step 1: tool 'tell' (call 'c" in line
        and "ok after" in line
        and "26 characters of arguments, 24 of the result" in line
        for line in infos
    )
    assert all("planted" not in line and "private" not in line for line in infos)
    assert not any("\n" in line for line in infos)


FORKED = """
import os, sys
from tests.support.tool_chats import Chat, call, no_thread_is_left

async def add(a: int) -> int:
    return a + 1

def wait(n: int) -> int:
    import time; time.sleep(0.5); return n

parent = Chat(add, wait).with_settings(tool_threads=1)
assert parent.run(call("add", a=1)) == ["2"]
parent.start(call("wait", n=1))
if child := os.fork():
    assert os.waitpid(child, 0)[1] == 0
    parent.read_all()
    assert parent.outcomes == ["ok", "ok"] and no_thread_is_left()
    print("as it should")
else:
    assert no_thread_is_left()
    chat = Chat(add, wait).with_settings(tool_threads=1)
    assert chat.run(call("add", a=2), call("wait", n=7)) == ["3", "7"]
    os._exit(0)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_has_a_loop_and_threads_of_its_own() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED], capture_output=True, text=True, timeout=60
    )
    assert run.stdout.strip() == "as it should", run.stderr
