"""A fake provider for tests and offline demos: a real HTTP server.

It speaks chat completions, OpenAI's Responses and Anthropic's Messages, as it is asked.

A test of your app. Create the app after the server: the extension reads its settings only once::

    def test_chat():
        with FakeUpstream() as upstream:
            upstream.add(text_reply("Good", " morning"))
            app = create_app({"LLMCHAT_BASE_URLS": {"openai": upstream.base_url}})
            message = {"role": "user", "content": "Hello"}
            body = {"chatSettings": {"model": "gpt-6-luna"}, "messages": [message]}
            response = app.test_client().post("/api/chat/openai", json=body)
            assert response.text == "Good morning"
            assert upstream.requests[0].json["model"] == "gpt-6-luna"
"""

from .replies import (
    Reply,
    error_reply,
    sse_reply,
    text_reply,
    tool_reply,
)
from .steps import CUT, HOLD, Signal, event
from .upstream import FakeUpstream, ReceivedRequest

__all__ = [
    "CUT",
    "HOLD",
    "FakeUpstream",
    "ReceivedRequest",
    "Reply",
    "Signal",
    "error_reply",
    "event",
    "sse_reply",
    "text_reply",
    "tool_reply",
]
