"""The example's page of React's, built with npm and driven in Chromium.

Screenshots of it are kept in the folder that the environment variable SCREENSHOTS names.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from example_app import create_app, demo, react
from example_app.database import db
from flask_llmchat.testing import HOLD, FakeUpstream, error_reply, text_reply
from tests.example.test_browser import CHROMIUM, WAIT, Site
from tests.support.servers import served

playwright = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed: pip install -e '.[browser]'"
)
NPM = shutil.which("npm")
pytestmark = [
    pytest.mark.external,
    pytest.mark.skipif(
        CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"
    ),
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
    folder = tmp_path_factory.mktemp("example")
    with FakeUpstream() as upstream:
        app = create_app(
            {
                "INSTANCE_PATH": folder,
                "LLMCHAT_BASE_URLS": {"openai": upstream.base_url},
                "LLMCHAT_MAX_RETRIES": 0,
                "SIGN_UPS_AN_HOUR": 1000,
            }
        )
        with served(app) as port:
            yield Site(app, port, upstream, folder)
        with app.app_context():
            db.engine.dispose()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any, str], None]:
    kept = os.environ.get("SCREENSHOTS")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("screenshots")

    def take(page: Any, name: str) -> None:
        page.screenshot(path=folder / f"react-{name}.png", animations="disabled")

    return take


@pytest.fixture(autouse=True)
def quick_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_SECONDS_A_WORD", 0.003)


class Tab:
    """The page in a browser of its own."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.set_default_timeout(WAIT)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._note)

    def _note(self, message: Any) -> None:
        # Chromium says so of every answer with an error's status, and so it should.
        if message.type in ("error", "warning") and "status of" not in message.text:
            self.complaints.append(message.text)

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
def new_tab(browser: Any, site: Site) -> Iterator[Callable[..., Tab]]:
    """Open the page as a new user; whatever it complains of fails its test."""
    tabs: list[Tab] = []

    def open_tab(key: bool = False, **options: Any) -> Tab:
        context = browser.new_context(base_url=site.address, **options)
        context.add_cookies([site.sign_up(key)])
        tab = Tab(context.new_page())
        tabs.append(tab)
        tab.page.goto("/react/")
        tab.page.locator("#question").wait_for()
        return tab

    yield open_tab
    for tab in tabs:
        tab.page.context.close()
    assert [tab.complaints for tab in tabs if tab.complaints] == []


NewTab = Callable[..., Tab]
Shot = Callable[[Any, str], None]


def test_what_the_demo_shows(new_tab: NewTab, shot: Shot) -> None:
    tab = new_tab(viewport={"width": 1280, "height": 1000})
    page = tab.page
    assert page.locator("#provider").input_value() == "demo"
    tab.ask("Hello there")
    tab.wait_for_answer("Hello! This is")  # while it is being written
    tab.wait_for_end()
    assert "You said: “Hello there”" in page.locator(".answer .body").inner_text()
    assert page.locator(".answer .body strong").first.inner_text() == "markdown"
    assert page.locator(".foot").inner_text().startswith("Tokens: 1 in, ")

    tab.ask("Please reason")
    tab.wait_for_answer("where a model's reasoning would be")
    thoughts = page.locator("details", has_text="Reasoned")
    assert thoughts.get_attribute("open") is None
    thoughts.locator("summary").click()
    page.get_by_text("The user wants to see a model's reasoning.").wait_for()
    tab.wait_for_end()
    assert "of them to reason" in page.locator(".foot").last.inner_text()

    tab.ask("Name your sources")
    tab.wait_for_end()
    assert page.locator(".sources li").count() == 3
    assert page.locator(".sources a").last.inner_text() == "example.com/a-page-without-a-title"
    tab.ask("Ask for a tool")
    tab.wait_for_end()
    tab.wait_for_answer("Asks for the tool “weather”")
    tab.wait_for_answer('"city": "Rome"')
    shot(page, "parts")
    tab.ask("Draw an image")
    tab.wait_for_end()
    assert page.locator(".picture img").evaluate("image => image.naturalWidth") == 480

    with tab.sending():
        page.get_by_role("button", name="Regenerate").click()
    tab.wait_for_end()
    assert page.locator(".question").count() == page.locator(".answer").count() == 5
    page.get_by_role("button", name="New chat").click()
    assert page.locator(".turn").count() == 0
    tab.ask("Hello again")
    tab.wait_for_answer("It is the first message of our chat.")
    tab.wait_for_end()
    page.goto("/")  # both were saved
    page.locator("#chats a", has_text="Hello again").wait_for()
    page.locator("#chats a", has_text="Hello there").click()
    page.locator(".turn:nth-child(5) .picture img").wait_for()
    assert page.locator(".turn").count() == 5


def test_stop_and_another_provider(new_tab: NewTab, site: Site, shot: Shot) -> None:
    tab = new_tab(key=True)
    page, upstream = tab.page, site.upstream
    assert page.locator("#provider").input_value() == "openai"
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
    assert not page.locator(".note").is_visible()

    gone = len(upstream.gone)
    page.select_option("#provider", "openai")
    upstream.add(text_reply("One, ", finish_reason=None, done=False, then=[HOLD]))
    tab.ask("Count again")
    tab.wait_for_answer("One,")
    page.get_by_role("button", name="New chat").click()
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
    assert not page.locator(".note").is_visible()

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


def test_phone(new_tab: NewTab, shot: Shot) -> None:
    tab = new_tab(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    assert tab.fits()
    tab.ask("Show markdown " + "verylongword" * 20)
    tab.wait_for_answer("A table")
    tab.wait_for_end()
    assert tab.fits()
    tab.ask("Name your sources")
    tab.wait_for_end()
    tab.ask("error")
    tab.wait_for_note("This is what a rate limit looks like")
    assert tab.fits()
    shot(tab.page, "phone")
