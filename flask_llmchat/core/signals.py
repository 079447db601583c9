"""What the extension tells the host, with blinker; the sender is always the Flask app.

Receivers run inside an app context. What a receiver raises is logged and stops nothing.
"""

from __future__ import annotations

from blinker import Namespace

_signals = Namespace()


chat_started = _signals.signal("chat-started")
"""Sent with ``chat``, once it is valid and its profile is known.

It is the :class:`~flask_llmchat.ChatRequest`.
"""


chat_finished = _signals.signal("chat-finished")
"""Sent with ``result``, exactly once for every chat that started.

It is the :class:`~flask_llmchat.ChatResult`.
"""
