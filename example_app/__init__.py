"""A small chat app on flask_llmchat, made to be copied from.

It runs as it is, with no configuration and no key::

    flask --app example_app run
    gunicorn 'example_app:create_app()' --threads 20
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from cryptography.fernet import Fernet
from flask import Flask

from . import approvals as approvals  # this and orders register what they define, as imported
from . import chat, database, history, login, react, saved_chats, security, settings
from . import orders as orders
from .secret_files import read_or_make

__all__ = ["create_app"]


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Make the app.

    :param config: Flask settings that win over the ones below and over the environment.
        ``INSTANCE_PATH`` is where the database and the keys are kept; so is the environment
        variable ``EXAMPLE_INSTANCE_PATH``, and without either it is Flask's own choice:
        ``instance`` beside this package.
    """
    given = dict(config or {})
    folder = given.pop("INSTANCE_PATH", None) or os.environ.get("EXAMPLE_INSTANCE_PATH")
    app = Flask(__name__, instance_path=os.path.abspath(folder) if folder else None)
    os.makedirs(app.instance_path, mode=0o700, exist_ok=True)
    app.config.update(
        SQLALCHEMY_DATABASE_URI="sqlite:///example.sqlite3",  # in the instance folder
        # A failed statement's values, keys among them, must not be logged.
        SQLALCHEMY_ENGINE_OPTIONS={"hide_parameters": True},
        SESSION_COOKIE_SAMESITE="Lax",
        # Valid as long as the session: a chat page may stay open all day.
        WTF_CSRF_TIME_LIMIT=None,
        PERMANENT_SESSION_LIFETIME=timedelta(days=7),  # of every session's cookie
        # A user who may choose any address for the server to call can make it call its own network,
        # or a machine that responds with anything. So only Azure OpenAI's own domains are allowed;
        # below Azure's others, cloudapp.azure.com or azure-api.net, anyone can have a name.
        AZURE_DOMAINS=(
            "openai.azure.com",
            "cognitiveservices.azure.com",
            "services.ai.azure.com",
            "openai.azure.us",
            "cognitiveservices.azure.us",
            "services.ai.azure.us",
        ),
        # Limits of an account, and of an address: see quota.py and attempts.py. A chat larger than
        # LLMCHAT_MAX_CONTENT_LENGTH could not be continued: its messages would not fit a request.
        MAX_CHAT_BYTES=16 * 2**20,
        MAX_KEPT_BYTES=64 * 2**20,
        MAX_KEPT_CHATS=500,
        MAX_KEPT_MESSAGES=20_000,
        SIGN_UPS_AN_HOUR=20,
        WRONG_LOGINS_AN_HOUR=50,
        # A response goes on when its reader leaves, and the page reads on when they are back.
        LLMCHAT_RESUMABLE=True,
        # With more than one worker a Redis server, so that any of them can read and stop it.
        LLMCHAT_STORE=os.environ.get("EXAMPLE_LLMCHAT_STORE", "memory://"),
    )
    # A real deployment sets these two from its store of secrets. Generated and kept in a file they
    # are good enough for one machine, and lost with it.
    app.config["SECRET_KEY"] = os.environ.get("EXAMPLE_SECRET_KEY")
    app.config["FERNET_KEY"] = os.environ.get("EXAMPLE_FERNET_KEY")
    app.config.update(given)
    app.config["SECRET_KEY"] = app.config["SECRET_KEY"] or read_or_make(
        app.instance_path, "secret.key", lambda: os.urandom(32).hex()
    )
    app.config["FERNET_KEY"] = app.config["FERNET_KEY"] or read_or_make(
        app.instance_path, "fernet.key", lambda: Fernet.generate_key().decode()
    )

    database.init_app(app)
    login.init_app(app)
    security.init_app(app)
    history.init_app(app)
    app.register_blueprint(login.blueprint)
    app.register_blueprint(settings.blueprint)
    app.register_blueprint(chat.blueprint)
    app.register_blueprint(saved_chats.blueprint)
    app.register_blueprint(react.blueprint)
    app.register_blueprint(chat.llmchat.blueprint)  # POST /api/chat/openai, /azure, …
    return app
