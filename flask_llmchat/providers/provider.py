"""The provider row: everything that is known about a provider, as data.

Most providers differ in an address, a key and a few words, which the row holds. Where the
behaviour of one differs, its row names a function, as Azure's does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..core.addresses import Address, read_address
from ..core.errors import ChatError
from ..core.keys import is_header_safe
from ..core.parameters import BY_WIRE_NAME
from ..core.profiles import read_text
from ..core.request import ChatRequest, Message
from . import checks
from .parts import reject_unknown_parts
from .target import Target

logger = logging.getLogger("flask_llmchat")


def bearer_target(provider: Provider, chat: ChatRequest, key: str, base_url: str) -> Target:
    """Return the usual target: the base URL with the key as a bearer token.

    :param key: the user's key; "" for none.
    :param base_url: from ``LLMCHAT_BASE_URLS`` or the row.
    :raises ChatError: when there is no base URL, or a header from the profile cannot be sent.
    """
    if not base_url:
        logger.error(
            "set LLMCHAT_BASE_URLS[%r] to the address of %s", provider.name, provider.label
        )
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
        headers |= key_header(provider, key)
    address = provider.address(base_url)
    return Target(
        base_url=address.url,
        model=chat.model,
        headers=headers,
        query=address.query,
        supports_stream_usage=provider.supports_stream_usage,
    )


def key_header(provider: Provider, key: str) -> dict[str, str]:
    """Return the header that carries a key in the provider's protocol."""
    if provider.protocol == "messages":
        return {"x-api-key": key}
    return {"Authorization": f"Bearer {key}"}


