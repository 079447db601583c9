"""Calls to providers, through one pooled openai SDK client per process.

The SDK builds the request and sends it; what comes back is the raw response. Everything
that tells users apart (address, key, organization) goes with the single call, and nothing
of the environment's own OpenAI settings does. Keys are added below the SDK, by the transport.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from ..core.errors import ChatError, redact
from ..protocols.errors import parse_json
from ..transport.watchdog import TICK, CancelToken

if TYPE_CHECKING:
    import httpx2

    from ..transport.response_body import ResponseBody
    from ..transport.transport import TransportOptions
from .sdk import sdk_client
from .upstream_request import UpstreamRequest

logger = logging.getLogger("flask_llmchat")


_BACKOFF = 0.5  # seconds before the first repetition, doubled for each further one


_LONGEST_WAIT = 5.0  # seconds a provider may ask us to wait before we pass its error on instead


def send(
    request: UpstreamRequest, cancel: CancelToken, on_retry: Callable[[ChatError], None]
) -> ResponseBody:
    """Post a request, and again if it fails in a way that may pass; return the answer's body.

    Repeated are failed connections, 408, 409, 5xx and a 429, unless what they say is about
    money, the key, or what was asked: at most ``max_retries`` times, and only while the deadline
    allows it.

    :param cancel: the chat's: it ends the waiting when the client leaves or time is up.
    :param on_retry: called with the error of each attempt that is repeated.
    :raises ChatError: when the provider cannot be reached, is too slow or refuses.
    """
    sdk_client(public_only=request.public_only)  # made in the first chat: not the provider's time
    for attempt in range(request.max_retries + 1):
        cancel.idle_deadline = time.monotonic() + request.read_timeout
        try:
            return _post(request, cancel)
        except _Failed as failed:
            if cancel.reason is not None:
                raise request.interrupted(cancel) from None
            wait = _wait_before_retry(failed.error, attempt)
            last = attempt == request.max_retries or not failed.may_pass
            if last or wait is None or time.monotonic() + wait >= request.deadline:
                raise failed.error from None
            on_retry(failed.error)
            logger.info("chat %s is tried again: %s", request.request_id, failed.error.message)
            cancel.idle_deadline = math.inf
            _sleep(wait, cancel)
            if cancel.reason is not None:
                raise request.interrupted(cancel) from None
    raise AssertionError("the last attempt returns or raises")


def _sleep(seconds: float, cancel: CancelToken) -> None:
    until = time.monotonic() + seconds
    while cancel.reason is None and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, TICK))


class _Failed(Exception):
    """One attempt that came to nothing."""

    def __init__(self, error: ChatError, *, may_pass: bool) -> None:
        super().__init__()
        self.error = error
        self.may_pass = may_pass


def _post(request: UpstreamRequest, cancel: CancelToken) -> ResponseBody:
    import httpx2
    import openai

    from ..transport.connection import TrustStoreError
    from ..transport.transport import current_options

    omit: Any = openai.Omit()
    left = max(request.deadline - time.monotonic(), 0.001)
    read = min(request.read_timeout, left)
    connect = min(request.connect_timeout, left)
    before = current_options.set(None)
    try:
        current_options.set(_private_part(request, cancel))
        response: Any = sdk_client(public_only=request.public_only).post(
            request.url,
            cast_to=httpx2.Response,
            body=request.body,
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
        body: ResponseBody = response.extensions["body"]
        return body
    except openai.APITimeoutError as error:
        connecting = isinstance(error.__cause__, httpx2.ConnectTimeout | httpx2.PoolTimeout)
        raise _Failed(request.timed_out(), may_pass=connecting) from None
    except openai.APIConnectionError as error:
        cause = error.__cause__
        if isinstance(cause, TrustStoreError):  # which the SDK takes for one of the network
            raise _untrusting(request, cause) from None
        detail = f"{request.url} could not be reached: {type(cause).__name__}: {cause}"
        if request.public_only:
            # The same for a name that is not known and for one of our own network's: whoever
            # may type addresses must not learn which names lead somewhere.
            hidden = ChatError(
                f"{request.label} endpoint could not be reached at a public address. Please check"
                " its address.",
                provider=request.provider,
                detail=redact(detail, request.secrets),
            )
            raise _Failed(hidden, may_pass=False) from None
        unreachable = ChatError(
            f"{request.label} could not be reached. Please try again.",
            "upstream_error",
            provider=request.provider,
            detail=redact(detail, request.secrets),
        )
        raise _Failed(unreachable, may_pass=True) from None
    except openai.APIStatusError as error:
        # error.body lacks what stands beside "error", and some providers put their code there.
        body = parse_json(error.response.content)
        refusal = request.error_from(body, error.status_code, error.response.headers)
        if error.status_code in (404, 405):  # most often it is the address that is wrong
            refusal.detail = f"{redact(request.url, request.secrets)}: {refusal.detail}"
        raise _Failed(refusal, may_pass=_may_pass(error.response, refusal)) from None
    except TrustStoreError as error:
        raise _untrusting(request, error) from None
    except (httpx2.InvalidURL, UnicodeError):
        nowhere = ChatError(
            f"{request.label} cannot be called: its address is not valid.",
            provider=request.provider,
        )
        raise _Failed(nowhere, may_pass=False) from None
    finally:
        current_options.reset(before)


def _private_part(request: UpstreamRequest, cancel: CancelToken) -> TransportOptions:
    """Return what of a call the SDK is not given, so that it cannot log it."""
    from ..transport.transport import TransportOptions

    return TransportOptions(
        cancel,
        [(name.encode("ascii"), value.encode("ascii")) for name, value in request.headers.items()],
        urlencode(request.query).encode(),
        tuple(secret.encode() for secret in request.secrets if len(secret) >= 4),
    )


def _untrusting(request: UpstreamRequest, error: Exception) -> _Failed:
    refused = ChatError(
        f"{request.label} cannot be called: this server is not set up for it.",
        "internal",
        provider=request.provider,
        detail=redact(str(error), request.secrets),
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
    asked = float(error.retry_after)
    return asked + jitter if asked <= _LONGEST_WAIT else None
