"""The code of docs/tools.md does what the page says."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from flask_sqlalchemy import SQLAlchemy

from flask_llmchat import chat_finished, tool_finished
from flask_llmchat.testing import FakeUpstream, text_reply, tool_reply
from tests.support.apps import KEYS, body, finished, make_app
from tests.support.docs_blocks import heard, runs


class Order:
    def __init__(self, user: str, status: str) -> None:
        self.user, self.status = user, status
        self.cancelled_once: list[str] = []
        self.paid_back: list[tuple[float, str]] = []

    def as_dict(self) -> dict[str, Any]:
        return {"status": self.status}

    def cancel(self, once: str) -> None:
        self.cancelled_once.append(once)

    def refund(self, amount: float, once: str) -> None:
        self.paid_back.append((amount, once))


async def count(item: str) -> int:
    return len(item)


db = SQLAlchemy()


class UsedApproval(db.Model):  # type: ignore[name-defined]
    key = db.Column(db.String, primary_key=True)
    expires_at = db.Column(db.Float)


class Host:
    """The app that the page's blocks are added to, and what it has of its own."""

    def __init__(self, blocks: list[str], upstream: FakeUpstream) -> None:
        self.upstream = upstream
        self.orders = {1: Order("7", "open"), 2: Order("8", "open")}
        self.names: dict[str, Any] = {
            "__name__": "app",
            "search": lambda words, kind: [SimpleNamespace(as_dict=lambda: {"kind": kind})] * 9,
            "parcels": {"12345678": "in Ulm"},
            "current_user": SimpleNamespace(id=7),
            "orders": self.orders,
            "orders_of": self.orders_of,
            "warehouse": SimpleNamespace(count=count),
            "saved_searches": lambda user: [
                SimpleNamespace(id=i, name=f"search_{i}", about="A search.")
                for i in {"7": (1, 2)}[user]
            ],
            "run_saved": lambda id, day: [SimpleNamespace(as_dict=lambda: [id, day])],
            "add_up": lambda year, month, stop: None,
            "db": db,
            "UsedApproval": UsedApproval,
        }
        for block in blocks:
            exec(block, self.names)
        profile = SimpleNamespace(**KEYS, may_cancel=False, may_refund=True)
        self.names["llmchat"].profile_loader(lambda: profile)
        self.profile, self.app = profile, self.names["app"]
        self.app.config |= {"SECRET_KEY": "secret", "SQLALCHEMY_DATABASE_URI": "sqlite://"}
        db.init_app(self.app)
        with self.app.app_context():
            db.create_all()

    def orders_of(self, user: str, status: str) -> list[Order]:
        return [o for o in self.orders.values() if (o.user, o.status) == (user, status)]

    def results(self, *calls: tuple[str, Any]) -> list[str]:
        """Let the model call tools; return what it gets."""
        self.upstream.add(tool_reply(*calls[0], *calls[1:]), text_reply("So."))
        with finished(self.app):
            assert self.app.test_client().post("/api/chat/openai", json=body()).text == "So."
        sent = self.upstream.requests[-1].json["messages"]
        return [message["content"] for message in sent if message["role"] == "tool"]

    def decide_on(self, *calls: tuple[str, Any]) -> None:
        """Let the model call tools that ask, and approve the calls."""
        message = {"id": "u", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}
        posted = {"chatSettings": {"model": "gpt-4.1"}, "messages": [message]}
        self.upstream.add(tool_reply(*calls[0], *calls[1:]), text_reply("So."))
        client = self.app.test_client()
        stream = client.post("/api/chat/openai", json=posted).text
        frames = [json.loads(line[6:]) for line in stream.split("\n") if line[:7] == "data: {"]
        ids = {f["toolCallId"]: f["approvalId"] for f in frames if "approvalId" in f}
        parts = [
            {
                "type": f"tool-{f['toolName']}",
                "toolCallId": f["toolCallId"],
                "input": f["input"],
                "state": "approval-responded",
                "approval": {"id": ids[f["toolCallId"]], "approved": True},
            }
            for f in frames
            if f["type"] == "tool-input-available"
        ]
        posted["messages"] = [message, {"id": "a", "role": "assistant", "parts": parts}]
        for _ in range(2):
            assert client.post("/api/chat/openai", json=posted).text

    def offered(self) -> dict[str, Any]:
        tools = self.upstream.requests[-1].json["tools"]
        return {tool["function"]["name"]: tool["function"] for tool in tools}


@runs("docs/tools.md", count=11)
def test_the_tools_pages_code_runs(
    python: list[str], host: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    with heard(chat_finished), heard(tool_finished):
        page = Host(python, host)
        caplog.set_level("INFO", page.app.logger.name)
        (told,) = page.results(("local_time", {"zone": "Asia/Tokyo"}))
        assert told.endswith("+09:00")
        found = page.results(
            ("find_products", {"words": "green", "kind": "tea", "limit": 2}),
            ("find_products", {"words": "green", "limit": 99}),
            ("track", {"number": "12345678"}),
            ("track", {"number": "1"}),
            ("opening_hours", {"day": "Sunday"}),
        )
        assert [found[0], found[2], found[4]] == [
            '[{"kind":"tea"},{"kind":"tea"}]',
            "in Ulm",
            "closed",
        ]
        assert "limit" in found[1] and "number" in found[3]
        offered = page.offered()
        words = offered["find_products"]["parameters"]["properties"]["words"]
        assert words["description"] == "what the product's name should have."
        assert "cancel_order" not in offered
        (refused,) = page.results(("cancel_order", {"number": 1}))
        assert refused.startswith("There is no tool 'cancel_order'.")
        page.profile.may_cancel = True
        orders = page.results(
            ("find_orders", {}), ("cancel_order", {"number": 1}), ("cancel_order", {"number": 2})
        )
        assert orders == [
            '[{"status":"open"}]',
            "Order 1 is cancelled.",
            "The user has no order 2.",
        ]
        assert len(page.orders[1].cancelled_once) == 1
        assert page.results(("in_stock", {"item": "cups"}), ("yearly_report", {"year": 2026})) == [
            "4",
            '{"url":"/reports/2026"}',
        ]
        assert page.results(("search_2", {"day": "today"})) == ['[[2,"today"]]']
        assert {"search_1", "search_2", "find_orders"} <= page.offered().keys()
        assert "yearly_report: ok after" in caplog.text
        assert "2 steps, tools: in_stock, yearly_report" in caplog.text
        number = {"number": 1, "amount": 9.5}
        page.decide_on(("refund", number), ("refund_order", {**number, "amount": 60}))
        assert [amount for amount, _ in page.orders[1].paid_back] == [9.5]
        page.profile.may_refund = False
        (denied,) = page.results(("refund_order", number))
        assert denied == "Only the support team may refund."
        page.names["create_app"] = lambda **config: make_app(
            config={**config, "SECRET_KEY": "secret"}, llmchat=page.names["llmchat"]
        )
        page.names["test_the_model_gets_the_time"]()
        with page.app.app_context():
            db.engine.dispose()
