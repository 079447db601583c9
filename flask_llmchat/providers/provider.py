"""The provider row: all there is to know about a provider, as data.

Most of the providers differ in an address, a key and a few words, and a row says those.
Where one really behaves differently its row names a function, as Azure's does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..core.addresses import Address, read_address
from ..core.errors import ChatError
from ..core.keys import is_header_safe
from ..core.profiles import read_text
from ..core.request import ChatRequest, Message
from . import checks
from .parts import reject_unknown_parts
from .target import Target

logger = logging.getLogger("flask_llmchat")


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
            if not is_header_safe(value):
                raise ChatError(
                    f"{provider.label} {header} is not valid. Please fix it in your profile"
                    " settings.",
                    provider=provider.name,
                )
            headers[header] = value
    if key:
        headers["Authorization"] = f"Bearer {key}"
    address = provider.address(base_url)
    return Target(
        base_url=address.url,
        model=chat.model,
        headers=headers,
        query=address.query,
        supports_stream_usage=provider.supports_stream_usage,
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
    :param path: where the API of such a provider begins, ``/v1`` for most: added to an address
        that the operator gives without any path.
    :param key_attr: attribute of the profile that holds the key, by default
        ``{name}_api_key``; "" for a provider that takes no key.
    :param key_env: environment variable that holds the server's key, by default
        ``{KEY_ATTR}`` in capitals.
    :param key_required: False for a provider that may be used without a key.
    :param profile_headers: header name to profile attribute, sent when the profile has it.
    :param headers: headers sent with every call.
    :param max_tokens_param: the parameter that limits the answer, where the catalogue knows the
        model no better.
    :param supports_stream_usage: whether ``stream_options.include_usage`` is understood.
    :param unsupported_params: parameters it answers with an error; they are left out.
    :param param_names: parameter to the name it has here.
    :param max_temperature: the highest temperature it takes; a higher one is lowered to it.
    :param temperature_or_top_p: whether it takes only one of the two; then it is temperature.
    :param thinking_tags: whether its models think aloud inside the text, between ``<think>``
        and ``</think>``.
    :param protocol: how it is spoken to: ``"chat_completions"``, or an
        :class:`UpstreamProtocol` of your own.
    :param extra_params: provider-specific parameters that clients may pass through. Never list one
        that selects a model, costs more (``service_tier``) or enables hosted tools
        (``web_search_options``); set those in ``before_chat``.
    :param extra_message_fields: fields of messages that it takes besides, such as ``prefix``.
    :param extra_parts: types of parts of messages that it takes besides, such as ``audio_url``.
    :param replay_fields: fields of assistant messages to replay to this provider:
        ``reasoning_content``, ``reasoning_details``, ``thinking_blocks``, ``extra_content``,
        ``provider_specific_fields``. They are stripped for all others.
    :param replay_by_model: whether it may pass a chat on to whoever made the model, so that
        what the model's maker wants back is sent as well.
    :param supports_developer_role: whether it knows the role ``developer``; elsewhere that is
        sent as ``system``.
    :param expose_errors: whether its error messages may be shown to people. False for hosts
        that nobody vouches for.
    :param public_only: whether only public internet addresses may be called.
    :param catalogue: whose models it serves, by default its own.
    :param messages: makes the messages such as it takes.
    :param target: ``(provider, chat, key, base_url) -> Target``, for a provider that is not
        simply reached at ``{base_url}/chat/completions`` with a bearer key. It may read
        ``chat.profile`` and refuse with a ChatError.
    :raises ValueError: naming the field that is wrong and what it should be. Lists, tuples and
        single names are taken for sets, and addresses as people paste them.
    """

    name: str
    label: str
    base_url: str = ""
    path: str = ""
    key_attr: str | None = None
    key_env: str | None = None
    key_required: bool = True
    profile_headers: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    max_tokens_param: str = "max_tokens"
    supports_stream_usage: bool = True
    unsupported_params: frozenset[str] = frozenset()
    param_names: Mapping[str, str] = field(default_factory=dict)
    max_temperature: float = 2.0
    temperature_or_top_p: bool = False
    thinking_tags: bool = False
    # A word, or an UpstreamProtocol: that seam stands above the rows, and they know none of it.
    protocol: Any = "chat_completions"
    extra_params: frozenset[str] = frozenset()
    extra_message_fields: frozenset[str] = frozenset()
    extra_parts: frozenset[str] = frozenset()
    replay_fields: frozenset[str] = frozenset()
    replay_by_model: bool = False
    supports_developer_role: bool = False
    expose_errors: bool = True
    public_only: bool = False
    catalogue: str = ""
    messages: Callable[[list[Message]], list[Message]] = as_they_are
    target: Callable[[Provider, ChatRequest, str, str], Target] = bearer_target

    def __post_init__(self) -> None:
        """Check every field, and fill in what follows from the name."""
        for one in fields(self):
            try:
                check = _CHECKS.get(one.name) or _CHECKS[one.type]
                object.__setattr__(self, one.name, check(getattr(self, one.name)))
            except ValueError as error:
                raise ValueError(f"provider {self.name!r}: its {one.name} {error}") from None
        if self.key_attr is None:
            object.__setattr__(self, "key_attr", f"{self.name.replace('-', '_')}_api_key")
        if self.key_env is None:
            object.__setattr__(self, "key_env", (self.key_attr or "").upper())
        if not self.catalogue:
            object.__setattr__(self, "catalogue", self.name)

    def address(self, base_url: str) -> Address:
        """Read an address the operator gave for this provider; its path may be forgotten.

        :raises ValueError: for one that cannot be understood.
        """
        address = read_address(base_url)
        if address.path:
            return address
        own = Address(self.base_url)
        return address.with_path(own.path if own.host == address.host else self.path)

    def accept_params(self, chat: ChatRequest) -> None:
        """Take what of a chat's unknown parameters and fields is this provider's own.

        :raises ChatError: with status 422, naming those that are not. What else a message holds
            is left out: programs hand answers back with whatever some provider put into them.
        """
        if refused := sorted(chat.unknown.keys() - self.extra_params):
            reasons = [f"{name[:50]}: {_TOLD.get(name, 'Unknown field')}" for name in refused[:20]]
            raise ChatError("; ".join(reasons), provider=self.name, status=422)
        reject_unknown_parts(chat.messages, self)
        chat.extra |= chat.unknown
        for place, beside in chat.unknown_in_messages.items():
            own = {
                name: value for name, value in beside.items() if name in self.extra_message_fields
            }
            chat.messages[place] |= own
        chat.unknown, chat.unknown_in_messages = {}, {}

    def fallback_chat(self, other: Provider, chat: ChatRequest, model: str) -> ChatRequest:
        """Return a chat that another row has taken, without what is that row's own."""
        own = other.extra_message_fields - self.extra_message_fields
        messages = [{n: v for n, v in m.items() if n not in own} for m in chat.messages]
        own = other.extra_params - self.extra_params
        extra = {name: value for name, value in chat.extra.items() if name not in own}
        return replace(chat, provider=self.name, model=model, messages=messages, extra=extra)


_TOLD = {
    "modalities": 'Only ["text"] is answered; leave it out',
    # What costs more, or has the provider go and look: no built-in row takes it from a page.
    **dict.fromkeys(
        ("service_tier", "web_search_options", "search_parameters"),
        "Not taken from a page; the app adds it in before_chat, or has its provider row take it",
    ),
}
"""What to say of a parameter that is some provider's own, where there is more to say."""


# By the fields' names, and else by the types they are declared with, which are text here.
_CHECKS: dict[Any, Callable[[Any], Any]] = {
    "name": checks.route_name,
    "base_url": checks.address,
    "path": checks.path,
    "headers": checks.headers,
    "profile_headers": checks.header_names,
    "replay_fields": checks.state,
    "str": checks.text,
    "Any": checks.protocol,
    "str | None": checks.text_or_none,
    "bool": checks.flag,
    "float": checks.number,
    "frozenset[str]": checks.names,
    "Mapping[str, str]": checks.texts_by_name,
    "Callable[[list[Message]], list[Message]]": checks.function("messages"),
    "Callable[[Provider, ChatRequest, str, str], Target]": checks.function(
        "provider", "chat", "key", "base_url"
    ),
}
