"""An LLM chat backend for Flask apps: one blueprint, one hook, one route per provider.

Every public name is here. ``flask_llmchat.testing`` and ``flask_llmchat.openapi`` have names of
their own; everything else below this package may move.
"""

from .core.caller import Caller
from .core.errors import ChatError, EmptyResponse, StreamErrorEvent
from .core.events import (
    ApprovalRequest,
    Chunk,
    Document,
    Event,
    Finish,
    Image,
    ProviderToolCall,
    ProviderToolResult,
    ReasoningDelta,
    ReasoningEnd,
    Source,
    StepStart,
    TextDelta,
    ToolCallDelta,
    ToolProgress,
    ToolResult,
    ToolsStart,
)
from .core.profiles import Profile
from .core.request import Approval, ChatRequest, Endpoint, Message
from .core.result import (
    Attempt,
    ChatResult,
    Outcome,
    PendingApproval,
    ProviderTool,
    Step,
    ToolCall,
    ToolRun,
    Usage,
)
from .core.signals import chat_finished, chat_started, tool_finished
from .dialects import (
    Components,
    Dialect,
    DialectSpec,
    Encoder,
    Route,
    RouteRequest,
    RouteResponse,
    RouteSpec,
    builtin_dialects,
)
from .extension import LLMChat
from .models import Model, default_model, get_model, models_of
from .protocols import ResponseParser, Totals, UpstreamProtocol
from .providers import Provider, Target, bearer_target, builtin_providers
from .runs.event_source import EventSource
from .runs.from_python import ChatStream
from .tools import Denied, ProposedCall, Tool, ToolContext, ToolError
from .web.state import current_llmchat

__all__ = [
    "Approval",
    "ApprovalRequest",
    "Attempt",
    "Caller",
    "ChatError",
    "ChatRequest",
    "ChatResult",
    "ChatStream",
    "Chunk",
    "Components",
    "Denied",
    "Dialect",
    "DialectSpec",
    "Document",
    "EmptyResponse",
    "Encoder",
    "Endpoint",
    "Event",
    "EventSource",
    "Finish",
    "Image",
    "LLMChat",
    "Message",
    "Model",
    "Outcome",
    "PendingApproval",
    "Profile",
    "ProposedCall",
    "Provider",
    "ProviderTool",
    "ProviderToolCall",
    "ProviderToolResult",
    "ReasoningDelta",
    "ReasoningEnd",
    "ResponseParser",
    "Route",
    "RouteRequest",
    "RouteResponse",
    "RouteSpec",
    "Source",
    "Step",
    "StepStart",
    "StreamErrorEvent",
    "Target",
    "TextDelta",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolContext",
    "ToolError",
    "ToolProgress",
    "ToolResult",
    "ToolRun",
    "ToolsStart",
    "Totals",
    "UpstreamProtocol",
    "Usage",
    "bearer_target",
    "builtin_dialects",
    "builtin_providers",
    "chat_finished",
    "chat_started",
    "current_llmchat",
    "default_model",
    "get_model",
    "models_of",
    "tool_finished",
]
