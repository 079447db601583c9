"""Looks after what workers leave behind when they die: readers here, and chats without an end."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..base import Limits, Orphan, StoreUnavailable, StreamInfo
from .connection import Command, Connection
from .flusher import Timing
from .keys import FENCE, REMEMBERED, Keys, Stored, ms, read_info
from .tail import Mirror, Tail
from .writer import claim_of

logger = logging.getLogger("flask_llmchat")

DOUBTS = 3
"""Looks in a row after which a stream is over for its readers. After two, its ending is claimed,
and its last entry mostly comes from there."""


class Lookout:
    """Called by the flusher's thread, it looks at the leases of all workers.

    :ivar worker: the id of this process; set before the first look.
    :ivar on_orphan: what takes the streams whose ending was claimed; None before it is set.
    """

    def __init__(
        self, connection: Connection, keys: Keys, tail: Tail, timing: Timing, limits: Limits
    ) -> None:
        self.worker = ""
        self.on_orphan: Callable[[Orphan], object] | None = None
        self._connection, self._keys, self._tail = connection, keys, tail
        self._timing, self._keep = timing, limits.keep
        self._suspects: set[str] = set()
        self._told: set[str] = set()  # orphans that on_orphan has got, and that are not over yet
        self._claiming: threading.Thread | None = None

    def look(self) -> None:
        """Find workers whose lease has run out, and the streams that are affected here."""
        mirrors = self._tail.running()
        try:
            dead = self._dead_workers(mirrors)
        except StoreUnavailable:
            # A little later than a lease: nobody else can tell any more whether a worker is alive.
            if time.monotonic() > self._connection.answered_at + self._timing.lease * 1.4:
                for mirror in mirrors:
                    mirror.log.end("interrupted", is_whole=False)
            return
        # Two looks in a row: after an outage of the store, workers need a moment to renew theirs.
        confirmed, self._suspects = dead & self._suspects, dead
        is_busy = self._claiming is not None and self._claiming.is_alive()
        if confirmed and self.on_orphan is not None and not is_busy:
            # In a thread of its own: what the host does there may take long.
            self._claiming = threading.Thread(
                target=self._claim_all, args=(confirmed,), name="flask_llmchat-orphans", daemon=True
            )
            self._claiming.start()

    def _dead_workers(self, mirrors: list[Mirror]) -> set[str]:
        commands: list[Command] = [("SMEMBERS", self._keys.workers)]
        for mirror in mirrors:
            meta = self._keys.of(mirror.info.id, "meta")
            commands.append(("HMGET", meta, "worker", "over", "lost"))
        (workers, *found) = self._connection.ask(*commands)
        names = {name.decode() for name in workers} | {mirror.worker for mirror in mirrors}
        names -= {self.worker}
        if not names:
            return set()
        ordered = sorted(names)
        (leases,) = self._connection.ask(("MGET", *map(self._keys.lease, ordered)))
        dead = {name for name, lease in zip(ordered, leases, strict=True) if lease is None}
        for mirror, (worker, *is_over) in zip(mirrors, found, strict=True):
            seems_dead = worker is None or any(is_over) or mirror.worker in dead
            mirror.doubts = mirror.doubts + 1 if seems_dead else 0
            if mirror.doubts >= DOUBTS:
                mirror.log.end("interrupted", is_whole=False)
        read = [self._keys.of(mirror.info.id, "read") for mirror in mirrors]
        self._connection.send([("SET", key, 1, "PX", ms(3 * self._timing.look)) for key in read])
        return dead & {name.decode() for name in workers}

    def _claim_all(self, workers: set[str]) -> None:
        try:
            for worker in workers:
                (streams,) = self._connection.ask(("SMEMBERS", self._keys.streams(worker)))
                for stream_id in streams:
                    if self._is_alive(worker):  # it was paused, and may have new streams
                        break
                    self._claim(worker, stream_id.decode())
                if not self._connection.ask(("SCARD", self._keys.streams(worker)))[0]:
                    self._connection.ask(("SREM", self._keys.workers, worker))
        except StoreUnavailable:
            pass  # the next look tries again
        except Exception:
            logger.exception("the chats of a worker that died could not be ended")

    def _claim(self, worker: str, stream_id: str) -> None:
        """Claim the ending of an orphan, and end it; or only end it, if that worker had claimed."""
        meta, log = self._keys.of(stream_id, "meta"), self._keys.of(stream_id, "log")
        fields = ("info", "key", "over", "lost", "state")
        info, key, over, lost, state = self._connection.ask(("HMGET", meta, *fields))[0]
        if info is None or over:
            self._connection.ask(("SREM", self._keys.streams(worker), stream_id))
            return
        stored = Stored(read_info(info), worker, (key or b"").decode())
        claim = claim_of("interrupted", self.worker)
        # Without streams of its own, this worker has no lease by which others see that it is alive.
        lease = self._keys.leasing(self.worker, self._timing.lease)
        setting = self._keys.setting(stream_id, "HSETNX", "ended", claim)
        *_, ended = self._connection.ask(lease, *setting, ("HGET", meta, "ended"))
        if ended != claim and self._is_alive(json.loads(ended)["worker"]):
            return  # it is being ended
        if ended == claim and stream_id not in self._told:
            # From now on the log refuses entries of the worker, should it wake up.
            fence = ("XADD", log, FENCE, "at", 0)
            self._connection.send([fence, ("PEXPIRE", log, ms(REMEMBERED))])
            self._tell(stored.info, json.loads(state or "{}"))
        if not lost:  # refused where that worker had written its own
            self._connection.send([self._keys.last_entry(stored.info, "interrupted", 0, False)])
        self._connection.ask(*self._keys.ending(stored, self._keep))
        self._told.discard(stream_id)

    def _is_alive(self, worker: str) -> bool:
        (lease,) = self._connection.ask(("GET", self._keys.lease(worker)))
        return worker == self.worker or lease is not None

    def _tell(self, info: StreamInfo, state: Mapping[str, Any]) -> None:
        text, last_id, log = bytearray(), b"0", self._keys.of(info.id, "log")
        while entries := self._connection.entries(log, last_id):
            for _, entry in entries:
                if b"text_at" in entry:
                    del text[int(entry[b"text_at"]) :]  # some may have been written again
                    text += entry[b"text"]
            last_id = entries[-1][0]
        self._told.add(info.id)
        assert self.on_orphan is not None
        try:
            self.on_orphan(Orphan(info, text.decode(errors="surrogatepass"), state))
        except Exception:
            logger.exception("chat %s could not be ended", info.request_id)
