"""Connections for base URLs that users typed in: to public addresses and to nothing else.

What a name leads to is made up here; sockets, servers and TLS are real, on loopback only.
Where a test needs a public server it takes another loopback address (127.0.0.2) and says that
this one is public; 127.0.0.1, next to it, stays private.
"""

from __future__ import annotations

import ipaddress
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.connection import HTTPConnection

from flask_llmchat.transport import ssrf
from flask_llmchat.transport.ssrf import BlockedAddress, connect, is_public
from flask_llmchat.transport.transport import Transport
from tests.support.scripted_server import write_certificates

PRIVATE, PUBLIC, PUBLIC_TOO = "127.0.0.1", "127.0.0.2", "127.0.0.3"
REAL_GETADDRINFO = socket.getaddrinfo
REAL_CONNECT = socket.socket.connect
REAL_TCP = socket.create_connection


# Which addresses are public.


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "104.18.6.192",
        "126.255.255.255",
        "128.0.0.0",
        "168.63.129.15",
        "168.63.129.17",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.1.0",
        "192.0.3.0",
        "192.88.98.255",
        "192.88.100.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "198.51.101.0",
        "203.0.112.255",
        "203.0.114.0",
        "223.255.255.255",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2001:db7:ffff::1",
        "2001:db9::1",
        "2003::1",
        "2606:4700::6812:6c0",
        "2606:4700::6812:6c0%eth0",
        "2a00:1450:4001:82a::200e",
        "3ffe:ffff::1",
        "3fff:1000::1",
        "2606:4700::5eff:7f00:1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "64:ff9b::808:808",
    ],
)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        # this network, unspecified
        "0.0.0.0",
        "0.0.0.1",
        "0.255.255.255",
        # private
        "10.0.0.0",
        "10.1.2.3",
        "10.255.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.168.0.0",
        "192.168.255.255",
        # shared
        "100.64.0.0",
        "100.100.100.200",
        "100.127.255.255",
        # loopback
        "127.0.0.0",
        "127.0.0.1",
        "127.255.255.255",
        # Azure's host
        "168.63.129.16",
        # link-local
        "169.254.0.0",
        "169.254.169.254",
        "169.254.255.255",
        # protocol assignments
        "192.0.0.0",
        "192.0.0.8",
        "192.0.0.9",
        "192.0.0.10",
        "192.0.0.170",
        "192.0.0.192",
        "192.0.0.255",
        # documentation
        "192.0.2.0",
        "192.0.2.255",
        "198.51.100.0",
        "198.51.100.255",
        "203.0.113.0",
        "203.0.113.255",
        # 6to4 relays
        "192.88.99.1",
        # benchmarking
        "198.18.0.0",
        "198.19.255.255",
        # multicast, reserved, broadcast
        "224.0.0.0",
        "224.0.0.251",
        "239.255.255.255",
        "240.0.0.0",
        "255.255.255.254",
        "255.255.255.255",
        # IPv6: unspecified, loopback, discard, dummy
        "::",
        "::1",
        "::1%lo",
        "100::1",
        "100:0:0:1::1",
        # ULA, a cloud's metadata among them
        "fc00::",
        "fd00:ec2::254",
        "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        # link-local, site-local
        "fe80::",
        "fe80::1",
        "fe80::1%eth0",
        "fe80::a9fe:a9fe%2",
        "febf:ffff::1",
        "fec0::",
        "fec0:0:0:ffff::1",
        "feff:ffff::1",
        # multicast
        "ff02::1",
        "ff02::1%lo",
        "ff0e::1",
        # protocol assignments: Teredo, PCP, benchmarking, AMT, ORCHID
        "2001::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:1::1",
        "2001:2::1",
        "2001:3::1",
        "2001:10::1",
        "2001:20::1",
        "2001:1ff:ffff::1",
        # documentation
        "2001:db8::1",
        "2001:db8:ffff::1",
        "3fff::1",
        "3fff:fff:ffff::1",
        # 6to4, to a private and a public address
        "2002:7f00:1::1",
        "2002:a9fe:a9fe::1",
        "2002:808:808::1",
        # not given to anybody
        "1fff:ffff::1",
        "4000::1",
        "5f00::1",
        "8000::1",
        # IPv4-mapped
        "::ffff:0.0.0.0",
        "::ffff:10.0.0.1",
        "::ffff:100.64.0.1",
        "::ffff:127.0.0.1",
        "::ffff:127.0.0.1%lo",
        "::ffff:7f00:1",
        "::ffff:168.63.129.16",
        "::ffff:169.254.169.254",
        "::ffff:192.168.1.1",
        "::ffff:224.0.0.1",
        "::ffff:255.255.255.255",
        # IPv4-compatible, IPv4-translated
        "::127.0.0.1",
        "::169.254.169.254",
        "::8.8.8.8",
        "::ffff:0:127.0.0.1",
        "::ffff:0:8.8.8.8",
        # NAT64
        "64:ff9b::",
        "64:ff9b::10.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::192.0.0.170",
        "64:ff9b:0:0:0:1:808:808",
        "64:ff9b:1::1",
        "64:ff9b:1::8.8.8.8",
        "64:ff9b:1:ffff:ffff:ffff:7f00:1",
        # ISATAP
        "fe80::5efe:10.0.0.1",
        "2606:4700::5efe:10.0.0.1",
        "2606:4700::5efe:127.0.0.1",
        "2606:4700::200:5efe:192.168.0.1",
        "2606:4700::300:5efe:192.168.0.1",
        "2606:4700::5efe:8.8.8.8",
        "::5efe:127.0.0.1",
        # no addresses
        "",
        " 8.8.8.8",
        "8.8.8",
        "8.8.8.8.",
        "8.8.8.8/32",
        "8.8.8.8%eth0",
        "08.8.8.8",
        "0x8.8.8.8",
        "134744072",
        "10",
        "８.8.8.8",
        "[2606:4700::1]",
        "2606:4700::1%",
        "one.one.one.one",
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_never_laxer_than_the_standard_library(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if is_public(str(ip)):
        if ip in ipaddress.IPv6Network("64:ff9b::/96"):
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        elif isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        assert ip.is_global
        assert not (ip.is_private or ip.is_multicast or ip.is_reserved or ip.is_link_local)
        assert not getattr(ip, "is_site_local", False)


# The world these tests live in.


class Names:
    """A resolver that knows made-up names, and asks nobody about others."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[str, ...]]] = {}
        self.asked: list[str] = []

    def add(self, name: str, *answers: tuple[str, ...]) -> None:
        """Give a name its answers: one after the other, the last one from then on."""
        self.answers[name] = list(answers)

    def getaddrinfo(
        self, host: str, port: int, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[Any]:
        flags |= socket.AI_NUMERICHOST
        if host not in self.answers:
            return REAL_GETADDRINFO(host, port, family, type, proto, flags)
        self.asked.append(host)
        answers = self.answers[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            entry
            for address in addresses
            for entry in REAL_GETADDRINFO(address, port, family, type, proto, flags)
        ]


@pytest.fixture(autouse=True)
def connected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Write down every address connected to, and let nothing out of this machine."""
    addresses: list[str] = []

    def connect(self: socket.socket, address: Any) -> None:
        addresses.append(address[0])
        assert ipaddress.ip_address(address[0]).is_loopback, address
        REAL_CONNECT(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    return addresses


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    made_up = Names()
    monkeypatch.setattr(socket, "getaddrinfo", made_up.getaddrinfo)
    return made_up


@pytest.fixture
def some_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take some loopback addresses for public ones."""
    monkeypatch.setattr(ssrf, "is_public", lambda address: address in (PUBLIC, PUBLIC_TOO))


class Server(socketserver.ThreadingTCPServer):
    """An HTTP server that writes down what it was asked, by whom; it may redirect, or speak TLS.

    Not the stdlib's HTTPServer: that one looks its own name up.
    """

    allow_reuse_address = True

    def __init__(
        self, address: str, port: int = 0, location: str = "", tls: ssl.SSLContext | None = None
    ) -> None:
        self.location = location
        self.tls = tls
        self.asked: list[tuple[str, str]] = []
        self.clients: list[tuple[str, int]] = []
        self.sni: list[str | None] = []
        if tls:
            tls.sni_callback = lambda _socket, name, _context: self.sni.append(name)
        super().__init__((address, port), Handler)

    @property
    def port(self) -> int:
        return self.server_address[1]

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, client = super().get_request()
        self.clients.append(client)
        connection.settimeout(5)
        if self.tls:  # the handshake comes with the first read, in the connection's own thread
            connection = self.tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, client

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up in the handshake: some are here to do so."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Host"]))
        self.send_response(302 if self.server.location else 200)
        self.send_header("Location", self.server.location)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def serving(
    address: str = PUBLIC, port: int = 0, location: str = "", tls: ssl.SSLContext | None = None
) -> Iterator[Server]:
    with Server(address, port, location, tls) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def listening(address: str = PRIVATE, port: int = 0) -> Iterator[socket.socket]:
    """Listen where nobody may come."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, port), family=family) as listener:
        listener.setblocking(False)
        yield listener
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.fixture
def private() -> Iterator[socket.socket]:
    with listening() as listener:
        yield listener


def port_of(listener: socket.socket) -> int:
    return cast(int, listener.getsockname()[1])


def new_client(**kwargs: Any) -> httpx2.Client:
    """Make a client as careless as can be."""
    transport = Transport(connect, proxies=False)
    return httpx2.Client(transport=transport, follow_redirects=True, timeout=5, **kwargs)


@pytest.fixture
def client() -> Iterator[httpx2.Client]:
    with new_client() as client:
        yield client


def refuses(client: httpx2.Client, url: str) -> BlockedAddress:
    """Request what must be refused; return the refusal."""
    with pytest.raises(httpx2.ConnectError) as caught:
        client.get(url)
    refusal = caught.value.__cause__
    assert isinstance(refusal, BlockedAddress)
    assert str(refusal) == str(caught.value)
    return refusal


# What is refused.


def test_a_name_of_a_private_address_is_refused_before_connecting(
    names: Names, private: socket.socket, client: httpx2.Client, connected: list[str]
) -> None:
    names.add("inner.test", (PRIVATE,))
    refusal = refuses(client, f"http://inner.test:{port_of(private)}/")
    assert str(refusal) == "'inner.test' does not lead to a public internet address"
    assert refusal.__cause__ is None and refusal.__context__ is None
    assert names.asked == ["inner.test"]
    assert connected == []


@pytest.mark.parametrize(
    "answer",
    [
        ("1.1.1.1", PRIVATE),
        (PRIVATE, "1.1.1.1"),
        ("1.1.1.1", "2606:4700::1", "::1"),
        ("1.1.1.1", "8.8.8.8", "169.254.169.254"),
        ("64:ff9b::8.8.8.8", "64:ff9b::7f00:1"),
    ],
)
def test_one_private_address_among_public_ones_is_enough(
    answer: tuple[str, ...],
    names: Names,
    private: socket.socket,
    client: httpx2.Client,
    connected: list[str],
) -> None:
    names.add("mixed.test", answer)
    refuses(client, f"http://mixed.test:{port_of(private)}/")
    assert connected == []


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0x7F.0x0.0x0.0x1",
        "127.1",
        "127.0.1",
        "0177.0.0.1",
        "017700000001",
        "0",
        "0.0.0.0",
        "127。0。0。1",  # dots that IDNA takes for dots
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "user:password@127.1",
    ],
)
def test_every_way_to_write_this_machine_is_refused(
    host: str, private: socket.socket, client: httpx2.Client, connected: list[str]
) -> None:
    try:
        with pytest.raises((httpx2.ConnectError, httpx2.InvalidURL)) as caught:
            client.get(f"http://{host}:{port_of(private)}/")
    finally:
        assert connected == []
    if isinstance(caught.value, httpx2.ConnectError):  # httpx2 itself has no use for some
        # What the system's resolver does not take for an address leads nowhere either.
        assert isinstance(caught.value.__cause__, OSError)
        if host in ("127.0.0.1", "2130706433", "0x7f.1", "127.1", "[::1]", "[::ffff:127.0.0.1]"):
            assert isinstance(caught.value.__cause__, BlockedAddress)


