"""The marshmallow fields of the parameters in ``core/parameters.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import marshmallow as ma
from marshmallow import validate

from ..core.parameters import Kind, Parameter
from .fields import (
    BoundedList,
    Object,
    StrictBoolean,
    StrictInteger,
    StrictNumber,
    StrictString,
    TokenLimit,
    Union,
)
from .size import MAX_TOOLS
from .tools import TemplateArguments, Tool


class Stop(Union):
    """One stop sequence, or several; an empty list is none, as OpenAI's SDKs send it."""

    def __init__(self) -> None:
        text = StrictString(validate=validate.Length(1))
        super().__init__(BoundedList(text, 16), text, allow_none=True)

    def _deserialize(self, *args: Any, **kwargs: Any) -> Any:
        return super()._deserialize(*args, **kwargs) or None


def _number(row: Parameter) -> ma.fields.Field[Any]:
    bounds = None if row.least is row.most is None else validate.Range(row.least, row.most)
    return StrictNumber(allow_none=True, validate=bounds)


def _integer(row: Parameter) -> ma.fields.Field[Any]:
    if row.least is None:
        return StrictInteger(allow_none=True)
    return StrictInteger(row.least, allow_none=True)


def _text(row: Parameter) -> ma.fields.Field[Any]:
    return StrictString(allow_none=True, validate=validate.Length(row.least, row.most))


_FIELDS: dict[Kind, Callable[[Parameter], ma.fields.Field[Any]]] = {
    "boolean": lambda row: StrictBoolean(allow_none=True),
    "boolean_or_object": lambda row: Union(StrictBoolean(), Object(), allow_none=True),
    "integer": _integer,
    "number": _number,
    "object": lambda row: Object(allow_none=True),
    "stop": lambda row: Stop(),
    "template_arguments": lambda row: TemplateArguments(allow_none=True),
    "text": _text,
    "token_limit": lambda row: TokenLimit(),
    "tool_choice": lambda row: Union(Object(), StrictString(), allow_none=True),
    "tools": lambda row: BoundedList(Tool(), MAX_TOOLS, allow_none=True),
}


def with_parameters(
    schema: type[ma.Schema], rows: Mapping[str, Parameter], name: str
) -> type[ma.Schema]:
    """Return a schema with a field for each parameter.

    :param rows: the parameters, by the names of the fields.
    :param name: name of the new class.
    """
    return schema.from_dict({key: _FIELDS[row.kind](row) for key, row in rows.items()}, name=name)
