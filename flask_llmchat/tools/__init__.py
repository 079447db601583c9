"""Tools that the server runs for a chat: optional, found by the extension when a host has some."""

from .approvals import Denied, ProposedCall
from .context import ToolContext, ToolError
from .tool import Tool

__all__ = ["Denied", "ProposedCall", "Tool", "ToolContext", "ToolError"]
