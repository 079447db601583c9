"""What a run needs from the app it runs in: its settings, its providers, its hooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ..core.config import Config
from ..core.errors import ChatError
from ..core.request import ChatRequest
from ..core.result import ChatResult
from ..providers import Provider


class Host(Protocol):
    """The app, as a run sees it. Hooks run in whatever context the caller has."""

    @property
    def config(self) -> Config:
        """The app's settings."""

    @property
    def providers(self) -> Mapping[str, Provider]:
        """The providers served here, by name."""

    def chat_started(self, chat: ChatRequest) -> None:
        """Send the signal."""

    def chat_finished(self, result: ChatResult) -> None:
        """Send the signal, in an app context of its own. Nothing a receiver raises gets out."""

    def load_endpoint(self, endpoint_id: str | None) -> Any:
        """Return the user's own endpoint of this id, or None."""

    def run_before_chat(self, chat: ChatRequest) -> None:
        """Run the ``before_chat`` hooks."""

    def resolve_key(self, provider: Provider, profile: Any) -> str:
        """Return the key for a provider; "" when there is none."""

    def why_no_key(self, provider: Provider, profile: Any) -> str:
        """Return why a profile has no key for a provider, for the app's developer."""

    def warn_once(self, message: str) -> None:
        """Log a warning, once in a process."""

    def refusal(self, error: BaseException) -> ChatError:
        """Return what a hook's exception means for the chat: ``abort(403)`` is a 403."""
