"""Chats that outlive their clients, on real servers that share a store."""

from __future__ import annotations

import json
import signal
import socket
import time
import traceback
from typing import Any

import pytest

from flask_llmchat import streams
from tests.support.apps import make_app
from tests.support.machines import (
    ELSEWHERE,
    Machines,
    begun_and_held,
    counted_words,
    held,
    large,
    post,
    read,
    running,
    stop,
    text_of,
    wait_until,
    words,
    worker_of,
)
from tests.support.server_processes import Server
from tests.support.streams import DIALECTS, URL, Client, asking


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_reader_elsewhere_gets_the_bytes_of_an_undisturbed_run(
    here: Server, elsewhere: Server, machines: Machines, dialect: str
) -> None:
    machines.upstream.add(words(20), words(20))
    asked, key = len(machines.upstream.requests), f"{here.port}-{dialect}"
    undisturbed = post(here, "undisturbed", dialect)
    left = post(here, "left", dialect, Idempotency_Key=key)
    begun = left.until("word1")
    left.leave()
    again = read(elsewhere, left.stream)
    posted_again = post(elsewhere, "left", dialect, Idempotency_Key=key)
    assert again.stream == posted_again.stream == left.stream
    assert worker_of(again) != worker_of(left)
    came = again.rest()
    assert came.body.startswith(begun) and not came.is_broken
    assert posted_again.rest().body == came.body
    ids = [chat.headers["X-Request-ID"].encode() for chat in (left, undisturbed)]
    assert came.body.replace(*ids) == undisturbed.rest().body
    assert machines.ended(left)["outcome"] == "ok"
    assert machines.ended(left)["text"] == text_of(20)
    # Complete, it is found by its own id alone.
    assert read(elsewhere, left.stream).rest().body == came.body
    assert read(elsewhere, "left").status == 204
    assert len(machines.upstream.requests) == asked + 2


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_stop_from_elsewhere_ends_the_chat_within_a_second(
    here: Server, elsewhere: Server, machines: Machines, dialect: str
) -> None:
    upstream, seconds = machines.upstream, []
    for number in range(3):  # on a machine that has much to do, one may be late
        upstream.add(counted_words(1000))
        gone, name = len(upstream.gone), f"stopped-{dialect}-{number}"
        chat = post(here, name, dialect)
        readers = [chat, read(here, name), read(elsewhere, name)]
        assert all(reader.until("word1") for reader in readers)
        pressed = time.monotonic()
        stop(elsewhere, name)
        upstream.wait_for(lambda u, gone=gone: len(u.gone) > gone)
        seconds.append(upstream.gone[gone] - pressed)
        came = [reader.rest() for reader in readers]
        result = machines.ended(chat)
        assert (result["outcome"], result["worker"]) == ("stopped", worker_of(chat))
        assert result["text"] == text_of(result["tokens"]) and result["tokens"] < 1000
        assert came[0].body == came[1].body == came[2].body
        assert {c.is_broken for c in came} == {dialect == "text"}
        mark = {"text": b"", "ui": b'"type":"abort"', "openai": b'"code":"stopped"'}[dialect]
        assert mark in came[0].body
        if seconds[-1] < 1:
            return
    raise AssertionError(f"the provider's connection was closed after {seconds} s")


def test_a_stop_ends_no_other_chat(here: Server, elsewhere: Server, machines: Machines) -> None:
    machines.upstream.add(words(1000), words(40))
    earlier, later = post(here, "twice"), post(here, "twice")
    stop(elsewhere, "twice", {"activeStreamId": earlier.stream})
    stop(elsewhere, earlier.stream)
    assert later.rest().body.decode() == text_of(40)
    assert earlier.rest().is_broken
    assert machines.ended(earlier)["outcome"] == "stopped"
    assert machines.ended(later)["outcome"] == "ok"


