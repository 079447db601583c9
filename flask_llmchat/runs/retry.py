"""Sends a request, and retries it when its failure may pass."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ..core.errors import ChatError
from ..transport.watchdog import TICK, CancelToken
from .post import FailedAttempt, post
from .sdk import sdk_client
from .upstream_request import UpstreamRequest

if TYPE_CHECKING:
    from ..transport.response_body import ResponseBody

logger = logging.getLogger("flask_llmchat")

_BACKOFF = 0.5  # seconds before the first retry, doubled for each further one

_MAX_AMENDMENTS = 3  # of one request

_MAX_WAIT = 5.0  # seconds: when a provider asks for more, its error is passed on instead


def send(
    request: UpstreamRequest,
    cancel: CancelToken,
    on_failure: Callable[[ChatError], None],
    on_retry: Callable[[], None],
) -> ResponseBody:
    """Post a request, and again if its failure may pass; return the body of the response.

    Failed connections, 408, 409, 5xx and a 429 are retried, unless their error is about money,
    the key or the prompt: at most ``max_retries`` times, and only before the deadline.

    :param cancel: the cancel token of the chat: it ends the wait when the client leaves or the
        deadline passes.
    :param on_failure: called with the error of an attempt before the wait for its retry.
    :param on_retry: called when a retry begins.
    :raises ChatError: when the provider cannot be reached, is too slow or refuses.
    """
    # The first chat makes the SDK's client: not within the provider's idle timeout.
    sdk_client(public_only=request.public_only)
    retries = amendments = 0
    while True:
        cancel.idle_deadline = time.monotonic() + request.read_timeout
        try:
            return post(request, cancel)
        except FailedAttempt as failed:
            if cancel.reason is not None:
                raise request.interrupted(cancel) from None
            if amendments < _MAX_AMENDMENTS and (amended := _amended(request, failed)):
                amendments += 1
                on_failure(failed.error)
                request = amended
                on_retry()
                continue
            wait = _wait_before_retry(failed.error, retries)
            last = retries == request.max_retries or not failed.may_pass
            if last or wait is None or time.monotonic() + wait >= request.deadline:
                raise failed.error from None
            on_failure(failed.error)
            logger.info("chat %s is tried again: %s", request.request_id, failed.error.message)
            cancel.idle_deadline = math.inf
            _sleep(wait, cancel)
            if cancel.reason is not None:
                raise request.interrupted(cancel) from None
            retries += 1
            on_retry()


def _amended(request: UpstreamRequest, failed: FailedAttempt) -> UpstreamRequest | None:
    """Return the request without what the provider has refused, if its protocol can tell."""
    amend = getattr(request.protocol, "amend_body", None)
    if amend is None or failed.body is None:
        return None
    body = amend(request.body, failed.body, request.headers)
    return None if body is None else replace(request, body=body)


def _sleep(seconds: float, cancel: CancelToken) -> None:
    until = time.monotonic() + seconds
    while cancel.reason is None and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, TICK))


def _wait_before_retry(error: ChatError, retries: int) -> float | None:
    """Return the seconds to wait; None when the provider asks for more than we wait.

    :param retries: how many there have been.
    """
    jitter = random.uniform(0.5, 1.0)  # or many chats would retry at once
    if error.retry_after is None:
        return _BACKOFF * float(2**retries) * jitter
    asked = float(error.retry_after)
    return asked + jitter if asked <= _MAX_WAIT else None
