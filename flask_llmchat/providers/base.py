"""The provider row: all there is to know about a provider, as data.

Most of the providers differ in an address, a key and a few words, and a row says those.
Where one really behaves differently its row names a function, as Azure's does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..chat import ChatRequest
from ..errors import ChatError
from ..models import Model
from ..profiles import is_sendable, read_text

_NAME = re.compile(r"[a-z][a-z0-9_-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where one chat is sent, and as whom. Headers and key stay out of its repr.

    :param url: the whole address of the chat-completions endpoint.
    :param model: the model as this provider names it.
    :param headers: what authenticates, and what else the profile adds.
    :param query: what is added to the URL.
    :param stream_usage: whether the token count can be asked for.
    """

    url: str
    model: str
    headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str] = field(default_factory=dict)
    stream_usage: bool = True


def bearer_target(provider: Provider, chat: ChatRequest, key: str, base_url: str) -> Target:
    """Reach a provider the usual way: a bearer key at ``{base_url}/chat/completions``.

    :raises ChatError: when a header from the profile cannot be sent.
    :raises ValueError: when neither the row nor ``LLMCHAT_BASE_URLS`` says where it is.
    """
    if not base_url:
        raise ValueError(
            f"provider {provider.name!r} has no address: set LLMCHAT_BASE_URLS[{provider.name!r}]"
        )
    headers = dict(provider.headers)
    for header, attribute in provider.profile_headers.items():
        if value := read_text(chat.profile, attribute):
            if not is_sendable(value):
                raise ChatError(
                    f"{provider.label} {header} is not valid. Please fix it in your profile"
                    " settings.",
                    provider=provider.name,
                )
            headers[header] = value
    if key:
        headers["Authorization"] = f"Bearer {key}"
    return Target(
        url=f"{base_url.rstrip('/')}/chat/completions",
        model=chat.model,
        headers=headers,
        stream_usage=provider.stream_usage,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One provider, as a row.

    :param name: last part of the route and name of the endpoint: lower case, no spaces.
    :param label: how people call it, used in messages.
    :param base_url: address up to and without ``/chat/completions``; "" when only the
        operator or the profile can know it.
    :param key_attr: attribute of the profile that holds the key, by default
        ``{name}_api_key``; "" for a provider that takes no key.
    :param profile_headers: header name to profile attribute, sent when the profile has it.
    :param headers: headers sent with every call.
    :param token_param: the parameter that limits the answer, where the catalogue knows the
        model no better.
    :param stream_usage: whether ``stream_options.include_usage`` is understood.
    :param catalogue: whose models it serves, by default its own.
    :param target: ``(provider, chat, key, base_url) -> Target``, for a provider that is not
        simply reached at ``{base_url}/chat/completions`` with a bearer key. It may read
        ``chat.profile`` and refuse with a ChatError.
    """

    name: str
    label: str
    base_url: str = ""
    key_attr: str | None = None
    profile_headers: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    token_param: str = "max_tokens"
    stream_usage: bool = True
    catalogue: str = ""
    target: Callable[[Provider, ChatRequest, str, str], Target] = bearer_target

    def __post_init__(self) -> None:
        """Check the name and fill in what follows from it."""
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"provider name {self.name!r} cannot stand in a route: use lower-case letters,"
                " digits, '-' and '_', starting with a letter"
            )
        if self.key_attr is None:
            object.__setattr__(self, "key_attr", f"{self.name.replace('-', '_')}_api_key")
        if not self.catalogue:
            object.__setattr__(self, "catalogue", self.name)

    def body(self, chat: ChatRequest, target: Target, model: Model) -> dict[str, Any]:
        """Return the request body; what the chat left open is left out."""
        limit = chat.max_tokens or model.default_limit
        sampled = model.takes_temperature_at(chat.reasoning_effort)
        optional = {
            "stream_options": {"include_usage": True} if target.stream_usage else None,
            "temperature": chat.temperature if sampled else None,
            model.token_param or self.token_param: limit,
            "top_p": chat.top_p if sampled else None,
            "stop": chat.stop,
            "seed": chat.seed,
            "reasoning_effort": chat.reasoning_effort,
            "response_format": chat.response_format,
            "tools": chat.tools or None,
            "tool_choice": chat.tool_choice,
        }
        return {
            "model": target.model,
            "messages": chat.messages,
            "stream": True,
            **{name: value for name, value in optional.items() if value is not None},
        }
