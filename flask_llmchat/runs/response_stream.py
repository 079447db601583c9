"""One provider's answer on its way in: opened, read as events, closed."""

from __future__ import annotations

import contextlib
import json
import math
import re
import socket
import time
from dataclasses import replace
from typing import Any, Protocol

from jiter import from_json  # a quarter of json's time, and here already: the SDK's own

from ..core.errors import ChatError, StreamErrorEvent
from ..core.events import Event
from ..protocols.body_decoder import WHOLE, BodyDecoder, NotAResponse
from ..protocols.errors import PlainText, message_in, parse_json, upstream_request_id
from ..protocols.sse import EventTooLarge
from ..transport.runtime import current_runtime
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


_MOST_ITEMS = 2**18
"""Values that the JSON of one event may have, for each takes up to 230 bytes when it is read.

An image is one value of many bytes; the token probabilities of a whole completion are many values.
"""


# What servers send so that a connection is not taken for dead, besides comments.
_HEARTBEAT = re.compile(rb"\W*(ping|pong|heart[ _-]?beat|keep[ _-]?alive)\b", re.IGNORECASE)


class Parser(Protocol):
    """What turns the chunks of one answer into events."""

    finish_reason: str | None

    def read(self, chunk: Any, data: bytes) -> list[Event]:
        """Take the next chunk, and its JSON as it came; return what it brings."""

    def finish(self) -> list[Event]:
        """Return what was held back, now that there are no more chunks.

        :raises ErrorChunk: when they are no whole answer.
        """

    def instead(self) -> list[Any]:
        """Return what came instead of an answer; [] when there is one, or nothing came."""


