"""``Caller``: whose chat it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose chat it is, as the app's caller loader says.

    :param id: the user's id in the app, the same in every request: ``str(user.id)``.
    :param team: the id of the team that the user belongs to, if it counts here.
    :raises TypeError: for an id that is not a string.
    :raises ValueError: for an empty one.
    """

    id: str
    team: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot tell users apart."""
        _check("id", self.id)
        if self.team is not None:
            _check("team", self.team)


def as_caller(value: Any, source: str) -> Caller | None:
    """Return the caller that the app gives as one, as its id, or as None.

    :param source: where it comes from, for errors.
    :raises TypeError: for anything else.
    :raises ValueError: for an empty id.
    """
    if value is None or isinstance(value, Caller):
        return value
    try:
        return Caller(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{source}: {error}") from None


def _check(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError(
            f"a caller's {name} has to be a string, such as str(user.id), not"
            f" {type(value).__name__}"
        )
    if not value:
        raise ValueError(f"a caller's {name} is empty; for nobody in particular, use None")
