"""What belongs to one process, and must not be shared with one that is forked from it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from .watchdog import Watchdog

if TYPE_CHECKING:
    from .transport import Transport


_MOST_LOOKUPS = 3


class Runtime:
    """The pooled SDK clients and the watcher of this process, each made when first needed.

    :ivar sdks: by whether they call public addresses alone.
    :ivar transports: what these clients' requests go through.
    :ivar places: those taken by chats that are running.
    """

    def __init__(self) -> None:
        self.sdks: dict[bool, Any] = {}
        self.transports: list[Transport] = []
        self.watchdog = Watchdog()
        self.slots: set[Slot] = set()
        self._lookups: list[threading.Semaphore] = []

    def lookups(self) -> threading.Semaphore:
        """Return what bounds how many of users' names are looked up at once.

        It is made when first needed: in a worker forked with --preload it would not be gevent's.
        """
        if not self._lookups:
            # Two at once make two of them, and both use the first.
            self._lookups.append(threading.Semaphore(_MOST_LOOKUPS))
        return self._lookups[0]


class Slot:
    """One of the chats that may run at once in this process. It belongs to whoever took it.

    :param most: how many there are; None for as many as come.
    :raises LookupError: when all are taken.
    """

    def __init__(self, most: int | None) -> None:
        self._places = _current.slots
        # Set first and looked at then, for there is no lock: in a worker forked with --preload
        # it would be a real one. Two that come at once may both find the last place taken.
        self._places.add(self)
        if most is not None and len(self._places) > most:
            self.release()
            raise LookupError(f"all {most} places are taken")

    def release(self) -> None:
        """Leave the place to another chat; more than once does no harm."""
        self._places.discard(self)


def is_full(most: int | None) -> bool:
    """Tell whether all places are taken, without taking one.

    :param most: how many there are; None for as many as come.
    """
    return most is not None and len(_current.slots) >= most


_current = Runtime()


_inherited: list[Runtime] = []


def current_runtime() -> Runtime:
    """Return what belongs to the process we are in."""
    return _current


def _forget_after_fork() -> None:
    global _current
    # Kept, not closed, which would tell the other side: the parent goes on using these.
    _inherited.append(_current)
    inherited, _current = _current, Runtime()
    # But once the parent has closed one that is idle, nobody is to hold it open.
    for transport in inherited.transports:
        transport.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
