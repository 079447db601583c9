"""Clients of a server whose chats outlive them, and what the chats of several servers end with."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from flask_llmchat.testing import HOLD, FakeUpstream, Reply, event, text_reply
from tests.support.apps import HI, body, ui_body
from tests.support.server_processes import Server, started

APP = "tests.support.streams_app"
PATHS = {"text": "", "ui": "", "openai": "/chat/completions"}


class Client:
    """One request and its response, whose head has come. As a context manager, it leaves.

    :param buffer: bytes that may wait for it to read them; 0 for as many as usual.
    """

    def __init__(
        self,
        server: Server,
        method: str,
        path: str,
        content: Any = None,
        *,
        caller: str | None = "ada",
        prefix: str = "/api/chat",
        buffer: int = 0,
        **headers: str,
    ) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        if buffer:
            sock = self._connection.sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            sock.connect(("127.0.0.1", server.port))
        if caller is not None:
            headers["X-Caller"] = caller
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = None if content is None else json.dumps(content)
        self._connection.request(method, prefix + path, sent, named)
        self.response = self._connection.getresponse()
        self.status, self.headers = self.response.status, self.response.headers
        self.is_whole = True
        if self.status != 200:
            self.error = self.rest()

    @property
    def stream(self) -> str:
        """The id of the stream; "" for none."""
        return self.headers.get("X-LLMChat-Stream", "")

    @property
    def worker(self) -> int:
        """The process that serves it."""
        return int(self.headers["X-Worker"])

    def piece(self) -> bytes:
        """Wait for the next bytes."""
        return self.response.read1()

    def until(self, word: str) -> None:
        """Read until a word has come."""
        seen = b""
        while word.encode() not in seen:
            piece = self.piece()
            assert piece, seen
            seen += piece

    def rest(self) -> bytes:
        """Read to the end, or until the server breaks it off."""
        try:
            return self.response.read()
        except http.client.IncompleteRead as error:
            self.is_whole = False
            return error.partial
        finally:
            self.leave()

    def leave(self) -> None:
        self.response.close()
        self._connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()


def post(
    server: Server, conversation: str = "c", dialect: str = "text", said: str = "Hi", **more: Any
) -> Client:
    """Post a chat."""
    content = {
        "text": {**body(text=said), "conversationId": conversation},
        "ui": ui_body({"type": "text", "text": said}, id=conversation),
        "openai": {
            "model": "m",
            "stream": True,
            "messages": [{**HI, "content": said}],
            "conversationId": conversation,
        },
    }[dialect]
    return Client(server, "POST", f"/openai{PATHS[dialect]}", content, **more)


def read_again(server: Server, name: str, query: str = "", **more: Any) -> Client:
    """Read a stream again, by its id or that of its conversation."""
    return Client(server, "GET", f"/openai/{name}/stream{query}", **more)


def stop(server: Server, name: str, content: Any = None, **more: Any) -> Any:
    """Stop a chat, and return what the server answers."""
    with Client(server, "POST", f"/openai/{name}/stop", content, **more) as client:
        assert client.status == 200
        return json.loads(client.rest())


def running(server: Server, **more: Any) -> list[str]:
    """Return the ids of the caller's running streams."""
    with Client(server, "GET", "/streams", **more) as client:
        return [found["id"] for found in json.loads(client.rest())]


def held(server: Server) -> dict[str, int]:
    """Return what the only worker of a server holds."""
    with Client(server, "GET", "/held", prefix="") as client:
        found: dict[str, int] = json.loads(client.rest())
        return found


def words(count: int, delay: float = 0.05) -> Reply:
    """Return a reply in words, slowly, with the count of its tokens."""
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


def wait_until(holds: Callable[[], Any], seconds: float = 10) -> Any:
    """Wait for something that another process does, and return it."""
    until = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < until, "it has not happened"
        time.sleep(0.02)
    return found


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

    def ended(self, client: Client, seconds: float = 10) -> dict[str, Any]:
        """Wait until a client's chat has ended, and return how."""

        def found() -> list[dict[str, Any]]:
            id = client.headers["X-Request-ID"]
            return [result for result in self.results() if result["id"] == id]

        wait_until(found, seconds)
        (result,) = found()
        return result
