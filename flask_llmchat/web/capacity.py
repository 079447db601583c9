"""How many chats run at once in this process: a slot for each."""

from __future__ import annotations

import logging

from ..core.config import Config
from ..core.errors import ChatError
from ..transport.runtime import Slot, current_runtime, is_full
from .servers import server

logger = logging.getLogger("flask_llmchat")

_RETRY_AFTER = 2  # seconds: chats take about that long, and one of them has ended by then


def max_streams(config: Config) -> int | None:
    """Return how many chats this process may run at once; None for no limit.

    The first chat finds the server of this process, and warns of an unfit one.
    """
    watchdog = current_runtime().watchdog
    if watchdog.server is None:
        watchdog.server = server()
        if watchdog.server.unfit:
            logger.warning("%s", watchdog.server.unfit)
    threads = watchdog.server.threads
    if config.max_streams is not None or threads is None:
        return config.max_streams
    # Streams occupy their threads for long: some are left for the host's other requests.
    return max(1, threads - max(1, threads // 16))


def refuse_if_full(limit: int | None) -> None:
    """Raise a 503 when no slot is free, before anything else is done for a chat."""
    if is_full(limit):
        raise too_many()


def acquire_slot(limit: int | None) -> Slot:
    """Take a slot for a chat; raise a 503 when none is free."""
    try:
        return Slot(limit)
    except LookupError:
        raise too_many() from None


def too_many() -> ChatError:
    """Return the error for a chat, or a reader, that finds no slot."""
    return ChatError(
        "Too many chats are running at the moment. Please try again.",
        "overloaded",
        retry_after=_RETRY_AFTER,
    )
