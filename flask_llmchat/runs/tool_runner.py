"""The seam between a chat and the tools that the server runs for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..core.events import ApprovalRequest, ToolProgress, ToolResult
from ..core.request import Approval
from ..core.result import PendingApproval, ToolCall, ToolRun

ToolEvent = ToolProgress | ToolResult | ApprovalRequest


@dataclass(frozen=True, slots=True)
class ToolStep:
    """What a step of a chat tells its tools.

    :param number: the number of the step, from 1.
    :param provider: name of the provider whose model calls them.
    :param model: name of that model.
    """

    number: int
    provider: str
    model: str


class ToolRunner(Protocol):
    """Runs the tool calls of one chat, step by step. One thread or greenlet at a time uses it.

    Every call that it is given gets exactly one :class:`ToolResult`, whatever happens, and one
    :class:`ToolRun`; a call is never run twice. A call that needs the user's approval gets one
    :class:`ApprovalRequest` in place of both.

    :ivar runs: what has been run so far.
    :ivar approvals: the calls that wait for an approval.
    """

    runs: list[ToolRun]
    approvals: list[PendingApproval]

    def start(self, calls: Sequence[ToolCall], step: ToolStep) -> None:
        """Begin to run the calls of one step, of which none is running any more."""

    def resume(self, approvals: Sequence[Approval], step: ToolStep) -> None:
        """Begin to run the calls of an earlier chat, those that the user has approved."""

    def read(self, timeout: float | None = None) -> list[ToolEvent] | None:
        """Wait for what comes next from the calls that are running.

        :param timeout: seconds to wait.
        :return: None when the timeout has passed; ``[]`` when no call is running any more.
        """

    def text_of(self, call_id: str) -> str:
        """Return the result of a call as the model gets it."""

    def close(self) -> None:
        """Tell the tools that are running to stop, and wait for them up to their own timeouts.

        Nothing further is begun. It may be called at any time, and more than once. What
        :meth:`read` has not returned yet can still be read.
        """


def tool_name(tool: dict[str, Any]) -> str:
    """Return the name of a tool in the form of chat completions."""
    held = tool.get(tool.get("type", "function"))
    return str(held.get("name", "")) if isinstance(held, dict) else ""
