"""The stores ``redis://``, ``rediss://`` and ``unix://``: streams that several workers share."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable

from ...transport.runtime import PerProcess
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


class _Process:
    """What one process has of a store: its connections, its threads, and the logs they hold."""

    def __init__(self, url: str, keys: Keys, limits: Limits, timing: Timing) -> None:
        self.budget = Budget(limits.store_max_bytes)
        self.connection = Connection(url)
        self.tail = Tail(self.connection, keys, self.budget, limits.max_bytes)
        self.lookout = Lookout(self.connection, keys, self.tail, timing.lease, limits.keep)
        self.flusher = Flusher(self.connection, keys, timing, self.lookout.look)
        self.lookout.worker = self.flusher.worker

    def close(self) -> None:
        """End the threads and close the connections."""
        self.tail.close()
        self.flusher.close()
        self.connection.close()


class RedisStore:
    """Keeps streams in Redis: see :class:`flask_llmchat.streams.base.StreamStore`.

    Nothing is connected to before the first call.

    :param timing: how often things are done.
    """

    def __init__(self, url: str, prefix: str, limits: Limits, timing: Timing | None = None) -> None:
        self._keys = keys = Keys(prefix)
        self._limits = limits
        self._timing = timing = timing or Timing()
        self._processes = PerProcess(lambda: _Process(url, keys, limits, timing))
        weakref.finalize(self, _close, self._processes)

    def _checked(self) -> _Process:
        process = self._processes.get()
        process.connection.check()
        return process

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
        process, keys = self._checked(), self._keys
        flusher = process.flusher
        key = ""
        if idempotency_key is not None:
            key = keys.hashed("key", info.owner, idempotency_key)
        stored = Stored(info, flusher.worker, key, digest)
        log = Log(process.budget, self._limits.max_bytes)
        writer = RedisWriter(stored, log, on_interrupt, keys, self._limits, flusher)
        lease, count = flusher.lease(), ("SCARD", keys.hashed("owner", info.owner))
        try:
            self._admit(process, stored, max_running)
            replies = process.connection.ask(*lease, *keys.opening(stored), count)
            is_full = self._is_full(info, replies[-1] - 1, max_running)  # of some that came at once
        except StoreUnavailable:
            writer.discard(waits=False)  # it may have been opened all the same
            flusher.add(writer)
            raise
        if not replies[len(lease)]:
            raise StoreUnavailable(f"there is a stream {info.id} already")
        flusher.add(writer)
        if is_full:
            writer.discard()
            raise TooManyRunning
        return writer

    def _admit(self, process: _Process, stored: Stored, max_running: int | None) -> None:
        """Reserve the idempotency key for as long as it takes to open the stream."""
        key = stored.key
        commands: list[Command] = [("SCARD", self._keys.hashed("owner", stored.info.owner))]
        if key:
            lease = ms(self._timing.lease)
            commands += [("SET", key, stored.key_value, "PX", lease, "NX"), ("GET", key)]
        count, *reserved = process.connection.ask(*commands)
        if reserved and (found := reserved[-1]) and found.decode() != stored.key_value:
            raise KeyInUse(_key_entry(found))
        if self._is_full(stored.info, count, max_running):
            if key:
                process.connection.ask(("DEL", key))
            raise TooManyRunning

    def _is_full(self, info: StreamInfo, others: int, max_running: int | None) -> bool:
        if max_running is None or others < max_running:
            return False
        # Some that are over may still be counted, if their worker could not take them off.
        return sum(found.id != info.id for found in self.running(info.owner)) >= max_running

    def find(self, owner: str, name: str) -> StreamInfo | None:
        """Return the running stream of a conversation, or the one with this id."""
        connection = self._checked().connection
        (newest,) = connection.ask(("GET", self._keys.hashed("chat", owner, name)))
        ids = [newest.decode()] if newest is not None else []
        ids += [name] if is_stream_id(name) else []
        if not ids:
            return None
        found = connection.ask(*(("HMGET", self._keys.of(i, "meta"), "info", "over") for i in ids))
        for stream_id, (info, over) in zip(ids, found, strict=True):
            if info is not None and (over is None or stream_id == name):
                return _owned(owner, info)
        return None

    def find_key(self, owner: str, idempotency_key: str) -> KeyEntry | None:
        """Return what is remembered of an idempotency key."""
        key = self._keys.hashed("key", owner, idempotency_key)
        (found,) = self._checked().connection.ask(("GET", key))
        return None if found is None else _key_entry(found)

    def read(
        self, owner: str, stream_id: str, *, after_bytes: int = 0, after_events: int = 0
    ) -> LogReader | None:
        """Return a reader."""
        process = self._processes.get()
        writer = process.flusher.writers.get(stream_id)
        if writer is not None and writer.info.owner == owner:
            reader = LogReader(
                writer.info, writer.log, after_bytes, after_events, on_close=writer.release
            )
            if not writer.log.is_lost:
                return reader
            reader.close()
            if not writer.is_over:
                return None
        if not is_stream_id(stream_id):
            return None
        process.connection.check()
        fields = ("info", "worker", "over", "lost")
        (stored, worker, over, lost), has_log = process.connection.ask(
            ("HMGET", self._keys.of(stream_id, "meta"), *fields),
            ("EXISTS", self._keys.of(stream_id, "log")),
        )
        if stored is None or lost is not None or (over is not None and not has_log):
            return None
        info = _owned(owner, stored)
        if info is None:
            return None
        process.flusher.start_looking()
        return process.tail.read(info, worker.decode(), after_bytes, after_events)

    def stop(self, owner: str, stream_id: str) -> bool:
        """Have the worker that runs a stream end its chat."""
        process = self._processes.get()
        writer = process.flusher.writers.get(stream_id)
        if writer is not None and writer.info.owner == owner:
            writer.interrupt("stopped")
            return True
        if not is_stream_id(stream_id):
            return False
        process.connection.check()
        meta = self._keys.of(stream_id, "meta")
        ((stored, over),) = process.connection.ask(("HMGET", meta, "info", "over"))
        if stored is None or over is not None or _owned(owner, stored) is None:
            return False
        process.connection.ask(("HSETNX", meta, "stop", 1))
        return True

    def running(self, owner: str) -> list[StreamInfo]:
        """Return the owner's running streams."""
        connection = self._checked().connection
        owned = self._keys.hashed("owner", owner)
        (members,) = connection.ask(("SMEMBERS", owned))
        ids = [member.decode() for member in members]
        if not ids:
            return []
        found = connection.ask(*(("HMGET", self._keys.of(i, "meta"), "info", "over") for i in ids))
        running = {i: info for i, (info, over) in zip(ids, found, strict=True) if info and not over}
        if over_ids := set(ids) - set(running):
            connection.ask(("SREM", owned, *over_ids))
        return sorted(map(read_info, running.values()), key=lambda info: info.started)

    def claim(self, key: str, expires_at: float) -> bool:
        """Claim something that may be done once."""
        left = expires_at - time.time()
        if left <= 0:
            return False
        claim = ("SET", self._keys.hashed("claim", key), 1, "PX", ms(left), "NX")
        return bool(self._checked().connection.ask(claim)[0])

    def watch(self, on_orphan: Callable[[Orphan], object]) -> None:
        """Look after workers that die."""
        process = self._processes.get()
        if process.lookout.on_orphan is None:
            process.lookout.on_orphan = on_orphan
            process.flusher.start_looking()

    def close(self) -> None:
        """End the threads and connections of this process."""
        self._processes.get().close()


def _close(processes: PerProcess[_Process]) -> None:
    if (process := processes.made()) is not None:
        process.close()


def _key_entry(found: bytes) -> KeyEntry:
    stream_id, _, digest = found.decode().partition(" ")
    return KeyEntry(stream_id, digest)


def _owned(owner: str, stored: bytes) -> StreamInfo | None:
    info = read_info(stored)
    return info if info.owner == owner else None
