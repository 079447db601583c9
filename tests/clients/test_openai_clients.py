"""OpenAI's own SDKs as clients of ours, over real sockets; the recordings as they read them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from openai import (
    APIError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    AuthenticationError,
    BadRequestError,
    DefaultHttpxClient,
    InternalServerError,
    LengthFinishReasonError,
    NotFoundError,
    OpenAI,
    PermissionDeniedError,
    RateLimitError,
    UnprocessableEntityError,
)

from flask_llmchat.dialects.openai.encoder import ChunkEncoder
from flask_llmchat.testing import (
    CUT,
    HOLD,
    FakeUpstream,
    ReceivedRequest,
    Reply,
    error_reply,
    event,
    sse_reply,
    text_reply,
)
from tests.support.apps import BY_CHAT_COMPLETIONS, finished, make_app
from tests.support.node import run_js
from tests.support.recordings import (
    assert_as_expected,
    everybodys_keys,
    expected_calls,
    recordings,
    route_of,
    wire_form,
)
from tests.support.servers import client_of, served

STREAMS: dict[str, Any] = {p.values[0]["id"]: p.values[0] for p in recordings() if p.values[0]}


def play(request: ReceivedRequest) -> Reply:
    """Answer with the recording that the question names."""
    recorded = STREAMS[request.json["messages"][-1]["content"]]
    return sse_reply(wire_form(recorded), split=4096)


@pytest.fixture(scope="module")
def http_client() -> Iterator[Any]:
    """Give what a client's connections are made with: a new one each takes most of the time."""
    with DefaultHttpxClient() as shared:
        yield shared


@pytest.fixture(scope="module")
def player() -> Iterator[Any]:
    with FakeUpstream(play) as upstream:
        app = make_app(upstream, everybodys_keys(upstream), BY_CHAT_COMPLETIONS)
        with served(app) as port, finished(app) as done:
            yield port, done


def asked(recorded: dict[str, Any]) -> dict[str, Any]:
    return {"model": "gpt-4.1", "messages": [{"role": "user", "content": recorded["id"]}]}


def calls_in(message: Any) -> list[tuple[str, str, str]]:
    return [(c.id, c.function.name, c.function.arguments) for c in message.tool_calls or []]


def assert_message(completion: Any, expected: dict[str, Any]) -> None:
    """Hold an SDK's completion against the recording's index."""
    (choice,) = completion.choices
    message = choice.message
    assert (message.content or "") == expected["text"]
    thought = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    if thought or expected["reasoning_field"] != "reasoning_details":
        assert (thought or "") == expected["reasoning"]
    assert calls_in(message) == expected_calls(expected)
    assert choice.finish_reason == expected["finish_reason"]
    usage = completion.usage and completion.usage.to_dict()
    assert usage == expected["usage"]


@pytest.mark.parametrize("recorded", recordings())
def test_pythons_sdk_adds_a_recorded_stream_up(
    recorded: dict[str, Any], player: Any, http_client: Any
) -> None:
    port, done = player
    done.results.clear()
    expected = recorded["expected"]
    client = client_of(port, route_of(recorded), http_client=http_client)
    options = {"stream_options": {"include_usage": True}}
    with client.chat.completions.stream(**asked(recorded), **options) as stream:
        for _ in stream:
            pass
        try:
            added_up = stream.get_final_completion()
        except LengthFinishReasonError as error:  # its way to tell that the limit was reached
            added_up = error.completion
        assert_message(added_up, expected)
    with client.chat.completions.create(**asked(recorded), stream=True) as chunks:
        told = list(chunks)
    completion = client.chat.completions.create(**asked(recorded))
    pieces = [c.choices[0].delta.content or "" for c in told if c.choices]
    assert "".join(pieces) == expected["text"]
    assert not any(c.usage and not c.choices for c in told)  # nobody asked
    assert_message(completion, expected)
    assert completion.object == "chat.completion"
    for result in done.wait(3):
        assert_as_expected(result, expected)


@pytest.fixture(scope="module")
def nodes_sdk(player: Any) -> dict[str, Any]:
    jobs = [{"id": id_, "route": route_of(recorded)} for id_, recorded in STREAMS.items()]
    told: dict[str, Any] = run_js("openai_recordings.mjs", {"port": player[0], "jobs": jobs})
    return told


