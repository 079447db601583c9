"""The example app for gunicorn: settings from the environment, and nginx in front.

A variable is ``EXAMPLE_`` and the name of a Flask setting; its value is JSON or plain text::

    EXAMPLE_SESSION_COOKIE_SECURE=true
    EXAMPLE_LLMCHAT_DEADLINE=300
    EXAMPLE_LLMCHAT_STORE=redis://localhost:6379/0
"""

import openai  # noqa: F401 - otherwise the first chat of every worker waits for it
from flask import Config
from werkzeug.middleware.proxy_fix import ProxyFix

from example_app import create_app

settings = Config("")
settings.from_prefixed_env("EXAMPLE")
# create_app() reads these two itself, as text: one of digits alone would be a number here.
settings.pop("SECRET_KEY", None)
settings.pop("FERNET_KEY", None)

app = create_app(settings)
# One proxy, which sets both headers whatever its client sent. Without a proxy in front any client
# could claim any address: then remove this line.
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1)  # type: ignore[method-assign]
