"""The catalogue's data: a row for each model of each provider, and rules for families of models.

Limits are the providers' own as published up to November 2026, and for the models of
chatbot-ui (mckaywrigley) those that it sent. Some of the models have been shut down;
Azure deployments, proxies and enterprise contracts still serve them.
"""

from __future__ import annotations

import re
from typing import Any

from ..core.model import Model


def _model(name: str, context_window: int | None, max_output: int | None, **facts: Any) -> Model:
    return Model(name=name, context_window=context_window, max_output=max_output, **facts)


def _legacy(name: str, context_window: int | None, max_output: int | None, **facts: Any) -> Model:
    """One of OpenAI's models that accept the token limit under its old name."""
    return _model(name, context_window, max_output, max_tokens_param="max_tokens", **facts)


def _reasoning(
    name: str, context_window: int | None, max_output: int | None, **facts: Any
) -> Model:
    facts = {"supports_reasoning": True, "supports_temperature": False, **facts}
    return _model(name, context_window, max_output, **facts)


def _openai_reasoning(
    name: str, context_window: int | None, max_output: int | None, **facts: Any
) -> Model:
    facts = {"max_tokens_param": "max_completion_tokens", "unsupported_params": _STOP, **facts}
    return _reasoning(name, context_window, max_output, **facts)


_STOP = frozenset({"stop"})

