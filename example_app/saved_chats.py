"""The JSON API with which the page lists, opens, renames and deletes saved chats."""

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
from .quota import lock_account

# Seconds after which a response without an outcome counts as lost: with memory:// a server that
# dies saves none. Only LLMCHAT_DEADLINE would be certain, but is ten minutes of waiting in vain. A
# response that does take longer has a stream, which the page looks for in any case.
_LOST_AFTER = 120

_MAX_LISTED = 500
# The most messages of a chat in one response; the page requests earlier ones separately.
_PAGE = 40
_PAGE_BYTES = 2_000_000

blueprint = Blueprint("saved_chats", __name__, url_prefix="/api")


@blueprint.before_request
def _require_login() -> ResponseReturnValue | None:
    if logged_in_user() is None:  # no redirect: a script would read the login page as JSON
        return jsonify(message="Your session has ended.", code="no_permission"), 401
    return None


@blueprint.after_request
def _keep_out_of_caches(response: Any) -> Any:
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/token")
def token() -> ResponseReturnValue:
    """Return the CSRF token, for a page that has been open since before the last login.

    With the user's id: the last login may have been another user's.
    """
    return jsonify(token=generate_csrf(), user=_user_id())


@blueprint.get("/chats")
def chats() -> ResponseReturnValue:
    """List the user's chats, the last used first."""
    query = select(Chat).filter_by(user_id=_user_id()).order_by(Chat.touched.desc())
    return jsonify([_listed(chat) for chat in db.session.scalars(query.limit(_MAX_LISTED))])


@blueprint.get("/chats/<name>")
def one_chat(name: str) -> ResponseReturnValue:
    """Return a chat with its last messages, or with the last ones before ``?before=``.

    ``older`` is the id for ``before`` in the next request; null if there are no earlier messages.
    The messages begin with a question, so that questions and responses stay together.
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
    shown = [_message(message, is_last=[message] == last) for message in page]
    return jsonify(**_listed(chat), messages=shown, older=older)


@blueprint.patch("/chats/<name>")
def rename(name: str) -> ResponseReturnValue:
    """Give a chat another title."""
    chat = _mine(name)
    sent = request.get_json(silent=True)
    title = sent.get("title") if isinstance(sent, dict) else None
    title = " ".join(title[:1000].split())[:200] if isinstance(title, str) else ""
    title = title.encode(errors="replace").decode()  # JSON can hold lone surrogates
    if not title:
        return jsonify(message="A title has at least one letter.", code="bad_request"), 422
    chat.title = title
    db.session.commit()
    return jsonify(_listed(chat))


@blueprint.delete("/chats/<name>")
def remove(name: str) -> ResponseReturnValue:
    """Delete a chat with all its messages."""
    user_id, chat_id = _user_id(), _mine(name).id
    lock_account(user_id)  # or a question could be saved between the two statements
    db.session.execute(delete(Message).where(Message.chat_id == chat_id))
    db.session.execute(delete(Chat).where(Chat.id == chat_id))
    db.session.commit()
    return "", 204


def _user_id() -> int:
    user = logged_in_user()
    assert user is not None  # because of _require_login
    return user.id


def _mine(name: str) -> Chat:
    chat = find(_user_id(), name)
    if chat is None:
        _abort("There is no such chat.")
    return chat


def _abort(message: str) -> NoReturn:
    response = jsonify(message=message, code="not_found")
    response.status_code = 404
    abort(response)


def _listed(chat: Chat) -> dict[str, Any]:
    return {"id": chat.name, "title": chat.title, "url": url_for("chat.page", name=chat.name)}


def _message(message: Message, *, is_last: bool) -> dict[str, Any]:
    about = message.about
    if message.role == "assistant" and "outcome" not in about:
        is_new = time.time() - message.began < _LOST_AFTER
        about = {**about, "outcome": "running" if is_last and is_new else "lost"}
    return {"id": message.name, "role": message.role, "parts": message.parts, "metadata": about}
