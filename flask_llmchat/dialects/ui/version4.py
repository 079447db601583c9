"""Converts UIMessages of version 4 of the AI SDK to the form of version 5 and later.

https://ai-sdk.dev/docs/migration-guides/migration-guide-5-0-data
"""

from __future__ import annotations

from typing import Any

_CHANGED = frozenset({"tool-invocation", "reasoning", "source", "file"})

_STATES = {
    "partial-call": "input-streaming",
    "call": "input-available",
    "result": "output-available",
}


def to_version5(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message with parts in the form of version 5; a newer message is unchanged."""
    parts = message.get("parts")
    if parts is None:
        parts = _parts_of(message)
    if not isinstance(parts, list):
        return message
    attached = [_file(a, "contentType") for a in _objects(message.get("experimental_attachments"))]
    return {**message, "parts": [*map(_part, parts), *attached]}


def _parts_of(message: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return the parts of a message without any: its tool calls, then its text."""
    if not isinstance(message.get("content"), str):
        return None
    calls = [_tool(call) for call in _objects(message.get("toolInvocations"))]
    return [*calls, {"type": "text", "text": message["content"]}]


def _part(part: Any) -> Any:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str) or kind not in _CHANGED:
        return part
    if kind == "tool-invocation" and isinstance(part.get("toolInvocation"), dict):
        return _tool(part["toolInvocation"])
    if kind == "reasoning" and "text" not in part and "reasoning" in part:
        return {**part, "text": part["reasoning"]}
    if kind == "file" and "url" not in part and isinstance(part.get("data"), str):
        url = f"data:{part.get('mimeType')};base64,{part['data']}"
        return _file({**part, "url": url}, "mimeType")
    return {"type": "source-url"} if kind == "source" else part


def _file(file: dict[str, Any], media_type: str) -> dict[str, Any]:
    name = file.get("filename", file.get("name"))
    return {
        "type": "file",
        "mediaType": file.get(media_type),
        "url": file.get("url"),
        "filename": name,
    }


def _tool(call: dict[str, Any]) -> dict[str, Any]:
    state = call.get("state")
    return {
        "type": "dynamic-tool",
        "toolName": call.get("toolName"),
        "toolCallId": call.get("toolCallId"),
        "state": _STATES.get(state) if isinstance(state, str) else None,
        "input": call.get("args"),
        "output": call.get("result"),
    }


def _objects(values: Any) -> list[dict[str, Any]]:
    return [v for v in values if isinstance(v, dict)] if isinstance(values, list) else []
