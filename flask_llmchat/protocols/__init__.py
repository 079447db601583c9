"""Upstream protocols, the API formats of providers: one package each."""

from .base import ResponseParser, Totals, UpstreamProtocol
from .builtin import PROTOCOLS, check_protocols, protocol_of

__all__ = [
    "PROTOCOLS",
    "ResponseParser",
    "Totals",
    "UpstreamProtocol",
    "check_protocols",
    "protocol_of",
]
