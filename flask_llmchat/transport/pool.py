"""The connection pool: idle connections, kept for further requests to the same origin."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections import deque

from .connection import Connection, Origin
from .watchdog import unpatched

_MAX_IDLE = 30.0  # seconds: worth it for the TLS handshake saved; providers close after 60 or more


class ConnectionPool:
    """The idle connections of one process. It needs no lock.

    HTTP/1.1 does not say which request a response belongs to. A connection that shows a stray
    response is not used again: when bytes came after a response's end, or before the next request.
    What cannot be seen is a stray response that is still on its way when the next request is sent:
    a provider that sends one gives it to the next chat on that connection. That is a chat with the
    same provider, which could as well respond with anything; users' own addresses share no
    connections.

    urllib3's own pool is made for heavy use of a few hosts, and keeps connections for ever;
    here there may be very many hosts, each used now and then.

    One deque in order of age, not one for each origin: its ends are the oldest and the newest
    connection, which bounds size and age without a lock; a search through all of it is short.

    :param max_size: how many connections are kept.
    """

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._idle: deque[Connection] = deque()

    def take(self, origin: Origin) -> Connection | None:
        """Return the connection to an origin that was used last; None when there is none."""
        for connection in reversed(self._idle.copy()):
            if connection.origin == origin:
                try:
                    self._idle.remove(connection)
                except ValueError:  # another thread was faster
                    continue
                if _is_usable(connection):
                    return connection
                connection.sock.close()
        return None

    def keep(self, connection: Connection) -> None:
        """Keep a connection, and close those that are too many or idle for too long."""
        connection.idle_since = now = time.monotonic()
        self._idle.append(connection)
        with contextlib.suppress(IndexError):  # another thread was faster
            while len(self._idle) > self._max_size or now - self._idle[0].idle_since > _MAX_IDLE:
                self._idle.popleft().sock.close()

    def close_origin(self, origin: Origin) -> None:
        """Close the idle connections to an origin."""
        for connection in self._idle.copy():
            if connection.origin == origin:
                with contextlib.suppress(ValueError):  # another thread was faster
                    self._idle.remove(connection)
                    connection.sock.close()

    def abandon(self) -> None:
        """Drop all connections in a forked process that inherited them, and send nothing.

        Their descriptors are pointed at the null device, not closed: a socket that is garbage
        collected closes its number, which by then could be that of a new socket.
        """
        null = os.open(os.devnull, os.O_RDWR)
        for connection in self._idle.copy():
            with contextlib.suppress(OSError):
                os.dup2(null, connection.sock.fileno(), inheritable=False)
        os.close(null)

    def close(self) -> None:
        """Close all idle connections."""
        while self._idle:
            self._idle.pop().sock.close()


def _is_usable(connection: Connection) -> bool:
    """Tell whether a connection is fresh, and the server has neither closed it nor sent bytes."""
    if time.monotonic() - connection.idle_since > _MAX_IDLE:
        return False
    fileno = connection.sock.fileno()
    if not hasattr(select, "poll"):  # Windows
        return not select.select([fileno], [], [], 0)[0]
    poller = unpatched(select, "poll")()  # gevent's would switch to other greenlets
    poller.register(fileno, select.POLLIN)
    return not poller.poll(0)
