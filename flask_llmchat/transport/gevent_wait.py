"""Waiting, under gevent, until the next bytes of a connection are there.

gevent's own ``recv()`` tries first, and waits once that has failed. A chat's next bytes are hardly
ever there yet, so every token would cost a read in vain; and a wait that has to end some time
would cost a timer of its own. Threads know neither: their ``recv()`` waits in the system.

Waiting in gevent's loop lets the other chats on as well, however fast this one's bytes come.
"""

from __future__ import annotations

import math
import socket
import sys
import time
from typing import Any, Protocol


class Waiter(Protocol):
    """What waits for a connection's next bytes."""

    def wait(self, seconds: float | None) -> None:
        """Return when there is something to read, or the connection is shut.

        :raises TimeoutError: when that takes too long.
        """

    def close(self) -> None:
        """Let go of the connection: before it is closed, or serves another."""


def waiter_for(sock: socket.socket) -> Waiter | None:
    """Return what is to wait before each read of a connection; None where none is needed."""
    cooperative = sys.modules.get("gevent.socket")
    if cooperative is None:
        return None
    if isinstance(sock, cooperative.socket):
        return _LoopWaiter(sock)
    # Not gevent's, and still under it: TLS within a proxy's TLS, which may hold bytes already.
    return _YieldingWaiter() if socket.socket is cooperative.socket else None


class _LoopWaiter:
    """Waits in gevent's event loop, except for the first read: most heads bring its bytes along.

    Its timer is set once and not at every wait: when it goes off, it looks whether the present
    wait has taken too long, and is set again for what is left of it.
    """

    __slots__ = (
        "_begun",
        "_cancel",
        "_loop",
        "_pending",
        "_readable",
        "_rings_at",
        "_timer",
        "_until",
        "_wait",
    )

    def __init__(self, sock: socket.socket) -> None:
        gevent = sys.modules["gevent"]
        self._wait, self._cancel = gevent.socket.wait, gevent.socket.cancel_wait
        self._pending = getattr(sock, "pending", _nothing)  # what TLS has decrypted already
        self._loop: Any = gevent.get_hub().loop
        self._readable = self._loop.io(sock.fileno(), 1)
        self._begun = False
        self._timer: Any = None
        self._rings_at = self._until = math.inf  # time.monotonic()

    def wait(self, seconds: float | None) -> None:
        if not self._begun or self._pending():
            self._begun = True
            return
        self._until = math.inf if seconds is None else time.monotonic() + seconds
        if seconds is not None and self._until < self._rings_at:
            self._set_timer(seconds)
        self._wait(self._readable)

    def _set_timer(self, seconds: float) -> None:
        self._drop_timer()
        self._rings_at = time.monotonic() + seconds
        self._timer = self._loop.timer(seconds)
        self._timer.start(self._ring)

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.close()
        self._timer, self._rings_at = None, math.inf

    def _ring(self) -> None:
        self._drop_timer()
        left = self._until - time.monotonic()
        if left <= 0:
            self._cancel(self._readable, TimeoutError("timed out"))
        elif left < math.inf:
            self._set_timer(left)

    def close(self) -> None:
        self._drop_timer()
        self._readable.close()


def _nothing() -> int:
    return 0


def turn() -> None:
    """Let the others on, between two pieces of work that wait for nothing.

    No ``sleep(0)``: gevent looks at sockets after up to 50 of those only, and a page that waits
    for its request to be read would wait for all of them.
    """
    time.sleep(1e-4)


class _YieldingWaiter:
    """Lets the others on; the read itself waits then."""

    def wait(self, seconds: float | None) -> None:
        turn()

    def close(self) -> None:
        """Nothing was held."""
