"""The ``ui`` dialect by itself: what it refuses, and what it writes, event by event."""

from __future__ import annotations

import json
import math
import time
import tracemalloc
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from flask_llmchat import ChatError, ChatRequest, LLMChat, Usage
from flask_llmchat.core.events import (
    Document,
    Event,
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
from flask_llmchat.runs.body import StreamingBody
from flask_llmchat.runs.recorder import ChatRecorder
from flask_llmchat.testing import FakeUpstream
from flask_llmchat.transport.watchdog import CancelToken
from tests.support.apps import make_app, ui_body
from tests.support.ui_conversations import (
    HI,
    PNG,
    STEP,
    assistant,
    done,
    file,
    says,
    text,
    tool,
    user,
)
from tests.support.ui_streams import DETAILS, METADATA, UI, encoder, frames, result, with_messages

URL = "/api/chat/openai"


def with_part(part: Any, role: str = "user") -> dict[str, Any]:
    return with_messages(HI, {"role": role, "parts": ["Hi" if part is None else part]})


@pytest.fixture
def client(upstream: FakeUpstream) -> FlaskClient:
    return make_app(upstream, config={"LLMCHAT_MAX_MESSAGES": 50}).test_client()


def refused(client: FlaskClient, posted: Any, status: int = 422) -> str:
    response = client.post(URL, data=json.dumps(posted), content_type="application/json")
    assert response.status_code == status, response.text
    assert response.content_type == "text/plain; charset=utf-8"
    assert response.headers["X-LLMChat-Error"] == "bad_request"
    return response.text


NO_SETTINGS = {name: value for name, value in ui_body().items() if name != "chatSettings"}
LAST_ALONE = {"message": HI, "chatSettings": {"model": "m"}, "id": "c"}
DEEP: dict[str, Any] = {}
for _ in range(900):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    ("posted", "message"),
    [
        (LAST_ALONE, "messages: Missing data for required field. Send the whole conversation, or"),
        (LAST_ALONE, "{messages: [message]} from prepareSendMessagesRequest for the last one alon"),
        ({**LAST_ALONE, "messages": None}, "Send the whole conversation, or {messages: [message]"),
        ({"trigger": "submit-message"}, "messages: Missing data for required field. Send the wh"),
        ({"trigger": "submit-message", "messages": []}, "messages: Nothing in them can be sent"),
        (NO_SETTINGS, "new DefaultChatTransport({api, body: {chatSettings: {model}}})"),
        (ui_body(chatSettings={}), "chatSettings.model: Missing data"),
        (ui_body(chatSettings={"model": "m", "apiKey": "x"}), "chatSettings.apiKey: Unknown field"),
        (ui_body(chatSettings={"model": "m", "serverTools": {}}), "chatSettings.serverTools: Not"),
        (ui_body(messageId=[]), "messageId: Not a valid string"),
        (ui_body(endpointId="x" * 257), "endpointId: Longer than maximum length 256"),
        (with_messages(*[HI] * 51), "messages: 51 are too many; at most 50 are allowed."),
        (with_messages(user(*["x"] * 16385)), "messages: more than 16384 parts in all are not"),
        (with_messages(user(), says("system")), "messages: Nothing in them can be sent to a model"),
        (with_messages(HI, 7), "messages.1: Not an object"),
        (with_messages(HI, {"role": "user"}), "messages.1.parts: Missing data for required field"),
        (with_messages(HI, {"role": "user", "parts": 7}), "messages.1.parts: Not a valid list"),
        (with_messages(says("tool", "Hi")), "messages.0.role: Must be one of: system, user, assi"),
        (with_messages(user("Hi", id="\ud83d")), "messages.0.id: Holds half a character"),
        (with_part(7), "messages.1.parts.0: Not an object"),
        (with_part({}), "messages.1.parts.0: Unknown type of part"),
        (with_part({"type": "tool_call"}), "messages.1.parts.0: Unknown type of part"),
        (with_part({"type": ["text"]}), "messages.1.parts.0: Unknown type of part"),
        (with_part({"type": "text"}), "messages.1.parts.0: text is missing"),
        (with_part({"type": "text", "text": 7}), "messages.1.parts.0: text is not a string"),
        (with_part(text("\ud83d")), "messages.1.parts.0: text holds half a character"),
        (with_part({"type": "reasoning"}, "assistant"), "messages.1.parts.0: text is missing"),
        (with_part({"type": "file"}), "messages.1.parts.0: url is missing"),
        (with_part({"type": "file", "url": "data:,x"}), "parts.0: mediaType is missing"),
        (with_part({"type": "file", "url": "https://a/b"}), "parts.0: mediaType is missing"),
        (with_part(file("image/png", "blob:https://a/1")), "url is not a data: or http(s) URL"),
        (with_part(file("image/png", "file:///etc/passwd")), "url is not a data: or http(s) URL"),
        (with_part(file("image/png", "javascript:alert(1)")), "url is not a data: or http(s) URL"),
        (with_part(file("image/png", "data:image/png;base64")), "url is not a whole data: URL"),
        (with_part(file("image/png", "data:image/png;base64,A")), "url holds base64 that cannot"),
        (with_part(file("image/png", "data:image/png;base64,AAé=")), "url holds base64 that"),
        (with_part(file("image/png", b"")), "messages.1.parts.0: The file is empty"),
        (with_part(file("image/*", b"?")), "Files of this type cannot be sent to a model here"),
        (with_part(file("application/pdf", "https://a/b.pdf")), "Only images may be http(s) URLs"),
        (with_part(file("text/plain", "https://a/b.txt")), "Only images may be http(s) URLs"),
        (with_part(file("application/zip", b"PK")), "Files of this type (application/zip) cannot"),
        (with_part(file("video/mp4", b"x")), "Files of this type (video/mp4) cannot"),
        (with_part(file("audio/ogg", b"x")), "Files of this type (audio/ogg) cannot"),
        (with_part(file("a/<script>", b"x")), "Files of this type cannot"),
        (with_part(file("image/png", PNG, providerReference={"openai": "f"})), "providerReference"),
        (with_part(file("application/pdf", b"x", filename=7)), "filename is not a string"),
        (with_part(tool("what"), "assistant"), "parts.0: state is not one of a tool part's"),
        (with_part({**done(1), "state": None}, "assistant"), "state is not one of a tool part's"),
        (with_part(done(1, id=""), "assistant"), "toolCallId and the tool's name must not be em"),
        (with_part(done(1, name=""), "assistant"), "toolCallId and the tool's name must not be"),
        (with_part({**done(1), "toolCallId": None}, "assistant"), "parts.0: toolCallId is missing"),
        (with_part({**done(1), "type": "dynamic-tool"}, "assistant"), "toolName is missing"),
        (with_part(done("\ud83d"), "assistant"), "parts.0: output holds half a character"),
        (with_part(done(["\ud83d"]), "assistant"), "parts.0: output holds half a character"),
        (with_part(done(1, input={"\ud83d": 1}), "assistant"), "input holds half a character"),
        (with_part(done(1, input="\ud83d"), "assistant"), "input holds half a character"),
        (
            with_part({"type": "steering-message", "parts": [{"type": "file"}]}, "assistant"),
            "messages.1.parts.0.parts.0: url is missing",
        ),
    ],
)
def test_what_is_wrong_is_named(
    client: FlaskClient, upstream: FakeUpstream, posted: Any, message: str
) -> None:
    assert message in refused(client, posted)
    assert upstream.requests == []


