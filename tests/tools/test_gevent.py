"""Tools in a process whose standard library gevent has replaced."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("gevent")

ALL_AGAIN = """
from gevent import monkey; monkey.patch_all()
import pytest, sys
sys.exit(pytest.main([{file!r}, "-q", "-x", "-m", "not slow", "-p", "no:cacheprovider"]))
"""

OTHERS_GO_ON = """
from gevent import monkey; monkey.patch_all()
import asyncio, threading, time
import gevent
from tests.support.tool_chats import Chat, call

ticks = []

def tick():
    while True:
        ticks.append(time.monotonic())
        gevent.sleep(0.01)

async def blocks(n: int) -> int:
    real_sleep(0.2)  # even this holds up the other async tools alone
    return n

async def waits(n: int) -> int:
    await asyncio.sleep(0.2)
    await asyncio.to_thread(time.sleep, 0.01)
    await asyncio.get_running_loop().getaddrinfo("localhost", 80)
    return threading.get_native_id()

def sleeps(n: int) -> int:
    time.sleep(0.2)
    return threading.get_native_id()

real_sleep = monkey.get_original("time", "sleep")
gevent.spawn(tick)
gevent.sleep(0.1)
Chat(waits).run(call("waits", n=0))
ticks.clear()

def chat(first):
    running = Chat(waits, sleeps)
    calls = [call("waits" if n % 2 else "sleeps", n=first + n) for n in range(4)]
    return running.run(*calls)

began = time.monotonic()
greenlets = [gevent.spawn(chat, n * 10) for n in range(20)]
found = [greenlet.get() for greenlet in greenlets]
assert time.monotonic() - began < 8, time.monotonic() - began
here = str(threading.get_native_id())
assert {one for texts in found for one in texts[::2]} == {here}
loops = {one for texts in found for one in texts[1::2]}
assert len(loops) == 1 and here not in loops
assert Chat(blocks).run(call("blocks", n=1)) == ["1"]
longest = max(b - a for a, b in zip(ticks, ticks[1:]))
assert longest < 0.15, longest

# A greenlet that is killed while a tool runs in it has a result all the same.
def killed() -> None:
    gevent.getcurrent().kill(block=False)
    gevent.sleep(1)

running = Chat(killed)
assert running.run(call("killed")) == ["The tool failed."]
print("as it should")
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=root
    )


@pytest.mark.slow
def test_everything_holds_under_gevent() -> None:
    ran = python(ALL_AGAIN.format(file=str(Path(__file__).with_name("test_runner.py"))))
    assert ran.returncode == 0, ran.stdout


@pytest.mark.slow
def test_tools_hold_up_no_other_greenlet() -> None:
    ran = python(OTHERS_GO_ON)
    assert ran.stdout.strip() == "as it should", ran.stderr
