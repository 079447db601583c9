"""The sampling parameters: one row each, and everything that follows from a parameter.

The schemas and readers of all dialects, the upstream request body and the OpenAPI document are
made from these rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from .request import ChatRequest

Kind = Literal[
    "boolean",
    "boolean_or_object",
    "integer",
    "number",
    "object",
    "stop",
    "template_arguments",
    "text",
    "token_limit",
    "tool_choice",
    "tools",
]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter.

    :param name: attribute of :class:`ChatRequest`. A parameter without an attribute goes to
        :attr:`ChatRequest.extra`, under the name that is sent.
    :param kind: which values are valid; ``dialects/parameters.py`` has the field of each kind.
    :param setting: camelCase name in ``chatSettings``; "" where it is not a setting.
    :param names: names in chat completions, where they differ from ``name``. The first one is
        sent; of several in one request, the last one counts.
    :param least: lowest number, or shortest text.
    :param most: highest number, or longest text.
    """

    name: str
    kind: Kind
    setting: str = ""
    names: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None

    @property
    def wire_names(self) -> tuple[str, ...]:
        """All names in chat completions; the first one is sent."""
        return self.names or (self.name,)


PARAMETERS = (
    Parameter("temperature", "number", "temperature", least=0, most=2),
    Parameter(
        "max_tokens", "token_limit", "maxTokens", names=("max_tokens", "max_completion_tokens")
    ),
    Parameter("top_p", "number", "topP", least=0, most=1),
    Parameter("stop", "stop", "stop"),
    Parameter("seed", "integer", "seed"),
    Parameter("reasoning_effort", "text", "reasoningEffort", least=1, most=32),
    Parameter("response_format", "object", "responseFormat"),
    Parameter("tools", "tools", "tools"),
    Parameter("tool_choice", "tool_choice", "toolChoice"),
    # The others go to the provider as they are, and the provider decides whether it takes them.
    # None of them switches on what costs more: a provider's row has to accept `service_tier` and
    # `web_search_options`.
    Parameter("frequency_penalty", "number"),
    Parameter("presence_penalty", "number"),
    Parameter("logit_bias", "object"),
    Parameter("logprobs", "boolean"),
    Parameter("top_logprobs", "integer", least=0),
    Parameter("metadata", "object"),
    Parameter("moderation", "object"),
    Parameter("parallel_tool_calls", "boolean"),
    Parameter("prediction", "object"),
    Parameter("prompt_cache_key", "text", most=4096),
    Parameter("prompt_cache_options", "object"),
    Parameter("prompt_cache_retention", "text", most=4096),
    Parameter("safety_identifier", "text", most=4096),
    Parameter("store", "boolean"),
    Parameter("user", "text", most=4096),
    Parameter("verbosity", "text", most=4096),
    # Parameters of servers that are compatible with OpenAI's.
    Parameter("top_k", "integer"),
    Parameter("top_a", "number"),
    Parameter("min_p", "number"),
    Parameter("repetition_penalty", "number"),
    Parameter("reasoning", "object"),
    Parameter("thinking", "boolean_or_object"),
    Parameter("enable_thinking", "boolean"),
    Parameter("chat_template_kwargs", "template_arguments"),
)

_CHAT_FIELDS = frozenset(field.name for field in fields(ChatRequest))

BY_SETTING = {row.setting: row for row in PARAMETERS if row.setting}
"""The rows by their names in ``chatSettings``."""

BY_WIRE_NAME = {name: row for row in PARAMETERS for name in row.wire_names}
"""The rows by each of their names in chat completions."""

SENT_AS = {row.name: row.wire_names[0] for row in PARAMETERS if row.name in _CHAT_FIELDS}
"""Attribute of :class:`ChatRequest` to the name that is sent."""


def parameters_of(values: Mapping[str, Any], rows: Mapping[str, Parameter]) -> dict[str, Any]:
    """Return the arguments of :class:`ChatRequest` for the parameters in a loaded body.

    :param values: the body, or its ``chatSettings``; None counts as absent.
    :param rows: :data:`BY_SETTING` or :data:`BY_WIRE_NAME`.
    """
    attributes: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, row in rows.items():
        if (value := values.get(name)) is not None:
            if row.name in _CHAT_FIELDS:
                attributes[row.name] = value
            else:
                extra[row.wire_names[0]] = value
    return {**attributes, "extra": extra}
