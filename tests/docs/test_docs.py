"""The documentation's code runs, and README and CI say the same."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, Request, Response, abort
from flask_login import LoginManager
from gunicorn.app.wsgiapp import WSGIApplication

import flask_llmchat
from flask_llmchat import LLMChat, chat_finished, current_llmchat, openapi
from flask_llmchat.core.errors import StreamAborted
from flask_llmchat.testing import CUT, HOLD, FakeUpstream, Reply, sse_reply, text_reply, tool_reply
from tests.support.apps import body, make_app, profile_for
from tests.support.docs_blocks import ROOT, blocks_of, heard, runs, unclaimed
from tests.support.edge_case_streams import call, delta, wire
from tests.support.node import run_js
from tests.support.servers import served

JSON = {"Content-Type": "application/json"}


@runs("README.md")
def test_the_readmes_file_is_a_whole_app(
    python: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = python
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    names: dict[str, Any] = {"__name__": "app"}
    exec(code, names)
    app: Flask = names["app"]
    posted = {"chatSettings": {"model": "m"}, "messages": [{"role": "user", "content": "Hi"}]}
    response = app.test_client().post("/api/chat/openai", json=posted)
    assert response.get_json()["code"] == "missing_key"


@runs("docs/testing.md", count=2)
def test_the_testing_pages_tests_pass(python: list[str]) -> None:
    names: dict[str, Any] = {"__name__": "tests"}
    for code in python:
        exec(code, names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert len(tests) == 6
    for test in tests:
        test()


@runs("docs/providers.md", count=4)
def test_the_providers_pages_code_runs(python: list[str]) -> None:
    for code in python:
        names: dict[str, Any] = {}
        exec(code, names)
        if llmchat := names.get("llmchat"):
            llmchat.init_app(Flask("host"))
        make_app(config={name: value for name, value in names.items() if name.isupper()})


@runs("docs/protocols.md", count=4)
def test_the_protocols_pages_code_runs(python: list[str]) -> None:
    names: dict[str, Any] = {}
    for code in python:
        exec(code, names)
    make_app(config={name: names[name] for name in ("LLMCHAT_PROTOCOLS", "LLMCHAT_MODELS")})
    assert names["acme"].speaking("responses").base_url == "https://api.acme.example/v1"
    with FakeUpstream() as upstream:
        upstream.add(text_reply("Hi"), text_reply("Hi"))
        config = {"LLMCHAT_PROTOCOLS": {"openai": "responses"}}
        keys = {"openai_api_key": "k", "anthropic_api_key": "k"}
        client = make_app(upstream, keys, config, names["llmchat"]).test_client()
        assert client.post("/api/chat/openai", json=body()).text == "Hi"
        assert upstream.requests[0].json["tools"] == [{"type": "web_search"}]
        assert client.post("/api/chat/anthropic", json=body("claude-opus-5")).text == "Hi"
        sent = upstream.requests[1].json
        assert [tool["name"] for tool in sent["tools"]] == ["web_search"]
        assert "cache_control" not in sent


@runs("docs/from-python.md", count=4)
def test_the_from_python_pages_code_runs(
    python: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-0123456789")
    document = SimpleNamespace(id=1, owner="ann", text="Long.", summary="")
    vectors = {"object": "list", "model": "e", "data": [{"index": 0, "embedding": [0.5]}]}
    with FakeUpstream(paths=("/chat/completions", "/responses", "/embeddings")) as upstream:
        llmchat = LLMChat()
        app = make_app(upstream, llmchat=llmchat)
        names: dict[str, Any] = {"app": app, "llmchat": llmchat, "profile": profile_for()}
        names["documents_without_summary"] = lambda: [document]
        upstream.add(*[text_reply("So it is.")] * 3)
        upstream.add(Reply(headers=JSON, body=[json.dumps(vectors).encode()]))
        with app.test_request_context():
            exec(python[0], names)
            first = SimpleNamespace(text="Hello")
            assert names["title_of"](SimpleNamespace(messages=[first])) == "So it is."
        exec(python[1], names)
        assert app.test_cli_runner().invoke(args=["summaries"]).exit_code == 0
        assert document.summary == "So it is."
        with app.app_context():
            exec(python[2], names)
            assert capsys.readouterr().out.startswith("So it is.ok ")
            exec(python[3], names)
            assert names["embed"](["a"], profile_for()) == [[0.5]]


@runs("docs/dialects.md", count=2)
def test_the_dialects_pages_own_dialect_works(python: list[str]) -> None:
    names: dict[str, Any] = {}
    exec(python[0], names)
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
    exec(python[1], names)
    client = make_app(llmchat=names["llmchat"]).test_client()
    assert int(client.get("/api/chat/groq/lines/count").text) > 1
    assert "use GET" in client.post("/api/chat/groq/lines/count").json["error"]


@runs("docs/servers.md")
def test_the_servers_pages_fallbacks_can_be_set(python: list[str]) -> None:
    (code,) = python
    config: dict[str, Any] = {}
    exec(code, config)
    make_app(config={"LLMCHAT_FALLBACKS": config["LLMCHAT_FALLBACKS"]})


@runs("docs/hooks.md", count=3)
def test_the_hooks_pages_code_runs(
    python: list[str],
    host: FakeUpstream,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    spent: list[Any] = []
    names: dict[str, Any] = {
        "__name__": "app",
        "vault": {f"{team}/openai": "sk-of-the-team" for team in ("red", "blue")},
        "used_today": lambda user: 100_001 if user == "blue" else 0,
        "add_usage": lambda *used: spent.append(used),
    }
    with heard(chat_finished):
        exec(python[0], names)
        app: Flask = names["app"]
        exec(python[1], names)
        exec(python[2], names)
        login = LoginManager(app)
        login.request_loader(user_by_header)
        client = app.test_client()
        asked = [
            client.post("/api/chat/openai", json=body(model), headers={"X-Team": team})
            for model, team in (
                ("gpt-4.1", ""),
                ("gpt-4.1", "red"),
                ("gpt-5.5", "red"),
                ("gpt-4.1", "blue"),
            )
        ]
        assert asked[1].text == "Hello from the fake upstream."
    assert [(r.status_code, r.headers.get("Retry-After")) for r in asked] == [
        (401, None),
        (200, None),
        (403, None),
        (429, "3600"),
    ]
    (sent,) = host.requests
    assert sent.headers["Authorization"] == "Bearer sk-of-the-team"
    assert sent.json["messages"][0]["content"] == "Answer in one paragraph."
    assert spent == [("red", "gpt-4.1", 4)]
    assert "openai gpt-4.1: ok after " in caplog.text
    told = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert sorted(told) == ["ok", "refused", "refused"]


def user_by_header(request: Request) -> Any:
    team = request.headers["X-Team"]
    profile = SimpleNamespace(team=team)
    return SimpleNamespace(is_authenticated=True, id=team, profile=profile) if team else None


@runs("docs/errors.md", count=2)
def test_the_errors_pages_code_runs(python: list[str], host: FakeUpstream) -> None:
    hook, receiver = python
    alerts: list[str] = []
    names: dict[str, Any] = {"is_closed": lambda: closed, "alert": alerts.append}
    host.add(text_reply("Hel", finish_reason=None, done=False), text_reply("Hello"))
    with heard(chat_finished):
        exec(hook, names)
        exec(receiver, names)
        client = make_app(host, llmchat=names["llmchat"]).test_client()
        closed = False
        with client.post("/api/chat/openai", json=body()) as broken, pytest.raises(StreamAborted):
            _ = broken.data
        assert client.post("/api/chat/openai", json=body()).text == "Hello"
        closed = True
        refused = client.post("/api/chat/openai", json=body())
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "3600")
    assert refused.json["message"] == "We open at nine."
    (alert,) = alerts
    assert alert == f"openai truncated: {broken.headers['X-Request-ID']}"


def test_what_the_errors_page_says_of_abort_and_of_the_apps_own_handlers() -> None:
    llmchat, raised = LLMChat(), [429, Response("mine", 418), 429]
    llmchat.before_chat(lambda chat: abort(raised.pop(0)))
    app = make_app(llmchat=llmchat)
    told = [app.test_client().post("/api/chat/openai", json=body()) for _ in range(2)]
    assert (told[0].json["code"], told[1].status_code, told[1].text) == (
        "rate_limited",
        418,
        "mine",
    )
    app = make_app(llmchat=llmchat)
    app.register_error_handler(429, lambda error: ("the app's", 429))
    assert app.test_client().post("/api/chat/openai", json=body()).text == "the app's"


@runs("docs/configuration.md")
def test_the_configuration_pages_code_runs(
    python: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_LLMCHAT_READ_TIMEOUT", "20")
    names: dict[str, Any] = {"__name__": "app"}
    exec(python[0], names)
    with names["app"].app_context():
        assert current_llmchat.config.read_timeout == 20
        assert list(current_llmchat.providers) == ["openai", "groq"]
    monkeypatch.setenv("FLASK_LLMCHAT_PROVIDERS", '["mistral"]')
    exec(python[0], names)
    assert [*names["app"].extensions["llmchat"]["llmchat"].providers] == ["mistral"]


@pytest.mark.parametrize("name", ["configuration.md", "errors.md"])
def test_the_tables_of_the_pages_are_those_of_the_code(name: str) -> None:
    script = runpy.run_path(str(ROOT / "docs" / "settings.py"))
    assert name in script["TABLES"]
    page = ROOT / "docs" / name
    assert page.read_text() == script["updated"](page), "run: python docs/settings.py"


@runs("docs/design.md", "text")
def test_the_design_page_shows_every_room(text: list[str]) -> None:
    rooms = re.findall(r"^\| `([a-z.]+)/?` \|", read("design.md"), re.MULTILINE)
    there = {path.name for path in (ROOT / "flask_llmchat").iterdir()}
    assert set(rooms) == there - {"__init__.py", "__pycache__", "py.typed"}
    assert set(re.findall(r"([a-z]+)/ ", text[0])) <= set(rooms)


@runs("docs/quickstart.md", count=2)
@runs("docs/quickstart.md", "html")
@runs("docs/quickstart.md", "sh")
def test_the_quickstarts_app_page_and_question_work(
    python: list[str], html: list[str], sh: list[str], host: FakeUpstream, tmp_path: Path
) -> None:
    app_file, with_login = python
    names: dict[str, Any] = {"__name__": "app"}
    exec(app_file, names)
    whole = text_reply("Half a ", "character: \U0001f600")
    host.add(whole, whole, text_reply("Hel", finish_reason=None, done=False, then=[CUT]))
    (script,) = re.findall(r"<script type=\"module\">(.*)</script>", html[0], re.DOTALL)
    page = {"form": {"elements": {"question": {"value": "Hi"}}}, "p": {"textContent": ""}}
    shown = []
    with served(names["app"]) as port:
        origin = f"http://127.0.0.1:{port}"
        told = curl(sh[0].replace("http://localhost:5000", origin))
        for _ in range(2):
            job = {"code": script, "origin": origin, "elements": page}
            shown.append(run_js("docs_page.mjs", job)["elements"]["p"]["textContent"])
    assert told == "Half a character: \U0001f600"
    assert shown == [told, "Hel\n\n[The response broke off.]"]
    assert host.requests[1].json["messages"] == [{"role": "user", "content": "Hi"}]
    exec(with_login, names)
    app = make_app(host, llmchat=names["llmchat"])
    LoginManager(app).request_loader(user_by_header)
    asked = [
        app.test_client().post("/api/chat/openai", json=body(), headers={"X-Team": team})
        for team in ("", "red")
    ]
    assert [response.json["code"] for response in asked] == ["no_permission", "missing_key"]


def curl(command: str) -> str:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    words = shlex.split(command.replace("\\\n", ""))
    return subprocess.run(words, capture_output=True, text=True, timeout=20).stdout


@pytest.mark.external
@runs("docs/use-chat.md", "js", 6)
def test_the_use_chat_pages_code_runs(js: list[str], upstream: FakeUpstream) -> None:
    simple, settings, tools, approvals, resuming, text = js
    called = [call(0, "c1", "city", "{}"), delta("tool_calls")]
    upstream.add(text_reply("Hello"), sse_reply(wire(called)), text_reply("Rome!"))
    upstream.add(tool_reply("pay"), text_reply("It is paid."))
    llmchat = LLMChat()
    llmchat.caller_loader(lambda profile: "ada")
    llmchat.tool(approval=True, name="pay")(lambda: "Paid.")
    config = {"SECRET_KEY": "secret", "LLMCHAT_RESUMABLE": True}
    asking = make_app(upstream, config=config, llmchat=llmchat)
    upstream.add(text_reply("Half", finish_reason=None, done=False, then=[HOLD]))
    with (
        served(make_app(upstream)) as port,
        served(make_app(upstream, profile={})) as keyless,
        served(asking) as asks,
    ):
        ran = [
            run_js("use_chat.mjs", {"code": code, "origin": f"http://127.0.0.1:{at}"})
            for code, at in (
                (simple, port),
                (settings, keyless),
                (tools, port),
                (approvals, asks),
                (resuming, asks),
                (text, port),
            )
        ]
    assert [told["shown"] for told in ran] == [[], ["settings"], [], [], [], []]
    missing = "OpenAI API Key not found. Please set it in your profile settings."
    assert [told["error"] for told in ran] == [None, missing, None, None, None, None]
    last = [told["messages"][-1]["parts"][-1].get("text") for told in ran]
    paid, fake = "It is paid.", "Hello from the fake upstream."
    assert last == ["Hello", "Hi", "Rome!", paid, "Half", fake]
    assert ran[0]["messages"][1]["metadata"]["usage"]["outputTokens"] == 1
    sent = upstream.requests[1].json
    assert (sent["model"], sent["tools"][0]["function"]["name"]) == ("gpt-6-luna", "city")
    assert upstream.requests[2].json["messages"][-1]["content"] == "Rome"


OPENAI_SDK = ("OpenAI's SDKs and compatible clients", "Keys and logins", "Errors")


@runs("docs/openai-sdk.md", count=3, under=OPENAI_SDK)
@runs("docs/openai-sdk.md", "js", under=OPENAI_SDK)
@runs("docs/openai-sdk.md", "sh")
def test_the_openai_sdk_pages_code_runs(
    python: list[str],
    js: list[str],
    sh: list[str],
    upstream: FakeUpstream,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, host, errors = python
    hello = "Hello from the fake upstream."
    with served(make_app(upstream)) as port:
        origin = f"http://127.0.0.1:{port}"
        here = ("http://localhost:5000", origin)
        for code in (first, errors):
            names: dict[str, Any] = {}
            exec(code.replace(*here), names)
            names["client"].close()
        ran = run_js("openai_page.mjs", {"code": js[0], "origin": origin})
        told = curl(sh[0].replace(*here))
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"{hello} 4"
    assert printed[1].startswith(f"{hello}['") and "'gpt-6-luna'" in printed[1]
    assert printed[2].startswith("422 bad_request") and "messages: Shorter than" in printed[2]
    assert ran == {"printed": ["Hello", " from", " the fake upstream."], "content": hello}
    assert told.startswith('data: {"id":"chatcmpl-fake"') and told.endswith("data: [DONE]\n\n")
    names = {"__name__": "app"}
    exec(host, names)
    client = names["app"].test_client()
    url = "/api/chat/openai/models"
    assert client.get(url).status_code == 401
    assert client.get(url, headers={"Authorization": "Bearer token-of-ann"}).status_code == 200


@pytest.mark.external
@runs("docs/fetch.md", "js", 2, under="A page with `fetch`")
def test_the_fetch_pages_code_runs(js: list[str], upstream: FakeUpstream) -> None:
    whole = text_reply("Half a ", "character: \U0001f600")
    cut = text_reply("Hello", finish_reason=None, usage=None, done=False, then=[CUT])
    upstream.add(whole, cut)
    with served(make_app(upstream)) as port, served(make_app(upstream, profile={})) as keyless:
        origins = [f"http://127.0.0.1:{at}" for at in (port, port, keyless)]
        answer, broken, refused = run_js("page.mjs", {"code": js, "origins": origins})
    assert answer == "Half a character: \U0001f600"
    assert broken == "Hello\n\n[The response broke off.]"
    assert refused == ("\n\n[OpenAI API Key not found. Please set it in your profile settings.]")


@runs("README.md", "sh", 2)  # .ci/run carries out the second as it stands
def test_the_readme_has_its_two_commands_and_is_short(sh: list[str]) -> None:
    commands, readme = sh, (ROOT / "README.md").read_text()
    assert ["flask --app example_app run" in c for c in commands] == [True, False]
    assert ["pytest" in c for c in commands] == [False, True]
    assert len(readme.splitlines()) < 110


@pytest.mark.slow
@runs("docs/quickstart.md", "python", 2)
@runs("docs/quickstart.md", "console", 2)
def test_the_quickstarts_commands_find_its_app(
    python: list[str], console: list[str], tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(python[0])
    commands = [line for block in console for line in typed(block)]
    assert [command.split()[:2] for command in commands] == [
        ["pip", "install"],
        ["export", "OPENAI_API_KEY=sk-…"],
        ["flask", "run"],
    ]
    (told,) = tried(commands, tmp_path)
    assert "/api/chat/openai" in told


@pytest.mark.slow
@runs("example_app/README.md", "console", 3)
def test_the_examples_commands_start_it(console: list[str], tmp_path: Path) -> None:
    told = tried([line for block in console for line in typed(block)], ROOT, tmp_path)
    assert len(told) == 1 and "/api/chat/demo" in told[0]


@runs("example_app/deploy/README.md", "console", 2)
def test_the_deployments_commands_start_it(console: list[str], tmp_path: Path) -> None:
    commands = [line for block in console for line in typed(block)]
    told = tried([c.replace("/tmp/llmchat", str(tmp_path)) for c in commands], ROOT, tmp_path)
    assert len(told) == (NGINX is not None)


NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")


def typed(console: str) -> list[str]:
    """Return what is typed of a block of commands and their output."""
    return re.findall(r"^\$ (.*)$", console, re.MULTILINE)


def tried(commands: list[str], folder: Path, instance: Path | None = None) -> list[str]:
    """Let Flask and nginx load what they would serve, without serving it; return what they print.

    gunicorn's options are read, what is installed has to be there, and of the rest the syntax has
    to be right.
    """
    starts = []
    for command in commands:
        subprocess.run(["bash", "-n", "-c", command], check=True)
        assert_installs(command)
        words = shlex.split(command.replace("$PWD", str(folder)))
        while re.match(r"[A-Z]+=", words[0]):
            words.pop(0)
        program = Path(words[0]).name
        if program == "flask":
            assert words[-1] == "run"
            starts.append([sys.executable, "-m", "flask", *words[1:-1], "routes"])
        elif program == "gunicorn":
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", words)
                patch.chdir(folder)
                WSGIApplication()  # reads its options and configuration; test_deploy.py serves
        elif program == "nginx" and NGINX:
            starts.append([NGINX, "-t", *words[1:]])
        elif program == "pytest":
            assert all((folder / path).exists() for path in words[1:])
        else:
            assert program in ("pip", "python3", "export", "mkdir", "sudo", "nginx")
    environ = {**os.environ, "EXAMPLE_INSTANCE_PATH": str(instance)}
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    started = [subprocess.Popen(words, cwd=folder, env=environ, **pipes) for words in starts]
    told = [process.communicate(timeout=60)[0] for process in started]
    assert [process.returncode for process in started] == [0] * len(started), told
    return told


def assert_installs(command: str) -> None:
    """Assert that what a command installs is this package, with extras that it has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for asked in re.findall(r"pip install (?:-q )?(?:-e )?([^&;]*)", command):
        for name in shlex.split(asked):
            package, _, extras = name.rstrip("]").partition("[")
            assert package in (".", project["name"], "gevent", "packaging", "gunicorn"), name
            assert {*filter(None, extras.split(","))} <= {*project["optional-dependencies"]}, name


