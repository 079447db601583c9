"""The example's answers that go on without their reader, in a real browser."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flask_llmchat.testing import HOLD, FakeUpstream, Reply, event, text_reply
from tests.support.apps import KEYS
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
    tab.page.reload()
    tab.shows("One, two, three.", writing=False)


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
