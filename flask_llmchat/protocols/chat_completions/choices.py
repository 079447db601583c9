"""Which choices of a stream belong to the response.

One response is requested, so ``n`` is never sent. All the same gateways count the index up with
every chunk, or respond on index 1, or put the tool call into a choice of its own. So a choice
belongs to the response whatever its index, with one exception: a choice that begins with a role
of its own, beside another that has text, is an alternative response. Its text is dropped; its
tool calls count where the response has none.
"""

from __future__ import annotations

from typing import Any

from ...core.errors import StreamErrorEvent
from ...core.limits import MAX_CHOICES

_NOT_YET = -1


class Choices:
    """Separates the choices of the response from those of alternatives.

    :ivar first: index of the choice that was the first to have text.
    :ivar last: index of the last choice of the response.
    """

    def __init__(self) -> None:
        self.first = self.last = _NOT_YET
        self._opened: set[int] = set()  # with a role, before any had text
        self._wholes: set[int] = set()  # that came as one ``message``
        self._others: dict[int, bool] = {}  # of alternatives: whether their text was dropped

    @property
    def dropped(self) -> bool:
        """Whether any text was dropped."""
        return any(self._others.values())

    def sort(self, choices: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the choices of a chunk that belong to the response, and those that do not.

        :raises StreamErrorEvent: when there are too many.
        """
        if choices.__class__ is not list:
            return [], []
        if len(choices) > MAX_CHOICES:
            raise StreamErrorEvent({"detail": f"More than {MAX_CHOICES} choices are not taken."})
        own: list[dict[str, Any]] = []
        others: list[dict[str, Any]] = []
        for choice in sorted([c for c in choices if c.__class__ is dict], key=index_of):
            index = index_of(choice)
            if not self._belongs(index, choice):
                others.append(choice)
                continue
            own.append(choice)
            self.last = index
            if self.first == _NOT_YET and _has_text(choice):
                self.first = index
        return own, others

    def _belongs(self, index: int, choice: dict[str, Any]) -> bool:
        if index == self.first:
            return True
        if index in self._others:
            return False
        delta = choice.get("delta") or choice.get("message")
        opens = index in self._opened or (isinstance(delta, dict) and bool(delta.get("role")))
        if opens and self.first == _NOT_YET:
            self._opened.add(index)
        elif opens:
            self._others[index] = False
        if len(self._opened) + len(self._others) > MAX_CHOICES:
            raise StreamErrorEvent({"detail": "Many answers came for one question."})
        return not opens or self.first == _NOT_YET

    def delta_instead(self, choice: dict[str, Any], is_empty: bool) -> dict[str, Any] | None:
        """Return what a choice has in place of a delta, and set it as the choice's delta.

        :param is_empty: whether nothing of the response has come yet.
        """
        delta, text, message = choice.get("delta"), choice.get("text"), choice.get("message")
        if isinstance(message, dict):
            # The whole response, as without streaming; or a repetition of what has been streamed.
            index = index_of(choice)
            if index in self._wholes or not (self._wholes or is_empty):
                return None
            self._wholes.add(index)
            choice["delta"] = message
            return message
        if not text and isinstance(delta, str):
            text = delta
        if not text or not isinstance(text, str):
            return None
        choice["delta"] = made = {"content": text}
        return made

    def drop(self, choice: dict[str, Any]) -> None:
        """Record that the text of an alternative is left out."""
        self._others[index_of(choice)] = True

    def is_whole(self, choice: dict[str, Any]) -> bool:
        """Return whether no text of an alternative was left out."""
        return not self._others[index_of(choice)]


def index_of(choice: dict[str, Any]) -> int:
    """Return the index of a choice; 0 when it has none."""
    index = choice.get("index")
    if isinstance(index, str) and index.isdecimal() and len(index) < 10:
        return int(index)
    return index if isinstance(index, int) and index > _NOT_YET else 0


def _has_text(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta") or choice.get("message") or choice.get("text")
    if isinstance(delta, dict):
        delta = delta.get("content") or delta.get("refusal")
    return bool(delta)