def test_the_examples_in_docstrings_run() -> None:
    def example(of: Any) -> str:
        _, _, after = (inspect.getdoc(of) or "").partition("::\n\n")
        return textwrap.dedent(re.split(r"\n(?=\S)", after)[0])

    def create_app(config: dict[str, Any]) -> Flask:
        return make_app(profile=profile_for(), config=config)

    names: dict[str, Any] = {**vars(flask_llmchat.testing), "create_app": create_app}
    exec(example(flask_llmchat.testing), names)
    names["test_chat"]()
    app = Flask("host")
    user = SimpleNamespace(profile={})
    exec(example(flask_llmchat.LLMChat), {**vars(flask_llmchat), "app": app, "current_user": user})
    refused = app.test_client().post("/api/chat/openai", json=body())
    assert refused.json["code"] == "missing_key"


def test_the_api_reference_has_every_public_name() -> None:
    page = (ROOT / "docs" / "api.rst").read_text()
    directives = re.findall(r"^\.\. (?:auto|py:)\w+:: ([\w.]+)$", page, re.MULTILINE)
    exported = {*flask_llmchat.__all__, *(f"flask_llmchat.openapi.{n}" for n in openapi.__all__)}
    assert exported | {"flask_llmchat.testing"} == {*directives} - {"flask_llmchat"}
    assert re.search(r"automodule:: flask_llmchat.testing\n   :members:", page)


