"""How connections are made: by urllib3, which does TLS and finds its way through proxies.

This module imports urllib3 (50 ms): import it only when the first call is made.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import unquote
from urllib.request import getproxies, proxy_bypass_environment  # type: ignore[attr-defined]

from urllib3.connection import HTTPConnection, HTTPSConnection, ProxyConfig
from urllib3.util import Url, parse_url
from urllib3.util.ssltransport import SSLTransport

from .watchdog import CancelToken

# No proxy stands between us and this machine: a model server here, or a test's.
_HERE = ("localhost", "127.0.0.1", "::1")


Connect = Callable[[str, int, float, CancelToken | None], socket.socket]
"""What makes a TCP connection to a host and port within so many seconds, unless a watch ends it."""


class TrustStoreError(Exception):
    """The certificates of those whom TLS is to trust cannot be read."""


class Origin(NamedTuple):
    """Whom a connection leads to."""

    scheme: str
    host: str
    port: int


@dataclass(slots=True, eq=False)
class Connection:
    """An open connection.

    :ivar sock: a socket, or what urllib3 makes of one for TLS within TLS.
    :ivar forwarded: whether a proxy reads the requests, and passes them on.
    :ivar fields: what a request is to tell that proxy.
    :ivar can_be_kept: whether it could serve another request. Of TLS within TLS it cannot be
        seen whether something unasked waits in it, which the next chat would take for its answer.
    :ivar early: what was read before the request was sent.
    """

    origin: Origin
    sock: Any
    forwarded: bool = False
    fields: list[tuple[bytes, bytes]] = field(default_factory=list, repr=False)
    can_be_kept: bool = True
    early: bytes = b""
    idle_since: float = 0.0


class _OwnSocket:
    """A connection of urllib3's whose TCP connection is made by somebody else, and watched."""

    _dns_host: str
    port: int
    timeout: Any
    dial: Connect
    cancel: CancelToken | None
    is_dialled = False
    watched: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        sock = self.dial(self._dns_host, self.port, self.timeout, self.cancel)
        self.is_dialled = True
        if self.cancel is not None:
            try:
                # TLS takes the descriptor away from its socket, but a duplicate stays ours: a
                # proxy may say nothing, and a handshake may not end.
                self.watched = sock.dup()
            except OSError:
                self.cancel.detach()
                sock.close()
                raise
            self.cancel.attach(self.watched)
        return sock

    def let_go(self) -> None:
        """Take the connection away from the watch."""
        if self.cancel is not None:
            self.cancel.detach()
        if self.watched is not None:
            self.watched.close()


class _Plain(_OwnSocket, HTTPConnection):
    pass


class _Tls(_OwnSocket, HTTPSConnection):
    pass


class Connector:
    """Makes connections.

    :param context: what makes up how TLS is spoken, to proxies too. Asked when TLS first is.
    :param dial: what connects, to the origin or to a proxy.
    :param proxies: whether the environment's proxies are used.
    """

    def __init__(
        self, context: Callable[[], ssl.SSLContext], dial: Connect, *, proxies: bool
    ) -> None:
        self._make_context = context
        self._made_context: ssl.SSLContext | None = None
        self._dial = dial
        self._proxies = Proxies(getproxies() if proxies else {})

    def open(self, origin: Origin, timeout: float, cancel: CancelToken | None) -> Connection:
        """Connect, through a proxy if there is one, and shake hands.

        :raises NoTrust: when there is no telling whom to trust.
        :raises RuntimeError: when this urllib3 does not ask what is to connect.
        """
        proxy = self._proxies.find(origin)
        if proxy is None:
            return Connection(origin, self._connect(self._new(origin), timeout, cancel))
        fields = _fields_for(proxy)
        made = self._new(origin, proxy)
        if origin.scheme == "http":
            headers = [(name.encode(), value.encode()) for name, value in fields.items()]
            return Connection(origin, self._connect(made, timeout, cancel), True, headers)
        made.set_tunnel(origin.host, origin.port, headers=fields, scheme=proxy.scheme or "http")
        sock = self._connect(made, timeout, cancel)
        return Connection(origin, sock, can_be_kept=not isinstance(sock, SSLTransport))

    def _new(self, origin: Origin, proxy: Url | None = None) -> _Plain | _Tls:
        if proxy is None:
            if origin.scheme == "http":
                return _Plain(origin.host, origin.port)
            return _Tls(origin.host, origin.port, ssl_context=self._context())
        host, scheme = str(proxy.host).strip("[]"), proxy.scheme
        port = proxy.port or (443 if scheme == "https" else 80)
        if origin.scheme == scheme == "http":
            return _Plain(host, port, proxy=proxy)
        context = self._context()
        config = ProxyConfig(context, False, None, None)
        return _Tls(host, port, ssl_context=context, proxy=proxy, proxy_config=config)

    def _context(self) -> ssl.SSLContext:
        if self._made_context is None:
            try:
                self._made_context = self._make_context()
            except OSError as error:  # which does not say what file it is about
                where = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
                raise TrustStoreError(
                    f"the certificates of {where} cannot be read: {error}"
                ) from error
        return self._made_context

    def _connect(self, made: _Plain | _Tls, timeout: float, cancel: CancelToken | None) -> Any:
        made.dial, made.cancel, made.timeout = self._dial, cancel, timeout
        try:
            made.connect()
            if not made.is_dialled:  # where it is a guard it must not get lost in an update
                raise RuntimeError(
                    "This urllib3 connects in a way that flask-llmchat does not know, so that "
                    "addresses cannot be checked. Use an older one, or a newer flask-llmchat."
                )
        except BaseException:
            made.let_go()  # first: once it is closed, its number may be another connection's
            made.close()
            raise
        made.let_go()
        return made.sock


class Proxies:
    """Which proxy leads where.

    :param environment: what :func:`urllib.request.getproxies` returns.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self._by_scheme = environment
        self._exempt = [entry.strip() for entry in environment.get("no", "").split(",")]
        # In the standard library "*" counts only alone, and "*." not at all.
        names = ["*"] if "*" in self._exempt else [entry.lstrip("*") for entry in self._exempt]
        self._exempt_names = {"no": ",".join(names)}

    def find(self, origin: Origin) -> Url | None:
        """Return the proxy on the way to an origin, if there is one.

        :raises ValueError: when it is of a kind we do not know.
        """
        found = self._by_scheme.get(origin.scheme) or self._by_scheme.get("all")
        if not found or origin.host in _HERE or self._is_exempt(origin):
            return None
        try:
            proxy = parse_url(found if "://" in found else f"http://{found}")
        except ValueError:
            proxy = Url()
        if proxy.scheme not in ("http", "https") or not proxy.host:
            # The address is not told: a password may stand in it.
            raise ValueError("the environment's proxy is not one of HTTP")
        return proxy

    def _is_exempt(self, origin: Origin) -> bool:
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        if proxy_bypass_environment(f"{host}:{origin.port}", self._exempt_names):
            return True
        return any(_contains(entry, origin.host) for entry in self._exempt)


def _contains(network: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _fields_for(proxy: Url) -> dict[str, str]:
    if not proxy.auth:
        return {}
    return {"Proxy-Authorization": f"Basic {b64encode(unquote(proxy.auth).encode()).decode()}"}
