"""JSON inside UIMessages: the inputs and outputs of tools."""

from __future__ import annotations

import contextlib
import json
import re
from decimal import Decimal
from typing import Any

import marshmallow as ma

from ..fields import is_encodable_text
from ..strict_json import parse_value

MAX_SCANNED_CHARS = 2**16
"""Most characters of one request that are scanned again after parsing."""

MAX_DETAILS = 8192
"""Most reasoning details in all messages of one request together."""

MAX_FILES = 4096
"""Most files in all messages of one request together."""

# Parsed JSON has no cycles, and without the check for them encoding takes half the time.
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode


class JSONText:
    """Serializes and checks the JSON of one request; expensive steps have a budget."""

    def __init__(self) -> None:
        self._left = MAX_SCANNED_CHARS
        self._details = 0
        self._files = 0

    def dump(self, value: Any, name: str) -> str:
        """Serialize as JavaScript does, so that a provider's prompt cache sees no difference.

        :param name: name of the field, for the error.
        :raises marshmallow.ValidationError: when the value cannot be sent.
        """
        if not value and isinstance(value, dict):
            return "{}"
        try:
            text = _encode(value)
        except RecursionError:
            raise ma.ValidationError(f"{name} is nested too deeply.") from None
        # Beyond the budget small numbers keep Python's form, which is valid JSON too.
        if "e-0" in text and self._may_scan(text):
            text = _STRING_OR_SMALL.sub(_small_as_js, text)
        if not is_encodable_text(text):
            raise ma.ValidationError(f"{name} holds half a character (a lone surrogate).")
        return text

    def holds_json(self, text: str, name: str) -> bool:
        """Return whether a text is JSON itself.

        :param name: name of the field, for the error.
        :raises marshmallow.ValidationError: when the budget is used up.
        """
        if not is_encodable_text(text):
            return False
        begin = text.lstrip(" \t\r\n")[:1]
        if begin in ("[", "{"):  # these take much longer to parse than the text around them
            if not self._may_scan(text):
                raise ma.ValidationError(
                    f"More than {MAX_SCANNED_CHARS} characters of JSON in strings are not allowed;"
                    f" send {name} as JSON."
                )
        elif begin != '"' and len(text) > MAX_SCANNED_CHARS:
            return False  # Python refuses a number of that length
        with contextlib.suppress(ValueError):
            parse_value(text)
            return True
        return False

    def detail(self, detail: dict[str, Any]) -> str:
        """Serialize a reasoning detail, so that repetitions can be recognised.

        :raises marshmallow.ValidationError: for one too many, or one that cannot be sent.
        """
        self.count_detail()
        return self.dump(detail, "reasoning_details")

    def count_detail(self) -> None:
        """Count a reasoning detail.

        :raises marshmallow.ValidationError: for one too many.
        """
        self._details += 1
        if self._details > MAX_DETAILS:
            raise ma.ValidationError(f"More than {MAX_DETAILS} reasoning_details are not allowed.")

    def count_file(self) -> None:
        """Count a file.

        :raises marshmallow.ValidationError: for one too many.
        """
        self._files += 1
        if self._files > MAX_FILES:
            raise ma.ValidationError(f"More than {MAX_FILES} files are not allowed.")

    def _may_scan(self, text: str) -> bool:
        self._left -= len(text)
        return self._left >= 0


# Possessive, or the engine stores every character of a string for backtracking. A number matches
# from its first digit alone, or one of thousands of digits is scanned again from each of them.
_STRING_OR_SMALL = re.compile(r'"(?:[^"\\]++|\\.)*+"|(?<![\d.])-?\d[\d.]*+e-0\d')


def _small_as_js(match: re.Match[str]) -> str:
    """Format a small number as JavaScript does: 0.00001 instead of Python's 1e-05."""
    text = match[0]
    if text.startswith('"'):
        return text
    return f"{Decimal(text):f}" if text[-1] < "7" else text.replace("e-0", "e-")
