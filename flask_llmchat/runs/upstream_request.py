"""One upstream request, ready to be sent."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.errors import ChatError
from ..protocols import UpstreamProtocol
from ..protocols.errors import from_body
from ..providers import Provider
from ..transport.watchdog import CancelToken


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamRequest:
    """One request to a provider, ready to be sent.

    :param row: the provider's row, with the protocol of this request.
    :param protocol: that protocol.
    :param request_id: our id of the chat.
    :param secrets: keys, which must appear in no message and no log.
    :param connect_timeout: seconds.
    :param read_timeout: seconds: the idle timeout.
    :param deadline: the :func:`time.monotonic` at which the chat must have ended.
    :param public_only: whether only public internet addresses may be called.
    """

    row: Provider
    protocol: UpstreamProtocol = field(repr=False)
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
    public_only: bool = False

    def error_from(
        self, body: Any, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> ChatError:
        """Return the ChatError for an error of the provider."""
        return from_body(
            body,
            status=status,
            headers=headers or {},
            label=self.row.label,
            provider=self.row.name,
            secrets=self.secrets,
            expose=self.row.expose_errors,
        )

    def interrupted(self, cancel: CancelToken) -> ChatError:
        """Return the error for a wait that the cancel token has ended.

        A client that has left is also disconnected: the end of the body must not look like the end
        of a response.
        """
        if cancel.reason == "cancelled":
            cancel.hang_up()
            return ChatError.of("cancelled", provider=self.row.name)
        if cancel.reason == "stopping":
            return ChatError(
                "The server is being restarted. Please try again.",
                "overloaded",
                provider=self.row.name,
            )
        return self.timed_out()

    def timed_out(self) -> ChatError:
        """Return the error for a provider that did not respond in time."""
        code = "deadline" if time.monotonic() >= self.deadline else "timeout"
        return ChatError.of(code, self.row.label, provider=self.row.name)