def as_they_are(messages: list[Message]) -> list[Message]:
    """Return the messages unchanged."""
    return messages


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One provider, as a row.

    :param name: last part of the route and name of the endpoint: lower case, no spaces.
    :param label: its name for people, used in messages.
    :param base_url: the address up to and without the protocol's path, such as
        ``/chat/completions``; "" when only the operator or the profile has it.
    :param path: the path of such a provider's API, ``/v1`` for most: appended to an address that
        the operator sets without any path.
    :param key_attr: attribute of the profile that holds the key, by default
        ``{name}_api_key``; "" for a provider without keys.
    :param key_env: environment variable that holds the server's key, by default
        ``{KEY_ATTR}`` in capitals.
    :param key_required: False for a provider that may be used without a key.
    :param profile_headers: header name to profile attribute; sent when the profile has a value.
    :param headers: headers of every request.
    :param max_tokens_param: the parameter that limits the length of the response, unless the
        catalogue has another one for the model.
    :param supports_stream_usage: whether it accepts ``stream_options.include_usage``.
    :param unsupported_params: parameters that it rejects; they are left out.
    :param param_names: the name of a parameter to its name at this provider.
    :param max_temperature: its maximum temperature; a higher one is lowered to it.
    :param temperature_or_top_p: whether it accepts only one of the two; ``top_p`` is left out.
    :param thinking_tags: whether its models put their reasoning inside the text, between
        ``<think>`` and ``</think>``.
    :param protocol: its upstream protocol: ``"chat_completions"``, ``"responses"``, ``"messages"``,
        or an :class:`UpstreamProtocol` of your own. None: by model, as the catalogue says, and
        ``"chat_completions"``, which ``protocols`` must have, for models that it does not know.
    :param protocols: all protocols that it can speak, one or several names; or a mapping of each
        name to the base URL that it has for it, "" for that of the row.
    :param extra_params: provider-specific parameters that clients may pass through. Never list one
        that selects a model, costs more (``service_tier``) or enables hosted tools
        (``web_search_options``); set those in ``before_chat``.
    :param extra_message_fields: provider-specific fields of messages, such as ``prefix``.
    :param extra_parts: provider-specific types of content parts, such as ``audio_url``.
    :param replay_fields: fields of assistant messages to replay to this provider:
        ``reasoning_content``, ``reasoning_details``, ``thinking_blocks``, ``extra_content``,
        ``provider_specific_fields``. All others are left out.
    :param replay_by_model: whether it may forward a chat to the maker of the model, so that the
        fields that this maker needs are replayed as well.
    :param supports_developer_role: whether it accepts the role ``developer``; otherwise the role
        is sent as ``system``.
    :param expose_errors: whether its error messages may be shown to users. False for endpoints
        that users bring along.
    :param public_only: whether only public internet addresses may be called.
    :param catalogue: the catalogue with its models, by default of its own name.
    :param messages: a function that adapts the messages to its rules.
    :param target: ``(provider, chat, key, base_url) -> Target``, for a provider that needs more
        than its base URL and a bearer token. It may read ``chat.profile`` and raise a ChatError.
    :raises ValueError: naming the field that is wrong and what it should be. Lists, tuples and
        single names are accepted for sets, and addresses as people paste them.
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
    # A name, or an UpstreamProtocol: that seam is above the rows, which must not import it.
    protocol: Any = "chat_completions"
    protocols: Mapping[str, str] = field(default_factory=dict)
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
    _rows: dict[str, Provider] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )  # by protocol

    def __post_init__(self) -> None:
        """Check every field, and set the defaults that follow from the name."""
        for one in filter(lambda row_field: row_field.init, fields(self)):
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
        if isinstance(self.protocol, str) and self.protocol not in self.protocols:
            object.__setattr__(self, "protocols", {self.protocol: "", **self.protocols})
        elif self.protocol is None and "chat_completions" not in self.protocols:
            raise ValueError(
                f"provider {self.name!r}: its protocol is None, which is by model, so its protocols"
                " must have chat_completions, which models that are not known are called by"
            )

    def speaking(self, protocol: str) -> Provider:
        """Return this row with one protocol, and with the base URL that it has for it.

        :raises ValueError: when it cannot speak this protocol.
        """
        if protocol not in self._rows:
            if protocol not in self.protocols:
                known = ", ".join(self.protocols) or "its own protocol"
                raise ValueError(f"{self.name!r} cannot speak {protocol!r}, only {known}")
            url = self.protocols[protocol] or self.base_url
            self._rows[protocol] = replace(self, protocol=protocol, base_url=url)
        return self._rows[protocol]

    def address(self, base_url: str) -> Address:
        """Parse an address that the operator set for this provider; its path may be missing.

        :raises ValueError: when it is not a valid address.
        """
        address = read_address(base_url)
        if address.path:
            return address
        own = Address(self.base_url)
        return address.with_path(own.path if own.host == address.host else self.path)

    def accept_params(self, chat: ChatRequest) -> None:
        """Accept those of a chat's unknown parameters and message fields that are this provider's.

        Other message fields are left out: programs send responses back with the fields that some
        provider put into them.

        :raises ChatError: with status 422, naming the parameters that are not this provider's.
        """
        if refused := sorted(chat.unknown.keys() - self.extra_params):
            reasons = [
                f"{name[:50]}: {_REASONS.get(name, 'Unknown field')}" for name in refused[:20]
            ]
            raise ChatError("; ".join(reasons), provider=self.name, status=422)
        reject_unknown_parts(chat.messages, self)
        chat.extra |= chat.unknown
        for place, beside in chat.unknown_in_messages.items():
            own = {
                name: value for name, value in beside.items() if name in self.extra_message_fields
            }
            chat.messages[place] |= own
        chat.unknown, chat.unknown_in_messages = {}, {}

    def fallback_chat(self, failed: Provider, chat: ChatRequest, model: str) -> ChatRequest:
        """Return a chat that failed at another provider, without fields of that provider's own.

        Nor has it those that a hook has added for that provider: they may hold the token of a
        server with tools, as Anthropic's ``mcp_servers`` do.

        :param model: the model's name at this provider.
        """
        own = failed.extra_message_fields - self.extra_message_fields
        messages = [{n: v for n, v in m.items() if n not in own} for m in chat.messages]
        shared = BY_WIRE_NAME.keys() | self.extra_params
        extra = {name: value for name, value in chat.extra.items() if name in shared}
        return replace(
            chat,
            provider=self.name,
            model=model,
            messages=messages,
            extra=extra,
            provider_tools=[],
        )


_REASONS = {
    "modalities": 'Only ["text"] is answered; leave it out',
    # They cost more, or enable hosted tools: no built-in row accepts them from a client.
    **dict.fromkeys(
        ("service_tier", "web_search_options"),
        "Not taken from a page; the app adds it in before_chat, or has its provider row take it",
    ),
}
"""Reasons for refusing a provider-specific parameter, where there is more to say."""

# By the name of the field, or else by its declared type, which is text here.
_CHECKS: dict[Any, Callable[[Any], Any]] = {
    "name": checks.route_name,
    "base_url": checks.address,
    "path": checks.path,
    "headers": checks.headers,
    "profile_headers": checks.header_names,
    "protocols": checks.protocols,
    "replay_fields": checks.replay_fields,
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
