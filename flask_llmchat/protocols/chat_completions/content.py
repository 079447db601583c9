"""The content of a response: text, reasoning, tool calls and attachments, read from its deltas."""

from __future__ import annotations

from typing import Any

from ...core.errors import StreamErrorEvent
from ...core.events import Event, ReasoningDelta, TextDelta
from ...core.limits import Budget
from ..base import Totals
from ..json_values import as_dicts
from ..surrogates import join_surrogates
from .attachments import Attachments, other_parts
from .reasoning import ReasoningDetails, ThinkingTagParser, reasoning_in
from .text import text_in, transcript_in
from .tool_calls import ToolCallAssembler, tool_call_pieces

_PLAIN_REASONING, _DETAILS = frozenset({"reasoning_content", "reasoning"}), "reasoning_details"

_REASONING = _PLAIN_REASONING | {_DETAILS}

_COMMON = _REASONING | {"role", "content", "refusal"}

# Fields of a delta that are a response, though without text: the sound itself, hosted tools.
_OTHER_CONTENT = ("audio", "executed_tools", "server_tool_use", "tool_use", "tool_results")


class Content:
    """Reads deltas, and keeps what they add up to.

    :param thinking_tags: parse what stands between ``<think>`` and ``</think>`` at the
        beginning of the text as reasoning.
    :param passthrough: whether chunks are passed on.
    :ivar calls: the tool calls.
    """

    def __init__(self, *, thinking_tags: bool, passthrough: bool, budget: Budget) -> None:
        self.text: list[str] = []
        self.calls = ToolCallAssembler()
        self._reasoning: list[str] = []
        self._reasoning_place = ""  # which of the places for reasoning this provider uses
        self._details = ReasoningDetails()
        self._attachments = Attachments(passthrough)
        self.read_citations = self._attachments.read_citations
        self._tags = ThinkingTagParser() if thinking_tags else None
        self._half = ""  # the first half of a surrogate pair whose other half is in the next chunk
        self._has_other = False  # content than text, reasoning, tool calls and images
        self._budget = budget

    def totals(self) -> Totals:
        """Return what all deltas so far add up to."""
        return Totals(
            text=self.text,
            reasoning=self._reasoning,
            reasoning_details=self._details.joined(),
            tool_calls=self.calls.joined(),
            sources=list(self._attachments.sources.values()),
            images=list(self._attachments.images),
        )

    def is_empty(self) -> bool:
        """Return whether no content came; sources alone are none."""
        content = self.text or self._reasoning or self._attachments.images or self._half
        return not (content or self._has_other or self.calls or self._details)

    def flush(self, others_calls: ToolCallAssembler) -> list[Event]:
        """Return what was held back because the rest of it might have followed.

        :param others_calls: the tool calls of alternative responses: they count where this
            response has none.
        """
        events: list[Event] = []
        if self._half:
            self._half = ""
            self._add_text("\ufffd", events)
        if self._tags:
            self._add_all(self._tags.finish(), events)
        if others_calls and not self.calls:
            self.calls = others_calls
            self.calls.begin_again()
        return [*events, *self.calls.finish()]

    def read(self, delta: dict[str, Any], data: bytes, events: list[Event]) -> bool:
        """Read a delta, and append the events it brings.

        :param data: the JSON of its chunk.
        :return: whether the delta had to be changed.
        """
        content = delta.get("content")
        if content.__class__ is str and len(delta) == 1:
            if content:
                self._add_text(content, events)
            return False
        parts = [content] if isinstance(content, dict) else content
        if parts.__class__ is not list:
            parts = []
        if parts or not _REASONING.isdisjoint(delta):
            self._read_reasoning(delta, parts, data, events)
        if parts:
            content = "".join(map(text_in, parts))
        if not content or not isinstance(content, str):
            if (refusal := delta.get("refusal")) and isinstance(refusal, str):
                self._add_refusal(refusal, events)
            else:
                content = transcript_in(delta)
        if content and isinstance(content, str):
            self._add_text(content, events)
        if parts or not delta.keys() <= _COMMON:
            return self._read_rest(delta, parts, data, events)
        return False

    def _read_reasoning(
        self, delta: dict[str, Any], parts: list[Any], data: bytes, events: list[Event]
    ) -> None:
        if self._reasoning_place in _PLAIN_REASONING and not parts and _DETAILS not in delta:
            reasoning = delta.get(self._reasoning_place)  # as nearly always
            if reasoning and isinstance(reasoning, str):
                self._add(ReasoningDelta(reasoning), events)
            return
        for place, reasoning in reasoning_in(delta, parts):
            # Some providers repeat it in a second place, and not always in the same chunk.
            if reasoning and self._reasoning_place in ("", place):
                self._reasoning_place = place
                self._add(ReasoningDelta(reasoning), events)
        if details := as_dicts(delta.get(_DETAILS)):
            self._budget.keep(data)
            for detail in details:
                self._budget.spend(sum(len(v) for v in detail.values() if isinstance(v, str)))
                self._details.add(detail)

    def _read_rest(
        self, delta: dict[str, Any], parts: list[Any], data: bytes, events: list[Event]
    ) -> bool:
        """Read tool calls and attachments; return whether the delta had to be changed."""
        if delta.get("error"):
            raise StreamErrorEvent({"error": delta["error"]})
        changed = False
        for piece in tool_call_pieces(delta):
            if "extra_content" in piece:
                self._keep(data)
            events += self.calls.read(piece)
        if delta.get("function_call"):
            delta["function_call"] = None  # passed on as a tool call, which replaced it
            changed = True
        images = parts + other_parts(delta)
        if "images" in delta or images:
            changed |= self._attachments.read_images(delta, images, events)
        if "annotations" in delta or parts:
            self._keep(data)
            changed |= self._attachments.read_annotations(delta, parts, events)
        if "citations" in delta:
            self.read_citations(delta, events)
        self._has_other = self._has_other or any(delta.get(name) for name in _OTHER_CONTENT)
        return changed

    def _keep(self, data: bytes) -> None:
        """Count a chunk of which more than text is kept."""
        self._budget.keep(data)
        self._budget.spend(len(data))

    def _add_text(self, text: str, events: list[Event]) -> None:
        if self._half or not text.isascii():
            text, self._half = join_surrogates(self._half + text)
        if self._tags:
            self._add_all(self._tags.feed(text), events)
        elif text:
            self._budget.spend(len(text))
            self.text.append(text)
            events.append(TextDelta(text))

    def _add_refusal(self, refusal: str, events: list[Event]) -> None:
        """Add a refusal: it is the model's text for the user."""
        found: list[Event] = []
        self._add_text(refusal, found)
        for event in found:
            if isinstance(event, TextDelta):
                event.refusal = True
        events += found

    def _add(self, event: TextDelta | ReasoningDelta, events: list[Event]) -> None:
        if event.text:
            self._budget.spend(len(event.text))
            kept = self.text if isinstance(event, TextDelta) else self._reasoning
            kept.append(event.text)
            events.append(event)

    def _add_all(self, found: list[TextDelta | ReasoningDelta], events: list[Event]) -> None:
        for event in found:
            self._add(event, events)
