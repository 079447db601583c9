"""The ``text`` dialect writes the text of a response and nothing else, whatever the protocol."""

from __future__ import annotations

from typing import Any

import pytest

from flask_llmchat.testing import FakeUpstream, Reply, event
from tests.support.apps import body, finished, make_app
from tests.support.protocol_streams import (
    CALL_1,
    REASONING,
    THINKING,
    USES,
    message_of,
    response_of,
)

PAGE = {"url": "https://hidden.example", "title": "hidden"}
DELTA = {
    "role": "assistant",
    "content": "It is 7.",
    "reasoning_content": "hidden",
    "annotations": [{"type": "url_citation", "url_citation": PAGE}],
    "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,hidden"}}],
    "tool_calls": [
        {
            "index": 0,
            "id": "call_1",
            "type": "function",
            "function": {"name": "hidden", "arguments": "{}"},
        }
    ],
}
CHUNK = {"choices": [{"index": 0, "delta": DELTA, "finish_reason": "tool_calls"}]}
TEXT = {
    "type": "output_text",
    "text": "It is 7.",
    "annotations": [{"type": "url_citation", **PAGE}],
}
CITATION = {"type": "web_search_result_location", "cited_text": "hidden", **PAGE}

# The provider, its model, and its response.
RESPONSES: dict[str, tuple[str, str, Reply]] = {
    "chat_completions": (
        "groq",
        "openai/gpt-oss-120b",
        Reply(body=[event(CHUNK)]),
    ),
    "responses": (
        "xai",
        "grok-4.3",
        response_of(
            [
                REASONING[0],
                {"type": "web_search_call", "id": "ws_1", "action": {"query": "hidden"}},
                {"type": "image_generation_call", "id": "ig_1", "result": "hidden"},
                {"type": "message", "id": "msg_1", "role": "assistant", "content": [TEXT]},
                {**CALL_1, "id": "fc_1"},
            ]
        ),
    ),
    "messages": (
        "anthropic",
        "claude-sonnet-4-6",
        message_of(
            [
                *THINKING,
                {"type": "server_tool_use", "id": "s_1", "name": "web_search", "input": {}},
                {"type": "web_search_tool_result", "tool_use_id": "s_1", "content": [PAGE]},
                {"type": "text", "text": "It is 7.", "citations": [CITATION]},
                USES[0],
            ]
        ),
    ),
}


@pytest.mark.parametrize("protocol", RESPONSES)
def test_only_text_is_written(protocol: str, upstream: FakeUpstream) -> None:
    provider, model, reply = RESPONSES[protocol]
    upstream.add(reply)
    profile: dict[str, Any] = {f"{provider}_api_key": "sk-1"}
    config: dict[str, Any] = {"LLMCHAT_PROTOCOLS": {provider: protocol}}
    app = make_app(upstream, profile=profile, config=config)
    with finished(app) as done:
        response = app.test_client().post(f"/api/chat/{provider}", json=body(model))
        assert response.text == "It is 7."
        assert response.content_type == "text/plain; charset=utf-8"
        response.close()
        result = done.only
    assert "hidden" not in str(response.headers)
    assert result.reasoning and result.tool_calls
    assert result.provider_tools or protocol == "chat_completions"
    assert [source.url for source in result.sources] == [PAGE["url"]]
