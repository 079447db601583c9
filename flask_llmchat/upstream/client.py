"""Calls to providers, through one pooled openai SDK client per process.

The SDK builds the request and sends it; what comes back is the raw response. Everything
that tells users apart (address, key, organization) goes with the single call, and nothing
of the environment's own OpenAI settings does. Keys are added below the SDK, by the transport.
"""

from __future__ import annotations

import logging
import math
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from ..errors import ChatError, redact
from .errors import from_body, parse_json
from .process import current
from .watch import TICK, Watch

if TYPE_CHECKING:
    import httpx2
    import openai

    from .body import Body
    from .transport import Sending

logger = logging.getLogger("flask_llmchat")

# The SDK tells every provider what machine it runs on. Besides, each header costs several us.
_TELLTALES = [
    f"X-Stainless-{what}"
    for what in ("Async", "Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version")
]

_BACKOFF = 0.5  # seconds before the first repetition, doubled for each further one
_LONGEST_WAIT = 5.0  # seconds a provider may ask us to wait before we pass its error on instead


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a provider's chat-completions endpoint, ready to be sent.

    :param secrets: keys, which must not be told to anybody.
    :param tells_errors: whether the provider's own words may be shown to people.
    :param public_only: whether only public internet addresses may be called.
    :param deadline: :func:`time.monotonic` at which the chat has to be over.
    """

    provider: str
    label: str
    request_id: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str]
    body: Mapping[str, Any] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    connect_timeout: float
    read_timeout: float
    deadline: float
    max_retries: int
    tells_errors: bool = True
    public_only: bool = False

    def error_from(
        self, body: Any, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> ChatError:
        """Make our error of one that the provider told."""
        return from_body(
            body,
            status=status,
            headers=headers or {},
            label=self.label,
            provider=self.provider,
            secrets=self.secrets,
            tells=self.tells_errors,
        )

    def interrupted(self, watch: Watch) -> ChatError:
        """Make the error for a wait that the chat's watch has ended."""
        if watch.reason == "cancelled":
            watch.hang_up()
            return ChatError("The client left.", "cancelled", provider=self.provider)
        if watch.reason == "stopping":
            return ChatError(
                "The server is being restarted. Please try again.",
                "overloaded",
                provider=self.provider,
            )
        return self.timed_out()

    def timed_out(self) -> ChatError:
        """Make the error for a provider that kept us waiting too long."""
        if time.monotonic() >= self.deadline:
            return ChatError(
                f"{self.label} took longer than this chat may take.",
                "deadline",
                provider=self.provider,
            )
        return ChatError(
            f"{self.label} took too long to answer. Please try again.",
            "timeout",
            provider=self.provider,
        )


def _sdk(*, public_only: bool) -> openai.OpenAI:
    """Return this process's client, made when it is first needed (it takes 20 ms)."""
    process = current()
    if public_only not in process.sdks:
        # Two first chats at once may make two of them, and one is kept. No lock: in a worker
        # forked with --preload it would be a real one, and block all greenlets.
        process.sdks.setdefault(public_only, _new_sdk(public_only=public_only))
    return process.sdks[public_only]


def _new_sdk(*, public_only: bool) -> openai.OpenAI:
    import openai  # with httpx2 and urllib3, 0.3 s: paid by the first chat and no other command

    from . import public
    from .transport import Transport

    omit: Any = openai.Omit()
    ambient = ["OpenAI-Organization", "OpenAI-Project", "Authorization"]
    # The SDK sends the headers it finds here to every provider.
    for line in os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n"):
        ambient.append(line.partition(":")[0].strip())
    # A connection that a stranger's host has closed meanwhile would read as a wrong address.
    guarded: dict[str, Any] = (
        {"dial": public.dial, "most_idle": 0, "proxies": False} if public_only else {}
    )
    transport = Transport(**guarded)
    current().transports.append(transport)
    http_client = openai.DefaultHttpxClient(
        transport=transport,
        follow_redirects=False,  # a redirect would take an api-key header and the chat with it
        # A cookie set in one user's answer would go out with the next user's chat.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
    )
    return openai.OpenAI(
        api_key="not-used",
        admin_api_key="",
        base_url="https://base-url-comes-with-the-call.invalid",
        organization="",
        project="",
        max_retries=0,
        default_headers={name: omit for name in [*ambient, *_TELLTALES] if name},
        http_client=http_client,
    )


def send(call: Call, watch: Watch) -> Body:
    """Post a call, and again if it fails in a way that may pass; return the answer's body.

    Repeated are failed connections, 408, 409, 5xx and a 429, unless what they say is about
    money, the key, or what was asked: at most ``max_retries`` times, and only while the deadline
    allows it.

    :param watch: the chat's: it ends the waiting when the client leaves or time is up.
    :raises ChatError: when the provider cannot be reached, is too slow or refuses.
    """
    _sdk(public_only=call.public_only)  # its making, in the first chat, is not the provider's time
    for attempt in range(call.max_retries + 1):
        watch.quiet_until = time.monotonic() + call.read_timeout
        try:
            return _post(call, watch)
        except _Failed as failed:
            if watch.reason is not None:
                raise call.interrupted(watch) from None
            wait = _wait_before_retry(failed.error, attempt)
            last = attempt == call.max_retries or not failed.may_pass
            if last or wait is None or time.monotonic() + wait >= call.deadline:
                raise failed.error from None
            logger.info("chat %s is tried again: %s", call.request_id, failed.error.message)
            watch.quiet_until = math.inf
            _sleep(wait, watch)
            if watch.reason is not None:
                raise call.interrupted(watch) from None
    raise AssertionError("the last attempt returns or raises")


