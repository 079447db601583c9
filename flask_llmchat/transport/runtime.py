"""The state of this process, which a forked process must not share: clients, watchdog, slots."""

from __future__ import annotations

import _thread
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .watchdog import Watchdog, unpatched

if TYPE_CHECKING:
    from .transport import Transport  # which loads httpx2 and urllib3

_MAX_LOOKUPS = 3

T = TypeVar("T")


class Runtime:
    """The pooled SDK clients, the watchdog and the slots of one process, each made when needed.

    :ivar sdks: the clients, by whether they call public addresses alone.
    :ivar transports: what these clients send requests through, by the same.
    :ivar slots: those taken by running chats.
    :ivar tool_slots: those taken by threads that run tools.
    :ivar detached_slots: those taken by chats that go on without a client.
    :ivar event_loop: that of ``async`` tools, in the room of the tools.
    :ivar event_loop_lock: held while it is made. A real lock, also under gevent: what makes it
        lets no other greenlet run.
    """

    def __init__(self) -> None:
        self.sdks: dict[bool, Any] = {}
        self.transports: dict[bool, Transport] = {}
        self.watchdog = Watchdog()
        self.slots: set[Slot] = set()
        self.tool_slots: set[Slot] = set()
        self.detached_slots: set[Slot] = set()
        self.event_loop: Any = None
        self.event_loop_lock = unpatched(_thread, "allocate_lock")()
        self._lookups: list[threading.Semaphore] = []

    def lookups(self) -> threading.Semaphore:
        """Return the semaphore that bounds how many of users' host names are resolved at once.

        It is made when first needed: in a worker forked with --preload it would not be gevent's.
        """
        if not self._lookups:
            # Two first calls at once make two of them, and both use the first.
            self._lookups.append(threading.Semaphore(_MAX_LOOKUPS))
        return self._lookups[0]


class Slot:
    """One of the chats, or tools, that may run at once in this process. Making it takes the slot.

    :param limit: how many slots there are; None for no limit.
    :param taken: those that are taken of its kind, by default the chats'.
    :raises LookupError: when all are taken.
    """

    def __init__(self, limit: int | None, taken: set[Slot] | None = None) -> None:
        self._taken = _current.slots if taken is None else taken
        # Taken first and counted then, for there is no lock: in a worker forked with --preload
        # it would be a real one. Two that come at once may both find the last slot taken.
        self._taken.add(self)
        if limit is not None and len(self._taken) > limit:
            self.release()
            raise LookupError(f"all {limit} slots are taken")

    def release(self) -> None:
        """Free the slot for another chat. Doing so again does no harm."""
        self._taken.discard(self)


def is_full(limit: int | None) -> bool:
    """Tell whether all slots are taken, without taking one.

    :param limit: how many slots there are; None for no limit.
    """
    return limit is not None and len(_current.slots) >= limit


_current = Runtime()
_inherited: list[Runtime] = []


def current_runtime() -> Runtime:
    """Return the runtime of the present process."""
    return _current


class PerProcess(Generic[T]):
    """A value of which each process has one of its own, made when it is first needed.

    So its locks, threads and connections are never those of the process that this one was forked
    from, and under gevent they are made after it has replaced the standard library's.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[Runtime, T] = {}

    def get(self) -> T:
        """Return this process's value."""
        if (found := self._made.get(_current)) is None:
            # Two first calls at once may make two, and both use the first: there is no lock, which
            # would be of the process before the fork.
            found = self._made.setdefault(_current, self._make())
        return found


def _start_anew_after_fork() -> None:
    global _current
    # Kept, not closed, which the provider would notice: the parent goes on using these.
    _inherited.append(_current)
    inherited, _current = _current, Runtime()
    # But a connection that the parent closes while it is idle must not stay open here.
    for transport in inherited.transports.values():
        transport.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew_after_fork)
