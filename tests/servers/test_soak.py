"""A short soak: every ending mixed, and nothing left of any of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"


@pytest.mark.external
@pytest.mark.skipif(sys.platform != "linux", reason="the soak reads /proc")
def test_a_short_soak() -> None:
    command = [sys.executable, str(SOAK), "--server", "gevent", "--chats", "120", "--rounds", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all 120 chats ended once and as they should" in done.stdout
