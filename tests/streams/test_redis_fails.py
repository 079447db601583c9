"""A Redis server that is paused, killed, emptied, full, or of another kind."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from flask_llmchat.streams import make_store
from flask_llmchat.streams.base import Limits, Orphan, StoreUnavailable, StreamStore
from tests.support.redis_server import RedisServer
from tests.support.server_processes import free_port
from tests.support.stores import LEASE, info, read_all, wait_until

pytestmark = pytest.mark.slow

EVENTS = [b"data: %d\n\n" % n for n in range(20)]
Worker = Callable[..., StreamStore]


def words(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING)


def test_a_paused_server_delays_no_chat(redis: RedisServer, worker: Worker) -> None:
    store, elsewhere = worker(), worker()
    writer = store.open(info(), print)
    own, other = (s.read("ada", writer.info.id) for s in (store, elsewhere))
    writer.append(EVENTS[0])
    assert own is not None and other is not None
    assert own.read(5) == other.read(5) == EVENTS[0]
    redis.pause()
    try:
        slowest = 0.0
        until = time.monotonic() + 1.2
        sent = b""
        while time.monotonic() < until:
            begun = time.monotonic()
            writer.append(EVENTS[1])
            sent += EVENTS[1]
            slowest = max(slowest, time.monotonic() - begun)
            time.sleep(0.02)
        assert slowest < 0.45  # the time-out of a command is 0.5 s
        # After the first failure nobody waits for the server.
        with suppress(StoreUnavailable):
            store.find("ada", "c1")
        begun = time.monotonic()
        for _ in range(10):
            with pytest.raises(StoreUnavailable):
                store.open(info(), print)
        assert time.monotonic() - begun < 0.45
        assert writer.claim_end("ok")
        writer.append(EVENTS[2])
        writer.end()
        assert read_all(own) == sent + EVENTS[2]
    finally:
        redis.resume()
    later = worker()
    wait_until(lambda: later.find("ada", "c1") is None)
    assert read_all(later.read("ada", writer.info.id)) == EVENTS[0] + sent + EVENTS[2]


def test_what_a_paused_server_carries_out_later_is_not_doubled(
    redis: RedisServer, worker: Worker
) -> None:
    store, elsewhere = worker(), worker()
    writer = store.open(info(), print)
    reader = elsewhere.read("ada", writer.info.id)
    for event in EVENTS:
        redis.pause()
        writer.append(event)
        time.sleep(0.02)
        redis.resume()
    writer.append(b"end")
    redis.pause()
    time.sleep(0.7)  # the flusher's command times out
    writer.append(b"!")
    redis.resume()
    assert writer.claim_end("ok")
    writer.end()
    assert read_all(reader) == b"".join(EVENTS) + b"end!"
    late = worker()
    wait_until(lambda: late.find("ada", "c1") is None)
    assert read_all(late.read("ada", writer.info.id)) == b"".join(EVENTS) + b"end!"


@pytest.mark.parametrize("how", ["flushed", "restarted"])
def test_a_stream_is_whole_again_after_the_server_was_emptied(
    redis: RedisServer, worker: Worker, how: str
) -> None:
    store, elsewhere = worker(), worker()
    stopped: list[str] = []
    writer = store.open(info(), stopped.append, idempotency_key="k", digest="d")
    writer.update({"usage": 1})
    early = elsewhere.read("ada", writer.info.id)
    assert early is not None
    writer.append(EVENTS[0], "0")
    assert early.read(5) == EVENTS[0]
    if how == "flushed":
        redis.ask("FLUSHALL")
    else:
        redis.kill()
        writer.append(EVENTS[1], "1")
        time.sleep(0.2)
        redis.start()
    writer.append(EVENTS[2], "2")
    late = worker()
    wait_until(lambda: late.find("ada", "c1") == writer.info)
    assert late.find_key("ada", "k") is not None
    assert late.running("ada") == [writer.info]
    assert redis.ask("HGET", f"test:{writer.info.id}:meta", "state") == b'{"usage": 1}'
    reader = late.read("ada", writer.info.id)
    assert late.stop("ada", writer.info.id)
    wait_until(lambda: stopped)
    assert writer.claim_end("stopped")
    writer.end()
    sent = b"".join(EVENTS[1:3] if how == "restarted" else EVENTS[2:3])
    assert read_all(reader) == EVENTS[0] + sent
    assert read_all(early) == sent
    assert early.is_whole


def test_the_text_of_an_orphan_is_whole_although_the_server_was_emptied(
    redis: RedisServer, worker: Worker
) -> None:
    store, elsewhere = worker(lease=LEASE), worker(lease=LEASE)
    orphans: list[Orphan] = []
    writer = store.open(info(), print)
    for number, event in enumerate(EVENTS):
        writer.append(event, f"{number} \ud83d")
        if number == 10:
            time.sleep(0.1)
            redis.ask("FLUSHALL")
    wait_until(lambda: redis.ask("XLEN", f"test:{writer.info.id}:log"))
    time.sleep(0.1)
    elsewhere.watch(orphans.append)
    store.close()
    wait_until(lambda: orphans)
    assert orphans[0].text == "".join(f"{n} \ud83d" for n in range(20))


@pytest.mark.parametrize("missing", ["first", "last", "all"])
def test_a_log_is_whole_again_after_entries_were_lost(
    redis: RedisServer, worker: Worker, missing: str
) -> None:
    """As by a replica that takes over before it has them."""
    store, elsewhere = worker(), worker()
    writer = store.open(info(), print)
    key = f"test:{writer.info.id}:log"
    early = elsewhere.read("ada", writer.info.id)
    for number, event in enumerate(EVENTS[:4], 1):
        writer.append(event)
        wait_until(lambda number=number: redis.ask("XLEN", key) == number)
    ids = [entry_id for entry_id, _ in redis.ask("XRANGE", key, "-", "+")]
    redis.ask("XDEL", key, *{"first": ids[:1], "last": ids[-1:], "all": ids}[missing])
    writer.append(EVENTS[4])
    whole = b"".join(EVENTS[:5])

    def stored() -> bytes:
        entries = redis.ask("XRANGE", key, "-", "+")
        return b"".join(entry[b"data"] for _, entry in entries)

    wait_until(lambda: stored() == whole)
    late = elsewhere.read("ada", writer.info.id)
    writer.claim_end("ok")
    writer.end()
    assert read_all(early) == read_all(late) == whole
    assert read_all(worker().read("ada", writer.info.id)) == whole


def test_an_emptied_server_is_filled_with_what_had_ended_only_just(
    redis: RedisServer, worker: Worker
) -> None:
    store = worker()
    writer = store.open(info(), print)
    writer.append(EVENTS[0])
    redis.kill()
    assert writer.claim_end("ok")
    writer.append(EVENTS[1])
    writer.end()
    redis.start()
    later = worker()
    wait_until(lambda: later.read("ada", writer.info.id) is not None)
    reader = later.read("ada", writer.info.id)
    assert read_all(reader) == EVENTS[0] + EVENTS[1]
    assert reader is not None and (reader.outcome, reader.is_whole) == ("ok", True)


def test_what_ended_while_the_server_was_away_is_not_held_for_ever(
    redis: RedisServer, worker: Worker
) -> None:
    store = worker(keep=0.3)
    writer = store.open(info(), print)
    writer.append(b"x" * 1000)
    redis.kill()
    try:
        assert writer.claim_end("ok")
        writer.end()
        process: Any = store
        assert process._budget.used == 1000
        wait_until(lambda: not process._flusher.writers)
        assert process._budget.used == 0
    finally:
        redis.start()


def test_connections_that_the_server_closes_are_made_anew(
    redis: RedisServer, worker: Worker
) -> None:
    store, elsewhere = worker(), worker()
    writer = store.open(info(), print)
    reader = elsewhere.read("ada", writer.info.id)
    for event in EVENTS:
        writer.append(event)
        redis.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        time.sleep(0.02)
    writer.claim_end("ok")
    writer.end()
    assert read_all(reader) == b"".join(EVENTS)


def test_a_full_server_ends_no_chat(
    redis: RedisServer, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    store, elsewhere = worker(), worker()
    writer = store.open(info(), print)
    reader = elsewhere.read("ada", writer.info.id)
    writer.append(EVENTS[0])
    assert reader is not None and reader.read(5) == EVENTS[0]
    redis.ask("CONFIG", "SET", "maxmemory", "1")
    try:
        writer.append(EVENTS[1])
        wait_until(lambda: "maxmemory" in words(caplog))
        with pytest.raises(StoreUnavailable):
            store.open(info(), print)
        with pytest.raises(StoreUnavailable):
            store.claim("a", time.time() + 60)
        time.sleep(0.1)
    finally:
        redis.ask("CONFIG", "SET", "maxmemory", "0")
    writer.append(EVENTS[2])
    assert writer.claim_end("ok")
    writer.end()
    assert read_all(reader) == EVENTS[1] + EVENTS[2]


def test_a_stream_that_ends_while_the_server_is_full_is_stored_later(
    redis: RedisServer, worker: Worker
) -> None:
    store = worker()
    writer = store.open(info(), print)
    redis.ask("CONFIG", "SET", "maxmemory", "1")
    try:
        writer.append(EVENTS[0])
        assert writer.claim_end("ok")
        writer.append(EVENTS[1])
        writer.end()
    finally:
        redis.ask("CONFIG", "SET", "maxmemory", "0")
    later = worker()
    wait_until(lambda: later.find("ada", "c1") is None)
    assert read_all(later.read("ada", writer.info.id)) == EVENTS[0] + EVENTS[1]


def test_a_replica_that_only_reads_is_not_available(
    redis: RedisServer, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    store = worker()
    writer = store.open(info(), print)
    writer.append(EVENTS[0])
    redis.ask("REPLICAOF", "127.0.0.1", "1")
    try:
        with pytest.raises(StoreUnavailable):
            store.open(info(), print)
        writer.append(EVENTS[1])
        wait_until(lambda: "read only replica" in words(caplog))
    finally:
        redis.ask("REPLICAOF", "NO", "ONE")
    assert writer.claim_end("ok")
    writer.end()
    later = worker()
    wait_until(lambda: later.find("ada", "c1") is None)
    assert read_all(later.read("ada", writer.info.id)) == EVENTS[0] + EVENTS[1]


def test_readers_are_told_when_the_server_stays_away(redis: RedisServer, worker: Worker) -> None:
    store, elsewhere = worker(lease=LEASE), worker(lease=LEASE)
    writer = store.open(info(), print)
    reader = elsewhere.read("ada", writer.info.id)
    writer.append(EVENTS[0])
    assert reader is not None and reader.read(5) == EVENTS[0]
    redis.kill()
    try:
        assert read_all(reader) == b""
        assert (reader.outcome, reader.is_whole) == ("interrupted", False)
        with pytest.raises(StoreUnavailable):
            elsewhere.read("ada", writer.info.id)
    finally:
        redis.start()


def test_readers_are_told_when_a_finished_log_is_gone(redis: RedisServer, worker: Worker) -> None:
    store, elsewhere = worker(lease=LEASE), worker(lease=LEASE)
    writer = store.open(info(), print)
    writer.append(EVENTS[0])
    reader = elsewhere.read("ada", writer.info.id)
    assert reader is not None and reader.read(5) == EVENTS[0]
    store.close()
    redis.ask("FLUSHALL")
    assert read_all(reader) == b"" and not reader.is_whole


def test_an_outage_is_logged_once_and_without_secrets(
    tmp_path: Path, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    store = worker(f"unix://bob:planted-password@{tmp_path}/none")
    writer = None
    for _ in range(3):
        with pytest.raises(StoreUnavailable) as raised:
            writer = store.open(info(), print)
        assert "planted" not in f"{raised.value!r} {raised.value.__cause__!r}"
    assert writer is None
    time.sleep(0.3)
    assert words(caplog).count("is not available") == 1
    assert str(tmp_path) in words(caplog)
    assert "planted" not in "\n".join(map(str, caplog.records)) + repr(store)


def test_a_wrong_password_is_not_shown(
    redis: RedisServer, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    store = worker(redis.url.replace("unix://", "unix://bob:planted@"))
    with pytest.raises(StoreUnavailable, match="AuthenticationError") as raised:
        store.open(info(), print)
    assert "planted" not in f"{raised.value} {words(caplog)}"


@pytest.mark.parametrize(
    "url",
    [
        "redis://:plan/ted@host:6379",
        "redis://:plan#ted@host",
        "redis://:planted@host:port",
        "redis://host:planted",
        "redis://planted?ted=word@host",
        "redis://host/planted",
        "redis://host?db=planted",
        "redis://host?socket_timeout=99",
        "redis+cluster://:planted@host",
        "planted",
        "",
    ],
)
def test_an_invalid_address_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError) as raised:
        make_store(url, "", Limits())
    assert "plan" not in str(raised.value) and "ted@" not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisServer]:
    port = str(free_port())
    options = ("--cluster-enabled", "yes", "--cluster-port", port, "--bind", "127.0.0.1")
    server = RedisServer(tmp_path, *options)
    yield server
    server.kill()


def test_a_cluster_is_refused_by_name(cluster: RedisServer, worker: Worker) -> None:
    with pytest.raises(StoreUnavailable, match="is a Redis Cluster, which is not supported"):
        worker(cluster.url).open(info(), print)


def test_a_stream_s_id_is_used_once(redis: RedisServer, worker: Worker) -> None:
    store, elsewhere = worker(), worker()
    writer = store.open(info(), print)
    with pytest.raises(StoreUnavailable, match="already"):
        elsewhere.open(writer.info, print)
    writer.append(EVENTS[0])
    writer.claim_end("ok")
    writer.end()
    with pytest.raises(StoreUnavailable, match="already"):
        elsewhere.open(writer.info, print)
    assert read_all(elsewhere.read("ada", writer.info.id)) == EVENTS[0]


@contextmanager
def delayed(redis: RedisServer, folder: Path, delay: float) -> Iterator[str]:
    """Give the address of a server whose every reply comes so many seconds later."""
    path = folder / "slow.sock"

    def forward(source: socket.socket, target: socket.socket, delay: float) -> None:
        with source, suppress(OSError):
            while data := source.recv(65536):
                time.sleep(delay)
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)  # ends the other thread's wait

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, server = listener.accept()[0], socket.socket(socket.AF_UNIX)
                server.connect(redis.url.removeprefix("unix://"))
                for ends in ((client, server, 0.0), (server, client, delay)):
                    threading.Thread(target=forward, args=ends, daemon=True).start()

    with socket.create_server(str(path), family=socket.AF_UNIX, backlog=100) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"unix://{path}"
        listener.shutdown(socket.SHUT_RDWR)


def test_many_who_come_at_once_do_not_take_the_server_for_down(
    redis: RedisServer, worker: Worker, tmp_path: Path
) -> None:
    """As all pages do after a restart."""
    writer = worker().open(info(), print)
    writer.append(EVENTS[0])

    def come_back(_: int) -> bytes | None:
        reader = slow.read("ada", writer.info.id)
        return reader and reader.read(5)

    with delayed(redis, tmp_path, 0.15) as url, ThreadPoolExecutor(100) as pool:
        slow = worker(url)
        assert list(pool.map(come_back, range(100))) == [EVENTS[0]] * 100
        slow.close()


def test_reading_needs_no_more_connections_and_threads_for_more_readers(
    redis: RedisServer, worker: Worker
) -> None:
    store, elsewhere = worker(), worker()
    writers = [store.open(info(conversation=str(n)), print) for n in range(20)]
    first = elsewhere.read("ada", writers[0].info.id)
    time.sleep(0.1)
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    readers = [elsewhere.read("ada", w.info.id) for w in writers for _ in range(5)]
    for writer in writers:
        writer.append(EVENTS[0])
    assert {reader.read(5) for reader in [first, *readers] if reader} == {EVENTS[0]}
    after = threading.active_count(), len(os.listdir("/proc/self/fd"))
    assert after[0] == before[0] and after[1] <= before[1] + 2  # of the pool, not of a reader
    for reader in [first, *readers]:
        assert reader is not None
        reader.close()
    process: Any = elsewhere
    assert not process._tail.mirrors and not process._budget.used
