"""Pages with the AI SDK, in its three majors, that are left and come back; their stop buttons."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask, request

from flask_llmchat import (
    Document,
    Finish,
    Image,
    LLMChat,
    Provider,
    ReasoningDelta,
    ReasoningEnd,
    Source,
    TextDelta,
    ToolCallDelta,
    ToolContext,
)
from flask_llmchat.testing import FakeUpstream, ReceivedRequest, Reply, text_reply, tool_reply
from tests.support.pages import MAJORS, Page, play
from tests.support.played import Played
from tests.support.servers import served
from tests.support.streams import URL, Gate, asking, gated, keeping, opens_for_readers, visited

pytestmark = pytest.mark.external

PAGES_TOOL = {"type": "function", "function": {"name": "city", "parameters": {"type": "object"}}}
WITH_CITY = {"settings": {"tools": [PAGES_TOOL]}, "tools": {"city": {"name": "Rome"}}}
YES, NO = {"approved": True}, {"approved": False}
STEP = {"type": "step-start"}
RESUME: dict[str, Any] = {"resume": {}}
WORDS = ["One ", "two ", "three ", "four."]


@pytest.fixture(params=MAJORS)
def sdk(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["ai6", "ai"])  # version 5 knows no approvals
def asking_sdk(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def leaves_after(text: str, step: str | dict[str, Any]) -> dict[str, Any]:
    """Return what a user does who leaves the page once this text is there."""
    return {**({"send": step} if isinstance(step, str) else step), "stopAfter": text}


def without_ids(page: Page) -> list[Any]:
    """Return the messages at the end, without ids that no two runs share."""
    told = []
    for message in page.snapshots[-1]["messages"]:
        parts = [
            {**part, "approval": {**part["approval"], "id": ""}} if "approval" in part else part
            for part in message["parts"]
        ]
        told.append({**message, "id": "", "parts": parts})
    return told


def assert_same(left: Page, undisturbed: Page) -> None:
    """Hold a page that was left against one that was not."""
    assert left.errors == undisturbed.errors == []
    assert left.snapshots[-1]["status"] == undisturbed.snapshots[-1]["status"] == "ready"
    for left_one, other in zip(without_ids(left), without_ids(undisturbed), strict=True):
        assert left_one["parts"] == other["parts"]
        assert left_one == other


def test_a_page_that_comes_back_gets_the_whole_response(sdk: str, upstream: FakeUpstream) -> None:
    gate = Gate()
    upstream.add(text_reply(*WORDS, reasoning="Hm."))
    upstream.add(gated(gate, 3, text_reply(*WORDS, reasoning="Hm.")))
    app = keeping(upstream)
    opens_for_readers(app, gate)
    with served(app) as port:
        undisturbed = play(sdk, port, "Count")
        page = play(sdk, port, leaves_after("two", "Count"), RESUME)
    assert_same(page, undisturbed)
    assert page.parts()[-1]["text"] == "".join(WORDS)
    assert len(upstream.requests) == 2 and len(page.requests) == 1
    assert [asked["status"] for asked in page.asked] == [200, 200]


def test_a_page_whose_app_had_saved_half_of_it_has_no_half_twice(
    sdk: str, upstream: FakeUpstream
) -> None:
    gate = Gate()
    upstream.add(text_reply(*WORDS), gated(gate, 2, text_reply(*WORDS)))
    app = keeping(upstream)
    opens_for_readers(app, gate)
    with served(app) as port:
        undisturbed = play(sdk, port, "Count")
        page = play(sdk, port, leaves_after("two", "Count"), {"resume": {"saved": "shown"}})
    assert_same(page, undisturbed)


def test_a_page_that_comes_back_too_late_has_what_its_app_has_saved(
    sdk: str, upstream: FakeUpstream
) -> None:
    upstream.add(text_reply(*WORDS))
    with served(keeping(upstream)) as port:
        page = play(sdk, port, "Count", {"resume": {"saved": "shown"}})
    assert page.errors == [] and page.snapshots[1]["status"] == "ready"
    assert page.snapshots[1]["messages"] == page.snapshots[0]["messages"]
    assert page.asked[1]["status"] == 204


def test_a_page_on_another_device_waits_for_the_first_byte(
    sdk: str, upstream: FakeUpstream
) -> None:
    gate = Gate()
    upstream.add(Reply(body=[gate, *text_reply(*WORDS).body]))
    app = keeping(upstream)
    opens_for_readers(app, gate)
    asked = {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Count"}]}
    with visited(app) as client:
        body = {**asking("ui", "chat-1"), "messages": [asked]}
        writing = client.send("POST", URL, body)
        upstream.wait_for(lambda fake: fake.streaming == 1)
        page = play(sdk, client.port, {"resume": {"saved": "shown"}}, messages=[asked])
        assert page.errors == [] and page.parts()[-1]["text"] == "".join(WORDS)
        client.opened(writing).rest()


# Messages that several requests make.

SIGNED = {"google": {"thought_signature": "signature"}}
FIRST: list[list[Any]] = [
    [ReasoningDelta("Where "), ReasoningDelta("are they?")],
    [ReasoningEnd({"type": "reasoning.encrypted", "data": "secret"})],
    [TextDelta("I look. ")],
    [Source("https://maps.example/", "Maps")],
    [Document("Atlas", "application/pdf", "atlas.pdf")],
    [Image("data:image/png;base64,iVBORw0KGgo=")],
    [TextDelta("Now.")],
    [ToolCallDelta(0, "call_1", "city", '{"of": "ada"}')],
    [Finish("tool_calls")],
]
SECOND: list[list[Any]] = [
    [ReasoningDelta("So.")],
    [TextDelta("Rome, ")],
    [Source("https://rome.example/", "Rome")],
    [TextDelta("it is.")],
    [Finish("stop")],
]


class Steps(Played):
    """Plays the first script, or the second one after a tool's result."""

    def __init__(self) -> None:
        super().__init__({})
        self.extra_content: dict[str, Any] | None = None

    def build_body(self, chat: Any, *more: Any) -> dict[str, Any]:
        is_second = chat.messages[-1]["role"] == "tool"
        self._script = SECOND if is_second else self._signed(FIRST)
        return {"events": len(self._script), "messages": chat.messages}

    def _signed(self, script: list[list[Any]]) -> list[list[Any]]:
        return [
            [
                replace(event, extra_content=self.extra_content)
                if isinstance(event, ToolCallDelta)
                else event
                for event in events
            ]
            for events in script
        ]


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def steps() -> Steps:
    return Steps()


