"""The store ``memory://``: streams of one process, which are lost with it."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..transport.runtime import PerProcess
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
"""Bytes that a stream takes besides its log. They bound how many there are."""

_MAX_CLAIMS = 100_000


class MemoryWriter(LogWriter):
    """A stream of this process: see :class:`flask_llmchat.streams.base.StreamWriter`.

    :param key: its owner and its idempotency key.
    :param on_over: is called once, when the stream has ended; and whether it is still needed.
    """

    def __init__(
        self,
        info: StreamInfo,
        log: Log,
        on_interrupt: Callable[[Interruption], object],
        key: tuple[str, str] | None,
        on_over: Callable[[MemoryWriter, bool], object],
    ) -> None:
        super().__init__(info, log, on_interrupt)
        self.key = key
        self.opened = time.monotonic()
        self._claimed: str | None = None
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
            if self._claimed is not None:
                return False
            self._claimed = outcome
            return True

    def end(self) -> None:
        """Write the last entry."""
        if self._claimed is not None:
            self._finish(self._claimed, is_whole=True)

    def discard(self) -> None:
        """Remove the stream."""
        self._finish("refused", is_whole=False)

    def give_up(self) -> None:
        """End a stream whose chat has not ended in time. The chat may still claim its ending."""
        self.interrupt("interrupted")
        self._finish("interrupted", is_whole=False)

    def _finish(self, outcome: str, *, is_whole: bool) -> None:
        with self.log.changed:
            if self.is_over:
                return
            self.is_over = True
            self.log.end(outcome, is_whole=is_whole)
        self._on_over(self, is_whole and self.is_kept)


class _Streams:
    """The streams of one process, and what was claimed in it. Used under its lock."""

    def __init__(self, limits: Limits) -> None:
        self.lock = threading.RLock()
        self.by_id: dict[str, MemoryWriter] = {}
        self.newest: dict[tuple[str, str], MemoryWriter] = {}  # by owner and conversation
        self.running: dict[str, dict[str, MemoryWriter]] = {}  # by owner and id
        self.keys: dict[tuple[str, str], KeyEntry] = {}  # by owner and key
        self.claims: set[str] = set()
        self.claims_by_expiry: list[tuple[float, str]] = []  # a heap
        self._finished: dict[str, float] = {}  # by id, the oldest first: when they ended
        self._limits = limits
        self._budget = Budget(limits.store_max_bytes, self._remove_oldest)

    def add(
        self,
        info: StreamInfo,
        on_interrupt: Callable[[Interruption], object],
        key: tuple[str, str] | None,
        digest: str,
    ) -> MemoryWriter:
        """Add a running stream."""
        if not self._budget.take(_OVERHEAD):
            raise StoreUnavailable("running streams take all of LLMCHAT_STORE_MAX_BYTES")
        log = Log(self._budget, self._limits.max_bytes)
        writer = MemoryWriter(info, log, on_interrupt, key, self._over)
        self.by_id[info.id] = writer
        self.running.setdefault(info.owner, {})[info.id] = writer
        if info.conversation is not None:
            self.newest[info.owner, info.conversation] = writer
        if key is not None:
            self.keys[key] = KeyEntry(info.id, digest)
        return writer

    def remove_expired(self) -> None:
        """Remove what was kept for long enough."""
        now = time.monotonic()
        while self._finished and next(iter(self._finished.values())) <= now - self._limits.keep:
            self._remove_oldest()
        while self.claims_by_expiry and self.claims_by_expiry[0][0] <= time.time():
            self.claims.discard(heapq.heappop(self.claims_by_expiry)[1])

    def give_up_oldest(self, owner: str) -> None:
        """End streams of an owner that have run for longer than any chat may."""
        for writer in list(self.running.get(owner, {}).values()):
            if writer.opened <= time.monotonic() - self._limits.longest:
                writer.give_up()

    def _over(self, writer: MemoryWriter, is_needed: bool) -> None:
        info = writer.info
        with self.lock:
            of_owner = self.running[info.owner]
            del of_owner[info.id]
            if not of_owner:
                del self.running[info.owner]
            if is_needed:
                self._finished[info.id] = time.monotonic()
            else:
                self._remove(info.id)

    def _remove_oldest(self) -> bool:
        with self.lock:
            oldest = next(iter(self._finished), None)
            if oldest is not None:
                del self._finished[oldest]
                self._remove(oldest)
            return oldest is not None

    def _remove(self, stream_id: str) -> None:
        writer = self.by_id.pop(stream_id)
        if writer.key is not None:
            del self.keys[writer.key]
        conversation = writer.info.owner, writer.info.conversation or ""
        if self.newest.get(conversation) is writer:
            del self.newest[conversation]
        writer.log.lose()
        self._budget.give_back(_OVERHEAD)


class MemoryStore:
    """Keeps the streams of one process: see :class:`flask_llmchat.streams.base.StreamStore`."""

    def __init__(self, limits: Limits) -> None:
        self._process = PerProcess(lambda: _Streams(limits))

    def _streams(self) -> _Streams:
        streams = self._process.get()
        with streams.lock:
            streams.remove_expired()
        return streams

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
        streams = self._streams()
        key = None if idempotency_key is None else (info.owner, idempotency_key)
        with streams.lock:
            if key in streams.keys:
                raise KeyInUse(streams.keys[key])
            streams.give_up_oldest(info.owner)
            if max_running is not None and len(self.running(info.owner)) >= max_running:
                raise TooManyRunning
            return streams.add(info, on_interrupt, key, digest)

    def _found(self, owner: str, stream_id: str) -> MemoryWriter | None:
        writer = self._streams().by_id.get(stream_id)
        return writer if writer is not None and writer.info.owner == owner else None

    def find(self, owner: str, name: str) -> StreamInfo | None:
        """Return the running stream of a conversation, or the one with this id."""
        writer = self._streams().newest.get((owner, name))
        if writer is None or writer.is_over:
            writer = self._found(owner, name)
        return None if writer is None else writer.info

    def find_key(self, owner: str, idempotency_key: str) -> KeyEntry | None:
        """Return what is remembered of an idempotency key."""
        return self._streams().keys.get((owner, idempotency_key))

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
        streams = self._streams()
        with streams.lock:
            return [writer.info for writer in streams.running.get(owner, {}).values()]

    def claim(self, key: str, expires_at: float) -> bool:
        """Claim something that may be done once."""
        streams = self._streams()
        with streams.lock:
            if key in streams.claims or expires_at <= time.time():
                return False
            if len(streams.claims) >= _MAX_CLAIMS:
                raise StoreUnavailable(f"{_MAX_CLAIMS} claims have not expired yet")
            streams.claims.add(key)
            heapq.heappush(streams.claims_by_expiry, (expires_at, key))
            return True

    def watch(self, on_orphan: Callable[[Orphan], object]) -> None:
        """Do nothing: no stream outlives its process."""

    def close(self) -> None:
        """Do nothing: there are no threads."""
