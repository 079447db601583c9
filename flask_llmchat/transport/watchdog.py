"""Ends reads that nobody should wait for any longer.

A chat spends its life in a blocking read from the provider. Meanwhile its client may leave,
its time may run out, or the provider may send comments for ever and never an event; and the
read would not notice any of it. So one background thread per process (a greenlet where
gevent has patched threading) looks after all the reads: it shuts the provider's socket
down, and the read returns. It starts with the first chat, and ends when none is left.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import select
import socket
import sys
import threading
import time
from types import ModuleType
from typing import Any, Literal

from ..core.server import Server

logger = logging.getLogger("flask_llmchat")


TICK = 0.25
"""Seconds between two looks: how much later than due a read may be ended."""


_GRACE = 5.0
"""Seconds after its deadline in which a reader that has stalled may take the bad news."""


_FAREWELL = 2.0
"""Seconds before a server that stops gives up waiting, in which readers are told."""


Reason = Literal["cancelled", "timeout", "deadline", "stopping"]


# Present on Linux alone: tells a client that has closed from one that has sent more.
_HUNG_UP = getattr(select, "POLLRDHUP", 0)


class CancelToken:
    """One chat's read, as the watcher sees it.

    :param client: the client's connection, when the server shows it.
    :param deadline: :func:`time.monotonic` at which the chat has to be over.
    :ivar idle_deadline: when the present wait for an event becomes too long; infinity while
        nothing is waited for. Set by the reader.
    :ivar reason: why the read was ended; None while it was not.
    """

    __slots__ = ("_client", "_lock", "_upstream", "deadline", "idle_deadline", "reason")

    def __init__(self, client: socket.socket | None, deadline: float) -> None:
        self._client = client
        self._upstream: socket.socket | None = None
        self._lock = threading.RLock()
        self.deadline = deadline
        self.idle_deadline = math.inf
        self.reason: Reason | None = None

    def client_fileno(self) -> int:
        """Return the client's file descriptor; -1 when there is none to look at."""
        return -1 if self._client is None else self._client.fileno()

    def overdue(self, now: float) -> Reason | None:
        """Tell whether time is up, and which."""
        if now >= self.deadline:
            return "deadline"
        return "timeout" if now >= self.idle_deadline else None

    def attach(self, upstream: socket.socket | None) -> None:
        """Take note of the provider's connection, from the first byte that is sent on it."""
        with self._lock:
            self._upstream = upstream
            if self.reason is not None:
                _shut_down(upstream)

    def forget_timeout(self) -> None:
        """Let another attempt be waited for. Any other reason stands."""
        with self._lock:
            if self.reason == "timeout":
                self.reason = None

    def detach(self) -> None:
        """Let go of the provider's connection, before it can serve another chat."""
        with self._lock:
            self._upstream = None

    def interrupt(self, reason: Reason) -> None:
        """End the read, now or when it comes. Only the first reason counts."""
        with self._lock:
            self.reason = self.reason or reason
            _shut_down(self._upstream)  # each time: out of file descriptors, it cannot be done

    def hang_up(self) -> None:
        """Cut the client off, so that nothing written later can look like a whole answer."""
        _shut_down(self._client)


def _shut_down(sock: socket.socket | None) -> None:
    if sock is None or (fileno := sock.fileno()) < 0:
        return
    # On a duplicate: shutdown() of a TLS socket takes its TLS state away from under the
    # thread that reads from it. What is shut down is the connection, which both share.
    real_socket = unpatched(socket, "socket")
    with contextlib.suppress(OSError), real_socket(fileno=os.dup(fileno)) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)


class Watchdog:
    """The background thread, and the tokens it goes round.

    :ivar server: what serves here; None before the first request.
    """

    def __init__(self) -> None:
        self.server: Server | None = None
        self._stops_at = math.inf
        self._tokens: set[CancelToken] = set()
        # A garbage collection can close a chat while this very thread holds the lock.
        self._lock = threading.RLock()
        self._runs = False

    def add(self, cancel: CancelToken) -> None:
        """Look after a read from now on."""
        thread = None
        with self._lock:
            self._tokens.add(cancel)
            if not self._runs:
                self._runs = True
                thread = threading.Thread(
                    target=self._run, name="flask_llmchat-watcher", daemon=True
                )
        if thread is not None:
            # Not under the lock: start() waits, which under gevent lets other greenlets on; and
            # in a worker forked with --preload the lock is a real one, made before gevent came.
            try:
                thread.start()
            except BaseException:  # no more threads to be had: the next chat tries again
                self._runs = False
                self.remove(cancel)
                raise

    def remove(self, cancel: CancelToken) -> None:
        """Let go of a read. Nothing of it is touched after this returns."""
        with self._lock:
            self._tokens.discard(cancel)

    def server_is_stopping(self) -> bool:
        """Whether the server of this process is being stopped."""
        return self.server is not None and self.server.is_stopping()

    def __len__(self) -> int:
        """Count the reads looked after."""
        return len(self._tokens)

    def _run(self) -> None:
        idle = 0.0
        while True:
            time.sleep(TICK)
            with self._lock:
                # Under the lock, so that no descriptor is closed and used anew meanwhile.
                if self._tokens:
                    idle = 0.0
                    try:
                        self._look()
                    except Exception:  # or nothing would ever end a read again
                        logger.exception("looking after the chats failed")
                    continue
                idle += TICK
                if idle > 1:  # lingers, so that chat after chat does not start a thread each
                    self._runs = False
                    return

    def _look(self) -> None:
        tokens = list(self._tokens)
        gone = _hung_up({cancel.client_fileno() for cancel in tokens} - {-1})
        now = time.monotonic()
        if self.server is not None and self.server.is_stopping() and self._stops_at == math.inf:
            grace = self.server.grace
            self._stops_at = now + max(grace - _FAREWELL, grace / 2)
        for cancel in tokens:
            if cancel.client_fileno() in gone:
                cancel.interrupt("cancelled")
                if cancel.reason == "cancelled":
                    # It may have closed its own half alone and read no more: the thread is then
                    # stuck in a write, and would keep its place until the deadline.
                    cancel.hang_up()
            elif now >= self._stops_at:
                cancel.interrupt("stopping")
            elif reason := cancel.overdue(now):
                cancel.interrupt(reason)
            if now >= min(cancel.deadline + _GRACE, self._stops_at + _FAREWELL / 2):
                cancel.hang_up()  # its thread is stuck in a write that nobody reads


def _hung_up(filenos: set[int]) -> set[int]:
    """Return those of the given connections whose other side has closed."""
    if not filenos:
        return set()
    if not _HUNG_UP:
        return {fileno for fileno in filenos if _is_at_end(fileno)}
    poller = unpatched(select, "poll")()
    for fileno in filenos:
        poller.register(fileno, _HUNG_UP)
    return {fileno for fileno, _ in poller.poll(0)}


def unpatched(module: ModuleType, name: str) -> Any:
    """Return what a module has by a name, also when gevent has replaced it.

    Its poll() knows no POLLRDHUP, and nothing here blocks, or may switch under the lock.
    """
    monkey = sys.modules.get("gevent.monkey")
    return monkey.get_original(module.__name__, name) if monkey else getattr(module, name)


def _is_at_end(fileno: int) -> bool:
    try:
        with unpatched(socket, "socket")(fileno=os.dup(fileno)) as duplicate:
            return bool(duplicate.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"")
    except BlockingIOError:
        return False
    except OSError:
        return True
