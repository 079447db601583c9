"""Events of Messages streams that were made up."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flask_llmchat import (
    Document,
    Finish,
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
from flask_llmchat.protocols.messages.parser import MessageParser

from .streams import STOP, begin, call, delta, end, ended, parsed, text, thinking, whole

FORMAT = "messages:anthropic"


def test_text_reasoning_and_a_call_come_in_their_order() -> None:
    parser, events = parsed(
        whole(
            thinking(0, "Let me", " see."),
            text(1, "I look."),
            call(2, "toolu_1", "look", '{"at"', ": 1}"),
            reason="tool_use",
        )
    )
    detail = {
        "type": "reasoning.text",
        "format": FORMAT,
        "text": "Let me see.",
        "signature": "sig",
    }
    assert events == [
        ReasoningDelta("Let me"),
        ReasoningDelta(" see."),
        ReasoningEnd(detail),
        TextDelta("I look."),
        ToolCallDelta(0, "toolu_1", "look", ""),
        ToolCallDelta(0, "", "", '{"at"'),
        ToolCallDelta(0, "", "", ": 1}"),
        Finish("tool_calls"),
    ]
    totals = parser.totals()
    assert totals.reasoning_details == [detail]
    assert totals.usage is not None
    assert (totals.usage.prompt_tokens, totals.usage.completion_tokens) == (5, 7)


def test_reasoning_after_text_names_the_call_that_it_precedes() -> None:
    parser, events = parsed(
        whole(
            thinking(0, "a"),
            text(1, "First."),
            call(2, "toolu_1", "look"),
            [begin(3, "redacted_thinking", data="hidden"), end(3)],
            thinking(4, "b", signature="sig 2"),
            call(5, "toolu_2", "look"),
            reason="tool_use",
        )
    )
    told = [(d.get("tool_call_id"), d["type"]) for d in parser.totals().reasoning_details]
    assert told == [
        (None, "reasoning.text"),
        ("toolu_2", "reasoning.encrypted"),
        ("toolu_2", "reasoning.text"),
    ]
    ends = [event.detail for event in events if isinstance(event, ReasoningEnd)]
    assert ends == parser.totals().reasoning_details
    assert events.index(ReasoningEnd(ends[-1])) < events.index(
        ToolCallDelta(1, "toolu_2", "look", "")
    )


def test_reasoning_before_a_call_that_comes_first_names_none() -> None:
    parser, _ = parsed(whole(thinking(0, "a"), call(1, "toolu_1", "look"), reason="tool_use"))
    assert "tool_call_id" not in parser.totals().reasoning_details[0]


def test_reasoning_after_a_tool_of_the_providers_does_not_go_back() -> None:
    """It is bound to that tool's blocks, which do not go back either."""
    ran = call(1, "s1", "web_search", '{"query": "a"}', kind="server_tool_use")
    blocks = [thinking(0, "A"), ran, thinking(2, "B"), call(3, "t1", "look")]
    parser, events = parsed(whole(*blocks, reason="tool_use"))
    ends = [event.detail for event in events if isinstance(event, ReasoningEnd)]
    assert [detail and detail["text"] for detail in ends] == ["A", "B"]
    (kept,) = parser.totals().reasoning_details
    assert kept["text"] == "A" and "tool_call_id" not in kept


def test_reasoning_without_a_signature_does_not_go_back() -> None:
    parser, events = parsed(whole(thinking(0, "a", signature=""), text(1, "b")))
    assert parser.totals().reasoning_details == []
    assert ReasoningEnd(None) in events


def test_reasoning_is_of_the_row_it_came_from() -> None:
    _, events = parsed(whole(thinking(0, "a"), text(1, "b")), provider="minimax")
    (detail,) = (event.detail for event in events if isinstance(event, ReasoningEnd))
    assert detail is not None and detail["format"] == "messages:minimax"


def test_reasoning_that_is_left_out_of_the_response_still_goes_back() -> None:
    parser, events = parsed(whole(thinking(0), text(1, "b")))
    assert parser.totals().reasoning_details == [
        {"type": "reasoning.text", "format": FORMAT, "text": "", "signature": "sig"}
    ]
    assert not any(isinstance(event, ReasoningDelta) for event in events)


