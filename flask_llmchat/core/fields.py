"""Strict marshmallow fields that both the configuration and request bodies use.

They are in ``core`` because the configuration is read here and must not import a dialect;
``dialects/fields.py`` has the fields that only request bodies use.
"""

from __future__ import annotations

from typing import Any

import marshmallow as ma


class StrictNumber(ma.fields.Float):
    """A JSON number; marshmallow's own Float also accepts "0.5" and true."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class StrictBoolean(ma.fields.Boolean):
    """A JSON true or false; marshmallow's own Boolean also accepts "on" and 1."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value
