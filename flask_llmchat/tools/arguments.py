"""The three ways to say which arguments a tool takes: type hints, marshmallow, JSON Schema.

Each gives the JSON schema that the model is told, and a function that makes the keyword arguments
of the model's. pydantic is loaded when it is first needed: it comes with ``openai``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import marshmallow as ma

from ..dialects.schema import MAX_ERRORS, sentence_of
from ..dialects.strict_json import parse_value
from .json_schema import JSONSchema, arguments_schema
from .results import shortened

Loader = Callable[[dict[str, Any]], Mapping[str, Any]]

_MAX_LENGTH = 2**20  # characters; a model writes far fewer


class InvalidArguments(ValueError):
    """The model's arguments are wrong. The message tells it why."""

    def __init__(self, message: str) -> None:
        super().__init__(shortened(message, 2000))  # it may repeat names of the model's


def parse_arguments(text: str) -> dict[str, Any]:
    """Parse the arguments that a model has written. No text at all is no arguments.

    :raises InvalidArguments: when they are not a JSON object, or too long.
    """
    if len(text) > _MAX_LENGTH:
        raise InvalidArguments(f"The arguments are longer than {_MAX_LENGTH} characters.")
    try:
        arguments = parse_value(text) if text.strip() else {}
    except ValueError as error:
        raise InvalidArguments(f"The arguments are not valid JSON: {error}.") from None
    if not isinstance(arguments, dict):
        raise InvalidArguments("The arguments are not a JSON object.")
    return arguments


def from_hints(parameters: list[inspect.Parameter]) -> tuple[JSONSchema, Loader]:
    """Read the type hints of a function.

    :raises TypeError: when one is missing, or is no type that JSON can be read into.
    """
    import pydantic
    from pydantic.fields import FieldInfo

    fields: dict[str, Any] = {}
    for index, parameter in enumerate(parameters):
        name, hint, default = parameter.name, parameter.annotation, parameter.default
        if parameter.kind is parameter.VAR_KEYWORD:
            raise TypeError(f"name the parameters in place of {parameter}, or give parameters=")
        if hint is parameter.empty:
            raise TypeError(
                f"the parameter {name!r} has no type hint: write {name}: str, say, or"
                f" {name}: ToolContext if it is the context"
            )
        if isinstance(default, FieldInfo):
            hint, default = Annotated[hint, default], parameter.empty
        given = {} if default is parameter.empty else {"default": default}
        # Not by their own names: a parameter may be called `json` or `copy`, as methods are.
        field: dict[str, Any] = {f"p{index}": (hint, pydantic.Field(alias=name, **given))}
        try:
            arguments_schema(pydantic.create_model("Arguments", **field))
        except Exception as error:
            reason = str(error).strip().split("\n")[0]
            raise TypeError(f"the parameter {name!r}: {reason}") from error
        fields |= field
    config = pydantic.ConfigDict(extra="forbid")
    model = pydantic.create_model("Arguments", __config__=config, **fields)

    def load(arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            loaded = model.model_validate(arguments)
        except pydantic.ValidationError as error:
            messages: dict[str, list[str]] = {}
            found = error.errors(include_url=False, include_context=False, include_input=False)
            for one in found[: MAX_ERRORS + 1]:
                messages.setdefault(".".join(map(str, one["loc"])), []).append(one["msg"])
            raise _wrong(messages) from None
        return {p.name: getattr(loaded, f"p{i}") for i, p in enumerate(parameters)}

    return arguments_schema(model), load


def from_marshmallow(args: Any) -> tuple[JSONSchema, Loader]:
    """Read a marshmallow schema, a class or an instance. apispec describes it.

    :raises TypeError: when it is none.
    :raises RuntimeError: when apispec is not installed.
    """
    schema = args() if isinstance(args, type) else args
    if not isinstance(schema, ma.Schema):
        raise TypeError(f"args has to be a marshmallow schema, not a {type(schema).__name__}")
    try:
        from apispec import APISpec
        from apispec.ext.marshmallow import MarshmallowPlugin
    except ImportError:
        raise RuntimeError("args= needs `pip install 'flask-llmchat[openapi]'`") from None
    # Without names every schema is written where it is used.
    plugin = MarshmallowPlugin(schema_name_resolver=lambda schema: "")
    APISpec("", "", "3.1.0", plugins=[plugin])
    assert plugin.converter is not None
    json_schema: JSONSchema = plugin.converter.resolve_nested_schema(schema)  # type: ignore[no-untyped-call]

    def load(arguments: dict[str, Any]) -> Mapping[str, Any]:
        try:
            loaded: Mapping[str, Any] = schema.load(arguments)
        except ma.ValidationError as error:
            raise _wrong(error.messages) from None
        return loaded

    if schema.unknown == ma.RAISE:
        json_schema["additionalProperties"] = False
    return json_schema, load


def from_json_schema(schema: JSONSchema) -> tuple[JSONSchema, Loader]:
    """Take a JSON schema as it is. Only the presence of required members is checked."""

    def load(arguments: dict[str, Any]) -> dict[str, Any]:
        if missing := [name for name in schema.get("required", ()) if name not in arguments]:
            raise _wrong(dict.fromkeys(missing, "Field required"))
        return arguments

    return schema, load


def _wrong(messages: Any) -> InvalidArguments:
    return InvalidArguments(f"The arguments are wrong: {sentence_of(messages)}.")
