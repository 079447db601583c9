"""The built-in protocols, by the names that rows use."""

from __future__ import annotations

from ..providers import Provider
from .base import UpstreamProtocol
from .chat_completions import CHAT_COMPLETIONS
from .messages import MESSAGES
from .responses import RESPONSES

PROTOCOLS: dict[str, UpstreamProtocol] = {
    protocol.name: protocol for protocol in (CHAT_COMPLETIONS, RESPONSES, MESSAGES)
}


def protocol_of(row: Provider) -> UpstreamProtocol:
    """Return the protocol of a row that has one, by name or as an object."""
    named: str | UpstreamProtocol = row.protocol
    return PROTOCOLS[named] if isinstance(named, str) else named


def check_protocols(row: Provider) -> None:
    """Check the names of the protocols that a row can speak.

    :raises ValueError: when no protocol has this name.
    """
    if unknown := [name for name in row.protocols if name not in PROTOCOLS]:
        raise ValueError(
            f"provider {row.name!r} has protocol {unknown[0]!r}; known are {', '.join(PROTOCOLS)}"
        )
