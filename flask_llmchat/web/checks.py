"""Checks of what a host passes to the extension: the app, its dialects, its hooks."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from flask import Flask

from ..dialects.base import Dialect, routes_of


def check_app(app: Any) -> None:
    """Raise TypeError for anything but a Flask app, saying what to do."""
    if isinstance(app, Flask):
        return
    kind = type(app)
    if "quart" in {base.__module__.partition(".")[0] for base in kind.__mro__}:
        raise TypeError(
            f"flask_llmchat does not run in Quart: {kind.__name__} is not a Flask app, and its"
            " requests are not WSGI requests. Serve a small Flask app beside it, under a path of"
            " its own: asgiref's WsgiToAsgi(flask_app) makes an ASGI app of it."
        )
    raise TypeError(f"LLMChat needs the Flask app, not {_named(app)}")


def check_dialects(dialects: Sequence[Dialect]) -> None:
    """Raise ValueError unless one dialect has the empty path, and all routes differ in name."""
    if not any(dialect.path == "" for dialect in dialects):
        raise ValueError("dialects needs one whose path is empty, such as the text dialect")
    counts = Counter(route.name for dialect in dialects for route in routes_of(dialect))
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f"two routes of the dialects are named {twice[0]!r}")


MISSING: Any = object()
"""The default for the function of a hook's decorator, which is missing in ``@hook()``."""


def checked_hook(setter: str, function: Any) -> Any:
    """Return a function that can be a hook.

    :param setter: name of the decorator.
    :raises TypeError: when it is not a function.
    :raises RuntimeError: when it is ``async def`` and asgiref is not installed.
    """
    if function is MISSING:
        raise TypeError(f"write @llmchat.{setter} above the function, without brackets")
    if not callable(function):
        raise TypeError(
            f"{setter} takes a function that is called for every request, not {_named(function)}"
        )
    if inspect.iscoroutinefunction(function) and find_spec("asgiref") is None:
        raise RuntimeError(
            f"the {setter} function {function.__name__} is async def, which needs"
            " `pip install 'flask-llmchat[async]'`"
        )
    return function


def _named(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
