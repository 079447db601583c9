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
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from ..core.errors import ChatError, redact
from ..protocols.errors import parse_json
from ..transport.watchdog import TICK, CancelToken

if TYPE_CHECKING:
    import httpx2

    from ..transport.response_body import ResponseBody
    from ..transport.transport import Sending
from .sdk import sdk_client
from .upstream_request import UpstreamRequest

logger = logging.getLogger("flask_llmchat")


_BACKOFF = 0.5  # seconds before the first repetition, doubled for each further one


_LONGEST_WAIT = 5.0  # seconds a provider may ask us to wait before we pass its error on instead


def send(call: UpstreamRequest, cancel: CancelToken) -> ResponseBody:
    """Post a call, and again if it fails in a way that may pass; return the answer's body.

    Repeated are failed connections, 408, 409, 5xx and a 429, unless what they say is about
    money, the key, or what was asked: at most ``max_retries`` times, and only while the deadline
    allows it.

    :param cancel: the chat's: it ends the waiting when the client leaves or time is up.
    :raises ChatError: when the provider cannot be reached, is too slow or refuses.
    """
    sdk_client(
        public_only=call.public_only
    )  # its making, in the first chat, is not the provider's time
    for attempt in range(call.max_retries + 1):
        cancel.idle_deadline = time.monotonic() + call.read_timeout
        try:
            return _post(call, cancel)
        except _Failed as failed:
            if cancel.reason is not None:
                raise call.interrupted(cancel) from None
            wait = _wait_before_retry(failed.error, attempt)
            last = attempt == call.max_retries or not failed.may_pass
            if last or wait is None or time.monotonic() + wait >= call.deadline:
                raise failed.error from None
            logger.info("chat %s is tried again: %s", call.request_id, failed.error.message)
            cancel.idle_deadline = math.inf
            _sleep(wait, cancel)
            if cancel.reason is not None:
                raise call.interrupted(cancel) from None
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


def _post(call: UpstreamRequest, cancel: CancelToken) -> ResponseBody:
    import httpx2
    import openai

    from ..transport.connection import TrustStoreError
    from ..transport.transport import current_token

    omit: Any = openai.Omit()
    left = max(call.deadline - time.monotonic(), 0.001)
    read = min(call.read_timeout, left)
    connect = min(call.connect_timeout, left)
    before = current_token.set(None)
    try:
        current_token.set(_private_part(call, cancel))
        response: Any = sdk_client(public_only=call.public_only).post(
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
        body: ResponseBody = response.extensions["body"]
        return body
    except openai.APITimeoutError as error:
        connecting = isinstance(error.__cause__, httpx2.ConnectTimeout | httpx2.PoolTimeout)
        raise _Failed(call.timed_out(), may_pass=connecting) from None
    except openai.APIConnectionError as error:
        cause = error.__cause__
        if isinstance(
            cause, TrustStoreError
        ):  # the first of the SDK's 3.x take it for one of the network
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
    except TrustStoreError as error:
        raise _untrusting(call, error) from None
    except (httpx2.InvalidURL, UnicodeError):
        nowhere = ChatError(
            f"{call.label} cannot be called: its address is not valid.", provider=call.provider
        )
        raise _Failed(nowhere, may_pass=False) from None
    finally:
        current_token.reset(before)


def _private_part(call: UpstreamRequest, cancel: CancelToken) -> Sending:
    """Return what of a call the SDK is not given, so that it cannot log it."""
    from ..transport.transport import Sending

    return Sending(
        cancel,
        [(name.encode("ascii"), value.encode("ascii")) for name, value in call.headers.items()],
        urlencode(call.query).encode(),
        tuple(secret.encode() for secret in call.secrets if len(secret) >= 4),
    )


def _untrusting(call: UpstreamRequest, error: Exception) -> _Failed:
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
