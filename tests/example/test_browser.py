"""The example's chat page in a real browser."""

from __future__ import annotations

import base64
import math
import os
import re
import sqlite3
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import func, select, update

from example_app import demo
from example_app.database import db
from example_app.models import Chat, Message, User
from flask_llmchat.testing import HOLD, FakeUpstream, error_reply, event, text_reply
from tests.support.apps import KEYS
from tests.support.chromium import (
    PASSWORD,
    WAIT,
    Shot,
    Site,
    Tab,
    chromium,
    contrast_of,
    example_site,
    expect,
    needs_chromium,
    shots,
    tabs_of,
)

pytestmark = [pytest.mark.external, needs_chromium]


@pytest.fixture(autouse=True)
def quick_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_SECONDS_A_WORD", 0.001)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with example_site(tmp_path_factory.mktemp("example")) as running:
        yield running


@pytest.fixture(scope="module")
def launch() -> Iterator[Callable[..., Any]]:
    with chromium() as start:
        yield start


@pytest.fixture(scope="module")
def browser(launch: Callable[..., Any]) -> Iterator[Any]:
    opened = launch()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Shot:
    return shots(tmp_path_factory)


class ChatTab(Tab):
    """A tab with the chat page."""

    def ask(self, text: str) -> None:
        self.page.locator("#send:enabled").wait_for()
        question = self.page.locator("#question")
        question.fill(text)
        question.press("Enter")
        expect(question).to_have_value("")  # it is a turn now

    def reload(self) -> None:
        """Load the saved chat anew.

        A short answer may have ended before the page has the chat's address.
        """
        self.page.wait_for_url("**/chats/*")
        self.page.reload()

    def wait_for_end(self) -> None:
        self.page.locator(".turn:last-child .answer:not([aria-busy])").wait_for()

    def wait_for_text(self, text: str) -> None:
        self.page.locator(".turn:last-child .body", has_text=text).wait_for()

    @property
    def answer(self) -> Any:
        return self.page.locator(".turn:last-child .body")

    @property
    def note(self) -> Any:
        return self.page.locator(".turn:last-child .note:visible")

    def chats(self) -> Any:
        """Return the saved chats as the page's user gets them."""
        return self.page.evaluate("fetch('/api/chats').then((answer) => answer.json())")

    def settle(self) -> None:
        """Wait until the page has scrolled, drawn itself, and ended its transitions."""
        self.page.evaluate(
            """async () => {
              for (const _ of [1, 2]) await new Promise(requestAnimationFrame);
              await Promise.all(document.getAnimations().map((animation) => animation.finished));
            }"""
        )

    def fits(self) -> bool:
        """Tell whether nothing has to be scrolled sideways, and the page not at all."""
        return bool(
            self.page.evaluate(
                "document.documentElement.scrollWidth <= innerWidth"
                " && document.documentElement.scrollHeight <= innerHeight"
                " && document.querySelector('.scroll').scrollWidth"
                " <= document.querySelector('.scroll').clientWidth"
            )
        )


@pytest.fixture
def new_tab(browser: Any, site: Site) -> Iterator[Callable[..., ChatTab]]:
    """Open the chat page as a new user."""
    with tabs_of(browser, site, ChatTab) as open_tab:

        def new(key: bool = False, signed_up: bool = True, **options: Any) -> ChatTab:
            tab: ChatTab = open_tab(**options)
            if signed_up:
                tab.page.context.add_cookies([site.sign_up(key)])
                tab.page.goto("/")
                tab.page.locator("#send:enabled").wait_for()
            return tab

        yield new


NewTab = Callable[..., ChatTab]


def png(color: tuple[int, int, int] = (200, 60, 60), size: int = 24) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    rows = (b"\0" + bytes(color) * size) * size
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


# ---- A chat, from the first visit on


def test_from_the_first_visit_to_an_answer(new_tab: NewTab, site: Site, shot: Shot) -> None:
    tab = new_tab(signed_up=False)
    page = tab.page
    page.goto("/")
    page.get_by_role("link", name="Sign up").click()
    page.fill("#email", "first@example.org")
    page.fill("#password", PASSWORD)
    shot(page, "sign-up")
    page.press("#password", "Enter")
    page.locator("#send:enabled").wait_for()
    shot(page, "first-visit")

    page.select_option("#provider", "openai")
    tab.ask("Hello?")
    tab.wait_for_end()
    expect(tab.note).to_contain_text("OpenAI API Key not found")
    assert page.locator(".note a").get_attribute("href").endswith("/settings")
    shot(page, "no-key")

    page.goto("/settings")
    page.fill("#openai_api_key", KEYS["openai_api_key"])
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Your settings are saved.").wait_for()
    shot(page, "settings")
    page.goto("/")
    assert page.locator("#provider").input_value() == "openai"

    before = len(site.upstream.requests)
    site.upstream.add(text_reply("Good **mor", "ning**."))
    tab.ask("Good morning, whoever you are")
    tab.wait_for_end()
    expect(tab.answer).to_have_text("Good morning.")
    assert page.locator(".body strong").inner_text() == "morning"
    facts = page.locator(".facts").inner_text()
    assert re.fullmatch(
        r"first word after .+ s · .+ s in all · 1 token in, 2 out", facts.replace("less than ", "")
    )
    sent = site.upstream.requests[before]
    assert sent.headers["Authorization"] == f"Bearer {KEYS['openai_api_key']}"
    assert [m["role"] for m in sent.json["messages"]] == ["system", "user"]

    tab.ask("And again")
    tab.wait_for_end()
    said = [m["content"] for m in site.upstream.requests[-1].json["messages"][1:]]
    assert said == ["Good morning, whoever you are", "Good **morning**.", "And again"]
    shot(page, "answered")


def test_stop_closes_the_connection_to_the_provider(
    new_tab: NewTab, site: Site, shot: Shot
) -> None:
    tab = new_tab(key=True)
    for how in ("Escape", "button"):
        gone = len(site.upstream.gone)
        site.upstream.add(text_reply("One, ", "two, ", finish_reason=None, done=False, then=[HOLD]))
        tab.ask(f"Count, until the {how}")
        tab.wait_for_text("two,")
        if how == "Escape":
            shot(tab.page, "being-written")
            tab.page.keyboard.press("Escape")
        else:
            tab.page.get_by_role("button", name="Stop").click()
        tab.wait_for_end()
        expect(tab.note).to_contain_text("You stopped")
        expect(tab.answer).to_have_text("One, two,")
        site.upstream.wait_for(lambda upstream, n=gone: len(upstream.gone) > n, WAIT / 1000)
        assert tab.page.evaluate("document.activeElement.id") == "question"
    shot(tab.page, "stopped")
    tab.reload()
    tab.wait_for_text("two,")
    expect(tab.note).to_contain_text("You stopped")


