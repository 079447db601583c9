"""What the document needs of an instance of the extension in one app."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..core.config import Config
from ..dialects.base import Dialect, Route
from ..providers import Provider

JSON = dict[str, Any]

PREFIX = "LLMChat"
"""Prefix of all component names, because the host may have a ``Message`` of its own."""


class Extension(Protocol):
    """An :class:`~flask_llmchat.LLMChat`."""

    dialects: tuple[Dialect, ...]


class RouteEntry(Protocol):
    """One rule of an instance: the chat of a provider, a dialect's own route, or an error."""

    @property
    def rule(self) -> str:
        """The rule behind the instance's prefix."""

    @property
    def purpose(self) -> str:
        """``chat`` for a chat; ``dialect`` for a dialect's own route."""

    @property
    def path(self) -> str | None:
        """The path of the dialects of a chat."""

    @property
    def provider(self) -> Provider | None:
        """The provider of a chat."""

    @property
    def dialect(self) -> Dialect | None:
        """The dialect of a dialect's own route."""

    @property
    def route(self) -> Route | None:
        """That route."""


class Instance(Protocol):
    """An instance of the extension in one app."""

    config: Config
    prefix: str
    providers: Mapping[str, Provider]
    paths: Sequence[str]

    @property
    def llmchat(self) -> Extension:
        """The extension."""

    @property
    def routes(self) -> Sequence[RouteEntry]:
        """The table of its routes."""
