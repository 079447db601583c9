"""The content of a response: its blocks, from their first event to their last."""

from __future__ import annotations

from typing import Any

from ...core.errors import StreamErrorEvent
from ...core.events import (
    Document,
    Event,
    ReasoningDelta,
    ReasoningEnd,
    Source,
    TextDelta,
    ToolCallDelta,
)
from ...core.limits import MAX_CALLS, MAX_PARTS, MAX_SOURCES, Budget
from ...core.reasoning import BEFORE_CALL
from ...core.result import ToolCall, new_call_id
from ..base import Totals
from ..json_values import page_url, read_arguments, word
from ..surrogates import join_surrogates
from .blocks import Block
from .provider_tools import ProviderTools

_CITED_TYPES = {"page_location": "application/pdf", "char_location": "text/plain"}

_PROVIDER_CALLS = ("server_tool_use", "mcp_tool_use")


class Content:
    """Reads content blocks, and keeps what they add up to.

    :param details_format: format of the reasoning details.
    """

    def __init__(self, details_format: str, budget: Budget) -> None:
        self._format = details_format
        self._budget = budget
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._details: list[dict[str, Any]] = []
        self._tools = ProviderTools()
        self._sources: dict[str, Source] = {}  # by URL
        self._documents: dict[Document, None] = {}
        self._call_ids: set[str] = set()
        self._blocks: list[Block] = []
        self._open: dict[str, Block] = {}  # by index
        self._half = ""  # the first half of a surrogate pair whose other half is in the next event
        self._details_before: list[dict[str, Any]] = []  # the next block, which may be a tool call
        self._ended: ReasoningEnd | None = None  # held back until the next block begins

    @property
    def has_calls(self) -> bool:
        """Whether there is a tool call for the client."""
        return bool(self._call_ids)

    def is_empty(self) -> bool:
        """Return whether no content came; sources alone are none."""
        content = self._text or self._reasoning or self._details
        return not (content or self._call_ids or self._tools.has_any)

    def totals(self) -> Totals:
        """Return what all blocks so far add up to."""
        return Totals(
            text=self._text,
            reasoning=self._reasoning,
            reasoning_details=self._details,
            tool_calls=[
                ToolCall(block.start["id"], block.start["name"], block.arguments)
                for block in self._blocks
                if block.call is not None
            ],
            provider_tools=self._tools.all(),
            sources=list(self._sources.values()),
            documents=list(self._documents),
        )

    def sent_back(self) -> list[dict[str, Any]]:
        """Return all blocks as they go back to the provider; empty texts are refused."""
        blocks = [
            block.sent_back(self._text if block.kind == "text" else self._reasoning)
            for block in self._blocks
        ]
        return [block for block in blocks if block.get("type") != "text" or block["text"]]

    def add_text(self, text: Any) -> list[Event]:
        """Take the next piece of the text; return its event."""
        if not (text := self._piece(text)):
            return []
        self._text.append(text)
        return [TextDelta(text)]

    def read_delta(self, index: Any, delta: dict[str, Any], data: bytes) -> list[Event]:
        """Take a delta of anything but text; return the events it brings.

        :param index: of its block.
        :param data: the JSON of its event.
        """
        kind = delta.get("type")
        if kind == "thinking_delta":
            return self._add_reasoning(delta.get("thinking"))
        block = self._open.get(str(index))
        if block is None:
            return []
        if kind == "input_json_delta":
            return self._add_arguments(block, delta.get("partial_json"))
        if kind == "signature_delta":
            block.signature = word(delta, "signature")
            self._budget.spend(len(block.signature))
        elif kind == "citations_delta" and isinstance(delta.get("citation"), dict):
            self._keep(data)
            block.citations.append(delta["citation"])
            return self._cite([delta["citation"]])
        return []

    def begin(self, index: Any, start: Any, data: bytes) -> list[Event]:
        """Take the beginning of a block; return the events it brings.

        :param start: the block as it begins.
        :raises StreamErrorEvent: when there are too many.
        """
        if not isinstance(start, dict):
            return []
        if len(self._blocks) >= MAX_PARTS:
            raise StreamErrorEvent({"detail": f"More than {MAX_PARTS} blocks are not taken."})
        self._keep(data)
        events = self.end(index)
        block = Block(start)
        if block.kind in ("text", "thinking"):
            # The pieces of both are kept in one list: blocks that overlap would each have them all.
            for other in [i for i, b in self._open.items() if b.kind == block.kind]:
                events += self.end(other)
        block.place = self._pieces_for(block)
        self._blocks.append(block)
        self._open[str(index)] = block
        if block.kind == "tool_use":
            return [*events, *self._begin_call(block)]
        events += self.release()
        if block.kind == "text":
            self._details_before.clear()
            events += self._cite(block.citations)
            events += self.add_text(start.get("text"))
        elif block.kind == "thinking":
            events += self._add_reasoning(start.get("thinking"))
        elif block.kind.endswith("_tool_result"):
            events.append(self._tools.result(start))
        return events

    def end(self, index: Any) -> list[Event]:
        """Take the end of a block; return the events it brings."""
        block = self._open.pop(str(index), None)
        if block is None:
            return []
        self._half = ""
        block.end = self._pieces_for(block)
        if block.call is not None and not block.pieces:
            return [ToolCallDelta(block.call, "", "", block.arguments)]
        if block.kind in _PROVIDER_CALLS:
            return [self._tools.call(block.start, read_arguments(block.arguments))]
        if block.kind == "thinking":
            detail = None
            if block.signature:
                text = "".join(self._reasoning[block.place : block.end])
                detail = {"type": "reasoning.text", "text": text, "signature": block.signature}
            self._end_reasoning(detail)
        elif block.kind == "redacted_thinking":
            hidden = word(block.start, "data")
            self._end_reasoning({"type": "reasoning.encrypted", "data": hidden})
        return []

    def end_all(self) -> list[Event]:
        """Take the end of the blocks that have not ended; return the events it brings."""
        events = [event for index in list(self._open) for event in self.end(index)]
        return [*events, *self.release()]

    def release(self) -> list[Event]:
        """Return the end of the reasoning before this block, which was held back."""
        ended, self._ended = self._ended, None
        return [ended] if ended else []

    def _keep(self, data: bytes) -> None:
        """Count an event of which more than text is kept."""
        self._budget.keep(data)
        self._budget.spend(len(data))

    def _pieces_for(self, block: Block) -> int:
        """Return how many pieces there are so far of the text, or of the reasoning."""
        return len(self._text if block.kind == "text" else self._reasoning)

    def _piece(self, text: Any) -> str:
        """Return what a delta brings of a text, and count it; "" when it brings nothing."""
        if text.__class__ is not str:
            return ""
        piece: str = text
        if self._half or not piece.isascii():
            piece, self._half = join_surrogates(self._half + piece)
        self._budget.spend(len(piece))
        return piece

    def _add_reasoning(self, text: Any) -> list[Event]:
        if not (text := self._piece(text)):
            return []
        self._reasoning.append(text)
        return [ReasoningDelta(text)]

    def _add_arguments(self, block: Block, piece: Any) -> list[Event]:
        if not (piece := self._piece(piece)):
            return []
        block.pieces.append(piece)
        return [] if block.call is None else [ToolCallDelta(block.call, "", "", piece)]

    def _begin_call(self, block: Block) -> list[Event]:
        id_, name = word(block.start, "id"), word(block.start, "name")
        if not name.strip():  # it cannot be carried out
            return self.release()
        if len(self._call_ids) >= MAX_CALLS:
            raise StreamErrorEvent({"detail": f"More than {MAX_CALLS} tool calls are not taken."})
        if not id_.strip() or id_ in self._call_ids:
            id_ = new_call_id()
        if self._text or self._call_ids:
            for detail in self._details_before:
                detail[BEFORE_CALL] = id_
        self._details_before.clear()
        block.start = {**block.start, "id": id_, "name": name}
        block.call = len(self._call_ids)
        self._call_ids.add(id_)
        return [*self.release(), ToolCallDelta(block.call, id_, name, "")]

    def _end_reasoning(self, detail: dict[str, Any] | None) -> None:
        if detail is not None:
            detail["format"] = self._format
            # After a tool that the provider ran it is bound to blocks that do not go back.
            if not self._tools.has_any:
                self._details.append(detail)
                self._details_before.append(detail)
        self._ended = ReasoningEnd(detail)

    def _cite(self, citations: list[dict[str, Any]]) -> list[Event]:
        """Return the pages and documents that were not cited before."""
        events: list[Event] = []
        for citation in citations:
            title = word(citation, "title") or word(citation, "document_title")
            if url := page_url(word(citation, "url") or word(citation, "source")):
                if url not in self._sources and len(self._sources) < MAX_SOURCES:
                    self._sources[url] = source = Source(url, title)
                    events.append(source)
                continue
            number = citation.get("document_index")
            title = title or f"Document {number if isinstance(number, int) else 0}"
            document = Document(title, media_type=_CITED_TYPES.get(word(citation, "type"), ""))
            if document not in self._documents and len(self._documents) < MAX_SOURCES:
                self._documents[document] = None
                events.append(document)
        return events
