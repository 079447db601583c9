"""The chat request: what a dialect reads from a body, hooks change, and a protocol sends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .caller import Caller
from .result import ToolCall

Message = dict[str, Any]
"""One message in OpenAI's chat-completions form: ``role``, ``content``, and the fields of tools.

An earlier response may also have ``reasoning_content``, ``reasoning_details`` and
``thinking_blocks``, and its tool calls ``extra_content`` and ``provider_specific_fields``. These
are sent only to providers and models that need them.
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
"""Fields of an earlier response, or of a tool call in one, that only some providers and models
need. Others reject them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What the user has decided on a tool call of an earlier response, as the client says.

    :param call: the call, as the client has it. Not to be trusted.
    :param id: the approval's id, from the request for it; what the client says counts for nothing
        without it.
    :param approved: whether the call may run.
    :param reason: if not, why: in words for the model.
    """

    call: ToolCall
    id: str = field(repr=False)
    approved: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A user's own address, for the ``custom`` provider. The repr leaves out the key.

    :param base_url: address up to and without ``/chat/completions``; http(s), and public
        unless ``LLMCHAT_ALLOW_PRIVATE_ENDPOINTS`` is set.
    :param api_key: its key; None if it needs none.
    :param model: the model to use; None uses the one that the client named.
    """

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    model: str | None = None


@dataclass(slots=True, kw_only=True)
class ChatRequest:
    """One chat as it will be sent to the provider.

    ``before_chat`` hooks may change the model, the messages, and everything from ``temperature`` to
    ``extra``. The other attributes inform them about the request.

    :param provider: name of the provider row, the last part of the route.
    :param model: the model as the client names it (for Azure not yet the deployment).
    :param messages: the conversation, oldest first, in the chat-completions form.
    :param temperature: sampling temperature; None leaves it to the provider.
    :param max_tokens: the most tokens in the response; None leaves it to the catalogue.
    :param top_p: the share of probability to sample from (nucleus sampling), 0 to 1.
    :param stop: text, or texts, at which the response ends.
    :param seed: for reproducible responses, where the provider supports that.
    :param reasoning_effort: ``none``, ``low``, … as the model names them.
    :param response_format: such as ``{"type": "json_object"}``.
    :param tools: the tools that the client runs, in the chat-completions form.
    :param tool_choice: ``auto``, ``none``, ``required``, or one tool.
    :param server_tools: the tools that the server runs for this chat, by name; see
        :class:`~flask_llmchat.Tool`. Hooks may remove some.
    :param approvals: the user's decisions on calls of these tools that waited for an approval.
    :param tool_ids: ids of the tools that the client has selected among those of a tools loader:
        ``selectedTools`` in a body of the ``text`` dialect. Not to be trusted.
    :param provider_tools: tools that the provider runs itself, in its own form:
        ``[{"type": "web_search"}]``. No client can set them, as they cost extra. A fallback is
        called without them.
    :param extra: further parameters of chat completions, by their names there. A fallback gets
        those that clients may send; what else a hook has added is for the first provider.
    :param unknown: undeclared fields of a body in the ``openai`` dialect. Those that the provider's
        row accepts are moved to ``extra`` before any hook sees the chat; the others are refused.
    :param unknown_in_messages: the same for messages: index of a message to its undeclared fields.
        Those that the row does not accept are ignored.
    :param settings: ``chatSettings`` as the client sent it, for hooks; keys in camelCase.
    :param profile: what the profile loader returned.
    :param caller: whose chat it is, as the caller loader says.
    :param conversation_id: the conversation's id in the client, 1 to 256 characters, if the client
        names one. Another user may name the same.
    :param endpoint_id: which of the user's own endpoints the client named, for ``custom``.
    :param endpoint: that endpoint, as the endpoint loader returned it.
    :param raw: the request body as the client sent it. Not to be trusted.
    :param request_id: the id of this chat, also sent as ``X-Request-ID``.
    :param dialect: dialect of the request: ``text``, ``ui``, ``openai``, or one of your own.
    :param context: for the app's own data: what a hook puts here, such as the user's id, is in
        :attr:`ChatResult.context`. It is never sent.
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
    server_tools: dict[str, Any] = field(default_factory=dict)
    approvals: Sequence[Approval] = ()
    tool_ids: tuple[str, ...] = ()
    provider_tools: list[dict[str, Any]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    unknown: dict[str, Any] = field(default_factory=dict, repr=False)
    unknown_in_messages: dict[int, dict[str, Any]] = field(default_factory=dict, repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)
    profile: Any = field(default=None, repr=False)
    caller: Caller | None = None
    conversation_id: str | None = None
    endpoint_id: str | None = None
    endpoint: Endpoint | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    request_id: str = ""
    dialect: str = "text"
    context: dict[str, Any] = field(default_factory=dict, repr=False)
