"""Answers made to be expensive, and answers made of anything: no fault, and a bounded cost."""

from __future__ import annotations

import gc
import json
import mimetypes
import subprocess
import sys
import time
import tracemalloc
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_llmchat.core import limits
from flask_llmchat.core.errors import ChatError, StreamErrorEvent
from flask_llmchat.core.events import Event
from flask_llmchat.core.request import ChatRequest
from flask_llmchat.core.result import ChatResult
from flask_llmchat.dialects.openai.completion import CompletionEncoder
from flask_llmchat.dialects.openai.encoder import ChunkEncoder
from flask_llmchat.dialects.text.dialect import TextDialect
from flask_llmchat.dialects.ui.encoder import UIEncoder
from flask_llmchat.protocols.chat_completions.parser import ChatCompletionParser
from flask_llmchat.runs.recorder import ChatRecorder
from tests.support.edge_case_streams import HEAD, STREAMS, delta

CHAT = ChatRequest(provider="x", model="m", messages=[], request_id="r")


def encoders() -> Iterator[Any]:
    yield TextDialect().encoder(CHAT)
    yield UIEncoder(CHAT)
    yield ChunkEncoder(CHAT, include_usage=True)
    yield CompletionEncoder(CHAT)


def written(chunks: list[Any], encoder: Any, thinking_tags: bool = False) -> tuple[bytes, Any, Any]:
    """Return what an encoder writes of an answer, its reader, and the error it ended with."""
    reader = ChatCompletionParser(thinking_tags=thinking_tags, passthrough=encoder.passes_chunks)
    results: list[ChatResult] = []
    record, out = ChatRecorder(CHAT, results.append), b""
    record.start_attempt(CHAT.provider, CHAT.model)
    record.open_attempt(reader, None)
    try:
        for chunk in chunks:
            data = json.dumps(chunk).encode()
            events: list[Event] = reader.read(json.loads(data), data)
            out += encoder.encode(events) if events else b""
        reader.parse("", b"[DONE]")
        if left := reader.finish():
            out += encoder.encode(left)
        out += encoder.finish(record.finish_complete())
    except (StreamErrorEvent, ChatError) as error:
        out += encoder.fail(ChatError("Failed.", "upstream_error")) or b""
        return out, reader, error
    return out, reader, None


def failure(*chunks: Any) -> str:
    """Return why an answer is refused."""
    reader = ChatCompletionParser(passthrough=True)
    with pytest.raises(StreamErrorEvent) as raised:
        for chunk in chunks:
            reader.read(chunk, json.dumps(chunk).encode())
    told: str = raised.value.body["detail"]
    return told


def call(i: int, **more: Any) -> dict[str, Any]:
    return {"index": i, "id": f"c{i}", "function": {"name": "f", "arguments": "{}"}, **more}


def call_of(arguments: str) -> dict[str, Any]:
    return delta(tool_calls=[{"index": 0, "function": {"arguments": arguments}}])


def choice(i: int, **more: Any) -> dict[str, Any]:
    return {"index": i, "delta": {"role": "a", "content": "x"}, **more}


@pytest.mark.parametrize(
    ("chunk", "told"),
    [
        ({**HEAD, "choices": [{}] * 100}, "More than 16 choices"),
        ({**HEAD, "choices": [choice(i) for i in range(100)]}, "More than 16 choices"),
        (delta(tool_calls=[call(i) for i in range(129)]), "More than 128 tool calls"),
        (delta(tool_calls=[{}] * 5000), "More than 4096 items"),
        (delta(content=[{}] * 5000), "More than 4096 items"),
        (delta(content=["a"] * 5000), "More than 4096 items"),
        (delta(reasoning_details=[{}] * 5000), "More than 4096 items"),
        (delta(annotations=[{}] * 5000), "More than 4096 items"),
        (delta(images=[{"url": f"https://a/{i}"} for i in range(300)]), "More than 256 images"),
        (delta(images=["x"] * 5000), "More than 4096 items"),
        ({**HEAD, "choices": [{"logprobs": {"content": [1] * 300_000}}]}, "More than 262144"),
        ({**HEAD, "choices": [{"logprobs": {"content": [[]] * 2_200_000}}]}, "too many parts"),
    ],
)
def test_more_of_a_kind_than_any_answer_has_is_an_error(chunk: Any, told: str) -> None:
    assert told in failure(chunk)


