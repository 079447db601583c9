"""The JSON of one server-sent event, with a bound on how many values it may have."""

from __future__ import annotations

import json
from typing import Any

from jiter import from_json  # a quarter of json's time, and here already: the SDK's own

_MOST_VALUES = 2**18
"""Values that the JSON of one event may have, for each takes up to 230 bytes when it is parsed.

An image is one value of many bytes; the token probabilities of a whole completion are many values.
"""


def read_json(data: bytes) -> Any:
    """Parse the data of an event.

    :raises ValueError: when it is no JSON, or has too many values.
    """
    if len(data) > _MOST_VALUES and sum(map(data.count, (b",", b"{", b"["))) > _MOST_VALUES:
        raise ValueError(f"more than {_MOST_VALUES} values")
    try:
        # Names of fields alone are cached, of up to 63 bytes, and 16,384 of them at most.
        return from_json(data, cache_mode="keys")
    except ValueError:
        return json.loads(data)  # which takes half a character, for one
