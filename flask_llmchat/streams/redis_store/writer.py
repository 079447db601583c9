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
        self._meta = keys.of(stored.info.id, "meta")
        self._keep, self._give_up_at = limits.keep, time.monotonic() + limits.longest
        self._remote_readers = False
        self._text = bytearray()
        self._state = b""
        self._state_is_new = False
        self._outcome: str | None = None  # the claimed one
        self._claim: bytes | None = None  # to store as `ended`
        self._is_claimed = False  # by us, as the store says
        self._is_foreign = False  # by another worker, to which it belongs now
        self._is_ending = False
        self._is_discarded = False
        self._has_last_entry = False
        self._ended_at = math.inf
        # What the store has: entries, and the bytes of the log and of the text in them.
        self._entry = self._log_offset = self._text_offset = 0
        self._is_missing = False
        self._is_lost_there = False
        self._renewed = time.monotonic()
        # After a failure nobody knows what was carried out.
        self.is_doubtful = False

    @property
    def has_readers(self) -> bool:
        """Whether anybody reads it, in any worker."""
        return self.log.readers > 0 or self._remote_readers

    def append(self, data: bytes, text: str = "") -> None:
        """Add bytes to the log."""
        with self.log.changed:  # so that an entry has the text of its bytes
            self._text += text.encode(errors="surrogatepass")
            self.log.append(data)
        self._flusher.wake()

    def update(self, state: Mapping[str, Any]) -> None:
        """Replace the state."""
        self._state, self._state_is_new = json.dumps(state).encode(), True
        self._flusher.wake()

    def claim_end(self, outcome: str) -> bool:
        """Claim the ending of the chat."""
        with self.log.changed:
            if self._claim is not None or self._is_foreign:
                return False
            self._outcome = outcome
            self._claim = claim_of(outcome, self._stored.worker)
            self._wait_for(lambda: self.is_over or self._is_claimed)
            return not self._is_foreign

    def end(self) -> None:
        """Write the last entry."""
        with self.log.changed:
            if self._outcome is None or self.is_over:
                return
            self._is_ending, self._ended_at = True, time.monotonic()
            self.log.end(self._outcome, is_whole=True)
            self._wait_for(lambda: self.is_over)

    def discard(self, *, waits: bool = True) -> None:
        """Remove the stream."""
        with self.log.changed:
            self._is_discarded, self._ended_at = True, time.monotonic()
            self.log.end("refused", is_whole=False)
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
        """Give up a stream that ended long ago; let go of who waits for the store."""
        self.is_doubtful = True
        with self.log.changed:
            self.is_over = self.is_over or time.monotonic() > self._ended_at + self._keep
            self.log.changed.notify_all()

    def add_look(self, add: Add) -> None:
        """Add the commands that find out what the store has."""
        found: list[bytes | None] = []
        add(found.extend, "HMGET", self._meta, "worker", "ended")
        log = self._keys.of(self.info.id, "log")
        add(lambda last: self._take_look(found, last), "XREVRANGE", log, "+", "-", "COUNT", 1)

    def _take_look(self, found: list[bytes | None], last: list[Any]) -> None:
        if not found:
            return  # that command has failed
        self.is_doubtful = False
        worker, ended = found
        if self._is_fenced(worker, ended):
            return
        self._is_missing = worker is None
        self._is_lost_there = False
        if self._is_claimed and ended is None:
            self._is_claimed = False  # and has to be claimed anew
        self._state_is_new = bool(self._state)
        self._log_offset = self._text_offset = 0
        if last and last[0][0] == END:
            self._has_last_entry = True
        elif last:
            entry_id, entry = last[0]
            self._entry = max(self._entry, int(entry_id.partition(b"-")[0]))
            self._log_offset = int(entry[b"at"]) + len(entry[b"data"])
            self._text_offset = int(entry[b"text_at"]) + len(entry[b"text"])

    def _is_fenced(self, worker: bytes | None, ended: bytes | None) -> bool:
        """Tell whether another worker has taken the stream over, and give it up then."""
        is_foreign = worker is not None and worker.decode() != self._stored.worker
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
        if self._is_discarded:
            self._add_end(add, "refused", _REFUSED, is_whole=False)
            return
        if self._is_missing:
            self._is_missing = False
            _add_all(add, self._keys.opening(self._stored, again=True))
        if self._claim is not None and not self._is_claimed:
            add(_ignore, "HSETNX", self._meta, "ended", self._claim)
            add(self._take_claim, "HGET", self._meta, "ended")
        self._add_entry(add)
        if self._state_is_new:
            self._state_is_new = False
            add(_ignore, "HSET", self._meta, "state", self._state)
        now = time.monotonic()
        if self._is_ending and self._outcome is not None:
            self._add_end(add, self._outcome, self._keep, is_whole=True)
        elif now >= self._give_up_at:
            self.interrupt("interrupted")
            self.log.end("interrupted", is_whole=False)
            self._add_end(add, "interrupted", self._keep, is_whole=False)
        elif is_beat:
            add(self._take_beat, "HMGET", self._meta, "worker", "ended", "stop")
            add(self._take_readers, "EXISTS", self._keys.of(self.info.id, "read"))
            if now >= self._renewed + _RENEWED:
                self._renewed = now
                _add_all(add, self._keys.renewal(self._stored))

    def _add_entry(self, add: Add) -> None:
        log = self._keys.of(self.info.id, "log")
        with self.log.changed:
            if self.log.is_lost:
                self._text.clear()
                if not self._is_lost_there:
                    self._is_lost_there = True
                    add(_ignore, "DEL", log)
                    add(_ignore, "HSET", self._meta, "lost", 1)
                return
            data = self.log.slice(self._log_offset)
            text = bytes(self._text[self._text_offset :])
        if not data:
            return
        at, text_at = self._log_offset, self._text_offset
        self._entry += 1

        def take(reply: bytes | None) -> None:
            if reply is None:  # the log is gone
                self.is_doubtful = True
            else:
                self._log_offset, self._text_offset = at + len(data), text_at + len(text)

        entry = ("data", data, "at", at, "text", text, "text_at", text_at)
        # A log that has entries must be there, or the new one would be its first.
        options = ("NOMKSTREAM",) if at else ()
        add(take, "XADD", log, *options, f"{self._entry}-0", *entry)
        if not at:
            add(_ignore, "PEXPIRE", log, ms(REMEMBERED))

    def _add_end(self, add: Add, outcome: str, keep: float, *, is_whole: bool) -> None:
        if not self.log.is_lost and not self._has_last_entry:
            entry = {"at": self.log.size, "whole": int(is_whole)}
            add(_ignore, *self._keys.last_entry(self.info, outcome, **entry))
        if self._is_discarded and self._stored.key:
            add(_ignore, "DEL", self._stored.key)
        _add_all(add, self._keys.ending(self._stored, keep))
        add(self._take_end, "PING")

    def _take_end(self, reply: Any) -> None:
        if not self.is_doubtful:  # all commands before this one have succeeded
            self._over()

    def _take_claim(self, ended: bytes | None) -> None:
        if not self._is_fenced(None, ended):
            with self.log.changed:
                self._is_claimed = True
                self.log.changed.notify_all()

    def _take_beat(self, found: list[bytes | None]) -> None:
        worker, ended, stop = found
        if worker is None:
            self.is_doubtful = True
        elif not self._is_fenced(worker, ended) and stop is not None:
            self.interrupt("stopped")

    def _take_readers(self, count: int) -> None:
        self._remote_readers = count > 0


def claim_of(outcome: str, worker: str) -> bytes:
    """Return what is stored under ``ended``: how the chat ended, and who has claimed its ending."""
    return json.dumps({"outcome": outcome, "worker": worker}).encode()


def _ignore(reply: Any) -> None:
    """Take a reply that says nothing."""


def _add_all(add: Add, commands: Iterable[Command]) -> None:
    for command in commands:
        add(_ignore, *command)
