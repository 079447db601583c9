"""Parses chat-completion chunks, as providers really send them, into events.

https://platform.openai.com/docs/api-reference/chat/streaming is what they should be; every part
that may be missing, null, repeated or in another place comes from recordings and reports.

The parser also corrects the chunk itself, so that encoders which pass chunks on need not: one
choice, images and annotations where clients look for them, nothing twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...core.errors import EmptyResponse, StreamErrorEvent
from ...core.events import Chunk, Event, Finish
from ...core.finish_reasons import effective_reason
from ...core.limits import Budget
from ...core.result import Usage, usage_body
from ..base import Totals
from ..errors import message_in
from ..json_values import read_json
from .choices import Choices, index_of
from .content import Content
from .finish_reasons import ended_by, ending, is_failure
from .stream_errors import StreamErrors, error_in
from .tool_calls import ToolCallAssembler, tool_call_pieces
from .usage import counts_are_plain, usage_in

# Fields beside the choices. Looked for together and first, for most chunks have none of them.
_RARE = frozenset({"error", "base_resp", "usage", "x_groq", "citations", "search_results"})

# What servers send so that a connection is not taken for dead, besides comments.
_HEARTBEAT = re.compile(rb"\W*(ping|pong|heart[ _-]?beat|keep[ _-]?alive)\b", re.IGNORECASE)


class ChatCompletionParser:
    """Parses the chunks of one response, and keeps what they add up to.

    :param thinking_tags: parse what stands between ``<think>`` and ``</think>`` at the
        beginning of the text as reasoning.
    :param passthrough: precede the events of every chunk with a :class:`~flask_llmchat.Chunk`.
    """

    def __init__(self, *, thinking_tags: bool = False, passthrough: bool = False) -> None:
        self.finish_reason: str | None = None
        self.done = False
        self._budget = Budget()
        self._content = Content(
            thinking_tags=thinking_tags, passthrough=passthrough, budget=self._budget
        )
        self._usage: Usage | None = None
        self._choices = Choices()
        self._others_calls = ToolCallAssembler()  # of alternative responses
        self._errors = StreamErrors()
        self._passthrough = passthrough
        self._ended_in: int | None = None  # index of the choice that had the finish reason
        self._changed = False  # the chunk that is being read

    def totals(self) -> Totals:
        """Return what all chunks so far add up to."""
        totals = self._content.totals()
        totals.usage, totals.finish_reason = self._usage, self.finish_reason
        return totals

    def parse(self, name: str, data: bytes) -> list[Event] | None:
        """Take the next server-sent event; return the events that its chunk brings.

        :return: None for one that holds nothing, such as a heartbeat.
        :raises StreamErrorEvent: when it reports an error, or exceeds a limit.
        :raises ValueError: when it is not JSON.
        """
        if data.strip() == b"[DONE]":
            self.done = True
            return []
        # Under a name of the provider's own, text is not for us; JSON may be a chunk.
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
        if not chunk or (isinstance(chunk, str) and _HEARTBEAT.match(data)):  # null, [], {}, "ping"
            return None
        return self.read(chunk, data)

    def parse_whole(self, body: Any, data: bytes) -> list[Event] | None:
        """Parse a whole completion as a stream of one chunk; None for anything else."""
        if isinstance(body, dict) and not body.get("choices"):
            body = self._errors.unwrap(body, data)
        if not (isinstance(body, dict) and body.get("choices")):
            return None
        events = self.read(body, data)
        self.done = True
        return events

    def read(self, chunk: Any, data: bytes = b"") -> list[Event]:
        """Take the next chunk; return the events it brings.

        :param data: its JSON, as it came.
        :raises StreamErrorEvent: when it reports an error, or exceeds a limit.
        """
        if chunk.__class__ is not dict:
            raise StreamErrorEvent(chunk)
        self._changed = False
        choices = chunk.get("choices")
        if choices.__class__ is not list or not choices:
            given, chunk = chunk, self._errors.unwrap(chunk, data)
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
            if self._choices.first < 0 and self._content.text:
                self._choices.first = self._choices.last
        else:
            self._read_several(chunk, own, others, data, events)
        # Last: the tool call may be in another choice than the finish reason.
        for choice in own:
            if choice.get("finish_reason") and self._read_ending(choice, events):
                self._ended_in = index_of(choice)
        return events

    def finish(self) -> list[Event]:
        """Return what was held back, now that the stream has ended.

        :raises StreamErrorEvent: when what came is not a complete response.
        """
        if not self.done and self.finish_reason is None:
            raise StreamErrorEvent(self._errors.kept if self._content.is_empty() else None)
        events = self._content.flush(self._others_calls)
        if self._choices.dropped and self._ended_in != self._choices.first:
            raise StreamErrorEvent(
                {"detail": "Several answers came mixed up, and none was complete."}
            )
        if self.finish_reason not in ("length", "content_filter") and self._content.is_empty():
            empty = {"detail": "The answer had nothing in it."}
            body = [*self._errors.kept, empty, {"reason": self.finish_reason}]
            # Most objects without choices are none: token counts, for example.
            explained = message_in(self._errors.kept)
            raise StreamErrorEvent(body) if explained else EmptyResponse(body)
        return events

    def _read_several(
        self,
        chunk: dict[str, Any],
        own: list[dict[str, Any]],
        others: list[dict[str, Any]],
        data: bytes,
        events: list[Event],
    ) -> None:
        """Read a chunk that has several choices, or one of an alternative response."""
        more: list[Event] = []
        for choice in others:
            self._read_other(choice, more)
        if not own and (more or not _RARE.isdisjoint(chunk)):
            own.append({"index": 0, "delta": {}})
        for i, choice in enumerate(own, 1):
            part = {**chunk, "choices": [choice]}
            if i < len(own):  # the fields beside the choices are read once
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
        """Read the fields beside the choices."""
        if (body := error_in(chunk)) is not None:
            raise StreamErrorEvent(body)
        self._count(chunk)
        if self._passthrough and not counts_are_plain(chunk.get("usage")):
            usage = usage_in(chunk)
            chunk["usage"] = usage and usage_body(usage)
            self._changed = True
        if "citations" in chunk or "search_results" in chunk:
            self._content.read_citations(chunk, events)

    def _count(self, holder: Mapping[str, Any]) -> None:
        usage = usage_in(holder)
        if usage is not None and (usage.total_tokens or self._usage is None):
            self._usage = usage

    def _read_choice(self, choice: dict[str, Any], data: bytes, events: list[Event]) -> None:
        delta = choice.get("delta")
        if not delta or delta.__class__ is not dict:
            delta = self._choices.delta_instead(choice, self._content.is_empty())
            self._changed = self._changed or delta is not None
        if choice.get("error"):  # whatever its finish reason is
            raise StreamErrorEvent({"error": choice["error"]})
        if delta is not None and self._content.read(delta, data, events):
            self._changed = True
        if "usage" in choice:  # Moonshot's place for it
            self._count(choice)
        if "native_finish_reason" in choice and is_failure(choice["native_finish_reason"]):
            raise StreamErrorEvent(ended_by(choice, "native_finish_reason"))
        if self._passthrough and choice.get("logprobs"):
            self._budget.keep(data)
            self._budget.count_tokens(choice["logprobs"])

    def _read_other(self, choice: dict[str, Any], events: list[Event]) -> None:
        """Read a choice of an alternative response: its tool calls may count."""
        delta = choice.get("delta")
        if not isinstance(delta, dict) or not delta:
            delta = choice.get("message")
        if isinstance(delta, dict):
            if delta.get("content") or delta.get("refusal"):
                self._choices.drop(choice)
            for piece in tool_call_pieces(delta):
                found = self._others_calls.read(piece)
                if self._content.calls is self._others_calls:
                    events += found
        if "usage" in choice:
            self._count(choice)
        if choice.get("finish_reason") and self._choices.is_whole(choice):
            self._read_ending(choice, events)

    def _read_ending(self, choice: dict[str, Any], events: list[Event]) -> bool:
        """Read a finish reason; return whether it is the response's: the first one is."""
        reason = ending(choice["finish_reason"])
        if reason == "error":
            raise StreamErrorEvent(ended_by(choice, "finish_reason"))
        if reason is None or self.finish_reason is not None:
            return False
        events += self._content.flush(self._others_calls)
        self.finish_reason = effective_reason(reason, bool(self._content.calls))
        events.append(Finish(self.finish_reason))
        return True
