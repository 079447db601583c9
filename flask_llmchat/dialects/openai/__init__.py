"""The ``openai`` dialect: chat completions, for OpenAI's SDKs and everything compatible.

https://platform.openai.com/docs/api-reference/chat
"""

from .dialect import OpenAIDialect

__all__ = ["OpenAIDialect"]
