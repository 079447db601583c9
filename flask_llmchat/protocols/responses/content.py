"""The content of a response, collected from its output items as they stream.

The same text comes four times: in deltas, in the ``done`` events of the part and of the item, and
in the last event. Some providers leave out one, some another; so each of them completes what the
earlier ones have brought. Items are told apart by ``output_index``: their ids change with some
providers, from one event to the next.
"""

from __future__ import annotations

import json
from typing import Any

from ...core.errors import StreamErrorEvent
from ...core.events import Event, ReasoningDelta, ReasoningEnd, TextDelta, ToolCallDelta
from ...core.limits import MAX_CALLS, MAX_PARTS, Budget
from ...core.reasoning import BEFORE_CALL, details_format
from ...core.result import ToolCall, new_call_id
from ..base import Totals
from ..json_values import as_dicts, word
from .findings import Findings
from .items import Call, Item, StreamedText
from .provider_tools import EARLY

TEXT, REFUSAL, REASONING, SUMMARY = "output_text", "refusal", "reasoning_text", "summary_text"

_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}


class Content:
    """Reads items and their pieces, and keeps what they add up to.

    :param provider: name of the provider's row, for the reasoning that it needs back.
    :ivar events: what the present event has brought.
    :ivar findings: what the provider's tools found, and what the text cites.
    """

    def __init__(self, provider: str, budget: Budget) -> None:
        self.events: list[Event] = []
        self.findings = Findings(budget)
        self._format = details_format("responses", provider)
        self._budget = budget
        self._totals = Totals()
        self._items: dict[Any, Item] = {}  # by index
        self._all: list[Item] = []  # in the order they came
        self._count = 0  # items and their texts
        self._calls: list[Call] = []  # those that events have brought
        self._held: dict[str, Any] | None = None  # a detail, until it is known what follows it

    def totals(self) -> Totals:
        """Return what all events so far add up to."""
        totals = self._totals
        totals.tool_calls = [
            ToolCall(c.id, c.name, "".join(c.arguments.pieces), None, c.custom) for c in self._calls
        ]
        self.findings.add_to(totals)
        return totals

    @property
    def has_calls(self) -> bool:
        """Whether there is a call for the client to carry out."""
        return bool(self._calls)

    def is_empty(self) -> bool:
        """Return whether no content came; sources alone are none."""
        totals = self._totals
        told = totals.text or totals.reasoning or totals.reasoning_details
        return not (told or self._calls or self.findings.tools)

    def item(self, key: Any, kind: str) -> Item:
        """Return the item of a type that streams at an index, a new one where there is none."""
        item = self._items.get(key)
        return item if item and item.kind == kind else self._add_item(key, kind, "")

    def _add_item(self, key: Any, kind: str, id_: str) -> Item:
        self._count_one()
        item = self._items[key] = Item(kind, id_)
        self._all.append(item)
        return item

    def text_of(self, item: Item, kind: str, index: Any) -> StreamedText:
        """Return one text of an item, a new one where there is none."""
        place = (kind, index)
        if place not in item.texts:
            self._count_one()
            item.texts[place] = StreamedText()
        return item.texts[place]

    def _count_one(self) -> None:
        self._count += 1
        if self._count > MAX_PARTS:
            raise StreamErrorEvent({"detail": f"More than {MAX_PARTS} items are not read."})

    def add_text(self, text: str, kind: str = TEXT) -> None:
        """Add a piece of the response's text, or of a refusal."""
        if text:
            if self._held is not None:
                self._release()
            self._budget.spend(len(text))
            self._totals.text.append(text)
            self.events.append(TextDelta(text, kind == REFUSAL))

    def add_reasoning(self, item: Item, place: tuple[str, Any], text: str) -> None:
        """Add a piece of the reasoning, from one text of an item.

        Raw reasoning and its summary say the same: the one that comes first is shown.
        """
        if not text:
            return
        self._budget.spend(len(text))
        if item.shown is None:
            self._release()
        elif item.shown[0] != place[0]:
            return
        elif item.shown != place:
            self.events.append(ReasoningEnd())
        item.shown = place
        self._totals.reasoning.append(text)
        self.events.append(ReasoningDelta(text))

    def add_thought(self, text: str) -> None:
        """Add reasoning that belongs to no item."""
        self._release()
        self._budget.spend(len(text))
        self._totals.reasoning.append(text)
        self.events.append(ReasoningDelta(text))

    def add_arguments(self, item: Item, kind: str, delta: Any, whole: Any = None) -> None:
        """Add a piece of a call's arguments, or complete them."""
        call = item.call
        if call is None:
            call = item.call = Call(kind == "custom_tool_call")
        text = call.arguments.complete(whole) if whole is not None else call.arguments.add(delta)
        self._budget.spend(len(text))
        if call.index >= 0:
            if text:
                self.events.append(ToolCallDelta(call.index, "", "", text, None, call.custom))
        elif text and call.id and call.name:
            self._begin_call(call)

    def _begin_call(self, call: Call) -> None:
        """Give a call to the client: with its id and its name, without which clients throw."""
        if len(self._calls) >= MAX_CALLS:
            raise StreamErrorEvent({"detail": f"More than {MAX_CALLS} tool calls are not taken."})
        if not call.id or any(call.id == other.id for other in self._calls):
            call.id = new_call_id()
        call.index = len(self._calls)
        self._calls.append(call)
        arguments = "".join(call.arguments.pieces)
        self.events.append(
            ToolCallDelta(call.index, call.id, call.name, arguments, None, call.custom)
        )

    def begin_item(self, key: Any, wire: dict[str, Any], data: bytes) -> None:
        """Read an item that begins.

        :param data: the JSON of its event.
        """
        kind, id_ = word(wire, "type"), word(wire, "id")
        item = self._items.get(key)
        if item is None or item.kind != kind or (item.start is not None and item.id != id_):
            item = self._add_item(key, kind, id_)
        item.start = {name: word(wire, name) for name in ("type", "id", "container_id")}
        item.id = item.id or id_
        self._release(word(wire, "call_id") if kind in _CALLS else "")
        if kind in _CALLS:
            # Its first event waits for its arguments: with Perplexity, a call of the provider's
            # own tool looks like one until it is done.
            call = item.call = item.call or Call(kind == "custom_tool_call")
            call.id, call.name = word(wire, "call_id"), word(wire, "name")
        elif kind in EARLY:
            self.findings.begin_tool(item, wire, data, self.events)

    def end_item(self, key: Any, wire: dict[str, Any], data: bytes) -> None:
        """Read an item that is complete, and what of it no earlier event has brought.

        :param data: the JSON of its event.
        """
        kind, id_ = word(wire, "type"), word(wire, "id")
        item = self._items.get(key)
        is_same = item is not None and item.kind == kind and (not item.done or item.id == id_)
        becomes = item is not None and item.call is not None and item.call.index < 0
        if item is None or not (is_same or becomes):
            item = self._add_item(key, kind, id_)
        if not item.done:
            self._end(item, wire, data)

    def _end(self, item: Item, wire: dict[str, Any], data: bytes) -> None:
        item.done = True
        kind = item.kind = word(wire, "type")
        item.id = item.id or word(wire, "id")
        if kind == "message":
            for index, part in enumerate(as_dicts(wire.get("content"))):
                self.complete_part(item, index, part)
        elif kind == "reasoning":
            self._end_reasoning(item, wire, data)
        elif kind in _CALLS:
            self._end_call(item, wire, kind)
        else:
            self._end_tool(item, wire, data)

    def complete_part(self, item: Item, index: Any, part: dict[str, Any]) -> None:
        """Complete one part of an item: a text, a refusal, or raw reasoning."""
        kind = word(part, "type")
        if kind == REASONING:
            text = self.text_of(item, kind, index).complete(part.get("text"))
            self.add_reasoning(item, (kind, index), text)
        elif kind in (TEXT, REFUSAL):
            field = "refusal" if kind == REFUSAL else "text"
            self.add_text(self.text_of(item, kind, index).complete(part.get(field)), kind)
            for annotation in as_dicts(part.get("annotations")):
                self.findings.cite(annotation, self.events)

    def _end_reasoning(self, item: Item, wire: dict[str, Any], data: bytes) -> None:
        parts: dict[str, list[str]] = {SUMMARY: [], REASONING: []}
        for kind, name in ((SUMMARY, "summary"), (REASONING, "content")):
            for index, part in enumerate(as_dicts(wire.get(name))):
                text = self.text_of(item, kind, index).complete(part.get("text"))
                self.add_reasoning(item, (kind, index), text)
                parts[kind].append(word(part, "text"))
        detail: dict[str, Any] = {"type": "reasoning.encrypted", "format": self._format}
        detail |= {"id": item.id} if item.id else {}
        if encrypted := word(wire, "encrypted_content"):
            detail |= {"data": encrypted, "summary": parts[SUMMARY]}
        elif parts[REASONING]:
            detail |= {"type": "reasoning.text", "text": "".join(parts[REASONING])}
        else:
            if item.shown is not None:
                self.events.append(ReasoningEnd())
            return
        self._budget.keep(data)
        self._budget.spend(len(data))
        self._release()
        self._held = detail

    def _release(self, call_id: str = "") -> None:
        """Give the detail that was held back.

        :param call_id: id of the tool call that follows it; "" for anything else.
        """
        if self._held is not None:
            detail, self._held = self._held, None
            if call_id:
                detail[BEFORE_CALL] = call_id
            self._totals.reasoning_details.append(detail)
            self.events.append(ReasoningEnd(detail))

    def _end_call(self, item: Item, wire: dict[str, Any], kind: str) -> None:
        call = item.call = item.call or Call(kind == "custom_tool_call")
        if call.index < 0:
            call.id = word(wire, "call_id") or call.id
            call.name = word(wire, "name") or call.name
            self._release(call.id)
        whole = wire.get(_CALLS[kind]) or ""
        self.add_arguments(item, kind, None, whole if isinstance(whole, str) else json.dumps(whole))
        if call.index < 0 and call.name:
            self._begin_call(call)

    def _end_tool(self, item: Item, wire: dict[str, Any], data: bytes) -> None:
        if item.call is not None:  # it turned out to be the provider's own
            wire = {"call_id": item.call.id, **wire}
            item.call = None
        self.findings.end_tool(item, wire, data, self.events)

    def end_code(self, key: Any, code: Any) -> None:
        """Give the call of a code interpreter, whose code is complete before it is run."""
        item = self._items.get(key)
        if item and item.kind == "code_interpreter_call":
            self.findings.end_code(item, code, self.events)

    def finish(self, output: list[dict[str, Any]]) -> None:
        """Read the items of the last event, and give what was held back.

        They are matched with those that were streamed by their ids, or else by their order among
        the items of their type: their places in the list need not be their indexes.
        """
        by_id = {(item.kind, item.id): item for item in self._all if item.id}
        found = [by_id.pop((word(wire, "type"), word(wire, "id")), None) for wire in output]
        matched = {id(item) for item in found}
        left: dict[str, list[Item]] = {}
        for item in reversed(self._all):
            if id(item) not in matched:
                left.setdefault(item.kind, []).append(item)
        for number, (wire, known) in enumerate(zip(output, found, strict=True)):
            same = left.get(word(wire, "type"))
            other = same.pop() if same and known is None else None
            item = known or other or self._add_item(("new", number), "", "")
            if not item.done:
                self._end(item, wire, json.dumps(wire).encode())
        for item in self._all:
            for place, text in item.texts.items():
                if place[0] in (TEXT, REFUSAL):
                    self.add_text(text.close(), place[0])
            if item.call is not None and item.call.index < 0 and item.call.name:
                self._begin_call(item.call)
        self._release()
