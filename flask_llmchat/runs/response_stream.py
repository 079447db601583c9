"""One provider's answer on its way in: opened, read as events, closed."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..core.errors import ChatError, StreamErrorEvent
from ..core.events import Event
from ..protocols.base import ResponseParser
from ..protocols.body_decoder import WHOLE, BodyDecoder, NotAResponse
from ..protocols.errors import PlainText, message_in, parse_json, upstream_request_id
from ..protocols.json_values import read_json
from ..protocols.sse import EventTooLarge
from ..transport.watchdog import CancelToken
from .client import send
from .upstream_request import UpstreamRequest

_AFTER_FINISH = 5.0
"""Seconds to wait for the token count after the provider's own ending."""


_DRAIN = 0.2
"""Seconds the rest of a complete answer's body may take, for its connection to be kept."""


_LONGEST_ERROR = 64 * 2**10  # bytes of an error that are looked at


_LONGEST_ANSWER = 64 * 2**20
"""Bytes one answer may have in all: many images fit, a provider gone mad does not."""


class ResponseStream:
    """The response of one upstream request: an event source that is open once it is made.

    :param request: what to send.
    :param parser: what parses its server-sent events.
    :param cancel: the chat's; it ends the waiting.
    :param on_retry: called with the error of each attempt that is repeated.
    :ivar request_id: the provider's id of the call.
    :raises ChatError: when the provider cannot be reached, or refuses.
    """

    def __init__(
        self,
        request: UpstreamRequest,
        parser: ResponseParser,
        cancel: CancelToken,
        *,
        on_retry: Callable[[ChatError], None] = lambda error: None,
    ) -> None:
        # The prompt is not needed for as long as the response.
        self._request = replace(request, body={})
        self._parser = parser
        self._failure: ChatError | None = None
        self._closed = False
        self._received = 0
        self._left: float | None = None  # of the wait for an event, seconds
        self._cancel = cancel
        self._body = send(request, cancel, on_retry)
        try:
            import httpx2  # here already, with the SDK; looked up once, and not for every read

            self._http_failures = (httpx2.HTTPError, OSError)
            self.request_id = upstream_request_id(self._body.headers, request.secrets)
            self._content_type = self._body.headers.get("content-type", "text/event-stream")
            self._decoder = BodyDecoder(self._content_type)
        except BaseException:
            self.close()
            raise

    def read(self, timeout: float | None = None) -> list[Event] | None:
        """Return the next events; an empty list means that the answer is complete.

        :param timeout: seconds after which None is returned if no event has come. The next
            call goes on waiting where this one was.
        :raises ChatError: when it is no answer, or broke off, and why.
        """
        if self._failure is not None:
            raise self._failure
        now = time.monotonic()
        until = math.inf if timeout is None else now + timeout
        self._cancel.idle_deadline = now + (self._left or self._longest_wait())
        try:
            while not self._parser.done:
                piece = self._next_piece(timeout)
                now = time.monotonic()
                if piece is not None and (events := self._events_in(piece, now)):
                    self._left = None
                    return events
                if now >= until:
                    self._left = max(self._cancel.idle_deadline - now, 0.001)
                    return None
                if timeout is not None:
                    timeout = until - now
            return self._finished()
        finally:
            self._cancel.idle_deadline = math.inf

    def _finished(self) -> list[Event]:
        try:
            return self._parser.finish()
        except StreamErrorEvent as error:
            self._failure = self._error_from(error.body)
            raise self._failure from None

    def _longest_wait(self) -> float:
        wait = self._request.read_timeout
        return wait if self._parser.finish_reason is None else min(_AFTER_FINISH, wait)

    def _next_piece(self, wait: float | None) -> bytes | None:
        """Return the next bytes; b"" is the end of the body, and None means: not yet."""
        failure: Exception | None = None
        try:
            if piece := self._body.read(wait):
                self._received += len(piece)
                if self._received > _LONGEST_ANSWER:
                    raise self._unreadable()
                return piece
        except self._http_failures as error:
            failure = error
        if self._cancel.reason is not None:
            failure = failure or EOFError()
        elif isinstance(failure, TimeoutError) or not (failure or self._body.ended):
            return None
        if failure is None or self._parser.finish_reason is not None:
            return b""  # once the provider has said how it ended, the rest may be missing
        raise self._explain(failure) from None

    def _explain(self, failure: Exception) -> ChatError:
        import httpx2

        if self._cancel.reason is not None:
            return self._request.interrupted(self._cancel)
        if isinstance(failure, httpx2.DecodingError):
            return self._unreadable()
        return self._truncated()

    def _events_in(self, piece: bytes, now: float) -> list[Event]:
        events = self._parse(self._feed(piece), now)
        if not piece and not events:
            self._require_ending()
        return events

    def _feed(self, piece: bytes) -> list[tuple[str, bytes]]:
        try:
            if piece:
                return self._decoder.feed(piece)
            # What stands there without its blank line may have been cut.
            return [event for event in self._decoder.finish() if _is_whole(event)]
        except EventTooLarge:
            raise self._unreadable() from None
        except NotAResponse:
            # Nothing in it is about an error.
            raise self._error_from(
                PlainText(f"not an event stream but {self._content_type}")
            ) from None

    def _parse(self, sse_events: list[tuple[str, bytes]], now: float) -> list[Event]:
        """Parse what came; a failure in the middle is raised after the events before it."""
        events: list[Event] = []
        is_alive = False
        try:
            for name, data in sse_events:
                found = self._parse_one(name, data)
                if found is not None:
                    is_alive = True
                    events += found
                if self._parser.done:
                    break
        except ChatError as error:
            if not events:
                raise
            self._failure = error
        if is_alive:  # what only keeps a connection open is no progress
            self._cancel.idle_deadline = now + self._longest_wait()
        return events

    def _parse_one(self, name: str, data: bytes) -> list[Event] | None:
        """Return what one event brings; None for one that holds nothing at all."""
        if "error" in name.lower():
            raise self._error_from(parse_json(data[:_LONGEST_ERROR]))
        try:
            if name == WHOLE:
                return self._parse_whole(data)
            return self._parser.parse(name, data)
        except StreamErrorEvent as error:
            is_long = len(data) > _LONGEST_ERROR
            body = parse_json(data[:_LONGEST_ERROR]) if is_long else error.body
            raise self._error_from(body) from None
        except (ValueError, RecursionError):
            raise self._unreadable() from None

    def _parse_whole(self, data: bytes) -> list[Event]:
        """Take a whole JSON response for a stream of one event, any other for an error's body."""
        events = self._parser.parse_whole(read_json(data), data)
        if events is None:
            raise self._error_from(parse_json(data[:_LONGEST_ERROR]))
        self._parser.done = True
        return events

    def _error_from(self, body: Any) -> ChatError:
        return self._request.error_from(body, None, self._body.headers)

    def _require_ending(self) -> None:
        """Take the end of the body for the end of the response, if the provider said it was."""
        if not self._parser.done and self._parser.finish_reason is None:
            unexpected = self._parser.unexpected()
            raise self._error_from(unexpected) if message_in(unexpected) else self._truncated()
        self._parser.done = True

    def _truncated(self) -> ChatError:
        return ChatError.of(
            "truncated",
            self._request.label,
            provider=self._request.provider,
            upstream_request_id=self.request_id,
        )

    def _unreadable(self) -> ChatError:
        return ChatError(
            f"{self._request.label} sent something that cannot be read.",
            "upstream_error",
            provider=self._request.provider,
            upstream_request_id=self.request_id,
        )

    def interruption(self) -> ChatError | None:
        """Return why the watch has ended the answer, if it has and the client had not left."""
        if self._cancel.reason in (None, "cancelled"):
            return None
        return self._request.interrupted(self._cancel)

    def close(self) -> None:
        """Let go of the connection: back to the pool after a whole answer, else dropped."""
        if self._closed:
            return
        self._closed = True
        if self._parser.done and self._cancel.reason is None:
            self._drain()
        self._body.close()

    def _drain(self) -> None:
        """Read what follows the answer, or the connection could not be used again."""
        until = time.monotonic() + _DRAIN
        with contextlib.suppress(*self._http_failures):
            while not self._body.ended and (left := until - time.monotonic()) > 0:
                self._body.read(left)


def _is_whole(event: tuple[str, bytes]) -> bool:
    name, data = event
    if "error" in name.lower() or name == WHOLE or data.strip() == b"[DONE]":
        return True
    try:
        return isinstance(read_json(data), dict)
    except (ValueError, RecursionError):
        return False
