"""What the tests share: apps made from configuration, an upstream, recordings, servers."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.datastructures import ImmutableDict
from werkzeug.serving import WSGIRequestHandler, make_server

from flask_llmchat import ChatError, ChatResult, LLMChat, chat_finished
from flask_llmchat.testing import FakeUpstream
from flask_llmchat.transport import runtime

KEYS = {
    "openai_api_key": "sk-planted-openai-0123456789abcdef",
    "azure_openai_api_key": "planted0azure0key0123456789abcdef",
    "openrouter_api_key": "sk-or-v1-planted-0123456789abcdef",
    "groq_api_key": "gsk_planted0groq0123456789abcdef",
}
FOUR = ("openai", "azure", "openrouter", "groq")
RECORDED = Path(__file__).resolve().parents[2] / "shared" / "recorded"
CASES = RECORDED.parent / "cases"


def body(model: str = "gpt-4.1", text: str = "Hi", **settings: Any) -> dict[str, Any]:
    """Return what the original chat front end posts."""
    return {
        "chatSettings": {
            "model": model,
            "prompt": "You are a helpful assistant.",
            "temperature": 0.5,
            "contextLength": 4096,
            "includeProfileContext": True,
            "includeWorkspaceInstructions": True,
            "embeddingsProvider": "openai",
            **settings,
        },
        "messages": [
            {"role": "system", "content": "Today is 11/20/2026."},
            {"role": "user", "content": text},
        ],
        "customModelId": "",
    }


def profile_for(upstream: FakeUpstream | None = None, **more: Any) -> dict[str, Any]:
    """Return a profile with every key, whose Azure resource is the fake upstream."""
    endpoint = upstream.url if upstream else "https://example.openai.azure.com"
    return {
        **KEYS,
        "azure_openai_endpoint": endpoint,
        "azure_openai_deployments": {"gpt-4.1": "my-deployment", "gpt-5": "my-five"},
        **more,
    }


def make_app(
    upstream: FakeUpstream | None = None,
    profile: Any = ...,
    config: dict[str, Any] | None = None,
    llmchat: LLMChat | None = None,
    **instance: Any,
) -> Flask:
    """Make an app whose providers are all the fake upstream."""
    llmchat = llmchat or LLMChat(**instance)
    given = profile_for(upstream) if profile is ... else profile
    if llmchat._profile_loader is None:
        llmchat.profile_loader(lambda: given)
    app = Flask("host")
    if upstream:
        names = [n for n in llmchat.providers if n != "azure"]
        app.config["LLMCHAT_BASE_URLS"] = dict.fromkeys(names, upstream.base_url)
    app.config.update(config or {})
    app.register_blueprint(llmchat.blueprint)
    return app


class Finished:
    """The results that one app's chats ended with."""

    def __init__(self) -> None:
        self.results: list[ChatResult] = []
        self._came = threading.Condition()

    def __call__(self, sender: Flask, result: ChatResult) -> None:
        told = f"{result!r} {result.error!r} {result.error and vars(result.error)}"
        assert not any(key in told for key in KEYS.values())
        with self._came:
            self.results.append(result)
            self._came.notify_all()

    def wait(self, count: int = 1, timeout: float = 5.0) -> list[ChatResult]:
        """Wait until so many chats have ended; return their results."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.results) >= count, timeout), self.results
            return self.results

    @property
    def only(self) -> ChatResult:
        (result,) = self.wait()
        return result


@contextmanager
def finished(app: Flask) -> Iterator[Finished]:
    """Collect how the chats of an app end."""
    collected = Finished()
    with chat_finished.connected_to(collected, sender=app):
        yield collected


class _Received(io.BufferedReader):
    """What a client sends: nothing more, where it has reset the connection."""

    def read(self, size: int | None = -1, /) -> bytes:
        with suppress(ConnectionResetError):
            return super().read(size)
        return b""


class _Handler(WSGIRequestHandler):
    """Closes every answer.

    Before it closes one, Werkzeug reads what its client has still sent; where that raises, as it
    does when a browser leaves a page whose scripts are on their way, it never closes it.
    """

    def setup(self) -> None:
        super().setup()
        self.rfile = _Received(self.rfile.detach())


@contextmanager
def served(app: Any) -> Iterator[int]:
    """Serve an app on a real port, in threads of this process."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


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
    "browser",
    "cli",
    "deploy",
    "example_app",
    "frontend",
    "openai_clients",
    "openapi",
    "recordings",
    "servers",
    "soak",
    "ui_client",
}
"""Files and folders whose tests start other programs, or take long for another reason."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what stands in such a file or folder, and what is run once."""
    for item in items:
        where = item.path.relative_to(Path(__file__).parent)
        names = {*where.parent.parts, where.stem.removeprefix("test_")}
        if names & SLOW or item.get_closest_marker("once"):
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


def recordings(provider: str | None = None) -> list[Any]:
    """Return the recorded streams as pytest parameters; one skipped one where there are none."""
    index = RECORDED / "index.json"
    if not index.exists():
        reason = f"no recordings at {index.parent.name}/ beside the checkout"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="no-recordings")]
    streams = json.loads(index.read_text())
    chosen = [s for s in streams if provider is None or s["provider"] == provider]
    return [pytest.param(s, id=s["id"]) for s in chosen]


def wire_form(stream: dict[str, Any]) -> bytes:
    """Return a recorded stream as its bytes came, or as they must have come."""
    if stream["sse"]:
        return (RECORDED / stream["sse"]).read_bytes()
    lines = (RECORDED / stream["chunks"]).read_text().splitlines()
    return "".join(f"data: {line}\n\n" for line in lines).encode() + b"data: [DONE]\n\n"
