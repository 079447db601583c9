"""The seam for upstream protocols: how a provider is spoken to.

A protocol is one object that keeps nothing of a chat, and makes one parser for each response.
A provider's row names it, and nothing above this seam knows which one it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ..core.events import Event, Source
from ..core.result import ToolCall, Usage

if TYPE_CHECKING:
    from ..core.model import Model
    from ..core.request import ChatRequest
    from ..providers import Provider, Target


@dataclass(slots=True)
class Totals:
    """What the events of one response add up to.

    :ivar text: pieces of the text.
    :ivar reasoning: pieces of the reasoning.
    :ivar reasoning_details: reasoning in the form in which it goes back with the next turn.
    :ivar tool_calls: tool calls, in the order of their index.
    :ivar sources: pages the response cites.
    :ivar images: URLs of its images.
    :ivar usage: token counts; None until the provider has sent them.
    :ivar finish_reason: ``stop``, ``length``, ``content_filter`` or ``tool_calls``; None until
        the provider has said how the response ends.
    """

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    reasoning_details: list[dict[str, Any]] = field(default_factory=list)
    tool_calls: list[ToolCall] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    usage: Usage | None = None
    finish_reason: str | None = None


class ResponseParser(Protocol):
    """Parses the server-sent events of one response, and keeps what they add up to.

    :ivar finish_reason: the provider's own ending, once it has come. From then on the rest of
        the response (token counts, say) is waited for only briefly.
    :ivar done: whether the protocol's last event has come; nothing after it is read.
    """

    finish_reason: str | None
    done: bool

    def parse(self, name: str, data: bytes) -> list[Event] | None:
        """Take one server-sent event; return the events it brings.

        :return: None for one that holds nothing at all: it only keeps the connection open, and
            is no progress.
        :param name: its ``event:`` field; "" when it has none.
        :param data: its ``data:`` field.
        :raises StreamErrorEvent: when it reports an error.
        :raises ValueError: when it cannot be parsed.
        """

    def parse_whole(self, body: Any, data: bytes) -> list[Event] | None:
        """Take a whole JSON response that came in place of a stream; None when it is none.

        :param data: the same, unparsed.
        """

    def unexpected(self) -> list[Any]:
        """Return what came in place of a response; [] when there is one, or nothing came.

        It is searched for the words of an error.
        """

    def finish(self) -> list[Event]:
        """Return what was held back, now that nothing more comes.

        :raises StreamErrorEvent: when what came is no complete response.
        """

    def totals(self) -> Totals:
        """Return what all events so far add up to."""


class UpstreamProtocol(Protocol):
    """How a provider is spoken to: the path, the request body, the parser of the response.

    :ivar name: the word for it in a row's ``protocol``.
    :ivar path: what follows the base URL: ``/chat/completions``.
    :ivar headers: headers that every request of this protocol has.
    """

    name: str
    path: str
    headers: Mapping[str, str]

    def build_body(
        self, chat: ChatRequest, provider: Provider, target: Target, model: Model
    ) -> dict[str, Any]:
        """Return the body of the request.

        What the chat left open is left out, and so is what the provider or the model rejects.
        """

    def parser(self, provider: Provider, *, passthrough: bool) -> ResponseParser:
        """Return the parser for one response.

        :param passthrough: whether a :class:`~flask_llmchat.Chunk` precedes the events of every
            chunk, for encoders that pass chunks on.
        """
