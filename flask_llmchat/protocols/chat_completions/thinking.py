"""Thinking that stands inside the text, between tags, and may be cut anywhere."""

from __future__ import annotations

from ...core.events import ReasoningDelta, TextDelta

_OPEN, _CLOSE = "<think>", "</think>"


_MOST_HELD = 1000
"""Characters of white space that may stand in front: with more, no thinking follows."""


class ThinkingTagParser:
    """Tells thinking from text while they come.

    Only what begins the answer is thinking: a model that explains the tag later on is
    quoted, not interpreted.
    """

    def __init__(self) -> None:
        self._held = ""
        self._look_for = _OPEN

    def feed(self, text: str) -> list[TextDelta | ReasoningDelta]:
        """Take the next text; return what is certain of it."""
        if not self._look_for:
            return [TextDelta(text)]
        self._held += text
        if self._look_for == _OPEN:
            begun = self._held.lstrip()
            if begun.startswith(_OPEN):
                self._held, self._look_for = begun.removeprefix(_OPEN), _CLOSE
            elif _OPEN.startswith(begun) and len(self._held) <= _MOST_HELD:
                return []  # it may still become the tag
            else:
                return self.finish()
        thought, tag, rest = self._held.partition(_CLOSE)
        if tag:
            self._held, self._look_for = "", ""
            return [ReasoningDelta(thought), TextDelta(rest)]
        certain = len(thought) - _length_of_possible_tag(thought)
        self._held = thought[certain:]
        return [ReasoningDelta(thought[:certain])]

    def finish(self) -> list[TextDelta | ReasoningDelta]:
        """Return what was held back, now that nothing more comes or it can be no tag."""
        held, thinking = self._held, self._look_for == _CLOSE
        self._held, self._look_for = "", ""
        return [ReasoningDelta(held) if thinking else TextDelta(held)]


def _length_of_possible_tag(text: str) -> int:
    return next((n for n in range(len(_CLOSE) - 1, 0, -1) if text.endswith(_CLOSE[:n])), 0)
