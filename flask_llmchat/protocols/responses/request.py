"""The request body of Responses."""

from __future__ import annotations

from typing import Any

from ...core.errors import ChatError
from ...core.request import ChatRequest
from ...models import Model
from ...providers import Provider, Target
from ..parameters import add_parameters, limit_of, logger, sampling_of
from .input_items import Conversation
from .refusals import has_refused_summary
from .tools import flat_choice, flat_format, flat_tools

# Parameters of chat completions without a counterpart. What the first three would change is for the
# model to follow; log probabilities would reach no client.
_LACKING = frozenset(
    {
        "stop",
        "seed",
        "n",
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "modalities",
        "prediction",
        "presence_penalty",
        "top_logprobs",
        "web_search_options",
    }
)

_LEAST_TOKENS = 16  # fewer are refused

_ENCRYPTED = "reasoning.encrypted_content"

_CODE_OUTPUTS = "code_interpreter_call.outputs"


def build_body(
    chat: ChatRequest, provider: Provider, target: Target, model: Model
) -> dict[str, Any]:
    """Return the request body: stateless, with the whole conversation.

    Parameters that the chat does not set are left out, and so are those that the provider or the
    model rejects, or that Responses does not have.

    :raises ChatError: with status 422, for a part of the chat that Responses cannot carry.
    """
    temperature, refused = sampling_of(chat, provider, model)
    conversation = Conversation(provider.messages(chat.messages), provider, model)
    if not conversation.items:
        raise ChatError(
            "messages: None of them has anything to respond to", provider=provider.name, status=422
        )
    tools = [*flat_tools(chat.tools or []), *chat.provider_tools]
    if not tools or "tools" in refused:
        refused |= {"tools", "tool_choice", "parallel_tool_calls"}  # invalid without tools
    extra = {name: value for name, value in chat.extra.items() if name not in _LACKING}
    reasoning = _reasoning(chat, model, extra.pop("reasoning", None))
    if "reasoning.summary" in refused or has_refused_summary(target.headers, target.model):
        reasoning.pop("summary", None)
    text = {"format": flat_format(chat.response_format), "verbosity": extra.pop("verbosity", None)}
    text = {name: value for name, value in text.items() if value is not None}
    body: dict[str, Any] = {"model": target.model, "input": conversation.items, "stream": True}
    optional = {
        "instructions": conversation.instructions or None,
        "include": _include(model, tools, extra.pop("include", ())) or None,
        "temperature": temperature,
        "top_p": chat.top_p,
        "max_output_tokens": _limit(chat, model),
        "reasoning": reasoning or None,
        "text": text or None,
        # Perplexity's name and form for it.
        "response_format": chat.response_format if "text" in refused else None,
        "tools": tools or None,
        "tool_choice": flat_choice(chat.tool_choice),
        **extra,
        "store": False,  # nothing is kept at the provider
        "stream_options": _stream_options(extra, provider),
    }
    add_parameters(body, optional, refused, provider, chat)
    lacking = [name for name in ("stop", "seed") if getattr(chat, name) is not None]
    for name in (*lacking, *(chat.extra.keys() & _LACKING)):
        logger.debug("%s is left out: Responses does not have it", name)
    return body


def _limit(chat: ChatRequest, model: Model) -> int | None:
    limit = limit_of(chat, model)
    return limit if limit is None else max(limit, _LEAST_TOKENS)


def _reasoning(chat: ChatRequest, model: Model, own: Any) -> dict[str, Any]:
    """Return how to reason, and that a summary of it is wanted.

    :param own: what the chat says in the protocol's own words.
    """
    effort = chat.reasoning_effort
    reasoning: dict[str, Any] = {"effort": effort} if effort is not None else {}
    if model.supports_reasoning and effort != "none":
        reasoning["summary"] = "auto"
    return reasoning | (own if isinstance(own, dict) else {})


def _include(model: Model, tools: list[dict[str, Any]], own: Any) -> list[str]:
    """Return what the response is to have besides: reasoning that can be sent back."""
    wanted = [_ENCRYPTED] if model.supports_reasoning else []
    if any(tool.get("type") == "code_interpreter" for tool in tools):
        wanted.append(_CODE_OUTPUTS)
    return list(dict.fromkeys([*wanted, *own]))


def _stream_options(extra: dict[str, Any], provider: Provider) -> dict[str, Any] | None:
    """Return the options without that of chat completions: token counts always come here.

    OpenAI's own servers, Azure's among them, pad every delta against eavesdroppers who count bytes,
    which doubles what is read. Other servers do not know the option that turns this off.
    """
    pads = provider.catalogue == "openai"
    options = {
        **({"include_obfuscation": False} if pads else {}),
        **(extra.get("stream_options") or {}),
    }
    options.pop("include_usage", None)
    return options or None
