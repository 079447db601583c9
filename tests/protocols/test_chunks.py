"""Chunks in all the odd shapes that providers were seen to send."""

from __future__ import annotations

import copy
import time
from typing import Any

import pytest

from flask_llmchat.core.errors import StreamErrorEvent
from flask_llmchat.core.events import Event, Image, ReasoningDelta, Source, TextDelta, ToolCallDelta
from flask_llmchat.protocols.base import Totals
from flask_llmchat.protocols.chat_completions.parser import ChatCompletionParser


def read(*chunks: Any) -> Totals:
    """Return what chunks add up to."""
    return parsed(*chunks).totals()


def parsed(*chunks: Any) -> ChatCompletionParser:
    """Return a parser that has read chunks."""
    parser = ChatCompletionParser()
    for chunk in chunks:
        parser.read(chunk)
    return parser


def delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields}]}


@pytest.mark.parametrize(
    "chunk",
    [
        {},
        {"choices": None},
        {"choices": []},
        {"choices": 7},
        {"choices": [None, 7, "x"]},
        {"choices": [{"index": 0}]},
        {"choices": [{"index": 0, "delta": None}]},
        {"choices": [], "prompt_filter_results": [{"prompt_index": 0}]},
        delta(content=None),
        delta(content=7),
        delta(content=[None, 7, {"type": "image"}]),
        delta(tool_calls=None),
        delta(tool_calls=7),
        delta(tool_calls=[None]),
        delta(role="assistant", content=""),
        delta(reasoning=7, reasoning_details=7),
        {"choices": [{"delta": {}, "finish_reason": None, "logprobs": {"content": []}}]},
        {"usage": None},
        {"usage": 7},
        {"x_groq": {"id": "req_1"}},
        {"error": None, "choices": []},
    ],
)
def test_chunks_that_bring_nothing(chunk: Any) -> None:
    assert ChatCompletionParser().read(chunk) == []


def test_a_list_of_parts_is_text_and_thinking() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]},
        {"type": "text", "text": "Yes"},
        {"type": "reference", "reference_ids": [1]},
    ]
    events: list[Event] = ChatCompletionParser().read(delta(content=parts))
    assert events == [ReasoningDelta("Hm"), TextDelta("Yes")]


def test_thinking_that_is_said_twice_is_read_once() -> None:
    details = [{"type": "reasoning.text", "text": "Hm"}]
    assert read(delta(reasoning="Hm", reasoning_details=details)).reasoning == ["Hm"]
    assert read(delta(reasoning_details=details)).reasoning == ["Hm"]
    summary = [{"type": "reasoning.summary", "summary": "In short"}]
    assert read(delta(reasoning_details=summary)).reasoning == ["In short"]


