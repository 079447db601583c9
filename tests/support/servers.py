"""A server for the apps of the tests, in threads of this process."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from openai import OpenAI
from werkzeug.serving import WSGIRequestHandler, make_server


class _Received(io.BufferedReader):
    """What a client sends: nothing more, where it has reset the connection."""

    def read(self, size: int | None = -1, /) -> bytes:
        with suppress(ConnectionResetError):
            return super().read(size)
        return b""


class _Handler(WSGIRequestHandler):
    """Closes every answer.

    Before it closes one, Werkzeug reads what its client has still sent; where that raises, as it
    does when a browser leaves a page whose scripts are on their way, it never closes it.
    """

    def setup(self) -> None:
        super().setup()
        self.rfile = _Received(self.rfile.detach())


@contextmanager
def served(app: Any) -> Iterator[int]:
    """Serve an app on a real port, in threads of this process."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def client_of(port: int, provider: str = "openai", **more: Any) -> OpenAI:
    base_url = f"http://127.0.0.1:{port}/api/chat/{provider}"
    return OpenAI(base_url=base_url, api_key="sk-of-the-client", max_retries=0, **more)
