"""Tools that the provider runs: their calls and results, and the form of both in events.

Totals have the provider's own names and forms. Events have those of the AI SDK, so that a
conversation may move between its server and this one: both tools of code execution have the name
under which the host switched it on, and the fields of web results are in camelCase.
https://github.com/vercel/ai/tree/main/packages/anthropic
"""

from __future__ import annotations

import re
from typing import Any

from ...core.errors import StreamErrorEvent
from ...core.events import ProviderToolCall, ProviderToolResult
from ...core.limits import MAX_CALLS
from ...core.result import ProviderTool
from ..json_values import word

_CODE_TOOLS = ("bash_code_execution", "text_editor_code_execution")

_UNDERSCORE = re.compile(r"_([a-z])")


class ProviderTools:
    """Collects the tools that the provider ran, by the ids of their calls."""

    def __init__(self) -> None:
        self._tools: dict[str, ProviderTool] = {}

    @property
    def has_any(self) -> bool:
        """Whether the provider ran a tool."""
        return bool(self._tools)

    def all(self) -> list[ProviderTool]:
        """Return the tools so far, in the order of their calls."""
        return list(self._tools.values())

    def call(self, block: dict[str, Any], arguments: Any) -> ProviderToolCall:
        """Take a call; return its event.

        :param arguments: its input, whole.
        :raises StreamErrorEvent: when there are too many.
        """
        tool = self._tool(word(block, "id"), word(block, "name"))
        tool.input = arguments
        name = tool.name
        if name in _CODE_TOOLS and isinstance(arguments, dict):
            name, arguments = "code_execution", {"type": name, **arguments}
        elif name == "code_execution" and isinstance(arguments, dict) and "code" in arguments:
            arguments = {"type": "programmatic-tool-call", **arguments}
        mcp = block.get("type") == "mcp_tool_use"
        return ProviderToolCall(tool.id, name, arguments, mcp)

    def result(self, block: dict[str, Any]) -> ProviderToolResult:
        """Take the result of a call; return its event.

        :raises StreamErrorEvent: when there are too many.
        """
        kind = word(block, "type")
        tool = self._tool(word(block, "tool_use_id"), kind.removesuffix("_tool_result"))
        tool.output = output = block.get("content")
        inner = word(output, "type") if isinstance(output, dict) else ""
        tool.failed = block.get("is_error") is True or inner.endswith("_error")
        if tool.name in _CODE_TOOLS:
            return ProviderToolResult(tool.id, "code_execution", output, tool.failed)
        if kind.startswith(("web_", "tool_search_")) or inner.endswith("_error"):
            output = _in_camel_case(output, depth=4)
        if kind == "web_search_tool_result" and isinstance(output, list):
            output = [
                {"pageAge": None, **page} if isinstance(page, dict) else page for page in output
            ]
        elif inner == "tool_search_tool_search_result" and isinstance(output, dict):
            output = output.get("toolReferences")
        return ProviderToolResult(tool.id, tool.name, output, tool.failed)

    def _tool(self, id_: str, name: str) -> ProviderTool:
        tool = self._tools.setdefault(id_, ProviderTool(id_, name))
        if len(self._tools) > MAX_CALLS:
            raise StreamErrorEvent({"detail": f"More than {MAX_CALLS} tool calls are not taken."})
        return tool


def _in_camel_case(value: Any, depth: int) -> Any:
    """Return a value with the names of its fields in camelCase.

    :param depth: levels of objects whose fields are renamed.
    """
    if isinstance(value, list):
        return [_in_camel_case(item, depth) for item in value]
    if not isinstance(value, dict) or not depth:
        return value
    return {
        _UNDERSCORE.sub(lambda match: match[1].upper(), name): _in_camel_case(item, depth - 1)
        for name, item in value.items()
    }
