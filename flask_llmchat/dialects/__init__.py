"""How clients speak: one module for each way, and the only ones that know marshmallow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ChatError
from .base import Dialect
from .describing import ANY_OBJECT, Book, Description
from .openai import OpenAIDialect
from .parsing import parse_object
from .text import TextDialect
from .ui import UIDialect

builtin_dialects: tuple[Dialect, ...] = (UIDialect(), OpenAIDialect(), TextDialect())
"""All that are built in. The first that recognises a body reads it; the last is the default."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """How one request is dealt with.

    :param reads: the dialect that its body is in.
    :param answers: the dialect of the answer; another one where ``Accept`` asks for that.
    :param tells_errors: the dialect of an error that comes instead of an answer.
    """

    reads: Dialect
    answers: Dialect
    tells_errors: Dialect


def choose(
    dialects: Sequence[Dialect],
    path: str,
    body: dict[str, Any],
    liking: Callable[[str], tuple[float, bool]],
) -> Spoken:
    """Choose how to deal with a request.

    :param path: what follows the provider in its path.
    :param body: its body; {} when that cannot be read.
    :param liking: how much its ``Accept`` wants a media type: the quality, and whether it names it.
    """
    there = [dialect for dialect in dialects if dialect.path == path]
    reads = next((dialect for dialect in there if dialect.recognises(body)), there[-1])
    answers = max([reads, *there], key=lambda dialect: liking(dialect.mimetype))
    # The default form is anybody's: who asks for another one's answer is told errors its way.
    return Spoken(reads, answers, answers if reads is there[-1] else reads)


def describe(dialect: Dialect, book: Book) -> Description:
    """Return what an OpenAPI document tells of a dialect.

    One without a ``describe`` method of its own is asked for what can be seen of it.
    """
    if hasattr(dialect, "describe"):
        described: Description = dialect.describe(book)
        return described
    _, mimetype, _ = dialect.error(ChatError("Any."), "")
    return Description(body=ANY_OBJECT, answers={dialect.mimetype: {}}, errors={mimetype: {}})


__all__ = [
    "Book",
    "Description",
    "Dialect",
    "Spoken",
    "builtin_dialects",
    "choose",
    "describe",
    "parse_object",
]
