"""Loads request bodies with marshmallow schemas; all errors become one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import marshmallow as ma

from ..core.errors import ChatError
from .json_schema import Components, JSONSchema

MAX_ERRORS = 20
"""Most invalid fields that one error names. Validation stops after one more."""


def load(schema: ma.Schema, body: dict[str, Any]) -> dict[str, Any]:
    """Load a body with a schema.

    :raises ChatError: with status 422, naming the invalid fields and the reasons.
    """
    try:
        loaded: dict[str, Any] = _schema_for(schema, body).load(body)
    except ma.ValidationError as error:
        raise ChatError(sentence_of(error.messages), status=422) from None
    return loaded


def sentence_of(messages: Any) -> str:
    """Return marshmallow's nested errors in words, each with the path of its field."""
    reasons: list[str] = []
    for path, reason in _flatten(messages):
        if len(reasons) == MAX_ERRORS:
            reasons.append("and more")
            break
        reasons.append(f"{path}: {reason}" if path else reason)
    return "; ".join(reasons)


def _flatten(messages: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (``messages.0.role``, reason) for every reason in marshmallow's nested errors."""
    if isinstance(messages, dict):
        for name, inner in messages.items():
            key = "" if name == ma.exceptions.SCHEMA else str(name)[:50]
            yield from _flatten(inner, f"{path}.{key}".strip("."))
    elif isinstance(messages, list):
        for inner in messages:
            yield from _flatten(inner, path)
    else:
        yield path, str(messages).rstrip(".")


def load_each(load: Callable[[Any], Any], values: list[Any]) -> list[Any]:
    """Load the values of a list with a function; stop after more errors than a message names.

    An error costs twenty times as much as its value, and a million of them help nobody.

    :raises marshmallow.ValidationError: with errors by index.
    """
    loaded, errors = [], {}
    for index, value in enumerate(values):
        try:
            loaded.append(load(value))
        except ma.ValidationError as error:
            errors[index] = error.messages
            if len(errors) > MAX_ERRORS:
                break
    if errors:
        raise ma.ValidationError(errors)
    return loaded


class PresentFieldsNested(ma.fields.Nested):
    """An object with many optional fields, of which only those present are loaded.

    marshmallow spends as much time on an absent field as on a present one.
    """

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, partial: Any = None, **kwargs: Any
    ) -> Any:
        if not isinstance(value, dict):
            return super()._deserialize(value, attr, data, partial, **kwargs)
        return _schema_for(self.schema, value).load(value)


def _schema_for(schema: ma.Schema, value: dict[str, Any]) -> ma.Schema:
    """Return a schema without the absent optional fields."""
    return _with_fields(type(schema), frozenset(value.keys() & schema.fields))


@lru_cache(256)
def _with_fields(kind: type[ma.Schema], present: frozenset[str]) -> ma.Schema:
    declared = kind().fields.items()  # in their order, which is the order of errors
    return kind(only=[name for name, field in declared if field.required or name in present])


class StrictSchema(ma.Schema):
    """Refuses unknown fields, and objects with very many fields."""

    MAX_FIELDS = 64

    @ma.pre_load
    def _bounded(self, data: Any, **kwargs: Any) -> Any:
        if isinstance(data, dict) and len(data) > self.MAX_FIELDS:
            raise ma.ValidationError(f"Has more than {self.MAX_FIELDS} fields.")
        return data

    def describe(self, schema: JSONSchema, components: Components) -> None:
        """Add the highest number of fields, where undeclared ones are allowed."""
        if self.unknown != ma.RAISE:
            schema["maxProperties"] = self.MAX_FIELDS


class TypedSchema(StrictSchema):
    """An object whose ``type`` names the field with its content."""

    @ma.validates_schema
    def _has_its_type(self, data: dict[str, Any], **kwargs: Any) -> None:
        if data["type"] not in data:
            raise ma.ValidationError("Missing data for required field.", data["type"])
