"""The tables: who uses the app, and each one's keys."""

from __future__ import annotations

from flask_login import UserMixin  # type: ignore[import-untyped]
from sqlalchemy import JSON, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship
from werkzeug.security import check_password_hash, generate_password_hash

from flask_llmchat import builtin_providers

from .database import EncryptedText, db


class User(UserMixin, db.Model):  # type: ignore[misc, name-defined]
    """Somebody with an account."""

    __tablename__ = "user"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    profile: Mapped[Profile] = relationship(back_populates="user", cascade="all, delete-orphan")

    def set_password(self, password: str) -> None:
        """Keep a hash of the password, and never the password."""
        self.password_hash = generate_password_hash(password)

    def has_password(self, password: str) -> bool:
        """Tell whether this is the password."""
        return check_password_hash(self.password_hash, password)


class Profile(db.Model):  # type: ignore[misc, name-defined]
    """One user's keys and what goes with them, under the names flask_llmchat reads.

    The row itself is what the profile loader returns: the library asks it for
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


# A key column for each provider the library gains, so that this file need not change with it.
for _provider in builtin_providers:
    if _provider.key_attr and not hasattr(Profile, _provider.key_attr):
        setattr(Profile, _provider.key_attr, mapped_column(EncryptedText, nullable=True))
