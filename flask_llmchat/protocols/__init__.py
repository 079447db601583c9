"""Upstream protocols, the API formats of providers: one package each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import ResponseParser, Totals, UpstreamProtocol
from .chat_completions import CHAT_COMPLETIONS

if TYPE_CHECKING:
    from ..providers import Provider

PROTOCOLS: dict[str, UpstreamProtocol] = {
    protocol.name: protocol for protocol in (CHAT_COMPLETIONS,)
}
"""The built-in protocols, by the names that rows use."""


def protocol_of(provider: Provider) -> UpstreamProtocol:
    """Return the protocol that a provider's row names.

    :raises ValueError: when no protocol has this name.
    """
    named: str | UpstreamProtocol = provider.protocol
    if not isinstance(named, str):
        return named
    if named not in PROTOCOLS:
        raise ValueError(
            f"provider {provider.name!r} has protocol {named!r}; known are {', '.join(PROTOCOLS)}"
        )
    return PROTOCOLS[named]


__all__ = ["PROTOCOLS", "ResponseParser", "Totals", "UpstreamProtocol", "protocol_of"]
