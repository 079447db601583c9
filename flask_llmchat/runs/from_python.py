"""A chat that the app itself starts, in place of a client: its events, and its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Self

from ..core.errors import ChatError
from ..core.events import Event
from ..core.request import ChatRequest
from ..core.result import ChatResult
from ..providers import Provider
from ..transport.runtime import Slot
from .host import Host
from .run import ChatRun

_SOME = b"."  # what the body gives for events, which are taken from the encoder


class EventCollector:
    """The encoder of a chat without a client: it keeps the events as they are.

    :param whole: whether nothing is passed on before the end, so that a fallback can be tried for
        as long as that.
    """

    mimetype = ""
    headers: Mapping[str, str] = {}
    heartbeat = b""
    passes_chunks = False

    def __init__(self, *, whole: bool) -> None:
        self._whole = whole
        self.events: list[Event] = []

    def encode(self, events: list[Event]) -> bytes:
        """Keep some events."""
        if self._whole:
            return b""
        self.events += events
        return _SOME

    def finish(self, result: ChatResult) -> bytes:
        """Return b"": the result is the end."""
        return b""

    def fail(self, error: ChatError) -> None:
        """Raise the error: in Python, nobody needs it in another form."""
        raise error


class ChatStream:
    """The events of a chat as they come, from :meth:`LLMChat.stream`.

    It is a context manager: at the end of the block the upstream response is closed, also when the
    chat is not over. Iterating raises :class:`ChatError` when the response fails.
    """

    def __init__(
        self, host: Host, provider: Provider, chat: ChatRequest, slot: Slot, *, whole: bool
    ) -> None:
        def new_encoder(chat: ChatRequest) -> EventCollector:
            self._collector = EventCollector(whole=whole)
            return self._collector

        self._body = ChatRun(host, new_encoder, chat).start(provider)
        self._body.slot = slot

    @property
    def result(self) -> ChatResult:
        """How the chat ended, also when it failed or the block was left early.

        :raises RuntimeError: when the chat is not over.
        """
        if self._body.result is None:
            raise RuntimeError("The chat has no result yet: read its events to the end first.")
        return self._body.result

    def __iter__(self) -> Iterator[Event]:
        """Give the events as they come."""
        for _ in self._body:
            events, self._collector.events = self._collector.events, []
            yield from events

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the upstream response."""
        self.close()

    def close(self) -> None:
        """Close the upstream response, and end the chat if it is not over."""
        self._body.close()