def test_what_adds_up_over_many_chunks_is_bounded_too() -> None:
    assert "128 tool calls" in failure(*[delta(tool_calls=[call(i)]) for i in range(200)])
    assert "256 images" in failure(*[delta(images=[f"https://a/{i}"]) for i in range(300)])
    openings = [{**HEAD, "choices": [choice(i)]} for i in range(40)]
    assert "Many answers" in failure(*openings)
    nested = delta(reasoning_details=[{"x": [[]] * 200_000}])
    assert "too many parts" in failure(*[nested] * 30)
    assert "too long" in failure(*[delta(content="x" * 10**6)] * 20)
    assert "too long" in failure(*[delta(reasoning="x" * 10**6)] * 20)
    assert "too long" in failure(*[call_of("x" * 10**6)] * 20)
    extra = delta(tool_calls=[call(0, extra_content={"x": [[]] * 200_000})])
    assert "too many parts" in failure(*[extra] * 30)


def test_what_stands_beside_an_answer_is_left_out_beyond_a_bound() -> None:
    reader = ChatCompletionParser(passthrough=True)
    for i in range(2000):
        page = {"url": f"https://a.example/{i}"}
        cited = {"type": "url_citation", "url_citation": page}
        detail = {"type": "reasoning.encrypted", "data": "x", "id": i}
        reader.read(delta(annotations=[cited], reasoning_details=[detail] * 10))
    assert len(reader.totals().sources) == limits.MAX_SOURCES
    # A part of them would be refused when it goes back.
    assert reader.totals().reasoning_details == []
    body = {**HEAD, "citations": [f"https://b.example/{i}" for i in range(10**6)], "choices": []}
    reader = ChatCompletionParser()
    reader.read(body)
    assert len(reader.totals().sources) == limits.MAX_SOURCES
    out, _, error = written([delta(annotations=[cited] * 4000, content="a"), delta("stop")],
                            CompletionEncoder(CHAT))  # fmt: skip
    assert not error and len(json.loads(out)["choices"][0]["message"]["annotations"]) == 1


def test_no_cache_of_the_process_keeps_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def used(*args: Any) -> Any:
        raise AssertionError("a URL from outside went into a cache")

    for module, name in (
        (urllib.parse, "urlsplit"),
        (urllib.parse, "urlparse"),
        (mimetypes, "guess_type"),
    ):
        monkeypatch.setattr(module, name, used)
    chunk = delta(
        images=[{"image_url": {"url": f"https://a.example/{'x' * 1000}.png?{'y' * 9000}"}}]
    )
    for encoder in encoders():
        written([chunk, delta("stop")], encoder)
    tracemalloc.start()
    try:
        for i in range(20):
            url = f"https://a.example/{i}/{'x' * 1_000_000}.png"
            written([delta(images=[{"image_url": {"url": url}}]), delta("stop")], UIEncoder(CHAT))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 5_000_000


def cpu_of(chunks: list[Any], encoder: Any) -> float:
    parsed = [(chunk, json.dumps(chunk).encode()) for chunk in chunks]
    reader = ChatCompletionParser(passthrough=encoder.passes_chunks)
    record = ChatRecorder(CHAT, lambda result: None)
    record.start_attempt(CHAT.provider, CHAT.model)
    record.open_attempt(reader, None)
    gc.disable()  # its cost depends on what other tests have left in memory
    started = time.thread_time()
    try:
        for chunk, data in parsed:
            if events := reader.read(chunk, data):
                encoder.encode(events)
        reader.parse("", b"[DONE]")
        if left := reader.finish():
            encoder.encode(left)
        encoder.finish(record.finish_complete())
        return time.thread_time() - started
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", ["custom", "annotations", "cumulative", "counting", "details"])
def test_twice_as_many_cost_twice_as_much(kind: str) -> None:
    def chunks(n: int) -> list[Any]:
        if kind == "custom":
            made = [{"id": "c", "custom": {"name": "f", "input": "x"}}] * n
            return [delta(tool_calls=[piece]) for piece in made]
        if kind == "annotations":
            return [delta(content="a", annotations=[{"url": f"https://a/{i}"}]) for i in range(n)]
        if kind == "cumulative":
            pieces = ["{" + "x" * 2000, *["{" + "x" * 1999] * n]
            return [
                delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": a}}])
                for a in pieces
            ]
        if kind == "counting":
            return [
                {**HEAD, "choices": [{"index": i, "delta": {"content": "a"}}]} for i in range(n)
            ]
        return [
            delta(reasoning_details=[{"type": "reasoning.text", "text": "a"}]) for _ in range(n)
        ]

    for few, many in zip(encoders(), encoders(), strict=True):
        # Eight times as many, which were 64 times as much if each cost what came before it.
        assert cpu_of(chunks(8000), many) < 32 * max(cpu_of(chunks(1000), few), 0.002)


