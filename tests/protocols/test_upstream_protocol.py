"""The seam for upstream protocols: a toy one, with a row that names it, and no edit inside."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from flask_llmchat import (
    ChatRequest,
    Event,
    Finish,
    LLMChat,
    Model,
    Provider,
    Target,
    TextDelta,
    Totals,
    Usage,
)
from flask_llmchat.testing import CUT, FakeUpstream, Reply
from tests.support.apps import finished, make_app


class LinesParser:
    """Events named ``word`` bring text; one named ``end`` says how many words there were."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.done = False
        self._words: list[str] = []
        self._usage: Usage | None = None

    def parse(self, name: str, data: bytes) -> list[Event]:
        if name == "word":
            self._words.append(data.decode())
            return [TextDelta(data.decode())]
        self._usage = Usage(completion_tokens=int(data), total_tokens=int(data))
        self.finish_reason, self.done = "stop", True
        return [Finish("stop")]

    def parse_whole(self, body: Any, data: bytes) -> list[Event] | None:
        return None

    def finish(self) -> list[Event]:
        return []

    def totals(self) -> Totals:
        return Totals(text=self._words, usage=self._usage, finish_reason=self.finish_reason)


class Lines:
    """A made-up protocol: a question in, words out."""

    name = "lines"
    path = "/ask"
    headers: Mapping[str, str] = {"X-Lines-Version": "7"}

    def build_body(
        self, chat: ChatRequest, provider: Provider, target: Target, model: Model
    ) -> dict[str, Any]:
        return {"question": chat.messages[-1]["content"], "of": target.model}

    def parser(self, provider: Provider, *, passthrough: bool) -> LinesParser:
        return LinesParser()


TOY = Provider(name="toy", label="Toy", key_required=False, protocol=Lines())
ANSWER = b"event: word\ndata: It is \n\nevent: word\ndata: 7.\n\nevent: end\ndata: 2\n\n"

BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "text": (
        "/api/chat/toy",
        {"chatSettings": {"model": "t-1"}, "messages": [{"role": "user", "content": "What?"}]},
    ),
    "ui": (
        "/api/chat/toy",
        {
            "chatSettings": {"model": "t-1"},
            "messages": [{"id": "1", "role": "user", "parts": [{"type": "text", "text": "What?"}]}],
        },
    ),
    "openai": (
        "/api/chat/toy/chat/completions",
        {"model": "t-1", "messages": [{"role": "user", "content": "What?"}], "stream": True},
    ),
    "openai, whole": (
        "/api/chat/toy/chat/completions",
        {"model": "t-1", "messages": [{"role": "user", "content": "What?"}]},
    ),
}


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream(paths=["/ask"]) as fake:
        yield fake


@pytest.mark.parametrize("dialect", BODIES)
def test_a_toy_protocol_is_served_in_every_dialect(dialect: str, upstream: FakeUpstream) -> None:
    path, posted = BODIES[dialect]
    upstream.add(Reply(headers={"Content-Type": "text/event-stream"}, body=[ANSWER]))
    app = make_app(upstream, llmchat=LLMChat(providers=[TOY]))
    with finished(app) as done:
        response = app.test_client().post(path, json=posted)
        text = response.get_data(as_text=True)
        response.close()
        result = done.only
    assert response.status_code == 200
    assert "It is " in text and "7." in text
    assert result.text == "It is 7."
    assert result.outcome == "ok"
    assert result.usage is not None and result.usage.completion_tokens == 2
    (request,) = upstream.requests
    assert request.path.endswith("/ask")
    assert request.headers["X-Lines-Version"] == "7"
    assert json.loads(request.body) == {"question": "What?", "of": "t-1"}


def test_its_cut_response_is_truncated(upstream: FakeUpstream) -> None:
    sse = {"Content-Type": "text/event-stream"}
    upstream.add(Reply(headers=sse, body=[b"event: word\ndata: It \n\n", CUT]))
    app = make_app(upstream, llmchat=LLMChat(providers=[TOY]))
    path, posted = BODIES["ui"]
    with finished(app) as done:
        response = app.test_client().post(path, json=posted)
        text = response.get_data(as_text=True)
        response.close()
        assert done.only.outcome == "truncated"
    assert "Toy broke off before the answer was complete." in text


def test_a_protocol_that_is_not_known_is_named(upstream: FakeUpstream) -> None:
    row = Provider(name="toy", label="Toy", key_required=False, protocol="lines")
    with pytest.raises(ValueError, match="'toy' has protocol 'lines'; known are chat_completions"):
        make_app(upstream, llmchat=LLMChat(providers=[row]))
