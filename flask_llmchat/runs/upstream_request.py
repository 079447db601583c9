"""One upstream request: made of a chat, with the key of its user, and ready to be sent."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..core.errors import ChatError
from ..core.keys import clean_key, is_header_safe
from ..core.request import ChatRequest
from ..models import Model, get_model
from ..protocols import PROTOCOLS, UpstreamProtocol, protocol_of
from ..protocols.errors import from_body
from ..providers import Provider, Target
from ..transport.watchdog import CancelToken
from .host import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamRequest:
    """One request to a provider, ready to be sent.

    :param row: the provider's row, with the protocol of this request.
    :param protocol: that protocol.
    :param target: the address, and the model's name there.
    :param model: what the catalogue has about the model.
    :param request_id: our id of the chat.
    :param secrets: keys, which must appear in no message and no log.
    :param connect_timeout: seconds.
    :param read_timeout: seconds: the idle timeout.
    :param deadline: the :func:`time.monotonic` at which the chat must have ended.
    :param public_only: whether only public internet addresses may be called.
    """

    row: Provider
    protocol: UpstreamProtocol = field(repr=False)
    target: Target
    model: Model
    request_id: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str]
    body: Mapping[str, Any] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    connect_timeout: float
    read_timeout: float
    deadline: float
    max_retries: int
    public_only: bool = False

    def for_chat(self, chat: ChatRequest) -> UpstreamRequest:
        """Return the request for a further step of the same chat, to the same model."""
        body = self.protocol.build_body(chat, self.row, self.target, self.model)
        return replace(self, body=body)

    def error_from(
        self, body: Any, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> ChatError:
        """Return the ChatError for an error of the provider."""
        return from_body(
            body,
            status=status,
            headers=headers or {},
            label=self.row.label,
            provider=self.row.name,
            secrets=self.secrets,
            expose=self.row.expose_errors,
        )

    def interrupted(self, cancel: CancelToken) -> ChatError:
        """Return the error for a wait that the cancel token has ended.

        A client that has left is also disconnected: the end of the body must not look like the end
        of a response.
        """
        if cancel.reason == "cancelled":
            cancel.hang_up()
            return ChatError.of("cancelled", provider=self.row.name)
        if cancel.reason in ("stopped", "interrupted"):
            return ChatError.of(cancel.reason, provider=self.row.name)
        if cancel.reason == "stopping":
            return ChatError(
                "The server is being restarted. Please try again.",
                "overloaded",
                provider=self.row.name,
            )
        return self.timed_out()

    def interruption(self, cancel: CancelToken) -> ChatError | None:
        """Return why the watchdog has ended the chat, if not because the client left."""
        return None if cancel.reason in (None, "cancelled") else self.interrupted(cancel)

    def timed_out(self) -> ChatError:
        """Return the error for a provider that did not respond in time."""
        code = "deadline" if time.monotonic() >= self.deadline else "timeout"
        return ChatError.of(code, self.row.label, provider=self.row.name)


def row_for(host: Host, provider: Provider, model: str) -> Provider:
    """Return a provider's row with the protocol to call a model by.

    The operator's setting decides, then the row, then the model. Behind an address of the
    operator's may be any server, so the model does not decide there.
    """
    config = host.config
    protocol = config.protocols.get(provider.name, provider.protocol)
    if protocol is None:
        if provider.name not in config.base_urls:
            overrides = config.models.get(provider.name)
            protocol = get_model(provider.catalogue, model, overrides).protocol
        protocol = protocol if protocol in provider.protocols else "chat_completions"
    if not isinstance(protocol, str):
        return provider
    return provider.speaking(protocol, PROTOCOLS[protocol].key_header)


def build_request(
    host: Host, provider: Provider, chat: ChatRequest, deadline: float
) -> UpstreamRequest:
    """Return the upstream request for the next response of a chat.

    :param deadline: the :func:`time.monotonic` at which the chat must have ended.
    :raises ChatError: when the key, or something else that the provider needs, is missing.
    """
    row = row_for(host, provider, chat.model)
    protocol = protocol_of(row)
    target, secrets = target_for(host, row, chat)
    overrides = host.config.models.get(provider.name)
    model = get_model(provider.catalogue, chat.model, overrides, sent_as=target.model)
    return request_to(
        host,
        row,
        target,
        model,
        secrets=secrets,
        request_id=chat.request_id,
        url=target.url or f"{target.base_url}{protocol.path}",
        body=protocol.build_body(chat, row, target, model),
        deadline=deadline,
    )


def target_for(host: Host, row: Provider, chat: ChatRequest) -> tuple[Target, tuple[str, ...]]:
    """Return the target for a chat, with the key of its user, and all that may be a key in it.

    :raises ChatError: when the key, or something else that the provider needs, is missing.
    """
    key = clean_key(host.resolve_key(row, chat.profile))
    if row.key_attr and row.key_required and not key:
        raise ChatError.of(
            "missing_key",
            row.label,
            provider=row.name,
            detail=host.why_no_key(row, chat.profile),
        )
    if not is_header_safe(key):
        raise ChatError.of("bad_key", row.label, provider=row.name)
    base_url = host.config.base_urls.get(row.name, row.base_url)
    target = row.target(row, chat, key, base_url)
    return target, tuple({key, *target.secrets()} - {""})


def request_to(
    host: Host, row: Provider, target: Target, model: Model, **fields: Any
) -> UpstreamRequest:
    """Return a request to a target, with the app's settings."""
    config, protocol = host.config, protocol_of(row)
    return UpstreamRequest(
        row=row,
        protocol=protocol,
        target=target,
        model=model,
        headers={**protocol.headers, **target.headers},
        query=target.query,
        connect_timeout=config.connect_timeout,
        read_timeout=config.read_timeout,
        max_retries=config.max_retries,
        public_only=row.public_only and not config.allow_private_endpoints,
        **fields,
    )
