"""A guard against SSRF: base URLs that users typed in may lead to public addresses only.

A request from this server comes from inside its network: it reaches the server's own ports, the
machines behind its firewall and the metadata service of its cloud, which gives credentials to
every caller. A check of the URL cannot prevent that, since a name may lead anywhere, and
elsewhere a moment later. So the check is made when connecting, on the very address that is
connected to, and holds for everything a client does, redirects included.

:func:`connect` is for a :class:`~flask_llmchat.transport.transport.Transport` without proxies: a
proxy would connect in our place, and to anything. Connections are made to addresses, but the name
that TLS sends and verifies is still the host's.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import sys
from collections.abc import Iterator
from functools import partial

from . import tcp
from .runtime import current_runtime
from .watchdog import CancelToken

# Tables of our own: the stdlib's is_global changed within 3.12 (3.12.4), and in every version it
# is true for multicast, for NAT64 to 127.0.0.1 and for Azure's host address. Parts of a block that
# IANA lists as reachable after all (PCP's and AMT's anycast addresses, say) stay blocked: no
# provider is served from there.
_NOT_PUBLIC_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # "this network"; Linux connects 0.0.0.0 to itself
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by carriers; a cloud's metadata service stands here too
        "127.0.0.0/8",
        "168.63.129.16/32",  # a public address, but on Azure the host of the virtual machine
        "169.254.0.0/16",  # link-local: most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; another cloud's metadata
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays: whichever is nearest, perhaps the inner network's own
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)

# All that is globally routed today; loopback, ULA (fc00::/7), link-local, site-local (fec0::/10),
# multicast and the IPv4-compatible addresses (::a.b.c.d) are outside.
_UNICAST_V6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo (2001::/32), benchmarking, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class BlockedAddress(OSError):
    """A host resolves to an address that is not public.

    The message names the host, never the address: addresses of the internal network are private.
    (So is which internal names exist: users should get the same message for this and for an
    unknown name.) Through httpx2 it arrives as the ``__cause__`` of an
    :class:`httpx2.ConnectError`.
    """


def is_public(address: str) -> bool:
    """Tell whether an address belongs to a single machine on the public internet.

    Text that is not an address is not public either.

    An IPv6 address that embeds an IPv4 one is judged by the latter where a translator connects to
    exactly that: IPv4-mapped addresses, which the kernel itself treats as IPv4, and those of
    NAT64's well-known prefix, the only kind that a host in an IPv6-only network gets for an
    IPv4-only provider. All others are blocked, whatever they embed. In NAT64's local-use prefix
    (64:ff9b:1::/48) each operator chooses the position of the IPv4 address, so it cannot be read,
    and the prefix is for reaching internal networks. 6to4, Teredo and ISATAP go through a
    tunnel, whose other end decides where a packet goes, and IPv4-compatible addresses are
    obsolete: no provider is served from these.

    :param address: as the resolver writes it, with or without a ``%scope``.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        embedded = ip.ipv4_mapped
        if ip in _NAT64:
            embedded = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if embedded is None:
            # Any prefix, then 0000:5efe or 0200:5efe (also with the group bit), then the IPv4 one.
            is_isatap = (int(ip) >> 32) & 0xFCFFFFFF == 0x5EFE
            blocked = is_isatap or any(ip in network for network in _NOT_PUBLIC_V6)
            return ip in _UNICAST_V6 and not blocked
        ip = embedded
    return not any(ip in network for network in _NOT_PUBLIC_V4)


def connect(
    host: str, port: int, timeout: float, cancel: CancelToken | None = None
) -> socket.socket:
    """Resolve a host, once, and connect to one of its addresses if all are public.

    :param timeout: seconds for all of it.
    :param cancel: may end the waiting.
    :raises BlockedAddress: when any of the addresses is not public.
    :raises OSError: when none of them can be reached.
    """
    resolve = partial(_resolve, timeout=timeout)
    return tcp.connect(host, port, timeout, cancel, resolve=resolve, check=_check)


def _resolve(host: str, port: int, timeout: float) -> tcp.Addresses:
    """Return a host's addresses if all are public.

    The host's text is not checked, only the addresses it resolves to: ``2130706433``, ``0x7f.1``
    and ``127.1`` are ways to write 127.0.0.1, and only the resolver knows all others. It is called
    once: a second lookup of the same name may give other addresses.

    One address that is not public blocks them all. Whoever serves a name decides the order and can
    have the public ones fail, so that the internal one is tried next; and the name of an honest
    provider never leads to both.
    """
    with _lookup(timeout):
        addresses = tcp.resolve(host, port)
    # str: a Python built without IPv6 gives numbers and bytes, which then count as no address.
    if not all(is_public(str(address[0])) for _, address in addresses):
        raise _blocked(host)
    return addresses


def _check(host: str, sock: socket.socket) -> None:
    """Check, to be safe, the address that a connection has reached."""
    peer, own = sock.getpeername()[0], sock.getsockname()[0]
    # This machine's own public address would be reached from inside, past its firewall; and
    # such a connection comes from that same address.
    if peer == own or not is_public(str(peer)):
        raise _blocked(host)


def _blocked(host: str) -> BlockedAddress:
    return BlockedAddress(f"{host!r} does not lead to a public internet address")


@contextlib.contextmanager
def _lookup(timeout: float) -> Iterator[None]:
    """Limit how many of users' host names are resolved at once, where all chats share threads.

    gevent resolves names in ten threads, and a name whose server does not respond occupies one
    until the system's resolver gives up: the names of one user would keep all others from
    connecting to any provider. Without gevent each lookup runs in its chat's own thread.
    """
    gevent = sys.modules.get("gevent.socket")
    if gevent is None or socket.getaddrinfo is not gevent.getaddrinfo:
        yield
        return
    lookups = current_runtime().lookups()
    if not lookups.acquire(timeout=timeout):
        raise TimeoutError("too many host names are being resolved")
    try:
        yield
    finally:
        lookups.release()
