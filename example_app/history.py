"""Saves the chats: every question, and the response with its outcome.

A question is saved before the provider is called, and the response with ``chat_finished``: the text
that the provider sent, also a part of it, and not what a page claims. The response goes on when
its page is closed, and is saved when it ends; when its worker has died, another one saves what had
come. So ``chat.context`` has nothing in it but JSON.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from flask import Flask, current_app
from sqlalchemy import Text, cast, delete, func, select, update

from flask_llmchat import ChatError, ChatRequest, ChatResult, chat_finished, current_llmchat

from .answer_parts import decided, parts_of, settled
from .chat import has_key, llmchat
from .database import db
from .models import Chat, Message
from .quota import MAX_PARTS, lock_account, parts_with_room, refuse_without_room, size_of

_MAX_TITLE = 60
_NAME = re.compile(r"[\w-]{1,64}", re.ASCII)


def init_app(app: Flask) -> None:
    """Save the responses of an app's chats."""
    chat_finished.connect(keep_answer, sender=app)
    with app.app_context():  # messages from before there was a size column
        size = func.length(cast(Message.parts, Text))
        db.session.execute(update(Message).where(Message.size.is_(None)).values(size=size))
        db.session.commit()
        db.session.remove()


@llmchat.before_chat
def keep_question(chat: ChatRequest) -> None:
    """Save the question, and an empty message for the response.

    A question that has been saved before was edited, or its response is regenerated: then the
    messages after it are replaced. A chat with the user's decisions on tool calls brings no
    question, and goes on with the response that asked. Chats without an id are not saved.
    """
    if chat.dialect != "ui" or chat.raw.get("id") is None:
        return
    posted = chat.raw["messages"]
    question = next((m for m in reversed(posted) if m.get("role") == "user"), None)
    if question is None:
        return
    name = _name("id", chat.raw["id"])
    question_name = _name("messages: the id of the last question", question.get("id"))
    if not has_key(current_llmchat.providers[chat.provider], chat.profile):
        return  # it will be refused for this reason, and is not saved
    try:
        if chat.approvals:
            _save_decisions(chat, name)
        else:
            _save_question(chat, name, question_name, list(_own_parts(question["parts"])))
        db.session.commit()
    finally:
        db.session.close()  # see load_profile; a refused question leaves nothing behind


def _save_question(
    chat: ChatRequest, name: str, question_name: str, parts: list[dict[str, Any]]
) -> None:
    user_id, size = chat.profile.user_id, size_of(parts)
    lock_account(user_id)
    row = find(user_id, name)
    _refuse_stale_history(row, chat.raw)
    chat.context["example_user"] = user_id
    known = None
    if row is not None:
        same = select(Message.id, Message.size).filter_by(chat_id=row.id, name=question_name)
        known = db.session.execute(same).one_or_none()
    if known is None:
        refuse_without_room(user_id, row, size)
        if row is None:
            row = Chat(user_id=user_id, name=name, title=_title(parts))
            db.session.add(row)
            db.session.flush()
        question = Message(chat_id=row.id, name=question_name, role="user", parts=parts, size=size)
        db.session.add(question)
        db.session.flush()
        chat.context["example_question"] = question.id
    else:
        assert row is not None
        later = (Message.chat_id == row.id) & (Message.id > known.id)
        db.session.execute(delete(Message).where(later))
        refuse_without_room(user_id, row, size - known.size)
        changed = update(Message).where(Message.id == known.id)
        db.session.execute(changed.values(parts=parts, size=size))
    row.touched = time.time()
    db.session.add(
        Message(
            chat_id=row.id,
            name=f"msg_{chat.request_id}",  # the id in the stream
            role="assistant",
            parts=[],
            request_id=chat.request_id,
            about=_begun(chat),
        )
    )


def _save_decisions(chat: ChatRequest, name: str) -> None:
    """Save what the user has decided on the calls that wait in the last response.

    The first decision counts, whatever is sent by another window, or once more.
    """
    user_id = chat.profile.user_id
    lock_account(user_id)
    row = find(user_id, name)
    _refuse_stale_history(row, chat.raw)
    assert row is not None  # or it would have been refused
    last = select(Message).filter_by(chat_id=row.id).order_by(Message.id.desc()).limit(1)
    message = db.session.scalars(last).one()
    parts = decided(message.parts, [approval.approved for approval in chat.approvals])
    if parts is None or message.name != chat.raw["messages"][-1]["id"]:
        told = "This was decided on before, perhaps in another window. Please look what came of it."
        raise ChatError(told, status=409)
    chat.context["example_user"] = user_id
    chat.context["example_calls"] = [approval.call.id for approval in chat.approvals]
    chat.context["example_before"] = [message.parts, message.about]
    message.parts, message.size = parts, size_of(parts)
    message.request_id, message.about, message.began = chat.request_id, _begun(chat), time.time()
    row.touched = time.time()


