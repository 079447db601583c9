"""Requests that are sent again without what the provider has refused.

OpenAI shows summaries of the reasoning only to organizations that it has verified, and refuses the
whole request of any other. It also refuses a conversation with reasoning that was encrypted for
another organization, or that this model does not take: a user who changes the key or the model
could not go on with it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from typing import Any

from ..errors import message_in

_MAX_KNOWN = 1024

# OpenAI's and xAI's words.
_ABOUT_REASONING = re.compile(
    r"encrypted.content|type 'reasoning'|reasoning input items|duplicate item found with id rs_",
    re.IGNORECASE,
)

_SECRET = os.urandom(16)  # so that a digest says nothing about a key outside this process

_without_summary: dict[bytes, None] = {}
"""Digests of the credentials and models whose requests for summaries were refused."""


def has_refused_summary(headers: Mapping[str, str], model: str) -> bool:
    """Return whether the provider has refused summaries to these credentials."""
    return _digest(headers, model) in _without_summary


def amend_body(
    body: dict[str, Any], error: Any, headers: Mapping[str, str]
) -> dict[str, Any] | None:
    """Return the body to send in place of a refused one; None when there is nothing to change."""
    held = error.get("error") if isinstance(error, dict) else None
    fields = held if isinstance(held, dict) else {}
    reasoning = body.get("reasoning", {})
    message = message_in(error)
    about_summary = fields.get("param") == "reasoning.summary" or "reasoning summar" in message
    if about_summary and "summary" in reasoning:
        if reasoning["summary"] == "auto":  # what else a client asked for says nothing of others
            if len(_without_summary) >= _MAX_KNOWN:
                _without_summary.clear()
            _without_summary[_digest(headers, body["model"])] = None
        kept = {name: value for name, value in reasoning.items() if name != "summary"}
        without = {name: value for name, value in body.items() if name != "reasoning"}
        return {**without, "reasoning": kept} if kept else without
    if _ABOUT_REASONING.search(f"{fields.get('code')} {message}"[:1000]):
        items = [item for item in body["input"] if item["type"] != "reasoning"]
        return {**body, "input": items} if len(items) < len(body["input"]) else None
    return None


def _digest(headers: Mapping[str, str], model: str) -> bytes:
    digest = hashlib.blake2b(key=_SECRET, digest_size=16)
    for value in (model, *(f"{n.lower()}\n{v}" for n, v in sorted(headers.items()))):
        digest.update(f"{len(value)}:{value}".encode())
    return digest.digest()
