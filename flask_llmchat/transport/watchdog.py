"""The watchdog: one thread per process that ends reads when a chat is cancelled or out of time.

A chat spends its life in a blocking read from the provider. Meanwhile its client may disconnect,
its deadline may pass, or the provider may send comments for ever and never an event; and the
read would notice none of it. So one background thread per process (a greenlet where gevent has
patched threading) checks all running chats. To end a read it shuts the provider's socket down.
It starts with the first chat, and ends when none is left.
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
"""Seconds between two checks: how much later than due a read may be ended."""

_WRITE_GRACE = 5.0  # seconds after its deadline in which a stalled client may still get the error

# Seconds before a stopping server gives up waiting, in which clients get an error instead of a cut.
_STOP_NOTICE = 2.0

Reason = Literal["cancelled", "timeout", "deadline", "stopping", "stopped", "interrupted"]

# Present on Linux alone: distinguishes a client that has closed from one that has sent more.
_HUNG_UP = getattr(select, "POLLRDHUP", 0)


class CancelToken:
    """Ends the reads of one chat, from another thread.

    :param client: the client's socket; None where the server does not expose it.
    :param deadline: :func:`time.monotonic` at which the chat has to be over; by default never.
    :param outlives_client: whether the chat goes on when its client leaves.
    :ivar idle_deadline: :func:`time.monotonic` at which the present wait for an event becomes too
        long; infinity while nothing is waited for. Set by the chat's own thread.
    :ivar client_left: whether the client has left a chat that goes on.
    :ivar reason: why reading was ended; None while it was not.
    """

    __slots__ = (
        "_client",
        "_lock",
        "_upstream",
        "client_left",
        "deadline",
        "idle_deadline",
        "outlives_client",
        "reason",
    )

    def __init__(
        self,
        client: socket.socket | None = None,
        deadline: float = math.inf,
        *,
        outlives_client: bool = False,
    ) -> None:
        self.outlives_client = outlives_client
        self.client_left = False
        self._client = client
        self._upstream: socket.socket | None = None
        self._lock = threading.RLock()
        self.deadline = deadline
        self.idle_deadline = math.inf
        self.reason: Reason | None = None

    def client_fileno(self) -> int:
        """Return the file descriptor of the client's socket; -1 when there is none to check."""
        return -1 if self._client is None else self._client.fileno()

    def attach(self, upstream: socket.socket) -> None:
        """Set the provider's socket to shut down, from the first byte that is sent on it."""
        with self._lock:
            self._upstream = upstream
            if self.reason is not None:
                _shut_down(upstream)

    def forget_timeout(self) -> None:
        """Allow another attempt to wait after an idle timeout. Any other reason stays."""
        with self._lock:
            if self.reason == "timeout":
                self.reason = None

    def detach(self) -> None:
        """Forget the provider's socket, before it can serve another chat."""
        with self._lock:
            self._upstream = None

    def interrupt(self, reason: Reason) -> None:
        """End the present read, or the next one. Only the first reason counts."""
        with self._lock:
            self.reason = self.reason or reason
            _shut_down(self._upstream)  # each time: it fails while file descriptors are used up

    def lose_client(self) -> None:
        """End the chat because its client has left, or have it go on alone."""
        self.client_left = self.outlives_client
        if not self.outlives_client:
            self.interrupt("cancelled")
        if self.client_left or self.reason == "cancelled":
            # The client may have closed its sending half alone and read no more: the thread is
            # then stuck in a write, and would keep its slot until the deadline.
            self.hang_up()

    def hang_up(self) -> None:
        """Disconnect the client, so that nothing written later can look like a whole response."""
        _shut_down(self._client)


def _shut_down(sock: socket.socket | None) -> None:
    if sock is None or (fileno := sock.fileno()) < 0:
        return
    # On a duplicate: shutdown() of a TLS socket removes its TLS state under the thread that reads
    # from it. The connection itself, which both share, is shut down.
    real_socket = unpatched(socket, "socket")
    with contextlib.suppress(OSError), real_socket(fileno=os.dup(fileno)) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)


class Watchdog:
    """The background thread, and the tokens of the chats it checks.

    :ivar server: the server that runs this process; None before the first request.
    """

    def __init__(self) -> None:
        self.server: Server | None = None
        self._stops_at = math.inf
        self._tokens: set[CancelToken] = set()
        # Reentrant: a garbage collection can close a chat while this very thread holds the lock.
        self._lock = threading.RLock()
        self._runs = False

    def add(self, cancel: CancelToken) -> None:
        """Check a chat from now on."""
        thread = None
        with self._lock:
            self._tokens.add(cancel)
            if not self._runs:
                self._runs = True
                thread = threading.Thread(
                    target=self._run, name="flask_llmchat-watchdog", daemon=True
                )
        if thread is not None:
            # Not under the lock: start() waits, which under gevent lets other greenlets run; and
            # in a worker forked with --preload the lock is a real one, made before gevent came.
            try:
                thread.start()
            except BaseException:  # the system has no more threads: the next chat tries again
                self._runs = False
                self.remove(cancel)
                raise

    def remove(self, cancel: CancelToken) -> None:
        """Stop checking a chat. None of its sockets is touched after this returns."""
        with self._lock:
            self._tokens.discard(cancel)

    def server_is_stopping(self) -> bool:
        """Tell whether the server of this process is being stopped."""
        return self.server is not None and self.server.is_stopping()

    def __len__(self) -> int:
        """Return the number of chats that are checked."""
        return len(self._tokens)

    def _run(self) -> None:
        idle = 0.0
        while True:
            time.sleep(TICK)
            with self._lock:
                # Under the lock, so that no descriptor is closed and reused meanwhile.
                if self._tokens:
                    idle = 0.0
                    try:
                        self._check()
                    except Exception:  # or nothing would ever end a read again
                        logger.exception("the watchdog could not check the running chats")
                    continue
                idle += TICK
                if idle > 1:  # lingers, so that chat after chat does not start a thread each
                    self._runs = False
                    return

    def _check(self) -> None:
        tokens = list(self._tokens)
        hung_up = _hung_up({cancel.client_fileno() for cancel in tokens} - {-1})
        now = time.monotonic()
        if self.server is not None and self.server.is_stopping() and self._stops_at == math.inf:
            grace = self.server.grace
            self._stops_at = now + max(grace - _STOP_NOTICE, grace / 2)
        for cancel in tokens:
            if cancel.client_fileno() in hung_up:
                cancel.lose_client()
            if now >= self._stops_at:
                cancel.interrupt("interrupted" if cancel.outlives_client else "stopping")
            elif now >= cancel.deadline:
                cancel.interrupt("deadline")
            elif now >= cancel.idle_deadline:
                cancel.interrupt("timeout")
            if now >= min(cancel.deadline + _WRITE_GRACE, self._stops_at + _STOP_NOTICE / 2):
                cancel.hang_up()  # its thread is stuck in a write that the client does not read


def _hung_up(filenos: set[int]) -> set[int]:
    """Return the descriptors among these whose peer has closed the connection."""
    if not filenos:
        return set()
    if not _HUNG_UP:
        return {fileno for fileno in filenos if _is_at_end(fileno)}
    poller = unpatched(select, "poll")()
    for fileno in filenos:
        poller.register(fileno, _HUNG_UP)
    return {fileno for fileno, _ in poller.poll(0)}


def unpatched(module: ModuleType, name: str) -> Any:
    """Return a module's attribute as it was before gevent replaced it.

    gevent's poll() has no POLLRDHUP, and nothing here blocks, or may switch under the lock.
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
