"""OpenRouter's form of the reasoning, put together from its pieces."""

from __future__ import annotations

from typing import Any

from ...core.limits import MOST_DETAILS


class Details:
    """``reasoning_details``: the pieces of one kind and index are one detail.

    https://openrouter.ai/docs/use-cases/reasoning-tokens wants them back as they would have
    come without streaming.
    """

    def __init__(self) -> None:
        self._details: list[tuple[dict[str, Any], dict[str, list[str]]]] = []
        self._too_many = False

    def __bool__(self) -> bool:
        """Tell whether there is any."""
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
            if len(self._details) > MOST_DETAILS:
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
