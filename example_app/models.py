"""The tables: users, their keys, their chats, their orders, and what they have approved."""

from __future__ import annotations

import hmac
import secrets
import time
from datetime import date, timedelta
from typing import Any

from flask_login import UserMixin  # type: ignore[import-untyped]
from sqlalchemy import JSON, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship
from werkzeug.security import check_password_hash, generate_password_hash

from flask_llmchat import builtin_providers

from .database import EncryptedText, db


class User(UserMixin, db.Model):  # type: ignore[misc, name-defined]
    """A user with an account.

    :ivar session_key: identifies the user's sessions; None if there are none. A session is a signed
        cookie, and a copy of it stays valid. So logging out deletes this key, which ends all of
        them.
    """

    __tablename__ = "user"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    session_key: Mapped[str | None] = mapped_column(String(32))
    profile: Mapped[Profile] = relationship(back_populates="user", cascade="all, delete-orphan")
    orders: Mapped[list[Order]] = relationship(cascade="all, delete-orphan")

    def set_password(self, password: str) -> None:
        """Store a hash of the password, and never the password."""
        self.password_hash = generate_password_hash(password)

    def has_password(self, password: str) -> bool:
        """Return whether this is the password."""
        return check_password_hash(self.password_hash, password)

    def begin_session(self) -> None:
        """Generate the session key, unless there is one already."""
        self.session_key = self.session_key or secrets.token_hex(16)

    def end_sessions(self) -> None:
        """End this user's sessions, in all browsers."""
        self.session_key = None

    def get_id(self) -> str:
        """Return what Flask-Login stores in the session."""
        return f"{self.id}.{self.session_key}"

    @staticmethod
    def of_session(kept: str) -> User | None:
        """Return the user of a session; None if it has ended."""
        number, _, key = kept.partition(".")
        user = db.session.get(User, int(number)) if number.isdecimal() else None
        if user is None or user.session_key is None:
            return None
        return user if hmac.compare_digest(user.session_key.encode(), key.encode()) else None


class Profile(db.Model):  # type: ignore[misc, name-defined]
    """One user's keys and their settings, under the names that flask_llmchat reads.

    The profile loader returns the row itself: the library reads its attribute
    ``openai_api_key`` and gets the plain text.
    """

    __tablename__ = "profile"

    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), primary_key=True)
    user: Mapped[User] = relationship(back_populates="profile")

    openai_api_key: Mapped[str | None] = mapped_column(EncryptedText)
    openai_organization_id: Mapped[str | None] = mapped_column(String(200))
    azure_openai_api_key: Mapped[str | None] = mapped_column(EncryptedText)
    azure_openai_endpoint: Mapped[str | None] = mapped_column(String(500))
    azure_openai_deployments: Mapped[dict[str, str] | None] = mapped_column(JSON)
    openrouter_api_key: Mapped[str | None] = mapped_column(EncryptedText)
    groq_api_key: Mapped[str | None] = mapped_column(EncryptedText)


# A key column for each of the library's other providers, so that this file need not list them.
for _provider in builtin_providers:
    if _provider.key_attr and not hasattr(Profile, _provider.key_attr):
        setattr(Profile, _provider.key_attr, mapped_column(EncryptedText, nullable=True))


class Chat(db.Model):  # type: ignore[misc, name-defined]
    """One conversation.

    Its name is its id in URLs and requests. The page generates it, so it is looked up among the
    user's own chats alone: two users may each have a chat of the same name.
    """

    __tablename__ = "chat"
    __table_args__ = (UniqueConstraint("user_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    name: Mapped[str] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(String(200))
    touched: Mapped[float] = mapped_column(default=time.time)
    # No relationship to the messages, so that no code loads all of them.


class Message(db.Model):  # type: ignore[misc, name-defined]
    """One question or response, as a UIMessage: what the page shows and sends back.

    :ivar size: bytes of its parts. Because of the index, the size of a chat or an account is known
        without reading any message.
    :ivar request_id: id of the request that a response is for, by which this row is found.
    :ivar about: the provider and the model of a response; when it has ended, also its outcome,
        usage and times.
    """

    __tablename__ = "message"
    __table_args__ = (
        UniqueConstraint("chat_id", "name"),
        Index("ix_message_sizes", "chat_id", "id", "size"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    chat_id: Mapped[int] = mapped_column(ForeignKey("chat.id"))
    name: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(16))
    size: Mapped[int] = mapped_column(default=0)
    parts: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    request_id: Mapped[str | None] = mapped_column(String(32), unique=True)
    about: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    began: Mapped[float] = mapped_column(default=time.time)


class Order(db.Model):  # type: ignore[misc, name-defined]
    """Something that a user has ordered, for the tools in orders.py to find and to cancel."""

    __tablename__ = "order"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    item: Mapped[str] = mapped_column(String(200))
    status: Mapped[str] = mapped_column(String(16))
    placed: Mapped[date]


class UsedApproval(db.Model):  # type: ignore[misc, name-defined]
    """A tool call that its user has approved, and that is not to be carried out again.

    :ivar key: the approval's own; that it is unique is what makes the second worker fail.
    :ivar expires_at: Unix time from which on the row is not needed.
    """

    __tablename__ = "used_approval"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[float]


def sample_orders() -> list[Order]:
    """Return the orders that a new account begins with: this shop sells nothing."""
    today = date.today()
    return [
        Order(item="A teapot", status="sent", placed=today - timedelta(days=9)),
        Order(item="Green tea, 500 g", status="open", placed=today - timedelta(days=2)),
        Order(item="Two cups", status="open", placed=today),
    ]
