"""Errors inside a stream, in their many forms, and chunks wrapped in other objects.

A stream has begun with status 200 when something fails, and every gateway has its own way to
report that. An object that is certainly an error raises at once. Any other object without choices
is kept: when the response turns out to be empty, these objects are searched for an error message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.errors import StreamErrorEvent
from .finish_reasons import is_failure

_MESSAGE_FIELDS = ("message", "detail", "msg", "errors", "error_message", "error_msg", "errmsg")

_KIND_FIELDS = ("object", "type", "event", "status")

_CODE_FIELDS = ("code", "status_code", "statusCode", "error_code", "errcode")

_SUCCESS_CODES = frozenset({"0", "200", "ok", "success"})

_MAX_KEPT = 4  # objects

_MAX_KEPT_BYTES = 2**16  # of one


class StreamErrors:
    """Finds errors in objects without choices, and keeps those that may turn out to be errors.

    :ivar kept: objects that came in place of chunks.
    """

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def unwrap(self, chunk: dict[str, Any], data: bytes) -> dict[str, Any]:
        """Return the chunk, out of whatever it is wrapped in.

        :raises StreamErrorEvent: when it reports an error.
        """
        found = (value for value in map(_only_item, chunk.values()) if _is_chunk(value))
        inner: dict[str, Any] | None = next(found, None)
        code = _code_in(chunk)
        if (body := error_in(chunk)) is not None:
            raise StreamErrorEvent(body)
        if (
            code is not None
            and code not in _SUCCESS_CODES
            and (_is_http_error(code) or _has_message(chunk))
        ):
            raise StreamErrorEvent(chunk)
        if inner is not None:
            if (body := error_in(inner)) is not None:
                raise StreamErrorEvent(body)
            return inner
        if code is None and _has_message(chunk, but="msg"):  # which some use for progress
            raise StreamErrorEvent(chunk.get("errors") or chunk)
        if (
            code not in _SUCCESS_CODES
            and len(self.kept) < _MAX_KEPT
            and len(data) <= _MAX_KEPT_BYTES
        ):
            self.kept += [chunk, *[v for v in chunk.values() if isinstance(v, dict | list)]]
        return chunk


def error_in(chunk: Mapping[str, Any]) -> Any:
    """Return the error that a chunk holds, alone or beside choices; None when it holds none."""
    if chunk.get("error"):
        return chunk
    base = chunk.get("base_resp")  # MiniMax, also in every good response
    if isinstance(base, dict) and str(base.get("status_code") or "0") != "0":
        return {"code": base["status_code"], "message": base.get("status_msg")}
    if chunk.get("choices"):
        return None
    if chunk.get("success") is False or any(is_failure(chunk.get(name)) for name in _KIND_FIELDS):
        return chunk.get("errors") or chunk
    return None


def _only_item(value: Any) -> Any:
    """Return the one item of a list; anything else as it is."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _is_chunk(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    return isinstance(value.get("choices"), list) or bool(value.get("error"))


def _code_in(chunk: Mapping[str, Any]) -> str | None:
    codes = (chunk.get(name) for name in _CODE_FIELDS)
    return next((str(c).lower() for c in codes if isinstance(c, str | int) and c != ""), None)


def _is_http_error(code: str | None) -> bool:
    return code is not None and len(code) == 3 and code[0] in "45" and code.isdecimal()


def _has_message(chunk: Mapping[str, Any], but: str = "") -> bool:
    return any(chunk.get(name) for name in _MESSAGE_FIELDS if name != but)
