"""The types of content parts that providers accept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.errors import ChatError
from ..core.request import Message

if TYPE_CHECKING:
    from .provider import Provider

PARTS = {
    "text": "A text.",
    "image_url": "An image.",
    "input_audio": "Sound.",
    "file": "A file.",
    "video_url": "A video.",
    "refusal": "The refusal in an earlier response.",
}
"""The part types of chat completions, which are also the fields with their content, and what each
is. Whether a model accepts them, the provider decides."""


def reject_unknown_parts(messages: list[Message], row: Provider) -> None:
    """Refuse content parts that this provider does not accept: dropping them would lose content.

    :raises ChatError: with status 422, naming the first one.
    """
    known = (*PARTS, *sorted(row.extra_parts))
    for place, message in enumerate(messages):
        content = message.get("content")
        if message["role"] == "assistant" or content.__class__ is not list:
            continue
        for at, part in enumerate(content):
            if part.get("type") not in known:
                raise ChatError(
                    f"messages.{place}.content.{at}.type: Must be one of: {', '.join(known)}",
                    provider=row.name,
                    status=422,
                )
