"""Perplexity: its models want user and assistant to take turns, and end with the user."""

from __future__ import annotations

from typing import Any

from ..core.request import Message
from .provider import Provider


def taking_turns(messages: list[Message]) -> list[Message]:
    """Join messages of one role that follow each other; drop answers before the first question.

    Perplexity refuses anything else (https://github.com/sst/opencode/issues/9416), and a chat
    whose answer was stopped before its first word has two questions in a row.
    """
    turns: list[list[Message]] = []
    asked = False
    for message in messages:
        role = message["role"]
        asked = asked or role == "user"
        if role == "assistant" and not asked:
            continue
        if turns and turns[-1][0]["role"] == role and role in ("system", "user", "assistant"):
            turns[-1].append(message)
        else:
            turns.append([message])
    return [_joined(turn) for turn in turns]


def _joined(turn: list[Message]) -> Message:
    """Join the messages of one turn, all at once: there may be a thousand."""
    if len(turn) == 1:
        return turn[0]
    parts: list[dict[str, Any]] = []
    texts: list[str] = []
    for message in turn:
        content = message.get("content") or ""
        if isinstance(content, str):
            texts.append(content)
        else:
            parts += [*_text(texts), *content]
            texts = []
    if not parts:
        return {**turn[0], "content": _together(texts)}
    return {**turn[0], "content": [*parts, *_text(texts)]}


def _text(texts: list[str]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text}] if (text := _together(texts)) else []


def _together(texts: list[str]) -> str:
    return "\n\n".join(filter(None, texts)).strip()


PERPLEXITY = Provider(
    name="perplexity",
    label="Perplexity",
    base_url="https://api.perplexity.ai",
    max_temperature=1.99,
    thinking_tags=True,  # sonar-reasoning
    extra_params=frozenset(
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
