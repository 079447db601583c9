"""Under gevent, wait for a connection's next bytes in the event loop before reading them.

gevent's own ``recv()`` tries to read first, and waits once that has failed. A chat's next bytes
have hardly ever arrived yet, so every token would cost a read that fails, and every wait with a
time-out a timer of its own. Threads pay neither: their ``recv()`` waits in the system.

Waiting in gevent's loop also lets other chats run, however fast the bytes of this one arrive.
"""

from __future__ import annotations

import math
import socket
import sys
import time
from typing import Any


def waiter_for(sock: socket.socket) -> _LoopWaiter | _YieldingWaiter | None:
    """Return the waiter to call before each read of a socket; None where ``recv()`` waits well."""
    cooperative = sys.modules.get("gevent.socket")
    if cooperative is None:
        return None
    if isinstance(sock, cooperative.socket):
        return _LoopWaiter(sock)
    # Not gevent's socket, and still under gevent: TLS within a proxy's TLS, which may have
    # decrypted bytes already.
    return _YieldingWaiter() if socket.socket is cooperative.socket else None


class _LoopWaiter:
    """Waits in gevent's event loop, except for the first read: a head mostly brings bytes along.

    Its timer is not set for every wait. When it fires, it checks whether the present wait has
    taken too long, and is set again for the time that is left of it.
    """

    __slots__ = (
        "_cancel",
        "_deadline",
        "_has_begun",
        "_loop",
        "_pending",
        "_readable",
        "_timer",
        "_timer_at",
        "_wait",
    )

    def __init__(self, sock: socket.socket) -> None:
        gevent = sys.modules["gevent"]
        self._wait, self._cancel = gevent.socket.wait, gevent.socket.cancel_wait
        self._pending = getattr(sock, "pending", lambda: 0)  # bytes TLS has decrypted already
        self._loop: Any = gevent.get_hub().loop
        self._readable = self._loop.io(sock.fileno(), 1)
        self._has_begun = False
        self._timer: Any = None
        self._timer_at = self._deadline = math.inf  # time.monotonic()

    def wait(self, seconds: float | None) -> None:
        """Return when the connection has something to read, or is shut down.

        :param seconds: the longest wait; None waits for ever.
        :raises TimeoutError: when the wait takes longer.
        """
        if not self._has_begun or self._pending():
            self._has_begun = True
            return
        self._deadline = math.inf if seconds is None else time.monotonic() + seconds
        if seconds is not None and self._deadline < self._timer_at:
            self._set_timer(seconds)
        self._wait(self._readable)

    def _set_timer(self, seconds: float) -> None:
        self._drop_timer()
        self._timer_at = time.monotonic() + seconds
        self._timer = self._loop.timer(seconds)
        self._timer.start(self._on_timer)

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.close()
        self._timer, self._timer_at = None, math.inf

    def _on_timer(self) -> None:
        self._drop_timer()
        left = self._deadline - time.monotonic()
        if left <= 0:
            self._cancel(self._readable, TimeoutError("timed out"))
        elif left < math.inf:
            self._set_timer(left)

    def close(self) -> None:
        """Release the connection: before it is closed, or serves another request."""
        self._drop_timer()
        self._readable.close()


def yield_now() -> None:
    """Let other greenlets or threads run, between two pieces of work that wait for nothing.

    No ``sleep(0)``: gevent polls sockets only after up to 50 of those, and a client that waits
    for its request to be read would wait for all of them.
    """
    time.sleep(1e-4)


class _YieldingWaiter:
    """Only lets other greenlets run; the read itself waits."""

    def wait(self, seconds: float | None) -> None:
        yield_now()

    def close(self) -> None:
        """Do nothing: this waiter holds nothing."""
