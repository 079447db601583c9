"""What a chat writes to its stream, for the case that its worker dies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from flask_llmchat import ChatRequest, LLMChat
from flask_llmchat.streams.memory import MemoryWriter
from flask_llmchat.testing import FakeUpstream, text_reply, tool_reply
from tests.support.apps import finished
from tests.support.streams import DIALECTS, PATHS, asking, keeping


@pytest.mark.parametrize("first", ["", "I look."])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_text_that_is_stored_is_that_of_the_result(
    dialect: str, first: str, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[str] = []
    append = MemoryWriter.append

    def noting(self: MemoryWriter, data: bytes, text: str = "") -> None:
        stored.append(text)
        append(self, data, text)

    monkeypatch.setattr(MemoryWriter, "append", noting)
    llmchat = LLMChat()
    llmchat.tool(name="find")(lambda: "tea")
    upstream.add(tool_reply("find", {}, text=first), text_reply("It is ", "tea."))
    app = keeping(upstream, llmchat)
    with finished(app) as done:
        app.test_client().post(PATHS[dialect], json=asking(dialect)).close()
    assert "".join(stored) == done.only.text


def test_what_an_ending_needs_is_stored(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The context as JSON; {} where it is none."""
    states: list[Mapping[str, Any]] = []
    monkeypatch.setattr(MemoryWriter, "update", lambda self, state: states.append(state))
    llmchat = LLMChat()
    contexts: list[dict[str, Any]] = [
        {"row": 7},
        {"row": object()},
        {"row": float("nan")},
        {1: "one", "of": ("a", "b")},
    ]

    @llmchat.before_chat
    def set_context(chat: ChatRequest) -> None:
        chat.model = "gpt-5"
        chat.context |= contexts[len(states)]

    client = keeping(upstream, llmchat).test_client()
    for _ in contexts:
        client.post(PATHS["text"], json=asking("text")).close()
    assert states == [
        {"model": "gpt-5", "context": context}
        for context in ({"row": 7}, {}, {}, {"1": "one", "of": ["a", "b"]})
    ]
