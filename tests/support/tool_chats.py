"""A runner with an app, and what its calls give."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from flask import Flask

from flask_llmchat import ChatRequest, Tool, ToolCall, ToolRun
from flask_llmchat.core.config import Config
from flask_llmchat.core.events import ToolProgress, ToolResult
from flask_llmchat.runs.tool_runner import ToolEvent, ToolStep
from flask_llmchat.tools.approvals import Approvals, ApprovalSigner
from flask_llmchat.tools.runner import Runner
from flask_llmchat.transport.runtime import current_runtime

_ids = itertools.count(1)


def call(tool: str, /, **arguments: Any) -> ToolCall:
    return ToolCall(f"c{next(_ids)}", tool, json.dumps(arguments) if arguments else "")


class Chat:
    """A chat whose tools are run.

    :param seconds: until its deadline.
    :param signer: signs approvals, for which the client can ask then.
    """

    def __init__(
        self,
        *tools: Callable[..., Any] | Tool,
        app: Flask | None = None,
        seconds: float = 20,
        signer: ApprovalSigner | None = None,
    ) -> None:
        self.signer = signer
        self.claimed: list[str] = []
        self.tools = [tool if isinstance(tool, Tool) else Tool(tool) for tool in tools]
        self.app = app or Flask("host")
        self.finished: list[ToolRun] = []
        self.events: list[ToolEvent] = []
        self.seconds = seconds

    def with_settings(self, **settings: Any) -> Chat:
        chat = ChatRequest(
            provider="openai",
            model="gpt-4.1",
            messages=[],
            profile={"name": "Ada"},
            request_id="r1",
            context={"user": 7},
        )
        self.runner = Runner(
            self.tools,
            chat,
            Config(**settings),
            approvals=Approvals(
                signer=self.signer,
                may_ask=self.signer is not None,
                enter=self.app.app_context,
                sync=self.app.ensure_sync,
                claimer=self.claim,
            ),
            enter=self.app.app_context,
            finished=self.finished.append,
            deadline=time.monotonic() + self.seconds,
        )
        return self

    def claim(self, key: str, expires_at: float) -> bool:
        self.claimed.append(key)
        return self.claimed.count(key) == 1

    def start(self, *calls: ToolCall, step: int = 1) -> None:
        if not hasattr(self, "runner"):
            self.with_settings()
        self.runner.start(calls, ToolStep(step, "openai", "gpt-4.1"))

    def read_all(self, timeout: float | None = None) -> None:
        while (events := self.runner.read(timeout)) != []:
            self.events += events or []

    def run(self, *calls: ToolCall, step: int = 1) -> list[str]:
        """Run calls to their end; return what the model gets for each."""
        self.start(*calls, step=step)
        self.read_all()
        return [self.runner.text_of(call.id) for call in calls]

    @property
    def results(self) -> list[ToolResult]:
        return [event for event in self.events if isinstance(event, ToolResult)]

    @property
    def progress(self) -> list[Any]:
        return [event.output for event in self.events if isinstance(event, ToolProgress)]

    @property
    def outcomes(self) -> list[str]:
        assert self.runner.runs == self.finished
        return [run.outcome for run in self.runner.runs]

    def check(self, calls: Sequence[ToolCall]) -> None:
        """Check that every call has one result and one run."""
        ids = sorted(call.id for call in calls)
        assert sorted(result.id for result in self.results) == ids
        assert sorted(run.call_id for run in self.finished) == ids


def wait_for(condition: Callable[[], Any], seconds: float = 5) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it has taken too long"
        time.sleep(0.01)


def no_thread_is_left() -> bool:
    return not current_runtime().tool_slots
