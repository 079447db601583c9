"""The saved chats as JSON: what the page lists, opens, renames and deletes them by."""

from __future__ import annotations

import time
from typing import Any, NoReturn

from flask import Blueprint, abort, jsonify, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import generate_csrf  # type: ignore[import-untyped]
from sqlalchemy import delete, select

from .database import db
from .history import find
from .login import logged_in_user
from .models import Chat, Message
from .quota import take_turn

# A server that dies tells nobody, so it is time that tells: an answer without an end counts as
# lost then. Only LLMCHAT_DEADLINE would be certain, and is ten minutes of waiting for nothing.
# The few answers that do take longer are wanted by a window that shows them; it is another
# window that is told too early, and a reload there shows the answer once it has ended.
_LOST_AFTER = 120

_MOST_LISTED = 500
# Of a chat's messages, as many are sent at once; the page asks for those before them.
_PAGE = 40
_PAGE_BYTES = 2_000_000

blueprint = Blueprint("saved_chats", __name__, url_prefix="/api")


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
    """Return a chat with the last of its messages, or with the last before one of them.

    ``older`` is what to ask ``before`` of then, or null when there are none. It begins with a
    question, and so has questions and answers together.
    """
    chat = _mine(name)
    messages = select(Message).filter_by(chat_id=chat.id)
    before = request.args.get("before")
    if before is not None:
        first = db.session.scalar(select(Message.id).filter_by(chat_id=chat.id, name=before))
        if first is None:  # deleted with an edit, in another window
            _abort("There is no such message.")
        messages = messages.where(Message.id < first)
    newest = messages.order_by(Message.id.desc()).limit(_PAGE + 1)
    sizes = db.session.execute(newest.with_only_columns(Message.id, Message.size)).all()
    count, size = 0, 0
    for row in sizes[:_PAGE]:
        size += row.size
        if size > _PAGE_BYTES and count >= 2:
            break
        count += 1
    page = list(reversed(db.session.scalars(newest.limit(count)).all()))
    while count < len(sizes) and len(page) > 1 and page[0].role == "assistant":
        page.pop(0)
        count -= 1
    older = page[0].name if count < len(sizes) else None
    last = None if before is not None else page[-1:]
    told = [_told(message, is_last=[message] == last) for message in page]
    return jsonify(**_listed(chat), messages=told, older=older)


@blueprint.patch("/chats/<name>")
def rename(name: str) -> ResponseReturnValue:
    """Give a chat another title."""
    chat = _mine(name)
    told = request.get_json(silent=True)
    title = told.get("title") if isinstance(told, dict) else None
    title = " ".join(title[:1000].split())[:200] if isinstance(title, str) else ""
    title = title.encode(errors="replace").decode()  # JSON can hold halves of characters
    if not title:
        return jsonify(message="A title has at least one letter.", code="bad_request"), 422
    chat.title = title
    db.session.commit()
    return jsonify(_listed(chat))


@blueprint.delete("/chats/<name>")
def remove(name: str) -> ResponseReturnValue:
    """Delete a chat with all its messages."""
    user_id, chat_id = _user_id(), _mine(name).id
    take_turn(user_id)  # or a question could be saved for it between the two
    db.session.execute(delete(Message).where(Message.chat_id == chat_id))
    db.session.execute(delete(Chat).where(Chat.id == chat_id))
    db.session.commit()
    return "", 204


def _user_id() -> int:
    user = logged_in_user()
    assert user is not None  # _ask_for_a_login has seen to it
    return user.id


def _mine(name: str) -> Chat:
    chat = find(_user_id(), name)
    if chat is None:
        _abort("There is no such chat.")
    return chat


def _abort(message: str) -> NoReturn:
    told = jsonify(message=message, code="not_found")
    told.status_code = 404
    abort(told)


def _listed(chat: Chat) -> dict[str, Any]:
    return {"id": chat.name, "title": chat.title, "url": url_for("chat.page", name=chat.name)}


def _told(message: Message, *, is_last: bool) -> dict[str, Any]:
    about = message.about
    if message.role == "assistant" and not about:
        is_new = time.time() - message.began < _LOST_AFTER
        about = {"outcome": "running" if is_last and is_new else "lost"}
    return {"id": message.name, "role": message.role, "parts": message.parts, "metadata": about}
