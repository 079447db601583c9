"""The example's page of React's, built with npm and driven in Chromium."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from example_app import demo, react
from flask_llmchat.testing import HOLD, error_reply, text_reply
from tests.support.chromium import (
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

NPM = shutil.which("npm")
pytestmark = [
    pytest.mark.external,
    needs_chromium,
    pytest.mark.skipif(NPM is None, reason="npm is not installed: the page cannot be built"),
]

FRONTEND = react.BUILT.parent


@pytest.fixture(scope="module")
def built() -> None:
    """Build the page, unless nothing it is made of is newer than what is there."""

    def npm(*command: str) -> None:
        done = subprocess.run(
            [str(NPM), *command], cwd=FRONTEND, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]

    def is_newer(made: Path, *sources: Path) -> bool:
        latest = max(source.stat().st_mtime for source in sources)
        return made.exists() and made.stat().st_mtime > latest

    package = FRONTEND / "package.json"
    installed = FRONTEND / "node_modules" / ".package-lock.json"
    if not is_newer(installed, package):
        npm("install", "--no-audit", "--no-fund", "--loglevel=error")
        installed.touch()
    sources = [path for path in FRONTEND.iterdir() if path.is_file()]
    for folder in (FRONTEND / "src", FRONTEND.parent / "static"):
        sources += [path for path in folder.rglob("*") if path.is_file()]
    if not is_newer(react.BUILT / "index.html", installed, *sources):
        npm("run", "build")


@pytest.fixture(scope="module")
def site(built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
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
    return shots(tmp_path_factory, "react-")


@pytest.fixture(autouse=True)
def quick_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_SECONDS_A_WORD", 0.003)


class ReactTab(Tab):
    """A tab with React's page."""

    def sending(self) -> Any:
        """Wait until a chat is asked for: before that, the end of it cannot be waited for."""
        return self.page.expect_request("**/api/chat/*")

    def ask(self, text: str) -> None:
        with self.sending():
            self.page.locator("#question").fill(text)
            self.page.locator("#question").press("Enter")
        self.page.locator(".question", has_text=text).last.wait_for()

    def wait_for_end(self) -> None:
        self.page.locator("ol.turns[aria-busy=false]").wait_for()

    def wait_for_answer(self, text: str) -> None:
        self.page.locator(".turn:last-child .body", has_text=text).wait_for()

    def wait_for_note(self, text: str) -> None:
        self.page.locator(".note", has_text=text).wait_for()

    def fits(self) -> bool:
        """Tell whether nothing has to be scrolled sideways, and the page not at all."""
        return bool(
            self.page.evaluate(
                "document.documentElement.scrollHeight <= innerHeight"
                " && [document.documentElement, document.querySelector('.scroll')]"
                ".every((node) => node.scrollWidth <= node.clientWidth)"
            )
        )


@pytest.fixture
def new_tab(browser: Any, site: Site) -> Iterator[Callable[..., ReactTab]]:
    """Open the page as a new user."""
    with tabs_of(browser, site, ReactTab) as open_tab:

        def new(key: bool = False, **options: Any) -> ReactTab:
            tab: ReactTab = open_tab(**options)
            tab.page.context.add_cookies([site.sign_up(key)])
            tab.page.goto("/react/")
            tab.page.locator("#question").wait_for()
            return tab

        yield new


NewTab = Callable[..., ReactTab]


