"""Which of our error codes a provider's error has: one table of rules.

The provider's codes decide before its message, and the message before the status; but a 429 is
about rate, unless it is about money.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_REFUSALS = (400, 403, 404, 412, 413, 422)  # statuses that leave the cause open


class _Rule(NamedTuple):
    """How errors of one code are recognised.

    :ivar code: the error code.
    :ivar codes: pattern of providers' own codes, types and statuses, in lower case and reduced to
        letters and digits.
    :ivar words: pattern of their messages, in any case.
    :ivar statuses: the HTTP statuses with which ``words`` counts; None is all. It always counts
        for an error inside a stream, which has no status of its own.
    """

    code: str
    codes: str
    words: str
    statuses: tuple[int, ...] | None = None


# The first rule that matches counts. Repetitions have bounds, so that the time to match a text
# is proportional to its length.
_MONEY = _Rule(
    "out_of_credit",
    r"insufficient(user)?(quota|balance|credit|fund)|credits?(balance)?(exhausted|limit)|billing"
    r"|exceededcurrentquota|spendlimit|usagelimitexceeded|budgetexceeded|arrear|overdue"
    r"|paymentrequired|tokenquotafailed|freetieronly",
    r"credit balance|credit limit|spend(ing)? limit|key limit exceeded|more credits,"
    r"|insufficient (\w{1,20} ){0,2}(credit|balance|fund|quota)|quota is not enough"
    r"|(balance|credits?|funds) (is|are) (too low|not enough|insufficient|exhausted|used up)"
    r"|(used|out of|exceeded) (all )?(your )?(available |monthly included )?credits"
    r"|(have|has) (no|any) credits|budget has been exceeded|exceeded (your )?budget"
    r"|account is in arrears|overdue (balance|payment|bill)|payment required"
    r"|余额不足|额度不足|欠费",
)

_RATE = _Rule(
    "rate_limited",
    r"ratelimit|toomanyrequests|throttl|resourceexhausted|slowdown|requestlimit|ratequota",
    r"rate[ -]?limit|too many requests|(requests|tokens) per (second|minute|hour|day)|throttl"
    r"|quota exceeded",
)

_RULES = (
    _Rule(
        "bad_key",
        r"^(invalid|incorrect|wrong|expired|bad)(apikey|authentication)|^apikey(invalid|expired)"
        r"|^(authentication|auth)error$|^unauthenticated$",
        r"(incorrect|invalid|wrong|expired) (\w{1,20} )?api[ _-]?key"
        r"|api[ _-]?key (provided )?(is )?(not valid|invalid|incorrect|expired)",
        _REFUSALS,
    ),
    _MONEY,
    _RATE,
    _Rule(
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
    _Rule(
        "content_filtered",
        r"content(filter|policy|blocked)|responsibleaipolicy|prohibitedcontent|datainspection"
        r"|moderation",
        r"content (filter|management policy|policy)|flagged|moderation|usage policy"
        r"|(inappropriate|sensitive|unsafe|prohibited|harmful) content|敏感"
        r"|violat\w{1,5} .{0,60}(policy|policies|guidelines)",
        _REFUSALS,
    ),
    _Rule(
        "model_not_found",
        r"modelnot(found|available|exist|supported|open)|(invalid|unknown|unsupported)model"
        r"|deploymentnotfound|^(resource)?notfounderror$",
        r"\b(models?|deployment)\b.{0,200}\b(not found|not exist|not supported|not available)"
        r"|(unknown|invalid|unsupported|unrecognized) model|not a valid model|not found the model"
        r"|no endpoints found|no (available )?(channel|provider)s? .{0,60}\bmodel|模型不存在",
        _REFUSALS,
    ),
    _Rule(
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


def classify(status: int | None, codes: list[str], text: str) -> str:
    """Return the error code for an error.

    :param status: HTTP status; None for an error inside a stream.
    :param codes: the provider's own codes, the most specific first.
    :param text: the provider's message.
    """
    rules = (_MONEY,) if status == 429 else _RULES
    for code in codes:
        letters = re.sub(r"[\W_]+", "", code[:100])
        for rule in rules:
            if re.search(rule.codes, letters):
                return rule.code
    for rule in rules:
        counts = status is None or rule.statuses is None or status in rule.statuses
        if counts and status != 401 and re.search(rule.words, text, re.IGNORECASE):
            return rule.code
    if status in _STATUSES:
        return _STATUSES[status]
    return "upstream_error" if status is None or status >= 500 else "bad_request"
