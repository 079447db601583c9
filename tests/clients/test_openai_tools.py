"""OpenAI's SDKs, and its Agents SDK, in chats with tools that the server runs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from openai import APIError, AsyncOpenAI

from flask_llmchat import LLMChat, ToolError
from flask_llmchat.testing import CUT, FakeUpstream, sse_reply, text_reply, tool_reply
from tests.support.apps import finished, make_app
from tests.support.edge_case_streams import HEAD, call, delta, wire
from tests.support.node import run_js
from tests.support.servers import client_of, served

PROTOCOLS = {
    "chat_completions": ("openai", "gpt-4.1"),
    "responses": ("openai", "gpt-6-luna"),
    "messages": ("anthropic", "claude-sonnet-4-6"),
}
CLIENTS_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "show_map", "parameters": {"type": "object", "properties": {}}},
}


@pytest.fixture
def runs() -> list[str]:
    """Return the tools that have run."""
    return []


@pytest.fixture
def llmchat(runs: list[str]) -> LLMChat:
    llmchat = LLMChat()

    @llmchat.tool
    def find_orders(status: str = "open") -> dict[str, Any]:
        """List the user's orders."""
        runs.append("find_orders")
        return {"status": status}

    @llmchat.tool
    def slow() -> Iterator[str]:
        """Take some time."""
        runs.append("slow")
        for part in ("half", "whole"):
            time.sleep(0.15)
            yield part

    @llmchat.tool
    def fail() -> None:
        """Fail."""
        raise ToolError("No stock.")

    return llmchat


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def provider(protocol: str) -> str:
    return PROTOCOLS[protocol][0]


@pytest.fixture
def app(protocol: str, provider: str, upstream: FakeUpstream, llmchat: LLMChat) -> Flask:
    config = {
        "LLMCHAT_PROTOCOLS": {provider: protocol},
        "LLMCHAT_HEARTBEAT": 0.05,
        "LLMCHAT_TOOL_STEPS": 4,
    }
    return make_app(upstream, {f"{provider}_api_key": "sk-x"}, config, llmchat)


@pytest.fixture
def port(app: Flask) -> Iterator[int]:
    with served(app) as port:
        yield port


def three_steps(upstream: FakeUpstream) -> None:
    two = ("find_orders", {"status": "sent"}, ("fail", {}))
    upstream.add(
        tool_reply(*two, text="Let me look.", usage=tokens(100)),
        tool_reply("slow", reasoning="Hm.", usage=tokens(20)),
        text_reply("Two", " were sent.", usage=tokens(3)),
    )


def tokens(count: int) -> dict[str, int]:
    return {"prompt_tokens": count, "completion_tokens": count, "total_tokens": 2 * count}


USAGE = tokens(123)
TEXT = "Let me look.\n\nTwo were sent."


def asked(protocol: str, **more: Any) -> dict[str, Any]:
    question = {"role": "user", "content": "Where are they?"}
    return {"model": PROTOCOLS[protocol][1], "messages": [question], **more}


def assert_one_response(chunks: list[dict[str, Any]]) -> None:
    """Check that chunks look like those of one response that called no tool."""
    for name in ("id", "model", "created", "object"):
        assert len({chunk[name] for chunk in chunks}) == 1, name
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    deltas = [choice["delta"] for choice in choices]
    assert [one["role"] for one in deltas if one.get("role")] == ["assistant"]
    assert deltas[0]["role"] == "assistant"
    assert not any(one.get("tool_calls") for one in deltas)
    assert "".join(one.get("content") or "" for one in deltas) == TEXT
    assert [c["finish_reason"] for c in choices if c["finish_reason"]] == ["stop"]
    assert choices[-1]["finish_reason"] == "stop"
    *others, last = chunks
    assert last["choices"] == [] and not any(chunk.get("usage") for chunk in others)
    assert {name: last["usage"][name] for name in USAGE} == USAGE


