"""Several responses of the model in one chat, with tools that the server runs between them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..core.errors import ChatError
from ..core.events import (
    ApprovalRequest,
    Event,
    Finish,
    StepStart,
    TextDelta,
    ToolCallDelta,
    ToolProgress,
    ToolResult,
    ToolsStart,
)
from ..core.finish_reasons import effective_reason
from ..core.request import ChatRequest, Message
from ..core.result import ToolCall
from ..dialects.strict_json import parse_value
from ..protocols import Totals
from ..transport.watchdog import TICK, CancelToken
from .event_source import EventSource
from .host import Host
from .recorder import ChatRecorder
from .tool_runner import ToolRunner, ToolStep
from .upstream_request import UpstreamRequest

_BETWEEN_STEPS = "\n\n"


class ToolLoop:
    """An event source over the steps of a chat: responses of the model, and tools between them.

    After a response that calls tools of the server, these are run, and the model is called again
    with their results, until a response calls none. In the last step that is allowed the model
    may call none, so that a chat ends in words. A chat whose calls wait for the user's approval
    ends with these; the next one brings the decisions, and begins with the tools.

    :param source: the first response; None for a chat that begins with the tools.
    :param request: the request for it.
    :param chat: the chat as it was sent, with the tools of client and server.
    :param open_step: sends the request of a further step, as a new attempt.
    :param client_tools: names of the tools that the client runs itself.
    :param shows_tools: whether the client is shown the calls of the server's tools. One that is not
        gets a response with calls of its own tools at once, and those of the server's beside them
        are not run: it could not send them back.
    """

    def __init__(
        self,
        source: EventSource | None,
        request: UpstreamRequest,
        chat: ChatRequest,
        open_step: Callable[[UpstreamRequest], EventSource],
        *,
        runner: ToolRunner,
        recorder: ChatRecorder,
        cancel: CancelToken,
        host: Host,
        client_tools: frozenset[str],
        shows_tools: bool,
    ) -> None:
        self._source = source
        self._request = request
        self._chat = chat
        self._open_step = open_step
        self._runner = runner
        self._recorder = recorder
        self._cancel = cancel
        self._host = host
        self._client_tools = client_tools
        self._shows_tools = shows_tools
        self._step = 1 if source else 0
        self._running: list[ToolCall] = []  # the calls that are being run
        self._others: list[ToolCall] = []  # those of the same response that the client runs
        self._hidden: set[int] = set()  # indexes of calls that the client is not shown
        self._separator = ""  # what stands in front of the next text
        self._has_text = False
        self._ended = False

    def read(self, timeout: float | None = None) -> list[Event] | None:
        """Return the next events; an empty list when the chat is complete."""
        try:
            return self._read(timeout)
        except ChatError as error:
            error.may_repeat = not self._runner.runs
            raise

    def _read(self, timeout: float | None) -> list[Event] | None:
        until = None if timeout is None else time.monotonic() + timeout
        while not self._ended:
            left = None if until is None else max(until - time.monotonic(), 0.0)
            if self._running:
                found = self._read_tools(left)
            elif self._source is None:
                found = self._resume()
            else:
                found = self._source.read(left)
                found = self._end_response() if found == [] else found
            if found is None:
                return None
            if shown := self._shown(found):
                return shown
        return []

    def interruption(self) -> ChatError | None:
        """Return why the watchdog has ended the chat, if not because the client left."""
        return self._request.interruption(self._cancel)

    def close(self) -> None:
        """Stop the tools that are running, and release the connection."""
        try:
            self._runner.close()
        finally:
            self._close_source()

    def _close_source(self) -> None:
        if self._source is not None:
            self._source.close()

    def _resume(self) -> list[Event]:
        """Run the tools that the user has decided on."""
        approvals = self._chat.approvals
        self._running = [approval.call for approval in approvals]
        self._runner.resume(approvals, ToolStep(0, self._chat.provider, self._chat.model))
        return [ToolsStart()]

    def _end_response(self) -> list[Event]:
        """Run the tools that the response calls, or end the chat."""
        totals = self._recorder.step_totals()
        reason = effective_reason(totals.finish_reason, bool(totals.tool_calls))
        ours = [call for call in totals.tool_calls if not self._is_clients(call)]
        self._others = [call for call in totals.tool_calls if self._is_clients(call)]
        if reason != "tool_calls" or not ours or (self._others and not self._shows_tools):
            self._recorder.hide_calls({call.id for call in ours})
            self._ended = True
            return [Finish(reason if self._others or reason != "tool_calls" else "stop")]
        if self._step == self._host.config.tool_steps:
            raise ChatError.of("tool_limit", self._request.row.label)
        self._recorder.hide_calls({call.id for call in ours})
        self._close_source()  # its connection may serve others while the tools run
        self._running = ours
        step = ToolStep(self._step, self._chat.provider, self._chat.model)
        self._runner.start(ours, step)
        found = self._runner.read(0) or ()
        wrong = (event for event in found if isinstance(event, ToolResult) and event.invalid)
        return [ToolsStart(totals.reasoning_details, {event.id for event in wrong}), *found]

    def _is_clients(self, call: ToolCall) -> bool:
        return call.custom or call.name in self._client_tools

    def _read_tools(self, timeout: float | None) -> list[Event] | None:
        """Return what the running tools bring; when all have ended, go on with the next step."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            if self._cancel.reason is not None:
                return self._interrupt()
            left = TICK if until is None else min(TICK, until - time.monotonic())
            found = self._runner.read(max(left, 0.0))
            if found:
                return list(found)
            if found is not None:
                return self._next_step()
            if until is not None and time.monotonic() >= until:
                return None

    def _interrupt(self) -> list[Event]:
        """Stop the tools; return what became of each, for a client that is there to be told."""
        if self._cancel.reason != "cancelled":
            self._runner.close()
            if found := self._runner.read(0):
                return list(found)
        raise self._request.interrupted(self._cancel)

    def _next_step(self) -> list[Event]:
        """Call the model again, with the results of its tool calls."""
        ran, self._running = self._running, []
        if self._others or self._runner.approvals:
            self._ended = True
            return [Finish("tool_calls")]
        if time.monotonic() >= self._cancel.deadline:
            raise self._request.timed_out()  # tools time out then, too, before the watchdog looks
        texts = {call.id: self._runner.text_of(call.id) for call in ran}
        messages = list(self._chat.messages)
        if self._step:
            messages.append(_assistant_message(self._recorder.step_totals(), ran))
            messages += [
                {"role": "tool", "tool_call_id": id, "content": text} for id, text in texts.items()
            ]
        else:
            _set_results(messages, texts)
        self._step += 1
        last = self._step == self._host.config.tool_steps
        # A choice that forces a call would force one in every step.
        choice = "none" if last else ("none" if self._chat.tool_choice == "none" else None)
        self._chat = replace(self._chat, messages=messages, tool_choice=choice)
        if self._step > 1:
            self._host.run_before_step(self._chat, self._recorder.steps())
            self._recorder.start_step()
        self._request = self._request.for_chat(self._chat)
        self._source = self._open_step(self._request)
        self._hidden.clear()
        if self._has_text:
            self._separator = _BETWEEN_STEPS
        return [StepStart()]

    def _shown(self, events: Sequence[Event]) -> list[Event]:
        """Return the events for the client: one finish, and only calls that it may see."""
        shown: list[Event] = []
        for event in events:
            if isinstance(event, Finish) and not self._ended:
                continue
            if isinstance(event, TextDelta):
                self._has_text = True
                if self._separator and not self._shows_tools:
                    shown.append(TextDelta(self._separator))
                self._separator = ""
            elif not self._shows_tools and self._is_hidden(event):
                continue
            shown.append(event)
        return shown

    def _is_hidden(self, event: Any) -> bool:
        if isinstance(event, ToolCallDelta):
            if event.name and not event.custom and event.name not in self._client_tools:
                self._hidden.add(event.index)
            return event.index in self._hidden
        return isinstance(event, ToolProgress | ToolResult | ApprovalRequest)


