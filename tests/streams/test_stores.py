"""What every store does. ``elsewhere`` is the same store, in another worker where there is one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from flask_llmchat.streams import make_store
from flask_llmchat.streams.base import (
    KeyEntry,
    KeyInUse,
    Limits,
    StoreUnavailable,
    StreamStore,
    TooManyRunning,
)
from tests.support.stores import info, read_all, wait_until

EVENTS = [f'data: {{"delta":"{word}"}}\n\n'.encode() for word in ("one", "zwei", "три", "四")]
NewStore = Callable[..., StreamStore]


def test_a_running_stream_is_read_elsewhere_from_its_beginning(
    store: StreamStore, elsewhere: StreamStore
) -> None:
    writer = store.open(info(), print)
    writer.append(EVENTS[0], "one")
    reader = elsewhere.read("ada", writer.info.id)
    assert reader is not None
    assert reader.read(5) == EVENTS[0]
    assert reader.read(0.02) is None
    writer.append(EVENTS[1], "zwei")
    assert reader.read(5) == EVENTS[1]
    assert writer.claim_end("ok")
    writer.append(EVENTS[2])
    writer.end()
    assert read_all(reader) == EVENTS[2]
    assert (reader.outcome, reader.is_whole, reader.read()) == ("ok", True, b"")
    reader.close()


def test_who_has_read_the_end_does_not_find_it_running(store: StreamStore) -> None:
    for _ in range(10):
        writer = store.open(info(), print)
        writer.append(EVENTS[0])
        reader = store.read("ada", writer.info.id)
        writer.claim_end("ok")
        ending = threading.Thread(target=writer.end)
        ending.start()
        assert read_all(reader) == EVENTS[0]
        assert store.find("ada", "c1") is None
        assert store.find("ada", writer.info.id) is not None
        ending.join()


def test_a_reader_that_comes_late_gets_the_same_bytes(
    store: StreamStore, elsewhere: StreamStore
) -> None:
    writer = store.open(info(), print)
    early = elsewhere.read("ada", writer.info.id)
    for event in EVENTS:
        writer.append(event)
    writer.claim_end("length")
    writer.end()
    late = elsewhere.read("ada", writer.info.id)
    assert read_all(early) == read_all(late) == b"".join(EVENTS)
    assert late is not None and late.outcome == "length"


def test_reading_from_every_event_and_every_byte(
    store: StreamStore, elsewhere: StreamStore
) -> None:
    writer = store.open(info(), print)
    writer.append(EVENTS[0] + EVENTS[1])  # several events that came in one read
    writer.append(EVENTS[2] + EVENTS[3])
    writer.claim_end("ok")
    writer.end()
    for count in range(len(EVENTS) + 2):  # a client may have more than was stored
        reader = elsewhere.read("ada", writer.info.id, after_events=count)
        assert read_all(reader) == b"".join(EVENTS[count:])
    whole = b"".join(EVENTS)
    for count in range(len(whole) + 2):
        reader = elsewhere.read("ada", writer.info.id, after_bytes=count)
        assert read_all(reader) == whole[count:]


def test_an_offset_that_is_not_reached_yet_is_waited_for(
    store: StreamStore, elsewhere: StreamStore
) -> None:
    writer = store.open(info(), print)
    by_events = elsewhere.read("ada", writer.info.id, after_events=2)
    by_bytes = elsewhere.read("ada", writer.info.id, after_bytes=len(EVENTS[0]) + 3)
    assert by_events is not None and by_bytes is not None
    writer.append(EVENTS[0])
    assert by_events.read(0.05) is by_bytes.read(0.05) is None
    writer.append(EVENTS[1] + EVENTS[2])
    assert by_events.read(5) == EVENTS[2]
    assert by_bytes.read(5) == EVENTS[1][3:] + EVENTS[2]


def test_only_its_owner_finds_reads_or_stops_a_stream(
    store: StreamStore, elsewhere: StreamStore
) -> None:
    stopped: list[str] = []
    writer = store.open(info("ada"), stopped.append, idempotency_key="k")
    for name in ("c1", writer.info.id):
        assert elsewhere.find("eve", name) is None
    assert elsewhere.read("eve", writer.info.id) is None
    assert not elsewhere.stop("eve", writer.info.id)
    assert elsewhere.running("eve") == []
    assert elsewhere.find_key("eve", "k") is None
    assert elsewhere.find("ada", "c1") == elsewhere.find("ada", writer.info.id) == writer.info
    assert elsewhere.running("ada") == [writer.info]
    assert not stopped and writer.interruption is None


@pytest.mark.parametrize(
    "name",
    ["a/b", "%2F..", "x" * 1_000_000, "", "\0", "\ud800", "c:log", "*", "é", "0" * 32],
    ids=range(10),
)
def test_a_conversation_may_have_any_id(
    store: StreamStore, elsewhere: StreamStore, name: str
) -> None:
    writer = store.open(info(conversation=name), print, idempotency_key=name)
    assert elsewhere.find("ada", name) == writer.info
    assert elsewhere.find_key("ada", name) == KeyEntry(writer.info.id, "")
    assert elsewhere.find("ada", name + "x") is None
    assert elsewhere.read("ada", name) is None
    assert not elsewhere.stop("ada", name)


def test_owners_and_conversations_do_not_run_together(store: StreamStore) -> None:
    store.open(info("ada", "bc"), print)
    assert store.find("adab", "c") is None


def test_a_conversation_is_over_once_its_newest_stream_is(
    store: StreamStore, elsewhere: StreamStore
) -> None:
    first = store.open(info(), print)
    second = store.open(info(), print)
    assert elsewhere.find("ada", "c1") == second.info
    assert elsewhere.find("ada", first.info.id) == first.info
    second.claim_end("ok")
    assert elsewhere.find("ada", "c1") == second.info  # as chat_finished has not been sent yet
    second.end()
    assert elsewhere.find("ada", "c1") is None
    assert elsewhere.find("ada", second.info.id) == second.info
    assert [found.id for found in elsewhere.running("ada")] == [first.info.id]


def test_a_stream_that_is_over_is_kept_for_a_while(new_store: NewStore) -> None:
    store = new_store(keep=0.3)
    writer = store.open(info(), print, idempotency_key="k")
    writer.append(EVENTS[0])
    writer.claim_end("ok")
    writer.end()
    assert read_all(store.read("ada", writer.info.id)) == EVENTS[0]
    assert store.find_key("ada", "k") is not None
    wait_until(lambda: store.read("ada", writer.info.id) is None)
    assert store.find_key("ada", "k") is None


def test_stop_reaches_the_writer(store: StreamStore, elsewhere: StreamStore) -> None:
    stopped: list[str] = []
    writer = store.open(info(), stopped.append)
    other = store.open(info(conversation="c2"), print)
    assert elsewhere.stop("ada", writer.info.id)
    wait_until(lambda: stopped)
    assert elsewhere.stop("ada", writer.info.id)  # pressed twice
    assert (stopped, writer.interruption, other.interruption) == (["stopped"], "stopped", None)
    assert writer.claim_end("stopped")
    writer.end()
    assert not elsewhere.stop("ada", writer.info.id)
    reader = elsewhere.read("ada", writer.info.id)
    assert read_all(reader) == b"" and reader is not None and reader.outcome == "stopped"


def test_an_ending_is_claimed_once(store: StreamStore) -> None:
    writer = store.open(info(), print)
    writer.end()  # which was not claimed
    assert store.find("ada", "c1") is not None
    assert [writer.claim_end("ok"), writer.claim_end("length")] == [True, False]
    writer.end()
    writer.end()
    writer.append(b"late")
    assert writer.claim_end("ok") is False
    reader = store.read("ada", writer.info.id)
    assert read_all(reader) == b"" and reader is not None and reader.outcome == "ok"


def test_a_discarded_stream_was_never_there(store: StreamStore, elsewhere: StreamStore) -> None:
    writer = store.open(info(), print, max_running=1, idempotency_key="k")
    attached = elsewhere.read("ada", writer.info.id)
    writer.discard()
    assert read_all(attached) == b""
    assert attached is not None and (attached.outcome, attached.is_whole) == ("refused", False)
    wait_until(lambda: elsewhere.find_key("ada", "k") is None)
    assert elsewhere.find("ada", "c1") is None
    assert elsewhere.running("ada") == []
    store.open(info(), print, max_running=1, idempotency_key="k")


def test_an_idempotency_key_is_used_once(store: StreamStore, elsewhere: StreamStore) -> None:
    assert store.find_key("ada", "k") is None
    writer = store.open(info(), print, idempotency_key="k", digest="abc")
    entry = KeyEntry(writer.info.id, "abc")
    assert elsewhere.find_key("ada", "k") == entry
    with pytest.raises(KeyInUse) as raised:
        elsewhere.open(info(), print, idempotency_key="k", digest="def")
    assert raised.value.entry == entry
    assert [found.id for found in store.running("ada")] == [writer.info.id]
    elsewhere.open(info("bob"), print, idempotency_key="k")


def test_many_at_once_with_one_key_open_one_stream(
    store: StreamStore, elsewhere: StreamStore
) -> None:
    opened: list[str] = []
    attached: list[str] = []

    def post(store: StreamStore) -> None:
        try:
            opened.append(store.open(info(), print, idempotency_key="k").info.id)
        except KeyInUse as error:
            attached.append(error.entry.stream_id)

    threads = [threading.Thread(target=post, args=(s,)) for s in [store, elsewhere] * 6]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 1 and attached == opened * 11


def test_an_owner_has_so_many_running_streams(store: StreamStore, elsewhere: StreamStore) -> None:
    first = store.open(info(conversation=None), print, max_running=2)
    elsewhere.open(info(), print, max_running=2)
    for worker in (store, elsewhere):
        with pytest.raises(TooManyRunning):
            worker.open(info(), print, max_running=2, idempotency_key="k")
    store.open(info("bob"), print, max_running=2)
    first.claim_end("ok")
    first.end()
    wait_until(lambda: elsewhere.find_key("ada", "k") is None)
    elsewhere.open(info(), print, max_running=2, idempotency_key="k")
    assert len(store.running("ada")) == 2


def test_something_is_claimed_once_and_for_so_long(
    store: StreamStore, elsewhere: StreamStore
) -> None:
    soon = time.time() + 0.3
    assert [store.claim("a", soon), elsewhere.claim("a", soon), store.claim("b", soon)] == [
        True,
        False,
        True,
    ]
    assert not store.claim("c", time.time() - 1)
    wait_until(lambda: time.time() > soon + 0.05)
    assert not store.claim("a", soon)
    assert store.claim("a", time.time() + 5)


def test_one_of_many_claims_at_once_succeeds(store: StreamStore, elsewhere: StreamStore) -> None:
    won: list[bool] = []
    until = time.time() + 60
    threads = [
        threading.Thread(target=lambda s=s: won.append(s.claim("a", until)))
        for s in [store, elsewhere] * 8
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 15 + [True]


def test_a_log_that_grows_too_large_is_lost_and_the_chat_is_not(new_store: NewStore) -> None:
    store = new_store(max_bytes=1000)
    stopped: list[str] = []
    writer = store.open(info(), stopped.append)
    writer.append(b"x" * 900, "x" * 900)
    reader = store.read("ada", writer.info.id)
    assert reader is not None and reader.read(5) == b"x" * 900
    writer.append(b"x" * 101)
    assert read_all(reader) == b""
    assert (reader.outcome, reader.is_whole, writer.is_kept) == ("interrupted", False, False)
    assert store.read("ada", writer.info.id) is None
    assert [found.id for found in store.running("ada")] == [writer.info.id]
    assert store.stop("ada", writer.info.id)
    wait_until(lambda: stopped)
    assert writer.claim_end("stopped")
    writer.end()
    assert store.running("ada") == []
    assert store.read("ada", writer.info.id) is None


def test_a_stream_that_never_ends_is_given_up(new_store: NewStore) -> None:
    store = new_store(longest=0.2)
    ended: list[str] = []
    writer = store.open(info(), ended.append, max_running=1)
    reader = store.read("ada", writer.info.id)
    time.sleep(0.25)

    def opened() -> bool:
        try:
            return bool(store.open(info("ada", "c2"), print, max_running=1))
        except TooManyRunning:
            return False

    wait_until(opened)
    assert read_all(reader) == b"" and reader is not None and not reader.is_whole
    assert ended == ["interrupted"]
    assert writer.claim_end("ok")  # nobody else has told of this chat
    writer.end()


def test_a_writer_knows_whether_anybody_reads(store: StreamStore, elsewhere: StreamStore) -> None:
    writer = store.open(info(), print)
    assert not writer.has_readers
    reader = elsewhere.read("ada", writer.info.id)
    assert reader is not None
    wait_until(lambda: writer.has_readers)
    reader.close()
    wait_until(lambda: not writer.has_readers)
    reader.close()
    assert reader.read() == b""


def test_a_large_log_is_read_in_pieces(store: StreamStore, elsewhere: StreamStore) -> None:
    writer = store.open(info(), print)
    sent = b"".join(b"%07d," % n for n in range(300_000))
    for start in range(0, len(sent), 50_000):
        writer.append(sent[start : start + 50_000])
    writer.claim_end("ok")
    writer.end()
    reader = elsewhere.read("ada", writer.info.id)
    assert reader is not None
    first = reader.read(5)
    assert first and len(first) < 2**20
    assert first + read_all(reader) == sent


def test_memory_removes_the_oldest_finished_stream_for_a_new_one() -> None:
    store = make_store("memory://", "", Limits(store_max_bytes=3 * 10_000)).get()
    ids = []
    for number in range(4):
        writer = store.open(info(conversation=str(number)), print)
        writer.append(b"x" * 5000)
        writer.claim_end("ok")
        writer.end()
        ids.append(writer.info.id)
    assert [store.read("ada", found) is not None for found in ids] == [False, True, True, True]
    running = store.open(info(), print)
    running.append(b"x" * 25_000)
    assert [store.read("ada", found) is not None for found in ids] == [False] * 4
    assert running.is_kept
    running.append(b"x" * 5000)
    assert not running.is_kept


def test_memory_is_full_of_running_streams() -> None:
    store = make_store("memory://", "", Limits(store_max_bytes=10_000)).get()
    store.open(info(), print)
    store.open(info(), print)
    with pytest.raises(StoreUnavailable, match="LLMCHAT_STORE_MAX_BYTES"):
        store.open(info(), print)
