"""Dialects: the formats in which clients send requests and read responses, one package each."""

from .base import Dialect, Encoder, Route, RouteRequest, RouteResponse
from .builtin import builtin_dialects
from .json_schema import Components, DialectSpec, RouteSpec

__all__ = [
    "Components",
    "Dialect",
    "DialectSpec",
    "Encoder",
    "Route",
    "RouteRequest",
    "RouteResponse",
    "RouteSpec",
    "builtin_dialects",
]
