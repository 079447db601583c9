"""The conversation as input items."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from ...core.errors import ChatError
from ...core.reasoning import BEFORE_CALL, details_in
from ...core.request import Message
from ...models import Model
from ...providers import Provider
from ..call_ids import CallIds
from .parts import input_parts, text_in

_INSTRUCTING = ("system", "developer")

_OPENAI_MAX_ID = 64  # characters of the id of a call, which other servers do not limit


class _Call(NamedTuple):
    """A call that waits for its result.

    :param id: its id as it is sent.
    :param kind: the type of its item.
    :param place: where it is, for an error.
    """

    id: str
    kind: str
    place: str


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
        self._ids = CallIds(_OPENAI_MAX_ID if row.catalogue == "openai" else sys.maxsize)
        self._open: dict[str, _Call] = {}  # calls that wait for a result, by their ids
        self.instructions = ""
        self.items: list[dict[str, Any]] = []
        first = next((i for i, m in enumerate(messages) if not _is_instruction(m)), 0)
        if not model.supports_system_messages or "instructions" in row.unsupported_params:
            first = 0
        texts = (text_in(message.get("content")) for message in messages[:first])
        self.instructions = "\n\n".join(filter(None, texts))
        for i in range(first, len(messages)):
            self.items += self._items_of(messages[i], f"messages.{i}")
        for call in self._open.values():
            raise self._refusal(f"{call.place}: The call has no result, which has to follow it")

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
        by_call: dict[str | None, list[dict[str, Any]]] = {}
        for detail in details:
            id_ = detail.get(BEFORE_CALL)
            by_call.setdefault(id_ if isinstance(id_, str) else None, []).append(detail)
        yield from _reasoning(by_call.get(None, ()))
        if text:
            yield {"type": "message", "role": "assistant", "content": text}
        for i, call in enumerate(calls):
            yield from _reasoning(by_call.get(call["id"], ()))
            yield self._call(call, f"{place}.tool_calls.{i}")

    def _call(self, call: dict[str, Any], place: str) -> dict[str, Any]:
        id_, is_custom = call["id"], call.get("type") == "custom"
        if id_ in self._open:
            raise self._refusal(f"{place}.id: Another call has this id")
        kind = "custom_tool_call" if is_custom else "function_call"
        self._open[id_] = sent = _Call(self._ids.new(id_), kind, place)
        held = call["custom" if is_custom else "function"]
        given = held.get("input" if is_custom else "arguments")
        if not isinstance(held.get("name"), str) or not isinstance(given, str | None):
            raise self._refusal(f"{place}: Must have a name, and its input as text")
        content = {"input": given or ""} if is_custom else {"arguments": given or "{}"}
        return {"type": kind, "call_id": sent.id, "name": held["name"], **content}

    def _result(self, message: Message, place: str) -> dict[str, Any]:
        content = message.get("content")
        call = self._open.pop(message.get("tool_call_id", ""), None)
        if call is None:
            raise self._refusal(f"{place}.tool_call_id: No call before it waits for this result")
        if content.__class__ is list:
            content = input_parts(content, self._row, f"{place}.content")
        return {"type": f"{call.kind}_output", "call_id": call.id, "output": content or ""}


def _is_instruction(message: Message) -> bool:
    """Return whether a message may stand in the instructions, which are text."""
    content = message.get("content")
    parts = content if isinstance(content, list) else ()
    return message["role"] in _INSTRUCTING and all(part.get("type") == "text" for part in parts)


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
