"""Indexes for the lists in deltas, without which Python's SDK cannot merge them."""

from __future__ import annotations

import math
from typing import Any

_CLOSED = -1  # the length of a list that cannot be continued


class ListIndexer:
    """Makes lists in deltas accumulable for Python's SDK.

    The SDK merges a list of objects that comes a second time into the first by each object's
    index, and raises an exception for an object without one.
    """

    def __init__(self) -> None:
        self._lengths: dict[str, int] = {}  # in the client, of lists that hold more than text

    def with_indexes(self, delta: dict[str, Any], path: str = "") -> dict[str, Any]:
        """Return a delta with an index wherever the SDK needs one; the same object if nowhere."""
        if len(delta) == 1 and not path and "content" in delta:
            return delta  # as nearly every delta of a stream
        indexed = {}
        for name, value in delta.items():
            kind = value.__class__
            if kind is dict:
                value = self.with_indexes(value, f"{path}/{name}")
            elif kind is list and value and (path or name not in ("tool_calls", "content")):
                value = self._index_list(value, f"{path}/{name}")
            indexed[name] = value
        return delta if all(indexed[name] is delta[name] for name in delta) else indexed

    def _index_list(self, items: list[Any], path: str) -> list[Any] | None:
        length = self._lengths.get(path)
        if length is None and all(map(_is_plain_value, items)):
            return items
        dicts = [item for item in items if isinstance(item, dict)]
        indexes = [item["index"] for item in dicts if "index" in item]
        if length == _CLOSED or len(dicts) < len(items):
            self._lengths[path] = _CLOSED
            return None if length is not None or indexes else items
        self._lengths[path] = (length or 0) + len(items)
        if length is None and not indexes:
            return items
        if len(indexes) == len(items) and all(index.__class__ is int for index in indexes):
            return items
        return [item | {"index": (length or 0) + i} for i, item in enumerate(dicts)]


def _is_plain_value(item: Any) -> bool:
    """Return whether an item is text or a number; NaN and Infinity are serialized as null."""
    return isinstance(item, str | int) or (isinstance(item, float) and math.isfinite(item))
