"""Strict marshmallow fields for request bodies."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import marshmallow as ma

from ..core.fields import StrictBoolean as StrictBoolean
from ..core.fields import StrictNumber as StrictNumber
from .json_schema import ANY_OBJECT, Components, JSONSchema
from .schema import MAX_ERRORS, load_each


def is_encodable_text(text: str) -> bool:
    """Return whether a text can be encoded as UTF-8: it has no lone surrogate."""
    if text.isascii():  # costs nothing: Python stores whether it is
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class StrictString(ma.fields.String):
    """A string that can be sent: a lone surrogate cannot be encoded as UTF-8."""

    default_error_messages = {"surrogate": "Holds half a character (a lone surrogate)."}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if not is_encodable_text(text):
            raise self.make_error("surrogate")
        return text


class URLString(StrictString):
    """A required URL with one of certain beginnings.

    :param start: pattern of the beginnings, in lower case; matched in any case.
    :param error: message for any other URL.
    """

    def __init__(self, start: str, error: str) -> None:
        super().__init__(
            required=True,
            validate=ma.validate.Regexp(f"(?i)({start})", error=error),
            metadata={"pattern": f"^({start})"},
        )


class StrictInteger(ma.fields.Integer):
    """A JSON integer that fits 64 bits."""

    _LEAST = -(2**63)

    def __init__(self, least: int = _LEAST, **kwargs: Any) -> None:
        super().__init__(strict=True, validate=ma.validate.Range(least, 2**63 - 1), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            return int(value)  # JSON has one type of number: 1.0 is 1
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.make_error("invalid", input=value)
        return value

    def describe(self, schema: JSONSchema, components: Components) -> None:
        """Describe its width, instead of bounds that JavaScript would round."""
        schema["format"] = "int64"
        del schema["maximum"]
        if schema["minimum"] == self._LEAST:
            del schema["minimum"]


class TokenLimit(StrictInteger):
    """The most tokens in a response, 1 or more; -1 means no limit, as in llama.cpp."""

    def __init__(self) -> None:
        super().__init__(1, allow_none=True)

    def deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the limit; None for no limit."""
        return super().deserialize(None if value == -1 else value, *args, **kwargs)


class BoundedList(ma.fields.List[Any]):
    """A list whose length is checked before its items, so that oversized lists fail cheaply.

    :param most: most items; None where they are counted elsewhere.
    :param least: fewest items.
    """

    def __init__(
        self, inner: ma.fields.Field[Any], most: int | None, least: int = 0, **kw: Any
    ) -> None:
        limits = {"maxItems": most, "minItems": least or None}
        bounds = {name: limit for name, limit in limits.items() if limit is not None}
        super().__init__(inner, metadata=bounds | kw.pop("metadata", {}), **kw)
        self._bounds = ma.validate.Length(least, most)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        self._bounds(value)
        if type(self.inner) is Object:
            return self._objects(value)
        return load_each(lambda item: self.inner.deserialize(item, **kwargs), value)

    def _objects(self, values: list[Any]) -> list[Any]:
        """Load objects: checking all at once whether they can be sent is far cheaper."""
        others = [i for i, value in enumerate(values) if value.__class__ is not dict]
        if others:
            reason = self.inner.error_messages["invalid"]
            raise ma.ValidationError({i: [reason] for i in others[: MAX_ERRORS + 1]})
        if not is_encodable(values):
            raise self.inner.make_error("unsendable")
        return values


# Parsed JSON has no cycles, and without the check for them encoding takes half the time.
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode


def is_encodable(value: Any) -> bool:
    """Return whether JSON can be sent: no lone surrogates, not nested too deeply."""
    try:
        _encode(value).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True


class Object(ma.fields.Field[dict[str, Any]]):
    """A JSON object that goes to the provider unchanged."""

    default_error_messages = {
        "invalid": "Not an object.",
        "unsendable": "Holds half a character (a lone surrogate), or is nested too deeply.",
    }

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.make_error("invalid")
        if not is_encodable(value):
            raise self.make_error("unsendable")
        return value

    def describe(self, schema: JSONSchema, components: Components) -> None:
        """Describe it: any object."""
        schema |= ANY_OBJECT


class Union(ma.fields.Field[Any]):
    """A value that one of several fields accepts; the error is the last field's."""

    def __init__(self, *choices: ma.fields.Field[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._choices = choices

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        for choice in self._choices[:-1]:
            with contextlib.suppress(ma.ValidationError):
                return choice.deserialize(value, attr, data)
        return self._choices[-1].deserialize(value, attr, data)

    def describe(self, schema: JSONSchema, components: Components) -> None:
        """Describe all choices."""
        schema["anyOf"] = [components.schema(choice) for choice in self._choices]
