"""One upstream request, ready to be sent."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..core.errors import ChatError
from ..protocols.errors import from_body
from ..transport.watchdog import CancelToken

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamRequest:
    """One call of a provider's chat-completions endpoint, ready to be sent.

    :param secrets: keys, which must not be told to anybody.
    :param expose_errors: whether the provider's own words may be shown to people.
    :param public_only: whether only public internet addresses may be called.
    :param deadline: :func:`time.monotonic` at which the chat has to be over.
    """

    provider: str
    label: str
    request_id: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str]
    body: Mapping[str, Any] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    connect_timeout: float
    read_timeout: float
    deadline: float
    max_retries: int
    expose_errors: bool = True
    public_only: bool = False

    def error_from(
        self, body: Any, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> ChatError:
        """Make our error of one that the provider told."""
        return from_body(
            body,
            status=status,
            headers=headers or {},
            label=self.label,
            provider=self.provider,
            secrets=self.secrets,
            expose=self.expose_errors,
        )

    def interrupted(self, cancel: CancelToken) -> ChatError:
        """Make the error for a wait that the chat's watch has ended."""
        if cancel.reason == "cancelled":
            cancel.hang_up()
            return ChatError.of("cancelled", provider=self.provider)
        if cancel.reason == "stopping":
            return ChatError(
                "The server is being restarted. Please try again.",
                "overloaded",
                provider=self.provider,
            )
        return self.timed_out()

    def timed_out(self) -> ChatError:
        """Make the error for a provider that kept us waiting too long."""
        code = "deadline" if time.monotonic() >= self.deadline else "timeout"
        return ChatError.of(code, self.label, provider=self.provider)
