"""The messages of a chat as turns of user and assistant."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from ...core.half_characters import replace_halves
from ...core.reasoning import BEFORE_CALL, details_in
from ...core.request import Message
from ..call_ids import CallIds
from .parts import Unsendable, block_of, marked

_NOT_RUN = [{"type": "text", "text": "This tool call was not carried out."}]

_OPENING = "Hello."
"""In place of the user's message before an assistant's that comes first."""

_MAX_ID = 64  # characters of the id of a call

_NO_ID = re.compile(r"[^a-zA-Z0-9_-]")


class Turns:
    """Converts messages: those of one role become one turn, and tool results come first in theirs.

    :param provider: name of the provider's row.
    :param citations: whether the response may cite documents.
    :ivar system: the blocks of all system and developer messages.
    :ivar turns: the messages of the request.
    :ivar tools: names of the tools that were called.
    :raises Unsendable: naming the message that cannot be sent.
    """

    def __init__(self, messages: Iterable[Message], provider: str, *, citations: bool) -> None:
        self.system: list[dict[str, Any]] = []
        self.turns: list[dict[str, Any]] = []
        self.tools: dict[str, None] = {}
        self._provider = provider
        self._citations = citations
        self._ids = CallIds(_MAX_ID)
        self._open: dict[str, str] = {}  # calls that wait for a result: id to id as it is sent
        for number, message in enumerate(messages):
            place = f"messages.{number}"
            role = message["role"]
            if role in ("system", "developer"):
                self.system += self._content(message, place)
            elif role == "assistant":
                self._close_calls()
                self._add("assistant", self._assistant(message, place))
            elif role == "tool":
                self._add("user", [self._result(message, place)])
            else:
                self._close_calls()
                self._add("user", self._content(message, place))
        self._close_calls()

    def _add(self, role: str, blocks: list[dict[str, Any]]) -> None:
        """Add blocks to the turn of a role: the last one, or a new one."""
        if not blocks:
            return
        if not self.turns and role == "assistant":
            self._add("user", [{"type": "text", "text": _OPENING}])
        if not self.turns or self.turns[-1]["role"] != role:
            self.turns.append({"role": role, "content": []})
        self.turns[-1]["content"] += blocks

    def _content(self, message: Message, place: str) -> list[dict[str, Any]]:
        """Return the blocks of a message's content.

        :raises Unsendable: naming a part that cannot be sent.
        """
        content = message.get("content") or []
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        blocks: list[dict[str, Any]] = []
        for index, part in enumerate(content):
            if message["role"] == "assistant" and part.get("type") not in ("text", "refusal"):
                continue  # images and parts of another provider's: an assistant's turn has none
            try:
                block = block_of(part, citations=self._citations)
            except Unsendable as error:
                raise Unsendable(f"{place}.content.{index}{error}") from None
            if block and message["role"] in ("system", "developer") and block["type"] != "text":
                raise Unsendable(f"{place}.content.{index}.type: A system message has text only")
            if block:
                blocks.append(block)
        if blocks:
            blocks[-1] = marked(blocks[-1], message)
        return blocks

    def _assistant(self, message: Message, place: str) -> list[dict[str, Any]]:
        """Return reasoning, text and tool calls of an earlier response."""
        calls = [
            self._call(call, f"{place}.tool_calls.{index}")
            for index, call in enumerate(message.get("tool_calls") or ())
        ]
        content = self._content(message, place)
        if not (content or calls):
            return []  # reasoning with nothing behind it is refused
        before: dict[str, list[dict[str, Any]]] = {id_: [] for id_, _ in calls}
        first: list[dict[str, Any]] = []
        for detail in details_in(message, "messages", self._provider):
            call_id = detail.get(BEFORE_CALL)
            reasoning = before.get(call_id, first) if isinstance(call_id, str) else first
            reasoning += _reasoning(detail)
        blocks = first + content
        for id_, block in calls:
            blocks += [*before[id_], block]
        return blocks

    def _call(self, call: dict[str, Any], place: str) -> tuple[str, dict[str, Any]]:
        """Return the id of a tool call, and its block."""
        id_, function = call.get("id"), call.get("function")
        function = function if isinstance(function, dict) else {}
        name = function.get("name")
        if not isinstance(id_, str) or not isinstance(name, str):
            raise Unsendable(f"{place}: Must be a call of a function, with an id")
        if id_ in self._open:
            raise Unsendable(f"{place}.id: Another call has this id")
        self._open[id_] = sent_id = self._ids.new(_NO_ID.sub("_", id_))
        self.tools[name] = None
        arguments = _arguments(function.get("arguments"))
        return id_, {"type": "tool_use", "id": sent_id, "name": name, "input": arguments}

    def _result(self, message: Message, place: str) -> dict[str, Any]:
        sent_id = self._open.pop(message.get("tool_call_id", ""), None)
        if sent_id is None:
            raise Unsendable(
                f"{place}.tool_call_id: No tool call with this id is in the message before it"
            )
        content = self._content({**message, "cache_control": None}, place)
        block = {"type": "tool_result", "tool_use_id": sent_id}
        return marked({**block, "content": content} if content else block, message)

    def _close_calls(self) -> None:
        """Answer the calls that have no result: the provider refuses a conversation with one."""
        results = [
            {"type": "tool_result", "tool_use_id": id_, "content": _NOT_RUN, "is_error": True}
            for id_ in self._open.values()
        ]
        self._open.clear()
        self._add("user", results)


def _reasoning(detail: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """Give the block of a reasoning detail, unless a part of it is missing."""
    text, signature, data = (detail.get(name) for name in ("text", "signature", "data"))
    if detail.get("type") == "reasoning.text" and signature and isinstance(signature, str):
        thinking = text if isinstance(text, str) else ""
        yield {"type": "thinking", "thinking": thinking, "signature": signature}
    elif detail.get("type") == "reasoning.encrypted" and data and isinstance(data, str):
        yield {"type": "redacted_thinking", "data": data}


def _arguments(arguments: Any) -> dict[str, Any]:
    """Return the arguments of a call as an object, as a model may have written them otherwise."""
    try:
        text = replace_halves(arguments or "{}")
        parsed = json.loads(text, parse_constant=int)  # NaN is no JSON
    except (TypeError, ValueError, RecursionError):
        parsed = arguments
    return parsed if isinstance(parsed, dict) else {"arguments": parsed}
