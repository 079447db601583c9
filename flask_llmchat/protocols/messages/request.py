"""The request body of Messages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ...core.errors import ChatError
from ...core.parameters import BY_WIRE_NAME
from ...core.request import ChatRequest
from ...models import Model
from ...providers import Provider, Target
from ...providers.parts import reject_unknown_parts
from ..errors import message_in
from ..parameters import add_parameters, limit_of, logger, sampling_of
from .families import Family, family_of
from .parts import Unsendable
from .reasoning import EFFORTS, reasoning_fields
from .schema import bindable
from .tools import called_tools, is_forced, sent_choice, sent_tool
from .turns import Turns

_MAX_TEMPERATURE = 1.0

_MAX_MARKS = 4  # up to which to cache: clients that mark every turn have more, which are refused

_SAMPLING = frozenset({"temperature", "top_p", "top_k"})

_REASONING_BLOCKS = ("thinking", "redacted_thinking")

_MAX_USER = 256  # characters

# Fields of chat completions that Messages has, too, under the same name and with other values.
_SHARED = ("top_k", "thinking", "metadata")

# Fields of chat completions alone, beside the parameters.
_OTHERS = frozenset(
    {"stream_options", "n", "functions", "function_call", "modalities", "audio"}
    | {"web_search_options"}
)

_LIMIT, _LIMIT_WITHOUT_REASONING = 32_000, 4_096
"""Token limits where neither the chat nor the catalogue has one: the field is required. All Claude
models that reason accept the first, all others the second."""


def build_body(
    chat: ChatRequest, provider: Provider, target: Target, model: Model
) -> dict[str, Any]:
    """Return the request body.

    :raises ChatError: with status 422, for what the protocol or the model cannot do and the
        response depends on.
    """
    try:
        return _Body(chat, provider, target, model).build()
    except Unsendable as error:
        raise ChatError(str(error), provider=provider.name, status=422) from None


class _Body:
    """Builds one body."""

    def __init__(self, chat: ChatRequest, row: Provider, target: Target, model: Model) -> None:
        self._chat = chat
        self._row = row
        self._model = model
        self._sent_model = target.model
        self._family: Family = family_of(target.model)
        self._temperature, self._refused = sampling_of(chat, row, model)

    def build(self) -> dict[str, Any]:
        chat = self._chat
        reject_unknown_parts(chat.messages, self._row)
        form = self._format()
        messages = self._row.messages(chat.messages)
        turns = Turns(messages, self._row.name, citations=form is None)
        prefilled = self._check_turns(turns)
        tools, choice = self._tools(turns)
        limit = self._limit()
        body = {
            "model": self._sent_model,
            "max_tokens": limit,
            "system": turns.system or None,
            "messages": turns.turns,
            "tools": tools or None,
            "tool_choice": choice,
            "stop_sequences": self._stop(),
            "metadata": self._metadata(),
            "stream": True,
            **self._reasoning(
                limit,
                bound=prefilled or is_forced(choice) or _lacks_reasoning(turns.turns),
            ),
        }
        if form is not None:
            body["output_config"] = {**body.get("output_config", {}), "format": form}
        self._add_sampling(body)
        own = {n: v for n, v in chat.extra.items() if n not in BY_WIRE_NAME and n not in _OTHERS}
        left_out = [n for n in chat.extra if n not in own and n not in _SHARED and n not in _READ]
        for name in (*left_out, *(["seed"] if chat.seed is not None else ())):
            self._log(name)
        marks = list(_marks(body))
        for blocks, i in marks[:-_MAX_MARKS]:
            blocks[i] = {name: v for name, v in blocks[i].items() if name != "cache_control"}
        if self._row.name == "anthropic" and not marks:
            # It counts as one of the marks that a request may have.
            body["cache_control"] = {"type": "ephemeral"}
        if isinstance(own.get("output_config"), dict):
            own["output_config"] = {**body.get("output_config", {}), **own["output_config"]}
        return {name: value for name, value in (body | own).items() if value is not None}

    def _check_turns(self, turns: Turns) -> bool:
        """Check that there is something to respond to.

        :return: whether the response goes on with a message of the assistant's.
        """
        if not turns.turns:
            raise Unsendable("messages: None of them has anything to respond to")
        last = turns.turns[-1]
        if last["role"] == "user":
            return False
        if not self._family.prefill:
            raise Unsendable(
                f"messages.{len(self._chat.messages) - 1}.role: {self._sent_model[:100]} does not"
                " go on with a message of the assistant; the last one must be the user's"
            )
        if last["content"][-1]["type"] == "text":  # white space at its end is refused
            last["content"][-1]["text"] = last["content"][-1]["text"].rstrip()
        return True

    def _limit(self) -> int:
        most, window = self._model.max_output, self._model.context_window
        # Conversation and limit together have to fit: some models may fill their whole window.
        room = most if most is None or window is None or most < window else None
        limit = limit_of(self._chat, self._model) or room
        limit = limit or (_LIMIT if self._family.reasoning else _LIMIT_WITHOUT_REASONING)
        return min(limit, most or limit)

    def _stop(self) -> list[str] | None:
        stop = self._wanted("stop", self._chat.stop)
        stops = [stop] if isinstance(stop, str) else stop
        if any(not text.strip() for text in stops or ()):
            raise Unsendable(f"stop: {self._row.label} accepts no text of white space alone")
        return stops or None

    def _metadata(self) -> dict[str, Any] | None:
        extra = self._chat.extra
        metadata = extra.get("metadata")
        own = metadata.get("user_id") if isinstance(metadata, dict) else None
        user = own or extra.get("user") or extra.get("safety_identifier")
        fits = isinstance(user, str) and len(user) <= _MAX_USER
        return {"user_id": user} if fits and self._wanted("user", user) else None

    def _format(self) -> dict[str, Any] | None:
        """Return the form that the response is bound to; None where it is plain text."""
        wanted = self._wanted("response_format", self._chat.response_format)
        if not wanted or wanted.get("type") == "text":
            return None
        held = wanted.get("json_schema")
        schema = held.get("schema") if isinstance(held, dict) else None
        if wanted.get("type") != "json_schema" or not isinstance(schema, dict):
            raise Unsendable(
                f"response_format: {self._row.label} needs the type json_schema, with a schema"
            )
        if not self._family.structured:
            raise Unsendable(
                f"response_format: {self._sent_model[:100]} cannot be bound to a schema"
            )
        return {"type": "json_schema", "schema": bindable(schema)}

    def _reasoning(self, limit: int, *, bound: bool) -> dict[str, Any]:
        thinking = self._wanted("thinking", self._chat.extra.get("thinking"))
        if isinstance(thinking, dict):  # in the provider's own form
            return {"thinking": thinking}
        effort = self._wanted("reasoning_effort", self._chat.reasoning_effort)
        if effort is not None and effort not in EFFORTS:
            raise Unsendable(f"reasoning_effort: Must be one of: {', '.join(EFFORTS)}")
        fields = reasoning_fields(effort, self._family, limit, bound=bound)
        if effort not in (None, "none") and not fields:
            self._log("reasoning_effort")
        return fields

    def _add_sampling(self, body: dict[str, Any]) -> None:
        chat, temperature = self._chat, self._temperature
        parameters = {
            "temperature": None if temperature is None else min(temperature, _MAX_TEMPERATURE),
            "top_p": chat.top_p,
            "top_k": chat.extra.get("top_k"),
        }
        reasons = body.get("thinking", {"type": "disabled"}).get("type") != "disabled"
        refused = _SAMPLING if reasons or not self._family.sampling else frozenset()
        add_parameters(body, parameters, refused | self._refused, self._row, chat)

    def _tools(self, turns: Turns) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        """Return the tools and the choice among them."""
        chat, tools = self._chat, []
        if "tools" not in self._refused:
            tools = [
                sent_tool(tool, f"tools.{number}", can_bind=self._family.structured)
                for number, tool in enumerate(chat.tools or ())
            ]
            tools += chat.provider_tools
        if not tools:
            tools = called_tools(turns.tools)
            return tools, {"type": "none"} if tools else None
        choice = sent_choice(
            self._wanted("tool_choice", chat.tool_choice),
            self._wanted("parallel_tool_calls", chat.extra.get("parallel_tool_calls")),
        )
        if is_forced(choice) and not self._family.forced_tools:
            raise Unsendable(
                f"tool_choice: {self._sent_model[:100]} cannot be made to call a tool; send auto"
            )
        return tools, choice

    def _wanted(self, name: str, value: Any) -> Any:
        """Return the value of a parameter; None when the provider or the model rejects it."""
        if value is not None and name in self._refused:
            self._log(name)
            return None
        return value

    def _log(self, name: str) -> None:
        row, model = self._row.name, self._chat.model
        logger.debug("%s is left out: %s with %r refuses it", name, row, model)


_READ = frozenset({"user", "safety_identifier", "parallel_tool_calls"})


def _lacks_reasoning(turns: list[dict[str, Any]]) -> bool:
    """Return whether the model is in the middle of a response that began without reasoning."""
    first = None
    for turn in reversed(turns):
        if turn["role"] == "assistant":
            first = turn["content"][0]["type"]
        elif not any(block["type"] == "tool_result" for block in turn["content"]):
            break
    return first is not None and first not in _REASONING_BLOCKS


def _marks(body: dict[str, Any]) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """Give each block up to which to cache: the list that it is in, and its place there."""
    turns = (turn["content"] for turn in body["messages"])
    for blocks in (body["tools"] or [], body["system"] or [], *turns):
        for i, block in enumerate(blocks):
            inner = block.get("content", []) if block.get("type") == "tool_result" else []
            yield from ((inner, j) for j, part in enumerate(inner) if "cache_control" in part)
            if "cache_control" in block:
                yield blocks, i


_REFUSED_REASONING = re.compile(r"thinking|signature|block is bound", re.IGNORECASE)


def amend_body(
    body: dict[str, Any], error: Any, headers: Mapping[str, str]
) -> dict[str, Any] | None:
    """Return the body without earlier reasoning, if that is what the provider refused.

    Reasoning is bound to its model and to what precedes it. One chat that was edited, or went on
    with another model, must not be stuck for ever.
    """
    messages = body["messages"]
    blocks = [block for turn in messages for block in turn["content"]]
    if not any(block["type"] in _REASONING_BLOCKS for block in blocks):
        return None
    if not _REFUSED_REASONING.search(message_in(error)[:1000]):
        return None
    logger.debug("earlier reasoning is left out: the provider refused it")
    turns = [
        {**turn, "content": [b for b in turn["content"] if b["type"] not in _REASONING_BLOCKS]}
        for turn in messages
    ]
    body = {**body, "messages": [turn for turn in turns if turn["content"]]}
    if (body.get("thinking") or {}).get("type") == "enabled":
        del body["thinking"]  # which needs the reasoning before a tool call
    return body
