"""The AI SDK's own client, speaking to our app; and its own server, for comparison."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from flask_llmchat import LLMChat, Provider
from flask_llmchat.protocols.chat_completions.messages import REPLAY_FIELDS
from flask_llmchat.runs.response_stream import ResponseStream
from flask_llmchat.testing import (
    CUT,
    HOLD,
    FakeUpstream,
    ReceivedRequest,
    Reply,
    error_reply,
    sse_reply,
    text_reply,
)
from tests.support.apps import BY_CHAT_COMPLETIONS, finished, make_app
from tests.support.edge_case_streams import STREAMS, call, delta, wire
from tests.support.node import run_js
from tests.support.recordings import everybodys_keys, recordings, route_of, wire_form
from tests.support.servers import served
from tests.support.ui_conversations import HI, OURS, SAME, user

pytestmark = pytest.mark.external

ANSWER = "Hello from the fake upstream."
SETTINGS = {"chatSettings": {"model": "gpt-4.1"}}


def run(*jobs: dict[str, Any], at_once: int = 1) -> list[Any]:
    """Run jobs in one Node process: importing the SDK costs more than most of them."""
    results: list[Any] = run_js("ui.mjs", {"jobs": jobs, "atOnce": at_once})
    return results


def api(port: int, provider: str = "openai") -> str:
    return f"http://127.0.0.1:{port}/api/chat/{provider}"


# ---- Out: what ours and their server make of the same stream.

# Where they differ: what is left out of the comparison, and why.
DIFFERENT = {
    "openai-two-choices": ("text", "theirs mixes the two choices; ours shows the first"),
    "groq-llama3": ("usage", "theirs does not look for it in x_groq"),
    "groq-inline-think": ("usage", "theirs does not look for it in x_groq"),
    "xai-text": ("usage", "theirs adds up a total without the reasoning; ours is xAI's own"),
    "openrouter-annotations": ("source-url", "theirs drops annotations"),
    "perplexity-citations": ("source-url", "theirs drops citations"),
    "perplexity-crlf": ("source-url", "theirs drops citations"),
    "openrouter-reasoning": (
        "details",
        "theirs drops reasoning_details, wanted back by OpenRouter",
    ),
    "openrouter-o3": ("details", "theirs drops reasoning_details, wanted back by OpenRouter"),
    "openrouter-thinking-long": ("details", "theirs drops reasoning_details, wanted back too"),
}
ODD = {
    "nothing": ("message", "theirs names no message id, so its client makes no message of it"),
    "image": ("message", "theirs drops images"),
    "an image and details": ("message", "theirs drops images, and reasoning_details"),
    "sources": ("source-url", "theirs drops citations"),
    "details": ("reasoning details", "theirs drops reasoning_details"),
    "details of a call": ("details", "theirs drops reasoning_details"),
    "thinking as a string in a list": ("reasoning", "theirs drops it"),
    "thinking again": ("ids", "theirs invents an id where ours counts"),
    "thinking call thinking text": ("ids", "theirs invents an id where ours counts"),
    "bad arguments": ("errorText", "ours quotes nothing and names no class"),
    "a call cut off": ("tool-f", "theirs makes an error of it, which a page sends back for ever"),
    "half characters of arguments": ("chunks", "ours joins them before they are sent"),
    "two whole calls, both index 0, without ids": ("message", "theirs makes one call of them"),
    "a whole answer in one message": ("message", "theirs sees nothing in it"),
    "no id": ("ids", "both invent one"),
    "blank id": ("ids", "both invent one"),
    "one id twice": ("ids", "both invent one"),
    "half characters": ("chunks", "ours joins them before they are sent"),
    "says stop after a call": ("chunks", "ours says that tools are called"),
    "refusal": ("chunks", "theirs calls it content-filter; for ours it is an answer"),
    "other end": ("chunks", "theirs calls an unknown ending other; for ours it is one like stop"),
    "no name": ("chunks", "theirs throws; ours leaves out the call that nobody could answer"),
    "no end": ("chunks", "theirs fails without a finish_reason; for ours [DONE] is an ending"),
    "error after text": ("chunks", "ours closes the text; theirs hides the message, and goes on"),
}


@pytest.fixture(scope="module")
def answers() -> dict[str, tuple[Any, Any]]:
    """Return what ours and their server make of every recording, and of the odd streams."""
    recorded = {param.id: param.values[0] for param in recordings() if param.values[0]}
    streams = {name: wire_form(stream) for name, stream in recorded.items()}
    streams |= {name: wire(chunks) for name, chunks in STREAMS.items()}

    def respond(request: ReceivedRequest) -> Reply:
        return sse_reply(streams[request.json["model"]], split=997)

    jobs: list[dict[str, Any]] = []
    with FakeUpstream(respond) as upstream:
        deployments = {"azure_openai_deployments": {name: name for name in streams}}
        profile = everybodys_keys(upstream) | deployments
        app = make_app(upstream, profile, BY_CHAT_COMPLETIONS)
        with served(app) as port:
            for name in streams:
                told = recorded.get(name, {"provider": "openai"})
                provider, tools = route_of(told), ["f", "g"]
                if name in recorded:
                    tools = sorted({c["name"] for c in told["expected"]["tool_calls"]})
                ours = {"api": api(port, provider), "body": {"chatSettings": {"model": name}}}
                theirs = {"baseURL": upstream.base_url, "provider": provider, "model": name}
                jobs.append({"op": "ask", "messages": [HI], **ours})
                jobs.append({"op": "theirs", "messages": [HI], "toolNames": tools, **theirs})
            results = run(*jobs, at_once=8)
    return dict(zip(streams, zip(results[::2], results[1::2], strict=True), strict=True))


def without(words: str, message: Any, chunks: list[Any]) -> tuple[Any, list[Any]]:
    """Return a message and the chunks it came in, without what is known to differ."""
    what = words.split()
    message, chunks = copy.deepcopy((message, chunks))
    for chunk in chunks:
        chunk.pop("messageId", None)  # theirs leaves it to the client
        chunk.pop("dynamic", None)  # theirs says false
    # Theirs passes empty pieces on.
    chunks = [chunk for chunk in chunks if chunk.get("inputTextDelta") != ""]
    if message is not None:
        message.pop("id")
        message["parts"] = [part for part in message["parts"] if part["type"] not in what]
        if "usage" in what:
            message.pop("metadata", None)
        for part in message["parts"]:
            if "ids" in what:
                part.pop("id", None)
                part.pop("toolCallId", None)
            if "errorText" in what:
                part.pop("errorText", None)
            for name in ("providerMetadata", "callProviderMetadata"):
                if "details" in what and name in part:
                    for values in part[name].values():
                        values.pop("reasoning_details", None)
                    part[name] = {space: v for space, v in part[name].items() if v}
                    if not part[name]:
                        del part[name]
    return (None if "message" in what else message), ([] if what else chunks)


def assert_alike(name: str, ours: Any, theirs: Any, differs: str) -> None:
    a, b = (without(differs, side["message"], side["chunks"]) for side in (ours, theirs))
    assert a == b
    if differs:  # it does, or the list above is out of date
        a, b = (without("", side["message"], side["chunks"]) for side in (ours, theirs))
        assert a[0] != b[0] or (differs == "chunks" and a[1] != b[1])


@pytest.mark.parametrize("recorded", recordings())
def test_a_recording_becomes_what_their_own_server_makes_of_it(
    recorded: dict[str, Any], answers: dict[str, tuple[Any, Any]]
) -> None:
    ours, theirs = answers[recorded["id"]]
    assert (ours["errors"], theirs["errors"]) == ([], [])
    assert_alike(recorded["id"], ours, theirs, DIFFERENT.get(recorded["id"], ("", ""))[0])
    texts = [part["text"] for part in ours["message"]["parts"] if part["type"] == "text"]
    assert "".join(texts) == recorded["expected"]["text"]


@pytest.mark.parametrize("name", STREAMS)
def test_an_odd_stream_becomes_what_their_own_server_makes_of_it(
    name: str, answers: dict[str, tuple[Any, Any]]
) -> None:
    ours, theirs = answers[name]
    told = [error["message"] for error in ours["errors"]]
    assert told == (["Overloaded"] if name == "error after text" else [])
    assert_alike(name, ours, theirs, ODD.get(name, ("", ""))[0])


def test_what_theirs_drops_is_in_ours(answers: dict[str, tuple[Any, Any]]) -> None:
    parts = {name: ours["message"]["parts"][1:] for name, (ours, _) in answers.items()}
    assert parts["image"] == [
        {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,AAAA"}
    ]
    assert parts["an image and details"][1] == {
        "type": "reasoning",
        "id": "reasoning-0",
        "text": "",
        "state": "done",
        "providerMetadata": {
            "openai": {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}
        },
    }
    assert parts["sources"][0] == {
        **{"type": "source-url", "sourceId": "source-0", "url": "https://a.example"}
    }
    assert parts["details of a call"][0]["callProviderMetadata"] == {
        "openai": {
            "thoughtSignature": "sig==",
            "reasoning_details": [{"type": "reasoning.encrypted", "data": "x", "index": 0}],
        }
    }
    open_call = {"type": "tool-f", "toolCallId": "c1", "state": "input-streaming"}
    assert parts["a call cut off"][1].items() >= open_call.items()
    two = parts["two whole calls, both index 0, without ids"]
    assert [part["input"] for part in two] == [{"a": 1}, {"b": 2}]
    assert [part["text"] for part in parts["a whole answer in one message"]] == ["Look"]


# ---- Out: what the older majors of their client read.


@pytest.mark.parametrize("sdk", ["ai5", "ai6"])
def test_older_majors_of_their_client(sdk: str) -> None:
    think = [delta(reasoning_content="Hm"), delta(content="Look"), delta("stop")]
    calls = [call(0, "c1", "f", '{"a":'), call(0, None, None, "1}"), delta("tool_calls")]
    cut_off = [call(0, "c1", "f", '{"a":'), delta("length")]
    replies = {
        "text": text_reply(ANSWER),
        "thinking": sse_reply(wire(think)),
        "call": sse_reply(wire(calls)),
        "cut off": sse_reply(wire(cut_off)),
        "early error": error_reply(429, "Slow down."),
        "late error": text_reply("Good", then=[CUT], done=False, finish_reason=None, usage=None),
    }
    with (
        FakeUpstream(lambda request: replies[request.json["model"]]) as upstream,
        served(make_app(upstream)) as port,
    ):
        jobs = [
            {"api": api(port), "messages": [HI], "body": {"chatSettings": {"model": name}}}
            for name in replies
        ]
        results = run_js("ui_any.mjs", {"sdk": sdk, "jobs": jobs}, timeout=30)
    told = dict(zip(replies, results, strict=True))
    errors = {name: read["errors"] for name, read in told.items() if read["errors"]}
    assert errors == {
        "early error": ["Slow down."],
        "late error": ["OpenAI broke off before the answer was complete."],
    }
    assert shown(told["text"]["message"]) == ["step-start", ANSWER]
    assert told["text"]["message"]["metadata"]["usage"]["totalTokens"] == 2
    assert shown(told["thinking"]["message"]) == ["step-start", "Hm", "Look"]
    read = [told[name]["message"]["parts"][1] for name in ("call", "cut off")]
    states = [(part["type"], part["state"], part["input"]) for part in read]
    assert states == [
        ("tool-f", "input-available", {"a": 1}),
        ("tool-f", "input-streaming", {}),
    ]
    assert shown(told["late error"]["message"]) == ["step-start", "Good"]


# ---- In: what the provider is sent.


@pytest.fixture(scope="module")
def sent() -> dict[str, Any]:
    """Return what the provider got of every conversation: from ours, and from their server."""
    jobs: list[dict[str, Any]] = []
    with FakeUpstream() as upstream:
        row = Provider(
            name="lab",
            label="Lab",
            base_url=upstream.base_url,
            key_required=False,
            replay_fields=REPLAY_FIELDS,
        )
        with served(make_app(upstream, llmchat=LLMChat(providers=[row]))) as port:
            for name, messages in [*SAME.items(), *((n, m) for n, (m, _) in OURS.items())]:
                ours = {"chatSettings": {"model": f"ours {name}"}}
                theirs = {"baseURL": upstream.base_url, "provider": "lab"}
                jobs.append({"op": "ask", "messages": messages, "api": api(port, "lab")})
                jobs[-1]["body"] = ours
                jobs.append({"op": "theirs", "messages": messages, **theirs})
                jobs[-1]["model"] = f"theirs {name}"
            run(*jobs, at_once=8)
        return {r.json["model"]: r.json["messages"] for r in upstream.requests}


def received(sent: dict[str, Any], name: str) -> Any:
    messages = sent[f"ours {name}"]
    for message in messages:
        if message.get("reasoning_content") == "":  # the row's own doing
            del message["reasoning_content"]
    return messages


@pytest.mark.parametrize("name", SAME)
def test_the_provider_is_sent_what_their_own_server_sends(sent: dict[str, Any], name: str) -> None:
    assert received(sent, name) == sent[f"theirs {name}"]


@pytest.mark.parametrize("name", OURS)
def test_the_provider_is_sent_better_than_what_theirs_sends(
    sent: dict[str, Any], name: str
) -> None:
    assert received(sent, name) == OURS[name][1]
    assert sent.get(f"theirs {name}") != OURS[name][1]


# ---- A page, from what the user does to what it shows.


@pytest.fixture
def app(upstream: FakeUpstream) -> Flask:
    return make_app(upstream)


@pytest.fixture
def port(app: Flask) -> Iterator[int]:
    with served(app) as port:
        yield port


def shown(message: Any) -> list[Any]:
    return [part.get("text") or part["type"] for part in message["parts"]]


def test_both_transports_of_the_ai_sdk_show_the_same(port: int) -> None:
    job = {"op": "ask", "api": api(port), "body": SETTINGS, "messages": [HI]}
    ui, text, also = run(
        job,
        {**job, "text": True, "headers": {"Accept": "text/plain"}},
        {**job, "headers": {"Accept": "text/event-stream"}},
    )
    assert ui["errors"] == text["errors"] == also["errors"] == []
    assert shown(ui["message"]) == shown(text["message"]) == ["step-start", ANSWER]
    assert shown(also["message"]) == shown(ui["message"])
    assert ui["message"]["id"].startswith("msg_")
    assert ui["message"]["id"] != also["message"]["id"]
    assert ui["message"]["metadata"] == {
        "usage": {
            "inputTokens": 1,
            "outputTokens": 3,
            "totalTokens": 4,
            "reasoningTokens": 0,
            "cachedInputTokens": 0,
        }
    }


def test_errors_before_the_answer_are_shown_as_they_are(upstream: FakeUpstream) -> None:
    upstream.add(
        error_reply(401, "Incorrect API key provided: sk-..."),
        error_reply(429, "Slow down.", headers={"Retry-After": "7"}),
        error_reply(400, "Too many tokens", code="context_length_exceeded"),
    )
    with served(make_app(upstream, {"openai_api_key": "sk-x"})) as port:
        ask = {"op": "ask", "api": api(port), "body": SETTINGS, "messages": [HI]}
        results = run(
            ask,
            ask,
            ask,
            {**ask, "api": api(port, "groq")},
            {**ask, "body": {}},
            {**ask, "messages": [user({"type": "file", "mediaType": "a/b", "url": "blob:x"})]},
            {**ask, "text": True, "headers": {"Accept": "text/plain"}, "body": {}},
            {**ask, "api": api(port, "nobody")},
        )
    told = [(e["status"], e["message"]) for result in results for e in result["errors"]]
    assert [status for status, _ in told] == [401, 429, 400, 400, 422, 422, 422, 404]
    assert told[0][1] == "OpenAI API Key is incorrect. Please fix it in your profile settings."
    assert told[1][1] == "Slow down."
    assert told[2][1].startswith("Too many tokens")
    assert told[3][1] == "Groq API Key not found. Please set it in your profile settings."
    assert told[4][1].startswith("chatSettings: Missing data for required field. Send it as")
    assert told[5][1] == "messages.0.parts.0: url is not a data: or http(s) URL"
    assert told[6][1] == told[4][1]
    assert told[7][1].startswith("Unknown provider 'nobody'. Available: ")


def test_an_answer_that_breaks_off_is_an_error(upstream: FakeUpstream, port: int) -> None:
    upstream.add(text_reply("Good", then=[CUT], done=False, finish_reason=None, usage=None))
    upstream.add(text_reply("Good", then=[CUT], done=False, finish_reason=None, usage=None))
    ask = {"op": "ask", "api": api(port), "body": SETTINGS, "messages": [HI]}
    page = {"op": "chat", "api": api(port), "body": SETTINGS, "steps": [{"send": "Hi"}]}
    asked, chat = run(ask, page)
    message = "OpenAI broke off before the answer was complete."
    for told in (asked, chat):
        assert [error["message"] for error in told["errors"]] == [message]
    assert asked["message"]["parts"][1] == {"type": "text", "text": "Good", "state": "done"}
    (after,) = chat["snapshots"]
    assert after["status"] == "error"
    assert shown(after["messages"][1]) == ["step-start", "Good"]
    assert chat["finished"] == [{"isAbort": False, "isError": True}]


def test_heartbeats_are_not_noticed(
    upstream: FakeUpstream, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, beats = ResponseStream.read, []

    def quiet(self: ResponseStream, patience: float | None = None) -> Any:
        if patience is not None and len(beats) < 3:
            beats.append(patience)
            return None
        return read(self, patience)

    monkeypatch.setattr(ResponseStream, "read", quiet)
    (told,) = run({"op": "ask", "api": api(port), "body": SETTINGS, "messages": [HI]})
    assert len(beats) == 3
    assert told["errors"] == []
    assert shown(told["message"]) == ["step-start", ANSWER]


def test_a_page_whose_tool_is_carried_out_by_it(upstream: FakeUpstream, port: int) -> None:
    calls = [call(0, "c1", "weather", '{"city":'), call(0, None, None, '"Rome"}')]
    upstream.add(
        sse_reply(wire([delta(content="Let me see."), *calls, delta("tool_calls")])),
        text_reply("Sunny."),
        text_reply("Rainy."),
        text_reply("Bye."),
    )
    output = {"id": "c1", "output": {"sky": "clear"}}
    steps = [{"send": "Rome?"}, {"toolOutput": output}, {"regenerate": True}, {"send": "Bye"}]
    (told,) = run({"op": "chat", "api": api(port), "body": SETTINGS, "steps": steps})
    called, answered, again, bye = (s["messages"] for s in told["snapshots"])
    assert told["errors"] == []
    assert shown(called[1]) == ["step-start", "Let me see.", "tool-weather"]
    assert called[1]["parts"][2]["input"] == {"city": "Rome"}
    # The answer goes on in the same message.
    assert len(answered) == 2
    assert answered[1]["id"] == called[1]["id"]
    assert shown(answered[1]) == [*shown(called[1]), "step-start", "Sunny."]
    # Another answer is another message, and the next one another yet.
    assert [shown(message)[-1] for message in again] == ["Rome?", "Rainy."]
    assert [shown(message)[-1] for message in bye] == ["Rome?", "Rainy.", "Bye", "Bye."]
    assert len({message["id"] for message in [*answered, *bye]}) == 5
    reasons = [end["finishReason"] for end in told["finished"]]
    assert reasons == ["tool-calls", "stop", "stop", "stop"]
    assert upstream.requests[1].json["messages"] == [
        {"role": "user", "content": "Rome?"},
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city":"Rome"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": '{"sky":"clear"}'},
    ]
    assert upstream.requests[2].json["messages"] == [{"role": "user", "content": "Rome?"}]


def test_a_page_does_not_ask_again_for_a_call_that_was_cut_off(
    upstream: FakeUpstream, port: int
) -> None:
    cut_off = [delta(content="Let me see."), call(0, "c1", "f", '{"a":'), delta("length")]
    upstream.add(sse_reply(wire(cut_off)), text_reply("Yes."))
    steps = [{"send": "Rome?"}, {"send": "Go on"}]
    (told,) = run({"op": "chat", "api": api(port), "body": SETTINGS, "steps": steps})
    assert told["errors"] == []
    first, second = (s["messages"] for s in told["snapshots"])
    assert shown(first[-1]) == ["step-start", "Let me see.", "tool-f"]
    assert shown(second[-1]) == ["step-start", "Yes."]
    assert upstream.requests[1].json["messages"] == [
        {"role": "user", "content": "Rome?"},
        {"role": "assistant", "content": "Let me see."},
        {"role": "user", "content": "Go on"},
    ]


def test_a_page_that_stops_and_asks_again(upstream: FakeUpstream, app: Flask, port: int) -> None:
    upstream.add(text_reply("Once upon", then=[HOLD], done=False, finish_reason=None, usage=None))
    steps = [{"send": "stop me", "stopAfter": "Once upon"}, {"send": "Hi"}]
    with finished(app) as done:
        (told,) = run({"op": "chat", "api": api(port), "body": SETTINGS, "steps": steps})
        assert sorted(result.outcome for result in done.wait(2)) == ["cancelled", "ok"]
    assert told["errors"] == []
    assert [end["isAbort"] for end in told["finished"]] == [True, False]
    stopped, after = told["snapshots"]
    assert stopped["status"] == "ready"
    assert shown(stopped["messages"][1]) == ["step-start", "Once upon"]
    assert shown(after["messages"][3]) == ["step-start", ANSWER]
    assert json.dumps(upstream.requests[1].json["messages"]).count("Once upon") == 1
