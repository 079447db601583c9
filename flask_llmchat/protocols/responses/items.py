"""The output items of a response while they stream, and texts that come twice."""

from __future__ import annotations

from typing import Any

from ...core.result import ProviderTool
from ..surrogates import join_surrogates


class StreamedText:
    """A text that comes in deltas and once more as a whole, either of which may be missing.

    :ivar pieces: what has come of it.
    """

    __slots__ = ("_half", "_length", "pieces")

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._length = 0
        self._half = ""  # of a surrogate pair whose other half is in the next delta

    def add(self, delta: Any) -> str:
        """Take a delta; return the text it brings."""
        if delta.__class__ is not str:
            return ""
        text: str = delta
        if self._half or not text.isascii():
            text, self._half = join_surrogates(self._half + text)
        if text:
            self.pieces.append(text)
            self._length += len(text)
        return text

    def complete(self, whole: Any) -> str:
        """Take the whole text; return the end of it that no delta has brought."""
        if whole.__class__ is not str or len(whole) <= self._length:
            return ""
        sent = "".join(self.pieces)
        if not whole.startswith(sent):
            return ""  # other text than was streamed: which is right, nobody knows
        self.pieces, self._half = [sent], ""
        return self.add(whole[len(sent) :])

    def close(self) -> str:
        """Return what stands for half a character whose other half never came."""
        half, self._half = self._half, ""
        return self.add("\ufffd") if half else ""


class Call:
    """A tool call of the client's.

    :ivar index: among the calls that events have brought; -1 for one that none has brought yet.
    """

    __slots__ = ("arguments", "custom", "id", "index", "name")

    def __init__(self, custom: bool) -> None:
        self.id = self.name = ""
        self.custom = custom
        self.arguments = StreamedText()
        self.index = -1


class Item:
    """One output item: a message, reasoning, a call, or anything else.

    :param kind: its type; "" as long as it is not known.
    :param id: its first id: some providers have a new one in every event.
    :ivar start: which item its first event says it is; None before that event.
    :ivar texts: those it holds, by kind and index: parts of its content or of a summary.
    :ivar shown: which of its texts was the last that is shown as reasoning.
    :ivar call: the client's call that it is.
    :ivar tool: the call of a tool of the provider's that it is, once an event has brought it.
    :ivar done: whether it is complete.
    """

    __slots__ = ("call", "done", "id", "kind", "shown", "start", "texts", "tool")

    def __init__(self, kind: str, id: str) -> None:
        self.kind, self.id = kind, id
        self.start: dict[str, str] | None = None
        self.texts: dict[tuple[str, Any], StreamedText] = {}
        self.shown: tuple[str, Any] | None = None
        self.call: Call | None = None
        self.tool: ProviderTool | None = None
        self.done = False