def test_a_caller_has_so_many_chats_on_all_machines_together(
    servers: dict[str, Server], machines: Machines
) -> None:
    machines.upstream.add(*[begun_and_held()] * 8)
    chats = [post(servers[n], f"eight{i}", user="eve") for n in servers for i in range(4)]
    for server in servers.values():
        refused = post(server, "ninth", user="eve").rest()
        assert (refused.status, refused.json["code"]) == (429, "rate_limited")
    for chat in chats:
        stop(servers["gevent"], str(chat.stream), user="eve")
        assert chat.rest().is_broken
    wait_until(lambda: post(servers["gthread"], "ninth", user="eve").rest().status == 200, 30)


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_a_server_that_stops_lets_a_chat_without_its_client_end(
    kind: str, servers: dict[str, Server], machines: Machines
) -> None:
    elsewhere = servers[ELSEWHERE[kind]]
    with machines.started(kind, "--graceful-timeout", "7") as server:
        assert server.process is not None
        machines.upstream.add(words(20), words(20), words(1000))
        reloaded = post(server, "reloaded")
        reloaded.leave()
        server.process.send_signal(signal.SIGHUP)
        assert read(elsewhere, reloaded.stream).rest().body.decode() == text_of(20)
        wait_until(lambda: str(worker_of(reloaded)) not in server.pids(), 30)
        short, long = post(server, "short"), post(server, "long")
        readers = [read(elsewhere, chat.stream) for chat in (short, long)]
        short.leave()
        long.leave()
        server.stop()
        came = [reader.rest() for reader in readers]
        assert [c.is_broken for c in came] == [False, True]
        server.process.wait(10)
    for chat in (reloaded, short, long):
        assert machines.ended(chat)["worker"] == worker_of(chat)
    outcomes = [machines.ended(chat)["outcome"] for chat in (reloaded, short, long)]
    assert outcomes == ["ok", "ok", "interrupted"]
    for chat, read_by in zip((short, long), came, strict=True):
        assert machines.ended(chat)["text"] == read_by.body.decode()
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_a_worker_that_has_had_its_requests_lets_a_chat_without_its_client_end(
    kind: str, servers: dict[str, Server], machines: Machines
) -> None:
    options = ("--preload", "--max-requests", "2", "--graceful-timeout", "20")
    with machines.started(kind, *options) as server:
        machines.upstream.add(words(30))
        chat = post(server, "worn")
        reader = read(servers[ELSEWHERE[kind]], chat.stream)
        chat.leave()
        client, worker = Client(server.port), worker_of(chat)
        wait_until(lambda: worker_of(client.ask("GET", "/health")) != worker, 30)  # it has gone
        result = machines.ended(chat)
        assert (result["outcome"], result["worker"]) == ("ok", worker)
        assert reader.rest().body.decode() == text_of(30)


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
        wait_until(lambda: held(server)["watched"] == 0, 30)
        after = held(server)
        # The watchdog's thread lingers, and some connections stay open for the next chats.
        assert after["threads"] <= before["threads"] + 3
        assert after["files"] <= before["files"] + 20


def test_a_silent_chat_without_its_client_has_the_same_bounds(machines: Machines) -> None:
    settings = {"FLASK_LLMCHAT_MAX_DETACHED": "2", "FLASK_LLMCHAT_DETACHED_SECONDS": "3"}
    with machines.started("gthread", **settings) as server:
        machines.upstream.add(*[begun_and_held()] * 3)
        one_too_many, alone, is_read = (post(server, f"silent{n}") for n in range(3))
        reader = read(server, is_read.stream)
        is_read.leave()
        alone.leave()
        wait_until(lambda: held(server)["detached"] == 2, 30)
        one_too_many.leave()
        assert machines.ended(one_too_many)["outcome"] == "cancelled"
        assert machines.ended(alone)["outcome"] == "cancelled"
        assert running(server) == [reader.stream]
        reader.leave()
        assert machines.ended(is_read)["outcome"] == "cancelled"
        wait_until(lambda: held(server)["slots"] == 0, 30)


def test_a_client_that_stops_reading_gives_its_place_back_at_the_deadline(
    machines: Machines,
) -> None:
    content = json.dumps(asking("text", "frozen")).encode()
    head = f"POST {URL} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(content)}\r\n\r\n"
    with machines.started("gthread", FLASK_LLMCHAT_DEADLINE="4") as server:
        machines.upstream.add(words(40, 0.5))
        left = post(server, "left")
        left.leave()
        with socket.socket() as frozen:
            frozen.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            frozen.connect(("127.0.0.1", server.port))
            machines.upstream.add(large())
            frozen.sendall(head.encode() + content)
            assert frozen.recv(1)
            assert machines.ended(left)["outcome"] == "deadline"
            wait_until(lambda: held(server)["slots"] == 0, 30)
            assert [r["outcome"] for r in machines.results() if r["conversation"] == "frozen"] == [
                "deadline"
            ]


