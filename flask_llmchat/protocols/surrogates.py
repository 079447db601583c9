"""Characters that a provider cut in half: a surrogate in one event, its other half in the next."""

from __future__ import annotations


def join_surrogates(text: str) -> tuple[str, str]:
    """Join surrogate pairs, and replace halves that have no other half.

    :return: the text, and the half at its end whose other half may come with the next chunk.
    """
    half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
    text = text[: len(text) - len(half)]
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), half
