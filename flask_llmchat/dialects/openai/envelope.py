"""The JSON of chunks and completions, and the fields around their choices."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ...core.request import ChatRequest
from .. import finite_json

CHUNK_OBJECT = "chat.completion.chunk"


def dump(value: Any) -> bytes:
    """Serialize to JSON that every client can parse: no NaN, no lone surrogates."""
    text = finite_json.dump(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


class ChunkEnvelope:
    """The fields that all chunks of one response share: id, creation time, model.

    :param chat: the request, for what the provider leaves out.
    """

    def __init__(self, chat: ChatRequest) -> None:
        # Not the chat itself: its messages need not stay in memory as long as the response.
        self._own = {
            "id": f"chatcmpl-{chat.request_id}",
            "object": CHUNK_OBJECT,
            "created": int(time.time()),
            "model": chat.model,
        }
        self.last: Mapping[str, Any] = {}  # the previous chunk

    def of(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the envelope of a chunk: its own values, or else those of the previous chunk."""
        envelope: dict[str, Any] = {**self._own}
        for holder in (self.last, body):
            for name, kind in _KINDS.items():
                if (value := holder.get(name)) and isinstance(value, kind):
                    envelope[name] = value
        return envelope


_KINDS = {"id": str, "created": int, "model": str}