def test_pythons_sdk_sees_one_response(
    protocol: str, provider: str, port: int, upstream: FakeUpstream, runs: list[str]
) -> None:
    body = asked(protocol, stream_options={"include_usage": True})
    with client_of(port, provider) as client:
        three_steps(upstream)
        chunks = [c.to_dict() for c in client.chat.completions.create(**body, stream=True)]
        assert_one_response(chunks)
        three_steps(upstream)
        with client.chat.completions.stream(**body) as stream:
            kinds = {event.type for event in stream}
            added_up = stream.get_final_completion()
        three_steps(upstream)
        whole = client.chat.completions.create(**asked(protocol))
    assert not any("tool" in kind for kind in kinds)
    for completion in (added_up, whole):
        (choice,) = completion.choices
        assert (choice.message.role, choice.message.content) == ("assistant", TEXT)
        assert not choice.message.tool_calls and choice.finish_reason == "stop"
        assert completion.usage.to_dict().items() >= USAGE.items()
    assert runs == ["find_orders", "slow"] * 3 and len(upstream.requests) == 9


@pytest.mark.external
def test_nodes_sdk_sees_one_response(
    protocol: str, provider: str, port: int, upstream: FakeUpstream, runs: list[str]
) -> None:
    usage = {"stream_options": {"include_usage": True}}
    bodies = [asked(protocol, **usage, stream=True), asked(protocol, **usage), asked(protocol)]
    jobs = [{"route": provider, "body": body} for body in bodies]
    jobs[1]["accumulate"] = True
    for _ in jobs:
        three_steps(upstream)
    streamed, added_up, whole = run_js("openai_jobs.mjs", {"port": port, "jobs": jobs})
    assert streamed["complete"]
    assert_one_response(streamed["chunks"])
    for told in (added_up, whole):
        (choice,) = told["completion"]["choices"]
        assert (choice["message"]["role"], choice["message"]["content"]) == ("assistant", TEXT)
        assert not choice["message"].get("tool_calls") and choice["finish_reason"] == "stop"
        assert told["completion"]["usage"].items() >= USAGE.items()
    assert runs == ["find_orders", "slow"] * 3


def test_the_steps_of_a_response_have_one_id_whatever_the_provider_calls_them(
    upstream: FakeUpstream, llmchat: LLMChat
) -> None:
    steps = [
        [delta(role="assistant", content="Hm."), call(0, "c1", "find_orders", "{}")],
        [delta(role="assistant", content="So.")],
    ]
    for number, (chunks, reason) in enumerate(zip(steps, ("tool_calls", "stop"), strict=True)):
        of_its_own = {**HEAD, "id": f"id-{number}", "model": f"m-{number}", "created": number}
        whole = [*chunks, delta(reason)]
        upstream.add(sse_reply(wire([{**chunk, **of_its_own} for chunk in whole])))
    with served(make_app(upstream, llmchat=llmchat)) as port, client_of(port) as client:
        body = asked("chat_completions")
        chunks = [c.to_dict() for c in client.chat.completions.create(**body, stream=True)]
    for name in ("id", "model", "created"):
        assert len({str(chunk[name]) for chunk in chunks}) == 1, name
    assert [c["choices"][0]["delta"].get("role") for c in chunks].count("assistant") == 1


def test_comments_keep_the_connection_while_a_tool_runs(
    provider: str, protocol: str, app: Flask, upstream: FakeUpstream
) -> None:
    upstream.add(tool_reply("slow"), text_reply("Done."))
    url = f"/api/chat/{provider}/chat/completions"
    with app.test_client().post(url, json=asked(protocol, stream=True)) as response:
        text = response.text
    assert text.index(": keep-alive") < text.index("Done.")