@pytest.fixture
def toy(gate: Gate, steps: Steps) -> Iterator[Flask]:
    """An app whose provider calls the page's tool, and then waits in the middle of its response."""

    def respond(request: ReceivedRequest) -> Reply:
        events: list[Any] = [b"data: %d\n\n" % n for n in range(request.json["events"])]
        if request.json["messages"][-1]["role"] == "tool":
            events.insert(3, gate)
        return Reply(headers={"Content-Type": "text/event-stream"}, body=events)

    row = Provider(name="toy", label="Toy", key_required=False, protocol=steps)
    with FakeUpstream(respond, paths=["/played"]) as upstream:
        app = keeping(upstream, LLMChat(providers=[row]), base_urls={"toy": upstream.base_url})
        opens_for_readers(app, gate)
        yield app


@pytest.mark.parametrize("extra_content", [None, SIGNED], ids=["plain", "signed"])
def test_a_message_that_goes_on_after_the_pages_own_tool_is_whole(
    extra_content: dict[str, Any] | None, sdk: str, toy: Flask, gate: Gate, steps: Steps
) -> None:
    """With the reasoning, sources and files of its earlier step."""
    steps.extra_content = extra_content
    with served(toy) as port:
        gate.open()
        undisturbed = play(sdk, port, "Where?", provider="toy", **WITH_CITY)
        gate.close()
        left = leaves_after("Rome, ", "Where?")
        page = play(sdk, port, left, RESUME, provider="toy", **WITH_CITY)
    first = ["reasoning", "reasoning", "text", "source-url", "source-document", "file", "tool-city"]
    kinds = [part["type"] for part in page.parts()]
    assert kinds == ["step-start", *first, "step-start", "reasoning", "text", "source-url"]
    assert_same(page, undisturbed)
    assert len(page.requests) == 2
    # Its tool is not called again, unless it is given as a whole for what belongs to the call.
    assert page.called == (["city"] * 2 if extra_content else ["city"])


