"""OpenAI's Responses, at OpenAI and at the other providers that offer it.

https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..base import ResponseParser
from .parser import ResponsesParser
from .refusals import amend_body
from .request import build_body

if TYPE_CHECKING:
    from ...providers import Provider


class Responses:
    """The protocol of OpenAI's newer models: their reasoning and tools need it."""

    name = "responses"
    path = "/responses"
    headers: Mapping[str, str] = {}
    key_header = ""
    build_body = staticmethod(build_body)
    amend_body = staticmethod(amend_body)

    def parser(self, provider: Provider, *, passthrough: bool) -> ResponseParser:
        """Return the parser for one response."""
        return ResponsesParser(provider.name)


RESPONSES = Responses()

__all__ = ["RESPONSES", "Responses"]
