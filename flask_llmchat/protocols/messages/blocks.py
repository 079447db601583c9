"""The content blocks of a response, while they arrive and as they go back to the provider."""

from __future__ import annotations

import json
from typing import Any

from ..json_values import as_dicts, read_arguments, word


class Block:
    """One content block.

    :param start: the block as its first event has it: for most kinds still without content.
    :ivar kind: its type.
    :ivar place: how many pieces of the response's text, or of its reasoning, came before it.
    :ivar end: how many had come at its end.
    :ivar pieces: the pieces of its arguments.
    :ivar call: index of its tool call; None for any other block.
    """

    __slots__ = ("call", "citations", "end", "kind", "pieces", "place", "signature", "start")

    def __init__(self, start: dict[str, Any]) -> None:
        kind = start.get("type")
        self.kind = kind if isinstance(kind, str) else ""
        self.start = start
        self.place = self.end = 0
        self.pieces: list[str] = []
        self.citations: list[dict[str, Any]] = as_dicts(start.get("citations"))
        self.signature = word(start, "signature")
        self.call: int | None = None

    @property
    def arguments(self) -> str:
        """The arguments of a tool call, as JSON; ``{}`` for a call without any."""
        return "".join(self.pieces) or json.dumps(self.start.get("input") or {})

    def sent_back(self, pieces: list[str]) -> dict[str, Any]:
        """Return the whole block, as it came.

        :param pieces: all pieces of the response's text, or of its reasoning.
        """
        content = "".join(pieces[self.place : self.end])
        if self.kind == "text":
            cited = {"citations": self.citations} if self.citations else {}
            return {"type": "text", "text": content, **cited}
        if self.kind == "thinking":
            return {"type": "thinking", "thinking": content, "signature": self.signature}
        if self.pieces:
            return {**self.start, "input": read_arguments(self.arguments)}
        return self.start
