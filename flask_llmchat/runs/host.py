"""What a run needs of its app: settings, providers and hooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ..core.config import Config
from ..core.errors import ChatError
from ..core.request import ChatRequest
from ..core.result import ChatResult, Step
from ..providers import Provider
from .tool_runner import ToolRunner


class Host(Protocol):
    """The app, as a run sees it. Hooks run in the context of the caller."""

    @property
    def config(self) -> Config:
        """The app's settings."""

    @property
    def providers(self) -> Mapping[str, Provider]:
        """The providers that the app serves, by name."""

    def chat_started(self, chat: ChatRequest) -> None:
        """Send the ``chat_started`` signal."""

    def chat_finished(self, result: ChatResult) -> None:
        """Send the ``chat_finished`` signal in an app context of its own.

        Exceptions of receivers are logged, not raised.
        """

    def load_endpoint(self, endpoint_id: str | None) -> Any:
        """Return the user's own endpoint with this id, or None."""

    def run_before_chat(self, chat: ChatRequest) -> None:
        """Run the ``before_chat`` hooks."""

    def offer_tools(self, chat: ChatRequest, *, may_ask: bool) -> None:
        """Set the tools that the server runs for a chat.

        :param may_ask: whether the client can ask the user to approve calls.
        """

    def tool_definitions(self, chat: ChatRequest) -> list[dict[str, Any]]:
        """Return the server's tools for a chat, in the form of chat completions.

        :raises ChatError: when a tool of the client's has the name of one.
        """

    def tool_runner(self, chat: ChatRequest, deadline: float, *, may_ask: bool) -> ToolRunner:
        """Return a new runner of the server's tools for a chat.

        :param may_ask: whether the client can ask the user to approve calls.
        """

    def run_before_step(self, chat: ChatRequest, steps: tuple[Step, ...]) -> None:
        """Run the ``before_step`` hooks, in an app context of their own."""

    def resolve_key(self, provider: Provider, profile: Any) -> str:
        """Return the key for a provider; "" when there is none."""

    def why_no_key(self, provider: Provider, profile: Any) -> str:
        """Return the reason why a profile has no key for a provider, for the app's developer."""

    def warn_once(self, message: str) -> None:
        """Log a warning, once in a process."""

    def refusal(self, error: BaseException) -> ChatError:
        """Return the error for an exception of a hook: ``abort(403)`` becomes a 403."""
