"""A provider, or a user's own endpoint, that wants to cost much: what one chat takes at most."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_server import Peer, Visit, chunk
from tests.support.upstream_streams import OK

MIB = 2**20
BOUND = 600  # MiB over what the process took before: docs/security.md says it

CHAT = """
import json, sys, time
sys.path[:0] = sys.argv[2:]
from contextlib import closing
from tests.support.upstream_streams import WatchedStream, call_of
from flask_llmchat.core.errors import ChatError
from flask_llmchat.protocols.chat_completions.parser import ChatCompletionParser as ChunkReader

def chat(url):
    reader = ChunkReader()
    try:
        with closing(WatchedStream(call_of(url, read_timeout=30.0), reader)) as stream:
            while stream.read():
                pass
        return "ok"
    except ChatError as error:
        return error.code
    finally:
        "".join(reader.totals().text)  # as it is told at the end

def peak():
    # Of this program alone: getrusage() counts what its parent had when it was forked.
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024

chat("http://127.0.0.1:1")
before, begun = peak(), time.process_time()
code = chat(sys.argv[1])
print(json.dumps([code, peak() - before, time.process_time() - begun]))
"""


def repeated(front: bytes, item: bytes, end: bytes, size: int = 31 * MIB) -> Iterator[bytes]:
    yield front
    many = item * (MIB // len(item))
    for _ in range(size // len(many)):
        yield many
    yield end


SSE = OK + b"Content-Type: text/event-stream\r\n"
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
NO = b"HTTP/1.1 400 No\r\nContent-Type: application/json\r\n"

WIDE = 'data: {"choices":[{"delta":{"content":"😀'.encode()  # four bytes a character in Python
WIDE_PIECE = WIDE + b"x" * 65_000 + b'"}}]}\n\n'

SHAPES: dict[str, tuple[bytes, Callable[[], Iterator[bytes]]]] = {
    "error-event": (SSE, lambda: repeated(b"event: error\ndata: [{}", b",{}", b"]\n\n")),
    "error-chunk": (SSE, lambda: repeated(b'data: {"error":"', b"word ", b'"}\n\n')),
    "choices": (SSE, lambda: repeated(b'data: {"choices":[{}', b",{}", b"]}\n\n")),
    "names": (SSE, lambda: repeated(b'data: {"a":1', b',"b":{"c":1}', b"}\n\n")),
    "data-lines": (SSE, lambda: repeated(b"data: a\n", b"data\n", b"\n")),
    "text": (SSE, lambda: repeated(b'data: {"choices":[{"delta":{"content":"', b"x", b'"}}]}\n\n')),
    "wide": (SSE, lambda: repeated(WIDE, b"x", b'"}}]}\n\n')),
    "wide-pieces": (
        SSE,
        lambda: repeated(b"", WIDE + b"x" * 65_000 + b'"}}]}\n\n', b"", 127 * MIB),
    ),
    "comments": (SSE, lambda: repeated(b"", b":\n\n", b"", 30 * MIB)),
    "whole": (JSON, lambda: repeated(b'{"choices":[{}', b",{}", b"]}")),
    "refusal": (NO, lambda: repeated(b'[{"code":1}', b',{"code":1}', b"]")),
}


pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="only Linux tells how much memory was taken"
)


def measured(head: bytes, pieces: Callable[[], Iterator[bytes]]) -> tuple[str, float, float]:
    """Return how a chat ended, the MiB it took, and the CPU seconds."""

    def talk(visit: Visit) -> None:
        visit.request()
        visit.say(head, b"Transfer-Encoding: chunked\r\n\r\n")
        for piece in pieces():
            if piece:
                visit.say(chunk(piece))
        visit.say(b"0\r\n\r\n")

    with Peer(talk) as peer:
        root = Path(__file__).parents[2]
        command = [sys.executable, "-c", CHAT, f"http://{peer.netloc}", str(root)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told: tuple[str, float, float] = tuple(json.loads(done.stdout))
    print(told)
    return told


@pytest.mark.parametrize("shape", SHAPES)
def test_what_one_chat_takes(shape: str) -> None:
    code, mebibytes, seconds = measured(*SHAPES[shape])
    assert mebibytes < BOUND
    assert seconds < 10  # 48, of the worst
    assert code in ("upstream_error", "truncated", "bad_request")


@pytest.mark.parametrize("shape", ["choices", "text"])
def test_what_a_few_compressed_bytes_take(shape: str) -> None:
    head, pieces = SHAPES[shape]
    squeezed: Any = gzip.compress(b"".join(pieces()))
    assert len(squeezed) < 100_000
    code, mebibytes, _ = measured(head + b"Content-Encoding: gzip\r\n", lambda: iter([squeezed]))
    assert code == "upstream_error"
    assert mebibytes < 32
