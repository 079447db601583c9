"""Reasoning that goes back to its provider, as the AI SDK keeps it on a message's parts.

A reasoning detail becomes the ``providerMetadata`` of a ``reasoning`` part, under the names of the
AI SDK's own providers, so that a conversation can move between its server and ours.
"""

from __future__ import annotations

from typing import Any

from ...core.reasoning import BEFORE_CALL, details_format
from ..fields import is_encodable_text
from .json_text import JSONText

RESPONSES, MESSAGES = "responses", "messages"

_RAW = "reasoning_text"
"""Our own mark of raw reasoning. The AI SDK has none for it: in its metadata it would look like a
summary, which cannot go back without the encrypted content."""


def parts_of(detail: dict[str, Any]) -> int:
    """Return how many parts of the reasoning a detail has the text of; 0 when it is hidden."""
    return 1 if detail.get("text") else len(detail.get("summary") or ())


def metadata_of(detail: dict[str, Any], *, last: bool = True) -> dict[str, Any]:
    """Return the fields of a part for a detail.

    :param last: whether it is the last of the detail's parts: it has the encrypted content.
    """
    protocol, _, provider = str(detail.get("format")).partition(":")
    if protocol == MESSAGES:
        name, field = ("signature",) * 2 if "signature" in detail else ("redactedData", "data")
        values = {name: detail.get(field)}
    elif detail.get("type") == "reasoning.text":
        values = {"itemId": detail.get("id"), "contentType": _RAW}
    else:
        values = {"itemId": detail.get("id")}
        values |= {"reasoningEncryptedContent": detail.get("data")} if last else {}
    values = {name: value for name, value in values.items() if isinstance(value, str)}
    return {"providerMetadata": {provider: values}} if values else {}


class StepReasoning:
    """Collects the details of one step, and where each of them stood.

    Details go back only with what they led to. A provider refuses reasoning that nothing follows,
    and the blocks of tools that it ran itself do not go back.

    :param json: counts the details of the request.
    :param goes_on: whether the step goes on with one in which the provider ran a tool.
    :ivar ran_tool: whether the provider ran a tool.
    """

    def __init__(self, json: JSONText, *, goes_on: bool) -> None:
        self._json = json
        self._details: list[dict[str, Any]] = []
        self._pending: list[dict[str, Any]] = []  # those that nothing followed yet
        self._items: dict[tuple[str, str], dict[str, Any]] = {}
        self._answered = False  # whether there was text or a call
        self.ran_tool = goes_on

    def add(self, text: str, metadata: Any) -> None:
        """Add a part of the reasoning; what is not known in its metadata is ignored.

        :raises marshmallow.ValidationError: for one too many.
        """
        if not isinstance(metadata, dict):
            return
        for provider, values in metadata.items():
            if isinstance(values, dict) and (found := _texts_in(values)):
                self._json.count_detail()
                if is_encodable_text(provider):
                    self._add(text, provider, found)

    def _add(self, text: str, provider: str, values: dict[str, str]) -> None:
        if "signature" in values or "redactedData" in values:
            if not self.ran_tool:
                self._pending.append(_block(text, provider, values))
            return
        item = values.get("itemId", "")
        detail = self._items.get((provider, item)) if item else None
        if detail is None:
            detail = self._items[provider, item] = _item(provider, values)
            self._pending.append(detail)
        if "text" in detail:
            detail["text"] += text
            return
        detail["data"] = values.get("reasoningEncryptedContent", detail["data"])
        if text:
            detail["summary"].append(text)

    def add_text(self) -> None:
        """Note that text follows."""
        self._details += self._pending
        self._pending, self._answered = [], True

    def add_call(self, id: str) -> None:
        """Note that a tool call follows."""
        if self._answered:
            for detail in self._pending:
                detail[BEFORE_CALL] = id
        self.add_text()

    def add_provider_tool(self) -> None:
        """Note that a tool follows that the provider ran: what comes after is bound to it."""
        blocks = details_format(MESSAGES, "")
        self._pending = [d for d in self._pending if d["format"].startswith(blocks)]
        self.ran_tool = True

    def details(self) -> list[dict[str, Any]]:
        """Return the details that go back: those that have what their provider needs."""
        return [
            d for d in self._details if any(d.get(name) for name in ("data", "signature", "text"))
        ]


def _block(text: str, provider: str, values: dict[str, str]) -> dict[str, Any]:
    """Return the detail of a block of Messages."""
    detail = {"type": "reasoning.encrypted", "format": details_format(MESSAGES, provider)}
    if "signature" not in values:
        return {**detail, "data": values["redactedData"]}
    return {**detail, "type": "reasoning.text", "text": text, "signature": values["signature"]}


def _item(provider: str, values: dict[str, str]) -> dict[str, Any]:
    """Return the detail of an item of Responses, still without its content."""
    detail = {"type": "reasoning.encrypted", "format": details_format(RESPONSES, provider)}
    detail |= {"id": values["itemId"]} if "itemId" in values else {}
    if values.get("contentType") == _RAW:
        return {**detail, "type": "reasoning.text", "text": ""}
    return {**detail, "data": "", "summary": []}


_NAMES = ("signature", "redactedData", "itemId", "reasoningEncryptedContent", "contentType")


def _texts_in(values: dict[str, Any]) -> dict[str, str]:
    found = {name: values[name] for name in _NAMES if name in values}
    return {n: v for n, v in found.items() if isinstance(v, str) and v and is_encodable_text(v)}
