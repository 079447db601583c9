"""The JSON of one server-sent event, with bounds on how many values and items it may have."""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import Any

from jiter import from_json  # a quarter of json's time, and here already: the SDK's own

from ..core.errors import StreamErrorEvent
from ..core.limits import MAX_PARTS, count
from .surrogates import join_surrogates

_MAX_VALUES = 2**18
"""Values that the JSON of one event may have, for each takes up to 230 bytes when it is parsed.

An image is one value of many bytes; the token probabilities of a whole completion are many values.
"""


def read_json(data: bytes) -> Any:
    """Parse the data of an event.

    :raises ValueError: when it is not JSON, or has too many values.
    """
    _check_size(data)
    try:
        # Names of fields alone are cached, of up to 63 bytes, and 16,384 of them at most.
        return from_json(data, cache_mode="keys")
    except ValueError:
        return json.loads(data)  # which accepts half a surrogate pair, for one


def read_arguments(text: str) -> Any:
    """Return the arguments of a call, which come as JSON; as they are when they are none."""
    try:
        data = text.encode()
        _check_size(data)
        return json.loads(data or b"{}", parse_constant=int)  # NaN is no JSON
    except (ValueError, RecursionError):
        return text


def _check_size(data: bytes) -> None:
    if len(data) > _MAX_VALUES and count(data) > _MAX_VALUES and _has_too_many(data):
        raise ValueError(f"more than {_MAX_VALUES} values")


def _has_too_many(data: bytes) -> bool:
    """Return whether a JSON text has too many values, without the commas in its strings.

    Responses repeats the instructions in three events: they may be a table of a million cells.
    """
    tokens = islice(_TOKENS.finditer(data), 4 * _MAX_VALUES)  # more are no JSON
    marks = (token for token in tokens if token.end() - token.start() == 1)
    return next(islice(marks, _MAX_VALUES, None), None) is not None


_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[,{\[]', re.DOTALL)


def page_url(value: Any) -> str:
    """Return the URL of a page; "" for anything else: a click on it must not run a script."""
    return value if isinstance(value, str) and _PAGE.match(value) else ""


_PAGE = re.compile(r"https?://", re.IGNORECASE)


def as_list(value: Any) -> list[Any]:
    """Return a list as it is, and anything else as an empty one.

    :raises StreamErrorEvent: when it is too long to go through.
    """
    if value.__class__ is not list:
        return []
    if len(value) > MAX_PARTS:
        raise StreamErrorEvent(
            {"detail": f"More than {MAX_PARTS} items in one chunk are not read."}
        )
    items: list[Any] = value
    return items


def as_dicts(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list; none for anything else.

    :raises StreamErrorEvent: when the list is too long to go through.
    """
    return [item for item in as_list(value) if item.__class__ is dict]


def word(holder: dict[str, Any], name: str) -> str:
    """Return a field that is text; "" for anything else."""
    value = holder.get(name)
    if value.__class__ is not str:
        return ""
    text: str = value
    if text.isascii():
        return text
    text, half = join_surrogates(text)
    return text + "\ufffd" if half else text


def count_in(counts: Any, *names: str) -> int:
    """Return the first of these token counts that is there; 0 when there is none."""
    for name in names if isinstance(counts, dict) else ():
        value = counts.get(name)
        if isinstance(value, int | float) and 0 < value < 2**63:
            return int(value)
    return 0
