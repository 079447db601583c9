"""The request body of Messages, for chats of every kind."""

from __future__ import annotations

import base64
import json
import logging
from dataclasses import replace
from typing import Any

import pytest

from flask_llmchat import ChatError, ChatRequest, LLMChat, Provider, builtin_providers
from flask_llmchat.core.model import Model
from flask_llmchat.models import get_model
from flask_llmchat.protocols.messages import MESSAGES
from flask_llmchat.providers import Target
from flask_llmchat.testing import FakeUpstream
from tests.support.apps import make_app
from tests.support.recordings import recordings

ROW = next(row for row in builtin_providers if row.name == "anthropic")
OTHER = replace(ROW, name="other", label="Other", catalogue="other")
OLD, NEW = "claude-sonnet-4-5", "claude-opus-5-5"
HI = {"role": "user", "content": "Hi"}
AUTOMATIC = {"type": "ephemeral"}
NOT_RUN = "This tool call was not carried out."


def body_of(*messages: Any, model: str = OLD, row: Provider = ROW, **fields: Any) -> dict[str, Any]:
    """Return the body for a chat, without what nearly all bodies have."""
    body = whole_body(*messages, model=model, row=row, **fields)
    assert body.pop("model") == model and body.pop("stream") is True
    if body.get("cache_control") == AUTOMATIC:
        del body["cache_control"]
    if "max_tokens" not in fields:
        del body["max_tokens"]
    return body


def whole_body(
    *messages: Any,
    model: str = OLD,
    row: Provider = ROW,
    facts: Model | None = None,
    **fields: Any,
) -> dict[str, Any]:
    chat = ChatRequest(provider=row.name, model=model, messages=[*messages] or [HI], **fields)
    facts = facts or get_model(row.catalogue, model)
    return MESSAGES.build_body(chat, row, Target(model=model, headers={}), facts)


def refusal(*messages: Any, **fields: Any) -> str:
    with pytest.raises(ChatError) as raised:
        body_of(*messages, **fields)
    assert (raised.value.status, raised.value.provider) == (422, "anthropic")
    return raised.value.message


def said(text: str, role: str = "user", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text, **more}]}


def asked(id_: str = "t1", name: str = "look", arguments: Any = "{}") -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def calling(*calls: dict[str, Any], content: Any = None, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": [*calls], **more}


def result(id_: str = "t1", content: Any = "18 C", **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id_, "content": content, **more}


def used(id_: str = "t1", name: str = "look", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id_, "name": name, "input": arguments}


def gave(id_: str = "t1", text: str = "18 C", **more: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": text}]
    return {"type": "tool_result", "tool_use_id": id_, "content": content, **more}


def data_url(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def test_the_whole_body_of_a_plain_chat() -> None:
    assert json.dumps(whole_body({"role": "system", "content": "Be brief."}, HI)) == json.dumps(
        {
            "model": OLD,
            "max_tokens": 64_000,
            "system": [{"type": "text", "text": "Be brief."}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
            "stream": True,
            "cache_control": {"type": "ephemeral"},
        }
    )


TURNS: dict[str, tuple[list[Any], list[Any]]] = {
    "one role several times": (
        [
            HI,
            {"role": "user", "content": "You?"},
            said("A", "assistant"),
            said("B", "assistant"),
            HI,
        ],
        [
            {"role": "user", "content": [{"type": "text", "text": t} for t in ("Hi", "You?")]},
            {"role": "assistant", "content": [{"type": "text", "text": t} for t in "AB"]},
            said("Hi"),
        ],
    ),
    "empty texts": (
        [
            {"role": "user", "content": "  \n"},
            said(" ", "assistant"),
            {"role": "user", "content": [{"type": "text", "text": ""}, *said("Hi")["content"]]},
            {"role": "assistant", "content": ""},
            {"role": "user", "content": "You?"},
        ],
        [{"role": "user", "content": [{"type": "text", "text": t} for t in ("Hi", "You?")]}],
    ),
    "the assistant first": (
        [said("Welcome!", "assistant"), HI],
        [said("Hello."), said("Welcome!", "assistant"), said("Hi")],
    ),
    "results of one response together, before the user's text": (
        [
            HI,
            calling(asked("a"), asked("b", "see", '{"x": 1}'), content="I look."),
            result("b", "2"),
            result("a", [{"type": "text", "text": "1"}]),
            {"role": "user", "content": "Well?"},
        ],
        [
            said("Hi"),
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "I look."},
                    used("a"),
                    used("b", "see", x=1),
                ],
            },
            {
                "role": "user",
                "content": [gave("b", "2"), gave("a", "1"), {"type": "text", "text": "Well?"}],
            },
        ],
    ),
    "a call without a result": (
        [HI, calling(asked("a"), asked("b")), result("a"), {"role": "user", "content": "Well?"}],
        [
            said("Hi"),
            {"role": "assistant", "content": [used("a"), used("b")]},
            {
                "role": "user",
                "content": [
                    gave("a"),
                    gave("b", NOT_RUN, is_error=True),
                    {"type": "text", "text": "Well?"},
                ],
            },
        ],
    ),
    "ids of other providers": (
        [
            HI,
            calling(asked("functions.look:0")),
            result("functions.look:0"),
            calling(asked("functions.look:0")),
            result("functions.look:0"),
        ],
        [
            said("Hi"),
            {"role": "assistant", "content": [used("functions_look_0")]},
            {"role": "user", "content": [gave("functions_look_0")]},
            {"role": "assistant", "content": [used("functions_look_0_1")]},
            {"role": "user", "content": [gave("functions_look_0_1")]},
        ],
    ),
    "arguments that are no object": (
        [
            HI,
            calling(
                asked("a", arguments=""), asked("b", arguments='{"x'), asked("c", arguments="[NaN]")
            ),
        ],
        [
            said("Hi"),
            {
                "role": "assistant",
                "content": [
                    used("a"),
                    used("b", arguments='{"x'),
                    used("c", arguments="[NaN]"),
                ],
            },
            {
                "role": "user",
                "content": [gave(id_, NOT_RUN, is_error=True) for id_ in "abc"],
            },
        ],
    ),
    "an empty result": (
        [HI, calling(asked()), result(content="")],
        [
            said("Hi"),
            {"role": "assistant", "content": [used()]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1"}]},
        ],
    ),
    "an image in a result": (
        [
            HI,
            calling(asked()),
            result(
                content=[{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]
            ),
        ],
        [
            said("Hi"),
            {"role": "assistant", "content": [used()]},
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t1",
                        "content": [
                            {
                                "type": "image",
                                "source": {"type": "url", "url": "https://a.example/b.png"},
                            }
                        ],
                    }
                ],
            },
        ],
    ),
    "an image and a refusal of the assistant's": (
        [
            HI,
            {
                "role": "assistant",
                "content": [
                    {"type": "image_url", "image_url": {"url": "https://a.example"}},
                    {"type": "refusal", "refusal": "No."},
                ],
            },
            HI,
        ],
        [said("Hi"), said("No.", "assistant"), said("Hi")],
    ),
}


