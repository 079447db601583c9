"""The seam between a chat and a response that others can read, and that outlives its client."""

from __future__ import annotations

from typing import Protocol

from ..core.errors import ChatError
from ..core.request import ChatRequest
from ..core.result import Outcome, Usage
from ..dialects.base import Encoder
from ..transport.watchdog import CancelToken


class KeptResponse(Protocol):
    """Keeps the response of one chat while it is written.

    The chat ends in this order: :meth:`claim_end`; ``chat_finished``, if that was True; the last
    bytes; :meth:`end`. So whoever finds the response complete also finds the chat saved.

    :ivar id: by which others find it.
    """

    id: str

    def attach(self, cancel: CancelToken) -> None:
        """Have the token interrupted when somebody stops the chat, or another worker ended it."""

    def admit(self, chat: ChatRequest) -> None:
        """Keep what the chat's ending needs, in case this process dies: hooks have changed it."""

    def add_usage(self, usage: Usage) -> None:
        """Keep the token counts of the steps that are over, for the same case."""

    def encoder(self, encoder: Encoder) -> Encoder:
        """Return an encoder that keeps what it encodes."""

    def claim_end(self, outcome: Outcome) -> bool:
        """Claim the ending of the chat: False when another worker has done so."""

    def goes_on(self) -> bool:
        """Whether the chat goes on, at the moment, without the client that began it."""

    def fail(self, error: ChatError) -> None:
        """End it for a chat that failed before its first bytes."""

    def end(self) -> None:
        """End it, after the last bytes. Doing so again does no harm."""

    def discard(self) -> None:
        """Forget it: nothing was sent to a provider."""
