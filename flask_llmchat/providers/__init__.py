"""The providers that are built in, each one row."""

from __future__ import annotations

from .azure import AZURE
from .base import Provider, bearer_target
from .custom import CUSTOM, OF_SERVERS
from .perplexity import PERPLEXITY
from .target import Target

builtin_providers: tuple[Provider, ...] = (
    Provider(
        name="openai",
        label="OpenAI",
        base_url="https://api.openai.com/v1",
        profile_headers={"OpenAI-Organization": "openai_organization_id"},
        token_param="max_completion_tokens",
        takes_back_by_model=True,  # models of other makers are here behind a gateway alone
        takes_developer=True,
    ),
    AZURE,
    Provider(
        name="anthropic",
        label="Anthropic",
        base_url="https://api.anthropic.com/v1",
        # Keys of a person, and of a service account, need it.
        profile_headers={"anthropic-workspace-id": "anthropic_workspace_id"},
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
        takes_in_messages=frozenset({"prefix"}),
        takes_parts=frozenset({"thinking", "reference", "document_url"}),
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
        takes=frozenset(
            {"provider", "usage", "include_reasoning", "transforms", "modalities", "image_config"}
        ),
        takes_back=frozenset({"reasoning_details"}),
        takes_back_by_model=True,
        takes_developer=True,
    ),
    Provider(
        name="deepseek",
        label="DeepSeek",
        base_url="https://api.deepseek.com",
        takes_in_messages=frozenset({"prefix"}),  # at its address that ends in /beta
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
        base_url="https://api.together.ai/v1",
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
        refuses=frozenset(
            {
                "frequency_penalty",
                "presence_penalty",
                "logit_bias",
                "parallel_tool_calls",
                "service_tier",
            }
        ),
        max_temperature=1.5,
    ),
    Provider(
        name="moonshot",
        label="Moonshot AI",
        base_url="https://api.moonshot.ai/v1",
        token_param="max_completion_tokens",
        refuses=frozenset({"seed"}),
        max_temperature=1.0,
        takes_in_messages=frozenset({"partial"}),
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
        name="ollama",
        label="Ollama",
        path="/v1",
        key_required=False,
        takes=frozenset({"think", "keep_alive"}),
    ),
    Provider(
        name="vllm",
        label="vLLM",
        path="/v1",
        key_required=False,
        takes=OF_SERVERS,
        takes_parts=frozenset({"audio_url"}),
        takes_back_by_model=True,
    ),
    CUSTOM,
)
"""All the rows that are built in, in the order they are listed to people."""

__all__ = ["Provider", "Target", "bearer_target", "builtin_providers"]
