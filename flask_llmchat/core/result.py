"""``ChatResult``: how one chat ended, its response, its usage, and the attempts made for it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from .caller import Caller
from .events import Document, Source

if TYPE_CHECKING:
    from .errors import ChatError  # which needs Outcome

Outcome = Literal[
    "ok",
    "length",
    "content_filtered",
    "tool_calls",
    "truncated",
    "upstream_error",
    "timeout",
    "deadline",
    "cancelled",
    "stopped",
    "interrupted",
    "tool_limit",
    "refused",
]
"""How a chat ended.

``ok``, ``length``, ``content_filtered`` and ``tool_calls`` are the provider's finish reasons.
``truncated``: the response broke off without a finish reason. ``upstream_error``: the provider
reported an error, or ended an empty response, or gave an unknown finish reason. ``timeout``: no
event for ``LLMCHAT_READ_TIMEOUT`` seconds. ``deadline``: longer than ``LLMCHAT_DEADLINE`` seconds
in all. ``cancelled``: the client disconnected, or the server did not send the response.
``stopped``: somebody pressed stop. ``interrupted``: the server was stopped, or its process died,
while the response was kept for others. ``tool_limit``: the model called a tool in the last step,
where it may call none. ``refused``: ended before the provider was called.
"""


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of a chat, as the provider reported them.

    :param prompt_tokens: tokens of the request, cached ones included.
    :param completion_tokens: tokens of the response.
    :param total_tokens: both together.
    :param cached_tokens: tokens of the request that the provider had cached.
    :param reasoning_tokens: tokens of reasoning, where the provider counts them separately.
    :param details: the provider's whole usage object.
    :param cache_write_tokens: tokens of the request that it has cached now, where that costs more.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)
    cache_write_tokens: int = 0


@dataclass(slots=True)
class ToolCall:
    """A tool call of the model; ``arguments`` is JSON text, as the model wrote it.

    :param extra_content: what the provider needs back with the call: Gemini's
        ``{"google": {"thought_signature": …}}``.
    :param custom: whether it calls a tool of type ``custom``, whose ``arguments`` are free text.
    """

    id: str = ""
    name: str = ""
    arguments: str = ""
    extra_content: dict[str, Any] | None = field(default=None, repr=False)
    custom: bool = False


@dataclass(slots=True)
class ProviderTool:
    """A tool that the provider ran itself, such as its web search.

    :param input: the arguments of the call: any JSON.
    :param output: the result, in the provider's own form; None when none came.
    :param failed: whether the tool failed.
    """

    id: str
    name: str
    input: Any = field(default=None, repr=False)
    output: Any = field(default=None, repr=False)
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRun:
    """One call of a tool that the server runs, and how it ended.

    :param call_id: the id of the call, as the model named it.
    :param step: the number of the step whose response called it, from 1; 0 for a call of an earlier
        chat, whose approval came with this one.
    :param outcome: ``ok``; ``error``: it raised; ``timeout``; ``refused``: unknown, with wrong
        arguments, over a limit or with an approval that is not valid, so that nothing was run;
        ``denied``: not run, because the user or the app said no; ``repeated``: the third same call
        in a row, which is not run; ``abandoned``: the chat ended before it did.
    :param approved: whether it was run with the approval of the user.
    :param duration: seconds.
    :param size: characters of the result as the model gets it.
    :param arguments: the arguments, as the model wrote them: JSON text.
    :param result: the result, as the model gets it.
    """

    call_id: str
    name: str
    step: int
    outcome: Literal["ok", "error", "timeout", "refused", "denied", "repeated", "abandoned"]
    approved: bool = False
    duration: float = 0.0
    size: int = 0
    arguments: str = field(default="", repr=False)
    result: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingApproval:
    """A tool call that waits for the user's approval, for which the client was asked.

    :param call_id: the id of the call, as the model named it.
    :param step: the number of the step whose response called it, from 1.
    :param key: what :attr:`ToolContext.key` will be if it is approved.
    :param id: the approval's signed id. Save it with the conversation, as the part's ``approval``,
        and the user can still decide when the page has been loaded anew.
    :param arguments: the arguments, as the model wrote them: JSON text.
    """

    call_id: str
    name: str
    step: int
    key: str
    id: str = field(default="", repr=False)
    arguments: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request to one provider: the first, a retry, or a fallback.

    :param provider: name of the provider row.
    :param model: name of the model in that request.
    :param error: how it failed, also after its first bytes; None when its response is complete.
    :param usage: token counts, if the provider sent any.
    :param duration: seconds from the request to its end.
    :param upstream_request_id: the provider's id of the request, for its support.
    """

    provider: str
    model: str
    error: ChatError | None = None
    usage: Usage | None = None
    duration: float = 0.0
    upstream_request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One response of the model.

    :param attempts: the attempts made for it, in their order.
    :param text: its text, as far as it came.
    :param finish_reason: why it ended: ``stop``, ``length``, ``content_filter``, ``tool_calls``, or
        the provider's own word; None when it broke off, or none was sent.
    :param usage: its token counts; None when the provider sent none.
    :param tool_runs: the calls in it of tools that the server has run, or refused to run.
    """

    attempts: tuple[Attempt, ...] = ()
    text: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None
    tool_runs: tuple[ToolRun, ...] = ()

    @property
    def provider(self) -> str:
        """Name of the provider row of its last attempt."""
        return self.attempts[-1].provider

    @property
    def model(self) -> str:
        """Name of the model in that attempt's request."""
        return self.attempts[-1].model

    @property
    def upstream_request_id(self) -> str | None:
        """The provider's id of that request, for its support."""
        return self.attempts[-1].upstream_request_id

    @property
    def duration(self) -> float:
        """Seconds that all attempts took, one after the other."""
        return sum(attempt.duration for attempt in self.attempts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatResult:
    """The result of one chat, sent with ``chat_finished`` exactly once.

    :param provider: name of the provider row whose response was used, or was to be.
    :param model: name of the model in the request to that provider.
    :param outcome: how the chat ended: ``ok``, ``length``, ``content_filtered``, ``tool_calls``,
        ``truncated``, ``upstream_error``, ``timeout``, ``deadline``, ``cancelled``, ``stopped``,
        ``interrupted``, ``tool_limit`` or ``refused``; see :data:`~flask_llmchat.Outcome`.
    :param steps: the responses of the model, each with the attempts made for it. Empty for a
        chat that was refused before the provider was called.
    :param text: the response's text as far as it came, also when it broke off.
    :param reasoning: the model's reasoning.
    :param reasoning_details: the same in the form that the provider needs back in the next turn,
        encrypted and signed parts included.
    :param tool_calls: the tool calls that are left to the client.
    :param tool_runs: the calls of tools that the server has run, or refused to run.
    :param approvals: those that wait for the user's approval; the outcome is ``tool_calls`` then.
    :param provider_tools: the tools that the provider ran itself.
    :param sources: pages that the response cites.
    :param documents: documents without a URL that it cites.
    :param images: URLs of the images in the response, most often ``data:`` URLs.
    :param usage: token counts; None when the provider sent none.
    :param error: what went wrong; None when the provider ended the response itself.
    :param time_to_first_token: seconds from the request to the first text, reasoning or
        tool call; None when there was none.
    :param duration: seconds from the request to the end.
    :param request_id: our own id of the chat, also sent as ``X-Request-ID``.
    :param upstream_request_id: the provider's id of the request, for its support.
    :param stream_id: the id by which clients find the response while it is kept; None when it is
        not.
    :param message_id: the id that a page gives the response's message, in the ``ui`` dialect.
    :param caller: whose chat it was: :attr:`ChatRequest.caller`.
    :param conversation_id: :attr:`ChatRequest.conversation_id`.
    :param context: what the hooks put into :attr:`ChatRequest.context`.
    """

    provider: str
    model: str
    outcome: Outcome
    steps: tuple[Step, ...] = ()
    text: str = ""
    reasoning: str = ""
    reasoning_details: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    tool_calls: tuple[ToolCall, ...] = ()
    tool_runs: tuple[ToolRun, ...] = ()
    approvals: tuple[PendingApproval, ...] = ()
    provider_tools: tuple[ProviderTool, ...] = ()
    sources: tuple[Source, ...] = ()
    documents: tuple[Document, ...] = ()
    images: tuple[str, ...] = ()
    usage: Usage | None = None
    error: ChatError | None = None
    time_to_first_token: float | None = None
    duration: float = 0.0
    request_id: str = ""
    upstream_request_id: str | None = None
    stream_id: str | None = None
    message_id: str | None = None
    caller: Caller | None = None
    conversation_id: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict, repr=False)


def new_call_id() -> str:
    """Return an id for a tool call that came without one: its result has to refer to it."""
    return f"call_{uuid.uuid4().hex[:24]}"  # some providers reject longer ones


TOKEN_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


def usage_body(usage: Usage) -> dict[str, Any]:
    """Return the usage object of chat completions, with the three integers that clients expect.

    It is the provider's own where that has their names: some providers leave one of the three out,
    some send null, and clients add them up. Other protocols have other names, but for the total.
    """
    three = {name: getattr(usage, name) for name in TOKEN_COUNTS}
    if "prompt_tokens" in usage.details or "completion_tokens" in usage.details:
        return three | {name: value for name, value in usage.details.items() if name not in three}
    cached = {"cached_tokens": usage.cached_tokens}
    if usage.cache_write_tokens:
        cached["cache_write_tokens"] = usage.cache_write_tokens
    reasoning = {"reasoning_tokens": usage.reasoning_tokens}
    return {**three, "prompt_tokens_details": cached, "completion_tokens_details": reasoning}
