"""The streaming body: reads events, writes bytes, and ends the chat once."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Iterator, Mapping

from ..core.errors import ChatError, StreamAborted
from ..core.events import ToolsStart
from ..core.result import ChatResult
from ..dialects.base import Encoder
from ..transport.runtime import Slot, current_runtime
from ..transport.watchdog import CancelToken
from .event_source import EventSource
from .kept_response import KeptResponse
from .recorder import ChatRecorder

logger = logging.getLogger("flask_llmchat")

_LOOK = 1.0  # seconds between two looks at whether a chat has its client, or may go on without


class StreamingBody:
    """The body of a streaming response. It owns the event source, and closes it.

    It iterates over bytes, one item for each read of the source. It holds no request and no
    Flask context. Call :meth:`start` first.

    :param cancel: the cancel token of the chat; the watchdog drops it once the body is closed.
    :param heartbeat: seconds without an event after which the encoder's heartbeat is written.
    :param kept: keeps the response, which then goes on when its client leaves.
    :ivar slot: the chat's slot in the concurrency limit, released when the body is closed.
    """

    def __init__(
        self,
        source: EventSource,
        encoder: Encoder,
        recorder: ChatRecorder,
        cancel: CancelToken,
        *,
        heartbeat: float | None = None,
        kept: KeptResponse | None = None,
    ) -> None:
        self._source = source
        self._encoder = encoder
        self._recorder = recorder
        self._cancel = cancel
        self._watchdog = current_runtime().watchdog
        self._heartbeat = heartbeat if encoder.heartbeat else None
        self._wait = min(self._heartbeat or _LOOK, _LOOK)
        self.slot: Slot | None = None
        self._kept = kept
        self._first = b""
        self._begun = False
        self._sent = False  # whether a server has begun to send it

    @property
    def mimetype(self) -> str:
        """The media type of the body."""
        return self._encoder.mimetype

    @property
    def headers(self) -> Mapping[str, str]:
        """Further headers of the response."""
        return self._encoder.headers

    @property
    def result(self) -> ChatResult | None:
        """The result of the chat, once it has ended."""
        return self._recorder.result

    def start(self) -> None:
        """Wait for the first bytes: until they come, an error can still have a status.

        It does not wait for tools of the server: the view returns before they run. It does where
        the client gets nothing before the end: an error then still has a status, which tells the
        client not to send the chat, and run the tools, once more.

        :raises ChatError: when the response fails before its first bytes.
        """
        try:
            # Without heartbeats: they would be the first bytes.
            until_tools = not getattr(self._encoder, "whole", False)
            self._first = self._next(None, until_tools=until_tools) or b""
        except BaseException:
            self._source.close()
            raise
        self._begun = True

    def __iter__(self) -> Iterator[bytes]:
        """Return itself: a body is iterated over once."""
        return self

    def __next__(self) -> bytes:
        """Return the next bytes for the client."""
        self._sent = True
        if self._recorder.result is not None:
            raise StopIteration
        if self._first:
            first, self._first = self._first, b""
            return first
        if self._kept is None:
            data = self._advance(self._heartbeat)
            return self._encoder.heartbeat if data is None else data
        until = math.inf if self._heartbeat is None else time.monotonic() + self._heartbeat
        while (data := self._advance(self._wait)) is None:
            if self._cancel.client_left:
                raise StopIteration  # the connection is closed, and close() goes on
            if time.monotonic() >= until:
                return self._encoder.heartbeat
        return data

    def _advance(self, timeout: float | None) -> bytes | None:
        """Return the next bytes, those of the end among them; None when the timeout has passed."""
        try:
            data = self._next(timeout)
            if data is None or data:
                return data
        except ChatError as error:
            return self._break(error)
        except Exception:  # the client must not take the response for complete
            logger.exception("chat %s failed", self._recorder.request_id)
            return self._break(ChatError.of("internal"))
        # Before the end is written: the client's next chat finds this connection in the pool.
        self._source.close()
        if data := self._encoder.finish(self._recorder.finish_complete()):
            return data
        raise StopIteration

    def _next(self, timeout: float | None, *, until_tools: bool = False) -> bytes | None:
        """Return the next bytes for the client; b"" when the response is complete.

        :param timeout: seconds without an event after which None is returned.
        """
        while events := self._source.read(timeout):
            self._recorder.observe(events)
            if data := self._encoder.encode(events):
                return data
            if until_tools and any(isinstance(event, ToolsStart) for event in events):
                return b""
        return None if events is None else b""

    def _break(self, error: ChatError) -> bytes:
        self._source.close()
        self._recorder.finish_failed(error)
        if error.code == "cancelled":
            raise StopIteration  # the connection is closed
        if (data := self._encoder.fail(error)) is None:
            # The status is gone, so the server has to break the connection off.
            raise StreamAborted(
                f"chat {self._recorder.request_id} broke off ({error.code})"
            ) from None
        return data

    def close(self) -> None:
        """End the chat, wherever it is. The server always calls this."""
        try:
            if self._sent and self._recorder.result is None and self._kept is not None:
                self._read_on(self._kept)
        finally:  # this thread, or greenlet, may be made to end
            self._end()

    def _end(self) -> None:
        try:
            self._source.close()
            if self._begun:  # otherwise a fallback may be tried
                self._watchdog.remove(self._cancel)
                if self._recorder.result is None:
                    self._finish_unread()
        finally:  # a receiver may raise a BaseException
            if self._begun and self._kept is not None:
                self._kept.end()
            if self.slot is not None:
                self.slot.release()

    def _read_on(self, kept: KeptResponse) -> None:
        """Go on without the client that began the chat, for those who read its response later."""
        with contextlib.suppress(StopIteration, StreamAborted):
            while kept.goes_on() and self._recorder.result is None:
                self._advance(_LOOK)

    def _finish_unread(self) -> None:
        # A client that stops reading is cut off at the deadline; it has not left.
        if error := self._source.interruption():
            self._recorder.finish_failed(error)
        else:
            self._recorder.finish_cancelled()
        if self._kept is not None:
            self._encoder.fail(error or ChatError.of("cancelled"))

    def __del__(self) -> None:
        """Close a body that never reached a server, or a test client that closes none."""
        self._sent = False  # a garbage collection must not go on with the chat
        self.close()
