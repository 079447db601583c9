"""The ``text`` dialect: the form of mckaywrigley's chatbot-ui.

A body of ``{chatSettings, messages}`` comes in; the answer's text goes out as it is written.
"""

from .dialect import TextDialect

__all__ = ["TextDialect"]