@pytest.mark.parametrize("host", ["localhost.", "127.0.0.1.", "LOCALHOST", "xn--inner-.test"])
def test_names_are_judged_by_what_the_resolver_makes_of_them(
    host: str,
    names: Names,
    private: socket.socket,
    client: httpx2.Client,
    connected: list[str],
) -> None:
    names.add(host.lower(), (PRIVATE,))  # not every resolver takes these
    refuses(client, f"http://{host}:{port_of(private)}/")
    assert connected == []


@pytest.mark.parametrize("host", ["①②⑦.0.0.1", "１２７.１", "127.0.0.1"])
def test_digits_of_all_kinds_at_the_backend(
    host: str, private: socket.socket, connected: list[str]
) -> None:
    with pytest.raises(BlockedAddress):
        connect(host, port_of(private), 5)
    assert connected == []


def test_ipv6_loopback_with_somebody_listening(
    names: Names, client: httpx2.Client, connected: list[str]
) -> None:
    try:
        probe = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    probe.close()
    names.add("inner.test", ("::1",))
    with listening("::1") as listener:
        refuses(client, f"http://[::1]:{port_of(listener)}/")
        refuses(client, f"http://inner.test:{port_of(listener)}/")
    assert connected == []


@pytest.mark.parametrize("scheme", ["unix", "http+unix", "file", "ftp", "socks5"])
def test_only_http_is_spoken(
    scheme: str, private: socket.socket, client: httpx2.Client, connected: list[str]
) -> None:
    with pytest.raises(httpx2.UnsupportedProtocol):
        client.get(f"{scheme}://{PRIVATE}:{port_of(private)}/")
    assert connected == []


