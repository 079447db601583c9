"""Tool calls, put together from the pieces that providers send."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ...core.errors import StreamErrorEvent
from ...core.events import ToolCallDelta
from ...core.limits import MOST_CALLS, Budget
from ...core.result import ToolCall, new_call_id

_SIGNS = re.compile(r'\\.?|["{}\[\]]', re.DOTALL)


def join_surrogates(text: str) -> tuple[str, str]:
    """Join surrogate pairs, and mend what has no pair.

    :return: the text, and the half at its end whose other half may come with the next piece.
    """
    half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
    text = text[: len(text) - len(half)]
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), half


@dataclass(slots=True)
class _Call:
    """A call so far. Its arguments are joined once: they may come in many thousand pieces."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    half: str = ""
    extra_content: dict[str, Any] | None = None
    custom: bool = False
    begun: bool = False  # its first event is out
    sent: int = 0  # how many of the pieces are
    repeat: str = ""  # a piece that may be all of the arguments so far, said again
    length: int = 0
    _looked_at: int = 0  # how many of the pieces
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
            # Once a piece does not go on where the one before stood, they are pieces after all.
            self.repeat = arguments if arguments.startswith(self.repeat) else ""
        elif len(arguments) >= self.length > 0 and arguments[0] == "{" and not self.custom:
            # Some send all of the arguments so far, each time. So it seems here too where an object
            # holds another under its own name, {"a":{"a":1}}: the end has to show which it is.
            self.repeat = arguments if arguments.startswith("".join(self.arguments)) else ""
        self.arguments.append(arguments)
        self.length += len(arguments)

    def event(self, index: int) -> ToolCallDelta:
        """Return what no event has brought yet, but for what is in doubt."""
        pieces = [] if self.repeat else self.arguments[self.sent :]
        self.sent += len(pieces)
        id_, name = ("", "") if self.begun else (self.id, self.name)
        self.begun = True
        text = "".join(pieces)
        return ToolCallDelta(index, id_, name, text, self.extra_content, self.custom)

    def finish(self) -> None:
        """Decide what is in doubt: no more pieces come."""
        if self.half:
            self.half = ""
            self.add("\ufffd")
        repeat, self.repeat = self.repeat, ""
        if repeat and _is_json(repeat) and not _is_json("".join(self.arguments)):
            sent = "".join(self.arguments[: self.sent])
            self.arguments = [piece for piece in (sent, repeat[len(sent) :]) if piece]
            self.sent = min(self.sent, 1)

    def is_closed(self) -> bool:
        """Tell whether the arguments are an object, or a list, that has come to its end."""
        text = self._escape + "".join(self.arguments[self._looked_at :])
        self._looked_at, self._escape = len(self.arguments), ""
        for found in _SIGNS.finditer(text):
            sign = found[0]
            if sign == '"':
                self._in_string = not self._in_string
            elif sign == "\\":
                self._escape = sign  # of what the next piece begins with
            elif len(sign) == 1 and not self._in_string:
                self._depth = max(self._depth, 0) + (1 if sign in "{[" else -1)
        return self._depth == 0 and not self._in_string


class ToolCallAssembler:
    """Reads the pieces of one answer's tool calls, and keeps what they add up to.

    A client throws at a call whose first piece lacks its id or its name. So nothing of a call is
    given out before both are there, or the answer has ended; then an id is made.
    """

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}
        self._by_id: dict[str, int] = {}
        self._last = 0  # the highest index
        self._moved: dict[int, int] = {}  # of calls that came under another's index
        self._budget = Budget()

    def __bool__(self) -> bool:
        """Tell whether there is a call that can be carried out, one with a name."""
        return any(call.name.strip() for call in self._calls.values())

    def joined(self) -> dict[int, ToolCall]:
        """Return the calls so far, by index."""
        return {
            index: ToolCall(c.id, c.name, "".join(c.arguments), c.extra_content, c.custom)
            for index, c in self._calls.items()
            if c.name.strip()
        }

    def read(self, piece: dict[str, Any]) -> list[ToolCallDelta]:
        """Take the next piece of a call; return what it brings.

        :raises ErrorChunk: when there are too many calls.
        """
        custom = isinstance(piece.get("custom"), dict)
        held = piece["custom"] if custom else piece.get("function")
        held = held if isinstance(held, dict) else piece  # without the object around it
        id_, name = _word(piece.get("id")), _word(held.get("name"))
        arguments = held.get("arguments", held.get("input"))
        if not isinstance(arguments, str):
            arguments = "" if arguments is None else json.dumps(arguments)
        index = self._index_of(piece.get("index"), id_, name, arguments)
        if index not in self._calls:
            if len(self._calls) >= MOST_CALLS:
                raise StreamErrorEvent(
                    {"detail": f"More than {MOST_CALLS} tool calls are not taken."}
                )
            self._last = max(self._last, index) if self._calls else index
            self._calls[index] = _Call()
        call = self._calls[index]
        if id_ and not call.id:
            if self._by_id.setdefault(id_, index) != index:
                id_ = new_call_id()  # another call's
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
        """Have :meth:`finish` give all of the calls, for no event has brought any of them."""
        for call in self._calls.values():
            call.begun, call.sent = False, 0

    def finish(self) -> Iterator[ToolCallDelta]:
        """Give what was held back, now that no more pieces come.

        A call that got no name stays back: it cannot be carried out.
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
            # Some count the index up with every piece.
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
    """Tell whether a piece begins a call of its own, though it has the index of one.

    Gemini's parallel calls all have index 0, and each an id and a name; others' not even an
    id. But a name alone may be said again in every piece of one call.
    """
    if not name or (id_ and id_ == there.id):
        return False
    if id_ and there.id:
        return True
    brings = name != there.name or arguments.strip()
    return bool(there.name and brings and there.is_closed())


def _word(value: Any) -> str:
    """Return an id or a name: some count instead of naming."""
    if isinstance(value, int) and abs(value) < 2**63:
        return str(value)
    return value if isinstance(value, str) else ""


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
