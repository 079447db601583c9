"""Answers as odd providers send them, and what OpenAI's SDKs read of them through us."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import DefaultHttpxClient, LengthFinishReasonError
from openai._models import construct_type
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from flask_llmchat.core.errors import StreamErrorEvent
from flask_llmchat.core.events import Chunk, Event, ToolCallDelta
from flask_llmchat.core.request import ChatRequest
from flask_llmchat.core.result import ChatResult
from flask_llmchat.dialects.openai.completion import CompletionEncoder
from flask_llmchat.dialects.openai.encoder import ChunkEncoder
from flask_llmchat.protocols.chat_completions.parser import ChatCompletionParser
from flask_llmchat.protocols.sse import SSEDecoder
from flask_llmchat.testing import FakeUpstream, ReceivedRequest, Reply, sse_reply
from tests.support.apps import make_app
from tests.support.node import run_js
from tests.support.servers import client_of, served


def chunk(delta: Any = None, finish: Any = None, **more: Any) -> dict[str, Any]:
    """Return a chunk; a value of ... takes a field away."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish} | more.pop("choice", {})
    head = {"id": "i", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    whole = {**head, "choices": [without_dots(choice)], **more}
    return without_dots(whole)


def without_dots(value: dict[str, Any]) -> dict[str, Any]:
    return {name: inner for name, inner in value.items() if inner is not ...}


def piece(arguments: Any = ..., name: Any = ..., **more: Any) -> dict[str, Any]:
    function = without_dots({"name": name, "arguments": arguments})
    return without_dots({"index": 0, "function": function, **more})


def pieces(*groups: list[dict[str, Any]]) -> list[Any]:
    return [START, *[chunk({"tool_calls": group}) for group in groups], chunk({}, "tool_calls")]


START, END = chunk({"role": "assistant", "content": ""}), chunk({}, "stop")
NEW = {"id": "c1", "type": "function"}
A_CALL = {**NEW, "function": {"name": "f", "arguments": '{"a":1}'}}
F = ("c1", "f", '{"a":1}')
CITED = {
    "type": "url_citation",
    "url_citation": {"url": "https://a.example", "title": "A", "start_index": 0, "end_index": 1},
}

CITED_TOO = {"type": "url_citation", "url_citation": {"url": "https://b.example", "title": "B"}}


@pytest.mark.slow
def test_a_piece_costs_the_same_however_many_came_before() -> None:
    chat = ChatRequest(provider="x", model="m", messages=[], request_id="r")
    reader, whole = ChatCompletionParser(passthrough=True), CompletionEncoder(chat)
    streamed = ChunkEncoder(chat, include_usage=False)
    texts = ["x" * 4_000_000, *["abcd"] * 8000]
    written = [{"index": 0, "id": "c", "custom": {"name": "f", "input": text}} for text in texts]
    started = time.process_time()
    for call in written:
        whole.encode(reader.read(chunk({"tool_calls": [call]})))
    at_once: list[Event] = [ToolCallDelta(0, "", "f", text) for text in texts]
    body = chunk({"tool_calls": []})
    told = streamed.encode([Chunk(b"", body, body["choices"][0]), *at_once])
    assert time.process_time() - started < 1
    assert told.count(b"abcd") == 8000


# Streams that would end a client with an exception, or hide something from it: the chunks,
# and what both SDKs are to make of them.
def said(**delta: Any) -> dict[str, Any]:
    return chunk(delta)


def escaped(**delta: Any) -> bytes:
    return json.dumps(chunk(delta)).encode()


def counted(*, x: int = 1, **more: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 1, "completion_tokens": x, "total_tokens": 1 + x}
    return chunk({}, choices=[], usage=usage, **more)


A = said(content="a")
IN_A = {"text": "a"}
EMOJI = "\U0001f600"

ODD: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "no role": ([A, END], IN_A),
    "null role": ([chunk({"role": None, "content": "a"}), END], IN_A),
    "a role of their own": ([said(role="model", content="a"), said(role="bot"), END], IN_A),
    "no index": ([START, chunk({"content": "a"}, choice={"index": ...}), END], IN_A),
    "index in quotes": ([START, chunk({"content": "a"}, choice={"index": "0"}), END], IN_A),
    "no choices": ([START, chunk({}, choices=None), chunk({}, choices=...), A, END], IN_A),
    "no delta": ([START, chunk(None), chunk(...), A, END], IN_A),
    "content in a list": ([START, chunk({"content": [{"type": "text", "text": "a"}]}), END], IN_A),
    "content in an object": ([START, chunk({"content": {"type": "text", "text": "a"}}), END], IN_A),
    "thinking in a list": (
        [
            START,
            chunk(
                {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}
            ),
            A,
            END,
        ],
        {"text": "a", "reasoning": "hm"},
    ),
    "shouted ending": (
        [START, chunk({"content": "a"}, "MAX_TOKENS")],
        {"text": "a", "finish_reason": "length"},
    ),
    "ending of their own": ([START, chunk({"content": "a"}, "eos")], IN_A),
    "two endings": ([START, chunk({"content": "a"}, "stop"), chunk({}, "eos"), chunk({})], IN_A),
    "no ending": ([START, A, b"[DONE]"], IN_A),
    "no head": ([START, chunk({"content": "a"}, id=..., created=..., model=...), END], IN_A),
    "an empty head": ([START, chunk({"content": "a"}, id="", object=""), END], IN_A),
    "a wrong head": (
        [chunk({"content": "a"}, id=7, object="x", created="?", model=None), END],
        IN_A,
    ),
    "a message beside": (
        [
            chunk({"role": "assistant", "content": "a"}, choice={"message": {"content": "a"}}),
            chunk({"content": "b"}, choice={"message": {"content": "ab"}}),
            END,
        ],
        {"text": "ab"},
    ),
    "a whole answer in one message": (
        [
            chunk(
                ...,
                "stop",
                choice={"message": {"content": "a", "reasoning_content": "hm"}},
                object="chat.completion",
            )
        ],
        {"text": "a", "reasoning": "hm"},
    ),
    "a whole refusal in one message": (
        [chunk(..., "stop", choice={"message": {"content": None, "refusal": "No."}})],
        {"text": "", "refusal": "No."},
    ),
    "a whole call in one message": (
        [chunk(None, "tool_calls", choice={"message": {"content": None, "tool_calls": [A_CALL]}})],
        {"calls": [F]},
    ),
    "two answers": (
        [
            START,
            chunk(
                {},
                choices=[
                    {"index": 1, "delta": {"role": "assistant", "content": "x"}},
                    {"index": 0, "delta": {"content": "a"}},
                ],
            ),
            chunk({}, choices=[{"index": 1, "delta": {"content": "x"}}]),
            END,
        ],
        IN_A,
    ),
    "odd logprobs": ([START, chunk({"content": "a"}, choice={"logprobs": 0.5}), END], IN_A),
    "NaN": (
        [
            START,
            chunk(
                {"content": "a"},
                choice={"logprobs": {"content": [{"token": "a", "logprob": float("-inf")}]}},
                x=float("nan"),
            ),
            END,
        ],
        IN_A,
    ),
    "half characters": (
        [START, escaped(content="a\ud83d"), escaped(content="\ude00b"), END],
        {"text": "a\U0001f600b"},
    ),
    "a whole character in two escapes": ([START, escaped(content=EMOJI), END], {"text": EMOJI}),
    "lines of other standards": (
        [START, chunk({"content": "a\u2028b\u0085c\x0bd"}), END],
        {"text": "a\u2028b\u0085c\x0bd"},
    ),
    "two lines of data": (
        [START, json.dumps(A, indent=1).encode().replace(b"\n", b"\ndata: "), END],
        IN_A,
    ),
    "a byte order mark": ([START, b"\xef\xbb\xbf" + escaped(content="a"), END], IN_A),
    "a refusal": (
        [START, chunk({"refusal": "N"}), chunk({"refusal": "o."}), END],
        {"text": "", "refusal": "No."},
    ),
    "lists without an index": (
        [
            START,
            *[chunk({"annotations": cited}) for cited in ([CITED], [CITED, CITED_TOO])],
            A,
            END,
        ],
        IN_A,
    ),
    "lists inside": (
        [START, *[said(x={"y": [{"z": 1}], "t": ["u"]}) for _ in range(3)], A, END],
        IN_A,
    ),
    "lists of lists": ([START, said(x=[[1]]), said(x=[[2]]), A, END], IN_A),
    "lists with an index here and there": (
        [START, said(x=[{"index": 0}, {"a": 1}]), said(x=[{"index": "1"}, None]), A, END],
        IN_A,
    ),
    "an error that is none": ([chunk({"role": "assistant"}, error={}), A, END], IN_A),
    "lists of text": ([START, chunk({"x": ["a"]}), chunk({"x": ["b"]}), A, END], IN_A),
    "usage before the end": (
        [START, counted(), A, END],
        {"text": "a", "total_tokens": 2},
    ),
    "usage without a head": (
        [
            START,
            chunk({"content": "a"}, "stop"),
            counted(id=..., object=..., created=..., model=...),
        ],
        {"text": "a", "total_tokens": 2},
    ),
    "a call": (pieces([piece('{"a"', "f", **NEW)], [piece(":1}")]), {"calls": [F]}),
    "no index of a call": (
        pieces([piece('{"a"', "f", **NEW, index=...)], [piece(":1}", index=...)]),
        {"calls": [F]},
    ),
    "a call that begins at one": (
        pieces([piece('{"a"', "f", **NEW, index=1)], [piece(":1}", index=1)]),
        {"calls": [F]},
    ),
    "no type": (pieces([piece('{"a":1}', "f", id="c1")]), {"calls": [F]}),
    "no type in the rest": (
        pieces([piece('{"a"', "f", **NEW)], [piece(":1}", type=None, id=None, name=None)]),
        {"calls": [F]},
    ),
    "arguments as an object": (
        pieces([piece({"a": 1}, "f", **NEW)]),
        {"calls": [("c1", "f", '{"a": 1}')]},
    ),
    "no arguments": (pieces([piece(None, "f", **NEW)]), {"calls": [("c1", "f", "")]}),
    "said again": (
        pieces(
            [piece('{"a"', "f", **NEW)],
            [piece(":1", "f", **NEW)],
            [piece("}", "", id="", type="function")],
        ),
        {"calls": [F]},
    ),
    "two pieces at once": (pieces([piece('{"a"', "f", **NEW), piece(":1}")]), {"calls": [F]}),
    "two calls under one index": (
        pieces([piece('{"a":1}', "f", **NEW)], [piece('{"a":1}', "f", id="c2", type="function")]),
        {"calls": [F, ("c2", "f", '{"a":1}')]},
    ),
    "two calls at once": (
        pieces(
            [piece('{"a":1}', "f", **NEW), piece('{"a":1}', "f", id="c2", type="function", index=1)]
        ),
        {"calls": [F, ("c2", "f", '{"a":1}')]},
    ),
    "no id": (pieces([piece('{"a":1}', "f", type="function")]), {"calls": [(None, *F[1:])]}),
    "two calls under one index, without ids": (
        pieces([piece('{"a":1}', "f")], [piece('{"a":1}', "f")], [piece("{}", "g")]),
        {"calls": [(None, *F[1:]), (None, *F[1:]), (None, "g", "{}")]},
    ),
    "half characters of a call": (
        pieces([piece('{"a":"\ud83d', "f", **NEW)], [piece('\ude00"}')]),
        {"calls": [("c1", "f", f'{{"a":"{EMOJI}"}}')]},
    ),
    "half a character of a call": (
        pieces([piece('{"a":"\ud83d', "f", **NEW)], [piece('"}')]),
        {"calls": [("c1", "f", '{"a":"\ufffd"}')]},
    ),
    "half a character at the end of arguments": (
        pieces([piece('{"a":"\ud83d', "f", **NEW)]),
        {"calls": [("c1", "f", '{"a":"\ufffd')]},
    ),
    "calls that are none": (
        [
            START,
            chunk({"content": "a", "tool_calls": None}),
            chunk({"tool_calls": {}}),
            chunk({"tool_calls": [None]}),
            END,
        ],
        IN_A,
    ),
}


