"""The server that the tests run apps in."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

from tests.support.servers import served


def test_an_answer_is_closed_when_its_client_resets_the_connection() -> None:
    reset, closed = threading.Event(), threading.Event()

    class Answer:
        def __iter__(self) -> Iterator[bytes]:
            yield b"all there is"
            assert reset.wait(5)

        def close(self) -> None:
            closed.set()

    def app(environ: dict[str, Any], start_response: Any) -> Answer:
        start_response("200 OK", [("Content-Length", "12")])
        return Answer()

    with served(app) as port:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with client.makefile("rb") as answer:
                while answer.readline().strip():
                    pass
                assert answer.read(12) == b"all there is"
            # With this, closing resets.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        reset.set()
        assert closed.wait(5)
