"""How many chats run at once in this process: a slot for each."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..core.errors import ChatError
from ..core.server import Server
from ..transport.runtime import Slot, current_runtime, is_full
from .servers import server

if TYPE_CHECKING:
    from .state import AppState

logger = logging.getLogger("flask_llmchat")

_RETRY_AFTER = 2  # seconds: chats take about that long, and one of them has ended by then


def refuse_if_full(state: AppState) -> None:
    """Refuse a chat for which no slot is free, before anything else is done for it.

    :raises ChatError: with status 503.
    """
    if is_full(state.max_streams(_server())):
        raise _too_many()


def acquire_slot(state: AppState) -> Slot:
    """Take a slot for a chat.

    :raises ChatError: with status 503, when none is free.
    """
    try:
        return Slot(state.max_streams(_server()))
    except LookupError:
        raise _too_many() from None


def _server() -> Server:
    """Return the server of this process; the first chat finds it, and warns of an unfit one."""
    watchdog = current_runtime().watchdog
    if watchdog.server is None:
        watchdog.server = server()
        if watchdog.server.unfit:
            logger.warning("%s", watchdog.server.unfit)
    return watchdog.server


def _too_many() -> ChatError:
    return ChatError(
        "Too many chats are running at the moment. Please try again.",
        "overloaded",
        retry_after=_RETRY_AFTER,
    )