@pytest.mark.parametrize(
    "name",
    [
        *("apiKey", "api_key", "API-KEY", "openaiApiKey", "key", "token", "secret", "password"),
        *("authorization", "Authorization", "accessToken", "bearerToken", "clientSecret", "auth"),
        *("baseURL", "base_url", "apiBase", "endpoint", "azure_endpoint", "url", "headers"),
        *("extraHeaders", "credentials"),
    ],
)
def test_secrets_and_addresses_are_refused_by_name(client: FlaskClient, name: str) -> None:
    told = refused(client, ui_body(**{name: "sk-secret"}))
    assert (
        told
        == f"{name}: Keys, addresses and headers for the provider are not accepted from clients"
    )


def test_other_fields_are_the_hosts(upstream: FakeUpstream) -> None:
    chats: list[ChatRequest] = []
    llmchat = LLMChat()
    llmchat.before_chat(chats.append)
    posted = ui_body(
        trigger="submit-message",
        messageId="m1",
        endpointId="e1",
        csrf_token="x",
        sessionId="s",
        data={"keywords": []},
        pageUrl="/a",
    )
    with make_app(upstream, llmchat=llmchat).test_client().post(URL, json=posted) as response:
        assert response.status_code == 200
    (chat,) = chats
    assert (chat.dialect, chat.endpoint_id, chat.raw) == ("ui", "e1", posted)
    assert chat.settings == {"model": "gpt-4.1"}