def test_waiting_for_the_first_word(new_tab: NewTab, site: Site, shot: Shot) -> None:
    tab = new_tab(key=True)
    site.upstream.add(text_reply(finish_reason=None, usage=None, done=False, then=[HOLD]))
    tab.ask("Think")
    waiting = tab.page.get_by_text("Waiting for the first word")
    waiting.wait_for()
    assert tab.page.locator(".answer").get_attribute("aria-busy") == "true"
    shot(tab.page, "waiting")
    tab.page.keyboard.press("Escape")
    tab.wait_for_end()
    assert not waiting.is_visible()


def test_an_error_says_what_to_do(new_tab: NewTab, site: Site, shot: Shot) -> None:
    tab = new_tab(key=True)
    page = tab.page
    page.clock.install()
    wait = {"Retry-After": "60"}
    site.upstream.add(error_reply(429, "Slow down.", code="rate_limit_exceeded", headers=wait))
    tab.ask("Hello?")
    expect(tab.note).to_contain_text("You can try again in")
    again = page.get_by_role("button", name="Try again")
    expect(again).to_be_disabled()
    shot(page, "rate-limited")
    site.upstream.add(text_reply("Here I am."))
    page.clock.fast_forward(61_000)
    again.click()
    tab.wait_for_text("Here I am.")
    tab.wait_for_end()
    assert page.locator(".note").is_hidden()

    site.upstream.add(error_reply(401, "Incorrect API key provided", code="invalid_api_key"))
    tab.ask("And now?")
    tab.wait_for_end()
    expect(tab.note).to_contain_text("OpenAI API Key is incorrect")
    expect(tab.note).to_contain_text("Open Settings")


def test_errors_end_in_what_to_do(new_tab: NewTab, site: Site, shot: Shot) -> None:
    tab = new_tab(key=True)
    page = tab.page
    errors = {
        500: "boom. Please try again in a moment, or pick another model.",
        400: "boom. Pick another model, or begin a new chat.",
        403: "boom. Pick another model, or one of another provider.",
        429: "boom. Wait a little, or pick another model.",
    }
    for status, told in errors.items():
        site.upstream.add(error_reply(status, "boom"))
        tab.ask("Hello?")
        tab.wait_for_end()
        expect(tab.note.locator("span").first).to_have_text(told)
    tab.reload()
    tab.wait_for_end()
    expect(tab.note.locator("span").first).to_have_text(errors[429])

    page.fill("#model", "")
    page.locator("#question").fill("Hello?")
    page.locator("#question").press("Enter")
    page.get_by_text("Please name a model first.").wait_for()
    assert page.evaluate("document.activeElement.id") == "model"
    assert tab.fits()
    shot(page, "no-model")
    page.keyboard.type("m")
    assert page.locator("#no-model").is_hidden()


def test_a_cut_keeps_what_came(new_tab: NewTab, shot: Shot) -> None:
    tab = new_tab()
    tab.ask("Let it be cut")
    tab.wait_for_end()
    expect(tab.answer).to_have_text(re.compile("and the page says$"))
    expect(tab.note).to_contain_text("only the beginning")
    shot(tab.page, "cut")
    tab.reload()
    tab.wait_for_text("and the page says")
    expect(tab.note).to_contain_text("only the beginning")
    with tab.page.expect_request("**/api/chat/demo"):
        tab.page.get_by_role("button", name="Regenerate").click()
    tab.wait_for_end()
    expect(tab.page.locator(".turn")).to_have_count(1)


def test_the_session_has_ended(new_tab: NewTab) -> None:
    tab = new_tab()
    tab.page.context.clear_cookies()
    tab.ask("Hello?")
    tab.wait_for_end()
    expect(tab.note).to_contain_text("Your session has ended.")


def test_the_session_is_another_one(new_tab: NewTab) -> None:
    """The page has been open since before the last login: its token is old, and renewed."""
    tab = new_tab()
    email = tab.page.locator(".who").inner_text()
    tab.page.context.clear_cookies()
    other = tab.page.context.new_page()
    other.goto("/login")
    other.fill("#email", email)
    other.fill("#password", PASSWORD)
    other.press("#password", "Enter")
    other.locator("#composer").wait_for()
    tab.ask("Hello?")
    tab.wait_for_text("Hello! This is the demo")
    tab.wait_for_end()
    assert tab.page.locator(".note").is_hidden()


def test_somebody_else_has_logged_in(new_tab: NewTab, shot: Shot) -> None:
    """A page of the one before sends nothing in the name of the next one."""
    tab = new_tab()
    tab.ask("My secret")
    tab.wait_for_end()
    tab.page.locator("#chats a", has_text="My secret").wait_for()
    other = tab.page.context.new_page()
    other.goto("/")
    other.get_by_role("button", name="Log out").click()
    other.goto("/signup")
    other.fill("#email", f"other-{time.time()}@example.org")
    other.fill("#password", PASSWORD)
    other.press("#password", "Enter")
    other.locator("#send:enabled").wait_for()
    tab.ask("Another secret")
    tab.wait_for_end()
    expect(tab.note).to_contain_text("Somebody else has logged in here")
    assert tab.page.locator("#chats a").inner_text() == "My secret"
    shot(tab.page, "somebody-else")
    other.reload()
    other.locator("#send:enabled").wait_for()
    assert other.evaluate("fetch('/api/chats').then((answer) => answer.json())") == []


def fulfill(route: Any, **answer: Any) -> None:
    route.fulfill(**answer)


def test_what_never_reaches_the_chat(new_tab: NewTab) -> None:
    tab = new_tab()
    tab.page.route("**/api/chat/*", lambda route: route.abort())
    tab.ask("Hello?")
    tab.wait_for_end()
    expect(tab.note).to_contain_text("The server could not be reached.")
    tab.complaints.clear()  # of the connection, rightly
    answers = {413: "too large to be sent", 502: "an error (502) and did not say why"}
    for status, told in answers.items():
        tab.page.unroute("**/api/chat/*")
        answer = partial(fulfill, status=status, body="<h1>A proxy's page</h1>")
        tab.page.route("**/api/chat/*", answer)
        tab.page.get_by_role("button", name="Try again").click()
        tab.wait_for_end()
        expect(tab.note).to_contain_text(told)


