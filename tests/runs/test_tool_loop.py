"""Chats with tools that the server runs: several responses of the model, through every dialect."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import abort, has_app_context, has_request_context
from openai import APIStatusError, OpenAI

from flask_llmchat import (
    ChatError,
    ChatRequest,
    LLMChat,
    Step,
    ToolContext,
    ToolError,
    ToolRun,
    tool_finished,
)
from flask_llmchat.testing import CUT, FakeUpstream, error_reply, text_reply, tool_reply
from tests.support.apps import KEYS, finished, make_app
from tests.support.servers import served

SAID = [{"role": "user", "content": "Where are my orders?"}]
UI_SAID = [{"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Where?"}]}]
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "text": ("", {"chatSettings": {"model": "gpt-4.1"}, "messages": SAID}),
    "ui": ("", {"chatSettings": {"model": "gpt-4.1"}, "messages": UI_SAID}),
    "openai": ("/chat/completions", {"model": "gpt-4.1", "stream": True, "messages": SAID}),
    "openai, whole": ("/chat/completions", {"model": "gpt-4.1", "messages": SAID}),
}
PROTOCOLS = ("chat_completions", "responses", "messages")
CLIENT_TOOL = {"type": "function", "function": {"name": "show_map", "parameters": {}}}


@pytest.fixture
def llmchat() -> LLMChat:
    llmchat = LLMChat()

    @llmchat.tool
    def find_orders(context: ToolContext, status: str = "open") -> dict[str, Any]:
        """List the user's orders."""
        assert has_app_context() and not has_request_context()
        return {"status": status, "key": context.profile["openai_api_key"][:2], "count": 2}

    return llmchat


def post(app: Any, dialect: str, provider: str = "openai", **more: Any) -> tuple[str, Any]:
    path, body = BODIES[dialect]
    with finished(app) as done:
        response = app.test_client().post(f"/api/chat/{provider}{path}", json={**body, **more})
        text = response.get_data(as_text=True)
        response.close()
        return text, done.only


