"""The error codes: one row each, with everything that follows from a code.

Dialects, fallbacks, the recorder, the OpenAPI document and the table in ``docs/errors.md`` all
read these rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from .result import Outcome

UNEXPECTED = "An unexpected error occurred"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCode:
    """What follows from one code.

    :param code: the code itself.
    :param status: HTTP status of an error with this code that has no status of its own.
    :param when: one sentence for the docs and the OpenAPI document.
    :param sentence: message for users, where there is no more specific one; ``{label}`` is the
        provider's name.
    :param retryable: whether the same request may succeed a moment later.
    :param fallback: whether a fallback provider is tried after this error.
    :param outcome: of a chat that ended with this error, where the error is this package's own.
        After an error that the provider sent, the outcome is ``upstream_error``.
    :param openai_type: ``error.type`` in the form that OpenAI's SDKs raise.
    """

    code: str
    status: int
    when: str
    sentence: str
    retryable: bool = False
    fallback: bool = False
    outcome: Outcome = "upstream_error"
    openai_type: str = "api_error"


_ROWS = (
    ErrorCode(
        code="missing_key",
        status=400,
        when="The profile has no key for this provider.",
        sentence="{label} API Key not found. Please set it in your profile settings.",
        openai_type="invalid_request_error",
    ),
    ErrorCode(
        code="bad_request",
        status=400,
        when="The body is not JSON, or the provider rejects the request as invalid.",
        sentence="{label} did not accept this request.",
        openai_type="invalid_request_error",
    ),
    ErrorCode(
        code="bad_key",
        status=401,
        when="The provider does not accept the key.",
        sentence="{label} API Key is incorrect. Please fix it in your profile settings.",
        openai_type="authentication_error",
    ),
    ErrorCode(
        code="out_of_credit",
        status=402,
        when="The account with the provider has no credit left.",
        sentence="There is no credit left with {label}.",
        fallback=True,
        openai_type="insufficient_quota",
    ),
    ErrorCode(
        code="no_permission",
        status=403,
        when="The provider, or a guard of this app, does not allow this.",
        sentence="This is not allowed.",
        openai_type="permission_error",
    ),
    ErrorCode(
        code="model_not_found",
        status=404,
        when="The model or the endpoint does not exist.",
        sentence="Model not found",
        openai_type="invalid_request_error",
    ),
    ErrorCode(
        code="tool_limit",
        status=502,
        when="The model called a tool in the last step, where it may call none.",
        sentence="{label} called too many tools.",
        outcome="tool_limit",
    ),
    ErrorCode(
        code="context_too_long",
        status=400,
        when="The conversation is longer than the model can read.",
        sentence="This conversation is too long for the model.",
        openai_type="invalid_request_error",
    ),
    ErrorCode(
        code="content_filtered",
        status=400,
        when="A content filter refused the request.",
        sentence="A content filter refused this request.",
        openai_type="invalid_request_error",
    ),
    ErrorCode(
        code="rate_limited",
        status=429,
        when="The provider, or this app, has had too many requests.",
        sentence="Rate limit reached. Please try again later.",
        retryable=True,
        fallback=True,
        openai_type="rate_limit_error",
    ),
    ErrorCode(
        code="internal",
        status=500,
        when="An unexpected failure, which is in the log.",
        sentence=UNEXPECTED,
        retryable=True,
    ),
    ErrorCode(
        code="upstream_error",
        status=502,
        when="The provider failed.",
        sentence="{label} could not answer.",
        retryable=True,
        fallback=True,
    ),
    ErrorCode(
        code="truncated",
        status=502,
        when="The provider's response ended before it was complete.",
        sentence="{label} broke off before the answer was complete.",
        retryable=True,
        fallback=True,
        outcome="truncated",
    ),
    ErrorCode(
        code="overloaded",
        status=503,
        when="The provider, or this app, is overloaded.",
        sentence="{label} is overloaded at the moment. Please try again.",
        retryable=True,
        fallback=True,
        outcome="cancelled",  # where no provider reported it: this server is stopping
    ),
    ErrorCode(
        code="timeout",
        status=504,
        when="The provider sent nothing for too long.",
        sentence="{label} took too long to answer. Please try again.",
        retryable=True,
        fallback=True,
        outcome="timeout",
    ),
    ErrorCode(
        code="deadline",
        status=504,
        when="The chat took longer than one chat may take.",
        sentence="{label} took longer than this chat may take.",
        outcome="deadline",
    ),
    ErrorCode(
        code="interrupted",
        status=502,
        when="The server stopped before the response was complete.",
        sentence="The server stopped before the answer was complete.",
        outcome="interrupted",
    ),
    ErrorCode(
        code="stopped",
        status=499,
        when="Somebody stopped the chat.",
        sentence="The answer was stopped.",
        outcome="stopped",
    ),
    ErrorCode(
        code="cancelled",
        status=499,
        when="The client left. Only `chat_finished` reports it.",
        sentence="The client left.",
        outcome="cancelled",
    ),
)

ERROR_CODES: dict[str, ErrorCode] = {row.code: row for row in _ROWS}
"""All codes by name. The first of each status is the example in the OpenAPI document."""
