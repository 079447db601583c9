"""The servers people use, each started as a program of its own."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from flask_llmchat.testing import FakeUpstream
from tests.support.apps import body

APP = "tests.support.served_app"
GUNICORN = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "1"]
SERVERS = {
    "gthread": [*GUNICORN, "-k", "gthread", "--threads", "8", "{app}:app"],
    "gevent": [*GUNICORN, "-k", "gevent", "{app}:app"],
    "gevent-preload": [*GUNICORN, "-k", "gevent", "--preload", "{app}:app"],
    "dev": [sys.executable, "-m", "flask", "--app", "{app}", "run", "--port", "{port}"],
}


@dataclass
class Server:
    port: int
    upstream: FakeUpstream
    results: Path
    beginnings: Path
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        """Ask the server to stop, and do not wait."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    def pids(self) -> list[str]:
        """Return the ids of its processes, the first one's before those of its workers."""
        assert self.process is not None
        pid = str(self.process.pid)
        children = Path(f"/proc/{pid}/task/{pid}/children")
        return [pid, *children.read_text().split()] if children.exists() else []

    def most_memory(self) -> int:
        """Return the most bytes that one of its processes ever held; 0 where nobody tells."""
        proc, found = Path("/proc"), self.pids()
        if not found:
            return 0
        status = "".join((proc / pid / "status").read_text() for pid in found)
        return max(int(peak) for peak in re.findall(r"VmHWM:\s+(\d+)", status)) * 1024

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)

    @contextmanager
    def posted(
        self, content: bytes | None = None, **headers: str
    ) -> Iterator[http.client.HTTPConnection]:
        """Post a chat; closing is the client's leaving."""
        with closing(self.connect()) as connection:
            content = json.dumps(body()).encode() if content is None else content
            connection.request("POST", "/api/chat/openai", content, headers)
            yield connection

    def begun(self) -> int:
        """Return how many chats have begun."""
        return self.beginnings.stat().st_size if self.beginnings.exists() else 0

    def ended(self, count: int = 1) -> list[dict[str, str]]:
        """Wait until so many chats are written down; return them."""
        until = time.monotonic() + 5
        while time.monotonic() < until:
            if self.results.exists():
                lines = self.results.read_text(encoding="utf-8").splitlines()
                if len(lines) >= count:
                    return [json.loads(line) for line in lines]
            elif not count:
                return []
            time.sleep(0.02)
        raise AssertionError(f"no {count} chats ended; log: {self.log.read_text()[-2000:]}")


def free_port() -> int:
    """Return a port that no outgoing connection will be given meanwhile."""
    while True:
        port = random.randrange(20_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@contextmanager
def started(
    name: str, folder: Path, *options: str, app: str = APP, **environment: str
) -> Iterator[Server]:
    """Start a server whose provider is to be at a port that is free as yet.

    :param options: more of them for its command line.
    """
    upstream = FakeUpstream(port=free_port())
    files = (folder / name for name in ("results", "beginnings", "log"))
    running = Server(free_port(), upstream, *files)
    command = [part.format(port=running.port, app=app) for part in SERVERS[name]]
    environ = {
        **os.environ,
        "UPSTREAM": f"http://127.0.0.1:{upstream._address[1]}/v1",
        "RESULTS": str(running.results),
        "BEGINNINGS": str(running.beginnings),
        **environment,
    }
    with running.log.open("ab") as log:  # which can be emptied meanwhile
        process = running.process = subprocess.Popen(
            [*command, *options], cwd=Path(__file__).parents[2], env=environ, stdout=log, stderr=log
        )
    try:
        until = time.monotonic() + 20
        while True:
            try:
                with closing(running.connect()) as connection:
                    connection.request("GET", "/health")
                    connection.getresponse().read()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < until, running.log.read_text()
                time.sleep(0.05)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)
        assert "planted" not in running.log.read_text()