def test_what_the_demo_shows(new_tab: NewTab, shot: Shot) -> None:
    tab = new_tab(viewport={"width": 1280, "height": 1000})
    page = tab.page
    expect(page.locator("#provider")).to_have_value("demo")
    tab.ask("Hello there")
    tab.wait_for_answer("Hello! This is")  # while it is being written
    tab.wait_for_end()
    tab.wait_for_answer("You said: “Hello there”")
    expect(page.locator(".answer .body strong").first).to_have_text("orders")
    expect(page.locator(".foot")).to_contain_text("Tokens: 1 in, ")

    tab.ask("Please reason")
    tab.wait_for_answer("where a model's reasoning would be")
    thoughts = page.locator("details", has_text="Reasoned")
    assert thoughts.get_attribute("open") is None
    thoughts.locator("summary").click()
    page.get_by_text("The user wants to see a model's reasoning.").wait_for()
    tab.wait_for_end()
    expect(page.locator(".foot").last).to_contain_text("of them to reason")

    tab.ask("Name your sources")
    tab.wait_for_end()
    expect(page.locator(".sources li")).to_have_count(3)
    last = page.locator(".sources a").last
    expect(last).to_have_text("example.com/a-page-without-a-title")
    tab.ask("Which of my orders are open?")
    tab.wait_for_answer("found 2 open")
    tab.wait_for_end()
    call = page.locator("details", has_text="Used the tool “find_orders”")
    assert call.get_attribute("open") is None
    call.locator("summary").click()
    tab.wait_for_answer('"status": "open"')
    tab.wait_for_answer('"item": "Two cups"')
    shot(page, "tool")
    tab.ask("Draw an image")
    tab.wait_for_end()
    drawn = page.locator(".picture img")
    assert drawn.evaluate("image => image.decode().then(() => image.naturalWidth)") == 480

    with tab.sending():
        page.get_by_role("button", name="Regenerate").click()
    tab.wait_for_end()
    expect(page.locator(".answer")).to_have_count(5)
    expect(page.locator(".question")).to_have_count(5)
    page.get_by_role("button", name="New chat").click()
    expect(page.locator(".turn")).to_have_count(0)
    tab.ask("Hello again")
    tab.wait_for_answer("It is the first message of our chat.")
    tab.wait_for_end()
    page.goto("/")  # both were saved
    page.locator("#chats a", has_text="Hello again").wait_for()
    page.locator("#chats a", has_text="Hello there").click()
    page.locator(".turn:nth-child(5) .picture img").wait_for()
    expect(page.locator(".turn")).to_have_count(5)


def test_stop_and_another_provider(new_tab: NewTab, site: Site, shot: Shot) -> None:
    tab = new_tab(key=True)
    page, upstream = tab.page, site.upstream
    expect(page.locator("#provider")).to_have_value("openai")
    gone = len(upstream.gone)
    upstream.add(text_reply("One, ", "two, ", finish_reason=None, done=False, then=[HOLD]))
    tab.ask("Count")
    tab.wait_for_answer("two,")
    shot(page, "being-written")
    page.get_by_role("button", name="Stop").click()
    tab.wait_for_note("You stopped the answer here.")
    upstream.wait_for(lambda upstream: len(upstream.gone) > gone, WAIT / 1000)
    assert upstream.requests[-1].json["model"] == "gpt-6-luna"

    page.fill("#model", "gpt-4.1")
    upstream.add(text_reply("Three."))
    tab.ask("Go on")
    tab.wait_for_answer("Three.")
    tab.wait_for_end()
    sent = upstream.requests[-1].json
    assert sent["model"] == "gpt-4.1"
    said = [message["content"] for message in sent["messages"][1:]]
    assert said == ["Count", "One, two, ", "Go on"]
    page.select_option("#provider", "demo")
    tab.ask("And you?")
    tab.wait_for_answer("With it came the 4 messages before it")
    tab.wait_for_end()
    expect(page.locator(".note")).to_have_count(0)

    page.get_by_role("button", name="New chat").click()
    page.select_option("#provider", "openai")
    upstream.add(text_reply("Four, ", finish_reason=None, done=False, then=[HOLD]))
    tab.ask("Count again")
    tab.wait_for_answer("Four,")
    gone = len(upstream.gone)
    for _ in range(2):  # it goes on, and the page that comes back reads it
        page.reload()
        tab.wait_for_answer("Four,")
        expect(page.locator("ol.turns")).to_have_attribute("aria-busy", "true")
    expect(page.locator("#provider")).to_have_value("openai")
    expect(page.locator(".answer")).to_have_count(1)
    shot(page, "after-a-reload")
    page.get_by_role("button", name="Stop").click()
    tab.wait_for_note("You stopped the answer here.")
    upstream.wait_for(lambda upstream: len(upstream.gone) > gone, WAIT / 1000)


