"""Errors in the form that OpenAI's SDKs raise."""

from __future__ import annotations

from typing import Any

from ...core.errors import ChatError
from ..json_schema import TEXT, JSONSchema, object_schema

# How OpenAI sorts errors. What is not here is the provider's failure, or ours.
_TYPES = {
    "missing_key": "invalid_request_error",
    "bad_key": "authentication_error",
    "no_permission": "permission_error",
    "out_of_credit": "insufficient_quota",
    "rate_limited": "rate_limit_error",
    "context_too_long": "invalid_request_error",
    "content_filtered": "invalid_request_error",
    "model_not_found": "invalid_request_error",
    "bad_request": "invalid_request_error",
}


def error_body(error: ChatError) -> dict[str, Any]:
    """Return an error in the form that SDKs raise one of."""
    type_ = "authentication_error" if error.status == 401 else _TYPES.get(error.code, "api_error")
    return {"error": {"message": error.message, "type": type_, "code": error.code, "param": None}}


def error_schema(code: JSONSchema) -> JSONSchema:
    """Return the JSON schema of an error.

    :param code: that of our codes.
    """
    message = {"type": "string", "description": "A sentence for people."}
    null = {"type": "null"}
    error = object_schema("What went wrong.", message=message, type=TEXT, code=code, param=null)
    return object_schema("Why there is no answer, as OpenAI's SDKs raise it.", error=error)
