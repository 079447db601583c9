"""What a provider says went wrong, in our words.

Error bodies come as an object, a list, a string, HTML or nothing. One reader digs the
message and the code out of all of them; the code decides before the status does, and words
only where neither does.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import ChatError, Code, redact, safe_sentence

_LOGGED = 4000  # characters of an error body: enough to see the cause, too few to fill a disk

# Providers' own codes, types and statuses, in lower case.
_CODES: dict[str, Code] = {
    "invalid_api_key": "bad_key",
    "authentication_error": "bad_key",
    "exceeded_current_quota_error": "out_of_credit",
    "billing_not_active": "out_of_credit",
    "billing_hard_limit_reached": "out_of_credit",
    "unauthenticated": "bad_key",
    "insufficient_quota": "out_of_credit",
    "credit_balance_exhausted": "out_of_credit",
    "organization_usage_limit_exceeded": "out_of_credit",
    "enforced_spend_limit_reached": "out_of_credit",
    "rate_limit_exceeded": "rate_limited",
    "resource_exhausted": "rate_limited",  # Gemini's, whose words are those of a bill
    "slow_down": "rate_limited",
    "context_length_exceeded": "context_too_long",
    "string_above_max_length": "context_too_long",
    "content_filter": "content_filtered",
    "content_policy_violation": "content_filtered",
    "responsibleaipolicyviolation": "content_filtered",
    "model_not_found": "model_not_found",
    "model_not_available": "model_not_found",
    "invalid_model": "model_not_found",
    "not_found_error": "model_not_found",
    "deploymentnotfound": "model_not_found",
    "server_is_overloaded": "overloaded",
    "overloaded_error": "overloaded",
}

_STATUSES: dict[int, Code] = {
    401: "bad_key",
    402: "out_of_credit",
    403: "no_permission",
    408: "timeout",
    413: "context_too_long",
    429: "rate_limited",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}

_WORDS_OF: dict[Code, str] = {
    "bad_key": r"(incorrect|invalid) api key|api key (not valid|expired)",
    "out_of_credit": r"credit balance|insufficient (credit|balance|fund)|spend(ing)? limit"
    r"|(used|out of) (all )?(available )?credits|key limit exceeded",
    "context_too_long": r"context (length|window)|too many tokens|prompt is too long"
    r"|token count exceeds|model token limit",
    "content_filtered": r"content (filter|management policy)|flagged|moderation",
    "model_not_found": r"\b(models?|deployment)\b.*\b(not found|not exist|not supported)"
    r"|not a valid model|not found the model|no endpoints found",
}

# Only where codes say nothing and the status could mean any of them.
_WORDS: dict[Code, re.Pattern[str]] = {
    code: re.compile(words, re.IGNORECASE) for code, words in _WORDS_OF.items()
}

_REQUEST_ID_HEADERS = ("x-request-id", "request-id", "x-generation-id", "apim-request-id")


class PlainText(str):
    """A body that is no JSON: for the log, and for nobody's eyes."""


def upstream_request_id(headers: Mapping[str, str], secrets: tuple[str, ...]) -> str | None:
    """Return the provider's own id of a call, which its support asks for."""
    found = next((headers[name] for name in _REQUEST_ID_HEADERS if name in headers), None)
    return found and safe_sentence(found[:2000], secrets, limit=200)


def parse_json(content: bytes) -> Any:
    """Parse an error body; what is not JSON is returned as :class:`PlainText`."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return PlainText(content.decode("utf-8", "replace"))


def from_body(
    body: Any,
    *,
    status: int | None,
    headers: Mapping[str, str],
    label: str,
    provider: str,
    secrets: tuple[str, ...],
    tells: bool = True,
) -> ChatError:
    """Make our error of a provider's.

    :param body: what came, parsed if it was JSON.
    :param status: HTTP status of the answer; None for an error inside a stream, whose own
        code may be a status.
    :param label: the provider as people call it.
    :param secrets: what must not be told to anybody: the key.
    :param tells: whether the provider's own words may be shown to people.
    """
    try:
        codes, text = list(_codes_in(body)), message_in(body)[:_LOGGED]
        raw = json.dumps(body, default=str)  # one line, whatever stands in it
    except RecursionError:
        codes, text, raw = [], "", "nested too deeply"
    if status is None:
        status = next((int(c) for c in codes if re.fullmatch(r"[45]\d\d", c)), 502)
    elif not 400 <= status < 600:
        status = 502  # a redirect, which is never followed: the key would go with it
    code = _classify(status, codes, text)
    if code == "bad_key":
        status = 401  # some say 400
        message = f"{label} API Key is incorrect. Please fix it in your profile settings."
    else:
        shown = tells and not isinstance(body, PlainText)  # written for machines, or by others
        told = safe_sentence(text, secrets) if shown else ""
        message = told or f"{label} could not answer (status {status})."
    return ChatError(
        message,
        code,
        status=status,
        provider=provider,
        retry_after=_retry_after(headers),
        upstream_request_id=upstream_request_id(headers, secrets),
        detail=redact(raw[: 2 * _LOGGED], secrets)[:_LOGGED],
    )


def _classify(status: int, codes: list[str], text: str) -> Code:
    for code in codes:
        if code in _CODES:
            return _CODES[code]
        if code.endswith("_spend_limit_exceeded"):
            return "out_of_credit"
    if status in (400, 403, 404, 412, 422, 429):
        for code_, words in _WORDS.items():
            if words.search(text):
                return code_
    if status in _STATUSES:
        return _STATUSES[status]
    return "upstream_error" if status >= 500 else "bad_request"


def _codes_in(body: Any) -> Iterator[str]:
    """Give every code a body holds, the most telling first, as lower-case text."""
    if isinstance(body, list):
        for item in body:
            yield from _codes_in(item)
    elif isinstance(body, dict):
        yield from _codes_in(body.get("error"))
        for name in ("code", "error_code", "type", "status", "status_code", "statusCode"):
            if isinstance(value := body.get(name), str | int) and not isinstance(value, bool):
                yield str(value).lower()
        for name in ("innererror", "details"):
            yield from _codes_in(body.get(name))
        metadata = body.get("metadata")
        if isinstance(metadata, dict) and isinstance(metadata.get("raw"), str):
            yield from _codes_in(parse_json(metadata["raw"][:_LOGGED].encode()))


def message_in(body: Any) -> str:
    """Dig the sentence out of an error body of whatever shape; "" when it holds none."""
    if isinstance(body, str):
        text = body.strip()
        return "" if text.startswith("<") else text  # HTML is written for nobody here
    if isinstance(body, list):
        return next((text for item in body if (text := message_in(item))), "")
    if not isinstance(body, dict):
        return ""
    # OpenRouter passes on what the provider behind it said, as text or as JSON in text.
    metadata = body.get("metadata")
    if isinstance(metadata, dict) and (raw := metadata.get("raw")):
        try:
            cause = message_in(json.loads(raw))
        except (TypeError, ValueError, RecursionError):
            cause = message_in(raw)
        if cause:
            return cause
    names = ("error", "message", "detail", "details", "msg", "error_description")
    return next((text for name in names if (text := message_in(body.get(name)))), "")


def _retry_after(headers: Mapping[str, str]) -> str | None:
    """Return when to come back, as a ``Retry-After`` value that browsers understand."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < 1e6:
            return str(math.ceil(seconds))
    date = headers.get("retry-after", "")
    return date if re.fullmatch(r"[\w,: ]{20,40} GMT", date, re.ASCII) else None
