"""Limits on the messages, parts and tool calls of one request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..core.errors import ChatError
from ..core.limits import MAX_CALLS

MAX_PARTS = 256
"""Most parts in one message."""

MAX_TOOLS = MAX_CALLS
"""Most tools in a request, and most tool calls in a response."""

MAX_TOTAL_PARTS = 4096
"""Most parts in all messages of one request together."""

MAX_UI_PARTS = 16_384
"""The same for UIMessages: steps, sources and tool calls of a response are parts there, and no
schema loads them."""

MAX_RICH_PARTS = 1024
"""Most tool calls and parts other than plain text, together, in one request.

marshmallow needs thirty times as long for each as the JSON parser.
"""


def check_size(messages: Any, max_messages: int, max_parts: int, max_rich: int) -> None:
    """Refuse too many messages or parts before marshmallow loads them.

    The items of every list in a message count, as each is loaded by itself.

    :param max_messages: most messages.
    :param max_parts: most parts in all messages together.
    :param max_rich: most parts that are tool calls or not plain text.
    :raises ChatError: with status 422.
    """
    if not isinstance(messages, list):
        return
    if len(messages) > max_messages:
        raise ChatError(
            f"messages: {len(messages)} are too many; at most {max_messages} are allowed.",
            status=422,
        )
    parts = more = 0
    for items in _lists_in(messages):
        parts += len(items)
        if parts > max_parts:
            raise ChatError(
                f"messages: more than {max_parts} parts in all are not allowed.", status=422
            )
        more += sum([not is_plain_text(item) for item in items])
        if more > max_rich:
            raise ChatError(
                f"messages: more than {max_rich} tool calls and parts other than plain text are"
                " not allowed.",
                status=422,
            )


# The last two are from version 4 of the AI SDK.
_LISTS = ("content", "parts", "tool_calls", "toolInvocations", "experimental_attachments")


def _lists_in(messages: list[Any]) -> Iterator[list[Any]]:
    """Yield the lists of a conversation that are loaded item by item."""
    for message in messages:
        if not isinstance(message, dict):
            continue
        for name in _LISTS:
            items = message.get(name)
            if not isinstance(items, list):
                continue
            yield items
            for item in items:
                # The AI SDK's steering message is a part that has parts itself.
                if isinstance(item, dict) and isinstance(inner := item.get("parts"), list):
                    yield inner


def is_plain_text(part: Any) -> bool:
    """Return whether a part is only a text, as nearly all parts are."""
    return (
        part.__class__ is dict
        and part.get("text").__class__ is str
        and (len(part) == 1 or (len(part) == 2 and part.get("type") == "text"))
    )
