"""TCP connections: try a host's addresses in turn, within one time-out for all of them."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

from .watchdog import CancelToken

_MIN_SHARE = 1.0  # seconds for one of several addresses: less would fail servers far away

Addresses = list[tuple[int, Any]]
"""A host's addresses: address family, and what :meth:`socket.socket.connect` takes."""


def resolve(host: str, port: int) -> Addresses:
    """Return a host's addresses, in the order to try them in.

    :raises OSError: when there are none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError, OverflowError) as error:  # an invalid label or port, too
        raise OSError(str(error)) from error
    return list(dict.fromkeys((family, address) for family, *_, address in found))


def connect(
    host: str,
    port: int,
    timeout: float,
    cancel: CancelToken | None = None,
    *,
    resolve: Callable[[str, int], Addresses] = resolve,
    check: Callable[[str, socket.socket], None] = lambda host, sock: None,
) -> socket.socket:
    """Resolve a host, once, and connect to one of its addresses.

    :param timeout: seconds for all of it. The system's resolver cannot be interrupted, but
        the time it takes counts; several addresses share what is left.
    :param cancel: may end the waiting. The connection stays attached to it.
    :param resolve: returns the addresses of a host, or raises OSError.
    :param check: raises OSError when a connection has reached an address that is not allowed.
    :raises OSError: when no address can be reached.
    """
    cancel = cancel or CancelToken()
    deadline = time.monotonic() + timeout
    addresses = resolve(host, port)
    failure = OSError(f"{host!r} has no address")
    for index, (family, address) in enumerate(addresses):
        left = deadline - time.monotonic()
        if left <= 0 or cancel.reason is not None:
            raise TimeoutError("timed out")
        share = min(left, max(left / (len(addresses) - index), _MIN_SHARE))
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:  # no IPv6 here, say
            failure = error
            continue
        try:
            sock.settimeout(share)
            cancel.attach(sock)
            sock.connect(address)
        except OSError as error:
            failure = error
            close(sock, cancel)
            continue
        except BaseException:
            close(sock, cancel)
            raise
        try:
            check(host, sock)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(timeout)
        except BaseException:  # also when the server has closed the connection already
            close(sock, cancel)
            raise
        return sock
    raise failure


def close(sock: socket.socket, cancel: CancelToken) -> None:
    """Close a socket that a cancel token may hold."""
    cancel.detach()  # first: a closed descriptor's number may be reused at once
    sock.close()
