"""The error responses of an OpenAPI document: statuses, when they are sent, and examples."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..core.error_codes import ERROR_CODES
from ..core.errors import ChatError
from ..dialects.base import Dialect
from ..dialects.json_schema import DialectSpec
from .instance import JSON


@dataclass(frozen=True, slots=True)
class ErrorDoc:
    """An HTTP status of errors.

    :param when: when it is sent.
    :param message: the message of an example; "" for no example.
    :param code: the code of that example.
    """

    when: str
    message: str = ""
    code: str = "bad_request"


def _of_codes() -> dict[str, ErrorDoc]:
    docs: dict[str, ErrorDoc] = {}
    for row in ERROR_CODES.values():
        if row.code == "cancelled":
            continue  # there is no client to send it to
        same = docs.get(str(row.status))
        message = row.sentence.format(label="OpenAI")
        docs[str(row.status)] = (
            replace(same, when=f"{same.when} {row.when}")
            if same
            else ErrorDoc(row.when, message, row.code)
        )
    return docs


_OF_CODES = _of_codes()
_NO_USER = ErrorDoc("No user is logged in.", "Profile not found", "no_permission")

CHAT_ERRORS = {
    **_OF_CODES,
    "400": replace(
        _OF_CODES["400"],
        message=ERROR_CODES["missing_key"].sentence.format(label="OpenAI"),
        code="missing_key",
    ),
    "401": replace(_NO_USER, when=f"{_NO_USER.when} {_OF_CODES['401'].when}"),
    "413": ErrorDoc(  # {most}: what the app's setting says
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

_KEPT_ERRORS = {
    "409": ErrorDoc(
        "A request with this `Idempotency-Key` came before, and its response is lost.",
        "The answer to this request is no longer kept.",
    ),
}


def chat_errors(*, resumable: bool) -> dict[str, ErrorDoc]:
    """Return the errors of chats, by their status.

    :param resumable: whether responses are kept.
    """
    if resumable:
        return CHAT_ERRORS | _KEPT_ERRORS
    # Nobody can stop a chat then.
    return {status: doc for status, doc in CHAT_ERRORS.items() if status != "499"}


PROFILE_ERRORS = {
    "401": _NO_USER,
    "500": _OF_CODES["500"],
    "default": ErrorDoc("Any other status, from a guard of this app."),
}


def content_of(schemas: Iterable[tuple[str, JSON]]) -> dict[str, JSON]:
    """Return media types with their schemas; two dialects may have a media type in common."""
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
    status: str, doc: ErrorDoc, described: Sequence[tuple[Dialect, DialectSpec]], most: int
) -> dict[str, JSON]:
    """Return the media types of an error, each with an example in a dialect's format.

    :param most: the number of bytes that a body may have.
    """
    content = content_of(item for _, spec in described for item in spec.errors.items())
    message = doc.message.format(most=most)
    for dialect, _ in described if message else ():
        error = ChatError(message, doc.code, status=int(status), provider="openai")
        body, mimetype, _ = dialect.error(error, "8c1f6a0e")
        if mimetype in content:
            text = body.decode()
            example = json.loads(text) if mimetype == "application/json" else text
            content[mimetype].setdefault("example", example)
    return content
