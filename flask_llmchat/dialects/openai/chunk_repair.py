"""Repairs chunks that OpenAI's SDKs cannot accumulate.

Both SDKs add chunks up with few checks. Python's joins whatever comes twice under one name,
needs an index in every list of objects, and ignores chunks with any other ``object``;
Node's needs a role, and a type in every tool call. Start reading at ``ChunkRepairer.payload``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from ...core.events import Chunk, Event, Finish, ReasoningDelta, TextDelta, ToolCallDelta
from ...core.request import ChatRequest
from .envelope import CHUNK_OBJECT, ChunkEnvelope, dump
from .list_indexes import ListIndexer

# JSON for Python, but not for JavaScript. A text may contain the same characters; then the chunk
# is serialized again, which does no harm.
_NO_NUMBER = re.compile(rb"[:,\[]\s*-?(?:NaN|Infinity)")

# An event, the position of its call in the client's list, and whether it is the call's first.
_CallPiece = tuple[ToolCallDelta, int, bool]


class ChunkRepairer:
    """Makes the chunks of one response accumulable."""

    def __init__(self, chat: ChatRequest) -> None:
        self._envelope = ChunkEnvelope(chat)
        self._has_role = False
        self._sent_reason: str | None = None  # the finish reason that was sent to the client
        self._calls: dict[int, int] = {}  # the parser's index of a call: its position
        self._lists = ListIndexer()

    def payload(self, chunk: Chunk, choice: dict[str, Any], events: Sequence[Event]) -> bytes:
        """Return what is sent for a chunk: the chunk itself, byte for byte, if that is possible.

        :param choice: the chunk's choice.
        :param events: the chunk's events. Where they differ from the choice, the provider has its
            own way to express them.
        """
        only_text = len(events) == 1 and events[0].__class__ is TextDelta
        calls = [] if only_text else self._number_calls(events)  # nearly every chunk is only text
        body, payload = chunk.body, chunk.data
        delta = choice.get("delta")
        indexed = self._lists.with_indexes(delta) if delta.__class__ is dict else {}
        if not (indexed is delta and self._is_standard(chunk, choice, events, calls)):
            choice = {
                **self._repaired_choice(choice, events),
                "delta": self._delta(indexed, events, calls),
            }
            payload = dump({**_without_error(body), **self._envelope.of(body), "choices": [choice]})
        self._has_role = True
        self._envelope.last = body
        return payload

    def choiceless(self, chunk: Chunk) -> bytes:
        """Return what is sent for a chunk that has no choice of the response."""
        body = chunk.body
        # SDKs read the usage only of a chunk with an id and the right object.
        complete = not body.get("usage") or (body.get("id") and body.get("object") == CHUNK_OBJECT)
        if complete and body.get("choices") == [] and _is_sound(chunk):
            return chunk.data
        return dump({**_without_error(body), **self._envelope.of(body), "choices": []})

    def synthesize(
        self,
        events: Sequence[Event] = (),
        attachments: dict[str, Any] | None = None,
        **fields: Any,
    ) -> bytes:
        """Return a chunk that the provider did not send.

        :param events: the events for its choice.
        :param attachments: further fields of its delta.
        :param fields: top-level fields; a chunk with these has no choice.
        """
        if fields:
            return dump({**self._envelope.of({}), "choices": [], **fields})
        delta = self._delta(attachments or {}, events, self._number_calls(events))
        self._has_role = True
        choice = {**self._repaired_choice({}, events), "delta": delta}
        return dump({**self._envelope.of({}), "choices": [choice]})

    def _is_standard(
        self, chunk: Chunk, choice: dict[str, Any], events: Sequence[Event], calls: list[_CallPiece]
    ) -> bool:
        body, delta = chunk.body, choice["delta"]
        content, reason = delta.get("content"), choice.get("finish_reason")
        return bool(
            choice.get("index").__class__ is int
            and choice["index"] == 0
            and (content is None or content.__class__ is str)
            and (content or delta.get("refusal") or "") == _text_in(events)
            and reason == self._finish_reason_in(choice, events)
            and (delta.get("role") == "assistant" or (self._has_role and not delta.get("role")))
            and _are_standard(calls, delta.get("tool_calls"))
            and "message" not in choice  # Perplexity's; Node's SDK takes it for its own
            and (choice.get("logprobs") is None or _are_logprobs(choice["logprobs"]))
            and body.get("object") == CHUNK_OBJECT
            and body.get("id").__class__ is str
            and body["id"]
            and "created" in body
            and "model" in body
            and _is_sound(chunk)
        )

    def _number_calls(self, events: Sequence[Event]) -> list[_CallPiece]:
        """Give each tool-call delta a position: some providers count from 1, or not at all."""
        numbered = []
        for event in events:
            if event.__class__ is ToolCallDelta:
                assert isinstance(event, ToolCallDelta)
                new = event.index not in self._calls
                position = self._calls.setdefault(event.index, len(self._calls))
                numbered.append((event, position, new))
        return numbered

    def _repaired_choice(self, choice: dict[str, Any], events: Sequence[Event]) -> dict[str, Any]:
        repaired = {name: value for name, value in choice.items() if name != "message"}
        reason = self._finish_reason_in(choice, events)
        repaired |= {"index": 0, "delta": {}, "finish_reason": reason}
        if not _are_logprobs(repaired.get("logprobs")):
            repaired["logprobs"] = None
        return repaired

    def _finish_reason_in(self, choice: dict[str, Any], events: Sequence[Event]) -> str | None:
        """Return the finish reason for a chunk: the event's, or a repetition of the one sent."""
        last = events[-1] if events else None
        if isinstance(last, Finish):
            self._sent_reason = last.reason
            return last.reason
        return self._sent_reason if choice.get("finish_reason") == self._sent_reason else None

    def _delta(
        self, original: dict[str, Any], events: Sequence[Event], calls: list[_CallPiece]
    ) -> dict[str, Any]:
        delta = {name: value for name, value in original.items() if name != "role"}
        if not self._has_role:
            delta = {"role": "assistant", **delta}
        text, content = _text_in(events), original.get("content")
        if any([isinstance(event, TextDelta) and event.refusal for event in events]):
            texts = [event for event in events if isinstance(event, TextDelta)]
            delta["refusal"] = "".join([event.text for event in texts if event.refusal])
            text = "".join([event.text for event in texts if not event.refusal])
            delta["content"] = text or None
        elif text or content is not None:
            delta["content"] = text
        reasoning = "".join([e.text for e in events if isinstance(e, ReasoningDelta)])
        if reasoning and not any(
            original.get(name) for name in ("reasoning_content", "reasoning", "reasoning_details")
        ):
            delta["reasoning_content"] = reasoning
        if calls:
            delta["tool_calls"] = _repaired_calls(calls, original.get("tool_calls"))
        elif "tool_calls" in delta:
            delta["tool_calls"] = None
        return delta


