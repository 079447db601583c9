"""The ``ui`` dialect: reasoning that goes back, the provider's own tools, documents."""

from __future__ import annotations

import json
from typing import Any

import marshmallow as ma
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_llmchat import (
    ChatError,
    Document,
    Event,
    LLMChat,
    ProviderToolCall,
    ProviderToolResult,
    ReasoningDelta,
    ReasoningEnd,
    Source,
    StepStart,
    TextDelta,
    ToolCallDelta,
)
from flask_llmchat.dialects.ui.messages import UIMessages
from flask_llmchat.testing import FakeUpstream, sse_reply
from tests.support.apps import make_app, rows_speaking, ui_body
from tests.support.reasoning_streams import responses_wire
from tests.support.ui_conversations import GO, HI, STEP, assistant, done
from tests.support.ui_streams import DETAILS, METADATA, UI, encoder, frames, result, with_messages

URL = "/api/chat/openai"

Json = dict[str, Any]


def item(id: str = "rs_1", data: str = "enc", *summary: str) -> Json:
    """Return the detail of a reasoning item of the Responses protocol."""
    detail = {"type": "reasoning.encrypted", "format": "responses:openai", "id": id, "data": data}
    return {**detail, "summary": list(summary)}


def block(text: str, signature: str = "sig") -> Json:
    """Return the detail of a thinking block of the Messages protocol."""
    detail = {"type": "reasoning.text", "format": "messages:anthropic"}
    return {**detail, "text": text, "signature": signature}


def redacted(data: str = "enc") -> Json:
    return {"type": "reasoning.encrypted", "format": "messages:anthropic", "data": data}


def raw(text: str, **more: str) -> Json:
    """Return the detail of an item of the Responses protocol that is not encrypted."""
    return {"type": "reasoning.text", "format": "responses:deepseek", **more, "text": text}


def part(text: str, **provider: Json) -> Json:
    kept = {"providerMetadata": provider} if provider else {}
    return {"type": "reasoning", "text": text, "state": "done", **kept}


# ---- out


def shown(*events: Event) -> list[Json]:
    """Return the parts of the message that a client makes of the events' frames."""
    writer = encoder()
    data = b"".join(writer.encode([event]) for event in events) + writer.finish(result())
    parts: dict[Any, Json] = {}
    for frame in frames(data)[:-1]:
        kind, _, change = frame["type"].rpartition("-")
        if kind in ("text", "reasoning"):
            if change == "start":
                parts[frame["id"]] = {"type": kind, "text": "", "open": True}
            parts[frame["id"]]["text"] += frame.get("delta", "")
            assert parts[frame["id"]].pop("open")
            parts[frame["id"]]["open"] = change != "end"
            if "providerMetadata" in frame:
                parts[frame["id"]]["providerMetadata"] = frame["providerMetadata"]
        elif frame["type"] not in ("start", "start-step", "finish-step", "finish"):
            parts[len(parts)] = frame
    assert not any(part.pop("open", False) for part in parts.values())
    return list(parts.values())


def test_a_reasoning_item_keeps_its_id_and_content() -> None:
    told = shown(ReasoningDelta("A"), ReasoningEnd(item("rs_1", "enc", "A")), TextDelta("B"))
    kept = {"openai": {"itemId": "rs_1", "reasoningEncryptedContent": "enc"}}
    assert told == [
        {"type": "reasoning", "text": "A", "providerMetadata": kept},
        {"type": "text", "text": "B"},
    ]


def test_each_summary_of_an_item_is_a_part_and_the_last_has_the_content() -> None:
    told = shown(
        ReasoningDelta("other"),
        ReasoningEnd(),
        ReasoningDelta("A"),
        ReasoningEnd(),
        ReasoningDelta("B"),
        ReasoningDelta("C"),
        ReasoningEnd(),
        ReasoningEnd(item("rs_1", "enc", "A", "BC")),
        ReasoningDelta("D"),
    )
    kept = {"itemId": "rs_1", "reasoningEncryptedContent": "enc"}
    assert [(p["text"], p.get("providerMetadata")) for p in told] == [
        ("other", None),
        ("A", {"openai": {"itemId": "rs_1"}}),
        ("BC", {"openai": kept}),
        ("D", None),
    ]


def test_a_thinking_block_keeps_its_signature() -> None:
    told = shown(
        ReasoningDelta("A"), ReasoningEnd(block("A")), ReasoningEnd(redacted()), TextDelta("B")
    )
    assert [(p["text"], p.get("providerMetadata")) for p in told] == [
        ("A", {"anthropic": {"signature": "sig"}}),
        ("", {"anthropic": {"redactedData": "enc"}}),
        ("B", None),
    ]


