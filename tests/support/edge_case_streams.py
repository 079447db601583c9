"""Streams that providers could send, or did: what the recordings have not got."""

from __future__ import annotations

import json
from typing import Any

HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """Return a chunk with this delta."""
    return {**HEAD, "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def call(
    index: int | None, id: str | None, name: str | None, arguments: str | None, **more: Any
) -> Any:
    """Return a chunk with one piece of one tool call; None leaves a field out."""
    function = {"name": name, "arguments": arguments}
    piece = {"index": index, "id": id, "type": "function", **more}
    piece["function"] = {k: v for k, v in function.items() if v is not None}
    return delta(tool_calls=[{k: v for k, v in piece.items() if v is not None}])


END, END_TOOLS = delta("stop"), delta("tool_calls")
TEXT, MORE = delta(content="Look"), delta(content="ing")
THINK, THINK_MORE = delta(reasoning_content="Hm"), delta(reasoning_content="m")
SIGNED = {"google": {"thought_signature": "sig=="}}
USAGE = {
    **HEAD,
    "choices": [],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
}

STREAMS: dict[str, list[Any]] = {
    "nothing": [delta("length")],
    "only usage": [delta(role="assistant", content=""), delta("length"), USAGE],
    "text": [TEXT, MORE, END, USAGE],
    "thinking": [THINK, THINK_MORE, TEXT, MORE, END],
    "only thinking": [THINK, THINK_MORE, END],
    "thinking again": [THINK, TEXT, THINK_MORE, MORE, END],
    "thinking and text at once": [delta(reasoning_content="Hm", content="Look"), MORE, END],
    "thinking in the other place": [delta(reasoning="Hm"), delta(reasoning="m"), TEXT, END],
    "mistral": [
        delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]),
        delta(content=[{"type": "text", "text": "Look"}]),
        END,
    ],
    "mistral both in one": [
        delta(
            content=[
                {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]},
                {"type": "text", "text": "Look"},
            ]
        ),
        END,
    ],
    "text then call": [TEXT, call(0, "c1", "f", '{"a":'), call(0, None, None, "1}"), END_TOOLS],
    "call then text": [call(0, "c1", "f", "{}"), TEXT, END_TOOLS],
    "text call text": [TEXT, call(0, "c1", "f", "{}"), MORE, END_TOOLS],
    "thinking then call": [THINK, call(0, "c1", "f", '{"a":1}'), END_TOOLS],
    "thinking call thinking text": [THINK, call(0, "c1", "f", "{}"), THINK_MORE, TEXT, END_TOOLS],
    "text in the call's chunk": [
        delta(
            content="Look",
            tool_calls=[{"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{}"}}],
        ),
        END_TOOLS,
    ],
    "no arguments": [call(0, "c1", "f", ""), END_TOOLS],
    "arguments never come": [call(0, "c1", "f", None), END_TOOLS],
    "blank arguments": [call(0, "c1", "f", " \n"), END_TOOLS],
    "arguments with line ends": [
        call(0, "c1", "f", '{\n "a": "x\\ny",\r\n "b": 1.50\n}'),
        END_TOOLS,
    ],
    "arguments that are no object": [call(0, "c1", "f", "[1, null]"), END_TOOLS],
    "arguments null": [call(0, "c1", "f", "null"), END_TOOLS],
    "numbers": [
        call(0, "c1", "f", '{"a": 1e3, "b": 1.0, "c": -0.5, "d": 9007199254740993}'),
        END_TOOLS,
    ],
    "name comes later": [call(0, "c1", None, '{"a":'), call(0, None, "f", "1}"), END_TOOLS],
    "name in every piece": [call(0, "c1", "f", '{"a":'), call(0, "c1", "f", "1}"), END_TOOLS],
    "empty name in later pieces": [call(0, "c1", "f", '{"a":'), call(0, "", "", "1}"), END_TOOLS],
    "two calls": [call(0, "c1", "f", "{}"), call(1, "c2", "g", '{"a":1}'), END_TOOLS],
    "two calls interleaved": [
        call(0, "c1", "f", '{"a":'),
        call(1, "c2", "g", '{"b":'),
        call(0, None, None, "1}"),
        call(1, None, None, "2}"),
        END_TOOLS,
    ],
    "two calls, the second first": [call(1, "c2", "g", "{}"), call(0, "c1", "f", "{}"), END_TOOLS],
    "two whole calls, both index 0": [
        call(0, "c1", "f", '{"a":1}'),
        call(0, "c2", "g", '{"b":2}'),
        END_TOOLS,
    ],
    "two of one tool, both index 0": [
        call(0, "c1", "f", '{"a":1}'),
        call(0, "c2", "f", '{"b":2}'),
        END_TOOLS,
    ],
    "no index": [call(None, "c1", "f", '{"a":'), call(None, None, None, "1}"), END_TOOLS],
    "no index, two calls": [
        call(None, "c1", "f", '{"a":1}'),
        call(None, "c2", "g", '{"b":2}'),
        END_TOOLS,
    ],
    "two calls in one chunk": [
        delta(
            tool_calls=[
                {"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{}"}},
                {"index": 1, "id": "c2", "function": {"name": "g", "arguments": "{}"}},
            ]
        ),
        END_TOOLS,
    ],
    "signed call": [call(0, "c1", "f", "{}", extra_content=SIGNED), END_TOOLS],
    "says stop after a call": [call(0, "c1", "f", "{}"), END],
    "refusal": [delta(refusal="I can"), delta(refusal="not."), END],
    "length": [TEXT, delta("length")],
    "filtered": [TEXT, delta("content_filter")],
    "finish with the last piece": [TEXT, delta("stop", content="ing")],
    "emoji, lines and separators": [
        delta(content='a\nb\r\n\u2028\u2029 \U0001f600 é " \\ \x00 \x7f'),
        END,
    ],
    "half characters": [delta(content="\ud83d"), delta(content="\ude00"), END],
    "half characters of thinking": [delta(reasoning="\ud83d"), delta(reasoning="\ude00"), END],
    "half characters of arguments": [
        call(0, "c1", "f", '{"a":"\ud83d'),
        call(0, None, None, '\ude00"}'),
        END_TOOLS,
    ],
    "a lone half": [delta(reasoning="\ud83d!"), TEXT, END],
    "empty pieces": [
        delta(content=""),
        TEXT,
        delta(content=""),
        delta(reasoning_content=""),
        MORE,
        END,
    ],
    "null choices at the end": [TEXT, END, {**HEAD, "choices": []}],
    "two whole calls, both index 0, without ids": [
        call(0, None, "f", '{"a":1}'),
        call(0, None, "f", '{"b":2}'),
        END_TOOLS,
    ],
    "a whole answer in one message": [
        {
            **HEAD,
            "choices": [{"index": 0, "message": {"content": "Look"}, "finish_reason": "stop"}],
        },
    ],
    # Where we differ, on purpose.
    "bad arguments": [call(0, "c1", "f", '{"a":'), END_TOOLS],
    "a call cut off": [THINK, call(0, "c1", "f", '{"a":'), delta("length")],
    "no id": [call(0, None, "f", "{}"), END_TOOLS],
    "blank id": [call(0, "", "f", "{}"), END_TOOLS],
    "one id twice": [call(0, "c1", "f", "{}"), call(1, "c1", "g", "{}"), END_TOOLS],
    "no name": [TEXT, call(0, "c1", None, "{}"), END_TOOLS],
    "no end": [TEXT, {**HEAD, "choices": []}],
    "other end": [TEXT, delta("eos")],
    "thinking as a string in a list": [
        delta(content=[{"type": "thinking", "thinking": "Hm"}]),
        TEXT,
        END,
    ],
    "details": [
        delta(reasoning_details=[{"type": "reasoning.text", "text": "Hm", "index": 0}]),
        TEXT,
        END,
    ],
    "details of a call": [
        delta(reasoning_details=[{"type": "reasoning.encrypted", "data": "x", "index": 0}]),
        call(0, "c1", "f", "{}", extra_content=SIGNED),
        END_TOOLS,
    ],
    "image": [
        delta(images=[{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]),
        END,
    ],
    "an image and details": [
        delta(
            images=[{"image_url": {"url": "https://example.com/a.webp"}}],
            reasoning_details=[{"type": "reasoning.encrypted", "data": "x"}],
        ),
        END,
    ],
    "sources": [{**HEAD, "citations": ["https://a.example"], "choices": []}, TEXT, END],
    "error after text": [TEXT, {"error": {"message": "Overloaded", "code": 503}}],
}


def wire(chunks: list[Any]) -> bytes:
    """Return a stream as its bytes; half characters as JSON escapes them."""
    lines = [json.dumps(chunk) for chunk in chunks]
    return b"".join(b"data: %s\n\n" % line.encode() for line in [*lines, "[DONE]"])
