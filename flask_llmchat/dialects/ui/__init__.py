"""The ``ui`` dialect: the AI SDK's UI message stream, for ``useChat`` and its transports."""

from .dialect import UIDialect

__all__ = ["UIDialect"]
