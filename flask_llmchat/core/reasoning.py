"""Reasoning that goes back to the provider it came from, and to no other.

Each detail in ``reasoning_details`` has a ``format``. OpenRouter's have its names, such as
``anthropic-claude-v1``; those of the protocols that carry reasoning themselves name the protocol
and the provider, ``responses:openai``: another provider can neither decrypt nor verify them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .request import Message

BEFORE_CALL = "tool_call_id"
"""Field of a detail: the id of the tool call that the reasoning came directly before. Without it,
the reasoning came before the text."""


def details_format(protocol: str, provider: str) -> str:
    """Return the format of the details that a provider sends in a protocol."""
    return f"{protocol}:{provider}"


def details_in(message: Message, protocol: str = "", provider: str = "") -> list[dict[str, Any]]:
    """Return the details in a message that go back in a protocol to a provider.

    :param protocol: "" for chat completions, whose details have names of their own.
    """
    wanted = details_format(protocol, provider)
    details: Sequence[Any] = message.get("reasoning_details") or ()
    return [
        d for d in details if isinstance(d, dict) and _format_of(d) == (wanted if protocol else "")
    ]


def _format_of(detail: dict[str, Any]) -> str:
    """Return a format that names protocol and provider; "" for any other."""
    found = detail.get("format")
    return found if isinstance(found, str) and ":" in found else ""
