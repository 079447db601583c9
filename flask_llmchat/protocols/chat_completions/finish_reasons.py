"""Maps the finish reasons of all providers to the four in ``core/finish_reasons.py``.

By rules, as there are many names and new ones every month. A successful ending has to be known; a
reason that reports a failure, or that no rule matches, is an error, with or without text: a
response that may be truncated must not look complete.
"""

from __future__ import annotations

import re
from typing import Any

# Names that mean that the response has not ended.
_NONE = {"", "null", "none", "unspecified", "in_progress"}

_KNOWN = {
    "stop": "stop",
    "stop_sequence": "stop",
    "stop_token": "stop",
    "stop_str": "stop",
    "stop_string": "stop",
    "stop_word": "stop",
    "stop_words": "stop",
    "stopped": "stop",
    "end": "stop",
    "ended": "stop",
    "end_turn": "stop",
    "end_of_turn": "stop",
    "end_of_text": "stop",
    "end_of_sequence": "stop",
    "end_of_message": "stop",
    "eot": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "eos_found": "stop",
    "done": "stop",
    "finish": "stop",
    "finished": "stop",
    "complete": "stop",
    "completed": "stop",
    "completion": "stop",
    "success": "stop",
    "normal": "stop",
    "length": "length",
    "limit": "length",
    "stop_limit": "length",
    "truncated": "length",
    "too_long": "length",
    "tool_call": "tool_calls",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "function_calls": "tool_calls",
}

# A name with one of these is a failure, even if it also contains a filter's name, as in
# Google's "function_call_filter: MALFORMED_FUNCTION_CALL" and Azure's "content_filter_error".
_FAILED = re.compile(r"error|fail|abort|malformed|unexpected|invalid|insufficient|call_filter")

_FILTERED = re.compile(
    r"filter|safety|unsafe|prohibited|forbidden|block|recitation|copyright|spii|\bpii|sensitive"
    r"|moderat|guard_?rail|armor|refusal|refused|polic(y|ies)|flagged|censor|violat|harmful"
)

# MAX_TOKENS, max_output_tokens, model_length, token_limit, model_context_window_exceeded
_TOO_LONG = re.compile(
    r"max_(\w+_)?tokens?|(model|max|token|context|output)_(length|limit)|context_window"
)

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_NO_LETTERS = re.compile(r"[^a-z0-9]+")

_LONGEST = 200  # characters of a name that are read


def ending(reason: Any) -> str | None:
    """Return the finish reason that a provider's own reason stands for.

    :return: ``stop``, ``length``, ``content_filter`` or ``tool_calls``; ``error`` for a failure and
        for an unknown reason; None when the response has not ended.
    """
    if not reason:
        return None
    if not isinstance(reason, str):
        return "error"
    if reason in _KNOWN:
        return _KNOWN[reason]
    name = _NO_LETTERS.sub("_", _CAMEL.sub("_", reason[:_LONGEST]).lower()).strip("_")
    name = name.removeprefix("finish_reason_")
    if name in _NONE:
        return None
    if name in _KNOWN:
        return _KNOWN[name]
    if _FAILED.search(name):
        return "error"
    if _FILTERED.search(name):
        return "content_filter"
    return "length" if _TOO_LONG.search(name) else "error"


def ended_by(choice: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the body of an error for a finish reason, with the choice's own error fields.

    :param name: field of the choice with the reason.
    """
    fields = {key: choice[key] for key in ("error", "code") if choice.get(key)}
    if isinstance(choice.get("message"), str):
        fields["message"] = choice["message"]
    reason = str(choice[name])[:200]
    return {
        **fields,
        name: reason,
        "detail": f"The response ended with {reason!r}.",
    }


def is_failure(reason: Any) -> bool:
    """Return whether a second reason, such as OpenRouter's native one, reports a failure."""
    return isinstance(reason, str) and bool(_FAILED.search(reason[:_LONGEST].lower()))
