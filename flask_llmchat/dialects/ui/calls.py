"""The model's tool calls while they come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..strict_json import parse_value


@dataclass(slots=True)
class Call:
    """A tool call in progress: until its name is known, its arguments are held back.

    :param shown: whether a client knows of it.
    :param custom: whether its arguments are free text.
    :param arguments: the pieces of them that have come.
    :param signature: what Gemini needs back with it.
    :param complete: whether a client has all of it.
    """

    id: str = ""
    name: str = ""
    shown: bool = False
    custom: bool = False
    arguments: list[str] = field(default_factory=list)
    signature: str = ""
    complete: bool = False

    def input(self) -> Any:
        """Return the arguments as a client is given them.

        :raises ValueError: when they are not JSON.
        """
        arguments = "".join(self.arguments)
        if self.custom:
            return arguments
        return parse_value(arguments) if arguments.strip() else {}

    def is_cut_off(self) -> bool:
        """Return whether arguments are missing, or may be: nobody can tell of free text."""
        if self.custom or not "".join(self.arguments).strip():
            return True
        try:
            self.input()
        except ValueError:
            return True
        return False


def signature_in(extra: Mapping[str, Any] | None) -> str:
    """Return Gemini's signature of a tool call; "" where there is none."""
    google = extra.get("google") if extra else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if isinstance(signature, str) else ""
