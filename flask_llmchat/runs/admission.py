"""Admission: makes the upstream request of a chat, with the key of the chat's user."""

from __future__ import annotations

from ..core.errors import ChatError
from ..core.keys import clean_key, is_header_safe
from ..core.request import ChatRequest
from ..models import get_model
from ..protocols import protocol_of
from ..providers import Provider
from .host import Host
from .upstream_request import UpstreamRequest


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
    return provider.speaking(protocol) if isinstance(protocol, str) else provider


def build_request(
    host: Host, provider: Provider, chat: ChatRequest, deadline: float
) -> UpstreamRequest:
    """Return the upstream request for the next response of a chat.

    :param deadline: the :func:`time.monotonic` at which the chat must have ended.
    :raises ChatError: when the key, or something else that the provider needs, is missing.
    """
    config = host.config
    key = clean_key(host.resolve_key(provider, chat.profile))
    if provider.key_attr and provider.key_required and not key:
        raise ChatError.of(
            "missing_key",
            provider.label,
            provider=provider.name,
            detail=host.why_no_key(provider, chat.profile),
        )
    if not is_header_safe(key):
        raise ChatError.of("bad_key", provider.label, provider=provider.name)
    row = row_for(host, provider, chat.model)
    base_url = config.base_urls.get(row.name, row.base_url)
    protocol = protocol_of(row)
    target = row.target(row, chat, key, base_url)
    overrides = config.models.get(provider.name)
    model = get_model(provider.catalogue, chat.model, overrides, sent_as=target.model)
    return UpstreamRequest(
        row=row,
        protocol=protocol,
        request_id=chat.request_id,
        url=target.url or f"{target.base_url}{protocol.path}",
        headers={**protocol.headers, **target.headers},
        query=target.query,
        body=protocol.build_body(chat, row, target, model),
        secrets=tuple({key, *target.secrets()} - {""}),
        connect_timeout=config.connect_timeout,
        read_timeout=config.read_timeout,
        deadline=deadline,
        max_retries=config.max_retries,
        public_only=provider.public_only and not config.allow_private_endpoints,
    )
