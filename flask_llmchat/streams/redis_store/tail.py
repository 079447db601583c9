"""Streams of other workers that are read in this one: each log is held once, however many read it.

One thread waits for the new entries of all of them, which takes a sixth of the processor time of a
connection for each reader.
"""

from __future__ import annotations

import logging
import threading
import time

from ..base import StoreUnavailable, StreamInfo
from ..log import Budget, Log, LogReader
from .connection import Connection, Entries
from .keys import END, FENCE, Keys

logger = logging.getLogger("flask_llmchat")

_PAUSE = 0.5  # seconds before reading again after a failure


class Mirror:
    """The log of a stream of another worker.

    :ivar worker: the worker that runs it.
    :ivar doubts: in how many looks in a row the stream seemed to be dead.
    """

    def __init__(self, info: StreamInfo, worker: str, log: Log, key: str) -> None:
        self.info = info
        self.worker = worker
        self.log = log
        self.key = key
        self.last_id = b"0"
        self.doubts = 0

    def feed(self, entries: Entries) -> None:
        """Add entries of the store. What is here already is left out: they may be written again."""
        with self.log.changed:
            for entry_id, entry in entries:
                self.last_id = entry_id
                if entry_id == FENCE:
                    continue
                if (missing := int(entry[b"at"]) - self.log.size) > 0:
                    self.log.end("interrupted", is_whole=False)
                elif entry_id == END:
                    self.log.end(entry[b"outcome"].decode(), is_whole=entry[b"whole"] == b"1")
                elif data := entry[b"data"][-missing:]:
                    self.log.append(data)


class Tail:
    """The streams of other workers that are read in this process, by id."""

    def __init__(self, connection: Connection, keys: Keys, budget: Budget, max_bytes: int) -> None:
        self.mirrors: dict[str, Mirror] = {}
        self._connection, self._keys = connection, keys
        self._budget, self._max_bytes = budget, max_bytes
        self._lock = threading.RLock()
        self._has_work = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def read(self, info: StreamInfo, worker: str, after_bytes: int, after_events: int) -> LogReader:
        """Return a reader, which has what the store has by now.

        :raises StoreUnavailable: when the store does not answer.
        """
        with self._lock:
            mirror = self.mirrors.get(info.id)
            if mirror is None:
                log, key = Log(self._budget, self._max_bytes), self._keys.of(info.id, "log")
                mirror = Mirror(info, worker, log, key)
                self.mirrors[info.id] = mirror
            reader = LogReader(
                info, mirror.log, after_bytes, after_events, on_close=lambda: self._release(mirror)
            )
        try:
            self._fill(mirror)
            self._start()
        except BaseException:
            reader.close()
            raise
        return reader

    def _fill(self, mirror: Mirror) -> None:
        while mirror.log.outcome is None:
            with self._connection.turn():
                entries = self._connection.entries(mirror.key, mirror.last_id)
            if not entries:
                return
            mirror.feed(entries)

    def _release(self, mirror: Mirror) -> None:
        with self._lock:
            if not mirror.log.readers and self.mirrors.get(mirror.info.id) is mirror:
                del self.mirrors[mirror.info.id]
                mirror.log.lose()

    def running(self) -> list[Mirror]:
        """Return those whose last entry has not come."""
        return [mirror for mirror in list(self.mirrors.values()) if mirror.log.outcome is None]

    def close(self) -> None:
        """End the thread."""
        self._is_closed = True
        self._has_work.set()
        if self._thread is not None:
            self._thread.join(2)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="flask_llmchat-tail", daemon=True)
                thread.start()
                self._thread = thread
        self._has_work.set()

    def _run(self) -> None:
        while not self._is_closed:
            mirrors = {mirror.key: mirror for mirror in self.running()}
            if not mirrors:
                self._has_work.clear()
                if not self.running() and not self._is_closed:
                    self._has_work.wait()
                continue
            try:
                last_ids = {key: mirror.last_id for key, mirror in mirrors.items()}
                for key, entries in self._connection.wait_for_entries(last_ids):
                    mirrors[key.decode()].feed(entries)
            except StoreUnavailable:
                time.sleep(_PAUSE)
            except Exception:  # or no reader would ever get anything again
                logger.exception("the streams of other workers could not be read")
                time.sleep(_PAUSE)
