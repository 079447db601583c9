"""Tool calls, put together from the pieces that providers send."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..chat import ToolCall, ToolCallDelta

_SIGNS = re.compile(r'\\.?|["{}\[\]]', re.DOTALL)


def whole(text: str) -> tuple[str, str]:
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
    _looked_at: int = 0  # how many of the pieces
    _escape: str = ""
    _in_string: bool = False
    _depth: int = -1  # until something opens

    def add(self, arguments: str) -> str:
        """Add a piece of the arguments; return what is certain of it."""
        if self.half or not arguments.isascii():
            arguments, self.half = whole(self.half + arguments)
        if arguments:
            self.arguments.append(arguments)
        return arguments

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


class ToolCalls:
    """Reads the pieces of one answer's tool calls, and keeps what they add up to."""

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}
        self._by_id: dict[str, int] = {}
        self._last = 0  # the highest index
        self._moved: dict[int, int] = {}  # of calls that came under another's index

    def __len__(self) -> int:
        """Return how many calls there are."""
        return len(self._calls)

    def joined(self) -> dict[int, ToolCall]:
        """Return the calls so far, by index."""
        return {
            index: ToolCall(call.id, call.name, "".join(call.arguments), call.extra_content)
            for index, call in self._calls.items()
        }

    def read(self, piece: dict[str, Any]) -> ToolCallDelta:
        """Take the next piece of a call; return what it brings."""
        function = piece.get("function")
        function = function if isinstance(function, dict) else {}
        id_, name = str(piece.get("id") or ""), str(function.get("name") or "")
        arguments = function.get("arguments")
        if not isinstance(arguments, str):
            arguments = "" if arguments is None else json.dumps(arguments)
        index = piece.get("index")
        if isinstance(index, int):
            there = self._calls.get(self._moved.get(index, index))
            if there and _is_another(there, id_, name, arguments):
                self._moved[index] = self._by_id.get(id_, self._last + 1)
            index = self._moved.get(index, index)
        else:
            index = self._index_of(id_, name, arguments)
        if index not in self._calls:
            self._last = max(self._last, index) if self._calls else index
            self._calls[index] = _Call()
        call = self._calls[index]
        # Some providers repeat id and name in every piece.
        id_, name = (id_ if not call.id else ""), (name if not call.name else "")
        call.id += id_
        call.name += name
        if id_:
            self._by_id.setdefault(id_, index)
        extra = piece.get("extra_content")
        if isinstance(extra, dict):
            call.extra_content = extra
        return ToolCallDelta(index, id_, name, call.add(arguments), call.extra_content)

    def finish(self) -> Iterator[ToolCallDelta]:
        """Give what was held back: halves of characters that got no other half."""
        for index, call in self._calls.items():
            if call.half:
                call.half = ""
                yield ToolCallDelta(index, "", "", call.add("\ufffd"), call.extra_content)

    def _index_of(self, id_: str, name: str, arguments: str) -> int:
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
