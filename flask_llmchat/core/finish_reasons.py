"""The finish reasons: how a response that is complete ended, one row each.

The words are those of chat completions, which OpenAI's SDKs know. Every upstream protocol maps the
provider's own words to these.
"""

from __future__ import annotations

from dataclasses import dataclass

from .result import Outcome


@dataclass(frozen=True, slots=True)
class FinishReason:
    """What follows from one finish reason.

    :param reason: the word of chat completions, in :class:`~flask_llmchat.Finish`.
    :param outcome: of a chat that ended with it.
    :param ui: the word of the AI SDK's UI message stream.
    """

    reason: str
    outcome: Outcome
    ui: str


_ROWS = (
    FinishReason("stop", outcome="ok", ui="stop"),
    FinishReason("length", outcome="length", ui="length"),
    FinishReason("content_filter", outcome="content_filtered", ui="content-filter"),
    FinishReason("tool_calls", outcome="tool_calls", ui="tool-calls"),
)

FINISH_REASONS = {row.reason: row for row in _ROWS}
"""All finish reasons."""

REASONS: dict[str, str] = {row.outcome: row.reason for row in _ROWS}
"""Outcome to the word of chat completions."""

UI_REASONS: dict[str, str] = {row.outcome: row.ui for row in _ROWS}
"""Outcome to the word of the AI SDK's UI message stream."""


def effective_reason(reason: str | None, has_tool_calls: bool) -> str:
    """Return the finish reason that counts.

    Some providers send ``stop`` after tool calls, some send no reason at all.

    :param reason: the provider's own; None without one.
    :param has_tool_calls: whether the response has tool calls.
    """
    reason = reason or "stop"
    return "tool_calls" if reason == "stop" and has_tool_calls else reason
