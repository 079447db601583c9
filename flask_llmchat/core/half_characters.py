"""Half characters in JSON: the escape of a lone surrogate, which is JSON but no text in UTF-8."""

from __future__ import annotations

import re

# A pair of halves is one match, as is any other escape: `\\ud83d` has none.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}"
    r"|(u[dD][89a-fA-F][\da-fA-F]{2})|.)",
    re.DOTALL,
)


def replace_halves(text: str) -> str:
    """Return JSON text with U+FFFD in place of half characters.

    Models write some, and neither a client nor a provider takes them.
    """
    if "\\ud" not in text and "\\uD" not in text:
        return text
    return _ESCAPE.sub(lambda match: r"\ufffd" if match[1] else match[0], text)
