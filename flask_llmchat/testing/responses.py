"""The fake provider's Responses, as OpenAI has them: events of output items."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from .steps import Part, detailed, event


class Responses:
    """The writer for ``/responses``."""

    def __init__(self, request_body: bytes) -> None:
        """Begin before the first event."""
        # The name in quotes is there if the request's "include" has it.
        encrypted = b'"reasoning.encrypted_content"' in request_body
        self._reasoning = {"encrypted_content": "fake-encrypted"} if encrypted else {}
        self._response: dict[str, Any] = {"id": "resp_fake", "object": "response", "created_at": 1}
        self._response |= {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
        self._items: list[dict[str, Any]] = []
        self._open = ""  # the type of the last item, while it is being written
        self._whole = ""  # its text, summary or arguments
        self._events = 0

    def write(self, part: Part) -> Iterator[bytes]:
        """Write the next part as one HTTP chunk or several."""
        match part:
            case ("start", model, _):
                self._response["model"] = model
                yield self._state("created", status="in_progress")
                yield self._state("in_progress")
            case ("reasoning", piece):
                if self._open != "reasoning":
                    yield from self._begin("reasoning", "rs", summary=[], **self._reasoning)
                    begun = {"summary_index": 0, "part": _summary("")}
                    yield self._in_item("reasoning_summary_part.added", **begun)
                yield self._delta("reasoning_summary_text", piece, summary_index=0)
            case ("text", piece):
                if self._open != "message":
                    yield from self._begin("message", "msg", role="assistant", content=[])
                    yield self._in_item("content_part.added", content_index=0, part=_text(""))
                yield self._delta("output_text", piece, content_index=0, logprobs=[])
            case ("call", call_id, name):
                call = {"call_id": call_id, "name": name, "arguments": ""}
                yield from self._begin("function_call", "fc", **call)
            case ("arguments", piece):
                yield self._delta("function_call_arguments", piece)
            case ("finish", "stop" | "tool_calls", usage, _):
                yield from self._end("completed")
                yield self._state("completed", usage=_usage(usage))
            case ("finish", str(reason), usage, _):
                yield from self._end("incomplete")
                details = {"reason": "max_output_tokens" if reason == "length" else reason}
                yield self._state("incomplete", usage=_usage(usage), incomplete_details=details)
            case ("error", message):
                error = {"code": "server_error", "message": message}
                yield self._event("error", error={"type": "server_error", "param": None, **error})
                yield self._state("failed", error=error)
            case ("error body", _, error):
                yield json.dumps({"error": error}).encode()

    def _begin(self, kind: str, prefix: str, **members: Any) -> Iterator[bytes]:
        yield from self._end("completed")
        self._items.append({"type": kind, "id": f"{prefix}_{len(self._items)}", **members})
        self._open, self._whole = kind, ""
        yield self._item("added", "in_progress")

    def _delta(self, kind: str, piece: str, **more: Any) -> bytes:
        self._whole += piece
        return self._in_item(f"{kind}.delta", delta=piece, **more)

    def _end(self, status: str) -> Iterator[bytes]:
        whole = self._whole
        match self._open:
            case "":
                return
            case "reasoning":
                part = _summary(whole)
                self._items[-1]["summary"] = [part]
                yield self._in_item("reasoning_summary_text.done", summary_index=0, text=whole)
                yield self._in_item("reasoning_summary_part.done", summary_index=0, part=part)
            case "message":
                part = _text(whole)
                self._items[-1]["content"] = [part]
                yield self._in_item("output_text.done", content_index=0, text=whole, logprobs=[])
                yield self._in_item("content_part.done", content_index=0, part=part)
            case "function_call":
                self._items[-1]["arguments"] = whole
                yield self._in_item("function_call_arguments.done", arguments=whole)
        yield self._item("done", status)
        self._open = ""

    def _item(self, name: str, status: str) -> bytes:
        self._items[-1]["status"] = status
        index = len(self._items) - 1
        return self._event(f"response.output_item.{name}", output_index=index, item=self._items[-1])

    def _in_item(self, name: str, **data: Any) -> bytes:
        place = {"item_id": self._items[-1]["id"], "output_index": len(self._items) - 1}
        return self._event(f"response.{name}", **place, **data)

    def _state(self, name: str, **members: Any) -> bytes:
        told = {"status": name, "error": None, "incomplete_details": None, "usage": None, **members}
        response = {**self._response, "output": self._items, **told}
        return self._event(f"response.{name}", response=response)

    def _event(self, name: str, **data: Any) -> bytes:
        self._events += 1
        return event({"type": name, "sequence_number": self._events - 1, **data}, name)


def _summary(text: str) -> dict[str, Any]:
    return {"type": "summary_text", "text": text}


def _text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(usage: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    prompt, completion, cached, written, reasoning = detailed(usage)
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": usage.get("total_tokens", prompt + completion),
    }
