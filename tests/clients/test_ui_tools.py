"""Pages with the AI SDK, in its three majors, whose chats have tools that the server runs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from flask_llmchat import LLMChat, ToolContext, ToolError
from flask_llmchat.testing import CUT, FakeUpstream, sse_reply, text_reply, tool_reply
from tests.support.apps import finished, make_app
from tests.support.edge_case_streams import call as call_chunk
from tests.support.edge_case_streams import delta, wire
from tests.support.pages import MAJORS, play
from tests.support.servers import served
from tests.support.tool_chats import wait_for
from tests.support.ui_conversations import INTERRUPTED

pytestmark = pytest.mark.external

PAGES_TOOL = {"type": "function", "function": {"name": "city", "parameters": {"type": "object"}}}
WITH_CITY = {"settings": {"tools": [PAGES_TOOL]}, "tools": {"city": {"name": "Rome"}}}
MODELS = {
    "chat_completions": "gpt-6-luna",
    "responses": "gpt-6-luna",
    "messages": "claude-sonnet-5-5",
}
STEP = {"type": "step-start"}
STOP = {"finishReason": "stop", "isAbort": False, "isError": False}


@pytest.fixture(params=MAJORS)
def sdk(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Tools:
    """The tools of the app, and what they have noticed."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.cancelled = threading.Event()

    def add_to(self, llmchat: LLMChat) -> None:
        @llmchat.tool
        def find_orders(status: str = "open", limit: int = 5) -> list[dict[str, Any]]:
            """List the user's orders."""
            self.runs.append(status)
            return [{"number": 7, "status": status, "tea": "Grüntee"}][:limit]

        @llmchat.tool
        def tell_time() -> str:
            """Tell the time."""
            self.runs.append("time")
            return "12:30"

        @llmchat.tool
        def report() -> Iterator[dict[str, Any]]:
            """Make a report, and show how far it is."""
            for months in (1, 2, 3):
                yield {"months": months}
                time.sleep(0.2)  # so that none takes the place of another
            yield {"url": "/reports/1"}

        @llmchat.tool
        def fail(why: str) -> None:
            """Fail."""
            raise ToolError(why) if why else KeyError("a secret")

        @llmchat.tool
        def wait(context: ToolContext, says: str) -> str:
            """Wait until the user stops it."""
            self.runs.append("wait")
            if says:
                context.progress(says)
            if context.cancelled.wait(10):
                self.cancelled.set()
            return "stopped"


@pytest.fixture
def tools() -> Tools:
    return Tools()


@pytest.fixture
def llmchat(tools: Tools) -> LLMChat:
    llmchat = LLMChat()
    tools.add_to(llmchat)
    return llmchat


@pytest.fixture
def app(upstream: FakeUpstream, llmchat: LLMChat) -> Flask:
    return make_app(upstream, llmchat=llmchat, config={"LLMCHAT_TOOL_STEPS": 3})


@pytest.fixture
def port(app: Flask) -> Iterator[int]:
    with served(app) as port:
        yield port


