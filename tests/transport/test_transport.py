"""The transport under the SDK, at real sockets: TLS, proxies, connections kept, bodies, waits."""

from __future__ import annotations

import gzip
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import zlib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from flask_llmchat import ChatError
from flask_llmchat.protocols.chat_completions.parser import ChatCompletionParser
from flask_llmchat.runs.response_stream import ResponseStream
from flask_llmchat.testing import HOLD, FakeUpstream, Reply, error_reply, event, text_reply
from flask_llmchat.transport import pool, runtime
from flask_llmchat.transport import watchdog as watch_module
from flask_llmchat.transport.connection import Connection, Origin, Proxies
from flask_llmchat.transport.pool import ConnectionPool
from flask_llmchat.transport.response_body import ResponseBody
from flask_llmchat.transport.transport import Transport, TransportOptions, current_options
from flask_llmchat.transport.watchdog import CancelToken
from tests.support.scripted_server import (
    Peer,
    Visit,
    chunk,
    pump,
    tls_context,
    write_certificates,
)
from tests.support.upstream_streams import (
    CHUNKED,
    DONE,
    KEY,
    OK,
    SHORT,
    STOP,
    TEXT,
    WHOLE,
    WatchedStream,
    always,
    call_of,
    stream_of,
    told,
)

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test a process of its own, in an environment that says nothing."""
    for name in (*PROXIES, "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    fresh = runtime.Runtime()
    monkeypatch.setattr(runtime, "_current", fresh)
    yield
    for sdk in fresh.sdks.values():
        sdk.close()


@contextmanager
def client(**how: Any) -> Iterator[httpx2.Client]:
    with httpx2.Client(transport=Transport(**how), timeout=5) as made:
        yield made


def post(made: httpx2.Client, url: str, content: bytes = b"{}") -> str:
    return made.post(url, content=content, headers={"Authorization": f"Bearer {KEY}"}).text


# TLS


@pytest.fixture
def certificates(tmp_path: Path) -> tuple[Path, Path]:
    return write_certificates(tmp_path, "localhost")


@pytest.mark.parametrize("how", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_tls_trusts_whom_the_environment_says(
    how: str,
    certificates: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ca_file, server_file = certificates
    if how == "SSL_CERT_DIR":
        hashed = tmp_path / "trusted"
        hashed.mkdir()
        name = ["openssl", "x509", "-hash", "-noout", "-in", str(ca_file)]
        found = subprocess.run(name, capture_output=True, text=True, check=True).stdout.strip()
        ca_file = ca_file.rename(hashed / f"{found}.0").parent
    monkeypatch.setenv(how, str(ca_file))
    with Peer(always(WHOLE), tls_context(server_file)) as peer:
        assert told(f"https://localhost:{peer.port}") == "Hello"
        assert told(f"https://localhost:{peer.port}") == "Hello"
        assert peer.connections == 1


def test_tls_trusts_nobody_else(certificates: tuple[Path, Path]) -> None:
    with Peer(always(WHOLE), tls_context(certificates[1])) as peer:
        with pytest.raises(ChatError, match="could not be reached") as caught:
            told(f"https://localhost:{peer.port}")
        assert "CERTIFICATE_VERIFY_FAILED" in caught.value.detail
        assert peer.requests == []


@pytest.mark.parametrize("exists", [False, True])
def test_certificates_that_cannot_be_read_are_told_and_concern_tls_alone(
    exists: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "trusted.pem"
    if exists:
        file.write_text("nothing of that kind")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with Peer(always(WHOLE)) as peer:
        assert told(f"http://{peer.netloc}") == "Hello"
        with pytest.raises(ChatError) as caught:
            told(f"https://localhost:{peer.port}", max_retries=1)
    assert caught.value.code == "internal" and str(file) in caught.value.detail
    assert str(file) not in caught.value.message
    assert "planted" not in caught.value.detail + caught.value.message


def test_tls_is_for_the_name_that_was_called(
    certificates: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates[0]))
    with Peer(always(WHOLE), tls_context(certificates[1])) as peer:
        with pytest.raises(ChatError) as caught:
            told(f"https://127.0.0.1:{peer.port}")
        assert "CERTIFICATE_VERIFY_FAILED" in caught.value.detail


@pytest.mark.slow
def test_records_of_tls_that_come_in_pieces(
    certificates: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A heartbeat in the middle of a record loses nothing of it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates[0]))
    text = event({"choices": [{"delta": {"content": "x" * 40_000}}]})

    def slowly(visit: Visit) -> None:
        source, drain = visit.sock, socket.create_connection(("127.0.0.1", inner.port))
        threading.Thread(target=pump, args=(source, drain), daemon=True).start()
        with closing(drain):
            while data := drain.recv(9000):
                visit.say(data[:5000])
                time.sleep(0.03)
                visit.say(data[5000:])

    answer = always(CHUNKED, chunk(text * 4 + STOP), b"0\r\n\r\n")
    with (
        Peer(answer, tls_context(certificates[1])) as inner,
        Peer(slowly) as peer,
        closing(stream_of(f"https://localhost:{peer.port}")) as stream,
    ):
        beats = 0
        while (events := stream.read(0.01)) != []:
            beats += events is None
    assert beats > 5
    assert len("".join(stream._parser.totals().text)) == 160_000  # type: ignore[attr-defined]


# Proxies


def connect_proxy(
    inner: Peer, refuse: bytes = b"", seen: list[bytes] | None = None, tls: Any = None
) -> Peer:
    """Make a proxy that leads wherever it is asked to, to the same server."""

    def talk(visit: Visit) -> None:
        head = visit.head()
        if seen is not None:
            seen.append(head)
        if refuse or not head.startswith(b"CONNECT "):
            visit.say(refuse or b"HTTP/1.1 405 No\r\n\r\n")
            return
        with closing(socket.create_connection(("127.0.0.1", inner.port))) as onward:
            visit.say(b"HTTP/1.1 200 Connection established\r\nX-Proxy: 1\r\n\r\n")
            threading.Thread(target=pump, args=(onward, visit.sock), daemon=True).start()
            pump(visit.sock, onward)

    return Peer(talk, tls)


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    """A provider that only a proxy can reach, for its name is made up."""
    ca_file, server_file = write_certificates(tmp_path, "provider.test")
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    with Peer(always(WHOLE), tls_context(server_file)) as peer:
        yield peer


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_leads_to_the_provider(
    name: str, secure: Peer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[bytes] = []
    with connect_proxy(secure, seen=seen) as proxy:
        monkeypatch.setenv(name, f"http://us%40er:p%20w-planted@{proxy.netloc}")
        assert told("https://provider.test") == told("https://provider.test") == "Hello"
    assert len(seen) == secure.connections == 1
    (head,) = seen
    assert head.startswith(b"CONNECT provider.test:443 HTTP/1.")
    assert b"Basic " + b64encode(b"us@er:p w-planted") in head
    assert KEY.encode() not in head
    assert b"proxy-auth" not in secure.requests[0][1].lower()
    assert b"POST /v1/chat/completions HTTP/1.1\r\n" in secure.requests[0][1]
    assert "planted" not in caplog.text


def test_a_proxy_without_a_scheme_is_one_of_http(
    secure: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect_proxy(secure) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.netloc)
        assert told("https://provider.test") == "Hello"


def test_tls_within_the_tls_of_a_proxy(
    secure: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "proxy"
    folder.mkdir()
    ca_file, server_file = write_certificates(folder, "localhost")
    both = tmp_path / "both.pem"
    both.write_bytes((tmp_path / "ca.pem").read_bytes() + ca_file.read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(both))
    with connect_proxy(secure, tls=tls_context(server_file)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"https://localhost:{proxy.port}")
        assert told("https://provider.test") == told("https://provider.test") == "Hello"
    assert secure.connections == 2  # whether something unasked waits in one cannot be seen


def test_a_proxy_reads_what_is_not_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    with Peer(always(WHOLE)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:pw@{proxy.netloc}")
        assert told("http://provider.test:8080") == told("http://provider.test:8080") == "Hello"
        assert proxy.connections == 1
    for _, head, _ in proxy.requests:
        line, _, fields = head.partition(b"\r\n")
        assert line == b"POST http://provider.test:8080/v1/chat/completions HTTP/1.1"
        assert b"Host: provider.test:8080" in fields
        assert b"Proxy-Authorization: Basic " + b64encode(b"user:pw") in fields


def test_a_proxy_that_refuses_is_told_without_its_password(
    secure: Peer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
    with connect_proxy(secure, refuse=refusal) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:planted@{proxy.netloc}")
        with pytest.raises(ChatError, match="could not be reached") as caught:
            told("https://provider.test")
    assert "407 Proxy Authentication Required" in caught.value.detail
    assert secure.requests == []
    assert "planted" not in caplog.text + caught.value.detail


@pytest.mark.parametrize("url", ["socks5://user:planted@127.0.0.1:9", "http://user:planted@:x"])
def test_a_proxy_of_another_kind_is_an_error_and_no_way_round_it(
    url: str, secure: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", url)
    with pytest.raises(ChatError) as caught:
        told(f"https://provider.test:{secure.port}")
    assert "the environment's proxy is not an HTTP proxy" in caught.value.detail
    assert "planted" not in caught.value.detail


def test_a_proxy_that_says_nothing_is_not_waited_for_when_the_reader_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reached = threading.Event()

    def silent(visit: Visit) -> None:
        visit.head()
        reached.set()
        visit.head()

    ours, theirs = socket.socketpair()
    with Peer(silent) as proxy, ours:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.netloc}")

        def leave() -> None:
            reached.wait(5)
            theirs.close()

        threading.Thread(target=leave).start()
        started = time.monotonic()
        with pytest.raises(ChatError) as caught:
            WatchedStream(call_of("https://provider.test"), ChatCompletionParser(), ours)
    assert caught.value.code == "cancelled"
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("exempt", "host", "direct"),
    [
        ("", "provider.test", False),
        ("*", "provider.test", True),
        ("a.test, *", "provider.test", True),
        ("provider.test", "provider.test", True),
        ("PROVIDER.test", "provider.test", True),
        ("provider.test", "eu.provider.test", True),
        (".provider.test", "eu.provider.test", True),
        ("*.provider.test", "eu.provider.test", True),
        ("provider.test", "myprovider.test", False),
        ("provider.test:8000", "provider.test", True),
        ("provider.test:443", "provider.test", False),
        ("*.provider.test:8000", "eu.provider.test", True),
        ("[fd00::1]:8000", "fd00::1", True),
        ("10.0.0.0/8", "fd00::1", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("fd00::/8", "fd00::1", True),
        ("[fd00::1]", "fd00::1", True),
        ("fd00::1", "fd00::1", True),
        ("a.test,,b.test", "provider.test", False),
        ("", "localhost", True),
        ("", "127.0.0.1", True),
        ("", "::1", True),
    ],
)
def test_who_is_called_without_a_proxy(exempt: str, host: str, direct: bool) -> None:
    proxies = Proxies({"all": "http://proxy.test:3128", "no": exempt})
    for scheme in ("http", "https"):
        assert (proxies.find(Origin(scheme, host, 8000)) is None) is direct


# Connections


def test_a_connection_closed_while_idle_is_replaced_and_costs_no_attempt() -> None:
    def once(visit: Visit) -> None:
        visit.request()
        visit.say(WHOLE)

    with Peer(once) as peer:
        for number in range(1, 4):
            assert told(f"http://{peer.netloc}") == "Hello"
            assert peer.connections == len(peer.requests) == number
            time.sleep(0.05)


def test_a_connection_closed_under_our_hands_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was closed after the look at it: what cannot have been read may be sent again."""
    monkeypatch.setattr(pool, "_is_usable", lambda connection: True)

    def once(visit: Visit) -> None:
        visit.request()
        visit.say(WHOLE)
        if visit.number == 1:  # reset: what comes now is thrown away unread
            linger = b"\1\0\0\0\0\0\0\0"
            visit.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    with Peer(once) as peer:
        assert told(f"http://{peer.netloc}") == "Hello"
        time.sleep(0.05)
        assert told(f"http://{peer.netloc}") == "Hello"
        assert [number for number, _, _ in peer.requests] == [1, 2]


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 O"])
def test_a_chat_that_may_have_been_read_is_not_sent_again(answer: bytes) -> None:
    def hangs_up(visit: Visit) -> None:
        visit.request()
        visit.say(WHOLE)
        visit.request()
        visit.say(answer)

    with Peer(hangs_up) as peer:
        assert told(f"http://{peer.netloc}") == "Hello"
        with pytest.raises(ChatError, match="could not be reached"):
            told(f"http://{peer.netloc}")
        assert [number for number, _, _ in peer.requests] == [1, 1]


