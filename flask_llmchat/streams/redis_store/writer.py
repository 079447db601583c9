"""A running stream in Redis: what is stored of it, and the commands that store the rest.

All commands go through the process's one :class:`.flusher.Flusher`, in its thread. The log is also
held in memory, so a store that was wiped, or fell behind, is made whole again from there.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..base import Interruption, Limits
from ..log import Log, LogWriter
from .connection import Command
from .keys import END, REMEMBERED, Keys, Stored, ms

if TYPE_CHECKING:
    from .flusher import Flusher

_RENEWED = 60.0  # seconds after which times to live are renewed
_REFUSED = 5.0  # seconds for which those who were attached can learn of a refusal
_WAIT = 1.2  # seconds that an ending waits for the store: two commands that time out

Add = Callable[..., None]
"""Adds a command, and what takes its reply: ``add(take, *command)``."""


class RedisWriter(LogWriter):
    """A running stream: see :class:`flask_llmchat.streams.base.StreamWriter`."""

    def __init__(
        self,
        stored: Stored,
        log: Log,
        on_interrupt: Callable[[Interruption], object],
        keys: Keys,
        limits: Limits,
        flusher: Flusher,
    ) -> None:
        super().__init__(stored.info, log, on_interrupt)
        self._stored, self._keys, self._flusher = stored, keys, flusher
        self._meta, self._log_key = keys.of(self.info.id, "meta"), keys.of(self.info.id, "log")
        self._keep, self._give_up_at = limits.keep, time.monotonic() + limits.longest
        self._text = bytearray()
        self._state = b""
        self._claim: bytes | None = None  # to be stored as `ended`
        self._final: tuple[str, bool] | None = None  # the outcome, and whether the log is whole
        self._drop_at = math.inf
        self._is_foreign = False  # it belongs to another worker now
        # What the store has, as far as is known.
        self._entry = self._count = self._log_offset = self._text_offset = 0
        self._stored_state = b""
        self._has_claim = self._has_loss = self._has_last_entry = self._has_readers = False
        self._has_meta = True
        self._renewed = time.monotonic()
        # After a failure nobody knows what was carried out.
        self.is_doubtful = False

    @property
    def has_readers(self) -> bool:
        """Whether anybody reads it, in any worker."""
        return self.log.readers > 0 or self._has_readers

    def append(self, data: bytes, text: str = "") -> None:
        """Add bytes to the log."""
        with self.log.changed:  # so that an entry has the text of its bytes
            self._text += text.encode(errors="surrogatepass")
            self.log.append(data)
        self._flusher.wake()

    def update(self, state: Mapping[str, Any]) -> None:
        """Replace the state."""
        self._state = json.dumps(state).encode()
        self._flusher.wake()

    def claim_end(self, outcome: str) -> bool:
        """Claim the ending of the chat."""
        with self.log.changed:
            if self.claimed is not None or self._is_foreign:
                return False
            self.claimed, self._claim = outcome, claim_of(outcome, self._stored.worker)
            self._wait_for(lambda: self.is_over or self._has_claim)
            return not self._is_foreign

    def end(self) -> None:
        """Write the last entry."""
        if self.claimed is not None:
            self._finish(self.claimed, is_whole=True)

    def discard(self, *, waits: bool = True) -> None:
        """Remove the stream."""
        self._finish("refused", is_whole=False, waits=waits)

    def _finish(self, outcome: str, *, is_whole: bool, waits: bool = True) -> None:
        with self.log.changed:
            if self._final is None and not self.is_over:
                self._final, self._drop_at = (outcome, is_whole), time.monotonic() + self._keep
                self.log.end(outcome, is_whole=is_whole)
                if waits:
                    self._wait_for(lambda: self.is_over)

    def release(self) -> None:
        """Free the log once the stream is over, and nobody in this process reads it."""
        with self.log.changed:
            if self.is_over and not self.log.readers:
                self.log.lose()

    def _wait_for(self, is_done: Callable[[], bool]) -> None:
        self._flusher.wake(at_once=True)
        until = time.monotonic() + _WAIT
        while not (is_done() or self._flusher.is_down or self._flusher.is_this_thread()):
            if (left := until - time.monotonic()) <= 0:
                break
            self.log.changed.wait(left)

    # What follows runs in the flusher's thread.

    def after_failure(self) -> None:
        """Let go of who waits for the store, and of a stream that ended long ago."""
        self.is_doubtful = True
        with self.log.changed:
            self.is_over = self.is_over or time.monotonic() > self._drop_at
            self.log.changed.notify_all()

    def add_look(self, add: Add) -> None:
        """Add the commands that find out what the store has."""
        found: list[Any] = []
        add(found.extend, "HMGET", self._meta, "worker", "ended")
        add(found.append, "XREVRANGE", self._log_key, "+", "-", "COUNT", 1)
        add(found.append, "EXISTS", self._keys.of(self.info.id, "over"))
        add(lambda count: self._take_look(found, count), "XLEN", self._log_key)

    def _take_look(self, found: list[Any], count: int) -> None:
        if len(found) < 4:
            return  # a command was refused
        self.is_doubtful = False
        worker, ended, entries, was_over = found
        if self._is_fenced(worker, ended, was_over and self._final is None):
            return
        self._has_meta, self._has_claim = worker is not None, ended is not None
        self._has_loss, self._stored_state = False, b""
        self._count = self._log_offset = self._text_offset = 0
        for entry_id, entry in entries:
            if entry_id == END:
                self._has_last_entry, self._log_offset = True, self.log.size
                continue
            self._entry = max(self._entry, int(entry_id.partition(b"-")[0]))
            # Otherwise some are missing, and all are written anew.
            if count == int(entry[b"count"]):
                self._count = count
                self._log_offset = int(entry[b"at"]) + len(entry[b"data"])
                self._text_offset = int(entry[b"text_at"]) + len(entry[b"text"])

    def _is_fenced(self, worker: bytes | None, ended: bytes | None, was_over: bool = False) -> bool:
        """Tell whether another worker has taken the stream over, and give it up then."""
        is_foreign = was_over if worker is None else worker.decode() != self._stored.worker
        if is_foreign or (ended is not None and ended != self._claim):
            self._is_foreign = True
            self.log.end("interrupted", is_whole=False)
            self.interrupt("interrupted")
            self._over()
            return True
        return False

    def _over(self) -> None:
        with self.log.changed:
            self.is_over = True
            self.log.changed.notify_all()

    def add_changes(self, add: Add, *, is_beat: bool) -> None:
        """Add the commands that bring the store up to date.

        :param is_beat: whether to ask as well what others did to the stream.
        """
        if not self._has_meta:
            self._has_meta = True
            _add_all(add, self._keys.opening(self._stored, again=True))
        if self._claim is not None and not self._has_claim:
            _add_all(add, self._keys.setting(self.info.id, "HSETNX", "ended", self._claim))
            add(self._take_claim, "HGET", self._meta, "ended")
        self._add_entry(add)
        if (state := self._state) != self._stored_state:
            self._stored_state = state
            _add_all(add, self._keys.setting(self.info.id, "HSET", "state", state))
        now = time.monotonic()
        if now >= self._give_up_at:
            self.interrupt("interrupted")
            self._finish("interrupted", is_whole=False)
        if self._final is not None:
            self._add_end(add, *self._final)
        elif is_beat:
            add(self._take_beat, "HMGET", self._meta, "worker", "ended", "stop")
            add(self._take_count, "XLEN", self._log_key)
            add(self._take_readers, "EXISTS", self._keys.of(self.info.id, "read"))
            if now >= self._renewed + _RENEWED:
                self._renewed = now
                _add_all(add, self._keys.renewal(self._stored))

    def _add_entry(self, add: Add) -> None:
        with self.log.changed:
            data, at = self.log.slice(self._log_offset), self._log_offset
            text, text_at = bytes(self._text[self._text_offset :]), self._text_offset
        if self.log.is_lost:
            self._text.clear()
            if not self._has_loss:
                self._has_loss = True
                add(_ignore, "DEL", self._log_key)
                _add_all(add, self._keys.setting(self.info.id, "HSET", "lost", 1))
        elif data:
            # A log that has entries must be there, or this one would become its first.
            options = ("NOMKSTREAM",) if at else ()
            self._entry, count = self._entry + 1, self._count + 1
            entry = ("data", data, "at", at, "text", text, "text_at", text_at, "count", count)
            if not at and count < self._entry:
                # Not DEL, after which the log would no longer refuse what it has to refuse.
                add(_ignore, "XTRIM", self._log_key, "MAXLEN", 0)

            def take(reply: bytes | None) -> None:
                self._count = count
                self._log_offset, self._text_offset = at + len(data), text_at + len(text)
                self.is_doubtful = self.is_doubtful or reply is None

            add(take, "XADD", self._log_key, *options, f"{self._entry}-0", *entry)
            if not at:
                add(_ignore, "PEXPIRE", self._log_key, ms(REMEMBERED))

    def _add_end(self, add: Add, outcome: str, is_whole: bool) -> None:
        if not self.log.is_lost and not self._has_last_entry:
            add(_ignore, *self._keys.last_entry(self.info, outcome, self.log.size, is_whole))
        is_refused = outcome == "refused"
        if is_refused and self._stored.key:
            add(_ignore, "DEL", self._stored.key)
        _add_all(add, self._keys.ending(self._stored, _REFUSED if is_refused else self._keep))
        # The last reply: unless one of the others was an error, all of it is stored.
        add(lambda _: None if self.is_doubtful else self._over(), "PING")

    def _take_claim(self, ended: bytes | None) -> None:
        if not self._is_fenced(None, ended):
            with self.log.changed:
                self._has_claim = True
                self.log.changed.notify_all()

    def _take_beat(self, found: list[bytes | None]) -> None:
        worker, ended, stop = found
        if worker is None:
            self.is_doubtful = True
        elif not self._is_fenced(worker, ended) and stop is not None:
            self.interrupt("stopped")

    def _take_count(self, count: int) -> None:
        # A replica that took over has fewer entries than were written.
        self.is_doubtful = self.is_doubtful or (count != self._count and not self.log.is_lost)

    def _take_readers(self, count: int) -> None:
        self._has_readers = count > 0


def claim_of(outcome: str, worker: str) -> bytes:
    """Return what is stored under ``ended``: how the chat ended, and who has claimed its ending."""
    return json.dumps({"outcome": outcome, "worker": worker}).encode()


def _ignore(reply: Any) -> None:
    """Take a reply that says nothing."""


def _add_all(add: Add, commands: Iterable[Command]) -> None:
    for command in commands:
        add(_ignore, *command)
