"""Dialects: how clients are spoken to, one package each. Only these import marshmallow."""

from .base import Dialect, Encoder, Route, RouteRequest, RouteResponse
from .builtin import builtin_dialects
from .json_schema import Components, DialectSpec, RouteSpec
from .negotiation import Negotiated, negotiate
from .strict_json import parse_object

__all__ = [
    "Components",
    "Dialect",
    "DialectSpec",
    "Encoder",
    "Negotiated",
    "Route",
    "RouteRequest",
    "RouteResponse",
    "RouteSpec",
    "builtin_dialects",
    "negotiate",
    "parse_object",
]