def _assistant_message(totals: Totals, calls: Sequence[ToolCall]) -> Message:
    """Return the response as the message that goes back to the model."""
    message: Message = {"role": "assistant", "content": "".join(totals.text) or None}
    if reasoning := "".join(totals.reasoning):
        message["reasoning_content"] = reasoning
    if totals.reasoning_details:
        message["reasoning_details"] = totals.reasoning_details
    message["tool_calls"] = [_sent_call(call) for call in calls]
    return message


def _set_results(messages: list[Message], texts: Mapping[str, str]) -> None:
    """Replace the results that the last tool calls of a conversation have.

    Not only at its end: hooks may have added messages.
    """
    left = dict(texts)  # an id may come again, further up
    for place in reversed(range(len(messages))):
        message = messages[place]
        if (text := left.pop(message.get("tool_call_id", ""), None)) is not None:
            messages[place] = {**message, "content": text}


def _sent_call(call: ToolCall) -> dict[str, Any]:
    arguments = call.arguments if call.arguments.strip() else "{}"
    try:
        parse_value(arguments)
    except ValueError:
        # vLLM and llama.cpp refuse a conversation with arguments that are not JSON.
        arguments = json.dumps(arguments, ensure_ascii=False)
    function = {"name": call.name, "arguments": arguments}
    extra = {"extra_content": call.extra_content} if call.extra_content else {}
    return {"id": call.id, "type": "function", "function": function, **extra}
