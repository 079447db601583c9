"""The same chat as a page made with React and the AI SDK's ``useChat``: see ``frontend/``.

It is there when somebody has built it. Nothing else in the app needs it.
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
    """Send the page and its scripts, or say how to build them."""
    if not (BUILT / "index.html").is_file():
        return render_template("not_built.html"), 404
    return send_from_directory(BUILT, file)


@blueprint.get("/api/choices")
def choices() -> ResponseReturnValue:
    """Return what can be asked; not in the page itself, which in development is not ours."""
    user = logged_in_user()
    if user is None:  # no redirect: a script would read the login page as an answer
        return jsonify(message="Your session has ended.", code="no_permission"), 401
    found, first = offered(user.profile)
    asked = [asdict(choice) for choice in found]
    answer = jsonify(choices=asked, first=first.name, user=user.id)
    answer.headers["Cache-Control"] = "no-store"
    return answer
