"""The built-in dialects."""

from __future__ import annotations

from .base import Dialect
from .openai import OPENAI
from .text import TextDialect
from .ui import UIDialect

builtin_dialects: tuple[Dialect, ...] = (UIDialect(), OPENAI, TextDialect())
"""All built-in dialects. The first that recognises a body reads it; the last is the default."""
