"""``FakeUpstream``: the server of the fake provider, and the requests it has received."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from .chat_completions import ChatCompletions
from .messages import Messages
from .replies import Reply, error_reply, text_reply
from .responses import Responses
from .steps import CUT, HOLD, Signal, Writer

_WRITERS: dict[str, type[Writer]] = {
    "/chat/completions": ChatCompletions,
    "/responses": Responses,
    "/messages": Messages,
}


@dataclass(frozen=True, eq=False)
class ReceivedRequest:
    """One request as it was received; its repr leaves out whatever may hold a key."""

    method: str
    path: str  #: without the query
    query: dict[str, str] = field(repr=False)
    headers: Message = field(repr=False)  #: looked up in any case; a missing one is None
    body: bytes = field(repr=False)
    connection: int  #: the number of its TCP connection, counted from 1

    @property
    def json(self) -> Any:
        """The parsed body; ValueError when it is not JSON."""
        return json.loads(self.body)


class FakeUpstream:
    """A provider's server on a loopback port, with a daemon thread for each connection.

    A POST to a path that ends with one of ``paths`` gets what ``respond`` returns, or else the
    next reply of :meth:`add`, or else a greeting. Every other request gets 404.

    :param respond: called in the connection's thread. :meth:`stop` raises its exceptions again.
    :param port: 0 takes any free port, and keeps it when started again.
    :param paths: the paths of the upstream protocols to serve, by default those of all three.
        The replies are in the protocol of the path, or else are chat completions.
    """

    url: str  #: the URL without ``/v1``; set by :meth:`start`
    base_url: str  #: the ``base_url`` for an OpenAI client; set by :meth:`start`
    connections = 0  #: how many TCP connections it has accepted so far
    streaming = 0  #: how many responses are being sent, or held, now
    _running = False

    def __init__(
        self,
        respond: Callable[[ReceivedRequest], Reply] | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        paths: Sequence[str] = tuple(_WRITERS),
    ) -> None:
        """Store the settings; :meth:`start` opens the port."""
        self.requests: list[ReceivedRequest] = []  #: all requests, in order of arrival
        self.gone: list[float] = []  #: time.monotonic() of each disconnect during a response
        self._respond, self._address = respond, (host, port)
        self._paths = tuple(paths)
        self._queue: list[Reply] = []
        self._failures: list[BaseException] = []
        self._clients: dict[int, socket.socket] = {}
        self._lock = threading.Lock()

    @property
    def open_connections(self) -> int:
        """How many TCP connections are open now."""
        return len(self._clients)

    def add(self, *replies: Reply) -> None:
        """Queue replies, one for each request."""
        self._queue.extend(replies)

    def start(self) -> Self:
        """Serve in the background; OSError when the port is taken."""
        if not self._running:
            self._listener = socket.create_server(self._address, backlog=1024)  # for bursts
            self._listener.settimeout(0.05)
            self._address = self._listener.getsockname()
            self.url = "http://{}:{}".format(*self._address)
            self.base_url = self.url + "/v1"
            self._running = True
            self._acceptor = threading.Thread(target=self._accept, daemon=True)
            self._acceptor.start()
        return self

    def stop(self, *_: object) -> None:
        """Close everything, responses included; raise the first exception of ``respond``."""
        if self._running:
            self._running = False
            for sock in [self._listener, *self._clients.values()]:
                with suppress(OSError):  # some systems reject it for the listener, which times out
                    sock.shutdown(socket.SHUT_RDWR)
            self._acceptor.join()
            self._listener.close()
            with suppress(AssertionError):  # a sleeping respond() must not delay its test
                self.wait_for(lambda upstream: not upstream._clients, timeout=1.0)
        if self._failures:
            raise self._failures.pop(0)

    __enter__, __exit__ = start, stop

    def wait_for(self, predicate: Callable[[FakeUpstream], bool], timeout: float = 5.0) -> bool:
        """Wait until ``predicate(upstream)`` is true; AssertionError after ``timeout`` seconds."""
        end = time.monotonic() + timeout
        while not predicate(self):
            if time.monotonic() > end:
                raise AssertionError(f"still false after {timeout} s: {vars(self)}")
            time.sleep(0.005)
        return True

    def _accept(self) -> None:
        while self._running:
            with suppress(OSError):  # a time-out, or stop()
                client, _ = self._listener.accept()
                number = self.connections = self.connections + 1
                self._clients[number] = client
                threading.Thread(target=self._serve, args=(client, number), daemon=True).start()

    def _serve(self, client: socket.socket, number: int) -> None:
        with client, suppress(OSError, ValueError):  # the client disconnected, or sent invalid HTTP
            if self._running:
                _Handler(client, number, self)  # type: ignore[arg-type]
        del self._clients[number]

    def _reply_to(self, request: ReceivedRequest) -> Reply:
        writers = (writer for path, writer in _WRITERS.items() if request.path.endswith(path))
        writer = next(writers, ChatCompletions)
        try:
            return self._next_reply(request)._written(writer(request.body))
        except BaseException as error:  # pytest.fail() raises one that is not an Exception
            self._failures.append(error)
            failure = error_reply(500, f"respond raised {type(error).__name__}")
            return failure._written(writer(request.body))

    def _next_reply(self, request: ReceivedRequest) -> Reply:
        if request.method != "POST" or not request.path.endswith(self._paths):
            return error_reply(404, f"Unknown URL ({request.method} {request.path})")
        if self._respond is not None:
            return self._respond(request)
        with suppress(IndexError):
            return self._queue.pop(0)
        return text_reply("Hello", " from", " the fake upstream.")


class _Handler(BaseHTTPRequestHandler):
    server: Any  # the FakeUpstream
    client_address: Any  # the number of the connection
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        pass

    def handle_request(self) -> None:
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "")
        length = 0 if chunked else int(self.headers.get("Content-Length", 0))
        if len(body := self.rfile.read(length)) < length:  # the client disconnected
            self.close_connection = True
            return
        while chunked:
            size = int(self.rfile.readline().partition(b";")[0], 16)
            body += self.rfile.read(size + 2)[:size]
            chunked = size > 0
        url, number = urlsplit(self.path), self.client_address
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        request = ReceivedRequest(self.command, url.path, query, self.headers, body, number)
        self.server.requests.append(request)
        reply = self.server._reply_to(request)
        with self.server._lock:
            self.server.streaming += 1
        try:
            self.send(reply)
        except OSError:
            self.close_connection = True
            if self.server._running:
                self.server.gone.append(time.monotonic())
        finally:
            with self.server._lock:
                self.server.streaming -= 1

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = handle_request

    def send(self, reply: Reply) -> None:
        head = {"Content-Type": "text/event-stream; charset=utf-8", "Transfer-Encoding": "chunked"}
        if not (chunked := reply.status == 200):
            # With CUT or HOLD one byte more than is sent: the body must not look complete.
            sizes = [len(s) if isinstance(s, bytes) else isinstance(s, Signal) for s in reply.body]
            head = {"Content-Type": "application/json", "Content-Length": str(sum(sizes))}
        self.send_response(reply.status)
        for name, value in (head | {k.title(): v for k, v in reply.headers.items()}).items():
            self.send_header(name, value)
        self.end_headers()
        for step in filter(None, reply.body):  # an empty chunk would end the body
            if step is CUT:
                self.close_connection = True
                return
            if isinstance(step, bytes):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(step), step) if chunked else step)
            else:
                self.wait(float("inf") if step is HOLD else step)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def wait(self, seconds: Any) -> None:
        end = time.monotonic() + seconds
        while (left := min(end - time.monotonic(), 0.05)) > 0:
            # Peeks with a time-out, since select() fails beyond 1,024 open files.
            self.connection.settimeout(left)
            with suppress(TimeoutError):
                if not self.connection.recv(1, socket.MSG_PEEK):
                    raise ConnectionError("the client or the server closed")
                time.sleep(left)  # a pipelined request is there: the next peek would not wait
        self.connection.settimeout(None)
