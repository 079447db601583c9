"""JSON schemas of the marshmallow schemas, by apispec. Only this module needs the extra."""

from __future__ import annotations

import inspect
from typing import Any

import marshmallow as ma
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter

from ..dialects.json_schema import Components, JSONSchema
from .instance import PREFIX


class _Converter(OpenAPIConverter):
    """Adds what our own fields and schemas describe, and ``additionalProperties``."""

    components: Components

    def field2property(self, field: ma.fields.Field[Any]) -> JSONSchema:
        json_schema: JSONSchema = super().field2property(field)
        if hasattr(field, "describe"):
            field.describe(json_schema, self.components)
        return _nullable(json_schema) if field.allow_none else json_schema

    def schema2jsonschema(self, schema: ma.Schema) -> JSONSchema:
        json_schema: JSONSchema = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]
        if schema.unknown == ma.RAISE:
            json_schema["additionalProperties"] = False
        if hasattr(schema, "describe"):
            schema.describe(json_schema, self.components)
        json_schema.setdefault("description", _first_sentence(schema))
        return json_schema


class _Plugin(MarshmallowPlugin):
    Converter = _Converter


class SchemaConverter:
    """The schemas of one document, implementing :class:`~flask_llmchat.Components`.

    :param max_messages: how many messages a body may have.
    """

    def __init__(self, max_messages: int) -> None:
        self._max_messages = max_messages
        plugin = _Plugin(schema_name_resolver=_name)
        self._spec = APISpec("", "", "3.1.0", plugins=[plugin])
        assert isinstance(plugin.converter, _Converter)
        self._converter = plugin.converter
        self._converter.components = self
        self._own: dict[str, JSONSchema] = {}

    @property
    def all(self) -> dict[str, JSONSchema]:
        """All schemas, by their names."""
        return dict(sorted({**self._spec.components.schemas, **self._own}.items()))

    def body_schema(self, schema: ma.Schema) -> JSONSchema:
        """Add a marshmallow schema of a whole body, with its ``messages``; return a reference."""
        reference = self.schema(schema)
        name = reference["$ref"].rpartition("/")[2]
        messages = self._spec.components.schemas[name]["properties"]["messages"]
        messages["maxItems"] = self._max_messages
        return reference

    def schema(self, of: ma.Schema | ma.fields.Field[Any]) -> JSONSchema:
        """Return the JSON schema of a marshmallow field, or a reference to that of a schema."""
        if isinstance(of, ma.fields.Field):
            return self._converter.field2property(of)
        json_schema: JSONSchema = self._converter.resolve_nested_schema(of)  # type: ignore[no-untyped-call]
        return json_schema

    def widened(self, body: JSONSchema, fields: dict[str, JSONSchema], name: str) -> JSONSchema:
        """Add a copy of a schema with further fields; return a reference to it.

        :param body: a reference to the schema.
        :param name: suffix of the copy's name.
        """
        old = body["$ref"].rpartition("/")[2]
        schema = self.all[old]
        wide = {**schema, "properties": {**schema["properties"], **fields}}
        return self.add_schema(f"{old.removeprefix(PREFIX)}_{name}", wide)

    def add_schema(self, name: str, schema: JSONSchema) -> JSONSchema:
        """Add a JSON schema; return a reference to it.

        :raises ValueError: when another one has this name.
        """
        name = PREFIX + name
        if self.all.get(name, schema) != schema:
            raise ValueError(f"two schemas are called {name!r}")
        self._own[name] = schema
        return {"$ref": f"#/components/schemas/{name}"}


def _nullable(json_schema: JSONSchema) -> JSONSchema:
    """Add null where apispec has not: it does not see what fields describe by themselves."""
    null = {"type": "null"}
    if null not in json_schema.get("anyOf", [null]):
        return {**json_schema, "anyOf": [*json_schema["anyOf"], null]}
    if isinstance(json_schema.get("type"), str):
        return {**json_schema, "type": [json_schema["type"], "null"]}
    return json_schema


def _name(schema: ma.Schema | type[ma.Schema]) -> str:
    kind = schema if isinstance(schema, type) else type(schema)
    return PREFIX + kind.__name__.removesuffix("Schema")


def _first_sentence(schema: ma.Schema) -> str:
    # A schema that was made of another one has no docstring of its own.
    doc = inspect.getdoc(type(schema)) or ""
    return " ".join(doc.split("\n\n")[0].split()).replace("``", "`")