def test_what_the_demo_shows(new_tab: NewTab, shot: Shot) -> None:
    size = {"width": 1280, "height": 900}
    tab = new_tab(viewport=size, permissions=["clipboard-read", "clipboard-write"])
    page = tab.page
    tab.ask("Please reason")
    tab.wait_for_end()
    thoughts = page.locator("details", has_text="Reasoned")
    assert thoughts.get_attribute("open") is None
    told = thoughts.locator("summary").inner_text()
    tab.ask("Name your sources")
    tab.wait_for_end()
    expect(page.locator(".sources li")).to_have_count(3)
    tab.ask("Which of my orders are open?")
    tab.wait_for_end()
    for again in range(2):  # as it came, and as it was saved
        expect(tab.answer).to_contain_text("found 2 open")
        call = page.locator("details", has_text="Used the tool “find_orders”")
        assert call.get_attribute("open") is None
        call.locator("summary").click()
        assert '"status": "open"' in call.inner_text()
        assert '"item": "Two cups"' in call.inner_text()
        shot(page, "tool")
        if not again:
            tab.reload()
            tab.wait_for_text("found 2 open")
    tab.ask("Draw an image")
    tab.wait_for_end()
    drawn = page.locator(".picture img")
    assert drawn.evaluate("image => image.decode().then(() => image.naturalWidth)") == 480
    shot(page, "image-by-the-model")
    tab.ask("Show markdown")
    tab.wait_for_end()
    shot(page, "markdown")
    shown = page.locator(".turn:last-child .body")
    assert shown.locator("h4").all_inner_texts()[:2] == ["A list", "Code"]
    assert shown.locator("td.right").all_inner_texts() == ["1", "2", "3"]
    assert "(example.com/here?and=there)" in shown.inner_text()
    page.bring_to_front()  # only a page in front may write to the clipboard
    page.get_by_role("button", name="Copy this code").click()
    page.get_by_text("Copied").first.wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("from flask import Flask\nfrom")
    tab.reload()
    tab.wait_for_end()
    expect(page.locator(".sources li")).to_have_count(3)
    expect(page.locator(".picture img")).to_have_count(1)
    assert thoughts.locator("summary").inner_text() == told


# ---- Saved chats


def test_saved_chats_are_listed_and_opened_again(new_tab: NewTab, site: Site, shot: Shot) -> None:
    tab = new_tab(key=True)
    page = tab.page
    chats = page.locator("#chats li")
    for number in ("first", "second"):
        tab.ask(f"The {number} of my questions")
        tab.wait_for_end()
        page.locator("#chats a[aria-current]", has_text=number).wait_for()
        page.wait_for_url(re.compile("/chats/[0-9a-f]{24}$"))
        page.keyboard.press("Alt+n")
        page.locator("#empty").wait_for()
        expect(page.locator(".turn")).to_have_count(0)
    expect(chats).to_have_text(["The second of my questions", "The first of my questions"])

    chats.get_by_text("first").click()
    tab.wait_for_text("Hello from the fake upstream.")
    assert page.locator(".question .text").inner_text() == "The first of my questions"
    page.get_by_role("button", name="Rename").click()
    page.keyboard.type("<b>Mine</b> & other's")
    page.keyboard.press("Enter")
    page.locator("#chats a", has_text="<b>Mine</b> & other's").wait_for()
    expect(page.get_by_role("button", name="Rename")).to_be_focused()
    shot(page, "saved-chats")

    address = page.url
    other = new_tab()
    other.page.goto(address)
    other.page.get_by_text("There is no such chat.").wait_for()
    assert other.chats() == []
    expect(other.page.locator("#chats li")).to_have_count(0)
    shot(other.page, "no-such-chat")

    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Keep").click()
    expect(chats).to_have_count(2)
    page.get_by_role("button", name="Delete").click()
    shot(page, "delete")
    page.locator("#delete-chat button", has_text="Delete").click()
    page.locator("#empty").wait_for()
    expect(chats).to_have_text(["The second of my questions"])
    page.goto(address)
    page.get_by_text("There is no such chat.").wait_for()


def test_an_older_list_of_chats_comes_late(new_tab: NewTab) -> None:
    tab = new_tab()
    page = tab.page
    held: list[Any] = []
    page.route("**/api/chats", lambda route: held.append(route))
    page.goto("/")
    with page.expect_request("**/api/chats"):
        tab.ask("Hello?")
    tab.wait_for_end()
    older, newer = held
    current = page.locator("#chats a[aria-current]", has_text="Hello?")
    newer.continue_()
    current.wait_for()
    with page.expect_response("**/api/chats") as response:
        older.fulfill(json=[])
    response.value.finished()
    tab.settle()
    expect(current).to_have_count(1)


def test_edit_and_regenerate(new_tab: NewTab, site: Site, shot: Shot) -> None:
    tab = new_tab(key=True)
    page, upstream = tab.page, site.upstream
    upstream.add(text_reply("Two."), text_reply("Four."), text_reply("4!"), text_reply("Three."))
    tab.ask("One and one?")
    tab.wait_for_end()
    tab.ask("Two and two?")
    tab.wait_for_text("Four.")
    tab.wait_for_end()
    assert page.get_by_role("button", name="Regenerate").count() == 1
    page.get_by_role("button", name="Regenerate").click()
    tab.wait_for_text("4!")
    tab.wait_for_end()
    sent = [m["content"] for m in upstream.requests[-1].json["messages"][1:]]
    assert sent == ["One and one?", "Two.", "Two and two?"]

    page.get_by_role("button", name="Edit").first.click()
    assert page.evaluate("document.activeElement.value") == "One and one?"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.textContent") == "Edit"
    page.keyboard.press("Enter")
    page.keyboard.press("Control+a")
    page.keyboard.type("One and two?")
    shot(page, "editing")
    page.keyboard.press("Enter")
    tab.wait_for_text("Three.")
    tab.wait_for_end()
    for _ in range(2):
        texts = page.locator(".question .text, .body").all_inner_texts()
        assert texts == ["One and two?", "Three."]
        tab.reload()
        tab.wait_for_text("Three.")
    with sqlite3.connect(site.folder / "example.sqlite3") as database:
        (kept,) = database.execute("SELECT count(*) FROM message WHERE parts LIKE '%4!%'")
        assert kept == (0,)
    database.close()