def test_hidden_reasoning_waits_for_something_to_show() -> None:
    writer = encoder()
    assert writer.encode([ReasoningEnd(item("rs_1")), ReasoningEnd(item("rs_2"))]) == b""
    told = frames(writer.encode([TextDelta("A"), ReasoningEnd(item("rs_3"))]))
    kinds = ["reasoning-start", "reasoning-end"]
    assert [frame["type"] for frame in told] == [
        *("start", "start-step", *kinds, *kinds, "text-start", "text-delta", "text-end", *kinds)
    ]
    ids = [f["providerMetadata"]["openai"]["itemId"] for f in told if "providerMetadata" in f]
    assert ids == ["rs_1", "rs_2", "rs_3"]
    assert len({frame["id"] for frame in told[2:]}) == 4


def test_a_failure_after_hidden_reasoning_alone_has_a_status(upstream: FakeUpstream) -> None:
    begun = responses_wire(("reasoning", "rs_1", "enc"), ("text", ""))
    begun, _, _ = begun.partition(b"event: response.completed")
    failure = {"type": "error", "code": "rate_limit_exceeded", "message": "Slow down."}
    upstream.add(*[sse_reply(begun + f"data: {json.dumps(failure)}\n\n".encode())] * 9)
    llmchat = LLMChat(providers=rows_speaking({"openai": "responses"}))
    response = make_app(upstream, llmchat=llmchat).test_client().post(URL, json=ui_body())
    assert response.status_code == 429
    assert response.text == "Slow down."


def test_reasoning_that_ends_after_the_text_closes_no_part_of_it() -> None:
    told = shown(ReasoningDelta("A"), TextDelta("B"), ReasoningEnd(item("rs", "enc", "A")))
    assert [(p["type"], p["text"]) for p in told] == [
        *(("reasoning", "A"), ("text", "B"), ("reasoning", "")),
    ]


@pytest.mark.parametrize(
    "event",
    [
        TextDelta("x"),
        ToolCallDelta(0, "c", "f", "{}"),
        ProviderToolCall("ws_1", "web_search", {}),
        StepStart(),
    ],
)
def test_parts_of_the_reasoning_end_with_what_follows(event: Event) -> None:
    writer = encoder()
    told = frames(writer.encode([ReasoningDelta("A"), ReasoningEnd(), ReasoningDelta("B")]))
    assert [f["id"] for f in told if f["type"] == "reasoning-start"] == [
        *("reasoning-0", "reasoning-1"),
    ]
    told = frames(writer.encode([event]))
    assert [f["id"] for f in told if f["type"] == "reasoning-end"] == ["reasoning-0", "reasoning-1"]
    failed = frames(writer.fail(ChatError.of("truncated")))
    assert "reasoning-end" not in [f["type"] for f in failed[:-1]]


def test_details_that_went_out_do_not_go_out_again() -> None:
    writer = encoder()
    writer.encode([ReasoningEnd(item()), TextDelta("A")])
    told = frames(writer.finish(result(reasoning_details=(item(), block("A"), *DETAILS))))
    assert [f["providerMetadata"] for f in told[:-1] if "providerMetadata" in f] == [METADATA]


def test_tools_of_the_provider_are_marked_as_run() -> None:
    told = shown(
        TextDelta("A"),
        ProviderToolCall("ws_1", "web_search", {"query": "Rome"}),
        ProviderToolResult("ws_1", "web_search", {"found": 1}),
        ProviderToolCall("m_1", "weather", {}, mcp=True),
        ProviderToolResult("m_1", "weather", {"code": 7}, failed=True),
        ProviderToolResult("late", "web_fetch", "Gone", failed=True),
        TextDelta("B"),
    )
    run = {"providerExecuted": True}
    assert told == [
        {"type": "text", "text": "A"},
        {
            **{"type": "tool-input-available", "toolCallId": "ws_1", "toolName": "web_search"},
            **{"input": {"query": "Rome"}, **run},
        },
        {"type": "tool-output-available", "toolCallId": "ws_1", **run, "output": {"found": 1}},
        {
            **{"type": "tool-input-available", "toolCallId": "m_1", "toolName": "weather"},
            **{"input": {}, **run, "dynamic": True},
        },
        {
            **{"type": "tool-output-error", "toolCallId": "m_1", "errorText": '{"code":7}'},
            **{
                **run,
                "dynamic": True,
            },  # version 5 of the client needs it
        },
        {
            **{"type": "tool-input-available", "toolCallId": "late", "toolName": "web_fetch"},
            **{"input": {}, **run},
        },
        {"type": "tool-output-error", "toolCallId": "late", **run, "errorText": "Gone"},
        {"type": "text", "text": "B"},
    ]