class ResponseStream:
    """An open answer. :meth:`read` gives its events; :meth:`close` has to follow.

    :param call: what to send.
    :param reader: what to read the chunks with.
    :param client: the client's connection, if the server shows it; when it closes, so is
        the answer.
    :raises ChatError: when the provider cannot be reached, or refuses.
    """

    def __init__(
        self, call: UpstreamRequest, reader: Parser, client: socket.socket | None = None
    ) -> None:
        self._call = replace(call, body={})  # the prompt is not needed for as long as the answer
        self._reader = reader
        self._failure: ChatError | None = None
        self._done = False
        self._closed = False
        self._received = 0
        self._left: float | None = None  # of the wait for an event, seconds
        self._cancel = CancelToken(client, call.deadline)
        self._watchdog = current_runtime().watchdog
        try:
            self._watchdog.add(self._cancel)
            self._body = send(call, self._cancel)
        except BaseException:
            self._watchdog.remove(self._cancel)
            raise
        try:
            import httpx2  # here already, with the SDK; looked up once, and not for every read

            self._http_failures = (httpx2.HTTPError, OSError)
            self.request_id = upstream_request_id(self._body.headers, call.secrets)
            self._content_type = self._body.headers.get("content-type", "text/event-stream")
            self._events = BodyDecoder(self._content_type)
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
            while not self._done:
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
            return self._reader.finish()
        except StreamErrorEvent as error:
            self._failure = self._error_from(error.body)
            raise self._failure from None

    def _longest_wait(self) -> float:
        wait = self._call.read_timeout
        return wait if self._reader.finish_reason is None else min(_AFTER_FINISH, wait)

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
        if failure is None or self._reader.finish_reason is not None:
            return b""  # once the provider has said how it ended, the rest may be missing
        raise self._explain(failure) from None

    def _explain(self, failure: Exception) -> ChatError:
        import httpx2

        if self._cancel.reason is not None:
            return self._call.interrupted(self._cancel)
        if isinstance(failure, httpx2.DecodingError):
            return self._unreadable()
        return self._truncated()

    def _events_in(self, piece: bytes, now: float) -> list[Event]:
        events = self._normalise(self._feed(piece), now)
        if not piece and not events:
            self._require_ending()
        return events

    def _feed(self, piece: bytes) -> list[tuple[str, bytes]]:
        try:
            if piece:
                return self._events.feed(piece)
            # What stands there without its blank line may have been cut.
            return [event for event in self._events.finish() if _is_whole(event)]
        except EventTooLarge:
            raise self._unreadable() from None
        except NotAResponse:
            # Nothing in it is about an error.
            raise self._error_from(
                PlainText(f"not an event stream but {self._content_type}")
            ) from None

    def _normalise(self, sse_events: list[tuple[str, bytes]], now: float) -> list[Event]:
        """Read what the provider told; a failure among it comes after what came before it."""
        events: list[Event] = []
        is_alive = False
        try:
            for name, data in sse_events:
                if data.strip() == b"[DONE]":
                    self._done = True
                    break
                found = self._read_chunk(name, data)
                if found is not None:
                    is_alive = True
                    events += found
        except ChatError as error:
            if not events:
                raise
            self._failure = error
        if is_alive:  # what only keeps a connection open is no progress
            self._cancel.idle_deadline = now + self._longest_wait()
        return events

    def _read_chunk(self, name: str, data: bytes) -> list[Event] | None:
        """Return what one event brings; None for one that holds nothing at all."""
        if name and name != WHOLE:
            if "error" in name.lower():
                raise self._error_from(parse_json(data[:_LONGEST_ERROR]))
            # A name of the provider's own: its words are for others, its JSON may be a chunk.
            words = name != "message" and not data.lstrip().startswith(b"{")
            if words or _HEARTBEAT.match(name.encode()):
                return None
        try:
            chunk = _read_json(data)
        except (ValueError, RecursionError):
            if not data.strip() or _HEARTBEAT.match(data):
                return None
            raise self._unreadable() from None
        if name == WHOLE:
            self._done = self._has_answer(chunk, data)
        elif not chunk:  # null, [] or {}
            return None
        try:
            return self._reader.read(chunk, data)
        except StreamErrorEvent as error:
            is_long = len(data) > _LONGEST_ERROR
            body = parse_json(data[:_LONGEST_ERROR]) if is_long else error.body
            raise self._error_from(body) from None
        except (ValueError, RecursionError):
            raise self._unreadable() from None

    def _has_answer(self, whole: Any, data: bytes) -> bool:
        """Take a whole completion for a stream of one chunk, and the rest for an error's body."""
        if isinstance(whole, dict) and whole.get("choices"):
            return True
        raise self._error_from(parse_json(data[:_LONGEST_ERROR]))

    def _error_from(self, body: Any) -> ChatError:
        return self._call.error_from(body, None, self._body.headers)

    def _require_ending(self) -> None:
        """Take the end of the body for the end of the answer, if the provider said it was one."""
        if not self._done and self._reader.finish_reason is None:
            instead = self._reader.instead()
            raise self._error_from(instead) if message_in(instead) else self._truncated()
        self._done = True

    def _truncated(self) -> ChatError:
        return ChatError.of(
            "truncated",
            self._call.label,
            provider=self._call.provider,
            upstream_request_id=self.request_id,
        )

    def _unreadable(self) -> ChatError:
        return ChatError(
            f"{self._call.label} sent something that cannot be read.",
            "upstream_error",
            provider=self._call.provider,
            upstream_request_id=self.request_id,
        )

    def interruption(self) -> ChatError | None:
        """Return why the watch has ended the answer, if it has and the client had not left."""
        if self._cancel.reason in (None, "cancelled"):
            return None
        return self._call.interrupted(self._cancel)

    def close(self) -> None:
        """Let go of the connection: back to the pool after a whole answer, else dropped."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._done and self._cancel.reason is None:
                self._drain()
            self._body.close()
        finally:
            self._watchdog.remove(self._cancel)

    def _drain(self) -> None:
        """Read what follows the answer, or the connection could not be used again."""
        until = time.monotonic() + _DRAIN
        with contextlib.suppress(*self._http_failures):
            while not self._body.ended and (left := until - time.monotonic()) > 0:
                self._body.read(left)


def _read_json(data: bytes) -> Any:
    """Parse the data of an event.

    :raises ValueError: when it is no JSON, or has too many values.
    """
    if len(data) > _MOST_ITEMS and sum(map(data.count, (b",", b"{", b"["))) > _MOST_ITEMS:
        raise ValueError(f"more than {_MOST_ITEMS} values")
    try:
        # Names of fields alone are kept, of up to 63 bytes, and 16,384 of them at most.
        return from_json(data, cache_mode="keys")
    except ValueError:
        return json.loads(data)  # which takes half a character, for one


def _is_whole(event: tuple[str, bytes]) -> bool:
    name, data = event
    if "error" in name.lower() or name == WHOLE or data.strip() == b"[DONE]":
        return True
    try:
        return isinstance(_read_json(data), dict)
    except (ValueError, RecursionError):
        return False