def call(name: str, arguments: str, id: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def said(text: str | None, *calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **({"tool_calls": [*calls]} if calls else {})}


def result(id: str, content: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content}


def sent(upstream: FakeUpstream) -> list[Any]:
    bodies = [request.json for request in upstream.requests]
    return [body.get("messages") or body["input"] for body in bodies]


def without_nulls(part: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if value is not None}


def test_steps_with_tools_are_one_message_and_one_request(
    sdk: str, port: int, upstream: FakeUpstream
) -> None:
    upstream.add(
        tool_reply("find_orders", '{"status":"sent"}', ("tell_time", {}), ids=["a", "b"]),
        tool_reply("find_orders", '{"status":"paid"}', text="And the paid ones.", ids=["c"]),
        text_reply("That", " is all."),
    )
    page = play(sdk, port, "Where are they?")
    assert page.errors == []
    assert len(page.requests) == 1 and page.finished == [STOP]
    order = {"number": 7, "tea": "Grüntee"}
    of_orders = {"type": "tool-find_orders", "state": "output-available"}
    assert [without_nulls(part) for part in page.parts()] == [
        STEP,
        {
            **of_orders,
            "toolCallId": "a",
            "input": {"status": "sent"},
            "output": [{**order, "status": "sent"}],
        },
        {
            "type": "tool-tell_time",
            "toolCallId": "b",
            "state": "output-available",
            "input": {},
            "output": "12:30",
        },
        STEP,
        {"type": "text", "text": "And the paid ones.", "state": "done"},
        {
            **of_orders,
            "toolCallId": "c",
            "input": {"status": "paid"},
            "output": [{**order, "status": "paid"}],
        },
        STEP,
        {"type": "text", "text": "That is all.", "state": "done"},
    ]
    # 1 + 5 tokens of the first response, 1 + 4 of the second, 1 + 2 of the last.
    usage = page.snapshots[0]["messages"][1]["metadata"]["usage"]
    assert usage["totalTokens"] == sum(usage[name] for name in ("inputTokens", "outputTokens"))
    assert usage["inputTokens"] == 3
    assert sent(upstream)[-1] == [
        {"role": "user", "content": "Where are they?"},
        said(None, call("find_orders", '{"status":"sent"}', "a"), call("tell_time", "{}", "b")),
        result("a", '[{"number":7,"status":"sent","tea":"Grüntee"}]'),
        result("b", "12:30"),
        said("And the paid ones.", call("find_orders", '{"status":"paid"}', "c")),
        result("c", '[{"number":7,"status":"paid","tea":"Grüntee"}]'),
    ]


@pytest.mark.parametrize("protocol", ["chat_completions", "responses", "messages"])
def test_what_was_stored_goes_back_as_it_was(
    protocol: str, sdk: str, llmchat: LLMChat, upstream: FakeUpstream
) -> None:
    provider = "anthropic" if protocol == "messages" else "openai"
    config = {"LLMCHAT_PROTOCOLS": {provider: protocol}}
    app = make_app(upstream, {f"{provider}_api_key": "sk-x"}, config, llmchat)
    upstream.add(
        tool_reply(
            "find_orders",
            '{"status":"sent"}',
            ("tell_time", {}),
            ids=["a", "b"],
            reasoning=["Let me", " see."],
        ),
        tool_reply(
            "fail",
            '{"why":"No stock."}',
            *[("fail", '{"why":""}'), ("find_orders", '{"limit":"x"}'), ("drop", "{}")],
            ids=["c", "d", "e", "f"],
            text="So.",
            reasoning="Hm.",
        ),
        text_reply("That is all.", reasoning="Yes."),
        text_reply("You are welcome."),
    )
    with served(app) as port:
        settings = {"model": MODELS[protocol], "reasoningEffort": "low"}
        steps = ["Where are they?", {"reload": True}, "Thanks"]
        page = play(sdk, port, *steps, provider=provider, settings=settings)
    assert page.errors == []
    assert len(page.requests) == 2 and page.finished == [STOP] * 2
    assert page.kinds() == ["step-start", "You are welcome."]
    *_, last_step, next_turn = sent(upstream)
    assert next_turn[: len(last_step)] == last_step
    assert "No stock." in str(last_step) and "drop" in str(last_step)
    assert "That is all." in str(next_turn[len(last_step) :])
    if protocol != "chat_completions":  # its reasoning is plain text, which does not go back
        assert str(last_step).count("fake-") >= 2


@pytest.mark.parametrize("provider", ["google", "openrouter", "deepseek"])
def test_what_a_provider_needs_back_with_its_calls_goes_back(
    provider: str, sdk: str, llmchat: LLMChat, upstream: FakeUpstream
) -> None:
    for n, name in enumerate(["tell_time", "drop"]):  # the second is no tool
        detail = {"type": "reasoning.encrypted", "data": f"secret-{n}", "index": 0}
        signed = {"google": {"thought_signature": f"secret-{n}"}}
        thinks = {"reasoning_details": [detail]} if provider == "openrouter" else {}
        chunks = [
            delta(reasoning_content=f"secret-{n}", **thinks),
            call_chunk(0, f"{n}", name, "{}", extra_content=signed),
            delta("tool_calls"),
        ]
        upstream.add(sse_reply(wire(chunks)))
    upstream.add(text_reply("Half past."), text_reply("Bye."))
    keys = dict.fromkeys(("google_gemini_api_key", f"{provider}_api_key"), "sk-x")
    with served(make_app(upstream, keys, llmchat=llmchat)) as port:
        page = play(sdk, port, "What time?", {"reload": True}, "Bye", provider=provider)
    assert page.errors == []
    *_, last_step, next_turn = sent(upstream)
    assert [str(m).count("secret-") for m in last_step if m["role"] == "assistant"] == [1, 1]
    if sdk == "ai5":  # it keeps no metadata of a call that failed
        last_step[3]["tool_calls"][0].pop("extra_content", None)
    assert next_turn[: len(last_step)] == last_step


def test_progress_is_seen_in_order(sdk: str, port: int, upstream: FakeUpstream) -> None:
    upstream.add(tool_reply("report"), text_reply("Here it is."))
    page = play(sdk, port, "My report?")
    assert page.errors == []
    assert [(s["state"], s.get("output"), s.get("preliminary")) for s in page.shown] == [
        ("input-available", None, None),
        *(("output-available", {"months": months}, True) for months in (1, 2, 3)),
        # What is preliminary is so until the end is known.
        ("output-available", {"url": "/reports/1"}, True),
        ("output-available", {"url": "/reports/1"}, None),
    ]
    assert page.kinds() == ["step-start", "tool-report", "step-start", "Here it is."]


def test_a_failure_is_shown_in_the_words_that_the_model_gets(
    sdk: str, port: int, upstream: FakeUpstream
) -> None:
    upstream.add(tool_reply("fail", {"why": "No stock."}, ("fail", {"why": ""})))
    upstream.add(text_reply("Sorry."))
    page = play(sdk, port, "Is it there?")
    assert page.errors == [] and len(page.requests) == 1
    told = [message["content"] for message in sent(upstream)[1] if message["role"] == "tool"]
    assert told == ["No stock.", "The tool failed."]
    assert [(p["state"], p["errorText"]) for p in page.tools()] == [
        ("output-error", text) for text in told
    ]


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("find_orders", '{"limit":"many"}', "limit"),
        ("find_orders", '{"limit": ', "not valid JSON"),
        ("drop_tables", '{"all":true}', "There is no tool 'drop_tables'."),
    ],
    ids=["wrong", "no JSON", "unknown"],
)
def test_a_call_that_cannot_be_run_is_shown_once(
    name: str, arguments: str, told: str, sdk: str, port: int, upstream: FakeUpstream
) -> None:
    upstream.add(tool_reply(name, arguments), text_reply("Sorry."), text_reply("Bye."))
    page = play(sdk, port, "How many?", {"reload": True}, "Bye")
    assert page.errors == [] and len(page.requests) == 2
    assert page.kinds(0) == ["step-start", f"tool-{name}", "step-start", "Sorry."]
    (part,) = page.tools(0)
    assert part["state"] == "output-error" and told in part["errorText"]
    _, with_result, next_turn = sent(upstream)
    made = arguments if arguments.endswith("}") else json.dumps(arguments)
    assert with_result[1:] == [
        said(None, call(name, made, "call_1")),
        result("call_1", part["errorText"]),
    ]
    assert next_turn[:3] == with_result


