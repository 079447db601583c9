"""Made-up Messages events for tests."""

from __future__ import annotations

import json
from typing import Any

from flask_llmchat.core.events import Event
from flask_llmchat.protocols.messages.parser import MessageParser

START = {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}}
STOP = {"type": "message_stop"}


def begin(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    block = {"type": kind, **fields}
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    changed = {"type": f"{kind}_delta", **fields}
    return {"type": "content_block_delta", "index": index, "delta": changed}


def end(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def ended(reason: Any, **usage: Any) -> dict[str, Any]:
    changed = {"stop_reason": reason, "stop_sequence": None}
    return {"type": "message_delta", "delta": changed, "usage": {"output_tokens": 7, **usage}}


def text(index: int, *pieces: str, citations: Any = ()) -> list[dict[str, Any]]:
    cited = [delta(index, "citations", citation=citation) for citation in citations]
    deltas = [delta(index, "text", text=piece) for piece in pieces]
    return [begin(index, "text", text=""), *cited, *deltas, end(index)]


def thinking(index: int, *pieces: str, signature: str = "sig") -> list[dict[str, Any]]:
    deltas = [delta(index, "thinking", thinking=piece) for piece in pieces]
    signed = [delta(index, "signature", signature=signature)] if signature else []
    return [begin(index, "thinking", thinking="", signature=""), *deltas, *signed, end(index)]


def call(
    index: int, id_: Any, name: Any, *pieces: Any, kind: str = "tool_use"
) -> list[dict[str, Any]]:
    deltas = [delta(index, "input_json", partial_json=piece) for piece in pieces]
    return [begin(index, kind, id=id_, name=name, input={}), *deltas, end(index)]


def whole(*blocks: list[dict[str, Any]], reason: str = "end_turn") -> list[dict[str, Any]]:
    return [START, *(event for block in blocks for event in block), ended(reason), STOP]


def wire(events: list[dict[str, Any]]) -> bytes:
    return "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events).encode()


def parsed(events: list[Any], provider: str = "anthropic") -> tuple[MessageParser, list[Event]]:
    """Return the parser that has read the events, and what they brought."""
    parser = MessageParser(provider)
    told: list[Event] = []
    for event in events:
        told += parser.parse("", json.dumps(event).encode()) or []
    return parser, told + parser.finish()
