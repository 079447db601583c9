"""``Server``: what a chat needs to know about the WSGI server that runs this process."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Server:
    """The WSGI server that runs this process.

    :param threads: how many requests it handles at once; None when threads do not limit that.
    :param workers: how many processes it has.
    :param grace: seconds that running requests have left once it is stopping.
    :param is_stopping: returns whether it is being stopped.
    :param unfit: why it is not suitable for chats, and what to do; "" where it is.
    """

    threads: int | None = None
    workers: int = 1
    grace: float = math.inf
    is_stopping: Callable[[], bool] = bool
    unfit: str = ""
