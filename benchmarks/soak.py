"""Thousands of chats with all outcomes mixed; afterwards they may leave nothing behind.

    python benchmarks/soak.py --server gevent --chats 5000
    python benchmarks/soak.py --server gthread --chats 5000

Needs Linux, and ``pip install flask-llmchat gunicorn gevent packaging``. Every chat has to end
exactly once, with the outcome that follows from what its provider and its client did. Everything is
on 127.0.0.1 and stops by itself. On a fault it prints the reason and exits with 1.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from flask_llmchat.testing import (
    CUT,
    HOLD,
    FakeUpstream,
    ReceivedRequest,
    Reply,
    Signal,
    error_reply,
    event,
    text_reply,
)

SERVERS = {
    "gevent": ["-k", "gevent", "--worker-connections", "1000"],
    "gthread": ["-k", "gthread", "--threads", "64"],
}
CLIENTS = 48  # at once
POOL = 100  # connections to the provider that may stay open

WORDS = [f"word{i} " for i in range(20)]
LONG = ["a slow client holds up no others " * 400] * 100  # more than the sockets' buffers hold


def unfinished(*then: Signal) -> Reply:
    return text_reply("be", finish_reason=None, usage=None, done=False, then=then)


def endless() -> Reply:
    piece = event({"choices": [{"index": 0, "delta": {"content": "on "}}]})
    return Reply(body=[x for _ in range(40) for x in (piece, 0.25)])


# kind: (weight, outcome, the provider's replies). The weight is its share of the chats.
PROVIDER: dict[str, tuple[int, str, Callable[[], Reply]]] = {
    "ok": (12, "ok", lambda: text_reply(*WORDS, delay=0.01)),
    "length": (2, "length", lambda: text_reply("cut short", finish_reason="length")),
    "cut": (3, "truncated", lambda: unfinished(CUT)),
    "unfinished": (2, "truncated", lambda: unfinished()),
    "error": (3, "upstream_error", lambda: error_reply(500, "no")),
    "busy": (2, "ok", lambda: text_reply(*WORDS)),  # after a retry
    "late error": (
        3,
        "upstream_error",
        lambda: Reply(body=[*text_reply("be").body[:2], event({"error": {"message": "no"}})]),
    ),
    "no bytes": (1, "timeout", lambda: Reply(body=[HOLD])),
    "silent": (1, "timeout", lambda: Reply(body=[*text_reply("be").body[:2], HOLD])),
    "endless": (1, "deadline", endless),
    "slow": (2, "ok", lambda: text_reply(*LONG)),
    "left": (3, "cancelled", lambda: Reply(body=[*text_reply("be").body[:2], HOLD])),
    "left early": (3, "cancelled", lambda: Reply(body=[HOLD])),
    "refused": (3, "refused", lambda: text_reply("never asked")),
}
DIALECTS = {
    "text": ("", {"chatSettings": {"model": "m"}}, "content"),
    "ui": ("", {"chatSettings": {"model": "m"}}, "parts"),
    "openai": ("/chat/completions", {"model": "m", "stream": True}, "content"),
}


# Requests to the provider, where that is not one. A client that leaves at once may send none.
ASKED = {"refused": (0,), "left early": (0, 1), "error": (2,), "busy": (2,)}


turned_away: set[str] = set()


def respond(request: ReceivedRequest) -> Reply:
    tag = request.json["messages"][-1]["content"]
    kind = tag.split(":")[1]
    if kind == "busy" and tag not in turned_away:
        turned_away.add(tag)
        return error_reply(503, "not now")
    return PROVIDER[kind][2]()


def post(port: int, tag: str, dialect: str) -> socket.socket:
    path, body, form = DIALECTS[dialect]
    said: Any = tag if form == "content" else [{"type": "text", "text": tag}]
    content = json.dumps({**body, "messages": [{"role": "user", form: said}]}).encode()
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    client.sendall(
        f"POST /api/chat/openai{path} HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n"
        f"Content-Length: {len(content)}\r\n\r\n".encode()
        + content
    )
    return client


def chat(port: int, tag: str, dialect: str) -> str:
    """Be one client: read the response, perhaps slowly, or leave. Return its faults."""
    kind = tag.split(":")[1]
    received = bytearray()
    with contextlib.suppress(ConnectionError), post(port, tag, dialect) as client:
        if kind == "left early":
            time.sleep(random.uniform(0.05, 0.4))
            return ""
        while piece := client.recv(4096 if kind == "slow" else 65536):
            received += piece
            if kind == "left":
                return ""
            if kind == "slow":
                time.sleep(0.004)
    return (
        f"{tag} over {dialect}: {fault}"
        if (fault := misread(bytes(received), kind, dialect))
        else ""
    )


def misread(received: bytes, kind: str, dialect: str) -> str:
    """Return whether the client could mistake the response for another outcome."""
    status = received[9:12]
    begun = status == b"200"
    whole = begun and received.endswith(b"0\r\n\r\n")
    if PROVIDER[kind][1] in ("ok", "length"):
        return "" if whole else f"no complete response: {received[:80]!r} … {received[-80:]!r}"
    if not begun:
        return "" if status in (b"429", b"500", b"502", b"504") else f"status {status!r}"
    if dialect == "text":
        return "a broken answer looks whole" if whole else ""
    return "" if whole and b'"error"' in received else f"the error is missing: {received[-80:]!r}"


def held(port: int) -> dict[str, int]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", "/held")
        answer: dict[str, int] = json.loads(connection.getresponse().read())
        return answer


def settled(port: int, upstream: FakeUpstream) -> dict[str, int]:
    """Wait until no chat is running; return the resources in use then."""
    until = time.monotonic() + 15
    while True:
        holding = held(port)
        if not (holding["watched"] or holding["places"] or upstream.streaming):
            time.sleep(2)  # the watchdog runs for another second
            return held(port)
        if time.monotonic() > until:
            raise SystemExit(f"chats do not end: {holding}, upstream {upstream.streaming}")
        time.sleep(0.1)


def complaints(
    tags: dict[str, str], results: Path, upstream: FakeUpstream, before: Any, after: Any
) -> list[str]:
    """Compare the outcomes with the expected ones."""
    lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    tag_of = {line["id"]: line["tag"] for line in lines if "tag" in line}
    ends: dict[str, list[str]] = {}
    for line in lines:
        if "outcome" in line:
            ends.setdefault(tag_of[line["id"]], []).append(line["outcome"])
    wrong = []
    for tag in tags:
        expected = PROVIDER[tag.split(":")[1]][1]
        if ends.get(tag) != [expected]:
            wrong.append(f"{tag} over {tags[tag]} ended {ends.get(tag)}, not once as {expected}")
    asked = Counter(r.json["messages"][-1]["content"] for r in upstream.requests)
    for tag in tags:
        if asked[tag] not in ASKED.get(tag.split(":")[1], (1,)):
            wrong.append(f"{tag} was asked {asked[tag]} times of the provider")
    if upstream.open_connections > POOL:
        wrong.append(f"{upstream.open_connections} connections to the provider are open")
    # gthread starts its threads as they are needed, and keeps them.
    spare = {"threads": 64, "greenlets": 2, "contexts": 1, "open files": POOL}
    for name, more in spare.items():
        if after[name] > before[name] + more:
            wrong.append(f"{name}: {before[name]} before, {after[name]} after")
    if after["blocks"] > before["blocks"] * 1.005:
        wrong.append(f"Python's memory: {before['blocks']} blocks before, {after['blocks']} after")
    # The memory that malloc keeps for each of many threads grows for a long time, then stops.
    if after["memory KiB"] > before["memory KiB"] * 1.08 + 2048:
        wrong.append(f"memory: {before['memory KiB']} KiB before, {after['memory KiB']} after")
    return wrong


def run(server: str, chats: int, dialects: list[str], rounds: int) -> list[str]:
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    results = folder / "results"
    results.touch()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with FakeUpstream(respond) as upstream:
        command = [sys.executable, "-m", "gunicorn", "-w", "1", *SERVERS[server]]
        command += ["-b", f"127.0.0.1:{port}", "soak_app:app"]
        environ = {**os.environ, "UPSTREAM": upstream.base_url, "RESULTS": str(results)}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=Path(__file__).parent, env=environ, stdout=log, stderr=log
            )
        try:
            started(port, process)
            chat(port, "warm:refused", "text")
            chat(port, "warm:ok", "text")
            tags: dict[str, str] = {}
            wrong: list[str] = []
            counted = []
            for _ in range(rounds):
                new = kinds(chats // rounds)
                batch = {
                    f"{len(tags) + i}:{kind}": random.choice(dialects) for i, kind in enumerate(new)
                }
                tags.update(batch)
                with ThreadPoolExecutor(CLIENTS) as pool:
                    faults = pool.map(lambda t, b=batch: chat(port, t, b[t]), batch)  # type: ignore[misc]
                    wrong += filter(None, faults)
                counted.append(settled(port, upstream))
                print(f"{server}: {len(tags)} chats, held: {counted[-1]}", flush=True)
            # The first half warms everything up: caches, pools, threads, the allocator.
            before, after = counted[rounds // 2 - 1], counted[-1]
            wrong += complaints(tags, results, upstream, before, after)
        finally:
            process.terminate()
            process.wait(30)
    if not wrong:
        print(
            f"{server}: all {len(tags)} chats ended once and as they should:",
            dict(Counter(PROVIDER[tag.split(":")[1]][1] for tag in tags)),
        )
    else:
        print(f"the server's log is {folder / 'log'}")
    return wrong


def kinds(count: int) -> list[str]:
    return random.choices(list(PROVIDER), [weight for weight, _, _ in PROVIDER.values()], k=count)


def started(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            held(port)
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit("the server does not start") from None
            time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--server", choices=SERVERS, default="gevent")
    parser.add_argument("--chats", type=int, default=5000)
    parser.add_argument("--dialects", nargs="+", choices=DIALECTS, default=list(DIALECTS))
    parser.add_argument("--rounds", type=int, default=6)
    given = parser.parse_args()
    if wrong := run(given.server, given.chats, given.dialects, given.rounds):
        print(*wrong[:20], sep="\n")
        raise SystemExit(1)


if __name__ == "__main__":
    main()
