"""Limits on the number of items in a provider's response.

Bytes are bounded where they are read. But thirty megabytes of ``{},{},`` become gigabytes of
objects, and a loop over them stops every other chat of the process. So items are counted too.
A response must not lose a part of its content: more tool calls, images or choices than these are
an error. What only accompanies it (sources, annotations, reasoning details) is left out beyond
the limit, and the response continues.
"""

from __future__ import annotations

from typing import Any

from .errors import StreamErrorEvent

MAX_VALUES = 2**21
"""JSON values in those chunks of a response of which something is kept: see :func:`count`.
More: an error.

That is some 10,000 tokens with 20 alternatives each in ``logprobs``, or 170,000 with none.
"""

MAX_TEXT = 2**24
"""Characters of text, reasoning, arguments and annotations in one response: ten times what the
longest has. Each may take four bytes, several times over. More: an error."""

MAX_CHOICES = 16
"""Choices in one chunk, and in a response besides the first. More: an error."""

MAX_CALLS = 128
"""Tool calls in one response. More: an error."""

MAX_PARTS = 4096
"""Content parts, images or pieces of tool calls in one chunk. More: an error."""

MAX_IMAGES = 256
"""Images in one response. More: an error."""

MAX_SOURCES = 1024
"""Sources in one response, and annotations. More are left out."""

MAX_DETAILS = 2**14
"""Reasoning details in one response. With more, all are left out: the provider that gets them
back would reject a part of them."""

MAX_LOGPROBS = 2**18
"""Tokens with ``logprobs`` in one response, several times what the longest has.
More: an error."""


def count(data: bytes) -> int:
    """Return about how many values a JSON text has; commas in its strings count too."""
    return data.count(b",") + data.count(b"{") + data.count(b"[")


class Budget:
    """Counts characters, JSON values and logprobs over one whole response."""

    def __init__(self) -> None:
        self._text, self._values, self._tokens = MAX_TEXT, MAX_VALUES, MAX_LOGPROBS

    def spend(self, length: int) -> None:
        """Count characters that are kept.

        :raises StreamErrorEvent: when there are too many.
        """
        self._text -= length
        if self._text < 0:
            raise StreamErrorEvent({"detail": "The response is too long."})

    def keep(self, data: bytes) -> None:
        """Count the values of a chunk of which some are kept.

        :raises StreamErrorEvent: when there are too many.
        """
        self._values -= count(data)
        if self._values < 0:
            raise StreamErrorEvent({"detail": "The response has too many parts."})

    def count_tokens(self, logprobs: Any) -> None:
        """Count tokens with their log probabilities.

        :raises StreamErrorEvent: when there are too many.
        """
        lists = logprobs.values() if isinstance(logprobs, dict) else ()
        self._tokens -= sum(len(tokens) for tokens in lists if isinstance(tokens, list))
        if self._tokens < 0:
            raise StreamErrorEvent({"detail": f"More than {MAX_LOGPROBS} logprobs in a response."})