def parts_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: {")]


@pytest.fixture(params=PROTOCOLS)
def app(request: pytest.FixtureRequest, upstream: FakeUpstream, llmchat: LLMChat) -> Any:
    """Make an app whose provider is called by each protocol."""
    name = {"messages": "anthropic"}.get(request.param, "openai")
    config = {"LLMCHAT_PROTOCOLS": {name: request.param}, "LLMCHAT_MAX_RETRIES": 0}
    keys = {**KEYS, "anthropic_api_key": "sk-ant-planted-0123456789"}
    app = make_app(upstream, keys, config, llmchat)
    app.provider = name  # type: ignore[attr-defined]
    return app


@pytest.mark.parametrize("dialect", BODIES)
def test_the_model_gets_the_result_and_the_client_the_words(
    dialect: str, app: Any, upstream: FakeUpstream
) -> None:
    upstream.add(tool_reply("find_orders", {"status": "sent"}, text="Let me look."))
    upstream.add(text_reply("Two", " were sent."))
    text, result = post(app, dialect, app.provider)
    assert result.outcome == "ok" and result.text == "Let me look.\n\nTwo were sent."
    assert result.tool_calls == () and len(result.steps) == 2
    (run,) = result.tool_runs
    assert (run.name, run.outcome, run.step) == ("find_orders", "ok", 1)
    first, second = (request.json for request in upstream.requests)
    assert "find_orders" in json.dumps(first["tools"])
    assert '{\\"status\\":\\"sent\\"' in json.dumps(second)
    if dialect == "text":
        assert text == "Let me look.\n\nTwo were sent."
    elif dialect == "ui":
        kinds = [part["type"] for part in parts_of(text)]
        end = kinds.index("tool-output-available")
        assert kinds[end - 1 : end + 3] == [
            "tool-input-available",
            "tool-output-available",
            "finish-step",
            "start-step",
        ]
        assert kinds.count("finish") == 1
    else:
        assert "find_orders" not in text and text.count('"finish_reason":"stop"') == 1


def test_usage_is_the_sum_of_all_steps(app: Any, upstream: FakeUpstream) -> None:
    upstream.add(tool_reply("find_orders"), text_reply("Two."))
    _, result = post(app, "text", app.provider)
    assert result.usage.total_tokens == sum(step.usage.total_tokens for step in result.steps)


def test_a_step_tells_what_became_of_it(app: Any, upstream: FakeUpstream) -> None:
    upstream.add(tool_reply("find_orders", text="Let me look."), text_reply("Two."))
    _, result = post(app, "text", app.provider)
    called, said = result.steps
    assert (called.text, called.finish_reason) == ("Let me look.", "tool_calls")
    assert called.tool_runs == result.tool_runs and said.tool_runs == ()
    assert (said.text, said.finish_reason) == ("Two.", "stop")
    assert {step.provider for step in result.steps} == {result.provider}
    assert {step.model for step in result.steps} == {result.model}
    assert sum(step.duration for step in result.steps) <= result.duration


def test_two_tools_of_one_step_both_have_results(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    upstream.add(tool_reply("find_orders", {}, ("find_orders", {"status": "sent"})))
    upstream.add(text_reply("Done."))
    app = make_app(upstream, llmchat=llmchat)
    _, result = post(app, "ui")
    assert len(result.tool_runs) == 2
    sent = [m for m in upstream.requests[1].json["messages"] if m["role"] == "tool"]
    assert [m["tool_call_id"] for m in sent] == ["call_1", "call_2"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [('{"status": ', "JSON"), ({"statsu": "x"}, "statsu"), ({"status": 7}, "status")],
)
def test_wrong_arguments_are_a_result_in_words(
    arguments: Any, told: str, upstream: FakeUpstream, llmchat: LLMChat
) -> None:
    upstream.add(tool_reply("find_orders", arguments), text_reply("Sorry."))
    app = make_app(upstream, llmchat=llmchat)
    text, result = post(app, "ui")
    assert result.outcome == "ok" and result.tool_runs[0].outcome == "refused"
    (part,) = (p for p in parts_of(text) if p["type"] == "tool-input-error")
    (sent,) = (m for m in upstream.requests[1].json["messages"] if m["role"] == "tool")
    assert told in part["errorText"] and part["errorText"] == sent["content"]
    (made,) = upstream.requests[1].json["messages"][-2]["tool_calls"]
    json.loads(made["function"]["arguments"])  # some providers refuse what is not JSON


def test_an_unknown_tool_is_a_result_in_words(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    upstream.add(tool_reply("drop_tables"), text_reply("Sorry."))
    _, result = post(make_app(upstream, llmchat=llmchat), "text")
    assert result.text == "Sorry." and result.tool_runs[0].outcome == "refused"
    assert "find_orders" in upstream.requests[1].json["messages"][-1]["content"]


def test_page_and_model_get_the_same_words_of_a_failure(
    upstream: FakeUpstream, llmchat: LLMChat
) -> None:
    @llmchat.tool
    def fail(why: str) -> None:
        """Fail."""
        raise ToolError(why) if why else KeyError("secret")

    upstream.add(tool_reply("fail", {"why": "No stock."}, ("fail", {"why": ""})), text_reply("So."))
    text, result = post(make_app(upstream, llmchat=llmchat), "ui")
    shown = [p["errorText"] for p in parts_of(text) if p["type"] == "tool-output-error"]
    sent = [m["content"] for m in upstream.requests[1].json["messages"] if m["role"] == "tool"]
    assert sorted(shown) == sorted(sent) == ["No stock.", "The tool failed."]
    assert [run.outcome for run in result.tool_runs] == ["error", "error"]


def test_progress_is_shown_in_ui_alone(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    @llmchat.tool
    def report() -> Iterator[dict[str, int]]:
        """Make a report."""
        yield {"done": 1}
        time.sleep(0.05)
        yield {"done": 2}

    app = make_app(upstream, llmchat=llmchat)
    upstream.add(tool_reply("report"), text_reply("Made."), tool_reply("report"), text_reply("M."))
    text, _ = post(app, "ui")
    outputs = [p for p in parts_of(text) if p["type"] == "tool-output-available"]
    assert [p.get("preliminary") for p in outputs][-1] is None
    assert outputs[0] == {**outputs[0], "preliminary": True, "output": {"done": 1}}
    assert outputs[-1]["output"] == {"done": 2}
    text, _ = post(app, "openai")
    assert "done" not in text


def test_the_last_step_may_call_no_tool(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    upstream.add(tool_reply("find_orders", {"status": "a"}), text_reply("Enough."))
    app = make_app(upstream, llmchat=llmchat, config={"LLMCHAT_TOOL_STEPS": 2})
    _, result = post(app, "text")
    assert result.outcome == "ok"
    first, last = (request.json for request in upstream.requests)
    assert "tool_choice" not in first
    assert last["tool_choice"] == "none" and last["tools"] == first["tools"]


@pytest.mark.parametrize("dialect", ["ui", "openai, whole"])
def test_a_model_that_calls_on_ends_with_an_error(
    dialect: str, upstream: FakeUpstream, llmchat: LLMChat
) -> None:
    upstream.add(*[tool_reply("find_orders", {"status": str(i)}) for i in range(4)])
    app = make_app(upstream, llmchat=llmchat, config={"LLMCHAT_TOOL_STEPS": 2})
    text, result = post(app, dialect)
    assert result.outcome == "tool_limit" and result.error.code == "tool_limit"
    assert len(upstream.requests) == 2 and "too many tools" in text
    assert len(result.tool_runs) == 1


def test_one_step_turns_the_tools_off(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    app = make_app(upstream, llmchat=llmchat, config={"LLMCHAT_TOOL_STEPS": 1})
    post(app, "text")
    assert "tools" not in upstream.requests[0].json


def test_a_clients_own_call_wins_where_the_servers_are_not_shown(
    upstream: FakeUpstream, llmchat: LLMChat
) -> None:
    upstream.add(tool_reply("find_orders", {}, ("show_map", {"at": 1})))
    app = make_app(upstream, llmchat=llmchat)
    text, result = post(app, "openai, whole", tools=[CLIENT_TOOL])
    (call,) = json.loads(text)["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "show_map" and "find_orders" not in text
    assert result.outcome == "tool_calls" and result.tool_runs == ()
    assert [call.name for call in result.tool_calls] == ["show_map"]


def test_a_page_runs_its_own_tool_beside_the_servers(
    upstream: FakeUpstream, llmchat: LLMChat
) -> None:
    upstream.add(tool_reply("find_orders", {}, ("show_map", {"at": 1})))
    app = make_app(upstream, llmchat=llmchat)
    settings = {"model": "gpt-4.1", "tools": [CLIENT_TOOL]}
    text, result = post(app, "ui", chatSettings=settings)
    assert len(upstream.requests) == 1 and len(result.tool_runs) == 1
    kinds = [(p["type"], p.get("toolCallId")) for p in parts_of(text)]
    assert ("tool-input-available", "call_2") in kinds
    assert ("tool-output-available", "call_1") in kinds
    assert ("tool-output-available", "call_2") not in kinds
    assert parts_of(text)[-1]["finishReason"] == "tool-calls"


def test_a_clients_tool_with_the_name_of_the_servers_is_refused(
    upstream: FakeUpstream, llmchat: LLMChat
) -> None:
    tool = {"type": "function", "function": {"name": "find_orders", "parameters": {}}}
    app = make_app(upstream, llmchat=llmchat)
    text, _ = post(app, "openai, whole", tools=[tool])
    assert "tools.0" in text and "find_orders" in text and not upstream.requests


def test_a_forced_tool_is_forced_in_the_first_step_alone(
    upstream: FakeUpstream, llmchat: LLMChat
) -> None:
    @llmchat.before_chat
    def force(chat: ChatRequest) -> None:
        chat.tool_choice = "required"

    upstream.add(tool_reply("find_orders"), text_reply("Two."))
    post(make_app(upstream, llmchat=llmchat), "text")
    assert [r.json.get("tool_choice") for r in upstream.requests] == ["required", None]


def test_a_tool_is_offered_to_those_who_may_use_it(
    upstream: FakeUpstream, llmchat: LLMChat
) -> None:
    @llmchat.tool(when=lambda chat: chat.profile.get("admin", False))
    def delete_all() -> None:
        """Delete all."""

    upstream.add(text_reply("Hi"), tool_reply("delete_all"), text_reply("No."))
    app = make_app(upstream, llmchat=llmchat)
    post(app, "text")
    names = [tool["function"]["name"] for tool in upstream.requests[0].json["tools"]]
    assert names == ["find_orders"]
    _, result = post(app, "text")
    assert result.tool_runs[0].outcome == "refused"


def test_hooks_see_every_further_step_and_may_refuse_it(
    upstream: FakeUpstream, llmchat: LLMChat
) -> None:
    seen: list[int] = []

    @llmchat.before_step
    def budget(chat: ChatRequest, steps: tuple[Step, ...]) -> None:
        seen.append(len(steps))
        if len(steps) == 2:
            raise ChatError("That was enough.", "rate_limited")

    upstream.add(*[tool_reply("find_orders", {"status": str(i)}) for i in range(3)])
    text, result = post(make_app(upstream, llmchat=llmchat), "ui")
    assert seen == [1, 2] and len(upstream.requests) == 2
    assert "That was enough." in text and result.error.code == "rate_limited"


@pytest.mark.parametrize("dialect", ["ui", "openai, whole"])
def test_a_step_is_refused_by_abort_as_a_chat_is(
    dialect: str, upstream: FakeUpstream, llmchat: LLMChat
) -> None:
    @llmchat.before_step
    def refuse(chat: ChatRequest, steps: tuple[Step, ...]) -> None:
        abort(429, "That was enough.")

    upstream.add(tool_reply("find_orders"))
    text, result = post(make_app(upstream, llmchat=llmchat), dialect)
    assert result.error.code == "rate_limited" and len(result.tool_runs) == 1
    assert "That was enough." in text


def test_hidden_reasoning_goes_back_between_the_steps(app: Any, upstream: FakeUpstream) -> None:
    model = {"anthropic": "claude-sonnet-5-5"}.get(app.provider, "gpt-6-luna")
    upstream.add(tool_reply("find_orders", reasoning="Let me see."), text_reply("Two."))
    post(app, "text", app.provider, chatSettings={"model": model, "reasoningEffort": "low"})
    second = json.dumps(upstream.requests[1].json)
    path = upstream.requests[1].path
    if path.endswith("/responses"):
        assert "fake-encrypted" in second
        assert second.index("fake-encrypted") < second.index('"function_call"')
    elif path.endswith("/messages"):
        assert "fake-signature" in second
        assert second.index("fake-signature") < second.index('"tool_use"')


def test_a_step_that_fails_is_not_run_again_with_its_tools(
    upstream: FakeUpstream, llmchat: LLMChat
) -> None:
    runs: list[int] = []

    @llmchat.tool
    def pay() -> str:
        """Pay."""
        runs.append(1)
        return "paid"

    upstream.add(tool_reply("pay"), error_reply(503, "busy"), text_reply("Paid."))
    app = make_app(upstream, llmchat=llmchat, config={"LLMCHAT_MAX_RETRIES": 1})
    _, result = post(app, "text")
    assert result.text == "Paid." and runs == [1]
    assert [len(step.attempts) for step in result.steps] == [1, 2]


def test_a_fallback_has_the_tools_too(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    upstream.add(text_reply(finish_reason=None, done=False, usage=None, then=[CUT]))
    upstream.add(tool_reply("find_orders"), text_reply("Two."))
    config = {"LLMCHAT_FALLBACKS": {"openai": ["groq"]}, "LLMCHAT_MAX_RETRIES": 0}
    _, result = post(make_app(upstream, llmchat=llmchat, config=config), "text")
    assert (result.provider, result.text) == ("groq", "Two.")
    assert [run.outcome for run in result.tool_runs] == ["ok"]


def test_an_sdk_does_not_repeat_a_chat_whose_tools_have_run(
    upstream: FakeUpstream, llmchat: LLMChat
) -> None:
    runs: list[int] = []

    @llmchat.tool
    def pay() -> str:
        """Pay."""
        runs.append(1)
        return "paid"

    for _ in range(3):  # what the SDK would get if it sent the chat again
        upstream.add(tool_reply("pay"), error_reply(503, "busy"))
    app = make_app(upstream, llmchat=llmchat, config={"LLMCHAT_MAX_RETRIES": 0})
    with served(app) as port:
        url = f"http://127.0.0.1:{port}/api/chat/openai"
        with (
            OpenAI(base_url=url, api_key="x", max_retries=2) as client,
            pytest.raises(APIStatusError) as caught,
        ):
            client.chat.completions.create(**BODIES["openai, whole"][1])
    assert caught.value.status_code == 503
    assert runs == [1]


def test_a_later_step_that_is_cut_is_truncated(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    upstream.add(tool_reply("find_orders"))
    upstream.add(text_reply("Tw", finish_reason=None, done=False, usage=None, then=[CUT]))
    text, result = post(make_app(upstream, llmchat=llmchat), "ui")
    assert result.outcome == "truncated" and result.text == "Tw"
    assert len(result.tool_runs) == 1 and '"type":"error"' in text


def test_an_empty_response_after_tools_is_no_error(app: Any, upstream: FakeUpstream) -> None:
    upstream.add(tool_reply("find_orders", text="I look."), text_reply())
    _, result = post(app, "text", app.provider)
    assert (result.outcome, result.text) == ("ok", "I look.")


def test_a_signal_is_sent_for_each_call(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    upstream.add(tool_reply("find_orders"), text_reply("Two."))
    app = make_app(upstream, llmchat=llmchat)
    heard: list[ToolRun] = []

    def hear(sender: Any, run: ToolRun) -> None:
        assert has_app_context()
        heard.append(run)

    with tool_finished.connected_to(hear, app):
        _, result = post(app, "text")
    assert heard == list(result.tool_runs)


def test_complete_runs_the_tools(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    upstream.add(tool_reply("find_orders"), text_reply("Two."))
    app = make_app(upstream, llmchat=llmchat)
    with app.app_context():
        result = llmchat.complete("openai", "Where?", model="gpt-4.1", profile=KEYS)
    assert result.text == "Two." and len(result.tool_runs) == 1


def test_the_view_returns_before_the_tool_runs(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    may_go = threading.Event()

    @llmchat.tool
    def wait() -> str:
        """Wait."""
        return str(may_go.wait(10))

    upstream.add(tool_reply("wait"), text_reply("Done."))
    app = make_app(upstream, llmchat=llmchat)
    path, body = BODIES["text"]
    response = app.test_client().post(f"/api/chat/openai{path}", json=body)
    may_go.set()  # the response's head is here
    assert response.get_data(as_text=True) == "Done."
    response.close()


def test_a_stream_that_is_left_tells_its_tools(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    told = threading.Event()
    begun = threading.Event()

    @llmchat.tool
    def slow(context: ToolContext) -> str:
        """Take long."""
        begun.set()
        if context.cancelled.wait(10):
            told.set()
        return "late"

    upstream.add(tool_reply("slow", text="I look."), text_reply("Never."))
    app = make_app(upstream, llmchat=llmchat)
    with finished(app) as done, app.app_context():
        with llmchat.stream("openai", "Where?", model="gpt-4.1", profile=KEYS) as chat:
            for event in chat:
                if type(event).__name__ == "ToolsStart":
                    assert begun.wait(5)
                    break
        assert told.is_set()
        assert done.only.outcome == "cancelled"
        assert [run.outcome for run in done.only.tool_runs] == ["ok"]  # it has obeyed
    assert len(upstream.requests) == 1


def test_half_a_character_in_the_arguments(app: Any, upstream: FakeUpstream) -> None:
    """A model writes it, the page gets it, and neither the provider nor we took it back."""
    upstream.add(tool_reply("find_orders", '{"status": "a\\ud83d"}'))
    upstream.add(text_reply("None."), text_reply("Yes?"))
    text, result = post(app, "ui", app.provider)
    assert result.outcome == "ok" and json.loads(result.tool_runs[0].result)["status"] == "a\ufffd"
    (call,) = (part for part in parts_of(text) if part["type"] == "tool-input-available")
    assert call["input"] == {"status": "a\ufffd"}


def test_a_chat_over_its_deadline_ends_in_the_middle_of_a_tool(
    upstream: FakeUpstream, llmchat: LLMChat
) -> None:
    @llmchat.tool
    def slow(context: ToolContext) -> str:
        """Take long."""
        context.cancelled.wait(10)
        return "late"

    upstream.add(tool_reply("slow"), text_reply("Never."))
    app = make_app(upstream, llmchat=llmchat, config={"LLMCHAT_DEADLINE": 1.0})
    text, result = post(app, "ui")
    assert result.outcome == "deadline" and '"type":"error"' in text
    assert len(result.tool_runs) == 1 and len(upstream.requests) == 1


def test_without_tools_nothing_of_them_is_sent(upstream: FakeUpstream) -> None:
    upstream.add(text_reply("Hi"))
    post(make_app(upstream), "text")
    assert "tools" not in upstream.requests[0].json
