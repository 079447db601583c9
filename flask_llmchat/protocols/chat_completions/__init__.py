"""OpenAI's chat completions, as providers really stream them.

https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..base import ResponseParser
from .parser import ChatCompletionParser
from .request import build_body

if TYPE_CHECKING:
    from ...providers import Provider


class ChatCompletions:
    """The protocol that nearly every provider offers."""

    name = "chat_completions"
    path = "/chat/completions"
    headers: Mapping[str, str] = {}
    key_header = ""
    build_body = staticmethod(build_body)

    def parser(self, provider: Provider, *, passthrough: bool) -> ResponseParser:
        """Return the parser for one response."""
        return ChatCompletionParser(thinking_tags=provider.thinking_tags, passthrough=passthrough)


CHAT_COMPLETIONS = ChatCompletions()

__all__ = ["CHAT_COMPLETIONS", "ChatCompletions"]
