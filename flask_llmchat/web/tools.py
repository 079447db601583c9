"""The tools of the server: those that are registered, and those that are loaded for one chat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..core.addresses import safe_repr
from ..core.errors import ChatError
from ..core.request import ChatRequest
from ..runs.tool_runner import tool_name
from ..tools import Tool


def add_tool(tools: dict[str, Tool], tool: Any, source: str) -> None:
    """Add a tool to others.

    :param source: where it comes from, for errors.
    :raises TypeError: when it is none.
    :raises ValueError: when another one has its name.
    """
    if not isinstance(tool, Tool):
        raise TypeError(f"{source}: a {type(tool).__name__} is no tool; write Tool(function)")
    if (other := tools.setdefault(tool.name, tool)) is not tool:
        raise ValueError(
            f"{source}: {tool!r} and {other!r} have the same name; give one of them name="
        )


def with_loaded(registered: Mapping[str, Tool], loaded: Any, chat: ChatRequest) -> dict[str, Tool]:
    """Return the registered tools and, after them, those that the host has loaded for a chat.

    :raises TypeError: when the host has loaded something else.
    :raises ValueError: when two tools have the same name.
    :raises ChatError: with status 422, when a tool that the client has selected is not among them.
    """
    if not isinstance(loaded, Iterable):
        raise TypeError(
            f"tools_loader: a {type(loaded).__name__} is no list of tools; return [] for none"
        )
    tools, ids = dict(registered), set()
    for tool in loaded:
        add_tool(tools, tool, "tools_loader")
        ids.add(tool.id)
    for place, id in enumerate(chat.tool_ids):
        if id not in ids:
            raise ChatError(
                f"selectedTools.{place}.id: There is no such tool.",
                provider=chat.provider,
                status=422,
            )
    return tools


def definitions(chat: ChatRequest) -> list[dict[str, Any]]:
    """Return the server's tools for a chat, in the form of chat completions.

    :raises ChatError: with status 422, when a tool of the client's has the name of one.
    """
    if not chat.server_tools:
        return []
    for place, tool in enumerate(chat.tools or ()):
        if (name := tool_name(tool)) in chat.server_tools:
            raise ChatError(
                f"tools.{place}: {safe_repr(name)} is the name of a tool of the server's.",
                provider=chat.provider,
                status=422,
            )
    return [tool.definition for tool in chat.server_tools.values()]
