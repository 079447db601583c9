"""How clients speak: one module for each way, and the only ones that know marshmallow."""

from __future__ import annotations

from .base import Dialect, parse_object
from .text import TextDialect

__all__ = ["Dialect", "TextDialect", "parse_object"]
