"""The model: what is known of one, as one provider serves it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model, as one provider serves it.

    :param name: the provider's name for it.
    :param context_window: tokens of prompt and answer together; None when not known.
    :param max_output: the most tokens an answer can have; None when not known.
    :param default_max_tokens: token limit to send when the chat sets none. Only models have one
        whose original routes sent it: the newer ones need none, and Groq counts the limit
        against the user's tokens per minute, so that a high one refuses every chat.
    :param max_tokens_param: name of the parameter that limits the answer; "" leaves it to the
        provider's row.
    :param supports_reasoning: whether it thinks before it answers, by ``reasoning_effort``.
    :param supports_temperature: whether temperature and top_p may be sent when the chat says
        nothing of reasoning effort. Models that reason refuse both while they do.
    :param unsupported_params: other parameters it answers with an error.
    :param supports_system_messages: False for a model that refuses system messages; they are sent as the
        user's.
    :param replay_fields: what it needs back of its earlier answers, whoever passes them on: such
        as the signatures of Gemini's tool calls. Heeded by the rows of those who do pass on,
        see :attr:`Provider.replay_by_model <flask_llmchat.Provider>`.
    """

    name: str
    context_window: int | None = None
    max_output: int | None = None
    default_max_tokens: int | None = None
    max_tokens_param: str = ""
    supports_reasoning: bool = False
    supports_temperature: bool = True
    unsupported_params: frozenset[str] = frozenset()
    supports_system_messages: bool = True
    replay_fields: frozenset[str] = frozenset()

    def supports_temperature_at(self, effort: str | None) -> bool:
        """Tell whether temperature and top_p may be sent at a reasoning effort."""
        if not self.supports_reasoning or effort is None:
            return self.supports_temperature
        return effort == "none"
