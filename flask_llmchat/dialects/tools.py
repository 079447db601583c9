"""What a page may offer the model to call, and fill a chat template with."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError

from .fields import (
    Object,
)
from .json_schema import ANY_OBJECT, Components, JSONSchema, closed_object, const


class Tool(Object):
    """What the model may call, and the page carries out: a tool of type function or custom.

    All others are carried out by the provider, for money, and some are reached at an address and
    with headers that stand in the tool. Some gateways know them by any further field.
    """

    default_error_messages = {
        "type": "Only tools of type 'function' and 'custom' are taken from a page; the provider's"
        " own tools are the app's to add, in before_chat.",
        "field": "Unknown field {name!r}. The provider's own tools, addresses and headers are the"
        " app's to add, in before_chat.",
        "missing": "Must have what its type says.",
    }
    _FIELDS = frozenset({"type", "function", "custom", "cache_control"})

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> dict[str, Any]:
        tool = super()._deserialize(value, attr, data, **kwargs)
        kind = tool.get("type", "function")
        if kind not in ("function", "custom"):
            raise self.make_error("type")
        if unknown := tool.keys() - self._FIELDS:
            raise self.make_error("field", name=min(unknown)[:50])
        if not isinstance(tool.get(kind), dict):
            raise self.make_error("missing")
        return tool

    def describe(self, schema: JSONSchema, components: Components) -> None:
        """Add both types."""
        function = closed_object("A function.", type=const("function"), function=ANY_OBJECT)
        custom = closed_object(
            "A tool that takes free text.", type=const("custom"), custom=ANY_OBJECT
        )
        schema["oneOf"] = [
            components.add_schema("FunctionTool", function),
            components.add_schema("CustomTool", custom),
        ]


class TemplateArguments(Object):
    """What a model server fills its chat template with.

    vLLM and SGLang pass all of it on to ``apply_chat_template``, whose own parameters replace the
    template, and with it the app's system prompt: https://github.com/vllm-project/vllm/pull/25794
    """

    _OWN = frozenset(
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
        given = super()._deserialize(value, attr, data, **kwargs)
        if refused := given.keys() & self._OWN:
            raise ValidationError({name: ["Not taken from a page."] for name in sorted(refused)})
        return given
