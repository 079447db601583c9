"""The request body of chat completions."""

from __future__ import annotations

from typing import Any

from ...core.parameters import SENT_AS
from ...core.request import ChatRequest
from ...models import Model
from ...providers import Provider, Target
from ..parameters import add_parameters, limit_of, sampling_of
from .messages import sent_messages


def build_body(
    chat: ChatRequest, provider: Provider, target: Target, model: Model
) -> dict[str, Any]:
    """Return the request body.

    Parameters that the chat does not set are left out, and so are those that the provider or the
    model rejects.
    """
    temperature, refused = sampling_of(chat, provider, model)
    tools = [*(chat.tools or ()), *chat.provider_tools]
    if not tools or "tools" in refused:
        refused |= {"tools", "tool_choice", "parallel_tool_calls"}  # invalid without tools
    parameters = {sent: getattr(chat, attribute) for attribute, sent in SENT_AS.items()}
    parameters |= {"temperature": temperature, "tools": tools or None}
    del parameters["max_tokens"]
    extra = dict(chat.extra)
    options = {"include_usage": True, **extra.pop("stream_options", {})}
    optional = {
        "stream_options": options if target.supports_stream_usage else None,
        **parameters,
        model.max_tokens_param or provider.max_tokens_param: limit_of(chat, model),
        **extra,
    }
    messages = provider.messages(list(sent_messages(chat.messages, provider, model)))
    body = {"model": target.model, "messages": messages, "stream": True}
    add_parameters(body, optional, refused, provider, chat)
    return body
