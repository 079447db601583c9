"""The demo: a provider that needs no key and no network, and says that it is not a model.

It is a row like any other. It calls the library's fake provider, a real HTTP server in this
process, so that a chat with the demo takes the same path as a real one.
"""

from __future__ import annotations

import json
import os
import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile
from typing import Any

from flask_llmchat import ChatRequest, Provider, Target, bearer_target
from flask_llmchat.testing import (
    CUT,
    FakeUpstream,
    ReceivedRequest,
    Reply,
    error_reply,
    event,
    text_reply,
    tool_reply,
)

from .demo_picture import sunset

DEMO_MODEL = "demo"

_SECONDS_A_WORD = 0.03
_MAX_ECHO = 160
_MAX_READ = 2_000  # characters of a question: the demo needs no more of a long one

_HELLO = """\
Hello! This is the demo speaking, not a language model: everything I say is written into the \
example app.

{heard}

{count}

Ask me about your **orders**, to see a tool that the server runs, or to **cancel** one, to see a \
tool that asks you first; for **markdown**, to **reason**, for **sources** or an **image**, to see \
how the page shows them; for an **error** or a **cut**, to see a response fail; or for something \
**long**, to have time for the Stop button. For real responses save a key in Settings, and choose \
its provider above."""

_CUT = """\
This is the demo, not a model, and you asked it for a cut. A provider's connection can fail \
in the middle of a response, and the text until then must not look complete. So the server \
reports to the page that the response broke off, and the page says"""

_LONG = """\
This is the demo, not a model, and it will now count for a while. Reload the page meanwhile, open \
this chat on your phone, or leave it and come back: the answer goes on, and is shown as it is \
written. Press Stop whenever you have seen enough: the server then closes the connection to the \
provider, so that you do not pay for words that nobody reads.

{numbers}

That was all of it."""

_THOUGHTS = """\
The user wants to see a model's reasoning. I am not a model, so there is none. But a provider \
sends the reasoning of its models separately, before the text, and the page folds it away as \
soon as the text begins."""

_REASONED = """\
This is the demo, not a model. The folded part above is where a model's **reasoning** \
would be."""

_SOURCED = """\
This is the demo, not a model, and it has read nothing. A provider that searches the web sends \
its sources, and the page lists them below, each with its real address."""

_DRAWN = """\
This is the demo, not a model. Some models generate images, which the page shows with the text:"""

_LOOKING = "This is the demo, not a model. A model can look your orders up, if the app lets it."

_FOUND = """\
The server has run the call, for your login alone, and has found {count} open: {items}. A model \
would now put that into words of its own."""

_FOUND_NOTHING = "The server has run the call, and has found no open order of yours."

_CANCELLING = """\
A model may ask to cancel {items}, and you decide. Nothing happens until you say yes, and your yes \
counts for one call alone, and once."""

_CARRIED_OUT = """\
This is what the server tells the model: {results} A model would now put that into words of its \
own."""

_MARKDOWN = """\
This is the demo, not a model. Responses are **Markdown**, shown *while* they stream.

## A list

1. Text can be **bold**, *slanted*, ~~struck out~~ or `code`.
2. Lists can be
   - nested, or
   - not.

## Code

```python
from flask import Flask
from flask_llmchat import LLMChat

app = Flask(__name__)
llmchat = LLMChat(app)  # POST /api/chat/openai, /azure, …
```

## A table

| ending | shown as | row |
| :-- | :-- | --: |
| complete | nothing | 1 |
| stopped | a note | 2 |
| cut off | an error | 3 |

## What a model's text cannot do

> A link shows [where it leads](https://example.com/here?and=there), whatever its text is.

An image is a link too: ![a cat](https://example.com/cat.png). Nothing is loaded from there.
And <b onclick="alert(1)">HTML</b> is only text."""

_started: dict[int, FakeUpstream] = {}
_lock = threading.Lock()


