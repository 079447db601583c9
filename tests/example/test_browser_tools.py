"""The example's tools on its chat page: what they found, and what they ask before they write."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from itsdangerous import TimestampSigner
from sqlalchemy import select

from example_app import demo, orders
from example_app.database import db
from example_app.models import Order, User
from tests.support.chromium import (
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

QUESTION = "May the tool “cancel_order” be used?"
USED = "Used the tool “cancel_order”"
NOT_USED = "Did not use the tool “cancel_order”"
PASSED = "Asked for the tool “cancel_order”"


@pytest.fixture(autouse=True)
def quick_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_SECONDS_A_WORD", 0.001)


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
    return shots(tmp_path_factory, "tools-")


class ToolTab(Tab):
    """A tab with the chat page, of a user of its own."""

    def __init__(self, page: Any, site: Site) -> None:
        super().__init__(page, site)
        self.sent: list[Any] = []  # the bodies of its chats
        page.on("request", self._keep)

    def _keep(self, request: Any) -> None:
        if "/api/chat/" in request.url:
            self.sent.append(request.post_data_json)

    def open(self, address: str = "/") -> None:
        self.page.goto(address)
        expect(self.page.locator("#send")).to_be_enabled()

    def ask(self, text: str) -> None:
        self.page.locator("#question").fill(text)
        self.page.locator("#question").press("Enter")
        expect(self.page.locator(".turn").last).to_contain_text(text)
        self.expect_end()

    def be_asked(self, calls: int = 1) -> None:
        """Let the demo ask to cancel an order, or two."""
        self.ask("Cancel all of my orders" if calls == 2 else "Cancel my latest order")
        expect(self.yes).to_have_count(calls)
        expect(self.calls(QUESTION)).to_have_count(calls)

    def expect_end(self) -> None:
        """Wait until no answer is being written: not for the answer to begin, which is awaited by
        what it shows.
        """
        expect(self.page.locator("#send")).to_be_visible()
        expect(self.page.locator(".answer[aria-busy]")).to_have_count(0)

    def calls(self, told: str) -> Any:
        return self.page.locator("details", has=self.page.locator("summary", has_text=told))

    @property
    def yes(self) -> Any:
        return self.page.get_by_role("button", name="Yes", exact=True)

    @property
    def no(self) -> Any:
        return self.page.get_by_role("button", name="No", exact=True)

    @property
    def answer(self) -> Any:
        return self.page.locator(".turn").last.locator(".body")

    @property
    def note(self) -> Any:
        return self.page.locator(".turn").last.locator(".note")

    def orders(self) -> dict[str, str]:
        with self.site.app.app_context():
            email = self.page.locator(".who").text_content()
            user = select(User.id).filter_by(email=email).scalar_subquery()
            found = db.session.scalars(select(Order).where(Order.user_id == user))
            return {order.item: order.status for order in found}

    def fits(self) -> bool:
        """Tell whether nothing has to be scrolled sideways, and the page not at all."""
        return bool(
            self.page.evaluate(
                "document.documentElement.scrollHeight <= innerHeight"
                " && [document.documentElement, document.querySelector('.scroll')]"
                ".every((node) => node.scrollWidth <= node.clientWidth)"
            )
        )


NewTab = Callable[..., ToolTab]


@pytest.fixture
def new_tab(browser: Any, site: Site) -> Iterator[NewTab]:
    with tabs_of(browser, site, ToolTab) as open_tab:

        def new(**options: Any) -> ToolTab:
            tab: ToolTab = open_tab(**options)
            tab.page.context.add_cookies([site.sign_up(False)])
            tab.open()
            return tab

        yield new


OPEN = {"A teapot": "sent", "Green tea, 500 g": "open", "Two cups": "open"}
CANCELLED = {**OPEN, "Two cups": "cancelled"}


def is_folded(call: Any) -> None:
    expect(call).to_have_count(1)
    expect(call).to_be_visible()
    expect(call).not_to_have_attribute("open", "")


def test_a_visitor_tries_it_and_says_yes(new_tab: NewTab, shot: Shot) -> None:
    tab = new_tab(viewport={"width": 1280, "height": 900})
    page = tab.page
    page.get_by_role("button", name="See a tool ask first").click()
    expect(tab.yes).to_be_visible()
    asked = tab.calls(QUESTION)
    expect(asked).to_have_attribute("open", "")  # with what it would be called with
    expect(asked.get_by_label("What it is called with")).to_contain_text('"number": ')
    is_folded(tab.calls("Used the tool “find_orders”"))
    shot(page, "asks")
    assert tab.orders() == OPEN

    tab.yes.click()
    expect(tab.answer).to_contain_text("is cancelled.” A model would now")
    tab.expect_end()
    assert tab.orders() == CANCELLED
    for again in range(2):  # as it came, and as it was saved
        expect(page.locator(".turn")).to_have_count(1)
        expect(page.locator("details")).to_have_count(2)
        expect(tab.yes.or_(tab.no)).to_have_count(0)
        used, found = tab.calls(USED), tab.calls("Used the tool “find_orders”")
        is_folded(used)
        is_folded(found)
        expect(tab.note).to_be_hidden()
        shot(page, f"said-yes-{again}")
        for call, inside in ((used, "is cancelled."), (found, '"item": "Two cups"')):
            call.locator("summary").click()
            expect(call.get_by_label("What it is called with")).to_be_visible()
            expect(call.get_by_label("Its result")).to_contain_text(inside)
        if not again:
            page.reload()
    assert [len(body["messages"]) for body in tab.sent] == [1, 2]


def test_after_a_no_nothing_is_done(new_tab: NewTab, shot: Shot) -> None:
    tab = new_tab()
    tab.be_asked()
    tab.no.click()
    expect(tab.answer).to_contain_text("“Tool call execution denied.” A model would now")
    tab.expect_end()
    for again in range(2):
        is_folded(tab.calls(NOT_USED))
        expect(tab.yes.or_(tab.no)).to_have_count(0)
        shot(tab.page, f"said-no-{again}")
        if not again:
            tab.page.reload()
    assert tab.orders() == OPEN
    tab.be_asked()  # another time, in the same chat
    tab.yes.click()
    expect(tab.calls(USED)).to_have_count(1)
    tab.expect_end()
    assert tab.orders() == CANCELLED


def test_nothing_is_sent_until_all_calls_are_decided_on(new_tab: NewTab, shot: Shot) -> None:
    tab = new_tab()
    tab.be_asked(calls=2)
    tab.yes.first.click()
    expect(tab.yes.first).to_have_attribute("aria-pressed", "true")
    tab.no.first.click()  # thought better of
    expect(tab.no.first).to_have_attribute("aria-pressed", "true")
    expect(tab.yes.first).to_have_attribute("aria-pressed", "false")
    shot(tab.page, "one-of-two")
    assert len(tab.sent) == 1
    tab.yes.last.click()
    expect(tab.calls(USED)).to_have_count(1)
    expect(tab.calls(NOT_USED)).to_have_count(1)
    tab.expect_end()
    assert len(tab.sent) == 2
    assert tab.orders() == {**OPEN, "Green tea, 500 g": "cancelled"}


@pytest.mark.parametrize("approved", [True, False])
def test_a_reload_while_it_waits(new_tab: NewTab, approved: bool) -> None:
    tab = new_tab()
    tab.be_asked()
    expect(tab.page.locator("#chats a")).to_have_count(1)
    tab.page.reload()
    expect(tab.calls(QUESTION)).to_have_attribute("open", "")
    (tab.yes if approved else tab.no).click()
    expect(tab.calls(USED if approved else NOT_USED)).to_have_count(1)
    expect(tab.answer).to_contain_text("A model would now")
    tab.expect_end()
    expect(tab.page.locator(".turn")).to_have_count(1)
    assert tab.orders() == (CANCELLED if approved else OPEN)


def test_it_goes_to_the_provider_that_has_asked(new_tab: NewTab) -> None:
    tab = new_tab()
    tab.be_asked()
    tab.page.select_option("#provider", "openai")
    tab.yes.click()
    expect(tab.calls(USED)).to_have_count(1)
    expect(tab.page.locator("#provider")).to_have_value("demo")


def test_it_is_decided_in_another_window(new_tab: NewTab, site: Site, shot: Shot) -> None:
    tab = new_tab()
    tab.be_asked()
    tab.page.wait_for_url("**/chats/*")
    other = ToolTab(tab.page.context.new_page(), site)
    other.open(tab.page.url)
    other.no.click()
    expect(other.calls(NOT_USED)).to_have_count(1)
    expect(other.answer).to_contain_text("A model would now")
    other.expect_end()
    tab.yes.click()
    expect(tab.note).to_contain_text("This was decided on before, perhaps in another window.")
    expect(tab.calls(NOT_USED)).to_have_count(1)
    expect(tab.answer).to_contain_text("A model would now")
    expect(tab.yes.or_(tab.no)).to_have_count(0)
    shot(tab.page, "decided-elsewhere")
    assert tab.orders() == OPEN
    assert other.complaints == []


def test_who_writes_on_has_said_neither(new_tab: NewTab, shot: Shot) -> None:
    tab = new_tab()
    tab.be_asked()
    tab.ask("Hello?")
    expect(tab.answer).to_contain_text("You said: “Hello?”")
    for again in range(2):
        expect(tab.yes.or_(tab.no)).to_have_count(0)
        is_folded(tab.calls(PASSED))
        tab.calls(PASSED).locator("summary").click()
        expect(tab.calls(PASSED)).to_contain_text("You went on without a yes or no.")
        shot(tab.page, f"went-on-{again}")
        if not again:
            tab.page.reload()
    assert tab.orders() == OPEN


def test_a_question_asked_again_asks_again(new_tab: NewTab) -> None:
    tab = new_tab()
    tab.be_asked()
    tab.page.get_by_role("button", name="Regenerate").click()
    tab.expect_end()
    assert [len(body["messages"]) for body in tab.sent] == [1, 1]
    tab.yes.click()
    expect(tab.calls(USED)).to_have_count(1)
    tab.expect_end()
    assert tab.orders() == CANCELLED


def test_a_yes_that_comes_too_late(
    new_tab: NewTab, shot: Shot, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab = new_tab()
    tab.be_asked()
    now = TimestampSigner.get_timestamp
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: now(self) + 902)
    tab.yes.click()
    failed = tab.calls("Tried the tool “cancel_order”")
    expect(failed).to_have_attribute("open", "")
    expect(failed.get_by_label("Its result")).to_have_text("This approval is no longer valid.")
    expect(tab.answer).to_contain_text("“This approval is no longer valid.” A model would now")
    tab.expect_end()
    shot(tab.page, "too-late")
    assert tab.orders() == OPEN


def test_what_never_reaches_the_server_can_be_decided_on_again(new_tab: NewTab) -> None:
    tab = new_tab()
    tab.be_asked()
    tab.page.route("**/api/chat/*", lambda route: route.abort())
    tab.yes.click()
    expect(tab.note).to_contain_text("The server could not be reached.")
    tab.complaints.clear()  # of the connection, rightly
    expect(tab.calls(QUESTION)).to_have_attribute("open", "")
    expect(tab.yes).to_have_attribute("aria-pressed", "false")
    assert tab.orders() == OPEN
    tab.page.unroute("**/api/chat/*")
    tab.yes.click()
    expect(tab.calls(USED)).to_have_count(1)
    tab.expect_end()
    expect(tab.note).to_be_hidden()
    assert tab.orders() == CANCELLED


def test_who_stops_it_in_the_middle_learns_later_what_came_of_it(
    new_tab: NewTab, shot: Shot, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    update = orders.update

    def slow(table: Any) -> Any:
        begun.set()
        assert go_on.wait(WAIT / 1000)
        return update(table)

    tab = new_tab()
    tab.be_asked()
    expect(tab.page.locator("#chats a")).to_have_count(1)
    monkeypatch.setattr(orders, "update", slow)
    tab.yes.click()
    assert begun.wait(WAIT / 1000)
    expect(tab.page.locator(".answer.writing")).to_have_count(1)  # the response has begun
    tab.page.get_by_role("button", name="Stop").click()
    expect(tab.calls(PASSED)).to_contain_text("You said yes. There is no result of it here.")
    expect(tab.note).to_contain_text("You stopped the answer here.")
    expect(tab.yes.or_(tab.no)).to_have_count(0)
    shot(tab.page, "stopped")
    go_on.set()
    tab.page.reload()  # as often as the page would look by itself
    expect(tab.calls(USED)).to_have_count(1)
    assert tab.orders() == CANCELLED


def test_it_can_be_decided_on_with_the_keyboard_alone(new_tab: NewTab) -> None:
    tab = new_tab()
    page = tab.page
    page.evaluate(
        """() => {
          window.said = [];
          const status = document.getElementById("status");
          new MutationObserver(() => said.push(status.textContent))
            .observe(status, { childList: true, subtree: true });
        }"""
    )
    tab.be_asked()
    expect(page.locator("#status")).to_contain_text("A tool waits for your yes or no.")
    group = page.get_by_role("group", name=QUESTION)
    expect(group.get_by_role("button")).to_have_text(["Yes", "No"])
    expect(page.locator("#question")).to_be_focused()
    for _ in range(12):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.textContent") == "Yes":
            break
    expect(tab.yes).to_be_focused()
    page.keyboard.press("Enter")
    expect(tab.calls(USED)).to_have_count(1)
    tab.expect_end()
    expect(tab.calls(USED).locator("summary")).to_be_focused()
    expect(page.locator("#status")).to_contain_text("is cancelled.")
    assert page.evaluate("said[0]") == "Waiting for the answer."


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_light_and_dark(new_tab: NewTab, scheme: str, shot: Shot) -> None:
    tab = new_tab(
        viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True, color_scheme=scheme
    )
    shot(tab.page, f"phone-{scheme}-first")
    assert tab.fits()
    tab.be_asked(calls=2)
    assert tab.fits()
    for button in (tab.yes.first, tab.no.first):
        box = button.bounding_box()
        assert box["height"] >= 44 and box["width"] >= 44
    tab.yes.first.tap()
    expect(tab.yes.first).to_have_attribute("aria-pressed", "true")
    assert tab.fits()
    shot(tab.page, f"phone-{scheme}-asks")
    places = ["[aria-pressed=true]", "[aria-pressed=false]", "summary", "details[open] summary"]
    texts = ["details[open] pre", "details[open] .hint"]
    contrast = tab.page.evaluate(contrast_of(*places, *texts))
    assert {name: ratio for name, ratio in contrast.items() if ratio < 4.5} == {}
    tab.no.last.tap()
    expect(tab.calls(USED)).to_have_count(1)
    tab.expect_end()
    tab.calls(USED).locator("summary").tap()
    assert tab.fits()
    shot(tab.page, f"phone-{scheme}-decided")
