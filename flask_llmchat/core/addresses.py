"""Base URLs of providers: parse and check what an operator or a user typed."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from .errors import redact
from .keys import clean_key

# urlsplit() caches the last hundred or so addresses, and users type them.
_MAX_LENGTH = 2000

# The path of one operation, after the base URL of the API.
_OPERATION = re.compile(r"/(?:(?:chat/)?completions|responses|messages|embeddings)$", re.IGNORECASE)

# A URL's password stands before its host, and a key may stand anywhere after that.
_PRIVATE = re.compile(r"://.*[:@/?#%]|:.*@", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Address:
    """The base URL of an API.

    :param url: the URL before ``/chat/completions``, without a slash at its end.
    :param api_version: the ``api-version`` in its query, which Azure and gateways to it need.
    """

    url: str
    api_version: str = ""

    @property
    def host(self) -> str:
        """The host name."""
        return urlsplit(self.url).hostname or ""

    @property
    def path(self) -> str:
        """The path after the host."""
        return urlsplit(self.url).path

    @property
    def query(self) -> dict[str, str]:
        """The query parameters for every request to the API."""
        return {"api-version": self.api_version} if self.api_version else {}

    def with_path(self, path: str) -> Address:
        """Return the same address with another path."""
        return replace(self, url=self.url.removesuffix(self.path) + path)

    def __str__(self) -> str:
        """Return text that :func:`read_address` parses to the same address."""
        return f"{self.url}?{urlencode(self.query)}" if self.query else self.url


def read_address(text: str) -> Address:
    """Parse an address as people paste it; drop white space, slashes and an operation at its end.

    :raises ValueError: with a message that continues "The address …".
    """
    text = clean_key(text)
    if len(text) > _MAX_LENGTH:
        raise ValueError(f"is longer than {_MAX_LENGTH} characters")
    if "#" in text:
        raise ValueError("must have no '#': leave it out, and what follows it")
    base, _, query = text.partition("?")
    if "@" in base and not is_http_url(base) and is_http_url(_without_user(base)):
        raise ValueError("is not an http(s) URL to call: leave out what stands before the '@'")
    if not is_http_url(base):
        raise ValueError("is not an http(s) URL")
    given = parse_qsl(query, keep_blank_values=True)
    versions = [value for name, value in given if name.lower() == "api-version"]
    if len(given) > len(versions) or len(versions) > 1:
        raise ValueError("must have no query but 'api-version': leave out what follows the '?'")
    scheme, rest = base.split("://", 1)  # clients need the scheme in lower case
    path = _OPERATION.sub("", rest.rstrip("/")).rstrip("/")
    return Address(f"{scheme.lower()}://{path}", "".join(versions))


def is_http_url(url: str) -> bool:
    """Tell whether requests can be posted to a URL: http(s), a host, no user and no password."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for a port that is not a number
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and parts.username is None
        and url.isprintable()
        and " " not in url
        and "\\" not in url  # some clients read a slash, others a letter of the host name
    )


def _without_user(url: str) -> str:
    return re.sub(r"//[^/]*@", "//", url, count=1)


def safe_repr(value: Any) -> str:
    """Return the repr of a value for an error message; "…" if it may hold a secret."""
    if not isinstance(value, str | int | float | None) or _PRIVATE.search(str(value)):
        return "…"
    return redact(repr(value))
