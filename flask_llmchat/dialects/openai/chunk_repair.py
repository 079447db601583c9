"""What OpenAI's SDKs make of a chunk, and how one is mended that they would fail on.

Both add chunks up and check little of what they get. Python's joins whatever stands twice
under one name, wants an index in every list of objects, and passes over chunks that call
themselves anything else; Node's wants a role, and a type in every tool call. ``payload`` is
where to begin.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ...core.events import Chunk, Event, Finish, ReasoningDelta, TextDelta, ToolCallDelta
from ...core.request import ChatRequest

_OBJECT = "chat.completion.chunk"


# JSON to Python, but not to JavaScript. In a text the same is taken for one now and then, and
# the chunk is written anew: no harm.
_NO_NUMBER = re.compile(rb"[:,\[]\s*-?(?:NaN|Infinity)")


# An event, the place of its call in the client's list, and whether it is the call's first.
_Call = tuple[ToolCallDelta, int, bool]


def dump(value: Any) -> bytes:
    """Write JSON that every client reads: no NaN, no half characters."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return dump(_finite(value))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class ChunkEnvelope:
    """What every chunk of one answer says of it: its id, its time, its model.

    :param chat: what was asked, for what the provider does not say.
    """

    def __init__(self, chat: ChatRequest) -> None:
        # Not the chat itself: its messages are not needed for as long as the answer.
        self._id = f"chatcmpl-{chat.request_id}"
        self._model = chat.model
        self._started = int(time.time())
        self.last: Mapping[str, Any] = {}  # the chunk before

    def of(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the head for a chunk: what itself says, or else the one before it."""

        def find(name: str, kind: type, other: Any) -> Any:
            values = (holder.get(name) for holder in (body, self.last))
            return next((v for v in values if isinstance(v, kind) and v), other)

        return {
            "id": find("id", str, self._id),
            "object": _OBJECT,
            "created": find("created", int, self._started),
            "model": find("model", str, self._model),
        }


class ChunkRepairer:
    """Sees to it that the chunks of one answer can be added up.

    :param chat: what was asked.
    """

    def __init__(self, chat: ChatRequest) -> None:
        self._head = ChunkEnvelope(chat)
        self._has_role = False
        self._reason: str | None = None  # the finish reason that the client has
        self._calls: dict[int, int] = {}  # the reader's number of a call: its place
        self._lists = _Lists()

    def payload(self, chunk: Chunk, choice: dict[str, Any], events: Sequence[Event]) -> bytes:
        """Return what goes out for a chunk: itself, if it can.

        :param choice: its choice.
        :param events: what it brings. Where the two say different things, the provider has
            a way of its own to say it.
        """
        only_text = len(events) == 1 and events[0].__class__ is TextDelta
        calls = [] if only_text else self._placed(events)  # nearly every chunk is text alone
        body, payload = chunk.body, chunk.data
        delta = choice.get("delta")
        fitted = self._lists.fit(delta) if delta.__class__ is dict else {}
        if not (fitted is delta and self._is_plain(chunk, choice, events, calls)):
            choice = {**self._mended(choice, events), "delta": self._delta(fitted, events, calls)}
            payload = dump({**_without_error(body), **self._head.of(body), "choices": [choice]})
        self._has_role = True
        self._head.last = body
        return payload

    def without_choice(self, chunk: Chunk) -> bytes:
        """Return what goes out for a chunk of which no choice is of the answer."""
        body = chunk.body
        tells = body.get("usage")  # to the SDKs only if it says what it is, and of what
        headed = not tells or (body.get("id") and body.get("object") == _OBJECT)
        if headed and body.get("choices") == [] and _is_sound(chunk):
            return chunk.data
        return dump({**_without_error(body), **self._head.of(body), "choices": []})

    def made(self, events: Sequence[Event] = (), **fields: Any) -> bytes:
        """Return a chunk of our own, with what came in none.

        :param fields: of the chunk; without any it has a choice.
        """
        if fields:
            return dump({**self._head.of({}), "choices": [], **fields})
        delta = self._delta({}, events, self._placed(events))
        self._has_role = True
        choice = {**self._mended({}, events), "delta": delta}
        return dump({**self._head.of({}), "choices": [choice]})

    def _is_plain(
        self, chunk: Chunk, choice: dict[str, Any], events: Sequence[Event], calls: list[_Call]
    ) -> bool:
        body, delta = chunk.body, choice["delta"]
        content, reason = delta.get("content"), choice.get("finish_reason")
        return bool(
            choice.get("index").__class__ is int
            and choice["index"] == 0
            and (content is None or content.__class__ is str)
            and (content or delta.get("refusal") or "") == _text_in(events)
            and reason == self._ending_in(choice, events)
            and (delta.get("role") == "assistant" or (self._has_role and not delta.get("role")))
            and _are_plain(calls, delta.get("tool_calls"))
            and "message" not in choice  # Perplexity's, which Node takes for its own
            and (choice.get("logprobs") is None or _are_logprobs(choice["logprobs"]))
            and body.get("object") == _OBJECT
            and body.get("id").__class__ is str
            and body["id"]
            and "created" in body
            and "model" in body
            and _is_sound(chunk)
        )

    def _placed(self, events: Sequence[Event]) -> list[_Call]:
        """Give each piece of a tool call its place: some providers begin at 1, or at none."""
        placed = []
        for event in events:
            if event.__class__ is ToolCallDelta:
                assert isinstance(event, ToolCallDelta)
                new = event.index not in self._calls
                place = self._calls.setdefault(event.index, len(self._calls))
                placed.append((event, place, new))
        return placed

    def _mended(self, choice: dict[str, Any], events: Sequence[Event]) -> dict[str, Any]:
        mended = {name: value for name, value in choice.items() if name != "message"}
        mended |= {"index": 0, "delta": {}, "finish_reason": self._ending_in(choice, events)}
        if not _are_logprobs(mended.get("logprobs")):
            mended["logprobs"] = None
        return mended

    def _ending_in(self, choice: dict[str, Any], events: Sequence[Event]) -> str | None:
        """Return the finish reason for a chunk: the event's, or that one said again."""
        last = events[-1] if events else None
        if isinstance(last, Finish):
            self._reason = last.reason
            return last.reason
        return self._reason if choice.get("finish_reason") == self._reason else None

    def _delta(
        self, given: dict[str, Any], events: Sequence[Event], calls: list[_Call]
    ) -> dict[str, Any]:
        delta = {name: value for name, value in given.items() if name != "role"}
        if not self._has_role:
            delta = {"role": "assistant", **delta}
        text, content = _text_in(events), given.get("content")
        if isinstance(given.get("refusal"), str) and given["refusal"] and not content:
            delta |= {"content": None, "refusal": text}
        elif text or content is not None:
            delta["content"] = text
        thought = "".join([e.text for e in events if isinstance(e, ReasoningDelta)])
        if thought and not any(
            given.get(name) for name in ("reasoning_content", "reasoning", "reasoning_details")
        ):
            delta["reasoning_content"] = thought
        if calls:
            delta["tool_calls"] = _mended_calls(calls, given.get("tool_calls"))
        elif "tool_calls" in delta:
            delta["tool_calls"] = None
        return delta


_CLOSED = -1  # the length of a list to which nothing can be added


class _Lists:
    """Sees to it that lists in deltas can be added up, as Python's SDK does it.

    A list of objects that comes a second time is joined to the first by each object's index,
    and whatever has none is an exception.
    """

    def __init__(self) -> None:
        self._lengths: dict[str, int] = {}  # at the client's, of those that are not text alone

    def fit(self, delta: dict[str, Any], path: str = "") -> dict[str, Any]:
        """Return a delta with an index wherever it is wanted; the same one where it is not."""
        if len(delta) == 1 and not path and "content" in delta:
            return delta  # nearly every delta of a real stream
        fitted = {}
        for name, value in delta.items():
            kind = value.__class__
            if kind is dict:
                value = self.fit(value, f"{path}/{name}")
            elif kind is list and value and (path or name not in ("tool_calls", "content")):
                value = self._fit_list(value, f"{path}/{name}")
            fitted[name] = value
        return delta if all(fitted[name] is delta[name] for name in delta) else fitted

    def _fit_list(self, items: list[Any], path: str) -> list[Any] | None:
        length = self._lengths.get(path)
        if length is None and all(map(_is_plain_value, items)):
            return items
        dicts = [item for item in items if isinstance(item, dict)]
        indexes = [item["index"] for item in dicts if "index" in item]
        if length == _CLOSED or len(dicts) < len(items):
            self._lengths[path] = _CLOSED
            return None if length is not None or indexes else items
        self._lengths[path] = (length or 0) + len(items)
        if length is None and not indexes:
            return items
        if len(indexes) == len(items) and all(index.__class__ is int for index in indexes):
            return items
        return [item | {"index": (length or 0) + i} for i, item in enumerate(dicts)]


def _is_plain_value(item: Any) -> bool:
    """Tell whether it is text or a number; what is no number in JSON is written as null."""
    return isinstance(item, str | int) or (isinstance(item, float) and math.isfinite(item))


def _without_error(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "error"}


def _text_in(events: Sequence[Event]) -> str:
    if len(events) == 1:
        return events[0].text if isinstance(events[0], TextDelta) else ""
    return "".join([event.text for event in events if isinstance(event, TextDelta)])


def _are_plain(calls: list[_Call], pieces: Any) -> bool:
    """Tell whether the pieces of tool calls are as they should be, one for each event."""
    if pieces is None:
        return not calls
    return (
        isinstance(pieces, list)
        and len(pieces) == len(calls) == len({place for _, place, _ in calls})
        and all(_is_plain(piece, *call) for piece, call in zip(pieces, calls, strict=True))
    )


def _is_plain(piece: Any, event: ToolCallDelta, place: int, new: bool) -> bool:
    if not isinstance(piece, dict) or piece.get("index").__class__ is not int:
        return False
    if piece["index"] != place:
        return False
    kind, text_name = ("custom", "input") if event.custom else ("function", "arguments")
    held = piece.get(kind)
    if not isinstance(held, dict):
        return False
    text = held.get(text_name)
    if (text or "") != event.arguments:  # they are no string, or something is held back
        return False
    if new:
        named = event.id == piece.get("id") and event.name == held.get("name")
        return named and text is not None and piece.get("type") == kind
    # Said again they are joined, "ff", or refused as another call's.
    again = piece.get("id") or "name" in held
    return not again and piece.get("type", kind) == kind


_OF_CALLS = {"index", "id", "type", "function", "custom", "name", "arguments", "input"}


def _mended_calls(calls: list[_Call], given: Any) -> list[dict[str, Any]]:
    given = [piece for piece in given if isinstance(piece, dict)] if isinstance(given, list) else []
    pieces: dict[int, dict[str, Any]] = {}
    arguments: dict[int, list[str]] = {}
    for i, (event, place, new) in enumerate(calls):
        beside = given[i] if len(given) == len(calls) else {}
        kind = "custom" if event.custom else "function"
        piece = pieces.setdefault(place, {"index": place, kind: {}})
        if new:
            piece |= {"id": event.id, "type": kind, kind: {"name": event.name}}
            if event.extra_content:  # it may have come with a piece that was held back
                piece["extra_content"] = event.extra_content
        arguments.setdefault(place, []).append(event.arguments)
        for name in beside.keys() - _OF_CALLS:
            piece[name] = beside[name]
    for place, parts in arguments.items():
        kind = "custom" if "custom" in pieces[place] else "function"
        pieces[place][kind]["input" if kind == "custom" else "arguments"] = "".join(parts)
    return list(pieces.values())


def _are_logprobs(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict)
        and all(isinstance(value.get(name), list | None) for name in ("content", "refusal"))
    )


def _is_sound(chunk: Chunk) -> bool:
    """Tell whether a chunk's JSON may stand in one line, and be read by any client."""
    data = chunk.data
    if b"\\" in data and (b"\\ud" in data or b"\\uD" in data):  # half a character, or both halves
        try:
            json.dumps(chunk.body, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return False
    return (
        chunk.body.get("error") is None  # an empty one is none, but not in JavaScript
        and data[:1] == b"{"  # no byte order mark
        and b"\n" not in data
        and not ((b"NaN" in data or b"Infinity" in data) and _NO_NUMBER.search(data))
    )
