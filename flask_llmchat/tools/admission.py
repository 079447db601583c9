"""``Admission``: whether a tool call is run, refused, or waits for the user's approval."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from contextvars import Context
from dataclasses import replace
from typing import Any, NamedTuple

from ..core.request import Approval
from ..core.result import ToolCall
from .approvals import (
    NO_PLACE,
    NOT_VALID,
    Approvals,
    Denied,
    Grant,
    InvalidApproval,
    Pending,
    ProposedCall,
)
from .arguments import InvalidArguments, parse_arguments
from .context import ToolContext
from .tool import Tool
from .worker import FAILED, Ending

logger = logging.getLogger("flask_llmchat")

_SAME_IN_A_ROW = 2

_NO_CALLS_LEFT = "This call was not run: the chat has no tool calls left. Answer without."


class Admitted(NamedTuple):
    """A call that may run.

    :param arguments: what its tool is called with.
    :param grant: the user's approval of it, if it needed one.
    """

    tool: Tool
    arguments: dict[str, Any]
    grant: Grant | None = None


class Admission:
    """Decides on the tool calls of one chat, in their order.

    :param tools: those offered to the model.
    :param max_calls: how many calls may run.
    :param approvals: how calls are approved.
    :raises ValueError: when two tools have the same name.
    """

    def __init__(self, tools: Iterable[Tool], max_calls: int, approvals: Approvals) -> None:
        self._tools: dict[str, Tool] = {}
        for tool in tools:
            if self._tools.setdefault(tool.name, tool) is not tool:
                raise ValueError(f"two tools are called {tool.name!r}")
        self._calls_left = max_calls
        self._approvals = approvals
        self._last_call = ("", "")
        self._same_calls = 0

    def admit(self, call: ToolCall, context: ToolContext) -> Admitted | Ending | Pending:
        """Return what a call runs, or what asks for its approval, or why it is not run."""
        tool = self._tools.get(call.name)
        if tool is None:
            names = ", ".join(self._tools)
            text = f"There is no tool {call.name[:64]!r}. The tools are: {names}."
            return Ending("refused", text, invalid=True)
        try:
            arguments = parse_arguments(call.arguments)
            this = (call.name, json.dumps(arguments, sort_keys=True))
        except (InvalidArguments, RecursionError) as error:
            return Ending("refused", str(error), invalid=True)
        self._same_calls = self._same_calls + 1 if this == self._last_call else 1
        self._last_call = this
        if self._same_calls > _SAME_IN_A_ROW:
            text = "This call was not run: it repeats the last two. Use their results."
            return Ending("repeated", text)
        if not self._calls_left:
            return Ending("refused", _NO_CALLS_LEFT)
        self._calls_left -= 1
        decided = self._decide(tool, arguments, context)
        if decided is not None:
            return decided
        try:
            pending = self._approvals.request(call, arguments, context.step)
        except InvalidArguments as error:
            return Ending("refused", str(error))
        return pending or Ending("denied", NO_PLACE)

    def admit_approved(self, approval: Approval, context: ToolContext) -> Admitted | Ending:
        """Return what a call runs that the user has decided on, or why it is not run.

        Everything is checked again: rights may have changed meanwhile.
        """
        if not approval.approved:
            return Ending("denied", approval.reason, by_user=True)
        tool = self._tools.get(approval.call.name)
        try:
            arguments = parse_arguments(approval.call.arguments)
            grant = self._approvals.check(approval, arguments)
        except (InvalidApproval, InvalidArguments, RecursionError):
            return Ending("refused", NOT_VALID)
        if tool is None:  # it is no longer offered
            return Ending("refused", NOT_VALID)
        if not self._calls_left:
            return Ending("refused", _NO_CALLS_LEFT)
        self._calls_left -= 1
        context = replace(context, approved=True, approval_key=grant.key)
        decided = self._decide(tool, arguments, context, grant)
        assert decided is not None
        return decided

    def _decide(
        self,
        tool: Tool,
        arguments: dict[str, Any],
        context: ToolContext,
        grant: Grant | None = None,
    ) -> Admitted | Ending | None:
        """Return what a call runs, or why it is not run; None when it needs an approval."""
        try:
            # Before the call begins, so that a client is never shown one that cannot. In an empty
            # context: the request, which is there in the first step alone, is not seen.
            loaded = Context().run(tool.load, arguments)
        except InvalidArguments as error:
            return Ending("refused", str(error), invalid=True)
        except Exception:
            logger.exception("the arguments of tool %r could not be checked", tool.name)
            return Ending("error", FAILED)
        decision = self._approvals.decide(tool.approval, ProposedCall(tool.name, loaded), context)
        if isinstance(decision, Denied):
            return Ending("denied", decision.reason)
        return Admitted(tool, loaded, grant) if grant or not decision else None
