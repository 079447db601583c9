"""The tools that providers run themselves, under the names and in the form of the AI SDK.

A page shows them by these, whichever server it talks to.
"""

from __future__ import annotations

from typing import Any

from ..json_values import as_dicts, read_arguments, word

EARLY = frozenset({"web_search_call", "file_search_call", "image_generation_call"})
"""Types of items whose call is told when it begins: all that is known of its input is known then.
"""

_FAILED = ("failed", "incomplete", "cancelled")

_ACTIONS = {"open_page": "openPage", "find_in_page": "findInPage"}

# Fields that say which item it is and how it went, not what it did.
_ENVELOPE = frozenset({"type", "id", "call_id", "status"})


def tool_in(item: dict[str, Any]) -> tuple[str, str, Any] | None:
    """Return id, name and input of the call that an item is; None for an item that is none.

    A list of the tools of an MCP server is none: no model asked for it.
    """
    kind, id_ = word(item, "type"), word(item, "id")
    if kind in ("mcp_call", "mcp_approval_request"):
        return id_, f"mcp.{word(item, 'name')}", _parsed(item.get("arguments"))
    if kind == "code_interpreter_call":
        input_ = {"code": item.get("code"), "containerId": item.get("container_id")}
        return id_, "code_interpreter", input_
    if kind in EARLY:
        # xAI's search has arguments.
        return id_, kind.removesuffix("_call"), _parsed(item.get("arguments"))
    if kind.endswith("_results"):  # Perplexity's
        return word(item, "call_id") or id_, kind, {"queries": item.get("queries")}
    if kind.endswith("_call"):
        input_ = {name: value for name, value in item.items() if name not in _ENVELOPE}
        return word(item, "call_id") or id_, kind.removesuffix("_call"), input_
    return None


def result_in(item: dict[str, Any]) -> tuple[Any, bool] | None:
    """Return the output of the call that an item is, and whether it failed.

    :return: None for a call that the client has to run, or to approve.
    """
    kind, failed = word(item, "type"), item.get("status") in _FAILED
    if kind == "web_search_call":
        return ({"status": item["status"]} if failed else _searched(item)), failed
    if kind == "file_search_call":
        results = item.get("results")
        found = None if results is None else [_found(file) for file in as_dicts(results)]
        return {"queries": item.get("queries"), "results": found}, failed
    if kind == "code_interpreter_call":
        return {"outputs": item.get("outputs")}, failed
    if kind == "image_generation_call":
        return {"result": item.get("result")}, failed
    if kind == "mcp_call":
        output = {"type": "call", "serverLabel": item.get("server_label")}
        output |= {"name": item.get("name"), "arguments": item.get("arguments")}
        output |= {name: item[name] for name in ("output", "error") if item.get(name) is not None}
        return output, "error" in output
    if kind.endswith(("_results", "_output")):
        return {name: value for name, value in item.items() if name not in _ENVELOPE}, failed
    return None


def pages_in(item: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the pages that the text of a response refers to by their numbers: Perplexity's."""
    if not word(item, "type").endswith("_results"):
        return []
    return as_dicts(item.get("results")) or as_dicts(item.get("contents"))


def image_in(item: dict[str, Any]) -> str:
    """Return the URL of a generated image; "" for any other item."""
    data = word(item, "result")
    if item.get("type") != "image_generation_call" or not data:
        return ""
    return f"data:image/{word(item, 'output_format') or 'png'};base64,{data}"


def _parsed(arguments: Any) -> Any:
    return read_arguments(arguments) if isinstance(arguments, str) else arguments or {}


def _searched(item: dict[str, Any]) -> dict[str, Any]:
    action = item.get("action")
    if not isinstance(action, dict):
        return {}
    kind = word(action, "type")
    told = {name: action[name] for name in ("query", "queries", "url", "pattern") if name in action}
    sources = {"sources": action["sources"]} if action.get("sources") is not None else {}
    return {"action": {"type": _ACTIONS.get(kind, kind), **told}, **sources}


def _found(file: dict[str, Any]) -> dict[str, Any]:
    same = {name: file.get(name) for name in ("attributes", "filename", "score", "text")}
    return {**same, "fileId": file.get("file_id")}