def test_no_tool_of_the_provider_has_the_id_of_another_call() -> None:
    writer = encoder(with_messages(HI, assistant(STEP, done(1, id="c1"))))
    told = frames(
        writer.encode(
            [
                ProviderToolCall("c1", "web_search", {}),
                ToolCallDelta(0, "c1", "f", "{}"),
                ProviderToolResult("c1", "web_search", 1),
            ]
        )
    )
    ids = [f["toolCallId"] for f in told if f["type"] == "tool-input-available"]
    ids += [f["toolCallId"] for f in told if f["type"] == "tool-input-start"]
    assert len({*ids, "c1"}) == 3
    assert told[-1]["toolCallId"] == ids[0]


def test_a_tool_of_the_provider_is_no_call_for_the_client() -> None:
    writer = encoder()
    writer.encode([ProviderToolCall("ws_1", "web_search", {})])
    assert frames(writer.finish(result()))[-2]["finishReason"] == "stop"


def test_documents_are_sources() -> None:
    earlier = assistant(STEP, "A", {"type": "source-document", "sourceId": "source-0"})
    writer = encoder(with_messages(HI, earlier))
    events: list[Event] = [
        Document("a.txt", "a.txt"),
        Source("https://a.example"),
        Document("B", media_type="application/pdf"),
    ]
    assert frames(writer.encode(events))[2:] == [
        {
            **{"type": "source-document", "sourceId": "source-1", "mediaType": "text/plain"},
            **{"title": "a.txt", "filename": "a.txt"},
        },
        {"type": "source-url", "sourceId": "source-2", "url": "https://a.example"},
        {
            **{"type": "source-document", "sourceId": "source-3", "mediaType": "application/pdf"},
            **{"title": "B"},
        },
    ]


# ---- in


def read(*parts: Any) -> list[Json]:
    messages: list[Json] = UI.read(with_messages(HI, assistant(STEP, *parts), GO), 50).messages
    return messages[1:-1]


def details(*parts: Any) -> list[Json]:
    found: list[Json] = read(*parts)[0].get("reasoning_details", [])
    return found


def open_ai(text: str, id: Any = "rs_1", data: Any = "enc") -> Json:
    return part(text, openai={"itemId": id, "reasoningEncryptedContent": data})


def signed(text: str, signature: Any = "sig") -> Json:
    return part(text, anthropic={"signature": signature})


SEARCH = {"providerExecuted": True}


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        ([open_ai("A"), "B"], [item("rs_1", "enc", "A")]),
        ([open_ai(""), "B"], [item()]),
        (
            [part("A", openai={"itemId": "rs_1"}), open_ai("B"), "C"],
            [item("rs_1", "enc", "A", "B")],
        ),
        (  # as their servers send it of a part in the middle
            [open_ai("A", data=None), open_ai("B"), open_ai("", "rs_2", "e2"), "C"],
            [item("rs_1", "enc", "A", "B"), item("rs_2", "e2")],
        ),
        ([part("A", openai={"itemId": "rs_1"}), "B"], []),
        ([open_ai("A", data=None), "B"], []),
        (
            [part("A", openai={"reasoningEncryptedContent": "enc"}), "B"],
            [{**item("", "enc", "A"), "id": None}],
        ),
        (
            [part("A", azure={"itemId": "rs_1", "reasoningEncryptedContent": "enc"}), "B"],
            [{**item("rs_1", "enc", "A"), "format": "responses:azure"}],
        ),
        ([signed("A"), "B"], [block("A")]),
        ([signed(""), "B"], [block("")]),
        ([signed("A"), signed("A"), "B"], [block("A"), block("A")]),
        ([part("", anthropic={"redactedData": "enc"}), "B"], [redacted()]),
        ([part("A", google={"thoughtSignature": "x"}), "B"], []),
        ([part("A"), "B"], []),
    ],
)
def test_what_the_provider_needs_back(parts: list[Any], found: list[Json]) -> None:
    expected = [{n: v for n, v in detail.items() if v is not None} for detail in found]
    assert details(*parts) == expected


@pytest.mark.parametrize(
    ("parts", "before"),
    [
        ([open_ai("A"), done(1)], [None]),
        ([open_ai("A"), "B", done(1)], [None]),
        (["B", open_ai("A"), done(1)], ["c1"]),
        (["B", open_ai("A"), "C", done(1)], [None]),
        ([open_ai("A"), done(1), open_ai("B", "rs_2"), done(2, id="c2")], [None, "c2"]),
        ([signed("A"), done(1), signed("B"), signed("C"), done(2, id="c2")], [None, "c2", "c2"]),
        ([{"type": "text", "text": ""}, signed("A"), done(1)], [None]),
    ],
)
def test_what_reasoning_came_before(parts: list[Any], before: list[str | None]) -> None:
    assert [detail.get("tool_call_id") for detail in details(*parts)] == before


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        ([open_ai("A")], []),
        (["A", signed("B")], []),
        ([open_ai("A"), {"type": "text", "text": ""}], []),
        ([open_ai("A"), done(1, id="ws", **SEARCH), "B"], []),
        ([open_ai("A"), done(1, id="ws", **SEARCH), open_ai("B", "rs_2"), "C"], ["rs_2"]),
        ([signed("A", "s1"), done(1, id="ws", **SEARCH), signed("B", "s2"), "C"], ["s1"]),
    ],
)
def test_reasoning_goes_back_with_what_it_led_to(parts: list[Any], found: list[str]) -> None:
    """A provider refuses it alone; and the tools that it ran itself do not go back."""
    assert [d.get("id", d.get("signature")) for d in details(*parts)] == found


