"""Workers and stores that fail under chats which outlive their clients, on real servers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from tests.support.machines import (
    ELSEWHERE,
    Machines,
    post,
    read,
    running,
    text_of,
    wait_until,
    words,
    worker_of,
)
from tests.support.redis_server import RedisServer
from tests.support.server_processes import Server
from tests.support.streams import Opened

LEASE = 5
"""Seconds after which a worker is taken for dead, in tests of that but one. On a busy machine,
living workers get no time for a second or two."""


def test_readers_of_a_killed_worker_are_told_within_20_seconds(
    servers: dict[str, Server], machines: Machines
) -> None:
    """Of one with threads and of one with greenlets, at once."""
    asked, chats, readers = len(machines.upstream.requests), {}, {}
    for kind in servers:
        machines.upstream.add(words(1000))
        chats[kind] = chat = post(servers[kind], f"killed-{kind}", X_Team="red")
        elsewhere = servers[ELSEWHERE[kind]]
        readers[kind] = [
            read(elsewhere, name, X_Team="red") for name in (chat.stream, f"killed-{kind}")
        ]
        assert all(reader.until("word9 ") for reader in [chat, *readers[kind]])
    killed = time.monotonic()
    for chat in chats.values():
        os.kill(worker_of(chat), signal.SIGKILL)
    came = {kind: [reader.rest() for reader in readers[kind]] for kind in servers}
    assert time.monotonic() - killed < 20
    for kind, chat in chats.items():
        result = machines.ended(chat)
        text = result.pop("text")
        assert text_of(1000).startswith(text)
        for read_by in came[kind]:
            assert read_by.body.decode() == text and read_by.is_broken
        assert chat.rest().is_broken
        assert result.pop("worker") not in map(worker_of, chats.values())
        assert result == {
            "id": chat.headers["X-Request-ID"],
            "outcome": "interrupted",
            "tokens": None,
            "caller": ["ada", "red"],
            "conversation": f"killed-{kind}",
            "context": {"seen": f"killed-{kind}"},
            "stream": chat.stream,
        }
        assert running(servers[kind], X_Team="red") == []
        # It is still there for a page that comes later.
        late = read(servers[kind], chat.stream, X_Team="red").rest()
        assert late.body.decode() == text and late.is_broken
    assert len(machines.upstream.requests) == asked + 2


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_a_server_that_starts_later_ends_the_chats_of_one_that_was_killed(
    kind: str, machines: Machines
) -> None:
    machines.upstream.add(words(1000))
    alone = {"LEASE": str(LEASE), "NAME": f"alone-{kind}"}
    with machines.started(kind, **alone) as server:
        chat = post(server, "lost")
        chat.until("word9 ")  # and the first words are stored
        for pid in server.pids():  # the first one would start others
            os.kill(int(pid), signal.SIGKILL)
        chat.rest()
    time.sleep(LEASE)
    with machines.started(kind, "--workers", "2", "--preload", **alone) as server:
        assert chat.headers["X-Request-ID"] not in [result["id"] for result in machines.results()]
        running(server)  # the first request to a route of ours
        result = machines.ended(chat)
        assert (result["outcome"], result["conversation"]) == ("interrupted", "lost")
        late = read(server, chat.stream).rest()
        assert late.body.decode() == result["text"] and late.is_broken
        paused_worker_ends_nothing_twice(server, machines)


def paused_worker_ends_nothing_twice(server: Server, machines: Machines) -> None:
    machines.upstream.add(words(1000))
    chat = post(server, "paused")
    chat.until("word9 ")
    gone = len(machines.upstream.gone)
    os.kill(worker_of(chat), signal.SIGSTOP)
    try:
        came = read(server, chat.stream).rest()
        assert came.is_broken
        result = machines.ended(chat)
        assert (result["outcome"], result["text"]) == ("interrupted", came.body.decode())
        assert result["worker"] != worker_of(chat)
    finally:
        os.kill(worker_of(chat), signal.SIGCONT)
    machines.upstream.wait_for(lambda u: len(u.gone) > gone, timeout=10)
    assert chat.rest().is_broken
    # And no second ending of it, for which all results are searched in the end.


@pytest.fixture(scope="module")
def failing(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    """A store of its own, for tests that break it; where there can be one."""
    server = RedisServer(tmp_path_factory.mktemp("failing"))
    yield server
    keys = server.keys_without_expiry()
    server.kill()
    assert keys == []


@pytest.fixture(scope="module")
def pair(failing: RedisServer, machines: Machines) -> Iterator[list[Server]]:
    """Two servers with one worker each, which are started while there is no store."""
    failing.kill()
    store = {"FLASK_LLMCHAT_STORE": failing.url}
    with (
        machines.started("gthread", **store) as gthread,
        machines.started("gevent", **store) as gevent,
    ):
        yield [gthread, gevent]


def wait_for_store(server: Server) -> None:
    """Wait until a server can use its store."""
    wait_until(lambda: post(server, "probe", user="probe").rest().stream, 30)


def test_chats_run_without_a_store_and_say_so_in_the_log_now_and_then(
    failing: RedisServer, pair: list[Server]
) -> None:
    try:
        for server in pair:
            begun = time.monotonic()
            for _ in range(3):
                came = post(server, "unkept").rest()
                assert came.status == 200 and came.body and not came.is_broken
                assert came.stream is None
                assert read(server, "unkept").status == 204
                assert running(server) == []
            log = server.log.read_text()
            assert 1 <= log.count("is not available") <= 1 + (time.monotonic() - begun) / 30
            assert "Traceback" not in log
    finally:
        failing.start()
    for server in pair:
        wait_for_store(server)


def restart(redis: RedisServer) -> None:
    redis.kill()
    time.sleep(0.3)
    redis.start()


def fill(redis: RedisServer) -> None:
    redis.ask("CONFIG", "SET", "maxmemory", "1")
    time.sleep(0.5)
    redis.ask("CONFIG", "SET", "maxmemory", "0")


def make_replica(redis: RedisServer) -> None:
    redis.ask("REPLICAOF", "127.0.0.1", "1")
    time.sleep(0.5)
    redis.ask("REPLICAOF", "NO", "ONE")


FAILURES: dict[str, Callable[[RedisServer], object]] = {
    "restarted": restart,
    "emptied": lambda redis: redis.ask("FLUSHALL"),
    "disconnected": lambda redis: redis.ask("CLIENT", "KILL", "TYPE", "normal"),
    "full": fill,
    "replica": make_replica,
}


@pytest.mark.parametrize("how", FAILURES)
def test_a_store_that_fails_meanwhile_harms_no_chat(
    how: str, failing: RedisServer, pair: list[Server], machines: Machines
) -> None:
    for server in pair:
        wait_for_store(server)
    machines.upstream.add(*[words(40)] * 2)
    chats = [post(server, how) for server in pair]
    readers = [read(pair[1 - n], chat.stream) for n, chat in enumerate(chats)]
    assert all(client.until("word1 ") for client in [*chats, *readers])
    FAILURES[how](failing)
    for client in [*chats, *readers]:  # a log that was written anew goes on where a reader was
        came = client.rest()
        assert came.body.decode() == text_of(40) and not came.is_broken
    for server, chat in zip(reversed(pair), chats, strict=True):
        assert machines.ended(chat)["outcome"] == "ok"
        wait_for_store(server)
        assert read(server, chat.stream).rest().body.decode() == text_of(40)


def test_a_store_that_hangs_keeps_no_chat_waiting(
    failing: RedisServer, pair: list[Server], machines: Machines
) -> None:
    slowest = []
    for number in range(3):  # on a machine that has much to do, one may be late
        here, elsewhere = pair[number % 2], pair[1 - number % 2]
        for server in pair:
            wait_for_store(server)
        machines.upstream.add(words(60))
        chat = post(here, f"hangs{number}")
        chat.until("word0 ")
        failing.pause()
        try:
            slowest.append(slowest_word(chat, 60))
        finally:
            failing.resume()
        assert not chat.rest().is_broken
        wait_for_store(elsewhere)
        assert read(elsewhere, chat.stream).rest().body.decode() == text_of(60)
        if slowest[-1] < 0.6:
            return
    raise AssertionError(f"the response paused for {slowest} s")


def slowest_word(chat: Opened, count: int) -> float:
    """Return the seconds of the longest wait for a word."""
    times = [time.monotonic()]
    for n in range(1, count):
        chat.until(f"word{n} ")
        times.append(time.monotonic())
    return max(after - before for before, after in pairwise(times))