@pytest.mark.parametrize("pieces", [(), ("",)])
def test_a_call_without_arguments_has_an_empty_object(pieces: tuple[str, ...]) -> None:
    parser, events = parsed(whole(call(0, "toolu_1", "now", *pieces), reason="tool_use"))
    assert "".join(e.arguments for e in events if isinstance(e, ToolCallDelta)) == "{}"
    assert parser.totals().tool_calls[0].arguments == "{}"


def test_arguments_that_come_at_once_are_taken() -> None:
    start = begin(0, "tool_use", id="toolu_1", name="look", input={"at": 1})
    parser, _ = parsed(whole([start, end(0)], reason="tool_use"))
    assert json.loads(parser.totals().tool_calls[0].arguments) == {"at": 1}


@pytest.mark.parametrize("index", [None, "1", [1]])
def test_a_call_is_not_lost_where_its_index_is_no_number(index: Any) -> None:
    events = [event | {"index": index} for event in call(1, "t1", "look", '{"x":', "1}")]
    parser, _ = parsed(whole(events, reason="tool_use"))
    assert [c.arguments for c in parser.totals().tool_calls] == ['{"x":1}']


def test_a_call_behind_the_stop_reason_is_whole() -> None:
    begun = begin(0, "tool_use", id="t1", name="look", input={"x": 1})
    parser, events = parsed([ended("tool_use"), begun, STOP])
    assert parser.totals().tool_calls[0].arguments == '{"x": 1}'
    arguments = [event.arguments for event in events if isinstance(event, ToolCallDelta)]
    assert "".join(arguments) == '{"x": 1}'


@pytest.mark.parametrize("kind", ["thinking", "text"])
def test_blocks_that_overlap_do_not_have_each_others_content(kind: str) -> None:
    """Else each of four thousand blocks could have the sixteen megabytes of all of them."""
    parser = MessageParser("anthropic")
    field = {kind: "ab"}
    begun = [begin(index, kind, signature="s") for index in range(9)]
    pieces = [delta(index, kind, **field) for index in range(9)]
    ends = [end(index) for index in range(9)]
    for event in [*begun, *pieces, *ends, ended("pause_turn"), STOP]:
        parser.parse("", json.dumps(event).encode())
    body = parser.continue_body({"messages": [{"role": "user", "content": []}]})
    assert json.dumps(body).count("ab") == len(pieces)
    assert json.dumps(parser.totals().reasoning_details).count("ab") <= len(pieces)


def test_calls_need_a_name_and_an_id_of_their_own() -> None:
    blocks = [call(0, "t", "a"), call(1, "t", "b"), call(2, None, "c"), call(3, "u", "")]
    parser, events = parsed(whole(*blocks, reason="tool_use"))
    calls = parser.totals().tool_calls
    assert [c.name for c in calls] == ["a", "b", "c"]
    assert len({c.id for c in calls}) == 3 and calls[0].id == "t"
    assert [e.index for e in events if isinstance(e, ToolCallDelta) and e.name] == [0, 1, 2]


PAGE = {
    "type": "web_search_result",
    "url": "https://a.example",
    "title": "A",
    "encrypted_content": "x",
    "page_age": "1 day",
}


def found(*pages: Any) -> list[dict[str, Any]]:
    return [begin(1, "web_search_tool_result", tool_use_id="s1", content=[*pages]), end(1)]


def test_the_providers_own_search_is_a_call_and_a_result() -> None:
    cited = {
        "type": "web_search_result_location",
        "url": "https://a.example",
        "title": "A",
        "cited_text": "t",
    }
    searched = call(0, "s1", "web_search", '{"query": "a"}', kind="server_tool_use")
    parser, events = parsed(
        whole(searched, found(PAGE), text(2, "A.", citations=[cited]), text(3, citations=[cited]))
    )
    assert events == [
        ProviderToolCall("s1", "web_search", {"query": "a"}),
        ProviderToolResult(
            "s1",
            "web_search",
            [
                {
                    "type": "web_search_result",
                    "url": "https://a.example",
                    "title": "A",
                    "encryptedContent": "x",
                    "pageAge": "1 day",
                }
            ],
        ),
        Source("https://a.example", "A"),
        TextDelta("A."),
        Finish("stop"),
    ]
    (tool,) = parser.totals().provider_tools
    assert (tool.name, tool.input, tool.output) == ("web_search", {"query": "a"}, [PAGE])
    assert parser.totals().sources == [Source("https://a.example", "A")]