def test_the_page_runs_its_own_tool_while_the_server_runs_another(
    sdk: str, port: int, upstream: FakeUpstream, tools: Tools
) -> None:
    upstream.add(
        tool_reply("tell_time", {}, ("city", {}), ("report", {}), ids=["a", "b", "c"]),
        text_reply("In Rome."),
        text_reply("Bye."),
    )
    page = play(sdk, port, "Where?", {"reload": True}, "Bye", **WITH_CITY)
    assert page.errors == []
    assert page.called == ["tell_time", "city", "report"]  # the page has to look at the name
    assert len(page.requests) == 3 and tools.runs == ["time"]
    assert [end["finishReason"] for end in page.finished] == ["tool-calls", "stop", "stop"]
    assert [(p["toolCallId"], p["state"], p["output"]) for p in page.tools(0)] == [
        ("a", "output-available", "12:30"),
        ("b", "output-available", {"name": "Rome"}),
        ("c", "output-available", {"url": "/reports/1"}),
    ]
    assert page.kinds(0)[-2:] == ["step-start", "In Rome."]
    assert len(page.snapshots[0]["messages"]) == 2  # the second response goes on in the first
    _, second, third = sent(upstream)
    assert second[2:] == [
        result("a", "12:30"),
        result("b", '{"name":"Rome"}'),
        result("c", '{"url":"/reports/1"}'),
    ]
    assert third[:5] == second


def test_the_page_runs_its_own_tool_after_the_server(
    sdk: str, port: int, upstream: FakeUpstream, tools: Tools
) -> None:
    upstream.add(tool_reply("city", {}, ("tell_time", {}), ids=["a", "b"]), text_reply("In Rome."))
    output = {"toolOutput": {"id": "a", "output": "Rome"}}
    page = play(sdk, port, "Where?", output, settings={"tools": [PAGES_TOOL]})
    assert page.errors == []
    assert [part["state"] for part in page.tools(0)] == ["input-available", "output-available"]
    assert len(page.requests) == 2 and tools.runs == ["time"]
    assert sent(upstream)[1][2:] == [result("a", "Rome"), result("b", "12:30")]
    assert page.kinds() == ["step-start", "tool-city", "tool-tell_time", "step-start", "In Rome."]


