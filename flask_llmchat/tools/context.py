"""What a tool is told of its chat, and the error that it may raise."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..core.caller import Caller


class ToolError(Exception):
    """Raised by a tool that fails in words for the model and the user.

    Of any other exception they only learn that the tool failed; its traceback is logged.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """The chat that calls a tool: given to a parameter that is annotated with this class.

    Every field has a default, for tests of tools.

    :param profile: what the profile loader returned.
    :param context: the app's own data: what a hook put into :attr:`ChatRequest.context`.
    :param caller: whose chat it is, as the caller loader says.
    :param provider: name of the provider whose model calls the tool.
    :param model: name of that model.
    :param request_id: the id of the chat.
    :param call_id: the provider's id of the call. Only :attr:`key` is unique.
    :param step: the number of the step whose response has the call, from 1; 0 for a call of an
        earlier chat, whose approval came with this one.
    :param approved: whether the user has approved the call.
    :param approval_key: the key of that approval.
    :param deadline: :func:`time.monotonic` at which the call times out.
    :param cancelled: set when the result is no longer wanted: the call has timed out, or the client
        has left. An ``async`` tool is cancelled, too; any other should stop.
    :param on_progress: called by :meth:`progress`.
    """

    profile: Any = field(default=None, repr=False)
    context: dict[str, Any] = field(default_factory=dict, repr=False)
    caller: Caller | None = None
    provider: str = ""
    model: str = ""
    request_id: str = ""
    call_id: str = ""
    step: int = 1
    approved: bool = False
    approval_key: str = field(default="", repr=False)
    deadline: float = math.inf
    cancelled: threading.Event = field(default_factory=threading.Event, repr=False)
    on_progress: Callable[[Any], None] = field(default=lambda value: None, repr=False)

    @property
    def key(self) -> str:
        """An id of the call that no other has, for requests that must not be made twice."""
        return self.approval_key or f"{self.request_id}:{self.step}:{self.call_id}"

    def progress(self, value: Any) -> None:
        """Show a preliminary result, where the dialect has a place for it.

        :param value: what can be written as JSON.
        """
        self.on_progress(value)