def test_a_search_that_failed_says_so() -> None:
    searched = call(0, "s1", "web_search", "{}", kind="server_tool_use")
    error = {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}
    result = [begin(1, "web_search_tool_result", tool_use_id="s1", content=error), end(1)]
    parser, events = parsed(whole(searched, result, text(2, "No.")))
    shown = {"type": "web_search_tool_result_error", "errorCode": "max_uses_exceeded"}
    assert ProviderToolResult("s1", "web_search", shown, failed=True) in events
    assert parser.totals().provider_tools[0].failed


def test_code_is_run_by_the_tool_that_the_host_has_switched_on() -> None:
    ran = call(0, "s1", "bash_code_execution", '{"command": "ls"}', kind="server_tool_use")
    output = {"type": "bash_code_execution_result", "stdout": "", "return_code": 0}
    kind = "bash_code_execution_tool_result"
    result = [begin(1, kind, tool_use_id="s1", content=output), end(1)]
    parser, events = parsed(whole(ran, result, text(2, "Done.")))
    arguments = {"type": "bash_code_execution", "command": "ls"}
    assert events[:2] == [
        ProviderToolCall("s1", "code_execution", arguments),
        ProviderToolResult("s1", "code_execution", output),
    ]
    (tool,) = parser.totals().provider_tools
    assert (tool.name, tool.input) == ("bash_code_execution", {"command": "ls"})


def test_a_tool_of_an_mcp_server_keeps_its_name() -> None:
    called = call(0, "m1", "echo", '{"a": 1}', kind="mcp_tool_use")
    content = [{"type": "text", "text": "1"}]
    result = begin(1, "mcp_tool_result", tool_use_id="m1", is_error=True, content=content)
    _, events = parsed(whole(called, [result, end(1)], text(2, "b")))
    assert events[:2] == [
        ProviderToolCall("m1", "echo", {"a": 1}, mcp=True),
        ProviderToolResult("m1", "echo", content, failed=True),
    ]


def test_documents_are_cited_once_each() -> None:
    page = {"type": "page_location", "document_index": 0, "document_title": "a.pdf"}
    untitled = {"type": "char_location", "document_index": 3, "document_title": None}
    _, events = parsed(whole(text(0, "x", citations=[page, page, untitled])))
    assert events[:2] == [
        Document("a.pdf", media_type="application/pdf"),
        Document("Document 3", media_type="text/plain"),
    ]
    assert events[2:] == [TextDelta("x"), Finish("stop")]


def test_tokens_of_the_cache_are_tokens_of_the_prompt() -> None:
    counts = {
        "input_tokens": 3,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 20,
        "output_tokens_details": {"thinking_tokens": 4},
        "service_tier": "standard",
    }
    parser, _ = parsed([*text(0, "a"), ended("end_turn", **counts), STOP])
    usage = parser.totals().usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (123, 7, 130)
    assert (usage.cached_tokens, usage.cache_write_tokens, usage.reasoning_tokens) == (100, 20, 4)
    assert usage.details == {"output_tokens": 7, **counts}


def test_a_character_cut_in_half_is_whole_again() -> None:
    _, events = parsed(whole(text(0, "a\ud83d", "\ude00b")))
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "a\U0001f600b"
    _, events = parsed(whole(text(0, "a\ud83d"), text(1, "b")))
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "ab"


@pytest.mark.parametrize(
    "event",
    [
        {"type": "ping"},
        {},
        [],
        None,
    ],
)
def test_heartbeats_bring_nothing(event: Any) -> None:
    assert MessageParser("a").parse("", json.dumps(event).encode()) is None


@pytest.mark.parametrize("data", [b"", b" ", b"[DONE]"])
def test_what_gateways_add_is_passed_over(data: bytes) -> None:
    assert MessageParser("a").parse("", data) is None


