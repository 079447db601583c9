"""The example app: its accounts, its forms, and what a page sends."""

from __future__ import annotations

import http.cookiejar
import json
import os
import re
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from example_app.database import db
from example_app.models import Profile
from tests.support.apps import KEYS, body

ROOT = Path(__file__).resolve().parents[2]


ACCOUNT = {"email": "ada@example.org", "password": "correct horse"}
KEY = KEYS["openai_api_key"]


MakeExample = Callable[..., Flask]


def token_in(page: str) -> str:
    found = re.search(r'name="csrf-token" content="([^"]+)"', page)
    assert found
    return found[1]


def post(client: FlaskClient, path: str, form: dict[str, Any] | None = None) -> TestResponse:
    """Send a page's form, with the token the page holds."""
    seen = "/login" if path == "/logout" else path
    token = token_in(client.get(seen, follow_redirects=True).text)
    return client.post(path, data={**(form or {}), "csrf_token": token})


def sign_up(client: FlaskClient) -> FlaskClient:
    answer = post(client, "/signup", ACCOUNT)
    assert (answer.status_code, answer.location) == (302, "/")
    return client


def row_of(app: Flask) -> Profile:
    with app.app_context():
        return db.session.scalars(select(Profile)).one()


class Visitor:
    """Somebody with an account and a key, who talks as the page does."""

    def __init__(self, app: Flask, email: str = ACCOUNT["email"], **keys: str) -> None:
        self.client = app.test_client()
        post(self.client, "/signup", {**ACCOUNT, "email": email})
        if keys:
            post(self.client, "/settings", keys)
        self.headers = {"X-CSRFToken": token_in(self.client.get("/").text)}

    def ask(
        self, chat: str, *messages: tuple[str, str], provider: str = "openai", **more: Any
    ) -> TestResponse:
        """Ask with a history of (id, text); every second message is an answer."""
        posted = [
            {"id": id_, "role": role, "parts": [{"type": "text", "text": text}]}
            for (id_, text), role in zip(messages, ["user", "assistant"] * 9, strict=False)
        ]
        body = {"id": chat, "messages": posted, "chatSettings": {"model": "gpt-4.1"}, **more}
        path = f"/api/chat/{provider}"
        return self.client.post(path, json=body, headers=self.headers, buffered=True)

    def titles(self) -> list[str]:
        return [chat["title"] for chat in self.client.get("/api/chats").get_json()]

    def messages(self, chat: str) -> list[dict[str, Any]]:
        answer = self.client.get(f"/api/chats/{chat}")
        assert answer.headers["Cache-Control"] == "no-store"
        messages: list[dict[str, Any]] = answer.get_json()["messages"]
        return messages

    def texts(self, chat: str) -> list[str]:
        return ["".join(p.get("text", "") for p in m["parts"]) for m in self.messages(chat)]


def environment(instance: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EXAMPLE_")}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "EXAMPLE_INSTANCE_PATH": str(instance),
        # The demo is on this machine; a proxy is not for it.
        "NO_PROXY": "*",
    }


class Browser:
    """Keeps cookies, and sends the token of the last page it saw."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._token = ""
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
        )

    def get(self, path: str) -> str:
        with self._opener.open(self._address + path, timeout=30) as response:
            page: str = response.read().decode()
        self._token = token_in(page)
        return page

    def post(self, path: str, form: dict[str, str]) -> str:
        self.get(path)
        data = urllib.parse.urlencode({**form, "csrf_token": self._token}).encode()
        with self._opener.open(self._address + path, data, timeout=30) as response:
            page: str = response.read().decode()
        self._token = token_in(page)
        return page

    def ask(self, text: str, chat: str = "") -> Any:
        """Ask the demo, as chatbot-ui does; or as our page, which names its chat."""
        message = {"id": "q1", "role": "user", "parts": [{"type": "text", "text": text}]}
        ours = {"id": chat, "messages": [message], "chatSettings": {"model": "demo"}}
        request = urllib.request.Request(
            f"{self._address}/api/chat/demo",
            json.dumps(ours if chat else body("demo", text)).encode(),
            {"Content-Type": "application/json", "X-CSRFToken": self._token},
        )
        return self._opener.open(request, timeout=30)

    def stop(self, chat: str) -> None:
        address = f"{self._address}/api/chat/demo/{chat}/stop"
        request = urllib.request.Request(address, b"", {"X-CSRFToken": self._token})
        with self._opener.open(request, timeout=30):
            pass

    def saved(self, chat: str) -> dict[str, Any]:
        with self._opener.open(f"{self._address}/api/chats/{chat}", timeout=30) as response:
            answer: dict[str, Any] = json.load(response)["messages"][-1]
        return answer
