"""How one chat ended, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from .errors import ChatError
import uuid

from .events import Source

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
    "refused",
]
"""How a chat ended.

``ok``, ``length``, ``content_filtered`` and ``tool_calls`` are the provider's own endings.
``truncated``: the provider stopped without saying that it was done. ``upstream_error``: it
said that something failed, or ended an answer that has nothing in it, or for a reason that is
not known. ``timeout``: no event for ``LLMCHAT_READ_TIMEOUT`` seconds.
``deadline``: longer than ``LLMCHAT_DEADLINE`` seconds in all. ``cancelled``: the client
left, or the server did not send the answer. ``refused``: ended before the provider was called.
"""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a chat cost, in tokens, as the provider counted it.

    :param prompt_tokens: tokens asked, the cached ones among them.
    :param completion_tokens: tokens answered.
    :param total_tokens: both together.
    :param cached_tokens: tokens asked that the provider remembered from before.
    :param reasoning_tokens: tokens thought, where the provider tells them apart.
    :param details: the provider's own usage object, whole.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class ToolCall:
    """A function the model wants called; ``arguments`` is JSON text, as the model wrote it.

    :param extra_content: what the provider wants back with the call: Gemini's
        ``{"google": {"thought_signature": …}}``.
    :param custom: whether it calls a tool of type ``custom``; ``arguments`` is its free text then.
    """

    id: str = ""
    name: str = ""
    arguments: str = ""
    extra_content: dict[str, Any] | None = field(default=None, repr=False)
    custom: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request to one provider: the first, a retry, or a fallback.

    :param provider: name of the provider row.
    :param model: the model as it was asked for there.
    :param error: how it failed, also after its first bytes; None when its response is complete.
    :param usage: token counts, if the provider sent any.
    :param duration: seconds from the request to its end.
    :param upstream_request_id: the provider's id of the call, for its support.
    """

    provider: str
    model: str
    error: ChatError | None = None
    usage: Usage | None = None
    duration: float = 0.0
    upstream_request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One response of the model, and the attempts made for it, in their order."""

    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatResult:
    """How one chat went, sent with ``chat_finished`` exactly once.

    :param provider: name of the provider row that answered, or was to.
    :param model: the model as it was asked for there.
    :param outcome: how it ended: ``ok``, ``length``, ``content_filtered``, ``tool_calls``,
        ``truncated``, ``upstream_error``, ``timeout``, ``deadline``, ``cancelled`` or
        ``refused``; see :data:`~flask_llmchat.chat.Outcome`.
    :param steps: the responses of the model, each with the attempts made for it. Empty for a
        chat that was refused before the provider was called.
    :param text: the answer as far as it came, also when it broke off.
    :param reasoning: what the model thought aloud.
    :param reasoning_details: the same as OpenRouter wants it back in the next turn, encrypted
        and signed parts included.
    :param tool_calls: what the model wants called.
    :param sources: pages that the answer rests on.
    :param images: URLs of the images in the answer, most often ``data:`` ones.
    :param usage: None when the provider did not say.
    :param error: what went wrong; None for the provider's own endings.
    :param time_to_first_token: seconds from the request to the first text, reasoning or
        tool call; None when there was none.
    :param duration: seconds from the request to the end.
    :param request_id: our own id of the chat, also sent as ``X-Request-ID``.
    :param upstream_request_id: the provider's id of the call, for its support.
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
    sources: tuple[Source, ...] = ()
    images: tuple[str, ...] = ()
    usage: Usage | None = None
    error: ChatError | None = None
    time_to_first_token: float | None = None
    duration: float = 0.0
    request_id: str = ""
    upstream_request_id: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict, repr=False)


def new_call_id() -> str:
    """Return an id for a tool call whose provider gives it none: its result has to name one."""
    return f"call_{uuid.uuid4().hex[:24]}"  # some providers take no longer ones


_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


def usage_body(usage: Usage) -> dict[str, Any]:
    """Return a token count as the provider gave it, and the three integers that clients expect.

    Some leave one of the three out, some send null, and clients add them up.
    """
    three = {name: getattr(usage, name) for name in _COUNTS}
    return three | {name: value for name, value in usage.details.items() if name not in three}
