"""The commands: tables by the test runner, chats by a process of their own and a terminal."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

import flask_llmchat
from flask_llmchat import LLMChat, Provider, builtin_providers
from flask_llmchat.models import models_of
from flask_llmchat.models.catalogue import DEFAULT_MODELS
from flask_llmchat.testing import (
    CUT,
    HOLD,
    FakeUpstream,
    Reply,
    error_reply,
    event,
    sse_reply,
    text_reply,
)
from flask_llmchat.web.cli.commands import make_commands
from tests.support.apps import KEYS, run
from tests.support.edge_case_streams import delta, wire

HOST = """
import json, os
from flask import Flask
from flask_llmchat import LLMChat
from flask_llmchat.web.cli.commands import make_commands

llmchat = LLMChat()
for command in make_commands(llmchat):
    llmchat.blueprint.cli.add_command(command)

@llmchat.key_resolver
def key(provider, profile):
    raise RuntimeError("a hook was asked")

@llmchat.before_chat
def before(chat):
    raise RuntimeError("a hook was run")

app = Flask(__name__)
app.config["LLMCHAT_BASE_URLS"] = {"openai": os.environ["UPSTREAM"]}
app.register_blueprint(llmchat.blueprint)
"""
KEY = KEYS["openai_api_key"]


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs these tests may have keys of their own."""
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_TOKEN")) or name.startswith("AZURE_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def sigint_is_not_ignored() -> Iterator[None]:
    """A shell starts what it puts into the background with SIGINT ignored: children inherit it.

    A signal that is handled here is what it is by default in a process that is started.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def make_app(config: dict[str, Any] | None = None, *instances: LLMChat) -> Flask:
    app = Flask("host")
    app.config.update(config or {})
    for llmchat in instances or (LLMChat(),):
        for command in make_commands(llmchat):
            llmchat.blueprint.cli.add_command(command)
        app.register_blueprint(llmchat.blueprint)
    return app


def line_of(table: str, name: str) -> list[str]:
    """Return the cells of one line."""
    (line,) = [line for line in table.splitlines() if line.split()[:1] == [name]]
    return re.split(r" {2,}", line)


# The tables.


def test_providers_says_which_keys_are_found_and_never_the_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("GROQ_API_KEY", "   ")
    table = run(
        make_app({"LLMCHAT_BASE_URLS": {"groq": "http://proxy.internal/groq/"}}), "providers"
    )
    assert table.startswith("PROVIDER")
    assert line_of(table, "openai") == [
        "openai",
        "OpenAI",
        "OPENAI_API_KEY set",
        "https://api.openai.com/v1",
    ]
    assert line_of(table, "groq")[2:] == ["GROQ_API_KEY missing", "http://proxy.internal/groq"]
    assert "0123456789" not in table and KEY[:8] not in table
    assert len(table.splitlines()) == 1 + len(builtin_providers)


def test_providers_is_aligned() -> None:
    table = run(make_app({"LLMCHAT_PROVIDERS": ["openai", "azure", "openrouter"]}), "providers")
    lines = table.splitlines()
    assert max(map(len, lines)) <= 100
    for heading in ("LABEL", "KEY", "ADDRESS"):
        at = lines[0].index(heading)
        assert all(line[at - 2 : at] == "  " and line[at] != " " for line in lines)


def test_providers_says_what_else_azure_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEYS["azure_openai_api_key"])
    app = make_app()
    assert line_of(run(app, "providers"), "azure")[2:] == [
        "AZURE_OPENAI_API_KEY set",
        "not set: AZURE_OPENAI_ENDPOINT missing",
    ]
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://example.openai.azure.com")
    assert line_of(run(app, "providers"), "azure")[3] == "set by the profile"


def test_providers_says_what_a_tool_that_asks_lacks() -> None:
    llmchat = LLMChat()
    app = make_app({"LLMCHAT_PROVIDERS": ["openai"]}, llmchat)
    llmchat.tool(name="look")(lambda: "")
    assert len(run(app, "providers").splitlines()) == 2
    llmchat.tool(name="pay", approval=True)(lambda: "")
    assert "tool 'pay'" in (told := run(app, "providers")) and "@llmchat.caller_loader" in told
    llmchat.caller_loader(lambda profile: "ada")
    assert "SECRET_KEY" in run(app, "providers")
    app.secret_key = "secret"
    assert len(run(app, "providers").splitlines()) == 2


def test_providers_of_the_host_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        Provider(name="mine", label="Mine", base_url="http://mine/v1", key_env="MY_KEY"),
        Provider(name="open", label="Open", key_attr=""),
        Provider(name="maybe", label="Maybe", base_url="http://maybe/v1", key_required=False),
    ]
    app = make_app(None, LLMChat(providers=rows))
    monkeypatch.setenv("MY_KEY", "planted")
    table = run(app, "providers")
    assert line_of(table, "mine")[2:] == ["MY_KEY set", "http://mine/v1"]
    assert line_of(table, "open")[2:] == ["needs none", "not set: LLMCHAT_BASE_URLS"]
    assert line_of(table, "maybe")[2] == "needs none"
    monkeypatch.setenv("MAYBE_API_KEY", "planted")
    assert line_of(run(app, "providers"), "maybe")[2] == "MAYBE_API_KEY set"


def test_providers_says_what_else_is_missing() -> None:
    def told(llmchat: LLMChat, **config: Any) -> str:
        llmchat.tool(approval=True, name="pay")(lambda: "Paid.")
        llmchat.tool(name="look")(lambda: "Seen.")
        output = run(make_app(config, llmchat), "providers")
        return output.partition("set by the user\n")[2]

    kept = "LLMCHAT_RESUMABLE needs to know whose chats are kept: decorate"
    caller, secret = "tool 'pay' is not offered", "tool 'pay' may ask for the user's approval"
    lines = told(LLMChat(), LLMCHAT_RESUMABLE=True).splitlines()
    for line, begins in zip(lines, (kept, caller, secret), strict=True):
        assert line.startswith(begins)
    llmchat = LLMChat()
    llmchat.caller_loader(lambda profile: "ada")
    assert told(llmchat, LLMCHAT_RESUMABLE=True, SECRET_KEY="secret") == ""


def test_two_instances_show_their_own() -> None:
    of = {row.name: row for row in builtin_providers}
    app = make_app(
        None,
        LLMChat(providers=[of["openai"]]),
        LLMChat(providers=[of["groq"]], name="llmchat2", url_prefix="/two"),
    )
    first, second = run(app, "providers"), run(app, "llmchat2", "providers")
    assert "groq" not in first and line_of(first, "openai")
    assert "openai/v1" in second and line_of(second, "groq") and "OpenAI" not in second
    assert "Available: groq." in run(app, "llmchat2", "chat", "openai", exit_code=2)


def test_models_of_one_provider() -> None:
    table = run(make_app(), "models", "openai")
    assert len(table.strip().splitlines()) == 1 + len(models_of("openai"))
    line = ["openai", "gpt-6-luna", "1,050,000", "128,000", "no"]
    assert line_of_model(table, "gpt-6-luna") == line


def line_of_model(table: str, model: str) -> list[str]:
    (cells,) = [line.split() for line in table.splitlines() if line.split()[1:2] == [model]]
    return cells


def test_models_of_all_providers() -> None:
    table = run(make_app({"LLMCHAT_PROVIDERS": ["groq", "openrouter", "vllm"]}), "models")
    shown = {line.split()[0] for line in table.splitlines() if line}
    assert shown == {"PROVIDER", "groq", "openrouter", "The"}
    assert line_of_model(table, "x-ai/grok-4.3")[2:4] == ["1,000,000", "?"]
    assert "The catalogue lists no models of vllm: use any that it serves." in table
    assert max(map(len, run(make_app(), "models").splitlines())) <= 100


def test_models_the_host_knows_better() -> None:
    facts = {"context_window": 4096, "supports_temperature": False, "shutdown": "2199-12-31"}
    app = make_app({"LLMCHAT_MODELS": {"vllm": {"my-model": facts}}})
    assert line_of_model(run(app, "models", "vllm"), "my-model") == [
        "vllm", "my-model", "4,096", "?", "no", "2199-12-31",
    ]  # fmt: skip


def test_an_unknown_provider_is_told_with_the_known_ones() -> None:
    app = make_app({"LLMCHAT_PROVIDERS": ["openai", "groq"]})
    for command in ("models", "chat"):
        told = run(app, command, "azure", exit_code=2)
        assert "Unknown provider 'azure'. Available: openai, groq." in told


# A chat, without a terminal.


def test_default_models_are_in_the_catalogue() -> None:
    for catalogue, model in DEFAULT_MODELS.items():
        assert model in models_of(catalogue)


def test_the_model_to_start_with(upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    for provider, variable in (("groq", "GROQ_API_KEY"), ("deepseek", "DEEPSEEK_API_KEY")):
        monkeypatch.setenv(variable, "planted")
        app = make_app(
            {
                "LLMCHAT_BASE_URLS": dict.fromkeys([provider, "vllm"], upstream.base_url),
                "LLMCHAT_MODELS": {"vllm": {"my-model": {}}},
            }
        )
        run(app, "chat", provider, input="Hi")
    run(app, "chat", "vllm", input="Hi")
    first = next(iter(models_of("deepseek")))
    assert [r.json["model"] for r in upstream.requests] == [
        DEFAULT_MODELS["groq"],
        first,
        "my-model",
    ]


@pytest.mark.parametrize("provider", ["azure", "vllm"])
def test_no_model_is_guessed(provider: str) -> None:
    assert "name one with --model" in run(make_app(), "chat", provider, exit_code=2)


def test_users_endpoints_are_not_for_the_operator() -> None:
    told = run(make_app(), "chat", "custom", "--model", "m", exit_code=2)
    assert "endpoints belong to users" in told


def test_the_options_of_the_command_are_sent(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    app = make_app({"LLMCHAT_BASE_URLS": {"openai": upstream.base_url}})
    options = ["--model", "gpt-4o-mini", "--system", "Be brief.", "--temperature", "0.5"]
    assert run(app, "chat", "openai", *options, input="Hi\n") == "Hello from the fake upstream.\n"
    (request,) = upstream.requests
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.json == {
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
        ],
        "temperature": 0.5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert "0<=x<=2" in run(app, "chat", "openai", "--temperature", "3", exit_code=2)


def test_what_the_text_does_not_show_is_said(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    app = make_app({"LLMCHAT_BASE_URLS": {"openai": upstream.base_url}})
    upstream.add(text_reply("Hel", finish_reason="length"))
    upstream.add(text_reply(finish_reason="content_filter"))
    image = {"images": [{"image_url": {"url": "https://a.example/a.png"}}]}
    upstream.add(sse_reply(wire([delta("stop", **image)])))
    upstream.add(text_reply("\x1b]0;title\x07a\tb\r\n\x9b2J"))
    assert run(app, "chat", "openai", input="1\n2\n3\n4\n").splitlines() == [
        "Hel",
        "[cut off: the response has reached its token limit]",
        "[cut off by the provider's content filter]",
        "[the response has no text]",
        "]0;titlea\tb",
        "2J",
    ]


# A chat in a process of its own.


@pytest.fixture
def environ(upstream: FakeUpstream, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "host.py").write_text(HOST)
    package = Path(flask_llmchat.__file__).parents[1]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(package), str(tmp_path)]),
        "PYTHONWARNINGS": "error",
        "PYTHONUNBUFFERED": "",  # or the command need not flush
        "OPENAI_API_KEY": KEY,
        "UPSTREAM": upstream.base_url,
        "TERM": "dumb",  # readline adds no sequences of its own
    }


COMMAND = [sys.executable, "-m", "flask", "--app", "host", "llmchat", "chat", "openai"]


def piped(
    environ: dict[str, str], asked: str | bytes, *options: str, exits: int = 0
) -> tuple[str, str]:
    """Chat through pipes to the end; return stdout and stderr."""
    asked = asked.encode() if isinstance(asked, str) else asked
    done = subprocess.run(
        [*COMMAND, *options], input=asked, capture_output=True, env=environ, timeout=20
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == exits, err
    assert "Traceback" not in err and "planted" not in out + err
    return out, err


def roles(request: Any) -> list[tuple[str, str]]:
    return [(m["role"], m["content"]) for m in request.json["messages"]]


def test_two_turns_through_a_pipe(upstream: FakeUpstream, environ: dict[str, str]) -> None:
    upstream.add(text_reply("Good ", "mörning 😀"), text_reply("Fine\n"))
    out, err = piped(environ, "Hello\n\n  How are you? \n")
    assert (out, err) == ("Good mörning 😀\nFine\n", "")
    first, second = upstream.requests
    assert first.json["model"] == DEFAULT_MODELS["openai"]
    assert roles(first) == [("user", "Hello")]
    assert roles(second) == [
        ("user", "Hello"),
        ("assistant", "Good mörning 😀"),
        ("user", "How are you?"),
    ]
    assert first.connection == second.connection


def test_no_input_sends_nothing(upstream: FakeUpstream, environ: dict[str, str]) -> None:
    assert piped(environ, "") == ("", "")
    assert not upstream.requests


def test_a_last_line_without_its_end(upstream: FakeUpstream, environ: dict[str, str]) -> None:
    assert piped(environ, "Hello")[0] == "Hello from the fake upstream.\n"


def test_characters_that_cannot_be_read_or_shown(
    upstream: FakeUpstream, environ: dict[str, str]
) -> None:
    upstream.add(text_reply("m\u00f6rning \U0001f600"))
    environ["PYTHONIOENCODING"] = "latin-1"
    done = subprocess.run(COMMAND, input=b"Hi", capture_output=True, env=environ, timeout=20)
    assert (done.stdout, done.stderr) == (b"m\xf6rning ?\n", b"")
    environ["PYTHONIOENCODING"] = "utf-8"
    piped(environ, b"caf\xe9\n")
    assert roles(upstream.requests[1]) == [("user", "caf\ufffd")]


def test_pieces_come_as_they_are_written(upstream: FakeUpstream, environ: dict[str, str]) -> None:
    upstream.add(text_reply("one ", "two ", "three", delay=0.3))
    pieces, times = [], []
    with subprocess.Popen(
        COMMAND, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdin and process.stdout
        process.stdin.write(b"Count\n")
        while sum(map(len, pieces)) < len(b"one two three\n"):
            pieces.append(os.read(process.stdout.fileno(), 100))
            times.append(time.monotonic())
            assert pieces[-1]
        process.stdin.close()
        assert process.wait(10) == 0
    assert [piece.rstrip(b"\n") for piece in pieces[:3]] == [b"one ", b"two ", b"three"]
    assert times[1] - times[0] > 0.2 and times[2] - times[1] > 0.2


def test_errors_are_told_and_the_chat_goes_on(
    upstream: FakeUpstream, environ: dict[str, str]
) -> None:
    upstream.add(
        error_reply(400, f"Bad thing with {KEY}"),
        text_reply("Hel", finish_reason=None, usage=None, done=False, then=[CUT]),
        error_reply(401, "no"),
        text_reply("Fine"),
    )
    out, err = piped(environ, "one\ntwo\nthree\nfour\n")
    assert out == "Hel\nFine\n"
    assert err.splitlines() == [
        "Bad thing with [key]",
        "OpenAI broke off before the answer was complete.",
        "OpenAI API Key is incorrect. Please fix it in your profile settings.",
    ]
    # What came is kept; a question without any answer is not.
    assert roles(upstream.requests[3]) == [("user", "two"), ("assistant", "Hel"), ("user", "four")]


def test_a_missing_key_names_the_variable(upstream: FakeUpstream, environ: dict[str, str]) -> None:
    environ["OPENAI_API_KEY"] = ""
    out, err = piped(environ, "one\ntwo\n", exits=1)
    error = "OpenAI API Key not found. Please set it in your profile settings."
    hint = "For this command, set OPENAI_API_KEY in the environment."
    assert (out, err) == ("", f"{error} {hint}\n" * 2)
    assert not upstream.requests


# A chat in a terminal.

# Makes the terminal it has for its stdin its controlling one, so that keys make signals.
ATTACH = (
    "import fcntl, os, sys, termios;"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv(sys.executable, sys.argv[1:])"
)


class Terminal:
    """The other side of a pseudo-terminal: what a person sees and types."""

    def __init__(self, fileno: int, process: subprocess.Popen[bytes]) -> None:
        self._fileno = fileno
        self.process = process
        self.seen = ""

    def type(self, keys: str) -> None:
        # Python misses a Ctrl-C in the microseconds between its prompt and its read.
        time.sleep(0.1)
        os.write(self._fileno, keys.encode())

    def wait_for(self, text: str) -> str:
        """Wait until a text is shown; return all up to its end without colours, and forget it."""
        return re.sub(r"\x1b\[\d+m", "", self.wait_for_raw(text))

    def wait_for_raw(self, text: str) -> str:
        return self._read(lambda: text in self.seen, text)

    def end_with(self, key: str) -> int:
        """Type a key at the prompt, and read to the end; return the exit code."""
        self.type(key)
        self._read(lambda: False, "the end")
        return self.process.wait(15)

    def _read(self, is_enough: Callable[[], bool], what: str) -> str:
        until = time.monotonic() + 15
        while not is_enough():
            left = until - time.monotonic()
            assert left > 0, f"no {what!r} in {self.seen!r}"
            if not select.select([self._fileno], [], [], left)[0]:
                continue
            try:
                piece = os.read(self._fileno, 4096)
            except OSError:  # how Linux says that nobody has the other side open any more
                piece = b""
            if not piece:
                assert what == "the end", f"no {what!r} in {self.seen!r}"
                return self.seen
            self.seen += piece.decode().replace("\r\n", "\n")
        before, found, self.seen = self.seen.partition(what)
        return before + found


@contextmanager
def terminal(environ: dict[str, str], *options: str, **files: Any) -> Iterator[Terminal]:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", ATTACH, *COMMAND, *options],
            env=environ,
            start_new_session=True,
            **{"stdin": theirs, "stdout": theirs, "stderr": theirs, **files},
        )
        os.close(theirs)
        try:
            yield Terminal(ours, process)
        finally:
            process.kill()
            process.wait(10)
    finally:
        os.close(ours)


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_a_key_at_the_prompt_ends_it_politely(
    upstream: FakeUpstream, environ: dict[str, str], key: str
) -> None:
    with terminal(environ) as term:
        assert f"OpenAI, {DEFAULT_MODELS['openai']}. Ctrl-C stops" in term.wait_for("> ")
        assert term.end_with(key) == 0
        assert "Traceback" not in term.seen and "Aborted" not in term.seen
    assert not upstream.requests


def test_ctrl_c_stops_the_answer_and_not_the_chat(
    upstream: FakeUpstream, environ: dict[str, str]
) -> None:
    upstream.add(text_reply("Once upon", " a", finish_reason=None, done=False, then=[HOLD]))
    upstream.add(text_reply("Fine", " again"))
    with terminal(environ) as term:
        term.wait_for("> ")
        term.type("Tell me\n")
        term.wait_for("Once upon a")
        assert upstream.streaming == 1 and not upstream.gone
        term.type("\x03")
        assert term.wait_for("> ") == "^C\n[stopped]\n> "
        upstream.wait_for(lambda u: len(u.gone) == 1 and u.streaming == 0)
        term.type("And now?\n")
        assert "Fine again\n[1 tokens in, 2 out]\n" in term.wait_for("> ")
        assert term.end_with("\x04") == 0
        assert "Traceback" not in term.seen
    assert roles(upstream.requests[1]) == [
        ("user", "Tell me"),
        ("assistant", "Once upon a"),
        ("user", "And now?"),
    ]


def test_ctrl_c_while_nothing_has_come_yet(upstream: FakeUpstream, environ: dict[str, str]) -> None:
    # The first one sends not even a status line: it is stopped inside the call itself.
    silent = FakeUpstream(lambda request: time.sleep(2) or Reply())
    with silent, terminal({**environ, "UPSTREAM": silent.start().base_url}) as term:
        term.wait_for("> ")
        term.type("One\n")
        silent.wait_for(lambda u: len(u.requests) == 1)
        began = time.monotonic()
        term.type("\x03")
        assert term.wait_for("> ") == "One\n^C\n[stopped]\n> "
        assert time.monotonic() - began < 1
        assert term.end_with("\x03") == 0
    upstream.add(Reply(body=[HOLD]))
    with terminal(environ) as term:
        term.wait_for("> ")
        term.type("One\n")
        upstream.wait_for(lambda u: u.streaming == 1)
        time.sleep(0.2)
        term.type("\x03")
        assert "\n[stopped]\n" in term.wait_for("> ")
        upstream.wait_for(lambda u: len(u.gone) == 1)
        term.type("Two\n")
        assert "Hello from the fake upstream.\n" in term.wait_for("> ")
    assert roles(upstream.requests[1]) == [("user", "Two")]


def thinking_reply() -> Reply:
    deltas: list[dict[str, str]] = [
        {"reasoning_content": "Let me\x1b[2J see"},
        {"content": "Yes."},
    ]
    chunks = [event({"choices": [{"index": 0, "delta": delta}]}) for delta in deltas]
    ending = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    counts = {
        "prompt_tokens": 1234,
        "completion_tokens": 56,
        "prompt_tokens_details": {"cached_tokens": 1000},
        "completion_tokens_details": {"reasoning_tokens": 50},
    }
    return Reply(body=[*chunks, ending, event({"choices": [], "usage": counts})])


def test_thinking_and_cost_are_for_a_terminal_alone(
    upstream: FakeUpstream, environ: dict[str, str]
) -> None:
    upstream.add(thinking_reply(), thinking_reply())
    with terminal(environ) as term:
        term.wait_for("> ")
        term.type("Is it?\n")
        shown = term.wait_for_raw("> ")
    dim, plain = "\x1b[2m", "\x1b[0m"
    assert f"{dim}Let me[2J see{plain}\nYes.\n" in shown
    assert f"{dim}[1,234 tokens in (1,000 cached), 56 out (50 reasoning)]{plain}\n" in shown
    assert piped(environ, "Is it?\n") == ("Yes.\n", "")


def test_answers_in_a_file_hold_no_prompt(
    upstream: FakeUpstream, environ: dict[str, str], tmp_path: Path
) -> None:
    with (tmp_path / "answers").open("wb") as file, terminal(environ, stdout=file) as term:
        term.wait_for("> ")
        term.type("Hi\n")
        term.wait_for("> ")
        assert term.end_with("\x04") == 0
    assert (tmp_path / "answers").read_text() == "Hello from the fake upstream.\n"
