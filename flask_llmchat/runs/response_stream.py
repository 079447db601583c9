"""The response of one upstream request: opened, read as events, closed."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..core.errors import ChatError, EmptyResponse, StreamErrorEvent
from ..core.events import Event
from ..protocols.base import ResponseParser
from ..protocols.body_decoder import WHOLE, BodyDecoder, NotAResponse
from ..protocols.errors import PlainText, message_in, parse_json, upstream_request_id
from ..protocols.json_values import read_json
from ..protocols.sse import EventTooLarge
from ..transport.watchdog import CancelToken
from .retry import send
from .upstream_request import UpstreamRequest

_AFTER_FINISH = 5.0
"""Seconds to wait for the token counts after the finish reason."""

_DRAIN = 0.2
"""Seconds that reading the rest of a complete response may take, to keep its connection."""

_MAX_ERROR = 64 * 2**10  # bytes of an error that are parsed

_MAX_RESPONSE = 64 * 2**20
"""Bytes that one response may have: many images fit, a faulty provider's endless one does not."""


class ResponseStream:
    """The response of one upstream request: an event source that is open once it is made.

    :param request: what to send.
    :param parser: what parses its server-sent events.
    :param cancel: the cancel token of the chat: it ends every wait.
    :param on_failure: called with the error of an attempt before the wait for its retry.
    :param on_retry: called when a retry begins.
    :param may_be_empty: whether a response without content is complete.
    :ivar upstream_request_id: the provider's id of the request.
    :raises ChatError: when the provider cannot be reached, or refuses.
    """

    def __init__(
        self,
        request: UpstreamRequest,
        parser: ResponseParser,
        cancel: CancelToken,
        *,
        on_failure: Callable[[ChatError], None] = lambda error: None,
        on_retry: Callable[[], None] = lambda: None,
        may_be_empty: bool = False,
    ) -> None:
        # The prompt is not needed for as long as the response.
        self._request = replace(request, body={})
        self._parser = parser
        self._may_be_empty = may_be_empty
        self._failure: ChatError | None = None
        self._ended = False  # the body has
        self._closed = False
        self._received = 0  # bytes
        self._left: float | None = None  # seconds of the idle timeout, after a read that timed out
        self._cancel = cancel
        self._body = send(request, cancel, on_failure, on_retry)
        try:
            import httpx2  # loaded already, with the SDK; looked up once, not for every read

            self._http_failures = (httpx2.HTTPError, OSError)
            self.upstream_request_id = upstream_request_id(self._body.headers, request.secrets)
            self._content_type = self._body.headers.get("content-type", "text/event-stream")
            self._decoder = BodyDecoder(self._content_type)
        except BaseException:
            self.close()
            raise

    def read(self, timeout: float | None = None) -> list[Event] | None:
        """Return the next events; an empty list when the response is complete.

        :param timeout: seconds after which None is returned if no event has come. The idle
            timeout goes on from there at the next call.
        :raises ChatError: when the response is an error, or broke off.
        """
        if self._failure is not None:
            raise self._failure
        now = time.monotonic()
        until = math.inf if timeout is None else now + timeout
        self._cancel.idle_deadline = now + (self._left or self._longest_wait())
        try:
            while not (self._ended or self._parser.done):
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
        """Return what the parser held back, if the response is complete.

        The end of the body is not the end of the response: that has a finish reason, or the
        protocol's last event.
        """
        complete = self._parser.done or self._parser.finish_reason is not None
        try:
            events = self._parser.finish()
        except StreamErrorEvent as error:
            if self._may_be_empty and isinstance(error, EmptyResponse):
                return []
            explained = complete or message_in(error.body)
            self._failure = self._error_from(error.body) if explained else self._truncated()
        else:
            if complete:
                return events
            self._failure = self._truncated()
        raise self._failure

    def _longest_wait(self) -> float:
        wait = self._request.read_timeout
        return wait if self._parser.finish_reason is None else min(_AFTER_FINISH, wait)

    def _next_piece(self, wait: float | None) -> bytes | None:
        """Return the next bytes; b"" at the end of the body, None when the wait is over."""
        failure: Exception | None = None
        try:
            if piece := self._body.read(wait):
                self._received += len(piece)
                if self._received > _MAX_RESPONSE:
                    raise self._unreadable()
                return piece
        except self._http_failures as error:
            failure = error
        if self._cancel.reason is not None:
            failure = failure or EOFError()
        elif isinstance(failure, TimeoutError) or not (failure or self._body.ended):
            return None
        if failure is None or self._parser.finish_reason is not None:
            return b""  # after the finish reason, the rest may be missing
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
            self._ended = True
        return events

    def _feed(self, piece: bytes) -> list[tuple[str, bytes]]:
        try:
            if piece:
                return self._decoder.feed(piece)
            # An event without its blank line may have been cut.
            return [event for event in self._decoder.finish() if _is_whole(event)]
        except EventTooLarge:
            raise self._unreadable() from None
        except NotAResponse:
            # Such a body has no error message.
            raise self._error_from(
                PlainText(f"not an event stream but {self._content_type}")
            ) from None

    def _parse(self, sse_events: list[tuple[str, bytes]], now: float) -> list[Event]:
        """Parse events; an error among them is raised by the read after those before it."""
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
        if is_alive:  # heartbeats do not restart the idle timeout
            self._cancel.idle_deadline = now + self._longest_wait()
        return events

    def _parse_one(self, name: str, data: bytes) -> list[Event] | None:
        """Return the events of one server-sent event; None for a heartbeat."""
        if "error" in name.lower():
            raise self._error_from(parse_json(data[:_MAX_ERROR]))
        try:
            if name == WHOLE:
                return self._parse_whole(data)
            return self._parser.parse(name, data)
        except StreamErrorEvent as error:
            is_long = len(data) > _MAX_ERROR and not error.is_small
            body = parse_json(data[:_MAX_ERROR]) if is_long else error.body
            raise self._error_from(body) from None
        except (ValueError, RecursionError):
            raise self._unreadable() from None

    def _parse_whole(self, data: bytes) -> list[Event]:
        """Parse a whole response that came as JSON; any other JSON is an error body."""
        events = self._parser.parse_whole(read_json(data), data)
        if events is None:
            raise self._error_from(parse_json(data[:_MAX_ERROR]))
        return events

    def _error_from(self, body: Any) -> ChatError:
        return self._request.error_from(body, None, self._body.headers)

    def _truncated(self) -> ChatError:
        return ChatError.of("truncated", self._request.row.label, **self._sender())

    def _unreadable(self) -> ChatError:
        label = self._request.row.label
        return ChatError(
            f"{label} sent something that cannot be read.", "upstream_error", **self._sender()
        )

    def _sender(self) -> dict[str, Any]:
        return {
            "provider": self._request.row.name,
            "upstream_request_id": self.upstream_request_id,
        }

    def interruption(self) -> ChatError | None:
        """Return why the watchdog has ended the response, if not because the client left."""
        return self._request.interruption(self._cancel)

    def close(self) -> None:
        """Release the connection: to the pool after a complete response, otherwise close it."""
        if self._closed:
            return
        self._closed = True
        if self._parser.done and self._cancel.reason is None:
            self._drain()
        self._body.close()

    def _drain(self) -> None:
        """Read the rest of the body: otherwise the connection cannot serve another request."""
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
