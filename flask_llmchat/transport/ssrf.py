"""Connections to public internet addresses only, for base URLs that users typed in.

A request sent from here comes from inside: it reaches the host's own ports, the machines
behind its firewall and the metadata service of its cloud, which hands out credentials to
whoever asks. A check of the URL cannot prevent that, since a name may lead anywhere and
elsewhere a moment later. So the check stands where the connection is made, on the very
address that it is made to, and holds for everything a client does, redirects included.

It is the ``dial`` of a :class:`~flask_llmchat.upstream.transport.Transport` that uses no proxy:
a proxy would do the connecting, on our behalf and to anything. Though connections are made to
addresses, the name that TLS asks for and checks stays the host's.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import sys
from collections.abc import Iterator

from ..transport import tcp
from .runtime import current_runtime
from .watchdog import CancelToken

# Tables of our own: the stdlib's is_global changed within 3.12 (3.12.4), and to none of its
# versions are multicast, NAT64 to 127.0.0.1 or Azure's host address anything but global.
# Where IANA lists a part of a block as reachable after all (PCP's and AMT's anycast addresses,
# say), it stays shut: no provider is served from there.
_NOT_PUBLIC_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # "this network"; Linux connects 0.0.0.0 to itself
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by carriers; a cloud's metadata service stands here too
        "127.0.0.0/8",
        "168.63.129.16/32",  # a public number, but to a machine on Azure the host that runs it
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
    """A host leads to an address that is not public.

    The message names the host, never the address: an inner network's are nobody's business.
    (Nor is which inner names exist: to the user, this and a name that is not known should
    read the same.) Through httpx2 it arrives as the ``__cause__`` of an
    :class:`httpx2.ConnectError`.
    """


def is_public(address: str) -> bool:
    """Return whether an address is one of a single machine on the public internet.

    What is no address at all is not public either.

    An IPv6 address that carries an IPv4 one is judged by that where a translator connects to
    precisely that: IPv4-mapped ones, which the kernel itself takes for IPv4, and those of
    NAT64's well-known prefix, which is all that a host in an IPv6-only network gets for an
    IPv4-only provider. The rest is refused whatever it carries. In NAT64's local-use prefix
    (64:ff9b:1::/48) each operator chooses where the IPv4 address stands, so it cannot be read,
    and the prefix is for reaching inner networks. 6to4, Teredo and ISATAP leave through a
    tunnel, whose other end decides where a packet goes, and IPv4-compatible addresses are long
    gone: no provider is served from these.

    :param address: as the resolver writes it, with or without a ``%scope``.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        carried = ip.ipv4_mapped
        if ip in _NAT64:
            carried = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if carried is None:
            inside = any(ip in network for network in _NOT_PUBLIC_V6)
            return ip in _UNICAST_V6 and not inside and not _is_isatap(ip)
        ip = carried
    return not any(ip in network for network in _NOT_PUBLIC_V4)


def _is_isatap(ip: ipaddress.IPv6Address) -> bool:
    # Any prefix, then 0000:5efe or 0200:5efe (also with the group bit), then the IPv4 address.
    return (int(ip) >> 32) & 0xFCFFFFFF == 0x5EFE


def connect(
    host: str, port: int, timeout: float, cancel: CancelToken | None = None
) -> socket.socket:
    """Resolve a host, once, and connect to one of its addresses if all are public.

    :param timeout: seconds for all of it.
    :param cancel: what may end the waiting.
    :raises NotPublic: when any of the addresses is not public.
    :raises OSError: when none of them can be reached.
    """
    return tcp.connect(host, port, timeout, cancel, _Public())


class _Public:
    """Lets only public addresses pass, before connecting and, in spite of all, after it.

    The host is not looked at, only what the resolver makes of it: ``2130706433``, ``0x7f.1``
    and ``127.1`` are ways to write 127.0.0.1, and which others there are is the resolver's to
    know. And it is asked once: to the next question a name may have another answer.

    One address that is not public is enough to refuse them all. Who serves a name decides the
    order and can have the public ones fail, so that the inner one's turn comes; and no honest
    provider's name leads both ways.
    """

    def resolve(self, host: str, port: int, timeout: float) -> tcp.Found:
        with _lookup(timeout):
            found = tcp.resolve(host, port)
        # str: a Python built without IPv6 gives numbers and bytes, which are then no address.
        if not all(is_public(str(address[0])) for _, address in found):
            raise _not_public(host)
        return found

    def check(self, host: str, sock: socket.socket) -> None:
        peer, own = sock.getpeername()[0], sock.getsockname()[0]
        # A machine's own public address is reached from inside, past the firewall before it; and
        # a connection to an address of one's own comes from that same address.
        if peer == own or not is_public(str(peer)):
            raise _not_public(host)


def _not_public(host: str) -> BlockedAddress:
    return BlockedAddress(f"{host!r} does not lead to a public internet address")


@contextlib.contextmanager
def _lookup(timeout: float) -> Iterator[None]:
    """Take one of the few places for looking up users' names, where all share the resolver.

    Under gevent there are ten threads that look names up, and a name whose server does not
    answer holds one for as long as the system's resolver is patient: one user's would keep all
    others from connecting to any provider. In threads each lookup has its own.
    """
    gevent = sys.modules.get("gevent.socket")
    if gevent is None or socket.getaddrinfo is not gevent.getaddrinfo:
        yield
        return
    lookups = current_runtime().lookups()
    if not lookups.acquire(timeout=timeout):
        raise TimeoutError("no place to look the name up")
    try:
        yield
    finally:
        lookups.release()
