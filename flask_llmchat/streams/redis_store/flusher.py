"""The one thread of a process that writes its running streams to Redis, and renews its lease.

It sends one pipeline for all streams, every 50 ms while there is something to write. A command for
each token would take three times the processor time, and wait for the store in the chat's thread.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..base import StoreUnavailable
from .connection import Command, Connection
from .keys import DAY, Keys
from .writer import Add, RedisWriter

logger = logging.getLogger("flask_llmchat")


@dataclass(frozen=True, slots=True)
class Timing:
    """How often things are done, in seconds.

    :param gather: what is appended within this time is written at once.
    :param beat: between two renewals of the lease, and two looks at what others did to a stream.
    :param lease: after which a worker that does not renew it is taken for dead.
    """

    gather: float = 0.05
    beat: float = 0.5
    lease: float = 12.0

    @property
    def look(self) -> float:
        """Between two looks at other workers' leases.

        Two in a row have to find none. So a worker is known to be dead after 16 s, and readers are
        promised to know within 20 s.
        """
        return self.lease / 6


class Flusher:
    """Writes the running streams of this process.

    :param look: is called now and then, to look after other workers and the streams read here.
    :ivar worker: the id of this process.
    :ivar writers: the running streams by id.
    :ivar is_down: whether the last attempt to write failed.
    """

    def __init__(
        self, connection: Connection, keys: Keys, timing: Timing, look: Callable[[], object]
    ) -> None:
        self.worker = secrets.token_hex(8)
        self.writers: dict[str, RedisWriter] = {}
        self.is_down = False
        self._connection, self._keys, self._timing = connection, keys, timing
        self._look = look
        self._next_beat = self._next_look = 0.0
        # With a reentrant lock, which an Event has not: a garbage collection can end a chat while
        # this very thread holds it.
        self._changed = threading.Condition(threading.RLock())
        self._has_work = self._is_urgent = False
        self._thread: threading.Thread | None = None
        self._refusal: Exception | None = None
        self._is_closed = False

    def lease(self) -> list[Command]:
        """Return the commands that renew the lease."""
        return [
            self._keys.leasing(self.worker, self._timing.lease),
            ("SADD", self._keys.workers, self.worker),
            ("EXPIRE", self._keys.workers, DAY),
        ]

    def add(self, writer: RedisWriter) -> None:
        """Write a stream from now on."""
        self.writers[writer.info.id] = writer
        self.start()
        self.wake()

    def start(self) -> None:
        """Start the thread, if it does not run."""
        with self._changed:
            if self._thread is None and not self._is_closed:
                name = "flask_llmchat-streams"
                thread = threading.Thread(target=self._run, name=name, daemon=True)
                thread.start()
                self._thread = thread

    def wake(self, *, at_once: bool = False) -> None:
        """Say that there is something to write; without waiting for more if it is urgent."""
        if at_once or not self._has_work:
            with self._changed:
                self._has_work, self._is_urgent = True, self._is_urgent or at_once
                self._changed.notify()

    def is_this_thread(self) -> bool:
        """Tell whether the caller is the flusher's own thread."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """End the thread."""
        self._is_closed = True
        self.wake(at_once=True)
        if self._thread is not None and not self.is_this_thread():
            self._thread.join(2)

    def _run(self) -> None:
        while not self._is_closed:
            self._wait()
            try:
                if writers := list(self.writers.values()):
                    self._flush(writers)
                else:
                    self.is_down = False
                if time.monotonic() >= self._next_look:
                    self._next_look = time.monotonic() + self._timing.look
                    self._look()
            except Exception:  # or no stream would ever be written again
                logger.exception("the running streams could not be stored")
                time.sleep(self._timing.beat)

    def _wait(self) -> None:
        due = min(self._next_look, self._next_beat if self.writers else self._next_look)
        with self._changed:
            self._changed.wait_for(lambda: self._has_work, max(due - time.monotonic(), 0))
            if self.is_down:
                pause = max(self._next_beat - time.monotonic(), 0)
                self._changed.wait_for(lambda: self._is_closed, pause)
            else:
                self._changed.wait_for(lambda: self._is_urgent, self._timing.gather)
            self._has_work = self._is_urgent = False

    def _flush(self, writers: list[RedisWriter]) -> None:
        is_beat = time.monotonic() >= self._next_beat
        if is_beat:
            self._next_beat = time.monotonic() + self._timing.beat
        try:
            self._bring_up_to_date(writers, is_beat)
            if any(writer.is_doubtful for writer in writers):
                self._bring_up_to_date(writers, is_beat=False)
            self.is_down = any(writer.is_doubtful and not writer.is_over for writer in writers)
            if self.is_down and self._refusal is not None:
                self._connection.failure(self._refusal)
        except StoreUnavailable:
            self.is_down = True
        if self.is_down:
            self._next_beat = time.monotonic() + self._timing.beat
        for writer in writers:
            if self.is_down:
                writer.after_failure()
            if writer.is_over:
                self.writers.pop(writer.info.id, None)
                writer.release()

    def _bring_up_to_date(self, writers: list[RedisWriter], is_beat: bool) -> None:
        doubtful = [writer for writer in writers if writer.is_doubtful and not writer.is_over]
        self._send(doubtful, lambda writer, add: writer.add_look(add))
        known = [writer for writer in writers if not writer.is_doubtful and not writer.is_over]
        lease = self.lease() if is_beat else ()
        self._send(known, lambda writer, add: writer.add_changes(add, is_beat=is_beat), lease)

    def _send(
        self,
        writers: Iterable[RedisWriter],
        add_commands: Callable[[RedisWriter, Add], None],
        more: Iterable[Command] = (),
    ) -> None:
        takers: list[tuple[RedisWriter, Callable[[Any], object]]] = []
        commands: list[Command] = []

        def add(writer: RedisWriter, take: Callable[[Any], object], *command: Any) -> None:
            takers.append((writer, take))
            commands.append(command)

        for writer in writers:
            add_commands(writer, partial(add, writer))
        if not commands:
            return
        replies = self._connection.send([*commands, *more])
        for (writer, take), reply in zip(takers, replies, strict=False):
            if isinstance(reply, Exception):
                writer.is_doubtful, self._refusal = True, reply
            else:
                take(reply)