def test_when_a_kept_connection_leads_nowhere_the_others_are_not_tried() -> None:
    """As when a provider's machine is replaced: its connections are reset once they are used."""

    def replaced(visit: Visit) -> None:
        visit.request()
        visit.say(WHOLE)
        if visit.number > 6:
            visit.request()
            visit.say(WHOLE)
        visit.sock.recv(10)
        visit.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with Peer(replaced) as peer:
        url = f"http://{peer.netloc}"
        with ExitStack() as stack:
            streams = [stack.enter_context(closing(stream_of(url))) for _ in range(6)]
            for stream in streams:
                while stream.read():
                    pass
        assert told(url, max_retries=1) == told(url) == "Hello"
        assert peer.connections == 7


def test_an_answer_given_before_the_request_was_read_is_taken() -> None:
    refusal = b'{"error": {"message": "Too much"}}'
    length = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(refusal)

    def impatient(visit: Visit) -> None:
        visit.head()
        visit.say(b"HTTP/1.1 413 Too Large\r\n", length, refusal)
        visit.sock.shutdown(socket.SHUT_WR)
        while visit.sock.recv(65536):
            pass

    body = {"model": "m", "messages": [{"role": "user", "content": "x" * 3_000_000}]}
    with Peer(impatient) as peer, pytest.raises(ChatError) as caught:
        told(f"http://{peer.netloc}", body=body)
    assert (caught.value.status, caught.value.message) == (413, "Too much")


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("closes", [False, True])
def test_an_answer_is_taken_though_nobody_reads_the_request(
    secure: bool,
    closes: bool,
    certificates: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ca_file, server_file = certificates
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    refusal = b'{"error": {"message": "Too much"}}'
    over = threading.Event()

    def stubborn(visit: Visit) -> None:
        visit.head()
        visit.say(b"HTTP/1.1 413 No\r\nContent-Length: %d\r\n\r\n" % len(refusal), refusal)
        if closes:
            visit.sock.shutdown(socket.SHUT_WR)
        over.wait(20)

    body = {"model": "m", "messages": [{"role": "user", "content": "x" * 15_000_000}]}
    begun = time.monotonic()
    with Peer(stubborn, tls_context(server_file) if secure else None) as peer:
        address = f"{'https' if secure else 'http'}://localhost:{peer.port}"
        with pytest.raises(ChatError) as caught:
            told(address, body=body, read_timeout=15.0)
        assert (caught.value.status, caught.value.message) == (413, "Too much")
        assert time.monotonic() - begun < 10
        over.set()


@pytest.mark.slow
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_long_request_reaches_a_server_that_reads_slowly(
    secure: bool, certificates: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ca_file, server_file = certificates
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))

    def slow(visit: Visit) -> None:
        head = visit.head()
        time.sleep(0.8)  # meanwhile TLS's tickets wait to be read
        visit._buffer = head + b"\r\n\r\n" + visit._buffer
        visit.request()
        visit.say(WHOLE)

    content = "x" * 8_000_000
    body = {"model": "m", "messages": [{"role": "user", "content": content}]}
    with Peer(slow, tls_context(server_file) if secure else None) as peer:
        address = f"{'https' if secure else 'http'}://localhost:{peer.port}"
        assert told(address, body=body) == "Hello"


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        SHORT + b"more than was said",
        CHUNKED + chunk(b"ok") + b"0\r\n\r\nmore",
    ],
)
def test_what_cannot_serve_another_request_is_closed(answer: bytes) -> None:
    with Peer(always(answer)) as peer, client() as made:
        assert [post(made, f"http://{peer.netloc}") for _ in range(3)] == ["ok"] * 3
        assert peer.connections == 3


