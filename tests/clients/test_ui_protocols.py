"""What a page makes of our answer and of the AI SDK's own server's, protocol by protocol."""

from __future__ import annotations

from typing import Any

import pytest

from flask_llmchat import LLMChat
from flask_llmchat.testing import FakeUpstream, ReceivedRequest, Reply, sse_reply
from tests.support.apps import make_app, rows_speaking
from tests.support.node import run_js
from tests.support.recordings import recordings, wire_form
from tests.support.servers import served
from tests.support.ui_conversations import HI
from tests.support.ui_differences import DIFFERENT, alike

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
SPOKEN = {
    "openai": "responses",
    "azure": "responses",
    "xai": "responses",
    "anthropic": "messages",
}


def asked(stream: Json) -> tuple[str, list[str]]:
    """Return the row that a recording goes through, and the names of the tools it calls."""
    provider = stream["provider"] if stream["provider"] in SPOKEN else "openai"
    return provider, sorted({call["name"] for call in stream["expected"]["tool_calls"]})


def made_by(*ops: str) -> list[dict[str, Any]]:
    """Return what each of these makes of every recording.

    :param ops: ``ask`` for our server and their client, ``theirs`` for theirs; a name of an older
        major for our server and that client.
    """
    wires = {name: wire_form(stream) for name, stream in STREAMS.items()}

    def respond(request: ReceivedRequest) -> Reply:
        return sse_reply(wires[request.json["model"]], split=997)

    made = []
    with FakeUpstream(respond) as upstream:
        profile = {
            "anthropic_api_key": "sk-a",
            "openai_api_key": "sk-o",
            "xai_api_key": "sk-x",
            "azure_openai_api_key": "sk-z",
            "azure_openai_endpoint": upstream.base_url,
            "azure_openai_deployments": {name: name for name in wires},
        }
        llmchat = LLMChat(providers=rows_speaking(SPOKEN))
        app = make_app(upstream, profile=profile, llmchat=llmchat)
        with served(app) as port:
            for op in ops:
                jobs: list[Json] = []
                for name, stream in STREAMS.items():
                    provider, functions = asked(stream)
                    jobs.append({"op": op, "messages": [HI]})
                    if op == "theirs":
                        run = RUN[provider]
                        jobs[-1] |= {"protocol": stream["protocol"], "provider": provider}
                        jobs[-1] |= {"baseURL": upstream.base_url, "model": name}
                        jobs[-1] |= {"toolNames": sorted({*functions} - {*run}), "run": run}
                    else:
                        jobs[-1] |= {"api": f"http://127.0.0.1:{port}/api/chat/{provider}"}
                        jobs[-1] |= {"body": {"chatSettings": {"model": name}}}
                if op in ("ask", "theirs"):
                    results = run_js("ui.mjs", {"jobs": jobs, "atOnce": 8})
                else:
                    results = run_js("ui_older.mjs", {"sdk": op, "jobs": jobs})
                made.append(dict(zip(STREAMS, results, strict=True)))
    return made


@pytest.fixture(scope="module")
def answers() -> list[dict[str, Any]]:
    return made_by("ask", "theirs")


@pytest.mark.parametrize("recorded", RECORDED)
def test_a_recording_becomes_what_their_own_server_makes_of_it(
    recorded: Json, answers: list[dict[str, Any]]
) -> None:
    name = recorded["id"]
    ours, theirs = (told[name] for told in answers)
    assert (
        bool(ours["errors"])
        == bool(theirs["errors"])
        == (recorded["expected"]["error"] is not None)
    )
    left_out = DIFFERENT.get(name, {})
    a, b = (alike(side["message"], *left_out) for side in (ours, theirs))
    assert a == b
    for one in left_out:  # each is needed, or the table is out of date
        others = [other for other in left_out if other != one]
        a, b = (alike(side["message"], *others) for side in (ours, theirs))
        assert a != b, one


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
