"""Parses the events of OpenAI's Responses, as providers really send them.

https://platform.openai.com/docs/api-reference/responses-streaming is what they should be. Events
and items that are not known are ignored: OpenAI adds some every few months.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...core.errors import EmptyResponse, StreamErrorEvent
from ...core.events import Event, Finish, ReasoningEnd
from ...core.finish_reasons import effective_reason
from ...core.limits import Budget
from ...core.result import Usage
from ..base import Totals
from ..json_values import as_dicts, read_json, word
from .content import REASONING, REFUSAL, SUMMARY, TEXT, Content
from .items import StreamedText
from .provider_tools import pages_in
from .usage import usage_in

_TEXT_DELTA = "response.output_text.delta"

# What says only that the provider is still there.
_HEARTBEATS = frozenset({"response.in_progress", "response.queued", "keepalive", "ping"})

_STATUSES = {
    "response.completed": "completed",
    "response.done": "completed",  # xAI's
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
}

_SHOWN = 4000  # characters of each text in an error


class ResponsesParser:
    """Parses the events of one response, and keeps what they add up to.

    :param provider: name of the provider's row, for the reasoning that it needs back.
    """

    def __init__(self, provider: str) -> None:
        self.finish_reason: str | None = None
        self.done = False
        self._budget = Budget()
        self._content = Content(provider, self._budget)
        self._usage: Usage | None = None
        # The text that streams, and where it is.
        self._text: StreamedText | None = None
        self._place: tuple[Any, Any] = (None, None)

    def totals(self) -> Totals:
        """Return what all events so far add up to."""
        totals = self._content.totals()
        totals.usage, totals.finish_reason = self._usage, self.finish_reason
        return totals

    def parse(self, name: str, data: bytes) -> list[Event] | None:
        """Take the next server-sent event; return the events it brings.

        :return: None for one that only keeps the connection open.
        :raises StreamErrorEvent: when it reports an error, or exceeds a limit.
        :raises ValueError: when it is not JSON.
        """
        try:
            event = read_json(data)
        except (ValueError, RecursionError):
            # Some providers end the stream as chat completions end; it does not mean anything.
            if data.strip() == b"[DONE]":
                return []
            if name in _HEARTBEATS or not data.strip():
                return None
            raise
        if not event or name in _HEARTBEATS:
            return None
        if event.__class__ is not dict:
            raise StreamErrorEvent(event)
        kind = event["type"] = event.get("type") or name
        content = self._content
        events: list[Event] = []
        content.events = events
        if kind == _TEXT_DELTA:  # as nearly always
            index = event.get("output_index")
            item = event.get("item_id") if index is None else index
            place = (item, event.get("content_index"))
            if self._text is None or place != self._place:
                self._place = place
                self._text = content.text_of(
                    content.item(_key(event), "message"), TEXT, _index(event)
                )
            content.add_text(self._text.add(event.get("delta")))
        elif not isinstance(kind, str):
            pass
        elif kind in _STATUSES:
            self._end(event.get("response"), _STATUSES[kind])
        elif kind in _HEARTBEATS:
            return None
        elif kind == "error" or (event.get("error") and kind not in _HANDLERS):
            raise _failure(event)
        elif (handler := _HANDLERS.get(kind)) is not None:
            self._text = None
            handler(self, event, data)
        return events

    def parse_whole(self, body: Any, data: bytes) -> list[Event] | None:
        """Parse a whole response that came in place of a stream; None for anything else."""
        if not (isinstance(body, dict) and isinstance(body.get("output"), list)):
            return None
        events: list[Event] = []
        self._content.events = events
        self._end(body, word(body, "status") or "completed")
        return events

    def finish(self) -> list[Event]:
        """Return nothing: the last event has given what was held back.

        :raises StreamErrorEvent: when what came is not a complete response.
        """
        if self.finish_reason in ("stop", "tool_calls") and self._content.is_empty():
            raise EmptyResponse({"detail": "The answer had nothing in it."})
        return []

    def _end(self, response: Any, status: str) -> None:
        """Read the last event, which has the whole response again."""
        response = response if isinstance(response, dict) else {}
        # vLLM completes a response that is not complete. The other way round, a status that was
        # forgotten does not make a failure complete.
        if status == "completed" and response.get("status") in _STATUSES.values():
            status = response["status"]
        self._usage = usage_in(response) or self._usage
        self._content.finish(as_dicts(response.get("output")))
        if status == "incomplete":
            reason = _ending(response)
        elif status == "completed" and not response.get("error"):
            reason = effective_reason("stop", self._content.has_calls)
        else:
            raise _failure(response, f"The response is {status}.")
        self.finish_reason, self.done = reason, True
        self._content.events.append(Finish(reason))

    # One method for each kind of event.

    def _begin_item(self, event: dict[str, Any], data: bytes) -> None:
        if isinstance(item := event.get("item"), dict):
            self._content.begin_item(_key(event), item, data)

    def _end_item(self, event: dict[str, Any], data: bytes) -> None:
        if isinstance(item := event.get("item"), dict):
            self._content.end_item(_key(event), item, data)

    def _part(self, event: dict[str, Any], data: bytes) -> None:
        if isinstance(part := event.get("part"), dict):
            kind = "reasoning" if part.get("type") == REASONING else "message"
            item = self._content.item(_key(event), kind)
            self._content.complete_part(item, _index(event), part)

    def _end_text(self, event: dict[str, Any], data: bytes) -> None:
        self._part({**event, "part": {"type": TEXT, "text": event.get("text")}}, data)

    def _refuse(self, event: dict[str, Any], data: bytes) -> None:
        item = self._content.item(_key(event), "message")
        text = self._content.text_of(item, REFUSAL, _index(event))
        self._content.add_text(text.add(event.get("delta")), REFUSAL)

    def _end_refusal(self, event: dict[str, Any], data: bytes) -> None:
        self._part({**event, "part": {"type": REFUSAL, "refusal": event.get("refusal")}}, data)

    def _annotate(self, event: dict[str, Any], data: bytes) -> None:
        if isinstance(annotation := event.get("annotation"), dict):
            self._budget.spend(len(data))
            self._content.findings.cite(annotation, self._content.events)

    def _reason(self, event: dict[str, Any], data: bytes) -> None:
        """Read a delta of raw reasoning or of its summary, or one of them as a whole."""
        is_summary = "summary_index" in event
        place = (SUMMARY if is_summary else REASONING, _index(event))
        item = self._content.item(_key(event), "reasoning")
        text = self._content.text_of(item, *place)
        part = event.get("part")
        whole = part.get("text") if isinstance(part, dict) else event.get("text")
        new = text.add(event["delta"]) if "delta" in event else text.complete(whole)
        self._content.add_reasoning(item, place, new)

    def _call(self, event: dict[str, Any], data: bytes) -> None:
        self._arguments(event, "function_call", event.get("arguments"))

    def _custom_call(self, event: dict[str, Any], data: bytes) -> None:
        self._arguments(event, "custom_tool_call", event.get("input"))

    def _arguments(self, event: dict[str, Any], kind: str, whole: Any) -> None:
        item = self._content.item(_key(event), kind)
        self._content.add_arguments(item, kind, event.get("delta"), whole)

    def _end_code(self, event: dict[str, Any], data: bytes) -> None:
        self._budget.spend(len(data))
        self._content.end_code(_key(event), event.get("code"))

    def _think(self, event: dict[str, Any], data: bytes) -> None:
        """Read what Perplexity tells about its work, and the pages that it has found."""
        thought = word(event, "thought")
        started = event["type"].endswith("started")
        if thought and (started or self._thinks):
            self._content.add_thought(thought)
        self._thinks = started or self._thinks
        if event["type"].endswith("stopped") and self._thinks:
            self._thinks = False
            self._content.events.append(ReasoningEnd())
        for page in pages_in({**event, "type": "_results"}):
            self._content.findings.cite(page, self._content.events)

    _thinks = False


def _key(event: dict[str, Any]) -> Any:
    """Return what tells items apart: their index, or their id where they have none.

    The index is a number, but for servers that write it as text.
    """
    index = event.get("output_index")
    if index is not None:
        return str(index)
    item = event.get("item")
    return str(event.get("item_id") or (item.get("id") if isinstance(item, dict) else None))


def _index(event: dict[str, Any]) -> int:
    """Return the index of a part; 0 for an event without one."""
    index = event.get("summary_index", event.get("content_index"))
    return index if isinstance(index, int) else 0


def _ending(response: dict[str, Any]) -> str:
    """Return the finish reason of an incomplete response.

    :raises StreamErrorEvent: for a reason that nobody knows.
    """
    details = response.get("incomplete_details")
    reason = word(details, "reason") if isinstance(details, dict) else ""
    if reason == "length" or reason.startswith("max_"):  # output tokens, tool calls, messages
        return "length"
    if "content_filter" in reason:
        return "content_filter"
    raise _failure(response, f"The response is incomplete: {reason[:100] or 'no reason'}.")


def _failure(holder: dict[str, Any], detail: str = "") -> StreamErrorEvent:
    """Return the error for a failed response or an ``error`` event, flat or with an object."""
    error = holder.get("error")
    if isinstance(error, str):
        error = {"message": error}
    fields = error if isinstance(error, dict) and error else holder
    found = {name: fields.get(name) for name in ("code", "type", "message", "param", "status")}
    told = {n: v[:_SHOWN] if isinstance(v, str) else v for n, v in found.items() if _is_plain(v)}
    return StreamErrorEvent(
        {"error": told, **({"detail": detail} if detail else {})}, is_small=True
    )


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and abs(value) < 2**63)


_Handler = Callable[[ResponsesParser, dict[str, Any], bytes], None]

_HANDLERS: dict[str, _Handler] = {
    f"response.{name}": handler
    for names, handler in (
        ("output_item.added", ResponsesParser._begin_item),
        ("output_item.done", ResponsesParser._end_item),
        ("content_part.added content_part.done", ResponsesParser._part),
        ("output_text.done", ResponsesParser._end_text),
        ("output_text.annotation.added", ResponsesParser._annotate),
        ("refusal.delta", ResponsesParser._refuse),
        ("refusal.done", ResponsesParser._end_refusal),
        ("reasoning_text.delta reasoning_text.done", ResponsesParser._reason),
        ("reasoning_summary_part.added reasoning_summary_part.done", ResponsesParser._reason),
        ("reasoning_summary_text.delta reasoning_summary_text.done", ResponsesParser._reason),
        ("function_call_arguments.delta function_call_arguments.done", ResponsesParser._call),
        ("custom_tool_call_input.delta custom_tool_call_input.done", ResponsesParser._custom_call),
        ("code_interpreter_call_code.done", ResponsesParser._end_code),
        ("reasoning.started reasoning.stopped", ResponsesParser._think),
        ("reasoning.search_queries reasoning.search_results", ResponsesParser._think),
        ("reasoning.fetch_url_queries reasoning.fetch_url_results", ResponsesParser._think),
    )
    for name in names.split()
}
