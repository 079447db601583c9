"""Pages with the AI SDK: what their users do, in any of its majors."""

from __future__ import annotations

from typing import Any

from tests.support.node import run_js

MAJORS = ["ai5", "ai6", "ai"]
"""The names of the packages in ``tests/js``, oldest first."""

Json = dict[str, Any]


class Page:
    """What came of a chat on a page.

    :ivar errors: what the page was told.
    :ivar snapshots: its status and messages after each step.
    :ivar finished: how each of its requests ended.
    :ivar requests: the bodies of these.
    :ivar asked: all of its requests, with the status of their responses.
    :ivar called: the tools that it was asked to run, by ``onToolCall``.
    :ivar shown: the states that its tool parts were seen in, in their order.
    """

    def __init__(self, told: Json) -> None:
        self.errors: list[str] = [error["message"] for error in told["errors"]]
        self.snapshots: list[Json] = told["snapshots"]
        self.finished: list[Json] = told["finished"]
        self.requests: list[Json] = told["requests"]
        self.asked: list[Json] = told["asked"]
        self.called: list[str] = told["called"]
        self.shown: list[Json] = told["shown"]

    def parts(self, step: int = -1, message: int = -1) -> list[Json]:
        """Return the parts of a message, by default of the last one at the end.

        :param step: of the user's.
        """
        parts: list[Json] = self.snapshots[step]["messages"][message]["parts"]
        return parts

    def tools(self, step: int = -1, message: int = -1) -> list[Json]:
        """Return those of them that are calls of tools."""
        return [part for part in self.parts(step, message) if "toolCallId" in part]

    def kinds(self, step: int = -1, message: int = -1) -> list[str]:
        """Return what a reader sees of them: texts, and the kinds of all others."""
        return [part.get("text") or part["type"] for part in self.parts(step, message)]


def play(
    sdk: str,
    port: int,
    *steps: Json | str,
    provider: str = "openai",
    settings: Json | None = None,
    op: str = "chat",
    **job: Any,
) -> Page:
    """Have a page with an app of ours do what its user does.

    :param sdk: one of :data:`MAJORS`.
    :param steps: the user's: a string is sent; for all others see ``tests/js/chat.mjs``.
    :param settings: further ``chatSettings``.
    :param op: which of the operations of ``tests/js/ui_any.mjs``.
    """
    chat = {
        "api": f"http://127.0.0.1:{port}/api/chat/{provider}",
        "body": {"chatSettings": {"model": "gpt-4.1", **(settings or {})}},
        "steps": [{"send": step} if isinstance(step, str) else step for step in steps],
        **job,
    }
    (told,) = run_js("ui_any.mjs", {"sdk": sdk, "op": op, "jobs": [chat]}, timeout=30)
    return Page(told)