def piece(name: str | None = None, arguments: Any = None, **more: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return delta(tool_calls=[{"function": function, **more}])


@pytest.mark.parametrize(
    "chunks",
    [
        [piece("f", '{"a"', index=0, id="c"), piece(None, ": 1}", index=0)],
        [piece("f", '{"a"', index=0, id="c"), piece("f", ": 1}", index=0, id="c")],
        [piece("f", None, index=0, id="c"), piece("", '{"a": 1}', index=0, id="")],
        [piece("f", '{"a"', id="c"), piece(None, ": 1}")],
        [piece("f", '{"a"', id="c"), piece("f", ": 1}", id="c")],
        [piece("f", '{"a": 1}', index=None, id="c")],
        [piece("f", {"a": 1}, index=0, id="c")],
        [delta(tool_calls=[{"index": 0, "id": "c", "function": None}]), piece("f", '{"a": 1}')],
    ],
)
def test_a_tool_call_in_pieces(chunks: list[Any]) -> None:
    (call,) = read(*chunks).tool_calls
    assert (call.id, call.name, call.arguments) == ("c", "f", '{"a": 1}')


def test_two_tool_calls_interleaved_and_without_index() -> None:
    calls = read(
        piece("f", "1", index=0, id="c"),
        piece("g", "2", index=1, id="d"),
        piece(None, "3", index=0),
    ).tool_calls
    assert [(c.name, c.arguments) for c in calls] == [("f", "13"), ("g", "2")]
    calls = read(piece("f", "1", id="c"), piece("g", "2", id="d"), piece(None, "3")).tool_calls
    assert [(c.name, c.arguments) for c in calls] == [("f", "1"), ("g", "23")]


def test_usage_is_the_last_one_told() -> None:
    counted = {"prompt_tokens": 3, "completion_tokens": 1}
    final = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    usage = read({"usage": counted}, {"x_groq": {"usage": counted}}, {"usage": final}).usage
    assert usage and usage.total_tokens == 5
    usage = read({"x_groq": {"usage": counted}}).usage
    assert usage and usage.total_tokens == 4
    nothing: dict[str, Any] = {"prompt_tokens": None, "prompt_tokens_details": None, "x": "y"}
    usage = read({"usage": nothing}).usage
    assert usage and usage.total_tokens == 0 and usage.details == nothing


def test_details_of_usage_are_read() -> None:
    usage = read(
        {
            "usage": {
                "prompt_tokens": 30,
                "completion_tokens": 9,
                "prompt_tokens_details": {"cached_tokens": 20},
                "completion_tokens_details": {"reasoning_tokens": 5},
            }
        }
    ).usage
    assert usage and (usage.cached_tokens, usage.reasoning_tokens) == (20, 5)


@pytest.mark.parametrize(
    "chunk",
    [
        {"error": {"message": "x"}},
        {"error": "x", "choices": []},
        {"object": "error", "message": "x"},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]},
        {"choices": [{"finish_reason": "insufficient_system_resource"}]},
        {"choices": [{"finish_reason": "stop", "native_finish_reason": "error"}]},
        {"detail": "x"},
        {"code": 429, "message": "x"},
        {"statusCode": 401, "message": "x"},
        {"type": "error", "message": "x"},
        ["x"],
        "x",
    ],
)
def test_chunks_that_tell_an_error(chunk: Any) -> None:
    with pytest.raises(StreamErrorEvent):
        ChatCompletionParser().read(chunk)


def test_what_is_held_back_is_told_in_the_end() -> None:
    reader = ChatCompletionParser(thinking_tags=True)
    reader.read(delta(content="<thi"))
    reader.parse("", b"[DONE]")
    assert reader.finish() == [TextDelta("<thi")]
    reader = ChatCompletionParser()
    reader.read(delta(content="a\ud83d"))
    reader.parse("", b"[DONE]")
    assert reader.finish() == [TextDelta("\ufffd")]
    assert reader.finish() == []


def test_a_character_cut_in_two_is_joined() -> None:
    assert "".join(read(delta(content="a\ud83d"), delta(content="\ude00b")).text) == "a😀b"
    assert "".join(read(delta(content="a\ud83d"), delta(content="b")).text) == "a\ufffdb"
    assert "".join(read(delta(content="\ude00b")).text) == "\ufffdb"


