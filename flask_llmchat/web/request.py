"""A request's id, and the site it comes from."""

from __future__ import annotations

import uuid
from urllib.parse import urlsplit

from flask import request

from ..core.errors import ChatError

_REQUEST_ID = "flask_llmchat.request_id"


def request_id() -> str:
    """Return our own id of this request, which is also the id of its chat."""
    made: str = request.environ.setdefault(_REQUEST_ID, uuid.uuid4().hex)
    return made


def refuse_cross_site(trusted: frozenset[str]) -> None:
    """Refuse a request that another site's page posts with the user's cookies.

    A browser sends a preflight request before it posts JSON to another site, but none for a body
    of another type. Our bodies are read whatever their type, because chatbot-ui sends none.

    :param trusted: the origins of other sites whose pages may post here.
    :raises ChatError: with status 403.
    """
    if request.mimetype == "application/json":
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if origin is not None and origin.lower() in trusted:
        return
    if site is None:
        foreign = origin is not None and _host_of(origin) != request.host.lower()
    else:
        foreign = site == "cross-site"
    if foreign:
        raise ChatError(
            "This request comes from another site. Send it as application/json, or name the"
            " site in LLMCHAT_TRUSTED_ORIGINS.",
            "no_permission",
        )


def _host_of(origin: str) -> str:
    """Return an origin's host, with its port if it has one; "" for an invalid origin."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
