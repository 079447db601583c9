"""The built-in dialects."""

from __future__ import annotations

from .base import Dialect
from .openai.dialect import OpenAIDialect
from .text.dialect import TextDialect
from .ui.dialect import UIDialect

builtin_dialects: tuple[Dialect, ...] = (UIDialect(), OpenAIDialect(), TextDialect())
"""All built-in dialects. The first that recognises a body reads it; the last is the default."""