@pytest.mark.usefixtures("some_public")
def test_a_name_that_changes_its_address_is_asked_once_for_a_connection(
    names: Names, connected: list[str]
) -> None:
    names.add("rebind.test", (PUBLIC,), (PRIVATE,))
    with serving() as server, listening(PRIVATE, server.port):
        with new_client() as client:
            # The name's second answer is already the private one.
            assert client.get(f"http://rebind.test:{server.port}/").text == "ok"
            assert names.asked == ["rebind.test"]
            # A connection that is kept stays where it is; a new one is refused.
            assert client.get(f"http://rebind.test:{server.port}/").text == "ok"
            assert names.asked == ["rebind.test"]
        with new_client() as another:
            refuses(another, f"http://rebind.test:{server.port}/")
        assert names.asked == ["rebind.test", "rebind.test"]
    assert connected == [PUBLIC]


@pytest.mark.usefixtures("some_public")
@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "inner.test"])
def test_a_redirect_to_a_private_address_is_refused(
    host: str, names: Names, private: socket.socket, connected: list[str]
) -> None:
    names.add("outer.test", (PUBLIC,))
    names.add("inner.test", (PRIVATE,))
    location = f"http://{host}:{port_of(private)}/latest/meta-data/"
    with serving(location=location) as server:
        with new_client() as client:
            refuses(client, f"http://outer.test:{server.port}/")
        assert len(server.asked) == 1
    assert connected == [PUBLIC]


