"""The ``text`` dialect: the form of mckaywrigley's chatbot-ui."""

from .dialect import TextDialect

__all__ = ["TextDialect"]
