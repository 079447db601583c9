"""Apps that keep their streams, and clients that leave, come back and stop."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from flask import Flask, request

from flask_llmchat import LLMChat
from flask_llmchat.testing import FakeUpstream, Reply
from tests.support.apps import asked, body, make_app, profile_for, ui_body
from tests.support.servers import served

URL = "/api/chat/openai"
PATHS = {"text": URL, "ui": URL, "openai": f"{URL}/chat/completions"}
"""The paths of chats, by dialect."""
DIALECTS = [*PATHS]


def keeping(upstream: FakeUpstream, llmchat: LLMChat | None = None, **settings: Any) -> Flask:
    """Return an app that keeps its streams.

    The header ``X-User`` names the caller, who is Ada without it, and nobody where it is empty.

    :param settings: ``LLMCHAT_`` settings, by the rest of their names, and further keys of a
        profile.
    """
    llmchat = llmchat or LLMChat()
    keys = {name: settings.pop(name) for name in [*settings] if name.endswith("_api_key")}
    known = profile_for(upstream, **keys)
    llmchat.profile_loader(lambda: {**known, "user": request.headers.get("X-User", "ada")})
    llmchat.caller_loader(lambda profile: profile["user"] or None)
    settings = {"read_timeout": 5, **settings}
    named = {f"LLMCHAT_{name.upper()}": value for name, value in settings.items()}
    return make_app(upstream, llmchat=llmchat, config={"LLMCHAT_RESUMABLE": True, **named})


def asking(dialect: str, conversation: str | None = "c1", **more: Any) -> dict[str, Any]:
    """Return the body of a chat."""
    if dialect == "ui":
        made = ui_body(id=conversation, **more)
    else:
        made = body(**more) if dialect == "text" else asked(stream=True, **more)
        made["conversationId"] = conversation
    return {name: value for name, value in made.items() if value is not None}


@dataclass
class Came:
    """A response as it came.

    :param is_broken: whether the connection broke off.
    """

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    is_broken: bool = False

    @property
    def events(self) -> list[bytes]:
        """The server-sent events, each with the empty line that ends it."""
        return events_of(self.body)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def stream(self) -> str | None:
        return self.headers["X-LLMChat-Stream"]


class Opened:
    """A response that is being read."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        self._response = connection.getresponse()
        self._read = b""
        self.status, self.headers = self._response.status, self._response.headers
        self.stream = self.headers["X-LLMChat-Stream"]

    def until(self, what: str) -> bytes:
        """Read until this has come; return all that came so far."""
        while what.encode() not in self._read:
            data = self._response.read1()
            assert data, self._read
            self._read += data
        return self._read

    def leave(self) -> None:
        """Close the connection, as a client does that reads no more."""
        self._response.close()
        self._connection.close()

    def rest(self) -> Came:
        """Read to the end; return all that came."""
        is_broken = False
        try:
            while data := self._response.read1():
                self._read += data
        except (http.client.HTTPException, ConnectionError):
            is_broken = True
        self.leave()
        return Came(self.status, self.headers, self._read, is_broken)


class Client:
    """A client of an app that is served.

    :param user: the caller; see :func:`keeping`.
    """

    def __init__(self, port: int, user: str = "ada") -> None:
        self.port, self._user = port, user

    def other(self, user: str) -> Client:
        """Return a client of another caller."""
        return Client(self.port, user)

    def send(
        self, method: str, path: str, sent: Any = None, **headers: str
    ) -> http.client.HTTPConnection:
        """Send a request, and wait for nothing."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        content = sent if sent is None or isinstance(sent, bytes) else json.dumps(sent)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, content, {"X-User": self._user, **named})
        return connection

    def open(self, method: str, path: str, sent: Any = None, **headers: str) -> Opened:
        """Send a request, and return its response to read."""
        return self.opened(self.send(method, path, sent, **headers))

    def opened(self, connection: http.client.HTTPConnection) -> Opened:
        """Wait for the response to a request, and return it to read."""
        return Opened(connection)

    def ask(self, method: str, path: str, sent: Any = None, **headers: str) -> Came:
        """Send a request, and read its response."""
        return self.open(method, path, sent, **headers).rest()

    def post(self, dialect: str, conversation: str | None = "c1", **headers: str) -> Opened:
        """Send a chat."""
        return self.open("POST", PATHS[dialect], asking(dialect, conversation), **headers)

    def get(self, name: str, query: str = "", **headers: str) -> Came:
        """Read a stream, by its id or that of its conversation."""
        return self.ask("GET", f"{URL}/{quote(name, safe='')}/stream{query}", **headers)

    def stop(self, name: str, sent: Any = None, **headers: str) -> Came:
        """Stop a chat."""
        return self.ask("POST", f"{URL}/{quote(name, safe='')}/stop", sent, **headers)


@contextmanager
def visited(app: Flask) -> Iterator[Client]:
    """Serve an app on a real port, and close its store in the end."""
    with served(app) as port:
        yield Client(port)
    for state in app.extensions["llmchat"].values():
        if state.config.resumable:
            state.streams.store.close()


class Gate(float):
    """A step of a reply of the fake provider, which lasts until it is opened."""

    def __new__(cls) -> Gate:
        return super().__new__(cls, 10.0)

    def __init__(self) -> None:
        self._opened = threading.Event()

    def open(self) -> None:
        self._opened.set()

    def close(self) -> None:
        self._opened.clear()

    def __radd__(self, now: float) -> float:
        """Wait, when the fake provider adds it to the present time; it is over then."""
        self._opened.wait(float(self))
        return now


def gated(gate: Gate, before: int, reply: Reply) -> Reply:
    """Return a reply that waits in the middle.

    :param before: how many of its parts come before that.
    """
    return Reply(body=[*reply.body[: before + 1], gate, *reply.body[before + 1 :]])


def opens_for_readers(app: Flask, gate: Gate) -> None:
    """Open a gate when somebody comes to read a stream."""

    @app.before_request
    def look() -> None:
        if request.method == "GET" and request.path.endswith("/stream"):
            gate.open()


def events_of(data: bytes) -> list[bytes]:
    """Return the server-sent events of a response, each with the empty line that ends it."""
    pieces = data.split(b"\n\n")
    assert pieces.pop() == b""
    return [piece + b"\n\n" for piece in pieces if not piece.startswith(b":")]


def frames_of(data: bytes) -> list[Any]:
    """Return what is in the events of a response: JSON, or ``[DONE]``."""
    found = []
    for event in events_of(data):
        text = b"".join(re.findall(rb"^data: (.*)$", event, re.MULTILINE)).decode()
        found.append(text)
        with suppress(ValueError):
            found[-1] = json.loads(text)
    return found


def without_ids(data: bytes) -> bytes:
    """Return a response without what no two chats share."""
    return re.sub(rb'"(messageId|id)": ?"(msg|chatcmpl)[^"]*"|"created": ?\d+', b"", data)
