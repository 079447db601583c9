"""An OpenAPI 3.1 document of the routes, for the host's own document or alone.

It is made from what reads the requests, and of what one app really serves: its providers, its
prefix, its dialects. Its schemas need the ``openapi`` extra.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING

import click
from flask import Flask, current_app
from flask.cli import with_appcontext

from .paths import JSON, InstanceSpec

__all__ = ["add_to", "document", "fragment"]

if TYPE_CHECKING:
    from apispec import APISpec

    from ..extension import LLMChat


def fragment(app: Flask, llmchat: LLMChat | None = None) -> JSON:
    """Return the ``paths`` and ``components`` of an OpenAPI 3.1 document.

    Who may ask is the host's to say: there is no ``security`` in it.

    :param app: whose routes, with the extension's blueprints registered.
    :param llmchat: whose routes; None for those of every instance in the app.
    :raises RuntimeError: when apispec is not installed.
    """
    paths: JSON = {}
    components: dict[str, JSON] = {}
    for name, state in app.extensions.get("llmchat", {}).items():
        if llmchat in (None, state.llmchat):
            chapter = InstanceSpec(name, state)
            paths |= chapter.paths()
            for section, spec_part in chapter.components().items():
                components.setdefault(section, {}).update(spec_part)
    return {"paths": paths, "components": components}


def document(app: Flask, llmchat: LLMChat | None = None) -> JSON:
    """Return a whole OpenAPI 3.1 document, of the chat routes alone.

    :param app: whose routes, with the extension's blueprints registered.
    :param llmchat: whose routes; None for those of every instance in the app.
    :raises RuntimeError: when apispec is not installed.
    """
    root = app.config["APPLICATION_ROOT"]
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Chats of {app.name}", "version": version("flask-llmchat")},
        "servers": [{"url": root}],
        **fragment(app, llmchat),
    }


def add_to(spec: APISpec, app: Flask, llmchat: LLMChat | None = None) -> None:
    """Add the routes to a host's own document.

    :param spec: an ``APISpec``, such as flask-smorest's ``api.spec``.
    :param app: whose routes, with the extension's blueprints registered.
    :param llmchat: whose routes; None for those of every instance in the app.
    :raises ValueError: when it is of an OpenAPI before 3.1, which cannot say what these say.
    :raises RuntimeError: when apispec is not installed.
    """
    spec_part = spec.openapi_version
    if (spec_part.major, spec_part.minor) < (3, 1):
        raise ValueError(f"the document is OpenAPI {spec_part}; the chat routes need 3.1 or newer")
    # As options and not with path(): plugins of hosts look for a view of theirs behind each path.
    for section, names in _flat(fragment(app, llmchat)):
        place = spec.options
        for key in section:
            place = place.setdefault(key, {})
        for name, value in names.items():
            place.setdefault(name, value)


def _flat(spec_part: JSON) -> Iterator[tuple[tuple[str, ...], JSON]]:
    yield ("paths",), spec_part["paths"]
    for section, names in spec_part["components"].items():
        yield ("components", section), names


def make_command(llmchat: LLMChat) -> click.Command:
    """Make the command that prints the document of one instance's routes."""

    @click.command("openapi")
    @with_appcontext
    def command() -> None:
        """Print an OpenAPI 3.1 document of the chat routes, as JSON."""
        try:
            spec_part = document(current_app._get_current_object(), llmchat)  # type: ignore[attr-defined]
        except RuntimeError as error:
            raise click.ClickException(str(error)) from None
        click.echo(json.dumps(spec_part, indent=2))

    return command
