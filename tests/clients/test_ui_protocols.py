"""What a page makes of our answer and of the AI SDK's own server's, protocol by protocol."""

from __future__ import annotations

from typing import Any

import pytest

from flask_llmchat.testing import ReceivedRequest, Reply, sse_reply, text_reply
from tests.support.node import run_js
from tests.support.reasoning_streams import sent_back
from tests.support.recordings import recordings, wire_form
from tests.support.ui_conversations import GO, HI
from tests.support.ui_differences import DIFFERENT, NOT_SENT, alike
from tests.support.ui_servers import PROTOCOLS, Servers, serving

pytestmark = pytest.mark.external

Json = dict[str, Any]

RECORDED = [*recordings(protocol="responses"), *recordings(protocol="messages")]
STREAMS: dict[str, Json] = {param.id: param.values[0] for param in RECORDED if param.values[0]}

# Kinds of tools that their providers run, and one of OpenAI's that takes free text.
RUN = {
    "azure": [],
    "openai": ["web_search", "file_search", "code_interpreter", "image_generation", "write_sql"],
    "xai": ["web_search"],
    "anthropic": ["web_search", "web_fetch", "code_execution"],
}


def job(servers: Servers, op: str, name: str, model: str, messages: list[Json]) -> Json:
    """Return a job about a recording.

    :param op: ``theirs`` for their server; anything else for ours.
    """
    stream = STREAMS[name]
    provider = stream["provider"] if stream["provider"] in PROTOCOLS else "openai"
    if op != "theirs":
        return {"op": op, "messages": messages, **servers.ours(provider, model)}
    run = RUN[provider]
    called = {call["name"] for call in stream["expected"]["tool_calls"]} - {*run}
    told = servers.theirs(provider, model, toolNames=sorted(called), run=run)
    return {"op": op, "messages": messages, **told}


def made_by(*ops: str) -> list[dict[str, Any]]:
    """Return what each of these makes of every recording.

    :param ops: ``ask`` for our server and their client, ``theirs`` for theirs; a name of an older
        major for our server and that client.
    """
    wires = {name: wire_form(stream) for name, stream in STREAMS.items()}

    def respond(request: ReceivedRequest) -> Reply:
        return sse_reply(wires[request.json["model"]], split=997)

    made = []
    with serving(respond, STREAMS) as servers:
        for op in ops:
            jobs = [job(servers, op, name, name, [HI]) for name in STREAMS]
            if op in ("ask", "theirs"):
                results = run_js("ui.mjs", {"jobs": jobs, "atOnce": 8})
            else:
                results = run_js("ui_any.mjs", {"sdk": op, "jobs": jobs})
            made.append(dict(zip(STREAMS, results, strict=True)))
    return made


@pytest.fixture(scope="module")
def answers() -> list[dict[str, Any]]:
    return made_by("ask", "theirs")


@pytest.mark.parametrize("recorded", RECORDED)
def test_a_recording_becomes_what_their_own_server_makes_of_it(
    recorded: Json, answers: list[dict[str, Any]]
) -> None:
    name, failed = recorded["id"], recorded["expected"]["error"] is not None
    ours, theirs = (told[name] for told in answers)
    assert bool(ours["errors"]) == bool(theirs["errors"]) == failed
    left_out = DIFFERENT.get(name, {})
    a, b = (alike(side["message"], *left_out) for side in (ours, theirs))
    assert a == b
    for one in left_out:  # each is needed, or the table is out of date
        others = [other for other in left_out if other != one]
        a, b = (alike(side["message"], *others) for side in (ours, theirs))
        assert a != b, one


# ---- The same answer in the next request, whichever server it came from.


@pytest.fixture(scope="module")
def again(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what each server sends of each server's answers."""
    requests: dict[str, Any] = {}

    def respond(request: ReceivedRequest) -> Reply:
        model = request.json["model"]
        requests[model] = sent_back(request.json, NOT_SENT[model.rpartition(" ")[2]])
        return text_reply("Fine.")

    jobs = []
    ways = [(made, by) for made in (0, 1) for by in ("ask", "theirs")]
    with serving(respond, [f"{n} {made} {by}" for n in STREAMS for made, by in ways]) as servers:
        for name in STREAMS:
            for made, by in ways:
                if (message := answers[made][name]["message"]) is not None:
                    parts = [run_by_the_page(part) for part in message["parts"]]
                    turns = [HI, {**message, "id": "a1", "parts": parts}, {**GO, "id": "u2"}]
                    jobs.append(job(servers, by, name, f"{name} {made} {by}", turns))
        told = run_js("ui.mjs", {"jobs": jobs, "atOnce": 8})
    assert [one["errors"] for one in told] == [[]] * len(jobs)
    return requests


def run_by_the_page(part: Json) -> Json:
    """Return a part as it is once the page has run the tool that it calls."""
    if part.get("state") != "input-available" or part.get("providerExecuted"):
        return part
    return {**part, "state": "output-available", "output": "Done."}


@pytest.mark.parametrize("made", [0, 1], ids=["made by ours", "made by theirs"])
@pytest.mark.parametrize("recorded", RECORDED)
def test_an_answer_goes_back_the_same_from_either_server(
    recorded: Json, made: int, again: dict[str, Any]
) -> None:
    ours, theirs = (again.get(f"{recorded['id']} {made} {by}") for by in ("ask", "theirs"))
    assert ours == theirs


# ---- What the older majors of their client read.


@pytest.fixture(scope="module")
def older() -> dict[str, dict[str, Any]]:
    return dict(zip(("ai5", "ai6"), made_by("ai5", "ai6"), strict=True))


@pytest.mark.parametrize("sdk", ["ai5", "ai6"])
@pytest.mark.parametrize("recorded", RECORDED)
def test_an_older_major_of_their_client_reads_the_same(
    recorded: Json, sdk: str, answers: list[dict[str, Any]], older: dict[str, dict[str, Any]]
) -> None:
    name = recorded["id"]
    newest, old = answers[0][name], older[sdk][name]
    assert [error["message"] for error in newest["errors"]] == old["errors"]
    assert alike(old["message"]) == alike(newest["message"])
