"""Chats at the raw WSGI callable, and streams made of their very events."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from werkzeug.test import EnvironBuilder

from flask_llmchat.testing import Reply, event
from tests.support.apps import body

STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
DONE = b"data: [DONE]\n\n"


class Wsgi:
    """One request, made as a server makes it."""

    def __init__(self, app: Flask, posted: Any, path: str = "/api/chat/openai") -> None:
        data = posted if isinstance(posted, bytes) else json.dumps(posted).encode()
        environ = EnvironBuilder(path=path, method="POST", data=data).get_environ()
        self.iterable = app.wsgi_app(environ, self._start_response)
        self.iterator = iter(self.iterable)

    def _start_response(self, status: str, headers: list[tuple[str, str]], exc: Any = None) -> Any:
        self.status, self.headers = int(status[:3]), dict(headers)
        return io.BytesIO().write

    def close(self) -> None:
        self.iterable.close()  # type: ignore[attr-defined]

    def text(self) -> str:
        return b"".join(self.iterator).decode()


@contextmanager
def posted(app: Flask, what: Any = None, path: str = "/api/chat/openai") -> Iterator[Wsgi]:
    request = Wsgi(app, body() if what is None else what, path)
    try:
        yield request
    finally:
        request.close()


def delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def sse(*steps: Any, headers: dict[str, str] | None = None) -> Reply:
    return Reply(
        headers=headers or {},
        body=[event(s) if isinstance(s, dict) else s for s in steps],
    )
