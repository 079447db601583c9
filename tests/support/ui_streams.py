"""What the ``ui`` dialect reads and writes, without an app."""

from __future__ import annotations

import json
from typing import Any

from flask_llmchat import ChatRequest, ChatResult
from flask_llmchat.dialects.builtin import builtin_dialects
from tests.support.apps import ui_body

UI = builtin_dialects[0]
DETAILS = ({"type": "reasoning.encrypted", "data": "x"},)
METADATA = {"lab": {"reasoning_details": list(DETAILS)}}


def with_messages(*messages: Any, **more: Any) -> dict[str, Any]:
    return {**ui_body(), "messages": list(messages), **more}


def encoder(raw: dict[str, Any] | None = None) -> Any:
    chat = ChatRequest(
        provider="lab", model="m", messages=[], raw=raw or ui_body(), request_id="r1"
    )
    return UI.encoder(chat)


def frames(data: bytes) -> list[Any]:
    """Read a stream as strictly as it is to be written: one line of JSON a frame."""
    pieces = data.decode().split("\n\n")
    assert pieces.pop() == ""
    assert all(piece.startswith("data: ") and "\n" not in piece for piece in pieces)
    lines = [piece.removeprefix("data: ") for piece in pieces]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def result(outcome: Any = "ok", **more: Any) -> ChatResult:
    return ChatResult(provider="lab", model="m", outcome=outcome, **more)