@pytest.mark.parametrize("name", TURNS)
def test_messages_become_turns(name: str) -> None:
    messages, turns = TURNS[name]
    assert json.dumps(body_of(*messages)["messages"]) == json.dumps(turns)


def test_system_messages_are_joined_wherever_they_stand() -> None:
    body = body_of(
        {"role": "system", "content": "A"},
        {"role": "developer", "content": [{"type": "text", "text": "B"}]},
        HI,
        {"role": "system", "content": "C"},
        {"role": "system", "content": ""},
        HI,
    )
    assert [block["text"] for block in body["system"]] == ["A", "B", "C"]
    assert body["messages"] == [{"role": "user", "content": said("Hi")["content"] * 2}]


# Reasoning that goes back


def detail(format_: str = "messages:anthropic", **fields: Any) -> dict[str, Any]:
    return {"type": "reasoning.text", "format": format_, "text": "Hm.", "signature": "s", **fields}


@pytest.mark.parametrize(
    "message",
    [
        {"content": "", "reasoning_details": [detail()]},
        {"content": " ", "reasoning_details": [detail(type="reasoning.encrypted", data="x")]},
        {"content": "A", "reasoning_details": [detail(signature="")]},
        {"content": "A", "reasoning_details": [detail(type="reasoning.encrypted", data="")]},
    ],
)
def test_reasoning_that_would_be_refused_is_left_out(message: dict[str, Any]) -> None:
    body = body_of(HI, {"role": "assistant", **message}, HI)
    assert all(block["type"] == "text" for turn in body["messages"] for block in turn["content"])


def test_reasoning_goes_back_where_it_was() -> None:
    hidden = {"type": "reasoning.encrypted", "format": "messages:anthropic", "data": "xyz"}
    details = [
        detail(),
        detail("messages:other"),
        detail("anthropic-claude-v1"),
        detail("responses:openai"),
        detail(signature=None),
        hidden | {"tool_call_id": "b"},
        detail(text="Next.", tool_call_id="b"),
        detail(text="Lost.", tool_call_id="gone"),
        detail(text="Odd.", tool_call_id=["b"]),
    ]
    message = calling(asked("a"), asked("b"), content="I look.", reasoning_details=details)
    content = body_of(HI, message)["messages"][1]["content"]

    def thinking(text: str) -> dict[str, Any]:
        return {"type": "thinking", "thinking": text, "signature": "s"}

    assert content == [
        thinking("Hm."),
        thinking("Lost."),
        thinking("Odd."),
        {"type": "text", "text": "I look."},
        used("a"),
        {"type": "redacted_thinking", "data": "xyz"},
        thinking("Next."),
        used("b"),
    ]


