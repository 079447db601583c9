"""An LLM chat backend for Flask apps: one blueprint, one hook, one route per provider."""

from .chat import ChatRequest, ChatResult, Endpoint, Message, Outcome, Source, ToolCall, Usage
from .errors import ChatError
from .extension import LLMChat
from .profiles import Profile
from .providers import Provider, Target, bearer_target, builtin_providers
from .signals import chat_finished, chat_started
from .state import current_llmchat

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
