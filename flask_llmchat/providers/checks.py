"""Checks the fields of a provider row, and converts each to its type.

Rows are written by the app's developer. An error is raised when the row is made, with the name of
its field, and not by the first chat.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from ..core.addresses import read_address
from ..core.request import REPLAY_FIELDS

_RESERVED = ("streams", "tools", "usage")  # routes beside those of the providers

_NAME = re.compile(r"[a-z][a-z0-9_-]*")

_PROTOCOL = ("path", "headers", "build_body", "parser")  # what an UpstreamProtocol has

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def text(value: Any) -> str:
    """Check a text."""
    if not isinstance(value, str):
        raise ValueError(f"must be a string, not {type(value).__name__}")
    return value


def text_or_none(value: Any) -> str | None:
    """Check a text whose default follows from the row's name."""
    return None if value is None else text(value)


def route_name(value: Any) -> str:
    """Check a row's name."""
    if not _NAME.fullmatch(text(value)):
        raise ValueError(
            "cannot stand in a route: use lower-case letters, digits, '-' and '_', starting with a"
            " letter"
        )
    if value in _RESERVED:
        raise ValueError(f"{value!r} is the name of a route: choose another one")
    return text(value)


def address(value: Any) -> str:
    """Parse an address; "" is allowed."""
    return str(read_address(value)) if text(value).strip() else ""


def path(value: Any) -> str:
    """Check the path of an address; "" is allowed."""
    if text(value) and not re.fullmatch(r"(/[^/?#\s]+)+", value):
        raise ValueError("must be a path such as '/v1', with no slash at its end")
    return text(value)


def protocol(value: Any) -> Any:
    """Check the name of an upstream protocol, or the protocol itself; None is by model."""
    if value is None or isinstance(value, str):
        return value
    missing = [name for name in _PROTOCOL if not hasattr(value, name)]
    if isinstance(value, type) or len(missing) == len(_PROTOCOL):
        raise ValueError(f"must be a name, an UpstreamProtocol or None, not {_type(value)}")
    if missing:
        raise ValueError(f"is no UpstreamProtocol: it has no {', '.join(missing)}")
    return value


def protocols(value: Any) -> dict[str, str]:
    """Make a mapping of protocol names to base URLs, from names alone or from such a mapping."""
    if isinstance(value, str):
        value = (value,)
    if not isinstance(value, Mapping):
        value = dict.fromkeys(
            value if isinstance(value, tuple | list) else sorted(names(value)), ""
        )
    return {name: address(url) for name, url in texts_by_name(value).items()}


def flag(value: Any) -> bool:
    """Check a boolean."""
    if not isinstance(value, bool):
        raise ValueError(f"must be True or False, not {type(value).__name__}")
    return value


def number(value: Any) -> float:
    """Check a number of 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a number, not {type(value).__name__}")
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError("must be 0 or more")
    return float(value)


def names(value: Any) -> frozenset[str]:
    """Make a set of names from one name, or from any collection of names."""
    if isinstance(value, str):
        value = (value,)
    if isinstance(value, Mapping) or not hasattr(value, "__iter__"):
        raise ValueError(f"must be a set of names, such as {{'a', 'b'}}, not {_type(value)}")
    made = frozenset(value)
    for name in made:
        if not isinstance(name, str):
            raise ValueError(f"must hold only names, not {_type(name)}")
        if not name or re.search(r"[\s,]", name):
            raise ValueError(
                f"has {name!r}, which is not a name: write each by itself, {{'a', 'b'}}"
            )
    return made


def replay_fields(value: Any) -> frozenset[str]:
    """Make a set of the fields to replay of earlier responses."""
    if unknown := (made := names(value)) - REPLAY_FIELDS:
        raise ValueError(
            f"has unknown {', '.join(map(repr, sorted(unknown)))};"
            f" known are {', '.join(sorted(REPLAY_FIELDS))}"
            " (other fields of messages belong in extra_message_fields)"
        )
    return made


def texts_by_name(value: Any) -> dict[str, str]:
    """Copy a mapping of names to texts."""
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a mapping, such as {{'name': 'value'}}, not {_type(value)}")
    for name, inner in value.items():
        if not isinstance(name, str) or not name:
            raise ValueError(f"must have names as keys, not {_type(name)}")
        if not isinstance(inner, str):
            raise ValueError(f"must have a string under {name!r}, not {_type(inner)}")
    return dict(value)


def header_names(value: Any) -> dict[str, str]:
    """Copy a mapping whose keys are header names."""
    headers = texts_by_name(value)
    for name in headers:
        header_name(name)
    return headers


def header_name(value: Any) -> str:
    """Check the name of a header; "" is none."""
    if (name := text(value)) and not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"has {name!r}, which is not a header name")
    return name


def headers(value: Any) -> dict[str, str]:
    """Copy headers. Their values may be keys, so no error contains them."""
    checked = header_names(value)
    for name, inner in checked.items():
        if not (inner.isascii() and inner.isprintable()):
            raise ValueError(
                f"cannot be sent: {name!r} holds a line break or a character not ASCII"
            )
    return checked


def function(*parameters: str) -> Callable[[Any], Any]:
    """Return a check for a function that can be called with these parameters."""

    def check(value: Any) -> Any:
        expected = f"must be a function ({', '.join(parameters)})"
        if not callable(value):
            raise ValueError(f"{expected}, not {_type(value)}")
        try:
            signature = inspect.signature(value)
        except (TypeError, ValueError):
            return value  # functions in C have no signature
        try:
            signature.bind(*parameters)
        except TypeError:
            raise ValueError(f"{expected}, and cannot be called that way") from None
        return value

    return check


def _type(value: Any) -> str:
    return type(value).__name__
