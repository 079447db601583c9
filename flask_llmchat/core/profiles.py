"""Profiles: one user's API keys, and the settings that belong to them.

A profile is whatever the app's profile loader returns: a :class:`Profile`, a mapping, or any
object with these attributes (an ORM row, say). It is read attribute by attribute while the
request context exists, and never kept for the stream.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Protocol

from .keys import clean_key


def _from(env: str, *, secret: bool = False, travels_with: str = "") -> Any:
    """Declare a field: its environment variable, and the key field that it belongs to."""
    return field(default=None, repr=not secret, metadata={"env": env, "travels_with": travels_with})


def _key(env: str) -> Any:
    return _from(env, secret=True)


class KeyedRow(Protocol):
    """The fields of a provider row that name its key."""

    @property
    def key_attr(self) -> str | None:
        """Attribute of the profile that holds the key."""

    @property
    def key_env(self) -> str | None:
        """Environment variable that holds the server's own key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One user's keys and the settings that belong to them. Its repr shows no keys.

    ``<provider>_api_key`` is the key for that provider.

    :param openai_organization_id: sent with the OpenAI key, for a key of several organizations.
    :param anthropic_workspace_id: sent with the Anthropic key; some keys need it.
    :param azure_openai_endpoint: ``https://NAME.openai.azure.com``, or the same followed by
        ``/openai/v1`` for Azure's version-free API. Whole addresses as Azure's portal shows them
        are accepted.
    :param azure_openai_api_version: dated API version, by default the one in the endpoint's
        ``?api-version=``; not used with the version-free API.
    :param azure_openai_deployments: model name to deployment name. It takes precedence over the
        three deployment ids, which are for the models that chatbot-ui knows.
    :param other_keys: keys for providers that the app has added, by their rows' ``key_attr``.
    """

    openai_api_key: str | None = _key("OPENAI_API_KEY")
    openai_organization_id: str | None = _from(
        "OPENAI_ORGANIZATION_ID", travels_with="openai_api_key"
    )
    azure_openai_api_key: str | None = _key("AZURE_OPENAI_API_KEY")
    azure_openai_endpoint: str | None = _from(
        "AZURE_OPENAI_ENDPOINT", travels_with="azure_openai_api_key"
    )
    azure_openai_api_version: str | None = _from(
        "AZURE_OPENAI_API_VERSION", travels_with="azure_openai_api_key"
    )
    azure_openai_35_turbo_id: str | None = _from("AZURE_GPT_35_TURBO_NAME")
    azure_openai_45_turbo_id: str | None = _from("AZURE_GPT_45_TURBO_NAME")
    azure_openai_45_vision_id: str | None = _from("AZURE_GPT_45_VISION_NAME")
    azure_openai_deployments: Mapping[str, str] | None = None
    openrouter_api_key: str | None = _key("OPENROUTER_API_KEY")
    groq_api_key: str | None = _key("GROQ_API_KEY")
    anthropic_api_key: str | None = _key("ANTHROPIC_API_KEY")
    anthropic_workspace_id: str | None = _from(
        "ANTHROPIC_WORKSPACE_ID", travels_with="anthropic_api_key"
    )
    google_gemini_api_key: str | None = _key("GOOGLE_GEMINI_API_KEY")
    mistral_api_key: str | None = _key("MISTRAL_API_KEY")
    perplexity_api_key: str | None = _key("PERPLEXITY_API_KEY")
    deepseek_api_key: str | None = _key("DEEPSEEK_API_KEY")
    xai_api_key: str | None = _key("XAI_API_KEY")
    together_api_key: str | None = _key("TOGETHER_API_KEY")
    fireworks_api_key: str | None = _key("FIREWORKS_API_KEY")
    cerebras_api_key: str | None = _key("CEREBRAS_API_KEY")
    moonshot_api_key: str | None = _key("MOONSHOT_API_KEY")
    huggingface_api_key: str | None = _key("HF_TOKEN")
    meta_api_key: str | None = _key("META_API_KEY")
    zai_api_key: str | None = _key("ZAI_API_KEY")
    alibaba_api_key: str | None = _key("DASHSCOPE_API_KEY")
    minimax_api_key: str | None = _key("MINIMAX_API_KEY")
    bedrock_api_key: str | None = _key("AWS_BEARER_TOKEN_BEDROCK")
    nvidia_api_key: str | None = _key("NVIDIA_API_KEY")
    deepinfra_api_key: str | None = _key("DEEPINFRA_API_KEY")
    vercel_api_key: str | None = _key("AI_GATEWAY_API_KEY")
    ollama_api_key: str | None = _key("OLLAMA_API_KEY")
    vllm_api_key: str | None = _key("VLLM_API_KEY")
    lmstudio_api_key: str | None = _key("LMSTUDIO_API_KEY")
    llamacpp_api_key: str | None = _key("LLAMACPP_API_KEY")
    litellm_api_key: str | None = _key("LITELLM_API_KEY")

    other_keys: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def from_env(
        cls, environ: Mapping[str, str] | None = None, *, providers: Iterable[KeyedRow] = ()
    ) -> Profile:
        """Read the server's own keys from the environment; an empty variable counts as unset.

        :param environ: the variables, by default :data:`os.environ`.
        :param providers: rows that the app has added, whose keys are read as well.
        """
        environ = os.environ if environ is None else environ
        names = {f.name: f.metadata["env"] for f in fields(cls) if "env" in f.metadata}
        found: dict[str, Any] = {name: clean_key(environ.get(env)) for name, env in names.items()}
        others = {
            row.key_attr: clean_key(environ.get(row.key_env or ""))
            for row in providers
            if row.key_attr and row.key_attr not in names
        }
        return cls(**{name: value or None for name, value in found.items()}, other_keys=others)

    def over(self, other: Any) -> Profile:
        """Merge two profiles: what is set here takes precedence over what ``other`` has set.

        ``Profile.from_env().over(user)`` puts the server's keys first, and
        ``Profile().over(user).over(Profile.from_env())`` the user's. The endpoint and the
        organization of a key come from the same profile as the key: the server's key must never
        be sent to an address that a user typed in.

        :param other: a Profile, a mapping, or an object with these attributes.
        """

        def source(f: Field[Any]) -> Any:
            key = f.metadata.get("travels_with")
            deciding = key if key and (is_set(self, key) or is_set(other, key)) else f.name
            return self if is_set(self, deciding) else other

        own = [f for f in fields(self) if f.name != "other_keys"]
        merged = {f.name: read(source(f), f.name) for f in own}
        theirs = read(other, "other_keys")
        names = {*self.other_keys, *(theirs if isinstance(theirs, Mapping) else ())}
        names -= merged.keys()
        merged["other_keys"] = {n: read(self if is_set(self, n) else other, n) for n in names}
        return Profile(**merged)


def read(profile: Any, name: str) -> Any:
    """Return the value of ``name`` in a profile of any kind; None when it has none."""
    if isinstance(profile, Profile):
        own = hasattr(profile, name)
        return getattr(profile, name) if own else (profile.other_keys or {}).get(name)
    if isinstance(profile, Mapping | sqlite3.Row):
        if name in profile.keys():  # noqa: SIM118 - a Row has no `in`
            return profile[name]
        others = profile["other_keys"] if "other_keys" in profile.keys() else None  # noqa: SIM118
        return others.get(name) if isinstance(others, Mapping) else None
    return getattr(profile, name, None)


def read_text(profile: Any, name: str) -> str:
    """Return the text of ``name`` in a profile, stripped; "" when it has none.

    :raises TypeError: when the value is not text. The message leaves it out.
    """
    value = read(profile, name)
    if value is not None and not isinstance(value, str):
        raise TypeError(f"the profile's {name} must be a string, not {type(value).__name__}")
    return clean_key(value)


def is_set(profile: Any, name: str) -> bool:
    """Tell whether ``name`` in a profile is more than white space."""
    value = read(profile, name)
    return bool(clean_key(value) if isinstance(value, str) else value)
