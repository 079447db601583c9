"""Base URLs: checking what an operator or a user typed."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from .keys import clean_key

MOST_CHARACTERS = 2000
"""How long an address may be: urlsplit() keeps the last hundred or so, and users type them."""


# Where an API is asked for something. What stands before it is the address of the API.
_OPERATION = re.compile(r"/(?:(?:chat/)?completions|responses|messages|embeddings)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """Where an API is.

    :param url: up to and without ``/chat/completions``, and without a slash at its end.
    :param api_version: what ``?api-version=`` says, which Azure and gateways to it want.
    """

    url: str
    api_version: str = ""

    @property
    def host(self) -> str:
        """The name of the server."""
        return urlsplit(self.url).hostname or ""

    @property
    def path(self) -> str:
        """What follows the server's name."""
        return urlsplit(self.url).path

    @property
    def query(self) -> dict[str, str]:
        """What is added to every URL of the API."""
        return {"api-version": self.api_version} if self.api_version else {}

    def with_path(self, path: str) -> Address:
        """Return the same with another path."""
        return replace(self, url=self.url.removesuffix(self.path) + path)

    def __str__(self) -> str:
        """Return it as one text, which :func:`read_address` reads again."""
        return f"{self.url}?{urlencode(self.query)}" if self.query else self.url


def read_address(text: str) -> Address:
    """Read an address; white space, slashes and an operation at its end are understood.

    :raises ValueError: whose text goes on after "The address …": what is wrong with it.
    """
    text = clean_key(text)
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"is longer than {MOST_CHARACTERS} characters")
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
    scheme, rest = base.split("://", 1)  # which clients want in lower case
    path = _OPERATION.sub("", rest.rstrip("/")).rstrip("/")
    return Address(f"{scheme.lower()}://{path}", "".join(versions))


from .errors import redact

# A URL's password stands before its host, and a key may stand anywhere behind that.
_PRIVATE = re.compile(r"://.*[:@/?#%]|:.*@", re.DOTALL)


def is_http_url(url: str) -> bool:
    """Tell whether ``url`` is one we can post to: http(s), a host, and no user or password."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        _ = parts.port  # a port that is no number is only noticed here
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and parts.username is None
        and url.isprintable()
        and " " not in url
        and "\\" not in url  # to some clients a slash, to others a letter of the host's name
    )


def _without_user(url: str) -> str:
    return re.sub(r"//[^/]*@", "//", url, count=1)


def shown(value: Any) -> str:
    """Return a value as an error may show it; "…" for all but plain ones without a secret."""
    if not isinstance(value, str | int | float | None) or _PRIVATE.search(str(value)):
        return "…"
    return redact(repr(value))
