"""The official SDK's client: one per process, shared by all users."""

from __future__ import annotations

import os
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

from ..transport.runtime import current_runtime

if TYPE_CHECKING:
    import openai


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
        process.sdks.setdefault(public_only, _new_sdk(public_only=public_only))
    made: openai.OpenAI = process.sdks[public_only]
    return made


def _new_sdk(*, public_only: bool) -> openai.OpenAI:
    import openai  # with httpx2 and urllib3, 0.3 s: only chats need it, no other command

    from ..transport import ssrf
    from ..transport.transport import Transport

    omit: Any = openai.Omit()
    ambient = ["OpenAI-Organization", "OpenAI-Project", "Authorization"]
    # The SDK sends the headers in this variable to every provider.
    for line in os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n"):
        ambient.append(line.partition(":")[0].strip())
    # With a pool, a connection that a user's endpoint has closed would look like a wrong address.
    guarded: dict[str, Any] = (
        {"connect": ssrf.connect, "max_idle": 0, "proxies": False} if public_only else {}
    )
    transport = Transport(**guarded)
    current_runtime().transports.append(transport)
    http_client = openai.DefaultHttpxClient(
        transport=transport,
        follow_redirects=False,  # a redirect would send an api-key header and the chat elsewhere
        # A cookie of one user's response would be sent with the next user's chat.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
    )
    return openai.OpenAI(
        api_key="not-used",
        admin_api_key="",
        base_url="https://base-url-comes-with-the-call.invalid",
        organization="",
        project="",
        max_retries=0,
        default_headers={name: omit for name in [*ambient, *_TELEMETRY] if name},
        http_client=http_client,
    )
