"""The ids of tool calls, as they are sent to a provider."""

from __future__ import annotations

_SUFFIX = 8  # characters that a number may take


class CallIds:
    """Makes the ids of one conversation: each is used once, and none is too long.

    Some providers count from one in every response, and gateways keep signatures of thousands of
    characters in the ids. Other providers refuse both.

    :param longest: characters that an id may have.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._times: dict[str, int] = {}  # how often an id came again

    def new(self, id_: str) -> str:
        """Return the id to send for a call."""
        sent = base = id_[: self._longest]
        while sent in self._times:
            self._times[base] += 1
            sent = f"{base[: self._longest - _SUFFIX]}_{self._times[base]}"
        self._times[sent] = 0
        return sent
