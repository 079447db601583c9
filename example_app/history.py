"""Saves the chats: every question, and how its answer ended.

A question is saved before the provider is asked, and an answer when ``chat_finished`` tells
how it ended: what is kept is what the provider said, however far it came, and not what a page
says it was, and it is kept even when the page is gone.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from flask import Flask, current_app
from sqlalchemy import Text, cast, delete, func, select, update

from flask_llmchat import ChatError, ChatRequest, ChatResult, chat_finished, current_llmchat

from .chat import has_key, llmchat
from .database import db
from .models import Chat, Message
from .quota import MOST_PARTS, refuse_what_has_no_room, size_of, take_turn, what_has_room

_LONGEST_TITLE = 60
_NAME = re.compile(r"[\w-]{1,64}", re.ASCII)


def init_app(app: Flask) -> None:
    """Save the answers of an app's chats."""
    chat_finished.connect(keep_answer, sender=app)
    with app.app_context():  # what was saved before sizes were
        size = func.length(cast(Message.parts, Text))
        db.session.execute(update(Message).where(Message.size.is_(None)).values(size=size))
        db.session.commit()
        db.session.remove()


@llmchat.before_chat
def keep_question(chat: ChatRequest) -> None:
    """Save the question, and a place for its answer.

    A question that is there already was edited, or is to be answered anew: then what came
    after it is replaced. Clients that give their chats no id keep them themselves.
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
        return  # it will be refused for that, and is not kept
    try:
        _save_question(chat, name, question_name, list(_own_parts(question["parts"])))
        db.session.commit()
    finally:
        db.session.close()  # see load_profile; of what was refused nothing is kept


def _save_question(
    chat: ChatRequest, name: str, question_name: str, parts: list[dict[str, Any]]
) -> None:
    user_id, size = chat.profile.user_id, size_of(parts)
    take_turn(user_id)
    row = find(user_id, name)
    _refuse_what_is_behind(row, chat.raw)
    chat.context["example_user"] = user_id
    known = None
    if row is not None:
        same = select(Message.id, Message.size).filter_by(chat_id=row.id, name=question_name)
        known = db.session.execute(same).one_or_none()
    if known is None:
        refuse_what_has_no_room(user_id, row, size)
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
        refuse_what_has_no_room(user_id, row, size - known.size)
        changed = update(Message).where(Message.id == known.id)
        db.session.execute(changed.values(parts=parts, size=size))
    row.touched = time.time()
    db.session.add(
        Message(
            chat_id=row.id,
            name=f"msg_{chat.request_id}",  # as the stream will call it
            role="assistant",
            parts=[],
            request_id=chat.request_id,
        )
    )


def keep_answer(sender: Flask, result: ChatResult) -> None:
    """Save how a chat ended, with whatever came of the answer."""
    user_id = result.context.get("example_user")
    if user_id is None:  # not one of ours
        return
    take_turn(user_id)
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
    parts = list(islice(_answer_parts(result), MOST_PARTS + 1))
    message.parts = what_has_room(user_id, chat, parts)
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
    """Delete what a refused chat has left: its question, new with it, and the answer's place."""
    chat = answer.chat_id
    db.session.execute(delete(Message).where(Message.id.in_([answer.id, question])))
    left = select(Message.id).filter_by(chat_id=chat)
    db.session.execute(delete(Chat).where(Chat.id == chat, ~left.exists()))


def _refuse_what_is_behind(row: Chat | None, body: Mapping[str, Any]) -> None:
    """Let a page go on with a chat only as it is by now, and not as it was in that window.

    Else what is saved would not be the conversation that the model was sent. A page may tell
    which questions it has seen, as ``known``; of other clients this is not asked.
    """
    if row is None:
        if any(message.get("role") == "assistant" for message in body["messages"]):
            message = "This chat was deleted in another window. To go on, begin a new one."
            raise ChatError(message, status=409)
    elif isinstance(body.get("known"), list):
        asked = select(Message.name).filter_by(chat_id=row.id, role="user")
        seen = body["known"][: current_app.config["MOST_KEPT_MESSAGES"]]
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
    """Give what a question says; the library has seen to it that it can be sent."""
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
    if len(text) > _LONGEST_TITLE:
        # Of a text without a space there is no last whole word.
        text = (text[:_LONGEST_TITLE].rpartition(" ")[0] or text[:_LONGEST_TITLE]) + "…"
    return text or "An image"


def _answer_parts(result: ChatResult) -> Iterator[dict[str, Any]]:
    """Give an answer as the parts of a UIMessage, in the order most answers have."""
    if result.reasoning or result.reasoning_details:
        part: dict[str, Any] = {"type": "reasoning", "text": result.reasoning}
        if result.reasoning_details:  # some providers want them back in the next turn
            details = {"reasoning_details": list(result.reasoning_details)}
            part["providerMetadata"] = {result.provider: details}
        yield part
    if result.text:
        yield {"type": "text", "text": result.text}
    for call in result.tool_calls:
        if call.name:
            part = {
                "type": f"tool-{call.name}",
                "toolCallId": call.id or f"call_{uuid.uuid4().hex}",
                "state": "input-available",
            }
            if call.extra_content:
                google = call.extra_content.get("google") or {}
                signature = {"thoughtSignature": google.get("thought_signature")}
                part["callProviderMetadata"] = {result.provider: signature}
            try:
                part["input"] = json.loads(call.arguments or "{}")
            except ValueError:  # broken off: such a call is shown, and not sent again
                part |= {"state": "input-streaming", "input": call.arguments}
            yield part
    for url in result.images:
        yield {"type": "file", "mediaType": "image/*", "url": url}
    for number, source in enumerate(result.sources):
        part = {"type": "source-url", "sourceId": f"source-{number}", "url": source.url}
        yield {**part, "title": source.title} if source.title else part
