"""What an OpenAPI document tells of a dialect, in JSON Schema; what writes it is ``schemas``.

marshmallow's own fields are known there. A field or a schema that marshmallow does not tell all of
has a ``describe(told, components)`` method, which changes what is told of it.

It is written for people and for code generators. These make one class of one object, and little of
conditions beside its properties: where an object has several forms, each is a schema of its own.
What is taken besides, so that clients of all kinds get on, is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..core.error_codes import ERROR_CODES

JSONSchema = dict[str, Any]


CODES: JSONSchema = {"type": "string", "enum": list(ERROR_CODES)}
"""What is wrong, for programs: the codes of :class:`~flask_llmchat.ChatError`."""


ANY_OBJECT: JSONSchema = {"type": "object", "additionalProperties": True}
"""An object that is not looked into; without the second word generators take it for empty."""


TEXT: JSONSchema = {"type": "string"}


class Components(Protocol):
    """Collects the schemas of one document."""

    def body_schema(self, schema: Any) -> JSONSchema:
        """Add a marshmallow schema of a whole body, with its ``messages``; return a reference."""

    def schema(self, of: Any) -> JSONSchema:
        """Return the JSON schema of a marshmallow field, or a reference to that of a schema."""

    def add_schema(self, name: str, schema: JSONSchema) -> JSONSchema:
        """Add a JSON schema; return a reference to it.

        :raises ValueError: when another one has this name.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class DialectSpec:
    """What an OpenAPI document tells of a dialect.

    :param body: JSON schema of a request body.
    :param example: makes a request body that asks a model, given its name; None for no example.
    :param answers: media type to JSON schema.
    :param headers: further headers that an answer may have, as header objects.
    :param errors: media type to JSON schema.
    :param error_headers: further headers that an error may have.
    :param takes_own: whether parameters of the provider's own, which its row ``takes``, may stand
        in the body; it is a reference then.
    """

    body: JSONSchema
    example: Callable[[str], Any] | None = None
    answers: Mapping[str, JSONSchema]
    headers: Mapping[str, JSONSchema] = field(default_factory=dict)
    errors: Mapping[str, JSONSchema]
    error_headers: Mapping[str, JSONSchema] = field(default_factory=dict)
    takes_own: bool = False


def const(value: str) -> JSONSchema:
    """Return the JSON schema of one text and no other."""
    return {"type": "string", "const": value}


def object_schema(description: str, /, *optional: str, **fields: JSONSchema) -> JSONSchema:
    """Return the JSON schema of an object with these fields.

    :param optional: those that need not be there.
    """
    return {
        "type": "object",
        "description": description,
        "properties": fields,
        "required": [name for name in fields if name not in optional],
    }


def closed_object(description: str, /, *optional: str, **fields: JSONSchema) -> JSONSchema:
    """Return the JSON schema of an object with these fields, and no others.

    :param optional: those that need not be there.
    """
    return {**object_schema(description, *optional, **fields), "additionalProperties": False}
