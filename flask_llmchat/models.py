"""The model catalogue: what is known of the models the providers serve.

It advises and never refuses: a model it does not know is asked for just the same, without
a token limit. Limits are the providers' own as published up to November 2026, and for the
models of the original chat front end what that front end sent. Some of the models have been
shut down; Azure deployments, proxies and enterprise contracts serve them on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model, as one provider serves it.

    :param name: the provider's name for it.
    :param context_window: tokens of prompt and answer together; None when not known.
    :param max_output: the most tokens an answer can have; None when not known.
    :param default_limit: token limit to send when the chat sets none. Only models have one
        whose original routes sent it: the newer ones need none, and Groq counts the limit
        against the user's tokens per minute, so that a high one refuses every chat.
    :param token_param: name of the parameter that limits the answer; "" leaves it to the
        provider's row.
    :param reasons: whether it thinks before it answers, by ``reasoning_effort``.
    :param takes_temperature: whether temperature and top_p may be sent when the chat says
        nothing of reasoning effort. Models that reason refuse both while they do.
    """

    name: str
    context_window: int | None = None
    max_output: int | None = None
    default_limit: int | None = None
    token_param: str = ""
    reasons: bool = False
    takes_temperature: bool = True

    def takes_temperature_at(self, effort: str | None) -> bool:
        """Tell whether temperature and top_p may be sent at a reasoning effort."""
        if not self.reasons or effort is None:
            return self.takes_temperature
        return effort == "none"


def find(catalogue: str, name: str) -> Model:
    """Return what is known of a model; for an unknown one, as little as that is.

    A dated snapshot (``gpt-4o-2024-08-06``) is known by its undated name, and a new member
    of a family that reasons by the family's.

    :param catalogue: a provider's :attr:`Provider.catalogue <flask_llmchat.Provider>`.
    """
    known = CATALOGUE.get(catalogue, {})
    for candidate in (name, _DATE.sub("", name)):
        if candidate in known:
            return replace(known[candidate], name=name)
    if catalogue == "openai" and _REASONING_FAMILY.match(name):
        return _reasoning(name, None, None)
    return Model(name=name)


_DATE = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{4})$")

# gpt-5-chat is an ordinary model; gpt-5.1-chat and its successors are not.
_REASONING_FAMILY = re.compile(r"o[1-9]\b|gpt-(?:[5-9]|\d\d)(?!\d|-chat)")


def _plain(
    name: str, context_window: int | None, max_output: int | None, default_limit: int | None = None
) -> Model:
    return Model(
        name=name,
        context_window=context_window,
        max_output=max_output,
        default_limit=default_limit,
        token_param="max_tokens",
    )


def _reasoning(
    name: str, context_window: int | None, max_output: int | None, *, by_default: bool = True
) -> Model:
    return Model(
        name=name,
        context_window=context_window,
        max_output=max_output,
        token_param="max_completion_tokens",
        reasons=True,
        takes_temperature=not by_default,
    )


_OPENAI = (
    _plain("gpt-3.5-turbo", 16_385, 4_096),
    _plain("gpt-4", 8_192, 8_192),
    _plain("gpt-4-turbo-preview", 128_000, 4_096),
    _plain("gpt-4-turbo", 128_000, 4_096),
    _plain("gpt-4-vision-preview", 128_000, 4_096, default_limit=4_096),
    _plain("gpt-4o", 128_000, 16_384, default_limit=4_096),
    _plain("gpt-4o-mini", 128_000, 16_384),
    _plain("gpt-4.1", 1_047_576, 32_768),
    _plain("gpt-4.1-mini", 1_047_576, 32_768),
    _plain("gpt-4.1-nano", 1_047_576, 32_768),
    _reasoning("o1", 200_000, 100_000),
    _reasoning("o3", 200_000, 100_000),
    _reasoning("o3-mini", 200_000, 100_000),
    _reasoning("o4-mini", 200_000, 100_000),
    _plain("gpt-5-chat-latest", 128_000, 16_384),
    _reasoning("gpt-5", 400_000, 128_000),
    _reasoning("gpt-5-mini", 400_000, 128_000),
    _reasoning("gpt-5-nano", 400_000, 128_000),
    # Their effort is "none" unless the chat asks for more; from 5.4 on it is not.
    _reasoning("gpt-5.1", 400_000, 128_000, by_default=False),
    _reasoning("gpt-5.2", 400_000, 128_000, by_default=False),
    _reasoning("gpt-5.4", 1_050_000, 128_000),
    _reasoning("gpt-5.4-mini", 400_000, 128_000),
    _reasoning("gpt-5.4-nano", 400_000, 128_000),
    _reasoning("gpt-5.5", 1_050_000, 128_000),
    _reasoning("gpt-5.6", 1_050_000, 128_000),
    _reasoning("gpt-5.6-sol", 1_050_000, 128_000),
    _reasoning("gpt-5.6-terra", 1_050_000, 128_000),
    _reasoning("gpt-5.6-luna", 1_050_000, 128_000),
    _reasoning("gpt-6-astra", 1_050_000, 128_000),
    _reasoning("gpt-6-sol", 1_050_000, 128_000),
    _reasoning("gpt-6-luna", 1_050_000, 128_000),
    _reasoning("gpt-6.1-sol", 1_050_000, 128_000),
    _reasoning("gpt-6.1-terra", 1_050_000, 128_000),
    _reasoning("chat-latest", 400_000, 128_000),
)

