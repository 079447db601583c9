"""Errors in the form that OpenAI's SDKs raise."""

from __future__ import annotations

from typing import Any

from ...core.error_codes import ERROR_CODES
from ...core.errors import ChatError
from ..json_schema import TEXT, JSONSchema, object_schema


def error_body(error: ChatError) -> dict[str, Any]:
    """Return an error in the form that SDKs raise."""
    type_ = "authentication_error" if error.status == 401 else ERROR_CODES[error.code].openai_type
    return {"error": {"message": error.message, "type": type_, "code": error.code, "param": None}}


def error_schema(code: JSONSchema) -> JSONSchema:
    """Return the JSON schema of an error.

    :param code: JSON schema of the error codes.
    """
    message = {"type": "string", "description": "A sentence for people."}
    null = {"type": "null"}
    error = object_schema("What went wrong.", message=message, type=TEXT, code=code, param=null)
    return object_schema("An error, as OpenAI's SDKs raise it.", error=error)
