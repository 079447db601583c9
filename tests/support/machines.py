"""Servers that share a store, a provider, and a list of how their chats end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from flask_llmchat.testing import HOLD, FakeUpstream, Reply, event, text_reply
from tests.support.server_processes import Server, started
from tests.support.stores import wait_until
from tests.support.streams import URL, Client, Opened

APP = "tests.support.streams_app"

ELSEWHERE = {"gthread": "gevent", "gevent": "gthread"}


class Machines:
    """Servers with one store and one provider.

    :param environment: of all of them.
    """

    def __init__(self, folder: Path, upstream: FakeUpstream, **environment: str) -> None:
        self.upstream = upstream
        self._folder, self._results = folder, folder / "results"
        self._environment = {
            "UPSTREAM": upstream.base_url,
            "RESULTS": str(self._results),
            **environment,
        }
        self._count = 0

    @contextmanager
    def started(self, name: str, *options: str, **environment: str) -> Iterator[Server]:
        """Start one more server."""
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir()
        environment = {**self._environment, **environment}
        with started(name, folder, *options, app=APP, **environment) as server:
            yield server

    def results(self) -> list[dict[str, Any]]:
        """Return how the chats have ended so far, in all workers of all servers."""
        with suppress(FileNotFoundError):
            return [json.loads(line) for line in self._results.read_text("utf-8").splitlines()]
        return []

    def ended(self, chat: Opened) -> dict[str, Any]:
        """Wait until a chat has ended, and return how."""

        def found() -> list[dict[str, Any]]:
            id = chat.headers["X-Request-ID"]
            return [result for result in self.results() if result["id"] == id]

        wait_until(found, 30)
        (result,) = found()
        return result


def post(
    server: Server, conversation: str, dialect: str = "text", user: str = "ada", **headers: str
) -> Opened:
    """Send a chat."""
    return Client(server.port, user).post(dialect, conversation, **headers)


def read(server: Server, name: str, user: str = "ada", **headers: str) -> Opened:
    """Read a stream, by its id or that of its conversation, which may be there still."""
    opened = Client(server.port, user).open("GET", f"{URL}/{name}/stream", **headers)
    if opened.status != 200:
        opened.leave()
    return opened


def stop(server: Server, name: str, sent: Any = None, user: str = "ada", **headers: str) -> None:
    """Stop a chat."""
    came = Client(server.port, user).stop(name, sent, **headers)
    assert (came.status, came.json) == (200, {"success": True})


def running(server: Server, user: str = "ada", prefix: str = "/api/chat", **headers: str) -> Any:
    """Return the ids of the caller's running streams."""
    came = Client(server.port, user).ask("GET", f"{prefix}/streams", **headers)
    return [found["id"] for found in came.json]


def held(server: Server) -> dict[str, int]:
    """Return what the only worker of a server holds."""
    found: dict[str, int] = Client(server.port).ask("GET", "/held").json
    return found


def worker_of(opened: Any) -> int:
    """Return the process that has served a request."""
    return int(opened.headers["X-Worker"])


def words(count: int, delay: float = 0.05) -> Reply:
    """Return a reply in words, slowly."""
    return text_reply(*(f"word{n} " for n in range(count)), delay=delay)


def counted_words(count: int) -> Reply:
    """Return the same of a provider that counts the tokens with each word."""
    body: list[bytes | float] = []
    for n in range(count):
        choice = {"index": 0, "delta": {"content": f"word{n} "}}
        usage = {"prompt_tokens": 1, "completion_tokens": n + 1, "total_tokens": n + 2}
        body += [event({"choices": [choice], "usage": usage}), 0.05]
    return Reply(body=body)


def large() -> Reply:
    """Return a reply of more than the buffers between a server and its client hold."""
    return text_reply(*["a client that does not read this holds up no others " * 400] * 1600)


def begun_and_held() -> Reply:
    """Return a reply of one word, after which the provider is silent."""
    return Reply(body=[event({"choices": [{"index": 0, "delta": {"content": "Hm"}}]}), HOLD])


def text_of(count: int) -> str:
    return "".join(f"word{n} " for n in range(count))
