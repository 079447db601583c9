"""The openai dialect over HTTP: what it takes, what it sends, byte for byte."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Response, abort, url_for
from flask.testing import FlaskClient

from flask_llmchat import ChatRequest, Endpoint, LLMChat
from flask_llmchat.dialects.openai.dialect import OpenAIDialect
from flask_llmchat.protocols.chat_completions.parser import ChatCompletionParser
from flask_llmchat.protocols.sse import SSEDecoder
from flask_llmchat.runs.body import StreamingBody
from flask_llmchat.runs.recorder import ChatRecorder
from flask_llmchat.testing import (
    CUT,
    FakeUpstream,
    Reply,
    error_reply,
    event,
    sse_reply,
    text_reply,
)
from flask_llmchat.transport.watchdog import CancelToken
from tests.support.apps import BY_CHAT_COMPLETIONS, HI, asked, finished, make_app
from tests.support.apps import body as text_body
from tests.support.recordings import everybodys_keys, recordings, route_of, wire_form

URL = "/api/chat/openai/chat/completions"
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.fixture(scope="module")
def one_upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture
def upstream(one_upstream: FakeUpstream) -> FakeUpstream:
    one_upstream.requests.clear()
    one_upstream._queue.clear()
    return one_upstream


@pytest.fixture
def chats() -> list[ChatRequest]:
    return []


@pytest.fixture
def app(upstream: FakeUpstream, chats: list[ChatRequest]) -> Flask:
    llmchat = LLMChat()
    llmchat.before_chat(chats.append)
    return make_app(
        upstream,
        profile=everybodys_keys(upstream),
        llmchat=llmchat,
        config={"LLMCHAT_MAX_MESSAGES": 50},
    )


def payloads(content: bytes) -> list[bytes]:
    """Return the data of each event in a stream."""
    reader = SSEDecoder()
    return [data for _, data in reader.feed(content) + reader.finish()]


def ask(client: FlaskClient, posted: Any, url: str = URL, **headers: str) -> Response:
    return client.post(url, json=posted, headers=headers, buffered=True)


def sent(client: FlaskClient, upstream: FakeUpstream, posted: Any, url: str = URL) -> Any:
    """Post what is taken; return what the provider was sent."""
    response = ask(client, posted, url)
    assert response.status_code == 200, response.text
    return upstream.requests[-1].json


def refused(client: FlaskClient, posted: Any, status: int = 422) -> str:
    response = ask(client, posted)
    assert response.status_code == status, response.text
    assert response.content_type == "application/json"
    (told,) = response.get_json().values()
    assert told["param"] is None
    return str(told["message"])


# The request


def test_the_parameters_reach_the_provider(
    client: FlaskClient, upstream: FakeUpstream, chats: list[ChatRequest]
) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    posted = asked(
        temperature=0.5,
        top_p=0.9,
        max_tokens=7,
        max_completion_tokens=9,
        n=1,
        stop=["a", "b"],
        seed=3,
        response_format={"type": "json_object"},
        tools=[tool],
        tool_choice="auto",
        parallel_tool_calls=False,
        frequency_penalty=0.1,
        presence_penalty=-0.1,
        logit_bias={"50256": -100},
        logprobs=True,
        top_logprobs=2,
        user="u",
        verbosity="low",
        prediction={"type": "content", "content": "x"},
        metadata={"a": "b"},
        store=False,
        safety_identifier="s",
        prompt_cache_key="k",
        top_k=40,
        min_p=0.1,
        top_a=0.2,
        repetition_penalty=1.1,
        reasoning={"effort": "low"},
        thinking={"type": "disabled"},
        enable_thinking=False,
        chat_template_kwargs={"x": 1},
        modalities=["text"],
    )
    got = sent(client, upstream, posted)
    # To this model the limit goes under its old name.
    del posted["n"], posted["modalities"], posted["max_completion_tokens"]
    posted["max_tokens"] = 9
    stream = {"stream": True, "stream_options": {"include_usage": True}}
    assert got == {**posted, **stream}
    (chat,) = chats
    assert (chat.dialect, chat.model, chat.temperature) == ("openai", "gpt-4.1", 0.5)
    assert (chat.max_tokens, chat.stop, chat.seed) == (9, ["a", "b"], 3)
    assert chat.extra["logit_bias"] == {"50256": -100}
    assert chat.raw["n"] == 1


def test_null_means_not_given(client: FlaskClient, upstream: FakeUpstream) -> None:
    from flask_llmchat.dialects.openai.request import BODY

    nothing = dict.fromkeys([n for n in BODY.fields if n not in ("model", "messages")])
    none = {"url": "https://example.com/a.png", "detail": None}
    part = {"type": "image_url", "image_url": none, "text": None, "cache_control": None}
    user = {"role": "user", "content": [part], "name": None, "tool_calls": None}
    got = sent(client, upstream, asked(user, **nothing | {"stop": []}))
    assert got["messages"] == [
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}],
        }
    ]
    assert set(got) == {"model", "messages", "stream", "stream_options"}


def test_every_parameter_of_the_sdk_is_known() -> None:
    """The SDK's newest parameters are taken, or refused with what to do."""
    from openai.types.chat import completion_create_params as params

    from flask_llmchat.dialects.openai.request import BODY

    names = set(params.CompletionCreateParamsStreaming.__annotations__)
    names |= set(params.CompletionCreateParamsBase.__annotations__)
    # These cost more: they are for a row to take.
    assert names - set(BODY.fields) == {"service_tier", "web_search_options"}


