"""The user's decisions on tool calls, as a page sends them: in the message that goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...core.request import Approval
from ...core.result import ToolCall
from ..finite_json import dump
from .messages import DENIED
from .version4 import to_version5

# A message of the user's within another ends a step, too.
_STARTS = ("step-start", "steering-message")


def continued_message(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message that the response continues; {} for a new message.

    A response continues a message after the client has run a tool, or its user has decided on one.
    A regenerated response must not replace the one before.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return {}
    last = messages[-1]
    if body.get("trigger") == "regenerate-message" or not isinstance(last, dict):
        return {}
    continues = last.get("role") == "assistant" and isinstance(last.get("parts"), list)
    return last if continues else {}


def approvals_in(body: Mapping[str, Any]) -> list[Approval]:
    """Return the decisions in the last step of the message that the response continues.

    A call that the user has not decided on counts as denied: the conversation goes on without.

    :param body: a body that has been loaded, so that its parts are valid.
    """
    found: dict[str, Approval] = {}
    message = to_version5(continued_message(body))  # as it has been loaded
    for part in _last_step(message.get("parts", ())):
        if part.get("state") in ("approval-requested", "approval-responded"):
            approval = _read(part)
            found.setdefault(approval.call.id, approval)
    return list(found.values())


def _last_step(parts: list[Any]) -> Iterator[dict[str, Any]]:
    starts = [place for place, part in enumerate(parts) if part["type"] in _STARTS]
    for part in parts[starts[-1] if starts else 0 :]:
        if part.get("providerExecuted") is not True:
            yield part


def _read(part: dict[str, Any]) -> Approval:
    name, given = part.get("toolName"), part.get("approval")
    if part["type"] != "dynamic-tool":
        name = part["type"].removeprefix("tool-")
    approval = given if isinstance(given, dict) else {}
    id = approval.get("id")
    decision = approval.get("approved") if part["state"] == "approval-responded" else None
    return Approval(
        call=ToolCall(part["toolCallId"], str(name), dump(part.get("input", {}))),
        id=id if isinstance(id, str) else "",
        approved=decision is True,
        reason=(decision is False and approval.get("reason")) or DENIED,
    )
