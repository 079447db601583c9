"""Servers that do as they are told, byte for byte, and what they need to speak TLS."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Talk = Callable[["Visit"], None]


class Visit:
    """One connection to a :class:`Peer`, as its script sees it."""

    def __init__(self, peer: Peer, sock: Any, number: int) -> None:
        self.peer, self.sock, self.number = peer, sock, number
        self._buffer = b""

    def head(self) -> bytes:
        """Read up to the end of a head; EOFError when there is none."""
        while b"\r\n\r\n" not in self._buffer:
            self._more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head

    def request(self) -> tuple[bytes, bytes]:
        """Read a request, and write it down; return its head and its body."""
        head = self.head()
        fields = [line.partition(b":") for line in head.lower().split(b"\r\n")[1:]]
        length = sum(int(value) for name, _, value in fields if name == b"content-length")
        while len(self._buffer) < length:
            self._more()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        self.peer.requests.append((self.number, head, body))
        return head, body

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        self._buffer += data

    def say(self, *pieces: bytes) -> None:
        self.sock.sendall(b"".join(pieces))


class Peer:
    """A server on 127.0.0.1 that runs a script for each connection, in a thread of its own.

    :ivar requests: number of the connection, head and body of each.
    """

    def __init__(self, talk: Talk, tls: ssl.SSLContext | None = None) -> None:
        self._talk, self._tls = talk, tls
        self.requests: list[tuple[int, bytes, bytes]] = []
        self.connections = 0
        self._threads: list[threading.Thread] = []
        self._open: set[Any] = set()

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.netloc = f"127.0.0.1:{self.port}"
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in list(self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _run(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
                self._run(self._serve, sock, self.connections)

    def _serve(self, sock: Any, number: int) -> None:
        try:
            with suppress(OSError, EOFError):
                if self._tls:
                    sock = self._tls.wrap_socket(sock, server_side=True)
                self._open.add(sock)
                self._talk(Visit(self, sock, number))
        finally:
            self._open.discard(sock)
            sock.close()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def pump(source: Any, drain: Any) -> None:
    """Pass on whatever comes, until it ends."""
    with suppress(OSError):
        while data := source.recv(65536):
            drain.sendall(data)
    with suppress(OSError):
        drain.shutdown(socket.SHUT_RDWR)


def tls_context(server_file: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_file)
    return context


def write_certificates(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a CA and a certificate for one name; return the CA's file and the server's."""
    now = datetime.datetime.now(datetime.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    ca_key, key = keys
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "throw-away CA")])
    ca_id = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())

    def sign(
        subject: x509.Name, public_key: ec.EllipticCurvePublicKey, *more: tuple[Any, bool]
    ) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )
        for extension, critical in more:
            builder = builder.add_extension(extension, critical)
        signed = builder.sign(ca_key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)

    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    ca_file, server_file = folder / "ca.pem", folder / "server.pem"
    ca_file.write_bytes(
        sign(
            ca_name,
            ca_key.public_key(),
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (usage, True),
            (ca_id, False),
        )
    )
    certificate = sign(
        x509.Name([]),
        key.public_key(),
        (x509.SubjectAlternativeName([x509.DNSName(name)]), True),
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_id), False),
    )
    private_key = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    server_file.write_bytes(private_key + certificate)
    return ca_file, server_file
