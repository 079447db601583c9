"""The same stores, in a process whose standard library gevent has replaced."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("gevent")
pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent
ALL_AGAIN = """
from gevent import monkey; monkey.patch_all()
import pytest, sys
sys.exit(pytest.main([*{files!r}, "-q", "-x", "-p", "no:cacheprovider"]))
"""


def test_streams_under_gevent() -> None:
    files = [str(FOLDER / "test_stores.py"), str(FOLDER / "test_redis_fails.py")]
    code = ALL_AGAIN.format(files=files)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:]
