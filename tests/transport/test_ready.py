"""Waiting under gevent for a connection's next bytes."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from flask_llmchat.transport.gevent_wait import _LoopWaiter as Waiter
from flask_llmchat.transport.gevent_wait import waiter_for

gevent = pytest.importorskip("gevent")
pytest.importorskip("gevent.socket")  # which is then an attribute of it


@pytest.fixture
def ends() -> Iterator[tuple[Any, Any]]:
    """Two ends of one connection, as gevent's sockets."""
    ours, theirs = gevent.socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def waiting(ends: tuple[Any, Any]) -> Iterator[Waiter]:
    waiting = waiter_for(ends[0])
    assert waiting is not None
    waiting.wait(None)  # not for the first read
    yield waiting
    waiting.close()


def lasted(wait: Callable[[], None]) -> tuple[bool, float]:
    """Tell whether a wait ended in time, and how many seconds it took."""
    start = time.monotonic()
    with suppress(TimeoutError):
        wait()
        return True, time.monotonic() - start
    return False, time.monotonic() - start


def later(seconds: float, call: Callable[..., Any], *args: Any) -> None:
    gevent.spawn_later(seconds, call, *args)


def test_threads_wait_in_the_read_itself() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert waiter_for(ours) is None


def test_it_ends_with_the_first_bytes(ends: tuple[Any, Any], waiting: Waiter) -> None:
    later(0.1, ends[1].sendall, b"x")
    ended, seconds = lasted(lambda: waiting.wait(None))
    assert ended and 0.09 < seconds < 1
    assert ends[0].recv(10) == b"x"


@pytest.mark.parametrize("seconds", [None, 5.0])
def test_it_ends_when_the_connection_is_shut(
    ends: tuple[Any, Any], waiting: Waiter, seconds: float | None
) -> None:
    later(0.1, ends[0].shutdown, socket.SHUT_RDWR)
    ended, took = lasted(lambda: waiting.wait(seconds))
    assert ended and took < 1
    assert ends[0].recv(10) == b""


def test_it_is_no_longer_than_it_may_be(waiting: Waiter) -> None:
    for may in (0.2, 0.05, 0.2):
        ended, took = lasted(lambda may=may: waiting.wait(may))  # type: ignore[misc]
        assert not ended and may <= took < may + 0.5


def test_a_shorter_wait_is_not_held_up_by_a_longer_one(
    ends: tuple[Any, Any], waiting: Waiter
) -> None:
    ends[1].sendall(b"x")
    waiting.wait(30.0)
    ends[0].recv(10)
    ended, took = lasted(lambda: waiting.wait(0.1))
    assert not ended and took < 1


@pytest.mark.slow
def test_what_is_left_of_one_wait_does_not_end_the_next(
    ends: tuple[Any, Any], waiting: Waiter
) -> None:
    """Bytes every 0.1 s: each wait may take 0.3 s, and all of them take longer."""
    for _ in range(8):
        later(0.1, ends[1].sendall, b"x")
        assert lasted(lambda: waiting.wait(0.3))[0]
        ends[0].recv(10)
    ended, took = lasted(lambda: waiting.wait(0.3))
    assert not ended and took >= 0.3


def test_time_that_runs_out_while_nobody_waits_ends_nothing(
    ends: tuple[Any, Any], waiting: Waiter
) -> None:
    ends[1].sendall(b"x")
    waiting.wait(0.1)
    gevent.sleep(0.3)  # whoever is told waits for its own reader, say
    waiting.wait(0.1)
    ends[0].recv(10)
    assert not lasted(lambda: waiting.wait(0.1))[0]


def test_others_get_their_turn_however_fast_the_bytes_come(
    ends: tuple[Any, Any], waiting: Waiter
) -> None:
    ends[1].sendall(b"x" * 2000)
    turns: list[int] = []
    gevent.spawn(lambda: [(turns.append(i), gevent.sleep(0)) for i in range(100)])
    for _ in range(500):
        waiting.wait(None)
        ends[0].recv(1)
    assert len(turns) == 100


def test_it_leaves_nothing_behind(ends: tuple[Any, Any]) -> None:
    waiting = waiter_for(ends[0])
    assert waiting is not None
    ends[1].sendall(b"x")
    waiting.wait(60.0)
    waiting.wait(60.0)
    waiting.close()
    assert gevent.get_hub().loop.activecnt == 0


def test_one_wait_without_an_end_after_one_with(ends: tuple[Any, Any], waiting: Waiter) -> None:
    ends[1].sendall(b"x")
    waiting.wait(0.1)
    ends[0].recv(10)
    later(0.3, ends[1].sendall, b"y")
    ended, took = lasted(lambda: waiting.wait(None))
    assert ended and took > 0.2
