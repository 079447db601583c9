"""The JSON schema that pydantic makes, in the form that providers take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

JSONSchema = dict[str, Any]

_OF_SCHEMAS = ("properties", "patternProperties", "$defs")  # names, which may be "title" too
_OF_VALUES = ("default", "const", "enum", "examples", "required")


def arguments_schema(model: type[BaseModel]) -> JSONSchema:
    """Return the JSON schema of a model.

    Without titles, which repeat each name and are paid for with every request. What it refers to is
    written where it is used, since not every provider follows references; only types that hold
    themselves are left as they are.
    """
    from pydantic.json_schema import GenerateJsonSchema

    class Generator(GenerateJsonSchema):
        # A default that JSON cannot hold is simply not told.
        ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}

    schema = model.model_json_schema(schema_generator=Generator)
    definitions = schema.get("$defs", {})
    try:
        whole: JSONSchema = _without_titles({**schema, "$defs": {}}, definitions)
    except _HoldsItself:
        whole = _without_titles(schema, {})
    return whole


class _HoldsItself(Exception):
    """A type that cannot be written where it is used."""


def _without_titles(schema: Any, definitions: JSONSchema, within: tuple[str, ...] = ()) -> Any:
    """Return a JSON schema without titles, and with those of the definitions in its references."""
    if isinstance(schema, list):
        return [_without_titles(item, definitions, within) for item in schema]
    if not isinstance(schema, dict):
        return schema
    name = schema.get("$ref", "").rpartition("/")[2]
    if name in within:
        raise _HoldsItself
    if name in definitions:
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return _without_titles({**definitions[name], **beside}, definitions, (*within, name))
    result = {}
    for key, value in schema.items():
        if key in _OF_VALUES:
            result[key] = value
        elif key in _OF_SCHEMAS and value:
            result[key] = {n: _without_titles(v, definitions, within) for n, v in value.items()}
        elif key not in ("title", "$defs"):
            result[key] = _without_titles(value, definitions, within)
    return result
