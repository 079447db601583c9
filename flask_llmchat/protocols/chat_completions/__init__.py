"""OpenAI's chat completions, as providers really stream them.

https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..base import ResponseParser
from .parser import ChatCompletionParser
from .request import build_body

if TYPE_CHECKING:
    from ...core.request import ChatRequest
    from ...models import Model
    from ...providers import Provider, Target


class ChatCompletions:
    """The protocol that nearly every provider offers."""

    name = "chat_completions"
    path = "/chat/completions"
    headers: Mapping[str, str] = {}

    def build_body(
        self, chat: ChatRequest, provider: Provider, target: Target, model: Model
    ) -> dict[str, Any]:
        """Return the body of the request."""
        return build_body(chat, provider, target, model)

    def parser(self, provider: Provider, *, passthrough: bool) -> ResponseParser:
        """Return the parser for one response."""
        return ChatCompletionParser(thinking_tags=provider.thinking_tags, passthrough=passthrough)


CHAT_COMPLETIONS = ChatCompletions()

__all__ = ["CHAT_COMPLETIONS", "ChatCompletionParser", "ChatCompletions"]
