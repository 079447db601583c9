"""The saved chats: what is kept of each, and the JSON that the page lists and opens them by.

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
from typing import Any

from flask import Blueprint, Flask, abort, jsonify, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import generate_csrf  # type: ignore[import-untyped]
from sqlalchemy import delete, select

from flask_llmchat import ChatError, ChatRequest, ChatResult, chat_finished

from .chat import llmchat
from .database import db
from .login import logged_in_user
from .models import Chat, Message

# A server that dies tells nobody, so it is time that tells: an answer without an end counts as
# lost then. Only LLMCHAT_DEADLINE would be certain, and is ten minutes of waiting for nothing.
# The few answers that do take longer are wanted by a window that shows them; it is another
# window that is told too early, and a reload there shows the answer once it has ended.
_LOST_AFTER = 120

_LONGEST_TITLE = 60
_MOST_LISTED = 500
_NAME = re.compile(r"[\w-]{1,64}", re.ASCII)

blueprint = Blueprint("history", __name__, url_prefix="/api")


def init_app(app: Flask) -> None:
    """Save the answers of an app's chats."""
    chat_finished.connect(keep_answer, sender=app)


# ---- Saving


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
    parts = list(_own_parts(question["parts"]))
    row = _find(chat.profile.user_id, name)
    _refuse_what_is_behind(row, chat.raw)
    if row is None:
        row = Chat(user_id=chat.profile.user_id, name=name, title=_title(parts))
        db.session.add(row)
        db.session.flush()
    row.touched = time.time()
    known = db.session.scalar(select(Message).filter_by(chat_id=row.id, name=question_name))
    if known is None:
        db.session.add(Message(chat_id=row.id, name=question_name, role="user", parts=parts))
        db.session.flush()
    else:
        known.parts = parts
        later = (Message.chat_id == row.id) & (Message.id > known.id)
        db.session.execute(delete(Message).where(later))
    db.session.add(
        Message(
            chat_id=row.id,
            name=f"msg_{chat.request_id}",  # as the stream will call it
            role="assistant",
            parts=[],
            request_id=chat.request_id,
        )
    )
    db.session.commit()
    db.session.close()  # see load_profile


def keep_answer(sender: Flask, result: ChatResult) -> None:
    """Save how a chat ended, with whatever came of the answer."""
    message = db.session.scalar(select(Message).filter_by(request_id=result.request_id))
    if message is None:  # not one of ours, or deleted meanwhile
        return
    message.parts = list(_answer_parts(result))
    error, usage = result.error, result.usage
    message.about = {
        "outcome": result.outcome,
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
        if not set(db.session.scalars(asked)) <= set(map(str, body["known"])):
            message = "This chat has gone on in another window. Please look, and ask again."
            raise ChatError(message, status=409)


def _name(what: str, value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ChatError(f"{what}: 1 to 64 letters, digits, - and _, please.", status=422)
    return value


def _find(user_id: int, name: str) -> Chat | None:
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
    text = " ".join(" ".join(part.get("text", "") for part in parts).split())
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


# ---- For the page


@blueprint.before_request
def _ask_for_a_login() -> ResponseReturnValue | None:
    if logged_in_user() is None:  # no redirect: a script would read the login page as an answer
        return jsonify(message="Your session has ended.", code="no_permission"), 401
    return None


@blueprint.after_request
def _keep_out_of_caches(response: Any) -> Any:
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/token")
def token() -> ResponseReturnValue:
    """Return the CSRF token, for a page that has been open since before the last login.

    It is told whose it is: the last login may have been somebody else's.
    """
    return jsonify(token=generate_csrf(), user=_user_id())


@blueprint.get("/chats")
def chats() -> ResponseReturnValue:
    """List the user's chats, the last used first."""
    query = select(Chat).filter_by(user_id=_user_id()).order_by(Chat.touched.desc())
    return jsonify([_listed(chat) for chat in db.session.scalars(query.limit(_MOST_LISTED))])


@blueprint.get("/chats/<name>")
def one_chat(name: str) -> ResponseReturnValue:
    """Return a chat with its messages."""
    chat = _mine(name)
    last = chat.messages[-1:]
    told = [_told(message, is_last=message in last) for message in chat.messages]
    return jsonify(**_listed(chat), messages=told)


@blueprint.patch("/chats/<name>")
def rename(name: str) -> ResponseReturnValue:
    """Give a chat another title."""
    chat = _mine(name)
    told = request.get_json(silent=True)
    title = told.get("title") if isinstance(told, dict) else None
    title = " ".join(title.split())[:200] if isinstance(title, str) else ""
    title = title.encode(errors="replace").decode()  # JSON can hold halves of characters
    if not title:
        return jsonify(message="A title has at least one letter.", code="bad_request"), 422
    chat.title = title
    db.session.commit()
    return jsonify(_listed(chat))


@blueprint.delete("/chats/<name>")
def remove(name: str) -> ResponseReturnValue:
    """Delete a chat with all its messages."""
    db.session.delete(_mine(name))
    db.session.commit()
    return "", 204


def _user_id() -> int:
    user = logged_in_user()
    assert user is not None  # _ask_for_a_login has seen to it
    return user.id


def _mine(name: str) -> Chat:
    chat = _find(_user_id(), name)
    if chat is None:
        told = jsonify(message="There is no such chat.", code="not_found")
        told.status_code = 404
        abort(told)
    return chat


def _listed(chat: Chat) -> dict[str, Any]:
    return {"id": chat.name, "title": chat.title, "url": url_for("chat.page", name=chat.name)}


def _told(message: Message, *, is_last: bool) -> dict[str, Any]:
    about = message.about
    if message.role == "assistant" and not about:
        is_new = time.time() - message.began < _LOST_AFTER
        about = {"outcome": "running" if is_last and is_new else "lost"}
    return {"id": message.name, "role": message.role, "parts": message.parts, "metadata": about}
