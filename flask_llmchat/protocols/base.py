"""The seam for upstream protocols: the request body and the response format of a provider.

A protocol is one object without state. It makes one parser for each response. A provider's row
names its protocol, and no code above this seam depends on which one it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ..core.events import Document, Event, Source
from ..core.result import ProviderTool, ToolCall, Usage

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
    :ivar provider_tools: tools that the provider ran itself.
    :ivar sources: pages that the response cites.
    :ivar documents: documents without a URL that it cites.
    :ivar images: URLs of its images.
    :ivar usage: token counts; None until the provider has sent them.
    :ivar finish_reason: ``stop``, ``length``, ``content_filter`` or ``tool_calls``; None until
        the provider has sent it.
    """

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    reasoning_details: list[dict[str, Any]] = field(default_factory=list)
    tool_calls: list[ToolCall] = field(default_factory=list)
    provider_tools: list[ProviderTool] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    usage: Usage | None = None
    finish_reason: str | None = None


class ResponseParser(Protocol):
    """Parses the server-sent events of one response, and keeps what they add up to.

    One method is optional, for protocols whose providers pause a response:
    ``continue_body(body)`` takes the body of the request and returns that of the request that goes
    on with the response, or None when the response is complete. A paused response brings no
    :class:`~flask_llmchat.Finish`, and its totals have the finish reason ``length``. Such a parser
    has an attribute, too: ``goes_on`` is set to True for the response to a further request, whose
    reasoning is bound to what came before.

    :ivar finish_reason: ``stop``, ``length``, ``content_filter`` or ``tool_calls`` once the
        provider has sent the like, before that None. From then on the rest of the response, its
        token counts for example, is waited for only briefly.
    :ivar done: True once the last event of the protocol has come: nothing after it is read.
    """

    finish_reason: str | None
    done: bool

    def parse(self, name: str, data: bytes) -> list[Event] | None:
        """Parse one server-sent event; return the events it brings.

        :param name: its ``event:`` field; "" when it has none.
        :param data: its ``data:`` field.
        :return: None for one that only keeps the connection open: the idle timeout goes on.
        :raises StreamErrorEvent: when it reports an error.
        :raises ValueError: when it cannot be parsed.
        """

    def parse_whole(self, body: Any, data: bytes) -> list[Event] | None:
        """Parse a whole response that came in place of a stream, and set ``done``.

        :param body: its JSON.
        :param data: the same, unparsed.
        :return: its events; None when it is not a response but an error.
        """

    def finish(self) -> list[Event]:
        """Return what was held back, now that nothing more comes.

        Called when ``done`` is set, or the body has ended. When neither ``done`` nor
        ``finish_reason`` is set by then, the response counts as truncated, whatever this returns.

        :raises StreamErrorEvent: when what came is not a complete response. Its ``body`` is
            searched for an error message.
        """

    def totals(self) -> Totals:
        """Return what all events so far add up to. Read once, when the response is over."""


class UpstreamProtocol(Protocol):
    """An API format of providers: the path, the request body, the parser of the response.

    One method is optional: ``amend_body(body, error, headers)``. It takes the body of a request
    that was refused, the JSON of the error, and the headers of the request, and returns the body to
    send in place of the refused one, or None when there is nothing to change.

    :ivar name: its name in a row's ``protocol``.
    :ivar path: what follows the base URL, ``/chat/completions`` for example.
    :ivar headers: headers of every request, beside those of the provider.
    :ivar key_header: the header that carries the key; "" for a bearer token. A row's own counts
        first, and it alone for a protocol that is not built in.
    """

    name: str
    path: str
    headers: Mapping[str, str]
    key_header: str

    def build_body(
        self, chat: ChatRequest, provider: Provider, target: Target, model: Model
    ) -> dict[str, Any]:
        """Return the JSON body of the request.

        It leaves out parameters that the chat does not set, and those that the provider or the
        model rejects.

        :param chat: what the client requested.
        :param provider: the provider's row.
        :param target: its ``model`` is the model's name at this provider.
        :param model: what the catalogue has about the model.
        :raises ChatError: when the provider rejects a part of the chat.
        """

    def parser(self, provider: Provider, *, passthrough: bool) -> ResponseParser:
        """Return the parser for one response.

        :param passthrough: whether to precede the events of every chunk with a
            :class:`~flask_llmchat.Chunk`, for encoders that pass chunks of chat completions on.
            A protocol without such chunks ignores it.
        """
