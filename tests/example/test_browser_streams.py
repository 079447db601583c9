"""The example's answers that go on without their reader, in a real browser."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from example_app import demo
from flask_llmchat.testing import HOLD, FakeUpstream, Reply, event, text_reply
from tests.support.chromium import (
    PASSWORD,
    WAIT,
    Shot,
    Site,
    Tab,
    chromium,
    example_site,
    expect,
    needs_chromium,
    shots,
    tabs_of,
)
from tests.support.example import ROOT, environment
from tests.support.redis_server import PROGRAM, RedisServer
from tests.support.server_processes import free_port

pytestmark = [pytest.mark.external, needs_chromium]

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with example_site(tmp_path_factory.mktemp("example")) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as launch:
        opened = launch()
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Shot:
    return shots(tmp_path_factory, "streams-")


class ChatTab(Tab):
    """A tab with the chat page."""

    def ask(self, text: str) -> None:
        """Ask, and wait until the chat has its address."""
        self.page.locator("#send:enabled").wait_for()
        self.page.locator("#question").fill(text)
        self.page.locator("#question").press("Enter")
        self.page.wait_for_url("**/chats/*")

    def shows(self, text: str, *, writing: bool) -> None:
        answer = self.page.locator(".turn:last-child .answer")
        expect(answer.locator(".body")).to_have_text(text)
        if writing:
            expect(answer).to_have_attribute("aria-busy", "true")
        else:
            expect(answer).not_to_have_attribute("aria-busy", "true")
        expect(self.page.locator("#stop")).to_be_visible(visible=writing)

    @property
    def note(self) -> Any:
        return self.page.locator(".turn:last-child .note:visible")


NewTab = Callable[..., ChatTab]


@pytest.fixture
def new_tab(browser: Any, site: Site) -> Iterator[NewTab]:
    """Open the chat page in a browser of its own: as a new user, or as one that is given."""
    with tabs_of(browser, site, ChatTab) as open_tab:

        def new(user: Any = None, path: str = "/", **options: Any) -> ChatTab:
            tab: ChatTab = open_tab(**options)
            tab.page.context.add_cookies([user or site.sign_up(key=True)])
            tab.page.goto(path)
            return tab

        yield new


class Gate(float):
    """A pause in an answer that takes until the test ends it."""

    _opened: threading.Event

    def __new__(cls) -> Gate:
        gate = super().__new__(cls, 1)
        gate._opened = threading.Event()
        return gate

    def open(self) -> None:
        self._opened.set()

    def __radd__(self, now: float) -> float:
        """Wait; the upstream asks when the pause is over."""
        self._opened.wait(WAIT / 1000)
        return now


def said(text: str) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}}]})


def answer_of(*steps: Any) -> Reply:
    return text_reply("One, ", finish_reason=None, usage=None, done=False, then=steps)


class Told:
    """An answer whose words come when the test says so."""

    def __init__(self, upstream: FakeUpstream) -> None:
        self.more, self.end = Gate(), Gate()
        end = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        upstream.add(answer_of(self.more, said("two, "), self.end, said("three."), end))


@pytest.fixture
def told(site: Site) -> Iterator[Told]:
    answer = Told(site.upstream)
    yield answer
    answer.more.open()
    answer.end.open()


def test_a_reload_reads_on(new_tab: NewTab, told: Told, shot: Shot) -> None:
    tab = new_tab(**PHONE)
    tab.ask("Count")
    tab.shows("One,", writing=True)
    tab.page.reload()
    tab.shows("One,", writing=True)
    told.more.open()
    tab.shows("One, two,", writing=True)
    shot(tab.page, "after-a-reload")
    told.end.open()
    tab.shows("One, two, three.", writing=False)
    assert tab.note.count() == 0
    facts = tab.page.locator(".facts")
    expect(facts).to_be_empty()  # not the time since the reload
    tab.page.reload()
    tab.shows("One, two, three.", writing=False)
    expect(facts).to_contain_text("first word after")


def test_another_chat_and_back(new_tab: NewTab, site: Site, told: Told) -> None:
    tab = new_tab()
    tab.ask("Count")
    tab.shows("One,", writing=True)
    tab.page.get_by_role("link", name="New chat").click()
    expect(tab.page.locator("#empty")).to_be_visible()
    site.upstream.add(text_reply("Hello."))
    tab.ask("Something else")
    tab.shows("Hello.", writing=False)
    told.more.open()
    tab.page.locator("#chats a", has_text="Count").click()
    tab.shows("One, two,", writing=True)
    told.end.open()
    tab.shows("One, two, three.", writing=False)


def test_a_chat_that_nobody_reads_is_saved(new_tab: NewTab, told: Told) -> None:
    tab = new_tab()
    tab.ask("Count")
    tab.shows("One,", writing=True)
    address = tab.page.url
    tab.page.goto("/settings")
    told.more.open()
    told.end.open()
    tab.page.goto(address)
    tab.shows("One, two, three.", writing=False)
    assert tab.note.count() == 0


def test_another_device_sees_it_grow_and_stops_it(new_tab: NewTab, site: Site, shot: Shot) -> None:
    gone, more = len(site.upstream.gone), Gate()
    site.upstream.add(answer_of(more, said("two, "), HOLD))
    user = site.sign_up(key=True)
    tab = new_tab(user)
    tab.ask("Count")
    tab.shows("One,", writing=True)
    phone = new_tab(user, tab.page.url, **PHONE)
    phone.shows("One,", writing=True)
    expect(phone.page.locator(".turn:last-child .from")).to_contain_text("OpenAI")
    more.open()
    phone.shows("One, two,", writing=True)
    tab.shows("One, two,", writing=True)
    shot(phone.page, "another-device")
    phone.page.get_by_role("button", name="Stop").click()
    for page in (phone, tab):
        page.shows("One, two,", writing=False)
        expect(page.note).to_contain_text("You stopped")
    shot(phone.page, "stopped")
    site.upstream.wait_for(lambda upstream: len(upstream.gone) > gone, WAIT / 1000)
    tab.page.reload()
    tab.shows("One, two,", writing=False)
    expect(tab.note).to_contain_text("You stopped")


def test_a_stop_before_the_first_word(new_tab: NewTab, site: Site) -> None:
    gone = len(site.upstream.gone)
    site.upstream.add(text_reply(finish_reason=None, usage=None, done=False, then=[HOLD]))
    user = site.sign_up(key=True)
    tab = new_tab(user)
    tab.page.locator("#send:enabled").wait_for()
    asked = len(site.upstream.requests)
    tab.page.locator("#question").fill("Think")
    tab.page.locator("#question").press("Enter")
    site.upstream.wait_for(lambda upstream: len(upstream.requests) > asked, WAIT / 1000)
    other = new_tab(user)
    other.page.locator("#chats a", has_text="Think").click()
    other.page.get_by_text("Waiting for the first word").wait_for()
    other.page.keyboard.press("Escape")
    for page in (other, tab):
        expect(page.note).to_contain_text("You stopped")
    site.upstream.wait_for(lambda upstream: len(upstream.gone) > gone, WAIT / 1000)


def test_a_stop_that_does_not_reach_the_server_says_so(new_tab: NewTab, told: Told) -> None:
    tab = new_tab()
    tab.ask("Count")
    tab.shows("One,", writing=True)
    tab.page.route("**/stop", lambda route: route.abort())
    tab.page.get_by_role("button", name="Stop").click()
    expect(tab.note).to_contain_text("The server could not be told to stop")
    tab.complaints.clear()  # of the connection, rightly
    tab.page.reload()
    tab.shows("One,", writing=True)


def test_a_deleted_chat_is_stopped(new_tab: NewTab, site: Site) -> None:
    gone = len(site.upstream.gone)
    site.upstream.add(answer_of(HOLD))
    tab = new_tab()
    tab.ask("Count")
    tab.shows("One,", writing=True)
    tab.page.get_by_role("button", name="Delete").click()
    tab.page.locator("#delete-chat button", has_text="Delete").click()
    expect(tab.page.locator("#empty")).to_be_visible()
    site.upstream.wait_for(lambda upstream: len(upstream.gone) > gone, WAIT / 1000)


def test_a_lost_connection_is_made_again(new_tab: NewTab, site: Site, told: Told) -> None:
    user = site.sign_up(key=True)
    tab = new_tab(user)
    tab.ask("Count")
    tab.shows("One,", writing=True)

    def begin(route: Any) -> None:
        """Give the beginning of the stream, and then the connection is gone."""
        cookie = {"Cookie": f"{user['name']}={user['value']}"}
        with urllib.request.urlopen(
            urllib.request.Request(route.request.url, headers=cookie), timeout=10
        ) as response:
            begun = b""
            while b"One, " not in begun:
                begun += response.read1()
        route.fulfill(headers=dict(response.headers.items()), body=begun)

    tab.page.route("**/stream", begin)
    with tab.page.expect_response("**/stream?startIndex=*") as answer:
        tab.page.reload()
    assert answer.value.status == 200
    tab.shows("One,", writing=True)
    told.more.open()
    tab.shows("One, two,", writing=True)
    told.end.open()
    tab.shows("One, two, three.", writing=False)
    assert tab.note.count() == 0


def test_a_reload_after_a_yes(new_tab: NewTab, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes on is the message that asked: its earlier parts are shown again, and once."""
    monkeypatch.setattr(demo, "_SECONDS_A_WORD", 0.001)
    tab = new_tab()
    page = tab.page
    page.select_option("#provider", "demo")
    tab.ask("Cancel my latest order")
    yes = page.get_by_role("button", name="Yes", exact=True)
    yes.wait_for()
    monkeypatch.setattr(demo, "_SECONDS_A_WORD", 0.3)
    yes.click()
    answer = page.locator(".turn:last-child .answer")
    expect(answer).to_contain_text("This is what the server")
    with page.expect_response("**/stream") as stream:
        page.reload()
    assert stream.value.status == 200
    expect(answer).to_contain_text("A model would now put that into words of its own.")
    expect(answer).not_to_have_attribute("aria-busy", "true")
    for _ in range(2):
        expect(answer.locator("summary")).to_have_text(
            ["Used the tool “find_orders”", "Used the tool “cancel_order”"]
        )
        expect(answer.get_by_text("This is what the server")).to_have_count(1)
        page.reload()


