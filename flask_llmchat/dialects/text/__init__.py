"""The ``text`` dialect: the form of mckaywrigley's chatbot-ui.

A body of ``{chatSettings, messages}`` comes in; the text of the response goes
out as it arrives, without framing.
"""

from .dialect import TextDialect

__all__ = ["TextDialect"]
