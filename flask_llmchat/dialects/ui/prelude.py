"""The earlier parts of a message as a UI message stream, for a client that replays its last one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..finite_json import dump
from .frames import frame

# Older clients stop at a field that they do not know, but have none of it in their parts.
_FIELDS: dict[str, tuple[str, ...]] = {
    "file": ("url", "mediaType", "providerMetadata"),
    "reasoning-file": ("url", "mediaType", "providerMetadata"),
    "source-url": ("sourceId", "url", "title", "providerMetadata"),
    "source-document": ("sourceId", "mediaType", "title", "filename", "providerMetadata"),
    "custom": ("kind", "providerMetadata"),
    "data": ("id", "data"),
}


def prelude_of(parts: Sequence[Any]) -> bytes:
    """Return the frames that make the parts of a message that a response continues."""
    out: list[str] = []
    in_step = False
    for place, part in enumerate(parts):
        if not isinstance(part, dict):
            continue
        kind = part.get("type")
        if kind == "step-start":
            out += [frame("finish-step")] if in_step else []
            out.append(frame("start-step"))
            in_step = True
        elif kind in ("text", "reasoning"):
            id = part.get("id")  # newer clients keep it
            out += _text(kind, id if isinstance(id, str) else f"earlier-{place}", part)
        elif isinstance(kind, str) and (kind.startswith("tool-") or kind == "dynamic-tool"):
            out += _tool(kind, part)
        elif isinstance(kind, str):
            fields = _FIELDS.get("data" if kind.startswith("data-") else kind, ())
            out += [frame(**_given(part, "type", *fields))] if fields else []
    out += [frame("finish-step")] if in_step else []
    return "".join(out).encode("utf-8", "backslashreplace")


def _given(part: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: part[name] for name in names if name in part}


def _text(kind: str, id: str, part: dict[str, Any]) -> list[str]:
    return [
        frame(f"{kind}-start", id=id),
        frame(f"{kind}-delta", id=id, delta=part.get("text", "")),
        frame(f"{kind}-end", id=id, **_given(part, "providerMetadata", "citations")),
    ]


def _tool(kind: str, part: dict[str, Any]) -> list[str]:
    """Return the frames that make a call, with what came of it."""
    state, is_dynamic = part.get("state"), kind == "dynamic-tool"
    name = part.get("toolName") if is_dynamic else kind.removeprefix("tool-")
    how = {**({"dynamic": True} if is_dynamic else {}), **_given(part, "providerExecuted")}
    call = {**_given(part, "toolCallId"), "toolName": name, **how}
    call |= _given(part, "title", "toolMetadata")
    metadata = _metadata(part, "callProviderMetadata")
    if state == "output-error":
        given = part.get("input", part.get("rawInput"))
        error = part.get("errorText", "")
        return [frame("tool-input-error", **call, **metadata, input=given, errorText=error)]
    is_over = state in ("output-available", "output-denied")
    if state == "input-streaming" or (is_over and not metadata):
        # A call that is given as a whole is run by a page whose tool it is. But not all clients
        # know what a provider needs back in this form.
        text = part.get("rawInput") if state == "input-streaming" else dump(part.get("input"))
        out = [frame("tool-input-start", **call)]
        if isinstance(text, str):
            out.append(frame("tool-input-delta", **_given(part, "toolCallId"), inputTextDelta=text))
    else:
        out = [frame("tool-input-available", **call, **metadata, input=part.get("input"))]
    approval = part.get("approval")
    # Not once the user has said yes, which has no place in this form: the page would ask again.
    if isinstance(approval, dict) and "id" in approval and approval.get("approved") is not True:
        id = approval["id"]
        out.append(frame("tool-approval-request", approvalId=id, **_given(part, "toolCallId")))
    if state == "output-denied":
        out.append(frame("tool-output-denied", **_given(part, "toolCallId")))
    elif state == "output-available":
        result = {"output": part.get("output"), **_given(part, "preliminary")}
        result |= _metadata(part, "resultProviderMetadata")
        out.append(frame("tool-output-available", **_given(part, "toolCallId"), **how, **result))
    return out


def _metadata(part: dict[str, Any], name: str) -> dict[str, Any]:
    return {"providerMetadata": part[name]} if name in part else {}
