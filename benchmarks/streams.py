"""What it costs to keep responses: processor time, memory in Redis, and many readers at once.

    pip install "flask-llmchat[redis]" gunicorn gevent packaging
    python benchmarks/streams.py cost
    python benchmarks/streams.py tails
    python benchmarks/streams.py memory

Linux only, with ``redis-server``; everything is on 127.0.0.1 and stops by itself.

``cost``: the processor time of one gevent worker for a word, as in ``compare.py``, with nothing
kept, with ``memory://`` and with Redis, and that of the Redis server. The servers run side by side
and are measured in turns. ``--before FOLDER`` measures another checkout as well, with nothing kept.

``tails``: one worker that reads streams of another one for many clients: its processor time for
each word that a client gets, its memory for a client, and its processor time while nothing comes.

``memory``: bytes that a response of 1000 words takes in Redis.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compare import GUNICORN, HERE, SETTINGS, cpu, free_port, load, wait_for
from upstream import WORD

DIALECTS: dict[str, tuple[str, dict[str, Any]]] = {
    "text": ("/api/chat/openai", SETTINGS),
    "openai": ("/api/chat/openai/chat/completions", {"model": "m", "stream": True}),
}
PLAN = (50, 50, 200, 25)
"""Chats, all at once, of so many words, each so many milliseconds after the one before."""


@dataclass
class Server:
    port: int
    pid: int

    def memory(self) -> int:
        """Return the bytes of memory of its worker."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        status = Path(f"/proc/{children[0]}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024


