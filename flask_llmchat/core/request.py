"""One chat as it will be sent: the request, after the dialect has read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass


Message = dict[str, Any]
"""One message in the OpenAI chat-completions form: ``role``, ``content``, and what tools add.

An earlier answer may also have ``reasoning_content``, ``reasoning_details`` and
``thinking_blocks``, and its tool calls ``extra_content`` and ``provider_specific_fields``. They go
to those providers and models alone that want them back.
"""


REPLAY_FIELDS = frozenset(
    {
        "reasoning_content",
        "reasoning_details",
        "thinking_blocks",
        "extra_content",
        "provider_specific_fields",
    }
)
"""What an earlier answer, or a tool call in one, may hold that only some providers and models
want back. Others refuse to be sent it."""


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