def odd_reply(request: ReceivedRequest) -> Reply:
    steps = ODD[request.json["messages"][-1]["content"]][0]
    lines = [s if isinstance(s, bytes) else json.dumps(s).encode() for s in steps]
    return sse_reply(b"".join(b"data: %b\n\n" % line for line in lines))


def as_told(completion: dict[str, Any]) -> dict[str, Any]:
    """Return what the table of odd streams says of an SDK's completion."""
    (choice,) = completion["choices"]
    message = choice["message"]
    calls = message.get("tool_calls") or []
    return {
        "text": message["content"] or "",
        "reasoning": message.get("reasoning_content") or "",
        "refusal": message.get("refusal"),
        "finish_reason": choice["finish_reason"],
        "calls": [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in calls],
        "total_tokens": (completion.get("usage") or {}).get("total_tokens"),
    }


def assert_told(completion: dict[str, Any], expected: dict[str, Any]) -> None:
    told = as_told(completion)
    defaults = {"text": "", "reasoning": "", "refusal": None, "calls": [], "total_tokens": None}
    ending = "tool_calls" if expected.get("calls") else "stop"
    wanted = {**defaults, "finish_reason": ending, **expected}
    assert len(told["calls"]) == len(wanted["calls"])
    for i, (id_, *_) in enumerate(wanted["calls"]):
        if id_ is None:  # one is made
            made, *rest = told["calls"][i]
            assert made.startswith("call_") and len(made) > 20
            told["calls"][i] = (None, *rest)
    assert told == wanted
    assert completion["choices"][0]["message"]["role"] == "assistant"


