"""``StreamedResponse``: a response that is written to a stream as well as to its client."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from ..core.errors import ChatError
from ..core.events import Event, StepStart, TextDelta
from ..core.request import ChatRequest
from ..core.result import ChatResult, Outcome, Usage
from ..dialects.base import Encoder
from ..runs.kept_response import KeptResponse
from ..transport.runtime import Slot, current_runtime
from ..transport.watchdog import CancelToken
from .base import Interruption, StreamInfo, StreamWriter

_EVENT_STREAM = "text/event-stream"


class StreamedResponse(KeptResponse):
    """Writes a response to a stream, for the clients that read it later.

    :param new_encoder: makes an encoder, for a chat that fails before it has one.
    :param max_detached: how many chats of this process may go on without any client; None for no
        limit.
    :param detached_seconds: how long one may; None for no limit but the chat's own deadline.
    :ivar tells_stop: whether the stream says that somebody stopped the chat before its first bytes.
    """

    def __init__(
        self,
        new_encoder: Callable[[], Encoder],
        *,
        max_detached: int | None,
        detached_seconds: float | None,
    ) -> None:
        self._writer: StreamWriter | None = None
        self._new_encoder: Callable[[], Encoder] | None = new_encoder
        self._encoder: Encoder | None = None
        self._state: dict[str, Any] = {}
        self._cancel: CancelToken | None = None
        self._max_detached = max_detached
        self._detached_seconds = detached_seconds
        self._detached: Slot | None = None
        self._last_reader = 0.0
        self.tells_stop = False

    def on_interrupt(self, reason: Interruption) -> None:
        """End the chat; the store calls this."""
        if self._cancel is not None:
            self._cancel.interrupt(reason)

    def open(self, writer: StreamWriter) -> None:
        """Take the stream to write to."""
        self._writer = writer

    @property
    def writer(self) -> StreamWriter:
        """The stream."""
        assert self._writer is not None
        return self._writer

    @property
    def info(self) -> StreamInfo:
        """What is known of the stream."""
        return self.writer.info

    @property
    def id(self) -> str:  # type: ignore[override]
        """The stream's id."""
        return self.info.id

    def attach(self, cancel: CancelToken) -> None:
        """Have the token interrupted when somebody stops the chat."""
        self._cancel = cancel
        if reason := self.writer.interruption:
            cancel.interrupt(reason)

    def admit(self, chat: ChatRequest) -> None:
        """Keep what an ending needs, in case this process dies."""
        self._state = {"model": chat.model, "context": _as_json(chat.context)}
        self.writer.update(self._state)

    def add_usage(self, usage: Usage) -> None:
        """Keep the token counts of the steps that are over."""
        counts = {name: value for name, value in asdict(usage).items() if name != "details"}
        self._state["usage"] = counts
        self.writer.update(self._state)

    def encoder(self, encoder: Encoder) -> Encoder:
        """Return an encoder that also writes to the stream."""
        self._encoder = _StreamEncoder(encoder, self.writer)
        self._new_encoder = None  # which has the whole chat
        return self._encoder

    def claim_end(self, outcome: Outcome) -> bool:
        """Claim the ending of the chat."""
        return self.writer.claim_end(outcome)

    def goes_on(self) -> bool:
        """Whether the chat goes on without the client that began it."""
        now = time.monotonic()
        if self._detached is None:
            try:
                self._detached = Slot(self._max_detached, current_runtime().detached_slots)
            except LookupError:
                return False
            self._last_reader = now
        if self.writer.has_readers:
            self._last_reader = now
        alone = now - self._last_reader
        has_time = self._detached_seconds is None or alone < self._detached_seconds
        return self.writer.is_kept and has_time

    def fail(self, error: ChatError) -> None:
        """End the stream of a chat that failed before its first bytes."""
        if self._new_encoder is not None:
            self.encoder(self._new_encoder())
        assert self._encoder is not None
        told = self._encoder.fail(error) is not None
        self.tells_stop = told and error.code == "stopped"

    def end(self) -> None:
        """End the stream."""
        if self._detached is not None:
            self._detached.release()
        self.writer.end()

    def discard(self) -> None:
        """Remove the stream."""
        self.writer.discard()


class _StreamEncoder:
    """Writes what another encoder encodes to a stream, with a number for each event.

    Of server-sent events the client gets these numbers, too, as their ids: with the last one that
    it has seen it can ask for the rest.
    """

    whole = False

    def __init__(self, encoder: Encoder, writer: StreamWriter) -> None:
        self._encoder = encoder
        self._writer = writer
        self.mimetype = encoder.mimetype
        self.headers: Mapping[str, str] = {**encoder.headers, **headers_of(writer.info.id, encoder)}
        self.heartbeat = encoder.heartbeat
        self.passes_chunks = encoder.passes_chunks
        self.shows_tools = getattr(encoder, "shows_tools", False)
        self.message_id = getattr(encoder, "message_id", None)
        self._events = 0 if encoder.mimetype == _EVENT_STREAM else None
        self._separator = ""  # what stands in front of the next text
        self._has_text = False

    def encode(self, events: list[Event]) -> bytes:
        """Encode some events."""
        text = ""
        for event in events:
            if isinstance(event, TextDelta):
                text += self._separator + event.text
                self._separator, self._has_text = "", True
            elif isinstance(event, StepStart) and self.shows_tools and self._has_text:
                self._separator = "\n\n"  # which other dialects get as an event
        return self._write(self._encoder.encode(events), text)

    def finish(self, result: ChatResult) -> bytes:
        """Encode the end of a complete response."""
        data = self._write(self._encoder.finish(result))
        self._writer.end()
        return data

    def fail(self, error: ChatError) -> bytes | None:
        """Encode the end of a response that failed."""
        data = self._encoder.fail(error)
        if data is not None:
            data = self._write(data)
        self._writer.end()
        return data

    def _write(self, data: bytes, text: str = "") -> bytes:
        if not (data or text):
            return data
        if self._events is not None:
            pieces = data.split(b"\n\n")[:-1]
            first = self._events + 1
            self._events += len(pieces)
            data = b"".join(b"id: %d\n%b\n\n" % (n, piece) for n, piece in enumerate(pieces, first))
        self._writer.append(data, text)
        return data


def headers_of(stream_id: str, encoder: Encoder) -> dict[str, str]:
    """Return the headers by which a client knows the stream of its response."""
    headers = {"X-LLMChat-Stream": stream_id}
    if "x-vercel-ai-ui-message-stream" in encoder.headers:
        headers["x-workflow-run-id"] = stream_id  # what the AI SDK's WorkflowChatTransport needs
    return headers


def _as_json(context: Mapping[str, Any]) -> Any:
    """Return the app's own data as it can be kept; {} where it is no JSON."""
    try:
        return json.loads(json.dumps(context, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return {}
