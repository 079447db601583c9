"""The same chat on a page with React and the AI SDK's ``useChat``: see ``frontend/``.

It is there once it has been built. Nothing else in the app needs it.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from flask import Blueprint, jsonify, render_template, send_from_directory
from flask.typing import ResponseReturnValue

from .chat import offered
from .login import logged_in_user, login_required

BUILT = Path(__file__).parent / "frontend" / "dist"

blueprint = Blueprint("react", __name__)


@blueprint.get("/react/")
@blueprint.get("/react/<path:file>")
@login_required
def page(file: str = "index.html") -> ResponseReturnValue:
    """Send the page and its scripts, or instructions to build them."""
    if not (BUILT / "index.html").is_file():
        return render_template("not_built.html"), 404
    return send_from_directory(BUILT, file)


@blueprint.get("/api/choices")
def choices() -> ResponseReturnValue:
    """Return the providers and models; not in the page, which Vite serves during development."""
    user = logged_in_user()
    if user is None:  # no redirect: a script would read the login page as JSON
        return jsonify(message="Your session has ended.", code="no_permission"), 401
    found, first = offered(user.profile)
    listed = [asdict(choice) for choice in found]
    response = jsonify(choices=listed, first=first.name, user=user.id)
    response.headers["Cache-Control"] = "no-store"
    return response
