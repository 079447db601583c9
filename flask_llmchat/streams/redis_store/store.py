"""The stores ``redis://``, ``rediss://`` and ``unix://``: streams that several workers share."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..base import (
    Interruption,
    KeyEntry,
    KeyInUse,
    Limits,
    Orphan,
    StoreUnavailable,
    StreamInfo,
    TooManyRunning,
)
from ..log import Budget, Log, LogReader
from .connection import Command, Connection
from .flusher import Flusher, Timing
from .keys import Keys, Stored, is_stream_id, ms, read_info
from .lookout import Lookout
from .tail import Tail
from .writer import RedisWriter


class RedisStore:
    """Keeps streams in Redis: see :class:`flask_llmchat.streams.base.StreamStore`.

    It is for one process: see :func:`flask_llmchat.streams.make_store`. Nothing is connected to
    before the first call.
    """

    def __init__(self, url: str, prefix: str, limits: Limits, timing: Timing | None = None) -> None:
        self._limits = limits
        self._timing = timing or Timing()
        self._keys = Keys(prefix)
        self._budget = Budget(limits.store_max_bytes)
        self._connection = Connection(url)
        self._tail = Tail(self._connection, self._keys, self._budget, limits.max_bytes)
        self._lookout = Lookout(self._connection, self._keys, self._tail, self._timing, limits)
        self._flusher = Flusher(self._connection, self._keys, self._timing, self._lookout.look)
        self._lookout.worker = self._flusher.worker

    def _ask(self, *commands: Command) -> list[Any]:
        with self._connection.turn():
            return self._connection.ask(*commands)

    def open(
        self,
        info: StreamInfo,
        on_interrupt: Callable[[Interruption], object],
        *,
        max_running: int | None = None,
        idempotency_key: str | None = None,
        digest: str = "",
    ) -> RedisWriter:
        """Open a stream."""
        self._connection.check()
        key = ""
        if idempotency_key is not None:
            key = self._keys.hashed("key", info.owner, idempotency_key)
        stored = Stored(info, self._flusher.worker, key, digest)
        log = Log(self._budget, self._limits.max_bytes)
        writer = RedisWriter(stored, log, on_interrupt, self._keys, self._limits, self._flusher)
        try:
            self._admit(stored, max_running)
            lease, owned = self._flusher.lease(), self._keys.hashed("owner", info.owner)
            replies = self._ask(*lease, *self._keys.opening(stored), ("SCARD", owned))
            is_full = self._is_full(info, replies[-1] - 1, max_running)  # of some that came at once
        except StoreUnavailable:
            writer.discard(waits=False)  # it may have been opened all the same
            self._flusher.add(writer)
            raise
        if not replies[len(lease)]:
            raise StoreUnavailable(f"there is a stream {info.id} already")
        self._flusher.add(writer)
        if is_full:
            writer.discard()
            raise TooManyRunning
        return writer

    def _admit(self, stored: Stored, max_running: int | None) -> None:
        """Reserve the idempotency key for as long as it takes to open the stream."""
        key = stored.key
        commands: list[Command] = [("SCARD", self._keys.hashed("owner", stored.info.owner))]
        if key:
            lease = ms(self._timing.lease)
            commands += [("SET", key, stored.key_value, "PX", lease, "NX"), ("GET", key)]
        count, *reserved = self._ask(*commands)
        if reserved and (found := reserved[-1]) and found.decode() != stored.key_value:
            raise KeyInUse(_key_entry(found))
        if self._is_full(stored.info, count, max_running):
            if key:
                self._ask(("DEL", key))
            raise TooManyRunning

    def _is_full(self, info: StreamInfo, others: int, max_running: int | None) -> bool:
        if max_running is None or others < max_running:
            return False
        # Some that are over may still be counted, if their worker could not take them off.
        return sum(found.id != info.id for found in self.running(info.owner)) >= max_running

    def find(self, owner: str, name: str) -> StreamInfo | None:
        """Return the running stream of a conversation, or the one with this id."""
        (newest,) = self._ask(("GET", self._keys.hashed("chat", owner, name)))
        found = self._stored(newest.decode()) if newest else None
        if found is None or found["over"] or self._has_ended(newest.decode()):
            found = self._stored(name)
        return _owned(owner, found)

    def _has_ended(self, stream_id: str) -> bool:
        """Tell whether a stream of this process is over, which the store may not know yet."""
        writer = self._flusher.writers.get(stream_id)
        return writer is not None and writer.log.outcome is not None and writer.is_kept

    def _stored(self, stream_id: str) -> dict[str, Any] | None:
        """Return what is stored of a stream that is kept. The id may be anything."""
        if not is_stream_id(stream_id):
            return None
        fields = ("info", "worker", "over", "lost")
        meta, log = self._keys.of(stream_id, "meta"), self._keys.of(stream_id, "log")
        values, has_log = self._ask(("HMGET", meta, *fields), ("EXISTS", log))
        found = dict(zip(fields, values, strict=True))
        return found if found["info"] and (has_log or not found["over"]) else None

    def find_key(self, owner: str, idempotency_key: str) -> KeyEntry | None:
        """Return what is remembered of an idempotency key."""
        (found,) = self._ask(("GET", self._keys.hashed("key", owner, idempotency_key)))
        return _key_entry(found) if found else None

    def _own(self, owner: str, stream_id: str) -> RedisWriter | None:
        writer = self._flusher.writers.get(stream_id)
        return writer if writer is not None and writer.info.owner == owner else None

    def read(
        self, owner: str, stream_id: str, *, after_bytes: int = 0, after_events: int = 0
    ) -> LogReader | None:
        """Return a reader."""
        if (writer := self._own(owner, stream_id)) is not None:
            log = writer.log
            reader = LogReader(writer.info, log, after_bytes, after_events, writer.release)
            if not log.is_lost:
                return reader
            reader.close()
            if not writer.is_over:
                return None
            # It was stored, and freed here, at this very moment.
        found = self._stored(stream_id)
        info = _owned(owner, found)
        if info is None or found is None or found["lost"]:
            return None
        self._flusher.start()
        return self._tail.read(info, found["worker"].decode(), after_bytes, after_events)

    def stop(self, owner: str, stream_id: str) -> bool:
        """Have the worker that runs a stream end its chat."""
        if (writer := self._own(owner, stream_id)) is not None:
            writer.interrupt("stopped")
            return True
        found = self._stored(stream_id)
        if found is None or found["over"] or _owned(owner, found) is None:
            return False
        self._ask(*self._keys.setting(stream_id, "HSETNX", "stop", 1))
        return True

    def running(self, owner: str) -> list[StreamInfo]:
        """Return the owner's running streams."""
        owned = self._keys.hashed("owner", owner)
        (members,) = self._ask(("SMEMBERS", owned))
        metas = [self._keys.of(member.decode(), "meta") for member in members]
        values = self._ask(*(("HMGET", meta, "info", "over") for meta in metas))
        found = dict(zip(members, values, strict=True))
        gone = [member for member, (info, over) in found.items() if over or not info]
        if gone:
            self._ask(("SREM", owned, *gone))
        infos = (read_info(info) for info, over in found.values() if info and not over)
        return sorted(infos, key=lambda info: info.started)

    def claim(self, key: str, expires_at: float) -> bool:
        """Claim something that may be done once."""
        left = expires_at - time.time()
        if left <= 0:
            return False
        claim = ("SET", self._keys.hashed("claim", key), 1, "PX", ms(left), "NX")
        return bool(self._ask(claim)[0])

    def watch(self, on_orphan: Callable[[Orphan], object]) -> None:
        """Look after workers that die."""
        self._lookout.on_orphan = self._lookout.on_orphan or on_orphan
        self._flusher.start()

    def close(self) -> None:
        """End the threads and connections."""
        self._tail.close()
        self._flusher.close()
        self._connection.close()


def _key_entry(found: bytes) -> KeyEntry:
    stream_id, _, digest = found.decode().partition(" ")
    return KeyEntry(stream_id, digest)


def _owned(owner: str, found: dict[str, Any] | None) -> StreamInfo | None:
    info = read_info(found["info"]) if found else None
    return info if info is not None and info.owner == owner else None
