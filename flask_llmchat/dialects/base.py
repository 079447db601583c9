"""The seam for client protocols: a dialect reads request bodies and encodes responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ..core.errors import ChatError
from ..core.events import Event
from ..core.request import ChatRequest
from ..core.result import ChatResult


class Encoder(Protocol):
    """What writes one answer down in the way a dialect's clients read it.

    :ivar mimetype: of the answer.
    :ivar headers: further headers of the answer.
    :ivar heartbeat: what may be written while there is nothing to tell; b"" when nothing may.
    :ivar passes_chunks: whether it is to be given every chunk as it came, as a
        :class:`~flask_llmchat.chat.Chunk` in front of the events the chunk brings.
    """

    mimetype: str
    headers: Mapping[str, str]
    heartbeat: bytes
    passes_chunks: bool

    def encode(self, events: list[Event]) -> bytes:
        """Write some events down; b"" when this dialect has nothing to say about them yet."""

    def finish(self, result: ChatResult) -> bytes:
        """Write down that the answer is complete."""

    def fail(self, error: ChatError) -> bytes | None:
        """Write down that it broke off; None when the dialect has no words for that."""


class Dialect(Protocol):
    """A way clients speak: what they send, and what they understand.

    It keeps nothing of a chat: one instance serves all of them.

    :ivar name: what hooks see in ``chat.dialect``.
    :ivar path: what follows the provider in the route: ``""``, or such as ``/chat/completions``.
    :ivar mimetype: of a streaming answer; a client whose ``Accept`` names it gets this
        dialect's answer, whatever it spoke itself.
    """

    name: str
    path: str
    mimetype: str

    def recognises(self, body: dict[str, Any]) -> bool:
        """Tell whether a request body is in this dialect."""

    def read(self, body: dict[str, Any], max_messages: int) -> ChatRequest:
        """Make a chat of a request body.

        :raises ChatError: with status 422, naming the fields that are wrong and why.
        """

    def encoder(self, chat: ChatRequest) -> Encoder:
        """Return what writes the answer to this chat down."""

    def error(self, error: ChatError, request_id: str) -> tuple[bytes, str, Mapping[str, str]]:
        """Write down an error that comes instead of an answer: body, mimetype, headers."""
