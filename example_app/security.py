"""What keeps other sites out, and the next user: CSRF tokens, headers; and how much is read."""

from __future__ import annotations

from flask import Flask, Response, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError, CSRFProtect  # type: ignore[import-untyped]

from . import saved_chats
from .chat import llmchat
from .login import logged_in_user

csrf = CSRFProtect()

# Of everything but a chat: for that the library has LLMCHAT_MAX_CONTENT_LENGTH.
_MOST_BYTES = 256 * 1024

_HEADERS = {
    # The page builds what a model wrote out of elements and texts, never out of HTML. Should
    # that ever fail, this still loads nothing from elsewhere, runs no script but ours, and
    # lets no script turn a text into HTML.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        " img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none';"
        " require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    # Or the mere names of the hosts that a model links to would be looked up, and so told.
    "X-DNS-Prefetch-Control": "off",
    "X-Content-Type-Options": "nosniff",
    # Not "no-referrer": over HTTPS, Flask-WTF wants to see that a form came from this site.
    "Referrer-Policy": "same-origin",
}


def init_app(app: Flask) -> None:
    """Ask for a CSRF token with every POST, and send the security headers with every answer.

    The chat routes need no exemption: the page's script sends the token as a header.
    """
    app.before_request(_bound_body)  # before the next line's, which reads forms
    csrf.init_app(app)
    app.register_error_handler(CSRFError, _refuse)
    app.after_request(_add_headers)


def _bound_body() -> None:
    if request.blueprint != llmchat.blueprint.name:
        request.max_content_length = _MOST_BYTES


def _add_headers(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if response.mimetype == "text/html":
        # Or "Back" shows it to whoever comes after its user has logged out.
        response.headers["Cache-Control"] = "no-store"
    return response


def _refuse(error: Exception) -> ResponseReturnValue:
    """Answer a POST whose token is missing or wrong: to the chat page's script as JSON."""
    if request.blueprint not in (llmchat.blueprint.name, saved_chats.blueprint.name):
        return render_template("error.html"), 400
    if logged_in_user() is None:  # the session is gone, and its token with it
        return jsonify(message="Profile not found", code="no_permission"), 401
    return jsonify(message="This page is out of date. Please try again.", code="csrf"), 400
