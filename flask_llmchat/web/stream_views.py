"""The routes by which clients come back to a response, stop a chat, and see which ones run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Response, jsonify, request

from ..core.errors import ChatError
from ..dialects.base import Route
from ..dialects.json_schema import Components, RouteSpec
from ..transport.runtime import Slot
from ..transport.watchdog import CancelToken
from .body import read_optional_body
from .capacity import acquire_slot, max_streams
from .negotiation import negotiate
from .request import refuse_cross_site
from .responses import error_response, streaming_response
from .servers import client_socket
from .state import AppState
from .streams import owner_of

_MAX_STOP = 64 * 2**10  # bytes of the body of a stop
_MAX_OFFSET = 2**53


def _view(state: AppState, answer: Callable[..., Response]) -> Callable[..., Response]:
    """Return a view whose errors have the form that the client reads."""

    def view(**values: str) -> Response:
        try:
            if "provider" in values:
                state.provider_named(values["provider"])
            state.streams.watch()
            if request.method == "POST":
                refuse_cross_site(state.config.trusted_origins)
            caller = state.load_caller(state.require_profile())
            return answer(caller and owner_of(caller), **values)
        except ChatError as error:
            return error_response(negotiate(state).error, error)

    return view


def read_view(state: AppState) -> Callable[..., Response]:
    """Return the view that sends a response again, from its beginning or an offset."""

    def read(owner: str | None, name: str, **_: str) -> Response:
        info = None if owner is None else state.streams.find(owner, name)
        if info is None:
            return Response(status=204)
        return replay(state, info, acquire_slot(max_streams(state.config)), _offset(info.mimetype))

    view = _view(state, read)
    view.__name__ = view.__qualname__ = "read_stream"
    return view


def replay(state: AppState, info: Any, slot: Slot, after: dict[str, int]) -> Response:
    """Return the response that reads a stream.

    :param slot: is released when it is over.
    :param after: where to begin.
    """
    from ..streams.replay import Replay

    try:
        encoder = state.streams.encoder(info)
        reader = state.streams.read(info, **after) if encoder else None
    except BaseException:
        slot.release()
        raise
    if encoder is None or reader is None:
        slot.release()
        return Response(status=204)
    body = Replay(
        reader,
        encoder,
        CancelToken(client_socket()),
        prelude=b"" if any(after.values()) else info.details.get("prelude", "").encode(),
        heartbeat=state.config.heartbeat,
        slot=slot,
    )
    return streaming_response(body)


def stop_view(state: AppState) -> Callable[..., Response]:
    """Return the view that stops a chat."""

    def stop(owner: str | None, name: str, **_: str) -> Response:
        body = read_optional_body(_MAX_STOP)
        active = body.get("activeStreamId")
        if not isinstance(active, str | None):
            raise ChatError("activeStreamId: Not a valid string.", status=422)
        if owner is not None:
            state.streams.stop(owner, name, active)
        return jsonify(success=True)

    view = _view(state, stop)
    view.__name__ = view.__qualname__ = "stop_stream"
    return view


def list_view(state: AppState) -> Callable[..., Response]:
    """Return the view that lists the caller's running streams."""

    def running(owner: str | None) -> Response:
        return jsonify([] if owner is None else state.streams.running(owner))

    view = _view(state, running)
    view.__name__ = view.__qualname__ = "running_streams"
    return view


def _offset(mimetype: str) -> dict[str, int]:
    """Return after how much of a stream the client wants to read.

    :raises ChatError: with status 400, for what is none.
    """
    in_events = mimetype == "text/event-stream"
    name = "startIndex" if in_events else "after"
    wrong = "after" if in_events else "startIndex"
    if wrong in request.args:
        raise ChatError(f"{wrong}: this stream is read from {name} on.")
    given = request.args.get(name)
    if given is None and in_events and "Last-Event-ID" in request.headers:
        name, given = "Last-Event-ID", request.headers["Last-Event-ID"]
    if given is None:
        return {}
    if not (given.isascii() and given.isdigit() and int(given[:20]) <= _MAX_OFFSET):
        raise ChatError(f"{name}: it has to be a whole number of at least 0.")
    return {"after_events" if in_events else "after_bytes": int(given[:20])}


def _describe_read(components: Components) -> RouteSpec:
    return RouteSpec(
        summary="A response that is still being written",
        description="For clients that come back to it, by the id of the conversation or of the"
        " stream: from its beginning, or from `startIndex`, `Last-Event-ID` or `after` on.",
        response="The response, in the form that it began in.",
    )


def _describe_stop(components: Components) -> RouteSpec:
    success = {"type": "object", "properties": {"success": {"type": "boolean", "const": True}}}
    return RouteSpec(
        summary="Stop a chat",
        description="By the id of the conversation or of the stream, in any worker.",
        response="It is stopped, or there was nothing to stop.",
        content={"application/json": success},
    )


_ROUTES = (
    (Route("/<path:name>/stream", "stream", describe=_describe_read), read_view),
    (Route("/<path:name>/stop", "stop", methods=("POST",), describe=_describe_stop), stop_view),
)


def stream_routes(state: AppState) -> list[tuple[Route, Callable[..., Response]]]:
    """Return the routes of streams behind each provider, and their views."""
    made = [(route, view(state)) for route, view in _ROUTES]
    return made if state.config.resumable else []
