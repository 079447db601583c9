"""Streams to write, and how to read them to their end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from flask_llmchat.streams.base import StreamInfo, StreamReader

LEASE = 0.6
"""Seconds after which a worker is taken for dead, in tests of that."""


def info(owner: str = "ada", conversation: str | None = "c1", **more: Any) -> StreamInfo:
    values = {"request_id": "r1", "provider": "openai", "model": "gpt", "dialect": "ui"}
    mimetype = "text/event-stream"
    return StreamInfo(
        owner=owner, conversation=conversation, mimetype=mimetype, **{**values, **more}
    )


def read_all(reader: StreamReader | None, seconds: float = 5) -> bytes:
    """Read to the end, which has to come in time."""
    assert reader is not None
    until, parts = time.monotonic() + seconds, []
    while (data := reader.read(max(until - time.monotonic(), 0))) != b"":
        assert data is not None, b"".join(parts)
        parts.append(data)
    return b"".join(parts)


def wait_until(holds: Callable[[], Any], seconds: float = 5) -> Any:
    """Wait for something that another thread does, and return it."""
    until = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < until, "it has not happened"
        time.sleep(0.005)
    return found
