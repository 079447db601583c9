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
from flask_llmchat.testing import CUT, FakeUpstream, Reply, error_reply
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


class PausingParser(LinesParser):
    """A ``pause`` ends a response that a further request goes on with."""

    paused = False

    def parse(self, name: str, data: bytes) -> list[Event]:
        if name != "pause":
            return super().parse(name, data)
        self.finish_reason, self.done, self.paused = "length", True, True
        return []

    def continue_body(self, body: dict[str, Any]) -> dict[str, Any] | None:
        return {**body, "so_far": body.get("so_far", 0) + 1} if self.paused else None


class Pausing(Lines):
    """A protocol with pauses, which can also leave out what an organization may not have."""

    def build_body(
        self, chat: ChatRequest, provider: Provider, target: Target, model: Model
    ) -> dict[str, Any]:
        return {"question": chat.messages[-1]["content"], "of": target.model, "extra": True}

    def parser(self, provider: Provider, *, passthrough: bool) -> PausingParser:
        return PausingParser()

    def amend_body(
        self, body: dict[str, Any], error: Any, headers: Mapping[str, str]
    ) -> dict[str, Any] | None:
        if "no extra" not in str(error):
            return None
        return {name: value for name, value in body.items() if name != "extra"}


PAUSED = b"event: word\ndata: It is \n\nevent: pause\ndata: 0\n\n"


def reply(*body: bytes) -> Reply:
    return Reply(headers={"Content-Type": "text/event-stream"}, body=body)


def pausing_app(upstream: FakeUpstream) -> Any:
    row = Provider(name="toy", label="Toy", key_required=False, protocol=Pausing())
    llmchat = LLMChat(providers=[row])

    @llmchat.before_chat
    def switch_on(chat: ChatRequest) -> None:
        chat.provider_tools = [{"type": "web_search"}]

    return make_app(upstream, llmchat=llmchat)


@pytest.mark.parametrize("dialect", BODIES)
def test_a_paused_response_goes_on_by_itself(dialect: str, upstream: FakeUpstream) -> None:
    path, posted = BODIES[dialect]
    upstream.add(reply(PAUSED), reply(PAUSED), reply(ANSWER))
    app = pausing_app(upstream)
    with finished(app) as done:
        response = app.test_client().post(path, json=posted)
        text = response.get_data(as_text=True)
        response.close()
        result = done.only
    assert text.count("It is ") == 3 and "7." in text
    assert result.outcome == "ok" and result.text == "It is It is It is 7."
    assert [request.json.get("so_far") for request in upstream.requests] == [None, 1, 2]
    assert [len(step.attempts) for step in result.steps] == [3]


def test_a_response_is_continued_eight_times_at_most(upstream: FakeUpstream) -> None:
    path, posted = BODIES["ui"]
    upstream.add(*[reply(PAUSED) for _ in range(12)])
    app = pausing_app(upstream)
    with finished(app) as done:
        response = app.test_client().post(path, json=posted)
        text = response.get_data(as_text=True)
        response.close()
        assert done.only.outcome == "length"
    assert len(upstream.requests) == 9
    assert '"finishReason":"length"' in text


def test_a_request_is_sent_again_without_what_the_provider_refuses(upstream: FakeUpstream) -> None:
    path, posted = BODIES["text"]
    upstream.add(error_reply(400, "there is no extra for you"), reply(ANSWER))
    app = pausing_app(upstream)
    with finished(app) as done:
        response = app.test_client().post(path, json=posted)
        assert response.get_data(as_text=True) == "It is 7."
        response.close()
        ((refused, accepted),) = (step.attempts for step in done.only.steps)
    assert [request.json.get("extra") for request in upstream.requests] == [True, None]
    assert refused.error is not None and accepted.error is None


def test_a_request_that_stays_refused_is_not_sent_for_ever(upstream: FakeUpstream) -> None:
    path, posted = BODIES["text"]
    upstream.add(*[error_reply(400, "there is no extra for you") for _ in range(9)])
    response = pausing_app(upstream).test_client().post(path, json=posted)
    assert response.status_code == 400
    assert len(upstream.requests) == 4
