"""What an OpenAPI document says of errors: which statuses there are, when, and one of each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core.error_codes import ERROR_CODES
from ..core.errors import ChatError
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
    code: str = "bad_request"

    def with_limit(self, most: int) -> ErrorDoc:
        """Return it with the number of bytes that a body may have."""
        return replace(
            self, when=self.when.format(most=most), message=self.message.format(most=most)
        )


def _of_codes() -> dict[str, ErrorDoc]:
    docs: dict[str, ErrorDoc] = {}
    for row in ERROR_CODES.values():
        if row.code == "cancelled":
            continue  # there is no client to answer
        same = docs.get(str(row.status))
        message = row.sentence.format(label="OpenAI")
        docs[str(row.status)] = (
            replace(same, when=f"{same.when} {row.when}")
            if same
            else ErrorDoc(row.when, message, row.code)
        )
    return docs


_OF_CODES = _of_codes()
_NO_USER = ErrorDoc("Nobody is logged in.", "Profile not found", "no_permission")

CHAT_ERRORS = {
    **_OF_CODES,
    "401": replace(_NO_USER, when=f"{_NO_USER.when} {_OF_CODES['401'].when}"),
    "413": ErrorDoc(
        "The body has more than {most} bytes.",
        "The request body is too large; at most {most} bytes are taken.",
    ),
    "415": ErrorDoc(
        "The body is compressed.",
        "Content-Encoding gzip is not taken. Send the body uncompressed.",
    ),
    "422": ErrorDoc(
        "A field is wrong: the message names it, and says why. Some rules cannot be expressed in"
        " JSON Schema, such as that a file is what its type says.",
        "messages: Missing data for required field",
    ),
    "501": ErrorDoc("This provider is not set up here.", "OpenAI is not set up here.", "internal"),
    "default": ErrorDoc("Any other status, from the provider or from a guard of this app."),
}

MODELS_ERRORS = {
    "401": _NO_USER,
    "500": _OF_CODES["500"],
    "default": ErrorDoc("Any other status, from a guard of this app."),
}

MODEL_ERRORS = {
    "404": ErrorDoc(
        "The model is not in the catalogue; it may still be available.",
        "This model is not in the catalogue of OpenAI; it may still be available.",
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