@pytest.mark.external
@pytest.mark.parametrize("recorded", recordings())
def test_nodes_sdk_adds_a_recorded_stream_up(
    recorded: dict[str, Any], nodes_sdk: dict[str, Any]
) -> None:
    told, expected = nodes_sdk[recorded["id"]], recorded["expected"]
    assert told.get("error") is None
    names = ("text", "finish_reason", "usage")
    for completion in (told["accumulated"], told["whole"]):
        assert completion["role"] == "assistant"
        calls = [(c["id"], c["name"], c["arguments"]) for c in completion["tool_calls"]]
        assert calls == expected_calls(expected)
        assert {n: completion[n] for n in names} == {n: expected[n] for n in names}
    # Its accumulator keeps the last piece alone of what it does not know.
    assert told["whole"]["reasoning"] == expected["reasoning"]
    assert told["loop"] == expected["text"]
    assert told["usages"] == 0


# What can go wrong: what the provider says, and the class, code and type that it is raised as.
ERRORS: dict[str, tuple[Reply, type[APIStatusError], str, str]] = {
    "400": (error_reply(400, "Wrong."), BadRequestError, "bad_request", "invalid_request_error"),
    "401": (error_reply(401, "x"), AuthenticationError, "bad_key", "authentication_error"),
    "402": (error_reply(402, "Pay."), APIStatusError, "out_of_credit", "insufficient_quota"),
    "403": (error_reply(403, "No."), PermissionDeniedError, "no_permission", "permission_error"),
    "404": (
        error_reply(404, "None.", code="model_not_found"),
        NotFoundError,
        "model_not_found",
        "invalid_request_error",
    ),
    "422": (
        error_reply(422, "Odd."),
        UnprocessableEntityError,
        "bad_request",
        "invalid_request_error",
    ),
    "429": (error_reply(429, "Slow."), RateLimitError, "rate_limited", "rate_limit_error"),
    "429 of money": (
        error_reply(429, "Pay.", code="insufficient_quota"),
        RateLimitError,
        "out_of_credit",
        "insufficient_quota",
    ),
    "500": (error_reply(500, "Oh."), InternalServerError, "upstream_error", "api_error"),
    "503": (error_reply(503, "Busy."), InternalServerError, "overloaded", "api_error"),
    "in the stream": (
        Reply(body=[event({"error": {"message": "Oh.", "code": 500}})]),
        InternalServerError,
        "upstream_error",
        "api_error",
    ),
}
MESSAGES = {"401": "OpenAI API Key is incorrect. Please fix it in your profile settings."}
MIDDLE = {
    "cut": text_reply("a", finish_reason=None, usage=None, done=False, then=[CUT]),
    "ends": text_reply("a", finish_reason=None, usage=None, done=False),
    "told": text_reply(
        "a",
        finish_reason=None,
        usage=None,
        done=False,
        then=[event({"error": {"message": "Busy.", "code": 503}})],
    ),
}
TOLD = {
    "cut": ("OpenAI broke off before the answer was complete.", "truncated"),
    "ends": ("OpenAI broke off before the answer was complete.", "truncated"),
    "told": ("Busy.", "overloaded"),
}


@pytest.fixture(scope="module")
def failing() -> Iterator[Any]:
    def respond(request: ReceivedRequest) -> Reply:
        name = request.json["messages"][-1]["content"]
        return ERRORS[name][0] if name in ERRORS else MIDDLE[name]

    with FakeUpstream(respond) as upstream:
        config = {"LLMCHAT_MAX_RETRIES": 0}
        with served(make_app(upstream, config=config)) as port:
            yield port, upstream


def hi(text: str) -> dict[str, Any]:
    return {"model": "gpt-4.1", "messages": [{"role": "user", "content": text}]}


def test_every_error_is_raised_as_pythons_own(failing: Any) -> None:
    port, upstream = failing
    with client_of(port) as client:
        for name, (reply, kind, code, type_) in ERRORS.items():
            for stream in (True, False):
                with pytest.raises(kind) as raised:
                    client.chat.completions.create(**hi(name), stream=stream)
                error: Any = raised.value
                assert type(error) is kind
                assert (error.code, error.type, error.param) == (code, type_, None)
                assert error.status_code == (500 if reply.status == 200 else reply.status)
                assert error.request_id
                if name in MESSAGES:
                    assert MESSAGES[name] in error.message
        with pytest.raises(UnprocessableEntityError, match="n: Only 1 choice"):
            client.chat.completions.create(**hi("x"), n=2)