CALL = {"toolCallId": "call_1", "input": {"a": [1, None, "é"]}}
DONE = {**CALL, "state": "output-available", "output": {"b": 2}}
EARLIER: dict[str, dict[str, Any]] = {
    "tool": {"type": "tool-city", **DONE},
    "dynamic": {"type": "dynamic-tool", "toolName": "city", **DONE},
    "executed": {"type": "tool-web_search", **DONE, "providerExecuted": True},
    "signed": {"type": "tool-city", **DONE, "callProviderMetadata": {"toy": {"id": "x"}}},
    "preliminary": {"type": "tool-city", **DONE, "preliminary": True},
    "no output": {"type": "tool-city", **DONE, "output": None},
    "failed": {"type": "tool-city", **CALL, "state": "output-error", "errorText": "No."},
    "failed without input": {
        "type": "tool-city",
        "toolCallId": "call_1",
        "state": "output-error",
        "rawInput": "{",
        "errorText": "No.",
    },
    "waiting": {"type": "tool-city", **CALL, "state": "input-available"},
    "cut off": {
        "type": "tool-city",
        "toolCallId": "call_1",
        "state": "input-streaming",
        "input": {"a": 1},
        "rawInput": '{"a": 1',
    },
    "text": {"type": "text", "text": "Grüße\n\n🎉", "state": "done"},
    "empty text": {"type": "text", "text": "", "state": "done"},
    "metadata": {"type": "text", "text": "x", "state": "done", "providerMetadata": {"a": {"b": 1}}},
    "data": {"type": "data-weather", "id": "d1", "data": {"degrees": 7}},
    "file": {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,iVBORw0KGgo="},
    "source": {"type": "source-url", "sourceId": "s1", "url": "https://a.example/"},
}


@pytest.mark.parametrize("part", EARLIER.values(), ids=EARLIER)
def test_an_earlier_part_of_a_message_is_as_it_was(
    part: dict[str, Any], sdk: str, upstream: FakeUpstream
) -> None:
    if sdk == "ai5" and part.get("state") == "input-streaming":
        pytest.skip("version 5 adds any replay to a message with such a part")
    first = {"type": "text", "text": "First.", "state": "done"}
    earlier = [STEP, first, part, STEP, {**first, "text": "Second."}]
    messages = [
        {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Hi"}]},
        {"id": "a1", "role": "assistant", "parts": earlier},
    ]
    gate = Gate()
    upstream.add(gated(gate, 1, text_reply("Third ", "one.", usage=None)))
    app = keeping(upstream)
    opens_for_readers(app, gate)
    with visited(app) as client:
        writing = client.open("POST", URL, {**asking("ui", "chat-1"), "messages": messages})
        writing.until("Third")
        page = play(sdk, client.port, {"resume": {"saved": "shown"}}, messages=messages)
        writing.rest()
    assert page.snapshots[0]["status"] == "ready"
    (_, answer) = page.snapshots[0]["messages"]
    found = answer["parts"][2]
    if found.get("state") == "output-error":
        given = ("input", "rawInput")
        assert [found.pop(name) for name in given if name in found] == [
            part[name] for name in given if name in part
        ]
        part = {name: value for name, value in part.items() if name not in given}
    assert found == part
    assert answer["parts"][:2] == earlier[:2] and answer["parts"][3:5] == earlier[3:]
    assert answer["parts"][5:] == [STEP, {**first, "text": "Third one."}]
    assert answer["id"] == "a1"
    is_given_as_whole = "callProviderMetadata" in part or part.get("state") == "input-available"
    assert page.called == (["city"] if is_given_as_whole else [])


# Tools of the server.


class Paid:
    """The tools of an app, one of which asks first."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.may_end = threading.Event()

    def app(self, upstream: FakeUpstream) -> Flask:
        llmchat = LLMChat()

        @llmchat.tool
        def look(context: ToolContext) -> str:
            """Look for the order."""
            self.runs.append("look")
            context.progress("I have half of it.")
            assert self.may_end.wait(10)
            return "tea"

        @llmchat.tool(approval=True)
        def pay(context: ToolContext, amount: float) -> dict[str, float]:
            """Pay back."""
            self.runs.append("pay")
            context.progress("I am at the bank.")
            assert self.may_end.wait(10)
            return {"paid": amount}

        app = keeping(upstream, llmchat)
        app.secret_key = "secret"

        @app.before_request
        def look_for_readers() -> None:
            if request.method == "GET" and request.path.endswith("/stream"):
                self.may_end.set()

        return app


def test_a_page_that_comes_back_in_the_middle_of_a_tool(sdk: str, upstream: FakeUpstream) -> None:
    tools = Paid()
    for _ in range(2):
        upstream.add(tool_reply("look", {}, text="I look."), text_reply("It is ", "tea."))
    with served(tools.app(upstream)) as port:
        tools.may_end.set()
        undisturbed = play(sdk, port, "What is it?")
        tools.may_end.clear()
        page = play(sdk, port, leaves_after("half", "What is it?"), RESUME)
    assert_same(page, undisturbed)
    assert page.tools()[0]["output"] == "tea"
    assert tools.runs == ["look"] * 2


@pytest.mark.parametrize("decision", [YES, NO], ids=["yes", "no"])
def test_a_page_that_comes_back_after_it_has_decided(
    decision: dict[str, Any], asking_sdk: str, upstream: FakeUpstream
) -> None:
    """All is there but the decision itself: version 6 has no form for it in a stream."""
    tools, gate = Paid(), Gate()
    for _ in range(2):
        upstream.add(tool_reply("pay", {"amount": 9.5}, text="Well.", reasoning="Hm."))
        upstream.add(gated(gate, 1, text_reply("That ", "is it.")), text_reply("Bye."))
    app = tools.app(upstream)
    opens_for_readers(app, gate)
    decide: dict[str, Any] = {"decide": {"pay": decision}}
    with served(app) as port:
        tools.may_end.set()
        gate.open()
        undisturbed = play(asking_sdk, port, "Refund me", decide, "Bye")
        tools.may_end.clear()
        gate.close()
        seen = "at the bank" if decision == YES else "That "
        page = play(asking_sdk, port, "Refund me", leaves_after(seen, decide), RESUME, "Bye")
    undisturbed.tools(message=1)[0].pop("approval")
    left = page.tools(message=1)[0].pop("approval", {})
    if decision == NO:  # without it a page could not show the part
        assert left.keys() == {"id"}
        page.errors.clear()  # of the SDK's validation
    assert_same(page, undisturbed)
    assert page.kinds()[-1] == "Bye." and page.kinds(message=1)[-1] == "That is it."
    assert tools.runs == (["pay"] * 2 if decision == YES else [])
    assert upstream.requests[5].json["messages"] == upstream.requests[2].json["messages"]


def test_a_page_that_comes_back_while_it_is_asked(asking_sdk: str, upstream: FakeUpstream) -> None:
    """There is nothing to read: the question is in what its app has saved."""
    tools = Paid()
    tools.may_end.set()
    upstream.add(tool_reply("pay", {"amount": 9.5}), text_reply("Paid."))
    with served(tools.app(upstream)) as port:
        steps = ["Refund me", {"resume": {"saved": "shown"}}, {"decide": {"pay": YES}}]
        page = play(asking_sdk, port, *steps)
    assert page.errors == [] and page.asked[1]["status"] == 204
    assert page.kinds()[-1] == "Paid." and tools.runs == ["pay"]


def test_a_page_that_comes_back_while_the_question_is_written(
    asking_sdk: str, upstream: FakeUpstream
) -> None:
    tools, gate = Paid(), Gate()
    tools.may_end.set()
    for _ in range(2):
        upstream.add(gated(gate, 1, tool_reply("pay", {"amount": 9.5}, text=["Well, ", "well."])))
    app = tools.app(upstream)
    opens_for_readers(app, gate)
    with served(app) as port:
        gate.open()
        undisturbed = play(asking_sdk, port, "Refund me")
        gate.close()
        page = play(asking_sdk, port, leaves_after("Well, ", "Refund me"), RESUME)
    assert_same(page, undisturbed)
    assert page.tools()[0]["state"] == "approval-requested"