def test_the_last_message_alone_can_be_sent(upstream: FakeUpstream, client: FlaskClient) -> None:
    posted = {**LAST_ALONE, "messages": [HI]}
    with client.post(URL, json=posted) as response:
        assert response.status_code == 200
        assert response.mimetype == "text/event-stream"
    assert upstream.requests[0].json["messages"] == [{"role": "user", "content": "Hi"}]


def test_at_most_twenty_errors_are_told(client: FlaskClient) -> None:
    told = refused(client, with_messages(*[user({"type": "x"}, {"type": "text"})] * 50))
    assert told.count("messages.") == 20
    assert told.endswith("and more")


def test_json_that_is_nested_deeply(client: FlaskClient, upstream: FakeUpstream) -> None:
    with client.post(URL, json=with_messages(HI, assistant(done(DEEP)))) as response:
        assert response.status_code in (200, 400, 422)  # as deep as Python reads, it writes


@pytest.mark.slow
def test_a_hostile_body_costs_little_more_than_its_parsing(client: FlaskClient) -> None:
    details = {"a": {"reasoning_details": [{"a": i} for i in range(100_000)]}}
    bodies = [
        with_messages(*[user(*[{"type": "x"}] * 300)] * 50),
        with_messages(*[assistant(*[done({"a": [1] * 50})] * 300)] * 50, trigger=7),
        with_messages(assistant(text("a", providerMetadata=details)), trigger=7),
        with_messages(assistant(*["a" * 900] * 16_000), trigger=7),
        with_part(file("image/png", "data:image/png;base64," + "%3D" * 10**6)),
        with_part(file("image/*", "data:" + ";" * 10**5 + "," + "%" * 10**6)),
        {**ui_body(), **{f"a{i}": 1 for i in range(100_000)}},
    ]
    for posted in bodies:
        started = time.process_time()
        refused(client, posted)
        assert time.process_time() - started < 3


def test_a_large_output_costs_little_memory() -> None:
    posted = with_messages(HI, assistant(done(["e-0" + "a" * 2_000_000, 1e-05])))
    tracemalloc.start()
    try:
        messages = UI.read(posted, 50).messages
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert messages[2]["content"].endswith('a",1e-05]')  # so much is not looked into
    assert peak < 60_000_000


# ---- out


def test_nothing_is_written_before_there_is_something_to_show() -> None:
    writer = encoder()
    assert writer.encode([]) == b""
    assert writer.encode([Finish("stop")]) == b""
    assert writer.encode([ToolCallDelta(0, "c1", "", '{"a":')]) == b""
    shown = frames(writer.encode([ToolCallDelta(0, "", "f", "1}")]))
    assert [frame["type"] for frame in shown] == [
        *("start", "start-step", "tool-input-start", "tool-input-delta")
    ]
    assert shown[-1]["inputTextDelta"] == '{"a":1}'


def test_the_bytes_of_an_answer() -> None:
    writer = encoder()
    usage = Usage(3, 4, 7, cached_tokens=1, reasoning_tokens=2)
    assert writer.encode([TextDelta("Hé"), TextDelta('"\n')]).decode() == (
        'data: {"type":"start","messageId":"msg_r1"}\n\n'
        'data: {"type":"start-step"}\n\n'
        'data: {"type":"text-start","id":"txt-0"}\n\n'
        'data: {"type":"text-delta","id":"txt-0","delta":"Hé"}\n\n'
        'data: {"type":"text-delta","id":"txt-0","delta":"\\"\\n"}\n\n'
    )
    assert writer.finish(result(usage=usage)).decode() == (
        'data: {"type":"text-end","id":"txt-0"}\n\n'
        'data: {"type":"finish-step"}\n\n'
        'data: {"type":"finish","finishReason":"stop","messageMetadata":{"usage":'
        '{"inputTokens":3,"outputTokens":4,"totalTokens":7,'
        '"reasoningTokens":2,"cachedInputTokens":1}}}\n\n'
        "data: [DONE]\n\n"
    )