def change_last_message(site: Site, **values: Any) -> None:
    with site.app.app_context():
        last = select(func.max(Message.id)).scalar_subquery()
        db.session.execute(update(Message).where(Message.id == last).values(**values))
        db.session.commit()


def test_a_server_that_died(new_tab: NewTab, site: Site) -> None:
    tab = new_tab(key=True)
    page = tab.page
    tab.ask("First")
    tab.wait_for_end()
    page.wait_for_url("**/chats/*")
    change_last_message(site, about={}, parts=[])
    looks: list[str] = []
    address = page.url.replace("/chats/", "/api/chats/")
    page.on("request", lambda request: looks.extend([request.url] * (request.url == address)))
    began = time.monotonic()
    tab.reload()
    page.get_by_text("This answer is still being written.").wait_for()
    page.wait_for_timeout(5_000)
    most = 1 + math.log2(time.monotonic() - began + 1)  # at once, after 1 s, after 3 s, after 7 s
    assert 2 <= len(looks) <= most + 1  # the first of them looked for a stream before
    tab.ask("Second")
    tab.wait_for_end()
    for _ in range(2):
        expect(page.locator(".turn:first-child .note")).to_contain_text("seems to be lost")
        tab.reload()
        tab.wait_for_text("Hello from the fake upstream.")


def test_a_chat_deleted_in_another_window(new_tab: NewTab, shot: Shot) -> None:
    tab = new_tab()
    page = tab.page
    tab.ask("First")
    tab.wait_for_end()
    page.wait_for_url("**/chats/*")
    other = page.context.new_page()
    other.goto(page.url)
    other.get_by_role("button", name="Delete").click()
    other.locator("#delete-chat button", has_text="Delete").click()
    other.locator("#empty").wait_for()
    tab.ask("Second")
    tab.wait_for_end()
    page.locator(".note", has_text="This chat was deleted in another window.").wait_for()
    expect(page.locator(".question .text")).to_have_text(["First", "Second"])
    shot(page, "deleted-elsewhere")
    assert tab.chats() == []


def test_a_chat_that_went_on_in_another_window(new_tab: NewTab, site: Site, shot: Shot) -> None:
    tab = new_tab(key=True)
    page, upstream = tab.page, site.upstream
    upstream.add(text_reply("One."), text_reply("Two."), text_reply("Three."))
    tab.ask("First")
    tab.wait_for_end()
    page.wait_for_url("**/chats/*")
    other = ChatTab(page.context.new_page(), site)
    other.page.goto(page.url)
    other.wait_for_text("One.")
    other.ask("Second, over there")
    other.wait_for_text("Two.")
    other.wait_for_end()
    asked = len(upstream.requests)
    held: list[Any] = []
    address = page.url.replace("/chats/", "/api/chats/")
    page.route(address, lambda route: held.append(route))
    with page.expect_request(address):
        tab.ask("Third, over here")
    # It cannot be asked again before what was said over there is shown.
    assert tab.note.count() == 0
    assert page.locator("#send").is_hidden()
    held[0].continue_()
    page.unroute(address)
    page.locator(".turn:nth-child(3) .note", has_text="has gone on in another window").wait_for()
    texts = page.locator(".question .text, .body:not(:empty)")
    seen = ["First", "One.", "Second, over there", "Two.", "Third, over here"]
    expect(texts).to_have_text(seen)
    assert len(upstream.requests) == asked
    shot(page, "went-on-elsewhere")
    page.get_by_role("button", name="Try again").click()
    tab.wait_for_text("Three.")
    tab.wait_for_end()
    assert [m["content"] for m in upstream.requests[-1].json["messages"][1:]] == seen
    tab.reload()
    tab.wait_for_text("Three.")
    expect(texts).to_have_text([*seen, "Three."])
    assert other.complaints == []


def test_a_chat_that_is_being_answered_in_another_window(new_tab: NewTab, site: Site) -> None:
    tab = new_tab(key=True)
    page = tab.page
    site.upstream.add(text_reply("One."), text_reply("Two."))
    tab.ask("First")
    tab.wait_for_end()
    page.wait_for_url("**/chats/*")
    other = ChatTab(page.context.new_page(), site)
    other.page.goto(page.url)
    other.wait_for_text("One.")
    other.ask("Second, over there")
    other.wait_for_end()
    change_last_message(site, about={}, parts=[])
    tab.ask("Third, over here")
    tab.wait_for_end()
    expect(tab.note).to_contain_text("has gone on in another window")
    note = page.locator(".turn:nth-child(2) .note")
    expect(note).to_have_text("This answer is still being written.")
    change_last_message(site, about={"outcome": "ok"}, parts=[{"type": "text", "text": "Two."}])
    texts = page.locator(".question .text, .body:not(:empty)")
    seen = ["First", "One.", "Second, over there", "Two.", "Third, over here"]
    expect(texts).to_have_text(seen)
    expect(note).to_be_hidden()
    page.get_by_role("button", name="Try again").click()
    tab.wait_for_text("Hello from the fake upstream.")
    assert [m["content"] for m in site.upstream.requests[-1].json["messages"][1:]] == seen


# ---- Images


def give_image(page: Any, how: str, data: bytes, kind: str = "image/png", name: str = "a") -> None:
    """Paste or drop a file, as the browser would tell of it."""
    page.evaluate(
        """([how, data, type, name]) => {
          const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
          const files = new DataTransfer();
          files.items.add(new File([bytes], name, { type }));
          const target = document.getElementById("question");
          const options = { bubbles: true, cancelable: true };
          target.dispatchEvent(how === "paste"
            ? new ClipboardEvent("paste", { ...options, clipboardData: files })
            : new DragEvent("drop", { ...options, dataTransfer: files }));
        }""",
        [how, base64.b64encode(data).decode(), kind, name],
    )


