"""Thousands of chats with all outcomes mixed; afterwards they may leave nothing behind.

    python benchmarks/soak.py --server gevent --chats 5000
    python benchmarks/soak.py --server gthread --chats 5000

Needs Linux, and ``pip install flask-llmchat gunicorn gevent packaging``. Every chat has to end
exactly once, with the outcome that follows from what its provider and its client did, and every
call of a tool has to be recorded once, whatever ended its chat. Everything is on 127.0.0.1 and
stops by itself. On a fault it prints the reason and exits with 1.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from soak_chats import (
    ASKED,
    CALLS,
    DIALECTS,
    STOPPED,
    Provider,
    chat,
    kind_of,
    kinds,
    may_run_none,
    outcome_of,
)

from flask_llmchat.testing import FakeUpstream

GUNICORN = [sys.executable, "-m", "gunicorn", "-w", "1", "-b", "127.0.0.1:{port}"]
GUNICORN += ["--graceful-timeout", "4", "soak_app:app"]
SERVERS = {
    "gevent": [*GUNICORN, "-k", "gevent", "--worker-connections", "1000"],
    "gthread": [*GUNICORN, "-k", "gthread", "--threads", "64"],
    "threads": [sys.executable, "-m", "flask", "--app", "soak_app", "run", "--port", "{port}"],
}
CLIENTS = 48  # at once
WAITING = 24  # chats that want more threads than there are

UNCLOSED = re.compile(r".*ResourceWarning.*")
RAISED = re.compile(
    r"^(?:[\w.]*(?:Error|Exception|Exit|Aborted)(?::.*)?|Exception ignored.*|Task .*)$",
    re.MULTILINE,
)
# Those of the tools, and how a response is broken off.
EXPECTED = re.compile(
    r"SystemExit|RuntimeError: a (?:tool|teardown function) that fails"
    r"|flask_llmchat\.core\.errors\.StreamAborted: chat \w+ broke off"
)


class Soak:
    """One server, its provider, and what they have written down."""

    def __init__(self, server: str, folder: Path, upstream: FakeUpstream, dialects: list[str]):
        self.server = server
        self.upstream = upstream
        self.dialects = dialects
        self.tags: dict[str, str] = {}
        self.wrong: list[str] = []
        self.log = folder / "log"
        self._results = folder / "results"
        self._results.touch()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        command = [part.format(port=self.port) for part in SERVERS[server]]
        environ = {
            **os.environ,
            "UPSTREAM": upstream.base_url,
            "RESULTS": str(self._results),
            "MALLOC_ARENA_MAX": "2",  # it keeps memory for each of many threads
            "PYTHONWARNINGS": "always::ResourceWarning",
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=Path(__file__).parent, env=environ, stdout=log, stderr=log
            )

    def wait_for(self, condition: Callable[[], Any], otherwise: str, more: Any = "") -> None:
        until = time.monotonic() + 60
        while not condition():
            if self.process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{otherwise} {more}; the server's log is {self.log}")
            time.sleep(0.1)

    def start(self) -> None:
        def answers() -> bool:
            with contextlib.suppress(OSError):
                return bool(self.told("/held"))
            return False

        self.wait_for(answers, "the server does not start")
        for kind in ("refused", "ok", "tools"):
            chat(self.port, f"warm:{kind}", "text")

    def told(self, path: str) -> dict[str, int]:
        with contextlib.closing(HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request("GET", path)
            answer: dict[str, int] = json.loads(connection.getresponse().read())
            return answer

    def written(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._results.read_text("utf-8").splitlines()]

    def run(self, kinds: Iterable[str], after: Callable[[], None] = lambda: None) -> None:
        """Be the clients of chats; call ``after`` once they have begun."""
        batch = {}
        for kind in kinds:
            tag = f"{len(self.tags) + len(batch)}:{kind}"
            # Who has no connection cannot break it off before the response.
            from_python = kind != "left early"
            batch[tag] = random.choice([d for d in self.dialects if from_python or d != "python"])
        self.tags.update(batch)
        with ThreadPoolExecutor(CLIENTS) as pool:
            faults = pool.map(lambda tag: chat(self.port, tag, batch[tag]), batch)
            after()
            self.wrong += filter(None, faults)

    def settled(self) -> dict[str, int]:
        """Wait until nothing is running; return what is kept then."""
        left: dict[str, int] = {}

        def is_idle() -> bool:
            left.update(self.told("/held"), streaming=self.upstream.streaming)
            if any(left.values()):
                return False
            kept = self.told("/kept")
            left["connections"] = self.upstream.open_connections - kept["connections"]
            return not left["connections"]

        self.wait_for(is_idle, "something is left", left)
        if found := UNCLOSED.search(self.log.read_text(errors="replace")):
            self.wrong.append(f"collected in place of closed: {found[0]}")
        return self.told("/kept")

    def stop(self) -> None:
        """Stop the server while tools are running."""

        kinds = [*STOPPED] * 4  # fewer calls than there are threads
        calls = sum(len(CALLS[kind]) for kind in kinds)

        def begun() -> bool:
            return sum(":stopped" in line.get("begun", "") for line in self.written()) == calls

        def terminate() -> None:
            self.wait_for(begun, "tools do not begin")
            self.process.terminate()

        self.run(kinds, terminate)
        self.process.wait(30)

    def compare(self, provider: Provider) -> None:
        """Compare the outcomes of chats and calls with the expected ones."""
        lines = self.written()
        tag_of = {line["id"]: line["tag"] for line in lines if "tag" in line}
        ends: dict[str, list[str]] = {}
        runs: dict[str, dict[str, str]] = {}
        for line in lines:
            if "outcome" in line:
                tag = tag_of[line["id"]]
                ends.setdefault(tag, []).append(line["outcome"])
                runs.setdefault(tag, {}).update(line["runs"])
        asked = Counter(r.json["messages"][0]["content"] for r in self.upstream.requests)
        for tag, dialect in self.tags.items():
            if ends.get(tag) != [outcome_of(tag)]:
                self.wrong.append(
                    f"{tag} over {dialect} ended {ends.get(tag)}, not once as {outcome_of(tag)}"
                )
            if asked[tag] not in ASKED.get(kind_of(tag), (1,)):
                self.wrong.append(f"{tag} was asked {asked[tag]} times of the provider")
            sent, run = provider.calls.get(tag, []), list(runs.get(tag, ()))
            if sorted(run) != sorted(sent) and (run or not may_run_none(tag)):
                self.wrong.append(f"{tag} over {dialect}: {sent} were to be run, and {run} were")
        outcomes = {call: how for calls in runs.values() for call, how in calls.items()}
        begun = [call for call, how in outcomes.items() if how not in ("refused", "repeated")]
        for what, expected in (("told", list(outcomes)), ("begun", begun), ("torn", begun)):
            found = Counter(line[what] for line in lines if what in line)
            different = (found - Counter(expected)) + (Counter(expected) - found)
            for call in different:
                # What was abandoned when the server stopped may have ended with it.
                if found[call] or what != "torn" or outcomes[call] != "abandoned":
                    self.wrong.append(f"{call} ({outcomes.get(call)}): {what} {found[call]} times")
        log = self.log.read_text(errors="replace")
        raised = {line for line in RAISED.findall(log) if not EXPECTED.match(line)}
        self.wrong += [f"in the log: {line}" for line in raised]


def grown(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """Return what has grown from one round to a later one."""
    wrong = []
    # gthread starts its threads as they are needed, and keeps them. A connection may be closing.
    spare = {"threads": 64, "greenlets": 2, "contexts": 1, "open files": 2, "loop references": 2}
    for name, more in spare.items():
        if after[name] > before[name] + more:
            wrong.append(f"{name}: {before[name]} before, {after[name]} after")
    if after["blocks"] > before["blocks"] * 1.005:
        wrong.append(f"Python's memory: {before['blocks']} blocks before, {after['blocks']} after")
    if after["memory KiB"] > before["memory KiB"] * 1.08 + 2048:
        wrong.append(f"memory: {before['memory KiB']} KiB before, {after['memory KiB']} after")
    return wrong


def run(server: str, chats: int, dialects: list[str], rounds: int) -> list[str]:
    folder, provider = Path(tempfile.mkdtemp(prefix="soak-")), Provider()
    with FakeUpstream(provider.respond) as upstream:
        soak = Soak(server, folder, upstream, dialects)
        try:
            soak.start()
            counted = []
            for _ in range(rounds):
                soak.run([*kinds(chats // rounds), *["tools left waiting"] * WAITING])
                counted.append(soak.settled())
                print(f"{server}: {len(soak.tags)} chats, kept: {counted[-1]}", flush=True)
            # The first half warms everything up: caches, pools, threads, the allocator.
            soak.wrong += grown(counted[rounds // 2 - 1], counted[-1])
            if server != "threads":  # which ends at once
                soak.stop()
            soak.compare(provider)
        finally:
            soak.process.terminate()
            soak.process.wait(30)
    if not soak.wrong:
        shutil.rmtree(folder)
        print(
            f"{server}: all {len(soak.tags)} chats ended once and as they should:",
            dict(Counter(map(outcome_of, soak.tags))),
        )
    else:
        print(f"the server's log is {soak.log}")
    return soak.wrong


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
