"""The example's pages in a real browser: Debian's Chromium, driven by Playwright.

Screenshots of them are kept in the folder that the environment variable SCREENSHOTS names.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from example_app import create_app
from example_app.database import db
from flask_llmchat.testing import FakeUpstream
from tests.support.apps import KEYS
from tests.support.servers import served

playwright = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed: pip install -e '.[browser]'"
)
expect = playwright.expect
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"
)

PASSWORD = "correct horse"
WAIT = 30_000  # ms; for a busy machine, on which the first chat's import of the SDK takes long
expect.set_options(timeout=WAIT)

Shot = Callable[[Any, str], None]


class Site:
    """The app on a real port, and the provider it calls."""

    def __init__(self, app: Flask, port: int, upstream: FakeUpstream, folder: Path) -> None:
        self.app, self.upstream, self.folder = app, upstream, folder
        self.address = f"http://127.0.0.1:{port}"
        self.users = 0

    def sign_up(self, key: bool) -> dict[str, str]:
        """Make an account, quicker than in the browser; return the cookie of its session."""
        self.users += 1
        client = self.app.test_client()

        def post(path: str, form: dict[str, str]) -> None:
            token = re.search(r'name="csrf-token" content="([^"]+)"', client.get(path).text)
            assert token
            assert client.post(path, data={**form, "csrf_token": token[1]}).status_code == 302

        post("/signup", {"email": f"user{self.users}@example.org", "password": PASSWORD})
        if key:
            post("/settings", {"openai_api_key": KEYS["openai_api_key"]})
        cookie = client.get_cookie("session")
        assert cookie
        return {"name": "session", "value": cookie.value, "url": self.address}


@contextmanager
def example_site(folder: Path) -> Iterator[Site]:
    """Serve the example, whose OpenAI is a fake upstream."""
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


@contextmanager
def chromium() -> Iterator[Callable[..., Any]]:
    """Give the function that starts a browser."""
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with playwright.sync_playwright() as running:
        yield partial(running.chromium.launch, executable_path=CHROMIUM, args=arguments)


def shots(factory: pytest.TempPathFactory, prefix: str = "") -> Shot:
    """Return the function that keeps a screenshot of a page under a name."""
    kept = os.environ.get("SCREENSHOTS")
    folder = Path(kept) if kept else factory.mktemp("screenshots")

    def take(page: Any, name: str) -> None:
        page.screenshot(path=folder / f"{prefix}{name}.png", animations="disabled")

    return take


class Tab:
    """A page in a browser of its own, and what it complained about."""

    def __init__(self, page: Any, site: Site) -> None:
        self.page, self.site = page, site
        self.complaints: list[str] = []
        self.strayed: list[str] = []
        page.set_default_timeout(WAIT)
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", self._refuse)
        page.on("request", self._look)

    def _note(self, message: Any) -> None:
        # Chromium says so of every response with an error's status, and so it should.
        if message.type in ("error", "warning") and "status of" not in message.text:
            self.complaints.append(message.text)

    def _refuse(self, dialog: Any) -> None:
        self.complaints.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def _look(self, request: Any) -> None:
        if not request.url.startswith((self.site.address, "data:")):
            self.strayed.append(request.url)


@contextmanager
def tabs_of(browser: Any, site: Site, kind: Callable[[Any, Site], Any]) -> Iterator[Any]:
    """Give the function that opens a tab; whatever one complains of fails its test.

    :param kind: the class of a tab.
    """
    tabs: list[Tab] = []
    site.upstream._queue.clear()  # what a test that failed has left

    def open_tab(**options: Any) -> Any:
        context = browser.new_context(base_url=site.address, **options)
        tabs.append(kind(context.new_page(), site))
        return tabs[-1]

    yield open_tab
    for tab in tabs:
        tab.page.context.close()
    assert [tab.complaints for tab in tabs if tab.complaints] == []
    assert [tab.strayed for tab in tabs if tab.strayed] == []


def contrast_of(*places: str) -> str:
    """Return the function that tells the contrast of the texts in some places with what is behind.

    WCAG asks for 4.5.

    :param places: selectors.
    """
    return _CONTRAST % json.dumps(places)


_CONTRAST = """() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = numbers(color).map((c) =>
      (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    const color = getComputedStyle(node).backgroundColor;
    return numbers(color)[3] === 0 ? behind(node.parentElement) : color;
  };
  const told = {};
  for (const place of %s) {
    const node = document.querySelector(place);
    const pair = [light(getComputedStyle(node).color), light(behind(node))].sort((a, b) => b - a);
    told[place] = (pair[0] + 0.05) / (pair[1] + 0.05);
  }
  return told;
}"""