def test_images_are_pasted_dropped_picked_and_sent(new_tab: NewTab, site: Site, shot: Shot) -> None:
    tab = new_tab(key=True)
    page = tab.page
    thumbnails = page.locator("#images img")
    give_image(page, "paste", png(), name="pasted.png")
    page.locator("#images li:nth-child(1)").wait_for()
    give_image(page, "drop", png((60, 60, 200)), name="dropped.png")
    page.locator("#images li:nth-child(2)").wait_for()
    file = {"name": "picked.png", "mimeType": "image/png", "buffer": png((60, 160, 60))}
    page.set_input_files("#picker", [file])
    page.locator("#images li:nth-child(3)").wait_for()
    give_image(page, "drop", b"<svg/>", "image/svg+xml", "drawing.svg")
    page.get_by_text("drawing.svg is no PNG, JPEG, WebP or GIF image.").wait_for()
    shot(page, "images-to-send")
    page.get_by_role("button", name="Remove dropped.png").click()
    expect(thumbnails).to_have_count(2)

    tab.ask("What is this?")
    tab.wait_for_end()
    expect(thumbnails).to_have_count(0)
    text, *_ = (content := site.upstream.requests[-1].json["messages"][-1]["content"])[::-1]
    assert text == {"type": "text", "text": "What is this?"}
    expected = [base64.b64encode(png()), base64.b64encode(png((60, 160, 60)))]
    assert [
        part["image_url"]["url"].removeprefix("data:image/png;base64,").encode()
        for part in content[:2]
    ] == expected
    tab.reload()
    page.locator(".pictures img").nth(1).wait_for()
    shot(page, "images-sent")

    # What is too large is made smaller, if it can be read at all.
    give_image(page, "paste", os.urandom(2_100_000), name="noise.png")
    page.get_by_text("noise.png cannot be read.").wait_for()
    for _ in range(5):
        give_image(page, "paste", png())
    page.get_by_text("At most 4 images go with a message.").wait_for()
    expect(thumbnails).to_have_count(4)


# ---- What a model may not do

PLANTED = "http://planted.invalid"  # replaced by the address of a server that counts its visitors

ATTACKS = {
    "script": "<script>alert(1)</script>",
    "script in a list": "- a\n\n  <script>alert(1)</script>",
    "image with an attribute": f"<img src={PLANTED}/a onerror=alert(1)>",
    "svg": f"<svg onload=alert(1)><image href='{PLANTED}/a'/><script>alert(1)</script></svg>",
    "math": "<math><mtext><style><img src=x onerror=alert(1)></style></mtext></math>",
    "iframe": f"<iframe src='{PLANTED}/a' srcdoc='<script>parent.alert(1)</script>'></iframe>",
    "stylesheet": f"<link rel=stylesheet href={PLANTED}/a><style>@import '{PLANTED}/b'</style>",
    "meta": f"<meta http-equiv=refresh content='0;url={PLANTED}/a'><base href='{PLANTED}'>",
    "form": f"<form action={PLANTED}/a><button autofocus onfocus=alert(1)>Log in</button></form>",
    "javascript link": "[Click](javascript:alert(1)) <javascript:alert(1)> [](JaVaScRiPt:a)",
    "javascript link in disguise": "[a](java\tscript:alert(1)) [b](&#106;avascript:alert(1))"
    " [c](\x01javascript:alert(1)) [d](javascript&colon;alert(1)) [e](<java\nscript:alert(1)>)",
    "javascript by reference": "[a]\n\n[a]: javascript:alert(1) 'title'",
    "other schemes": "[a](vbscript:x) [b](data:text/html,<script>alert(1)</script>)"
    " [c](file:///etc/passwd) [d](blob:x) [e](intent://x) [f](//planted.invalid/a) [g](/logout)",
    "data links": "![a](data:image/svg+xml;base64,PHN2Zz48L3N2Zz4=) <data:text/html,hi>",
    "image": f"![a cat]({PLANTED}/cat.png) ![a][b]\n\n[b]: {PLANTED}/by-reference.png",
    "image in a link": f"[![a]({PLANTED}/a.png)]({PLANTED}/b)",
    "title with quotes": f"[a]({PLANTED}/a '\"><img src=x onerror=alert(1)>')",
    "address with quotes": f'[a]({PLANTED}/"onmouseover="alert(1)) [b](<{PLANTED}/"><script>>)',
    "code with a language": '```"><img src=x onerror=a>\n</code><script>alert(1)</script>\n```',
    "table": "| a |\n|--|\n| <img src=x onerror=alert(1)> |",
    "entities": "&lt;script&gt;alert(1)&lt;/script&gt; &#60;img src=x onerror=alert(1)&#62;",
    "comments": "<!-- --><img src=x onerror=alert(1)> <![CDATA[<script>alert(1)</script>]]>",
    "zero bytes": "a\0<scr\0ipt>alert(1)</script>",
    "unclosed fence": "```python\nprint(1)\n\n# no end\n" + "<b>\n" * 50,
    "deep quotes": ">" * 20_000 + " deep",
    "deep lists": "".join(" " * 2 * n + "- a\n" for n in range(200)),
    "deep brackets": "[" * 20_000 + "](" * 5_000,
    "deep emphasis": "*a **b " * 10_000,
    "backticks": "".join("`" * n + " " for n in range(1, 400)),
    "huge table": "|a|b|c|\n|-|-|-|\n" + "|1|2|3|\n" * 2_000,
    "wide table": "|a" * 300 + "|\n" + "|-" * 300 + "|\n" + "|b" * 300 + "|",
    "one long word": "a" * 50_000,
    "longer than anybody reads": "# <b>word</b> " * 25_000,
    "many links": "http://" * 10_000,
}

# What is wrong with the answers that are shown; nothing, if all is well.
LOOK = """() => {
  const allowed = new Set(`A BDI BLOCKQUOTE BR BUTTON CODE DETAILS DIV EM H3 H4 H5 H6 HR LI OL P
    PRE S SECTION SPAN STRONG SUMMARY TABLE TBODY TD TH THEAD TR UL`.split(/\\s+/));
  const wrong = [];
  for (const node of document.querySelectorAll(".body *")) {
    if (!allowed.has(node.tagName)) wrong.push(`element ${node.tagName}`);
    for (const { name } of node.attributes) {
      if (/^on|^style$|^src|^srcset|^action/i.test(name)) wrong.push(`attribute ${name}`);
    }
    if (node.tagName === "A") {
      if (!/^(https?|mailto):/.test(node.href)) wrong.push(`link ${node.href}`);
      if (node.rel !== "noopener noreferrer nofollow") wrong.push(`rel ${node.rel}`);
    }
  }
  return [...new Set(wrong)];
}"""