# Parts

PDF = data_url(b"%PDF-1", "application/pdf")
CITED = {"citations": {"enabled": True}}


def part(kind: str, **content: Any) -> dict[str, Any]:
    return {"type": kind, kind: content}


PARTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        part("image_url", url="https://a.example/b.png", detail="low"),
        {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}},
    ),
    (
        part("image_url", url="data:image/png;base64,aGk="),
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "aGk="},
        },
    ),
    (
        part("image_url", url="DATA:Image/JPG;base64,aGk="),
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/jpeg", "data": "aGk="},
        },
    ),
    (
        part("file", filename="a.pdf", file_data=PDF),
        {
            "type": "document",
            "source": {
                "type": "base64",
                "media_type": "application/pdf",
                "data": PDF.partition(",")[2],
            },
            "title": "a.pdf",
            **CITED,
        },
    ),
    (
        part("file", filename="a.csv", file_data=data_url("x;ü".encode(), "text/csv")),
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "x;ü"},
            "title": "a.csv",
            **CITED,
        },
    ),
    (
        part("file", file_data="data:application/json;charset=utf-8,%7B%7D"),
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "{}"},
            **CITED,
        },
    ),
    (
        part("file", filename="a.webp", file_data=data_url(b"hi", "image/webp")),
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/webp", "data": "aGk="},
        },
    ),
]


@pytest.mark.parametrize(("given", "block"), PARTS)
def test_parts_become_blocks(given: dict[str, Any], block: dict[str, Any]) -> None:
    assert body_of({"role": "user", "content": [given]})["messages"][0]["content"] == [block]


REFUSED_PARTS = [
    (part("input_audio", data="aGk=", format="wav"), ".type: This provider accepts text, images,"),
    (part("video_url", url="https://a.example"), ".type: This provider accepts text, images,"),
    (part("file", file_id="file-1"), ".file.file_data: Missing"),
    (part("file", file_data=data_url(b"x", "application/zip")), ".file.file_data: Files must be"),
    (part("file", file_data=data_url(b"\xff", "text/plain")), ".file.file_data: Not a text in UTF"),
    (part("file", file_data="aGk="), ".file.file_data: Not a data: URL"),
    (part("file", file_data="data:application/pdf;base64,%%"), ".file.file_data: Not valid base64"),
    (part("image_url", url="data:image/svg+xml;base64,aGk="), ".image_url.url: Images must be"),
    (part("file", file_data="data:application/pdf;base64,"), ".file.file_data: Empty"),
    (part("image_url", url="data:image/png;base64,a"), ".image_url.url: Not valid base64"),
    (part("image_url", url="data:image/png"), ".image_url.url: Not a data: URL"),
]


@pytest.mark.parametrize(("given", "words"), REFUSED_PARTS)
def test_parts_that_cannot_be_sent_are_named(given: dict[str, Any], words: str) -> None:
    content = [{"type": "text", "text": "See"}, given]
    assert refusal(HI, {"role": "user", "content": content}).startswith(
        f"messages.1.content.1{words}"
    )


def test_an_unknown_part_is_named() -> None:
    message = {"role": "user", "content": [{"type": "hologram"}]}
    assert refusal(message).startswith("messages.0.content.0.type: Must be one of")


def test_a_system_message_has_no_image() -> None:
    content = [part("image_url", url="https://a.example")]
    assert refusal({"role": "system", "content": content}, HI) == (
        "messages.0.content.0.type: A system message has text only"
    )


# What cannot be sent


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([{"role": "system", "content": "A"}], "messages: None of them has anything to respond to"),
        ([{"role": "user", "content": ""}], "messages: None of them has anything to respond to"),
        ([HI, result()], "messages.1.tool_call_id: No tool call with this id"),
        ([HI, calling(asked()), result("t2")], "messages.2.tool_call_id: No tool call"),
        ([HI, calling(asked()), result(), result()], "messages.3.tool_call_id: No tool call"),
        ([HI, calling(asked()), HI, result()], "messages.3.tool_call_id: No tool call"),
        ([HI, {"role": "tool", "content": "x"}], "messages.1.tool_call_id: No tool call"),
        ([HI, calling(asked(), asked())], "messages.1.tool_calls.1.id: Another call has this id"),
        ([HI, calling({"id": "a", "type": "custom"})], "messages.1.tool_calls.0: Must be a call"),
        ([HI, calling({"function": {"name": "a"}})], "messages.1.tool_calls.0: Must be a call"),
        ([HI, calling({"id": "a", "function": {}})], "messages.1.tool_calls.0: Must be a call"),
    ],
)
def test_a_conversation_that_would_be_refused_is_named(messages: list[Any], words: str) -> None:
    assert refusal(*messages).startswith(words)


