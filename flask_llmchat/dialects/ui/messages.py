"""Converts UIMessages, the AI SDK's form, to messages of chat completions.

The result is what the AI SDK's own server would send, wherever that sends anything:
https://ai-sdk.dev/docs/reference/ai-sdk-ui/convert-to-model-messages
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import marshmallow as ma

from ...core.request import Message
from ..fields import is_encodable_text
from ..json_schema import Components, JSONSchema
from ..schema import MAX_ERRORS
from .files import content_of, text_of
from .json_schema import message_schema
from .json_text import JSONText
from .reasoning import StepReasoning
from .version4 import to_version5

DENIED = "Tool call execution denied."

NOT_RUN = "This tool call was not carried out."

_INTERRUPTED = "This tool call was interrupted. Whether it was carried out is not known."

_TOOL_GONE = "Tool output omitted because the tool is no longer available."

_WITHOUT_RESULT = {"input-available", "approval-requested", "approval-responded", "output-denied"}

_IGNORED = {"source-url", "source-document", "custom", "reasoning-file"}

_KINDS = {"text", "reasoning", "file", "step-start", "steering-message"}

_METADATA = ("providerMetadata", "callProviderMetadata", "resultProviderMetadata")


class UIMessages(ma.fields.Field[list[Message]]):
    """A list of UIMessages, loaded as messages of chat completions."""

    default_error_messages = {
        "invalid": "Not a valid list.",
        "nothing": "Nothing in them can be sent to a model.",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Message]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        users = (i for i, m in enumerate(value) if isinstance(m, dict) and m.get("role") == "user")
        last_user = max(users, default=-1)
        messages: list[Message] = []
        errors: dict[int, Any] = {}
        json = JSONText()
        for index, message in enumerate(value):
            try:
                messages += _converted(message, json, answered=index < last_user)
            except ma.ValidationError as error:
                errors[index] = error.messages
                if len(errors) > MAX_ERRORS:
                    break
        if errors:
            raise ma.ValidationError(errors)
        if not messages:
            raise self.make_error("nothing")
        return messages

    def describe(self, schema: JSONSchema, components: Components) -> None:
        """Describe the form of a message."""
        schema |= {"type": "array", "minItems": 1, "items": message_schema(components)}


def _converted(message: Any, json: JSONText, *, answered: bool) -> list[Message]:
    """Convert one message, to several messages where tools ran between its steps."""
    if not isinstance(message, dict):
        raise ma.ValidationError("Not an object.")
    role = message.get("role")
    if not isinstance(role, str) or role not in _READERS:
        raise ma.ValidationError({"role": [f"Must be one of: {', '.join(_READERS)}."]})
    name = message.get("id")
    if isinstance(name, str) and not is_encodable_text(name):
        raise ma.ValidationError({"id": ["Holds half a character (a lone surrogate)."]})
    message = to_version5(message)
    if "parts" not in message:
        raise ma.ValidationError({"parts": ["Missing data for required field."]})
    reader = _READERS[role](json, answered)
    reader.add_all(message["parts"])
    return reader.finish()


class _Reader:
    """Converts the parts of one message, without those that mean nothing to a model.

    :param json: serializes the JSON of the request.
    :param answered: whether a user message follows.
    """

    def __init__(self, json: JSONText, answered: bool = False) -> None:
        self._json = json
        self._answered = answered

    def add_all(self, parts: Any) -> None:
        if not isinstance(parts, list):
            raise ma.ValidationError({"parts": ["Not a valid list."]})
        errors: dict[int, Any] = {}
        for index, part in enumerate(parts):
            try:
                self.add(_kind(part), part)
            except ma.ValidationError as error:
                errors[index] = error.messages
                if len(errors) > MAX_ERRORS:
                    break
        if errors:
            raise ma.ValidationError({"parts": errors})

    def add(self, kind: str, part: dict[str, Any]) -> None:
        raise NotImplementedError

    def finish(self) -> list[Message]:
        raise NotImplementedError


def _kind(part: Any) -> str:
    if not isinstance(part, dict):
        raise ma.ValidationError("Not an object.")
    kind = part.get("type")
    if isinstance(kind, str):
        if kind.startswith("tool-") or kind == "dynamic-tool":
            return "tool"
        if kind.startswith("data-") or kind in _IGNORED:
            return ""
        if kind in _KINDS:
            return kind
    raise ma.ValidationError("Unknown type of part.")


class _SystemReader(_Reader):
    def __init__(self, json: JSONText, answered: bool = False) -> None:
        super().__init__(json, answered)
        self._texts: list[str] = []

    def add(self, kind: str, part: dict[str, Any]) -> None:
        if kind == "text":
            self._texts.append(text_of(part, "text"))

    def finish(self) -> list[Message]:
        text = "".join(self._texts)
        return [{"role": "system", "content": text}] if text else []


class _UserReader(_Reader):
    def __init__(self, json: JSONText, answered: bool = False) -> None:
        super().__init__(json, answered)
        self._content: list[dict[str, Any]] = []
        self._files = False

    def add(self, kind: str, part: dict[str, Any]) -> None:
        if kind == "text":
            if text := text_of(part, "text"):
                self._content.append({"type": "text", "text": text})
        elif kind == "file":
            self._json.count_file()
            if content := content_of(part):
                self._content.append(content)
                self._files = True

    def finish(self) -> list[Message]:
        if not self._content:
            return []
        if len(self._content) == 1 and not self._files:
            return [{"role": "user", "content": self._content[0]["text"]}]
        return [{"role": "user", "content": self._content}]


class _AssistantReader(_Reader):
    """Converts each step: first the model's text and tool calls, then the tool results."""

    def __init__(self, json: JSONText, answered: bool = False) -> None:
        super().__init__(json, answered)
        self._messages: list[Message] = []
        self._begin_step()

    def _begin_step(self, *, goes_on: bool = False) -> None:
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._bound = StepReasoning(self._json, goes_on=goes_on)
        self._details: dict[str, dict[str, Any]] = {}
        self._calls: list[dict[str, Any]] = []
        self._results: list[Message] = []

    def _end_step(self) -> None:
        text, reasoning = "".join(self._texts), "".join(self._reasoning)
        details = [*self._details.values(), *self._bound.details()]
        if text or reasoning or details or self._calls:
            message: Message = {"role": "assistant", "content": text}
            if reasoning:
                message["reasoning_content"] = reasoning
            if details:
                message["reasoning_details"] = details
            if self._calls:
                message["content"] = text or None
                message["tool_calls"] = self._calls
            self._messages += [message, *self._results]
        # Without a call of the client's between them the provider had paused its response.
        self._begin_step(goes_on=self._bound.ran_tool and not self._calls)

    def finish(self) -> list[Message]:
        self._end_step()
        return self._messages

    def add(self, kind: str, part: dict[str, Any]) -> None:
        # A file here was generated by a model; those are not sent back.
        if kind == "step-start":
            self._end_step()
        elif kind == "steering-message":
            self._end_step()
            user = _UserReader(self._json)
            user.add_all(part.get("parts"))
            self._messages += user.finish()
        elif kind == "text":
            if text := text_of(part, "text"):
                self._texts.append(text)
                self._bound.add_text()
        elif kind == "reasoning":
            text = text_of(part, "text")
            self._reasoning.append(text)
            self._bound.add(text, part.get("providerMetadata"))
        elif kind == "tool":
            self._add_tool(part)
        for details in _in_metadata(part, "reasoning_details"):
            for detail in details if isinstance(details, list) else ():
                if detail and isinstance(detail, dict):  # parts of a step may repeat them
                    self._details[self._json.detail(detail)] = detail

    def _add_tool(self, part: dict[str, Any]) -> None:
        state = part.get("state")
        if part.get("providerExecuted") is True:
            self._bound.add_provider_tool()
            return
        if state == "input-streaming":
            return  # cut off
        if state == "approval-requested" and self._answered:
            return  # the user went on without a decision
        result = self._result(part, state)
        name = "toolName" if part["type"] == "dynamic-tool" else "type"
        function = {
            "name": text_of(part, name).removeprefix("tool-" if name == "type" else ""),
            "arguments": self._arguments(part, state),
        }
        id = text_of(part, "toolCallId")
        call = {"id": id, "type": "function", "function": function}
        if not function["name"] or not id:
            raise ma.ValidationError("toolCallId and the tool's name must not be empty.")
        signatures = _in_metadata(part, "thoughtSignature")
        if signature := next(
            (s for s in signatures if isinstance(s, str) and is_encodable_text(s)), ""
        ):
            call["extra_content"] = {"google": {"thought_signature": signature}}
        self._calls.append(call)
        self._bound.add_call(id)
        self._results.append({"role": "tool", "tool_call_id": id, "content": result})

    def _result(self, part: dict[str, Any], state: Any) -> str:
        """Return the result of a tool call."""
        if state == "output-available":
            # The AI SDK's server sets False for calls of tools that it does not have.
            output = self._text_or_json(part, "output")
            if part.get("preliminary") is True:
                return f"{_INTERRUPTED} It had come to this: {output}"
            return _TOOL_GONE if part.get("dynamic") is False else output
        if state == "output-error":
            known = part.get("errorText") is not None
            return self._text_or_json(part, "errorText") if known else "unknown error"
        if not isinstance(state, str) or state not in _WITHOUT_RESULT:
            raise ma.ValidationError("state is not one of a tool part's.")
        approval = part.get("approval")
        approval = approval if isinstance(approval, dict) else {}
        denied = state == "approval-responded" and approval.get("approved") is False
        if denied or state == "output-denied":
            return DENIED if approval.get("reason") in (None, "") else text_of(approval, "reason")
        # The AI SDK's server throws MissingToolResultsError for the others, and the chat is stuck:
        # a provider refuses a call without a result.
        if state == "input-available" or approval.get("approved") is True:
            return _INTERRUPTED  # the page, or this server, may have begun with it
        return NOT_RUN

    def _arguments(self, part: dict[str, Any], state: Any) -> str:
        value = part.get("input")
        if state == "output-error" and value is None:
            value = part.get("rawInput")
        if value is None and (state == "output-error" or "input" not in part):
            return "{}"
        if isinstance(value, str) and self._json.holds_json(value, "input"):
            return value
        return self._json.dump(value, "input")

    def _text_or_json(self, part: dict[str, Any], name: str) -> str:
        value = part.get(name)
        return text_of(part, name) if isinstance(value, str) else self._json.dump(value, name)


_READERS: dict[str, type[_Reader]] = {
    "system": _SystemReader,
    "user": _UserReader,
    "assistant": _AssistantReader,
}


def _in_metadata(part: dict[str, Any], name: str) -> Sequence[Any]:
    """Return what stands under a name in a part's metadata, whichever provider's it is."""
    found: list[Any] | None = None
    for place in _METADATA:
        if place in part and isinstance(metadata := part[place], dict):
            values = [v[name] for v in metadata.values() if isinstance(v, dict) and name in v]
            found = [*found, *values] if found else values
    return found or ()
