"""JSON inside UIMessages: what tools were called with, and what they gave."""

from __future__ import annotations

import contextlib
import json
import re
from decimal import Decimal
from typing import Any

import marshmallow as ma

from ..fields import is_encodable_text
from ..strict_json import parse_value

MOST_LOOKED_INTO = 2**16
"""How many characters of one request are looked into beyond what it took to parse them."""


MOST_DETAILS = 8192
"""How many reasoning details the messages of one request may have together."""


MOST_FILES = 4096
"""How many files they may have together."""


# Nothing that was JSON holds itself: not to look for it takes half the time.
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode


class JSONText:
    """Writes and checks the JSON of one request; what takes long is done to the first of it."""

    def __init__(self) -> None:
        self._left = MOST_LOOKED_INTO
        self._details = 0
        self._files = 0

    def dump(self, value: Any, name: str) -> str:
        """Write JSON as JavaScript does, so that a provider's prompt cache sees no difference.

        :param name: of the field it is from, for the error.
        :raises marshmallow.ValidationError: when it cannot be sent.
        """
        if not value and isinstance(value, dict):
            return "{}"
        try:
            text = _encode(value)
        except RecursionError:
            raise ma.ValidationError(f"{name} is nested too deeply.") from None
        # Beyond the bound small numbers stay as Python writes them: JSON all the same.
        if "e-0" in text and self._may_look_into(text):
            text = _STRING_OR_SMALL.sub(_small_as_js, text)
        if not is_encodable_text(text):
            raise ma.ValidationError(f"{name} holds half a character (a lone surrogate).")
        return text

    def holds_json(self, text: str, name: str) -> bool:
        """Tell whether a text is JSON itself.

        :raises marshmallow.ValidationError: when there is too much of it to look.
        """
        if not is_encodable_text(text):
            return False
        begin = text.lstrip(" \t\r\n")[:1]
        if begin in ("[", "{"):  # these take much longer than to read the text they are in
            if not self._may_look_into(text):
                raise ma.ValidationError(
                    f"More than {MOST_LOOKED_INTO} characters of JSON in strings are not taken;"
                    f" send {name} as JSON."
                )
        elif begin != '"' and len(text) > MOST_LOOKED_INTO:
            return False  # Python takes no number that is that long
        with contextlib.suppress(ValueError):
            parse_value(text)
            return True
        return False

    def detail(self, detail: dict[str, Any]) -> str:
        """Write a reasoning detail, of which the same may come several times.

        :raises marshmallow.ValidationError: when it is one too many, or cannot be sent.
        """
        self._details += 1
        if self._details > MOST_DETAILS:
            raise ma.ValidationError(f"More than {MOST_DETAILS} reasoning_details are not taken.")
        return self.dump(detail, "reasoning_details")

    def count_file(self) -> None:
        """Count a file.

        :raises marshmallow.ValidationError: when it is one too many.
        """
        self._files += 1
        if self._files > MOST_FILES:
            raise ma.ValidationError(f"More than {MOST_FILES} files are not taken.")

    def _may_look_into(self, text: str) -> bool:
        self._left -= len(text)
        return self._left >= 0


# Possessive: else every character of a string is remembered as a way back. A number is begun at
# its first digit alone: else one of thousands of digits is read again from each of them.
_STRING_OR_SMALL = re.compile(r'"(?:[^"\\]++|\\.)*+"|(?<![\d.])-?\d[\d.]*+e-0\d')


def _small_as_js(found: re.Match[str]) -> str:
    """Write a small number as JavaScript does: 0.00001, where Python says 1e-05."""
    text = found[0]
    if text.startswith('"'):
        return text
    return f"{Decimal(text):f}" if text[-1] < "7" else text.replace("e-0", "e-")
