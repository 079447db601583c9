"""The cost of a chat in this package, and in the same route written by hand.

    pip install flask-llmchat gunicorn gevent packaging fastapi uvicorn httpx
    python benchmarks/compare.py

CPU time of one server process, from ``/proc``: a request with a response of one token, and each
token of 50 responses at the speed of a model. Linux only; takes some minutes; on 127.0.0.1 alone.
Look at the ratios: they hold on another machine, the microseconds do not. ``--only NAME`` measures
those rows whose name has NAME in it, ``--only flask-llmchat,same`` the upstream protocols and a
tool: a chat that calls it makes two requests.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

from upstream import WORD, provide

HERE = Path(__file__).parent
GUNICORN = [sys.executable, "-m", "gunicorn", "-w", "1", "-k", "gevent"]
UVICORN = [sys.executable, "-m", "uvicorn", "--factory", "--log-level", "warning"]
SETTINGS = {"chatSettings": {"model": "m"}}

GATEWAYS = {
    "flask-llmchat, text": ("ours", "/api/chat/openai", SETTINGS),
    "the same by responses": ("ours", "/api/chat/xai", SETTINGS),
    "the same by messages": ("ours", "/api/chat/anthropic", SETTINGS),
    "the same, a tool offered": ("ours_with_a_tool", "/api/chat/openai", SETTINGS),
    "the same, a tool called": ("ours_with_a_tool", "/api/chat/openai", SETTINGS),
    "flask-llmchat, openai": (
        "ours",
        "/api/chat/openai/chat/completions",
        {"model": "m", "stream": True},
    ),
    "Flask and openai": ("flask_and_openai", "/chat", {}),
    "FastAPI and httpx": ("fastapi_and_httpx", "/chat", {}),
}


async def ask(port: int, path: str, body: bytes, words: int) -> None:
    """Be one client, and check that the response is complete."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Type: "
        f"application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    received = await reader.read(-1)
    writer.close()
    if received.count(WORD.encode()) != words or b" 200 " not in received[:20]:
        raise SystemExit(f"{path} returned {received[:300]!r}")


async def load(
    port: int,
    path: str,
    body: dict[str, object],
    plan: tuple[int, int, int, int],
    *,
    calls: bool = False,
) -> None:
    """Send ``requests`` chats, ``at_once`` at a time, for ``words`` words, ``pause`` ms apart.

    In those that have calls, the words come after the call of a tool, and in a second response.
    """
    requests, at_once, words, pause = plan
    said = f"words-{words}-every-{pause}{' calls-a-tool' if calls else ''}"
    content = json.dumps({**body, "messages": [{"role": "user", "content": said}]}).encode()
    turns = asyncio.Semaphore(at_once)

    async def one() -> None:
        async with turns:
            await ask(port, path, content, words)

    await asyncio.gather(*[one() for _ in range(requests)])


def cpu(pid: int) -> float:
    """Return the seconds of CPU that a process and its children have used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK") + sum(cpu(int(child)) for child in children)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise SystemExit("a server does not start") from None
            time.sleep(0.1)


def measure(name: str, upstream: int) -> tuple[float, float]:
    """Return the microseconds of CPU for a request, and for a word at a model's speed."""
    factory, path, body = GATEWAYS[name]
    port = free_port()
    command = [*GUNICORN, "-b", f"127.0.0.1:{port}", f"peers:{factory}()"]
    if factory.startswith("fastapi"):
        command = [*UVICORN, "--port", str(port), f"peers:{factory}"]
    environ = {**os.environ, "UPSTREAM": f"http://127.0.0.1:{upstream}/v1"}
    server = subprocess.Popen(command, cwd=HERE, env=environ, stderr=subprocess.DEVNULL)
    calls = name.endswith("called")
    try:
        wait_for(port)
        asyncio.run(load(port, path, body, (50, 8, 1, 0), calls=calls))  # warms it up
        spent = []
        for plan in ((1500, 16, 1, 0), (50, 50, 1, 0), (50, 50, 200, 25)):
            before = cpu(server.pid)
            asyncio.run(load(port, path, body, plan, calls=calls))
            spent.append(cpu(server.pid) - before)
        return spent[0] / 1500 * 1e6, (spent[2] - spent[1]) / (50 * 199) * 1e6
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="parts of names, with commas between")
    parser.add_argument("--provide", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.provide:
        asyncio.run(provide(given.provide))
        return
    upstream = free_port()
    provider = subprocess.Popen([sys.executable, __file__, "--provide", str(upstream)])
    needs = {"fastapi_and_httpx": ("fastapi", "uvicorn", "httpx")}
    there = []
    for name, (factory, _, _) in GATEWAYS.items():
        if not any(part in name for part in given.only.split(",")):
            continue
        missing = [m for m in needs.get(factory, ()) if importlib.util.find_spec(m) is None]
        print(f"{name} is left out: install {', '.join(missing)}\n" * bool(missing), end="")
        there += [] if missing else [name]
    try:
        wait_for(upstream)
        rounds = [{name: measure(name, upstream) for name in there} for _ in range(given.rounds)]
    finally:
        provider.terminate()
    ours = there[0]
    print(f"{'':24}{'a request':>12}{'':8}{'a word':>12}")
    cost = {n: [statistics.median(r[n][i] for r in rounds) for i in (0, 1)] for n in there}
    for name, (request, word) in cost.items():
        cost_of_request = f"{request:9.0f} us {request / cost[ours][0]:5.1f} x"
        print(f"{name:24}{cost_of_request}{word:12.1f} us {word / cost[ours][1]:5.1f} x")


if __name__ == "__main__":
    main()