def test_docs_and_example_import_public_modules_only() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("example_app/**/*.py")]
    deeper = r"\b(?:from|import) flask_llmchat\.(?!testing\b|openapi\b)\S+"
    assert not [found for page in pages for found in re.findall(deeper, page.read_text())]


def test_every_page_is_in_the_table_of_contents() -> None:
    entries = re.findall(r"^```\{toctree\}\n((?:.*\n)*?)```", index := read("index.md"), re.M)
    listed = {line for entry in entries for line in entry.split()}
    pages = {path.stem for path in (ROOT / "docs").glob("*.*") if path.suffix in (".md", ".rst")}
    assert {name for name in pages if not name.endswith("api")} <= listed | {"index"}, index


def read(page: str) -> str:
    return (ROOT / "docs" / page).read_text()


def test_every_block_is_run_by_a_test() -> None:
    for path in (ROOT / "tests").rglob("test_*.py"):
        if "from tests.support.docs_blocks import" in path.read_text():
            # It says what it runs.
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    assert not list(unclaimed())


def test_a_new_block_is_seen() -> None:
    text = "# One\n\n- so:\n\n  ```python\n  if x:\n      y()\n  ```\n\n## Two\n\n```\nz\n```\n"
    found = [(b.heading, b.language, b.code) for b in blocks_of("page.md", text)]
    assert found == [("One", "python", "if x:\n    y()\n"), ("Two", "", "z\n")]