@pytest.mark.parametrize("way", ["streamed", "accumulated", "whole"])
def test_a_call_of_the_clients_comes_back_alone(
    way: str,
    protocol: str,
    provider: str,
    app: Flask,
    port: int,
    upstream: FakeUpstream,
    runs: list[str],
) -> None:
    # One that is hidden, one that is not, and one more that is hidden: the list has no gap.
    upstream.add(
        tool_reply("find_orders", ids=["a"]),
        tool_reply("find_orders", {"status": "x"}, ("show_map", {}), ("slow", {}), text="Look."),
        tool_reply("slow"),
        text_reply("There."),
    )
    body = asked(protocol, tools=[CLIENTS_TOOL])
    with client_of(port, provider) as client, finished(app) as done:
        completions = client.chat.completions
        if way == "streamed":
            chunks = [c.to_dict() for c in completions.create(**body, stream=True)]
            deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
            pieces = [piece for one in deltas for piece in one.get("tool_calls") or ()]
            assert {piece["index"] for piece in pieces} == {0}
            assert [p["function"]["name"] for p in pieces if p["function"].get("name")] == [
                "show_map"
            ]
            assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
            return
        if way == "accumulated":
            with completions.stream(**body) as stream:
                message = stream.get_final_completion().choices[0].message
        else:
            message = completions.create(**body).choices[0].message
        (made,) = message.tool_calls
        assert (made.id, made.function.name, message.content) == ("call_2", "show_map", "Look.")
        assert runs == ["find_orders"]  # those beside it could not be sent back
        body["messages"] += [message, {"role": "tool", "tool_call_id": made.id, "content": "ok"}]
        last = completions.create(**body).choices[0]
        assert (last.message.content, last.finish_reason) == ("There.", "stop")
        assert [result.outcome for result in done.wait(2)] == ["tool_calls", "ok"]
    assert runs == ["find_orders", "slow"]
    sent = json.dumps(upstream.requests[2].json)
    assert "show_map" in sent and '"status": \\"x' not in sent


def test_a_later_step_that_breaks_off_is_raised(
    protocol: str, provider: str, port: int, upstream: FakeUpstream, runs: list[str]
) -> None:
    upstream.add(tool_reply("find_orders", text="Hm."))
    upstream.add(text_reply("Tw", finish_reason=None, done=False, usage=None, then=[CUT]))
    read = []
    with (
        client_of(port, provider) as client,
        pytest.raises(APIError, match="broke off"),
        client.chat.completions.create(**asked(protocol), stream=True) as stream,
    ):
        for chunk in stream:
            read.append(chunk.choices[0].delta.content or "")
    assert "".join(read) == "Hm.\n\nTw" and runs == ["find_orders"]


# ---- The Agents SDK.


@pytest.fixture(params=["streamed", "whole"])
def run_agent(request: pytest.FixtureRequest, provider: str, protocol: str, port: int) -> Any:
    """Return a function that runs an agent with a tool of its own, and gives its last words."""
    agents = pytest.importorskip(
        "agents", reason="The Agents SDK is not installed: pip install -e '.[agents]'"
    )
    shown: list[str] = []

    @agents.function_tool
    def show_map() -> str:
        """Show a map."""
        shown.append("map")
        return "shown"

    async def run() -> tuple[str, list[str], Any]:
        url = f"http://127.0.0.1:{port}/api/chat/{provider}"
        async with AsyncOpenAI(base_url=url, api_key="x", max_retries=0) as client:
            model = agents.OpenAIChatCompletionsModel(PROTOCOLS[protocol][1], client)
            settings = agents.ModelSettings(include_usage=True)
            agent = agents.Agent("Ann", model=model, model_settings=settings, tools=[show_map])
            config = agents.RunConfig(tracing_disabled=True)
            if request.param == "whole":
                result = await agents.Runner.run(agent, "Where are they?", run_config=config)
            else:
                result = agents.Runner.run_streamed(agent, "Where are they?", run_config=config)
                async for _ in result.stream_events():
                    pass
            return result.final_output, shown, result.context_wrapper.usage

    return lambda: asyncio.run(run())


def test_an_agent_never_sees_the_servers_tools(
    run_agent: Any, upstream: FakeUpstream, runs: list[str]
) -> None:
    three_steps(upstream)
    text, shown, usage = run_agent()
    assert (text, shown, runs) == (TEXT, [], ["find_orders", "slow"])
    assert (usage.requests, usage.total_tokens) == (1, USAGE["total_tokens"])


def test_an_agent_runs_its_tool_beside_the_servers(
    run_agent: Any, upstream: FakeUpstream, runs: list[str]
) -> None:
    upstream.add(
        tool_reply("find_orders", ids=["a"]),
        tool_reply("find_orders", {"status": "x"}, ("show_map", {}), ("slow", {})),
        tool_reply("slow", text="And now."),
        text_reply("There."),
    )
    text, shown, usage = run_agent()
    assert (text, shown) == ("And now.\n\nThere.", ["map"])
    assert runs == ["find_orders", "slow"] and usage.requests == 2
