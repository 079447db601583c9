"""The tools of a request, and the choice among them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .parts import Unsendable, marked
from .schema import bindable

_NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}}


def sent_tool(tool: dict[str, Any], place: str, *, can_bind: bool) -> dict[str, Any]:
    """Return a tool of the client's or the host's.

    :param place: the field with it.
    :param can_bind: whether the model's arguments can be bound to a schema.
    :raises Unsendable: when it is no function.
    """
    function = tool.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise Unsendable(f"{place}: Must be of type function, with a name")
    schema = function.get("parameters")
    schema = {**_NO_ARGUMENTS, **schema} if isinstance(schema, dict) else _NO_ARGUMENTS
    strict = bool(function.get("strict")) and can_bind
    sent = {
        "name": function["name"],
        "description": function.get("description"),
        "input_schema": bindable(schema) if strict else schema,
        "strict": strict or None,
    }
    return marked({name: value for name, value in sent.items() if value is not None}, tool)


def called_tools(names: Iterable[str]) -> list[dict[str, Any]]:
    """Return tools for the calls in a conversation, which are refused without any."""
    return [{"name": name, "input_schema": _NO_ARGUMENTS} for name in names]


def sent_choice(choice: Any, parallel: Any) -> dict[str, Any] | None:
    """Return the choice among the tools; None leaves it to the model.

    :param choice: ``tool_choice`` of chat completions.
    :param parallel: ``parallel_tool_calls``.
    :raises Unsendable: for a choice that Messages lacks.
    """
    sent: dict[str, Any] | None = None
    if isinstance(choice, str):
        sent = {"type": "any" if choice == "required" else choice}
    elif choice is not None:
        function = choice.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(name, str):
            raise Unsendable("tool_choice: Must be auto, none, required, or a function")
        sent = {"type": "tool", "name": name}
    if parallel is False and (sent is None or sent["type"] != "none"):
        sent = {**(sent or {"type": "auto"}), "disable_parallel_tool_use": True}
    return sent


def is_forced(choice: dict[str, Any] | None) -> bool:
    """Return whether the response has to be a tool call."""
    return choice is not None and choice["type"] in ("any", "tool")
