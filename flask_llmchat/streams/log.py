"""The log of a stream as one process holds it: its bytes, who waits for them, and their bounds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from .base import Interruption, StreamInfo

_PIECE = 256 * 1024
"""Bytes that a reader is given at once."""


class Budget:
    """How many bytes of streams this process may hold in all.

    :param make_room: removes something that is no longer needed; False when there is nothing.
    """

    def __init__(self, limit: int, make_room: Callable[[], bool] = bool) -> None:
        self._limit = limit
        self._make_room = make_room
        self._lock = threading.RLock()
        self.used = 0

    def take(self, size: int) -> bool:
        """Take so many bytes; False when there is no room for them."""
        while not self._take(size):
            if not self._make_room():
                return False
        return True

    def _take(self, size: int) -> bool:
        with self._lock:
            fits = self.used + size <= self._limit
            self.used += size if fits else 0
            return fits

    def give_back(self, size: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self.used -= size


class Log:
    """The bytes of a stream.

    :param limit: its largest size in bytes. A larger one is lost.
    :ivar changed: notified at every change. Reentrant, as all locks here: a garbage collection can
        close a stream while the same thread holds one.
    :ivar outcome: how the chat ended, once the log has its last entry or is lost.
    :ivar is_whole: whether the writer's last bytes are in it.
    :ivar is_lost: whether its bytes are gone while it is still needed.
    :ivar readers: how many read it in this process.
    :ivar size: how many bytes were appended.
    """

    def __init__(self, budget: Budget, limit: int) -> None:
        self._budget = budget
        self._limit = limit
        self._data = bytearray()
        self.changed = threading.Condition(threading.RLock())
        self.outcome: str | None = None
        self.is_whole = False
        self.is_lost = False
        self.readers = 0
        self.size = 0

    def append(self, data: bytes) -> None:
        """Add bytes. A log that has ended stays as it is."""
        has_room = self.size + len(data) <= self._limit and self._budget.take(len(data))
        with self.changed:
            if self.outcome is not None:
                self._budget.give_back(len(data) if has_room else 0)
            elif has_room:
                self._data += data
                self.size += len(data)
                self.changed.notify_all()
            else:
                self.lose()

    def end(self, outcome: str, *, is_whole: bool) -> None:
        """Add the last entry. Only the first one counts."""
        with self.changed:
            if self.outcome is None:
                self.outcome, self.is_whole = outcome, is_whole
                self.changed.notify_all()

    def lose(self) -> None:
        """Drop the bytes. Readers who have not read them all get the outcome ``interrupted``."""
        with self.changed:
            self._budget.give_back(len(self._data))
            self._data = bytearray()
            self.is_lost = True
            self.end("interrupted", is_whole=False)

    def slice(self, start: int, end: int | None = None) -> bytes:
        """Return the bytes from one offset to another."""
        return bytes(self._data[start:end])

    def find(self, data: bytes, start: int) -> int:
        """Return the offset at which these bytes occur first, from an offset on; -1 if nowhere."""
        return self._data.find(data, start)


class LogWriter:
    """What the writers of all stores have in common.

    :ivar claimed: the outcome, once the ending is claimed by this writer.
    :ivar is_over: whether the stream has ended, and needs nothing more from this process.
    """

    def __init__(
        self, info: StreamInfo, log: Log, on_interrupt: Callable[[Interruption], object]
    ) -> None:
        self.info = info
        self.log = log
        self.interruption: Interruption | None = None
        self.claimed: str | None = None
        self.is_over = False
        self._on_interrupt = on_interrupt

    @property
    def is_kept(self) -> bool:
        """Whether it can be read again."""
        return not self.log.is_lost

    def interrupt(self, reason: Interruption) -> None:
        """Have the chat end. Only the first call counts."""
        with self.log.changed:
            if self.interruption is not None or self.is_over:
                return
            self.interruption = reason
        self._on_interrupt(reason)


class LogReader:
    """Reads a log: see :class:`flask_llmchat.streams.base.StreamReader`.

    :param on_close: is called once, when nobody else in this process reads the log.
    """

    def __init__(
        self,
        info: StreamInfo,
        log: Log,
        after_bytes: int = 0,
        after_events: int = 0,
        on_close: Callable[[], object] = bool,
    ) -> None:
        self.info = info
        self.outcome: str | None = None
        self.is_whole = False
        self._log: Log | None = log
        self._offset = after_bytes
        self._events_to_pass = after_events
        self._on_close = on_close
        with log.changed:
            log.readers += 1

    def read(self, timeout: float | None = None) -> bytes | None:
        """Wait for the next bytes: see the interface."""
        log = self._log
        if self.outcome is not None or log is None:
            return b""
        until = None if timeout is None else time.monotonic() + timeout
        with log.changed:
            while not (data := self._take(log)):
                if log.outcome is not None:
                    is_cut = log.is_lost and self._offset < log.size
                    self.outcome = "interrupted" if is_cut else log.outcome
                    self.is_whole = log.is_whole and not is_cut
                    return b""
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    return None
                log.changed.wait(left)
            return data

    def _take(self, log: Log) -> bytes:
        while self._events_to_pass:
            # No line of an event is empty but its last, so where events end is in the bytes.
            end = log.find(b"\n\n", self._offset)
            if end < 0:
                return b""
            self._offset = end + 2
            self._events_to_pass -= 1
        data = log.slice(self._offset, self._offset + _PIECE)
        self._offset += len(data)
        return data

    def close(self) -> None:
        """Stop reading."""
        log, self._log = self._log, None
        if log is not None:
            with log.changed:
                log.readers -= 1
                is_last = not log.readers
            if is_last:
                self._on_close()