HOSTILE = """
import json, resource, sys
from tests.dialects.test_answer_bounds import CHAT, CompletionEncoder, written
from tests.support.edge_case_streams import delta

def most():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

kind, before = sys.argv[1], most()
if kind == "sound":
    chunks = (delta(audio={"data": "A" * 30_000_000}) for _ in range(4))
elif kind == "images":
    chunks = (delta(images=[f"data:image/png;base64,{i}" + "A" * 30_000_000]) for i in range(4))
elif kind == "text":
    chunks = (delta(content="x" * 999 + "\\U0001f600") for _ in range(16_700))
elif kind == "details":
    fields = ({f"k{i}-{j}": 1.5 for j in range(50_000)} for i in range(60))
    chunks = (delta(reasoning_details=[each]) for each in fields)
else:
    chunks = (delta(content="a", **{kind: [{"a": 1}] * 4000}) for _ in range(60))
written(chunks, CompletionEncoder(CHAT))
print(most() - before)
"""


@pytest.mark.parametrize("kind", ["sound", "images", "text", "details", "annotations"])
def test_a_chats_memory_is_bounded(kind: str) -> None:
    """By the number in docs/security.md; the chunks themselves are made here, and count too."""
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", HOSTILE, kind],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert float(done.stdout) < 1024


# ---- Anything at all.

ODD = st.recursive(
    st.sampled_from([None, True, False, 0, 1, -1, 1.5, 10**30, "", "s", "0", "stop", "\ud83d"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "index",
                    "id",
                    "type",
                    "function",
                    "custom",
                    "name",
                    "arguments",
                    "input",
                    "delta",
                    "message",
                    "content",
                    "text",
                    "url",
                    "choices",
                    "error",
                    "data",
                    "image_url",
                    "url_citation",
                    "thinking",
                    "audio",
                    "transcript",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)

FIELDS = [
    "choices",
    "delta",
    "content",
    "role",
    "refusal",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "tool_calls",
    "function",
    "function_call",
    "custom",
    "index",
    "id",
    "name",
    "arguments",
    "input",
    "type",
    "images",
    "image_url",
    "url",
    "annotations",
    "url_citation",
    "citations",
    "search_results",
    "usage",
    "prompt_tokens",
    "prompt_tokens_details",
    "finish_reason",
    "native_finish_reason",
    "logprobs",
    "message",
    "text",
    "audio",
    "transcript",
    "extra_content",
    "x_groq",
    "base_resp",
    "errors",
    "data",
    "object",
    "created",
    "model",
    "title",
    "executed_tools",
]


def mutated(value: Any, draw: Any) -> Any:
    """Return a chunk with some of its values replaced by others, and some fields added."""
    if draw(st.integers(0, 9)) == 0:
        return draw(ODD)
    if isinstance(value, dict):
        changed = {name: mutated(inner, draw) for name, inner in value.items()}
        if draw(st.integers(0, 5)) == 0:
            changed[draw(st.sampled_from(FIELDS))] = draw(ODD)
        return changed
    if isinstance(value, list):
        return [mutated(inner, draw) for inner in value]
    return value


@st.composite
def mutants(draw: Any) -> list[Any]:
    return [mutated(chunk, draw) for chunk in STREAMS[draw(st.sampled_from(sorted(STREAMS)))]]


@settings(max_examples=300, deadline=None)
@given(mutants(), st.booleans())
def test_wrong_types_are_no_fault(chunks: list[Any], thinking_tags: bool) -> None:
    for encoder in encoders():
        written(chunks, encoder, thinking_tags)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=5), st.sampled_from(FIELDS[2:]), ODD, st.booleans()),
        min_size=1,
        max_size=5,
    )
)
def test_no_text_is_lost_whatever_stands_beside_it(pieces: list[Any]) -> None:
    chunks, text = [], ""
    for said, field, odd, inside in pieces:
        beside = {field: odd} if field not in ("content", "role") else {}
        chunk = delta(**({"content": said} | (beside if inside else {})))
        if not inside and field not in ("choices", "error", "finish_reason", "delta"):
            chunk["choices"][0] |= {n: v for n, v in beside.items() if n not in ("index",)}
        chunks.append(chunk)
        text += said
    for encoder in encoders():
        _, reader, error = written([*chunks, delta("stop")], encoder)
        if error is None:
            read = "".join(reader.totals().text)
            assert read.encode("utf-16", "surrogatepass").decode("utf-16", "replace") == text
