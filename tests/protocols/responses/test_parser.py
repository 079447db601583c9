"""Streams of Responses in forms that real providers have, and in forms that no provider should."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from flask_llmchat import (
    Document,
    Finish,
    Image,
    ProviderToolCall,
    ProviderToolResult,
    ReasoningDelta,
    ReasoningEnd,
    Source,
    TextDelta,
    ToolCallDelta,
)
from flask_llmchat.core.errors import StreamErrorEvent
from flask_llmchat.core.limits import MAX_CALLS, MAX_PARTS, MAX_SOURCES
from flask_llmchat.protocols.responses.parser import ResponsesParser

from .streams import added, completed, done, dumped, event, message, parsed, text

STOP = Finish("stop")


def summary(delta: str, index: int = 0, item: int = 0) -> dict[str, Any]:
    return event(
        "reasoning_summary_text.delta", output_index=item, summary_index=index, delta=delta
    )


def arguments(delta: str, index: int = 0) -> dict[str, Any]:
    return event("function_call_arguments.delta", output_index=index, delta=delta)


def test_text_that_comes_four_times_is_given_once() -> None:
    whole = message("Hello")
    events, parser = parsed(
        added(0, "message", content=[]),
        text("Hel"),
        text("lo"),
        event("output_text.done", output_index=0, content_index=0, text="Hello"),
        event("content_part.done", output_index=0, content_index=0, part=whole["content"][0]),
        done(0, "message", **whole),
        completed({"type": "message", **whole}),
    )
    assert events == [TextDelta("Hel"), TextDelta("lo"), STOP]
    assert parser.totals().usage is not None and parser.finish_reason == "stop"


@pytest.mark.parametrize(
    "rest",
    [
        [event("output_text.done", output_index=0, content_index=0, text="Hello")],
        [
            event(
                "content_part.done",
                output_index=0,
                content_index=0,
                part={"type": "output_text", "text": "Hello"},
            )
        ],
        [done(0, "message", **message("Hello"))],
        [],
    ],
)
def test_a_text_whose_deltas_are_missing_is_completed(rest: list[Any]) -> None:
    last = completed({"type": "message", **message("Hello")})
    assert parsed(text("He"), *rest, last)[0] == [TextDelta("He"), TextDelta("llo"), STOP]
    assert parsed(*rest, last)[0] == [TextDelta("Hello"), STOP]


def test_a_text_that_is_another_in_the_end_stays_as_it_was_shown() -> None:
    last = completed({"type": "message", **message("Good evening")})
    assert parsed(text("Hello"), last)[0] == [TextDelta("Hello"), STOP]


def test_items_are_matched_by_their_order_where_ids_and_places_differ() -> None:
    events, _ = parsed(
        added(0, "message", id="a"),
        text("One."),
        added(2, "message", id="b"),
        text("Two.", 2),
        completed(
            {"type": "message", "id": "y", **message("One.")},
            {"type": "message", **message("Two.!")},
        ),
    )
    assert events == [TextDelta("One."), TextDelta("Two."), TextDelta("!"), STOP]


def test_items_without_an_index_are_told_apart_by_their_ids() -> None:
    def delta(text: str, item: str) -> dict[str, Any]:
        return event("output_text.delta", item_id=item, delta=text)

    events, _ = parsed(
        delta("One.", "a"),
        delta("Two.", "b"),
        completed({"type": "message", **message("One.")}, {"type": "message", **message("Two.")}),
    )
    assert events == [TextDelta("One."), TextDelta("Two."), STOP]


def test_only_the_item_itself_says_its_id() -> None:
    """Its deltas have the id in a field of their own, and an index may be text."""

    def without_index(item: dict[str, Any], **fields: Any) -> dict[str, Any]:
        return {name: value for name, value in item.items() if name != "output_index"} | fields

    def as_text(item: dict[str, Any], id_: str) -> dict[str, Any]:
        return {**item, "output_index": "0", "item_id": id_}

    expected = [ReasoningDelta("Hm."), ReasoningEnd(), TextDelta("Hi"), STOP]
    thought = {"id": "r", "summary": [{"type": "summary_text", "text": "Hm."}]}
    said = {"id": "m", **message("Hi")}
    events, _ = parsed(
        without_index(added(0, "reasoning", id="r")),
        without_index(summary("Hm."), item_id="r"),
        without_index(done(0, "reasoning", **thought)),
        without_index(added(1, "message", id="m")),
        without_index(text("Hi"), item_id="m"),
        without_index(done(1, "message", **said)),
        completed({"type": "reasoning", **thought}, {"type": "message", **said}),
    )
    assert events == expected
    rotating = parsed(
        as_text(added(0, "message", id="a"), "a"),
        as_text(text("Hi"), "b"),
        as_text(done(0, "message", id="c", **message("Hi")), "c"),
        completed(),
    )
    assert rotating[0] == [TextDelta("Hi"), STOP]


def test_a_second_item_without_an_id_is_not_the_first() -> None:
    events, _ = parsed(
        added(0, "message"),
        text("One."),
        done(0, "message", **message("One.")),
        added(0, "message"),
        done(0, "message", **message("Two.")),
        completed(),
    )
    assert events == [TextDelta("One."), TextDelta("Two."), STOP]


def test_an_item_that_stands_twice_in_the_end_is_one() -> None:
    item = {"type": "message", "id": "m", **message("Hi")}
    events, _ = parsed(added(0, "message", id="m"), text("Hi"), completed(item, item))
    assert events == [TextDelta("Hi"), STOP]


def test_several_items_under_one_index_are_several() -> None:
    call = {"call_id": "c", "name": "now", "arguments": "{}"}
    events, parser = parsed(
        added(0, "reasoning", id="r"),
        summary("Hm."),
        done(0, "reasoning", id="r", encrypted_content="x", summary=[{"text": "Hm."}]),
        added(0, "message", id="m"),
        text("Hi"),
        done(0, "message", id="m", **message("Hi")),
        added(0, "function_call", id="f", **call),
        done(0, "function_call", id="f", **call),
        added(0, "function_call", id="g", **{**call, "call_id": "d"}),
        done(0, "function_call", id="g", **{**call, "call_id": "d"}),
        completed(),
    )
    assert "".join(parser.totals().text) == "Hi"
    assert [c.id for c in parser.totals().tool_calls] == ["c", "d"]
    assert events[-1] == Finish("tool_calls")


def test_halves_of_characters_are_joined_across_deltas() -> None:
    halves = [
        b'{"type":"response.output_text.delta","output_index":0,"delta":"a\\ud83d"}',
        b'{"type":"response.output_text.delta","output_index":0,"delta":"\\ude00b"}',
    ]
    assert parsed(*halves, completed())[0] == [TextDelta("a"), TextDelta("\U0001f600b"), STOP]
    assert parsed(halves[0], completed())[0] == [TextDelta("a"), TextDelta("\ufffd"), STOP]
    last = completed({"type": "message", **message("a\U0001f600")})
    assert parsed(halves[0], last)[0] == [TextDelta("a"), TextDelta("\U0001f600"), STOP]


def test_a_refusal_is_text() -> None:
    refusal = {"type": "refusal", "refusal": "I cannot."}
    events, _ = parsed(
        event("refusal.delta", output_index=0, content_index=0, delta="I can"),
        event("refusal.done", output_index=0, content_index=0, refusal="I cannot."),
        completed({"type": "message", "content": [refusal]}),
    )
    assert events == [TextDelta("I can", refusal=True), TextDelta("not.", refusal=True), STOP]


def test_half_a_character_in_a_field_is_replaced() -> None:
    cited = {"type": "url_citation", "url": "https://a.example/\ud83d", "title": "\ud83d"}
    part = {"type": "output_text", "text": "Hi", "annotations": [cited]}
    events, _ = parsed(done(0, "message", content=[part]), completed())
    assert Source("https://a.example/\ufffd", "\ufffd") in events


def test_the_input_of_a_tool_that_is_no_json_stays_text() -> None:
    call = done(0, "mcp_call", id="m", name="look", arguments='{"a": NaN}', output="")
    events, _ = parsed(call, text("Hi", 1), completed())
    assert ProviderToolCall("m", "mcp.look", '{"a": NaN}', True) in events


def sealed(id_: str, *texts: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "reasoning.encrypted",
        "format": "responses:openai",
        "id": id_,
        "data": f"sealed {id_}",
        "summary": list(texts),
        **more,
    }


def reasoning(id_: str, *texts: str) -> dict[str, Any]:
    parts = [{"type": "summary_text", "text": text} for text in texts]
    return {"id": id_, "summary": parts, "encrypted_content": f"sealed {id_}"}


def test_reasoning_ends_with_each_part_and_with_what_goes_back() -> None:
    events, parser = parsed(
        added(0, "reasoning", id="r", summary=[]),
        summary("One."),
        summary("Tw", 1),
        event("reasoning_summary_text.done", output_index=0, summary_index=1, text="Two."),
        done(0, "reasoning", **reasoning("another", "One.", "Two.")),
        added(1, "message"),
        text("Hi", 1),
        completed(),
    )
    detail = sealed("r", "One.", "Two.", data="sealed another")
    assert events == [
        ReasoningDelta("One."),
        ReasoningEnd(),
        ReasoningDelta("Tw"),
        ReasoningDelta("o."),
        ReasoningEnd(detail),
        TextDelta("Hi"),
        STOP,
    ]
    assert parser.totals().reasoning_details == [detail]


def test_hidden_reasoning_has_a_detail_and_no_text() -> None:
    events, _ = parsed(done(0, "reasoning", **reasoning("r")), text("Hi", 1), completed())
    assert events == [ReasoningEnd(sealed("r")), TextDelta("Hi"), STOP]
    bare = done(0, "reasoning", id="r", summary=[])
    assert parsed(bare, text("Hi", 1), completed())[0] == [TextDelta("Hi"), STOP]


def test_reasoning_names_the_call_that_it_came_before() -> None:
    def calling(index: int, call_id: str) -> list[dict[str, Any]]:
        item = {"id": f"f{index}", "call_id": call_id, "name": "now", "arguments": "{}"}
        return [added(index, "function_call", **item), done(index, "function_call", **item)]

    events, parser = parsed(
        done(0, "reasoning", **reasoning("r0")),
        added(1, "message"),
        text("Hi", 1),
        done(2, "reasoning", **reasoning("r2")),
        *calling(3, "c3"),
        done(4, "reasoning", **reasoning("r4")),
        *calling(5, "c5"),
        done(6, "reasoning", **reasoning("r6")),
        completed(),
    )
    assert parser.totals().reasoning_details == [
        sealed("r0"),
        sealed("r2", tool_call_id="c3"),
        sealed("r4", tool_call_id="c5"),
        sealed("r6"),
    ]
    order = [
        e.detail["id"] if isinstance(e, ReasoningEnd) and e.detail else type(e) for e in events
    ]
    call = ToolCallDelta
    assert order == ["r0", TextDelta, "r2", call, "r4", call, "r6", Finish]


@pytest.mark.parametrize("begins", [True, False])
def test_reasoning_goes_back_only_with_what_it_led_to(begins: bool) -> None:
    """A tool that the provider ran does not go back, and reasoning without it is refused."""
    search = {"id": "ws", "action": {"type": "search", "query": "a"}}
    events, parser = parsed(
        done(0, "reasoning", id="r1", encrypted_content="x", summary=[]),
        *([added(1, "web_search_call", **search)] if begins else []),
        done(1, "web_search_call", **search),
        done(2, "reasoning", id="r2", encrypted_content="y", summary=[]),
        text("Hi", 3),
        completed(),
    )
    ended_ = [event.detail for event in events if isinstance(event, ReasoningEnd)]
    assert [detail and detail["id"] for detail in ended_] == ["r1", "r2"]
    assert [detail["id"] for detail in parser.totals().reasoning_details] == ["r2"]


def test_of_raw_reasoning_and_its_summary_one_is_shown() -> None:
    raw = event("reasoning_text.delta", output_index=0, content_index=0, delta="Raw.")
    whole = reasoning("r", "Short.")
    whole["content"] = [{"type": "reasoning_text", "text": "Raw."}]
    events, _ = parsed(raw, done(0, "reasoning", **whole), text("Hi", 1), completed())
    assert events[:2] == [ReasoningDelta("Raw."), ReasoningEnd(sealed("r", "Short."))]
    del whole["encrypted_content"]
    events, _ = parsed(raw, done(0, "reasoning", **whole), text("Hi", 1), completed())
    detail = {"type": "reasoning.text", "format": "responses:openai", "id": "r", "text": "Raw."}
    assert events[:2] == [ReasoningDelta("Raw."), ReasoningEnd(detail)]


def test_a_call_is_given_with_its_id_and_name_and_its_arguments_once() -> None:
    start = {"id": "f", "call_id": "c", "name": "now", "arguments": ""}
    whole = {**start, "id": "another", "arguments": '{"a":1}'}
    last = completed({"type": "function_call", **whole})
    first = ToolCallDelta(0, "c", "now", '{"a"')
    streamed = [added(0, "function_call", **start), arguments('{"a"'), arguments(":1}")]
    ended = event("function_call_arguments.done", output_index=0, arguments='{"a":1}')
    finished = Finish("tool_calls")
    events, parser = parsed(*streamed, ended, done(0, "function_call", **whole), last)
    assert events == [first, ToolCallDelta(0, "", "", ":1}"), finished]
    assert [c.arguments for c in parser.totals().tool_calls] == ['{"a":1}']
    at_once = [ToolCallDelta(0, "c", "now", '{"a":1}'), finished]
    assert parsed(streamed[0], ended, last)[0] == at_once
    assert parsed(streamed[0], done(0, "function_call", **whole), last)[0] == at_once
    assert parsed(*streamed[1:], done(0, "function_call", **whole), last)[0] == at_once
    assert parsed(last)[0] == at_once
    assert parsed(*streamed, completed())[0][:2] == events[:2]


def test_a_call_without_arguments_or_id_is_still_a_call() -> None:
    events, parser = parsed(done(0, "function_call", name="now", arguments=""), completed())
    (call,) = parser.totals().tool_calls
    assert call.id.startswith("call_") and events[0] == ToolCallDelta(0, call.id, "now", "")
    same = [done(i, "function_call", name="now", call_id="c", arguments={"i": i}) for i in (0, 1)]
    _, parser = parsed(*same, completed())
    assert len({call.id for call in parser.totals().tool_calls}) == 2
    assert [call.arguments for call in parser.totals().tool_calls] == ['{"i": 0}', '{"i": 1}']


def test_no_name_and_no_id_has_half_a_character() -> None:
    """Databases and files cannot keep one."""
    call = {"id": "f\ud83d", "call_id": "c\ud83d", "name": "n\ud83d", "arguments": "{}"}
    events, parser = parsed(done(0, "function_call", **call), completed())
    (kept,) = parser.totals().tool_calls
    assert (kept.id, kept.name) == ("c\ufffd", "n\ufffd")
    assert events[0] == ToolCallDelta(0, "c\ufffd", "n\ufffd", "{}")


def test_a_call_without_a_name_is_left_out() -> None:
    with pytest.raises(StreamErrorEvent):
        parsed(done(0, "function_call", call_id="c", arguments="{}"), completed())


def test_a_custom_call_has_free_text() -> None:
    item = {"id": "x", "call_id": "c", "name": "sql", "input": "SELECT 1"}
    events, _ = parsed(
        added(0, "custom_tool_call", **{**item, "input": ""}),
        event("custom_tool_call_input.delta", output_index=0, delta="SELECT"),
        event("custom_tool_call_input.done", output_index=0, input="SELECT 1"),
        done(0, "custom_tool_call", **item),
        completed(),
    )
    assert events == [
        ToolCallDelta(0, "c", "sql", "SELECT", None, True),
        ToolCallDelta(0, "", "", " 1", None, True),
        Finish("tool_calls"),
    ]


def test_what_looked_like_a_call_may_be_the_providers_own_tool() -> None:
    item = {"id": "f", "call_id": "c", "name": "search_web", "arguments": '{"queries":["a"]}'}
    found = {"queries": ["a"], "results": [{"url": "https://a.example", "title": "A"}]}
    events, parser = parsed(
        added(0, "function_call", **item),
        event("reasoning.search_results", results=found["results"]),
        done(0, "search_results", **found),
        text("Hi", 1),
        completed(),
    )
    assert events == [
        Source("https://a.example", "A"),
        ProviderToolCall("c", "search_results", {"queries": ["a"]}),
        ProviderToolResult("c", "search_results", found),
        TextDelta("Hi"),
        STOP,
    ]
    assert not parser.totals().tool_calls


def test_thoughts_that_perplexity_tells_are_reasoning() -> None:
    events, _ = parsed(
        event("reasoning.search_queries", thought="Not begun"),
        event("reasoning.started", thought="Look."),
        event("reasoning.search_queries", thought="Search."),
        event("reasoning.stopped", thought="Done."),
        text("Hi"),
        completed(),
    )
    thoughts = [ReasoningDelta("Look."), ReasoningDelta("Search."), ReasoningDelta("Done.")]
    assert events == [*thoughts, ReasoningEnd(), TextDelta("Hi"), STOP]


TOOLS: dict[str, tuple[list[Any], list[Any]]] = {
    "web search": (
        [
            added(0, "web_search_call", id="w", status="in_progress"),
            done(
                0,
                "web_search_call",
                id="w",
                status="completed",
                action={"type": "open_page", "url": "u"},
            ),
        ],
        [
            ProviderToolCall("w", "web_search", {}),
            ProviderToolResult("w", "web_search", {"action": {"type": "openPage", "url": "u"}}),
        ],
    ),
    "a search that failed": (
        [done(0, "web_search_call", id="w", status="failed")],
        [
            ProviderToolCall("w", "web_search", {}),
            ProviderToolResult("w", "web_search", {"status": "failed"}, failed=True),
        ],
    ),
    "file search": (
        [
            added(0, "file_search_call", id="s", queries=[]),
            done(
                0,
                "file_search_call",
                id="s",
                queries=["q"],
                results=[{"file_id": "f", "filename": "a.pdf", "score": 0.5, "text": "t"}],
            ),
        ],
        [
            ProviderToolCall("s", "file_search", {}),
            ProviderToolResult(
                "s",
                "file_search",
                {
                    "queries": ["q"],
                    "results": [
                        {
                            "attributes": None,
                            "fileId": "f",
                            "filename": "a.pdf",
                            "score": 0.5,
                            "text": "t",
                        }
                    ],
                },
            ),
        ],
    ),
    "code": (
        [
            added(0, "code_interpreter_call", id="i", code="", container_id="k"),
            event("code_interpreter_call_code.delta", output_index=0, delta="1+1"),
            event("code_interpreter_call_code.done", output_index=0, code="1+1"),
            done(0, "code_interpreter_call", id="i", code="1+1", container_id="k", outputs=[]),
        ],
        [
            ProviderToolCall("i", "code_interpreter", {"code": "1+1", "containerId": "k"}),
            ProviderToolResult("i", "code_interpreter", {"outputs": []}),
        ],
    ),
    "image": (
        [
            added(0, "image_generation_call", id="g"),
            event("image_generation_call.partial_image", output_index=0, partial_image_b64="Zg=="),
            done(0, "image_generation_call", id="g", result="Zm8=", output_format="webp"),
        ],
        [
            ProviderToolCall("g", "image_generation", {}),
            Image("data:image/webp;base64,Zm8="),
            ProviderToolResult("g", "image_generation", {"result": "Zm8="}),
        ],
    ),
    "mcp": (
        [
            done(0, "mcp_list_tools", id="l", server_label="s", tools=[]),
            done(
                1, "mcp_call", id="m", name="cut", arguments='{"a":1}', server_label="s", error="no"
            ),
        ],
        [
            ProviderToolCall("m", "mcp.cut", {"a": 1}, mcp=True),
            ProviderToolResult(
                "m",
                "mcp.cut",
                {
                    "type": "call",
                    "serverLabel": "s",
                    "name": "cut",
                    "arguments": '{"a":1}',
                    "error": "no",
                },
                failed=True,
            ),
        ],
    ),
    "an approval": (
        [done(0, "mcp_approval_request", id="m", name="cut", arguments="{", server_label="s")],
        [ProviderToolCall("m", "mcp.cut", "{", mcp=True)],
    ),
    "one that is not known": (
        [done(0, "x_search_call", id="x", call_id="c", status="completed", action={"a": 1})],
        [ProviderToolCall("c", "x_search", {"action": {"a": 1}})],
    ),
}


def test_an_output_that_is_an_item_of_its_own_belongs_to_its_call() -> None:
    events, _ = parsed(
        done(0, "shell_call", id="s", call_id="c", action={"commands": ["ls"]}),
        done(1, "shell_call_output", id="o", call_id="c", output=[]),
        done(2, "shell_call_output", id="o", call_id="unknown", output=[]),
        completed(),
    )
    assert events == [
        ProviderToolCall("c", "shell", {"action": {"commands": ["ls"]}}),
        ProviderToolResult("c", "shell", {"output": []}),
        STOP,
    ]


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_of_the_providers_is_told(name: str) -> None:
    stream, expected = TOOLS[name]
    events, parser = parsed(*stream, completed())
    assert events == [*expected, STOP]
    (tool,) = parser.totals().provider_tools
    assert (tool.id, tool.name, tool.input) == (expected[0].id, expected[0].name, expected[0].input)
    if isinstance(expected[-1], ProviderToolResult):
        assert (tool.output, tool.failed) == (expected[-1].output, expected[-1].failed)


def test_a_link_that_would_run_a_script_is_no_source() -> None:
    script = {"type": "url_citation", "url": "javascript:alert(1)", "title": "A"}
    events, parser = parsed(
        event("output_text.annotation.added", annotation=script), text("Hi"), completed()
    )
    assert events == [TextDelta("Hi"), STOP] and not parser.totals().sources


def test_citations_are_told_once() -> None:
    page = {"type": "url_citation", "url": "https://a.example", "title": "A"}
    file = {"type": "file_citation", "file_id": "f", "filename": "a.pdf"}
    path = {"type": "file_path", "file_id": "p"}
    added_ = [event("output_text.annotation.added", annotation=a) for a in (page, file, path)]
    part = {"type": "output_text", "text": "Hi", "annotations": [page, file, path]}
    events, _ = parsed(
        text("Hi"), *added_, *added_, completed({"type": "message", "content": [part]})
    )
    assert events == [
        TextDelta("Hi"),
        Source("https://a.example", "A"),
        Document("a.pdf", "a.pdf", "text/plain"),
        Document("p", "p", "application/octet-stream"),
        STOP,
    ]


def ended(name: str, **fields: Any) -> dict[str, Any]:
    return event(name, response={"status": name, "output": [], **fields})


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (completed(), "stop"),
        (event("done", response={"output": []}), "stop"),
        (event("completed"), "stop"),
        (event("completed", response={"status": "in_progress"}), "stop"),
        (ended("incomplete", incomplete_details={"reason": "max_output_tokens"}), "length"),
        (ended("incomplete", incomplete_details={"reason": "max_tool_calls"}), "length"),
        (ended("incomplete", incomplete_details={"reason": "content_filter"}), "content_filter"),
        (completed(status="incomplete", incomplete_details={"reason": "length"}), "length"),
        (
            ended("incomplete", status="completed", incomplete_details={"reason": "max_tokens"}),
            "length",
        ),
    ],
)
def test_every_ending_is_told_apart(last: Any, reason: str) -> None:
    events, parser = parsed(text("Hi"), last)
    assert events == [TextDelta("Hi"), Finish(reason)]
    assert parser.done and parser.finish_reason == parser.totals().finish_reason == reason


ERROR = {"code": "rate_limit_exceeded", "message": "Too fast."}


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (ended("failed", error=ERROR), ERROR),
        (completed(error=ERROR), ERROR),
        (completed(status="failed", error=ERROR), ERROR),
        ({"type": "error", **ERROR, "param": None}, {"type": "error", **ERROR}),
        ({"type": "error", "error": ERROR}, ERROR),
        ({"error": ERROR}, ERROR),
        ({"error": "Too fast."}, {"message": "Too fast."}),
        (ended("failed"), {"status": "failed"}),
        (ended("failed", status="completed"), {"status": "completed"}),
        (ended("cancelled"), {"status": "cancelled"}),
        (ended("incomplete"), {"status": "incomplete"}),
        (
            ended("incomplete", incomplete_details={"reason": "steered"}),
            {"status": "incomplete"},
        ),
    ],
)
def test_every_failure_is_an_error(last: Any, told: dict[str, Any]) -> None:
    with pytest.raises(StreamErrorEvent) as raised:
        parsed(text("Hi"), last)
    assert raised.value.body["error"] == told and raised.value.is_small


@pytest.mark.parametrize("events", [[], [b"[DONE]"], [text("Hi")], [text("Hi"), b"[DONE]"]])
def test_without_its_last_event_a_response_is_not_complete(events: list[Any]) -> None:
    _, parser = parsed(*events)
    assert parser.finish_reason is None and not parser.done


def test_a_good_ending_of_nothing_is_an_error() -> None:
    source = event("output_text.annotation.added", annotation={"url": "https://a.example"})
    for events in ([], [source], [done(0, "mcp_list_tools", id="l", tools=[])]):
        with pytest.raises(StreamErrorEvent):
            parsed(*events, completed())
    details = {"reason": "max_output_tokens"}
    assert parsed(ended("incomplete", incomplete_details=details))[0] == [Finish("length")]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("", event("in_progress", response={})),
        ("", event("queued", response={})),
        ("", {"type": "keepalive", "sequence_number": 3}),
        ("ping", b"now"),
        ("", b"null"),
        ("", b"{}"),
        ("", b""),
    ],
)
def test_a_heartbeat_is_not_an_event(name: str, data: Any) -> None:
    (payload,) = dumped([data])
    assert ResponsesParser("openai").parse(name, payload) is None


def test_what_is_not_known_is_ignored() -> None:
    events, _ = parsed(
        event("created", response={}),
        event("steer.accepted"),
        added(0, "compaction", id="x"),
        done(0, "compaction", id="x", encrypted_content="y"),
        text("Hi", 1),
        {"type": "moderation.result", "flagged": False},
        {"kind": "nothing"},
        completed(),
    )
    assert events == [TextDelta("Hi"), STOP]


def test_instructions_that_come_back_may_be_a_long_table() -> None:
    table = "1," * 400_000
    events, _ = parsed(
        event("created", response={"instructions": table}),
        text("Hi"),
        completed(instructions=table),
    )
    assert events == [TextDelta("Hi"), STOP]
    for hostile in ([{}] * 300_000, ["\\,"] * 300_000, {str(i): i for i in range(300_000)}):
        with pytest.raises(ValueError, match="values"):
            parsed(event("created", response=hostile))


def test_the_name_of_an_event_counts_where_its_type_is_missing() -> None:
    parser = ResponsesParser("openai")
    delta = b'{"output_index":0,"content_index":0,"delta":"Hi"}'
    assert parser.parse("response.output_text.delta", delta) == [TextDelta("Hi")]
    thought = parser.parse("response.reasoning.started", b'{"thought":"Hm."}')
    assert thought == [ReasoningDelta("Hm.")]


@pytest.mark.parametrize("body", [None, [], {}, {"output": None}, {"choices": []}, {"error": {}}])
def test_a_whole_body_that_is_no_response_is_not_taken_for_one(body: Any) -> None:
    parser = ResponsesParser("openai")
    assert parser.parse_whole(body, b"") is None and not parser.done


def test_a_whole_response_that_is_still_being_made_is_not_complete() -> None:
    for status in ("in_progress", "queued"):
        body = {"status": status, "output": [{"type": "message", **message("Hi")}]}
        with pytest.raises(StreamErrorEvent):
            ResponsesParser("openai").parse_whole(body, b"")


def test_what_is_too_much_is_an_error_and_what_accompanies_is_left_out() -> None:
    def call(i: int) -> dict[str, Any]:
        return done(i, "function_call", call_id=f"c{i}", name="now", arguments="{}")

    with pytest.raises(StreamErrorEvent):
        parsed(*[call(i) for i in range(MAX_CALLS + 1)])
    with pytest.raises(StreamErrorEvent):
        parsed(*[text("a", i) for i in range(MAX_PARTS + 1)])
    with pytest.raises(StreamErrorEvent):
        parsed(*[text("a", 0, i) for i in range(MAX_PARTS + 1)])
    pages = [{"url": f"https://a.example/{i}"} for i in range(MAX_SOURCES + 9)]
    added_ = [event("output_text.annotation.added", annotation=page) for page in pages]
    assert len(parsed(*added_, text("Hi"), completed())[1].totals().sources) == MAX_SOURCES


NORMAL = [
    event("created", response={"id": "r"}),
    added(0, "reasoning", id="rs", summary=[]),
    summary("Hm."),
    event("reasoning_summary_part.done", output_index=0, summary_index=0, part={"text": "Hm."}),
    done(0, "reasoning", **reasoning("rs", "Hm.")),
    added(1, "web_search_call", id="w", status="in_progress"),
    done(
        1, "web_search_call", id="w", status="completed", action={"type": "search", "sources": []}
    ),
    added(2, "message", id="m", content=[]),
    event("content_part.added", output_index=2, content_index=0, part={"type": "output_text"}),
    text("Hel", 2),
    text("lo", 2),
    event("output_text.annotation.added", output_index=2, annotation={"url": "https://a.example"}),
    event("output_text.done", output_index=2, content_index=0, text="Hello"),
    done(2, "message", id="m", **message("Hello")),
    added(3, "function_call", id="f", call_id="c", name="now", arguments=""),
    arguments('{"a":1}', 3),
    event("function_call_arguments.done", output_index=3, arguments='{"a":1}'),
    done(3, "function_call", id="f", call_id="c", name="now", arguments='{"a":1}'),
    done(4, "code_interpreter_call", id="i", code="1", outputs=[{"type": "logs", "logs": "1"}]),
    done(5, "image_generation_call", id="g", result="Zm8="),
    completed({"type": "message", "id": "m", **message("Hello")}),
]

ODD = [None, True, 0, -1, 2**70, 1.5, "", "x", [], [None], [[]], {}, {"type": 7}, "response", 1e308]


def places_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for name, inner in items:
        found += places_in(inner, (*path, name))
    return found


def mutated(stream: list[Any], rng: random.Random) -> list[Any]:
    stream = json.loads(json.dumps(stream))
    for _ in range(rng.randint(1, 4)):
        if not stream:
            break
        at = rng.randrange(len(stream))
        way = rng.randrange(6)
        if way == 0:
            del stream[at]
        elif way == 1:
            stream.insert(at, stream[rng.randrange(len(stream))])
        elif way == 2:
            stream.insert(rng.randrange(len(stream)), stream.pop(at))
        else:
            *path, name = rng.choice(places_in(stream[at]) or [("type",)])
            holder = stream[at]
            if not isinstance(holder, dict):
                continue
            for step in path:
                holder = holder[step]
            if way == 3 and isinstance(holder, dict):
                del holder[name]
            elif way == 4:
                holder[name] = rng.choice(ODD)
            else:
                stream[at] = rng.choice(ODD)
    return stream


@pytest.mark.parametrize("seed", range(40))
def test_no_stream_makes_the_parser_fail(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(100):
        parser = ResponsesParser("openai")
        try:
            for data in dumped(mutated(NORMAL, rng)):
                parser.parse("", data)
                if parser.done:
                    break
            parser.finish()
        except StreamErrorEvent as error:
            json.dumps(error.body)
        totals = parser.totals()
        assert all(isinstance(piece, str) for piece in [*totals.text, *totals.reasoning])
        for call in totals.tool_calls:
            assert call.id and call.name and isinstance(call.arguments, str)


def test_every_cut_of_a_stream_is_no_complete_response() -> None:
    for at in range(len(NORMAL)):
        _, parser = parsed(*NORMAL[:at])
        assert parser.finish_reason is None and not parser.done
