"""Connections that wait for their next request."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections import deque

from .connection import Connection, Origin
from .watchdog import unpatched

_SECONDS = 30.0  # a TLS handshake saved is worth it; providers close theirs after 60 or more


class ConnectionPool:
    """The connections of one process that nobody uses just now. It needs no lock.

    HTTP/1.1 does not say which request an answer belongs to. What can be seen is refused: a
    connection on which something came after the answer's end, or before the next request, is not
    used again. What nobody can see is an unasked answer that is still on its way when the next
    request is sent: a provider that sends one gives it to the next chat on that connection. That
    is a chat with the same provider, which could as well answer anything; users' own addresses
    share no connections.

    urllib3's own pool is made for much use of a few hosts, and keeps connections for ever;
    here there may be very many hosts, each used now and then.

    :param most: how many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: deque[Connection] = deque()

    def take(self, origin: Origin) -> Connection | None:
        """Return the connection to an origin that was used last; None when there is none."""
        for connection in reversed(self._kept.copy()):
            if connection.origin == origin:
                try:
                    self._kept.remove(connection)
                except ValueError:  # another thread was faster
                    continue
                if _is_usable(connection):
                    return connection
                connection.sock.close()
        return None

    def keep(self, connection: Connection) -> None:
        """Keep a connection, and let go of those that have been kept for too long."""
        connection.idle_since = now = time.monotonic()
        self._kept.append(connection)
        try:
            while len(self._kept) > self._most or now - self._kept[0].idle_since > _SECONDS:
                self._kept.popleft().sock.close()
        except IndexError:  # another thread was faster
            pass

    def forget(self, origin: Origin) -> None:
        """Close the connections to an origin."""
        for connection in self._kept.copy():
            if connection.origin == origin:
                with contextlib.suppress(ValueError):  # another thread was faster
                    self._kept.remove(connection)
                    connection.sock.close()

    def abandon(self) -> None:
        """Let go of all of them in a process that inherited them, and send nothing.

        Their sockets are left with numbers that lead to nothing: a socket that is collected
        closes its number, which must not be that of something new.
        """
        nothing = os.open(os.devnull, os.O_RDWR)
        for connection in self._kept.copy():
            with contextlib.suppress(OSError):
                os.dup2(nothing, connection.sock.fileno(), inheritable=False)
        os.close(nothing)

    def close(self) -> None:
        """Close all of them."""
        while self._kept:
            self._kept.pop().sock.close()


def _is_usable(connection: Connection) -> bool:
    """Tell whether a connection is fresh, and its other side has neither closed nor spoken."""
    if time.monotonic() - connection.idle_since > _SECONDS:
        return False
    fileno = connection.sock.fileno()
    if not hasattr(select, "poll"):  # Windows
        return not select.select([fileno], [], [], 0)[0]
    poller = unpatched(select, "poll")()  # gevent's would let other greenlets on
    poller.register(fileno, select.POLLIN)
    return not poller.poll(0)
