"""The ``openai`` dialect: chat completions, for OpenAI's SDKs and everything compatible."""

from .dialect import OpenAIDialect

__all__ = ["OpenAIDialect"]
