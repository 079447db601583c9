"""Reading a request safely: its body, its size, where it comes from."""

from __future__ import annotations

import uuid
from urllib.parse import urlsplit

from flask import Request, request

from ..core.errors import ChatError

_REQUEST_ID = "flask_llmchat.request_id"


def request_id() -> str:
    """Return our own id of this request, which is its chat's, too."""
    made: str = request.environ.setdefault(_REQUEST_ID, uuid.uuid4().hex)
    return made


def refuse_cross_site(request: Request, trusted: frozenset[str]) -> None:
    """Refuse what another site's page posted with the user's cookies.

    A browser asks first before it sends JSON to another site, but not for a body of another
    type; and ours is read whatever its type is, for the original front end says none.

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
    """Return the host, and port if there is one, that an origin names; "" for what is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
