"""Who is refused costs little: a few kilobytes are read, nothing is parsed, no place is taken."""

from __future__ import annotations

import io
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, abort

from flask_llmchat.testing import HOLD, FakeUpstream, text_reply
from flask_llmchat.transport.runtime import Slot
from tests.support.apps import body, make_app
from tests.support.server_processes import Server, started
from tests.support.servers import served

URL = "/api/chat/openai"
FEW = 16 * 1024  # bytes

UI = b'{"chatSettings":{"model":"m"},"messages":[{"parts":[{"type":"text","text":"Hi"}]}],"a":['
TEXT = b'{"chatSettings":{"model":"m"},"messages":[{"role":"user","content":"Hi"}],"a":['


def dear(beginning: bytes, megabytes: int = 4) -> bytes:
    """Return a body of which a parser makes as many objects as can be."""
    return beginning + b"[]," * (megabytes * 2**20 // 3) + b"[]]}"


class Counted(io.RawIOBase):
    """A request's body that counts what is read of it."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._content.readinto(buffer)
        self.count += count
        return count


def refused_by(reason: str, upstream: FakeUpstream) -> tuple[Flask, str, dict[str, str], int]:
    """Return an app, a path, headers and the status with which it refuses."""

    def limited(view: Any) -> Any:
        return lambda **values: abort(429, "Slow down.")

    config = {"LLMCHAT_MAX_STREAMS": 1}
    if reason == "nobody":
        return make_app(upstream, profile=None, config=config), URL, {}, 401
    if reason == "rate limit":
        return make_app(upstream, decorators=[limited], config=config), URL, {}, 429
    app = make_app(upstream, config=config)
    if reason == "cross-site":
        return app, URL, {"Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"}, 403
    if reason == "form":  # as curl says of any body
        nobody = make_app(upstream, profile=None)
        return nobody, URL, {"Content-Type": "application/x-www-form-urlencoded"}, 401
    if reason == "compressed":
        return app, URL, {"Content-Encoding": "gzip"}, 415
    paths = {
        "full": (URL, 503),
        "no provider": ("/api/chat/nothing", 404),
        "slash": (f"{URL}/", 404),
        "elsewhere": (f"{URL}/v1/x", 404),
    }
    return app, paths[reason][0], {}, paths[reason][1]


REASONS = [
    "nobody",
    "rate limit",
    "cross-site",
    "form",
    "compressed",
    "full",
    "no provider",
    "slash",
    "elsewhere",
]


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("form", [TEXT, UI], ids=["text", "ui"])
def test_a_few_kilobytes_are_read_and_the_form_is_the_client_s(
    upstream: FakeUpstream, reason: str, form: bytes
) -> None:
    app, path, headers, status = refused_by(reason, upstream)
    content = dear(form)
    before = time.process_time()
    json.loads(content)
    parsing = time.process_time() - before
    stream = Counted(content)
    with ExitStack() as stack:
        if reason == "full":
            stack.callback(Slot(1).release)
        before = time.process_time()
        response = app.test_client().post(
            path,
            environ_overrides={
                "wsgi.input": io.BufferedReader(stream, 1024),
                "CONTENT_LENGTH": str(len(content)),
            },
            headers={"Content-Type": "application/json", **headers},
        )
        took = time.process_time() - before
    assert response.status_code == status
    assert stream.count <= FEW
    assert took < parsing / 4
    if reason == "elsewhere":
        assert response.json["error"]["message"]
    elif form is UI:
        assert response.content_type == "text/plain; charset=utf-8"
        assert response.headers["X-LLMChat-Error"]
    else:
        assert response.json["message"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert upstream.requests == []


@pytest.mark.parametrize("path", [URL, f"{URL}/chat/completions"])
@pytest.mark.parametrize("accept", ["", "text/event-stream", "text/plain"])
@pytest.mark.parametrize("posted", ["text", "ui", "junk"])
def test_a_refused_request_is_answered_as_one_that_was_read(
    upstream: FakeUpstream, path: str, accept: str, posted: str
) -> None:
    """The first bytes tell the same as the whole body does."""
    content = {"text": TEXT + b"1]}", "ui": UI + b"1]}", "junk": b"\xff"}[posted]
    headers = {"Accept": accept} if accept else {}
    told = [
        make_app(upstream, profile=profile).test_client().post(path, data=content, headers=headers)
        for profile in (None, {})
    ]
    assert told[0].status_code == 401 and told[1].status_code in (400, 422)
    assert told[0].content_type == told[1].content_type


def test_a_body_that_the_host_has_read_tells_its_dialect_too(upstream: FakeUpstream) -> None:
    app = make_app(upstream)

    @app.before_request
    def look() -> None:
        from flask import request

        request.get_data()
        abort(403)

    response = app.test_client().post(URL, data=UI + b"1]}")
    assert response.headers["X-LLMChat-Error"] == "no_permission"


def test_a_form_is_never_looked_for_in_a_body(upstream: FakeUpstream) -> None:
    """curl says of any body that it is one, and protections against forged requests look."""
    from flask import request

    app = make_app(upstream)
    found: list[Any] = []
    app.before_request(lambda: found.append((request.form, request.files, request.values)))

    @app.post("/own")
    def own() -> str:
        return request.form["a"]

    upstream.add(text_reply("Hi"))
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        with app.test_client().post(URL, data=json.dumps(body()), content_type=kind) as response:
            assert response.status_code == 200
    assert len(found) == 2 and not any(any(one) for one in found)
    assert app.test_client().post("/own", data={"a": "b"}).text == "b"


@contextmanager
def slow_uploads(port: int, count: int, head: bytes = b"") -> Iterator[list[socket.socket]]:
    """Begin to post, and send one byte of the body."""
    with ExitStack() as stack:
        clients = []
        for _ in range(count):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(
                b"POST /api/chat/openai HTTP/1.1\r\nHost: x\r\n%bContent-Length: 1000\r\n\r\n{"
                % head
            )
            clients.append(client)
        yield clients


def test_a_slow_upload_holds_no_place(upstream: FakeUpstream) -> None:
    """Neither of a user, nor of anybody else."""
    app = make_app(upstream, config={"LLMCHAT_MAX_STREAMS": 1})
    with served(app) as port, slow_uploads(port, 5):
        time.sleep(0.3)
        upstream.add(text_reply("Hi"))
        with app.test_client().post(URL, json=body()) as response:
            assert response.text == "Hi"


@pytest.mark.parametrize("name", ["gthread", "gevent"])
def test_slow_uploads_refuse_nobody_else(name: str, tmp_path: Path) -> None:
    with started(name, tmp_path, FLASK_LLMCHAT_MAX_STREAMS="2") as server, server.upstream:
        with slow_uploads(server.port, 8, b"X-Nobody: 1\r\n") as clients:
            for client in clients:  # they are refused, and wait for no more of their bodies
                client.settimeout(10)
                assert client.recv(12) == b"HTTP/1.1 401"
            with server.posted() as connection, connection.getresponse() as response:
                assert response.read() == b"Hello from the fake upstream."
        with (
            slow_uploads(server.port, 5),
            server.posted() as connection,
            connection.getresponse() as response,
        ):
            assert response.read() == b"Hello from the fake upstream."


def cpu(server: Server) -> float:
    """Return the seconds of CPU that a server and its workers have taken."""
    assert server.process is not None
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children")
    if not children.exists():
        pytest.skip("this system does not tell how much CPU a process has taken")
    ticks = 0
    for one in [str(pid), *children.read_text().split()]:
        told = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(told[11]) + int(told[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("name", ["gthread", "gevent"])
def test_a_client_that_sends_megabytes_sees_why_it_is_refused(name: str, tmp_path: Path) -> None:
    """And it takes a small part of what parsing them would."""
    content = dear(UI, 12)
    before = time.process_time()
    json.loads(content)
    parsing = time.process_time() - before
    with started(name, tmp_path) as server, server.upstream:
        nobody = {"X-Nobody": "1"}
        with server.posted(b"{}", **nobody) as first, first.getresponse() as response:
            assert response.status == 401
        before = cpu(server)
        for kind in ("close", "close", "keep-alive", "keep-alive"):
            nobody["Connection"] = kind
            with server.posted(content, **nobody) as posted, posted.getresponse() as response:
                assert response.status == 401
                assert response.read() == b"Profile not found"
        took = (cpu(server) - before) / 4
        with closing(server.connect()) as kept:  # and the connection can be used again
            for _ in range(2):
                kept.request("POST", URL, content, {"X-Nobody": "1"})
                with kept.getresponse() as response:
                    assert (response.status, response.read()) == (401, b"Profile not found")
    assert took < parsing / 5


def test_a_full_process_refuses_before_anything_else(upstream: FakeUpstream) -> None:
    app = make_app(upstream, config={"LLMCHAT_MAX_STREAMS": 1})
    upstream.add(text_reply("Hi", then=[HOLD]))
    with (
        served(app) as port,
        app.test_client().post(URL, json=body(), buffered=False) as first,
        slow_uploads(port, 1) as clients,
    ):
        assert first.status_code == 200
        clients[0].sendall(b" " * 999)
        assert clients[0].recv(12) == b"HTTP/1.1 503"
