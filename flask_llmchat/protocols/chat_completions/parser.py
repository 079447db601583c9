"""Chat-completion chunks, as providers really send them, turned into events.

https://platform.openai.com/docs/api-reference/chat/streaming is what they should be; every part
that may be missing, null, said twice or in another place comes from recordings and reports.

What is read here is also set right here, in the chunk itself, so that encoders which pass chunks
on need not know of it: one choice, images and annotations where clients look for them, nothing
said twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...core.errors import StreamErrorEvent
from ...core.events import Chunk, Event, Finish, ReasoningDelta, TextDelta
from ...core.finish_reasons import effective_reason
from ...core.limits import Budget
from ...core.result import Usage, usage_body
from ..base import Totals
from ..json_values import read_json
from .attachments import Attachments
from .choices import Choices, index_of
from .failures import FailureFinder, failure_in
from .finish_reasons import ended_by, ending, is_failure
from .parts import answer_in, dicts, pages, pieces_in, reasoning_in, transcript_in
from .reasoning_details import Details
from .thinking import ThinkingTagParser
from .tool_calls import ToolCallAssembler, join_surrogates
from .usage import counts_are_plain, usage_in

# Looked for together and first, for most chunks have none of them.
_RARE = frozenset({"error", "base_resp", "usage", "x_groq", "citations", "search_results"})


_PLAIN_REASONING, _DETAILS = frozenset({"reasoning_content", "reasoning"}), "reasoning_details"


_THINKING = _PLAIN_REASONING | {_DETAILS}


_COMMON = _THINKING | {"role", "content", "refusal"}


# Fields of a delta that say something, though no text: the sound itself, tools of the provider's.
_SAYING = ("audio", "executed_tools", "server_tool_use", "tool_use", "tool_results")


# What servers send so that a connection is not taken for dead, besides comments.
_HEARTBEAT = re.compile(rb"\W*(ping|pong|heart[ _-]?beat|keep[ _-]?alive)\b", re.IGNORECASE)


class ChatCompletionParser:
    """Reads the chunks of one answer, and keeps what they add up to.

    :param thinking_tags: take what stands between ``<think>`` and ``</think>`` at the
        beginning of the text for thinking.
    :param passthrough: put a :class:`Chunk` in front of the events of every chunk.
    :ivar text: pieces of the answer so far.
    :ivar reasoning: pieces of the thinking so far.
    :ivar sources: pages the answer rests on, by URL, in the order they came.
    :ivar images: URLs of the images so far, in the order they came.
    :ivar usage: token count, once the provider has sent it.
    :ivar finish_reason: the provider's own ending, once it has come.
    :ivar done: whether ``[DONE]`` has come.
    """

    def __init__(self, *, thinking_tags: bool = False, passthrough: bool = False) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self._besides = Attachments(passthrough)
        self.sources, self.images = self._besides.sources, self._besides.images
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.done = False
        self._choices = Choices()
        self._instead = FailureFinder()
        self._reasoning_in = ""  # which of the places for thinking this provider uses
        self._details = Details()
        self._calls, self._others_calls = ToolCallAssembler(), ToolCallAssembler()
        self._think = ThinkingTagParser() if thinking_tags else None
        self._passthrough = passthrough
        self._half = ""  # the first half of a character whose other half is in the next chunk
        self._ended_in: int | None = None  # index of the choice that had the finish reason
        self._says_more = False  # than text, reasoning, calls and images
        self._budget = Budget()
        self._changed = False  # the chunk that is being read

    def totals(self) -> Totals:
        """Return what all chunks so far add up to."""
        return Totals(
            text=self.text,
            reasoning=self.reasoning,
            reasoning_details=self._details.joined(),
            tool_calls=[call for _, call in sorted(self._calls.joined().items())],
            sources=list(self.sources.values()),
            images=list(self.images),
            usage=self.usage,
            finish_reason=self.finish_reason,
        )

    def parse(self, name: str, data: bytes) -> list[Event] | None:
        """Take the next event of the stream; return what its chunk brings.

        :return: None for an event that holds nothing, as those that keep a connection open.
        :raises StreamErrorEvent: when it says that something failed, or has more than is taken.
        :raises ValueError: when it is no JSON.
        """
        if data.strip() == b"[DONE]":
            self.done = True
            return []
        # A name of the provider's own: its words are for others, its JSON may be a chunk.
        if name and (
            (name != "message" and not data.lstrip().startswith(b"{"))
            or _HEARTBEAT.match(name.encode())
        ):
            return None
        try:
            chunk = read_json(data)
        except (ValueError, RecursionError):
            if not data.strip() or _HEARTBEAT.match(data):
                return None
            raise
        return self.read(chunk, data) if chunk else None  # null, [] or {}

    def parse_whole(self, body: Any, data: bytes) -> list[Event] | None:
        """Take a whole completion for a stream of one chunk; None for anything else."""
        if isinstance(body, dict) and body.get("choices"):
            return self.read(body, data)
        return None

    def read(self, chunk: Any, data: bytes = b"") -> list[Event]:
        """Take the next chunk; return what it brings.

        :param data: its JSON, as it came.
        :raises StreamErrorEvent: when it says that something failed, or has more than is taken.
        """
        if chunk.__class__ is not dict:
            raise StreamErrorEvent(chunk)
        self._changed = False
        choices = chunk.get("choices")
        if choices.__class__ is not list or not choices:
            given, chunk = chunk, self._instead.look_through(chunk, data)
            self._changed = chunk is not given
            choices = chunk.get("choices")
        events: list[Event] = []
        only = choices[0] if choices.__class__ is list and len(choices) == 1 else None
        own: list[dict[str, Any]]
        others: list[dict[str, Any]]
        if isinstance(only, dict) and only.get("index") == self._choices.last:
            own, others = [only], []  # as nearly always
        else:
            own, others = self._choices.sort(choices)
        if len(own) < 2 and not others:
            self._read_one(chunk, own[0] if own else None, data, events)
            if self.text and self._choices.first < 0:
                self._choices.first = self._choices.last
        else:
            self._read_several(chunk, own, others, data, events)
        # After all that the chunk brings: the call may be in another choice than the ending.
        for choice in own:
            if choice.get("finish_reason") and self._read_ending(choice, events):
                self._ended_in = index_of(choice)
        return events

    def finish(self) -> list[Event]:
        """Return what was held back, now that the stream has come to its end.

        :raises ErrorChunk: when it is no whole answer.
        """
        events = self._flush()
        if self._choices.dropped and self._ended_in != self._choices.first:
            raise StreamErrorEvent(
                {"detail": "Several answers came mixed up, and none was complete."}
            )
        if self.finish_reason not in ("length", "content_filter") and self._is_empty():
            nothing = {"detail": "The answer had nothing in it."}
            raise StreamErrorEvent([*self._instead.said(), nothing, {"reason": self.finish_reason}])
        return events

    def unexpected(self) -> list[Any]:
        """Return what came in place of an answer; [] when there is one, or nothing came."""
        return self._instead.said() if self._is_empty() else []

    def _is_empty(self) -> bool:
        said = self.text or self.reasoning or self.images or self._half or self._says_more
        return not (said or self._calls or self._details)

    def _flush(self) -> list[Event]:
        """Return what was held back, for it might have been half of something."""
        events: list[Event] = []
        if self._half:
            self._half = ""
            self._add_text("\ufffd", events)
        if self._think:
            self._add_all(self._think.finish(), events)
        if self._others_calls and not self._calls:
            self._calls = self._others_calls
            self._calls.begin_again()
        return [*events, *self._calls.finish()]

    def _read_several(
        self,
        chunk: dict[str, Any],
        own: list[dict[str, Any]],
        others: list[dict[str, Any]],
        data: bytes,
        events: list[Event],
    ) -> None:
        """Read a chunk that has more than one choice, or one of another answer."""
        more: list[Event] = []
        for choice in others:
            self._read_other(choice, more)
        if not own and (more or not _RARE.isdisjoint(chunk)):
            own.append({"index": 0, "delta": {}})
        for i, choice in enumerate(own, 1):
            part = {**chunk, "choices": [choice]}
            if i < len(own):  # what stands beside the choices is read once
                part = {name: value for name, value in part.items() if name not in _RARE}
            self._changed = True
            self._read_one(part, choice, data, events)
        events += more

    def _read_one(
        self, chunk: dict[str, Any], choice: dict[str, Any] | None, data: bytes, events: list[Event]
    ) -> None:
        here = None
        if self._passthrough:
            here = Chunk(data, chunk, choice)
            events.append(here)
        if not _RARE.isdisjoint(chunk):
            self._read_beside(chunk, events)
        if choice is not None:
            self._read_choice(choice, data, events)
        if here is not None and self._changed:
            here.data = b""

    def _read_beside(self, chunk: dict[str, Any], events: list[Event]) -> None:
        """Read what stands beside the choices."""
        if (body := failure_in(chunk)) is not None:
            raise StreamErrorEvent(body)
        self._count(chunk)
        if self._passthrough and not counts_are_plain(chunk.get("usage")):
            usage = usage_in(chunk)
            chunk["usage"] = usage and usage_body(usage)
            self._changed = True
        if "citations" in chunk or "search_results" in chunk:
            self._besides.read_sources(pages(chunk), events)

    def _count(self, holder: Mapping[str, Any]) -> None:
        usage = usage_in(holder)
        if usage is not None and (usage.total_tokens or self.usage is None):
            self.usage = usage

    def _read_choice(self, choice: dict[str, Any], data: bytes, events: list[Event]) -> None:
        delta = choice.get("delta")
        if not delta or delta.__class__ is not dict:
            delta = self._choices.delta_instead(choice, self._is_empty())
            self._changed = self._changed or delta is not None
        if delta is not None:
            self._read_delta(delta, data, events)
        if "usage" in choice:  # Moonshot's place for it
            self._count(choice)
        if "native_finish_reason" in choice and is_failure(choice["native_finish_reason"]):
            raise StreamErrorEvent(ended_by(choice, "native_finish_reason"))
        if self._passthrough and choice.get("logprobs"):
            self._budget.keep(data)
            self._budget.count_tokens(choice["logprobs"])

    def _read_other(self, choice: dict[str, Any], events: list[Event]) -> None:
        """Read a choice of another answer: its calls may be wanted."""
        delta = choice.get("delta")
        if not isinstance(delta, dict) or not delta:
            delta = choice.get("message")
        if isinstance(delta, dict):
            if delta.get("content") or delta.get("refusal"):
                self._choices.drop(choice)
            for piece in pieces_in(delta):
                calls = self._others_calls.read(piece)
                if self._calls is self._others_calls:
                    events += calls
        if "usage" in choice:
            self._count(choice)
        if choice.get("finish_reason") and self._choices.is_whole(choice):
            self._read_ending(choice, events)

    def _read_ending(self, choice: dict[str, Any], events: list[Event]) -> bool:
        """Read a finish reason; tell whether it is the answer's, which is the first."""
        reason = ending(choice["finish_reason"])
        if reason == "error":
            raise StreamErrorEvent(ended_by(choice, "finish_reason"))
        if reason is None or self.finish_reason is not None:
            return False
        events += self._flush()
        self.finish_reason = effective_reason(reason, bool(self._calls))
        events.append(Finish(self.finish_reason))
        return True

    def _read_delta(self, delta: dict[str, Any], data: bytes, events: list[Event]) -> None:
        content = delta.get("content")
        if content.__class__ is str and len(delta) == 1:
            if content:
                self._add_text(content, events)
            return
        parts = [content] if isinstance(content, dict) else content
        if parts.__class__ is not list:
            parts = []
        if parts or not _THINKING.isdisjoint(delta):
            self._read_reasoning(delta, parts, data, events)
        if parts:
            content = "".join(map(answer_in, parts))
        if not content or not isinstance(content, str):
            # What a model says when it refuses is what it says to its user.
            content = delta.get("refusal") or transcript_in(delta)
        if content and isinstance(content, str):
            self._add_text(content, events)
        if parts or not delta.keys() <= _COMMON:
            self._read_besides(delta, parts, data, events)

    def _read_reasoning(
        self, delta: dict[str, Any], parts: list[Any], data: bytes, events: list[Event]
    ) -> None:
        if self._reasoning_in in _PLAIN_REASONING and not parts and _DETAILS not in delta:
            reasoning = delta.get(self._reasoning_in)  # as nearly always
            if reasoning and isinstance(reasoning, str):
                self._add(ReasoningDelta(reasoning), events)
            return
        for place, reasoning in reasoning_in(delta, parts):
            # Some say the same in two places, and not always in the same chunk.
            if reasoning and self._reasoning_in in ("", place):
                self._reasoning_in = place
                self._add(ReasoningDelta(reasoning), events)
        if details := dicts(delta.get(_DETAILS)):
            self._budget.keep(data)
            for detail in details:
                self._budget.spend(sum(len(v) for v in detail.values() if isinstance(v, str)))
                self._details.add(detail)

    def _read_besides(
        self, delta: dict[str, Any], parts: list[Any], data: bytes, events: list[Event]
    ) -> None:
        for piece in pieces_in(delta):
            if "extra_content" in piece:
                self._budget.keep(data)
                self._budget.spend(len(data))
            events += self._calls.read(piece)
        if delta.get("function_call"):  # the form before tool calls; written as one
            delta["function_call"] = None
            self._changed = True
        if "images" in delta or parts:
            self._changed |= self._besides.read_images(delta, parts, events)
        if "annotations" in delta or parts:
            self._budget.keep(data)
            self._budget.spend(len(data))
            self._changed |= self._besides.read_annotations(delta, parts, events)
        if "citations" in delta:
            self._besides.read_sources(pages(delta), events)
        self._says_more = self._says_more or any(delta.get(name) for name in _SAYING)

    def _add_text(self, text: str, events: list[Event]) -> None:
        if self._half or not text.isascii():
            text, self._half = join_surrogates(self._half + text)
        if self._think:
            self._add_all(self._think.feed(text), events)
        elif text:
            self._budget.spend(len(text))
            self.text.append(text)
            events.append(TextDelta(text))

    def _add(self, event: TextDelta | ReasoningDelta, events: list[Event]) -> None:
        if event.text:
            self._budget.spend(len(event.text))
            kept = self.text if isinstance(event, TextDelta) else self.reasoning
            kept.append(event.text)
            events.append(event)

    def _add_all(self, found: list[TextDelta | ReasoningDelta], events: list[Event]) -> None:
        for event in found:
            self._add(event, events)
