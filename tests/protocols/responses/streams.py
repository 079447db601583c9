"""Made-up streams of Responses, and what a parser makes of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from flask_llmchat import Event
from flask_llmchat.protocols.responses.parser import ResponsesParser

Wire = dict[str, Any]

USAGE = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}


def event(name: str, **fields: Any) -> Wire:
    return {"type": f"response.{name}", **fields}


def added(index: int, kind: str, **fields: Any) -> Wire:
    return event("output_item.added", output_index=index, item={"type": kind, **fields})


def done(index: int, kind: str, **fields: Any) -> Wire:
    return event("output_item.done", output_index=index, item={"type": kind, **fields})


def text(delta: str, index: int = 0, part: int = 0) -> Wire:
    return event("output_text.delta", output_index=index, content_index=part, delta=delta)


def message(*texts: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "output_text", "text": t} for t in texts]}


def completed(*output: Any, **fields: Any) -> Wire:
    response = {"status": "completed", "output": list(output), "usage": USAGE, **fields}
    return event("completed", response=response)


def dumped(events: Iterable[Any]) -> list[bytes]:
    return [e if isinstance(e, bytes) else json.dumps(e).encode() for e in events]


def wire(*events: Any) -> bytes:
    """Return a stream as bytes; some providers leave out the names of the events."""
    return b"".join(b"data: %b\n\n" % data for data in dumped(events))


def parsed(*events: Any) -> tuple[list[Event], ResponsesParser]:
    """Return the events that a stream brings, and its parser."""
    parser = ResponsesParser("openai")
    found: list[Event] = []
    for data in dumped(events):
        found += parser.parse("", data) or []
        if parser.done:
            break
    return [*found, *parser.finish()], parser
