"""A fake provider for tests and offline demos: a real HTTP server that speaks OpenAI's protocol.

A host's own test. The app is made after the server: the extension reads its settings just once::

    def test_chat():
        with FakeUpstream() as upstream:
            upstream.add(text_reply("Good", " morning"))
            app = create_app({"LLMCHAT_BASE_URLS": {"openai": upstream.base_url}})
            body = {"chatSettings": {"model": "o3"}, "messages": [{"role": "user", "content": "?"}]}
            answer = app.test_client().post("/api/chat/openai", json=body)
            assert answer.text == "Good morning"
            assert upstream.requests[0].json["model"] == "o3"
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from enum import Enum
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit

Signal = Enum("Signal", ["CUT", "HOLD"])


CUT, HOLD = Signal.CUT, Signal.HOLD


@dataclass(frozen=True)
class Reply:
    """One answer. Status 200 is sent chunked, any other with ``Content-Length``.

    :param headers: ``Content-Type`` is by default JSON, or with status 200 an event stream.
    :param body: the steps: bytes are one HTTP chunk, sent at once; a number sleeps that many
        seconds; ``CUT`` closes the connection with the body incomplete; ``HOLD`` sends nothing
        until the client closes its side or the server stops.
    :raises TypeError: when a step is anything else.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Sequence[bytes | float | Signal] = ()

    def __post_init__(self) -> None:
        """Refuse a bad body: b"abc" alone is also the numbers 97, 98, 99, and would sleep."""
        kinds = () if isinstance(self.body, bytes) else (bytes, int, float, Signal)
        if not all(isinstance(step, kinds) for step in self.body):
            raise TypeError(f"body is a list of bytes, seconds, CUT or HOLD, not {self.body!r}")


@dataclass(frozen=True, eq=False)
class ReceivedRequest:
    """One request as it came; its repr leaves out whatever may hold a key."""

    method: str
    path: str  #: without the query
    query: dict[str, str] = field(repr=False)
    headers: Message = field(repr=False)  #: found whatever their case; a missing one is None
    body: bytes = field(repr=False)
    connection: int  #: the running number, from 1, of the TCP connection it came on

    @property
    def json(self) -> Any:
        """The body as JSON; ValueError when it is not."""
        return json.loads(self.body)


def event(data: object) -> bytes:
    """Encode one server-sent event: ``data:``, compact JSON, an empty line."""
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def text_reply(
    *pieces: str,
    delay: float = 0.0,
    finish_reason: str | None = "stop",
    usage: Mapping[str, int] | Literal[True] | None = True,
    done: bool = True,
    model: str = "fake",
    then: Sequence[bytes | float | Signal] = (),
) -> Reply:
    """Stream a text: a role chunk, one chunk a piece, and an ending.

    :param delay: seconds before each piece.
    :param finish_reason: None sends no finish chunk.
    :param usage: None sends no usage chunk, True counts one token a piece and one for the prompt.
    :param done: whether ``data: [DONE]`` is sent.
    :param then: more steps for the :class:`Reply`, like ``[CUT]``.
    """
    deltas = [{"content": piece} for piece in pieces]
    return _stream(deltas, delay, finish_reason, usage, done, model, then)


def tool_reply(
    name: str,
    arguments: Mapping[str, Any] | str | None = None,
    *more: tuple[str, Mapping[str, Any] | str],
    text: str = "",
    ids: Sequence[str] = (),
    delay: float = 0.0,
    finish_reason: str | None = "tool_calls",
    usage: Mapping[str, int] | Literal[True] | None = True,
    done: bool = True,
    model: str = "fake",
    then: Sequence[bytes | float | Signal] = (),
) -> Reply:
    """Stream tool calls as OpenAI does: id and name, then the arguments in two pieces.

    :param arguments: of the call; a string is sent as it is, also where it is no JSON.
    :param more: further calls, each a name and its arguments.
    :param text: what the model says before it calls.
    :param ids: of the calls, in their order; without one it is ``call_1``, ``call_2``, …
    """
    deltas: list[dict[str, Any]] = [{"content": text}] if text else []
    for index, (called, given) in enumerate([(name, arguments or {}), *more]):
        call_id = ids[index] if index < len(ids) else f"call_{index + 1}"
        told = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        half = len(told) // 2
        opened = {"id": call_id, "type": "function", "function": {"name": called, "arguments": ""}}
        deltas.append({"tool_calls": [{"index": index, **opened}]})
        for piece in filter(None, (told[:half], told[half:])):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    return _stream(deltas, delay, finish_reason, usage, done, model, then)