@pytest.mark.parametrize(
    ("reason", "mapped"),
    [
        ("end_turn", "stop"),
        ("model_length", "length"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("content_filter: RECITATION", "content_filter"),
        ("null", None),
    ],
)
def test_finish_reasons_have_one_vocabulary(reason: Any, mapped: str | None) -> None:
    assert read({"choices": [{"finish_reason": reason}]}).finish_reason == mapped


def test_citations_are_sources_with_the_titles_of_the_search_results() -> None:
    chunk = {
        "citations": ["https://a.example", "https://b.example"],
        "search_results": [
            {"url": "https://b.example", "title": "B"},
            {"url": "https://c.example"},
        ],
        "choices": [],
    }
    reader = ChatCompletionParser()
    events = reader.read(chunk)
    assert events == [Source("https://a.example"), Source("https://b.example", "B")]
    assert reader.read(chunk) == []  # said in every chunk, told once
    del chunk["citations"]
    assert reader.read(chunk) == [Source("https://c.example")]


@pytest.mark.parametrize("odd", [None, 7, "x", [None, 7, {}], [{"url": None}], {"url": "x"}])
def test_odd_citations_are_none(odd: Any) -> None:
    assert (
        ChatCompletionParser().read({"citations": odd, "search_results": odd, "choices": []}) == []
    )


def test_annotations_are_sources() -> None:
    page = {"url": "https://a.example", "title": "A", "start_index": 0}
    script = {"type": "url_citation", "url_citation": {"url": "javascript:alert(1)"}}
    annotations = [{"type": "url_citation", "url_citation": page}, script, {"type": "other"}, None]
    events = ChatCompletionParser().read(delta(annotations=annotations))
    assert events == [Source("https://a.example", "A")]


def test_images_become_events() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,A"}}
    reader = ChatCompletionParser()
    assert reader.read(delta(images=[image, {}, None])) == [Image("data:image/png;base64,A")]
    assert reader.totals().images == ["data:image/png;base64,A"]


def test_a_refusal_is_what_the_model_says() -> None:
    assert read(delta(refusal="I cannot", content=None)).text == ["I cannot"]
    assert read(delta(refusal=None, content="I can")).text == ["I can"]


def test_usage_inside_the_choice() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    chunk = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage}]}
    counted = read(chunk).usage
    assert counted and counted.total_tokens == 5


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("<think>Hm</think>Yes", "Hm", "Yes"),
        ("\n <think>\nHm\n</think>\n\nYes", "\nHm\n", "\n\nYes"),
        ("Yes", "", "Yes"),
        ("<thinking>", "", "<thinking>"),
        ("<thi", "", "<thi"),
        ("Yes <think>Hm</think>", "", "Yes <think>Hm</think>"),
        ("<think>never closed", "never closed", ""),
        ("<think>a</thin", "a</thin", ""),
        ("<think>a < b </thin</think>Yes", "a < b </thin", "Yes"),
        ("<think></think>Yes", "", "Yes"),
        ("<think>a</think>b</think>c", "a", "b</think>c"),
        ("", "", ""),
    ],
)
def test_thinking_inside_the_text(text: str, reasoning: str, answer: str) -> None:
    for size in range(1, len(text) + 2):
        reader = ChatCompletionParser(thinking_tags=True)
        for i in range(0, len(text), size):
            reader.read(delta(content=text[i : i + size]))
        reader.read({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        assert ("".join(reader.totals().reasoning), "".join(reader.totals().text)) == (
            reasoning,
            answer,
        ), size


def test_white_space_is_not_held_back_for_ever() -> None:
    reader = ChatCompletionParser(thinking_tags=True)
    for _ in range(2000):
        reader.read({"choices": [{"delta": {"content": "\n"}}]})
    assert len("".join(reader.totals().text)) == 2000


def test_thinking_told_in_two_places_over_several_chunks_is_read_once() -> None:
    details = [{"type": "reasoning.text", "text": "Hm"}]
    assert read(delta(reasoning="Hm"), delta(reasoning_details=details)).reasoning == ["Hm"]
    both = read(delta(reasoning_content="A"), delta(reasoning="A"), delta(reasoning_content="B"))
    assert both.reasoning == ["A", "B"]


@pytest.mark.parametrize(
    ("content", "reasoning", "text"),
    [
        ([{"type": "reasoning", "text": "Hm"}, {"type": "text", "text": "Yes"}], "Hm", "Yes"),
        ([{"type": "thinking", "thinking": "Hm"}], "Hm", ""),
        ([{"type": "thinking", "thinking": ["H", "m"]}], "Hm", ""),
        (["Yes", "!"], "", "Yes!"),
        ({"type": "text", "text": "Yes"}, "", "Yes"),
    ],
)
def test_contents_that_are_no_string(content: Any, reasoning: str, text: str) -> None:
    reader = read(delta(content=content))
    assert ("".join(reader.reasoning), "".join(reader.text)) == (reasoning, text)


def test_parallel_calls_that_all_have_index_zero() -> None:
    calls = read(
        piece("f", "{}", index=0, id="a"),
        piece("g", '{"x"', index=0, id="b"),
        piece(None, ": 1}", index=0),
    ).tool_calls
    assert [(c.id, c.name, c.arguments) for c in calls] == [
        ("a", "f", "{}"),
        ("b", "g", '{"x": 1}'),
    ]


def test_arguments_that_are_an_empty_object() -> None:
    (call,) = read(piece("f", {}, index=0, id="a")).tool_calls
    assert call.arguments == "{}"


def test_counts_of_any_size_and_place() -> None:
    counted = read({"usage": {"prompt_tokens": 10**400, "prompt_cache_hit_tokens": 7}}).usage
    assert counted and (counted.prompt_tokens, counted.cached_tokens) == (0, 7)
    real, zeros = {"prompt_tokens": 3, "completion_tokens": 2}, {"prompt_tokens": 0}
    kept = read({"usage": real}, {"usage": zeros}).usage
    assert kept and kept.total_tokens == 5


@pytest.mark.parametrize("index", [{"index": 0}, {}], ids=["index", "no index"])
def test_calls_that_have_neither_ids_nor_indexes_of_their_own(index: dict[str, int]) -> None:
    def calls(*pieces: tuple[str | None, str]) -> list[tuple[str, str]]:
        found = read(*[piece(name, text, **index) for name, text in pieces]).tool_calls
        return [(call.name, call.arguments) for call in found]

    whole = [("f", '{"a":1}'), ("f", '{"a":2}'), ("g", "{}")]
    assert calls(*whole) == whole
    odd = '{"a":["}\\\\",{}]}'
    assert calls(*[("f", char) for char in odd]) == [("f", odd)]
    assert calls(*[("f", char) for char in odd * 2]) == [("f", odd)] * 2
    in_pieces = [("f", '{"a"'), (None, ":1}"), ("f", '{"b"'), (None, ":2}")]
    assert calls(*in_pieces) == [("f", '{"a":1}'), ("f", '{"b":2}')]
    assert calls(("f", "{}"), ("f", ""), ("f", " ")) == [("f", "{} ")]
    assert calls(("f", ""), ("f", "{}")) == [("f", "{}")]
    assert calls(("f", '"a{}"'), ("f", "}")) == [("f", '"a{}"}')]


def test_a_character_of_arguments_cut_in_two_is_joined() -> None:
    reader = ChatCompletionParser()
    events = reader.read(piece("f", '{"a":"\ud83d', index=0, id="a"))
    events += reader.read(piece("g", '{"b":"\ud83d', index=1, id="b"))
    events += reader.read(piece(None, '\ude00"}', index=0))
    events += reader.read({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
    told = [(e.index, e.arguments) for e in events if isinstance(e, ToolCallDelta)]
    assert told == [(0, '{"a":"'), (1, '{"b":"'), (0, '😀"}'), (1, "\ufffd")]
    assert [c.arguments for c in reader.totals().tool_calls] == ['{"a":"😀"}', '{"b":"\ufffd']
    assert reader.finish() == []


def details(**more: Any) -> dict[str, Any]:
    return delta(reasoning_details=[{"type": "reasoning.text", "index": 0, **more}])


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ([piece("f", "x" * 4_000_000, index=0)], piece(None, "abcd", index=0)),
        ([piece("f", '{"' + "x" * 4_000_000, index=0)], piece("f", '{}"}', index=0)),
        ([details(text="x" * 4_000_000)], details(text="abcd")),
        ([piece("f", "{}", id=f"c{i}") for i in range(128)], piece(None, " ")),
        ([piece("f", "{}", id=f"c{i}") for i in range(128)], piece("f", " ", id="c127")),
    ],
    ids=["arguments", "named arguments", "details", "calls without index", "ids again"],
)
def test_a_piece_costs_the_same_however_many_came_before(first: list[Any], then: Any) -> None:
    parser = parsed(*first)
    started = time.process_time()
    for _ in range(8000):
        parser.read(then)
    assert time.process_time() - started < 0.8


def test_details_whose_texts_are_none() -> None:
    odd = [details(text=None), details(text=7), details(text="a", summary="s"), details(text="b")]
    reader = read(*odd, details(signature="x", text=None))
    assert reader.reasoning_details == [
        {"type": "reasoning.text", "index": 0, "text": "ab", "summary": "s", "signature": "x"}
    ]


@pytest.mark.parametrize("beside", [{}, {"delta": None}, {"delta": {}}, {"delta": "x"}])
def test_a_whole_answer_in_one_message(beside: dict[str, Any]) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"content": "Hi", "reasoning_content": "Hm", "tool_calls": [call, call | {"id": "d"}]}
    chunk = {"choices": [{"index": 0, "message": message, "finish_reason": "stop", **beside}]}
    reader = read(copy.deepcopy(chunk), copy.deepcopy(chunk))
    assert (reader.text, reader.reasoning) == (["Hi"], ["Hm"])
    assert [c.id for c in reader.tool_calls] == ["c", "d"]
    assert read(delta(content="H"), chunk).text == ["H"]
