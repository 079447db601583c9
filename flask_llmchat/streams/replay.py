"""``Replay``: the body of a response that reads a stream, for a client that comes back."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from ..core.errors import ChatError, StreamAborted
from ..core.finish_reasons import FINISH_REASONS
from ..dialects.base import Encoder
from ..transport.runtime import Slot, current_runtime
from ..transport.watchdog import CancelToken
from .base import StreamReader
from .response import headers_of

_COMPLETE = {reason.outcome for reason in FINISH_REASONS.values()}
_LOOK = 0.5  # seconds between two looks at whether the client is still there


class Replay:
    """The bytes of a stream, from its beginning or an offset, and what comes until it ends.

    :param encoder: of the stream's dialect: it knows its heartbeat, and how to end a response that
        its own worker cannot end any more.
    :param prelude: what the client gets besides: an earlier part of the message.
    :param after_first: whether it comes after the first event; otherwise it comes before all.
    :param cancel: of this client; the watchdog interrupts it when the client leaves.
    :param heartbeat: seconds without bytes after which the dialect's heartbeat is written.
    :param slot: is released when the body is closed.
    """

    def __init__(
        self,
        reader: StreamReader,
        encoder: Encoder,
        cancel: CancelToken,
        *,
        prelude: bytes,
        after_first: bool,
        heartbeat: float,
        slot: Slot,
    ) -> None:
        self._reader = reader
        self._encoder = encoder
        self._cancel = cancel
        self._prelude = prelude
        self._after_first = after_first
        self._heartbeat = heartbeat if encoder.heartbeat else math.inf
        # The head goes out with the first bytes: a page is to know soon that there is a response.
        self._heartbeat_at = time.monotonic() + min(_LOOK, self._heartbeat)
        self._slot = slot
        self._ended = False
        self.mimetype = encoder.mimetype
        self.headers = {**encoder.headers, **headers_of(reader.info.id, encoder)}
        current_runtime().watchdog.add(cancel)

    def __iter__(self) -> Iterator[bytes]:
        """Return itself: a body is iterated over once."""
        return self

    def __next__(self) -> bytes:
        """Return the next bytes for the client."""
        if self._ended:
            raise StopIteration
        while True:
            data = self._reader.read(min(_LOOK, self._heartbeat_at - time.monotonic()))
            if data is not None:
                self._heartbeat_at = time.monotonic() + self._heartbeat
                return self._with_prelude(data) if data else self._end()
            if self._cancel.reason == "cancelled":
                raise StopIteration  # the connection is closed
            if self._cancel.reason is not None:
                # Not the chat's end: cut off, clients come back for the rest.
                raise StreamAborted(f"a reader was cut off ({self._cancel.reason})")
            if time.monotonic() >= self._heartbeat_at:
                self._heartbeat_at = time.monotonic() + self._heartbeat
                return self._encoder.heartbeat

    def _with_prelude(self, data: bytes) -> bytes:
        prelude, self._prelude = self._prelude, b""
        if not prelude:
            return data
        # Whole events are written at once.
        first = data.index(b"\n\n") + 2 if self._after_first else 0
        return data[:first] + prelude + data[first:]

    def _end(self) -> bytes:
        """Write what is missing at the end: the stream's own worker may not have written it."""
        self._ended = True
        if self._reader.is_whole and self._reader.outcome in _COMPLETE:
            raise StopIteration
        data = self._encoder.fail(ChatError.of("interrupted"))
        if data is None:  # as for the client that began the chat: it must not look complete
            raise StreamAborted(f"stream {self._reader.info.id} ended ({self._reader.outcome})")
        if self._reader.is_whole:
            raise StopIteration
        return data

    def close(self) -> None:
        """Release what it holds. The server always calls this."""
        current_runtime().watchdog.remove(self._cancel)
        self._reader.close()
        self._slot.release()

    def __del__(self) -> None:
        """Close a body that never reached a server."""
        self.close()