def _upstream() -> FakeUpstream:
    """Return this process's fake provider, and start it at the first call.

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
    """Respond as a provider would, by the first word that has a prepared response."""
    _started[os.getpid()].requests.clear()  # kept for tests; here they would fill memory
    messages = request.json["messages"]
    question: dict[str, Any] = next((m for m in reversed(messages) if m["role"] == "user"), {})
    words = re.findall(r"[a-z]+", _text_of(question).lower())
    if messages[-1]["role"] == "tool":
        return _go_on(messages, words)
    for word in words:
        if respond := _RESPONSES.get(word):
            return respond()
    heard = f"You said: “{_shorten(_text_of(question))}”"
    images = _images_in(question)
    if images:
        heard += f" And you sent {images} image{'s' * (images > 1)}, which I cannot see."
    count = sum(m["role"] in ("user", "assistant") for m in messages)
    return _say(_HELLO.format(heard=heard, count=_count(count)))


def _refuse() -> Reply:
    return error_reply(
        429,
        "This is what a rate limit looks like: the demo refused, because you asked it to.",
        code="rate_limit_exceeded",
        headers={"Retry-After": "20"},
    )


def _cut() -> Reply:
    return _say(_CUT, finish_reason=None, usage=None, done=False, then=[CUT])


def _count_far() -> Reply:
    numbers = ", ".join(str(number) for number in range(1, 401))
    return _say(_LONG.format(numbers=numbers))


def _reason() -> Reply:
    return _say(_REASONED, reasoning=_words(_THOUGHTS))


def _cite() -> Reply:
    pages = {
        "https://flask.palletsprojects.com/en/stable/": "Welcome to Flask",
        "https://html.spec.whatwg.org/multipage/server-sent-events.html": "Server-sent events",
        "https://example.com/a-page-without-a-title": "",
    }
    cited = [{"url_citation": {"url": url, "title": title}} for url, title in pages.items()]
    return _before_the_end(_say(_SOURCED), {"annotations": cited})


def _draw() -> Reply:
    return _before_the_end(_say(_DRAWN), {"images": [{"image_url": {"url": sunset()}}]})


def _look_up_orders() -> Reply:
    return _call(("find_orders", {"status": "open"}), text=_LOOKING)


def _go_on(messages: list[dict[str, Any]], words: list[str]) -> Reply:
    """Go on as a model would, once the tools that it has called have run.

    :param words: those of the question.
    """
    ran = takewhile(lambda message: message["role"] == "tool", reversed(messages))
    results = [_text_of(message) for message in ran][::-1]
    try:
        orders = json.loads(results[0])
        items = [f"**{order['item']}**" for order in orders]
    except (ValueError, TypeError, KeyError):  # words: an error, or the result of another tool
        quoted = " ".join(f"“{_shorten(result)}”" for result in results)
        return _say(_CARRIED_OUT.format(results=quoted))
    if not orders:
        return _say(_FOUND_NOTHING)
    if "cancel" in words:
        count = len(orders) if "all" in words else 1
        calls = [("cancel_order", {"number": order["number"]}) for order in orders[:count]]
        return _call(*calls, text=_CANCELLING.format(items=" and ".join(items[:count])))
    return _say(_FOUND.format(count=len(items), items=", ".join(items)))


def _show_markdown() -> Reply:
    return _say(_MARKDOWN)


_RESPONSES: dict[str, Callable[[], Reply]] = {
    **dict.fromkeys(["error"], _refuse),
    **dict.fromkeys(["cut"], _cut),
    **dict.fromkeys(["long"], _count_far),
    **dict.fromkeys(["reason", "reasoning", "think"], _reason),
    **dict.fromkeys(["source", "sources"], _cite),
    **dict.fromkeys(["image", "picture", "draw"], _draw),
    **dict.fromkeys(["order", "orders", "cancel", "tool", "tools"], _look_up_orders),
    **dict.fromkeys(["markdown"], _show_markdown),
}


def _say(text: str, **options: Any) -> Reply:
    return text_reply(*_words(text), delay=_SECONDS_A_WORD, model=DEMO_MODEL, **options)


def _call(*calls: tuple[str, dict[str, Any]], text: str) -> Reply:
    (name, arguments), *more = calls
    ids = [f"call_{uuid.uuid4().hex}" for _ in calls]  # providers give each another one
    pieces = _words(text)
    return tool_reply(
        name, arguments, *more, text=pieces, ids=ids, delay=_SECONDS_A_WORD, model=DEMO_MODEL
    )


def _before_the_end(reply: Reply, delta: dict[str, Any]) -> Reply:
    """Add a chunk with what a reply has no argument for."""
    chunk = event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    return replace(reply, body=[*reply.body[:-1], chunk, reply.body[-1]])


def _text_of(message: dict[str, Any]) -> str:
    """Return the beginning of a message's text; its content may be a list of parts with images."""
    content = message.get("content") or ""
    if isinstance(content, list):
        content = " ".join(part.get("text", "") for part in content)
    return str(content[:_MAX_READ])


def _images_in(message: dict[str, Any]) -> int:
    content = message.get("content")
    return sum("image_url" in part for part in content) if isinstance(content, list) else 0


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _MAX_ECHO else f"{text[:_MAX_ECHO].rstrip()}…"


def _count(messages: int) -> str:
    if messages <= 1:
        return "It is the first message of our chat."
    return f"With it came the {messages - 1} messages before it: that is a provider's memory."


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+", text)


DEMO = Provider(name="demo", label="Demo", key_attr="", target=_target)
