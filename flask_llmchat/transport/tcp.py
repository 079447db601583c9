"""TCP connections: try a host's addresses in turn, within one time-out for all of them."""

from __future__ import annotations

import socket
import time
from typing import Any, Protocol

from .watchdog import CancelToken

_MIN_SHARE = 1.0  # seconds for one of several addresses: less would fail servers far away

Addresses = list[tuple[int, Any]]
"""A host's addresses: address family, and what :meth:`socket.socket.connect` takes."""


class Guard(Protocol):
    """Decides which addresses may be connected to."""

    def resolve(self, host: str, port: int, timeout: float) -> Addresses:
        """Resolve a host; return its addresses, or raise OSError unless all are allowed."""

    def check(self, host: str, sock: socket.socket) -> None:
        """Raise OSError when a connection has reached an address that is not allowed."""


def connect(
    host: str,
    port: int,
    timeout: float,
    cancel: CancelToken | None = None,
    guard: Guard | None = None,
) -> socket.socket:
    """Resolve a host, once, and connect to one of its addresses.

    :param timeout: seconds for all of it. The system's resolver cannot be interrupted, but
        the time it takes counts; several addresses share what is left.
    :param cancel: may end the waiting. The connection stays attached to it.
    :param guard: checks the addresses, and then the connection.
    :raises OSError: when no address can be reached.
    """
    deadline = time.monotonic() + timeout
    addresses = guard.resolve(host, port, timeout) if guard else resolve(host, port)
    failure = OSError(f"{host!r} has no address")
    for index, (family, address) in enumerate(addresses):
        left = deadline - time.monotonic()
        if left <= 0 or (cancel is not None and cancel.reason is not None):
            raise TimeoutError("timed out")
        share = min(left, max(left / (len(addresses) - index), _MIN_SHARE))
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
        except BaseException:  # also when the server has closed the connection already
            _close(sock, cancel)
            raise
        return sock
    raise failure


def resolve(host: str, port: int) -> Addresses:
    """Return a host's addresses, in the order to try them in.

    :raises OSError: when there are none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError, OverflowError) as error:  # an invalid label or port, too
        raise OSError(str(error)) from error
    return list(dict.fromkeys((family, address) for family, *_, address in found))


def _close(sock: socket.socket, cancel: CancelToken | None) -> None:
    if cancel is not None:
        cancel.detach()  # first: a closed descriptor's number may be reused at once
    sock.close()
