"""How many messages, parts and tool calls one request may have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..core.errors import ChatError
from ..core.limits import MOST_CALLS

MOST_PARTS = 256
"""How many parts one message may have."""


MOST_TOOLS = MOST_CALLS
"""How many tools a chat may offer, and an answer may call."""


MOST_ELABORATE = 1024
"""How many tool calls, and parts that are more than a plain text, one request may have.

Each takes marshmallow thirty times as long as it took to parse.
"""


def check_size(messages: Any, max_messages: int, max_parts: int, elaborate: int) -> None:
    """Refuse very many messages, or parts in all, before they are loaded.

    Whatever is a list in a message is counted, for it is loaded item by item.

    :param elaborate: how many of the parts may be tool calls, or more than a plain text.
    :raises ChatError: with status 422.
    """
    if not isinstance(messages, list):
        return
    if len(messages) > max_messages:
        raise ChatError(
            f"messages: {len(messages)} are too many; at most {max_messages} are taken.",
            status=422,
        )
    parts = more = 0
    for items in _lists_in(messages):
        parts += len(items)
        if parts > max_parts:
            raise ChatError(
                f"messages: more than {max_parts} parts in all are not taken.", status=422
            )
        more += sum([not is_plain_text(item) for item in items])
        if more > elaborate:
            raise ChatError(
                f"messages: more than {elaborate} parts that are no plain text, and tool calls,"
                " are not taken.",
                status=422,
            )


# The last two are of version 4 of the AI SDK.
_LISTS = ("content", "parts", "tool_calls", "toolInvocations", "experimental_attachments")


def _lists_in(messages: list[Any]) -> Iterator[list[Any]]:
    """Give the lists of a conversation that are read item by item."""
    for message in messages:
        if not isinstance(message, dict):
            continue
        for name in _LISTS:
            items = message.get(name)
            if not isinstance(items, list):
                continue
            yield items
            for item in items:
                # A steering message of the AI SDK's is a part that has parts itself.
                if isinstance(item, dict) and isinstance(inner := item.get("parts"), list):
                    yield inner


def is_plain_text(part: Any) -> bool:
    """Tell whether a part is a text and nothing else, as nearly all parts are."""
    return (
        part.__class__ is dict
        and part.get("text").__class__ is str
        and (len(part) == 1 or (len(part) == 2 and part.get("type") == "text"))
    )
