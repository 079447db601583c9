"""The demo: a provider that needs no key and no network, and says that it is no model.

It is a row like any other. What it calls is the library's fake provider, a real HTTP server
in this process, so that a chat with the demo goes through everything a real one goes through.
"""

from __future__ import annotations

import os
import re
import threading
from typing import Any

from flask_llmchat import ChatRequest, Provider, Target, bearer_target
from flask_llmchat.testing import (
    CUT,
    FakeUpstream,
    ReceivedRequest,
    Reply,
    error_reply,
    text_reply,
)

DEMO_MODEL = "demo"

_SECONDS_A_WORD = 0.04
_LONGEST_ECHO = 160

_HELLO = """\
Hello! This is the demo speaking, not a language model: everything I say is written into the \
example app.

You said: “{question}”

{count}

Ask me for an “error” to see a provider refuse, for a “cut” to see an answer break off, or \
for something “long” to have time for the Stop button. Real answers begin once you have \
saved a key in Settings and picked its provider above."""

_CUT = """\
This is the demo, not a model, and you asked it for a cut. A provider's connection can fail \
in the middle of an answer, and what you read then must not look complete. So the server \
breaks off its own answer too, and the page says"""

_LONG = """\
This is the demo, not a model, and it will now count for a while. Press Stop whenever you \
have seen enough: the page closes the connection, and the server closes the one to the \
provider, so that nobody pays for words that nobody reads.

{numbers}

That was all of it."""

_started: dict[int, FakeUpstream] = {}
_lock = threading.Lock()


def _upstream() -> FakeUpstream:
    """Return this process's fake provider, started when it is first asked for.

    By process id: its thread does not survive a fork, and gunicorn's workers are forks.
    """
    pid = os.getpid()
    with _lock:
        if pid not in _started:
            _started[pid] = FakeUpstream(_respond).start()
        return _started[pid]


def _target(provider: Provider, chat: ChatRequest, key: str, base_url: str) -> Target:
    return bearer_target(provider, chat, key, _upstream().base_url)


def _respond(request: ReceivedRequest) -> Reply:
    """Answer as a provider would: a stream of words, or an error."""
    _started[os.getpid()].requests.clear()  # it keeps them for tests; here they would pile up
    messages = [m for m in request.json["messages"] if m["role"] in ("user", "assistant")]
    question = _text_of(messages[-1]) if messages else ""
    wishes = re.findall(r"\w+", question.lower())
    if "error" in wishes:
        return error_reply(
            429,
            "This is what a rate limit looks like: the demo refused, because you asked it to.",
            code="rate_limit_exceeded",
            headers={"Retry-After": "20"},
        )
    if "cut" in wishes:
        return text_reply(
            *_words(_CUT),
            delay=_SECONDS_A_WORD,
            finish_reason=None,
            usage=None,
            done=False,
            then=[CUT],
        )
    if "long" in wishes:
        numbers = ", ".join(str(number) for number in range(1, 401))
        return text_reply(*_words(_LONG.format(numbers=numbers)), delay=_SECONDS_A_WORD)
    answer = _HELLO.format(question=_shorten(question), count=_count(len(messages)))
    return text_reply(*_words(answer), delay=_SECONDS_A_WORD)


def _text_of(message: dict[str, Any]) -> str:
    """Return a message's text; its content may be a list of parts, some of them images."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content)


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_ECHO else f"{text[:_LONGEST_ECHO].rstrip()}…"


def _count(messages: int) -> str:
    if messages <= 1:
        return "It is the first message of our chat."
    return f"With it came the {messages - 1} messages before it: that is a provider's memory."


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+", text)


DEMO = Provider(name="demo", label="Demo", key_attr="", target=_target)
