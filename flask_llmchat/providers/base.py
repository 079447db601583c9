"""The provider row: all there is to know about a provider, as data.

Most of the providers differ in an address, a key and a few words, and a row says those.
Where one really behaves differently its row names a function, as Azure's does.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..chat import ChatRequest, Message
from ..errors import ChatError
from ..models import Model
from ..profiles import is_sendable, read_text

logger = logging.getLogger("flask_llmchat")

_SYSTEM = ("system", "developer")
_KEY = re.compile(r"key|token|auth", re.IGNORECASE)
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
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    stream_usage: bool = True

    def secrets(self) -> tuple[str, ...]:
        """Return the keys among headers and query, which must not be told to anybody."""
        told = {**self.headers, **self.query}
        return tuple(
            value.split()[-1] for name, value in told.items() if value.strip() and _KEY.search(name)
        )


def bearer_target(provider: Provider, chat: ChatRequest, key: str, base_url: str) -> Target:
    """Reach a provider the usual way: a bearer key at ``{base_url}/chat/completions``.

    :raises ChatError: when neither the row nor ``LLMCHAT_BASE_URLS`` says where it is, or a
        header from the profile cannot be sent.
    """
    if not base_url:
        logger.error("set LLMCHAT_BASE_URLS[%r] to where %s is", provider.name, provider.label)
        raise ChatError(
            f"{provider.label} is not set up here.", "internal", status=501, provider=provider.name
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


WANTED_BACK = frozenset({"reasoning_content", "reasoning_details", "extra_content"})
"""What a message, or a tool call in one, may hold that only some providers want back."""


def _sent_back(messages: list[Message], wanted: frozenset[str]) -> Iterator[Message]:
    """Give earlier messages with what a provider wants of them, and nothing it would refuse."""
    refused = WANTED_BACK - wanted
    for message in messages:
        if message["role"] != "assistant":
            yield message
            continue
        kept = {name: value for name, value in message.items() if name not in refused}
        if calls := kept.get("tool_calls"):
            kept["tool_calls"] = [
                {name: value for name, value in call.items() if name not in refused}
                for call in calls
            ]
            if "reasoning_content" in wanted:
                # Missing is an error, empty is not: https://github.com/openclaw/openclaw/pull/74846
                kept.setdefault("reasoning_content", "")
        # A turn stopped while the model still thought is nothing to who takes no thoughts back.
        if len(kept) == len(message) or kept.get("content") or calls:
            yield kept


# What costs more, or has the provider go and look: no built-in row takes it from a page.
_REFUSED = dict.fromkeys(
    ("service_tier", "web_search_options", "search_parameters"),
    "Not taken from a page; the app adds it in before_chat, or has its provider row take it",
)


def as_they_are(messages: list[Message]) -> list[Message]:
    """Send messages as they are."""
    return messages


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One provider, as a row.

    :param name: last part of the route and name of the endpoint: lower case, no spaces.
    :param label: how people call it, used in messages.
    :param base_url: address up to and without ``/chat/completions``; "" when only the
        operator or the profile can know it.
    :param key_attr: attribute of the profile that holds the key, by default
        ``{name}_api_key``; "" for a provider that takes no key.
    :param key_env: environment variable that holds the server's key, by default
        ``{KEY_ATTR}`` in capitals.
    :param key_required: False for a provider that may be used without a key.
    :param profile_headers: header name to profile attribute, sent when the profile has it.
    :param headers: headers sent with every call.
    :param token_param: the parameter that limits the answer, where the catalogue knows the
        model no better.
    :param stream_usage: whether ``stream_options.include_usage`` is understood.
    :param refuses: parameters it answers with an error; they are left out.
    :param renames: parameter to the name it has here.
    :param max_temperature: the highest temperature it takes; a higher one is lowered to it.
    :param temperature_or_top_p: whether it takes only one of the two; then it is temperature.
    :param inline_think: whether its models think aloud inside the text, between ``<think>``
        and ``</think>``.
    :param takes: parameters of its own, beside those that chat completions have everywhere. None
        that chooses other models, costs more (``service_tier``) or adds tools of the provider's
        (``web_search_options``): that is for the host to do.
    :param takes_back: which of ``reasoning_content``, ``reasoning_details`` and
        ``extra_content`` it wants back of an earlier answer; others refuse to be sent them.
    :param tells_errors: whether its error messages may be shown to people. False for hosts
        that nobody vouches for.
    :param public_only: whether only public internet addresses may be called.
    :param catalogue: whose models it serves, by default its own.
    :param messages: makes the messages such as it takes.
    :param target: ``(provider, chat, key, base_url) -> Target``, for a provider that is not
        simply reached at ``{base_url}/chat/completions`` with a bearer key. It may read
        ``chat.profile`` and refuse with a ChatError.
    :raises ValueError: for a name that cannot stand in a route.
    """

    name: str
    label: str
    base_url: str = ""
    key_attr: str | None = None
    key_env: str | None = None
    key_required: bool = True
    profile_headers: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    token_param: str = "max_tokens"
    stream_usage: bool = True
    refuses: frozenset[str] = frozenset()
    renames: Mapping[str, str] = field(default_factory=dict)
    max_temperature: float = 2.0
    temperature_or_top_p: bool = False
    inline_think: bool = False
    takes: frozenset[str] = frozenset()
    takes_back: frozenset[str] = frozenset()
    tells_errors: bool = True
    public_only: bool = False
    catalogue: str = ""
    messages: Callable[[list[Message]], list[Message]] = as_they_are
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
        if self.key_env is None:
            object.__setattr__(self, "key_env", (self.key_attr or "").upper())
        if not self.catalogue:
            object.__setattr__(self, "catalogue", self.name)

    def take(self, chat: ChatRequest) -> None:
        """Take what of a chat's unknown parameters is this provider's own.

        :raises ChatError: with status 422, naming those that are not.
        """
        if refused := sorted(chat.unknown.keys() - self.takes):
            told = [f"{name[:50]}: {_REFUSED.get(name, 'Unknown field')}" for name in refused[:20]]
            raise ChatError("; ".join(told), provider=self.name, status=422)
        chat.extra |= chat.unknown
        chat.unknown = {}

    def body(self, chat: ChatRequest, target: Target, model: Model) -> dict[str, Any]:
        """Return the request body; what the chat left open, or the model refuses, is left out."""
        temperature = chat.temperature
        if temperature is not None and temperature > self.max_temperature:
            temperature = self.max_temperature
            logger.debug("temperature is lowered to %s for %s", temperature, self.name)
        extra = dict(chat.extra)
        options = {"include_usage": True, **extra.pop("stream_options", {})}
        optional = {
            "stream_options": options if target.stream_usage else None,
            "temperature": temperature,
            model.token_param or self.token_param: chat.max_tokens or model.default_limit,
            "top_p": chat.top_p,
            "stop": chat.stop,
            "seed": chat.seed,
            "reasoning_effort": chat.reasoning_effort,
            "response_format": chat.response_format,
            "tools": chat.tools or None,
            "tool_choice": chat.tool_choice if chat.tools else None,
            **extra,
        }
        refused = self.refuses | model.refuses
        if self.temperature_or_top_p and temperature is not None:
            refused |= {"top_p"}
        if not model.takes_temperature_at(chat.reasoning_effort):
            refused |= {"temperature", "top_p"}
        messages = self.messages(list(_sent_back(chat.messages, self.takes_back)))
        if not model.takes_system:
            logger.debug("system messages become the user's: %s refuses them", chat.model)
            messages = [{**m, "role": "user"} if m["role"] in _SYSTEM else m for m in messages]
        body = {"model": target.model, "messages": messages, "stream": True}
        for name, value in optional.items():
            if value is None:
                continue
            if name in refused:
                logger.debug("%s is left out: %s with %s refuses it", name, self.name, chat.model)
            else:
                body[self.renames.get(name, name)] = value
        return body
