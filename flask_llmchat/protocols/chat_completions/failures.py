"""What comes where a chunk should be: errors in many clothes, and chunks wrapped up.

A stream has begun with status 200 when something fails, and every gateway has its own way to
say so. What can be known as a failure is one at once. Anything else without choices is kept: when
the answer turns out to have nothing in it, these objects are looked through for words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.errors import StreamErrorEvent

_WORDS = ("message", "detail", "msg", "errors", "error_message", "error_msg", "errmsg")


_KINDS = ("object", "type", "event", "status")


_CODES = ("code", "status_code", "statusCode", "error_code", "errcode")


_GOOD = frozenset({"0", "200", "ok", "success"})


_MOST_KEPT = 4  # objects


_LONGEST_KEPT = 2**16  # bytes of one


class FailureFinder:
    """Looks at what has no choices, and remembers it."""

    def __init__(self) -> None:
        self._kept: list[Any] = []

    def look_through(self, chunk: dict[str, Any], data: bytes) -> dict[str, Any]:
        """Return the chunk, out of whatever it is wrapped in.

        :raises ErrorChunk: when it says that something failed.
        """
        inner = next((v for v in chunk.values() if isinstance(v, dict) and _is_chunk(v)), None)
        code = _code_in(chunk)
        if (body := failure_in(chunk)) is not None:
            raise StreamErrorEvent(body)
        if code is not None and code not in _GOOD and (_is_http_error(code) or _has_words(chunk)):
            raise StreamErrorEvent(chunk)
        if inner is not None:
            if (body := failure_in(inner)) is not None:
                raise StreamErrorEvent(body)
            return inner
        if code is None and _has_words(chunk, but="msg"):  # which says how far it is, too
            raise StreamErrorEvent(chunk.get("errors") or chunk)
        if code not in _GOOD and len(self._kept) < _MOST_KEPT and len(data) <= _LONGEST_KEPT:
            self._kept += [chunk, *[v for v in chunk.values() if isinstance(v, dict | list)]]
        return chunk

    def said(self) -> list[Any]:
        """Return what came instead of an answer, for its words to be found."""
        return self._kept


def failure_in(chunk: Mapping[str, Any]) -> Any:
    """Return the error that a chunk has, alone or beside choices; None when it has none."""
    if chunk.get("error"):
        return chunk
    base = chunk.get("base_resp")  # MiniMax, also in every good answer
    if isinstance(base, dict) and str(base.get("status_code") or "0") != "0":
        return {"code": base["status_code"], "message": base.get("status_msg")}
    if chunk.get("choices"):
        return None
    kinds = (chunk.get(name) for name in _KINDS)
    if chunk.get("success") is False or any(kind in ("error", "failed") for kind in kinds):
        return chunk.get("errors") or chunk
    return None


def _is_chunk(value: dict[str, Any]) -> bool:
    return isinstance(value.get("choices"), list) or bool(value.get("error"))


def _code_in(chunk: Mapping[str, Any]) -> str | None:
    codes = (chunk.get(name) for name in _CODES)
    return next((str(c).lower() for c in codes if isinstance(c, str | int) and c != ""), None)


def _is_http_error(code: str) -> bool:
    return len(code) == 3 and code[0] in "45" and code.isdecimal()


def _has_words(chunk: Mapping[str, Any], but: str = "") -> bool:
    return any(chunk.get(name) for name in _WORDS if name != but)
