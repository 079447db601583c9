"""The events of a response: upstream protocols produce them, dialects encode them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Source:
    """A page that the response cites."""

    url: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A document without a URL that the response cites: a file of the request or the provider's."""

    title: str
    filename: str = ""
    media_type: str = ""


@dataclass(slots=True)
class TextDelta:
    """A piece of the response's text.

    :param refusal: whether the model refuses with it: where the client has asked for JSON, this
        text is none.
    """

    text: str
    refusal: bool = False


@dataclass(slots=True)
class ReasoningDelta:
    """A piece of the model's reasoning."""

    text: str


@dataclass(slots=True)
class ReasoningEnd:
    """The end of one part of the reasoning: what follows of it is another part.

    :param detail: what the provider needs back of this part, as in
        :attr:`ChatResult.reasoning_details`; None when it needs nothing. Reasoning that its
        provider hides has a detail and no text.
    """

    detail: dict[str, Any] | None = None


@dataclass(slots=True)
class ToolCallDelta:
    """A piece of a tool call; the first has its ``id`` and ``name``, which are "" in the others.

    :param index: which of the response's tool calls it belongs to.
    :param arguments: a piece of the JSON text.
    :param extra_content: what the provider needs back with the call.
    :param custom: whether it calls a tool of type ``custom``, whose arguments are free text.
    """

    index: int
    id: str
    name: str
    arguments: str
    extra_content: dict[str, Any] | None = None
    custom: bool = False


@dataclass(slots=True)
class ProviderToolCall:
    """A call of a tool that the provider runs itself, such as its web search.

    :param input: its arguments: any JSON.
    :param mcp: whether the tool is that of an MCP server: no page knows its name beforehand.
    """

    id: str
    name: str
    input: Any
    mcp: bool = False


@dataclass(slots=True)
class ProviderToolResult:
    """The result of such a call.

    :param output: any JSON, in the provider's own form.
    :param failed: whether the tool failed.
    """

    id: str
    name: str
    output: Any
    failed: bool = False


@dataclass(slots=True)
class ToolsStart:
    """The server begins to run the tool calls of the response that has just ended.

    As the first event of a chat: the calls of an earlier chat, whose approvals have come.

    :param reasoning_details: those of that response.
    :param wrong: ids of the calls that cannot be run; their results say why.
    """

    reasoning_details: list[dict[str, Any]] = field(default_factory=list)
    wrong: set[str] = field(default_factory=set)


@dataclass(slots=True)
class ToolProgress:
    """A preliminary result of a tool that the server is running.

    :param id: that of the call.
    :param output: any JSON.
    """

    id: str
    name: str
    output: Any


@dataclass(slots=True)
class ToolResult:
    """The result of a tool that the server has run: the model and the client get the same.

    :param id: that of the call.
    :param output: any JSON; None when it failed.
    :param error: why it failed, in words for the model and the user; "" when it did not.
    :param invalid: whether the call itself was wrong, its name or its arguments, so that nothing
        was run.
    :param denied: whether the user did not approve the call, so that nothing was run.
    """

    id: str
    name: str
    output: Any = None
    error: str = ""
    invalid: bool = False
    denied: bool = False


@dataclass(slots=True)
class ApprovalRequest:
    """A tool call of the server's that waits for the user's approval; the chat ends without it.

    :param id: that of the call.
    :param sign: takes the id by which the client knows the call, and returns the approval's: what
        the client sends back with the user's decision.
    """

    id: str
    name: str
    sign: Callable[[str], str]


@dataclass(slots=True)
class Image:
    """An image in the response, as a URL; most often a ``data:`` URL."""

    url: str


@dataclass(slots=True)
class Finish:
    """The finish reason: ``stop``, ``length``, ``content_filter`` or ``tool_calls``."""

    reason: str


@dataclass(slots=True)
class StepStart:
    """A further response of the model begins in the same chat; the previous one has ended.

    Text, reasoning and tool calls do not continue from one response to the next. Only the last
    response's ``Finish`` is passed on: a chat has one.
    """


@dataclass(slots=True)
class Chunk:
    """A chunk as the provider sent it, followed by the events it contains.

    Only encoders that pass chunks on receive them. A chunk with several choices of the response
    becomes one ``Chunk`` for each.

    :param data: its JSON, byte for byte; b"" where the parser has changed something in ``body``.
    :param body: the same, parsed.
    :param choice: the choice that belongs to the response, if it has one.
    """

    data: bytes
    body: dict[str, Any]
    choice: dict[str, Any] | None = None


Event = (
    TextDelta
    | ReasoningDelta
    | ReasoningEnd
    | ToolCallDelta
    | ProviderToolCall
    | ProviderToolResult
    | ToolsStart
    | ToolProgress
    | ToolResult
    | ApprovalRequest
    | Source
    | Document
    | Image
    | Finish
    | StepStart
    | Chunk
)
"""Any of them: a response is a series of these."""