def test_what_a_model_wrote_does_nothing(new_tab: NewTab, site: Site, shot: Shot) -> None:
    tab = new_tab(key=True, viewport={"width": 360, "height": 740})
    page = tab.page
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def seconds_of_work() -> float:
        """Return how long the page has worked, however busy the machine is."""
        metrics = session.send("Performance.getMetrics")["metrics"]
        return sum(one["value"] for one in metrics if one["name"] == "ProcessTime")

    with FakeUpstream() as planted:
        for name, attack in ATTACKS.items():
            attack = attack.replace(PLANTED, planted.url)
            middle = len(attack) // 2
            site.upstream.add(text_reply(attack[:middle], attack[middle:], delay=0.02))
            before = seconds_of_work()
            if page.locator(".turn").count():
                page.get_by_role("button", name="Regenerate").click()
            else:
                tab.ask("Do your worst")
            tab.wait_for_end()
            assert seconds_of_work() - before < 5, name
            assert page.evaluate(LOOK) == [], name
            assert tab.fits(), name
            if name == "image":
                shot(page, "images-are-links")
                links = page.locator(".body a").evaluate_all("links => links.map((a) => a.href)")
                assert links == [f"{planted.url}/cat.png", f"{planted.url}/by-reference.png"]
        tab.reload()  # what was saved is shown by the same means
        tab.wait_for_text("http://")
        assert page.evaluate(LOOK) == []
        assert planted.connections == 0


def test_parts_of_a_models_making_do_nothing(new_tab: NewTab, site: Site) -> None:
    """Sources, images and tool calls have addresses and names of the model's own, too."""
    tab = new_tab(key=True)
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    with FakeUpstream() as planted:
        bad = ["javascript:alert(1)", "data:text/html,<script>alert(1)</script>", "//x/y", "x"]
        images = [
            f"{planted.url}/a.png",
            "javascript:alert(1)",
            "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
            "data:text/html,<script>alert(1)</script>",
        ]
        call = {"index": 0, "id": "1", "function": {"name": "<img src=x>", "arguments": "{}"}}
        delta = {
            "content": "Look.",
            "reasoning": f"![a]({planted.url}/b.png) <img src={planted.url}/c.png>",
            "annotations": [{"url_citation": {"url": url, "title": "<b>t</b>"}} for url in bad],
            "images": [{"image_url": {"url": url}} for url in images],
            "tool_calls": [call],
        }
        choice = {"index": 0, "delta": delta, "finish_reason": "stop"}
        reply = text_reply(finish_reason=None, usage=None)
        chunk = event({**head, "choices": [choice]})
        site.upstream.add(type(reply)(body=[chunk, *reply.body[1:]]))
        tab.ask("Show me")
        tab.wait_for_end()
        for _ in range(2):
            expect(tab.page.locator(".picture a")).to_have_count(1)
            expect(tab.page.locator(".sources a")).to_have_count(0)
            assert tab.page.evaluate(LOOK) == []
            tab.page.locator("summary").first.click()
            tab.reload()
            tab.wait_for_end()
        assert planted.connections == 0


def test_the_policy_is_a_second_line(new_tab: NewTab) -> None:
    """Even a script of the page that did it wrong could load nothing, and run nothing."""
    tab = new_tab()
    with FakeUpstream() as planted:
        told = tab.page.evaluate(
            """async (planted) => {
              const broken = [];
              addEventListener("securitypolicyviolation", (e) => broken.push(e.effectiveDirective));
              const image = document.createElement("img");
              image.src = `${planted}/a.png`;
              document.body.append(image);
              for (const name of ["onerror", "onload"]) {
                try { image.setAttribute(name, "hacked = true"); broken.push("taken"); } catch {}
              }
              try { document.body.innerHTML += "<b>"; broken.push("taken"); } catch {}
              await fetch(planted).catch(() => {});
              await new Promise((resolve) => setTimeout(resolve, 200));
              return [window.hacked, [...new Set(broken)].sort()];
            }""",
            planted.url,
        )
        assert told[0] is None
        assert {"connect-src", "img-src", "require-trusted-types-for"} <= set(told[1])
        assert "taken" not in told[1]
        assert planted.connections == 0
    assert tab.complaints  # they were meant
    tab.complaints.clear()
    tab.strayed.clear()


# ---- Screens, eyes and hands


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (360, 740), (640, 320)])
def test_only_the_conversation_scrolls(
    new_tab: NewTab, width: int, height: int, shot: Shot
) -> None:
    tab = new_tab(viewport={"width": width, "height": height})
    for _ in range(3):
        tab.ask("Show markdown")
        tab.wait_for_end()
    assert tab.fits()
    assert tab.page.locator(".scroll").evaluate("scroll => scroll.clientHeight") > height / 2
    shot(tab.page, f"screen-{width}")


