"""The app that test_streams.py serves: its chats outlive their clients. Two instances are in it.

Environment: ``NAME`` of the app; ``LEASE``, the seconds after which its workers are taken for dead.
"""

from __future__ import annotations

import gc
import json
import os
import threading
from functools import partial
from typing import Any

import openai  # noqa: F401  # not with the first chat: on a busy machine it takes many seconds
from flask import Flask, Response, request

from flask_llmchat import Caller, ChatRequest, ChatResult, LLMChat, chat_finished
from flask_llmchat.streams.redis_store import store
from flask_llmchat.transport.runtime import current_runtime

if "LEASE" in os.environ:
    store.Timing = partial(store.Timing, lease=float(os.environ["LEASE"]))  # type: ignore

app = Flask(os.environ.get("NAME", "host"))
app.config["LLMCHAT_BASE_URLS"] = {"openai": os.environ["UPSTREAM"]}
app.config["LLMCHAT_RESUMABLE"] = True
app.config.from_prefixed_env()

llmchat = LLMChat(app)
second = LLMChat(app, name="second", url_prefix="/second")


def load_profile() -> dict[str, str]:
    return {"openai_api_key": "sk-planted-openai-0123456789abcdef"}


def load_caller(profile: Any) -> Caller | None:
    user = request.headers.get("X-User", "ada")
    return Caller(user, request.headers.get("X-Team")) if user else None


def say_who(chat: ChatRequest) -> None:
    chat.context["seen"] = chat.conversation_id


for instance in (llmchat, second):
    instance.profile_loader(load_profile)
    instance.caller_loader(load_caller)
    instance.before_chat(say_who)


@app.after_request
def add_worker(response: Response) -> Response:
    response.headers["X-Worker"] = str(os.getpid())
    return response


@chat_finished.connect_via(app)
def write_down(sender: Flask, result: ChatResult) -> None:
    line = json.dumps(
        {
            "id": result.request_id,
            "outcome": result.outcome,
            "text": result.text,
            "tokens": result.usage and result.usage.completion_tokens,
            "caller": result.caller and [result.caller.id, result.caller.team],
            "conversation": result.conversation_id,
            "context": dict(result.context),
            "stream": result.stream_id,
            "worker": os.getpid(),
        }
    )
    with open(os.environ["RESULTS"], "ab", buffering=0) as file:  # whole lines, of all workers
        file.write(line.encode() + b"\n")


@app.get("/health")
def health() -> str:
    return "ok"


@app.get("/held")
def held() -> dict[str, int]:
    gc.collect()
    runtime = current_runtime()
    return {
        "threads": threading.active_count(),
        "files": len(os.listdir("/proc/self/fd")),
        "slots": len(runtime.slots),
        "detached": len(runtime.detached_slots),
        "watched": len(runtime.watchdog),
    }
