"""Fixtures that every test can use, and the guards against leaked keys around each of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.datastructures import ImmutableDict
from werkzeug.routing import Rule

from flask_llmchat import ChatError
from flask_llmchat.runs import retry
from flask_llmchat.testing import FakeUpstream
from flask_llmchat.transport import runtime, watchdog
from tests.support.apps import KEYS
from tests.support.redis_server import PROGRAM, RedisServer


class KeyFinder(logging.Handler):
    """Looks for planted keys in every log record, with its exception and all its arguments."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        told = f"{self.format(record)} {record.args!r}"
        if any(key in told for key in KEYS.values()):
            self.found.append(told)


@pytest.fixture(autouse=True)
def no_key_is_logged() -> Iterator[None]:
    """Fail a test in which a planted key reached a log record, whoever wrote it."""
    finder, root = KeyFinder(), logging.getLogger()
    root.addHandler(finder)
    yield
    root.removeHandler(finder)
    assert not finder.found


@pytest.fixture(autouse=True)
def no_key_is_in_an_error(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test in which an error of ours was made that holds a planted key."""
    found: list[str] = []
    make = ChatError.__init__

    def looking(self: ChatError, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        told = f"{self!r} {vars(self)}"
        found.extend(key for key in KEYS.values() if key in told)

    monkeypatch.setattr(ChatError, "__init__", looking)
    yield
    assert not found


SLOW = {
    "answer_bounds",
    "answers",
    "cli",
    "clients",
    "example",
    "hostile_wire",
    "http1_oracle",
    "recordings",
    "refused",
    "request_cost",
    "servers",
}
"""Files and folders whose tests start other programs, or take long for another reason."""

COSTS = {"answer_bounds", "example_bounds", "hostile_wire", "request_cost"}
"""Files that measure time and memory: once, with one Python and one set of versions."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what stands in such a file or folder, and what is marked external."""
    for item in items:
        where = item.path.relative_to(Path(__file__).parent)
        names = {*where.parent.parts, where.stem.removeprefix("test_")}
        if names & COSTS:
            item.add_marker(pytest.mark.external)
        if names & SLOW or item.get_closest_marker("external"):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """Fail a test in which a planted key was printed."""
    report = yield
    printed = "".join(text for name, text in report.sections if "Captured" in name)
    if report.passed and any(key in printed for key in KEYS.values()):
        report.outcome, report.longrepr = "failed", "a planted key was printed"
    return report


@pytest.fixture(scope="session", autouse=True)
def quick() -> Iterator[None]:
    """Take no time for what hardly a test looks at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watchdog, "TICK", 0.02)
        patch.setattr(retry, "_BACKOFF", 0.02)
        compile_builder = getattr(Rule, "_compile_builder", None)
        if compile_builder is not None:
            # Werkzeug compiles, for every rule, what builds its address: three quarters of the
            # time in which an app is made. Here it does so when an address is built.
            def compile_later(rule: Rule, *args: Any) -> Any:
                return lambda self, **values: compile_builder(rule, *args)(self, **values)

            patch.setattr(Rule, "_compile_builder", compile_later)
        yield


@pytest.fixture(scope="session", autouse=True)
def close_pool() -> Iterator[None]:
    """Close the connections that stay open for the next chat, when there is no next one."""
    yield
    for sdk in runtime.current_runtime().sdks.values():
        sdk.close()


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture
def host(upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> FakeUpstream:
    """Have apps as the docs write them call the fake upstream, with the server's own keys."""
    urls = dict.fromkeys(("openai", "groq"), upstream.base_url)
    config = {**Flask.default_config, "LLMCHAT_BASE_URLS": urls, "TESTING": True}
    monkeypatch.setattr(Flask, "default_config", ImmutableDict(config))
    monkeypatch.setenv("OPENAI_API_KEY", KEYS["openai_api_key"])
    monkeypatch.setenv("GROQ_API_KEY", KEYS["groq_api_key"])
    return upstream


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    pytest.importorskip("redis")
    if PROGRAM is None:
        pytest.skip("redis-server is not installed")
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[RedisServer]:
    """The server of the session, emptied."""
    redis_server.ask("FLUSHALL")
    yield redis_server
    left = redis_server.keys_without_expiry()
    assert left == [], redis_server.ask("HGETALL", left[0])
