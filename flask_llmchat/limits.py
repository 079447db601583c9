"""How many items a provider's answer may have: every number in one place.

Bytes are bounded where they are read. But thirty megabytes of ``{},{},`` become gigabytes of
objects, and a loop over them stops every other chat of the process. So items are counted too.
An answer that loses a part of what it says is no answer: more calls, images or choices than
these are an error. What stands beside an answer (sources, annotations, reasoning details) is
left out, and the answer goes on.
"""

from __future__ import annotations

MOST_VALUES = 2**22
"""JSON values of which something is kept, in one answer: see :func:`count`. More: an error.

It is some 20,000 tokens with 20 alternatives each in ``logprobs``, or 300,000 with none.
"""

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
