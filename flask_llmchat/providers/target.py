"""Where a chat is sent, and what of that must not be told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

# Anything else may be what a gateway knows its customers by, whatever it is called.
_HARMLESS = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "anthropic-beta",
        "anthropic-version",
        "api-version",
        "content-type",
        "http-referer",
        "openai-beta",
        "referer",
        "user-agent",
        "x-title",
    }
)


_KEY = re.compile(r"key|token|auth|secret|cookie", re.IGNORECASE)


_LONG = 8  # characters: to take out "on" or "Bearer" would tear ordinary sentences apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where one chat is sent, and as whom. Headers and key stay out of its repr.

    :param model: the model as this provider names it.
    :param base_url: the address up to and without the protocol's path.
    :param url: the whole address, where it is not the base URL followed by that path.
    :param headers: what authenticates, and what else the profile adds.
    :param query: what is added to the URL. No place for a key: URLs are logged by others.
    :param supports_stream_usage: whether the token count can be asked for.
    """

    model: str
    headers: Mapping[str, str] = field(repr=False)
    base_url: str = ""
    url: str = ""
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    supports_stream_usage: bool = True

    def secrets(self) -> tuple[str, ...]:
        """Return what must not be told to anybody: all of headers and query that may be a key.

        That is every long value, and every long word in one, save of what is known to be
        harmless; and where the name says that it is a key, the last word of any length.
        """
        found = set()
        for name, value in {**self.headers, **self.query}.items():
            words = value.split()
            if not words or name.lower() in _HARMLESS:
                continue
            pieces = (value.strip(), *re.split(r"[\s;,=]+", value))
            found |= {piece for piece in pieces if len(piece) >= _LONG}
            if _KEY.search(name):
                found.add(words[-1])
        return tuple(found)
