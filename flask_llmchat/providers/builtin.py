"""The providers that are built in, each one row."""

from __future__ import annotations

from .azure import AZURE
from .custom import CUSTOM, SERVER_PARAMS
from .provider import Provider

# Beside the row's own protocol, at the same base URL.
_RESPONSES = {"responses": ""}
_TWO_MORE = {"responses": "", "messages": ""}

builtin_providers: tuple[Provider, ...] = (
    Provider(
        name="openai",
        label="OpenAI",
        base_url="https://api.openai.com/v1",
        protocol=None,
        protocols={"chat_completions": "", "responses": ""},
        profile_headers={"OpenAI-Organization": "openai_organization_id"},
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
        protocols=_RESPONSES,
        extra_params=frozenset({"reasoning_format", "include_reasoning"}),
    ),
    Provider(
        name="perplexity",
        label="Perplexity",
        base_url="https://api.perplexity.ai/v1",
        protocol="responses",
        unsupported_params=frozenset(
            {
                "include",
                "metadata",
                "parallel_tool_calls",
                "reasoning.summary",
                "store",
                "text",
                "tool_choice",
                "user",
            }
        ),
        max_temperature=1.99,
    ),
    Provider(
        name="openrouter",
        label="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        protocols=_TWO_MORE,
        extra_params=frozenset(
            {"provider", "usage", "include_reasoning", "transforms", "modalities", "image_config"}
        ),
        replay_fields=frozenset({"reasoning_details"}),
        replay_by_model=True,
        supports_developer_role=True,
    ),
    Provider(
        name="deepseek",
        label="DeepSeek",
        base_url="https://api.deepseek.com",
        protocols={"responses": "", "messages": "https://api.deepseek.com/anthropic/v1"},
        extra_message_fields=frozenset({"prefix"}),  # at its /beta address
        replay_fields=frozenset({"reasoning_content"}),
    ),
    Provider(
        name="xai",
        label="xAI",
        base_url="https://api.x.ai/v1",
        protocol="responses",
        protocols={"responses": "", "chat_completions": ""},
        unsupported_params=frozenset({"stop"}),
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
        protocols=_TWO_MORE,
        thinking_tags=True,
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
        protocols={"responses": "", "messages": "https://api.moonshot.ai/anthropic/v1"},
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
        protocols=_RESPONSES,
        key_env="HF_TOKEN",
    ),
    Provider(
        name="meta",
        label="Meta",
        base_url="https://api.meta.ai/v1",
        protocols=_TWO_MORE,
    ),
    Provider(
        name="zai",
        label="Z.ai",
        base_url="https://api.z.ai/api/paas/v4",
        protocols={"messages": "https://api.z.ai/api/anthropic/v1"},
        max_temperature=1.0,
        replay_fields=frozenset({"reasoning_content"}),
    ),
    Provider(
        name="alibaba",
        label="Alibaba Cloud",
        base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        protocols=_RESPONSES,
        key_env="DASHSCOPE_API_KEY",
        max_temperature=1.99,
        extra_params=frozenset({"thinking_budget"}),
    ),
    Provider(
        name="minimax",
        label="MiniMax",
        base_url="https://api.minimax.io/v1",
        protocols={"messages": "https://api.minimax.io/anthropic/v1"},
        max_tokens_param="max_completion_tokens",
        max_temperature=1.0,
        thinking_tags=True,
        extra_params=frozenset({"reasoning_split"}),
        replay_fields=frozenset({"reasoning_details"}),
    ),
    # Other regions are other addresses, in LLMCHAT_BASE_URLS.
    Provider(
        name="bedrock",
        label="Amazon Bedrock",
        base_url="https://bedrock-mantle.us-east-1.api.aws/v1",
        protocols={"responses": "https://bedrock-mantle.us-east-1.api.aws/openai/v1"},
        key_env="AWS_BEARER_TOKEN_BEDROCK",
    ),
    Provider(
        name="nvidia",
        label="NVIDIA",
        base_url="https://integrate.api.nvidia.com/v1",
    ),
    Provider(
        name="deepinfra",
        label="DeepInfra",
        base_url="https://api.deepinfra.com/v1/openai",
    ),
    Provider(
        name="vercel",
        label="Vercel AI Gateway",
        base_url="https://ai-gateway.vercel.sh/v1",
        protocols=_TWO_MORE,
        key_env="AI_GATEWAY_API_KEY",
        replay_by_model=True,
    ),
    # The operator sets their address in LLMCHAT_BASE_URLS.
    Provider(
        name="ollama",
        label="Ollama",
        path="/v1",
        protocols=_RESPONSES,
        key_required=False,
        extra_params=frozenset({"think", "keep_alive"}),
    ),
    Provider(
        name="vllm",
        label="vLLM",
        path="/v1",
        protocols=_RESPONSES,
        key_required=False,
        extra_params=SERVER_PARAMS,
        extra_parts=frozenset({"audio_url"}),
        replay_by_model=True,
    ),
    Provider(
        name="lmstudio",
        label="LM Studio",
        path="/v1",
        protocols=_TWO_MORE,
        key_required=False,
    ),
    Provider(
        name="llamacpp",
        label="llama.cpp",
        path="/v1",
        protocols=_RESPONSES,
        key_required=False,
    ),
    Provider(
        name="litellm",
        label="LiteLLM proxy",
        path="/v1",
        protocols=_TWO_MORE,
        key_required=False,
        replay_by_model=True,
    ),
    CUSTOM,
)
"""All built-in rows, in the order in which they are listed to users."""