# An assistant's message at the end


def test_an_older_model_goes_on_with_a_message_of_the_assistant() -> None:
    body = body_of(HI, said("The answer is \n", "assistant"))
    assert body["messages"][-1] == said("The answer is", "assistant")


@pytest.mark.parametrize("model", ["claude-sonnet-4-6", NEW, "claude-lyric-9"])
def test_a_newer_model_does_not(model: str) -> None:
    words = f"messages.1.role: {model} does not go on with a message of the assistant;"
    assert refusal(HI, said("The", "assistant"), model=model).startswith(words)


def test_reasoning_with_a_budget_does_not_go_on_with_it_either() -> None:
    body = body_of(HI, said("The", "assistant"), reasoning_effort="high")
    assert "thinking" not in body


# Limits


@pytest.mark.parametrize(
    ("model", "asked_for", "sent"),
    [
        (OLD, 100, 100),
        (OLD, None, 64_000),
        (OLD, -1, 64_000),
        (OLD, 900_000, 64_000),
        ("claude-lyric-9", None, 32_000),
        ("claude-lyric-9", 900_000, 900_000),
        ("claude-2.1", None, 4_096),
        ("claude-3-haiku-20240307", None, 4_096),
    ],
)
def test_the_token_limit_is_always_sent(model: str, asked_for: int | None, sent: int) -> None:
    assert whole_body(model=model, max_tokens=asked_for)["max_tokens"] == sent


def test_the_hosts_limit_for_a_model_counts() -> None:
    facts = Model(name="m", max_output=900, default_max_tokens=200)
    assert whole_body(model="m", facts=facts)["max_tokens"] == 200


# Reasoning efforts

ADAPTIVE = {"type": "adaptive", "display": "summarized"}


def effort(word: str) -> dict[str, Any]:
    return {"thinking": ADAPTIVE, "output_config": {"effort": word}}