_GROQ = (
    _plain("llama3-8b-8192", 8_192, 8_192, default_limit=8_192),
    _plain("llama3-70b-8192", 8_192, 8_192, default_limit=8_192),
    _plain("mixtral-8x7b-32768", 32_768, 32_768, default_limit=4_096),
    _plain("gemma-7b-it", 8_192, 8_192, default_limit=8_192),
    _plain("llama-3.1-8b-instant", 131_072, 131_072),
    _plain("llama-3.3-70b-versatile", 131_072, 32_768),
    _plain("qwen/qwen3-32b", 131_072, 40_960),
    _plain("qwen/qwen3.6-27b", 131_072, 16_384),
    _plain("qwen/qwen3.8-27b", 131_042, 16_384),
    _plain("openai/gpt-oss-120b", 131_072, 65_536),
    _plain("openai/gpt-oss-20b", 131_072, 65_536),
    _plain("groq/compound", 131_072, 8_192),
    _plain("groq/compound-mini", 131_072, 8_192),
)

# A choice: OpenRouter serves hundreds and leaves out itself what a model does not take.
_OPENROUTER = (
    _plain("openrouter/auto", 2_000_000, None),
    _plain("openai/gpt-4o-mini", 128_000, 16_384),
    _plain("openai/gpt-4.1", 1_047_576, 32_768),
    _plain("openai/gpt-5-mini", 400_000, 128_000),
    _plain("openai/gpt-5.5", 1_050_000, 128_000),
    _plain("openai/gpt-6-sol", 1_050_000, 128_000),
    _plain("openai/gpt-oss-120b", 131_072, 131_072),
    _plain("anthropic/claude-haiku-4.5", 200_000, 64_000),
    _plain("anthropic/claude-sonnet-4.6", 1_000_000, 128_000),
    _plain("anthropic/claude-sonnet-5.5", 1_000_000, 128_000),
    _plain("anthropic/claude-opus-5.5", 1_000_000, 128_000),
    _plain("google/gemini-2.5-flash", 1_048_576, 65_535),
    _plain("google/gemini-3.1-pro-preview", 1_048_576, 65_536),
    _plain("google/gemini-3.8-flash", 1_048_576, 65_536),
    _plain("deepseek/deepseek-v3.2", 128_000, 64_000),
    _plain("deepseek/deepseek-v4-pro", 1_048_576, 384_000),
    _plain("moonshotai/kimi-k2.6", 262_144, 262_144),
    _plain("meta-llama/llama-3.3-70b-instruct", 131_072, 16_384),
    _plain("qwen/qwen3.6-plus", 1_000_000, 65_536),
    _plain("x-ai/grok-4.3", 1_000_000, None),
    _plain("mistralai/mistral-large-2512", 262_144, None),
    _plain("z-ai/glm-5.2", 1_048_576, 32_768),
)

CATALOGUE: dict[str, dict[str, Model]] = {
    name: {model.name: model for model in models}
    for name, models in (("openai", _OPENAI), ("groq", _GROQ), ("openrouter", _OPENROUTER))
}
"""What is known, by catalogue and by model name."""
