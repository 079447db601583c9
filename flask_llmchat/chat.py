"""What a chat is made of: plain values that know no Flask and no network.

A dialect turns a request body into a :class:`ChatRequest`; a provider's stream becomes
a run of events (:data:`Event`), which a dialect turns into bytes for the client; when it
is over, a :class:`ChatResult` says how it went.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from .errors import ChatError

Message = dict[str, Any]
"""One message in the OpenAI chat-completions form: ``role``, ``content``, and what tools add.

An earlier answer may also have ``reasoning_content``, ``reasoning_details`` and
``thinking_blocks``, and its tool calls ``extra_content`` and ``provider_specific_fields``. They go
to those providers and models alone that want them back.
"""

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
class Endpoint:
    """An address of a user's own, for the ``custom`` provider. Its key stays out of the repr.

    :param base_url: address up to and without ``/chat/completions``; http(s), and public
        unless ``LLMCHAT_ALLOW_PRIVATE_ENDPOINTS`` is set.
    :param api_key: its key; None when it takes none.
    :param model: the model to ask for; None asks for the one the front end named.
    """

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    model: str | None = None


@dataclass(slots=True, kw_only=True)
class ChatRequest:
    """One chat as it will be asked.

    ``before_chat`` hooks may change what is asked: the model, the messages, and everything
    from ``temperature`` to ``extra``. The rest tells them about the request.

    :param provider: name of the provider row, the last part of the route.
    :param model: the model as the front end names it (for Azure not yet the deployment).
    :param messages: the conversation, oldest first, in the chat-completions form.
    :param temperature: sampling temperature; None leaves it to the provider.
    :param max_tokens: the most tokens to answer with; None leaves it to the catalogue.
    :param top_p: the share of probability to sample from, 0 to 1.
    :param stop: text, or texts, at which the answer ends.
    :param seed: for answers that can be repeated, where the provider does that.
    :param reasoning_effort: how long to think: ``none``, ``low``, … in the model's own words.
    :param response_format: such as ``{"type": "json_object"}``.
    :param tools: what the model may call, in the chat-completions form.
    :param tool_choice: ``auto``, ``none``, ``required``, or which one.
    :param extra: further parameters of chat completions, by the names they have there.
    :param unknown: what else the body of a client with OpenAI's SDK held. What the provider's row
        takes of it is moved to ``extra`` before any hook sees the chat; the rest is refused.
    :param unknown_in_messages: the same of messages: the place of one to its further fields. What
        the row does not take of them is passed over.
    :param settings: ``chatSettings`` as the client sent it, for hooks; keys in camelCase.
    :param profile: whatever the profile loader returned.
    :param endpoint_id: which of the user's own endpoints the client named, for ``custom``.
    :param endpoint: that endpoint, as the host's loader gave it.
    :param raw: the request body as the client sent it. Not to be trusted.
    :param request_id: our own id of this chat, also sent as ``X-Request-ID``.
    :param dialect: how the client spoke: ``text``, ``ui``, ``openai``, or a dialect of yours.
    :param context: the host's own: what a hook puts here, whose chat it is, say, comes back in
        :attr:`ChatResult.context`. It is sent nowhere.
    """

    provider: str
    model: str
    messages: list[Message]
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    reasoning_effort: str | None = None
    response_format: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    unknown: dict[str, Any] = field(default_factory=dict, repr=False)
    unknown_in_messages: dict[int, dict[str, Any]] = field(default_factory=dict, repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)
    profile: Any = field(default=None, repr=False)
    endpoint_id: str | None = None
    endpoint: Endpoint | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    request_id: str = ""
    dialect: str = "text"
    context: dict[str, Any] = field(default_factory=dict, repr=False)


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


@dataclass(frozen=True, slots=True)
class Source:
    """A page that the answer rests on."""

    url: str
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatResult:
    """How one chat went, sent with ``chat_finished`` exactly once.

    :param provider: name of the provider row that answered, or was to.
    :param model: the model as it was asked for there.
    :param tried: names of the other providers that were asked, and failed: the one that the
        front end named, or some of ``LLMCHAT_FALLBACKS``.
    :param outcome: how it ended: ``ok``, ``length``, ``content_filtered``, ``tool_calls``,
        ``truncated``, ``upstream_error``, ``timeout``, ``deadline``, ``cancelled`` or
        ``refused``; see :data:`~flask_llmchat.chat.Outcome`.
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
    tried: tuple[str, ...] = ()
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


@dataclass(slots=True)
class TextDelta:
    """A piece of the answer."""

    text: str


@dataclass(slots=True)
class ReasoningDelta:
    """A piece of the model's thinking aloud."""

    text: str


@dataclass(slots=True)
class ToolCallDelta:
    """A piece of a tool call; ``id`` and ``name`` are in its first piece, and "" in the others."""

    index: int
    id: str
    name: str
    arguments: str
    extra_content: dict[str, Any] | None = None
    custom: bool = False


@dataclass(slots=True)
class Image:
    """An image in the answer, as a URL; most often a ``data:`` one."""

    url: str


@dataclass(slots=True)
class Finish:
    """The provider's own ending: ``stop``, ``length``, ``content_filter`` or ``tool_calls``."""

    reason: str


@dataclass(slots=True)
class Chunk:
    """A chunk as the provider sent it; the events that follow say what it brings.

    Only encoders that pass chunks on are given them. A chunk with several choices of the answer
    comes as one for each.

    :param data: its JSON, byte for byte; b"" where the reader has changed something in ``body``.
    :param body: the same, read.
    :param choice: its choice that is of the answer, if any.
    """

    data: bytes
    body: dict[str, Any]
    choice: dict[str, Any] | None = None


Event = TextDelta | ReasoningDelta | ToolCallDelta | Source | Image | Finish | Chunk
"""What an answer comes as, piece by piece."""
