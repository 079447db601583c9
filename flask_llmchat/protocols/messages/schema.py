"""JSON schemas in the form that the provider can bind a response to."""

from __future__ import annotations

import json
from typing import Any

_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)

_SUPPORTED = frozenset(
    {"$schema", "$id", "$ref", "title", "description", "default", "const", "enum", "type"}
    | {"required", "format", "additionalProperties"}
)

_MAPS = ("properties", "$defs", "definitions")

_LISTS = ("anyOf", "allOf", "oneOf")


def bindable(schema: Any) -> Any:
    """Return a schema without what is rejected: the rest of it is told in the description.

    Objects have no further properties, ``oneOf`` becomes ``anyOf``; limits of numbers, texts and
    lists are left to the model's understanding.
    """
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    told: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _MAPS and isinstance(value, dict):
            kept[name] = {key: bindable(one) for key, one in value.items()}
        elif name in _LISTS and isinstance(value, list):
            kept["anyOf" if name == "oneOf" else name] = [bindable(one) for one in value]
        elif name == "items":
            kept[name] = bindable(value)
        elif name in _SUPPORTED and (name != "format" or str(value) in _FORMATS):
            kept[name] = value
        else:
            told[name] = value
    if schema.get("type") == "object" or "properties" in schema:
        kept["additionalProperties"] = False
    if told:
        lines = [kept.get("description"), json.dumps(told, sort_keys=True)]
        kept["description"] = "\n".join(line for line in lines if isinstance(line, str))
    return kept
