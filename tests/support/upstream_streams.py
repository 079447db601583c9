"""Upstream requests without an app, and what a scripted server says to them."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from typing import Any

from flask_llmchat import Model, Target, builtin_providers
from flask_llmchat.protocols import PROTOCOLS
from flask_llmchat.protocols.chat_completions.parser import ChatCompletionParser
from flask_llmchat.runs.response_stream import ResponseStream
from flask_llmchat.runs.upstream_request import UpstreamRequest
from flask_llmchat.testing import event
from flask_llmchat.transport import runtime
from flask_llmchat.transport.watchdog import CancelToken
from tests.support.apps import KEYS
from tests.support.scripted_server import Talk, Visit, chunk

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
SHORT = OK + b"Content-Length: 2\r\n\r\nok"
TEXT = event({"choices": [{"index": 0, "delta": {"content": "Hello"}}]})
STOP = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
DONE = b"data: [DONE]\n\n"
WHOLE = CHUNKED + chunk(TEXT + STOP + DONE) + b"0\r\n\r\n"
KEY = KEYS["openai_api_key"]


def call_of(url: str, **more: Any) -> UpstreamRequest:
    how: dict[str, Any] = {
        "body": {"model": "m", "messages": []},
        "connect_timeout": 5.0,
        "read_timeout": 5.0,
        "deadline": time.monotonic() + 30,
        "max_retries": 0,
        **more,
    }
    return UpstreamRequest(
        row=builtin_providers[0],
        protocol=PROTOCOLS["chat_completions"],
        target=Target(model="m", headers={}),
        model=Model(name="m"),
        request_id="1",
        url=f"{url}/v1/chat/completions",
        headers={"Authorization": f"Bearer {KEY}"},
        query={},
        secrets=(KEY,),
        **how,
    )


class WatchedStream(ResponseStream):
    """A stream that the watchdog checks, as a run has its streams checked."""

    def __init__(
        self,
        request: UpstreamRequest,
        parser: ChatCompletionParser,
        client: socket.socket | None = None,
    ) -> None:
        self.token = CancelToken(client, request.deadline)
        runtime.current_runtime().watchdog.add(self.token)
        try:
            super().__init__(request, parser, self.token)
        except BaseException:
            runtime.current_runtime().watchdog.remove(self.token)
            raise

    def close(self) -> None:
        super().close()
        runtime.current_runtime().watchdog.remove(self.token)


def stream_of(url: str, **more: Any) -> WatchedStream:
    return WatchedStream(call_of(url, **more), ChatCompletionParser())


def told(url: str, **more: Any) -> str:
    """Return the text of one chat."""
    reader = ChatCompletionParser()
    with closing(WatchedStream(call_of(url, **more), reader)) as stream:
        while stream.read():
            pass
    return "".join(reader.totals().text)


def always(*answer: bytes) -> Talk:
    def talk(visit: Visit) -> None:
        while True:
            visit.request()
            visit.say(*answer)

    return talk
