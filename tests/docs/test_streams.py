"""The code of docs/streams.md does what the page says."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import flask_login
import pytest

from flask_llmchat import chat_finished
from flask_llmchat.testing import FakeUpstream, text_reply
from tests.support.apps import HI
from tests.support.docs_blocks import heard, runs
from tests.support.redis_server import PROGRAM, RedisServer
from tests.support.servers import served

PATH = "/api/chat/openai"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    if PROGRAM is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    server = RedisServer(tmp_path)
    yield server.url
    server.kill()


def status(connection: HTTPConnection, path: str) -> int:
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    return response.status


class User(flask_login.UserMixin):  # type: ignore[misc]
    id = "7"


@runs("docs/streams.md", count=2)
def test_the_streams_pages_code_runs(
    python: list[str], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("redis", reason="redis is not installed: pip install -e '.[redis]'")
    saved: list[tuple[Any, ...]] = []
    names: dict[str, Any] = {
        "__name__": "app",
        "save_message": lambda *ids, **result: saved.append((*ids, result)),
    }
    with FakeUpstream() as upstream, heard(chat_finished):
        monkeypatch.setenv("OPENAI_API_KEY", "sk-planted")
        config = f'app.config["LLMCHAT_BASE_URLS"] = {{"openai": "{upstream.base_url}"}}\n'
        first = python[0].replace("redis://localhost:6379/0", address)
        exec(first.replace("llmchat = ", f"{config}llmchat = "), names)
        exec(python[1], names)
        app = names["app"]
        logins = flask_login.LoginManager(app)
        logins.request_loader(lambda request: User())
        upstream.add(text_reply(*["word "] * 20, delay=0.05))
        body = {"chatSettings": {"model": "gpt-6-luna"}, "messages": [HI], "conversationId": "c/1"}
        with served(app) as port:
            connection = HTTPConnection("127.0.0.1", port)
            headers = {"Content-Type": "application/json"}
            connection.request("POST", PATH, json.dumps(body), headers)
            response = connection.getresponse()
            stream = response.getheader("X-LLMChat-Stream")
            assert response.read(5) == b"word " and not saved
            response.close()
            connection.close()  # the page is closed
            connection.request("GET", f"{PATH}/c%2F1/stream")
            assert connection.getresponse().read() == b"word " * 20
            (told,) = saved
            assert told[:2] == ("c/1", None) and told[2]["outcome"] == "ok"
            while status(connection, f"{PATH}/c%2F1/stream") != 204:
                time.sleep(0.05)  # the store learns of the end a moment later
            connection.request("GET", f"{PATH}/{stream}/stream?after=90")
            assert connection.getresponse().read() == b"word " * 2
            connection.close()
        app.extensions["llmchat"]["llmchat"].streams.store.close()