def test_what_a_provider_refuses_or_calls_otherwise(
    client: FlaskClient, upstream: FakeUpstream
) -> None:
    options = {"include_usage": True, "include_obfuscation": False}
    posted = asked(seed=1, stop="x", max_tokens=5, stream=True, stream_options=options)
    assert sent(client, upstream, posted)["stream_options"] == options
    got = sent(client, upstream, posted, URL.replace("/openai/", "/mistral/"))
    assert (got["random_seed"], got["max_tokens"]) == (1, 5)
    assert "stream_options" not in got and "seed" not in got
    assert "stop" not in sent(client, upstream, posted, URL.replace("/openai/", "/xai/"))


def test_parts_and_answers_go_on_as_every_provider_takes_them(
    client: FlaskClient, upstream: FakeUpstream
) -> None:
    parts = [
        {"type": "text", "text": "?", "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA", "filename": "a"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}},
    ]
    user = {"role": "user", "content": parts, "name": "ann"}
    tool = {"role": "tool", "tool_call_id": "c1", "content": "4"}
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    got = sent(client, upstream, asked(user, called, tool))
    assert got["messages"] == [user, called, tool]


# What SDKs and people hand back as an earlier answer, and what goes on of it.
ANSWERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nulls": (
        {
            "content": "x",
            "refusal": None,
            "annotations": [],
            "audio": None,
            "function_call": None,
            "tool_calls": None,
            "parsed": None,
            "reasoning_content": None,
            "reasoning_details": None,
            "name": None,
        },
        {"content": "x"},
    ),
    "what providers add": (
        {"content": "x", "token_id": 7, "channel": "finalfinal"},
        {"content": "x"},
    ),
    "added up": (
        {"role": "assistantassistantassistant", "name": "assistantassistant", "content": "x"},
        {"content": "x"},
    ),
    "a refusal": ({"content": None, "refusal": "No."}, {"content": "No."}),
    "refusal part": (
        {"content": [{"type": "refusal", "refusal": "No."}]},
        {"content": [{"type": "text", "text": "No."}]},
    ),
    "nothing": ({"content": None}, {"content": ""}),
    "calls": (
        {
            "tool_calls": [
                {
                    **CALL,
                    "index": 0,
                    "function": {**CALL["function"], "parsed_arguments": {}},  # type: ignore[dict-item]
                }
            ]
        },
        {"content": None, "tool_calls": [CALL]},
    ),
    "a call without its type": (
        {"content": "", "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": None}}]},
        {
            "content": "",
            "tool_calls": [{**CALL, "function": {"name": "f", "arguments": ""}}],
        },
    ),
    "a custom call": (
        {"tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}]},
        {
            "content": None,
            "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}],
        },
    ),
}


