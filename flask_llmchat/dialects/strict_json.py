"""JSON parsing, stricter than the standard library's."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

from ..core.errors import ChatError
from ..core.half_characters import replace_halves


def _weight(content: bytes) -> int:
    return content.count(b"[") + 2 * content.count(b"{")


def _outside(content: bytes) -> bytes:
    """Return JSON without the content of its strings, as far as it is valid."""
    for escaped in (b"\\\\", b'\\"'):
        if escaped in content:  # a search that finds nothing is far cheaper than a replacement
            content = content.replace(escaped, b"")
    return b"".join(content.split(b'"')[::2])


def parse_object(content: bytes) -> dict[str, Any]:
    """Parse a request body, whatever its content type.

    Stricter than :func:`json.loads`: no NaN, no duplicate names in an object, valid UTF-8 alone.

    :raises ChatError: with status 400 and the reason; with 422 for another value than an object.
    """
    # Parsed and serialized again, each list or object takes some hundreds of bytes of memory:
    # [[[[, [1,2],[1,2] or {"a":1},{"a":1} would take more than forty times their size. Inside a
    # string brackets cost nothing: a text may be Lisp, LaTeX or JSON.
    most = len(content) * 0.16
    if len(content) > _SMALL and _weight(content) > most and _weight(_outside(content)) > most:
        raise ChatError("The request body consists almost only of brackets.")
    try:
        body = json.loads(
            content.decode("utf-8-sig"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_object_without_duplicates,
        )
    except UnicodeDecodeError:
        raise ChatError("The request body is not UTF-8.") from None
    except RecursionError:
        raise ChatError("The request body is not valid JSON: it is nested too deeply.") from None
    except _InvalidJSON as error:
        raise ChatError(f"The request body is not valid JSON: {error}.") from None
    except json.JSONDecodeError as error:
        raise ChatError(f"The request body is not valid JSON: {error.msg}.") from None
    except ValueError:  # raised by Python for a number of thousands of digits
        raise ChatError("The request body is not valid JSON: a number is too long.") from None
    if not isinstance(body, dict):
        raise ChatError("The request body must be a JSON object.", status=422)
    return body


def parse_value(text: str) -> Any:
    """Parse a JSON value as JavaScript does: no NaN, no infinite numbers; nor half characters.

    :raises ValueError: for invalid JSON.
    """
    try:
        return _DECODER.decode(replace_halves(text))
    except RecursionError:
        raise _InvalidJSON("it is nested too deeply") from None


_SMALL = 2**18


class _InvalidJSON(ValueError):
    """Something that json.loads() accepts and JSON does not allow."""


def _refuse_constant(name: str) -> Any:
    raise _InvalidJSON(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _InvalidJSON("a number is too large")
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise _InvalidJSON(f"{counts.most_common(1)[0][0][:50]!r} occurs twice in one object")
    return result
