"""Makes a ChatError of a provider's error.

Error bodies come as an object, a list, a string, HTML, server-sent events or nothing. The message
and the codes are found in all of these forms.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from ..core.error_codes import ERROR_CODES
from ..core.errors import ChatError, redact, safe_sentence
from .error_rules import classify
from .sse import EventTooLarge, SSEDecoder

_LOGGED = 4000  # characters of an error body: enough to see the cause, too few to fill a disk

_MAX_ITEMS = 50  # of a list, or codes in a body, that are looked at: an error has a handful

_REQUEST_ID_HEADERS = ("x-request-id", "request-id", "x-generation-id", "apim-request-id")


class PlainText(str):
    """A body that is not JSON: for the log alone, never shown to a user."""


def upstream_request_id(headers: Mapping[str, str], secrets: tuple[str, ...]) -> str | None:
    """Return the provider's own id of a request, which its support asks for."""
    for name in _REQUEST_ID_HEADERS:
        if found := headers.get(name):
            return safe_sentence(found[:2000], secrets, limit=200)
    return None


def parse_json(content: bytes) -> Any:
    """Parse an error body; a body that is not JSON is returned as :class:`PlainText`."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return _parse_events(content) or PlainText(content.decode("utf-8", "replace"))


def _parse_events(content: bytes) -> Any:
    """Return the first object among server-sent events; None when there is none."""
    decoder = SSEDecoder()
    try:
        events = decoder.feed(content) + decoder.finish()
    except EventTooLarge:
        return None
    for _, data in events[:_MAX_ITEMS]:
        try:
            body = json.loads(data)
        except (ValueError, RecursionError):
            continue
        if body and isinstance(body, dict | list):
            return body
    return None


def from_body(
    body: Any,
    *,
    status: int | None,
    headers: Mapping[str, str],
    label: str,
    provider: str,
    secrets: tuple[str, ...],
    expose: bool = True,
) -> ChatError:
    """Return the ChatError for an error of a provider.

    :param body: the error body, parsed if it is JSON.
    :param status: HTTP status of the response; None for an error inside a stream, whose own
        code may be a status.
    :param headers: headers of the response.
    :param label: the provider's name for people.
    :param secrets: texts that must appear in no message and no log: the key.
    :param expose: whether the provider's own message may be shown to users.
    """
    try:
        codes, text = list(islice(_codes_in(body), _MAX_ITEMS)), message_in(body)[:_LOGGED]
        raw = json.dumps(body, default=str)  # one line, whatever the body holds
        retry_after = _retry_after(headers) or _retry_delay(body)
    except RecursionError:
        codes, text, raw, retry_after = [], "", "nested too deeply", _retry_after(headers)
    if status is None:
        status = next((int(c) for c in codes if re.fullmatch(r"[45]\d\d", c)), None)
    elif not 400 <= status < 600:
        status = 502  # a redirect, which is never followed: the key would go with it
    code = classify(status, codes, text)
    if code == "bad_key":
        status = 401  # some send 400
        message = ERROR_CODES["bad_key"].sentence.format(label=label)
    else:
        shown = expose and not isinstance(body, PlainText)  # HTML, or another host's text
        sentence = safe_sentence(text, secrets) if shown else ""
        message = sentence or f"{label} could not answer (status {status or 502})."
    return ChatError(
        message,
        code,
        status=status,  # where there is none, the one that goes with the code
        provider=provider,
        retry_after=retry_after,
        upstream_request_id=upstream_request_id(headers, secrets),
        by_provider=True,
        detail=redact(raw[: 2 * _LOGGED], secrets)[:_LOGGED],
    )


_CODE_NAMES = ("code", "error_code", "type", "status", "status_code", "statusCode", "reason")

_CODE_PLACES = ("errors", "details")  # and all that is an object

_MESSAGE_NAMES = (
    "error", "errors", "message", "detail", "details", "msg", "error_msg", "errmsg",
    "error_message", "status_msg", "base_resp", "error_description", "title",
)  # fmt: skip

_REASON_NAME = re.compile(r"error|exception|fault|fail|reason|messag|descri|cause", re.IGNORECASE)

_NO_ERROR = frozenset({"ok", "success"})


def _codes_in(body: Any) -> Iterator[str]:
    """Give every code in a body, the most specific first, as lower-case text."""
    if isinstance(body, list):
        for item in body[:_MAX_ITEMS]:
            yield from _codes_in(item)
    elif isinstance(body, dict):
        yield from _codes_in(body.get("error"))
        for name in _CODE_NAMES:
            if isinstance(value := body.get(name), str | int) and not isinstance(value, bool):
                yield str(value).lower()
        for name, value in body.items():
            if name in _CODE_PLACES or (isinstance(value, dict) and name != "error"):
                yield from _codes_in(value)
        metadata = body.get("metadata")
        if isinstance(metadata, dict) and isinstance(metadata.get("raw"), str):
            yield from _codes_in(parse_json(metadata["raw"][:_LOGGED].encode()))


def message_in(body: Any) -> str:
    """Return the message of an error body of any shape; "" when it holds none."""
    if isinstance(body, str):
        text = body.strip()
        # HTML is not a message, and "success" is not an error.
        return "" if text.startswith("<") or text.lower() in _NO_ERROR else text
    if isinstance(body, list):
        return next((text for item in body[:_MAX_ITEMS] if (text := message_in(item))), "")
    if not isinstance(body, dict):
        return ""
    # OpenRouter passes on the error of the provider behind it, as text or as JSON in text.
    metadata = body.get("metadata")
    if isinstance(metadata, dict) and (raw := metadata.get("raw")):
        try:
            cause = message_in(json.loads(raw))
        except (TypeError, ValueError, RecursionError):
            cause = message_in(raw)
        if cause:
            return cause
    sentence = (text for name in _MESSAGE_NAMES if (text := message_in(body.get(name))))
    # Gateways wrap errors in objects of any name.
    wrapped = (
        message_in(value)
        for name, value in body.items()
        if isinstance(value, dict) and name not in _MESSAGE_NAMES
    )
    # A text that reads like a sentence, under a name like one of an error.
    others = (
        value.strip()
        for name, value in islice(body.items(), _MAX_ITEMS)
        if isinstance(value, str) and " " in value.strip() and _REASON_NAME.search(name)
    )
    return next(sentence, "") or next(filter(None, wrapped), "") or next(others, "")


def _retry_after(headers: Mapping[str, str]) -> str | None:
    """Return the seconds to wait before a retry, as a ``Retry-After`` value."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1)):
        if name not in headers:
            continue
        try:
            seconds = float(headers[name]) * unit  # some send fractions, which HTTP does not have
        except ValueError:
            seconds = _seconds_until(headers[name])
        if 0 <= seconds < 1e6:
            return str(math.ceil(seconds))
    return None


def _seconds_until(date: str) -> float:
    from urllib3.exceptions import InvalidHeader  # 50 ms, but a request has loaded it
    from urllib3.util import Retry

    try:
        return Retry().parse_retry_after(date)
    except (InvalidHeader, ValueError, OverflowError):
        return -1.0


def _retry_delay(body: Any) -> str | None:
    """Return the seconds to wait that a body names, as Google's ``RetryInfo`` does."""
    if isinstance(body, list):
        items = body[:_MAX_ITEMS]
        return next((found for item in items if (found := _retry_delay(item))), None)
    if not isinstance(body, dict):
        return None
    for name in ("retryDelay", "retry_after", "retry_after_seconds", "retryAfter"):
        value = body.get(name)
        sentence = str(value) if isinstance(value, str | int | float) else ""
        if seconds := re.fullmatch(r"(\d{1,6}(?:\.\d{1,9})?)s?", sentence):
            return str(math.ceil(float(seconds[1])))
    places = (body.get(name) for name in ("error", "errors", "details", "metadata"))
    return next((found for place in places if (found := _retry_delay(place))), None)
