"""The routes by which clients come back to a response, stop a chat, and see which ones run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Response, jsonify, request

from ..core.errors import ChatError
from ..dialects.base import Route
from ..dialects.json_schema import Components, RouteSpec, object_schema
from ..openapi.instance import STREAM_HEADERS
from ..transport.runtime import Slot
from ..transport.watchdog import CancelToken
from .body import read_optional_body
from .capacity import acquire_slot, max_streams, too_many
from .negotiation import negotiate
from .request import refuse_cross_site
from .responses import error_response, streaming_response
from .servers import client_socket
from .state import AppState
from .streams import cannot_stop, owner_of

if TYPE_CHECKING:
    from ..streams.base import StreamInfo

_MAX_DIGITS = 15  # of an offset


def _view(state: AppState, answer: Callable[..., Response]) -> Callable[..., Response]:
    """Return a view whose errors have the form that the client reads."""

    def view(**values: str) -> Response:
        try:
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
        if info is not None:
            start = _start(info, by_conversation=name != info.id)
            slot = acquire_slot(max_streams(state.config))
            if response := replay(state, info, slot, start):
                if request.method == "HEAD":
                    response.close()  # at once, not when the server has sent it
                    response.response = []
                return response
        return Response(status=204, headers={"Cache-Control": "no-store"})

    view = _view(state, read)
    view.__name__ = view.__qualname__ = "read_stream"
    return view


@dataclass(frozen=True, slots=True)
class Start:
    """Where a client begins to read a stream.

    :param after_events: how many events to pass over.
    :param after_bytes: how many bytes, in a dialect without events.
    :param prelude: what it gets besides, after the first event, or at once if that is passed over.
    """

    after_events: int = 0
    after_bytes: int = 0
    prelude: bytes = b""


def replay(state: AppState, info: StreamInfo, slot: Slot, start: Start) -> Response | None:
    """Return the response that reads a stream; None if it is no longer kept.

    :param slot: is released when it is over.
    """
    from ..streams.replay import Replay

    try:
        encoder = state.streams.encoder(info)
        reader = (
            state.streams.read(info, start.after_bytes, start.after_events) if encoder else None
        )
        if encoder is None or reader is None:
            slot.release()
            return None
    except BaseException:
        slot.release()
        raise
    body = Replay(
        reader,
        encoder,
        # Or a client that does not read would keep its slot for ever.
        CancelToken(client_socket(), time.monotonic() + state.streams.longest),
        prelude=start.prelude,
        after_first=not start.after_events,
        heartbeat=state.config.heartbeat,
        slot=slot,
    )
    return streaming_response(body)


def stop_view(state: AppState) -> Callable[..., Response]:
    """Return the view that stops a chat."""

    def stop(owner: str | None, name: str, **_: str) -> Response:
        body = read_optional_body(state.config.max_content_length)
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


def _start(info: StreamInfo, *, by_conversation: bool) -> Start:
    """Return where the client wants to begin.

    The events of a stream are counted as the client of the chat got them. But a client that asked
    for a conversation got the prelude with them, and counts it.

    :raises ChatError: with status 400, for what is no place in a stream.
    """
    if info.mimetype != "text/event-stream":
        return Start(after_bytes=_number("after", wrong="startIndex") or 0)
    prelude = info.details["prelude"].encode()
    index = _number("startIndex", wrong="after")
    if index is None:
        seen = _whole_number("Last-Event-ID", request.headers.get("Last-Event-ID")) or 0
        return Start(after_events=seen, prelude=b"" if seen else prelude)
    if not (by_conversation and prelude):
        return Start(after_events=index)
    frames = prelude.split(b"\n\n")[:-1]
    passed = max(index - 1, 0)
    left = b"".join(frame + b"\n\n" for frame in frames[passed:])
    return Start(after_events=min(index, 1) + max(passed - len(frames), 0), prelude=left)


def _number(name: str, *, wrong: str) -> int | None:
    """Return a whole number in the query; None where it has none.

    :param wrong: what is a number in streams of another kind.
    """
    if wrong in request.args:
        raise ChatError(f"{wrong}: this stream is read from {name} on.")
    return _whole_number(name, request.args.get(name))


def _whole_number(name: str, given: str | None) -> int | None:
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= _MAX_DIGITS):
        raise ChatError(f"{name}: it has to be a whole number of at least 0.")
    return int(given)


_NUMBER: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 10**_MAX_DIGITS - 1}

_OFFSETS = (
    ("startIndex", "query", "Events to pass over, where the response has events."),
    ("Last-Event-ID", "header", "The same, as the `id` of the last event that has come."),
    ("after", "query", "Bytes to pass over, where the response is plain text."),
)


def _describe_read(components: Components) -> RouteSpec:
    return RouteSpec(
        summary="A response that is still being written",
        description="By the id of its conversation while it is written, or by the id of its stream"
        " also for a while afterwards: from its beginning, or from an offset on.",
        parameters=[
            {"name": name, "in": place, "description": told, "schema": _NUMBER}
            for name, place, told in _OFFSETS
        ],
        response="The response, in the form that it began in.",
        headers=STREAM_HEADERS,
        content={mimetype: {"type": "string"} for mimetype in ("text/event-stream", "text/plain")},
        empty="There is no such stream, whosever it may be, or the store cannot be reached.",
        errors={
            "An offset is wrong.": ChatError(
                "startIndex: it has to be a whole number of at least 0."
            ),
            "Too many clients read at the moment.": too_many(),
        },
    )


def _describe_stop(components: Components) -> RouteSpec:
    active = {
        "type": ["string", "null"],
        "description": "The id of the stream that the client takes for the running one: another"
        " one goes on.",
    }
    stop = object_schema("What to stop.", "activeStreamId", activeStreamId=active)
    success = {"type": "boolean", "const": True}
    return RouteSpec(
        summary="Stop a chat",
        description="By the id of its conversation or of its stream, in whichever worker it runs.",
        body=components.add_schema("Stop", {**stop, "additionalProperties": True}),
        response="It is stopped, or there was nothing to stop.",
        content={"application/json": object_schema("What has come of it.", success=success)},
        errors={
            "The body is not JSON.": ChatError("The request body is not valid JSON."),
            "Another site's page has sent it.": ChatError("This is not allowed.", "no_permission"),
            "The body is too large.": ChatError("The request body is too large.", status=413),
            "A field is wrong.": ChatError("activeStreamId: Not a valid string.", status=422),
            "The store cannot be reached.": cannot_stop(),
        },
    )


_LIST = {
    "type": "array",
    "items": object_schema(
        "A response that is being written.",
        id={"type": "string", "description": "The id of the stream."},
        chat={"type": ["string", "null"], "description": "The id of the conversation."},
        provider={"type": "string"},
        model={"type": "string"},
        started={"type": "number", "description": "Seconds since 1970."},
    ),
}


def _describe_list(components: Components) -> RouteSpec:
    return RouteSpec(
        summary="The caller's running streams",
        description="The oldest first, in all conversations, with all providers.",
        response="The running streams; an empty list also while the store cannot be reached.",
        content={"application/json": components.add_schema("Streams", _LIST)},
    )


_ROUTES = (
    (Route("/<llmchat_id:name>/stream", "stream", describe=_describe_read), read_view),
    (
        Route("/<llmchat_id:name>/stop", "stop", methods=("POST",), describe=_describe_stop),
        stop_view,
    ),
)

_CALLER_ROUTES = ((Route("/streams", "streams", describe=_describe_list), list_view),)

Found = Sequence[tuple[Route, Callable[..., Response]]]


def stream_routes(state: AppState) -> Found:
    """Return the routes of streams behind each provider, and their views."""
    return _made(state, _ROUTES)


def caller_routes(state: AppState) -> Found:
    """Return the routes of a caller's streams, whatever the provider, and their views."""
    return _made(state, _CALLER_ROUTES)


def _made(state: AppState, routes: Any) -> Found:
    return [(route, view(state)) for route, view in routes] if state.config.resumable else ()
