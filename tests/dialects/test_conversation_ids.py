"""The id of a conversation: where each dialect has it, and that it goes no further than the app."""

from __future__ import annotations

from typing import Any

import pytest

from flask_llmchat import ChatRequest, LLMChat
from flask_llmchat.testing import FakeUpstream
from tests.support.apps import KEYS, asked, body, finished, make_app, ui_body

URL = "/api/chat/openai"
ID = "id-of-the-chat-é"


def seen(upstream: FakeUpstream, posted: Any, path: str = "") -> str | None:
    """Post a body; return the id that hooks and the result have."""
    llmchat = LLMChat()
    chats: list[ChatRequest] = []
    llmchat.before_chat(chats.append)
    app = make_app(upstream, llmchat=llmchat)
    with finished(app) as done:
        assert app.test_client().post(URL + path, json=posted).status_code == 200
    assert done.only.conversation_id == chats[0].conversation_id
    (sent,) = upstream.requests
    assert "id-of-the-chat" not in f"{sent.json} {sent.headers}"
    return chats[0].conversation_id


@pytest.mark.parametrize("given", [ID, "c" * 256, None])
def test_text_and_openai_take_a_field(upstream: FakeUpstream, given: str | None) -> None:
    assert seen(upstream, {**body(), "conversationId": given}) == given
    upstream.requests.clear()
    posted = asked(conversationId=given)
    assert seen(upstream, posted, "/chat/completions") == given


def test_a_body_without_one_has_none(upstream: FakeUpstream) -> None:
    assert seen(upstream, body()) is None
    upstream.requests.clear()
    assert seen(upstream, asked(), "/chat/completions") is None


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (ID, ID),
        ("c" * 256, "c" * 256),
        *((odd, None) for odd in (None, "", "c" * 257, 7, True, ["c"], {"a": "b"}, "\ud83d")),
    ],
)
def test_ui_takes_the_chats_id_and_refuses_none(
    upstream: FakeUpstream, given: Any, found: str | None
) -> None:
    assert seen(upstream, ui_body(id=given)) == found


def test_ui_does_not_look_for_it_elsewhere(upstream: FakeUpstream) -> None:
    assert seen(upstream, ui_body(id=None, conversationId=ID, conversation_id=ID)) is None


def test_from_python_it_is_an_argument(upstream: FakeUpstream) -> None:
    llmchat = LLMChat()
    given: dict[str, Any] = {"model": "gpt-4.1", "profile": KEYS}
    with make_app(upstream, llmchat=llmchat).app_context():
        assert llmchat.complete("openai", "Hi", **given).conversation_id is None
        result = llmchat.complete("openai", "Hi", conversation_id=ID, **given)
        assert result.conversation_id == ID
        with llmchat.stream("openai", "Hi", conversation_id=ID, **given) as chat:
            list(chat)
        assert chat.result.conversation_id == ID
        upstream.requests.clear()
        for wrong in ("", "c" * 257, 7, b"c"):
            with pytest.raises(ValueError, match="conversation_id= has to be a string of 1 to 256"):
                llmchat.complete("openai", "Hi", conversation_id=wrong, **given)  # type: ignore[arg-type]
    assert not upstream.requests
