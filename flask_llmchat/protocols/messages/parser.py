"""Parses the events of a Messages stream into events of this package.

https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...core.errors import StreamErrorEvent
from ...core.events import (
    Document,
    Event,
    Finish,
    ReasoningDelta,
    ReasoningEnd,
    Source,
    TextDelta,
    ToolCallDelta,
)
from ...core.finish_reasons import effective_reason
from ...core.limits import MAX_CALLS, MAX_DETAILS, MAX_PARTS, MAX_SOURCES, Budget
from ...core.reasoning import BEFORE_CALL, details_format
from ...core.result import ToolCall, new_call_id
from ..base import Totals
from ..json_values import as_dicts, read_json
from ..surrogates import join_surrogates
from .blocks import Block, text_in
from .provider_tools import ProviderTools
from .usage import usage_of

_PAUSED = "pause_turn"

_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    _PAUSED: "length",  # unless it goes on, which is for continue_body
}

_CITED_TYPES = {"page_location": "application/pdf", "char_location": "text/plain"}

_PROVIDER_CALLS = ("server_tool_use", "mcp_tool_use")


class MessageParser:
    """Parses the events of one response, and keeps what they add up to.

    :param provider: name of the provider's row, for the format of its reasoning.
    """

    def __init__(self, provider: str) -> None:
        self.finish_reason: str | None = None
        self.done = False
        self._format = details_format("messages", provider)
        self._budget = Budget()
        self._totals = Totals()
        self._text = self._totals.text
        self._reasoning = self._totals.reasoning
        self._tools = ProviderTools()
        self._sources: dict[str, Source] = {}  # by URL
        self._documents: dict[Document, None] = {}
        self._call_ids: set[str] = set()
        self._counts: dict[str, Any] = {}
        self._stop_reason = ""  # the provider's own word
        self._container = ""  # in which the provider runs code
        self._blocks: list[Block] = []
        self._open: dict[Any, Block] = {}  # by index
        self._half = ""  # the first half of a surrogate pair whose other half is in the next event
        self._details_before: list[dict[str, Any]] = []  # the next block, which may be a tool call
        self._ended: ReasoningEnd | None = None  # held back until the next block begins
        self._readers: dict[Any, Callable[[dict[str, Any], bytes], list[Event]]] = {
            "message_start": self._read_start,
            "content_block_start": self._read_block,
            "content_block_stop": self._read_block_end,
            "message_delta": self._read_end,
            "message_stop": self._read_stop,
        }

    def totals(self) -> Totals:
        """Return what all events so far add up to."""
        totals = self._totals
        totals.sources, totals.documents = list(self._sources.values()), list(self._documents)
        totals.provider_tools = self._tools.all()
        totals.tool_calls = [
            ToolCall(block.start["id"], block.start["name"], block.arguments)
            for block in self._blocks
            if block.call is not None
        ]
        totals.usage = usage_of(self._counts) if self._counts else None
        totals.finish_reason = self.finish_reason
        if len(totals.reasoning_details) > MAX_DETAILS:
            totals.reasoning_details = []
        return totals

    def parse(self, name: str, data: bytes) -> list[Event] | None:
        """Take the next server-sent event; return the events it brings.

        :return: None for a heartbeat.
        :raises StreamErrorEvent: when it reports an error, or exceeds a limit.
        :raises ValueError: when it is not JSON.
        """
        try:
            event = read_json(data)
        except (ValueError, RecursionError):
            if name == "ping" or data.strip() in (b"", b"[DONE]"):
                return None
            raise
        if not event:  # null, [], {}
            return None
        if event.__class__ is not dict:
            raise StreamErrorEvent(event)
        kind = event.get("type")
        if kind == "content_block_delta":
            delta = event.get("delta")
            if delta.__class__ is not dict:
                return []
            if delta.get("type") == "text_delta":  # as nearly always
                return self._add_text(delta.get("text"))
            return self._read_delta(event, delta, data)
        if kind == "ping":
            return None
        if not isinstance(kind, str) or kind == "error" or event.get("error"):
            raise StreamErrorEvent(event)
        reader = self._readers.get(kind)
        return reader(event, data) if reader else []

    def parse_whole(self, body: Any, data: bytes) -> list[Event] | None:
        """Parse a whole message as the stream it would have been; None for anything else."""
        if not isinstance(body, dict) or body.get("type") != "message":
            return None
        events = self._read_start({"message": body}, data)
        for index, block in enumerate(as_dicts(body.get("content"))):
            events += self._read_block({"index": index, "content_block": block}, data)
            events += self._read_block_end({"index": index}, b"")
        events += self._read_end({"delta": body}, b"")
        events += self._read_stop({}, b"")
        if not self.done:
            raise StreamErrorEvent({"detail": "The message has no stop_reason."})
        return events

    def finish(self) -> list[Event]:
        """Return nothing: all events came with the stream.

        :raises StreamErrorEvent: when what came is not a complete response.
        """
        if not self.done:
            raise StreamErrorEvent(None)
        if self.finish_reason in ("stop", "tool_calls") and self._is_empty():
            detail = "The answer had nothing in it."
            raise StreamErrorEvent({"detail": detail, "stop_reason": self._stop_reason})
        return []

    def continue_body(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """Return the request that goes on with a paused response; None for any other response."""
        if self._stop_reason != _PAUSED or not self.done:
            return None
        blocks = [
            block.sent_back(self._text if block.kind == "text" else self._reasoning)
            for block in self._blocks
        ]
        blocks = [b for b in blocks if b.get("type") != "text" or b["text"]]  # empty is refused
        if not blocks:
            return body
        messages = list(body["messages"])
        if messages[-1]["role"] == "assistant":  # paused before
            blocks = [*messages.pop()["content"], *blocks]
        messages.append({"role": "assistant", "content": blocks})
        more = {"container": self._container} if self._container else {}
        return {**body, "messages": messages, **more}

    def _is_empty(self) -> bool:
        totals = self._totals
        content = self._text or self._reasoning or totals.reasoning_details
        return not (content or self._call_ids or self._tools.all())

    def _add_text(self, text: Any) -> list[Event]:
        if text.__class__ is not str:
            return []
        if self._half or not text.isascii():
            text, self._half = join_surrogates(self._half + text)
        if not text:
            return []
        self._budget.spend(len(text))
        self._text.append(text)
        return [TextDelta(text)]

    def _add_reasoning(self, text: Any) -> list[Event]:
        if text.__class__ is not str:
            return []
        if self._half or not text.isascii():
            text, self._half = join_surrogates(self._half + text)
        if not text:
            return []
        self._budget.spend(len(text))
        self._reasoning.append(text)
        return [ReasoningDelta(text)]

    def _read_start(self, event: dict[str, Any], data: bytes) -> list[Event]:
        message = event.get("message")
        if isinstance(message, dict):
            self._count(message.get("usage"), data)
        return []

    def _count(self, usage: Any, data: bytes) -> None:
        """Take token counts: those that are repeated later are totals."""
        if isinstance(usage, dict) and usage:
            self._budget.keep(data)
            self._budget.spend(len(data))
            self._counts |= {name: count for name, count in usage.items() if count is not None}

    def _read_block(self, event: dict[str, Any], data: bytes) -> list[Event]:
        start, index = event.get("content_block"), event.get("index")
        if not isinstance(start, dict) or not isinstance(index, int):
            return []
        if len(self._blocks) >= MAX_PARTS:
            raise StreamErrorEvent({"detail": f"More than {MAX_PARTS} blocks are not taken."})
        self._budget.keep(data)
        self._budget.spend(len(data))
        events = self._end(self._open.pop(index)) if index in self._open else []
        of_text = start.get("type") == "text"
        block = Block(start, len(self._text if of_text else self._reasoning))
        self._blocks.append(block)
        self._open[index] = block
        if block.kind == "tool_use":
            return [*events, *self._begin_call(block)]
        events += self._release()
        if block.kind == "text":
            self._details_before.clear()
            events += self._cite(block.citations)
            events += self._add_text(start.get("text"))
        elif block.kind == "thinking":
            events += self._add_reasoning(start.get("thinking"))
        elif block.kind.endswith("_tool_result"):
            events.append(self._tools.result(start))
        return events

    def _begin_call(self, block: Block) -> list[Event]:
        id_, name = text_in(block.start, "id"), text_in(block.start, "name")
        if not name.strip():  # it cannot be carried out
            return self._release()
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
        return [*self._release(), ToolCallDelta(block.call, id_, name, "")]

    def _release(self) -> list[Event]:
        """Return the end of the reasoning before this block, which was held back."""
        ended, self._ended = self._ended, None
        return [ended] if ended else []

    def _read_delta(self, event: dict[str, Any], delta: dict[str, Any], data: bytes) -> list[Event]:
        """Read a delta of anything but text."""
        kind, index = delta.get("type"), event.get("index")
        if kind == "thinking_delta":
            return self._add_reasoning(delta.get("thinking"))
        block = self._open.get(index) if isinstance(index, int) else None
        if block is None:
            return []
        if kind == "input_json_delta":
            return self._add_arguments(block, delta.get("partial_json"))
        if kind == "signature_delta":
            signature = text_in(delta, "signature")
            self._budget.spend(len(signature))
            block.signature = signature
        elif kind == "citations_delta" and isinstance(delta.get("citation"), dict):
            self._budget.keep(data)
            self._budget.spend(len(data))
            block.citations.append(delta["citation"])
            return self._cite([delta["citation"]])
        return []

    def _add_arguments(self, block: Block, piece: Any) -> list[Event]:
        if piece.__class__ is not str:
            return []
        if self._half or not piece.isascii():
            piece, self._half = join_surrogates(self._half + piece)
        if not piece:
            return []
        self._budget.spend(len(piece))
        block.pieces.append(piece)
        return [] if block.call is None else [ToolCallDelta(block.call, "", "", piece)]

    def _read_block_end(self, event: dict[str, Any], data: bytes) -> list[Event]:
        index = event.get("index")
        block = self._open.pop(index, None) if isinstance(index, int) else None
        return self._end(block) if block else []

    def _end(self, block: Block) -> list[Event]:
        """Return the events that the end of a block brings."""
        self._half = ""
        block.end = len(self._text if block.kind == "text" else self._reasoning)
        if block.call is not None and not block.pieces:
            return [ToolCallDelta(block.call, "", "", block.arguments)]
        if block.kind in _PROVIDER_CALLS:
            return [self._tools.call(block.start, block.parsed_arguments())]
        if block.kind == "thinking":
            detail = None
            if block.signature:
                text = "".join(self._reasoning[block.place : block.end])
                detail = {"type": "reasoning.text", "text": text, "signature": block.signature}
            self._end_reasoning(detail)
        elif block.kind == "redacted_thinking":
            data = text_in(block.start, "data")
            self._end_reasoning({"type": "reasoning.encrypted", "data": data})
        return []

    def _end_reasoning(self, detail: dict[str, Any] | None) -> None:
        if detail is not None:
            detail["format"] = self._format
            self._totals.reasoning_details.append(detail)
            self._details_before.append(detail)
        self._ended = ReasoningEnd(detail)

    def _cite(self, citations: list[dict[str, Any]]) -> list[Event]:
        """Return the pages and documents that were not cited before."""
        events: list[Event] = []
        for citation in citations:
            title = text_in(citation, "title") or text_in(citation, "document_title")
            url = text_in(citation, "url") or text_in(citation, "source")
            if url.startswith(("http://", "https://")):
                if url not in self._sources and len(self._sources) < MAX_SOURCES:
                    self._sources[url] = source = Source(url, title)
                    events.append(source)
                continue
            number = citation.get("document_index")
            title = title or f"Document {number if isinstance(number, int) else 0}"
            document = Document(title, media_type=_CITED_TYPES.get(text_in(citation, "type"), ""))
            if document not in self._documents and len(self._documents) < MAX_SOURCES:
                self._documents[document] = None
                events.append(document)
        return events

    def _read_end(self, event: dict[str, Any], data: bytes) -> list[Event]:
        delta = event.get("delta")
        if not isinstance(delta, dict):
            return []
        self._count(event.get("usage"), data)
        events: list[Event] = []
        for index in list(self._open):
            events += self._end(self._open.pop(index))
        container = delta.get("container")
        if isinstance(container, dict):
            self._container = text_in(container, "id")
        reason = delta.get("stop_reason")
        if not reason:
            return events
        if not isinstance(reason, str) or reason not in _REASONS:
            detail = f"The response ended with {str(reason)[:200]!r}."
            raise StreamErrorEvent({"stop_reason": str(reason)[:200], "detail": detail})
        self._stop_reason = reason
        return [*events, *self._release()]

    def _read_stop(self, event: dict[str, Any], data: bytes) -> list[Event]:
        if not self._stop_reason:
            return []  # it broke off
        self.finish_reason = effective_reason(_REASONS[self._stop_reason], bool(self._call_ids))
        self.done = True
        return [] if self._stop_reason == _PAUSED else [Finish(self.finish_reason)]
