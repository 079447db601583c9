"""The extension's blinker signals; their sender is always the Flask app.

Receivers run inside an app context. An exception in a receiver is logged and stops nothing.
"""

from __future__ import annotations

from blinker import Namespace

_signals = Namespace()

chat_started = _signals.signal("chat-started")
"""Sent with ``chat``, a :class:`~flask_llmchat.ChatRequest`, once it is valid and has a profile."""

chat_finished = _signals.signal("chat-finished")
"""Sent with ``result``, a :class:`~flask_llmchat.ChatResult`, exactly once for every chat that
started."""

tool_finished = _signals.signal("tool-finished")
"""Sent with ``run``, a :class:`~flask_llmchat.ToolRun`, exactly once for every call of a tool that
the server runs, also when it was refused."""
