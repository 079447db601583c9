"""The earlier parts of a message as a UI message stream, for a client that replays its last one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .frames import frame

_METADATA = ("providerMetadata",)

# Older clients stop at a field that they do not know.
_FIELDS: dict[str, tuple[str, ...]] = {
    "file": ("url", "mediaType", *_METADATA),
    "source-url": ("sourceId", "url", "title", *_METADATA),
    "source-document": ("sourceId", "mediaType", "title", "filename", *_METADATA),
    "data": ("id", "data"),
}

# Of a call that has no result yet, all of them show the arguments.
_RESULTS = {
    "output-available": ("tool-output-available", "output"),
    "output-error": ("tool-output-error", "errorText"),
    "output-denied": ("tool-output-denied", ""),
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
            out += _text(kind, f"earlier-{place}", part)
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
    metadata = _given(part, *_METADATA)
    return [
        frame(f"{kind}-start", id=id),
        frame(f"{kind}-delta", id=id, delta=part.get("text", "")),
        frame(f"{kind}-end", id=id, **metadata),
    ]


def _tool(kind: str, part: dict[str, Any]) -> list[str]:
    state = part.get("state")
    call = _given(part, "toolCallId")
    name = part.get("toolName") if kind == "dynamic-tool" else kind.removeprefix("tool-")
    how = {"dynamic": True} if kind == "dynamic-tool" else {}
    how |= _given(part, "providerExecuted")
    metadata = {}
    if "callProviderMetadata" in part:
        metadata["providerMetadata"] = part["callProviderMetadata"]
    names = {**call, "toolName": name, **how, **metadata}
    if state == "output-error" and "input" not in part:
        error = part.get("errorText", "")
        return [frame("tool-input-error", **names, input=part.get("rawInput"), errorText=error)]
    out = [frame("tool-input-available", **names, input=part.get("input"))]
    approval = part.get("approval")
    if isinstance(approval, dict) and "id" in approval and not how.get("providerExecuted"):
        out.append(frame("tool-approval-request", approvalId=approval["id"], **call))
    if state in _RESULTS:
        type, field = _RESULTS[state]
        result = {field: part.get(field)} if field else {}
        out.append(frame(type, **call, **how, **result))
    return out