def routes(server: Server, name: str, stream: str | None, **who: str) -> list[Any]:
    """Ask each route for a stream, as somebody whose it is not."""
    for id in (name, str(stream)):
        assert read(server, id, **who).status == 204
        assert read(server, f"{id}/stream?after=3&x=", **who).status == 204
        stop(server, id, **who)
    return running(server, **who)


def test_a_chat_is_there_for_its_caller_alone(
    servers: dict[str, Server], machines: Machines
) -> None:
    server, elsewhere = servers["gthread"], servers["gevent"]
    machines.upstream.add(words(1000))
    chat = post(server, "mine", X_Team="red", Idempotency_Key="k")
    chat.until("word1")
    strangers = [
        {"user": "bob"},
        {"user": "bob", "X_Team": "red"},
        {"user": "ada"},
        {"user": "ada", "X_Team": "blue"},
        {"user": '["ada", "red"]'},
        {"user": ""},
    ]
    for stranger in strangers:
        assert routes(elsewhere, "mine", chat.stream, **stranger) == [], stranger
    machines.upstream.add(words(1))
    same = post(elsewhere, "mine", user="bob", X_Team="red", Idempotency_Key="k")
    assert same.stream not in (None, chat.stream)
    assert same.rest().body.decode() == text_of(1)
    assert running(elsewhere, X_Team="red") == [chat.stream]
    stop(elsewhere, "mine", X_Team="red")
    assert machines.ended(chat)["outcome"] == "stopped"
    chat.leave()


def test_apps_and_instances_with_one_store_know_nothing_of_each_other(
    servers: dict[str, Server], machines: Machines
) -> None:
    """The other app is served by the development server, whose chats outlive clients, too."""
    first = servers["gevent"]
    with machines.started("dev", NAME="other") as other:
        places = [(first, "/api/chat"), (first, "/second"), (other, "/api/chat")]
        machines.upstream.add(*[words(1000)] * 3)
        sent, key = asking("text", "same"), {"Idempotency_Key": "k"}
        clients = [Client(server.port) for server, _ in places]
        paths = [f"{prefix}/openai" for _, prefix in places]
        chats = [
            client.open("POST", path, sent, **key)
            for client, path in zip(clients, paths, strict=True)
        ]
        assert all(chat.until("word1") for chat in chats)
        ids = [chat.stream for chat in chats]
        assert len(set(ids)) == 3
        for n, client in enumerate(clients):
            assert running(places[n][0], prefix=places[n][1]) == [ids[n]]
            for stranger in {*ids} - {ids[n]}:
                assert client.ask("GET", f"{paths[n]}/{stranger}/stream").status == 204
                client.ask("POST", f"{paths[n]}/{stranger}/stop")
            chats[n].leave()
        for n, client in enumerate(clients):
            reader = client.open("GET", f"{paths[n]}/same/stream")
            assert reader.stream == ids[n]
            client.ask("POST", f"{paths[n]}/same/stop")
            assert machines.ended(chats[n])["outcome"] == "stopped"
            assert reader.rest().body.decode() == machines.ended(chats[n])["text"]
            assert all(running(s, prefix=prefix) for s, prefix in places[n + 1 :])


def test_memory_in_several_workers_is_warned_of_once(machines: Machines) -> None:
    options = ("--workers", "2", "--preload")
    with machines.started("gthread", *options, FLASK_LLMCHAT_STORE="memory://") as server:
        workers = {worker_of(post(server, f"m{n}").rest()) for n in range(6)}
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
    shown = traceback.format_exception(raised.value)
    assert not [line for line in shown if "planted" in line and "make_app" not in line]


def test_a_missing_package_is_named_when_the_app_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"pip install 'flask-llmchat\[redis\]'"):
        make_app(config={"LLMCHAT_STORE": "redis://host"})
