"""Chats that outlive their clients, on real servers that share a store."""

from __future__ import annotations

import signal
import time
import traceback
from typing import Any

import pytest

from flask_llmchat import streams
from tests.servers.conftest import ELSEWHERE
from tests.support.apps import make_app
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
    with machines.started("gevent", FLASK_LLMCHAT_MAX_RUNNING="200") as server:
        post(server, "first").rest()
        before = held(server)
        assert before["slots"] == 0
        machines.upstream.add(*[begun_and_held()] * 103)
        chats = [post(server, f"many{n}") for n in range(103)]
        for chat in chats:
            chat.leave()
        wait_until(lambda: held(server)["slots"] == 100, 30)
        assert held(server)["detached"] == 100
        assert len(running(server)) == 100
        for stream in running(server):
            stop(server, stream)
        wait_until(lambda: held(server)["slots"] == held(server)["detached"] == 0, 30)
        outcomes = [machines.ended(chat)["outcome"] for chat in chats]
        assert sorted(outcomes) == ["cancelled"] * 3 + ["stopped"] * 100
        wait_until(lambda: held(server)["watched"] == 0)
        after = held(server)
        # The watchdog's thread lingers, and some connections stay open for the next chats.
        assert after["threads"] <= before["threads"] + 3
        assert after["files"] <= before["files"] + 20


def test_a_silent_chat_without_its_client_has_the_same_bounds(machines: Machines) -> None:
    settings = {"FLASK_LLMCHAT_MAX_DETACHED": "2", "FLASK_LLMCHAT_DETACHED_SECONDS": "3"}
    with machines.started("gthread", **settings) as server:
        machines.upstream.add(*[begun_and_held()] * 3)
        one_too_many, alone, is_read = (post(server, f"silent{n}") for n in range(3))
        with read_again(server, is_read.stream) as reader:
            is_read.leave()
            alone.leave()
            wait_until(lambda: held(server)["detached"] == 2)
            one_too_many.leave()
            assert machines.ended(one_too_many)["outcome"] == "cancelled"
            assert machines.ended(alone)["outcome"] == "cancelled"
            assert running(server) == [reader.stream]
        assert machines.ended(is_read)["outcome"] == "cancelled"
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


def routes(server: Server, name: str, stream: str, **more: Any) -> list[Any]:
    """Return what each route says of a stream to somebody whose it is not."""
    found: list[Any] = [
        read_again(server, id, query, **more).status
        for id in (name, stream)
        for query in ("", "?after=3")
    ]
    found += [stop(server, id, **more) for id in (name, stream)]
    return [*found, running(server, **more)]


NOT_THERE = [204, 204, 204, 204, {"success": True}, {"success": True}, []]


def test_a_chat_is_there_for_its_caller_alone(
    servers: dict[str, Server], machines: Machines
) -> None:
    server, elsewhere = servers["gthread"], servers["gevent"]
    machines.upstream.add(words(400))
    with post(server, "mine", X_Team="red", Idempotency_Key="k") as chat:
        chat.piece()
        others: list[dict[str, Any]] = [
            {"caller": "bob"},
            {"caller": "bob", "X_Team": "red"},
            {"caller": "ada"},
            {"caller": "ada", "X_Team": "blue"},
            {"caller": '["ada", "red"]'},
            {"caller": None},
        ]
        for other in others:
            assert routes(elsewhere, "mine", chat.stream, **other) == NOT_THERE, other
        machines.upstream.add(words(1))
        same = post(elsewhere, "mine", caller="bob", X_Team="red", Idempotency_Key="k")
        assert same.stream not in ("", chat.stream)
        assert same.rest().decode() == text_of(1)
        assert running(elsewhere, X_Team="red") == [chat.stream]
        stop(elsewhere, "mine", X_Team="red")
        assert machines.ended(chat)["outcome"] == "stopped"


def test_apps_and_instances_with_one_store_know_nothing_of_each_other(
    servers: dict[str, Server], machines: Machines
) -> None:
    """The other app is served by the development server, whose chats outlive clients, too."""
    first = servers["gevent"]
    with machines.started("dev", NAME="other") as other:
        places = [(first, "/api/chat"), (first, "/second"), (other, "/api/chat")]
        machines.upstream.add(*[words(400)] * 3)
        chats = [
            post(server, "same", prefix=prefix, Idempotency_Key="k") for server, prefix in places
        ]
        assert all(chat.piece() for chat in chats)
        assert len({chat.stream for chat in chats}) == 3
        for chat, (server, prefix) in zip(chats, places, strict=True):
            assert running(server, prefix=prefix) == [chat.stream]
            for stranger in {c.stream for c in chats} - {chat.stream}:
                assert read_again(server, stranger, prefix=prefix).status == 204
                stop(server, stranger, prefix=prefix)
        for chat in chats:
            chat.leave()
        readers = [read_again(server, "same", prefix=prefix) for server, prefix in places]
        for number, (server, prefix) in enumerate(places):
            assert readers[number].stream == chats[number].stream
            stop(server, "same", prefix=prefix)
            assert machines.ended(chats[number])["outcome"] == "stopped"
            assert readers[number].rest().decode() == machines.ended(chats[number])["text"]
            assert all(running(s, prefix=p) for s, p in places[number + 1 :])


def test_memory_in_several_workers_is_warned_of_once(machines: Machines) -> None:
    options = ("--workers", "2")
    with machines.started("gthread", *options, FLASK_LLMCHAT_STORE="memory://") as server:
        workers = set()
        for n in range(6):
            chat = post(server, f"m{n}")
            chat.rest()
            workers.add(chat.worker)
        log = server.log.read_text()
    assert log.count("LLMCHAT_STORE is memory://, and this app has 2 workers") == len(workers)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("redis://:planted-secret@host:port", "LLMCHAT_STORE has no valid host and port"),
        ("postgres://u:planted-secret@host/0", "LLMCHAT_STORE must begin with memory://"),
        ("redis+cluster://:planted-secret@host", "LLMCHAT_STORE must begin with memory://"),
    ],
)
def test_an_address_of_no_store_is_refused_when_the_app_starts(address: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        make_app(config={"LLMCHAT_STORE": address, "LLMCHAT_RESUMABLE": True})
    assert "planted" not in "".join(traceback.format_exception(raised.value)[1:])
    assert "planted" not in str(raised.value)


def test_a_missing_package_is_named_when_the_app_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"pip install 'flask-llmchat\[redis\]'"):
        make_app(config={"LLMCHAT_STORE": "redis://host"})