def test_nothing_overflows_on_a_phone(new_tab: NewTab, shot: Shot) -> None:
    tab = new_tab(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page = tab.page
    assert tab.fits()
    shot(page, "phone-first-visit")
    tab.ask("Show markdown " + "verylongword" * 20)
    tab.wait_for_end()
    assert tab.fits()
    shot(page, "phone-markdown")
    page.locator(".scroll").evaluate("scroll => scroll.scrollTo(0, 700)")
    shot(page, "phone-markdown-middle")
    tab.ask("My orders?")
    tab.wait_for_end()
    page.locator("summary").click()
    assert tab.fits()
    shot(page, "phone-tool")
    page.get_by_role("button", name="Chats").click()
    page.locator("#chats a").wait_for()
    tab.settle()
    assert tab.fits()
    shot(page, "phone-chats")
    page.keyboard.press("Escape")
    page.locator("#chats a").wait_for(state="hidden")
    tab.ask("error")
    page.locator(".note").last.wait_for()
    assert tab.fits()
    shot(page, "phone-error")
    page.goto("/settings")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_enough_in_light_and_dark(new_tab: NewTab, scheme: str, shot: Shot) -> None:
    tab = new_tab(color_scheme=scheme, viewport={"width": 1280, "height": 1000})
    shot(tab.page, f"{scheme}-first-visit")
    tab.ask("Show markdown")
    tab.wait_for_end()
    shot(tab.page, f"{scheme}-markdown")
    tab.ask("error")
    tab.page.locator(".turn:nth-child(2) .note").wait_for()
    shot(tab.page, f"{scheme}-error")
    tab.page.locator("#chats a").wait_for()
    contrast = tab.page.evaluate(CONTRAST)
    assert {name: ratio for name, ratio in contrast.items() if ratio < 4.5} == {}


CONTRAST = contrast_of(
    *(".question .text", ".from", ".markdown p", ".markdown a", ".address", ".code code"),
    *(".code .bar span", ".facts", ".note span", ".copy", "#chats a", ".hint", "#send"),
    *(".wide th", ".who"),
)


PICTURED = """\
With `stream_with_context`, a generator keeps the request's context while it is read:

```python
@app.get("/count")
def count():
    words = (f"{number}\\n" for number in range(int(request.args["to"])))
    return Response(stream_with_context(words), mimetype="text/plain")
```

Set **headers** before the first word: they are sent with it."""


def test_the_picture_of_the_readme(new_tab: NewTab, site: Site, shot: Shot) -> None:
    """A conversation as it may be; docs/_static/chat.png is its screenshot in 64 colours."""
    tab = new_tab(key=True, viewport={"width": 1280, "height": 820}, color_scheme="light")
    page = tab.page
    page.fill("#model", "gpt-5")
    for asked in ("Dinners without meat", "Why is the sea salty?"):
        tab.ask(asked)
        tab.wait_for_end()
        page.locator("#chats a[aria-current]", has_text=asked).wait_for()
        page.keyboard.press("Alt+n")
        page.locator("#empty").wait_for()
        page.locator("#send:enabled").wait_for()
    source = {"url": "https://flask.palletsprojects.com/en/stable/patterns/streaming/"}
    told = [{"url_citation": {**source, "title": "Streaming Contents"}}]
    usage = {
        "prompt_tokens": 38,
        "completion_tokens": 214,
        "completion_tokens_details": {"reasoning_tokens": 96},
    }
    words = re.findall(r"\s*\S+", PICTURED)
    reply = text_reply(*words, delay=0.005, usage=usage)
    first = {"reasoning": "They want words to arrive as they are made.", "annotations": told}
    chunk = event({"choices": [{"index": 0, "delta": first, "finish_reason": None}]})
    site.upstream.add(type(reply)(body=[0.4, chunk, *reply.body]))
    tab.ask("How to stream in Flask?")
    tab.wait_for_end()
    page.locator("#chats a[aria-current]", has_text="How to stream").wait_for()
    expect(page.locator("#chats a")).to_have_count(3)
    for part in ("details", ".code .copy", ".sources li", ".facts"):
        expect(page.locator(part)).to_have_count(1)
    assert tab.fits()
    page.locator(".scroll").evaluate("scroll => scroll.scrollTo(0, 0)")
    shot(page, "chat")


def test_the_page_works_with_the_keyboard_alone(new_tab: NewTab, site: Site, shot: Shot) -> None:
    tab = new_tab(key=True)
    page = tab.page

    def focus() -> str:
        name: str = page.evaluate(
            "(({ id, textContent, className }) => id || textContent.trim() || className)"
            "(document.activeElement)"
        )
        return name

    expect(page.locator("#question")).to_be_focused()
    page.keyboard.type("First line")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("second line")
    site.upstream.add(text_reply("```js\nlet a\n```\n\n[b](https://example.com)"))
    page.keyboard.press("Enter")
    tab.wait_for_end()
    assert site.upstream.requests[-1].json["messages"][-1]["content"] == "First line\nsecond line"
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.value") == "First line\nsecond line"
    page.keyboard.press("Escape")

    page.locator("#chats a").wait_for()
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.locator(".brand").focus()
    order = []
    while len(order) < 30 and (not order or order[-1] != "send"):
        page.keyboard.press("Tab")
        order.append(focus())
    wanted = "Chat Settings new-chat Rename provider model temperature scroll Edit Copy Regenerate"
    places = [order.index(name) for name in [*wanted.split(), "question", "attach", "send"]]
    assert places == sorted(places), order
    shot(page, "focus")


def test_a_screen_reader_is_told_of_ends_only(new_tab: NewTab, site: Site) -> None:
    tab = new_tab(key=True)
    page = tab.page
    page.evaluate(
        """() => {
          window.said = [];
          new MutationObserver(() => said.push(document.getElementById("status").textContent))
            .observe(document.getElementById("status"), { childList: true, subtree: true });
        }"""
    )
    site.upstream.add(text_reply(*[f"w{n} " for n in range(20)], delay=0.01))
    tab.ask("Speak")
    tab.wait_for_end()
    told = page.evaluate("said")
    assert told[0] == "Waiting for the answer."
    assert told[1].startswith("The answer: w0 w1 ")
    assert len(told) == 2
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, a, input, select, textarea, [role=region]")]
          .filter((node) => node.checkVisibility())
          .filter((node) => !(node.textContent.trim() || node.ariaLabel || node.labels?.length))
          .map((node) => node.outerHTML)"""
    )
    assert unnamed == []
    live = page.evaluate(
        "[...document.querySelectorAll('[aria-live], [role=log]')].map((node) => node.id)"
    )
    assert live == ["status"]


# ---- What is kept


def fill(site: Site, email: str, count: int) -> None:
    """Put a chat of so many questions with answers into an account."""
    with site.app.app_context():
        user = db.session.scalars(select(User).filter_by(email=email)).one()
        chat = Chat(user_id=user.id, name="filled", title="A long chat")
        db.session.add(chat)
        db.session.flush()
        for number in range(1, count + 1):
            for role, text in (("user", f"Question {number}"), ("assistant", f"Answer {number}.")):
                message = Message(chat_id=chat.id, name=f"{role}{number}", role=role, size=100)
                message.parts = [{"type": "text", "text": f"{text}\n\n{'word ' * 60}"}]
                message.about = {"outcome": "ok"} if role == "assistant" else {}
                db.session.add(message)
                db.session.flush()
        db.session.commit()


def email_of(tab: ChatTab) -> str:
    return str(tab.page.locator(".who").inner_text())


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (360, 740)])
def test_earlier_messages_come_while_scrolling_up(
    new_tab: NewTab, site: Site, shot: Shot, width: int, height: int
) -> None:
    tab = new_tab(key=True, viewport={"width": width, "height": height})
    page = tab.page
    fill(site, email_of(tab), 90)
    page.goto("/chats/filled")
    tab.wait_for_text("Answer 90.")
    turns, scroll = page.locator(".turn"), page.locator("#scroll")
    expect(turns).to_have_count(20)
    at_end = "node => node.scrollHeight - node.scrollTop - node.clientHeight < 5"
    page.wait_for_function(f"({at_end})(document.getElementById('scroll'))")
    assert tab.fits()
    expect(page.locator(".again:visible")).to_have_count(1)

    # Scrolling up brings them, and what is in sight stays there.
    asked: list[str] = []
    page.on("request", lambda request: asked.extend([request.url] * ("?before=" in request.url)))
    scroll.evaluate("node => node.scrollTo(0, 150)")
    page.locator(".turn:nth-child(40)").wait_for()
    first_seen = page.locator(".question", has_text="Question 71")
    tab.settle()
    assert len(asked) == 1
    expect(turns).to_have_count(40)
    assert abs(first_seen.evaluate("n => n.getBoundingClientRect().top")) < height
    assert scroll.evaluate("node => node.scrollTop") > 1000
    shot(page, f"earlier-{width}")

    # With the keyboard, too.
    older = page.get_by_role("button", name="Show earlier messages")
    place = first_seen.evaluate("n => n.getBoundingClientRect().top")
    older.evaluate("node => node.click()")
    page.locator(".turn:nth-child(60)").wait_for()
    tab.settle()
    assert abs(first_seen.evaluate("n => n.getBoundingClientRect().top") - place) < 3

    # The model is sent all of them, those that are not here among them.
    site.upstream.add(text_reply("The last one."))
    tab.ask("And now?")
    tab.wait_for_text("The last one.")
    tab.wait_for_end()
    expect(turns).to_have_count(91)
    expect(older).to_be_hidden()
    sent = [m["content"].split("\n")[0] for m in site.upstream.requests[-1].json["messages"][1:]]
    both = [
        f"{kind} {n}{dot}"
        for n in range(1, 91)
        for kind, dot in (("Question", ""), ("Answer", "."))
    ]
    assert sent == [*both, "And now?"]
    page.wait_for_function(f"({at_end})(document.getElementById('scroll'))")

    # An edit of one that came late replaces what follows it, and nothing else.
    tab.reload()
    tab.wait_for_text("The last one.")
    site.upstream.add(text_reply("Another one."))
    edited = 91 - 20 + 3
    page.locator(".turn", has_text=f"Question {edited}").locator(".edit").click()
    page.keyboard.press("Control+a")
    page.keyboard.type("Edited")
    page.keyboard.press("Enter")
    tab.wait_for_text("Another one.")
    tab.wait_for_end()
    expect(turns).to_have_count(edited)
    assert len(site.upstream.requests[-1].json["messages"]) == 1 + 2 * (edited - 1) + 1
    tab.reload()
    tab.wait_for_text("Another one.")
    last_but_one = page.locator(".turn:nth-last-child(2) .text")
    expect(last_but_one).to_have_text(re.compile(f"^Question {edited - 1}"))


def test_earlier_messages_that_do_not_come(new_tab: NewTab, site: Site, shot: Shot) -> None:
    tab = new_tab(key=True)
    page = tab.page
    fill(site, email_of(tab), 30)
    page.goto("/chats/filled")
    tab.wait_for_text("Answer 30.")
    asked = len(site.upstream.requests)
    page.route("**/api/chats/filled?*", lambda route: route.abort())
    page.get_by_role("button", name="Show earlier messages").evaluate("node => node.click()")
    page.get_by_role("button", name="could not be loaded. Try again").wait_for()
    tab.ask("And now?")  # without them it would be another conversation
    tab.wait_for_end()
    expect(tab.note).to_contain_text("could not be reached")
    assert len(site.upstream.requests) == asked
    tab.complaints.clear()  # of the connection, rightly
    page.unroute("**/api/chats/filled?*")
    page.get_by_role("button", name="Try again").last.click()
    tab.wait_for_text("Hello from the fake upstream.")
    tab.wait_for_end()
    expect(page.locator(".turn")).to_have_count(31)

    # They were replaced by an edit in another window.
    tab.reload()
    tab.wait_for_text("Hello from the fake upstream.")
    other = ChatTab(page.context.new_page(), site)
    other.page.goto("/chats/filled")
    other.wait_for_text("Hello from the fake upstream.")
    other.page.get_by_role("button", name="Show earlier messages").evaluate("node => node.click()")
    other.page.locator(".turn:nth-child(31)").wait_for()
    other.page.locator(".turn:nth-child(5) .edit").evaluate("node => node.click()")
    other.page.keyboard.press("Enter")
    other.wait_for_text("Hello from the fake upstream.")
    other.wait_for_end()
    expect(other.page.locator(".turn")).to_have_count(5)
    asked = len(site.upstream.requests)
    tab.ask("Go on")
    page.locator(".note", has_text="has gone on in another window").wait_for()
    assert len(site.upstream.requests) == asked
    expect(page.locator(".turn")).to_have_count(6)


def test_no_room_is_told_in_words_that_help(
    new_tab: NewTab, site: Site, shot: Shot, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab = new_tab(key=True, viewport={"width": 360, "height": 740})
    page = tab.page
    monkeypatch.setitem(site.app.config, "MAX_KEPT_BYTES", 1_000_000)
    site.upstream.add(text_reply("long " * 250_000))
    tab.ask("Write a book")
    tab.wait_for_end()
    tab.reload()
    page.locator(".note", has_text="no room left to keep all of this answer").wait_for()
    shot(page, "no-room-for-an-answer")
    monkeypatch.setitem(site.app.config, "MAX_KEPT_BYTES", 100_000)
    tab.ask("And now?")
    tab.wait_for_end()
    told = re.compile("^Your saved chats fill the 0 MB there are for them. To go on, delete")
    expect(tab.note.locator("span").first).to_have_text(told)
    assert tab.fits()
    shot(page, "no-room")


# ---- After logging out


def test_back_after_log_out_shows_nothing(site: Site, launch: Callable[..., Any]) -> None:
    """Also where the browser keeps whole pages for its Back button, as Playwright's does not."""
    browser = launch(ignore_default_args=["--disable-back-forward-cache"])
    context = browser.new_context(base_url=site.address)
    context.add_cookies([site.sign_up(False)])
    page = context.new_page()
    page.set_default_timeout(WAIT)
    page.goto("/")
    page.locator("#send:enabled").wait_for()
    page.fill("#question", "My secret")
    page.press("#question", "Enter")
    page.wait_for_url("**/chats/*")
    page.locator(".answer:not([aria-busy])").wait_for()
    page.get_by_role("link", name="Settings").first.click()
    page.fill("#openai_organization_id", "org-secret")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Your settings are saved.").wait_for()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login")
    seen = 0
    while page.go_back(wait_until="commit") or page.url != "about:blank":
        seen += 1
        page.wait_for_load_state()
        page.wait_for_timeout(300)
        shown = page.content() + str(page.evaluate("document.body.innerText"))
        for secret in ("My secret", "org-secret", "example.org"):
            assert secret not in shown, page.url
    assert seen >= 2
    browser.close()
