"""The example's chats that go on without their reader, and what is saved of them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from example_app.database import db
from example_app.models import Message
from flask_llmchat import ChatError, ChatResult, chat_finished
from flask_llmchat.testing import HOLD, FakeUpstream, text_reply
from tests.support.example import KEY, Visitor


def begin(visitor: Visitor) -> TestResponse:
    """Ask, and read the response's first bytes alone."""
    part = {"type": "text", "text": "Count"}
    question = {"id": "q1", "role": "user", "parts": [part]}
    body = {"id": "c1", "messages": [question], "chatSettings": {"model": "gpt-4.1"}}
    response = visitor.client.post("/api/chat/openai", json=body, headers=visitor.headers)
    read_first(response)
    return response


def read_first(response: TestResponse) -> Iterator[bytes]:
    pieces = response.iter_encoded()
    seen = b""
    while b"One, " not in seen:
        seen += next(pieces)
    return pieces


def stop(visitor: Visitor) -> None:
    address = "/api/chat/openai/c1/stop"
    assert visitor.client.post(address, headers=visitor.headers).get_json() == {"success": True}


def test_an_answer_goes_on_without_its_reader(ada: Visitor, upstream: FakeUpstream) -> None:
    upstream.add(text_reply("One, ", "two.", delay=0.1))
    begin(ada).close()
    assert ada.texts("c1") == ["Count", "One, two."]
    assert ada.messages("c1")[1]["metadata"]["outcome"] == "ok"
    assert ada.client.get("/api/chat/openai/c1/stream").status_code == 204


def test_only_its_user_reads_and_stops_an_answer(
    example: Flask, ada: Visitor, upstream: FakeUpstream
) -> None:
    bob = Visitor(example, "bob@example.org", openai_api_key=KEY)
    upstream.add(text_reply("One, ", finish_reason=None, done=False, then=[HOLD]))
    response = begin(ada)
    told = ada.messages("c1")[1]
    begun = {"provider": "openai", "model": "gpt-4.1"}
    assert told["metadata"] == {**begun, "outcome": "running"}
    assert bob.client.get("/api/chat/openai/c1/stream").status_code == 204
    stop(bob)
    again = ada.client.get("/api/chat/openai/c1/stream")
    pieces = read_first(again)
    stop(ada)
    assert b'"type":"abort"' in b"".join(response.iter_encoded())
    assert b'"type":"abort"' in b"".join(pieces)
    (_, saved) = ada.messages("c1")
    assert (saved["id"], saved["metadata"]["outcome"]) == (told["id"], "stopped")
    assert saved["parts"] == [{"type": "text", "text": "One, "}]


@pytest.mark.parametrize("has_context", [True, False])
def test_an_answer_whose_worker_died(
    example: Flask, ada: Visitor, upstream: FakeUpstream, has_context: bool
) -> None:
    """Another worker reports it, with what the store has kept."""
    kept = []

    def keep(sender: Flask, result: ChatResult) -> None:
        kept.append(result)

    with chat_finished.connected_to(keep):
        ada.ask("c1", ("q1", "Count"))
    context = json.loads(json.dumps(kept[0].context))
    with example.app_context():
        message = db.session.scalars(select(Message).filter_by(role="assistant")).one()
        message.parts, message.about = [], {"provider": "openai", "model": "gpt-4.1"}
        db.session.commit()
    result = ChatResult(
        provider="openai",
        model="gpt-4.1",
        outcome="interrupted",
        text="One, ",
        error=ChatError.of("interrupted", provider="openai"),
        request_id=kept[0].request_id,
        context=context if has_context else {},
    )
    with example.app_context():
        chat_finished.send(example, result=result)
    (_, saved) = ada.messages("c1")
    if not has_context:  # before its hooks had run
        assert saved["metadata"]["outcome"] == "running"
        return
    assert saved["parts"] == [{"type": "text", "text": "One, "}]
    assert saved["metadata"]["outcome"] == "interrupted"
    assert saved["metadata"]["error"]["code"] == "interrupted"
