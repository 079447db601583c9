"""Tools, their choice and the response format, which chat completions nest one level deeper."""

from __future__ import annotations

from typing import Any


def flat_tools(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the tools that the client runs."""
    return [_flat_tool(tool) for tool in tools]


def _flat_tool(tool: dict[str, Any]) -> dict[str, Any]:
    if tool.get("type") == "custom":
        custom = tool["custom"]
        form = custom.get("format")
        if isinstance(form, dict) and isinstance(form.get("grammar"), dict):
            form = {"type": "grammar", **form["grammar"]}
        kept = _fields(custom, "name", "description")
        return {"type": "custom", **kept, **({"format": form} if form else {})}
    function = tool.get("function")
    if not isinstance(function, dict):
        return tool  # a tool of the provider's that a hook put here
    return {
        "type": "function",
        **_fields(function, "name", "description"),
        "parameters": function.get("parameters") or {"type": "object", "properties": {}},
        # Strict is the default here, unlike in chat completions, and refuses most schemas.
        "strict": bool(function.get("strict")),
    }


def flat_choice(choice: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
    """Return which tool the model has to call."""
    if not isinstance(choice, dict):
        return choice
    kind = str(choice.get("type", "function"))
    held = choice.get(kind)
    if not isinstance(held, dict):
        return choice
    flat = {"type": kind, **held}
    if isinstance(tools := flat.get("tools"), list):  # the allowed ones
        flat["tools"] = [flat_choice(tool) for tool in tools]
    return flat


def flat_format(form: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the format of the response's text."""
    if form and isinstance(schema := form.get("json_schema"), dict):
        return {"type": "json_schema", **schema}
    return form


def _fields(holder: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: holder[name] for name in names if holder.get(name) is not None}
