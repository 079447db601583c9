"""The ``openai`` dialect: chat completions, for OpenAI's SDKs and everything compatible."""

from .dialect import OpenAIDialect

OPENAI = OpenAIDialect()

__all__ = ["OPENAI", "OpenAIDialect"]
