"""What a provider row may hold: each field is checked, and put into its form, by its type.

A row is written by the host's developer, once. What is wrong with it is said when the row is
made, by the name of its field, and not by the first chat.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from ..core.addresses import read_address
from ..core.request import REPLAY_FIELDS

_NAME = re.compile(r"[a-z][a-z0-9_-]*")


_NAME_OF_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def text(value: Any) -> str:
    """Check a text."""
    if not isinstance(value, str):
        raise ValueError(f"must be a string, not {type(value).__name__}")
    return value


def text_or_none(value: Any) -> str | None:
    """Check a text that may be left to the row's name."""
    return None if value is None else text(value)


def route_name(value: Any) -> str:
    """Check a row's name."""
    if not _NAME.fullmatch(text(value)):
        raise ValueError(
            "cannot stand in a route: use lower-case letters, digits, '-' and '_', starting with a"
            " letter"
        )
    return text(value)


def address(value: Any) -> str:
    """Read an address, or none."""
    return str(read_address(value)) if text(value).strip() else ""


def path(value: Any) -> str:
    """Check the path of an address, or none."""
    if text(value) and not re.fullmatch(r"(/[^/?#\s]+)+", value):
        raise ValueError("must be a path such as '/v1', with no slash at its end")
    return text(value)


def protocol(value: Any) -> Any:
    """Check the name of an upstream protocol, or the protocol itself."""
    if not isinstance(value, str) and not callable(getattr(value, "build_body", None)):
        raise ValueError(f"must be a name or an UpstreamProtocol, not {_type(value)}")
    return value


def flag(value: Any) -> bool:
    """Check a yes or no."""
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
    """Make a set of names of one name, or of any collection of them."""
    if isinstance(value, str):
        value = (value,)
    if isinstance(value, Mapping) or not hasattr(value, "__iter__"):
        raise ValueError(f"must be a set of names, such as {{'a', 'b'}}, not {_type(value)}")
    made = frozenset(value)
    for name in made:
        if not isinstance(name, str):
            raise ValueError(f"must hold names alone, and there is {_type(name)} among them")
        if not name or re.search(r"[\s,]", name):
            raise ValueError(f"has {name!r}, which is no name: write each by itself, {{'a', 'b'}}")
    return made


def state(value: Any) -> frozenset[str]:
    """Make a set of what goes back of earlier answers."""
    if unknown := (made := names(value)) - REPLAY_FIELDS:
        raise ValueError(
            f"has {', '.join(map(repr, sorted(unknown)))};"
            f" there are {', '.join(sorted(REPLAY_FIELDS))}"
            " (other fields of messages stand in extra_message_fields)"
        )
    return made


def texts_by_name(value: Any) -> dict[str, str]:
    """Copy a mapping of names to texts."""
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a mapping, such as {{'name': 'value'}}, not {_type(value)}")
    for name, inner in value.items():
        if not isinstance(name, str) or not name:
            raise ValueError(f"must have names for keys, and there is {_type(name)} among them")
        if not isinstance(inner, str):
            raise ValueError(f"must have a string under {name!r}, not {_type(inner)}")
    return dict(value)


def header_names(value: Any) -> dict[str, str]:
    """Copy a mapping of headers to something."""
    headers = texts_by_name(value)
    for name in headers:
        if not _NAME_OF_HEADER.fullmatch(name):
            raise ValueError(f"has {name!r}, which is no name of a header")
    return headers


def headers(value: Any) -> dict[str, str]:
    """Copy headers; their values, which may be keys, stand in no error."""
    checked = header_names(value)
    for name, inner in checked.items():
        if not (inner.isascii() and inner.isprintable()):
            raise ValueError(
                f"cannot be sent: {name!r} holds a line break or a character not ASCII"
            )
    return checked


def function(*parameters: str) -> Callable[[Any], Any]:
    """Return what checks for a function that can be called with these parameters."""

    def check(value: Any) -> Any:
        told = f"must be a function ({', '.join(parameters)})"
        if not callable(value):
            raise ValueError(f"{told}, not {_type(value)}")
        try:
            signature = inspect.signature(value)
        except (TypeError, ValueError):
            return value  # of a function in C nothing is known
        try:
            signature.bind(*parameters)
        except TypeError:
            raise ValueError(f"{told}, and cannot be called so") from None
        return value

    return check


def _type(value: Any) -> str:
    return type(value).__name__
