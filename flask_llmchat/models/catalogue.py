"""What is known about families of models, by name: the published lists do not say it.

The facts also hold for models that are newer than the list, for those that have been shut down
and that Azure deployments and proxies still serve, and for deployments and fine-tunes that are
named after a model: "my-gpt5", "ft:gpt-4o-mini:acme::1".
"""

from __future__ import annotations

import re
from typing import Any

from .listed import LISTED, Row

Facts = dict[str, Any]

CATALOGUE: dict[str, tuple[Row, ...]] = {
    **LISTED,
    # None of the published lists has Ollama's library.
    "ollama": (
        ("gpt-oss:20b", 131_072, 32_768, True, ""),
        ("qwen3.8:27b", 262_144, 65_536, True, ""),
        ("gemma4:e4b", 131_072, 32_768, True, ""),
        ("llama3.2", 131_072, 8_192, False, ""),
        ("deepseek-r1:8b", 131_072, 32_768, True, ""),
    ),
}

# The default model, where the first of a catalogue is not an ordinary one.
DEFAULT_MODELS = {
    "openai": "gpt-6-luna",
    "anthropic": "claude-sonnet-5-5",
    "google": "gemini-3.8-flash",
    "mistral": "mistral-medium-latest",
    "groq": "openai/gpt-oss-20b",
    "xai": "grok-4.7",
    "moonshot": "kimi-k3",
    "meta": "muse-spark-1.3",
    "zai": "glm-5.3-flash",
    "alibaba": "qwen3.8-flash",
    "minimax": "MiniMax-M3.1-Flash",
}

_NO_TEMPERATURE = {"supports_reasoning": True, "supports_temperature": False}
_OPENAI_REASONS = {
    **_NO_TEMPERATURE,
    "max_tokens_param": "max_completion_tokens",
    "unsupported_params": frozenset({"stop"}),
    # Chat completions refuses tools while they reason, and never returns reasoning.
    "protocol": "responses",
}
# Azure's older deployments do not know the new name of the token limit.
# https://github.com/BerriAI/litellm/issues/8855
_OPENAI_OLD = {"max_tokens_param": "max_tokens"}

FAMILIES: dict[str, tuple[tuple[str, Facts], ...]] = {
    "openai": (
        # Responses does not serve these. o1-mini and o1-preview reject a system message with 400:
        # "does not support 'system' with this model".
        (
            r"^o1-(?:mini|preview)$",
            {**_OPENAI_REASONS, "supports_system_messages": False, "protocol": ""},
        ),
        (r"^gpt-5-search-api", {**_OPENAI_REASONS, "protocol": ""}),
        # Their default effort is "none"; from 5.4 on it is not.
        (
            r"^gpt-5\.[12]$",
            {**_OPENAI_REASONS, "supports_temperature": True, "reasons_by_default": False},
        ),
        # gpt-5-chat does not reason; gpt-5.1-chat and its successors do. In names without a dot
        # "gpt-35" is 3.5 and "gpt-41" 4.1, but "gpt-51" is 5.1, which reasons.
        (
            r"(?<![a-z0-9])o[1-9](?![a-z0-9])|gpt[-_]?(?:[5-9]\d?|[12]\d)(?!\d|[-_]?chat)"
            r"|^gpt-(?:daybreak|rosalind)|^chat-latest",
            _OPENAI_REASONS,
        ),
        (r"^gpt-4(?:o|-vision-preview)$", {**_OPENAI_OLD, "default_max_tokens": 4_096}),
        (r"gpt[-_]?[34]\d?(?!\d)", _OPENAI_OLD),
    ),
    "anthropic": (
        (r"^claude-(?:opus-4-[7-9]|[a-z]+-(?:[5-9]|\d\d))\b", _NO_TEMPERATURE),
        (r"^claude-3-(?:haiku|sonnet|opus)", {"default_max_tokens": 4_096}),
    ),
    "mistral": ((r"^mistral-tiny$", {"default_max_tokens": 2_000}),),
    "groq": (
        (r"^(?:llama3-\d+b|gemma-7b-it)$", {"default_max_tokens": 8_192}),
        (r"^mixtral-8x7b-32768$", {"default_max_tokens": 4_096}),
    ),
    "moonshot": ((r"^kimi-k", _NO_TEMPERATURE),),
}
"""By catalogue: patterns of names without a date, and facts. The first that fits holds."""

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
