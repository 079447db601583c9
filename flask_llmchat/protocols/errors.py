"""What a provider says went wrong, in our words.

Error bodies come as an object, a list, a string, HTML, server-sent events or nothing. One reader
digs the message and the code out of all of them. One table of rules says what they mean: a code
decides before words do, and words before the status; but a 429 is about rate, unless it is about
money.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from ..core.error_codes import ERROR_CODES
from ..core.errors import ChatError, redact, safe_sentence
from .sse import EventTooLarge, SSEDecoder

_LOGGED = 4000  # characters of an error body: enough to see the cause, too few to fill a disk


_MOST_ITEMS = 50  # of a list, or codes in a body, that are looked at: an error has a handful


_REFUSALS = (400, 403, 404, 412, 413, 422)  # statuses that say little about what is wrong


class _Rule(NamedTuple):
    """How a failure of one kind is known.

    :ivar codes: what stands in providers' own codes, types and statuses of it, which are
        compared in lower case and without what is neither letter nor digit.
    :ivar words: what stands in their sentences.
    :ivar statuses: those with which the words count; None is all, and an error inside a stream,
        which has no status of its own, is as good as any of them.
    """

    code: str
    codes: re.Pattern[str]
    words: re.Pattern[str] | None = None
    statuses: tuple[int, ...] | None = None


def _rule(code: str, codes: str, words: str = "", statuses: tuple[int, ...] | None = None) -> _Rule:
    pattern = re.compile(words, re.IGNORECASE) if words else None
    return _Rule(code, re.compile(codes), pattern, statuses)


# The order is that of words: of two that both fit, the first one. Repetitions have bounds, so
# that no text costs more than its length.
_MONEY = _rule(
    "out_of_credit",
    r"insufficient(user)?(quota|balance|credit|fund)|credits?(balance)?(exhausted|limit)|billing"
    r"|exceededcurrentquota|spendlimit|usagelimitexceeded|budgetexceeded|arrear|overdue"
    r"|paymentrequired|tokenquotafailed|freetieronly",
    r"credit balance|credit limit|spend(ing)? limit|key limit exceeded|more credits,"
    r"|insufficient (\w{1,20} ){0,2}(credit|balance|fund|quota)|quota is not enough"
    r"|(balance|credits?|funds) (is|are) (too low|not enough|insufficient|exhausted|used up)"
    r"|(used|out of|exceeded) (all )?(your )?(available |monthly included )?credits"
    r"|(have|has|have|n't have) (no|any) credits|budget has been exceeded|exceeded (your )?budget"
    r"|account is in arrears|overdue (balance|payment|bill)|payment required"
    r"|余额不足|额度不足|欠费",
)


_RATE = _rule(
    "rate_limited",
    r"ratelimit|toomanyrequests|throttl|resourceexhausted|slowdown|requestlimit|ratequota",
    r"rate[ -]?limit|too many requests|(requests|tokens) per (second|minute|hour|day)|throttl"
    r"|quota exceeded",
)


_RULES = (
    _rule(
        "bad_key",
        r"^(invalid|incorrect|wrong|expired|bad)(apikey|authentication)|^apikey(invalid|expired)"
        r"|^(authentication|auth)error$|^unauthenticated$",
        r"(incorrect|invalid|wrong|expired) (\w{1,20} )?api[ _-]?key"
        r"|api[ _-]?key (provided )?(is )?(not valid|invalid|incorrect|expired)",
        _REFUSALS,
    ),
    _MONEY,
    _RATE,
    _rule(
        "context_too_long",
        r"context(length|window|size|limit)|abovemaxlength|(prompt|input|message)s?toolong"
        r"|max(imum)?(prompt|input|context)|tokenslimit|toomanytokens",
        r"context (length|window|size|limit)|too many (input |prompt |total )?tokens"
        r"|maximum (prompt|input|sequence|model|model input) length|model token limit"
        r"|\b(prompt|inputs?|messages?|conversation|request)\b.{0,60}"
        r"(\btoo long|too large for|longer than|超长)"
        r"|\btokens?( count)?\b.{0,60}\b(exceeds?|exceeded|must be <)|input length"
        r"|reduce the length|max size: \d+ tokens|上下文长度",
    ),
    _rule(
        "content_filtered",
        r"content(filter|policy|blocked)|responsibleaipolicy|prohibitedcontent|datainspection"
        r"|moderation",
        r"content (filter|management policy|policy)|flagged|moderation|usage policy"
        r"|(inappropriate|sensitive|unsafe|prohibited|harmful) content|敏感"
        r"|violat\w{1,5} .{0,60}(policy|policies|guidelines)",
        _REFUSALS,
    ),
    _rule(
        "model_not_found",
        r"modelnot(found|available|exist|supported|open)|(invalid|unknown|unsupported)model"
        r"|deploymentnotfound|^(resource)?notfounderror$",
        r"\b(models?|deployment)\b.{0,200}\b(not found|not exist|not supported|not available)"
        r"|(unknown|invalid|unsupported|unrecognized) model|not a valid model|not found the model"
        r"|no endpoints found|no (available )?(channel|provider)s? .{0,60}\bmodel|模型不存在",
        _REFUSALS,
    ),
    _rule(
        "overloaded",
        r"overload|capacityexceeded|overcapacity",
        r"overloaded|at capacity|over capacity|high demand",
        (500, 502, 503),
    ),
)


_STATUSES: dict[int, str] = {
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
        return _parse_events(content) or PlainText(content.decode("utf-8", "replace"))


def _parse_events(content: bytes) -> Any:
    """Return the first object that server-sent events tell; None where there is none."""
    reader = SSEDecoder()
    try:
        events = reader.feed(content) + reader.finish()
    except EventTooLarge:
        return None
    for _, data in events[:_MOST_ITEMS]:
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
    """Make our error of a provider's.

    :param body: what came, parsed if it was JSON.
    :param status: HTTP status of the answer; None for an error inside a stream, whose own
        code may be a status.
    :param label: the provider as people call it.
    :param secrets: what must not be told to anybody: the key.
    :param expose: whether the provider's own words may be shown to people.
    """
    try:
        codes, text = list(islice(_codes_in(body), _MOST_ITEMS)), message_in(body)[:_LOGGED]
        raw = json.dumps(body, default=str)  # one line, whatever stands in it
        retry_after = _retry_after(headers) or _retry_delay(body)
    except RecursionError:
        codes, text, raw, retry_after = [], "", "nested too deeply", _retry_after(headers)
    if status is None:
        status = next((int(c) for c in codes if re.fullmatch(r"[45]\d\d", c)), None)
    elif not 400 <= status < 600:
        status = 502  # a redirect, which is never followed: the key would go with it
    code = _classify(status, codes, text)
    if code == "bad_key":
        status = 401  # some say 400
        message = ERROR_CODES["bad_key"].sentence.format(label=label)
    else:
        shown = expose and not isinstance(body, PlainText)  # written for machines, or by others
        sentence = safe_sentence(text, secrets) if shown else ""
        message = sentence or f"{label} could not answer (status {status or 502})."
    return ChatError(
        message,
        code,
        status=status,  # where there is none, the one that goes with the code
        provider=provider,
        retry_after=retry_after,
        upstream_request_id=upstream_request_id(headers, secrets),
        detail=redact(raw[: 2 * _LOGGED], secrets)[:_LOGGED],
    )


def _classify(status: int | None, codes: list[str], text: str) -> str:
    rules = (_MONEY,) if status == 429 else _RULES
    for code in codes:
        letters = re.sub(r"[\W_]+", "", code[:100])
        for rule in rules:
            if rule.codes.search(letters):
                return rule.code
    for rule in rules:
        counts = status is None or rule.statuses is None or status in rule.statuses
        if counts and status != 401 and rule.words and rule.words.search(text):
            return rule.code
    if status in _STATUSES:
        return _STATUSES[status]
    return "upstream_error" if status is None or status >= 500 else "bad_request"


_CODE_NAMES = ("code", "error_code", "type", "status", "status_code", "statusCode", "reason")


_CODE_PLACES = ("errors", "details")  # and all that is an object


_MESSAGE_NAMES = (
    "error", "errors", "message", "detail", "details", "msg", "error_msg", "errmsg",
    "error_message", "status_msg", "base_resp", "error_description", "title",
)  # fmt: skip


def _codes_in(body: Any) -> Iterator[str]:
    """Give every code a body holds, the most telling first, as lower-case text."""
    if isinstance(body, list):
        for item in body[:_MOST_ITEMS]:
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
    """Dig the sentence out of an error body of whatever shape; "" when it holds none."""
    if isinstance(body, str):
        text = body.strip()
        return "" if text.startswith("<") else text  # HTML is written for nobody here
    if isinstance(body, list):
        return next((text for item in body[:_MOST_ITEMS] if (text := message_in(item))), "")
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
    sentence = (text for name in _MESSAGE_NAMES if (text := message_in(body.get(name))))
    # Gateways wrap what they were told in objects of any name.
    wrapped = (
        message_in(value)
        for name, value in body.items()
        if isinstance(value, dict) and name not in _MESSAGE_NAMES
    )
    return next(sentence, "") or next(filter(None, wrapped), "")


def _retry_after(headers: Mapping[str, str]) -> str | None:
    """Return after how many seconds to come back, as a ``Retry-After`` value."""
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
    from urllib3.exceptions import InvalidHeader  # 50 ms: they are loaded once a call was made
    from urllib3.util import Retry

    try:
        return Retry().parse_retry_after(date)
    except (InvalidHeader, ValueError, OverflowError):
        return -1.0


def _retry_delay(body: Any) -> str | None:
    """Return when to come back as a body says it: Google's ``RetryInfo``, say."""
    if isinstance(body, list):
        items = body[:_MOST_ITEMS]
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
