"""Protection against other sites and later users: CSRF tokens, headers, a limit of body size."""

from __future__ import annotations

from flask import Flask, Response, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError, CSRFProtect  # type: ignore[import-untyped]

from . import saved_chats
from .chat import llmchat
from .login import logged_in_user

csrf = CSRFProtect()

# For all requests but chats, for which the library has LLMCHAT_MAX_CONTENT_LENGTH.
_MAX_BYTES = 256 * 1024

_HEADERS = {
    # The page shows a model's text with elements and text nodes, never as HTML. Should that ever
    # fail, this policy still keeps it from loading anything from elsewhere, from running any script
    # but the app's own, and from turning text into HTML.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        " img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none';"
        " require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    # Otherwise browsers look up the hosts of a model's links, which reveals their names.
    "X-DNS-Prefetch-Control": "off",
    "X-Content-Type-Options": "nosniff",
    # Not "no-referrer": over HTTPS, Flask-WTF checks by it that a form came from this site.
    "Referrer-Policy": "same-origin",
}


def init_app(app: Flask) -> None:
    """Require a CSRF token with every POST, and send the security headers with every response.

    The chat routes need no exemption: the page's script sends the token as a header.
    """
    app.before_request(_bound_body)  # before the next line's, which reads forms
    csrf.init_app(app)
    app.register_error_handler(CSRFError, _refuse)
    app.after_request(_add_headers)


def _bound_body() -> None:
    if request.blueprint != llmchat.blueprint.name:
        request.max_content_length = _MAX_BYTES


def _add_headers(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if response.mimetype == "text/html":
        # Otherwise "Back" shows the page to the next user after a logout.
        response.headers["Cache-Control"] = "no-store"
    return response


def _refuse(error: Exception) -> ResponseReturnValue:
    """Refuse a POST whose token is missing or wrong; for the chat page's script as JSON."""
    if request.blueprint not in (llmchat.blueprint.name, saved_chats.blueprint.name):
        return render_template("error.html"), 400
    if logged_in_user() is None:  # the session is gone, and its token with it
        return jsonify(message="Profile not found", code="no_permission"), 401
    return jsonify(message="This page is out of date. Please try again.", code="csrf"), 400
