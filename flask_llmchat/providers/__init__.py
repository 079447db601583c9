"""The providers that are built in, each one row."""

from __future__ import annotations

from .azure import AZURE
from .base import Provider, Target, bearer_target

OPENAI = Provider(
    name="openai",
    label="OpenAI",
    base_url="https://api.openai.com/v1",
    profile_headers={"OpenAI-Organization": "openai_organization_id"},
    token_param="max_completion_tokens",
)
OPENROUTER = Provider(
    name="openrouter", label="OpenRouter", base_url="https://openrouter.ai/api/v1"
)
GROQ = Provider(name="groq", label="Groq", base_url="https://api.groq.com/openai/v1")

builtin_providers: tuple[Provider, ...] = (OPENAI, AZURE, OPENROUTER, GROQ)
"""All the rows that are built in, in the order they are listed to people."""

__all__ = ["Provider", "Target", "bearer_target", "builtin_providers"]
