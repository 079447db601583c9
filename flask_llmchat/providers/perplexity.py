"""Perplexity: its models want user and assistant to take turns, and end with the user."""

from __future__ import annotations

from typing import Any

from ..chat import Message
from .base import Provider


def taking_turns(messages: list[Message]) -> list[Message]:
    """Join messages of one role that follow each other; drop answers before the first question.

    Perplexity refuses anything else (https://github.com/sst/opencode/issues/9416), and a chat
    whose answer was stopped before its first word has two questions in a row.
    """
    turns: list[Message] = []
    for message in messages:
        role = message["role"]
        asked = any(turn["role"] == "user" for turn in turns)
        if role == "assistant" and not asked:
            continue
        if turns and turns[-1]["role"] == role and role in ("system", "user", "assistant"):
            turns[-1] = {**turns[-1], "content": _joined(turns[-1], message)}
        else:
            turns.append(message)
    return turns


def _joined(first: Message, second: Message) -> str | list[dict[str, Any]]:
    one, two = first.get("content") or "", second.get("content") or ""
    if isinstance(one, str) and isinstance(two, str):
        return f"{one}\n\n{two}".strip()
    return [*_parts(one), *_parts(two)]


def _parts(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


PERPLEXITY = Provider(
    name="perplexity",
    label="Perplexity",
    base_url="https://api.perplexity.ai",
    max_temperature=1.99,
    inline_think=True,  # sonar-reasoning
    takes=frozenset(
        {
            "search_mode",
            "search_domain_filter",
            "search_recency_filter",
            "search_after_date_filter",
            "search_before_date_filter",
            "return_images",
            "return_related_questions",
        }
    ),
    messages=taking_turns,
)