def test_errors_are_sentences(new_tab: NewTab, site: Site, shot: Shot) -> None:
    tab = new_tab(key=True)
    page = tab.page
    site.upstream.add(error_reply(429, "Slow down.", code="rate_limit_exceeded"))
    tab.ask("Hello?")
    tab.wait_for_note("Slow down.")
    shot(page, "error")
    site.upstream.add(text_reply("Here I am."))
    page.get_by_role("button", name="Try again").click()
    tab.wait_for_answer("Here I am.")
    tab.wait_for_end()
    expect(page.locator(".note")).to_have_count(0)

    page.select_option("#provider", "groq")
    page.get_by_text("There is no key for Groq yet.").wait_for()
    tab.ask("And you?")
    tab.wait_for_note("Groq API Key not found")
    page.select_option("#provider", "demo")
    tab.ask("Let it be cut")
    tab.wait_for_answer("and the page says")
    page.locator(".failed .note").wait_for()
    shot(page, "cut")
    page.route("**/api/chat/*", lambda route: route.fulfill(status=502, body="<h1>A proxy</h1>"))
    page.get_by_role("button", name="Try again").click()
    tab.wait_for_note("The server answered with an error (502).")
    page.unroute("**/api/chat/*")
    page.route("**/api/chat/*", lambda route: route.abort())
    page.get_by_role("button", name="Try again").click()
    tab.wait_for_note("The connection to the server was lost.")
    tab.complaints.clear()  # of the connection, rightly
    page.context.clear_cookies()
    page.get_by_role("button", name="Try again").click()
    tab.wait_for_note("Your session has ended.")


def test_somebody_else_has_logged_in(new_tab: NewTab, site: Site) -> None:
    """A page of the one before sends nothing in the name of the next one."""
    tab = new_tab()
    tab.ask("Hello there")
    tab.wait_for_end()
    other = tab.page.context.new_page()
    other.goto("/")
    other.get_by_role("button", name="Log out").click()
    other.goto("/signup")
    site.users += 1
    other.fill("#email", f"user{site.users}@example.org")
    other.fill("#password", "correct horse")
    other.press("#password", "Enter")
    other.locator("#send:enabled").wait_for()
    tab.page.locator("#question").fill("My secret")
    tab.page.locator("#question").press("Enter")
    tab.wait_for_note("Somebody else has logged in here")
    assert other.evaluate("fetch('/api/chats').then((answer) => answer.json())") == []


def test_nothing_overflows_on_a_phone(new_tab: NewTab, shot: Shot) -> None:
    tab = new_tab(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    assert tab.fits()
    tab.ask("Show markdown " + "verylongword" * 20)
    tab.wait_for_answer("A table")
    tab.wait_for_end()
    assert tab.fits()
    tab.ask("My orders?")
    tab.wait_for_end()
    tab.page.locator("summary").click()
    assert tab.fits()
    shot(tab.page, "phone-tool")
    tab.ask("Name your sources")
    tab.wait_for_end()
    tab.ask("error")
    tab.wait_for_note("This is what a rate limit looks like")
    assert tab.fits()
    shot(tab.page, "phone")


def test_a_tool_asks_first(new_tab: NewTab, shot: Shot) -> None:
    tab = new_tab(viewport={"width": 360, "height": 740})
    page = tab.page
    calls = page.locator("details", has_text="cancel_order").locator("summary")
    for name, told in (("No", "Did not use"), ("Yes", "Used")):
        tab.ask("Cancel my latest order")
        expect(calls.last).to_have_text("May the tool “cancel_order” be used?")
        expect(page.locator("details[open]")).to_contain_text('"number": ')
        assert tab.fits()
        shot(page, f"asks-{name}")
        with tab.sending():
            page.get_by_role("button", name=name, exact=True).click()
        expect(calls.last).to_have_text(f"{told} the tool “cancel_order”")
        tab.wait_for_answer("A model would now")
        tab.wait_for_end()
        expect(page.locator("details[open]")).to_have_count(0)
    expect(page.locator(".question")).to_have_count(2)
    expect(page.locator(".answer")).to_have_count(2)
    page.goto("/")
    page.get_by_role("button", name="Chats").click()
    page.locator("#chats a", has_text="Cancel my latest order").click()
    expect(calls).to_have_text(
        ["Did not use the tool “cancel_order”", "Used the tool “cancel_order”"]
    )