@contextmanager
def running(command: list[str], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    environ = {**os.environ, **environment}
    process = subprocess.Popen(
        command, cwd=HERE, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@contextmanager
def provider() -> Iterator[str]:
    port = free_port()
    with running([sys.executable, str(HERE / "compare.py"), "--provide", str(port)]):
        wait_for(port)
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def redis_server() -> Iterator[tuple[str, Server]]:
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with (
        tempfile.TemporaryDirectory() as folder,
        running(["redis-server", *options, "--dir", folder]) as process,
    ):
        wait_for(port)
        yield f"redis://127.0.0.1:{port}/0", Server(port, process.pid)


@contextmanager
def gateway(upstream: str, store: str = "", path: str = "") -> Iterator[Server]:
    """Start an app; with a store, it keeps its responses.

    :param path: a checkout of the package; "" for the installed one.
    """
    port = free_port()
    environment = {"UPSTREAM": upstream, **({"PYTHONPATH": path} if path else {})}
    app = f"peers:ours(store={store!r})"
    options = ["--worker-connections", "5000", "-b", f"127.0.0.1:{port}", app]
    with running([*GUNICORN, *options], **environment) as process:
        wait_for(port)
        yield Server(port, process.pid)


def cost(rounds: int, before: str) -> None:
    with ExitStack() as stack:
        upstream = stack.enter_context(provider())
        url, redis = stack.enter_context(redis_server())
        stores = {"nothing kept": "", "memory://": "memory://", "Redis": url}
        servers = {
            name: stack.enter_context(gateway(upstream, store)) for name, store in stores.items()
        }
        if before:
            servers["before"] = stack.enter_context(gateway(upstream, path=before))
        spent: dict[str, dict[str, list[float]]] = {}
        for number in range(rounds + 1):
            for dialect, (path, body) in DIALECTS.items():
                for name, server in servers.items():
                    found = word_cost(server, path, body, redis)
                    if number:  # the first round warms everything up
                        for row, seconds in zip(
                            (name, f"{name}: redis-server"), found, strict=True
                        ):
                            spent.setdefault(dialect, {}).setdefault(row, []).append(seconds)
    print(f"{'':10}{'':24}{'a word':>10}{'more':>10}   in each round")
    for dialect, rows in spent.items():
        base = rows["nothing kept"]
        for name, found in rows.items():
            if name.endswith("redis-server") and not name.startswith("Redis"):
                continue
            # Of what was measured one after the other, not of two medians.
            more = statistics.median(b - a for a, b in zip(base, found, strict=True))
            each = " ".join(f"{value:.1f}" for value in found)
            shown = f"{more:+7.1f} us" if name in servers else ""
            print(f"{dialect:10}{name:24}{statistics.median(found):7.1f} us{shown:>10}   {each}")


def word_cost(
    server: Server, path: str, body: dict[str, Any], redis: Server
) -> tuple[float, float]:
    """Return the microseconds for a word: of a server, and of Redis meanwhile."""
    requests, at_once, words, pause = PLAN
    spent = []
    for count in (1, words):
        before = cpu(server.pid), cpu(redis.pid)
        asyncio.run(load(server.port, path, body, (requests, at_once, count, pause)))
        spent.append((cpu(server.pid) - before[0], cpu(redis.pid) - before[1]))
    each = [
        (after - once) / (requests * (words - 1)) * 1e6 for once, after in zip(*spent, strict=True)
    ]
    return each[0], each[1]


async def open_stream(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> Any:
    """Send a request, and read the head of its response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    lines = [f"{method} {path} HTTP/1.1", "Host: bench", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "Connection: close", "\r\n"]).encode() + body)
    head = await reader.readuntil(b"\r\n\r\n")
    return head, reader, writer


async def post(port: int, words: int, pause: int, caller: str) -> tuple[str, Any, Any]:
    """Begin a chat; return the id of its stream."""
    path, body = DIALECTS["text"]
    said = {"role": "user", "content": f"words-{words}-every-{pause}"}
    content = json.dumps({**body, "messages": [said]}).encode()
    head, reader, writer = await open_stream(port, "POST", path, content, **{"X-User": caller})
    found = [line for line in head.decode().split("\r\n") if line.startswith("X-LLMChat-Stream")]
    return found[0].split()[1], reader, writer


def tails(clients: int, streams: int = 20, words: int = 40, pause: int = 500) -> None:
    with ExitStack() as stack:
        upstream = stack.enter_context(provider())
        url, redis = stack.enter_context(redis_server())
        writing, reading = (stack.enter_context(gateway(upstream, url)) for _ in range(2))
        asyncio.run(read_all(writing, reading, redis, clients, streams, words, pause))


async def read_all(
    writing: Server,
    reading: Server,
    redis: Server,
    clients: int,
    streams: int,
    words: int,
    pause: int,
) -> None:
    # The silent ones first: their words come later than they are read here.
    silent = [await post(writing.port, 2, 3_600_000, f"s{n}") for n in range(streams)]
    before = reading.memory()
    opened: list[Any] = []
    for n in range(clients):
        path = f"/api/chat/openai/{silent[n % streams][0]}/stream"
        opened.append(await open_stream(reading.port, "GET", path, **{"X-User": f"s{n % streams}"}))
    await asyncio.sleep(2)
    spent, redis_spent, started = cpu(reading.pid), cpu(redis.pid), time.monotonic()
    await asyncio.sleep(10)
    idle = (cpu(reading.pid) - spent) / (time.monotonic() - started)
    redis_idle = (cpu(redis.pid) - redis_spent) / (time.monotonic() - started)
    print(
        f"{clients} readers of {streams} streams, nothing comes: {idle:.3f} s of CPU in a second,"
        f" redis-server {redis_idle:.3f}; each takes"
        f" {(reading.memory() - before) / clients / 1024:.1f} KB"
    )
    for _, _, writer in [*opened, *silent]:
        writer.close()
    await asyncio.sleep(3)
    chats = [await post(writing.port, words, pause, f"w{n}") for n in range(streams)]
    spent, redis_spent, started = cpu(reading.pid), cpu(redis.pid), time.monotonic()

    async def one(n: int) -> int:
        stream = chats[n % streams][0]
        path = f"/api/chat/openai/{stream}/stream"
        head, reader, writer = await open_stream(
            reading.port, "GET", path, **{"X-User": f"w{n % streams}"}
        )
        got = await reader.read(-1)
        writer.close()
        return got.count(WORD.encode())

    found = await asyncio.gather(*[one(n) for n in range(clients)])
    took = time.monotonic() - started
    for _, reader, writer in chats:
        await reader.read(-1)
        writer.close()
    whole = sum(count == words for count in found)
    pieces = sum(found)
    print(
        f"{clients} readers of {streams} streams of {words} words, {pause} ms apart: {whole} got"
        f" all, in {took:.1f} s; {(cpu(reading.pid) - spent) / pieces * 1e6:.1f} us of CPU a word"
        f" and reader, redis-server {(cpu(redis.pid) - redis_spent) / pieces * 1e6:.2f} us"
    )


def memory(count: int = 20) -> None:
    from redis import Redis

    with ExitStack() as stack:
        upstream = stack.enter_context(provider())
        url, _ = stack.enter_context(redis_server())
        server = stack.enter_context(gateway(upstream, url))
        client = Redis.from_url(url, protocol=2)
        for dialect, (path, body) in DIALECTS.items():
            for pause in (0, 10, 50):
                client.flushall()
                asyncio.run(load(server.port, path, body, (1, 1, 1, 0)))
                before = client.info("memory")["used_memory"]
                asyncio.run(load(server.port, path, body, (count, count, 1000, pause)))
                each = (client.info("memory")["used_memory"] - before) / count
                logs = [key for key in client.keys("*:log")]
                size = statistics.median(client.xlen(key) for key in logs)
                print(
                    f"{dialect:8} 1000 words, {pause:2} ms apart: {each / 1024:6.1f} KB in Redis,"
                    f" {size:.0f} entries"
                )
        without = [key for key in client.keys("*") if client.ttl(key) == -1]
        print(f"keys without an expiry: {len(without)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("cost", "tails", "memory"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--before", default="", help="another checkout")
    given = parser.parse_args()
    if given.what == "cost":
        cost(given.rounds, given.before)
    elif given.what == "tails":
        tails(given.clients)
    else:
        memory()


if __name__ == "__main__":
    main()
