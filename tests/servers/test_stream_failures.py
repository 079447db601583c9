"""Workers and stores that fail under chats which outlive their clients, on real servers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from tests.servers.conftest import ELSEWHERE
from tests.support.redis_server import RedisServer
from tests.support.server_processes import Server
from tests.support.stream_clients import (
    Client,
    Machines,
    post,
    read_again,
    running,
    text_of,
    wait_until,
    words,
)

LEASE = {"LEASE": "4"}


def asked(machines: Machines, said: str) -> int:
    """Return how often the provider was asked this."""
    return sum(said.encode() in request.body for request in machines.upstream.requests)


def test_readers_of_a_killed_worker_are_told_within_20_seconds(
    servers: dict[str, Server], machines: Machines
) -> None:
    """Of one with threads and of one with greenlets, at once."""
    chats, readers = {}, {}
    for kind in servers:
        machines.upstream.add(words(1000))
        name = f"killed {kind}"
        chats[kind] = chat = post(servers[kind], name, said=name, X_Team="red")
        again = [
            read_again(servers[ELSEWHERE[kind]], chat.stream, X_Team="red"),
            read_again(servers[ELSEWHERE[kind]], name.replace(" ", "%20"), X_Team="red"),
        ]
        assert all(reader.piece() for reader in [chat, *again])
        readers[kind] = again
    killed = time.monotonic()
    for chat in chats.values():
        os.kill(chat.worker, signal.SIGKILL)
    texts = {kind: [reader.rest().decode() for reader in readers[kind]] for kind in servers}
    assert time.monotonic() - killed < 20
    for kind, chat in chats.items():
        chat.rest()
        assert not any(reader.is_whole for reader in [chat, *readers[kind]])
        result = machines.ended(chat)
        text, name = result.pop("text"), f"killed {kind}"
        assert text_of(1000).startswith(text) and text
        # That is what the readers got after their first piece.
        assert all(text.endswith(read) for read in texts[kind])
        assert result.pop("worker") not in [chat.worker for chat in chats.values()]
        assert result == {
            "id": chat.headers["X-Request-ID"],
            "outcome": "interrupted",
            "tokens": None,
            "caller": ["ada", "red"],
            "conversation": name,
            "context": {"seen": name},
            "stream": chat.stream,
        }
        assert asked(machines, name) == 1
        assert running(servers[kind], X_Team="red") == []
        # It is still there for a page that comes later.
        late = read_again(servers[kind], chat.stream, X_Team="red")
        assert late.rest().decode() == text and not late.is_whole


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_a_server_that_starts_later_ends_the_chats_of_one_that_was_killed(
    kind: str, machines: Machines
) -> None:
    machines.upstream.add(words(1000))
    alone = {**LEASE, "NAME": f"alone-{kind}"}
    with machines.started(kind, "--workers", "2", **alone) as server:
        chat = post(server, "lost")
        chat.until("word9")  # and the first words are stored
        for pid in server.pids():  # the first one would start others
            os.kill(int(pid), signal.SIGKILL)
        chat.rest()
    time.sleep(float(LEASE["LEASE"]))
    with machines.started(kind, "--workers", "2", **alone) as server:
        assert chat.headers["X-Request-ID"] not in [result["id"] for result in machines.results()]
        running(server)  # the first request to a route of ours
        result = machines.ended(chat)
        assert (result["outcome"], result["conversation"]) == ("interrupted", "lost")
        late = read_again(server, chat.stream)
        assert late.rest().decode() == result["text"] and not late.is_whole
        paused_worker_ends_nothing_twice(server, machines)


def paused_worker_ends_nothing_twice(server: Server, machines: Machines) -> None:
    machines.upstream.add(words(1000))
    chat = post(server, "paused")
    chat.until("word9")
    gone = len(machines.upstream.gone)
    os.kill(chat.worker, signal.SIGSTOP)
    try:
        reader = read_again(server, chat.stream)
        text = reader.rest().decode()
        assert not reader.is_whole
        result = machines.ended(chat)
        assert (result["outcome"], result["text"]) == ("interrupted", text)
        assert result["worker"] != chat.worker
    finally:
        os.kill(chat.worker, signal.SIGCONT)
    machines.upstream.wait_for(lambda u: len(u.gone) > gone, timeout=10)
    chat.rest()
    assert not chat.is_whole
    # And no second ending of it, which the list of all results is searched for at the end.
    machines.upstream.add(words(1))
    assert post(server, "paused").rest().decode() == text_of(1)


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A store of its own, for tests that break it."""
    pytest.importorskip("redis")
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


def kept(server: Server) -> bool:
    """Tell whether a server's store can be used."""
    client = post(server, "probe", caller="probe")
    client.rest()
    return bool(client.stream)


def test_chats_run_without_a_store_and_say_so_in_the_log_now_and_then(
    failing: RedisServer, pair: list[Server]
) -> None:
    for server in pair:
        for _ in range(3):
            chat = post(server, "unkept")
            assert chat.rest() and chat.is_whole
            assert chat.stream == ""
            assert read_again(server, "unkept").status == 204
            assert running(server) == []
        log = server.log.read_text()
        assert log.count("is not available") == 1 and "Traceback" not in log
    failing.start()
    for server in pair:
        wait_until(lambda server=server: kept(server), 15)


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
        wait_until(lambda server=server: kept(server), 15)
    machines.upstream.add(*[words(40)] * 2)
    chats = [post(server, how) for server in pair]
    readers = [read_again(pair[1 - n], chat.stream) for n, chat in enumerate(chats)]
    assert all(client.piece() for client in [*chats, *readers])
    FAILURES[how](failing)
    for chat, reader in zip(chats, readers, strict=True):
        assert text_of(40).endswith(chat.rest().decode()) and chat.is_whole
        # A log that was written anew goes on where this reader was.
        assert text_of(40).endswith(reader.rest().decode()) and reader.is_whole
        assert machines.ended(chat)["outcome"] == "ok"
    for server, chat in zip(reversed(pair), chats, strict=True):
        wait_until(lambda server=server: kept(server), 15)
        assert read_again(server, chat.stream).rest().decode() == text_of(40)


def test_a_store_that_hangs_keeps_no_chat_waiting(
    failing: RedisServer, pair: list[Server], machines: Machines
) -> None:
    for server in pair:
        wait_until(lambda server=server: kept(server), 15)
    slowest = []
    for number in range(3):  # on a machine that has much to do, one may be late
        machines.upstream.add(words(60))
        chat = post(pair[number % 2], f"hangs{number}")
        assert chat.piece()
        failing.pause()
        try:
            slowest.append(slowest_piece(chat, time.monotonic() + 3))
        finally:
            failing.resume()
        chat.rest()
        wait_until(lambda server=pair[(number + 1) % 2]: kept(server), 15)
        again = read_again(pair[(number + 1) % 2], chat.stream)
        assert again.rest().decode() == text_of(60)
        if slowest[-1] < 0.6:
            return
    raise AssertionError(f"the response paused for {slowest} s")


def slowest_piece(chat: Client, until: float) -> float:
    slowest, last = 0.0, time.monotonic()
    while last < until and chat.piece():
        now = time.monotonic()
        slowest, last = max(slowest, now - last), now
    return slowest