def _begun(chat: ChatRequest) -> dict[str, Any]:
    """Return what is known about a response at its beginning: where a page can read it."""
    return {"provider": chat.provider, "model": chat.model}


def keep_answer(sender: Flask, result: ChatResult) -> None:
    """Save a chat's outcome, and the response as far as it was received."""
    user_id = result.context.get("example_user")
    if user_id is None:  # a chat that is not saved
        return
    lock_account(user_id)
    message = db.session.scalar(select(Message).filter_by(request_id=result.request_id))
    chat = None if message is None else db.session.get(Chat, message.chat_id)
    if message is None or chat is None:  # deleted meanwhile
        db.session.rollback()
        return
    question = result.context.get("example_question")
    if result.outcome == "refused" and question:  # before anything was sent
        _forget(message, question)
        db.session.commit()
        return
    before = result.context.get("example_before")
    if result.outcome == "refused" and before:  # nothing was run: the user can decide again
        message.parts, message.about = before
        message.size = size_of(message.parts)
        db.session.commit()
        return
    parts = list(islice(parts_of(result), MAX_PARTS + 1))
    if before:
        earlier = settled(message.parts, result.context["example_calls"], result.tool_runs)
        parts = [*earlier, {"type": "step-start"}, *parts]
        message.size = 0  # or they would take their room twice
    message.parts = parts_with_room(user_id, chat, parts)
    message.size = size_of(message.parts)
    error, usage = result.error, result.usage
    message.about = {
        "outcome": result.outcome,
        "cut": len(message.parts) < len(parts),
        "provider": result.provider,
        "model": result.model,
        "error": {"message": error.message, "code": error.code} if error else None,
        "usage": {
            "inputTokens": usage.prompt_tokens,
            "outputTokens": usage.completion_tokens,
            "reasoningTokens": usage.reasoning_tokens,
        }
        if usage
        else None,
        "firstWord": result.time_to_first_token,
        "total": result.duration,
    }
    db.session.commit()


def _forget(answer: Message, question: int) -> None:
    """Delete what a refused chat has saved: its new question, and the empty response."""
    chat = answer.chat_id
    db.session.execute(delete(Message).where(Message.id.in_([answer.id, question])))
    left = select(Message.id).filter_by(chat_id=chat)
    db.session.execute(delete(Chat).where(Chat.id == chat, ~left.exists()))


def _refuse_stale_history(row: Chat | None, body: Mapping[str, Any]) -> None:
    """Refuse to continue a chat from a window that does not show all of its questions.

    Otherwise the saved chat would not be the conversation that the model received. A page may send
    the ids of the questions that it shows as ``known``; for other clients this is not checked.
    """
    if row is None:
        if any(message.get("role") == "assistant" for message in body["messages"]):
            message = "This chat was deleted in another window. To go on, begin a new one."
            raise ChatError(message, status=409)
    elif isinstance(body.get("known"), list):
        asked = select(Message.name).filter_by(chat_id=row.id, role="user")
        seen = body["known"][: current_app.config["MAX_KEPT_MESSAGES"]]
        if not set(db.session.scalars(asked)) <= {name for name in seen if isinstance(name, str)}:
            message = "This chat has gone on in another window. Please look, and ask again."
            raise ChatError(message, status=409)


def _name(what: str, value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ChatError(f"{what}: 1 to 64 letters, digits, - and _, please.", status=422)
    return value


def find(user_id: int, name: str) -> Chat | None:
    """Return a user's chat of that name, if there is one."""
    found: Chat | None = db.session.scalar(select(Chat).filter_by(user_id=user_id, name=name))
    return found


def _own_parts(parts: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Give the text and files of a question; the library has checked that they can be sent."""
    for part in parts:
        if part["type"] == "text":
            yield {"type": "text", "text": part["text"]}
        elif part["type"] == "file":
            names = ("type", "mediaType", "filename", "url")
            yield {name: part[name] for name in names if name in part}


def _title(parts: list[dict[str, Any]]) -> str:
    """Return the first words of a question."""
    text = " ".join(part.get("text", "")[:1000] for part in parts[:10])
    text = " ".join(text.split())
    if len(text) > _MAX_TITLE:
        # A text without a space has no last whole word.
        text = (text[:_MAX_TITLE].rpartition(" ")[0] or text[:_MAX_TITLE]) + "…"
    return text or "An image"