def test_an_empty_answer_is_an_answer() -> None:
    told = frames(encoder().finish(result("length")))
    assert [frame["type"] for frame in told[:-1]] == [
        "start",
        "start-step",
        "finish-step",
        "finish",
    ]
    assert told[-2]["finishReason"] == "length"
    assert told[-1] == "[DONE]"


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        ("ok", "stop"),
        ("length", "length"),
        ("content_filtered", "content-filter"),
        ("tool_calls", "tool-calls"),
    ],
)
def test_each_outcome_has_its_finish_reason(outcome: str, reason: str) -> None:
    writer = encoder()
    writer.encode([ToolCallDelta(0, "c", "f", "{}")])
    assert frames(writer.finish(result(outcome)))[-2]["finishReason"] == reason


def test_a_call_that_cannot_be_shown_is_no_ending() -> None:
    writer = encoder()
    writer.encode([TextDelta("a"), ToolCallDelta(0, "c", "", "{}")])
    assert frames(writer.finish(result("tool_calls")))[-2]["finishReason"] == "stop"


@pytest.mark.parametrize("outcome", ["length", "content_filtered"])
@pytest.mark.parametrize("arguments", ["", "{", '{"a":'])
def test_a_call_that_is_cut_off_stays_open(outcome: str, arguments: str) -> None:
    writer = encoder()
    writer.encode([ToolCallDelta(0, "c", "f", "{}"), ToolCallDelta(1, "d", "g", arguments)])
    told = frames(writer.finish(result(outcome, reasoning_details=DETAILS)))
    assert [frame["type"] for frame in told[:-1]] == [
        *("tool-input-available", "finish-step", "finish")
    ]
    assert told[0]["toolCallId"] == "c"
    alone = encoder()
    alone.encode([ToolCallDelta(0, "d", "g", arguments)])
    told = frames(alone.finish(result(outcome, reasoning_details=DETAILS)))
    assert [frame["type"] for frame in told[:-1]] == [
        *("reasoning-start", "reasoning-end", "finish-step", "finish")
    ]
    assert told[1]["providerMetadata"] == METADATA


def test_free_text_is_the_input_of_a_custom_call() -> None:
    calls: list[Event] = [
        ToolCallDelta(0, "c", "sql", "SELECT ", custom=True),
        ToolCallDelta(0, "", "", "1"),
    ]
    writer = encoder()
    writer.encode(calls)
    told = frames(writer.finish(result("tool_calls")))[0]
    assert (told["type"], told["input"]) == ("tool-input-available", "SELECT 1")
    cut_off = encoder()
    cut_off.encode(calls)  # who knows whether "SELECT 10" was meant
    assert frames(cut_off.finish(result("length")))[0]["type"] == "finish-step"


@pytest.mark.parametrize(
    ("events", "carrier"),
    [
        ([ReasoningDelta("a")], "reasoning-end"),
        ([TextDelta("a")], "text-end"),
        ([ReasoningDelta("a"), TextDelta("a"), ToolCallDelta(0, "c", "f", "")], "text-end"),
        ([ReasoningDelta("a"), ToolCallDelta(0, "c", "f", "")], "tool-input-available"),
        ([ToolCallDelta(0, "c", "f", "{"), ToolCallDelta(1, "d", "f", "")], "tool-input-error"),
        ([Source("https://a.example")], "reasoning-end"),
        ([], "reasoning-end"),
    ],
)
def test_reasoning_details_go_out_once(events: list[Event], carrier: str) -> None:
    writer = encoder()
    writer.encode(events)
    told = frames(writer.finish(result(reasoning_details=DETAILS)))
    carriers = [f for f in told[:-1] if "providerMetadata" in f]
    assert [f["type"] for f in carriers] == [carrier]
    assert carriers[0]["providerMetadata"] == METADATA


