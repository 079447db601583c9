"""The official SDK's clients: one per process for all chats, and one for each host's own calls."""

from __future__ import annotations

import math
import os
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from ..core.request import ChatRequest
from ..models import Model
from ..providers import Provider
from ..transport.runtime import current_runtime
from ..transport.watchdog import CancelToken
from .host import Host
from .upstream_request import UpstreamRequest, request_to, target_for

if TYPE_CHECKING:
    import httpx2
    import openai

    from ..transport.transport import Transport, TransportOptions


# The SDK's telemetry headers identify this machine to every provider, and cost several us each.
_TELEMETRY = [
    f"X-Stainless-{what}"
    for what in ("Async", "Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version")
]


def sdk_client(*, public_only: bool) -> openai.OpenAI:
    """Return this process's client, made when it is first needed (it takes 20 ms).

    :param public_only: whether it may call public internet addresses only.
    """
    process = current_runtime()
    if public_only not in process.sdks:
        # Two first chats at once may make two clients, and one is kept. No lock: in a worker
        # forked with --preload it would be a real one, and block all greenlets.
        made = _new_sdk(_transport(public_only=public_only), max_retries=0)
        process.sdks.setdefault(public_only, made)
    found: openai.OpenAI = process.sdks[public_only]
    return found


def user_client(host: Host, provider: Provider, profile: Any, model: str) -> openai.OpenAI:
    """Return a client for the host's own calls, with the address and the key of a user.

    It sends through the connections that chats use, and the key is added below it.

    :raises ChatError: when the key, or something else that the provider needs, is missing.
    """
    import openai

    from ..transport.user_transport import UserTransport

    # The SDK's own paths are those of these two.
    theirs = [name for name in ("responses", "chat_completions") if name in provider.protocols]
    row = provider.speaking(theirs[0]) if theirs else provider
    chat = ChatRequest(provider=row.name, model=model, messages=[], profile=profile)
    target, secrets = target_for(host, row, chat)
    request = request_to(
        host,
        row,
        target,
        Model(name=model),
        secrets=secrets,
        request_id="",
        url=target.base_url,
        body={},
        deadline=math.inf,
    )
    shared = _transport(public_only=request.public_only)
    return _new_sdk(
        UserTransport(shared, transport_options(request, CancelToken())),
        base_url=request.url,
        max_retries=request.max_retries,
        timeout=openai.Timeout(request.read_timeout, connect=request.connect_timeout),
    )


def transport_options(request: UpstreamRequest, cancel: CancelToken) -> TransportOptions:
    """Return the part of a request that the SDK does not see, so that it cannot log it."""
    from ..transport.transport import TransportOptions

    return TransportOptions(
        cancel,
        [(name.encode("ascii"), value.encode("ascii")) for name, value in request.headers.items()],
        urlencode(request.query).encode(),
        tuple(secret.encode() for secret in request.secrets if len(secret) >= 4),
    )


def _transport(*, public_only: bool) -> Transport:
    from ..transport import ssrf
    from ..transport.transport import Transport

    process = current_runtime()
    if public_only not in process.transports:
        # With a pool, a connection that a user's endpoint has closed would look like a wrong
        # address.
        guarded: dict[str, Any] = (
            {"connect": ssrf.connect, "max_idle": 0, "proxies": False} if public_only else {}
        )
        process.transports.setdefault(public_only, Transport(**guarded))
    return process.transports[public_only]


def _new_sdk(
    transport: httpx2.BaseTransport,
    base_url: str = "https://base-url-comes-with-the-call.invalid",
    **options: Any,
) -> openai.OpenAI:
    import openai  # with httpx2 and urllib3, 0.3 s: only chats need it, no other command

    omit: Any = openai.Omit()
    ambient = ["OpenAI-Organization", "OpenAI-Project"]
    # The SDK sends the headers in this variable to every provider.
    for line in os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n"):
        ambient.append(line.partition(":")[0].strip())
    # Not this one: the SDK insists on it, and the transport or the request replaces it.
    ambient = [name for name in ambient if name.lower() != "authorization"]
    http_client = openai.DefaultHttpxClient(
        transport=transport,
        follow_redirects=False,  # a redirect would send an api-key header and the chat elsewhere
        # A cookie of one user's response would be sent with the next user's chat.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
    )
    return openai.OpenAI(
        api_key="not-used",
        admin_api_key="",
        base_url=base_url,
        organization="",
        project="",
        default_headers={name: omit for name in [*ambient, *_TELEMETRY] if name},
        http_client=http_client,
        **options,
    )
