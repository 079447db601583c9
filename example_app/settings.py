"""The settings page, where each user saves their own keys.

A saved key is sent to its provider and nowhere else: the page only shows whether there is one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from flask_llmchat import current_llmchat

from .database import db
from .login import logged_in_user, login_required
from .models import Profile

_MAX_KEY = 4000

# Only addresses that all parsers read alike: no user, no escapes, no other port.
_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_ADDRESS = re.compile(
    rf"https://((?:{_LABEL}\.)+{_LABEL})(?::443)?(?:/[\w/.-]*)?(?:\?[\w=&.-]*)?", re.A | re.I
)

blueprint = Blueprint("settings", __name__)


@dataclass(frozen=True, kw_only=True)
class TextField:
    """An input beside a key.

    :param most: the most characters it may have.
    :param read: converts its text to the value that is saved, or raises ValueError.
    """

    name: str
    label: str
    hint: str = ""
    placeholder: str = ""
    lines: bool = False
    most: int = 200
    read: Callable[[str], Any] = field(default=lambda text: text or None)
    write: Callable[[Any], str] = field(default=lambda value: value or "")


@dataclass(frozen=True, kw_only=True)
class Section:
    """The inputs for one provider."""

    name: str
    label: str
    key_name: str
    key_saved: bool
    fields: tuple[TextField, ...]


@blueprint.route("/settings", methods=["GET", "POST"])
@login_required
def page() -> ResponseReturnValue:
    """Show the settings and save them."""
    user = logged_in_user()
    assert user is not None  # because of login_required
    profile = user.profile
    sections = _sections(profile)
    texts = [text for section in sections for text in section.fields]
    if request.method == "GET":
        values = {text.name: text.write(getattr(profile, text.name)) for text in texts}
        return render_template("settings.html", sections=sections, values=values, problems={})

    changes, problems = _read_form(sections)
    if problems:  # nothing is saved; the page shows what was typed again, except keys
        values = {text.name: request.form.get(text.name, "") for text in texts}
        page = render_template("settings.html", sections=sections, values=values, problems=problems)
        return page, 422
    for name, value in changes.items():
        setattr(profile, name, value)
    db.session.commit()
    flash("Your settings are saved.")
    return redirect(url_for("settings.page"))


def _read_form(sections: list[Section]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the form's changes and its problems, both by the name of the field."""
    changes: dict[str, Any] = {}
    problems: dict[str, str] = {}
    to_remove = request.form.getlist("remove")
    for section in sections:
        key = request.form.get(section.key_name, "").strip()
        if key and not all("!" <= character <= "~" for character in key):
            problems[section.key_name] = "This is no key: keys have no spaces and no accents."
        elif len(key) > _MAX_KEY:
            problems[section.key_name] = f"This is no key: it has more than {_MAX_KEY} letters."
        elif key:
            changes[section.key_name] = key
        elif section.key_name in to_remove:
            changes[section.key_name] = None
        # Otherwise an empty input leaves the saved key as it is.
        for text in section.fields:
            try:
                changes[text.name] = text.read(_typed(text))
            except ValueError as error:
                problems[text.name] = str(error)
    return changes, problems


def _typed(field: TextField) -> str:
    text = request.form.get(field.name, "").strip()
    if len(text) > field.most:
        raise ValueError(f"At most {field.most} letters, please.")
    if not (field.lines or text.isprintable()):
        raise ValueError("One line, please.")
    return text


def is_azure(endpoint: str) -> bool:
    """Return whether an address is one of Azure OpenAI's."""
    found = _ADDRESS.fullmatch(endpoint)
    domains = tuple(f".{name}" for name in current_app.config["AZURE_DOMAINS"])
    return found is not None and found[1].lower().endswith(domains)


def _read_endpoint(text: str) -> str | None:
    if text and not is_azure(text):
        message = "Your resource's own address, please, such as https://NAME.openai.azure.com"
        raise ValueError(message)
    return text.rstrip("/") or None


def _read_deployments(text: str) -> dict[str, str] | None:
    deployments = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        model, equals, deployment = (part.strip() for part in line.partition("="))
        if not (model and equals and deployment):
            raise ValueError(f"“{line[:80]}” is not of the form: model = deployment")
        deployments[model] = deployment
    return deployments or None


def _write_deployments(deployments: dict[str, str] | None) -> str:
    return "\n".join(f"{model} = {name}" for model, name in (deployments or {}).items())


_FIELDS: dict[str, tuple[TextField, ...]] = {
    "openai": (
        TextField(
            name="openai_organization_id",
            label="Organization",
            hint="Only if your key belongs to several.",
            placeholder="org-…",
        ),
    ),
    "azure": (
        TextField(
            name="azure_openai_endpoint",
            label="Endpoint",
            placeholder="https://NAME.openai.azure.com",
            most=500,
            read=_read_endpoint,
        ),
        TextField(
            name="azure_openai_deployments",
            label="Deployments",
            hint="One on each line: model = deployment",
            placeholder="gpt-6-luna = my-gpt-6-luna",
            lines=True,
            most=10_000,
            read=_read_deployments,
            write=_write_deployments,
        ),
    ),
}


def _sections(profile: Profile) -> list[Section]:
    """Return a section for each provider whose key has a column."""
    return [
        Section(
            name=provider.name,
            label=provider.label,
            key_name=provider.key_attr,
            key_saved=bool(getattr(profile, provider.key_attr)),
            fields=_FIELDS.get(provider.name, ()),
        )
        for provider in current_llmchat.providers.values()
        if provider.key_attr and hasattr(Profile, provider.key_attr)
    ]
