"""What the document needs of an instance of the extension in one app."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ..core.config import Config
from ..dialects.base import Dialect, Route
from ..providers import Provider

JSON = dict[str, Any]

PREFIX = "LLMChat"
"""Prefix of all component names, because the host may have a ``Message`` of its own."""

STREAM_HEADERS: dict[str, JSON] = {
    "X-LLMChat-Stream": {
        "description": "The id of the stream, by which the response can be read again. A response"
        " that is not kept has none.",
        "schema": {"type": "string"},
    },
    "x-workflow-run-id": {
        "description": "The same, in a UI message stream.",
        "schema": {"type": "string"},
    },
}
"""The headers of a response that can be read again."""

IDEMPOTENCY_KEY: JSON = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same request with the same key gets the response of the first, and is"
    " carried out once. Ignored where the response is not kept.",
    "schema": {"type": "string"},
}
"""The header by which a chat is carried out once, however often it is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteEntry:
    """One rule of an instance: the blueprint and the document are made from a table of these.

    :param rule: the rule behind the blueprint's prefix, in Werkzeug's syntax.
    :param endpoint: its endpoint, without the blueprint's name. Providers' names begin with a
        letter, all other endpoints with an underscore.
    :param purpose: ``chat`` of a provider, a ``dialect``'s own route, one for the ``stream`` of a
        response, or the error that a wrong ``method`` or ``path`` gets.
    :param path: what follows the provider in the path of the dialects that are negotiated; None
        where the view's ``rest`` decides.
    :param provider: the provider of a chat.
    :param dialect: the dialect whose own route this is; it is not negotiated.
    :param route: that route, or that of a stream; None for the errors about it.
    """

    rule: str
    endpoint: str
    methods: Sequence[str]
    view: Callable[..., Any]
    purpose: Literal["chat", "dialect", "stream", "method", "path"]
    path: str | None = ""
    provider: Provider | None = None
    dialect: Dialect | None = None
    route: Route | None = None


class Extension(Protocol):
    """An :class:`~flask_llmchat.LLMChat`."""

    dialects: tuple[Dialect, ...]


class Instance(Protocol):
    """An instance of the extension in one app."""

    config: Config
    prefix: str
    providers: Mapping[str, Provider]
    paths: Sequence[str]
    routes: Sequence[RouteEntry]

    @property
    def llmchat(self) -> Extension:
        """The extension."""
