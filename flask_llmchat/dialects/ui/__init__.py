"""The ``ui`` dialect: the AI SDK's UI message stream, for ``useChat`` and its transports.

https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol
"""

from .dialect import UIDialect

__all__ = ["UIDialect"]
