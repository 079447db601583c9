"""Reasoning that goes back, with the AI SDK's own client, on our server and on its own."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from flask_llmchat.testing import ReceivedRequest, Reply, sse_reply
from tests.support.node import run_js
from tests.support.reasoning_streams import messages_wire, responses_wire, sent_back
from tests.support.ui_servers import PROTOCOLS, serving

pytestmark = pytest.mark.external

ROME, PARIS, OSLO = ({"city": city} for city in ("Rome", "Paris", "Oslo"))

# What the model says, response by response.
SAID: dict[str, list[list[tuple[Any, ...]]]] = {
    "responses": [
        [
            ("reasoning", "rs_1", "enc1", "First thought.", "Second thought."),
            ("text", "Let me look."),
            ("reasoning", "rs_2", "enc2"),
            ("call", "c1", "weather", ROME),
        ],
        [
            ("reasoning", "rs_3", "enc3", "Both of them."),
            ("call", "c2", "weather", PARIS),
            ("reasoning", "rs_4", "enc4"),
            ("call", "c3", "weather", OSLO),
        ],
        [("reasoning", "rs_5", "enc5"), ("text", "Warm, mild and cold.")],
        [("reasoning", "rs_6", "enc6", "Which one?"), ("text", "Rome.")],
        [("text", "You are welcome.")],
    ],
    "messages": [
        [
            ("thinking", "First thought.", "sig1"),
            ("redacted", "enc1"),
            ("text", "Let me look."),
            ("call", "c1", "weather", ROME),
        ],
        [
            ("thinking", "Both of them.", "sig2"),
            ("call", "c2", "weather", PARIS),
            ("thinking", "And the other.", "sig3"),
            ("call", "c3", "weather", OSLO),
        ],
        [("redacted", "enc2"), ("text", "Warm, mild and cold.")],
        [("thinking", "Which one?", "sig4"), ("text", "Rome.")],
        [("text", "You are welcome.")],
    ],
}
WRITERS = {"responses": responses_wire, "messages": messages_wire}
ROWS = [(protocol, provider) for provider, protocol in PROTOCOLS.items()]
ORDERS = {
    "ours": ["ours"],
    "theirs": ["theirs"],
    "ours first": ["ours", "theirs"],
    "theirs first": ["theirs", "ours"],
}
STEPS = [
    {"send": "How warm is it there?"},
    {"toolOutput": {"id": "c1", "output": "21"}},
    {"toolOutput": {"id": "c2", "output": {"celsius": 12}}},
    {"toolOutput": {"id": "c3", "output": "-3"}},
    {"send": "Where is it best?"},
    {"send": "Thank you"},
]
RESULTS = [("result", "c1", "21"), ("result", "c2", '{"celsius":12}'), ("result", "c3", "-3")]


def said_by(protocol: str, provider: str) -> list[list[tuple[Any, ...]]]:
    """Return what the model of a provider says, response by response."""
    if provider != "xai":
        return SAID[protocol]
    # Their server makes one text of all summaries of an item of xAI's.
    return [
        [
            (*item[:3], *filter(None, ["".join(item[3:])])) if item[0] == "reasoning" else item
            for item in response
        ]
        for response in SAID[protocol]
    ]


def expected(protocol: str, provider: str) -> list[list[tuple[Any, ...]]]:
    """Return what each of the five requests has to say."""
    first, second, *others = (
        [("assistant", item[1]) if item[0] == "text" else item for item in said]
        for said in said_by(protocol, provider)
    )
    asked = [("user", "How warm is it there?")]
    looked = [*asked, *first, RESULTS[0]]
    looked_on = [*looked, *second, *RESULTS[1:]]
    again = [*looked_on, *others[0], ("user", "Where is it best?")]
    return [asked, looked, looked_on, again, [*again, *others[1], ("user", "Thank you")]]


@pytest.fixture(scope="module")
def chats() -> dict[str, Any]:
    """Return what the pages showed, and what the provider was sent, of every chat."""
    jobs: dict[str, Any] = {}
    requests: dict[str, list[Any]] = defaultdict(list)

    def respond(request: ReceivedRequest) -> Reply:
        name = request.json["model"]
        requests[name].append(request.json)
        protocol, provider, _ = name.split(" ", 2)
        said = said_by(protocol, provider)[len(requests[name]) - 1]
        return sse_reply(WRITERS[protocol](*said))

    names = [f"{p} {row} {order}" for p, row in ROWS for order in ORDERS]
    with serving(respond, names) as servers:
        for name in names:
            _, provider, order = name.split(" ", 2)
            jobs[name] = {
                **{"op": "chat", "order": ORDERS[order], "steps": STEPS},
                **servers.ours(provider, name),
                "theirs": servers.theirs(provider, name, toolNames=["weather"]),
            }
        told = run_js("ui.mjs", {"jobs": list(jobs.values()), "atOnce": 8})
    return {name: (one, requests[name]) for name, one in zip(jobs, told, strict=True)}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("protocol", "provider"), ROWS)
def test_a_chat_with_reasoning_and_tools(
    protocol: str, provider: str, order: str, chats: dict[str, Any]
) -> None:
    told, requests = chats[f"{protocol} {provider} {order}"]
    assert told["errors"] == []
    for request, wanted in zip(requests, expected(protocol, provider), strict=True):
        assert sent_back(request) == wanted


@pytest.mark.parametrize(("protocol", "provider"), ROWS)
def test_the_page_shows_the_same_whoever_serves(
    protocol: str, provider: str, chats: dict[str, Any]
) -> None:
    shown = [
        [
            (part["type"], part.get("text"), part.get("state"), part.get("providerMetadata", {}))
            for message in chats[f"{protocol} {provider} {order}"][0]["snapshots"][-1]["messages"]
            for part in message["parts"]
            if part["type"] in ("reasoning", "text", "tool-weather")
        ]
        for order in ORDERS
    ]
    for one in shown:
        assert [said[:3] for said in one] == [said[:3] for said in shown[0]]
        kept = [[said for said in answer if said[0] == "reasoning"] for answer in (one, shown[0])]
        assert kept[0] == kept[1]