def test_the_id_of_the_message() -> None:
    def started(**more: Any) -> Any:
        return frames(encoder({**ui_body(), **more}).encode([TextDelta("a")]))[0].get("messageId")

    answered = [HI, {**assistant(STEP, done(1)), "id": "a1"}]
    assert started() == "msg_r1"
    assert started(messages=answered) == "a1"
    assert started(messages=answered, trigger="submit-message") == "a1"
    # Another answer is asked for: with the id of the one before it would take its place.
    assert started(messages=answered, trigger="regenerate-message") == "msg_r1"
    assert started(messages=[*answered, HI]) == "msg_r1"
    for odd in (7, None, "", []):
        assert started(messages=[HI, {**assistant("A"), "id": odd}]) is None  # it goes on with it
    assert started(messages=[{"role": "assistant", "content": "A"}]) == "msg_r1"


def test_ids_are_not_used_twice_in_a_message() -> None:
    earlier = assistant(STEP, done(1), {"type": "source-url", "sourceId": "source-0", "url": "u"})
    writer = encoder(with_messages(HI, earlier))
    told = frames(
        writer.encode(
            [
                Source("https://a.example", "A"),
                ToolCallDelta(0, "c1", "f", ""),
                ToolCallDelta(1, "c2", "f", ""),
                ToolCallDelta(2, "c2", "f", ""),
                ToolCallDelta(3, "", "f", ""),
            ]
        )
    )
    assert told[2] == {
        **{"type": "source-url", "sourceId": "source-1"},
        **{"url": "https://a.example", "title": "A"},
    }
    ids = [frame["toolCallId"] for frame in told[3:]]
    assert ids[1] == "c2"
    assert len({*ids, "c1"}) == 5
    assert all(len(id) <= 40 for id in ids)


@pytest.mark.parametrize(
    ("url", "media_type"),
    [
        ("data:image/webp;base64,AAAA", "image/webp"),
        ("data:,x", "image/*"),
        ("https://a.example/b.JPG?c=d.png", "image/jpeg"),
        ("https://a.example/b", "image/*"),
        ("https://a.example/b.html", "image/*"),
        ("https://[", "image/*"),
    ],
)
def test_the_type_of_an_image(url: str, media_type: str) -> None:
    told = frames(encoder().encode([Image(url)]))[-1]
    assert told == {"type": "file", "url": url, "mediaType": media_type}


def test_half_characters_stay_what_they_are_in_json() -> None:
    data = encoder().encode([ReasoningDelta("\ud83d"), ReasoningDelta("\ude00")])
    assert b'"delta":"\\ud83d"' in data
    assert b'"delta":"\\ude00"' in data


@pytest.mark.parametrize("failed", [False, True])
def test_what_is_no_json_in_a_result_becomes_null(failed: bool) -> None:
    numbers = {"logs": [1.5, math.nan, math.inf]}
    written = encoder().encode(
        [
            ProviderToolCall("c1", "run", {"limit": -math.inf}),
            ProviderToolResult("c1", "run", numbers, failed),
        ]
    )
    assert b"NaN" not in written and b"Infinity" not in written
    assert b'"input":{"limit":null}' in written
    output = "[1.5,null,null]"
    assert output.encode() in written


def test_a_failure_closes_what_is_open() -> None:
    for opened in (TextDelta("a"), ReasoningDelta("a")):
        writer = encoder()
        begun = frames(writer.encode([opened]))
        told = frames(writer.fail(ChatError("It broke\noff.", "truncated")))
        assert told[0] == {**begun[2], "type": begun[2]["type"].replace("start", "end")}
        assert told[1:] == [{"type": "error", "errorText": "It broke\noff."}, "[DONE]"]
    told = frames(encoder().fail(ChatError("Gone.", "cancelled")))
    ended = {"type": "finish", "finishReason": "other"}
    assert told == [{"type": "abort", "reason": "Gone."}, ended, "[DONE]"]


