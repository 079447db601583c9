"""Replies of the fake provider: streams of text and tool calls, errors, recorded streams."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from typing import Any, Literal

Signal = Enum("Signal", ["CUT", "HOLD"])
CUT, HOLD = Signal.CUT, Signal.HOLD


@dataclass(frozen=True)
class Reply:
    """One HTTP response. Status 200 is sent chunked, any other with ``Content-Length``.

    :param headers: the default ``Content-Type`` is JSON, or an event stream for status 200.
    :param body: the steps: bytes are one HTTP chunk, sent at once; a number sleeps that many
        seconds; ``CUT`` closes the connection with the body incomplete; ``HOLD`` sends nothing
        until the client closes its side or the server stops.
    :raises TypeError: when a step is anything else.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Sequence[bytes | float | Signal] = ()

    def __post_init__(self) -> None:
        """Check the body: b"abc" alone is also the numbers 97, 98, 99, and would sleep."""
        kinds = () if isinstance(self.body, bytes) else (bytes, int, float, Signal)
        if not all(isinstance(step, kinds) for step in self.body):
            raise TypeError(f"body is a list of bytes, seconds, CUT or HOLD, not {self.body!r}")


def event(data: object) -> bytes:
    """Encode one server-sent event: ``data:``, compact JSON, an empty line."""
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def text_reply(
    *pieces: str,
    delay: float = 0.0,
    finish_reason: str | None = "stop",
    usage: Mapping[str, int] | Literal[True] | None = True,
    done: bool = True,
    model: str = "fake",
    then: Sequence[bytes | float | Signal] = (),
) -> Reply:
    """Stream a text: a role chunk, one chunk for each piece, and an ending.

    :param delay: seconds before each piece.
    :param finish_reason: None sends no chunk with a finish reason.
    :param usage: None sends no usage chunk; True counts one token for each piece and one for the
        prompt.
    :param done: whether ``data: [DONE]`` is sent.
    :param then: further steps for the :class:`Reply`, such as ``[CUT]``.
    """
    deltas = [{"content": piece} for piece in pieces]
    return _stream(deltas, delay, finish_reason, usage, done, model, then)


def tool_reply(
    name: str,
    arguments: Mapping[str, Any] | str | None = None,
    *more: tuple[str, Mapping[str, Any] | str],
    text: str = "",
    ids: Sequence[str] = (),
    delay: float = 0.0,
    finish_reason: str | None = "tool_calls",
    usage: Mapping[str, int] | Literal[True] | None = True,
    done: bool = True,
    model: str = "fake",
    then: Sequence[bytes | float | Signal] = (),
) -> Reply:
    """Stream tool calls as OpenAI does: id and name, then the arguments in two pieces.

    :param arguments: of the call; a string is sent as it is, even if it is not JSON.
    :param more: further calls, each a name and its arguments.
    :param text: text before the calls.
    :param ids: of the calls, in their order; by default ``call_1``, ``call_2``, …
    """
    deltas: list[dict[str, Any]] = [{"content": text}] if text else []
    for index, (called, given) in enumerate([(name, arguments or {}), *more]):
        call_id = ids[index] if index < len(ids) else f"call_{index + 1}"
        text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        half = len(text) // 2
        opening = {"id": call_id, "type": "function", "function": {"name": called, "arguments": ""}}
        deltas.append({"tool_calls": [{"index": index, **opening}]})
        for piece in filter(None, (text[:half], text[half:])):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    return _stream(deltas, delay, finish_reason, usage, done, model, then)


def _stream(
    deltas: Sequence[Mapping[str, Any]],
    delay: float,
    finish_reason: str | None,
    usage: Mapping[str, int] | Literal[True] | None,
    done: bool,
    model: str,
    then: Sequence[bytes | float | Signal],
) -> Reply:
    head = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1, "model": model}

    def chunk(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        return event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    body: list[bytes | float | Signal] = [chunk({"role": "assistant", "content": ""})]
    for delta in deltas:
        body += filter(None, [delay, chunk(delta)])
    if finish_reason is not None:
        body.append(chunk({}, finish_reason))
    if usage is True:
        usage = {"prompt_tokens": 1, "completion_tokens": (n := len(deltas)), "total_tokens": n + 1}
    if usage is not None:
        body.append(event({**head, "choices": [], "usage": dict(usage)}))
    ending = [b"data: [DONE]\n\n"] if done else []
    return Reply(body=[*body, *ending, *then])


def error_reply(
    status: int,
    message: str,
    *,
    code: str | int | None = None,
    type: str | None = None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Respond with an error status and a JSON body in the form of OpenAI's errors."""
    body = json.dumps({"error": {"message": message, "type": type, "param": param, "code": code}})
    return Reply(status, {"Content-Type": "application/json", **(headers or {})}, [body.encode()])


def sse_reply(
    data: bytes,
    *,
    split: int | Sequence[int] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Replay a recorded body byte for byte, split every ``split`` bytes or at those offsets."""
    cuts = range(split, len(data), split) if isinstance(split, int) else split or ()
    ends = sorted({0, *cuts, len(data)})
    return Reply(headers=headers or {}, body=[data[a:b] for a, b in pairwise(ends)])