@pytest.fixture(scope="module")
def http_client() -> Iterator[Any]:
    with DefaultHttpxClient() as shared:
        yield shared


@pytest.fixture(scope="module")
def oddities() -> Iterator[Any]:
    with FakeUpstream(odd_reply) as upstream, served(make_app(upstream)) as port:
        jobs = []
        for name in ODD:
            asked_ = {"model": "gpt-4.1", "messages": [{"role": "user", "content": name}]}
            options = {"stream_options": {"include_usage": True}}
            # A strict tool makes Node's accumulator look closely.
            tool = {"type": "function", "function": {"name": "f", "strict": True, "parameters": {}}}
            tools = {"tools": [tool]} if "call" in name else {}
            jobs += [
                {"accumulate": True, "body": {**asked_, **options, **tools}},
                {"body": asked_},
            ]
        told = run_js("openai_jobs.mjs", {"port": port, "jobs": jobs})
        yield port, {name: told[2 * i : 2 * i + 2] for i, name in enumerate(ODD)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
def test_both_sdks_read_what_odd_providers_send(
    name: str,
    oddities: Any,
    http_client: Any,
) -> None:
    port, nodes = oddities
    expected = ODD[name][1]
    messages: Any = [{"role": "user", "content": name}]
    client = client_of(port, http_client=http_client)
    chats = client.chat.completions
    options: Any = {"stream_options": {"include_usage": True}}
    with chats.stream(model="gpt-4.1", messages=messages, **options) as stream:
        for _ in stream:
            pass
        try:
            added_up = stream.get_final_completion()
        except LengthFinishReasonError as error:
            added_up = error.completion  # type: ignore[assignment]
    whole = chats.create(model="gpt-4.1", messages=messages)
    assert_told(added_up.to_dict(), expected)
    assert_told(whole.to_dict(), expected)
    for told in nodes[name]:
        assert "error" not in told, told["error"]
        assert_told(told["completion"], expected)
    if name == "lists without an index":
        for completion in (added_up, whole):
            told = completion.choices[0].message.to_dict()["annotations"]
            assert [a["url_citation"]["url"] for a in told] == [
                "https://a.example",
                "https://b.example",
            ]


# And whatever else there may be: nothing that a provider sends makes Python's SDK fail.


def some(*values: Any, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    if fields:
        return st.fixed_dictionaries({}, optional=fields)
    return st.sampled_from(values)


ANYTHING = st.recursive(
    some(None, True, 1, "s", float("nan")),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(some("index", "a"), inner),
    max_leaves=4,
)
TEXT = some("a", "\u00e9", EMOJI, "\ud83d", "\ude00", "", "<think>", "</think>", "NaN", "\u2028\n")
PIECE = some(
    index=some(0, 0, 1, 2, None, "0"),
    id=some("c1", "c2", "", None),
    type=some("function", None, ""),
    function=some(name=some("f", "g", "", None), arguments=some("{", "}", "", None, {"a": 1})),
    extra_content=ANYTHING,
)
DELTA = some(
    role=some("assistant", "assistant", None, "", "model"),
    content=TEXT | some(None, [], 5) | st.builds(lambda t: [{"type": "text", "text": t}], TEXT),
    reasoning=TEXT | ANYTHING,
    reasoning_details=ANYTHING,
    annotations=ANYTHING,
    images=ANYTHING,
    tool_calls=st.lists(PIECE, max_size=3) | ANYTHING,
    x=ANYTHING,
)
CHOICE = some(
    index=some(0, 0, 0, None, "0", 1),
    delta=DELTA | ANYTHING,
    finish_reason=some(None, None, "stop", "STOP", "eos", "null", "tool_calls"),
    logprobs=ANYTHING,
    message=ANYTHING,
)
CHUNK = some(
    id=some("i", "", None),
    object=some("chat.completion.chunk", "", "x"),
    created=some(1, None),
    model=some("m", ""),
    choices=st.lists(CHOICE, min_size=1, max_size=2) | some([], None, {}, [None]),
    usage=some(None, {"prompt_tokens": 1}, {}),
    error=some(None, {}, ""),
    x=ANYTHING,
)


@pytest.mark.filterwarnings("ignore:Pydantic serializer")  # what it thinks of odd values
@settings(max_examples=60, deadline=None)
@given(st.lists(CHUNK, min_size=1, max_size=6), st.booleans())
def test_pythons_sdk_adds_up_whatever_comes(chunks: list[Any], thinking_tags: bool) -> None:
    chat = ChatRequest(provider="x", model="m", messages=[], request_id="r")
    reader = ChatCompletionParser(thinking_tags=thinking_tags, passthrough=True)
    encoder, told = ChunkEncoder(chat, include_usage=True), b""
    try:
        for body in chunks:
            data = json.dumps(body).encode()
            told += encoder.encode(reader.read(json.loads(data), data))
        reader.parse("", b"[DONE]")
        if left := reader.finish():
            told += encoder.encode(left)
    except StreamErrorEvent:
        return
    calls = tuple(reader.totals().tool_calls)
    result = ChatResult(
        provider="x", model="m", outcome="ok", tool_calls=calls, usage=reader.totals().usage
    )
    told += encoder.finish(result)
    events = SSEDecoder()
    *payloads, done = [data for _, data in events.feed(told)]
    assert done == b"[DONE]"
    state = ChatCompletionStreamState()
    for payload in payloads:
        body = json.loads(payload.decode(), parse_constant=pytest.fail)
        made: Any = construct_type(type_=ChatCompletionChunk, value=body)
        if made.object == "chat.completion.chunk":  # it passes over others
            list(state.handle_chunk(made))
        else:
            assert not made.choices
    (choice,) = state.get_final_completion().choices
    assert choice.finish_reason
    assert (choice.message.content or "") == "".join(reader.totals().text)
    added = [(c.function.name or "", c.function.arguments) for c in choice.message.tool_calls or ()]
    assert sorted(added) == sorted((call.name, call.arguments) for call in calls)