def test_a_body_that_ends_with_its_connection() -> None:
    def once(visit: Visit) -> None:
        visit.request()
        visit.say(OK + b"\r\n", TEXT, STOP)

    with Peer(once) as peer:
        assert told(f"http://{peer.netloc}") == "Hello"


@pytest.mark.slow
def test_very_many_chats_at_once_wait_for_nobody_and_few_connections_stay() -> None:
    def talk(visit: Visit) -> None:
        while True:
            visit.request()
            visit.say(CHUNKED, chunk(TEXT))
            assert everybody.wait(20)
            visit.say(chunk(STOP + DONE), b"0\r\n\r\n")

    everybody = threading.Event()
    with Peer(talk) as peer, ExitStack() as stack:
        streams = [stream_of(f"http://{peer.netloc}") for _ in range(140)]
        for stream in streams:
            stack.callback(stream.close)
            assert stream.read()
        everybody.set()
        for stream in streams:
            while stream.read():
                pass
            stream.close()
        (sdk,) = runtime.current_runtime().sdks.values()
        kept = sdk._client._transport._pool._idle  # type: ignore[attr-defined]
        assert len(kept) == 100
        assert told(f"http://{peer.netloc}") == "Hello"
        assert peer.connections == 140


def test_idle_connections_are_let_go_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_MAX_IDLE", 0.1)
    idle, there = ConnectionPool(2), []

    def connection(host: str) -> Connection:
        ours, theirs = socket.socketpair()
        there.append(theirs)
        return Connection(Origin("https", host, 443), ours)

    first, second, third = connection("a"), connection("a"), connection("b")
    idle.keep(first)
    idle.keep(second)
    assert idle.take(Origin("https", "c", 443)) is None
    assert idle.take(Origin("https", "a", 443)) is second
    idle.keep(second)
    idle.keep(third)
    assert first.sock.fileno() == -1, "there is room for two"
    time.sleep(0.12)
    assert idle.take(Origin("https", "b", 443)) is None
    assert third.sock.fileno() == -1
    idle.keep(connection("b"))
    assert second.sock.fileno() == -1
    idle.close()
    for sock in there:
        with sock:
            assert sock.recv(1) == b""