CATALOGUE: dict[str, tuple[Model, ...]] = {
    "openai": (
        _legacy("gpt-3.5-turbo", 16_385, 4_096),
        _legacy("gpt-4", 8_192, 8_192),
        _legacy("gpt-4-turbo-preview", 128_000, 4_096),
        _legacy("gpt-4-turbo", 128_000, 4_096),
        _legacy("gpt-4-vision-preview", 128_000, 4_096, default_max_tokens=4_096),
        _legacy("gpt-4o", 128_000, 16_384, default_max_tokens=4_096),
        _legacy("gpt-4o-mini", 128_000, 16_384),
        _legacy("gpt-4.1", 1_047_576, 32_768),
        _legacy("gpt-4.1-mini", 1_047_576, 32_768),
        _legacy("gpt-4.1-nano", 1_047_576, 32_768),
        # Reject a system message with 400: "does not support 'system' with this model".
        _openai_reasoning("o1-mini", 128_000, 65_536, supports_system_messages=False),
        _openai_reasoning("o1-preview", 128_000, 32_768, supports_system_messages=False),
        _openai_reasoning("o1", 200_000, 100_000),
        _openai_reasoning("o3", 200_000, 100_000),
        _openai_reasoning("o3-mini", 200_000, 100_000),
        _openai_reasoning("o4-mini", 200_000, 100_000),
        _legacy("gpt-5-chat-latest", 128_000, 16_384),
        _openai_reasoning("gpt-5", 400_000, 128_000),
        _openai_reasoning("gpt-5-mini", 400_000, 128_000),
        _openai_reasoning("gpt-5-nano", 400_000, 128_000),
        # Their default effort is "none"; from 5.4 on it is not.
        _openai_reasoning("gpt-5.1", 400_000, 128_000, supports_temperature=True),
        _openai_reasoning("gpt-5.2", 400_000, 128_000, supports_temperature=True),
        _openai_reasoning("gpt-5.4", 1_050_000, 128_000),
        _openai_reasoning("gpt-5.4-mini", 400_000, 128_000),
        _openai_reasoning("gpt-5.4-nano", 400_000, 128_000),
        _openai_reasoning("gpt-5.5", 1_050_000, 128_000),
        _openai_reasoning("gpt-5.6", 1_050_000, 128_000),
        _openai_reasoning("gpt-5.6-sol", 1_050_000, 128_000),
        _openai_reasoning("gpt-5.6-terra", 1_050_000, 128_000),
        _openai_reasoning("gpt-5.6-luna", 1_050_000, 128_000),
        _openai_reasoning("gpt-6-astra", 1_050_000, 128_000),
        _openai_reasoning("gpt-6-sol", 1_050_000, 128_000),
        _openai_reasoning("gpt-6-luna", 1_050_000, 128_000),
        _openai_reasoning("gpt-6.1-sol", 1_050_000, 128_000),
        _openai_reasoning("gpt-6.1-terra", 1_050_000, 128_000),
        _openai_reasoning("chat-latest", 400_000, 128_000),
    ),
    "anthropic": (
        _reasoning("claude-fable-5-1", 1_000_000, 128_000),
        _reasoning("claude-opus-5-5", 1_000_000, 128_000),
        _reasoning("claude-sonnet-5-5", 1_000_000, 128_000),
        _reasoning("claude-haiku-5-5", 1_000_000, 128_000),
        _model("claude-opus-4-6", 1_000_000, 128_000),
        _model("claude-sonnet-4-6", 1_000_000, 64_000),
        _model("claude-haiku-4-5-20251001", 200_000, 64_000),
        _model("claude-sonnet-4-5", 200_000, 64_000),
        _model("claude-3-haiku-20240307", 200_000, 4_096, default_max_tokens=4_096),
        _model("claude-3-sonnet-20240229", 200_000, 4_096, default_max_tokens=4_096),
        _model("claude-3-opus-20240229", 200_000, 4_096, default_max_tokens=4_096),
    ),
    "google": (
        _model("gemini-3.8-flash", 1_048_576, 65_536),
        _model("gemini-3.6-flash", 1_048_576, 65_536),
        _model("gemini-3.5-flash-lite", 1_048_576, 65_536),
        _model("gemini-3.1-pro-preview", 1_048_576, 65_536),
        _model("gemini-3.1-flash-lite", 1_048_576, 65_536),
        _model("gemini-2.5-pro", 1_048_576, 65_536),
        _model("gemini-2.5-flash", 1_048_576, 65_536),
        _model("gemini-2.5-flash-lite", 1_048_576, 65_536),
    ),
    "mistral": (
        _model("mistral-large-4", 524_288, 262_144),
        _model("mistral-large-latest", 262_144, 262_144),
        _model("mistral-medium-latest", 262_144, 262_144),
        _model("mistral-small-latest", 256_000, 256_000),
        _model("ministral-8b-latest", 128_000, 128_000),
        _model("codestral-latest", 256_000, 4_096),
        _model("mistral-tiny", 32_000, None, default_max_tokens=2_000),
    ),
    "groq": (
        _model("llama3-8b-8192", 8_192, 8_192, default_max_tokens=8_192),
        _model("llama3-70b-8192", 8_192, 8_192, default_max_tokens=8_192),
        _model("mixtral-8x7b-32768", 32_768, 32_768, default_max_tokens=4_096),
        _model("gemma-7b-it", 8_192, 8_192, default_max_tokens=8_192),
        _model("llama-3.1-8b-instant", 131_072, 131_072),
        _model("llama-3.3-70b-versatile", 131_072, 32_768),
        _model("qwen/qwen3-32b", 131_072, 40_960),
        _model("qwen/qwen3.6-27b", 131_072, 16_384),
        _model("qwen/qwen3.8-27b", 131_042, 16_384),
        _model("openai/gpt-oss-120b", 131_072, 65_536),
        _model("openai/gpt-oss-20b", 131_072, 65_536),
        _model("groq/compound", 131_072, 8_192),
        _model("groq/compound-mini", 131_072, 8_192),
    ),
    # A selection: OpenRouter serves hundreds, and drops the parameters that a model rejects.
    "openrouter": (
        _model("openrouter/auto", 2_000_000, None),
        _model("openai/gpt-4o-mini", 128_000, 16_384),
        _model("openai/gpt-4.1", 1_047_576, 32_768),
        _model("openai/gpt-5-mini", 400_000, 128_000),
        _model("openai/gpt-5.5", 1_050_000, 128_000),
        _model("openai/gpt-6-sol", 1_050_000, 128_000),
        _model("openai/gpt-oss-120b", 131_072, 131_072),
        _model("anthropic/claude-haiku-4.5", 200_000, 64_000),
        _model("anthropic/claude-sonnet-4.6", 1_000_000, 128_000),
        _model("anthropic/claude-sonnet-5.5", 1_000_000, 128_000),
        _model("anthropic/claude-opus-5.5", 1_000_000, 128_000),
        _model("google/gemini-2.5-flash", 1_048_576, 65_535),
        _model("google/gemini-3.1-pro-preview", 1_048_576, 65_536),
        _model("google/gemini-3.8-flash", 1_048_576, 65_536),
        _model("deepseek/deepseek-v3.2", 128_000, 64_000),
        _model("deepseek/deepseek-v4-pro", 1_048_576, 384_000),
        _model("moonshotai/kimi-k2.6", 262_144, 262_144),
        _model("meta-llama/llama-3.3-70b-instruct", 131_072, 16_384),
        _model("qwen/qwen3.6-plus", 1_000_000, 65_536),
        _model("x-ai/grok-4.3", 1_000_000, None),
        _model("mistralai/mistral-large-2512", 262_144, None),
        _model("z-ai/glm-5.2", 1_048_576, 32_768),
    ),
    "perplexity": (
        _model("sonar", 128_000, 4_096),
        _model("sonar-pro", 200_000, 8_192),
        _model("sonar-reasoning-pro", 128_000, 4_096),
        _model("sonar-deep-research", 128_000, 32_768),
    ),
    "deepseek": (
        _model("deepseek-flash", 1_000_000, 384_000),
        _model("deepseek-v4-pro", 1_000_000, 384_000),
        _model("deepseek-v4-flash", 1_000_000, 384_000),
    ),
    "xai": (
        _model("grok-4.7", 500_000, 500_000),
        _model("grok-4.6", 500_000, 500_000),
        _model("grok-4.5", 500_000, 500_000),
        _model("grok-4.3", 1_000_000, 30_000),
        _model("grok-4.20-0309-non-reasoning", 1_000_000, 30_000),
        _model("grok-build-0.1", 256_000, 256_000),
    ),
    "together": (
        _model("zai-org/GLM-5.3", 262_144, 131_072),
        _model("deepseek-ai/DeepSeek-V4.1-Flash", 512_000, 384_000),
        _model("moonshotai/Kimi-K3", 262_144, 131_072),
        _model("openai/gpt-oss-120b", 131_072, 131_072),
        _model("meta-llama/Llama-3.3-70B-Instruct-Turbo", 131_072, 131_072),
    ),
    "fireworks": (
        _model("accounts/fireworks/models/deepseek-v4p1-flash", 1_048_576, 384_000),
        _model("accounts/fireworks/models/kimi-k3", 1_048_576, 131_072),
        _model("accounts/fireworks/models/glm-5p3", 1_048_576, 131_072),
        _model("accounts/fireworks/models/glm-5p3-flash", 1_048_576, 131_072),
        _model("accounts/fireworks/models/gpt-oss-120b", 131_072, 32_768),
    ),
    "cerebras": (
        _model("gpt-oss-120b", 131_072, 40_960),
        _model("qwen-3.8-27b", 131_072, 32_768),
    ),
    "moonshot": (
        _reasoning("kimi-k3.1-pro", 1_048_576, 1_048_576),
        _reasoning("kimi-k3.1-pro-highspeed", 1_048_576, 1_048_576),
        _reasoning("kimi-k3", 1_048_576, 1_048_576),
        _reasoning("kimi-k2.7-code", 262_144, 262_144),
        _reasoning("kimi-k2.7-code-highspeed", 262_144, 262_144),
        _reasoning("kimi-k2.6", 262_144, 262_144),
    ),
    "huggingface": (
        _model("openai/gpt-oss-120b", 131_072, 32_768),
        _model("deepseek-ai/DeepSeek-V4.1-Flash", 1_048_576, 384_000),
        _model("zai-org/GLM-5.3", 1_048_576, 131_072),
        _model("moonshotai/Kimi-K3", 1_048_576, 131_072),
        _model("google/gemma-4-31B-it", 262_144, 32_768),
    ),
    "ollama": (
        _model("gpt-oss:20b", 131_072, 32_768),
        _model("qwen3.8:27b", 262_144, 65_536),
        _model("gemma4:e4b", 131_072, 32_768),
        _model("llama3.2", 131_072, 8_192),
        _model("deepseek-r1:8b", 131_072, 32_768),
    ),
}
"""Rows by catalogue: the name of a provider row, or its ``catalogue`` field."""

