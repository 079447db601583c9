"""Streams of Responses and of Messages, made of their output items and their content blocks."""

from __future__ import annotations

import json
from typing import Any

from flask_llmchat.testing import Reply, event

ENCRYPTED = [f"gAAAAAB{letter * 3000}+/==" for letter in "abc"]
SIGNATURES = [f"EqQB{letter * 3000}+/==" for letter in "abc"]


def summary(*texts: str) -> list[dict[str, str]]:
    return [{"type": "summary_text", "text": text} for text in texts]


# Responses: the output of the first two turns.
REASONING = [
    {
        "type": "reasoning",
        "id": "rs_1",
        "summary": summary("**One**\n\nHm.", "Two: é"),
        "encrypted_content": ENCRYPTED[0],
    },
    {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": ENCRYPTED[1]},
    {"type": "reasoning", "id": "rs_3", "summary": [], "encrypted_content": ENCRYPTED[2]},
]
CALL_1 = {
    "type": "function_call",
    "call_id": "call_1",
    "name": "get_time",
    "arguments": '{"zone": "UTC"}',
}


def response_of(items: list[dict[str, Any]]) -> Reply:
    """Return a stream of Responses with these output items."""
    events = []
    for index, item in enumerate(items):
        begun = {n: value for n, value in item.items() if n not in ("arguments", "input")}
        events += [
            {"type": "response.output_item.added", "output_index": index, "item": begun},
            {"type": "response.output_item.done", "output_index": index, "item": item},
        ]
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    whole = {"id": "resp_1", "status": "completed", "output": items, "usage": usage}
    events.append({"type": "response.completed", "response": whole})
    return Reply(body=[event(one) for one in events])


# Messages: the content of the first two turns.
THINKING = [
    {"type": "thinking", "thinking": "Hm. é", "signature": SIGNATURES[0]},
    {"type": "redacted_thinking", "data": ENCRYPTED[0]},
    {"type": "thinking", "thinking": "", "signature": SIGNATURES[1]},
    {"type": "thinking", "thinking": "So.", "signature": SIGNATURES[2]},
]
USES: list[dict[str, Any]] = [
    {"type": "tool_use", "id": "toolu_1", "name": "get_time", "input": {"zone": "UTC"}},
    {"type": "tool_use", "id": "toolu_2", "name": "get_time", "input": {}},
    {"type": "tool_use", "id": "toolu_3", "name": "get_time", "input": {"zone": "é"}},
]


def message_of(blocks: list[dict[str, Any]], reason: str = "") -> Reply:
    """Return a stream of Messages with these content blocks.

    :param reason: why it stopped; by default at a tool call, or at its end.
    """
    usage = {"input_tokens": 1, "output_tokens": 1}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"id": "msg_1", "content": [], "usage": usage}}
    ]
    for index, block in enumerate(blocks):
        begun, deltas = begun_and_deltas(block)
        events.append({"type": "content_block_start", "index": index, "content_block": begun})
        events += [
            {"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas
        ]
        events.append({"type": "content_block_stop", "index": index})
    reason = reason or ("tool_use" if blocks[-1]["type"] == "tool_use" else "end_turn")
    delta = {"stop_reason": reason, "stop_sequence": None}
    events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 9}})
    events.append({"type": "message_stop"})
    return Reply(body=[event(one) for one in events])


def begun_and_deltas(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a block as its first event has it, and the deltas that complete it."""
    match block["type"]:
        case "thinking":
            texts = [block["thinking"][:3], block["thinking"][3:]]
            deltas = [{"type": "thinking_delta", "thinking": text} for text in texts]
            signed = {"type": "signature_delta", "signature": block["signature"]}
            return {"type": "thinking", "thinking": "", "signature": ""}, [*deltas, signed]
        case "text":
            return {**block, "text": ""}, [{"type": "text_delta", "text": block["text"]}]
        case "tool_use":
            pieces = ["", json.dumps(block["input"])]
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
            return {**block, "input": {}}, deltas
    return block, []