def test_each_step_has_its_own_reasoning() -> None:
    first, _, second = read(open_ai("A"), done(1), STEP, open_ai("B", "rs_2", "e2"), "C")
    assert first["reasoning_details"] == [item("rs_1", "enc", "A")]
    assert second["reasoning_details"] == [item("rs_2", "e2", "B")]
    assert (first["reasoning_content"], second["reasoning_content"]) == ("A", "B")


def test_a_response_that_its_provider_paused_goes_on_in_the_next_step() -> None:
    search, paused = done(1, id="ws", **SEARCH), signed("B", "s2")
    (first, second) = read(signed("A", "s1"), search, "So", STEP, paused, "C")
    assert first["reasoning_details"] == [block("A", "s1")]
    assert "reasoning_details" not in second  # bound to the blocks of the search
    called = read(signed("A", "s1"), search, done(1), STEP, paused, "C")
    assert called[-1]["reasoning_details"] == [block("B", "s2")]


def test_both_kinds_of_details_stand_together() -> None:
    routed = {"type": "reasoning.text", "text": "A", "signature": "x"}
    kept = part("A", openrouter={"reasoning_details": [routed]})
    assert details(kept, signed("B"), "C") == [routed, block("B")]


@pytest.mark.parametrize(
    "metadata",
    [
        7,
        [],
        {"openai": 7},
        {"openai": []},
        {"openai": {"itemId": 7, "reasoningEncryptedContent": ["x"]}},
        {"openai": {"itemId": "\ud83d", "reasoningEncryptedContent": "\ud83d"}},
        {"\ud83d": {"itemId": "a", "reasoningEncryptedContent": "b"}},
        {"anthropic": {"signature": {}, "redactedData": None}},
        {"anthropic": {"signature": ""}},
        {"": {}},
    ],
)
def test_metadata_that_means_nothing_is_ignored(metadata: Any) -> None:
    kept = {**part("A"), "providerMetadata": metadata}
    message = read(kept, "B")[0]
    assert message == {"role": "assistant", "content": "B", "reasoning_content": "A"}


NAMES = st.sampled_from(
    ["openai", "anthropic", "\ud83d", "itemId", "reasoningEncryptedContent", "signature"]
    + ["redactedData", "contentType", "reasoning_text", "reasoning_details", "format"]
)
ANYTHING: Any = st.recursive(
    st.none() | st.integers() | NAMES | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(st.tuples(ANYTHING, st.booleans()), max_size=6))
def test_no_metadata_breaks_the_server(parts: list[tuple[Any, bool]]) -> None:
    told = [{**part("A"), "providerMetadata": m} if r else done(m, id=f"c{m!r}") for m, r in parts]
    try:
        messages = read(*told, "B")
    except ChatError as error:
        assert error.status == 422
    else:
        json.dumps(messages, ensure_ascii=False).encode()


def test_what_is_written_is_read_again() -> None:
    written = [
        ReasoningDelta("A"),
        ReasoningEnd(),
        ReasoningDelta("B"),
        ReasoningEnd(item("rs_1", "enc", "A", "B")),
        ReasoningEnd(item("rs_2", "e2")),
        ReasoningDelta("C"),
        ReasoningEnd(block("C")),
        ReasoningEnd(redacted()),
        ReasoningDelta("D"),
        ReasoningEnd(raw("D", id="rs_3")),
        ReasoningDelta("E"),
        ReasoningEnd(raw("E")),
        TextDelta("F"),
    ]
    expected = [e.detail for e in written if isinstance(e, ReasoningEnd) and e.detail]
    assert details(*shown(*written)) == expected


@pytest.mark.parametrize("count", [1, 8193])
def test_details_are_counted(count: int) -> None:
    messages = [HI, assistant(STEP, *[signed("")] * count, "B"), GO]
    if count == 1:
        assert UIMessages().deserialize(messages)
        return
    with pytest.raises(ma.ValidationError, match="More than 8192 reasoning_details"):
        UIMessages().deserialize(messages)


def test_metadata_is_kept_out_of_what_other_providers_are_sent() -> None:
    message = read(open_ai("A"), "B")[0]
    assert "enc" not in json.dumps({n: v for n, v in message.items() if n != "reasoning_details"})
