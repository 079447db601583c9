"""Where our UI messages and those of the AI SDK's own server differ, and why."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
Parts = list[Json]

# ---- In every answer.


def _without(parts: Parts, kinds: tuple[str, ...], *names: str) -> Parts:
    for part in parts:
        if part["type"].startswith(kinds):
            for name in names:
                part.pop(name, None)
    return parts


def _one_text(parts: Parts) -> Parts:
    joined: Parts = []
    for part in parts:
        if part["type"] != "text":
            joined.append(part)
        elif part["text"]:
            if joined and joined[-1]["type"] == "text":
                joined[-1]["text"] += part["text"]
            else:
                joined.append(part)
    return joined


def _what_goes_back(parts: Parts) -> Parts:
    """Leave out the metadata of reasoning that has nothing to go back, and parts of it alone."""
    kept = [space for part in parts for space in part.get("providerMetadata", {}).values()]
    whole = {space["itemId"] for space in kept if space.get("reasoningEncryptedContent")}
    for part in parts:
        if part["type"] == "reasoning":
            metadata = part.pop("providerMetadata", {})
            for name, space in metadata.items():
                space = {n: v for n, v in space.items() if v is not None}
                if "itemId" not in space or space["itemId"] in whole:
                    part["providerMetadata"] = {name: space}
    return [p for p in parts if p["type"] != "reasoning" or p["text"] or "providerMetadata" in p]


EVERYWHERE: list[tuple[str, Callable[[Parts], Parts]]] = [
    (
        "ids of parts and sources: each server counts or invents its own",
        lambda parts: _without(parts, ("reasoning", "source"), "id", "sourceId"),
    ),
    (
        "ids of texts and calls, by which the provider would find them: ours has it store nothing",
        lambda parts: _without(
            parts,
            ("text", "tool", "dynamic"),
            *("providerMetadata", "callProviderMetadata", "resultProviderMetadata"),
        ),
    ),
    (
        "citations at the end of a text: in ours they are sources alone",
        lambda parts: _without(parts, ("text",), "citations"),
    ),
    (
        "what else a source has: ours has its address or name, and its title",
        lambda parts: _without(parts, ("source",), "providerMetadata"),
    ),
    (
        "anthropic.message_start, with the provider's ids and token counts: ours has the latter",
        lambda parts: [part for part in parts if part["type"] != "custom"],
    ),
    ("texts that follow each other: in ours they are one", _one_text),
    ("reasoning without text that cannot go back: ours has no part for it", _what_goes_back),
]

# ---- In some.


def _of_kind(kind: str) -> Callable[[Parts], Parts]:
    return lambda parts: [part for part in parts if not part["type"].startswith(kind)]


_CHANGES: dict[str, Callable[[Parts], Parts]] = {
    "pages": _of_kind("source-url"),
    "documents": _of_kind("source-document"),
    "image": _of_kind("file"),
    "reasoning": _of_kind("reasoning"),
    "search": _of_kind("tool-search_"),
    "input": lambda parts: _without(parts, ("tool-", "dynamic-tool"), "input"),
    "approval": lambda parts: _without(parts, ("dynamic-tool",), "approval", "state", "toolCallId"),
    "open": lambda parts: _without(parts, ("text",), "state"),
}

_FOUND = {"pages": "theirs lists all that a search has found; ours what the answer cites"}
_RAW = {"reasoning": "theirs shows summaries alone; ours raw reasoning, too"}
_OPEN = {"open": "ours closes the text before the error"}

DIFFERENT: dict[str, dict[str, str]] = {
    "r-web-search": _FOUND,
    "r-xai-web-search": {
        "pages": "theirs lists a page once for every citation, with its address as its title",
        "input": "theirs leaves out what was searched for",
    },
    "r-perplexity-agent": {
        "pages": "theirs knows no pages of Perplexity's search",
        "search": "theirs takes the provider's search for a call that the page has to carry out",
    },
    "r-file-search": {"documents": "theirs lists a file once for every citation"},
    "r-image": {"image": "ours has the image as a file, as with every other provider"},
    "r-mcp-approval": {"approval": "theirs lets the page approve a call at the provider"},
    "r-deepseek-text": _RAW,
    "r-deepseek-tool": _RAW,
    "r-openrouter-cot": _RAW,
    "r-made-error-flat": _OPEN,
    "m-web-search": _FOUND,
    "m-web-search-thinking": _FOUND,
    "m-pause-turn": _FOUND,
    "m-citations": {"documents": "theirs names a cited document only if it was in its own prompt"},
    "m-mcp": {"input": "theirs takes the empty input of the call's first event"},
    "m-made-overloaded": _OPEN,
}


# ---- In what goes back to the provider.

# By who sends it: the AI SDK's server, or ours, which a page asks.
NOT_SENT: dict[str, dict[str, str]] = {
    "theirs": {"tool of the provider": "ours drops what its tools did; theirs sends it back"},
    "ask": {"raw reasoning": "ours sends it back; theirs does not even show it"},
}


def alike(message: Json | None, *left_out: str) -> Any:
    """Return a message without what differs everywhere, and without what is named."""
    if message is None:
        return None
    message = copy.deepcopy(message)
    parts = message["parts"]
    for change in [*(change for _, change in EVERYWHERE), *(_CHANGES[name] for name in left_out)]:
        parts = change(parts)
    return {"parts": parts, "metadata": message.get("metadata")}
