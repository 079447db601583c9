"""Chats that outlive their clients, on real servers that share a store."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack

import pytest

from tests.servers.conftest import ELSEWHERE
from tests.support.server_processes import Server
from tests.support.stream_clients import (
    Client,
    Machines,
    begun_and_held,
    counted_words,
    held,
    large,
    post,
    read_again,
    running,
    stop,
    text_of,
    wait_until,
    words,
)


@pytest.mark.parametrize("dialect", ["text", "ui", "openai"])
def test_a_reader_elsewhere_gets_the_bytes_of_an_undisturbed_run(
    here: Server, elsewhere: Server, machines: Machines, dialect: str
) -> None:
    machines.upstream.add(words(20), words(20))
    undisturbed = post(here, "undisturbed", dialect)
    left = post(here, "left", dialect)
    begun = left.piece()
    left.leave()
    again = read_again(elsewhere, "left")
    assert again.stream == left.stream and again.worker != left.worker
    bytes_read = again.rest()
    assert bytes_read.startswith(begun)
    ids = [client.headers["X-Request-ID"].encode() for client in (left, undisturbed)]
    assert bytes_read.replace(*ids) == undisturbed.rest()
    assert machines.ended(left)["outcome"] == "ok"
    assert machines.ended(left)["text"] == text_of(20)
    # Complete, it is found by its own id alone.
    assert read_again(elsewhere, left.stream).rest() == bytes_read
    assert read_again(elsewhere, "left").status == 204


@pytest.mark.parametrize("dialect", ["text", "ui", "openai"])
def test_a_stop_from_elsewhere_ends_the_chat_within_a_second(
    here: Server, elsewhere: Server, machines: Machines, dialect: str
) -> None:
    upstream, seconds = machines.upstream, []
    for number in range(3):  # on a machine that has much to do, one may be late
        upstream.add(counted_words(400))
        gone, name = len(upstream.gone), f"stopped-{dialect}-{number}"
        chat = post(here, name, dialect)
        readers = [chat, read_again(here, name), read_again(elsewhere, name)]
        assert all(reader.piece() for reader in readers)
        pressed = time.monotonic()
        assert stop(elsewhere, name) == {"success": True}
        upstream.wait_for(lambda u, gone=gone: len(u.gone) > gone)
        seconds.append(upstream.gone[gone] - pressed)
        ends = [reader.rest()[-200:] for reader in readers]
        result = machines.ended(chat)
        assert (result["outcome"], result["worker"]) == ("stopped", chat.worker)
        assert result["text"] == text_of(result["tokens"]) and result["tokens"] < 400
        if dialect == "text":
            assert not any(reader.is_whole for reader in readers)
        else:
            mark = {"ui": b'"type":"abort"', "openai": b'"code":"stopped"'}[dialect]
            assert all(mark in end for end in ends)
        if seconds[-1] < 1:
            return
    raise AssertionError(f"the provider's connection was closed after {seconds} s")


def test_a_stop_ends_no_other_chat(here: Server, elsewhere: Server, machines: Machines) -> None:
    machines.upstream.add(words(40), words(40))
    earlier, later = post(here, "twice"), post(here, "twice")
    stop(elsewhere, "twice", {"activeStreamId": earlier.stream})
    stop(elsewhere, earlier.stream)
    assert later.rest().decode() == text_of(40)
    earlier.rest()
    assert not earlier.is_whole
    assert machines.ended(earlier)["outcome"] == "stopped"
    assert machines.ended(later)["outcome"] == "ok"


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_a_server_that_stops_lets_a_chat_without_its_client_end(
    kind: str, servers: dict[str, Server], machines: Machines
) -> None:
    elsewhere = servers[ELSEWHERE[kind]]
    with machines.started(kind, "--workers", "2", "--graceful-timeout", "7") as server:
        assert server.process is not None
        machines.upstream.add(words(20), words(20), words(400))
        reloaded = post(server, "reloaded")
        reloaded.leave()
        server.process.send_signal(signal.SIGHUP)
        assert read_again(elsewhere, reloaded.stream).rest().decode() == text_of(20)
        wait_until(lambda: str(reloaded.worker) not in server.pids())
        short, long = post(server, "short"), post(server, "long")
        readers = [read_again(elsewhere, chat.stream) for chat in (short, long)]
        short.leave()
        long.leave()
        server.stop()
        stopped = time.monotonic()
        bytes_read = [reader.rest().decode() for reader in readers]
        assert bytes_read[0] == text_of(20) and readers[0].is_whole
        assert text_of(400).startswith(bytes_read[1]) and not readers[1].is_whole
        server.process.wait(10)
        assert time.monotonic() - stopped < 10
    for chat in (reloaded, short, long):
        assert machines.ended(chat)["worker"] == chat.worker
    outcomes = [machines.ended(chat)["outcome"] for chat in (reloaded, short, long)]
    assert outcomes == ["ok", "ok", "interrupted"]
    assert machines.ended(long)["text"] == bytes_read[1]
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_a_worker_that_has_had_its_requests_lets_a_chat_without_its_client_end(
    kind: str, servers: dict[str, Server], machines: Machines
) -> None:
    with machines.started(kind, "--max-requests", "2", "--graceful-timeout", "20") as server:
        machines.upstream.add(words(30))
        chat = post(server, "worn")
        reader = read_again(servers[ELSEWHERE[kind]], chat.stream)
        chat.leave()
        wait_until(lambda: worker_of(server) != chat.worker)  # it has gone
        result = machines.ended(chat, seconds=0)
        assert (result["outcome"], result["worker"]) == ("ok", chat.worker)
        assert reader.rest().decode() == text_of(30)


def worker_of(server: Server) -> int:
    """Return the process that serves a request."""
    with Client(server, "GET", "/health", prefix="") as client:
        return client.worker


def test_chats_without_clients_have_a_bound_and_give_their_places_back(
    machines: Machines,
) -> None:
    settings = {"FLASK_LLMCHAT_MAX_RUNNING": "200", "FLASK_LLMCHAT_DETACHED_SECONDS": "8"}
    with machines.started("gevent", **settings) as server:
        post(server, "first").rest()
        before = held(server)
        assert before["slots"] == 0
        machines.upstream.add(*[words(400, 0.5)] * 103)
        chats = [post(server, f"many{n}") for n in range(103)]
        for chat in chats:
            chat.leave()
        wait_until(lambda: held(server)["detached"] == 100)
        wait_until(lambda: held(server)["slots"] == 100)
        assert len(running(server)) == 100
        # Nobody reads them, so they end; one is read, and goes on.
        with read_again(server, running(server)[0]) as reader:
            wait_until(lambda: held(server)["detached"] == 1, 20)
            stop(server, reader.stream)
        wait_until(lambda: held(server)["slots"] == held(server)["detached"] == 0)
        outcomes = [machines.ended(chat)["outcome"] for chat in chats]
        assert sorted(outcomes) == ["cancelled"] * 102 + ["stopped"]
        wait_until(lambda: held(server)["watched"] == 0)
        after = held(server)
        # The watchdog's thread lingers, and some connections stay open for the next chats.
        assert after["threads"] <= before["threads"] + 3
        assert after["files"] <= before["files"] + 20


def test_a_silent_chat_without_its_client_has_the_same_bounds(machines: Machines) -> None:
    settings = {
        "FLASK_LLMCHAT_MAX_DETACHED": "1",
        "FLASK_LLMCHAT_DETACHED_SECONDS": "2",
        "FLASK_LLMCHAT_DEADLINE": "60",
    }
    with machines.started("gthread", **settings) as server, ExitStack() as stack:
        machines.upstream.add(*[begun_and_held()] * 2)
        chats = [stack.enter_context(post(server, f"silent{n}")) for n in range(2)]
        chats[0].leave()
        wait_until(lambda: held(server)["detached"] == 1)
        chats[1].leave()
        assert machines.ended(chats[1], 1.9)["outcome"] == "cancelled"
        assert machines.ended(chats[0], 10)["outcome"] == "cancelled"
        wait_until(lambda: held(server)["slots"] == 0)


def test_a_client_that_stops_reading_gives_its_place_back_at_the_deadline(
    machines: Machines,
) -> None:
    with machines.started("gthread", FLASK_LLMCHAT_DEADLINE="3") as server:
        machines.upstream.add(words(40, 0.5), large())
        left, frozen = post(server, "slow"), post(server, "frozen", buffer=4096)
        left.leave()
        with frozen:
            assert frozen.piece()
            assert machines.ended(left)["outcome"] == "deadline"
            wait_until(lambda: held(server)["slots"] == 0)
            assert machines.ended(frozen)["outcome"] == "deadline"