@pytest.mark.parametrize(
    ("model", "word", "fields"),
    [
        # Older models are given a number of tokens.
        (OLD, None, {}),
        (OLD, "none", {"thinking": {"type": "disabled"}}),
        (OLD, "low", {"thinking": {"type": "enabled", "budget_tokens": 4096}}),
        (OLD, "high", {"thinking": {"type": "enabled", "budget_tokens": 24_000}}),
        ("claude-opus-4-1", "max", {"thinking": {"type": "enabled", "budget_tokens": 25_600}}),
        ("claude-3-7-sonnet", "minimal", {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        ("claude-3-haiku-20240307", "high", {}),
        ("MiniMax-M3", "medium", {"thinking": {"type": "enabled", "budget_tokens": 12_000}}),
        # Newer ones an effort.
        ("claude-opus-4-6", None, {}),
        ("claude-opus-4-6", "xhigh", effort("high")),
        ("claude-opus-4-6", "max", effort("max")),
        ("claude-opus-4-8", "xhigh", effort("xhigh")),
        ("claude-opus-5", "none", {"thinking": {"type": "disabled"}}),
        ("claude-haiku-5-5", "minimal", effort("low")),
        # Some always reason.
        (NEW, None, {"thinking": ADAPTIVE}),
        (NEW, "none", effort("low")),
        (NEW, "medium", effort("medium")),
        ("claude-fable-5-2", "none", effort("low")),
        ("claude-mythos-5", None, {"thinking": ADAPTIVE}),
        ("claude-sonnet-5-5", "none", {"thinking": {"type": "between_tools"}}),
        ("anthropic/claude-sonnet-5.5", "none", {"thinking": {"type": "between_tools"}}),
        ("claude-lyric-9", "high", effort("high")),
    ],
)  # fmt: skip
def test_an_effort_is_sent_in_the_form_of_the_model(
    model: str, word: str | None, fields: dict[str, Any]
) -> None:
    body = body_of(model=model, reasoning_effort=word)
    del body["messages"]
    assert body == fields


def looped(*details: dict[str, Any], more: Any = ()) -> list[Any]:
    return [HI, calling(asked("a"), reasoning_details=[*details]), result("a"), *more]


def test_a_budget_needs_the_reasoning_of_the_turn_so_far() -> None:
    def thinking(*messages: Any) -> Any:
        return body_of(*messages, reasoning_effort="low").get("thinking")

    budget = {"type": "enabled", "budget_tokens": 4096}
    further = [calling(asked("b")), result("b")]
    assert thinking(*looped()) is None
    assert thinking(*looped(more=further)) is None
    assert thinking(*looped(detail())) == budget
    assert thinking(*looped(detail(), more=further)) == budget
    assert thinking(*looped(more=[said("Done.", "assistant"), HI])) == budget  # another turn
    adaptive = body_of(*looped(), reasoning_effort="low", model=NEW)["thinking"]
    assert adaptive == ADAPTIVE


@pytest.mark.parametrize(("limit", "budget"), [(8000, 6400), (1280, 1024), (1279, None)])
def test_a_budget_is_less_than_the_limit(limit: int, budget: int | None) -> None:
    thinking = body_of(max_tokens=limit, reasoning_effort="max").get("thinking")
    assert thinking == (budget and {"type": "enabled", "budget_tokens": budget})


def test_an_effort_that_nobody_knows_is_refused() -> None:
    assert refusal(reasoning_effort="extreme").startswith("reasoning_effort: Must be one of: none,")


def test_the_providers_own_form_takes_precedence() -> None:
    own = {"type": "enabled", "budget_tokens": 5000}
    body = body_of(extra={"thinking": own}, reasoning_effort="low", temperature=0.5)
    assert body["thinking"] == own
    assert "temperature" not in body


def test_a_field_that_the_row_refuses_is_left_out() -> None:
    refused = {"reasoning_effort", "temperature", "stop", "tools", "user", "response_format"}
    row = replace(ROW, unsupported_params=frozenset(refused))
    body = body_of(
        row=row,
        reasoning_effort="low",
        temperature=1,
        stop="x",
        tools=[TOOL],
        tool_choice="required",
        extra={"user": "u"},
        response_format={"type": "json_object"},
    )
    assert body == {"messages": [said("Hi")]}


# Sampling


@pytest.mark.parametrize(
    ("model", "fields", "sent"),
    [
        (OLD, {"temperature": 0.5}, {"temperature": 0.5}),
        (OLD, {"temperature": 2}, {"temperature": 1.0}),
        (OLD, {"top_p": 0.5}, {"top_p": 0.5}),
        (OLD, {"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5}),
        (OLD, {"extra": {"top_k": 5}}, {"top_k": 5}),
        (OLD, {"temperature": 0.5, "reasoning_effort": "low"}, {}),
        (OLD, {"temperature": 0.5, "reasoning_effort": "none"}, {"temperature": 0.5}),
        ("claude-opus-4-6", {"temperature": 0.5}, {"temperature": 0.5}),
        ("claude-opus-4-6", {"temperature": 0.5, "reasoning_effort": "low"}, {}),
        (NEW, {"temperature": 0.5, "top_p": 0.5, "extra": {"top_k": 5}}, {}),
        ("claude-opus-5", {"temperature": 0.5, "reasoning_effort": "none"}, {}),
        ("claude-opus-4-7", {"temperature": 0.5}, {}),
    ],
)
def test_sampling_is_sent_to_models_that_take_it(
    model: str, fields: dict[str, Any], sent: dict[str, Any]
) -> None:
    body = body_of(model=model, **fields)
    names = ("temperature", "top_p", "top_k")
    assert {name: body[name] for name in names if name in body} == sent


def test_the_host_may_say_that_a_model_takes_no_temperature() -> None:
    facts = Model(name=OLD, supports_temperature=False)
    assert "temperature" not in whole_body(temperature=0.5, facts=facts)


# Tools

TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Looks.",
        "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}},
    },
}
SENT_TOOL = {
    "name": "look",
    "description": "Looks.",
    "input_schema": {"type": "object", "properties": {"x": {"type": "integer"}}},
}


def test_tools_are_flat() -> None:
    bare = {"type": "function", "function": {"name": "now"}}
    assert body_of(tools=[TOOL, bare])["tools"] == [
        SENT_TOOL,
        {"name": "now", "input_schema": {"type": "object", "properties": {}}},
    ]


def test_a_strict_tool_has_a_schema_that_can_be_bound() -> None:
    strict = {"function": {**TOOL["function"], "strict": True}}  # type: ignore[dict-item]
    (tool,) = body_of(tools=[strict])["tools"]
    assert tool["strict"] is True
    assert tool["input_schema"]["additionalProperties"] is False
    assert body_of(tools=[strict], model="claude-3-haiku-20240307")["tools"] == [SENT_TOOL]


def test_a_custom_tool_is_refused() -> None:
    tools = [TOOL, {"type": "custom", "custom": {"name": "x"}}]
    assert refusal(tools=tools) == "tools.1: Must be of type function, with a name"


@pytest.mark.parametrize(
    ("choice", "parallel", "sent"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("auto", None, {"type": "auto"}),
        ("none", False, {"type": "none"}),
        ("required", None, {"type": "any"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        (
            {"type": "function", "function": {"name": "look"}},
            None,
            {"type": "tool", "name": "look"},
        ),
    ],
)
def test_each_choice_has_its_form(choice: Any, parallel: bool | None, sent: Any) -> None:
    extra = {"parallel_tool_calls": parallel}
    assert body_of(tools=[TOOL], tool_choice=choice, extra=extra).get("tool_choice") == sent


def test_a_choice_without_tools_is_left_out() -> None:
    body = body_of(tools=[], tool_choice="required", extra={"parallel_tool_calls": False})
    assert body == {"messages": [said("Hi")]}


@pytest.mark.parametrize("choice", [{"type": "allowed_tools", "allowed_tools": {}}, {"type": "x"}])
def test_another_choice_is_refused(choice: dict[str, Any]) -> None:
    assert refusal(tools=[TOOL], tool_choice=choice).startswith("tool_choice: Must be auto,")


def test_a_required_call_goes_before_a_budget() -> None:
    body = body_of(tools=[TOOL], tool_choice="required", reasoning_effort="high", temperature=0.5)
    assert "thinking" not in body
    assert (body["tool_choice"], body["temperature"]) == ({"type": "any"}, 0.5)


def test_a_required_call_goes_with_an_effort() -> None:
    body = body_of(
        tools=[TOOL], tool_choice="required", reasoning_effort="low", model="claude-opus-4-8"
    )
    assert (body["tool_choice"], body["thinking"]) == ({"type": "any"}, ADAPTIVE)


def test_a_model_that_cannot_be_made_to_call_says_so() -> None:
    assert refusal(tools=[TOOL], tool_choice="required", model=NEW) == (
        f"tool_choice: {NEW} cannot be made to call a tool; send auto"
    )


def test_calls_in_the_conversation_have_their_tools() -> None:
    body = body_of(HI, calling(asked("a"), asked("b", "see"), asked("c")))
    schema = {"type": "object", "properties": {}}
    assert body["tools"] == [
        {"name": "look", "input_schema": schema},
        {"name": "see", "input_schema": schema},
    ]
    assert body["tool_choice"] == {"type": "none"}


def test_the_providers_own_tools_are_sent_as_they_are() -> None:
    search = {"type": "web_search_20260318", "name": "web_search", "max_uses": 3}
    assert body_of(tools=[TOOL], provider_tools=[search])["tools"] == [SENT_TOOL, search]
    assert body_of(provider_tools=[search])["tools"] == [search]


# Response formats

SCHEMA = {
    "type": "object",
    "title": "Answer",
    "properties": {
        "n": {"type": "integer", "minimum": 1, "description": "A number."},
        "when": {"type": "string", "format": "date-time", "pattern": "^2"},
        "site": {"type": "string", "format": "iri"},
        "any": {"oneOf": [{"type": "null"}, {"$ref": "#/$defs/more"}]},
        "list": {"type": "array", "items": {"type": "string", "minLength": 2}, "minItems": 1},
    },
    "required": ["n"],
    "$defs": {"more": {"type": "object", "properties": {}, "additionalProperties": True}},
}
BINDABLE = {
    "type": "object",
    "title": "Answer",
    "properties": {
        "n": {"type": "integer", "description": 'A number.\n{"minimum": 1}'},
        "when": {"type": "string", "format": "date-time", "description": '{"pattern": "^2"}'},
        "site": {"type": "string", "description": '{"format": "iri"}'},
        "any": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/more"}]},
        "list": {
            "type": "array",
            "items": {"type": "string", "description": '{"minLength": 2}'},
            "description": '{"minItems": 1}',
        },
    },
    "required": ["n"],
    "$defs": {"more": {"type": "object", "properties": {}, "additionalProperties": False}},
    "additionalProperties": False,
}
BOUND = {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": SCHEMA}}


def test_a_response_is_bound_to_a_schema() -> None:
    body = body_of(response_format=BOUND)
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": BINDABLE}}
    body = body_of(response_format=BOUND, reasoning_effort="low", model=NEW)
    assert body["output_config"] == {
        "effort": "low",
        "format": {"type": "json_schema", "schema": BINDABLE},
    }


@pytest.mark.parametrize("form", [["date"], {"a": 1}, None])
def test_a_schema_that_is_none_is_the_providers_to_refuse(form: Any) -> None:
    schema = {"type": "string", "format": form}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    sent = body_of(HI, response_format=wanted)["output_config"]["format"]["schema"]
    assert sent["type"] == "string" and "format" not in sent


def test_the_hosts_output_config_is_added() -> None:
    own = {"output_config": {"task_budget": {"total": 9}}}
    body = body_of(response_format=BOUND, extra=own)
    assert body["output_config"].keys() == {"format", "task_budget"}


def test_documents_are_not_cited_in_a_response_that_is_bound() -> None:
    message = {"role": "user", "content": [part("file", filename="a.pdf", file_data=PDF)]}
    (block,) = body_of(message, response_format=BOUND)["messages"][0]["content"]
    assert "citations" not in block


def test_plain_text_is_no_format() -> None:
    assert "output_config" not in body_of(response_format={"type": "text"})


@pytest.mark.parametrize("form", [{"type": "json_object"}, {"type": "json_schema"}, {"type": "x"}])
def test_json_without_a_schema_is_refused(form: dict[str, Any]) -> None:
    assert refusal(response_format=form) == (
        "response_format: Anthropic needs the type json_schema, with a schema"
    )


def test_an_old_model_cannot_be_bound() -> None:
    words = "response_format: claude-3-haiku-20240307 cannot be bound to a schema"
    assert refusal(response_format=BOUND, model="claude-3-haiku-20240307") == words


# Other fields


def test_stop_texts() -> None:
    assert body_of(stop="x")["stop_sequences"] == ["x"]
    assert body_of(stop=["x", "y"])["stop_sequences"] == ["x", "y"]
    assert refusal(stop=["x", "\n"]) == "stop: Anthropic accepts no text of white space alone"


@pytest.mark.parametrize(
    ("extra", "sent"),
    [
        ({"user": "u1"}, {"user_id": "u1"}),
        ({"safety_identifier": "s1"}, {"user_id": "s1"}),
        ({"metadata": {"user_id": "m1", "order": "7"}, "user": "u1"}, {"user_id": "m1"}),
        ({"metadata": {"order": "7"}}, None),
        ({"user": "u" * 257}, None),
    ],
)
def test_whose_chat_it_is(extra: dict[str, Any], sent: Any) -> None:
    assert body_of(extra=extra).get("metadata") == sent


def test_fields_that_messages_lacks_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    lacking = {
        "frequency_penalty": 1,
        "logprobs": True,
        "logit_bias": {},
        "store": True,
        "verbosity": "low",
        "prompt_cache_key": "k",
        "stream_options": {},
        "n": 1,
    }
    with caplog.at_level(logging.DEBUG, "flask_llmchat"):
        assert body_of(seed=7, extra=lacking) == {"messages": [said("Hi")]}
    for name in ("seed", *lacking):
        assert f"{name} is left out" in caplog.text


def test_fields_of_messages_go_as_the_host_has_set_them() -> None:
    own = {
        "service_tier": "standard_only",
        "mcp_servers": [{"type": "url", "url": "https://a.example", "name": "a"}],
        "context_management": {"edits": []},
        "container": "c",
    }
    assert body_of(extra=own) == {"messages": [said("Hi")], **own}


# Caching


def test_caching_is_automatic_at_anthropic_alone() -> None:
    assert whole_body()["cache_control"] == AUTOMATIC
    assert "cache_control" not in whole_body(row=OTHER)
    assert "cache_control" not in whole_body(extra={"cache_control": None})
    an_hour = {"type": "ephemeral", "ttl": "1h"}
    assert whole_body(extra={"cache_control": an_hour})["cache_control"] == an_hour


MARK = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}


@pytest.mark.parametrize(
    ("messages", "fields", "place"),
    [
        ([{"role": "system", "content": "A", **MARK}, HI], {}, ("system", 0)),
        ([{"role": "user", "content": "A", **MARK}], {}, ("messages", 0, "content", 0)),
        ([said("A", **MARK), said("B")], {}, ("messages", 0, "content", 0)),
        ([HI, calling(asked()), result(**MARK)], {}, ("messages", 2, "content", 0)),
        (
            [HI, calling(asked()), result(content=[{"type": "text", "text": "A", **MARK}])],
            {},
            ("messages", 2, "content", 0, "content", 0),
        ),
        ([HI], {"tools": [{**TOOL, **MARK}]}, ("tools", 0)),
    ],
)  # fmt: skip
def test_marks_of_the_host_stay_and_are_the_only_ones(
    messages: list[Any], fields: dict[str, Any], place: tuple[Any, ...]
) -> None:
    body: Any = whole_body(*messages, **fields)
    assert json.dumps(body).count("cache_control") == 1
    for step in place:
        body = body[step]
    assert body["cache_control"] == MARK["cache_control"]


def test_of_more_marks_than_are_accepted_the_last_ones_stay() -> None:
    messages = [
        {"role": "system", "content": "A", **MARK},
        {"role": "user", "content": [*said("B", **MARK)["content"]] * 2},
        calling(asked()),
        result(content=[{"type": "text", "text": "C", **MARK}], **MARK),
        said("D", **MARK),
    ]
    tool = {**TOOL, **MARK}
    body = whole_body(*messages, tools=[tool])
    assert json.dumps(body).count("cache_control") == 4
    assert "cache_control" not in json.dumps([body["system"], body["tools"]])
    first, second = body["messages"][0]["content"]
    assert "cache_control" not in first and "cache_control" in second
    assert "cache_control" in tool and "cache_control" in messages[0]


# Through the app


def test_key_version_and_address(upstream: FakeUpstream) -> None:
    profile = {"anthropic_api_key": "planted", "anthropic_workspace_id": "wrkspc_1"}
    app = make_app(upstream, profile)
    asked_for = {"chatSettings": {"model": OLD}, "messages": [HI]}
    assert app.test_client().post("/api/chat/anthropic", json=asked_for).status_code == 200
    (request,) = upstream.requests
    assert request.path == "/v1/messages"
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert request.headers["anthropic-workspace-id"] == "wrkspc_1"
    assert request.headers["x-api-key"] == "planted"
    assert request.headers["Authorization"] is None


def test_a_refusal_reaches_the_client_before_anything_is_sent(upstream: FakeUpstream) -> None:
    app = make_app(upstream, {"anthropic_api_key": "k"})
    posted = {"model": OLD, "messages": [HI, result()]}
    response = app.test_client().post("/api/chat/anthropic/chat/completions", json=posted)
    assert response.status_code == 422
    message = response.get_json()["error"]["message"]
    assert message.startswith("messages.1.tool_call_id: No tool call")
    assert not upstream.requests


def test_chat_completions_by_a_setting(upstream: FakeUpstream) -> None:
    config = {"LLMCHAT_PROTOCOLS": {"anthropic": "chat_completions"}}
    app = make_app(upstream, {"anthropic_api_key": "planted"}, config)
    asked_for = {"chatSettings": {"model": OLD}, "messages": [HI]}
    assert app.test_client().post("/api/chat/anthropic", json=asked_for).status_code == 200
    (request,) = upstream.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["Authorization"] == "Bearer planted"
    assert request.headers["x-api-key"] is None


def test_a_row_of_the_hosts_own_speaks_messages(upstream: FakeUpstream) -> None:
    row = Provider(name="minimax", label="MiniMax", protocol="messages")
    app = make_app(upstream, {"minimax_api_key": "k"}, llmchat=LLMChat(providers=[row]))
    asked_for = {"chatSettings": {"model": "MiniMax-M99"}, "messages": [HI]}
    assert app.test_client().post("/api/chat/minimax", json=asked_for).status_code == 200
    body = upstream.requests[0].json
    assert "cache_control" not in body and body["max_tokens"] == 32_000


# The requests of the recordings


def chat_of(request: dict[str, Any]) -> dict[str, Any] | None:
    """Return the chat that a recorded request stands for; None where it has another form."""
    blocks = [
        b for m in request["messages"] if isinstance(m["content"], list) for b in m["content"]
    ]
    if any(block["type"] not in ("text", "tool_use", "tool_result") for block in blocks):
        return None
    messages: list[dict[str, Any]] = []
    for message in request["messages"]:
        content = message["content"]
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        for block in (b for b in content if b["type"] == "tool_result"):
            messages.append(result(block["tool_use_id"], block["content"]))
        calls = [
            asked(block["id"], block["name"], json.dumps(block["input"]))
            for block in content
            if block["type"] == "tool_use"
        ]
        texts = [block for block in content if block["type"] == "text"]
        if texts or calls:
            more = {"tool_calls": calls} if calls else {}
            messages.append({"role": message["role"], "content": texts, **more})
    return {"messages": [*_system(request), *messages], **_fields(request)}


def _system(request: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "system", "content": request["system"]}] if "system" in request else []


def _fields(request: dict[str, Any]) -> dict[str, Any]:
    tools = request.get("tools") or ()
    functions = [
        {
            "function": {
                "name": t["name"],
                "description": t.get("description"),
                "parameters": t["input_schema"],
            }
        }
        for t in tools
        if "input_schema" in t
    ]
    return {
        "tools": functions or None,
        "provider_tools": [tool for tool in tools if "input_schema" not in tool],
        "tool_choice": request.get("tool_choice", {}).get("type"),
        "max_tokens": request["max_tokens"],
        "stop": request.get("stop_sequences"),
        "temperature": request.get("temperature"),
        "extra": {"thinking": request.get("thinking")},
    }


@pytest.mark.parametrize("recorded", recordings(protocol="messages"))
def test_recorded_requests_are_made_again(recorded: dict[str, Any]) -> None:
    request = recorded["request"]
    chat = request and chat_of(request)
    if not chat:
        pytest.skip("has no request of this form")
    made = whole_body(
        *chat.pop("messages"), model=request["model"], facts=Model(name=request["model"]), **chat
    )
    made.pop("cache_control", None)
    if request.get("thinking") and request.get("temperature") == 1:
        del request["temperature"]  # the only one that goes with it, and the default
    for message in request["messages"]:
        if isinstance(message["content"], str):
            message["content"] = [{"type": "text", "text": message["content"]}]
        for index, block in enumerate(message["content"]):
            if block["type"] == "tool_use" and "caller" in block:
                message["content"][index] = {k: v for k, v in block.items() if k != "caller"}
    assert made == request
