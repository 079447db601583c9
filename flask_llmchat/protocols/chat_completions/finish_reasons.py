"""Finish reasons: what providers call the ending of an answer, in four words.

Rules, for the names are many and new ones come every month. A good ending has to be known; a
reason that says something failed, or that no rule knows, is an error, with or without text: an
answer that may be cut must not look whole.
"""

from __future__ import annotations

import re
from typing import Any

# Not yet an ending.
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


# Where the name has one of these, the provider gave up: also when it has a filter's name, as in
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


_LONGEST = 200  # characters of a name that are looked at


def ending(reason: Any) -> str | None:
    """Return what a finish reason means.

    :return: ``stop``, ``length``, ``content_filter`` or ``tool_calls``; ``error`` for a failure,
        and for what is not known; None when it is no ending yet.
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
    """Return an error made of a finish reason, and of the choice's own words if it has any."""
    words = {key: choice[key] for key in ("error", "code") if choice.get(key)}
    if isinstance(choice.get("message"), str):
        words["message"] = choice["message"]
    reason = str(choice[name])[:200]
    return {**words, name: reason, "detail": f"The answer ended with the reason {reason!r}."}


def is_failure(reason: Any) -> bool:
    """Tell whether a reason beside the finish reason, such as OpenRouter's native one, says so."""
    return isinstance(reason, str) and bool(_FAILED.search(reason[:_LONGEST].lower()))
