"""A Redis server of the tests' own, which can be paused, killed, filled and started again."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

PROGRAM = shutil.which("redis-server")


class RedisServer:
    """A server at a socket in a folder. It keeps nothing on disk."""

    def __init__(self, folder: Path, *options: str) -> None:
        assert PROGRAM is not None
        self.folder = folder
        self.url = f"unix://{folder}/redis.sock"
        self._options = options
        self.start()

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        path = self.folder / "redis.sock"
        options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(PROGRAM), *options, "--dir", str(self.folder), *self._options],
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + 5
        while True:
            try:
                return self.ask("PING")
            except OSError:
                assert time.monotonic() < until, (self.folder / "log").read_text()
                time.sleep(0.01)

    def ask(self, *command: Any) -> Any:
        """Send a command of the test's own."""
        redis = pytest.importorskip("redis")
        client = redis.Redis(unix_socket_path=str(self.folder / "redis.sock"), protocol=2)
        try:
            return client.execute_command(*command)
        except redis.ConnectionError as error:
            raise OSError(str(error)) from None
        finally:
            client.close()

    def pause(self) -> None:
        """Have it answer nothing, with all connections open."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it answer again, also what it was asked meanwhile."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait(5)

    def keys_without_expiry(self) -> list[bytes]:
        """Return the keys that would stay for ever."""
        return [key for key in self.ask("KEYS", "*") if self.ask("TTL", key) == -1]
