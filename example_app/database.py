"""The database: SQLAlchemy, a column type for secrets, and the creation of the tables."""

from __future__ import annotations

import contextlib
import logging

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Dialect, Text, inspect
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.types import TypeDecorator

logger = logging.getLogger(__name__)


class Base(DeclarativeBase):
    """The base class of all tables."""


db = SQLAlchemy(model_class=Base)


def init_app(app: Flask) -> None:
    """Set the database and the cipher up for an app, and create the tables.

    ``FERNET_KEY`` may be several keys with commas between them: the first one encrypts, all
    decrypt, so that a key can be replaced.
    """
    keys = app.config["FERNET_KEY"].split(",")
    app.extensions["example_fernet"] = MultiFernet([Fernet(key.strip()) for key in keys])
    db.init_app(app)
    with app.app_context():
        _make_tables()


class EncryptedText(TypeDecorator[str]):
    """Text that the app reads and writes as it is, and that is encrypted in the database.

    No query can compare it: the same text is encrypted differently every time.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Encrypt, on the way to the database."""
        return _fernet().encrypt(value.encode()).decode() if value else None

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Decrypt, on the way back."""
        if value is None:
            return None
        try:
            return _fernet().decrypt(value).decode()
        except InvalidToken:
            # It is lost. An exception would lock its owner out of the page that replaces it.
            logger.warning("a saved secret was encrypted with another key; it counts as not set")
            return None


def _fernet() -> MultiFernet:
    cipher: MultiFernet = current_app.extensions["example_fernet"]
    return cipher


def _make_tables() -> None:
    """Create missing tables, columns and indexes.

    Enough for an example; an app with data to lose uses migrations (Flask-Migrate).
    ``db.create_all()`` checks first and creates afterwards, so that of two workers that start at
    once the slower one crashes; ``IF NOT EXISTS`` is one step.
    """
    with db.engine.begin() as connection:
        for table in db.metadata.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
    for table in db.metadata.sorted_tables:
        there = {column["name"] for column in inspect(db.engine).get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:  # the key of a provider that is new in the library
                kind = column.type.compile(db.engine.dialect)
                sql = f'ALTER TABLE "{table.name}" ADD COLUMN "{column.name}" {kind}'
                # SQLite has no IF NOT EXISTS here; another worker may have been first.
                with contextlib.suppress(OperationalError), db.engine.begin() as connection:
                    connection.exec_driver_sql(sql)
    with db.engine.begin() as connection:
        for table in db.metadata.sorted_tables:
            for index in table.indexes:
                connection.execute(CreateIndex(index, if_not_exists=True))
