"""The documentation's code runs, and README and CI say the same."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import make_app, served
from flask import Flask
from node import run_js
from odd_streams import call, delta, wire

from flask_llmchat.testing import CUT, FakeUpstream, sse_reply, text_reply

ROOT = Path(__file__).parents[1]


def blocks(name: str, language: str = "python") -> list[str]:
    fenced = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return fenced.findall((ROOT / name).read_text())


def test_the_readmes_file_is_a_whole_app(monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = blocks("README.md")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    names: dict[str, Any] = {"__name__": "app"}
    exec(code, names)
    app: Flask = names["app"]
    posted = {"chatSettings": {"model": "m"}, "messages": [{"role": "user", "content": "Hi"}]}
    response = app.test_client().post("/api/chat/openai", json=posted)
    assert response.get_json()["code"] == "missing_key"


def test_the_testing_pages_tests_pass() -> None:
    (code,) = blocks("docs/testing.md")
    names: dict[str, Any] = {"__name__": "tests"}
    exec(code, names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert len(tests) == 3
    for test in tests:
        test()


@pytest.mark.parametrize("code", blocks("docs/providers.md"))
def test_the_providers_pages_code_runs(code: str) -> None:
    names: dict[str, Any] = {}
    exec(code, names)
    if llmchat := names.get("llmchat"):
        llmchat.init_app(Flask("host"))
    if models := names.get("LLMCHAT_MODELS"):
        make_app(config={"LLMCHAT_MODELS": models})


def test_the_dialects_pages_own_dialect_works() -> None:
    (code,) = blocks("docs/dialects.md")
    names: dict[str, Any] = {}
    exec(code, names)
    with FakeUpstream() as upstream:
        upstream.add(text_reply("Hi", "!"), text_reply("Hi"))
        client = make_app(upstream, llmchat=names["llmchat"]).test_client()
        response = client.post("/api/chat/openai", json={"ask": "Hello?"})
        assert (response.mimetype, response.text) == (
            "application/x-ndjson",
            '"Hi"\n"!"\nnull\n',
        )
        asked = [{"role": "user", "content": "Hello?"}]
        assert upstream.requests[0].json["messages"] == asked
        response = client.post("/api/chat/openai", json={"ask": 7})
        assert (response.status_code, response.json) == (422, {"error": "ask: Not a valid string."})
        body = {"chatSettings": {"model": "m"}, "messages": asked}
        assert client.post("/api/chat/openai", json=body).text == "Hi"  # as ever


def test_the_servers_pages_fallbacks_can_be_set() -> None:
    (code,) = blocks("docs/servers.md")
    config: dict[str, Any] = {}
    exec(code, config)
    make_app(config={"LLMCHAT_FALLBACKS": config["LLMCHAT_FALLBACKS"]})


def test_the_hooks_pages_code_runs() -> None:
    (code,) = blocks("docs/hooks.md")
    names: dict[str, Any] = {"__name__": "app"}
    exec(code, names)
    assert "llmchat.openai" in names["app"].view_functions


def test_the_use_chat_pages_code_runs(upstream: FakeUpstream) -> None:
    simple, settings, tools, text = blocks("docs/use-chat.md", "js")
    called = [call(0, "c1", "city", "{}"), delta("tool_calls")]
    upstream.add(text_reply("Hello"), sse_reply(wire(called)), text_reply("Rome!"))
    with served(make_app(upstream)) as port, served(make_app(upstream, profile={})) as keyless:
        ran = [
            run_js("use_chat.mjs", {"code": code, "origin": f"http://127.0.0.1:{at}"})
            for code, at in ((simple, port), (settings, keyless), (tools, port), (text, port))
        ]
    assert [told["shown"] for told in ran] == [[], ["settings"], [], []]
    missing = "OpenAI API Key not found. Please set it in your profile settings."
    assert [told["error"] for told in ran] == [None, missing, None, None]
    last = [told["messages"][-1]["parts"][-1].get("text") for told in ran]
    assert last == ["Hello", "Hi", "Rome!", "Hello from the fake upstream."]
    assert ran[0]["messages"][1]["metadata"]["usage"]["outputTokens"] == 1
    sent = upstream.requests[1].json
    assert (sent["model"], sent["tools"][0]["function"]["name"]) == ("gpt-4.1", "city")
    assert upstream.requests[2].json["messages"][-1]["content"] == "Rome"


def test_the_openai_sdk_pages_code_runs(
    upstream: FakeUpstream, capsys: pytest.CaptureFixture[str]
) -> None:
    first, host, errors = blocks("docs/openai-sdk.md")
    (js,) = blocks("docs/openai-sdk.md", "js")
    (curl,) = blocks("docs/openai-sdk.md", "sh")
    hello = "Hello from the fake upstream."
    with served(make_app(upstream)) as port:
        origin = f"http://127.0.0.1:{port}"
        here = ("http://localhost:5000", origin)
        for code in (first, errors):
            names: dict[str, Any] = {}
            exec(code.replace(*here), names)
            names["client"].close()
        ran = run_js("openai_page.mjs", {"code": js, "origin": origin})
        if shutil.which("curl") is None:
            pytest.skip("curl is not installed")
        command = shlex.split(curl.replace("\\\n", "").replace(*here))
        told = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"{hello} 4"
    assert printed[1].startswith(f"{hello}['") and "'gpt-4.1'" in printed[1]
    assert printed[2].startswith("422 bad_request") and "messages: Shorter than" in printed[2]
    assert ran == {"printed": ["Hello", " from", " the fake upstream."], "content": hello}
    assert told.startswith('data: {"id":"chatcmpl-fake"') and told.endswith("data: [DONE]\n\n")
    names = {"__name__": "app"}
    exec(host, names)
    client = names["app"].test_client()
    url = "/api/chat/openai/models"
    assert client.get(url).status_code == 401
    assert client.get(url, headers={"Authorization": "Bearer token-of-ann"}).status_code == 200


def test_the_fetch_pages_code_runs(upstream: FakeUpstream) -> None:
    whole = text_reply("Half a ", "character: \U0001f600")
    cut = text_reply("Hello", finish_reason=None, usage=None, done=False, then=[CUT])
    upstream.add(whole, cut)
    with served(make_app(upstream)) as port, served(make_app(upstream, profile={})) as keyless:
        origins = [f"http://127.0.0.1:{at}" for at in (port, port, keyless)]
        code = blocks("docs/fetch.md", "js")
        answer, broken, refused = run_js("page.mjs", {"code": code, "origins": origins})
    assert answer == "Half a character: \U0001f600"
    assert broken == "Hello\n\n[The answer broke off.]"
    assert refused == ("\n\n[OpenAI API Key not found. Please set it in your profile settings.]")


def test_the_readme_has_its_two_commands_and_fits_a_screen() -> None:
    readme = (ROOT / "README.md").read_text()
    commands = re.findall(r"^```sh\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    assert ["flask --app example_app run" in c for c in commands] == [True, False]
    assert ["pytest" in c for c in commands] == [False, True]
    assert len(readme.splitlines()) <= 60
