"""What an OpenAPI document says of a dialect, in JSON Schema.

:mod:`flask_llmchat.openapi.converter` makes the JSON schemas of marshmallow's own fields. A field
or a schema that needs more has a ``describe(json_schema, components)`` method, which changes the
JSON schema that was made of it.

The schemas are written for people and for code generators. Generators make one class of one object,
and understand few conditions beside its properties: where an object has several forms, each form is
a schema of its own. Input that is accepted only for the sake of odd clients is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..core.error_codes import ERROR_CODES
from ..core.errors import ChatError

JSONSchema = dict[str, Any]

CODES: JSONSchema = {"type": "string", "enum": list(ERROR_CODES)}
"""The error codes of :class:`~flask_llmchat.ChatError`, for programs."""

ANY_OBJECT: JSONSchema = {"type": "object", "additionalProperties": True}
"""An object with any fields. Without ``additionalProperties`` generators take it for empty."""

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
    """What an OpenAPI document says of a dialect.

    :param body: JSON schema of a request body.
    :param example: makes an example of a request body, given a model's name; None for no example.
    :param responses: media type to JSON schema of the response.
    :param headers: further headers that a response may have, as OpenAPI header objects.
    :param errors: media type to JSON schema of an error.
    :param error_headers: further headers that an error may have.
    :param takes_extra_params: whether the body may hold the provider's own parameters, its row's
        ``extra_params``; then ``body`` is a reference.
    """

    body: JSONSchema
    example: Callable[[str], Any] | None = None
    responses: Mapping[str, JSONSchema]
    headers: Mapping[str, JSONSchema] = field(default_factory=dict)
    errors: Mapping[str, JSONSchema]
    error_headers: Mapping[str, JSONSchema] = field(default_factory=dict)
    takes_extra_params: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSpec:
    """What an OpenAPI document says of a dialect's own route.

    The errors that all routes with a profile have need no mention.

    :param summary: one line; ``{label}`` stands for the provider's label.
    :param description: of the route.
    :param parameters: of the query and the headers, as OpenAPI parameter objects.
    :param body: JSON schema of the request body, which may be left out; None for none.
    :param status: HTTP status of the response.
    :param response: describes the response.
    :param headers: of the response, as OpenAPI header objects.
    :param content: media type to JSON schema of the response; empty for one without a body.
    :param empty: describes a response with status 204 besides; "" for none.
    :param errors: description of a further error to an example of it.
    """

    summary: str
    description: str = ""
    parameters: Sequence[JSONSchema] = ()
    body: JSONSchema | None = None
    status: int = 200
    response: str = "The response."
    headers: Mapping[str, JSONSchema] = field(default_factory=dict)
    content: Mapping[str, JSONSchema] = field(default_factory=dict)
    empty: str = ""
    errors: Mapping[str, ChatError] = field(default_factory=dict)


def const(value: str) -> JSONSchema:
    """Return the JSON schema of one string and no other."""
    return {"type": "string", "const": value}


def object_schema(description: str, /, *optional: str, **fields: JSONSchema) -> JSONSchema:
    """Return the JSON schema of an object with these fields.

    :param optional: names of the fields that are not required.
    """
    return {
        "type": "object",
        "description": description,
        "properties": fields,
        "required": [name for name in fields if name not in optional],
    }


def closed_object(description: str, /, *optional: str, **fields: JSONSchema) -> JSONSchema:
    """Return the JSON schema of an object with these fields, and no others.

    :param optional: names of the fields that are not required.
    """
    return {**object_schema(description, *optional, **fields), "additionalProperties": False}
