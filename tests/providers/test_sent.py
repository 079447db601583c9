"""What is sent to a provider: what its row and its model take, and nothing they would refuse."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from flask import Flask

from flask_llmchat import (
    ChatRequest,
    Endpoint,
    LLMChat,
    Profile,
    Provider,
    Target,
    builtin_providers,
)
from flask_llmchat.models.lookup import get_model
from flask_llmchat.protocols.chat_completions.messages import REPLAY_FIELDS
from flask_llmchat.protocols.chat_completions.request import build_body
from flask_llmchat.testing import FakeUpstream, error_reply, event, sse_reply
from tests.support.apps import (
    BY_CHAT_COMPLETIONS,
    SPEAKING_CHAT_COMPLETIONS,
    finished,
    make_app,
)
from tests.support.recordings import CASES, everybodys_keys, needs_cases

ROWS = {row.name: row for row in builtin_providers}
HI = {"role": "user", "content": "Weather in Ulm?"}
CALL = {"id": "call_w1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
RESULT = {"role": "tool", "tool_call_id": "call_w1", "content": "18 C"}
SIGNED = {"google": {"thought_signature": "c2ln"}}


ACME = Provider(
    name="acme",
    label="Acme",
    key_required=False,
    extra_message_fields={"mood", "prefix"},  # type: ignore[arg-type]
    extra_parts={"smell", "smell_url"},  # type: ignore[arg-type]
)


@pytest.fixture
def chats() -> list[ChatRequest]:
    return []


@pytest.fixture
def app(upstream: FakeUpstream, chats: list[ChatRequest]) -> Flask:
    llmchat = LLMChat(providers=[*builtin_providers, ACME])
    llmchat.before_chat(chats.append)
    llmchat.endpoint_loader(lambda id_: Endpoint(upstream.base_url, "k", _MODEL.get(id_)))
    profile = everybodys_keys(upstream)
    profile["azure_openai_deployments"] = {
        name: name for name in ("my-gpt5", "prod", "gpt4o-eu", "my-o3-mini", "gpt-4.1")
    } | {"fast": "our-gpt-5-nano", "gpt-4o": "house"}
    config = {"LLMCHAT_ALLOW_PRIVATE_ENDPOINTS": True, "LLMCHAT_MAX_RETRIES": 0}
    config |= BY_CHAT_COMPLETIONS
    return make_app(upstream, profile=profile, llmchat=llmchat, config=config)


_MODEL = {"claude": "anthropic/claude-sonnet-5-5"}


def post(app: Flask, row: str, posted: dict[str, Any]) -> Any:
    url = f"/api/chat/{row}/chat/completions"
    return app.test_client().post(url, json=posted, buffered=True)


def sent(app: Flask, upstream: FakeUpstream, row: str, *messages: Any, **more: Any) -> Any:
    posted = {"model": "m-1", "messages": [*messages] or [HI], **more}
    if row == "azure":
        posted["model"] = more.get("model", "prod")
    if row == "custom":
        posted.setdefault("endpointId", "e")
    response = post(app, row, posted)
    assert response.status_code == 200, response.text
    return upstream.requests[-1].json


# Ids of calls


@pytest.mark.parametrize("length", [257, 5_000, 400_000])
def test_a_long_call_id_comes_back_as_it_was_handed_out(
    app: Flask, upstream: FakeUpstream, length: int
) -> None:
    long = "call_w1__thought__" + "QUJD" * (length // 4)
    function = {"name": "weather", "arguments": "{}"}
    piece = {"index": 0, "id": long, "type": "function", "function": function}
    upstream.add(
        sse_reply(
            event(
                {"choices": [{"index": 0, "delta": {"role": "assistant", "tool_calls": [piece]}}]}
            )
            + event({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
        )
    )
    tools = [{"type": "function", "function": {"name": "weather"}}]
    first = post(app, "vllm", {"model": "m-1", "messages": [HI], "tools": tools}).get_json()
    message = first["choices"][0]["message"]
    assert message["tool_calls"][0]["id"] == long
    result = {"role": "tool", "tool_call_id": long, "content": "18 C"}
    body = sent(app, upstream, "vllm", HI, message, result, tools=tools)
    assert body["messages"][1]["tool_calls"][0]["id"] == long
    assert body["messages"][2]["tool_call_id"] == long


def test_the_text_dialect_takes_long_ids_too(app: Flask, upstream: FakeUpstream) -> None:
    long = "c" * 3000
    posted = {
        "chatSettings": {"model": "m"},
        "messages": [
            HI,
            {"role": "assistant", "tool_calls": [{**CALL, "id": long}]},
            {"role": "tool", "tool_call_id": long, "content": "18 C"},
        ],
    }
    response = app.test_client().post("/api/chat/openai", json=posted, buffered=True)
    assert response.status_code == 200, response.text
    assert upstream.requests[-1].json["messages"][2]["tool_call_id"] == long


# Fields of messages


@pytest.mark.parametrize(
    ("row", "fields", "kept"),
    [
        ("mistral", {"prefix": True, "partial": True}, {"prefix": True}),
        ("deepseek", {"prefix": True, "partial": True}, {"prefix": True}),
        ("moonshot", {"prefix": True, "partial": True}, {"partial": True}),
        ("custom", {"prefix": True, "partial": True}, {"prefix": True, "partial": True}),
        ("openai", {"prefix": True, "partial": True, "mood": "x"}, {}),
        ("acme", {"prefix": False, "mood": {"glad": [1]}, "partial": True},
         {"prefix": False, "mood": {"glad": [1]}}),
        ("acme", {"mood": "\ud800", "prefix": None}, {}),
    ],
)  # fmt: skip
def test_a_row_says_which_fields_of_messages_it_takes(
    app: Flask,
    upstream: FakeUpstream,
    chats: list[ChatRequest],
    row: str,
    fields: dict[str, Any],
    kept: dict[str, Any],
) -> None:
    begun = {"role": "assistant", "content": "It is", **fields}
    (_, message) = sent(app, upstream, row, HI, begun)["messages"]
    assert message == {"role": "assistant", "content": "It is", **kept}
    assert chats[-1].messages[1] == message  # hooks see nothing else either
    assert chats[-1].unknown_in_messages == {}
    if "mood" in kept:
        (message,) = sent(app, upstream, row, {**HI, **fields})["messages"]
        assert message == {**HI, **kept}


def test_a_field_that_only_the_first_row_takes_goes_to_no_fallback(
    upstream: FakeUpstream,
) -> None:
    llmchat = LLMChat(providers=[*builtin_providers, ACME])
    config = {"LLMCHAT_FALLBACKS": {"acme": ["openai"]}, "LLMCHAT_MAX_RETRIES": 0}
    app = make_app(upstream, llmchat=llmchat, config=config)
    upstream.add(error_reply(503, "busy"))
    begun = {"role": "assistant", "content": "It is", "mood": "glad"}
    body = sent(app, upstream, "acme", HI, begun)
    assert upstream.requests[0].json["messages"][1] == begun
    assert body["messages"] == [HI, {"role": "assistant", "content": "It is"}]


def test_a_key_beside_a_message_is_refused_wherever(app: Flask) -> None:
    posted = {"model": "m", "messages": [{**HI, "api_key": "x", "mood": "glad"}]}
    assert post(app, "acme", posted).status_code == 422


# Parts of messages


def of(*parts: dict[str, Any], role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": list(parts)}


TEXT = {"type": "text", "text": "Look"}
AUDIO_URL = {"type": "audio_url", "audio_url": {"url": "https://img.example/a.mp3"}}
THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "Add."}]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("vllm", of(TEXT, AUDIO_URL)),
        ("custom", of(AUDIO_URL)),
        ("mistral", of(THINKING, TEXT, role="assistant")),
        ("mistral", of(THINKING, role="assistant")),
        ("mistral", of(TEXT, {"type": "document_url", "document_url": "https://d.example/a.pdf"})),
        ("mistral", of(TEXT, {"type": "reference", "reference_ids": [1]}, role="assistant")),
        ("acme", of({"type": "smell", "smell": {"of": "roses"}, "cache_control": {"type": "x"}})),
        ("acme", of(TEXT, {"type": "smell_url", "smell_url": {"url": "data:smell/rose,x"}}, TEXT)),
    ],
)
def test_parts_of_a_rows_own_are_sent_as_they_are(
    app: Flask, upstream: FakeUpstream, row: str, message: dict[str, Any]
) -> None:
    assert sent(app, upstream, row, HI, message, HI)["messages"] == [HI, message, HI]


@pytest.mark.parametrize(
    ("row", "part", "told"),
    [
        ("openai", AUDIO_URL, "messages.1.content.1.type: Must be one of: text, image_url"),
        ("mistral", AUDIO_URL, "video_url, refusal, document_url, reference, thinking"),
        ("acme", {"type": "smell_url", "smell_url": "file:///etc/passwd"}, "Not a data: or http(s"),
        ("acme", {"type": "smell_url"}, "messages.1.content.1.smell_url: Not a data: or http(s)"),
        ("acme", {"type": "smell_url", "smell_url": {"url": 7}}, "Not a data: or http(s)"),
        ("acme", {"type": "smell", "api_key": "x"}, "messages.1.content.1.api_key: Unknown field"),
        ("acme", {"type": "smell", "smell": {"headers": {}}}, "content.1.headers: Unknown field"),
        ("acme", {"type": "smell", "smell": "\ud800"}, "Holds half a character"),
        ("acme", {"type": "smell", **{f"x{i}": 1 for i in range(70)}}, "more than 64 fields"),
        ("acme", {"type": "smell\n"}, "messages.1.content.1.type: Must be one of"),
        ("acme", {"type": "text", "text": 7}, "messages.1.content.1.text: Not a valid string"),
        ("acme", {"type": 7}, "messages.1.content.1.type: Not a valid string"),
    ],
)
def test_parts_that_a_row_does_not_take_are_refused(
    app: Flask, upstream: FakeUpstream, row: str, part: dict[str, Any], told: str
) -> None:
    with finished(app) as done:
        response = post(app, row, {"model": "m-1", "messages": [HI, of(TEXT, part)]})
    assert response.status_code == 422
    assert told in response.get_json()["error"]["message"]
    assert upstream.requests == [] and done.results == []


def test_thinking_in_an_answer_of_anothers_is_left_out(app: Flask, upstream: FakeUpstream) -> None:
    answers = (of(THINKING, TEXT, role="assistant"), of(THINKING, role="assistant"))
    assert sent(app, upstream, "openai", HI, *answers, HI)["messages"] == [
        HI,
        of(TEXT, role="assistant"),
        HI,
    ]


def test_the_parts_of_a_fallback_are_checked_too(upstream: FakeUpstream) -> None:
    llmchat = LLMChat(providers=[*builtin_providers, ACME])
    config = {"LLMCHAT_FALLBACKS": {"acme": ["openai"]}, "LLMCHAT_MAX_RETRIES": 0}
    app = make_app(upstream, llmchat=llmchat, config=config)
    upstream.add(error_reply(503, "busy"))
    response = post(app, "acme", {"model": "m", "messages": [of({"type": "smell"})]})
    assert response.status_code == 503
    assert len(upstream.requests) == 1


def test_reading_parts_of_a_rows_own_costs_what_other_parts_cost(app: Flask) -> None:
    def cost(part: dict[str, Any]) -> float:
        posted = json.dumps({"model": "m", "messages": [of(*[part] * 250) for _ in range(4)]})
        client = app.test_client()
        start = time.process_time()
        for _ in range(3):
            url = "/api/chat/acme/chat/completions"
            assert client.post(url, data=posted, buffered=True).status_code == 200
        return time.process_time() - start

    cost(TEXT)
    assert cost({"type": "smell", "smell": "Look"}) < 4 * cost(TEXT) + 0.1


# Parameters


def test_modalities_go_where_they_are_taken(app: Flask, upstream: FakeUpstream) -> None:
    both = ["image", "text"]
    config = {"aspect_ratio": "16:9"}
    body = sent(app, upstream, "openrouter", modalities=both, image_config=config)
    assert (body["modalities"], body["image_config"]) == (both, config)
    for row in ("openrouter", "openai"):
        assert "modalities" not in sent(app, upstream, row, modalities=["text"])
    response = post(app, "openai", {"model": "m", "messages": [HI], "modalities": both})
    told = response.get_json()["error"]["message"]
    assert told == 'modalities: Only ["text"] is answered; leave it out'


@pytest.mark.parametrize("row", ["vllm", "custom"])
def test_vllms_own_prefill(app: Flask, upstream: FakeUpstream, row: str) -> None:
    begun = {"role": "assistant", "content": "It is"}
    flags = {"continue_final_message": True, "add_generation_prompt": False}
    body = sent(app, upstream, row, HI, begun, **flags)
    assert body["messages"] == [HI, begun]
    assert body.items() >= flags.items()
    assert post(app, "openai", {"model": "m", "messages": [HI], **flags}).status_code == 422


@pytest.mark.parametrize("tools", [[], None])
def test_without_tools_nothing_is_said_of_them(
    app: Flask, upstream: FakeUpstream, tools: Any
) -> None:
    more = {"tools": tools, "parallel_tool_calls": True, "tool_choice": "auto"}
    body = sent(app, upstream, "openai", **more)
    assert not {"tools", "parallel_tool_calls", "tool_choice"} & set(body)
    tool = {"type": "function", "function": {"name": "f"}}
    body = sent(app, upstream, "openai", **{**more, "tools": [tool]})
    assert (body["parallel_tool_calls"], body["tool_choice"]) == (True, "auto")


@pytest.mark.parametrize("limit", [-1, 0])
def test_no_limit_is_no_limit(limit: int) -> None:
    chat = ChatRequest(provider="openai", model="gpt-4o", messages=[HI], max_tokens=limit)
    body = made("openai", chat)
    assert not {"max_tokens", "max_completion_tokens"} & set(body)
    chat.max_tokens = None
    assert made("openai", chat)["max_tokens"] == 4096  # the catalogue's, which the chat left open


def made(row: str, chat: ChatRequest, **target: Any) -> dict[str, Any]:
    """Return the body that a row makes of a chat."""
    to = Target(**{"model": chat.model, "headers": {}, **target})
    found = get_model(ROWS[row].catalogue, chat.model, sent_as=to.model)
    return build_body(chat, ROWS[row], to, found)


@pytest.mark.parametrize(
    ("row", "refused"),
    [
        ("cerebras", {"frequency_penalty": 0.5, "logit_bias": {"1": 2}}),
    ],
)
def test_what_a_provider_answers_400_to_is_left_out(
    app: Flask, upstream: FakeUpstream, row: str, refused: dict[str, Any]
) -> None:
    assert not refused.keys() & sent(app, upstream, row, **refused).keys()
    assert sent(app, upstream, "openai", **refused).items() >= refused.items()


def test_what_xai_has_ended_is_refused_here(app: Flask) -> None:
    posted = {"model": "m", "messages": [HI], "search_parameters": {"mode": "auto"}}
    assert post(app, "xai", posted).status_code == 422


def test_anthropics_workspace_goes_with_its_key(upstream: FakeUpstream) -> None:
    keys = {"anthropic_api_key": "k", "anthropic_workspace_id": "wrkspc_1"}
    for row, workspace in (("anthropic", "wrkspc_1"), ("openai", None)):
        app = make_app(upstream, profile={**keys, "openai_api_key": "k"})
        sent(app, upstream, row)
        assert upstream.requests[-1].headers["anthropic-workspace-id"] == workspace
    server = Profile(anthropic_api_key="server")
    assert server.over(keys).anthropic_workspace_id is None


# Roles


@pytest.mark.parametrize("row", SPEAKING_CHAT_COMPLETIONS)
def test_developer_is_system_where_that_is_all_there_is(
    app: Flask, upstream: FakeUpstream, row: str
) -> None:
    if ROWS[row].protocol == "messages":
        pytest.skip("has no such roles")
    knows = {"openai", "azure", "openrouter"}
    body = sent(app, upstream, row, {"role": "developer", "content": "Be brief."}, HI)
    role = "developer" if row in knows else "system"
    assert body["messages"] == [{"role": role, "content": "Be brief."}, HI]


def test_developer_is_the_user_where_a_model_refuses_system() -> None:
    for role in ("system", "developer"):
        chat = ChatRequest(
            provider="openai", model="o1-mini", messages=[{"role": role, "content": "x"}]
        )
        assert made("openai", chat)["messages"] == [{"role": "user", "content": "x"}]


# Azure's own names


@pytest.mark.parametrize(
    ("model", "limit", "supports_reasoning"),
    [
        ("my-gpt5", "max_completion_tokens", True),
        ("my-o3-mini", "max_completion_tokens", True),
        ("fast", "max_completion_tokens", True),  # its deployment is called our-gpt-5-nano
        ("prod", "max_completion_tokens", False),
        ("gpt4o-eu", "max_tokens", False),
        ("gpt-4.1", "max_tokens", False),
        ("gpt-4o", "max_tokens", False),
    ],
)
def test_the_limit_of_a_deployment_goes_by_its_name(
    app: Flask, upstream: FakeUpstream, model: str, limit: str, supports_reasoning: bool
) -> None:
    body = sent(app, upstream, "azure", model=model, max_tokens=100, temperature=0.5)
    assert body[limit] == 100
    assert len({"max_tokens", "max_completion_tokens"} & set(body)) == 1
    assert ("temperature" in body) is not supports_reasoning


@pytest.mark.parametrize(
    ("reasoning", "name"),
    [
        *(
            (True, n)
            for n in ("gpt-5", "gpt-5.9-x", "GPT-6", "mygpt5mini", "gpt_5", "gpt-51", "o3")
        ),
        *((True, n) for n in ("ft:o4-mini:acme::1", "gpt-10", "team-o1", "gpt-5.1-chat")),
        *((False, n) for n in ("gpt-35-turbo", "gpt-41", "gpt-4.5", "gpt4o", "gpt-5-chat-x")),
        *((False, n) for n in ("gpt5-chat", "gpt-oss-20b", "foo1", "solo3", "o10", "prod", "4o")),
    ],
)
def test_which_names_are_of_a_family_that_reasons(reasoning: bool, name: str) -> None:
    assert get_model("openai", name).supports_reasoning is reasoning


# What goes back of earlier answers

GIVEN = {
    "reasoning_content": "Hm",
    "reasoning_details": [{"type": "reasoning.text", "text": "Hm"}],
    "thinking_blocks": [{"type": "thinking", "thinking": "Hm", "signature": "c2ln"}],
    "extra_content": SIGNED,
    "provider_specific_fields": {"thought_signature": "c2ln"},
}
IN_CALLS = {"extra_content", "provider_specific_fields"}
OF_GEMINI = {"extra_content", "provider_specific_fields", "reasoning_details"}
OF_CLAUDE = {"thinking_blocks", "provider_specific_fields", "reasoning_details"}


@pytest.mark.parametrize(
    ("row", "model", "kept"),
    [
        ("custom", "gemini-3-pro", OF_GEMINI),
        ("custom", "vertex_ai/gemini-4-neon", OF_GEMINI),
        ("custom", "claude-sonnet", OF_CLAUDE),
        ("custom", "deepseek-v4", {"reasoning_details"}),  # and not the same twice
        ("custom", "deepseek-r1", set()),
        ("custom", "gpt-4.1", set()),
        ("custom", "mistral-large", set()),
        ("openrouter", "google/gemini-3.8-flash", OF_GEMINI),
        ("openrouter", "anthropic/claude-opus-5.5", OF_CLAUDE),
        ("openrouter", "openai/gpt-6", {"reasoning_details"}),
        ("vllm", "moonshotai/Kimi-K3", {"reasoning_details"}),
        ("vllm", "m-1", set()),
        ("google", "gemini-3-pro", {"extra_content"}),
        ("deepseek", "m", {"reasoning_content"}),
        ("moonshot", "m", {"reasoning_content"}),
        ("openai", "gpt-5", set()),
        ("openai", "gemini-3-pro", OF_GEMINI),
        ("mistral", "gemini-3-pro", set()),
        ("groq", "deepseek-v4", set()),  # refuses it: github.com/janhq/jan/issues/8136
        ("groq", "moonshotai/kimi-k2", set()),
    ],
)
def test_what_goes_back_goes_by_the_model(
    app: Flask, upstream: FakeUpstream, row: str, model: str, kept: set[str]
) -> None:
    call = {**CALL, **{name: GIVEN[name] for name in IN_CALLS}}
    answer = {"role": "assistant", "content": None, "tool_calls": [call], **GIVEN}
    (_, message, _) = sent(app, upstream, row, HI, answer, RESULT, model=model)["messages"]
    # Beside a message, and not in its calls, a program may have joined signatures of many chunks.
    assert message.keys() & REPLAY_FIELDS == kept - IN_CALLS
    assert message["tool_calls"][0].keys() & REPLAY_FIELDS == kept & IN_CALLS
    for name in kept:
        assert (message["tool_calls"][0] if name in IN_CALLS else message)[name] == GIVEN[name]


@pytest.mark.parametrize("row", ["openrouter", "custom", "vllm"])
@pytest.mark.parametrize("model", ["deepseek/deepseek-v4", "moonshotai/Kimi-K3"])
def test_reasoning_goes_back_through_a_gateway(
    app: Flask, upstream: FakeUpstream, row: str, model: str
) -> None:
    answer = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    thought = {**answer, "reasoning_content": "Hm"}
    (_, message, _) = sent(app, upstream, row, HI, thought, RESULT, model=model)["messages"]
    assert message == thought
    # Nothing is made up for a gateway: what is behind it may refuse the field.
    (_, message, _) = sent(app, upstream, row, HI, answer, RESULT, model=model)["messages"]
    assert message == answer


def test_the_endpoints_own_model_decides(app: Flask, upstream: FakeUpstream) -> None:
    answer = {"role": "assistant", "content": "x", "thinking_blocks": GIVEN["thinking_blocks"]}
    body = sent(app, upstream, "custom", HI, answer, HI, model="smart", endpointId="claude")
    assert body["messages"][1] == answer
    assert "thinking_blocks" not in sent(app, upstream, "custom", HI, answer, HI)["messages"][1]


def test_blocks_of_thinking_that_came_in_pieces_go_back_whole(
    app: Flask, upstream: FakeUpstream
) -> None:
    first = [{"type": "thinking", "thinking": "H", "index": 0},
             {"type": "thinking", "thinking": "m", "signature": None, "index": 1},
             {"type": "thinking", "thinking": ".", "signature": "c2ln", "index": 2}]  # fmt: skip
    hidden = {"type": "redacted_thinking", "data": "eA=="}
    cut = {"type": "thinking", "thinking": "never signed"}
    whole = [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}, hidden]
    answer = {"role": "assistant", "content": "x", "thinking_blocks": [*first, hidden, cut]}
    body = sent(app, upstream, "custom", HI, answer, HI, model="claude-sonnet")
    assert body["messages"][1]["thinking_blocks"] == whole
    for odd in ("x", [7], [{"thinking": "\ud800", "signature": "s"}]):
        answer["thinking_blocks"] = odd
        body = sent(app, upstream, "custom", HI, answer, HI, model="claude-sonnet")
        assert body["messages"][1] == {"role": "assistant", "content": "x"}


def test_the_host_may_say_what_an_alias_wants_back(upstream: FakeUpstream) -> None:
    models = {"vllm": {"smart": {"replay_fields": frozenset({"extra_content"})}}}
    app = make_app(upstream, config={"LLMCHAT_MODELS": models})
    call = {**CALL, "extra_content": SIGNED}
    answer = {"role": "assistant", "content": None, "tool_calls": [call]}
    body = sent(app, upstream, "vllm", HI, answer, RESULT, model="smart")
    assert body["messages"][1] == answer


# As reported


@needs_cases
@pytest.mark.parametrize(
    "name",
    [
        "08b-long-call-id-sent-back", "09a-mistral-prefix", "09b-deepseek-prefix",
        "09d-vllm-continue", "10a-openrouter-image-modalities",
        "12a-gemini-signature-through-a-gateway", "12b-reasoning-back-through-openrouter",
        "12d-thinking-blocks-through-litellm", "13a-mistral-thinking-part-back",
        "13c-vllm-audio-url",
    ],
)  # fmt: skip
def test_the_reported_requests_are_sent_as_they_came(
    app: Flask, upstream: FakeUpstream, name: str
) -> None:
    case = json.loads((CASES / f"{name}.json").read_text())
    response = app.test_client().post(case["POST"], json=case["body"], buffered=True)
    assert response.status_code == 200, response.text
    body = upstream.requests[-1].json
    for field in case["body"].keys() - {"endpointId"}:
        assert body[field] == case["body"][field]


@needs_cases
@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("11-developer-role-to-deepseek", "messages",
         [{"role": "system", "content": "Be brief."}, HI]),
        ("14-parallel-without-tools", "parallel_tool_calls", None),
        ("28-azure-own-name-max-tokens", "max_completion_tokens", 100),
    ],
)  # fmt: skip
def test_the_reported_requests_are_mended(
    app: Flask, upstream: FakeUpstream, name: str, field: str, value: Any
) -> None:
    case = json.loads((CASES / f"{name}.json").read_text())
    response = app.test_client().post(case["POST"], json=case["body"], buffered=True)
    assert response.status_code == 200, response.text
    assert upstream.requests[-1].json.get(field) == value
