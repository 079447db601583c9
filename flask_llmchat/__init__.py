"""An LLM chat backend for Flask apps: one blueprint, one hook, one route per provider."""

from .core.errors import ChatError
from .core.events import Source
from .core.profiles import Profile
from .core.request import ChatRequest, Endpoint, Message
from .core.result import ChatResult, Outcome, ToolCall, Usage
from .core.signals import chat_finished, chat_started
from .extension import LLMChat
from .providers.builtin import builtin_providers
from .providers.provider import Provider, bearer_target
from .providers.target import Target
from .web.state import current_llmchat

__all__ = [
    "ChatError",
    "ChatRequest",
    "ChatResult",
    "Endpoint",
    "LLMChat",
    "Message",
    "Outcome",
    "Profile",
    "Provider",
    "Source",
    "Target",
    "ToolCall",
    "Usage",
    "bearer_target",
    "builtin_providers",
    "chat_finished",
    "chat_started",
    "current_llmchat",
]
