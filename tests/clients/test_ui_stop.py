"""Stop buttons of the AI SDK's pages, in three majors; and a transport that comes back alone."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flask import Flask, request

from flask_llmchat.testing import CUT, HOLD, FakeUpstream, Reply, text_reply
from tests.support.apps import finished
from tests.support.pages import MAJORS, Page, play
from tests.support.servers import served
from tests.support.streams import URL, Client, Gate, gated, keeping, visited

pytestmark = pytest.mark.external

WORDS = ["One ", "two ", "three ", "four."]
HALF = text_reply("One ", "two ", then=[HOLD], finish_reason=None, done=False, usage=None)
TEXT = {"type": "text", "text": "One two ", "state": "done"}


@pytest.fixture(params=MAJORS)
def sdk(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def assert_stopped(page: Page) -> None:
    """Hold a page whose chat was stopped against what its user is to see."""
    assert page.errors == [] and page.snapshots[-1]["status"] == "ready"
    assert page.parts() == [{"type": "step-start"}, TEXT]


def test_a_stop_button_stops_the_chat(sdk: str, upstream: FakeUpstream) -> None:
    upstream.add(HALF, text_reply("Bye."))
    app = keeping(upstream)
    with served(app) as port, finished(app) as done:
        pressed = {"send": "Count", "stopAfter": "two", "button": True}
        page = play(sdk, port, pressed, "Bye")
        first, second = done.wait(2)
    assert (first.outcome, second.outcome) == ("stopped", "ok")
    assert first.text == "One two "
    assert page.errors == [] and page.parts()[-1]["text"] == "Bye."
    assert "".join(part.get("text", "") for part in page.parts(0)) == "One two "
    assert len(page.asked) == 2


def stop_soon(app: Flask, method: str) -> None:
    """Stop the chat from another device, a little after a page has begun to read it."""

    @app.before_request
    def look() -> None:
        if request.method == method and not request.path.endswith("/stop"):
            client = Client(int(request.environ["SERVER_PORT"]))
            threading.Timer(0.5, client.stop, ["chat-1"]).start()


def test_a_page_whose_chat_is_stopped_elsewhere_shows_no_error(
    sdk: str, upstream: FakeUpstream
) -> None:
    upstream.add(HALF)
    app = keeping(upstream)
    stop_soon(app, "POST")
    with served(app) as port, finished(app) as done:
        page = play(sdk, port, "Count")
        assert done.only.outcome == "stopped"
    assert_stopped(page)


def test_a_page_that_has_come_back_sees_that_the_chat_is_stopped(
    sdk: str, upstream: FakeUpstream
) -> None:
    upstream.add(HALF)
    app = keeping(upstream)
    stop_soon(app, "GET")
    with served(app) as port:
        page = play(sdk, port, {"send": "Count", "stopAfter": "two"}, {"resume": {}})
    assert_stopped(page)


def test_a_chat_that_is_stopped_before_its_first_byte_is_no_error(
    sdk: str, upstream: FakeUpstream
) -> None:
    upstream.add(Reply(body=[HOLD]))
    app = keeping(upstream)
    stop_soon(app, "POST")
    with served(app) as port:
        page = play(sdk, port, "Count")
    assert page.errors == [] and page.snapshots[-1]["status"] == "ready"


# WorkflowChatTransport asks for what it lacks by itself.


def workflow(port: int, *steps: Any, **job: Any) -> Page:
    return play("ai", port, *steps, op="workflow", **job)


def test_a_response_that_is_cut_off_is_made_whole(upstream: FakeUpstream) -> None:
    events = 2 + 1 + len(WORDS) + 1 + 2  # start, start-step, text-start, …, finish-step, finish
    upstream.add(*[text_reply(*WORDS, delay=0.01) for _ in range(events)])
    with visited(keeping(upstream)) as client:
        for cut in range(1, events):
            page = workflow(client.port, "Count", cuts=[cut])
            assert page.errors == [] and page.snapshots[0]["status"] == "ready"
            (_, answer) = page.snapshots[0]["messages"]
            assert [part.get("text") for part in answer["parts"]] == [None, "".join(WORDS)], cut
            posted, got = page.asked
            assert got["path"].endswith(f"/stream?startIndex={cut}")
            assert (posted["status"], got["status"]) == (200, 200)


def test_a_response_that_is_cut_off_again_and_again_is_made_whole(
    upstream: FakeUpstream,
) -> None:
    upstream.add(text_reply(*WORDS * 3, delay=0.02))
    app = keeping(upstream)
    with served(app) as port, finished(app) as done:
        page = workflow(port, "Count", cuts=[2, 3, 1])
        assert done.only.outcome == "ok"
    assert page.errors == [] and page.parts()[-1]["text"] == "".join(WORDS * 3)
    starts = [asked["path"].rpartition("=")[2] for asked in page.asked[1:]]
    assert starts == ["2", "5", "6"]
    assert len(upstream.requests) == 1


def test_a_page_with_this_transport_sees_a_stop_and_asks_no_more(upstream: FakeUpstream) -> None:
    upstream.add(HALF)
    app = keeping(upstream)
    stop_soon(app, "GET")
    with served(app) as port:
        page = workflow(port, "Count", cuts=[3])
    assert_stopped(page)
    assert len(page.asked) == 2


ENDINGS = {
    "interrupted": ({}, HALF, "The server stopped before the answer was complete."),
    "truncated": (
        {},
        text_reply(*WORDS, then=[CUT], finish_reason=None, done=False),
        "OpenAI broke off before the answer was complete.",
    ),
    "too large": ({"stream_max_bytes": 400}, text_reply(*WORDS * 10), "Failed to fetch chat: 204"),
}


@pytest.mark.parametrize(("settings", "reply", "told"), ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize("cuts", [[], [4]], ids=["whole", "cut"])
def test_a_page_with_this_transport_asks_so_often_and_no_more(
    cuts: list[int],
    settings: dict[str, Any],
    reply: Reply,
    told: str,
    upstream: FakeUpstream,
    request: pytest.FixtureRequest,
) -> None:
    upstream.add(reply)
    app = keeping(upstream, **settings)
    if reply is HALF:

        @app.before_request
        def interrupt() -> None:
            store = app.extensions["llmchat"]["llmchat"].streams.store

            def interrupt_all() -> None:
                for writer in list(store._running.values()):
                    writer.interrupt("interrupted")

            threading.Timer(0.5, interrupt_all).start()

    with served(app) as port:
        page = workflow(port, "Count", cuts=cuts)
    if "too large" in request.node.name and not cuts:
        assert page.errors == []
    else:
        assert len(page.errors) == 1 and told in page.errors[0]
    assert len(page.asked) <= 3


def test_this_transport_comes_back_to_a_message_that_goes_on(upstream: FakeUpstream) -> None:
    """And loses nothing when that is cut off again, also among the earlier parts."""
    call = {"type": "tool-city", "toolCallId": "call_1", "state": "output-available"}
    earlier = [{"type": "step-start"}, {**call, "input": {"of": "ada"}, "output": "Rome"}]
    messages = [
        {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Where?"}]},
        {"id": "a1", "role": "assistant", "parts": earlier},
    ]
    gate, readers = Gate(), []
    app = keeping(upstream)

    @app.before_request
    def look() -> None:
        if request.method == "GET":
            readers.append(request.full_path)
            if len(readers) == 2:
                gate.open()

    body = {"chatSettings": {"model": "gpt-4.1"}, "id": "chat-1", "messages": messages}
    with visited(app) as client:
        # The start, five events of the earlier step, and five of this one, before the last word.
        for cut in range(1, 12):
            gate.close()
            readers.clear()
            upstream.add(gated(gate, 3, text_reply(*WORDS, usage=None)))
            writing = client.open("POST", URL, body)
            writing.until("three")
            resume = {"resume": {"saved": "shown"}}
            page = workflow(client.port, resume, messages=messages, cuts=[cut])
            writing.rest()
            assert page.errors == [] and readers[1].endswith(f"?startIndex={cut}")
            (_, answer) = page.snapshots[0]["messages"]
            text = {"type": "text", "text": "".join(WORDS), "state": "done"}
            assert answer["parts"] == [*earlier, {"type": "step-start"}, text], cut
