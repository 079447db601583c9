"""What an OpenAPI document says of errors: which statuses there are, when, and one of each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core.errors import UNEXPECTED, ChatError, Code
from ..dialects.base import Dialect
from ..dialects.json_schema import DialectSpec

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ErrorDoc:
    """A status that errors have.

    :param when: when it is answered.
    :param message: what an error says that has it; "" for none in particular.
    :param code: that error's.
    """

    when: str
    message: str = ""
    code: Code = "bad_request"

    def with_limit(self, most: int) -> ErrorDoc:
        """Return it with the number of bytes that a body may have."""
        return replace(
            self, when=self.when.format(most=most), message=self.message.format(most=most)
        )


_NOBODY = "Profile not found"


_FAILED = ErrorDoc("What nobody foresaw.", UNEXPECTED, "internal")


CHAT_ERRORS = {
    "400": ErrorDoc(
        "The body is not JSON, there is no key for this provider, or the provider says that the"
        " request is wrong.",
        "OpenAI API Key not found. Please set it in your profile settings.",
        "missing_key",
    ),
    "401": ErrorDoc(
        "Nobody is logged in, or the provider does not take the key.", _NOBODY, "no_permission"
    ),
    "402": ErrorDoc(
        "There is no credit left with the provider.", "Insufficient credits.", "out_of_credit"
    ),
    "403": ErrorDoc(
        "The body came from another site's page, or somebody does not allow this.",
        "This request comes from another site.",
        "no_permission",
    ),
    "404": ErrorDoc(
        "There is no such model or endpoint.", "The model does not exist.", "model_not_found"
    ),
    "413": ErrorDoc(
        "The body has more than {most} bytes.",
        "The request body is too large; at most {most} bytes are taken.",
    ),
    "415": ErrorDoc(
        "The body is compressed.",
        "Content-Encoding gzip is not taken. Send the body uncompressed.",
    ),
    "422": ErrorDoc(
        "A field is wrong: the message names it, and says why. There are reasons that no schema"
        " tells, such as a file that is not what it says.",
        "messages: Missing data for required field",
    ),
    "429": ErrorDoc(
        "The provider, or this app, has had too many requests.",
        "Rate limit reached.",
        "rate_limited",
    ),
    "500": _FAILED,
    "501": ErrorDoc("This provider is not set up here.", "OpenAI is not set up here.", "internal"),
    "502": ErrorDoc(
        "The provider failed, or broke off.",
        "OpenAI broke off before the answer was complete.",
        "truncated",
    ),
    "503": ErrorDoc(
        "The provider, or this app, has too much to do.",
        "Too many chats are running at the moment. Please try again.",
        "overloaded",
    ),
    "504": ErrorDoc(
        "The provider kept us waiting.",
        "OpenAI took too long to answer. Please try again.",
        "timeout",
    ),
    "default": ErrorDoc(
        "Any other status that the provider, or a guard of this app's, answers with."
    ),
}


MODELS_ERRORS = {
    "401": ErrorDoc("Nobody is logged in.", _NOBODY, "no_permission"),
    "500": _FAILED,
    "default": ErrorDoc("What a guard of this app's answers with."),
}


MODEL_ERRORS = {
    "404": ErrorDoc(
        "No such model is known here. It can be asked for just the same.",
        "OpenAI is not known here to have this model. Ask for it: it may.",
        "model_not_found",
    ),
    **MODELS_ERRORS,
}


def content_of(schemas: Iterable[tuple[str, JSON]]) -> dict[str, JSON]:
    """Return media types with what they hold; two dialects may have one in common."""
    kinds: dict[str, list[JSON]] = {}
    for mimetype, schema in schemas:
        found = kinds.setdefault(mimetype, [])
        if schema not in found:
            found.append(schema)
    return {
        mimetype: {"schema": found[0] if len(found) == 1 else {"anyOf": found}}
        for mimetype, found in kinds.items()
    }


def error_content(
    status: str, doc: ErrorDoc, described: Sequence[tuple[Dialect, DialectSpec]]
) -> dict[str, JSON]:
    """Return the media types of an error, each with the error as a dialect writes it."""
    content = content_of(item for _, one in described for item in one.errors.items())
    for dialect, _ in described if doc.message else ():
        error = ChatError(doc.message, doc.code, status=int(status), provider="openai")
        body, mimetype, _ = dialect.error(error, "8c1f6a0e")
        if mimetype in content:
            text = body.decode()
            example = json.loads(text) if mimetype == "application/json" else text
            content[mimetype].setdefault("example", example)
    return content
