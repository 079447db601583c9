"""Sign-up, login and logout."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import flask_login  # type: ignore[import-untyped]
from flask import (
    Blueprint,
    Flask,
    current_app,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from werkzeug.security import check_password_hash, generate_password_hash

from .attempts import Attempts
from .database import db
from .models import Profile, User, sample_orders

SHORTEST_PASSWORD = 8
MAX_PASSWORD = 500
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_NO_USER = generate_password_hash("no user has this password")

blueprint = Blueprint("login", __name__)

View = TypeVar("View", bound=Callable[..., Any])

# Flask-Login has no types; this gives its decorator one.
login_required: Callable[[View], View] = flask_login.login_required


def init_app(app: Flask) -> None:
    """Set Flask-Login up for an app."""
    manager = flask_login.LoginManager(app)
    manager.login_view = "login.log_in"
    manager.login_message = None  # the login page is clear enough
    manager.user_loader(User.of_session)
    # Guessing a password, or filling the disk with accounts, takes many attempts; people need few.
    app.extensions["example_sign_ups"] = Attempts(app.config["SIGN_UPS_AN_HOUR"])
    app.extensions["example_wrong_logins"] = Attempts(app.config["WRONG_LOGINS_AN_HOUR"])


def _attempts(kind: str) -> Attempts:
    attempts: Attempts = current_app.extensions[f"example_{kind}"]
    return attempts


def logged_in_user() -> User | None:
    """Return the logged-in user, or None."""
    user = flask_login.current_user._get_current_object()
    return user if isinstance(user, User) else None


@blueprint.route("/signup", methods=["GET", "POST"])
def sign_up() -> ResponseReturnValue:
    """Create an account, with an empty profile, and log in to it."""
    if logged_in_user():
        return redirect(url_for("chat.page"))
    if request.method == "GET":
        return render_template("sign_up.html", shortest=SHORTEST_PASSWORD)
    email, password = _email(), request.form.get("password", "")
    problems = {}
    if not _EMAIL.fullmatch(email) or len(email) > 254:
        problems["email"] = "This does not look like an email address."
    if len(password) < SHORTEST_PASSWORD:
        problems["password"] = f"At least {SHORTEST_PASSWORD} characters, please."
    elif len(password) > MAX_PASSWORD:
        problems["password"] = f"At most {MAX_PASSWORD} characters, please."
    if not problems:
        if not _attempts("sign_ups").take(request.remote_addr):
            return _refuse_for_now("sign_up.html", email, shortest=SHORTEST_PASSWORD)
        user = User(email=email, profile=Profile(), orders=sample_orders())
        user.set_password(password)
        db.session.add(user)
        try:
            db.session.commit()
        except IntegrityError:  # a check before would leave a gap for another sign-up
            db.session.rollback()
            # This reveals that the address has an account. Hiding it needs a mail to the address,
            # which this app does not send; the limit of sign-ups keeps the number of checks low.
            problems["email"] = "There is an account with this address already."
        else:
            _begin_session(user)
            return redirect(url_for("chat.page"))
    page = render_template(
        "sign_up.html", email=email, problems=problems, shortest=SHORTEST_PASSWORD
    )
    return page, 422


@blueprint.route("/login", methods=["GET", "POST"])
def log_in() -> ResponseReturnValue:
    """Log in with email and password."""
    # Only to this app's pages: an address from a link could lead anywhere.
    pages = {url_for("chat.page"), url_for("settings.page")}
    asked_for = request.values.get("next", "")
    target = asked_for if asked_for in pages else url_for("chat.page")
    if logged_in_user():
        return redirect(target)
    if request.method == "GET":
        return render_template("log_in.html", target=target)
    email, password = _email(), request.form.get("password", "")
    if not _attempts("wrong_logins").take(request.remote_addr):
        return _refuse_for_now("log_in.html", email, target=target)
    user = db.session.scalar(select(User).where(User.email == email))
    if user is None:
        check_password_hash(_NO_USER, password)  # or the time would reveal who has an account
    elif user.has_password(password):
        _attempts("wrong_logins").give_back(request.remote_addr)
        _begin_session(user)
        return redirect(target)
    return render_template("log_in.html", target=target, email=email, wrong=True), 422


def _refuse_for_now(page: str, email: str, **more: Any) -> ResponseReturnValue:
    shown = render_template(page, email=email, too_often=True, **more)
    return shown, 429, {"Retry-After": "3600"}


@blueprint.post("/logout")
def log_out() -> ResponseReturnValue:
    """Log out, in all browsers. A POST, so that no other site's image or link can do it."""
    user = logged_in_user()
    if user is not None:
        user.end_sessions()
        db.session.commit()
    flask_login.logout_user()
    session.clear()
    return redirect(url_for("login.log_in"))


def _begin_session(user: User) -> None:
    """Log a user in, with a new CSRF token.

    Pages that are still open from before, perhaps another user's, have an old token, and so cannot
    send anything in the new user's name.
    """
    session.clear()
    user.begin_session()
    db.session.commit()
    flask_login.login_user(user)


def _email() -> str:
    return request.form.get("email", "").strip().lower()
