"""The conversation as input items."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...core.errors import ChatError
from ...core.reasoning import BEFORE_CALL, details_in
from ...core.request import Message
from ...models import Model
from ...providers import Provider
from .parts import input_parts, text_in

_INSTRUCTING = ("system", "developer")


class Conversation:
    """Makes input items of messages.

    Items have no ids but for reasoning: nothing is stored at the provider that they could name.

    :ivar instructions: the text of the messages of the host's that come first.
    :ivar items: all others, as input items.
    :raises ChatError: with status 422, for a message that cannot be sent.
    """

    def __init__(self, messages: list[Message], row: Provider, model: Model) -> None:
        self._row = row
        self._model = model
        self._custom: dict[str, bool] = {}  # whether a call that waits for its result is custom
        self._calls: dict[str, str] = {}  # where it is
        self.instructions = ""
        self.items: list[dict[str, Any]] = []
        first = next((i for i, m in enumerate(messages) if m["role"] not in _INSTRUCTING), 0)
        if not model.supports_system_messages or "instructions" in row.unsupported_params:
            first = 0
        texts = (text_in(message.get("content")) for message in messages[:first])
        self.instructions = "\n\n".join(filter(None, texts))
        for i in range(first, len(messages)):
            self.items += self._items_of(messages[i], f"messages.{i}")
        if self._calls:
            place = next(iter(self._calls.values()))
            raise self._refusal(f"{place}: The call has no result, which has to follow it")

    def _refusal(self, reason: str) -> ChatError:
        return ChatError(reason, provider=self._row.name, status=422)

    def _items_of(self, message: Message, place: str) -> Iterator[dict[str, Any]]:
        role, content = message["role"], message.get("content")
        if role == "assistant":
            yield from self._response(message, place)
        elif role == "tool":
            yield self._result(message, place)
        else:
            if role == "developer" and not self._row.supports_developer_role:
                role = "system"
            if role in _INSTRUCTING and not self._model.supports_system_messages:
                role = "user"
            if content.__class__ is list:
                content = input_parts(content, self._row, f"{place}.content")
            # Perplexity requires the type, all others take it.
            yield {"type": "message", "role": role, "content": content or ""}

    def _response(self, message: Message, place: str) -> Iterator[dict[str, Any]]:
        """Give the items of an earlier response: its reasoning, its text, its calls.

        Reasoning with nothing behind it is refused, so it is left out.
        """
        text = text_in(message.get("content")) or message.get("refusal") or ""
        calls = message.get("tool_calls") or []
        details = details_in(message, "responses", self._row.name) if text or calls else []
        by_call: dict[Any, list[dict[str, Any]]] = {}
        for detail in details:
            by_call.setdefault(detail.get(BEFORE_CALL), []).append(detail)
        yield from _reasoning(by_call.get(None, ()))
        if text:
            yield {"type": "message", "role": "assistant", "content": text}
        for i, call in enumerate(calls):
            yield from _reasoning(by_call.get(call["id"], ()))
            yield self._call(call, f"{place}.tool_calls.{i}")

    def _call(self, call: dict[str, Any], place: str) -> dict[str, Any]:
        id_, custom = call["id"], call.get("type") == "custom"
        self._calls[id_], self._custom[id_] = place, custom
        if custom:
            held = call["custom"]
            return {
                "type": "custom_tool_call",
                "call_id": id_,
                "name": held["name"],
                "input": held["input"],
            }
        held = call["function"]
        return {
            "type": "function_call",
            "call_id": id_,
            "name": held["name"],
            "arguments": held.get("arguments") or "{}",
        }

    def _result(self, message: Message, place: str) -> dict[str, Any]:
        id_, content = message.get("tool_call_id", ""), message.get("content")
        if id_ not in self._custom:
            raise self._refusal(f"{place}.tool_call_id: No message before it has a call with it")
        self._calls.pop(id_, None)
        if content.__class__ is list:
            content = input_parts(content, self._row, f"{place}.content")
        kind = "custom_tool_call_output" if self._custom[id_] else "function_call_output"
        return {"type": kind, "call_id": id_, "output": content or ""}


def _reasoning(details: Any) -> Iterator[dict[str, Any]]:
    """Give the items of reasoning that the provider has encrypted, or wrote as plain text."""
    for detail in details:
        item: dict[str, Any] = {"type": "reasoning"}
        item |= {"id": detail["id"]} if isinstance(detail.get("id"), str) else {}
        summary, data, text = (detail.get(name) for name in ("summary", "data", "text"))
        texts = [t for t in summary if isinstance(t, str)] if isinstance(summary, list) else []
        item["summary"] = [{"type": "summary_text", "text": t} for t in texts]
        if data and isinstance(data, str):
            yield {**item, "encrypted_content": data}
        elif text and isinstance(text, str):
            yield {**item, "content": [{"type": "reasoning_text", "text": text}]}