def _sleep(seconds: float, watch: Watch) -> None:
    until = time.monotonic() + seconds
    while watch.reason is None and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, TICK))


class _Failed(Exception):
    """One attempt that came to nothing."""

    def __init__(self, error: ChatError, *, may_pass: bool) -> None:
        super().__init__()
        self.error = error
        self.may_pass = may_pass


def _post(call: Call, watch: Watch) -> Body:
    import httpx2
    import openai

    from .connect import NoTrust
    from .transport import sending

    omit: Any = openai.Omit()
    left = max(call.deadline - time.monotonic(), 0.001)
    read = min(call.read_timeout, left)
    connect = min(call.connect_timeout, left)
    before = sending.set(None)
    try:
        sending.set(_private_part(call, watch))
        response: Any = _sdk(public_only=call.public_only).post(
            call.url,
            cast_to=httpx2.Response,
            body=call.body,
            options={
                "headers": {
                    "Authorization": omit,
                    "x-stainless-retry-count": omit,
                    "x-stainless-read-timeout": omit,
                    "Accept": "text/event-stream",
                    "Accept-Encoding": "identity",  # nothing to gain for events of a few bytes
                },
                "timeout": openai.Timeout(connect=connect, read=read, write=read, pool=connect),
                "follow_redirects": False,
            },
            stream=True,
            stream_cls=openai.Stream[Any],
        )
        body: Body = response.extensions["body"]
        return body
    except openai.APITimeoutError as error:
        connecting = isinstance(error.__cause__, httpx2.ConnectTimeout | httpx2.PoolTimeout)
        raise _Failed(call.timed_out(), may_pass=connecting) from None
    except openai.APIConnectionError as error:
        cause = error.__cause__
        if isinstance(cause, NoTrust):  # the first of the SDK's 3.x take it for one of the network
            raise _untrusting(call, cause) from None
        detail = f"{call.url} could not be reached: {type(cause).__name__}: {cause}"
        if call.public_only:
            # The same for a name that is not known and for one of our own network's: whoever
            # may type addresses must not learn which names lead somewhere.
            hidden = ChatError(
                f"{call.label} endpoint could not be reached at a public address. Please check"
                " its address.",
                provider=call.provider,
                detail=redact(detail, call.secrets),
            )
            raise _Failed(hidden, may_pass=False) from None
        unreachable = ChatError(
            f"{call.label} could not be reached. Please try again.",
            "upstream_error",
            provider=call.provider,
            detail=redact(detail, call.secrets),
        )
        raise _Failed(unreachable, may_pass=True) from None
    except openai.APIStatusError as error:
        # error.body lacks what stands beside "error", and some providers put their code there.
        body = parse_json(error.response.content)
        refusal = call.error_from(body, error.status_code, error.response.headers)
        if error.status_code in (404, 405):  # most often it is the address that is wrong
            refusal.detail = f"{redact(call.url, call.secrets)}: {refusal.detail}"
        raise _Failed(refusal, may_pass=_may_pass(error.response, refusal)) from None
    except NoTrust as error:
        raise _untrusting(call, error) from None
    except (httpx2.InvalidURL, UnicodeError):
        nowhere = ChatError(
            f"{call.label} cannot be called: its address is not valid.", provider=call.provider
        )
        raise _Failed(nowhere, may_pass=False) from None
    finally:
        sending.reset(before)


def _private_part(call: Call, watch: Watch) -> Sending:
    """Return what of a call the SDK is not given, so that it cannot log it."""
    from .transport import Sending

    return Sending(
        watch,
        [(name.encode("ascii"), value.encode("ascii")) for name, value in call.headers.items()],
        urlencode(call.query).encode(),
        tuple(secret.encode() for secret in call.secrets if len(secret) >= 4),
    )


def _untrusting(call: Call, error: Exception) -> _Failed:
    refused = ChatError(
        f"{call.label} cannot be called: this server is not set up for it.",
        "internal",
        provider=call.provider,
        detail=redact(str(error), call.secrets),
    )
    return _Failed(refused, may_pass=False)


# Whatever status they come with: the same question has the same answer.
_WILL_NOT_PASS = ("out_of_credit", "bad_key", "context_too_long", "content_filtered")


def _may_pass(response: httpx2.Response, error: ChatError) -> bool:
    if error.code in _WILL_NOT_PASS or response.headers.get("x-should-retry") == "false":
        return False
    status = response.status_code
    return status in (408, 409) or status >= 500 or (status == 429 and error.code == "rate_limited")


def _wait_before_retry(error: ChatError, attempt: int) -> float | None:
    """Return the seconds to wait; None when the provider asks for more than is bearable."""
    jitter = random.uniform(0.5, 1.0)  # or many chats would come back at once
    if error.retry_after is None:
        return _BACKOFF * float(2**attempt) * jitter
    try:
        asked = float(error.retry_after)
    except ValueError:  # a date
        return None
    return asked + jitter if asked <= _LONGEST_WAIT else None
