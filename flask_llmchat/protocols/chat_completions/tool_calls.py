"""Tool calls, assembled from the pieces that providers send."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ...core.errors import StreamErrorEvent
from ...core.events import ToolCallDelta
from ...core.limits import MAX_CALLS, Budget
from ...core.result import ToolCall, new_call_id
from ..json_values import as_dicts
from ..surrogates import join_surrogates

_DELIMITERS = re.compile(r'\\.?|["{}\[\]]', re.DOTALL)


def tool_call_pieces(delta: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the pieces of tool calls in a delta; its ``function_call`` counts as one.

    ``function_call`` is the form that tool calls replaced.
    """
    calls, function = delta.get("tool_calls"), delta.get("function_call")
    if isinstance(calls, dict) and calls:
        calls = [calls]
    if not calls and isinstance(function, dict) and function:
        return [{"index": 0, "function": function}]
    return as_dicts(calls)


@dataclass(slots=True)
class _Call:
    """A call so far. Its arguments are joined once: they may come in many thousand pieces."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    half: str = ""  # the first half of a surrogate pair that the last piece ended with
    extra_content: dict[str, Any] | None = None
    custom: bool = False
    begun: bool = False  # its first event has been returned
    sent: int = 0  # pieces that events have brought
    repeat: str = ""  # a piece that may repeat all of the arguments so far
    length: int = 0
    _scanned: int = 0  # pieces
    _escape: str = ""
    _in_string: bool = False
    _depth: int = -1  # until something opens

    def add(self, arguments: str) -> None:
        """Add a piece of the arguments."""
        if self.half or not arguments.isascii():
            arguments, self.half = join_surrogates(self.half + arguments)
        if not arguments:
            return
        if self.repeat:
            # Once a piece does not begin with the repetition before it, they are pieces after all.
            self.repeat = arguments if arguments.startswith(self.repeat) else ""
        elif len(arguments) >= self.length > 0 and arguments[0] == "{" and not self.custom:
            # Some providers send all of the arguments so far, each time. An object that holds
            # another under its own name, {"a":{"a":1}}, looks the same: only the end shows which.
            self.repeat = arguments if arguments.startswith("".join(self.arguments)) else ""
        self.arguments.append(arguments)
        self.length += len(arguments)

    def event(self, index: int) -> ToolCallDelta:
        """Return what no event has brought yet, except for a piece that may be a repetition."""
        pieces = [] if self.repeat else self.arguments[self.sent :]
        self.sent += len(pieces)
        id_, name = ("", "") if self.begun else (self.id, self.name)
        self.begun = True
        text = "".join(pieces)
        return ToolCallDelta(index, id_, name, text, self.extra_content, self.custom)

    def finish(self) -> None:
        """Decide whether a piece was a repetition: no more pieces come."""
        if self.half:
            self.half = ""
            self.add("\ufffd")
        repeat, self.repeat = self.repeat, ""
        if repeat and _is_json(repeat) and not _is_json("".join(self.arguments)):
            sent = "".join(self.arguments[: self.sent])
            self.arguments = [piece for piece in (sent, repeat[len(sent) :]) if piece]
            self.sent = min(self.sent, 1)

    def is_closed(self) -> bool:
        """Return whether the arguments are an object, or a list, that is complete."""
        text = self._escape + "".join(self.arguments[self._scanned :])
        self._scanned, self._escape = len(self.arguments), ""
        for match in _DELIMITERS.finditer(text):
            sign = match[0]
            if sign == '"':
                self._in_string = not self._in_string
            elif sign == "\\":
                self._escape = sign  # of the first character of the next piece
            elif len(sign) == 1 and not self._in_string:
                self._depth = max(self._depth, 0) + (1 if sign in "{[" else -1)
        return self._depth == 0 and not self._in_string


class ToolCallAssembler:
    """Assembles the tool calls of one response from their pieces.

    Clients throw at a call whose first piece lacks its id or its name. So no event of a call is
    returned before both are there, or the response has ended; then an id is made.
    """

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}
        self._by_id: dict[str, int] = {}
        self._last = 0  # the highest index
        self._moved: dict[int, int] = {}  # index as sent: index of a call that reused another's
        self._budget = Budget()

    def __bool__(self) -> bool:
        """Return whether there is a call that can be carried out: one with a name."""
        return any(call.name.strip() for call in self._calls.values())

    def joined(self) -> list[ToolCall]:
        """Return the calls so far, in the order of their index."""
        return [
            ToolCall(call.id, call.name, "".join(call.arguments), call.extra_content, call.custom)
            for _, call in sorted(self._calls.items())
            if call.name.strip()
        ]

    def read(self, piece: dict[str, Any]) -> list[ToolCallDelta]:
        """Take the next piece of a call; return the events it brings.

        :raises StreamErrorEvent: when there are too many calls.
        """
        custom = isinstance(piece.get("custom"), dict)
        held = piece["custom"] if custom else piece.get("function")
        held = held if isinstance(held, dict) else piece  # some leave out the object around it
        id_, name = _word(piece.get("id")), _word(held.get("name"))
        arguments = held.get("arguments", held.get("input"))
        if not isinstance(arguments, str):
            arguments = "" if arguments is None else json.dumps(arguments)
        index = self._index_of(piece.get("index"), id_, name, arguments)
        if index not in self._calls:
            if len(self._calls) >= MAX_CALLS:
                raise StreamErrorEvent(
                    {"detail": f"More than {MAX_CALLS} tool calls are not taken."}
                )
            self._last = max(self._last, index) if self._calls else index
            self._calls[index] = _Call()
        call = self._calls[index]
        if id_ and not call.id:
            if self._by_id.setdefault(id_, index) != index:
                id_ = new_call_id()  # the one given is another call's
            call.id = id_
        call.name = call.name or name
        call.custom = call.custom or custom
        extra = piece.get("extra_content")
        if isinstance(extra, dict):
            call.extra_content = extra
        self._budget.spend(len(arguments))
        call.add(arguments)
        ready = call.begun or (call.id.strip() and call.name.strip())
        return [call.event(index)] if ready else []

    def begin_again(self) -> None:
        """Have :meth:`finish` give every call whole: no event of them has reached the client."""
        for call in self._calls.values():
            call.begun, call.sent = False, 0

    def finish(self) -> Iterator[ToolCallDelta]:
        """Give what was held back, now that no more pieces come.

        A call without a name is left out: it cannot be carried out.
        """
        for index, call in sorted(self._calls.items()):
            if not call.name.strip():
                continue
            call.finish()
            if not call.id.strip():
                call.id = new_call_id()
            if not call.begun or call.sent < len(call.arguments):
                yield call.event(index)

    def _index_of(self, given: Any, id_: str, name: str, arguments: str) -> int:
        """Find the call that a piece belongs to."""
        if not isinstance(given, int):
            return self._index_without(id_, name, arguments)
        index = self._moved.get(given, given)
        there = self._calls.get(index)
        if there:
            if not _is_another(there, id_, name, arguments):
                return index
            index = self._moved[given] = self._by_id.get(id_, self._last + 1)
        elif self._calls and given not in self._moved:
            # Some providers count the index up with every piece.
            known = self._by_id.get(id_) if id_ else None if name else self._last
            if known is not None and name in ("", self._calls[known].name):
                return index if self._calls[known].is_closed() else known
        return index

    def _index_without(self, id_: str, name: str, arguments: str) -> int:
        """Find the call that a piece without an index belongs to."""
        if id_ in self._by_id:
            return self._by_id[id_]
        if not self._calls:
            return 0
        last = self._calls[self._last]
        begins = (id_ and last.id) or (name and last.name not in ("", name))
        return self._last + bool(begins or _is_another(last, id_, name, arguments))


def _is_another(there: _Call, id_: str, name: str, arguments: str) -> bool:
    """Return whether a piece begins a new call, although it has the index of an earlier one.

    Gemini's parallel calls all have index 0, and each has an id and a name; other providers' have
    no id either. But a name alone may be repeated in every piece of one call.
    """
    if not name or (id_ and id_ == there.id):
        return False
    if id_ and there.id:
        return True
    brings = name != there.name or arguments.strip()
    return bool(there.name and brings and there.is_closed())


def _word(value: Any) -> str:
    """Return an id or a name as text: some providers send numbers."""
    if isinstance(value, int) and abs(value) < 2**63:
        return str(value)
    return value if isinstance(value, str) else ""


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