def _without_error(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "error"}


def _text_in(events: Sequence[Event]) -> str:
    if len(events) == 1:
        return events[0].text if isinstance(events[0], TextDelta) else ""
    return "".join([event.text for event in events if isinstance(event, TextDelta)])


def _are_standard(calls: list[_CallPiece], pieces: Any) -> bool:
    """Return whether the tool-call deltas are valid, one for each event."""
    if pieces is None:
        return not calls
    return (
        isinstance(pieces, list)
        and len(pieces) == len(calls) == len({position for _, position, _ in calls})
        and all(_is_standard(piece, *call) for piece, call in zip(pieces, calls, strict=True))
    )


def _is_standard(piece: Any, event: ToolCallDelta, position: int, new: bool) -> bool:
    if not isinstance(piece, dict) or piece.get("index").__class__ is not int:
        return False
    if piece["index"] != position:
        return False
    kind, text_name = ("custom", "input") if event.custom else ("function", "arguments")
    held = piece.get(kind)
    if not isinstance(held, dict):
        return False
    text = held.get(text_name)
    if (text or "") != event.arguments:  # they are not a string, or some of them is held back
        return False
    if new:
        named = event.id == piece.get("id") and event.name == held.get("name")
        return named and text is not None and piece.get("type") == kind
    # SDKs concatenate repeated ones, "ff", or reject them as those of another call.
    again = piece.get("id") or "name" in held
    return not again and piece.get("type", kind) == kind


_STANDARD_FIELDS = {"index", "id", "type", "function", "custom", "name", "arguments", "input"}


def _repaired_calls(calls: list[_CallPiece], original: Any) -> list[dict[str, Any]]:
    original = original if isinstance(original, list) else []
    original = [piece for piece in original if isinstance(piece, dict)]
    pieces: dict[int, dict[str, Any]] = {}
    arguments: dict[int, list[str]] = {}
    for i, (event, position, new) in enumerate(calls):
        source = original[i] if len(original) == len(calls) else {}
        kind = "custom" if event.custom else "function"
        piece = pieces.setdefault(position, {"index": position, kind: {}})
        if new:
            piece |= {"id": event.id, "type": kind, kind: {"name": event.name}}
            if event.extra_content:  # it may have come with a delta that was held back
                piece["extra_content"] = event.extra_content
        arguments.setdefault(position, []).append(event.arguments)
        for name in source.keys() - _STANDARD_FIELDS:
            piece[name] = source[name]
    for position, parts in arguments.items():
        kind = "custom" if "custom" in pieces[position] else "function"
        pieces[position][kind]["input" if kind == "custom" else "arguments"] = "".join(parts)
    return list(pieces.values())


def _are_logprobs(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict)
        and all(isinstance(value.get(name), list | None) for name in ("content", "refusal"))
    )


def _is_sound(chunk: Chunk) -> bool:
    """Return whether a chunk's JSON fits one line and any client can parse it."""
    data = chunk.data
    # One half of a surrogate pair, or both.
    if b"\\" in data and (b"\\ud" in data or b"\\uD" in data):
        try:
            json.dumps(chunk.body, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return False
    return (
        chunk.body.get("error") is None  # an empty one counts as an error in JavaScript
        and data[:1] == b"{"  # no byte order mark
        and b"\n" not in data
        and not ((b"NaN" in data or b"Infinity" in data) and _NO_NUMBER.search(data))
    )
