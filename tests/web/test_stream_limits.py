"""How many streams there may be, how large they get, and how long they last."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from flask_llmchat.streams.response import StreamedResponse
from flask_llmchat.testing import HOLD, FakeUpstream, Reply, text_reply
from flask_llmchat.transport import watchdog
from flask_llmchat.transport.runtime import current_runtime
from tests.support.apps import finished, ui_body
from tests.support.streams import (
    PATHS,
    URL,
    Client,
    Opened,
    asking,
    frames_of,
    keeping,
    visited,
)
from tests.support.tool_chats import wait_for

HALF = text_reply("Half", then=[HOLD], finish_reason=None, done=False)
ENDLESS = text_reply(*["word "] * 400, delay=0.02)
HUGE = Reply(body=[*text_reply(*["x" * 100_000] * 300, finish_reason=None, done=False).body, HOLD])


@pytest.fixture(autouse=True)
def no_slot_is_left() -> Iterator[None]:
    yield
    runtime = current_runtime()
    wait_for(lambda: not runtime.slots and not runtime.detached_slots and not len(runtime.watchdog))


def stop_all(client: Client, *opened: Opened) -> None:
    for one in opened:
        client.stop(str(one.stream))
        one.rest()


# How many.


def test_a_caller_may_have_so_many_running_streams(
    dialect: str, store: str, upstream: FakeUpstream
) -> None:
    upstream.add(*[HALF] * 4, text_reply("Done."))
    app = keeping(upstream, store=store, max_running=2)
    with visited(app) as ada, finished(app) as done:
        running = [ada.post(dialect, f"c{n}") for n in range(2)]
        refused = ada.post(dialect, "c3").rest()
        assert (refused.status, refused.stream) == (429, None)
        assert b"2 answers are being written for you already." in refused.body
        if dialect == "text":
            assert refused.json["code"] == "rate_limited"
        assert ada.get("c3").status == 204
        assert not done.results and len(upstream.requests) == 2
        # Those of another caller, and of nobody, do not count.
        bobs, nobodys = ada.other("bob").post(dialect), ada.other("").post(dialect)
        assert (bobs.status, nobodys.status) == (200, 200)
        running[0].leave()  # it goes on
        assert ada.post(dialect, "c3").rest().status == 429
        stop_all(ada, running[1])
        assert ada.post(dialect, "c3").rest().status == 200
        stop_all(ada, running[0])
        stop_all(ada.other("bob"), bobs)
        nobodys.leave()


def test_readers_count_as_chats_do(dialect: str, store: str, upstream: FakeUpstream) -> None:
    upstream.add(HALF)
    with visited(keeping(upstream, store=store, max_streams=2)) as client:
        writing = client.post(dialect)
        reader = client.open("GET", f"{URL}/c1/stream")
        reader.until("Half")
        refused = client.get("c1")
        assert (refused.status, refused.json["code"]) == (503, "overloaded")
        assert refused.headers["Retry-After"]
        assert client.post(dialect, "c2").rest().status == 503
        # What is not a reader needs no slot.
        assert client.get("nothing").status == 204
        assert len(client.ask("GET", "/api/chat/streams").json) == 1
        assert client.stop("c1").status == 200
        reader.rest()
        writing.rest()
        wait_for(lambda: client.get(str(writing.stream)).status == 200 or dialect == "text")


def test_a_reader_that_leaves_frees_its_slot(upstream: FakeUpstream) -> None:
    upstream.add(HALF)
    with visited(keeping(upstream, max_streams=2, heartbeat=0.05)) as client:
        writing = client.post("ui")
        reader = client.open("GET", f"{URL}/c1/stream")
        reader.until("Half")
        reader.leave()
        wait_for(lambda: client.ask("HEAD", f"{URL}/c1/stream").status == 200)
        stop_all(client, writing)


def test_a_chat_without_its_client_keeps_its_slot(upstream: FakeUpstream) -> None:
    upstream.add(HALF)
    with visited(keeping(upstream, max_streams=1)) as client:
        writing = client.post("ui")
        writing.until("Half")
        writing.leave()
        assert client.post("ui", "c2").rest().status == 503
        client.stop("c1")
        wait_for(lambda: client.post("ui", "c2").rest().status == 200)


def test_so_many_chats_go_on_without_their_clients(
    dialect: str, store: str, upstream: FakeUpstream
) -> None:
    app = keeping(upstream, store=store, max_detached=1)
    upstream.add(ENDLESS, ENDLESS)
    with visited(app) as client, finished(app) as done:
        first, second = client.post(dialect, "c1"), client.post(dialect, "c2")
        first.leave()
        wait_for(lambda: len(current_runtime().detached_slots) == 1)
        second.leave()
        assert (done.only.outcome, done.only.conversation_id) == ("cancelled", "c2")
        assert upstream.wait_for(lambda fake: len(fake.gone) == 1)
        # Who comes for it afterwards does not take it for complete.
        came = client.get(str(second.stream))
        if dialect == "text":
            assert came.is_broken or came.status == 500
        elif dialect == "ui":
            assert [f["type"] for f in frames_of(came.body)[-3:-1]] == ["abort", "finish"]
        else:
            assert frames_of(came.body)[-1]["error"]["code"] == "cancelled"
        client.stop("c1")
        assert done.wait(2)[1].outcome == "stopped"


@pytest.mark.parametrize(("streams", "detached"), [(None, 100), (7, 3), (1, 1)])
def test_half_of_the_slots_may_be_without_clients(
    streams: int | None, detached: int, upstream: FakeUpstream
) -> None:
    app = keeping(upstream, max_streams=streams)
    state = app.extensions["llmchat"]["llmchat"]
    with app.test_request_context():
        assert state.streams._default_detached() == detached


def test_a_chat_goes_on_for_so_long_while_nobody_reads_it(
    dialect: str, store: str, upstream: FakeUpstream
) -> None:
    upstream.add(ENDLESS)
    app = keeping(upstream, store=store, detached_seconds=0.5)
    with visited(app) as client, finished(app) as done:
        client.post(dialect).leave()
        assert done.only.outcome == "cancelled"
        assert "word" in done.only.text
    upstream.wait_for(lambda fake: len(fake.gone) == 1)


@pytest.mark.slow
def test_a_chat_goes_on_while_anybody_reads_it(
    dialect: str, store: str, upstream: FakeUpstream
) -> None:
    upstream.add(text_reply(*["word "] * 20, delay=0.1))
    app = keeping(upstream, store=store, detached_seconds=0.5)
    with visited(app) as client, finished(app) as done:
        writing = client.post(dialect)
        reader = client.open("GET", f"{URL}/c1/stream")
        reader.until("word")
        writing.leave()
        assert not reader.rest().is_broken
        assert (done.only.outcome, done.only.text) == ("ok", "word " * 20)


# How large.


def test_a_response_that_is_too_large_goes_on_for_its_client_alone(
    dialect: str, store: str, upstream: FakeUpstream
) -> None:
    words = [f"{n}" * 300 for n in range(10)]
    upstream.add(text_reply(*words, delay=0.05))
    app = keeping(upstream, store=store, stream_max_bytes=1500)
    with visited(app) as client, finished(app) as done:
        writing = client.post(dialect)
        reader = client.open("GET", f"{URL}/c1/stream")
        whole = writing.rest()
        assert not whole.is_broken and words[9].encode() in whole.body
        assert done.only.text == "".join(words)
        cut = reader.rest()
        if dialect == "text":
            assert cut.is_broken
        elif dialect == "ui":
            *_, error, end = frames_of(cut.body)
            assert (error["type"], end) == ("error", "[DONE]")
        else:
            assert frames_of(cut.body)[-1]["error"]["code"] == "interrupted"
        assert client.get(str(writing.stream)).status == 204


def test_a_client_that_leaves_a_response_that_is_too_large_ends_the_chat(
    dialect: str, store: str, upstream: FakeUpstream
) -> None:
    upstream.add(text_reply("x" * 2000, *["word "] * 400, delay=0.02))
    app = keeping(upstream, store=store, stream_max_bytes=1000)
    with visited(app) as client, finished(app) as done:
        writing = client.post(dialect)
        writing.until("word")
        assert client.get("c1").status == 204
        writing.leave()
        assert done.only.outcome == "cancelled"
    upstream.wait_for(lambda fake: len(fake.gone) == 1)


@pytest.mark.parametrize("largest", [100, 2_000])
def test_a_message_that_is_too_large_to_be_continued_again_is_not_kept(
    largest: int, upstream: FakeUpstream
) -> None:
    parts = [{"type": "text", "text": "x" * 1000, "state": "done"}]
    body = ui_body()
    body["messages"].append({"id": "a1", "role": "assistant", "parts": parts})
    with visited(keeping(upstream, stream_max_bytes=largest)) as client:
        came = client.open("POST", URL, body).rest()
        assert (came.status, came.stream is None) == (200, largest == 100)


def test_all_that_is_kept_in_memory_has_a_bound(upstream: FakeUpstream) -> None:
    """The earlier parts of messages as well: a client may send megabytes of them."""
    parts = [{"type": "text", "text": "x" * 500_000, "state": "done"}]
    body = ui_body()
    body["messages"].append({"id": "a1", "role": "assistant", "parts": parts})
    app = keeping(upstream, store_max_bytes=2_000_000)
    client, kept = app.test_client(), []
    for _ in range(3):
        client.post(URL, json=body)
    tracemalloc.start()
    for _ in range(8):
        with client.post(URL, json=body) as response:
            assert response.data
            kept.append(response.headers["X-LLMChat-Stream"])
    upstream.requests.clear()  # which have it, too
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 2_500_000
    status = [client.get(f"{URL}/{stream}/stream").status_code for stream in kept]
    assert status[-1] == 200 and status[0] == 204


# How long.


def test_a_response_is_kept_for_so_long(dialect: str, store: str, upstream: FakeUpstream) -> None:
    with visited(keeping(upstream, store=store, stream_keep=0.4)) as client:
        came = client.post(dialect).rest()
        assert client.get(str(came.stream)).body == came.body
        wait_for(lambda: client.get(str(came.stream)).status == 204)


class Stuck:
    """A client that sends a request, and never reads."""

    def __init__(self, client: Client, method: str, path: str, sent: Any = None) -> None:
        self.connection = client.send(method, path, sent)

    def close(self) -> None:
        self.connection.close()


@pytest.mark.slow
def test_a_client_that_does_not_read_holds_its_chat_until_the_deadline_alone(
    dialect: str, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "_WRITE_GRACE", 0.2)
    upstream.add(HUGE)
    app = keeping(upstream, deadline=1.5, read_timeout=10, stream_max_bytes=2**30)
    with visited(app) as client, finished(app) as done:
        stuck = Stuck(client, "POST", PATHS[dialect], asking(dialect))
        assert done.wait(1, 10)[0].outcome == "deadline"
        wait_for(lambda: not current_runtime().slots)
        stuck.close()


@pytest.mark.slow
def test_a_reader_that_does_not_read_is_cut_off(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "_WRITE_GRACE", 0.2)
    upstream.add(Reply(body=[*text_reply(*["x" * 100_000] * 300).body]))
    app = keeping(upstream, stream_max_bytes=2**30)
    app.extensions["llmchat"]["llmchat"].streams.longest = 1.0
    with visited(app) as client:
        writing = client.post("ui").rest()
        stuck = Stuck(client, "GET", f"{URL}/{writing.stream}/stream")
        wait_for(lambda: current_runtime().slots)
        wait_for(lambda: not current_runtime().slots)
        stuck.close()


def test_a_response_that_no_server_closes_does_not_go_on(upstream: FakeUpstream) -> None:
    """A garbage collection ends it, and must not wait for it."""
    upstream.add(ENDLESS)
    app = keeping(upstream)
    with finished(app) as done:
        response = app.test_client().post(URL, json=asking("text"))
        assert next(response.response)
        del response
        gc.collect()
        assert done.only.outcome == "cancelled"


def test_a_thread_that_is_made_to_end_ends_the_chat_it_goes_on_with(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exits(self: StreamedResponse) -> bool:
        raise SystemExit

    monkeypatch.setattr(StreamedResponse, "goes_on", exits)
    upstream.add(ENDLESS)
    app = keeping(upstream)
    with finished(app) as done:
        response = app.test_client().post(URL, json=asking("text"))
        assert next(response.response)
        with pytest.raises(SystemExit):
            response.close()
        assert done.only.outcome == "cancelled"
    assert not current_runtime().slots
