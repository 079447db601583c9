"""Perplexity: user and assistant messages must alternate, and the last is the user's."""

from __future__ import annotations

from typing import Any

from ..core.request import Message
from .provider import Provider


def alternate_roles(messages: list[Message]) -> list[Message]:
    """Join consecutive messages of one role; drop assistant messages before the first user one.

    Perplexity rejects anything else (https://github.com/sst/opencode/issues/9416), and a chat
    whose response was stopped before its first token has two user messages in a row.
    """
    turns: list[list[Message]] = []
    has_user = False
    for message in messages:
        role = message["role"]
        has_user = has_user or role == "user"
        if role == "assistant" and not has_user:
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
    protocols={"chat_completions": "", "responses": "https://api.perplexity.ai/v1"},
    unsupported_params=frozenset(
        {
            "include",
            "metadata",
            "parallel_tool_calls",
            "reasoning.summary",
            "store",
            "text",
            "tool_choice",
            "user",
        }
    ),
    messages=alternate_roles,
)
