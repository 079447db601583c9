"""Replies of the fake provider: streams of text and tool calls, errors, recorded streams."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal

from .steps import Part, Signal, Step, Writer


@dataclass(frozen=True)
class Reply:
    """One HTTP response. Status 200 is sent chunked, any other with ``Content-Length``.

    :param headers: the default ``Content-Type`` is JSON, or an event stream for status 200.
    :param body: the steps: bytes are one HTTP chunk, sent at once; a number sleeps that many
        seconds; ``CUT`` closes the connection with the body incomplete; ``HOLD`` sends nothing
        until the client closes its side or the server stops. The steps that :func:`text_reply`,
        :func:`tool_reply` and :func:`error_reply` make are written when they are sent, in the
        protocol of the request.
    :raises TypeError: when a step is anything else.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Sequence[Step] = ()

    def __post_init__(self) -> None:
        """Check the body: b"abc" alone is also the numbers 97, 98, 99, and would sleep."""
        kinds = () if isinstance(self.body, bytes) else (bytes, int, float, Signal, Part)
        if not all(isinstance(step, kinds) for step in self.body):
            raise TypeError(f"body is a list of bytes, seconds, CUT or HOLD, not {self.body!r}")

    def _written(self, writer: Writer) -> Reply:
        """Return the reply in the form of a protocol."""
        body: list[Step] = []
        for step in self.body:
            body += writer.write(step) if isinstance(step, Part) else [step]
        return replace(self, body=body)


def text_reply(
    *pieces: str,
    reasoning: str | Sequence[str] = (),
    delay: float = 0.0,
    finish_reason: str | None = "stop",
    usage: Mapping[str, Any] | Literal[True] | None = True,
    error: str | None = None,
    done: bool = True,
    model: str = "fake",
    then: Sequence[Step] = (),
) -> Reply:
    """Stream a text, in the protocol of the request.

    :param reasoning: before the text; a list is sent piece by piece.
    :param delay: seconds before each piece.
    :param finish_reason: ``stop``, ``length``, ``tool_calls`` or ``content_filter``, written as
        the protocol calls it; another one is sent as it is. None leaves the stream without a
        terminal event.
    :param usage: counts under the names of chat completions, with ``prompt_tokens_details``
        (``cached_tokens``, ``cache_write_tokens``) and ``completion_tokens_details``
        (``reasoning_tokens``) where they are wanted. None sends none; True counts one token for
        each piece and one for the prompt.
    :param error: the message of an error event, which takes the place of the ending.
    :param done: whether ``data: [DONE]`` is sent where the protocol has it.
    :param then: further steps for the :class:`Reply`, such as ``[CUT]``.
    """
    parts = [*_parts("reasoning", reasoning), *(Part(("text", piece)) for piece in pieces)]
    return _stream(parts, delay, finish_reason, usage, error, done, model, then)


def tool_reply(
    name: str,
    arguments: Mapping[str, Any] | str | None = None,
    *more: tuple[str, Mapping[str, Any] | str],
    text: str | Sequence[str] = (),
    ids: Sequence[str] = (),
    reasoning: str | Sequence[str] = (),
    delay: float = 0.0,
    finish_reason: str | None = "tool_calls",
    usage: Mapping[str, Any] | Literal[True] | None = True,
    error: str | None = None,
    done: bool = True,
    model: str = "fake",
    then: Sequence[Step] = (),
) -> Reply:
    """Stream tool calls as providers do: id and name, then the arguments in two pieces.

    The other parameters are those of :func:`text_reply`.

    :param arguments: of the call; a string is sent as it is, even if it is not JSON.
    :param more: further calls, each a name and its arguments.
    :param text: before the calls; a list is sent piece by piece.
    :param ids: of the calls, in their order; by default ``call_1``, ``call_2``, …
    """
    parts = [*_parts("reasoning", reasoning), *_parts("text", text)]
    for index, (called, given) in enumerate([(name, arguments or {}), *more]):
        call_id = ids[index] if index < len(ids) else f"call_{index + 1}"
        whole = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        half = len(whole) // 2
        parts += [
            Part(("call", call_id, called)),
            *_parts("arguments", [whole[:half], whole[half:]]),
        ]
    return _stream(parts, delay, finish_reason, usage, error, done, model, then)


def _parts(kind: str, pieces: str | Sequence[str]) -> list[Part]:
    pieces = [pieces] if isinstance(pieces, str) else pieces
    return [Part((kind, piece)) for piece in pieces if piece]


def _stream(
    parts: Sequence[Part],
    delay: float,
    finish_reason: str | None,
    usage: Mapping[str, Any] | Literal[True] | None,
    error: str | None,
    done: bool,
    model: str,
    then: Sequence[Step],
) -> Reply:
    if usage is True:
        usage = {"prompt_tokens": 1, "completion_tokens": (n := len(parts)), "total_tokens": n + 1}
        if thoughts := sum(kind == "reasoning" for kind, *_ in parts):
            usage["completion_tokens_details"] = {"reasoning_tokens": thoughts}
    body: list[Step] = [Part(("start", model, usage))]
    for part in parts:
        body += filter(None, [delay, part])
    if error is not None:
        body.append(Part(("error", error)))
    elif finish_reason is not None or usage is not None or done:
        body.append(Part(("finish", finish_reason, usage, done)))
    return Reply(body=[*body, *then])


def error_reply(
    status: int,
    message: str,
    *,
    code: str | int | None = None,
    type: str | None = None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Respond with an error status and a JSON body in the form of the protocol's errors.

    :param type: Anthropic's is by default the one that belongs to the status; its errors have
        neither ``code`` nor ``param``.
    """
    error = {"message": message, "type": type, "param": param, "code": code}
    json_headers = {"Content-Type": "application/json", **(headers or {})}
    return Reply(status, json_headers, [Part(("error body", status, error))])


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
