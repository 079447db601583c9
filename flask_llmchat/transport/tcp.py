"""TCP connections: to the first of a host's addresses that takes us, all in one time."""

from __future__ import annotations

import socket
import time
from typing import Any, Protocol

from .watchdog import CancelToken

_LEAST_SHARE = 1.0  # seconds for one of several addresses: less would fail servers far away


Found = list[tuple[int, Any]]
"""A host's addresses, each with its family."""


class Guard(Protocol):
    """What a host has to pass before anything is sent to it."""

    def resolve(self, host: str, port: int, timeout: float) -> Found:
        """Look a host up, and return its addresses if all may be connected to."""

    def check(self, host: str, sock: socket.socket) -> None:
        """Raise when this connection leads to where none may lead."""


def connect(
    host: str,
    port: int,
    timeout: float,
    cancel: CancelToken | None = None,
    guard: Guard | None = None,
) -> socket.socket:
    """Resolve a host, once, and connect to one of its addresses.

    :param timeout: seconds for all of it. The system's resolver cannot be interrupted, but
        what it takes is taken off; several addresses share what is left.
    :param cancel: what may end the waiting. The connection stays attached to it.
    :param guard: what the addresses have to pass, and then the connection.
    :raises OSError: when none of them can be reached.
    """
    deadline = time.monotonic() + timeout
    found = guard.resolve(host, port, timeout) if guard else resolve(host, port)
    failure = OSError(f"{host!r} has no address")
    for index, (family, address) in enumerate(found):
        left = deadline - time.monotonic()
        if left <= 0 or (cancel is not None and cancel.reason is not None):
            raise TimeoutError("timed out")
        share = min(left, max(left / (len(found) - index), _LEAST_SHARE))
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:  # no IPv6 here, say
            failure = error
            continue
        try:
            sock.settimeout(share)
            if cancel is not None:
                cancel.attach(sock)
            sock.connect(address)
        except OSError as error:
            failure = error
            _close(sock, cancel)
            continue
        except BaseException:
            _close(sock, cancel)
            raise
        try:
            if guard is not None:
                guard.check(host, sock)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(timeout)
        except BaseException:  # also when it has hung up on us already
            _close(sock, cancel)
            raise
        return sock
    raise failure


def resolve(host: str, port: int) -> Found:
    """Return a host's addresses, in the order to try them in.

    :raises OSError: when there are none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError, OverflowError) as error:  # a label or a port out of range, too
        raise OSError(str(error)) from error
    return list(dict.fromkeys((family, address) for family, *_, address in found))


def _close(sock: socket.socket, cancel: CancelToken | None) -> None:
    if cancel is not None:
        cancel.detach()  # first: once it is closed, its number may be another connection's
    sock.close()
