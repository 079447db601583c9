"""Where a request is sent, and which of its values are secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

# Any other header may identify a gateway's customer, whatever its name.
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

_LONG = 8  # characters: removing "on" or "Bearer" would tear ordinary sentences apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where one request is sent, with its credentials. Its repr has no headers and no key.

    :param model: the model's name at this provider.
    :param base_url: the address up to and without the protocol's path.
    :param url: the whole address, where it is not the base URL followed by that path.
    :param headers: the credentials, and further headers from the profile.
    :param query: the query of the URL. Put no key there: other hosts log URLs.
    :param supports_stream_usage: whether token counts can be requested.
    """

    model: str
    headers: Mapping[str, str] = field(repr=False)
    base_url: str = ""
    url: str = ""
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    supports_stream_usage: bool = True

    def secrets(self) -> tuple[str, ...]:
        """Return the parts of headers and query that may be a key.

        That is every long value, and every long word in one, except in headers that are known to
        be harmless; and where the name suggests a key, the last word whatever its length.
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
