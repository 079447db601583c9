"""The store ``memory://``: streams of one process, which are lost with it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from .base import (
    Interruption,
    KeyEntry,
    KeyInUse,
    Limits,
    Orphan,
    StoreUnavailable,
    StreamInfo,
    TooManyRunning,
)
from .log import Budget, Log, LogReader, LogWriter

_OVERHEAD = 4096
"""Bytes that a stream takes besides its log and its details. They bound how many there are."""

_MAX_CLAIMS = 100_000


class MemoryWriter(LogWriter):
    """A stream of this process: see :class:`flask_llmchat.streams.base.StreamWriter`.

    :param key: its owner and its idempotency key.
    :param size: the bytes that it takes besides its log.
    :param on_over: is called once the stream is over.
    """

    def __init__(
        self,
        info: StreamInfo,
        log: Log,
        on_interrupt: Callable[[Interruption], object],
        key: tuple[str, str | None],
        size: int,
        on_over: Callable[[MemoryWriter], object],
    ) -> None:
        super().__init__(info, log, on_interrupt)
        self.key = key
        self.size = size
        self.changed_at = time.monotonic()
        self._on_over = on_over

    @property
    def has_readers(self) -> bool:
        """Whether anybody reads it."""
        return self.log.readers > 0

    def append(self, data: bytes, text: str = "") -> None:
        """Add bytes to the log. Nobody will need the text: the stream dies with this process."""
        self.log.append(data)

    def update(self, state: Mapping[str, Any]) -> None:
        """Do nothing, for the same reason."""

    def claim_end(self, outcome: str) -> bool:
        """Claim the ending of the chat."""
        with self.log.changed:
            is_first = self.claimed is None
            self.claimed = self.claimed or outcome
            return is_first

    def end(self) -> None:
        """Write the last entry."""
        if self.claimed is not None:
            self.finish(self.claimed, is_whole=True)

    def discard(self) -> None:
        """Remove the stream."""
        self.finish("refused", is_whole=False)

    def finish(self, outcome: str, *, is_whole: bool) -> None:
        """End the log, once."""
        with self.log.changed:
            if self.is_over:
                return
            self.is_over, self.changed_at = True, time.monotonic()
            self.log.end(outcome, is_whole=is_whole)
        self._on_over(self)


class MemoryStore:
    """Keeps the streams of one process: see :class:`flask_llmchat.streams.base.StreamStore`."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._budget = Budget(limits.store_max_bytes, self._remove_oldest)
        self._lock = threading.RLock()
        self._running: dict[str, MemoryWriter] = {}  # by id, the oldest first
        self._finished: dict[str, MemoryWriter] = {}  # by id, the one that ended first first
        self._newest: dict[tuple[str, str | None], MemoryWriter] = {}  # by owner and conversation
        self._keys: dict[tuple[str, str | None], KeyEntry] = {}  # by owner and idempotency key
        self._claims: dict[str, float] = {}  # until when they count

    def open(
        self,
        info: StreamInfo,
        on_interrupt: Callable[[Interruption], object],
        *,
        max_running: int | None = None,
        idempotency_key: str | None = None,
        digest: str = "",
    ) -> MemoryWriter:
        """Open a stream."""
        self._remove_expired()
        key = info.owner, idempotency_key
        with self._lock:
            if key in self._keys:
                raise KeyInUse(self._keys[key])
            if max_running is not None and len(self.running(info.owner)) >= max_running:
                raise TooManyRunning
            size = _OVERHEAD + sum(len(v) for v in info.details.values() if isinstance(v, str))
            if not self._budget.take(size):
                raise StoreUnavailable("running streams take all of LLMCHAT_STORE_MAX_BYTES")
            log = Log(self._budget, self._limits.max_bytes)
            writer = MemoryWriter(info, log, on_interrupt, key, size, self._over)
            self._running[info.id] = self._newest[info.owner, info.conversation] = writer
            if idempotency_key is not None:
                self._keys[key] = KeyEntry(info.id, digest)
            return writer

    def _over(self, writer: MemoryWriter) -> None:
        with self._lock:
            self._finished[writer.info.id] = self._running.pop(writer.info.id)
            if writer.log.outcome == "refused" or not writer.is_kept:
                self._remove(writer)

    def _remove(self, writer: MemoryWriter) -> None:
        del self._finished[writer.info.id]
        self._keys.pop(writer.key, None)
        conversation = writer.info.owner, writer.info.conversation
        if self._newest.get(conversation) is writer:
            del self._newest[conversation]
        writer.log.lose()
        self._budget.give_back(writer.size)

    def _remove_oldest(self) -> bool:
        with self._lock:
            writer = next(iter(self._finished.values()), None)
            if writer is not None:
                self._remove(writer)
            return writer is not None

    def _remove_expired(self) -> None:
        now = time.monotonic()
        with self._lock:
            while _oldest(self._finished) <= now - self._limits.keep:
                self._remove_oldest()
            while _oldest(self._running) <= now - self._limits.longest:
                writer = next(iter(self._running.values()))
                writer.interrupt("interrupted")
                writer.finish("interrupted", is_whole=False)

    def _found(self, owner: str, stream_id: str) -> MemoryWriter | None:
        self._remove_expired()
        with self._lock:
            writer = self._running.get(stream_id) or self._finished.get(stream_id)
        return writer if writer is not None and writer.info.owner == owner else None

    def find(self, owner: str, name: str) -> StreamInfo | None:
        """Return the running stream of a conversation, or the one with this id."""
        writer = self._newest.get((owner, name))
        if writer is None or writer.is_over:
            writer = self._found(owner, name)
        return None if writer is None else writer.info

    def find_key(self, owner: str, idempotency_key: str) -> KeyEntry | None:
        """Return what is remembered of an idempotency key."""
        self._remove_expired()
        return self._keys.get((owner, idempotency_key))

    def read(
        self, owner: str, stream_id: str, *, after_bytes: int = 0, after_events: int = 0
    ) -> LogReader | None:
        """Return a reader."""
        writer = self._found(owner, stream_id)
        if writer is None or not writer.is_kept:
            return None
        return LogReader(writer.info, writer.log, after_bytes, after_events)

    def stop(self, owner: str, stream_id: str) -> bool:
        """Have the chat of a stream end."""
        writer = self._found(owner, stream_id)
        if writer is None or writer.is_over:
            return False
        writer.interrupt("stopped")
        return True

    def running(self, owner: str) -> list[StreamInfo]:
        """Return the owner's running streams."""
        with self._lock:
            return [w.info for w in self._running.values() if w.info.owner == owner]

    def claim(self, key: str, expires_at: float) -> bool:
        """Claim something that may be done once."""
        now = time.time()
        with self._lock:
            if expires_at <= now or self._claims.get(key, 0) > now:
                return False
            if len(self._claims) >= _MAX_CLAIMS:
                self._claims = {key: until for key, until in self._claims.items() if until > now}
                if len(self._claims) >= _MAX_CLAIMS:
                    raise StoreUnavailable(f"{_MAX_CLAIMS} claims have not expired yet")
            self._claims[key] = expires_at
            return True

    def watch(self, on_orphan: Callable[[Orphan], object]) -> None:
        """Do nothing: no stream outlives its process."""

    def close(self) -> None:
        """Do nothing: there are no threads."""


def _oldest(writers: Mapping[str, MemoryWriter]) -> float:
    """Return when the first of them was opened, or ended."""
    return next((writer.changed_at for writer in writers.values()), math.inf)