@pytest.mark.usefixtures("some_public")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxies_of_the_environment_are_not_used(
    scheme: str,
    names: Names,
    private: socket.socket,
    connected: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://{PRIVATE}:{port_of(private)}")
        monkeypatch.setenv(name.lower(), f"http://{PRIVATE}:{port_of(private)}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    names.add("outer.test", (PUBLIC,))
    names.add("inner.test", (PRIVATE,))
    with serving() as server, new_client() as client:
        if scheme == "http":
            assert client.get(f"http://outer.test:{server.port}/").text == "ok"
        else:  # no TLS is spoken there, and so much is found out by us, not by a proxy
            with pytest.raises(httpx2.ConnectError):
                client.get(f"https://outer.test:{server.port}/")
        refuses(client, f"{scheme}://inner.test:{port_of(private)}/")
    assert connected == [PUBLIC]


@pytest.mark.usefixtures("some_public")
def test_a_connection_that_went_elsewhere_is_closed(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a patched socket module that goes through a proxy."""
    made = []

    def astray(self: socket.socket, address: tuple[str, int]) -> None:
        made.append(self)
        REAL_CONNECT(self, (PRIVATE, address[1]))

    monkeypatch.setattr(socket.socket, "connect", astray)
    names.add("outer.test", (PUBLIC,))
    with (
        socket.create_server((PRIVATE, 0)) as listener,
        pytest.raises(BlockedAddress, match="outer.test") as caught,
    ):
        connect("outer.test", port_of(listener), 5)
    assert PRIVATE not in str(caught.value)
    assert made[0].fileno() == -1


@pytest.mark.usefixtures("some_public")
def test_a_server_that_hung_up_at_once_is_an_ordinary_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []

    def hung_up(self: socket.socket, address: tuple[str, int]) -> None:
        made.append(self)  # and is not connected

    monkeypatch.setattr(socket.socket, "connect", hung_up)
    with pytest.raises(OSError) as caught:
        connect(PUBLIC, 80, 5)
    assert not isinstance(caught.value, BlockedAddress)
    assert made[0].fileno() == -1


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("unknown.test", 80),
        ("a..b", 80),
        (f"{'a' * 64}.test", 80),
        ("a\0b", 80),
        ("", 80),
        (PUBLIC, 10**30),
    ],
)
def test_what_cannot_be_resolved_is_a_failed_connection(host: str, port: int) -> None:
    with pytest.raises(OSError) as caught:
        connect(host, port, 5)
    assert not isinstance(caught.value, BlockedAddress)


def test_what_cannot_be_resolved_reaches_the_client_as_such(client: httpx2.Client) -> None:
    for url in ("http://unknown.test/", f"http://{'a' * 64}.test/", f"http://a.test:{10**30}/"):
        with pytest.raises(httpx2.ConnectError):
            client.get(url)


@pytest.mark.parametrize(
    ("entries", "error"),
    [
        ([], OSError),
        # A Python without IPv6: numbers in place of text. 10 would be 0.0.0.10 to ipaddress.
        ([(socket.AF_INET6, 1, 6, "", (10, b"\0" * 26))], BlockedAddress),
    ],
)
def test_odd_answers_of_the_resolver(
    entries: list[Any], error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: entries)
    with pytest.raises(error):
        connect("odd.test", 80, 5)


# What gets through.


@pytest.mark.usefixtures("some_public")
def test_a_request_gets_through_and_its_connection_is_kept(
    names: Names, connected: list[str]
) -> None:
    names.add("outer.test", (PUBLIC,))
    with serving() as server:
        with new_client() as client:
            for path in ("/one", "/two", "/three"):
                response = client.get(f"http://outer.test:{server.port}{path}")
                assert (response.status_code, response.text) == (200, "ok")
        host = f"outer.test:{server.port}"
        assert server.asked == [("/one", host), ("/two", host), ("/three", host)]
        assert len(server.clients) == 1
    assert connected == [PUBLIC]
    assert names.asked == ["outer.test"]


@pytest.mark.usefixtures("some_public")
def test_limits_are_the_pools(names: Names) -> None:
    names.add("outer.test", (PUBLIC,))
    transport = Transport(connect, max_idle=0, proxies=False)
    with serving() as server, httpx2.Client(transport=transport) as client:
        client.get(f"http://outer.test:{server.port}/")
        client.get(f"http://outer.test:{server.port}/")
        assert len(server.clients) == 2


@pytest.mark.usefixtures("some_public")
def test_the_next_address_is_tried(names: Names, connected: list[str]) -> None:
    names.add("outer.test", (PUBLIC_TOO, PUBLIC, PUBLIC_TOO))
    # Nobody listens at the first one.
    with serving(PUBLIC) as server, new_client() as client:
        assert client.get(f"http://outer.test:{server.port}/").text == "ok"
    assert connected == [PUBLIC_TOO, PUBLIC]


@pytest.mark.usefixtures("some_public")
def test_an_address_is_tried_once_and_the_last_failure_told(
    names: Names, connected: list[str]
) -> None:
    with socket.create_server((PUBLIC, 0)) as listener:
        port = port_of(listener)
    names.add("outer.test", (PUBLIC, PUBLIC_TOO, PUBLIC))
    with pytest.raises(OSError, match="refused"):
        connect("outer.test", port, 5)
    assert connected == [PUBLIC, PUBLIC_TOO]


@pytest.mark.usefixtures("some_public")
def test_what_is_written_goes_out_at_once(names: Names) -> None:
    names.add("outer.test", (PUBLIC_TOO, PUBLIC))
    with (
        socket.create_server((PUBLIC, 0)) as listener,
        closing(connect("outer.test", port_of(listener), 5)) as sock,
    ):
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def slow_tcp(monkeypatch: pytest.MonkeyPatch, *seconds: float) -> list[float]:
    """Let connecting fail after so many seconds; return the timeouts it is given."""
    timeouts: list[float] = []

    def connect(self: socket.socket, address: tuple[str, int]) -> None:
        time.sleep(seconds[len(timeouts)])
        timeouts.append(cast(float, self.gettimeout()))
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket.socket, "connect", connect)
    return timeouts


@pytest.mark.usefixtures("some_public")
def test_addresses_share_the_timeout(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    names.add("outer.test", (PUBLIC, PUBLIC_TOO))
    timeouts = slow_tcp(monkeypatch, 0.2, 0)
    with pytest.raises(TimeoutError):
        connect("outer.test", 80, 10)
    assert timeouts == [pytest.approx(5, abs=0.1), pytest.approx(9.8, abs=0.1)]


@pytest.mark.usefixtures("some_public")
def test_no_address_gets_less_than_a_second_or_more_than_is_left(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    names.add("outer.test", (PUBLIC, PUBLIC_TOO))
    timeouts = slow_tcp(monkeypatch, 0.5, 0)
    with pytest.raises(TimeoutError):
        connect("outer.test", 80, 1.2)
    assert timeouts == [1.0, pytest.approx(0.7, abs=0.1)]


@pytest.mark.usefixtures("some_public")
def test_a_slow_resolver_uses_up_the_timeout(
    names: Names, monkeypatch: pytest.MonkeyPatch, connected: list[str]
) -> None:
    names.add("outer.test", (PUBLIC,))
    resolve = names.getaddrinfo

    def slowly(*args: Any, **kwargs: Any) -> list[Any]:
        time.sleep(0.1)
        return resolve(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    with pytest.raises(TimeoutError):
        connect("outer.test", 80, 0.05)
    assert connected == []


# TLS.


@pytest.fixture
def https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    ca_file, server_file = write_certificates(tmp_path, "outer.test")
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_file)
    with serving(tls=context) as server:
        yield server
    context.sni_callback = None  # it holds the server, and the server holds it


@pytest.mark.usefixtures("some_public")
def test_tls_asks_for_the_name_and_checks_it(names: Names, https: Server) -> None:
    names.add("outer.test", (PUBLIC,))
    with new_client() as client:
        assert client.get(f"https://outer.test:{https.port}/one").text == "ok"
        assert client.get(f"https://outer.test:{https.port}/two").text == "ok"
    assert https.sni == ["outer.test"]
    assert [path for path, _ in https.asked] == ["/one", "/two"]
    assert len(https.clients) == 1


@pytest.mark.usefixtures("some_public")
@pytest.mark.parametrize("host", ["other.test", PUBLIC])
def test_tls_with_a_name_that_is_not_certified_fails(
    host: str, names: Names, https: Server
) -> None:
    names.add("other.test", (PUBLIC,))
    with (
        new_client() as client,
        pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED.*mismatch"),
    ):
        client.get(f"https://{host}:{https.port}/")
    assert https.asked == []


@pytest.mark.usefixtures("some_public")
def test_tls_with_an_authority_that_is_not_known_fails(
    names: Names, https: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    names.add("outer.test", (PUBLIC,))
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    with (
        new_client() as client,
        pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        client.get(f"https://outer.test:{https.port}/")
    assert https.asked == []


# A urllib3 that is not the one we know.


def test_a_urllib3_that_connects_by_itself_is_an_error(
    names: Names, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def connect(self: HTTPConnection) -> None:
        self.sock = REAL_TCP((PRIVATE, self.port))
        made.append(self.sock)

    monkeypatch.setattr(HTTPConnection, "connect", connect)
    with serving(PRIVATE) as server:
        with pytest.raises(RuntimeError, match="This urllib3 connects in a way"):
            client.get(f"http://{PRIVATE}:{server.port}/")
        assert server.asked == []
    assert made[0].fileno() == -1
