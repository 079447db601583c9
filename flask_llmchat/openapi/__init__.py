"""An OpenAPI 3.1 document of the routes, for the host's own document or alone.

It is made from the schemas that read the requests, and from the routes that one app serves: its
providers, its prefix, its dialects. It needs the ``openapi`` extra.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING

import click
from flask import Flask, current_app
from flask.cli import with_appcontext

from .instance import JSON, Extension
from .paths import InstanceSpec

__all__ = ["add_to", "document", "fragment"]

if TYPE_CHECKING:
    from apispec import APISpec


def fragment(app: Flask, llmchat: Extension | None = None) -> JSON:
    """Return the ``paths`` and ``components`` of an OpenAPI 3.1 document.

    It has no ``security``: who may chat is the host's decision.

    :param app: the app, with the extension's blueprints registered.
    :param llmchat: the instance whose routes to describe; None for all in the app.
    :raises RuntimeError: when apispec is not installed.
    """
    paths: JSON = {}
    components: dict[str, JSON] = {}
    for name, state in app.extensions.get("llmchat", {}).items():
        if llmchat in (None, state.llmchat):
            instance_spec = InstanceSpec(name, state)
            paths |= instance_spec.paths()
            for section, names in instance_spec.components().items():
                components.setdefault(section, {}).update(names)
    return {"paths": paths, "components": components}


def document(app: Flask, llmchat: Extension | None = None) -> JSON:
    """Return a whole OpenAPI 3.1 document, of the chat routes alone.

    :param app: the app, with the extension's blueprints registered.
    :param llmchat: the instance whose routes to describe; None for all in the app.
    :raises RuntimeError: when apispec is not installed.
    """
    root = app.config["APPLICATION_ROOT"]
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Chats of {app.name}", "version": version("flask-llmchat")},
        "servers": [{"url": root}],
        **fragment(app, llmchat),
    }


def add_to(spec: APISpec, app: Flask, llmchat: Extension | None = None) -> None:
    """Add the routes to a host's own document.

    :param spec: an ``APISpec``, such as flask-smorest's ``api.spec``.
    :param app: the app, with the extension's blueprints registered.
    :param llmchat: the instance whose routes to describe; None for all in the app.
    :raises ValueError: when its OpenAPI is older than 3.1, which cannot express these schemas.
    :raises RuntimeError: when apispec is not installed.
    """
    found = spec.openapi_version
    if (found.major, found.minor) < (3, 1):
        raise ValueError(f"the document is OpenAPI {found}; the chat routes need 3.1 or newer")
    # As options and not with path(): the host's plugins look for a view of theirs for each path.
    made, options = fragment(app, llmchat), spec.options
    options["paths"] = {**made["paths"], **options.get("paths", {})}
    components = options.setdefault("components", {})
    for section, names in made["components"].items():
        components[section] = {**names, **components.get(section, {})}


def make_command(llmchat: Extension) -> click.Command:
    """Make the command that prints the document of one instance's routes."""

    @click.command("openapi")
    @with_appcontext
    def command() -> None:
        """Print an OpenAPI 3.1 document of the chat routes, as JSON."""
        try:
            printed = document(current_app._get_current_object(), llmchat)  # type: ignore[attr-defined]
        except RuntimeError as error:
            raise click.ClickException(str(error)) from None
        click.echo(json.dumps(printed, indent=2))

    return command