def test_the_servers_tools_run_in_the_response_that_the_page_has_asked_for(
    sdk: str, port: int, upstream: FakeUpstream, tools: Tools
) -> None:
    # The same id in every step, as some providers have it.
    upstream.add(tool_reply("city"), tool_reply("tell_time"), tool_reply("city"), text_reply("So."))
    page = play(sdk, port, "Where?", **WITH_CITY)
    assert page.errors == []
    assert page.kinds()[1::2] == ["tool-city", "tool-tell_time", "tool-city", "So."]
    assert {part["state"] for part in page.tools()} == {"output-available"}
    assert len({part["toolCallId"] for part in page.tools()}) == 3
    assert len(page.requests) == 3 and tools.runs == ["time"]
    assert [message["content"] for message in sent(upstream)[-1] if message["role"] == "tool"] == [
        '{"name":"Rome"}',
        "12:30",
        '{"name":"Rome"}',
    ]


def test_the_tool_limit_is_an_error_after_which_the_user_goes_on(
    sdk: str, app: Flask, port: int, upstream: FakeUpstream, tools: Tools
) -> None:
    upstream.add(*(tool_reply("find_orders", {"status": f"{n}"}, ids=[f"{n}"]) for n in range(3)))
    upstream.add(text_reply("Well."))
    with finished(app) as done:
        page = play(sdk, port, "Where are they?", "So?")
        assert [one.outcome for one in done.wait(2)] == ["tool_limit", "ok"]
    assert len(page.errors) == 1 and "too many tools" in page.errors[0]
    assert page.snapshots[0]["status"] == "error" and len(page.requests) == 2
    assert tools.runs == ["0", "1"]
    assert [made["id"] for m in sent(upstream)[-1] for made in m.get("tool_calls", ())] == [
        "0",
        "1",
    ]
    assert page.kinds() == ["step-start", "Well."]


def test_a_step_that_breaks_off_does_not_run_its_tools_again(
    sdk: str, port: int, upstream: FakeUpstream, tools: Tools
) -> None:
    broken = text_reply("It", finish_reason=None, done=False, usage=None, then=[CUT])
    upstream.add(tool_reply("tell_time"), broken, text_reply("Half past."))
    page = play(sdk, port, "What time?", "So?")
    assert page.errors == ["OpenAI broke off before the answer was complete."]
    assert len(page.requests) == 2 and tools.runs == ["time"]
    assert sent(upstream)[-1][2:4] == [result("call_1", "12:30"), said("It")]


def test_a_model_that_has_no_words_after_its_tools_is_not_asked_again(
    sdk: str, port: int, upstream: FakeUpstream
) -> None:
    upstream.add(tool_reply("tell_time", text="I look."), text_reply(), text_reply("Yes."))
    page = play(sdk, port, "What time?", "Well?")
    assert page.errors == [] and len(page.requests) == 2
    assert page.kinds(0) == ["step-start", "I look.", "tool-tell_time", "step-start"]
    assert page.kinds() == ["step-start", "Yes."]


@pytest.mark.parametrize(("says", "shown"), [("", '"input-available"'), ("Hm.", '"output":"Hm."')])
def test_a_user_who_stops_amid_a_tool_stops_the_tool(
    says: str, shown: str, sdk: str, app: Flask, port: int, upstream: FakeUpstream, tools: Tools
) -> None:
    upstream.add(tool_reply("wait", {"says": says}, text="I look."), text_reply("As you like."))
    with finished(app) as done:
        stop = {"send": "Look!", "stopAfter": shown}
        page = play(sdk, port, stop, {"reload": True}, "Go on")
        wait_for(tools.cancelled.is_set)
        assert sorted(one.outcome for one in done.wait(2)) == ["cancelled", "ok"]
        (run,) = next(one for one in done.results if one.outcome == "cancelled").tool_runs
        assert run.name == "wait"
    assert page.errors == [] and tools.runs == ["wait"]
    assert [end["isAbort"] for end in page.finished] == [True, False]
    assert page.snapshots[0]["status"] == "ready"
    assert page.kinds(0) == ["step-start", "I look.", "tool-wait"]
    assert page.kinds() == ["step-start", "As you like."]
    assert len(page.requests) == 2
    (told,) = (message["content"] for message in sent(upstream)[1] if message["role"] == "tool")
    assert told == INTERRUPTED + (f" It had come to this: {says}" if says else "")
