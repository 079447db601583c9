"""The answer on its way to the client: events in, bytes out, one ending."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from .chat import ChatRequest, ChatResult, Chunk, Event, Finish, Outcome
from .errors import UNEXPECTED, AnswerBroken, ChatError
from .providers.chunks import ChunkReader
from .upstream.process import Place
from .upstream.stream import Stream

logger = logging.getLogger("flask_llmchat")

_OUTCOME_OF_FINISH: dict[str | None, Outcome] = {
    "length": "length",
    "content_filter": "content_filtered",
    "tool_calls": "tool_calls",
}

_OUTCOME_OF_CODE: dict[str, Outcome] = {
    "truncated": "truncated",
    "timeout": "timeout",
    "deadline": "deadline",
    "cancelled": "cancelled",
    "overloaded": "cancelled",  # our own server stops
}


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


class Record:
    """What is kept of one chat from its start, and told exactly once at its end."""

    def __init__(self, chat: ChatRequest, tell: Callable[[ChatResult], None]) -> None:
        self.request_id = chat.request_id
        self._tell = tell
        self._started = time.monotonic()
        self._first: float | None = None
        self._asked: dict[str, None] = {}
        self.result: ChatResult | None = None
        self.begin(chat)

    def begin(self, chat: ChatRequest, reader: ChunkReader | None = None) -> None:
        """Note of whom a chat is asked, or is going to be, and what reads the answer."""
        self._provider = chat.provider
        self._model = chat.model
        self._context = chat.context
        self.reader = reader or ChunkReader()
        self._asked[chat.provider] = None
        self.upstream_request_id: str | None = None

    @property
    def ended(self) -> bool:
        """Tell whether the chat is over."""
        return self.result is not None

    def note(self, events: list[Event]) -> None:
        """Note the time when the first text, reasoning or tool call comes."""
        if self._first is None and not all(isinstance(event, Finish | Chunk) for event in events):
            self._first = time.monotonic() - self._started

    def end(self, outcome: Outcome, error: ChatError | None = None) -> None:
        """Tell how the chat ended. Only the first call counts."""
        if self.result is not None:
            return
        self.result = ChatResult(
            provider=self._provider,
            model=self._model,
            outcome=outcome,
            tried=tuple(name for name in self._asked if name != self._provider),
            text="".join(self.reader.text),
            reasoning="".join(self.reader.reasoning),
            reasoning_details=tuple(self.reader.reasoning_details),
            tool_calls=tuple(call for _, call in sorted(self.reader.tool_calls.items())),
            sources=tuple(self.reader.sources.values()),
            images=tuple(self.reader.images),
            usage=self.reader.usage,
            error=error,
            time_to_first_token=self._first,
            duration=time.monotonic() - self._started,
            request_id=self.request_id,
            upstream_request_id=self.upstream_request_id
            or (error.upstream_request_id if error else None),
            context=self._context,
        )
        self._tell(self.result)

    def end_complete(self) -> ChatResult:
        """Tell that the provider ended the chat itself; return how it went."""
        outcome = _OUTCOME_OF_FINISH.get(self.reader.finish_reason, "ok")
        if outcome == "ok" and self.reader.tool_calls:
            outcome = "tool_calls"  # some providers say "stop" then, some say nothing
        self.end(outcome)
        assert self.result is not None
        return self.result

    def end_cancelled(self) -> None:
        """Tell that the client left."""
        self.end("cancelled", ChatError("The client left.", "cancelled", provider=self._provider))

    def end_broken(self, error: ChatError) -> None:
        """Tell that the chat broke off after the provider was called."""
        if error.code != "cancelled":  # readers come and go: nothing to look into
            logger.warning(
                "chat %s with %s failed: %s (status %s, the provider's request id %s): %s",
                self.request_id,
                self._provider,
                error.code,
                error.status,
                error.upstream_request_id or self.upstream_request_id,
                error.detail or error.message,
            )
        # A provider that says it timed out has failed; it is we who stop waiting in a timeout.
        ours = _OUTCOME_OF_CODE.get(error.code, "upstream_error")
        self.end("upstream_error" if error.detail else ours, error)


class Answer:
    """The body of a streaming response. It owns the provider's stream, and closes it.

    It iterates over bytes, one item for whatever came in one read. It holds no request and no
    context. :meth:`start` comes first.

    :param heartbeat: seconds without an event after which the encoder's heartbeat is written.
    :ivar place: the place it holds among the chats that may run at once.
    """

    def __init__(
        self, stream: Stream, encoder: Encoder, record: Record, heartbeat: float | None = None
    ) -> None:
        self._stream = stream
        self._encoder = encoder
        self._record = record
        self._patience = heartbeat if encoder.heartbeat else None
        self.place: Place | None = None
        self._first = b""
        self._begun = False

    @property
    def mimetype(self) -> str:
        """The type of the body."""
        return self._encoder.mimetype

    @property
    def headers(self) -> Mapping[str, str]:
        """Further headers that the body asks for."""
        return self._encoder.headers

    def start(self) -> None:
        """Wait for the first bytes: until they are there, an error can still have a status.

        :raises ChatError: when there are none to come.
        """
        try:
            self._first = self._next(None)  # a heartbeat would be a byte already
        except BaseException:
            self._stream.close()
            raise
        self._begun = True

    def __iter__(self) -> Iterator[bytes]:
        """Return itself: a body is read once."""
        return self

    def __next__(self) -> bytes:
        """Return the next bytes for the client."""
        if self._record.ended:
            raise StopIteration
        if self._first:
            first, self._first = self._first, b""
            return first
        try:
            if data := self._next(self._patience):
                return data
        except ChatError as error:
            return self._break(error)
        except Exception:  # whoever's doing it is, the client is told, and told honestly
            logger.exception("chat %s failed", self._record.request_id)
            return self._break(ChatError(UNEXPECTED, "internal"))
        # Before the end is written: the next chat in a row finds this connection in the pool.
        self._stream.close()
        if data := self._encoder.finish(self._record.end_complete()):
            return data
        raise StopIteration

    def _next(self, patience: float | None) -> bytes:
        """Return the next bytes that this dialect has for the client; b"" when there are none.

        :param patience: seconds without an event after which that is the heartbeat.
        """
        while events := self._stream.read(patience):
            self._record.note(events)
            if data := self._encoder.encode(events):
                return data
        return b"" if events is not None else self._encoder.heartbeat

    def _break(self, error: ChatError) -> bytes:
        self._stream.close()
        self._record.end_broken(error)
        if error.code == "cancelled":
            raise StopIteration  # the connection is shut: there is nobody to tell
        if (data := self._encoder.fail(error)) is None:
            # The status is gone, so the server has to break the connection off.
            raise AnswerBroken(f"chat {self._record.request_id} broke off ({error.code})") from None
        return data

    def close(self) -> None:
        """End it, at whatever point it is: called by the server, always."""
        try:
            self._stream.close()
            if self._begun and not self._record.ended:  # not begun, another provider may be asked
                self._end_unread()
        finally:  # a receiver of the host's may raise what is no Exception
            if self.place is not None:
                self.place.give_up()

    def _end_unread(self) -> None:
        # A reader who takes nothing is cut off in the end, and has not left of its own will.
        if error := self._stream.interruption():
            self._record.end_broken(error)
        else:
            self._record.end_cancelled()

    def __del__(self) -> None:
        """Close an answer that never reached a server, or a test client that closes none."""
        self.close()
