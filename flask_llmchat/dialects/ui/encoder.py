"""The UI message stream, protocol v1: the response of the ``ui`` dialect.

A client stops with an error at a delta of a part that was not opened or is already closed, and
shows the parts in their order. So parts are opened and closed as the AI SDK's own server does it,
whatever order the provider sends them in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...core.errors import ChatError
from ...core.events import (
    ApprovalRequest,
    Document,
    Event,
    Image,
    ProviderToolCall,
    ProviderToolResult,
    ReasoningDelta,
    ReasoningEnd,
    Source,
    StepStart,
    TextDelta,
    ToolCallDelta,
    ToolProgress,
    ToolResult,
    ToolsStart,
)
from ...core.finish_reasons import UI_REASONS
from ...core.reasoning import details_in
from ...core.request import ChatRequest
from ...core.result import ChatResult, Usage, new_call_id
from ..finite_json import dump, encode
from .approvals import continued_message
from .calls import Call, signature_in
from .frames import frame, media_type_of, source_frame
from .reasoning import metadata_of, parts_of

_END = "}\n\n"

_PREFIXES = {"text": "txt", "reasoning": "reasoning"}

_DONE = "data: [DONE]\n\n"


class UIEncoder:
    """Encodes one response as a UI message stream.

    Writes nothing until there is visible content: before that an error has a status.
    """

    mimetype = "text/event-stream"
    headers: Mapping[str, str] = {"x-vercel-ai-ui-message-stream": "v1"}
    heartbeat = b": keep-alive\n\n"
    passes_chunks = False
    shows_tools = True  # those that the server runs

    def __init__(self, chat: ChatRequest) -> None:
        self._namespace = chat.provider
        continued = continued_message(chat.raw)
        id = continued.get("id") if continued else f"msg_{chat.request_id}"
        # Without one the client goes on with its last message, which may have none.
        self.message_id = id if id and isinstance(id, str) else None
        parts = [p for p in continued.get("parts", ()) if isinstance(p, dict)]
        # Clients search the whole message for an id, so those of its earlier steps are in use.
        self._used_ids = {p["toolCallId"] for p in parts if isinstance(p.get("toolCallId"), str)}
        self._sources = sum(p.get("type") in ("source-url", "source-document") for p in parts)
        self._begun = False  # the message
        self._started = False  # its first step
        self._hidden: list[dict[str, Any]] = []  # details that came before visible content
        self._open = ""  # "text" or "reasoning": the kind of the part that deltas belong to
        self._head = ""  # the prefix of its deltas
        # How the parts that are not closed yet will be: one text, or the reasoning's, which keep
        # what the provider needs back and which it may send after several of them.
        self._ends: list[dict[str, Any]] = []
        self._opened = {"text": 0, "reasoning": 0}
        self._calls: dict[int, Call] = {}
        self._calls_by_id: dict[str, Call] = {}  # by the provider's ids
        self._shown_details = 0  # of those in the result
        # What both the call and the result of a tool of the provider's say, by its id there.
        self._provider_calls: dict[str, dict[str, Any]] = {}

    def encode(self, events: list[Event]) -> bytes:
        """Encode some events; b"" when they have nothing visible."""
        out: list[str] = []
        for event in events:
            if isinstance(event, TextDelta):
                if self._open != "text":
                    self._open_part(out, "text")
                out.append(f"{self._head}{encode(event.text)}{_END}")
            elif isinstance(event, ReasoningDelta):
                if self._open != "reasoning":
                    self._open_part(out, "reasoning")
                out.append(f"{self._head}{encode(event.text)}{_END}")
            elif isinstance(event, ToolCallDelta):
                self._add_call(out, event)
            elif isinstance(event, ReasoningEnd):
                self._end_reasoning(out, event.detail)
            elif isinstance(event, ProviderToolCall):
                self._add_provider_call(out, event)
            elif isinstance(event, ProviderToolResult):
                self._add_provider_result(out, event)
            elif isinstance(event, Source | Document):
                self._start(out)
                out.append(source_frame(event, f"source-{self._sources}"))
                self._sources += 1
            elif isinstance(event, StepStart):
                self._next_step(out)
            elif isinstance(event, ToolsStart):
                self._complete_calls(out, event)
            elif isinstance(event, ToolProgress):
                self._add_output(out, event.id, output=event.output, preliminary=True)
            elif isinstance(event, ToolResult):
                self._add_result(out, event)
            elif isinstance(event, ApprovalRequest):
                call = self._calls_by_id[event.id]
                id = event.sign(call.id)
                out.append(frame("tool-approval-request", approvalId=id, toolCallId=call.id))
            elif isinstance(event, Image):
                self._start(out)
                out.append(frame("file", url=event.url, mediaType=media_type_of(event.url)))
        return _bytes(out)

    def finish(self, result: ChatResult) -> bytes:
        """Encode the end of a complete response."""
        out: list[str] = []
        self._start(out)
        shown = self._shown_calls()
        # A call that was cut off stays open: an error would count as its result, and the client
        # would send the next request by itself, only to be cut off again.
        cut_off = result.outcome in ("length", "content_filtered")
        calls = [c for c in shown if not (c.complete or (cut_off and c.is_cut_off()))]
        # The others have gone with their part of the reasoning.
        self._end_content(out, result.reasoning_details[self._shown_details :], calls)
        out.append(frame("finish-step"))
        usage = {"messageMetadata": {"usage": _usage(result.usage)}} if result.usage else {}
        reason = UI_REASONS.get(result.outcome, "other")
        if reason == "tool-calls" and not shown:
            reason = "stop"  # no client can run a call without a name
        out += [frame("finish", finishReason=reason, **usage), _DONE]
        return _bytes(out)

    def fail(self, error: ChatError) -> bytes:
        """Encode that the response failed."""
        out: list[str] = []
        self._close(out)
        if error.code in ("cancelled", "stopped"):
            # The protocol's word for it. Without the finish a text stays unfinished in some
            # clients, and the AI SDK's WorkflowChatTransport asks for the rest without end.
            out += [frame("abort", reason=error.message), frame("finish", finishReason="other")]
        else:
            out.append(frame("error", errorText=error.message))
        return _bytes([*out, _DONE])

    def _start(self, out: list[str]) -> None:
        if not self._started:
            self._begin(out)
            self._started = True
            out.append(frame("start-step"))
            for detail in self._hidden:
                self._end_reasoning(out, detail)

    def _begin(self, out: list[str]) -> None:
        if not self._begun:
            self._begun = True
            message = {"messageId": self.message_id} if self.message_id else {}
            out.append(frame("start", **message))

    def _next_step(self, out: list[str]) -> None:
        """End the current step, and begin the next one."""
        if not self._started:
            return
        self._close(out)
        out += [frame("finish-step"), frame("start-step")]
        self._calls, self._calls_by_id = {}, {}

    def _shown_calls(self) -> list[Call]:
        return [call for _, call in sorted(self._calls.items()) if call.shown]

    def _complete_calls(self, out: list[str], start: ToolsStart) -> None:
        """Give all calls of a step to the client, before the server runs those that are its own."""
        self._begin(out)
        wrong = [self._calls_by_id.get(id) for id in start.wrong]
        calls = [
            call
            for call in self._shown_calls()
            if not (call.complete or any(call is other for other in wrong))
        ]
        self._end_content(out, start.reasoning_details, calls)
        self._shown_details += len(start.reasoning_details)

    def _end_content(
        self, out: list[str], reasoning_details: Sequence[dict[str, Any]], calls: Sequence[Call]
    ) -> None:
        """Close the open parts and complete the calls, of which the first one has the details."""
        details: dict[str, Any] = {}
        if found := details_in({"reasoning_details": reasoning_details}):
            details = {"reasoning_details": found}
            if not self._ends and not calls:
                self._open_part(out, "reasoning")
        if self._ends:
            self._close(out, self._metadata(details))
            details = {}
        for call in calls:
            self._finish_call(out, call, details)
            details = {}

    def _add_result(self, out: list[str], result: ToolResult) -> None:
        call = self._calls_by_id.get(result.id)
        if result.invalid and call and not call.complete:
            self._finish_call(out, call, {}, result.error)
        elif result.denied:
            self._add_output(out, result.id, type="tool-output-denied")
        elif result.error:
            self._add_output(out, result.id, type="tool-output-error", errorText=result.error)
        else:
            self._add_output(out, result.id, output=result.output)

    def _add_output(
        self, out: list[str], id: str, type: str = "tool-output-available", **fields: Any
    ) -> None:
        # A client stops at a result without a call.
        if call := self._calls_by_id.get(id):
            out.append(frame(type, toolCallId=call.id, **fields))
        elif not self._started and id in self._used_ids:  # of an earlier step, approved meanwhile
            out.append(frame(type, toolCallId=id, **fields))

    def _open_part(self, out: list[str], kind: str) -> None:
        """Open a text, or another part of the reasoning."""
        self._start(out)
        if kind == "text" or self._open == "text":
            self._close(out)
        self._open = kind
        id = f"{_PREFIXES[kind]}-{self._opened[kind]}"
        self._opened[kind] += 1
        self._head = f'data: {{"type":"{kind}-delta","id":"{id}","delta":'
        self._ends.append({"type": f"{kind}-end", "id": id})
        out.append(frame(f"{kind}-start", id=id))

    def _close(self, out: list[str], fields: Mapping[str, Any] = {}) -> None:
        """Close the open parts.

        :param fields: further fields of the last one.
        """
        if self._ends:
            self._ends[-1] |= fields
        out += [frame(**end) for end in self._ends]
        self._ends, self._open = [], ""

    def _end_reasoning(self, out: list[str], detail: dict[str, Any] | None) -> None:
        """End a part of the reasoning; a detail closes all those that it belongs to."""
        if self._open == "reasoning":
            self._open = ""
        if detail is None:
            return
        if not self._started:  # until there is something to see, an error has a status
            self._hidden.append(detail)
            return
        count = parts_of(detail) if self._open != "text" else 0
        if not count or not self._ends:
            self._close(out)
            self._open_part(out, "reasoning")
        for end in self._ends[-count:-1]:
            end |= metadata_of(detail, last=False)
        self._close(out, metadata_of(detail))

    def _metadata(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {"providerMetadata": {self._namespace: values}} if values else {}

    def _add_provider_call(self, out: list[str], call: ProviderToolCall) -> None:
        self._start(out)
        self._close(out)
        fields = {"toolCallId": self._unused_id(call.id), "providerExecuted": True}
        if call.mcp:
            fields["dynamic"] = True
        self._provider_calls[call.id] = fields
        out.append(frame("tool-input-available", toolName=call.name, input=call.input, **fields))

    def _add_provider_result(self, out: list[str], result: ProviderToolResult) -> None:
        if result.id not in self._provider_calls:  # the client stops at one without a call
            self._add_provider_call(out, ProviderToolCall(result.id, result.name, {}))
        fields, output = self._provider_calls[result.id], result.output
        if result.failed:
            reason = output if isinstance(output, str) else dump(output)
            out.append(frame("tool-output-error", errorText=reason, **fields))
        else:
            out.append(frame("tool-output-available", output=output, **fields))

    def _add_call(self, out: list[str], delta: ToolCallDelta) -> None:
        if self._open != "text":
            self._close(out)
        call = self._calls.setdefault(delta.index, Call())
        call.id = call.id or delta.id
        call.name = call.name or delta.name
        call.custom = call.custom or delta.custom
        call.signature = call.signature or signature_in(delta.extra_content)
        if delta.arguments:
            call.arguments.append(delta.arguments)
        if call.shown:
            pieces = [delta.arguments]
        elif call.name.strip():
            call.shown = True
            self._calls_by_id[call.id] = call
            call.id = self._unused_id(call.id)
            self._start(out)
            out.append(frame("tool-input-start", toolCallId=call.id, toolName=call.name))
            pieces = ["".join(call.arguments)]
        else:
            return
        for piece in filter(None, pieces):
            out.append(frame("tool-input-delta", toolCallId=call.id, inputTextDelta=piece))

    def _unused_id(self, id: str) -> str:
        """Return the id of a new call, or another one where it is in use."""
        if not id.strip() or id in self._used_ids:
            id = new_call_id()
        self._used_ids.add(id)
        return id

    def _finish_call(
        self, out: list[str], call: Call, details: Mapping[str, Any], error: str = ""
    ) -> None:
        """Complete a call.

        :param error: why it cannot be run.
        """
        call.complete = True
        fields: dict[str, Any] = {"toolCallId": call.id, "toolName": call.name}
        signature = {"thoughtSignature": call.signature} if call.signature else {}
        metadata = self._metadata({**signature, **details})
        try:
            fields["input"] = call.input()
        except ValueError:
            fields["input"] = "".join(call.arguments)
            error = error or "The arguments of this call are not valid JSON."
        if error:
            out.append(frame("tool-input-error", **fields, errorText=error, **metadata))
        else:
            out.append(frame("tool-input-available", **fields, **metadata))


def _bytes(out: list[str]) -> bytes:
    # Half a surrogate pair stays an escape: its other half may be in the next delta.
    return "".join(out).encode("utf-8", "backslashreplace")


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "inputTokens": usage.prompt_tokens,
        "outputTokens": usage.completion_tokens,
        "totalTokens": usage.total_tokens,
        "reasoningTokens": usage.reasoning_tokens,
        "cachedInputTokens": usage.cached_tokens,
    }