def test_a_connection_that_speaks_unasked_is_not_used() -> None:
    ours, theirs = socket.socketpair()
    idle, connection = ConnectionPool(1), Connection(Origin("http", "a", 80), ours)
    with theirs:
        theirs.sendall(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        idle.keep(connection)
        assert idle.take(connection.origin) is None
    assert ours.fileno() == -1


def test_a_port_that_nobody_listens_at_and_one_that_does_not_answer() -> None:
    with full() as port, client() as made:
        started = time.monotonic()
        with pytest.raises(httpx2.ConnectTimeout):
            made.post(f"http://127.0.0.1:{port}", timeout=httpx2.Timeout(5, connect=0.2))
        assert time.monotonic() - started < 1
    with client() as made, pytest.raises(httpx2.ConnectError, match="refused"):
        post(made, f"http://127.0.0.1:{port}")


@contextmanager
def full(*addresses: str) -> Iterator[int]:
    """Listen at a port of each address where nobody more gets in."""
    port = 0
    with ExitStack() as stack:
        for address in addresses or ("127.0.0.1",):
            listener = stack.enter_context(socket.create_server((address, port), backlog=0))
            port = listener.getsockname()[1]
            for _ in range(4):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex((address, port))
        yield port


def test_addresses_that_do_not_answer_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = [f"127.0.0.{number}" for number in range(1, 6)]
    with full(*addresses) as port, client() as made:
        found = [(socket.AF_INET, 1, 6, "", (address, port)) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        started = time.monotonic()
        with pytest.raises(httpx2.ConnectTimeout):
            made.post(f"http://many.test:{port}", timeout=httpx2.Timeout(5, connect=0.4))
        assert time.monotonic() - started < 0.8


def ended_after(url: str, *, leave: float | None = 0.2, **more: Any) -> tuple[str, float]:
    """Return how a chat's wait ended, and when; the reader may leave meanwhile."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        started = time.monotonic()
        if leave is not None:
            threading.Timer(leave, theirs.close).start()
        with pytest.raises(ChatError) as caught:
            WatchedStream(call_of(url, **more), ChatCompletionParser(), ours)
        return caught.value.code, time.monotonic() - started


WAITS: dict[str, dict[str, Any]] = {
    "cancelled": {},
    "timeout": {"leave": None, "read_timeout": 0.3},
    "deadline": {"leave": None, "deadline": 0.3},
}


def wait_of(reason: str) -> dict[str, Any]:
    how = dict(WAITS[reason])
    if "deadline" in how:
        how["deadline"] += time.monotonic()
    return how


def test_the_wait_before_another_attempt_ends_when_the_reader_leaves(
    upstream: FakeUpstream,
) -> None:
    upstream.add(error_reply(429, "Slowly", headers={"Retry-After": "3"}))
    code, seconds = ended_after(upstream.url, max_retries=1)
    assert code == "cancelled" and seconds < 1
    assert len(upstream.requests) == 1


def test_a_body_that_ends_with_its_connection_leaves_none_to_keep() -> None:
    def once(visit: Visit) -> None:
        visit.request()
        visit.say(OK, b"\r\n", TEXT, STOP, DONE)

    with Peer(once) as peer:
        assert told(f"http://{peer.netloc}") == "Hello"
        (made,) = runtime.current_runtime().transports.values()
        assert not made._pool._idle


@pytest.mark.parametrize("reason", ["cancelled", "timeout"])
def test_connecting_ends_when_the_chat_does(reason: str) -> None:
    with full() as port:
        code, seconds = ended_after(f"http://127.0.0.1:{port}", **wait_of(reason))
    assert code == reason and seconds < 1


def dripping(visit: Visit) -> None:
    """Begin a handshake, and go on with it for ever."""
    visit.sock.recv(65536)
    visit.say(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")
    while True:
        visit.say(b"\0")
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("reason", WAITS)
def test_a_handshake_ends_when_the_chat_does(reason: str) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0

    with Peer(dripping) as peer:
        ended_after(f"https://localhost:{peer.port}", **wait_of(reason))
        before = count()
        for _ in range(2):
            code, seconds = ended_after(f"https://localhost:{peer.port}", **wait_of(reason))
            assert code == reason and seconds < 1
    assert count() <= before


@pytest.mark.parametrize("answer", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nX\r\n\r\n", b""])
def test_what_is_no_answer(answer: bytes) -> None:
    def talk(visit: Visit) -> None:
        visit.request()
        visit.say(answer)

    with Peer(talk) as peer, client() as made, pytest.raises(httpx2.RemoteProtocolError):
        post(made, f"http://{peer.netloc}")


def test_a_server_that_is_slow_with_its_head() -> None:
    def silent(visit: Visit) -> None:
        visit.request()
        visit.request()

    timeout = httpx2.Timeout(5, read=0.2)
    with Peer(silent) as peer, client() as made, pytest.raises(httpx2.ReadTimeout):
        made.post(f"http://{peer.netloc}", timeout=timeout)


def test_keys_are_in_no_error_of_a_request_that_cannot_be_sent() -> None:
    with Peer(always(SHORT)) as peer, client() as made:
        with pytest.raises(httpx2.WriteError) as caught:
            made.post(f"http://{peer.netloc}", headers={"Authorization": f"{KEY}\r\nX: 1"})
        assert "planted" not in repr(caught.value) + repr(caught.value.__cause__)
        assert peer.requests == []


# Bodies


ENDS = {
    "in-a-chunk": CHUNKED + chunk(TEXT)[:-20],
    "between-chunks": CHUNKED + chunk(TEXT),
    "in-a-size": CHUNKED + chunk(TEXT) + b"5",
    "before-the-trailer": CHUNKED + chunk(TEXT) + b"0\r\n",
    "too-short": OK + b"Content-Length: %d\r\n\r\n" % (len(TEXT) + 1) + TEXT,
    "no-chunk": CHUNKED + chunk(TEXT) + b"oops\r\n",
}


@pytest.mark.parametrize("answer", ENDS.values(), ids=ENDS)
def test_a_body_that_breaks_off_is_truncated(answer: bytes) -> None:
    def once(visit: Visit) -> None:
        visit.request()
        visit.say(answer)

    with Peer(once) as peer, pytest.raises(ChatError) as caught:
        told(f"http://{peer.netloc}")
    assert caught.value.code == "truncated"


@pytest.mark.parametrize(
    "answer",
    [
        CHUNKED + chunk(TEXT + STOP),
        CHUNKED + chunk(TEXT) + chunk(STOP)[:-2],
        CHUNKED + chunk(TEXT + STOP) + b"oops\r\n",
        OK + b"Content-Length: 5000\r\n\r\n" + TEXT + STOP,
    ],
)
def test_a_body_may_break_off_after_the_finish_reason(answer: bytes) -> None:
    def once(visit: Visit) -> None:
        visit.request()
        visit.say(answer)

    with Peer(once) as peer:
        assert told(f"http://{peer.netloc}") == told(f"http://{peer.netloc}") == "Hello"
        assert peer.connections == 2


WHOLE_CHUNK = chunk(TEXT + STOP + DONE) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + WHOLE_CHUNK,
        OK + b"Transfer-Encoding: identity, chunked\r\n\r\n" + WHOLE_CHUNK,
        OK + b"Transfer-Encoding: chunked,\r\n\r\n" + WHOLE_CHUNK,
        OK + b"Content-Type: text/event-stream\r\n" + CHUNKED[len(OK) :] + WHOLE_CHUNK,
        CHUNKED + b"%020x\r\n%b\r\n%018x\r\n\r\n" % (len(TEXT + STOP), TEXT + STOP, 0),
    ],
    ids=["twice", "identity", "comma", "type", "padded"],
)
def test_a_head_and_chunks_that_are_said_oddly(answer: bytes) -> None:
    with Peer(always(answer)) as peer:
        assert told(f"http://{peer.netloc}") == told(f"http://{peer.netloc}") == "Hello"
        assert peer.connections == 1


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"gzip, gzip"])
def test_a_compression_we_do_not_know_cannot_be_read(encoding: bytes) -> None:
    head = OK + b"Content-Encoding: %b\r\nContent-Length: 9\r\n\r\n" % encoding
    with Peer(always(head, b"\x8b\x02\x80jibber")) as peer, pytest.raises(ChatError) as caught:
        told(f"http://{peer.netloc}")
    assert caught.value.code == "upstream_error" and "cannot be read" in caught.value.message


def test_a_body_byte_by_byte_with_extensions_and_a_trailer() -> None:
    pieces = [b"%x;a=b\r\n%b\r\n" % (len(piece), piece) for piece in (TEXT, STOP, DONE)]
    raw = b"".join([CHUNKED, *pieces, b"0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n"])

    def slowly(visit: Visit) -> None:
        while True:
            visit.request()
            for byte in raw:
                visit.say(bytes([byte]))

    with Peer(slowly) as peer:
        assert told(f"http://{peer.netloc}") == told(f"http://{peer.netloc}") == "Hello"
        assert peer.connections == 1


def test_what_is_there_comes_in_one_piece() -> None:
    def talk(visit: Visit) -> None:
        visit.request()
        visit.say(CHUNKED, *[chunk(TEXT)] * 50)
        visit.request()

    with Peer(talk) as peer, closing(stream_of(f"http://{peer.netloc}")) as stream:
        time.sleep(0.1)
        assert len(stream.read() or ()) == 50


def test_a_body_that_was_closed_is_not_read_on() -> None:
    with Peer(always(WHOLE[:-5])) as peer, client() as made:
        with made.stream("POST", f"http://{peer.netloc}") as response:
            body = response.extensions["body"]
            assert body.read() == TEXT + STOP + DONE
        with pytest.raises(httpx2.StreamClosed):
            body.read()


def compressed(data: bytes, encoding: str) -> bytes:
    return gzip.compress(data) if "gzip" in encoding else zlib.compress(data)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate"])
def test_a_compressed_body_is_read(encoding: str) -> None:
    data = compressed(TEXT + STOP + DONE, encoding)
    head = OK + f"Content-Encoding: {encoding}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    pieces = [chunk(data[n : n + 7]) for n in range(0, len(data), 7)]
    with Peer(always(head, *pieces, b"0\r\n\r\n")) as peer:
        assert told(f"http://{peer.netloc}") == told(f"http://{peer.netloc}") == "Hello"
        assert peer.connections == 1


def test_a_compressed_error_is_read_and_tells_what_it_says() -> None:
    data = gzip.compress(b'{"error": {"message": "No such thing"}}')
    head = b"HTTP/1.1 400 No\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(data)
    with Peer(always(head, data)) as peer, pytest.raises(ChatError, match="^No such thing$"):
        told(f"http://{peer.netloc}")


@pytest.mark.parametrize("status", [200, 400])
def test_a_few_bytes_do_not_become_a_gigabyte(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flask_llmchat.protocols.sse.MAX_EVENT", 3 * 2**20)
    squeeze = zlib.compressobj(wbits=31)
    first, again = (squeeze.compress(bytes(2**20)) + squeeze.flush(zlib.Z_FULL_FLUSH) for _ in "ab")
    bomb = first + again * 1023  # without the sum at its end, to which nobody reads
    head = b"HTTP/1.1 %d X\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    sizes: list[int] = []
    decode = ResponseBody._decode

    def noting(self: ResponseBody, piece: bytes) -> bytes:
        sizes.append(len(decoded := decode(self, piece)))
        return decoded

    monkeypatch.setattr(ResponseBody, "_decode", noting)
    with Peer(always(head % (status, len(bomb)), bomb)) as peer, pytest.raises(ChatError):
        told(f"http://{peer.netloc}")
    assert max(sizes) <= 2**16 and sum(sizes) < 8 * 2**20


def test_a_body_that_is_not_compressed_as_it_says() -> None:
    head = OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    with Peer(always(head, chunk(TEXT))) as peer, pytest.raises(ChatError) as caught:
        told(f"http://{peer.netloc}")
    assert "cannot be read" in caught.value.message


def test_the_watch_knows_the_connection_only_while_it_is_used() -> None:
    watch = CancelToken(None, time.monotonic() + 30)
    with Peer(always(SHORT)) as peer, client() as made:
        token = current_options.set(TransportOptions(watch))
        try:
            with made.stream("POST", f"http://{peer.netloc}") as response:
                assert watch._upstream is not None
                response.read()
                assert watch._upstream is None
            watch.interrupt("cancelled")
        finally:
            current_options.reset(token)
        assert post(made, f"http://{peer.netloc}") == "ok"
        assert peer.connections == 1


def test_a_connection_that_is_shut_down_after_the_last_byte_is_not_kept() -> None:
    class InterruptedLate(CancelToken):
        def detach(self) -> None:
            self.interrupt("cancelled")
            super().detach()

    with Peer(always(SHORT)) as peer, client() as made:
        kept = made._transport._pool._idle  # type: ignore[attr-defined]
        assert post(made, f"http://{peer.netloc}") == "ok" and len(kept) == 1
        token = current_options.set(TransportOptions(InterruptedLate()))
        try:
            assert post(made, f"http://{peer.netloc}") == "ok" and not kept
        finally:
            current_options.reset(token)


@pytest.mark.slow
@pytest.mark.parametrize("failing", ["os.dup", "flask_llmchat.transport.watchdog._hung_up"])
def test_the_watch_fails_now_and_then_and_is_kept_all_the_same(
    failing: str, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else would end the wait."""
    works = os.dup if failing == "os.dup" else watch_module._hung_up
    fails = [OSError(24, "Too many open files")] * 3

    def sometimes(argument: Any) -> Any:
        if fails:
            raise fails.pop()
        return works(argument)

    upstream.add(Reply(body=[TEXT, HOLD]))
    with closing(stream_of(upstream.url, read_timeout=0.8)) as stream:
        assert stream.read()
        monkeypatch.setattr(failing, sometimes)
        with pytest.raises(ChatError) as caught:
            stream.read()
    assert caught.value.code == "timeout" and not fails


def test_a_watch_that_cannot_be_kept_is_let_go(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def fails(thread: threading.Thread) -> None:
        if "watchdog" in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fails)
        with pytest.raises(RuntimeError):
            stream_of(upstream.url)
    assert len(runtime.current_runtime().watchdog) == 0
    upstream.add(text_reply("Hi"))
    assert told(upstream.url) == "Hi"


# Waiting for events, with patience


def waits(stream: ResponseStream, patience: float) -> tuple[int, str]:
    """Read to the end; return how often patience ended, and the text."""
    ended = 0
    while (events := stream.read(patience)) != []:
        ended += events is None
    return ended, "".join(stream._parser.totals().text)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_patience_ends_and_nothing_is_lost(upstream: FakeUpstream) -> None:
    cut = len(TEXT) // 2
    upstream.add(Reply(body=[TEXT, 0.35, TEXT[:cut], 0.35, TEXT[cut:], 0.35, STOP, DONE]))
    with closing(stream_of(upstream.url)) as stream:
        ended, text = waits(stream, 0.1)
    assert text == "HelloHello"
    assert 6 <= ended <= 10
    upstream.add(text_reply("Hi"))
    assert told(upstream.url) == "Hi"
    assert upstream.connections == 1


def test_patience_costs_nothing_while_events_come(upstream: FakeUpstream) -> None:
    upstream.add(text_reply(*"abcdef", delay=0.05))
    with closing(stream_of(upstream.url)) as stream:
        assert waits(stream, 0.5) == (0, "abcdef")


def test_comments_are_no_events_to_the_patient(upstream: FakeUpstream) -> None:
    upstream.add(Reply(body=[TEXT, *[b": alive\n\n", 0.03] * 12, STOP, DONE]))
    with closing(stream_of(upstream.url)) as stream:
        assert stream.read(0.1)
        started = time.monotonic()
        assert stream.read(0.1) is None
        assert 0.09 < time.monotonic() - started < 0.2
        assert waits(stream, 5) == (0, "Hello")


@pytest.mark.slow
@pytest.mark.parametrize("steps", [[HOLD], [b": alive\n\n", 0.04] * 100])
def test_silence_is_a_timeout_however_often_patience_ends(
    upstream: FakeUpstream, steps: list[Any]
) -> None:
    upstream.add(Reply(body=[TEXT, *steps]))
    with closing(stream_of(upstream.url, read_timeout=0.6)) as stream:
        assert stream.read(0.1)
        started, ended = time.monotonic(), 0
        with pytest.raises(ChatError) as caught:
            while True:
                assert stream.read(0.1) is None
                ended += 1
        assert caught.value.code == "timeout"
        assert 0.5 < time.monotonic() - started < 1.3
        assert ended >= 4


@pytest.mark.slow
def test_what_is_done_between_two_reads_is_no_waiting(upstream: FakeUpstream) -> None:
    upstream.add(Reply(body=[TEXT, 1.2, STOP, DONE]))
    with closing(stream_of(upstream.url, read_timeout=0.7)) as stream:
        assert stream.read(0.1)
        assert stream.read(0.1) is None
        time.sleep(1)  # the client takes its heartbeat slowly
        assert waits(stream, 5) == (0, "Hello")


def test_the_deadline_holds_however_often_patience_ends(upstream: FakeUpstream) -> None:
    upstream.add(Reply(body=[TEXT, HOLD]))
    stream = stream_of(upstream.url, deadline=time.monotonic() + 0.5)
    with closing(stream), pytest.raises(ChatError) as caught:
        waits(stream, 0.1)
    assert caught.value.code == "deadline"


@pytest.mark.slow
def test_silence_after_the_finish_reason_is_an_end_however_often_patience_ends(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_llmchat.runs.response_stream._AFTER_FINISH", 0.5)
    upstream.add(Reply(body=[TEXT, STOP, HOLD]))
    with closing(stream_of(upstream.url)) as stream:
        ended, text = waits(stream, 0.1)
    assert text == "Hello" and 3 <= ended <= 9


GREENLETS = """
from gevent import monkey; monkey.patch_all()
import gevent, os, sys
sys.path[:0] = [{tests!r}]
from tests.transport.test_transport import *
from flask_llmchat.transport import runtime as process

def beats(url, patience):
    with closing(stream_of(url)) as stream:
        return waits(stream, patience)

with FakeUpstream() as upstream:
    upstream.add(*[text_reply("a", "b", delay=0.3)] * 20)
    hub = gevent.get_hub()
    greenlets = [gevent.spawn(beats, upstream.url, 0.1) for _ in range(20)]
    gevent.sleep(0.2)
    assert hub.threadpool.size == 0
    for greenlet in greenlets:
        ended, text = greenlet.get()
        assert text == "ab" and 3 <= ended <= 8, (ended, text)

def slowly(visit):
    visit.request()
    visit.say(CHUNKED, chunk(TEXT))
    time.sleep(0.35)
    visit.say(chunk(STOP + DONE), b"0\\r\\n\\r\\n")

with Peer(slowly, tls_context({server_file!r})) as peer:
    ended, text = beats("https://localhost:%d" % peer.port, 0.1)
    assert text == "Hello" and 2 <= ended <= 6, (ended, text)
with Peer(dripping) as peer, full() as port:
    for url in ("https://localhost:%d" % peer.port, "http://127.0.0.1:%d" % port):
        code, seconds = ended_after(url)
        assert code == "cancelled" and seconds < 1, (url, code, seconds)
for sdk in process.current_runtime().sdks.values():
    sdk.close()
print("as it should")
"""


@pytest.mark.slow
def test_patience_under_gevent(
    certificates: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ca_file, server_file = certificates
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    code = GREENLETS.format(tests=str(Path(__file__).parents[2]), server_file=str(server_file))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "as it should", run.stderr


FORKED = """
import os, sys
sys.path[:0] = [{tests!r}]
from tests.support.upstream_streams import told
from flask_llmchat.transport import runtime as process

told({url!r})
if child := os.fork():
    assert os.waitpid(child, 0)[1] == 0
told({url!r})
for sdk in process.current_runtime().sdks.values():
    sdk.close()
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_uses_no_connection_of_its_parent(upstream: FakeUpstream) -> None:
    code = FORKED.format(tests=str(Path(__file__).parents[2]), url=upstream.url)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    parent, child, parent_again = (request.connection for request in upstream.requests)
    assert parent == parent_again != child


HELD = """
import gc, os, sys, time
sys.path[:0] = [{tests!r}]
from tests.transport.test_transport import *

with Peer(always(WHOLE), tls_context({server_file!r})) as peer:
    url = "https://localhost:%d" % peer.port
    assert told(url) == "Hello"
    if not (child := os.fork()):
        gc.collect()
        time.sleep(10)
        os._exit(0)
    time.sleep(0.2)
    assert told(url) == "Hello" and peer.connections == 1, "nothing was sent to the other side"
    assert len(peer._open) == 1
    for sdk in runtime.current_runtime().sdks.values():
        sdk.close()
    until = time.monotonic() + 1
    while peer._open and time.monotonic() < until:
        time.sleep(0.01)
    assert not peer._open
    os.kill(child, 9)
    os.waitpid(child, 0)
print("as it should")
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_holds_no_idle_connection_of_its_parent_open(
    certificates: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ca_file, server_file = certificates
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    code = HELD.format(tests=str(Path(__file__).parents[2]), server_file=str(server_file))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "as it should", run.stderr
