"""The app that soak.py serves: it records how chats and tool calls end, and what is in use."""

from __future__ import annotations

import gc
import json
import linecache
import os
import sqlite3
import sys
import threading
from collections import Counter
from typing import Any

import soak_tools
from flask import Flask, abort, appcontext_pushed, g, request
from flask.ctx import AppContext
from flask.globals import app_ctx

from flask_llmchat import (
    ChatError,
    ChatRequest,
    ChatResult,
    LLMChat,
    Step,
    ToolRun,
    chat_finished,
    chat_started,
    tool_finished,
)
from flask_llmchat.transport.runtime import current_runtime

app = Flask(__name__)
app.config.update(
    LLMCHAT_BASE_URLS={"openai": os.environ["UPSTREAM"]},
    LLMCHAT_HEARTBEAT=0.5,
    LLMCHAT_MAX_RETRIES=1,
    LLMCHAT_TOOL_STEPS=3,
    LLMCHAT_TOOL_THREADS=16,
)
# One instance for each limit, or a slow machine would reach one where another is to be reached.
LIMITS = {
    "none": {"LLMCHAT_DEADLINE": 60, "LLMCHAT_READ_TIMEOUT": 30, "LLMCHAT_TOOL_TIMEOUT": 30},
    "deadline": {"LLMCHAT_DEADLINE": 4},
    "silence": {"LLMCHAT_DEADLINE": 60, "LLMCHAT_READ_TIMEOUT": 2},
    "tool": {"LLMCHAT_READ_TIMEOUT": 30, "LLMCHAT_TOOL_TIMEOUT": 1.5},
}
instances: dict[str, LLMChat] = {}
for name, settings in LIMITS.items():
    app.config.update(settings)
    instances[name] = LLMChat(app, name=name, url_prefix=f"/{name}")
# Sets, as adding to one needs no lock: threads and gevent's greenlets would share it.
sessions: set[str] = set()
entered: set[AppContext] = set()


def _write(**line: Any) -> None:
    # One write of a short line, so that the lines of several threads do not mix.
    with open(os.environ["RESULTS"], "ab", buffering=0) as file:
        file.write(json.dumps(line).encode() + b"\n")


def _tag(chat: ChatRequest) -> str:
    tag: str = chat.messages[0]["content"]
    return tag


def load_profile() -> dict[str, str]:
    return {"openai_api_key": "sk-soak"}


def refuse(chat: ChatRequest) -> None:
    if _tag(chat).endswith(":refused"):
        abort(429)


def refuse_step(chat: ChatRequest, steps: tuple[Step, ...]) -> None:
    if _tag(chat).endswith(":tools, no further"):
        abort(429)


def open_session(call_id: str) -> None:
    """Open the database session of a tool call. sqlite3 lets no other thread close it."""
    g.session = sqlite3.connect(":memory:")
    g.call_id = call_id
    sessions.add(call_id)
    _write(begun=call_id)


@appcontext_pushed.connect_via(app)
def enter(sender: Flask) -> None:
    entered.add(app_ctx._get_current_object())


@app.teardown_appcontext
def leave(error: BaseException | None) -> None:
    entered.discard(app_ctx._get_current_object())
    if "session" in g:
        g.session.close()
        sessions.discard(g.call_id)
        _write(torn=g.call_id)
        if "fails" in g:
            raise RuntimeError("a teardown function that fails")


for llmchat in instances.values():
    llmchat.profile_loader(load_profile)
    llmchat.before_chat(refuse)
    llmchat.before_step(refuse_step)
    # Other chats have none, as most of them have none in earnest.
    llmchat.add_tools(*soak_tools.tools(open_session, when=lambda chat: "tools" in _tag(chat)))


@chat_started.connect_via(app)
def started(sender: Flask, chat: ChatRequest) -> None:
    _write(id=chat.request_id, tag=_tag(chat))


@chat_finished.connect_via(app)
def finished(sender: Flask, result: ChatResult) -> None:
    runs = {run.call_id: run.outcome for run in result.tool_runs}
    assert len(runs) == len(result.tool_runs)
    _write(id=result.request_id, outcome=result.outcome, runs=runs)


@tool_finished.connect_via(app)
def told(sender: Flask, run: ToolRun) -> None:
    _write(told=run.call_id)


@app.post("/python/<limit>")
def from_python(limit: str) -> Any:
    """Make the chat in Python; of one whose client leaves, the stream is left."""
    llmchat, tag = instances[limit], request.get_json()["messages"][0]["content"]
    asked: dict[str, Any] = {"model": "m", "profile": load_profile()}
    try:
        if "left" not in tag:
            llmchat.complete("openai", tag, **asked)
            return {}
        with llmchat.stream("openai", tag, **asked) as chat:
            for event in chat:
                if type(event).__name__ == ("ToolsStart" if "tools" in tag else "TextDelta"):
                    break
        return {}
    except ChatError as error:
        return {}, error.status


@app.get("/held")
def held() -> dict[str, int]:
    """Tell what is held by what is running, and must be nothing when nothing is."""
    runtime = current_runtime()
    return {
        "places": len(runtime.slots),
        "watched": len(runtime.watchdog),
        "tool threads": len(runtime.tool_slots),
        "tool tasks": len(runtime.event_loop._tasks) if runtime.event_loop else 0,
        "own threads": sum(t.name.startswith("flask_llmchat") for t in threading.enumerate()),
        "entered contexts": len(entered) - 1,  # without this request's own
        "sessions": len(sessions),
    }


@app.get("/kept")
def kept() -> dict[str, int]:
    """Tell what may be kept when nothing is running, and must not grow."""
    linecache.clearcache()  # the files of tracebacks in the log
    gc.collect()
    # Not isinstance(), which asks the things themselves: some of openai's load half of it then.
    alive = Counter(map(type, gc.get_objects()))
    with open("/proc/self/status", encoding="ascii") as status:
        memory = next(line for line in status if line.startswith("VmRSS"))
    gevent = sys.modules.get("gevent")
    transports = current_runtime().transports.values()
    connections = sum(len(transport._pool._idle) for transport in transports)
    return {
        "memory KiB": int(memory.split()[1]),
        "blocks": sys.getallocatedblocks(),  # without the memory that malloc keeps
        "threads": threading.active_count(),
        "greenlets": alive[gevent.Greenlet] if gevent else 0,
        "loop references": gevent.get_hub().loop.activecnt if gevent else 0,
        "contexts": alive[AppContext],
        "connections": connections,
        "open files": len(os.listdir("/proc/self/fd")) - connections,
    }
