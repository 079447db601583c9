"""``Model``: the facts known about one model, as one provider serves it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Facts about one model, as one provider serves it.

    :param name: the provider's name for it.
    :param context_window: tokens of prompt and response together; None when not known.
    :param max_output: the most tokens a response can have; None when not known.
    :param shutdown: the last day on which it is served; None when none has been announced.
    :param protocol: the upstream protocol to call it by, where the provider's row leaves that open:
        ``responses`` for models whose reasoning and tools need it. "" is chat completions.
    :param default_max_tokens: token limit to send when the chat sets none. Only models have one
        whose original routes sent it: the newer ones need none, and Groq counts the limit
        against the user's tokens per minute, so that it rejects every chat with a high limit.
    :param max_tokens_param: name of the parameter that limits the response; "" uses that of the
        provider's row.
    :param supports_reasoning: whether it reasons before it responds, controlled by
        ``reasoning_effort``.
    :param reasons_by_default: whether it reasons when the chat sets no reasoning effort. One that
        does not is taken to reject temperature and top_p once it reasons.
    :param supports_temperature: whether temperature and top_p may be sent when the chat sets no
        reasoning effort.
    :param unsupported_params: other parameters that it rejects.
    :param supports_system_messages: False for a model that rejects system messages: they are sent
        as user messages.
    :param replay_fields: fields of its earlier responses that it needs back, through any gateway:
        the signatures of Gemini's tool calls, say. Only the rows of gateways heed it, see
        :attr:`Provider.replay_by_model <flask_llmchat.Provider>`.
    """

    name: str
    context_window: int | None = None
    max_output: int | None = None
    shutdown: date | None = None
    protocol: str = ""
    default_max_tokens: int | None = None
    max_tokens_param: str = ""
    supports_reasoning: bool = False
    reasons_by_default: bool = True
    supports_temperature: bool = True
    unsupported_params: frozenset[str] = frozenset()
    supports_system_messages: bool = True
    replay_fields: frozenset[str] = frozenset()

    def supports_temperature_at(self, effort: str | None) -> bool:
        """Tell whether temperature and top_p may be sent at a reasoning effort; None: not set."""
        if effort == "none":
            return self.supports_temperature or self.supports_reasoning
        return self.supports_temperature and (effort is None or self.reasons_by_default)
