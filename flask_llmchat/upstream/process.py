"""What belongs to one process, and must not be shared with one that is forked from it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .watch import Watcher

if TYPE_CHECKING:
    import openai


class Process:
    """The pooled SDK clients and the watcher of this process, each made when first needed.

    :ivar sdks: by whether they call public addresses alone.
    """

    def __init__(self) -> None:
        self.sdks: dict[bool, openai.OpenAI] = {}
        self.watcher = Watcher()


_current = Process()
_inherited: list[Process] = []


def current() -> Process:
    """Return what belongs to the process we are in."""
    return _current


def _forget_after_fork() -> None:
    global _current
    # Kept, not closed: the parent goes on using these connections.
    _inherited.append(_current)
    _current = Process()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