@pytest.mark.parametrize(
    "event",
    [
        {"type": "message_annotation", "x": 1},
        {"type": "content_block_delta", "index": 9, "delta": {"type": "input_json_delta"}},
        {"type": "content_block_delta", "index": 0},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": 5}},
        {"type": "content_block_delta", "index": [], "delta": {"type": "signature_delta"}},
        {"type": "content_block_delta", "index": {}, "delta": {"type": "thinking_delta"}},
        {"type": "content_block_start", "index": 0, "content_block": None},
        {"type": "content_block_start", "index": "0", "content_block": {"type": "text"}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": ["text"]}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "compaction"}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "fallback"}},
        {"type": "content_block_stop", "index": None},
        {"type": "content_block_stop"},
        {"type": "message_start", "message": []},
        {"type": "message_start", "message": {"usage": 7}},
        {"type": "message_delta", "delta": None},
        {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": "9"}},
        {"type": "message_stop"},
    ],
)
def test_odd_and_unknown_events_are_passed_over(event: dict[str, Any]) -> None:
    parser = MessageParser("anthropic")
    assert parser.parse("", json.dumps(event).encode()) == []
    assert not parser.done
    for further in whole(text(0, "a")):
        parser.parse("", json.dumps(further).encode())
    assert (parser.done, "".join(parser.totals().text), parser.finish()) == (True, "a", [])


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        {"type": "message_delta", "error": {"message": "no"}},
        {"error": {"message": "no"}},
        {"detail": "not such an endpoint"},
        {"object": "chat.completion.chunk", "choices": []},
        {"type": 5},
        ["an error"],
        "an error",
    ],
)
def test_errors_and_other_protocols_are_errors(event: Any) -> None:
    with pytest.raises(StreamErrorEvent):
        MessageParser("a").parse("", json.dumps(event).encode())


HOSTILE = [
    begin(0, "tool_use", id={}, name=[], input=7),
    begin(0, "tool_use", id="a", name="b", input="c"),
    begin(0, "server_tool_use", id=[], name={}, input=[]),
    begin(0, "web_search_tool_result", tool_use_id=[], content={"type": []}),
    begin(0, "web_search_tool_result", tool_use_id="x", content=[[], 1, None]),
    begin(0, "tool_search_tool_result", tool_use_id="x", content={"type": []}),
    begin(0, "mcp_tool_result"),
    begin(0, "_tool_result", content=7),
    begin(0, "text", text=[], citations=[1, {}, {"url": 5, "document_index": "x"}]),
    begin(0, "thinking", thinking=5, signature={}),
    begin(0, "redacted_thinking", data=None),
    delta(0, "citations", citation={"url": "https://a.example", "title": {}}),
    delta(0, "citations", citation="x"),
    delta(0, "signature", signature=5),
    delta(0, "input_json", partial_json=[]),
    {"type": "message_delta", "delta": {"container": {"id": 5}}, "usage": {"input_tokens": -1}},
    {"type": "message_delta", "delta": {}, "usage": {"input_tokens": 1e300, "output_tokens": True}},
]


@pytest.mark.parametrize("event", HOSTILE)
def test_hostile_events_raise_nothing_unknown(event: dict[str, Any]) -> None:
    parser = MessageParser("anthropic")
    start = begin(0, "text", text="")
    for one in (start, event, end(0), ended("end_turn"), STOP):
        parser.parse("", json.dumps(one).encode())
    assert parser.done
    parser.totals()
    parser.continue_body({"messages": [{"role": "user", "content": []}]})


@pytest.mark.parametrize(
    ("event", "count"),
    [
        (begin(0, "text", text=""), MAX_PARTS),
        (begin(0, "tool_use", id="", name="a"), MAX_CALLS),
    ],
)
def test_too_many_blocks_are_an_error(event: dict[str, Any], count: int) -> None:
    parser, data = MessageParser("a"), json.dumps(event).encode()
    for _ in range(count):
        parser.parse("", data)
    with pytest.raises(StreamErrorEvent):
        parser.parse("", data)


def test_too_many_tools_of_the_provider_are_an_error() -> None:
    parser = MessageParser("a")
    with pytest.raises(StreamErrorEvent):
        for number in range(MAX_CALLS + 1):
            for event in call(number, f"s{number}", "web_search", kind="server_tool_use"):
                parser.parse("", json.dumps(event).encode())


def test_more_sources_than_are_kept_are_left_out() -> None:
    pages = [{"type": "x", "url": f"https://{n}.example"} for n in range(MAX_SOURCES + 9)]
    parser, _ = parsed(whole(text(0, "a", citations=pages)))
    assert len(parser.totals().sources) == MAX_SOURCES


def test_a_whole_json_that_is_no_message_is_not_taken() -> None:
    for body in ({"type": "error", "error": {"message": "x"}}, {"choices": []}, [], "x", None):
        assert MessageParser("a").parse_whole(body, b"{}") is None
    with pytest.raises(StreamErrorEvent):
        MessageParser("a").parse_whole({"type": "message", "content": []}, b"{}")
