"""Workers that are killed or paused, and the one worker that ends what they leave behind."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from flask_llmchat.streams import make_store
from flask_llmchat.streams.base import Limits, Orphan, StreamStore
from flask_llmchat.streams.redis_store.flusher import Timing
from flask_llmchat.streams.redis_store.lookout import DOUBTS
from tests.support.redis_server import RedisServer
from tests.support.stores import LEASE, info, read_all, wait_until

pytestmark = pytest.mark.slow

Worker = Callable[..., StreamStore]


class Program:
    """A worker that is a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def told(self) -> dict[str, Any]:
        """Wait for what it prints next."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the worker has ended"
        found: dict[str, Any] = json.loads(line)
        return found

    def rest(self) -> list[dict[str, Any]]:
        """Kill it, and return what it has printed meanwhile."""
        self.process.kill()
        out, _ = self.process.communicate(timeout=5)
        return [json.loads(line) for line in out.splitlines()]


@contextmanager
def started(redis: RedisServer, does: str, *options: str) -> Iterator[Program]:
    command = [sys.executable, "-m", "tests.support.stream_worker", redis.url, str(LEASE), does]
    process = subprocess.Popen(
        [*command, *options], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True
    )
    try:
        yield Program(process)
    finally:
        process.kill()
        process.communicate()


def test_readers_of_a_killed_worker_are_told_and_one_worker_ends_its_chat(
    redis: RedisServer, worker: Worker
) -> None:
    store = worker(lease=LEASE)
    with ExitStack() as stack:
        watchers = [stack.enter_context(started(redis, "watch")) for _ in range(3)]
        for watcher in watchers:
            assert watcher.told() == {"watching": True}
        killed = stack.enter_context(started(redis, "write"))
        stream_id = killed.told()["id"]
        readers = [store.read("ada", stream_id) for _ in range(3)]
        assert readers[0] is not None and readers[0].read(5)
        killed.process.kill()
        bytes_read = [read_all(reader) for reader in readers]
        for reader in readers:
            assert reader is not None
            assert (reader.outcome, reader.is_whole) == ("interrupted", False)
        wait_until(lambda: not store.running("ada"))
        assert store.find("ada", "c1") is None
        time.sleep(LEASE)
        told = [found for watcher in watchers for found in watcher.rest()]
    assert len(told) == 1
    assert (told[0]["id"], told[0]["state"]) == (stream_id, {"usage": 7})
    late = store.read("ada", stream_id)
    assert told[0]["text"].encode() == read_all(late)
    assert told[0]["text"].encode().endswith(bytes_read[1])
    assert not redis.ask("SMEMBERS", "test:workers")


@pytest.mark.parametrize("options", [(), ("--gevent",)], ids=["threads", "gevent"])
def test_a_paused_worker_cannot_go_on_with_what_another_one_has_ended(
    redis: RedisServer, worker: Worker, options: tuple[str, ...]
) -> None:
    store = worker(lease=LEASE)
    orphans: list[Orphan] = []
    store.watch(orphans.append)
    with started(redis, "write", *options) as paused:
        stream_id = paused.told()["id"]
        reader = store.read("ada", stream_id)
        assert reader is not None and reader.read(5)
        paused.process.send_signal(signal.SIGSTOP)
        read_all(reader)
        assert reader.outcome == "interrupted"
        wait_until(lambda: orphans)
        wait_until(lambda: not store.running("ada"))
        log = read_all(store.read("ada", stream_id))
        following = store.open(info(), print)
        following.append(b"another response")
        paused.process.send_signal(signal.SIGCONT)
        assert paused.told() == {"interrupted": "interrupted"}
        assert paused.told() == {"claimed": False}
        assert paused.process.wait(5) == 0
    assert len(orphans) == 1
    assert read_all(store.read("ada", stream_id)) == log
    assert store.find("ada", "c1") == following.info
    assert following.interruption is None


def test_a_paused_worker_finds_out_although_its_stream_is_no_longer_kept(
    redis: RedisServer, worker: Worker
) -> None:
    store = worker(lease=LEASE, keep=0.1)
    orphans: list[Orphan] = []
    store.watch(orphans.append)
    with started(redis, "write") as paused:
        stream_id = paused.told()["id"]
        paused.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: orphans)
        wait_until(lambda: not redis.ask("EXISTS", f"test:{stream_id}:meta"))
        paused.process.send_signal(signal.SIGCONT)
        assert paused.told() == {"interrupted": "interrupted"}
        assert paused.told() == {"claimed": False}
    assert store.find("ada", stream_id) is None and not store.running("ada")


def test_a_stream_is_ended_whose_worker_died_while_it_ended_it(
    redis: RedisServer, worker: Worker
) -> None:
    dying, store = worker(lease=LEASE), worker(lease=LEASE)
    orphans: list[Orphan] = []
    store.watch(orphans.append)
    writer = dying.open(info(), print)
    reader = store.read("ada", writer.info.id)
    writer.append(b"data: 1\n\n")
    assert writer.claim_end("ok")  # chat_finished has been sent, or is lost
    dying.close()
    assert read_all(reader) == b"data: 1\n\n"
    assert reader is not None and not reader.is_whole
    wait_until(lambda: not store.running("ada"))
    assert not orphans


def test_a_chat_is_ended_once_although_the_server_fails_meanwhile(
    redis: RedisServer, worker: Worker
) -> None:
    dying, store = worker(lease=LEASE), worker(lease=LEASE)
    orphans: list[Orphan] = []

    def on_orphan(orphan: Orphan) -> None:
        orphans.append(orphan)
        redis.pause()
        time.sleep(1.5)
        redis.resume()

    writer = dying.open(info(), print)
    dying.close()
    store.watch(on_orphan)
    other = worker(lease=LEASE)
    other.watch(orphans.append)
    wait_until(lambda: orphans)
    wait_until(lambda: not redis.ask("SMEMBERS", "test:workers"), seconds=10)
    assert [orphan.info for orphan in orphans] == [writer.info]


def test_an_ending_is_left_to_the_worker_that_has_claimed_it(
    redis: RedisServer, worker: Worker
) -> None:
    """It has no streams of its own, so nothing else shows that it is alive."""
    dying = worker(lease=1)
    found: list[Any] = []

    def on_orphan(orphan: Orphan) -> None:
        time.sleep(1)  # the others look three times meanwhile
        found.append(redis.ask("HGET", f"test:{orphan.info.id}:meta", "over"))

    for _ in range(3):
        worker(lease=2).watch(on_orphan)
    dying.open(info(), print)
    dying.close()
    wait_until(lambda: found, seconds=10)
    wait_until(lambda: not redis.ask("SMEMBERS", "test:workers"), seconds=10)
    assert found == [None]


def test_a_receiver_that_fails_or_hangs_keeps_no_reader_waiting(
    redis: RedisServer, worker: Worker
) -> None:
    dying, store = worker(lease=LEASE), worker(lease=LEASE)
    hanging: list[Orphan] = []

    def on_orphan(orphan: Orphan) -> None:
        hanging.append(orphan)
        time.sleep(3)
        raise ZeroDivisionError

    store.watch(on_orphan)
    writer = dying.open(info(), print)
    mine = store.open(info("bob"), print)
    reader = store.read("ada", writer.info.id)
    dying.close()
    assert read_all(reader, seconds=2.5) == b""
    assert hanging and mine.interruption is None
    time.sleep(2 * LEASE)
    assert redis.ask("EXISTS", f"test:lease:{store._flusher.worker}")
    wait_until(lambda: not store.running("ada"))


def test_workers_are_not_taken_for_dead_when_the_server_comes_back(
    redis: RedisServer, worker: Worker, tmp_path: Path
) -> None:
    stores = [worker(lease=LEASE) for _ in range(4)]
    ended: list[Any] = []
    for store in stores:
        store.watch(ended.append)
    writers = [store.open(info(), ended.append) for store in stores]
    readers = [stores[0].read("ada", writer.info.id) for writer in writers]
    redis.pause()
    time.sleep(LEASE * 1.3)  # all leases run out
    redis.resume()
    time.sleep(LEASE)
    assert ended == []
    for writer in writers:
        writer.append(b"x")
    assert [reader and reader.read(5) for reader in readers] == [b"x"] * 4


def test_a_forked_process_is_a_worker_of_its_own(redis: RedisServer) -> None:
    stores = make_store(redis.url, "test:", Limits())
    writer = stores.get().open(info(), print)
    writer.append(b"parent")
    reads, writes = os.pipe()
    if (child := os.fork()) == 0:
        status = 1
        try:
            store = stores.get()
            own = store.open(info("bob"), print)
            own.append(b"child")
            own.claim_end("ok")
            own.end()
            reader = store.read("ada", writer.info.id)
            os.write(writes, f"{own.info.id} {reader and reader.read(5)!r}".encode())
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    stream_id, found = os.read(reads, 1000).decode().split()
    os.close(reads)
    os.close(writes)
    assert found == "b'parent'"
    store = stores.get()
    assert read_all(store.read("bob", stream_id)) == b"child"
    writer.append(b", too")
    assert writer.claim_end("ok")
    writer.end()
    assert read_all(store.read("ada", writer.info.id)) == b"parent, too"
    store.close()


def test_readers_know_within_20_seconds() -> None:
    timing = Timing()
    # The last look may come as late as one look after the lease has run out.
    assert timing.lease + DOUBTS * timing.look <= 18


def test_a_store_that_nobody_refers_to_leaves_no_thread(redis: RedisServer) -> None:
    before = threading.active_count()
    stores = make_store(redis.url, "test:", Limits())
    stores.get().watch(print)
    assert threading.active_count() > before
    del stores
    gc.collect()
    wait_until(lambda: threading.active_count() <= before)
