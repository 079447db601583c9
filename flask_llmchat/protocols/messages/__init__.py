"""Anthropic's Messages, at Anthropic and at the other providers that offer it.

https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..base import ResponseParser
from .parser import MessageParser
from .request import amend_body, build_body

if TYPE_CHECKING:
    from ...providers import Provider


class Messages:
    """The protocol of Anthropic."""

    name = "messages"
    path = "/messages"
    headers: Mapping[str, str] = {"anthropic-version": "2023-06-01"}
    key_header = "x-api-key"
    build_body = staticmethod(build_body)
    amend_body = staticmethod(amend_body)

    def parser(self, provider: Provider, *, passthrough: bool) -> ResponseParser:
        """Return the parser for one response."""
        return MessageParser(provider.name)


MESSAGES = Messages()

__all__ = ["MESSAGES", "Messages"]
