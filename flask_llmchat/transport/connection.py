"""Open connections to providers: TCP, TLS and the environment's proxies, with urllib3's help.

This module imports urllib3 (50 ms): import it only when the first request is sent.
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

from . import tcp
from .http1 import Fields
from .watchdog import CancelToken

_LOOPBACK = ("localhost", "127.0.0.1", "::1")  # a model server here, or a test's: never by proxy

Connect = Callable[[str, int, float, CancelToken], socket.socket]
"""Opens a TCP connection: takes host, port, seconds and the token that may end the waiting."""


class TrustStoreError(Exception):
    """The CA certificates that TLS verifies servers with cannot be read."""


class Origin(NamedTuple):
    """Scheme, host and port that a connection serves requests for."""

    scheme: str
    host: str
    port: int


@dataclass(slots=True, eq=False)
class Connection:
    """An open connection.

    :ivar sock: a socket, or urllib3's stand-in for one where TLS runs within a proxy's TLS.
    :ivar forwarded: whether a proxy reads the requests and forwards them, instead of tunnelling.
    :ivar proxy_fields: header fields for that proxy, added to each request.
    :ivar reusable: whether it may serve another request. TLS within TLS may not: it cannot be
        seen whether unrequested bytes wait in it, which the next chat would take for its response.
    :ivar early: response bytes that were read before the request was sent to its end.
    :ivar idle_since: :func:`time.monotonic` at its last return to the pool; 0 for a new one.
    """

    origin: Origin
    sock: Any
    forwarded: bool = False
    proxy_fields: Fields = field(default_factory=list, repr=False)
    reusable: bool = True
    early: bytes = b""
    idle_since: float = 0.0


class _CancellableConnection:
    """Mixin for urllib3's connections: our own TCP connect, and a cancel token while connecting."""

    _dns_host: str
    port: int
    timeout: Any
    connect_tcp: Connect
    cancel: CancelToken
    has_connected = False
    duplicate: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        sock = self.connect_tcp(self._dns_host, self.port, self.timeout, self.cancel)
        self.has_connected = True
        try:
            # TLS takes the descriptor away from its socket. The duplicate stays ours to shut
            # down: a proxy may never respond, and a handshake may never end.
            self.duplicate = sock.dup()
        except OSError:
            tcp.close(sock, self.cancel)
            raise
        self.cancel.attach(self.duplicate)
        return sock

    def detach(self) -> None:
        """Detach the connection from the cancel token."""
        self.cancel.detach()
        if self.duplicate is not None:
            self.duplicate.close()


class _PlainConnection(_CancellableConnection, HTTPConnection):
    pass


class _TLSConnection(_CancellableConnection, HTTPSConnection):
    pass


class Connector:
    """Opens connections to origins, through the environment's proxies where they apply.

    :param make_context: returns the TLS settings, also for TLS to proxies. Called when a
        connection first needs TLS.
    :param connect_tcp: opens the TCP connection, to the origin or to a proxy.
    :param proxies: whether to use the environment's proxies.
    """

    def __init__(
        self, make_context: Callable[[], ssl.SSLContext], connect_tcp: Connect, *, proxies: bool
    ) -> None:
        self._make_context = make_context
        self._cached_context: ssl.SSLContext | None = None
        self._connect_tcp = connect_tcp
        self._proxies = Proxies(getproxies() if proxies else {})

    def open(self, origin: Origin, timeout: float, cancel: CancelToken) -> Connection:
        """Connect to an origin, TLS handshakes included.

        :param timeout: seconds for the TCP connection, and for each later wait.
        :raises TrustStoreError: when the CA certificates cannot be read.
        :raises RuntimeError: when this version of urllib3 bypasses ``connect_tcp``.
        """
        proxy = self._proxies.find(origin)
        if proxy is None:
            return Connection(origin, self._connect(self._new(origin), timeout, cancel))
        headers = {}
        if proxy.auth:
            login = b64encode(unquote(proxy.auth).encode()).decode()
            headers["Proxy-Authorization"] = f"Basic {login}"
        connection = self._new(origin, proxy)
        if origin.scheme == "http":
            fields = [(name.encode(), value.encode()) for name, value in headers.items()]
            return Connection(origin, self._connect(connection, timeout, cancel), True, fields)
        scheme = proxy.scheme or "http"
        connection.set_tunnel(origin.host, origin.port, headers=headers, scheme=scheme)
        sock = self._connect(connection, timeout, cancel)
        return Connection(origin, sock, reusable=not isinstance(sock, SSLTransport))

    def _new(self, origin: Origin, proxy: Url | None = None) -> _PlainConnection | _TLSConnection:
        if proxy is None:
            if origin.scheme == "http":
                return _PlainConnection(origin.host, origin.port)
            return _TLSConnection(origin.host, origin.port, ssl_context=self._context())
        host, scheme = str(proxy.host).strip("[]"), proxy.scheme
        port = proxy.port or (443 if scheme == "https" else 80)
        if origin.scheme == scheme == "http":
            return _PlainConnection(host, port, proxy=proxy)
        context = self._context()
        config = ProxyConfig(context, False, None, None)
        return _TLSConnection(host, port, ssl_context=context, proxy=proxy, proxy_config=config)

    def _context(self) -> ssl.SSLContext:
        if self._cached_context is None:
            try:
                self._cached_context = self._make_context()
            except OSError as error:  # which does not name the file
                where = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
                raise TrustStoreError(
                    f"the certificates of {where} cannot be read: {error}"
                ) from error
        return self._cached_context

    def _connect(
        self,
        connection: _PlainConnection | _TLSConnection,
        timeout: float,
        cancel: CancelToken,
    ) -> Any:
        connection.connect_tcp, connection.cancel = self._connect_tcp, cancel
        connection.timeout = timeout
        try:
            connection.connect()
            if not connection.has_connected:  # an update must not silently remove the SSRF guard
                raise RuntimeError(
                    "This urllib3 connects in a way that flask-llmchat does not know, so that "
                    "addresses cannot be checked. Use an older one, or a newer flask-llmchat."
                )
        except BaseException:
            connection.detach()  # first: a closed descriptor's number may be reused at once
            connection.close()
            raise
        connection.detach()
        return connection.sock


class Proxies:
    """Finds the environment's proxy for an origin.

    :param environment: what :func:`urllib.request.getproxies` returns.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self._by_scheme = environment
        self._exempt = [entry.strip() for entry in environment.get("no", "").split(",")]
        # In the standard library "*" counts only alone, and "*." not at all.
        names = ["*"] if "*" in self._exempt else [entry.lstrip("*") for entry in self._exempt]
        self._exempt_names = {"no": ",".join(names)}

    def find(self, origin: Origin) -> Url | None:
        """Return the proxy to use for an origin; None to connect directly.

        :raises ValueError: when the proxy is not an HTTP proxy.
        """
        found = self._by_scheme.get(origin.scheme) or self._by_scheme.get("all")
        if not found or origin.host in _LOOPBACK or self._is_exempt(origin):
            return None
        try:
            proxy = parse_url(found if "://" in found else f"http://{found}")
        except ValueError:
            proxy = Url()
        if proxy.scheme not in ("http", "https") or not proxy.host:
            # The message leaves out the address, which may hold a password.
            raise ValueError("the environment's proxy is not an HTTP proxy")
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
