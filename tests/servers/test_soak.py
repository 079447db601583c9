"""A short soak: every ending mixed, with tools and without, and nothing left of any of them."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"
SERVERS = ("gevent", "gthread", "threads")


def soak(server: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SOAK), "--server", server, "--chats", "70", "--rounds", "2"]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.external
@pytest.mark.skipif(sys.platform != "linux", reason="the soak reads /proc")
def test_a_short_soak_under_each_server() -> None:
    with ThreadPoolExecutor() as pool:  # all at once, since they wait most of the time
        for server, done in zip(SERVERS, pool.map(soak, SERVERS), strict=True):
            assert done.returncode == 0, done.stdout + done.stderr
            assert f"{server}: all" in done.stdout
