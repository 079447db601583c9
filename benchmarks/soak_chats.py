"""The chats of soak.py: what the provider sends, what the client does, and what it has to get."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import time
from collections.abc import Callable
from typing import Any

from flask_llmchat.testing import (
    CUT,
    HOLD,
    ReceivedRequest,
    Reply,
    Signal,
    error_reply,
    event,
    text_reply,
    tool_reply,
)

WORDS = [f"word{i} " for i in range(20)]
LONG = ["a slow client holds up no others " * 400] * 100  # more than the sockets' buffers hold


def unfinished(*then: Signal) -> Reply:
    return text_reply("be", finish_reason=None, usage=None, done=False, then=then)


def begun(*then: Any) -> Reply:
    return Reply(body=[*text_reply("be").body[:2], *then])


def endless() -> Reply:
    piece = event({"choices": [{"index": 0, "delta": {"content": "on "}}]})
    return Reply(body=[x for _ in range(40) for x in (piece, 0.25)])


# kind: (weight, outcome, the provider's last reply). The weight is its share of the chats.
PROVIDER: dict[str, tuple[int, str, Callable[[], Reply]]] = {
    "ok": (12, "ok", lambda: text_reply(*WORDS, delay=0.01)),
    "length": (2, "length", lambda: text_reply("cut short", finish_reason="length")),
    "cut": (3, "truncated", lambda: unfinished(CUT)),
    "unfinished": (2, "truncated", lambda: unfinished()),
    "error": (3, "upstream_error", lambda: error_reply(500, "no")),
    "busy": (2, "ok", lambda: text_reply(*WORDS)),  # after a retry
    "late error": (3, "upstream_error", lambda: begun(event({"error": {"message": "no"}}))),
    "no bytes": (1, "timeout", lambda: Reply(body=[HOLD])),
    "silent": (1, "timeout", lambda: begun(HOLD)),
    "endless": (1, "deadline", endless),
    "slow": (2, "ok", lambda: text_reply(*LONG)),
    "left": (3, "cancelled", lambda: begun(HOLD)),
    "left early": (3, "cancelled", lambda: Reply(body=[HOLD])),
    "refused": (3, "refused", lambda: text_reply("never asked")),
    "tools": (4, "ok", lambda: text_reply(*WORDS)),
    "tools fail": (2, "ok", lambda: text_reply(*WORDS)),
    "tools, busy": (2, "ok", lambda: text_reply(*WORDS)),
    "tools time out": (1, "ok", lambda: text_reply(*WORDS)),
    "tools, cut": (2, "truncated", lambda: unfinished(CUT)),
    "tools, error": (2, "upstream_error", lambda: error_reply(500, "no")),
    "tools, silent": (1, "timeout", lambda: begun(HOLD)),
    "tools, no further": (2, "upstream_error", lambda: text_reply("never asked")),
    "tools, no end": (2, "tool_limit", lambda: text_reply("never asked")),
    "tools, deadline": (1, "deadline", lambda: text_reply("never asked")),
    "tools left": (3, "cancelled", lambda: text_reply("never asked")),
    "tools half left": (3, "cancelled", lambda: text_reply("never asked")),
    "tools left later": (3, "cancelled", lambda: begun(HOLD)),
}

# kind: what the model calls first, as the name of a tool and what it is to do.
FORMS = ("plain", "waits", "pieces", "alone", "streams")
QUICK = [(form, "return") for form in FORMS]
CALLS = {
    **{kind: QUICK for kind in PROVIDER if "tools" in kind},
    "tools fail": [
        ("plain", "raise"),
        ("waits", "exit"),
        ("pieces", "refuse"),
        ("streams", "raise"),
        ("alone", "exit"),
        ("plain", "fail later"),
        ("waits", "fail later"),
        ("nobody", ""),
        ("plain", ""),
    ],
    "tools time out": [("plain", "be deaf"), ("waits", "be deaf"), ("streams", "be deaf")],
    "tools, deadline": [("pieces", "wait"), ("waits", "wait"), ("streams", "wait")],
    "tools left": [("plain", "wait"), ("waits", "wait"), ("streams", "be deaf")],
    "tools half left": [("pieces", "wait"), ("waits", "be deaf"), ("streams", "wait")],
}

# The same for chats that come at once, at the end: more calls than there are threads, and calls
# that run while the server stops. Their outcome is "cancelled", whatever their clients do.
STOPPED = ("stopped tools", "stopped tools that hang")
CALLS["tools left waiting"] = [*[("plain", "wait")] * 4, *QUICK]
CALLS["stopped tools"] = [(form, "wait") for form in FORMS if form != "alone"]
CALLS["stopped tools that hang"] = [("plain", "hang"), ("waits", "be deaf")]

# The instance of the app, by the limit that such a chat reaches.
LIMITS = {
    "endless": "deadline",
    "tools, deadline": "deadline",
    **dict.fromkeys(("no bytes", "silent", "tools, silent"), "silence"),
    "tools time out": "tool",
}
DIALECTS = {
    "text": ("/{limit}/openai", {"chatSettings": {"model": "m"}}, "content"),
    "ui": ("/{limit}/openai", {"chatSettings": {"model": "m"}}, "parts"),
    "openai": ("/{limit}/openai/chat/completions", {"model": "m", "stream": True}, "content"),
    "whole": ("/{limit}/openai/chat/completions", {"model": "m"}, "content"),
    "python": ("/python/{limit}", {}, "content"),
}

# Requests to the provider, where that is not one. A client that leaves at once may send none, and
# a limit may be reached early.
ASKED = {
    "refused": (0,),
    **{kind: (0, 1) for kind in (*PROVIDER, *CALLS) if "left" in kind},
    **dict.fromkeys(("no bytes", "silent", "endless", "tools, deadline"), (0, 1)),
    **dict.fromkeys(("tools left later", "tools, silent"), (0, 1, 2)),
    **dict.fromkeys(("error", "busy"), (2,)),
    **dict.fromkeys(("tools", "tools fail", "tools time out", "tools, cut"), (2,)),
    **dict.fromkeys(("tools, error", "tools, busy", "tools, no end"), (3,)),
}

STEPS = 3  # that the app allows


def kind_of(tag: str) -> str:
    return tag.partition(":")[2]


def may_run_none(tag: str) -> bool:
    """Tell whether a chat may end before the calls have come."""
    return "left" in tag or kind_of(tag) in ("tools, silent", "tools, deadline")


def outcome_of(tag: str) -> str:
    return PROVIDER.get(kind_of(tag), (0, "cancelled"))[1]


class Provider:
    """What the provider responds.

    :ivar calls: ids of the tool calls that the server has to run, by the tags of their chats.
    """

    def __init__(self) -> None:
        self.calls: dict[str, list[str]] = {}
        self._turned_away: set[str] = set()

    def respond(self, request: ReceivedRequest) -> Reply:
        messages = request.json["messages"]
        tag, step = messages[0]["content"], sum(m["role"] == "assistant" for m in messages)
        kind = kind_of(tag)
        if kind in CALLS and (not step or kind == "tools, no end"):
            return self._call_tools(tag, step)
        if kind.endswith("busy") and tag not in self._turned_away:
            self._turned_away.add(tag)
            return error_reply(503, "not now")
        return PROVIDER[kind][2]()

    def _call_tools(self, tag: str, step: int) -> Reply:
        calls = [
            (name, {"do": do, "n": 10 * step + i} if do else "{")
            for i, (name, do) in enumerate(CALLS[kind_of(tag)])
        ]
        ids = [f"{tag}/{step}.{i}" for i in range(len(calls))]
        if step < STEPS - 1:  # the last one may call none
            self.calls.setdefault(tag, []).extend(ids)
        (name, arguments), *more = calls
        return tool_reply(name, arguments, *more, text="I look. ", ids=ids)


def post(port: int, tag: str, dialect: str) -> socket.socket:
    path, body, form = DIALECTS[dialect]
    limit = LIMITS.get(kind_of(tag), "none")
    said: Any = tag if form == "content" else [{"type": "text", "text": tag}]
    content = json.dumps({**body, "messages": [{"role": "user", form: said}]}).encode()
    client = socket.create_connection(("127.0.0.1", port), timeout=60)
    client.sendall(
        f"POST {path.format(limit=limit)} HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n".encode()
        + content
    )
    return client


def chat(port: int, tag: str, dialect: str) -> str:
    """Be one client: read the response, perhaps slowly, or leave. Return its faults."""
    kind = kind_of(tag)
    leaves_after = b"be" if kind in ("left", "tools left later") else b"I look"
    if dialect == "whole" or kind == "left early":
        leaves_after = b""
    leaves = "left" in kind and dialect != "python"
    received = bytearray()
    with contextlib.suppress(ConnectionError), post(port, tag, dialect) as client:
        while True:
            if leaves and leaves_after in received:
                time.sleep(random.uniform(0, 0.8))  # anywhere between its events
                if kind != "tools half left":
                    return ""
                leaves = False
                with contextlib.suppress(OSError):  # the server may have closed it
                    client.shutdown(socket.SHUT_WR)
            if not (piece := client.recv(4096 if kind == "slow" else 65536)):
                break
            received += piece
            if kind == "slow":
                time.sleep(0.004)
    fault = misread(bytes(received), tag, dialect)
    return f"{tag} over {dialect}: {fault}" if fault else ""


def misread(received: bytes, tag: str, dialect: str) -> str:
    """Return whether the client could mistake the response for another outcome."""
    status, outcome = received[9:12], outcome_of(tag)
    succeeds = outcome in ("ok", "length")
    begun = status == b"200"
    whole = begun and received.endswith(b"0\r\n\r\n")
    if dialect in ("python", "whole"):
        begins = succeeds or ("left" in tag and dialect == "python")
        return "" if begun == begins else f"status {status!r}"
    if succeeds:
        return "" if whole else f"no complete response: {received[:80]!r} … {received[-80:]!r}"
    if not begun:
        return "" if status in (b"429", b"500", b"502", b"504") else f"status {status!r}"
    if not whole and (dialect == "text" or "left" in tag or kind_of(tag) in STOPPED):
        return ""  # a server that is slow to stop breaks off
    return "" if whole and b'"error"' in received else f"the error is missing: {received[-80:]!r}"


def kinds(count: int) -> list[str]:
    """Return so many kinds at random, but each at least once."""
    weights = [weight for weight, _, _ in PROVIDER.values()]
    more = random.choices(list(PROVIDER), weights, k=max(count - len(PROVIDER), 0))
    return random.sample(chosen := [*PROVIDER, *more], len(chosen))
