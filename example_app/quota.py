"""Limits of what is saved, for an account and for a chat, in bytes and in number.

They are checked while the account is locked, so that of two requests at once the second sees what
the first has saved.
"""

from __future__ import annotations

import json
from typing import Any

from flask import current_app
from sqlalchemy import func, select, update

from flask_llmchat import ChatError

from .database import db
from .models import Chat, Message, User

# Of one response: more sources, images or calls are of no use to a reader.
MAX_PARTS = 1000

# A question has room only if a response of this many bytes would have it, too.
_AN_ANSWER = 100_000


def size_of(parts: list[dict[str, Any]]) -> int:
    """Return how many bytes the parts of a message take in the database."""
    return len(json.dumps(parts))


def lock_account(user_id: int) -> None:
    """Lock this user's account until the transaction ends.

    An update locks the row in every database; in SQLite it locks the file.
    """
    same = update(User).where(User.id == user_id).values(id=User.id)
    db.session.execute(same, execution_options={"synchronize_session": False})


def refuse_without_room(user_id: int, chat: Chat | None, size: int) -> None:
    """Refuse a question for which there is no room.

    :param chat: the one it belongs to, unless that is new.
    :raises ChatError: with a sentence that says what to do.
    """
    most = current_app.config
    chats = select(func.count()).select_from(Chat).filter_by(user_id=user_id)
    if chat is None and (db.session.scalar(chats) or 0) >= most["MAX_KEPT_CHATS"]:
        raise _no_room(f"You have {most['MAX_KEPT_CHATS']:,} saved chats, which is the most.")
    count = db.session.scalar(_of_account(user_id, func.count())) or 0
    if count + 2 > most["MAX_KEPT_MESSAGES"]:
        limit = f"{most['MAX_KEPT_MESSAGES']:,} messages"
        raise _no_room(f"Your saved chats have {limit}, which is the most.")
    in_account, in_chat = _room(user_id, chat)
    if in_account < size + _AN_ANSWER:
        limit = f"{most['MAX_KEPT_BYTES'] / 1e6:.0f} MB"
        raise _no_room(f"Your saved chats fill the {limit} there are for them.")
    if in_chat < size + _AN_ANSWER:
        message = "This chat is as large as a chat can be. Please begin a new one."
        raise ChatError(message, status=507)


def parts_with_room(user_id: int, chat: Chat, parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the parts of a response for which there is room, earlier ones first."""
    room = min(_room(user_id, chat))
    kept = []
    for part in parts[:MAX_PARTS]:
        if (size := size_of([part])) <= room:
            kept.append(part)
            room -= size
    return kept


def _room(user_id: int, chat: Chat | None) -> tuple[int, int]:
    """Return how many bytes there are left in the account, and in the chat."""
    kept = db.session.scalar(_of_account(user_id, func.sum(Message.size))) or 0
    in_chat = 0
    if chat is not None:
        sizes = select(func.sum(Message.size)).filter_by(chat_id=chat.id)
        in_chat = db.session.scalar(sizes) or 0
    most = current_app.config
    return most["MAX_KEPT_BYTES"] - kept, most["MAX_CHAT_BYTES"] - in_chat


def _of_account(user_id: int, what: Any) -> Any:
    chats = select(Chat.id).filter_by(user_id=user_id)
    return select(what).select_from(Message).where(Message.chat_id.in_(chats))


def _no_room(reason: str) -> ChatError:
    return ChatError(f"{reason} To go on, delete some of them.", status=507)