@pytest.mark.parametrize(("given", "goes_on"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_that_is_handed_back(
    client: FlaskClient, upstream: FakeUpstream, given: dict[str, Any], goes_on: dict[str, Any]
) -> None:
    got = sent(client, upstream, asked(HI, {"role": "assistant", **given}, HI))
    assert got["messages"] == [HI, {"role": "assistant", **goes_on}, HI]


def test_an_answer_of_thoughts_alone_is_taken(
    client: FlaskClient, upstream: FakeUpstream, chats: list[ChatRequest]
) -> None:
    thought = {"role": "assistant", "content": None, "reasoning": "hm"}
    assert sent(client, upstream, asked(HI, thought, HI))["messages"] == [HI, HI]
    assert chats[0].messages[1]["reasoning_content"] == "hm"


def test_thinking_goes_back_to_those_who_want_it(
    client: FlaskClient, upstream: FakeUpstream, chats: list[ChatRequest]
) -> None:
    details = [{"type": "reasoning.text", "text": "hm", "index": 0}]
    extra = {"google": {"thought_signature": "s"}}
    answer = {
        "role": "assistant",
        "content": "x",
        "reasoning": "hm",
        "reasoning_details": details,
        "tool_calls": [{**CALL, "extra_content": extra}],
    }
    for provider, kept in (
        ("deepseek", {"reasoning_content": "hm", "tool_calls": [CALL]}),
        ("openrouter", {"reasoning_details": details, "tool_calls": [CALL]}),
        ("google", {"tool_calls": [{**CALL, "extra_content": extra}]}),
    ):
        got = sent(client, upstream, asked(HI, answer), URL.replace("/openai/", f"/{provider}/"))
        assert got["messages"][1] == {"role": "assistant", "content": "x", **kept}
    assert chats[0].messages[1]["reasoning_content"] == "hm"


@pytest.mark.parametrize(
    ("posted", "message"),
    [
        ({}, "model: Missing data for required field; messages: Missing data"),
        (asked(n=2), "n: Only 1 choice is supported"),
        (asked(n=True), "n: Only 1 choice is supported"),
        (asked(n=[1]), "n: Only 1 choice is supported"),
        (asked(modalities=["text", "audio"]), 'modalities: Only ["text"] is answered'),
        (asked(audio={"voice": "x"}), "audio: Only text responses are supported"),
        (asked(functions=[]), "functions: Not supported; use tools"),
        (asked(function_call="auto"), "function_call: Not supported; use tool_choice"),
        (asked(api_key="sk-x"), "api_key: Unknown field"),
        (asked(chatSettings={}), "chatSettings: Unknown field"),
        (asked(stream="yes"), "stream: Not a valid boolean"),
        (asked(stream_options={"x": 1}), "stream_options.x: Unknown field"),
        (asked(max_tokens=0), "max_tokens: Must be greater than or equal to 1"),
        (asked(temperature=3), "temperature: Must be"),
        (asked(frequency_penalty="1"), "frequency_penalty: Not a valid number"),
        (asked(logit_bias=[]), "logit_bias: Not an object"),
        (asked(*[HI] * 51), "messages: 51 are too many; at most 50 are allowed."),
        (asked({"role": "function", "content": "x"}), "messages.0.role: Must be one of"),
        (asked({"role": "function", "content": "x"}), "send 'tool' with tool_call_id"),
        (asked({"role": "user", "content": None}), "messages.0.content: Field may not be null"),
        (asked({"role": "user", "content": "x", "key": 1}), "messages.0.key: Unknown field"),
        (asked({"role": "assistant"}), "messages.0.content: Missing data"),
        (asked({"role": "assistant", "content": "x", "apiKey": "s"}), "messages.0.apiKey: Unk"),
        (
            asked({"role": "assistant", "content": None, "function_call": {"name": "f"}}),
            "messages.0.function_call: Not supported; use tool_calls",
        ),
        (asked({"role": "assistant", "content": "x", "audio": {"id": "a"}}), "messages.0.audio"),
        (
            asked({"role": "assistant", "tool_calls": [{"id": None, "function": {"name": "f"}}]}),
            "messages.0.tool_calls.0.id: Field may not be null",
        ),
        (
            asked({"role": "user", "content": [{"type": "file", "file": {}}]}),
            "messages.0.content.0.file: Must have file_data or file_id",
        ),
        (
            asked({"role": "user", "content": [{"type": "text", "text": "x", "file": {}}]}),
            "messages.0.content.0.file",
        ),
        (
            asked({"role": "user", "content": [{"type": "text"}]}),
            "messages.0.content.0.text: Missing data",
        ),
        (asked(conversationId="c" * 257), "conversationId: Length must be between 1 and 256"),
        (asked(conversationId=7), "conversationId: Not a valid string"),
        (asked({"role": "user", "content": []}), "messages.0.content: Must have 1 to 256 parts"),
        (asked({"role": "user", "content": "\ud83d"}), "messages.0.content: Holds half a char"),
        (asked("Hi"), "messages.0: Invalid input type"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_field_is_named(
    client: FlaskClient, upstream: FakeUpstream, posted: Any, message: str
) -> None:
    assert message in refused(client, posted)
    assert upstream.requests == []


def answered(**fields: Any) -> bytes:
    return json.dumps(asked({"role": "assistant", "content": "x", **fields})).encode()


HOSTILE = {
    "calls": answered(tool_calls=[1] * 10**6),
    "thoughts": answered(reasoning_details=[{"type": "reasoning"}] * 10**5),
    "fields": answered(**{str(i): i for i in range(200_000)}),
    "nulls": answered(**dict.fromkeys(map(str, range(200_000)))),
    "role": answered(role="assistant" * 10**6 + "x"),
    "name of a function": answered(
        tool_calls=[{**CALL, "function": {str(i): 1 for i in range(10**5)}}]
    ),
    "stop": json.dumps(asked(stop=[1] * 10**6)).encode(),
    "parts": json.dumps(asked(*[{"role": "user", "content": [1] * 250}] * 50)).encode(),
    "parameters": json.dumps(asked(**{f"p{i}": None for i in range(200_000)})).encode(),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_body_costs_little_more_than_its_parsing(
    client: FlaskClient, content: bytes
) -> None:
    started = time.process_time()
    response = client.post(URL, data=content)
    assert response.status_code == 422
    assert len(response.data) < 4000
    assert time.process_time() - started < 5


def test_the_clients_key_and_query_go_nowhere(client: FlaskClient, upstream: FakeUpstream) -> None:
    key = "sk-of-the-client"
    headers = {"Authorization": f"Bearer {key}", "api-key": key, "OpenAI-Organization": key}
    assert ask(client, asked(), f"{URL}?api_key={key}", **headers).status_code == 200
    (request,) = upstream.requests
    assert key not in str(request.headers) and key.encode() not in request.body
    assert request.query == {}
    assert request.headers["Authorization"] == "Bearer sk-x"


def test_an_endpoint_of_the_users_own(upstream: FakeUpstream) -> None:
    llmchat = LLMChat()
    endpoint = Endpoint(upstream.base_url, "k")
    llmchat.endpoint_loader({"mine": endpoint}.get)
    config = {"LLMCHAT_ALLOW_PRIVATE_ENDPOINTS": True}
    client = make_app(upstream, llmchat=llmchat, config=config).test_client()
    url = URL.replace("/openai/", "/custom/")
    assert ask(client, asked(endpointId="mine"), url).status_code == 200
    response = ask(client, asked(endpointId="other"), url)
    assert response.status_code == 404
    assert response.get_json()["error"]["code"] == "model_not_found"


# The answer


def stream_of(
    client: FlaskClient, reply: Reply, upstream: FakeUpstream, **more: Any
) -> list[bytes]:
    upstream.add(reply)
    response = ask(client, asked(stream=True, **more))
    assert response.status_code == 200, response.text
    assert response.content_type == "text/event-stream; charset=utf-8"
    return payloads(response.data)


@pytest.fixture(scope="module")
def one_app(one_upstream: FakeUpstream) -> Flask:
    return make_app(one_upstream, everybodys_keys(one_upstream), BY_CHAT_COMPLETIONS)


# These are not passed on as they came, each for a reason.
MENDED = {
    "openai-two-choices": "nobody asked for a second answer",
    "mistral-tool-call": "its call has no index and no type",
    "kimi-tool-c": "its call begins without arguments",
    "mistral-hybrid-thinking": "its content is a list",
    "mistral-magistral": "its content is a list",
    "perplexity-citations": "its last chunk calls itself something else",
    "perplexity-crlf": "a second message beside the delta",
    "anthropic-compat-fallback": "its first call is number 1",
    "openrouter-annotations": "lists without an index, which Python's SDK fails on",
    "cloudflare-text": "it never says a role",
}


@pytest.mark.parametrize("recorded", recordings())
def test_a_recordings_payloads_are_passed_byte_for_byte(
    recorded: dict[str, Any], one_app: Flask, upstream: FakeUpstream
) -> None:
    raw = wire_form(recorded)
    upstream.add(sse_reply(raw, split=4096))
    client = one_app.test_client()
    url = URL.replace("/openai/", f"/{route_of(recorded)}/")
    options = {"include_usage": True}
    response = ask(client, asked(stream=True, stream_options=options), url)
    told, came = payloads(response.data), payloads(raw)
    if came[-1] != b"[DONE]":
        came.append(b"[DONE]")
    if "x_groq" in recorded["features"] or (told[-2] not in came and recorded["id"] not in MENDED):
        # Groq told the usage in a place of its own.
        assert json.loads(told.pop(-2))["usage"] == recorded["expected"]["usage"]
        assert recorded["provider"] == "groq"
    assert (told == came) is (recorded["id"] not in MENDED)


def test_the_usage_is_told_to_those_who_ask(client: FlaskClient, upstream: FakeUpstream) -> None:
    reply = text_reply("a", usage={"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5})
    without = stream_of(client, reply, upstream)
    assert not any(json.loads(p).get("usage") for p in without[:-1])
    told = stream_of(client, reply, upstream, stream_options={"include_usage": True})
    assert len(told) == len(without) + 1
    assert json.loads(told[-2])["usage"]["total_tokens"] == 5
    # By a provider that tells it with the text, and says more afterwards.
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    head = {"id": "i", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    delta = {"index": 0, "delta": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}
    last = {"index": 0, "delta": {"content": ""}, "finish_reason": None}
    odd = Reply(
        body=[
            event({**head, "choices": [delta], "usage": usage}),
            event({**head, "choices": [last]}),
        ]
    )
    told = stream_of(client, odd, upstream, stream_options={"include_usage": True})
    made = json.loads(told[-2])
    assert made == {**head, "choices": [], "usage": {**usage, "total_tokens": 2}}


def test_nothing_is_written_before_there_is_something_to_see(
    client: FlaskClient, upstream: FakeUpstream
) -> None:
    filtered = {"id": "", "object": "", "created": 0, "model": "", "choices": []}
    role = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    head = {"id": "i", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    before = [
        event({**filtered, "prompt_filter_results": [{"prompt_index": 0}]}),
        event({**head, "choices": [role]}),
    ]
    upstream.add(Reply(body=[*before, event({"error": {"message": "Too bad", "code": 503}})]))
    response = ask(client, asked(stream=True))
    assert response.status_code == 503
    assert response.get_json()["error"]["message"] == "Too bad"
    text = {"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}
    told = stream_of(client, Reply(body=[*before, event({**head, "choices": [text]})]), upstream)
    assert [b"data: %b\n\n" % p for p in told[:2]] == before
    assert told[-1] == b"[DONE]"


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_without_anything_in_it(
    client: FlaskClient, upstream: FakeUpstream, stream: bool
) -> None:
    upstream.add(text_reply(usage=None))
    response = ask(client, asked(stream=stream))
    assert response.status_code == 502
    assert response.get_json()["error"] == {
        "message": "The answer had nothing in it.",
        "type": "api_error",
        "code": "upstream_error",
        "param": None,
    }


class QuietStream:
    """A provider that pauses after every chunk for longer than we are patient."""

    def __init__(self, *pieces: str) -> None:
        self.parser = ChatCompletionParser(passthrough=True)
        self._reads: list[Any] = []
        for piece in pieces:
            delta = {"role": "assistant", "content": piece}
            choice = {"index": 0, "delta": delta, "finish_reason": None}
            self._reads += [self.parser.read({"choices": [choice]}, b"{}"), None]

    def read(self, timeout: float | None = None) -> Any:
        while self._reads:
            events = self._reads.pop(0)
            if events is not None or timeout is not None:
                return events
        return []

    def close(self) -> None:
        pass


def test_heartbeats_stand_between_events_and_never_before_the_first() -> None:
    chat = ChatRequest(provider="x", model="m", messages=[], raw={"stream": True})
    stream: Any = QuietStream("", "a", "b")
    encoder = OpenAIDialect().encoder(chat)
    recorder = ChatRecorder(chat, lambda result: None)
    recorder.start_attempt("x", "m")
    recorder.open_attempt(stream.parser, None)
    cancel = CancelToken(None, time.monotonic() + 60)
    streaming = StreamingBody(stream, encoder, recorder, cancel, heartbeat=15.0)
    streaming.start()
    pieces = list(streaming)
    assert [p == encoder.heartbeat for p in pieces] == [False, True, False, True, False]
    assert len(payloads(b"".join(pieces))) == 5  # the role, a, b, the ending, [DONE]


def test_an_ending_is_made_where_the_provider_says_none(
    client: FlaskClient, upstream: FakeUpstream
) -> None:
    head = {"id": "i", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    told = stream_of(client, text_reply("a", finish_reason=None, usage=None), upstream)
    assert json.loads(told[-2])["choices"][0]["finish_reason"] == "stop"
    delta = {"role": "assistant", "tool_calls": [{**CALL, "index": 0}]}
    call = {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    told = stream_of(client, Reply(body=[event(call), b"data: [DONE]\n\n"]), upstream)
    choice = {"index": 0, "delta": {}, "finish_reason": "tool_calls"}
    assert json.loads(told[-2]) == {**head, "choices": [choice]}


def test_an_error_in_the_middle_ends_the_stream(
    client: FlaskClient, upstream: FakeUpstream
) -> None:
    told = stream_of(client, text_reply("a", finish_reason=None, done=False), upstream)
    assert json.loads(told[-1]) == {
        "error": {
            "message": "OpenAI broke off before the answer was complete.",
            "type": "api_error",
            "code": "truncated",
            "param": None,
        }
    }


def test_a_whole_answer(client: FlaskClient, upstream: FakeUpstream) -> None:
    head = {"id": "i", "object": "chat.completion.chunk", "created": 1, "model": "m"}

    def chunk(finish: str | None = None, logprobs: Any = None, **delta: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": logprobs}
        return event({**head, "system_fingerprint": "fp", "choices": [choice]})

    def logprob(token: str) -> dict[str, Any]:
        return {"content": [{"token": token, "logprob": -1.0}], "refusal": None}

    citation = {"type": "url_citation", "url_citation": {"url": "https://a", "title": "A"}}
    upstream.add(
        Reply(
            body=[
                chunk(role="assistant", reasoning="hm"),
                chunk(content="a", logprobs=logprob("a")),
                chunk(content="b", logprobs=logprob("b"), annotations=[citation]),
                chunk(tool_calls=[{**CALL, "index": 0}]),
                chunk(images=[{"image_url": {"url": "data:image/png;base64,AA"}}]),
                chunk("tool_calls"),
                event({**head, "choices": [], "usage": {"prompt_tokens": 1, "cost": 0.5}}),
            ]
        )
    )
    response = ask(client, asked())
    assert response.content_type == "application/json"
    usage = {"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1, "cost": 0.5}
    assert response.get_json() == {
        **head,
        "object": "chat.completion",
        "system_fingerprint": "fp",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "ab",
                    "refusal": None,
                    "reasoning_content": "hm",
                    "annotations": [citation],
                    "tool_calls": [CALL],
                    "images": [
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
                    ],
                },
                "finish_reason": "tool_calls",
                "logprobs": {
                    "content": [
                        {"token": "a", "logprob": -1.0},
                        {"token": "b", "logprob": -1.0},
                    ],
                    "refusal": None,
                },
            }
        ],
        "usage": usage,
    }


@pytest.mark.parametrize(
    "reply",
    [
        text_reply("a", finish_reason=None, done=False),
        text_reply("a", finish_reason=None, done=False, usage=None, then=[CUT]),
    ],
)
def test_a_whole_answer_that_breaks_off_has_a_status(
    client: FlaskClient, app: Flask, upstream: FakeUpstream, reply: Reply
) -> None:
    upstream.add(reply)
    with finished(app) as done:
        response = ask(client, asked())
    assert response.status_code == 502
    assert response.get_json()["error"]["code"] == "truncated"
    assert "x-should-retry" not in response.headers
    assert (done.only.outcome, done.only.text) == ("truncated", "a")


@pytest.mark.parametrize("stream", [True, False])
def test_a_fallback_answers_as_if_nothing_had_been(upstream: FakeUpstream, stream: bool) -> None:
    fallbacks = {"openai": {"groq": {}}}
    client = make_app(upstream, config={"LLMCHAT_FALLBACKS": fallbacks}).test_client()
    # Whole answers may break off anywhere; of a stream nothing may have been seen.
    broken = text_reply(*([] if stream else ["Good"]), finish_reason=None, done=False)
    upstream.add(broken, text_reply("Hello", model="other"))
    response = ask(client, asked(stream=stream))
    assert response.status_code == 200
    if stream:
        told = [json.loads(p) for p in payloads(response.data)[:-1]]
        assert {chunk["model"] for chunk in told} == {"other"}
        assert "".join(c["choices"][0]["delta"].get("content", "") for c in told) == "Hello"
    else:
        assert response.get_json()["choices"][0]["message"]["content"] == "Hello"
        assert response.get_json()["model"] == "other"


# Errors, and who may ask


@pytest.mark.parametrize(
    ("reply", "status", "type_", "code", "retry"),
    [
        (error_reply(401, "x"), 401, "authentication_error", "bad_key", None),
        (error_reply(402, "x"), 402, "insufficient_quota", "out_of_credit", None),
        (error_reply(403, "x"), 403, "permission_error", "no_permission", None),
        (error_reply(404, "x"), 404, "invalid_request_error", "bad_request", None),
        (error_reply(429, "x"), 429, "rate_limit_error", "rate_limited", None),
        (
            error_reply(429, "x", code="insufficient_quota"),
            429,
            "insufficient_quota",
            "out_of_credit",
            "false",
        ),
        (error_reply(503, "x"), 503, "api_error", "overloaded", None),
        (error_reply(500, "x"), 500, "api_error", "upstream_error", None),
    ],
)
def test_errors_before_the_answer(
    upstream: FakeUpstream, reply: Reply, status: int, type_: str, code: str, retry: str | None
) -> None:
    client = make_app(upstream, config={"LLMCHAT_MAX_RETRIES": 0}).test_client()
    for stream in (True, False):
        upstream.add(reply)
        response = ask(client, asked(stream=stream))
        assert response.status_code == status
        told = response.get_json()["error"]
        assert (told["type"], told["code"], told["param"]) == (type_, code, None)
        assert response.headers.get("x-should-retry") == retry
        assert response.headers["X-Request-ID"]


def test_errors_of_ours_have_the_same_form(client: FlaskClient, upstream: FakeUpstream) -> None:
    url = URL.replace("/openai/", "/nobody/")
    for response, status in (
        (client.post(URL, data=b"{"), 400),
        (client.get(URL), 405),
        (ask(client, asked(), url), 404),
        (client.post(URL, data=b" " * (16 * 2**20 + 1)), 413),
        (client.post(URL, data=b"{}", headers={"Sec-Fetch-Site": "cross-site"}), 403),
        (ask(make_app(upstream, profile=None).test_client(), asked()), 401),
    ):
        assert response.status_code == status
        assert response.get_json()["error"]["message"]
    assert upstream.requests == []


def test_what_the_host_refuses_has_the_same_form(upstream: FakeUpstream) -> None:
    def closed(view: Any) -> Any:
        return lambda **values: abort(401, "Log in first.")

    client = make_app(upstream, decorators=[closed]).test_client()
    for response in (ask(client, asked()), client.get("/api/chat/openai/models")):
        assert response.status_code == 401
        assert response.get_json() == {
            "error": {
                "message": "Log in first.",
                "type": "authentication_error",
                "code": "no_permission",
                "param": None,
            }
        }


def test_the_other_path_still_speaks_as_it_did(client: FlaskClient, app: Flask) -> None:
    with app.test_request_context():
        assert url_for("llmchat.openai") == "/api/chat/openai"
        assert url_for("llmchat.azure") == "/api/chat/azure"
    with client.post("/api/chat/openai", json=text_body()) as response:
        assert response.text == "Hello from the fake upstream."


# Models


def test_models_are_listed(upstream: FakeUpstream) -> None:
    config = {"LLMCHAT_MODELS": {"openai": {"my/own": {}}}, "LLMCHAT_PROVIDERS": ["openai"]}
    client = make_app(upstream, config=config).test_client()
    told = client.get("/api/chat/openai/models").get_json()
    assert told["object"] == "list"
    first, last = told["data"][0], told["data"][-1]
    assert set(first) == {"id", "object", "created", "owned_by"}
    assert last == {"id": "my/own", "object": "model", "created": 0, "owned_by": "openai"}
    for name in ("my/own", "my%2Fown"):
        assert client.get(f"/api/chat/openai/models/{name}").get_json() == last
    response = client.get("/api/chat/openai/models/nothing")
    assert response.status_code == 404
    assert response.get_json()["error"]["code"] == "model_not_found"
    response = client.get("/api/chat/groq/models")
    assert response.status_code == 404
    message = response.get_json()["error"]["message"]
    assert message == "Unknown provider 'groq'. Available: openai."
    assert upstream.requests == []


def test_other_methods_where_models_are_listed(client: FlaskClient) -> None:
    url = "/api/chat/openai/models"
    assert client.head(url).status_code == 200
    assert client.head(url).data == b""
    response = client.options(url)
    assert (response.status_code, response.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")
    for path in (url, f"{url}/gpt-4.1", "/api/chat/nobody/models"):
        response = client.delete(path)
        assert response.status_code == 405
        assert response.headers["Allow"] == "GET, HEAD, OPTIONS"
        assert response.get_json()["error"]["message"] == "DELETE is not allowed here; use GET."


def test_models_are_for_those_who_may_chat(upstream: FakeUpstream) -> None:
    response = make_app(upstream, profile=None).test_client().get("/api/chat/openai/models")
    assert response.status_code == 401
    assert response.get_json()["error"]["message"] == "Profile not found"


def test_without_the_dialect_there_are_no_models(upstream: FakeUpstream) -> None:
    from flask_llmchat.dialects.text.dialect import TextDialect

    client = make_app(upstream, dialects=[TextDialect()]).test_client()
    assert client.get("/api/chat/openai/models").status_code == 404
    assert ask(client, asked()).status_code in (404, 405)


@pytest.mark.parametrize(
    "path",
    [
        "responses",
        "completions",
        "embeddings",
        "v1/chat/completions",
        "models/",
        "chat/completions/",
    ],
)
def test_a_path_that_leads_nowhere_says_where_to_go(client: FlaskClient, path: str) -> None:
    for method in ("get", "post"):
        response = getattr(client, method)(f"/api/chat/openai/{path}")
        assert response.status_code == 404
        error = response.get_json()["error"]
        assert "Chats are at /chat/completions" in error["message"]


def test_a_providers_own_parameters_go_to_it_and_to_no_other(upstream: FakeUpstream) -> None:
    client = make_app(upstream).test_client()
    own = {"provider": {"order": ["Groq"]}, "usage": {"include": True}}
    asked = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **own}
    url = "/api/chat/{}/chat/completions"
    assert client.post(url.format("openrouter"), json=asked).status_code == 200
    assert upstream.requests[0].json["provider"] == own["provider"]
    response = client.post(url.format("groq"), json=asked)
    assert response.status_code == 422
    assert response.json["error"]["message"] == "provider: Unknown field; usage: Unknown field"
    # Nor is a model chosen behind the back of a host that looks at chat.model.
    response = client.post(url.format("openrouter"), json={**asked, "models": ["expensive"]})
    assert response.json["error"]["message"] == "models: Unknown field"
    bad = {**asked, "provider": "\ud83d"}
    assert client.post(url.format("openrouter"), json=bad).status_code == 422


def test_own_parameters_do_not_go_to_a_fallback(upstream: FakeUpstream) -> None:
    upstream.add(error_reply(503, "busy"), text_reply("Hi"))
    config = {"LLMCHAT_FALLBACKS": {"openrouter": ["groq"]}, "LLMCHAT_MAX_RETRIES": 0}
    client = make_app(upstream, config=config).test_client()
    asked = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    asked |= {"provider": {"sort": "price"}, "top_k": 3, "include_reasoning": True}
    url = "/api/chat/openrouter/chat/completions"
    assert client.post(url, json=asked).status_code == 200
    sent = upstream.requests[1].json
    assert "provider" not in sent
    assert (sent["top_k"], sent["include_reasoning"]) == (3, True)


def test_one_id_for_a_chat_however_it_is_refused(upstream: FakeUpstream) -> None:
    llmchat = LLMChat()

    @llmchat.before_chat
    def refuse(chat: ChatRequest) -> None:
        abort(403)

    app = make_app(upstream, llmchat=llmchat)
    with finished(app) as done:
        response = app.test_client().post("/api/chat/openai", json=text_body())
        assert response.headers["X-Request-ID"] == response.json["request_id"]
        assert done.only.request_id == response.json["request_id"]


def test_a_format_that_an_sdk_has_joined_is_said_once(upstream: FakeUpstream) -> None:
    detail = {"type": "reasoning.text", "text": "Hm Hm", "format": "anthropic-claude-v1" * 3}
    answer = {"role": "assistant", "content": "Hi", "reasoning_details": [detail]}
    asked = [{"role": "user", "content": "Hi"}, answer, {"role": "user", "content": "And?"}]
    client = make_app(upstream).test_client()
    client.post("/api/chat/openrouter/chat/completions", json={"model": "m", "messages": asked})
    (sent,) = upstream.requests[0].json["messages"][1]["reasoning_details"]
    assert sent == {**detail, "format": "anthropic-claude-v1"}


def test_calls_are_told_whole_where_the_provider_says_stop(upstream: FakeUpstream) -> None:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    chunk = {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": "stop"}]}
    upstream.add(Reply(body=[event(chunk), b"data: [DONE]\n\n"]))
    client = make_app(upstream).test_client()
    asked = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    response = client.post("/api/chat/openai/chat/completions", json=asked)
    assert response.json["choices"][0]["finish_reason"] == "tool_calls"