# The default model, where the first of a catalogue is not an ordinary one of today: some lists
# begin with models that have been shut down, some with the most expensive one.
DEFAULT_MODELS = {
    "openai": "gpt-4.1-mini",
    "anthropic": "claude-sonnet-4-6",
    "groq": "openai/gpt-oss-20b",
}

# Families, recognised by name: for models newer than the rows, and for deployments and fine-tunes
# that are named after a model: "my-gpt5", "ft:gpt-4o-mini:acme::1".
FAMILIES: dict[str, tuple[tuple[re.Pattern[str], Model], ...]] = {
    "openai": (
        (
            # gpt-5-chat does not reason; gpt-5.1-chat and its successors do. In names without a
            # dot "gpt-35" is 3.5 and "gpt-41" 4.1, but "gpt-51" is 5.1, which reasons.
            re.compile(
                r"(?<![a-z0-9])o[1-9](?![a-z0-9])|gpt[-_]?(?:[5-9]\d?|[12]\d)(?!\d|[-_]?chat)",
                re.IGNORECASE,
            ),
            _openai_reasoning("", None, None),
        ),
        # Azure's older deployments do not know the new name of the token limit.
        # https://github.com/BerriAI/litellm/issues/8855
        (
            re.compile(r"gpt[-_]?[34]\d?(?!\d)", re.IGNORECASE),
            _legacy("", None, None),
        ),
    ),
    "anthropic": (
        (
            re.compile(r"^claude-(?:opus-4-[7-9]|[a-z]+-(?:[5-9]|\d\d))\b"),
            _reasoning("", None, None),
        ),
    ),
    "moonshot": ((re.compile(r"^kimi-k"), _reasoning("", None, None)),),
}

# Fields that the makers' own servers need back, by model name: requests reach them through
# gateways of every kind, too. A gateway's own form of the same is included.
REPLAYED_BY_FAMILY: tuple[tuple[re.Pattern[str], frozenset[str]], ...] = (
    # "Function call is missing a thought_signature": https://ai.google.dev/gemini-api/docs
    (
        re.compile("gemini", re.IGNORECASE),
        frozenset({"extra_content", "provider_specific_fields", "reasoning_details"}),
    ),
    # Reasoning is signed, and a tool's result is rejected without it.
    (
        re.compile("claude", re.IGNORECASE),
        frozenset({"thinking_blocks", "provider_specific_fields", "reasoning_details"}),
    ),
    # R1 and its distilled models reject their reasoning; later ones need it back.
    (
        re.compile(r"deepseek(?!.*(?:\br1|distill))|kimi", re.IGNORECASE),
        frozenset({"reasoning_content", "reasoning_details"}),
    ),
)