@pytest.mark.parametrize("name", MIDDLE)
def test_a_failure_in_the_middle_is_raised_by_pythons(name: str, failing: Any) -> None:
    with client_of(failing[0]) as client:
        told = []
        with (
            pytest.raises(APIError) as raised,
            client.chat.completions.create(**hi(name), stream=True) as stream,
        ):
            for chunk in stream:
                told.append(chunk.choices[0].delta.content)
        assert (raised.value.message, raised.value.code) == TOLD[name]
        assert told == ["", "a"]
        with (
            pytest.raises(APIError, match=TOLD[name][0]),
            client.chat.completions.stream(**hi(name)) as events,
        ):
            events.until_done()
        with pytest.raises(InternalServerError) as whole:  # nothing was written: it has a status
            client.chat.completions.create(**hi(name))
        assert whole.value.code == TOLD[name][1]


@pytest.mark.external
def test_every_error_is_raised_as_nodes_own(failing: Any) -> None:
    names = [*ERRORS, *MIDDLE]
    jobs = [{"body": {**hi(name), "stream": stream}} for name in names for stream in (True, False)]
    jobs += [{"body": hi(name), "accumulate": True} for name in MIDDLE]
    told = run_js("openai_jobs.mjs", {"port": failing[0], "jobs": jobs})
    for name, answer in zip(MIDDLE, told[2 * len(names) :], strict=True):
        assert (answer["error"]["message"], answer["error"]["code"]) == TOLD[name]
    for i, name in enumerate(names):
        for stream, answer in zip((True, False), told[2 * i : 2 * i + 2], strict=True):
            error = answer["error"]
            assert error["isApiError"]
            if name in ERRORS:
                reply, kind, code, type_ = ERRORS[name]
                # It has no name of its own for other statuses.
                assert error["name"] == ("APIError" if kind is APIStatusError else kind.__name__)
                assert (error["code"], error["type"]) == (code, type_)
                assert MESSAGES.get(name, "") in error["message"]
            elif stream:
                assert (error["message"], error["code"]) == TOLD[name]
                assert answer["text"] == "a" and "complete" not in answer
            else:
                assert (error["status"], error["code"]) == (
                    503 if name == "told" else 502,
                    TOLD[name][1],
                )


def test_sdks_ask_again_only_where_it_may_help(failing: Any) -> None:
    port, upstream = failing
    job = {"body": hi("429 of money"), "retries": 2}
    upstream.requests.clear()
    told = run_js("openai_jobs.mjs", {"port": port, "jobs": [job]})
    assert told[0]["error"]["code"] == "out_of_credit"
    with client_of(port).with_options(max_retries=2) as client:
        with pytest.raises(RateLimitError):
            client.chat.completions.create(**hi("429 of money"))
        assert len(upstream.requests) == 2  # one of each
        with pytest.raises(InternalServerError):
            client.with_options(max_retries=1).chat.completions.create(**hi("503"))
        assert len(upstream.requests) == 4


def test_models_are_listed_and_found(failing: Any) -> None:
    port = failing[0]
    jobs = [
        {"list": True, "route": "groq"},
        {"retrieve": "openai/gpt-oss-120b", "route": "groq"},
        {"retrieve": "nothing", "route": "groq"},
    ]
    listed, one, none = run_js("openai_jobs.mjs", {"port": port, "jobs": jobs})
    assert none["error"]["name"] == "NotFoundError"
    with client_of(port, "groq") as client:
        models = client.models.list().data
        model = client.models.retrieve("openai/gpt-oss-120b")
        with pytest.raises(
            NotFoundError, match="This model is not in the catalogue of Groq; it may"
        ):
            client.models.retrieve("nothing")
    assert model.to_dict() == one["model"]
    assert [m.to_dict() for m in models] == listed["models"]
    assert model in models and model.owned_by == "groq"


# Whole conversations


