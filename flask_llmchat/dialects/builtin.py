"""The dialects that are built in."""

from __future__ import annotations

from .base import Dialect
from .openai.dialect import OpenAIDialect
from .text.dialect import TextDialect
from .ui.dialect import UIDialect

builtin_dialects: tuple[Dialect, ...] = (UIDialect(), OpenAIDialect(), TextDialect())
"""All that are built in. The first that recognises a body reads it; the last is the default."""
