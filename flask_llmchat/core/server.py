"""The WSGI server that runs this process, as far as a chat depends on it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Server:
    """What serves this process's requests.

    :param threads: how many requests it handles at once; None when threads do not bound that.
    :param grace: seconds that requests have left once it stops.
    :param is_stopping: tells whether it does.
    :param unfit: why it should not serve chats, and what to do; "" where it may.
    """

    threads: int | None = None
    grace: float = math.inf
    is_stopping: Callable[[], bool] = bool
    unfit: str = ""