@pytest.mark.parametrize("route", ["openai", "openrouter"])
@pytest.mark.parametrize("way", ["accumulated", "whole"])
def test_a_tool_is_called_and_its_result_answered(route: str, way: str) -> None:
    first = f"{route}-tool-1"
    if first not in STREAMS:
        pytest.skip("no recordings beside the checkout")
    expected = STREAMS[first]["expected"]
    with FakeUpstream() as upstream:
        for name in (first, f"{route}-tool-2"):
            upstream.add(sse_reply(wire_form(STREAMS[name])))
        app = make_app(upstream)
        with served(app) as port, client_of(port, route) as client:
            name = expected["tool_calls"][0]["name"]
            function: Any = {"name": name, "parameters": {"type": "object"}}
            tools: Any = [{"type": "function", "function": function}]
            messages: list[Any] = [{"role": "user", "content": "Ask the tool."}]
            chats = client.chat.completions
            if way == "accumulated":
                with chats.stream(model="gpt-4.1", messages=messages, tools=tools) as stream:
                    answer: Any = stream.get_final_completion().choices[0].message
            else:
                answer = chats.create(model="gpt-4.1", messages=messages, tools=tools)
                answer = answer.choices[0].message
            messages.append(answer)  # as the SDK's own guide does
            (call,) = answer.tool_calls
            messages.append({"role": "tool", "tool_call_id": call.id, "content": "4"})
            second = chats.create(model="gpt-4.1", messages=messages, tools=tools)
        told = STREAMS[f"{route}-tool-2"]["expected"]["text"]
        assert second.choices[0].message.content == told
        sent = upstream.requests[1].json["messages"]
    assert sent[0] == messages[0] and sent[2] == messages[2]
    (call_,) = expected["tool_calls"]
    function = {"name": call_["name"], "arguments": call_["arguments"]}
    assert sent[1]["tool_calls"] == [{"id": call_["id"], "type": "function", "function": function}]
    assert set(sent[1]) == {"role", "content", "tool_calls"}
    assert sent[1]["role"] == "assistant"


def test_the_async_client(upstream: FakeUpstream) -> None:
    async def chat(port: int) -> tuple[str, str]:
        url = f"http://127.0.0.1:{port}/api/chat/openai"
        async with AsyncOpenAI(base_url=url, api_key="sk-of-the-client") as client:
            stream = await client.chat.completions.create(**hi("Hi"), stream=True)
            pieces = [c.choices[0].delta.content or "" async for c in stream if c.choices]
            whole = await client.chat.completions.create(**hi("Hi"))
            return "".join(pieces), whole.choices[0].message.content or ""

    with served(make_app(upstream)) as port:
        hello = "Hello from the fake upstream."
        assert asyncio.run(chat(port)) == (hello, hello)


def test_heartbeats_are_passed_over() -> None:
    """Of the SDKs themselves: they pass over comments, before and between events."""
    beat = ChunkEncoder.heartbeat
    steps = [beat, *(each for step in text_reply("a", "b").body for each in (step, beat))]
    with FakeUpstream() as upstream, OpenAI(base_url=upstream.base_url, api_key="x") as client:
        upstream.add(Reply(body=steps), Reply(body=steps))
        with client.chat.completions.create(**hi("Hi"), stream=True) as stream:
            assert [c.choices[0].delta.content for c in stream if c.choices] == ["", "a", "b", None]
        job = {"url": upstream.base_url, "body": {**hi("Hi"), "stream": True}}
        (told,) = run_js("openai_jobs.mjs", {"port": 0, "jobs": [job]})
        assert (told["text"], told.get("complete")) == ("ab", True)


def test_who_leaves_amid_a_stream_ends_the_call(upstream: FakeUpstream) -> None:
    upstream.add(text_reply("a", finish_reason=None, usage=None, done=False, then=[HOLD]))
    app = make_app(upstream)
    with served(app) as port, finished(app) as done, client_of(port) as client:
        stream = client.chat.completions.create(**hi("Hi"), stream=True)
        assert [next(stream).choices[0].delta.content for _ in range(2)] == ["", "a"]
        left = time.monotonic()
        stream.close()
        upstream.wait_for(lambda fake: bool(fake.gone), timeout=2)
        assert upstream.gone[0] - left < 1
        assert (done.only.outcome, done.only.text) == ("cancelled", "a")


def test_who_waits_no_longer_for_a_whole_answer_ends_the_call(upstream: FakeUpstream) -> None:
    upstream.add(text_reply("a", finish_reason=None, usage=None, done=False, then=[HOLD]))
    app = make_app(upstream)
    with served(app) as port, finished(app) as done, client_of(port, timeout=0.3) as client:
        with pytest.raises(APITimeoutError):
            client.chat.completions.create(**hi("Hi"))
        left = time.monotonic()
        upstream.wait_for(lambda fake: bool(fake.gone), timeout=2)
        assert upstream.gone[0] - left < 1
        assert (done.only.outcome, done.only.text) == ("cancelled", "a")
