"""The fields for tools and chat-template arguments that clients may send."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError

from .fields import Object
from .json_schema import ANY_OBJECT, Components, JSONSchema, closed_object, const


class Tool(Object):
    """A tool of type function or custom, which the client runs.

    Tools of all other types are run by the provider, for money, and some hold the address and
    headers of a server. Some gateways recognise those by any further field.
    """

    default_error_messages = {
        "type": "Only tools of type 'function' and 'custom' are accepted from clients; the app can"
        " add the provider's own tools in before_chat.",
        "field": "Unknown field {name!r}. Only the app can add the provider's own tools, addresses"
        " and headers, in before_chat.",
        "missing": "Must have an object under the name of its type.",
    }

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> dict[str, Any]:
        tool = super()._deserialize(value, attr, data, **kwargs)
        kind = tool.get("type", "function")
        if kind not in ("function", "custom"):
            raise self.make_error("type")
        others = tool.keys() - {"type", kind, "cache_control"}
        if unknown := others - {"function", "custom"}:
            raise self.make_error("field", name=min(unknown)[:50])
        if not isinstance(tool.get(kind), dict):
            raise self.make_error("missing")
        if others:
            raise self.make_error("field", name=min(others))
        return tool

    def describe(self, schema: JSONSchema, components: Components) -> None:
        """Describe both types."""
        function = closed_object(
            "A function.",
            "type",
            "cache_control",
            type=const("function"),
            function=ANY_OBJECT,
            cache_control={},
        )
        custom = closed_object(
            "A tool with free text as its input.",
            "cache_control",
            type=const("custom"),
            custom=ANY_OBJECT,
            cache_control={},
        )
        schema["oneOf"] = [
            components.add_schema("FunctionTool", function),
            components.add_schema("CustomTool", custom),
        ]


class TemplateArguments(Object):
    """Arguments for a model server's chat template.

    vLLM and SGLang pass them all to ``apply_chat_template``, whose own parameters can replace the
    template, and with it the app's system prompt: https://github.com/vllm-project/vllm/pull/25794
    """

    _FORBIDDEN = frozenset(
        {
            "chat_template",
            "conversation",
            "tokenize",
            "padding",
            "truncation",
            "max_length",
            "return_tensors",
            "return_dict",
            "return_assistant_tokens_mask",
            "tokenizer_kwargs",
        }
    )

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> dict[str, Any]:
        arguments = super()._deserialize(value, attr, data, **kwargs)
        if refused := arguments.keys() & self._FORBIDDEN:
            raise ValidationError(
                {name: ["Not accepted from clients."] for name in sorted(refused)}
            )
        return arguments
