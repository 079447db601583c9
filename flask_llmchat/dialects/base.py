"""The seam for client formats: a dialect reads request bodies and encodes responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..core.errors import ChatError
from ..core.events import Event
from ..core.request import ChatRequest
from ..core.result import ChatResult
from ..providers import Provider
from .json_schema import Components, RouteSpec


class Encoder(Protocol):
    """Encodes the events of one response as a dialect's wire format.

    :ivar mimetype: media type of the response.
    :ivar headers: further headers of the response.
    :ivar heartbeat: bytes that may be sent while no event comes; b"" for a dialect without any.
    :ivar passes_chunks: whether the encoder also receives every upstream chunk, as a
        :class:`~flask_llmchat.Chunk` in front of the events that the chunk brings.
    """

    mimetype: str
    headers: Mapping[str, str]
    heartbeat: bytes
    passes_chunks: bool

    def encode(self, events: list[Event]) -> bytes:
        """Encode some events; b"" when there is nothing to send for them yet."""

    def finish(self, result: ChatResult) -> bytes:
        """Encode the end of a complete response."""

    def fail(self, error: ChatError) -> bytes | None:
        """Encode the end of a response that failed; None to break the connection off."""


class Dialect(Protocol):
    """A client format: the request bodies that it reads, and the responses that it encodes.

    It keeps nothing of a chat: one instance serves all of them. Four attributes are optional:
    ``describe(components)`` returns a :class:`~flask_llmchat.DialectSpec` for the OpenAPI document,
    ``routes`` is a sequence of :class:`~flask_llmchat.Route`, further routes of the dialect's,
    ``asks_approval`` is True when its clients can ask the user to approve tool calls, and
    ``prelude(chat)`` returns what a replay of a response needs after its first event.

    :ivar name: the value of ``chat.dialect``, which hooks see.
    :ivar path: what follows the provider in the route: ``""``, or such as ``/chat/completions``.
    :ivar mimetype: media type of a streaming response. A client whose ``Accept`` names it gets
        this dialect's response, whatever the dialect of its body.
    """

    name: str
    path: str
    mimetype: str

    def recognises(self, body: dict[str, Any]) -> bool:
        """Return whether a request body is in this dialect."""

    def read(self, body: dict[str, Any], max_messages: int) -> ChatRequest:
        """Make a chat of a request body.

        :raises ChatError: with status 422, naming the fields that are wrong and why.
        """

    def encoder(self, chat: ChatRequest) -> Encoder:
        """Return a new encoder for the response to this chat."""

    def error(self, error: ChatError, request_id: str) -> tuple[bytes, str, Mapping[str, str]]:
        """Encode an error that is sent in place of a response: body, media type, headers."""


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """A request to a dialect's own route.

    :param provider: the provider in its path.
    :param models: the host's own models of this provider, ``LLMCHAT_MODELS``: name to facts.
    :param values: the values of the variables in the route's path.
    :param request_id: our id of the request.
    """

    provider: Provider
    models: Mapping[str, Mapping[str, Any]]
    values: Mapping[str, str]
    request_id: str


@dataclass(frozen=True, slots=True)
class RouteResponse:
    """The response of a dialect's own route."""

    body: bytes = b""
    mimetype: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Route:
    """A route of a dialect's, besides that of its chats. Its errors have the dialect's form.

    :param path: what follows the provider, in Werkzeug's syntax, such as
        ``/models/<path:model>``.
    :param name: the endpoint is ``_{name}``; no two routes of one app's dialects share a name.
    :param handler: makes the response, or raises a :class:`ChatError`. It needs no Flask. None for
        a route that the extension has a view for.
    :param methods: the HTTP methods it takes, the first one for clients to use. GET includes HEAD.
    :param needs_profile: whether the host's decorators and its profile loader run first. Without,
        the route is open to all.
    :param describe: returns what the OpenAPI document says of the route.
    """

    path: str
    name: str
    handler: Callable[[RouteRequest], RouteResponse] | None = None
    methods: Sequence[str] = ("GET",)
    needs_profile: bool = True
    describe: Callable[[Components], RouteSpec] | None = None


def prelude_of(dialect: Dialect, chat: ChatRequest) -> bytes:
    """Return what a replay of a response needs after its first event, beside the response itself.

    The earlier parts of a message that the response continues: a client that replays it builds the
    message anew.
    """
    prelude: bytes = dialect.prelude(chat) if hasattr(dialect, "prelude") else b""
    return prelude


def asks_approval(dialect: Dialect) -> bool:
    """Return whether a dialect's clients can ask the user to approve tool calls."""
    return bool(getattr(dialect, "asks_approval", False))


def routes_of(dialect: Dialect) -> Sequence[Route]:
    """Return the dialect's own routes; none where it has no ``routes``."""
    routes: Sequence[Route] = getattr(dialect, "routes", ())
    return routes