def _stream(
    deltas: Sequence[Mapping[str, Any]],
    delay: float,
    finish_reason: str | None,
    usage: Mapping[str, int] | Literal[True] | None,
    done: bool,
    model: str,
    then: Sequence[bytes | float | Signal],
) -> Reply:
    head = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1, "model": model}

    def chunk(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        return event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    body: list[bytes | float | Signal] = [chunk({"role": "assistant", "content": ""})]
    for delta in deltas:
        body += filter(None, [delay, chunk(delta)])
    if finish_reason is not None:
        body.append(chunk({}, finish_reason))
    if usage is True:
        usage = {"prompt_tokens": 1, "completion_tokens": (n := len(deltas)), "total_tokens": n + 1}
    if usage is not None:
        body.append(event({**head, "choices": [], "usage": dict(usage)}))
    ending = [b"data: [DONE]\n\n"] if done else []
    return Reply(body=[*body, *ending, *then])


def error_reply(
    status: int,
    message: str,
    *,
    code: str | int | None = None,
    type: str | None = None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Refuse, with a JSON body in the shape of OpenAI's errors."""
    body = json.dumps({"error": {"message": message, "type": type, "param": param, "code": code}})
    return Reply(status, {"Content-Type": "application/json", **(headers or {})}, [body.encode()])


def sse_reply(
    data: bytes,
    *,
    split: int | Sequence[int] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Play a recorded body back byte for byte, cut every ``split`` bytes or at those offsets."""
    cuts = range(split, len(data), split) if isinstance(split, int) else split or ()
    ends = sorted({0, *cuts, len(data)})
    return Reply(headers=headers or {}, body=[data[a:b] for a, b in pairwise(ends)])


class FakeUpstream:
    """An OpenAI-compatible server on a loopback port, with a daemon thread for each connection.

    A POST to any path that ends with one of ``paths`` gets what ``respond`` returns, or else the next reply
    of :meth:`add`, or else a greeting. Everything else is 404.

    :param respond: runs in the connection's thread. What it raises, :meth:`stop` raises again.
    :param port: 0 takes any free one, and keeps it when started again.
    :param paths: those of the upstream protocols it answers.
    """

    url: str  #: the address without ``/v1``; set by :meth:`start`
    base_url: str  #: what an OpenAI client calls ``base_url``; set by :meth:`start`
    connections = 0  #: how many TCP connections it ever accepted
    streaming = 0  #: how many answers are being sent, or held, now
    _running = False

    def __init__(
        self,
        respond: Callable[[ReceivedRequest], Reply] | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        paths: Sequence[str] = ("/chat/completions",),
    ) -> None:
        """Open nothing yet: :meth:`start` does."""
        self.requests: list[ReceivedRequest] = []  #: all of them, in order of arrival
        self.gone: list[float] = []  #: time.monotonic() whenever a client left amid its answer
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
        """Queue replies, one a request."""
        self._queue.extend(replies)

    def start(self) -> Self:
        """Listen and answer in the background; OSError when the port is taken."""
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
        """Close everything, cutting what is being sent; raise what ``respond`` raised first."""
        if self._running:
            self._running = False
            for waiting in [self._listener, *self._clients.values()]:
                with suppress(OSError):  # some systems refuse the listener's: its time-out helps
                    waiting.shutdown(socket.SHUT_RDWR)
            self._acceptor.join()
            self._listener.close()
            with suppress(AssertionError):  # a respond that sleeps must not hold its test up
                self.wait_for(lambda upstream: not upstream._clients, timeout=1.0)
        if self._failures:
            raise self._failures.pop(0)

    __enter__, __exit__ = start, stop

    def wait_for(self, predicate: Callable[[FakeUpstream], bool], timeout: float = 5.0) -> bool:
        """Wait until ``predicate(upstream)`` is true; AssertionError after ``timeout`` seconds."""
        end = time.monotonic() + timeout
        while not predicate(self):
            if time.monotonic() > end:
                raise AssertionError(f"not so after {timeout} s: {vars(self)}")
            time.sleep(0.005)
        return True

    def _accept(self) -> None:
        while self._running:
            with suppress(OSError):  # its time-out, or stop()
                client, _ = self._listener.accept()
                number = self.connections = self.connections + 1
                self._clients[number] = client
                threading.Thread(target=self._serve, args=(client, number), daemon=True).start()

    def _serve(self, client: socket.socket, number: int) -> None:
        with client, suppress(OSError, ValueError):  # the client vanished, or spoke no HTTP
            if self._running:
                _Conversation(client, number, self)  # type: ignore[arg-type]
        del self._clients[number]

    def _reply_to(self, request: ReceivedRequest) -> Reply:
        if request.method != "POST" or not request.path.endswith(self._paths):
            return error_reply(404, f"Unknown URL ({request.method} {request.path})")
        if self._respond is None:
            with suppress(IndexError):
                return self._queue.pop(0)
            return text_reply("Hello", " from", " the fake upstream.")
        try:
            return self._respond(request)
        except BaseException as error:  # what pytest.fail() raises is no Exception
            self._failures.append(error)
            return error_reply(500, f"respond raised {type(error).__name__}")


class _Conversation(BaseHTTPRequestHandler):
    server: Any  # the FakeUpstream
    client_address: Any  # the running number of the connection
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        pass

    def answer(self) -> None:
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "")
        length = 0 if chunked else int(self.headers.get("Content-Length", 0))
        if len(body := self.rfile.read(length)) < length:  # it left before it had asked
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

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def send(self, reply: Reply) -> None:
        head = {"Content-Type": "text/event-stream; charset=utf-8", "Transfer-Encoding": "chunked"}
        if not (chunked := reply.status == 200):
            # One byte more than there is with CUT or HOLD: the body must not look complete.
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
            # A peek with a time-out, not select(): that fails beyond 1,024 open files.
            self.connection.settimeout(left)
            with suppress(TimeoutError):
                if not self.connection.recv(1, socket.MSG_PEEK):
                    raise ConnectionError("the client or the server closed")
                time.sleep(left)  # an early next request: the next peek would not wait
        self.connection.settimeout(None)
