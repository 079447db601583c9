"""The seam between where events come from and the body that writes them.

One upstream response is an event source. So is a loop of several responses with tools between
them, or a stored stream that is read again.
"""

from __future__ import annotations

from typing import Protocol

from ..core.errors import ChatError
from ..core.events import Event


class EventSource(Protocol):
    """Where the events of a chat come from."""

    def read(self, timeout: float | None = None) -> list[Event] | None:
        """Return the next events; an empty list, at every call from then on, is a complete response.

        :param timeout: seconds after which None is returned if no event has come. The next
            call goes on waiting where this one stopped.
        :raises ChatError: when the response broke off, and why.
        """

    def close(self) -> None:
        """Release everything it holds. It may be called at any time, and more than once."""

    def interruption(self) -> ChatError | None:
        """Return why reading was cut short: a deadline, a time-out, a stopping server.

        None when it was not, and when the client left.
        """
