"""What is shown to nobody: keys in no log of any library's, and nothing kept of what came."""

from __future__ import annotations

import encodings
import gzip
import json
import logging
import socket
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import closing

import pytest

from flask_llmchat.core.errors import ChatError
from flask_llmchat.protocols.chat_completions.parser import ChatCompletionParser
from flask_llmchat.runs.upstream_request import UpstreamRequest
from flask_llmchat.transport.watchdog import CancelToken, Watchdog
from tests.support.scripted_server import Peer, chunk
from tests.support.upstream_streams import OK, WatchedStream, always, call_of

SECRET = "planted-query-0123456789"
OTHERS = ("planted-header-0123456789", "planted-cookie-0123456789", SECRET)


def secret_call(url: str) -> UpstreamRequest:
    call = call_of(url)
    fields = {"X-Acme-Key": OTHERS[0], "Cookie": f"session={OTHERS[1]}", "Accept": "x/y"}
    fields |= {"X-Goog-Api-Key": OTHERS[0], "Authorization": f"Bearer {OTHERS[0]}"}
    details = {name: getattr(call, name) for name in UpstreamRequest.__slots__}
    return UpstreamRequest(
        **{**details, "headers": fields, "query": {"key": SECRET}, "secrets": OTHERS}
    )


@pytest.mark.parametrize("path", ["", "?api-version=1"])
def test_nothing_with_a_key_is_logged_at_any_level(
    path: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    refusal = b'{"error": {"message": "No"}}'
    head = b"HTTP/1.1 400 No\r\nX-Request-ID: %b\r\nX-Echo: a %b b\r\nContent-Length: %d\r\n\r\n"
    answer = head % (*(key.encode() for key in OTHERS[:2]), len(refusal))
    with Peer(always(answer, refusal)) as peer:
        call = secret_call(f"http://{peer.netloc}")
        details = {name: getattr(call, name) for name in UpstreamRequest.__slots__}
        with pytest.raises(ChatError) as caught:
            WatchedStream(
                UpstreamRequest(**{**details, "url": call.url + path}), ChatCompletionParser()
            )
    ((_, asked, _),) = peer.requests
    first, *fields = asked.decode().split("\r\n")
    expected = "?api-version=1&key=" if path else "?key="
    assert first == f"POST /v1/chat/completions{expected}{SECRET} HTTP/1.1"
    assert f"X-Acme-Key: {OTHERS[0]}" in fields and f"Cookie: session={OTHERS[1]}" in fields
    names = [field.partition(":")[0].lower() for field in fields]
    assert sorted(set(names)) == sorted(names)
    assert "Accept: x/y" in fields
    assert "HTTP Request: POST" in caplog.text
    told = caplog.text + repr([record.__dict__ for record in caplog.records])
    told += f"{caught.value!r} {vars(caught.value)}"
    assert "planted" not in told


def test_a_charset_that_an_answer_names_is_not_kept() -> None:
    names = [f"x-unheard-of-{n}" for n in range(5)]
    before = len(encodings._cache)  # type: ignore[attr-defined]
    for name in names:
        refusal = b'{"error": {"message": "N\xc3\xb6"}}'
        head = f"HTTP/1.1 400 No\r\nContent-Type: application/json; charset={name}\r\n"
        length = f"Content-Length: {len(refusal)}\r\n\r\n"
        with (
            Peer(always((head + length).encode(), refusal)) as peer,
            pytest.raises(ChatError, match="^Nö$"),
        ):
            WatchedStream(call_of(f"http://{peer.netloc}"), ChatCompletionParser())
    assert len(encodings._cache) == before  # type: ignore[attr-defined]


def test_a_reader_who_closes_his_half_and_reads_nothing_holds_no_place() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    watch = CancelToken(ours, time.monotonic() + 60)
    watchdog = Watchdog()
    watchdog.add(watch)
    failed: list[OSError] = []

    def write() -> None:
        try:
            while True:
                ours.sendall(b"x" * 2**20)
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=write, daemon=True)
    with theirs, ours:
        thread.start()
        time.sleep(0.3)
        assert thread.is_alive()
        theirs.shutdown(socket.SHUT_WR)
        thread.join(5)
        assert failed and watch.reason == "cancelled"
        watchdog.remove(watch)


TURNS = """
    import sys
    from gevent import monkey; monkey.patch_all()
    import gevent, json, socket, time
    from flask_llmchat.transport.gevent_wait import yield_now

    def echoes(let_on):
        ours, theirs = socket.socketpair()
        count = 0

        def echo():
            while data := theirs.recv(1):
                theirs.sendall(data)

        def ask():
            nonlocal count
            while True:
                ours.sendall(b"x")
                ours.recv(1)
                count += 1

        both = [gevent.spawn(echo), gevent.spawn(ask)]
        gevent.sleep(0.01)
        count = 0
        for _ in range(100):
            let_on()
        gevent.killall(both)
        return count

    print(json.dumps([echoes(yield_now), echoes(lambda: time.sleep(0))]))
"""


@pytest.mark.slow
def test_a_turn_under_gevent_lets_others_read_from_their_sockets() -> None:
    pytest.importorskip("gevent")
    command = [sys.executable, "-c", textwrap.dedent(TURNS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    with_yield, with_sleep_0 = json.loads(done.stdout)
    print(with_yield, with_sleep_0)
    assert with_yield >= 50  # each echo takes two looks at the sockets
    assert with_sleep_0 < with_yield / 2, "then sleep(0) would do"


def test_a_long_answer_that_was_compressed_is_read() -> None:
    """It grows to its 150-fold, but a mebibyte is free."""
    raw = b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n' * 5_000 + b"data: [DONE]\n\n"
    head = OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    reader = ChatCompletionParser()
    with (
        Peer(always(head, chunk(gzip.compress(raw)), b"0\r\n\r\n")) as peer,
        closing(WatchedStream(call_of(f"http://{peer.netloc}"), reader)) as stream,
    ):
        while stream.read():
            pass
    assert "".join(reader.totals().text) == "x" * 5_000
