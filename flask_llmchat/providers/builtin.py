"""The providers that are built in, each one row."""

from __future__ import annotations

from .azure import AZURE
from .custom import CUSTOM, SERVER_PARAMS
from .perplexity import PERPLEXITY
from .provider import Provider

_BOTH = {"chat_completions": "", "responses": ""}

builtin_providers: tuple[Provider, ...] = (
    Provider(
        name="openai",
        label="OpenAI",
        base_url="https://api.openai.com/v1",
        profile_headers={"OpenAI-Organization": "openai_organization_id"},
        protocol=None,
        protocols=_BOTH,
        max_tokens_param="max_completion_tokens",
        replay_by_model=True,  # other makers' models are reached here only through a gateway
        supports_developer_role=True,
    ),
    AZURE,
    Provider(
        name="anthropic",
        label="Anthropic",
        base_url="https://api.anthropic.com/v1",
        # Keys of people and of service accounts need it.
        profile_headers={"anthropic-workspace-id": "anthropic_workspace_id"},
        max_temperature=1.0,
        temperature_or_top_p=True,
        protocol="messages",
        protocols={"messages": "", "chat_completions": ""},
    ),
    Provider(
        name="google",
        label="Google Gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        key_attr="google_gemini_api_key",
        unsupported_params=frozenset({"seed"}),  # and every other unknown field
        extra_params=frozenset({"extra_body", "google", "cached_content"}),
        replay_fields=frozenset({"extra_content"}),  # without it, tool results are rejected
    ),
    Provider(
        name="mistral",
        label="Mistral",
        base_url="https://api.mistral.ai/v1",
        supports_stream_usage=False,  # rejected, but sent all the same
        param_names={"seed": "random_seed"},
        extra_params=frozenset({"safe_prompt", "random_seed", "prompt_mode"}),
        extra_message_fields=frozenset({"prefix"}),
        extra_parts=frozenset({"thinking", "reference", "document_url"}),
        max_temperature=1.5,
    ),
    Provider(
        name="groq",
        label="Groq",
        base_url="https://api.groq.com/openai/v1",
        extra_params=frozenset({"reasoning_format", "include_reasoning"}),
        protocols=_BOTH,
    ),
    PERPLEXITY,
    Provider(
        name="openrouter",
        label="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        extra_params=frozenset(
            {"provider", "usage", "include_reasoning", "transforms", "modalities", "image_config"}
        ),
        replay_fields=frozenset({"reasoning_details"}),
        replay_by_model=True,
        supports_developer_role=True,
        protocols=_BOTH,
    ),
    Provider(
        name="deepseek",
        label="DeepSeek",
        base_url="https://api.deepseek.com",
        extra_message_fields=frozenset({"prefix"}),  # at its /beta address
        replay_fields=frozenset({"reasoning_content"}),
        protocols=_BOTH,
    ),
    Provider(
        name="xai",
        label="xAI",
        base_url="https://api.x.ai/v1",
        unsupported_params=frozenset({"stop"}),
        protocols=_BOTH,
    ),
    Provider(
        name="together",
        label="Together AI",
        base_url="https://api.together.ai/v1",
        thinking_tags=True,
    ),
    Provider(
        name="fireworks",
        label="Fireworks",
        base_url="https://api.fireworks.ai/inference/v1",
        thinking_tags=True,
        protocols=_BOTH,
    ),
    Provider(
        name="cerebras",
        label="Cerebras",
        base_url="https://api.cerebras.ai/v1",
        max_tokens_param="max_completion_tokens",
        unsupported_params=frozenset(
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
        max_tokens_param="max_completion_tokens",
        unsupported_params=frozenset({"seed"}),
        max_temperature=1.0,
        extra_message_fields=frozenset({"partial"}),
        replay_fields=frozenset({"reasoning_content"}),
    ),
    Provider(
        name="huggingface",
        label="Hugging Face",
        base_url="https://router.huggingface.co/v1",
        key_env="HF_TOKEN",
        protocols=_BOTH,
    ),
    # The operator sets their address in LLMCHAT_BASE_URLS.
    Provider(
        name="ollama",
        label="Ollama",
        path="/v1",
        key_required=False,
        extra_params=frozenset({"think", "keep_alive"}),
        protocols=_BOTH,
    ),
    Provider(
        name="vllm",
        label="vLLM",
        path="/v1",
        key_required=False,
        extra_params=SERVER_PARAMS,
        extra_parts=frozenset({"audio_url"}),
        replay_by_model=True,
        protocols=_BOTH,
    ),
    CUSTOM,
)
"""All built-in rows, in the order in which they are listed to users."""
