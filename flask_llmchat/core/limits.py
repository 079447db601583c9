"""How many items a provider's answer may have: every number in one place.

Bytes are bounded where they are read. But thirty megabytes of ``{},{},`` become gigabytes of
objects, and a loop over them stops every other chat of the process. So items are counted too.
An answer that loses a part of what it says is no answer: more calls, images or choices than
these are an error. What stands beside an answer (sources, annotations, reasoning details) is
left out, and the answer goes on.
"""

from __future__ import annotations

from typing import Any

from .errors import StreamErrorEvent

MOST_VALUES = 2**21
"""JSON values of which something is kept, in one answer: see :func:`count`. More: an error.

It is some 10,000 tokens with 20 alternatives each in ``logprobs``, or 170,000 with none.
"""


MOST_TEXT = 2**24
"""Characters of text, reasoning, arguments and annotations in one answer: ten times what the
longest has. Each may take four bytes, several times over. More: an error."""


MOST_CHOICES = 16
"""Choices in one chunk, and other answers beside the first. More: an error."""


MOST_CALLS = 128
"""Tool calls in one answer. More: an error."""


MOST_PARTS = 4096
"""Content parts, images or pieces of calls in one chunk. More: an error."""


MOST_IMAGES = 256
"""Images in one answer. More: an error."""


MOST_SOURCES = 1024
"""Sources, and annotations, in one answer. More are left out."""


MOST_DETAILS = 2**14
"""Reasoning details in one answer. With more, all are left out: a part of them would be refused
by the provider that gets them back."""


MOST_LOGPROBS = 2**18
"""Tokens with ``logprobs`` in one answer, some times what the longest has. More: an error."""


def count(data: bytes) -> int:
    """Return about how many values a JSON text has; what stands in strings counts too."""
    return data.count(b",") + data.count(b"{") + data.count(b"[")


class Budget:
    """What one answer may still have of what is counted rather than listed."""

    def __init__(self) -> None:
        self._text, self._values, self._tokens = MOST_TEXT, MOST_VALUES, MOST_LOGPROBS

    def spend(self, length: int) -> None:
        """Count characters that are kept.

        :raises ErrorChunk: when there are too many.
        """
        self._text -= length
        if self._text < 0:
            raise StreamErrorEvent({"detail": "The answer is longer than is taken."})

    def keep(self, data: bytes) -> None:
        """Count the values of a chunk of which some are kept.

        :raises ErrorChunk: when there are too many.
        """
        self._values -= count(data)
        if self._values < 0:
            raise StreamErrorEvent({"detail": "The answer has more parts than are taken."})

    def count_tokens(self, logprobs: Any) -> None:
        """Count tokens with their log probabilities.

        :raises ErrorChunk: when there are too many.
        """
        lists = logprobs.values() if isinstance(logprobs, dict) else ()
        self._tokens -= sum(len(tokens) for tokens in lists if isinstance(tokens, list))
        if self._tokens < 0:
            raise StreamErrorEvent({"detail": f"More than {MOST_LOGPROBS} logprobs are not taken."})
