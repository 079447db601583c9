"""The seam between the source of a chat's events and the body that encodes them.

One upstream response is an event source. So is a loop of several responses with tools between
them, or a stored stream that is replayed.
"""

from __future__ import annotations

from typing import Protocol

from ..core.errors import ChatError
from ..core.events import Event


class EventSource(Protocol):
    """Where the events of a chat come from. One thread or greenlet at a time reads it."""

    def read(self, timeout: float | None = None) -> list[Event] | None:
        """Wait for the next events and return them.

        :param timeout: seconds to wait; None waits until an event or the end comes.
        :return: the next events, at least one; None when the timeout has passed without any,
            after which reading goes on with the next call; ``[]`` when the chat is complete, at
            this call and every further one.
        :raises ChatError: when the response is an error or broke off. The body then calls
            :meth:`close`.
        """

    def close(self) -> None:
        """Release everything it holds. It may be called at any time, and more than once."""

    def interruption(self) -> ChatError | None:
        """Return the error, if reading was cut short by a deadline, a timeout or a server stop.

        None when it was not cut short, and when the client left. It is called after
        :meth:`close`.
        """
