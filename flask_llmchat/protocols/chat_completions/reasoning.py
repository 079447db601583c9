"""The reasoning of a response: in fields of its own, between tags in the text, as details."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...core.events import ReasoningDelta, TextDelta
from ...core.limits import MAX_DETAILS
from ..json_values import as_dicts, as_list

_OPEN, _CLOSE = "<think>", "</think>"

_MAX_HELD = 1000
"""Characters of white space that may precede the tag: after more, no reasoning follows."""


def reasoning_in(delta: dict[str, Any], parts: list[Any]) -> Iterator[tuple[str, str]]:
    """Give each place that may hold reasoning, and the reasoning that this delta has there.

    :param parts: the parts of its content.
    """
    for name in ("reasoning_content", "reasoning"):
        text = delta.get(name)
        yield name, text if isinstance(text, str) else ""
    yield "content", "".join(text for part in as_dicts(parts) for text in _reasoning_of(part))
    details = as_dicts(delta.get("reasoning_details"))
    yield "reasoning_details", "".join([*_texts(details, "text"), *_texts(details, "summary")])


def _reasoning_of(part: dict[str, Any]) -> list[str]:
    held = part.get("text" if part.get("type") == "reasoning" else "thinking")
    if isinstance(held, str):
        return [held]
    texts = [text for text in as_list(held) if isinstance(text, str)]
    return [*_texts(as_dicts(held), "text"), *texts]


def _texts(holders: list[dict[str, Any]], name: str) -> list[str]:
    return [holder[name] for holder in holders if isinstance(holder.get(name), str)]


class ThinkingTagParser:
    """Separates reasoning between ``<think>`` and ``</think>`` from the text, as both arrive.

    The tags may be cut anywhere. Only reasoning at the beginning of the response counts: a model
    that explains the tag later on is quoted, not interpreted.
    """

    def __init__(self) -> None:
        self._held = ""
        self._expected_tag = _OPEN  # "" once neither tag can follow

    def feed(self, text: str) -> list[TextDelta | ReasoningDelta]:
        """Take the next text; return the part of it that is certain."""
        if not self._expected_tag:
            return [TextDelta(text)]
        self._held += text
        if self._expected_tag == _OPEN:
            start = self._held.lstrip()
            if start.startswith(_OPEN):
                self._held, self._expected_tag = start.removeprefix(_OPEN), _CLOSE
            elif _OPEN.startswith(start) and len(self._held) <= _MAX_HELD:
                return []  # it may still become the tag
            else:
                return self.finish()
        reasoning, tag, rest = self._held.partition(_CLOSE)
        if tag:
            self._held, self._expected_tag = "", ""
            return [ReasoningDelta(reasoning), TextDelta(rest)]
        certain = len(reasoning) - _length_of_possible_tag(reasoning)
        self._held = reasoning[certain:]
        return [ReasoningDelta(reasoning[:certain])]

    def finish(self) -> list[TextDelta | ReasoningDelta]:
        """Return what was held back, now that nothing more comes or it cannot be a tag."""
        held, in_reasoning = self._held, self._expected_tag == _CLOSE
        self._held, self._expected_tag = "", ""
        return [ReasoningDelta(held) if in_reasoning else TextDelta(held)]


def _length_of_possible_tag(text: str) -> int:
    return next((n for n in range(len(_CLOSE) - 1, 0, -1) if text.endswith(_CLOSE[:n])), 0)


class ReasoningDetails:
    """Joins OpenRouter's ``reasoning_details``: pieces of one type and index are one detail.

    https://openrouter.ai/docs/use-cases/reasoning-tokens wants them back as they would have
    come without streaming.
    """

    def __init__(self) -> None:
        self._details: list[tuple[dict[str, Any], dict[str, list[str]]]] = []
        self._too_many = False

    def __bool__(self) -> bool:
        """Return whether any detail came."""
        return bool(self._details) or self._too_many

    def add(self, piece: dict[str, Any]) -> None:
        """Take the next piece."""
        if self._too_many:
            return
        last, texts = self._details[-1] if self._details else ({}, {})
        same = all(name in last and last[name] == piece.get(name) for name in ("type", "index"))
        if not same or piece["type"] not in ("reasoning.text", "reasoning.summary"):
            last, texts = dict(piece), {}
            self._details.append((last, texts))
            if len(self._details) > MAX_DETAILS:
                self._too_many = True
                self._details.clear()
        for name, value in piece.items():
            if name in ("text", "summary") and isinstance(value, str):
                texts.setdefault(name, []).append(value)
            elif value is not None:
                last[name] = value

    def joined(self) -> list[dict[str, Any]]:
        """Return the details so far."""
        return [
            last | {name: "".join(pieces) for name, pieces in texts.items()}
            for last, texts in self._details
        ]
