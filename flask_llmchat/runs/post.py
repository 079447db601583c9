"""Posts one request to a provider, through the official SDK's client.

The SDK builds the request and sends it; the result is the raw response. Everything that differs
between users (address, key, organization) goes with the single request, and nothing of the
environment's own OpenAI settings does. The transport adds the keys, below the SDK.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ..core.errors import ChatError, redact
from ..protocols.errors import parse_json
from ..transport.watchdog import CancelToken
from .sdk import sdk_client, transport_options
from .upstream_request import UpstreamRequest

if TYPE_CHECKING:
    import httpx2

    from ..transport.response_body import ResponseBody


class FailedAttempt(Exception):
    """One attempt that failed.

    :param error: how.
    :param may_pass: whether a retry may succeed.
    :param body: the JSON of the provider's error; None when it has sent none.
    """

    def __init__(self, error: ChatError, *, may_pass: bool, body: Any = None) -> None:
        super().__init__()
        self.error = error
        self.may_pass = may_pass
        self.body = body


def post(request: UpstreamRequest, cancel: CancelToken) -> ResponseBody:
    """Post a request; return the body of the response once its head has come.

    :param cancel: the cancel token of the chat: it ends every wait.
    :raises FailedAttempt: when the provider cannot be reached, is too slow, or refuses.
    """
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
        current_options.set(transport_options(request, cancel))
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
                    "Accept-Encoding": "identity",  # events of a few bytes gain nothing
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
        raise FailedAttempt(request.timed_out(), may_pass=connecting) from None
    except openai.APIConnectionError as error:
        cause = error.__cause__
        if isinstance(cause, TrustStoreError):  # which the SDK takes for a network error
            raise _untrusting(request, cause) from None
        detail = f"{request.url} could not be reached: {type(cause).__name__}: {cause}"
        if request.public_only:
            # The same for an unknown name and for one inside our own network: a user who may
            # enter addresses must not learn which names exist.
            hidden = ChatError(
                f"{request.row.label} endpoint could not be reached at a public address. Please"
                " check its address.",
                provider=request.row.name,
                detail=redact(detail, request.secrets),
            )
            raise FailedAttempt(hidden, may_pass=False) from None
        unreachable = ChatError(
            f"{request.row.label} could not be reached. Please try again.",
            "upstream_error",
            provider=request.row.name,
            detail=redact(detail, request.secrets),
        )
        raise FailedAttempt(unreachable, may_pass=True) from None
    except openai.APIStatusError as error:
        # error.body lacks the fields beside "error", and some providers put their code there.
        body = parse_json(error.response.content)
        refusal = request.error_from(body, error.status_code, error.response.headers)
        if error.status_code in (404, 405):  # most often the address is wrong
            refusal.detail = f"{redact(request.url, request.secrets)}: {refusal.detail}"
        may_pass = _may_pass(error.response, refusal)
        raise FailedAttempt(refusal, may_pass=may_pass, body=body) from None
    except TrustStoreError as error:
        raise _untrusting(request, error) from None
    except (httpx2.InvalidURL, UnicodeError):
        nowhere = ChatError(
            f"{request.row.label} cannot be called: its address is not valid.",
            provider=request.row.name,
        )
        raise FailedAttempt(nowhere, may_pass=False) from None
    finally:
        current_options.reset(before)


def _untrusting(request: UpstreamRequest, error: Exception) -> FailedAttempt:
    failure = ChatError(
        f"{request.row.label} cannot be called: this server is not set up for it.",
        "internal",
        provider=request.row.name,
        detail=redact(str(error), request.secrets),
    )
    return FailedAttempt(failure, may_pass=False)


# Whatever their status: the same request would fail again.
_WILL_NOT_PASS = ("out_of_credit", "bad_key", "context_too_long", "content_filtered")


def _may_pass(response: httpx2.Response, error: ChatError) -> bool:
    if error.code in _WILL_NOT_PASS or response.headers.get("x-should-retry") == "false":
        return False
    status = response.status_code
    return status in (408, 409) or status >= 500 or (status == 429 and error.code == "rate_limited")
