"""The app that soak.py serves: it records how chats start and end, and the resources in use."""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from typing import Any

from flask import Flask, abort
from flask.ctx import AppContext

from flask_llmchat import ChatRequest, ChatResult, LLMChat, chat_finished, chat_started
from flask_llmchat.transport.runtime import current_runtime

llmchat = LLMChat()
app = Flask(__name__)
app.config.update(
    LLMCHAT_BASE_URLS={"openai": os.environ["UPSTREAM"]},
    LLMCHAT_READ_TIMEOUT=1.5,
    LLMCHAT_DEADLINE=4,
    LLMCHAT_HEARTBEAT=0.5,
    LLMCHAT_MAX_RETRIES=1,
)
app.register_blueprint(llmchat.blueprint)


@llmchat.profile_loader
def load_profile() -> dict[str, str]:
    return {"openai_api_key": "sk-soak"}


@llmchat.before_chat
def refuse(chat: ChatRequest) -> None:
    if _tag(chat).endswith(":refused"):
        abort(429)


def _tag(chat: ChatRequest) -> str:
    tag: str = chat.messages[-1]["content"]
    return tag


def _write(**line: Any) -> None:
    # One write of a short line, so that the lines of several threads do not mix.
    with open(os.environ["RESULTS"], "ab", buffering=0) as file:
        file.write(json.dumps(line).encode() + b"\n")


@chat_started.connect_via(app)
def started(sender: Flask, chat: ChatRequest) -> None:
    _write(id=chat.request_id, tag=_tag(chat))


@chat_finished.connect_via(app)
def finished(sender: Flask, result: ChatResult) -> None:
    _write(id=result.request_id, outcome=result.outcome)


@app.get("/held")
def held() -> dict[str, int]:
    gc.collect()
    alive = gc.get_objects()
    with open("/proc/self/status", encoding="ascii") as status:
        memory = next(line for line in status if line.startswith("VmRSS"))
    return {
        "memory KiB": int(memory.split()[1]),
        "blocks": sys.getallocatedblocks(),  # without the memory that malloc keeps
        "threads": threading.active_count(),
        "greenlets": sum(type(thing).__name__ == "Greenlet" for thing in alive),
        "contexts": sum(isinstance(thing, AppContext) for thing in alive),
        "open files": len(os.listdir("/proc/self/fd")),
        "watched": len(current_runtime().watchdog),
        "places": len(current_runtime().slots),
    }
