"""A response that its provider pauses: further requests go on with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..core.errors import ChatError
from ..core.events import Event, Finish
from ..protocols import ResponseParser
from .event_source import EventSource
from .upstream_request import UpstreamRequest

MAX_CONTINUATIONS = 8
"""How often one response is continued. After that it ends as one that is too long."""


class ContinuedResponse:
    """An event source over one response, in as many requests as its provider pauses it for.

    :param source: the response to the first request.
    :param parser: its parser, which has ``continue_body``.
    :param request: the first request.
    :param open_next: sends a further request; returns its response and the parser of that.
    """

    def __init__(
        self,
        source: EventSource,
        parser: Any,
        request: UpstreamRequest,
        open_next: Callable[[UpstreamRequest], tuple[EventSource, ResponseParser]],
    ) -> None:
        self._source = source
        self._parser = parser
        self._request = request
        self._open_next = open_next
        self._continued = 0

    def read(self, timeout: float | None = None) -> list[Event] | None:
        """Return the next events; an empty list when the response is complete."""
        events = self._source.read(timeout)
        while events == [] and (body := self._parser.continue_body(self._request.body)):
            if self._continued == MAX_CONTINUATIONS:
                self._parser = _Ended
                return [Finish("length")]
            self._continued += 1
            self._source.close()
            self._request = replace(self._request, body=body)
            self._source, self._parser = self._open_next(self._request)
            self._parser.goes_on = True
            events = self._source.read(timeout)
        return events

    def interruption(self) -> ChatError | None:
        """Return why the watchdog has ended the response, if not because the client left."""
        return self._source.interruption()

    def close(self) -> None:
        """Release the connection."""
        self._source.close()


class _Ended:
    """The parser of a response that is not continued any more."""

    @staticmethod
    def continue_body(body: Any) -> None:
        """Return None."""
