"""Refusing, in words, what a host gets wrong: another app, a wrong hook."""

from __future__ import annotations

import inspect
from importlib.util import find_spec
from typing import Any

from flask import Flask


def check_app(app: Any) -> None:
    """Refuse what is no Flask app.

    :raises TypeError: for that, saying what to do.
    """
    if isinstance(app, Flask):
        return
    kind = type(app)
    if "quart" in {base.__module__.partition(".")[0] for base in kind.__mro__}:
        raise TypeError(
            f"flask_llmchat does not run in Quart: {kind.__name__} is no Flask app, and its"
            " requests are no WSGI requests. Serve a small Flask app beside it, under a path of"
            " its own: asgiref's WsgiToAsgi(flask_app) makes an ASGI app of it."
        )
    raise TypeError(f"LLMChat needs the Flask app, not {_named(app)}")


MISSING: Any = object()
"""Stands for the function that a decorator with brackets is not given."""


def checked_hook(setter: str, function: Any) -> Any:
    """Return the function that is to be a hook.

    :param setter: name of the decorator that is given it.
    :raises TypeError: when it is no function.
    :raises RuntimeError: when it is ``async def``, which needs a package that is not here.
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