# ---- Under gunicorn, with Redis


class Gunicorn:
    """The example in processes of its own, which can be replaced and killed."""

    def __init__(self, folder: Path, redis: RedisServer) -> None:
        port = free_port()
        self.address, self._log = f"http://127.0.0.1:{port}", folder / "gunicorn.log"
        options = ["-k", "gthread", "--threads", "20", "-w", "1", "--graceful-timeout", "60"]
        command = ["gunicorn", "example_app:create_app()", "-b", f"127.0.0.1:{port}", *options]
        environ = {
            **environment(folder / "instance"),
            "EXAMPLE_LLMCHAT_STORE": redis.url,
        }
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=ROOT, env=environ, stdout=log, stderr=log
            )

    def workers(self, count: int) -> list[int]:
        """Wait until so many have begun; return their process ids."""
        until = time.monotonic() + WAIT / 1000
        while True:
            log = self._log.read_text()
            pids = [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", log)]
            if len(pids) >= count:
                return pids
            assert time.monotonic() < until and self.process.poll() is None, log
            time.sleep(0.05)


@pytest.fixture
def gunicorn(tmp_path: Path) -> Iterator[Gunicorn]:
    pytest.importorskip("redis", reason="redis is not installed: pip install -e '.[redis]'")
    if PROGRAM is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    redis = RedisServer(tmp_path)
    server = Gunicorn(tmp_path, redis)
    try:
        server.workers(1)
        yield server
    finally:
        server.process.send_signal(signal.SIGQUIT)  # at once
        server.process.wait(20)
        redis.kill()


def test_a_new_server_and_one_that_dies(browser: Any, gunicorn: Gunicorn, shot: Shot) -> None:
    context = browser.new_context(base_url=gunicorn.address)
    page = context.new_page()
    page.set_default_timeout(WAIT)
    page.goto("/signup")
    page.fill("#email", "ada@example.org")
    page.fill("#password", PASSWORD)
    page.press("#password", "Enter")
    page.locator("#composer").wait_for()

    def body_of(shown: Any) -> Any:
        return shown.locator(".turn:last-child .body")

    def ask_for_something_long() -> None:
        page.goto("/")
        page.locator("#send:enabled").wait_for()
        page.locator("#question").fill("Write something long")
        page.locator("#question").press("Enter")
        page.wait_for_url("**/chats/*")
        expect(body_of(page)).to_contain_text(" 3,")

    ask_for_something_long()
    other = context.new_page()
    other.set_default_timeout(WAIT)
    other.goto(page.url)
    expect(body_of(other)).to_contain_text(" 3,")
    gunicorn.process.send_signal(signal.SIGHUP)
    assert len(gunicorn.workers(2)) == 2
    other.reload()  # now the new worker reads what the old one goes on to write
    for shown in (page, other):
        expect(body_of(shown)).to_contain_text("That was all of it.")
        expect(shown.locator(".turn:last-child .note:visible")).to_have_count(0)

    other.close()
    ask_for_something_long()
    os.kill(gunicorn.workers(2)[-1], signal.SIGKILL)
    for _ in range(2):
        note = page.locator(".turn:last-child .note:visible")
        expect(note).to_contain_text("The server stopped before the answer was complete.")
        expect(body_of(page)).to_contain_text(" 3,")
        shot(page, "interrupted")
        page.reload()
    context.close()