TEXTS = st.text(st.characters(codec=None), max_size=5)
IDS = st.sampled_from(["", " ", "c1", "c2"])
KEPT: list[dict[str, Any]] = [
    {"format": "responses:lab", "id": "rs", "data": "x", "summary": []},
    {"format": "responses:lab", "id": "rs", "data": "x", "summary": ["a", "b"]},
    {"format": "messages:lab", "text": "a", "signature": "s"},
    {"format": "messages:lab", "data": "x"},
    {},
]
EVENTS: Any = st.one_of(
    st.builds(TextDelta, TEXTS),
    st.builds(ReasoningDelta, TEXTS),
    st.builds(
        ToolCallDelta,
        st.integers(0, 3),
        IDS,
        st.sampled_from(["", " ", "f"]),
        st.sampled_from(["", "{", "}", '"a":1', "[NaN]", "1e999", "\ud83d"]),
        st.sampled_from([None, {}, {"google": 1}, {"google": {"thought_signature": "s"}}]),
    ),
    st.builds(ReasoningEnd, st.sampled_from([None, *KEPT])),
    st.builds(ProviderToolCall, IDS, TEXTS, st.just({}), st.booleans()),
    st.builds(ProviderToolResult, IDS, TEXTS, st.sampled_from([None, "", [1]]), st.booleans()),
    st.builds(Source, TEXTS, TEXTS),
    st.builds(Document, TEXTS, TEXTS, TEXTS),
    st.builds(Image, TEXTS),
    st.builds(Finish, st.just("stop")),
)


@given(st.lists(st.lists(EVENTS, max_size=6), max_size=5), st.booleans(), st.booleans())
def test_parts_are_opened_and_closed_in_order(
    batches: list[list[Event]], details: bool, fails: bool
) -> None:
    writer = encoder()
    data = b"".join(map(writer.encode, batches))
    if fails:
        data += writer.fail(ChatError("Broken."))
    else:
        data += writer.finish(result(reasoning_details=DETAILS if details else ()))
    *told, last = frames(data)
    assert last == "[DONE]"
    if not fails or any(frame["type"] != "error" for frame in told):
        assert [frame["type"] for frame in told[:2]] == ["start", "start-step"]
    is_open: dict[str, set[str]] = {"text": set(), "reasoning": set()}
    calls: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    for frame in told:
        kind, _, verb = frame["type"].partition("-")
        if kind in is_open:
            if verb == "start":
                assert not is_open["text"]
                assert kind == "reasoning" or not is_open["reasoning"]
                assert (kind, frame["id"]) not in seen
                seen.add((kind, frame["id"]))
                is_open[kind].add(frame["id"])
            else:
                assert frame["id"] in is_open[kind]
            if verb == "end":
                is_open[kind].remove(frame["id"])
        elif frame.get("providerExecuted"):
            if verb == "input-available":
                assert not any(is_open.values())
                assert calls.setdefault(frame["toolCallId"], "run") == "run"
            else:
                assert calls[frame["toolCallId"]] == "run"
        elif kind == "tool":
            if verb == "input-start":
                assert not is_open["reasoning"]
                assert frame["toolCallId"] not in calls
                assert frame["toolName"].strip()
                calls[frame["toolCallId"]] = "open"
            else:
                assert calls[frame["toolCallId"]] == "open"
            if verb in ("input-available", "input-error"):
                calls[frame["toolCallId"]] = "done"
    assert not any(is_open.values())
    if fails:
        assert told[-1] == {"type": "error", "errorText": "Broken."}
    else:
        assert set(calls.values()) <= {"done", "run"}
        assert [frame["type"] for frame in told[-2:]] == ["finish-step", "finish"]
        assert sum("reasoning_details" in str(frame) for frame in told) == details


class QuietStream:
    """Has nothing to tell twice between any two events."""

    def __init__(self, *events: Event) -> None:
        self._events = [[e] for e in events]
        self._quiet = 2
        self.timeout: list[float | None] = []

    def read(self, timeout: float | None = None) -> list[Event] | None:
        self.timeout.append(timeout)
        if timeout is not None and self._quiet:
            self._quiet -= 1
            return None
        self._quiet = 2
        return self._events.pop(0) if self._events else []

    def close(self) -> None:
        pass


def test_heartbeats_stand_between_events_and_never_before_the_first() -> None:
    chat = ChatRequest(provider="lab", model="m", messages=[], request_id="r1")
    stream: Any = QuietStream(TextDelta("a"), TextDelta("b"))
    record = ChatRecorder(chat, lambda result: None)
    answer = StreamingBody(
        stream, UI.encoder(chat), record, CancelToken(None, math.inf), heartbeat=15.0
    )
    answer.start()
    pieces = list(answer)
    beat = b": keep-alive\n\n"
    assert [piece == beat for piece in pieces] == [False, True, True, False, True, True, False]
    assert frames(b"".join(piece for piece in pieces if piece != beat))[-1] == "[DONE]"
    assert stream.timeout == [None, *[15.0] * 6]
