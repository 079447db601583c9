"""The request bodies of Responses."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from openai.types.responses import ResponseInputItemParam, ToolParam
from openai.types.responses.response_create_params import ToolChoice
from pydantic import TypeAdapter

from flask_llmchat import ChatError, ChatRequest, Model, Provider, Target, builtin_providers
from flask_llmchat.models import get_model
from flask_llmchat.protocols.responses import RESPONSES
from flask_llmchat.protocols.responses.tools import flat_tools
from tests.support.recordings import recordings

ROW = Provider(
    name="openai",
    label="OpenAI",
    base_url="https://api.example/v1",
    protocol="responses",
    supports_developer_role=True,
)
REASONS = Model(name="gpt-6", supports_reasoning=True, supports_temperature=False)
PLAIN = Model(name="gpt-4.1")
HI = [{"role": "user", "content": "Hi"}]

ITEMS = TypeAdapter(list[ResponseInputItemParam])
TOOLS = TypeAdapter(list[ToolParam])
CHOICE: TypeAdapter[Any] = TypeAdapter(ToolChoice)


def built(
    messages: list[Any] | None = None,
    model: Model = PLAIN,
    row: Provider = ROW,
    key: str = "sk-planted",
    **chat: Any,
) -> dict[str, Any]:
    request = ChatRequest(provider=row.name, model=model.name, messages=messages or HI, **chat)
    target = Target(model=model.name, headers={"Authorization": f"Bearer {key}"})
    body = RESPONSES.build_body(request, row, target, model)
    json.dumps(body)
    ITEMS.validate_python(body["input"])
    TOOLS.validate_python(body.get("tools", []))
    if "tool_choice" in body:
        CHOICE.validate_python(body["tool_choice"])
    return body


def refusal(*args: Any, **kwargs: Any) -> str:
    with pytest.raises(ChatError) as raised:
        built(*args, **kwargs)
    assert raised.value.status == 422
    return raised.value.message


def said(role: str, content: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content}


def call(id_: str, name: str = "weather", arguments: str = '{"city":"Rome"}') -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def custom_call(id_: str, text: str) -> dict[str, Any]:
    return {"id": id_, "type": "custom", "custom": {"name": "sql", "input": text}}


def result(id_: str, content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id_, "content": content}


def called(id_: str) -> dict[str, Any]:
    return {
        "type": "function_call",
        "call_id": id_,
        "name": "weather",
        "arguments": '{"city":"Rome"}',
    }


def output(id_: str, content: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": id_, "output": content}


PIXEL = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERi0="

CONVERSATIONS: dict[str, tuple[list[Any], list[Any]]] = {
    "text": (HI, [said("user", "Hi")]),
    "turns": (
        [*HI, {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Why?"}],
        [said("user", "Hi"), said("assistant", "Yes?"), said("user", "Why?")],
    ),
    "a later system message": (
        [*HI, {"role": "system", "content": "Be brief."}, {"role": "developer", "content": "Now."}],
        [said("user", "Hi"), said("system", "Be brief."), said("developer", "Now.")],
    ),
    "parts": (
        [
            {
                "role": "user",
                "content": [
                    {
                        "type": "text",
                        "text": "See",
                        "prompt_cache_breakpoint": {"mode": "explicit"},
                    },
                    {"type": "image_url", "image_url": {"url": PIXEL}},
                    {"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "low"}},
                    {"type": "file", "file": {"file_data": PDF}},
                    {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}},
                    {"type": "file", "file": {"file_id": "file-1"}},
                ],
            }
        ],
        [
            said(
                "user",
                [
                    {
                        "type": "input_text",
                        "text": "See",
                        "prompt_cache_breakpoint": {"mode": "explicit"},
                    },
                    {"type": "input_image", "image_url": PIXEL, "detail": "auto"},
                    {"type": "input_image", "image_url": "https://a/b.png", "detail": "low"},
                    {"type": "input_file", "filename": "document.pdf", "file_data": PDF},
                    {"type": "input_file", "filename": "a.pdf", "file_data": PDF},
                    {"type": "input_file", "file_id": "file-1"},
                ],
            )
        ],
    ),
    "an earlier response in parts": (
        [
            *HI,
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "I "},
                    {"type": "refusal", "refusal": "won't."},
                ],
            },
            {"role": "assistant", "content": None, "refusal": "No."},
        ],
        [said("user", "Hi"), said("assistant", "I won't."), said("assistant", "No.")],
    ),
    "calls": (
        [
            *HI,
            {"role": "assistant", "content": "Let me see.", "tool_calls": [call("c1"), call("c2")]},
            result("c2", "dry"),
            result(
                "c1",
                [
                    {"type": "text", "text": "wet"},
                    {"type": "image_url", "image_url": {"url": PIXEL}},
                ],
            ),
        ],
        [
            said("user", "Hi"),
            said("assistant", "Let me see."),
            called("c1"),
            called("c2"),
            output("c2", "dry"),
            output(
                "c1",
                [
                    {"type": "input_text", "text": "wet"},
                    {"type": "input_image", "image_url": PIXEL, "detail": "auto"},
                ],
            ),
        ],
    ),
    "a custom call": (
        [
            *HI,
            {"role": "assistant", "content": None, "tool_calls": [custom_call("c1", "SELECT 1")]},
            result("c1", ""),
        ],
        [
            said("user", "Hi"),
            {"type": "custom_tool_call", "call_id": "c1", "name": "sql", "input": "SELECT 1"},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": ""},
        ],
    ),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_conversation_becomes_input_items(name: str) -> None:
    messages, items = CONVERSATIONS[name]
    before = json.dumps(messages)
    assert built(messages) == {
        "model": "gpt-4.1",
        "input": items,
        "stream": True,
        "store": False,
        "stream_options": {"include_obfuscation": False},
    }
    assert json.dumps(messages) == before


def test_ids_of_calls_are_short_for_openai_and_used_once() -> None:
    long = "c" * 99
    ids = [long + "1", long + "2", "c1", "c1"]
    messages: list[Any] = [*HI]
    for id_ in ids:
        messages += [{"role": "assistant", "tool_calls": [call(id_)]}, result(id_, id_)]
    for row, longest in ((ROW, 64), (replace(ROW, name="acme", catalogue="acme"), 100)):
        items = built(messages, row=row)["input"][1:]
        sent = [item["call_id"] for item in items[::2]]
        assert sent == [item["call_id"] for item in items[1::2]]
        assert len({*sent}) == 4 and max(map(len, sent)) == longest
        assert [item["output"] for item in items[1::2]] == ids


def test_what_is_no_text_in_a_system_message_is_not_lost() -> None:
    picture = {"type": "image_url", "image_url": {"url": PIXEL}}
    body = built([{"role": "system", "content": [picture]}, *HI])
    assert body["input"][0]["content"][0]["type"] == "input_image"


def test_the_first_system_messages_are_the_instructions() -> None:
    system = [
        {"role": "system", "content": "Be kind."},
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
    ]
    body = built([*system, *HI])
    assert body["instructions"] == "Be kind.\n\nBe brief."
    assert body["input"] == [said("user", "Hi")]
    without = Provider(
        name="acme", label="Acme", protocol="responses", unsupported_params={"instructions"}
    )
    body = built([*system, *HI], row=without)
    assert "instructions" not in body
    assert [item["role"] for item in body["input"]] == ["system", "system", "user"]


def test_system_messages_alone_are_sent_as_messages() -> None:
    body = built([{"role": "system", "content": "Say hello."}])
    assert body["input"] == [said("system", "Say hello.")] and "instructions" not in body


def test_a_model_without_system_messages_gets_them_as_the_users() -> None:
    model = Model(name="old", supports_system_messages=False)
    body = built([{"role": "system", "content": "Be kind."}, *HI], model)
    assert body["input"] == [said("user", "Be kind."), said("user", "Hi")]


REFUSED: dict[str, tuple[list[Any], str]] = {
    "sound": (
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "a"},
                    {"type": "input_audio", "input_audio": {}},
                ],
            }
        ],
        "messages.0.content.1.type: OpenAI is called by its Responses API here, which takes text,"
        " image_url and file, not 'input_audio'",
    ),
    "a result without a call": (
        [*HI, result("c9", "wet")],
        "messages.1.tool_call_id: No call before it waits for this result",
    ),
    "a result before its call": (
        [*HI, result("c1", "wet"), {"role": "assistant", "tool_calls": [call("c1")]}],
        "messages.1.tool_call_id: No call before it waits for this result",
    ),
    "a call without a result": (
        [*HI, {"role": "assistant", "tool_calls": [call("c1"), call("c2")]}, result("c1", "x")],
        "messages.1.tool_calls.1: The call has no result, which has to follow it",
    ),
    "a second result": (
        [*HI, {"role": "assistant", "tool_calls": [call("c1")]}, *[result("c1", "wet")] * 2],
        "messages.3.tool_call_id: No call before it waits for this result",
    ),
    "two calls with one id": (
        [*HI, {"role": "assistant", "tool_calls": [call("c1"), call("c1")]}, result("c1", "wet")],
        "messages.1.tool_calls.1.id: Another call has this id",
    ),
    "a custom call of nothing": (
        [
            *HI,
            {"role": "assistant", "tool_calls": [{"id": "c1", "type": "custom", "custom": {}}]},
            result("c1", "wet"),
        ],
        "messages.1.tool_calls.0: Must have a name, and its input as text",
    ),
    "nothing": (
        [{"role": "assistant", "content": ""}],
        "messages: None of them has anything to respond to",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_responses_cannot_carry_is_refused_by_its_place(name: str) -> None:
    messages, message = REFUSED[name]
    assert refusal(messages) == message


def reasoned(id_: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "reasoning.encrypted",
        "format": "responses:openai",
        "id": id_,
        "data": f"sealed {id_}",
        "summary": ["Hm.", "Ah."],
        **more,
    }


def reasoning(id_: str) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": text} for text in ("Hm.", "Ah.")]
    return {
        "type": "reasoning",
        "id": id_,
        "summary": summary,
        "encrypted_content": f"sealed {id_}",
    }


def test_reasoning_goes_back_in_front_of_what_it_led_to() -> None:
    message = {
        "role": "assistant",
        "content": "Let me see.",
        "reasoning_content": "Hm.Ah.",
        "reasoning_details": [
            reasoned("rs_1"),
            reasoned("rs_2", tool_call_id="c1"),
            reasoned("rs_3", tool_call_id="c2"),
        ],
        "tool_calls": [call("c1"), call("c2")],
    }
    body = built([*HI, message, result("c1", "wet"), result("c2", "dry")], REASONS)
    assert body["input"][1:6] == [
        reasoning("rs_1"),
        said("assistant", "Let me see."),
        reasoning("rs_2"),
        called("c1"),
        reasoning("rs_3"),
    ]
    assert body["input"][6] == called("c2")


def test_raw_reasoning_goes_back_as_text() -> None:
    detail = {"type": "reasoning.text", "format": "responses:openai", "id": "r", "text": "Hm."}
    body = built([*HI, {"role": "assistant", "content": "Yes", "reasoning_details": [detail]}])
    assert body["input"][1] == {
        "type": "reasoning",
        "id": "r",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "Hm."}],
    }


@pytest.mark.parametrize(
    "message",
    [
        {"content": "", "reasoning_details": [reasoned("alone")]},
        {"content": "Yes", "reasoning_details": [reasoned("a", format="responses:azure")]},
        {"content": "Yes", "reasoning_details": [reasoned("a", format="messages:openai")]},
        {"content": "Yes", "reasoning_details": [reasoned("a", format="openai-responses-v1")]},
        {"content": "Yes", "reasoning_details": [reasoned("a", tool_call_id="gone")]},
        {"content": "Yes", "reasoning_details": [reasoned("a", data="", tool_call_id=["x"])]},
        {"content": "Yes", "reasoning_details": [reasoned("a", data=7), "x", None, {}]},
        {"content": "Yes", "reasoning_content": "Hm."},
    ],
)
def test_reasoning_that_cannot_go_back_is_left_out(message: dict[str, Any]) -> None:
    body = built([*HI, {"role": "assistant", **message}])
    assert not [item for item in body["input"] if item["type"] == "reasoning"]


def test_a_model_that_reasons_is_asked_for_summaries_and_encrypted_reasoning() -> None:
    body = built(model=REASONS, reasoning_effort="high", temperature=0.5, top_p=0.5)
    assert body["reasoning"] == {"effort": "high", "summary": "auto"}
    assert body["include"] == ["reasoning.encrypted_content"]
    assert body["store"] is False
    assert not body.keys() & {"temperature", "top_p", "reasoning_effort"}
    body = built(model=REASONS, reasoning_effort="none", temperature=0.5)
    assert body["reasoning"] == {"effort": "none"} and body["temperature"] == 0.5
    assert built(model=REASONS)["reasoning"] == {"summary": "auto"}
    assert not built().keys() & {"reasoning", "include"}
    own = {"reasoning": {"summary": "detailed", "mode": "pro"}}
    body = built(model=REASONS, reasoning_effort="low", extra=own)
    assert body["reasoning"] == {"effort": "low", "summary": "detailed", "mode": "pro"}


FUNCTION = {"name": "weather", "description": "Tells it", "parameters": {"type": "object"}}
GRAMMAR = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: A"}}


def test_tools_and_their_choice_are_flat() -> None:
    tools = [
        {"type": "function", "function": FUNCTION},
        {"function": {"name": "now", "strict": True}},
        {"type": "custom", "custom": {"name": "sql", "format": GRAMMAR}, "cache_control": {}},
        {"type": "custom", "custom": {"name": "note", "format": {"type": "text"}}},
    ]
    search = {"type": "web_search"}
    body = built(tools=tools, provider_tools=[search], extra={"parallel_tool_calls": False})
    assert body["tools"] == [
        {"type": "function", **FUNCTION, "strict": False},
        {
            "type": "function",
            "name": "now",
            "parameters": {"type": "object", "properties": {}},
            "strict": True,
        },
        {
            "type": "custom",
            "name": "sql",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: A"},
        },
        {"type": "custom", "name": "note", "format": {"type": "text"}},
        search,
    ]
    assert body["parallel_tool_calls"] is False
    one = {"type": "function", "function": {"name": "now"}}
    allowed = {"mode": "auto", "tools": [one, {"type": "custom", "custom": {"name": "sql"}}]}
    for choice, flat in (
        ("required", "required"),
        (one, {"type": "function", "name": "now"}),
        ({"type": "custom", "custom": {"name": "sql"}}, {"type": "custom", "name": "sql"}),
        (
            {"type": "allowed_tools", "allowed_tools": allowed},
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [
                    {"type": "function", "name": "now"},
                    {"type": "custom", "name": "sql"},
                ],
            },
        ),
    ):
        assert built(tools=tools, tool_choice=choice)["tool_choice"] == flat


def test_a_format_that_is_none_is_the_providers_to_refuse() -> None:
    tool = {"type": "custom", "custom": {"name": "sql", "format": "lark"}}
    assert flat_tools([tool]) == [{"type": "custom", "name": "sql", "format": "lark"}]


def test_without_tools_there_is_no_choice_of_them() -> None:
    body = built(tools=[], tool_choice="auto", extra={"parallel_tool_calls": True})
    assert not body.keys() & {"tools", "tool_choice", "parallel_tool_calls"}


def test_a_code_interpreter_is_asked_for_what_it_printed() -> None:
    tool = {"type": "code_interpreter", "container": {"type": "auto"}}
    body = built(provider_tools=[tool], extra={"include": ["file_search_call.results"]})
    assert body["include"] == ["code_interpreter_call.outputs", "file_search_call.results"]


def test_the_response_format_is_flat() -> None:
    schema = {"name": "a", "schema": {"type": "object"}, "strict": True}
    body = built(
        response_format={"type": "json_schema", "json_schema": schema}, extra={"verbosity": "low"}
    )
    assert body["text"] == {"format": {"type": "json_schema", **schema}, "verbosity": "low"}
    assert built(response_format={"type": "json_object"})["text"] == {
        "format": {"type": "json_object"}
    }


def test_parameters_have_the_names_of_responses() -> None:
    shared = {
        "metadata": {"a": "b"},
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "safety_identifier": "u",
        "service_tier": "flex",
        "user": "u",
    }
    lacking = {
        "frequency_penalty": 1,
        "logit_bias": {},
        "logprobs": True,
        "n": 2,
        "prediction": {},
        "presence_penalty": 1,
        "store": True,
        "stream_options": {"include_usage": True},
        "top_logprobs": 3,
    }
    body = built(
        temperature=1.5, top_p=0.9, max_tokens=5, stop="x", seed=1, extra={**shared, **lacking}
    )
    assert body == {
        "model": "gpt-4.1",
        "input": [said("user", "Hi")],
        "stream": True,
        "temperature": 1.5,
        "top_p": 0.9,
        "max_output_tokens": 16,
        "store": False,
        "stream_options": {"include_obfuscation": False},
        **shared,
    }
    padded = built(extra={"stream_options": {"include_usage": True, "include_obfuscation": True}})
    assert padded["stream_options"] == {"include_obfuscation": True}
    assert "max_output_tokens" not in built(max_tokens=-1)


def test_perplexity_gets_only_what_it_takes() -> None:
    row = next(row for row in builtin_providers if row.name == "perplexity").speaking("responses")
    assert row.base_url == "https://api.perplexity.ai/v1"
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}
    body = built(
        model=Model(name="perplexity/sonar", supports_reasoning=True),
        row=row,
        reasoning_effort="low",
        response_format=schema,
        extra={"user": "u"},
    )
    assert body == {
        "model": "perplexity/sonar",
        "input": [said("user", "Hi")],
        "stream": True,
        "reasoning": {"effort": "low"},
        "response_format": schema,
    }


UNVERIFIED = {
    "error": {
        "message": "Your organization must be verified to generate reasoning summaries.",
        "type": "invalid_request_error",
        "param": "reasoning.summary",
        "code": "unsupported_value",
    }
}


def test_summaries_that_an_organization_may_not_have_are_not_asked_for_again() -> None:
    key = "sk-of-an-unverified-organization"
    headers = {"Authorization": f"Bearer {key}"}
    body = built(model=REASONS, reasoning_effort="low", key=key)
    amended = RESPONSES.amend_body(body, UNVERIFIED, headers)
    assert amended == {**body, "reasoning": {"effort": "low"}}
    assert body["reasoning"] == {"effort": "low", "summary": "auto"}
    assert RESPONSES.amend_body(amended, UNVERIFIED, headers) is None
    assert "reasoning" not in built(model=REASONS, key=key)
    assert built(model=REASONS, key="sk-another")["reasoning"] == {"summary": "auto"}


def test_a_summary_that_a_client_made_up_is_refused_to_nobody_else() -> None:
    """Else one request could turn the summaries off for all users of a key."""
    key = "sk-of-a-server"
    body = built(model=REASONS, key=key, extra={"reasoning": {"summary": "sonnet"}})
    error = {"error": {"message": "Invalid value: 'sonnet'.", "param": "reasoning.summary"}}
    amended = RESPONSES.amend_body(body, error, {"Authorization": f"Bearer {key}"})
    assert amended is not None and "reasoning" not in amended
    assert built(model=REASONS, key=key)["reasoning"] == {"summary": "auto"}


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"code": "invalid_encrypted_content", "message": "could not be verified"}},
        {"code": "invalid-argument", "error": "Could not decrypt the given encrypted_content."},
        {
            "error": {
                "code": None,
                "message": "Item 'rs_1' of type 'reasoning' has nothing after it",
            }
        },
        {"error": {"message": "Reasoning input items are not for this model.", "param": "input"}},
        {"error": {"message": "Duplicate item found with id rs_1."}},
    ],
)
def test_reasoning_that_is_refused_is_left_out(error: Any) -> None:
    message = {"role": "assistant", "content": "Yes", "reasoning_details": [reasoned("rs_1")]}
    body = built([*HI, message], REASONS)
    amended = RESPONSES.amend_body(body, error, {})
    assert amended is not None
    assert amended["input"] == [said("user", "Hi"), said("assistant", "Yes")]
    assert RESPONSES.amend_body(amended, error, {}) is None


@pytest.mark.parametrize(
    "error", [None, "no", [], {}, {"error": "no"}, {"error": {"param": "model"}}]
)
def test_other_refusals_stand(error: Any) -> None:
    assert RESPONSES.amend_body(built(model=REASONS), error, {}) is None


def chat_of(request: dict[str, Any]) -> dict[str, Any]:
    """Return a recorded request in the form of chat completions, as far as the recordings go."""
    messages: list[dict[str, Any]] = []
    if text := request.get("instructions"):
        messages.append({"role": "system", "content": text})
    given = request["input"]
    for item in [{"role": "user", "content": given}] if isinstance(given, str) else given:
        kind = item.get("type", "message")
        if kind == "message":
            content = item["content"]
            if isinstance(content, list):
                content = [
                    {"type": "text", "text": part["text"]}
                    if part["type"] == "input_text"
                    else {
                        "type": "image_url",
                        "image_url": {"url": part["image_url"], "detail": part["detail"]},
                    }
                    for part in content
                ]
            messages.append({"role": item["role"], "content": content})
        elif kind == "function_call":
            made = call(item["call_id"], item["name"], item["arguments"])
            messages.append({"role": "assistant", "content": None, "tool_calls": [made]})
        else:
            messages.append(result(item["call_id"], item["output"]))
    chat: dict[str, Any] = {"messages": messages}
    if tools := request.get("tools"):
        names = ("name", "description", "parameters", "strict")
        chat["tools"] = [
            {"type": "function", "function": {n: tool[n] for n in names if n in tool}}
            for tool in tools
        ]
    return chat


@pytest.mark.parametrize(
    "recorded",
    [p for p in recordings(protocol="responses") if (p.values[0] or {}).get("request") or p.marks],
)
def test_a_recorded_request_is_sent_again_as_it_was(recorded: dict[str, Any]) -> None:
    request = recorded["request"]
    body = built(**chat_of(request))
    given = request["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    first = next(
        i for i, item in enumerate(items) if item.get("role") not in ("system", "developer")
    )
    assert body["input"] == [
        {"type": "message", **item} if "role" in item else item for item in items[first:]
    ]
    told = [
        content if isinstance(content, str) else content[0]["text"]
        for content in (item["content"] for item in items[:first])
    ]
    assert body.get("instructions", "") == "\n\n".join(
        filter(None, [request.get("instructions"), *told])
    )
    lenient = [
        {"strict": False, **tool, "parameters": tool["parameters"]}
        for tool in request.get("tools") or ()
    ]
    assert body.get("tools", []) == [{n: v for n, v in tool.items()} for tool in lenient]


def test_the_catalogue_says_which_models_reason() -> None:
    body = built(model=get_model("openai", "gpt-5"))
    assert body["include"] == ["reasoning.encrypted_content"]
