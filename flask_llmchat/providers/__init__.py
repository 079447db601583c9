"""The providers that are built in, each one row."""

from __future__ import annotations

from .azure import AZURE
from .base import Provider, Target, bearer_target
from .custom import CUSTOM, OF_SERVERS
from .perplexity import PERPLEXITY

builtin_providers: tuple[Provider, ...] = (
    Provider(
        name="openai",
        label="OpenAI",
        base_url="https://api.openai.com/v1",
        profile_headers={"OpenAI-Organization": "openai_organization_id"},
        token_param="max_completion_tokens",
    ),
    AZURE,
    Provider(
        name="anthropic",
        label="Anthropic",
        base_url="https://api.anthropic.com/v1",
        max_temperature=1.0,
        temperature_or_top_p=True,
    ),
    Provider(
        name="google",
        label="Google Gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        key_attr="google_gemini_api_key",
        refuses=frozenset({"seed"}),  # and every other field it does not know
        takes=frozenset({"extra_body", "google", "cached_content"}),
        takes_back=frozenset({"extra_content"}),  # or no tool's result is taken
    ),
    Provider(
        name="mistral",
        label="Mistral",
        base_url="https://api.mistral.ai/v1",
        stream_usage=False,  # refused, and told all the same
        renames={"seed": "random_seed"},
        takes=frozenset({"safe_prompt", "random_seed", "prompt_mode"}),
        max_temperature=1.5,
    ),
    Provider(
        name="groq",
        label="Groq",
        base_url="https://api.groq.com/openai/v1",
        takes=frozenset({"reasoning_format", "include_reasoning"}),
    ),
    PERPLEXITY,
    Provider(
        name="openrouter",
        label="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        takes=frozenset({"provider", "usage", "include_reasoning", "transforms"}),
        takes_back=frozenset({"reasoning_details"}),
    ),
    Provider(
        name="deepseek",
        label="DeepSeek",
        base_url="https://api.deepseek.com",
        takes_back=frozenset({"reasoning_content"}),
    ),
    Provider(
        name="xai",
        label="xAI",
        base_url="https://api.x.ai/v1",
        refuses=frozenset({"stop"}),
    ),
    Provider(
        name="together",
        label="Together AI",
        base_url="https://api.together.xyz/v1",
        inline_think=True,
    ),
    Provider(
        name="fireworks",
        label="Fireworks",
        base_url="https://api.fireworks.ai/inference/v1",
        inline_think=True,
    ),
    Provider(
        name="cerebras",
        label="Cerebras",
        base_url="https://api.cerebras.ai/v1",
        token_param="max_completion_tokens",
        max_temperature=1.5,
    ),
    Provider(
        name="moonshot",
        label="Moonshot AI",
        base_url="https://api.moonshot.ai/v1",
        token_param="max_completion_tokens",
        refuses=frozenset({"seed"}),
        max_temperature=1.0,
        takes_back=frozenset({"reasoning_content"}),
    ),
    Provider(
        name="huggingface",
        label="Hugging Face",
        base_url="https://router.huggingface.co/v1",
        key_env="HF_TOKEN",
    ),
    # Their address is the operator's to tell, in LLMCHAT_BASE_URLS.
    Provider(
        name="ollama", label="Ollama", key_required=False, takes=frozenset({"think", "keep_alive"})
    ),
    Provider(name="vllm", label="vLLM", key_required=False, takes=OF_SERVERS),
    CUSTOM,
)
"""All the rows that are built in, in the order they are listed to people."""

__all__ = ["Provider", "Target", "bearer_target", "builtin_providers"]
