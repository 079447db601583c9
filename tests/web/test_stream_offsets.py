"""Streams that are read from an offset on: from any event, or any byte, of any response."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from flask_llmchat import LLMChat, Provider
from flask_llmchat.testing import FakeUpstream, ReceivedRequest, Reply, sse_reply, text_reply
from flask_llmchat.transport.runtime import current_runtime
from tests.support.recordings import recordings, wire_form
from tests.support.streams import DIALECTS, asking, events_of, keeping

PROTOCOLS = ("chat_completions", "responses", "messages")
RECORDED = [(name, param) for name in PROTOCOLS for param in recordings(protocol=name)]
BEGUN = [one for one in RECORDED if one[1].id != "r-error-quota"]  # refused before the first byte
KNOWN = {param.id: param.values[0] for _, param in RECORDED if param.values[0]}


def play(request: ReceivedRequest) -> Reply:
    """Answer with the recording that the model is called after; or with some words."""
    recorded = KNOWN.get(request.json["model"])
    return sse_reply(wire_form(recorded)) if recorded else text_reply("Grüße, ", "日本 🎉", "!")


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    with FakeUpstream(play) as upstream:
        rows = [
            Provider(
                name=name, label=name, key_required=False, protocol=name, base_url=upstream.base_url
            )
            for name in PROTOCOLS
        ]
        app = keeping(upstream, LLMChat(providers=rows), base_urls={}, max_retries=0)
        yield app.test_client()


class Kept:
    """The stream of a chat that is over."""

    def __init__(
        self, client: FlaskClient, dialect: str, route: str = "chat_completions", model: str = "m"
    ) -> None:
        url = f"/api/chat/{route}" + ("/chat/completions" if dialect == "openai" else "")
        sent = asking(dialect)
        (sent if dialect == "openai" else sent["chatSettings"])["model"] = model
        with client.post(url, json=sent) as response:
            assert response.status_code == 200, response.text
            self.body = response.data
        self._client, self._url = client, f"{url}/{response.headers['X-LLMChat-Stream']}/stream"
        self._url = self._url.replace("/chat/completions", "")

    def get(self, query: str = "", **headers: str) -> tuple[int, bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with self._client.get(self._url + query, headers=named) as response:
            return response.status_code, response.data


@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["ui", "openai"])
@pytest.mark.parametrize(
    ("protocol", "recorded"),
    [pytest.param(name, *one.values, id=one.id, marks=one.marks) for name, one in BEGUN],
)
def test_a_recorded_response_is_read_from_each_of_its_events_on(
    dialect: str, protocol: str, recorded: dict[str, Any], client: FlaskClient
) -> None:
    kept = Kept(client, dialect, protocol, recorded["id"])
    events = events_of(kept.body)
    assert events
    for n in range(len(events) + 1):
        assert kept.get(f"?startIndex={n}") == (200, b"".join(events[n:]))
        if n in (1, len(events) // 2, len(events)):
            assert kept.get(Last_Event_ID=str(n)) == (200, b"".join(events[n:]))


def test_a_text_is_read_from_each_of_its_bytes_on(client: FlaskClient) -> None:
    kept = Kept(client, "text")
    assert kept.body.decode() == "Grüße, 日本 🎉!"
    for n in range(len(kept.body) + 1):
        assert kept.get(f"?after={n}") == (200, kept.body[n:])


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("offset", ["1000000", "9" * 15])
def test_an_offset_beyond_the_end_gives_nothing(
    offset: str, dialect: str, client: FlaskClient
) -> None:
    name = "after" if dialect == "text" else "startIndex"
    assert Kept(client, dialect).get(f"?{name}={offset}") == (200, b"")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "given", ["-1", "", "x", "1.5", "1e3", "0x10", "+1", "%201", "1_0", "²", "٣", "9" * 16]
)
def test_what_is_no_offset_is_refused_and_named(
    given: str, dialect: str, client: FlaskClient
) -> None:
    name = "after" if dialect == "text" else "startIndex"
    kept = Kept(client, dialect)
    status, told = kept.get(f"?{name}={given}")
    assert status == 400
    assert f"{name}: it has to be a whole number of at least 0." in told.decode()


@pytest.mark.parametrize("given", ["-1", "x", "1.5", "", "9" * 16, "msg_1"])
def test_an_id_that_is_none_of_an_event_is_refused_and_named(
    given: str, client: FlaskClient
) -> None:
    status, told = Kept(client, "ui").get(Last_Event_ID=given)
    assert status == 400 and b"Last-Event-ID: it has to be" in told


@pytest.mark.parametrize(
    ("dialect", "wrong", "right"),
    [("text", "startIndex", "after"), ("ui", "after", "startIndex")],
)
def test_the_offset_of_another_kind_of_stream_is_refused(
    dialect: str, wrong: str, right: str, client: FlaskClient
) -> None:
    status, told = Kept(client, dialect).get(f"?{wrong}=3")
    assert status == 400 and f"{wrong}: this stream is read from {right} on." in told.decode()


def test_the_query_goes_before_the_header(client: FlaskClient) -> None:
    kept = Kept(client, "ui")
    events = events_of(kept.body)
    assert kept.get("?startIndex=2", Last_Event_ID="1") == (200, b"".join(events[2:]))
    # An EventSource sends the header by itself.
    text = Kept(client, "text")
    assert text.get(Last_Event_ID="3") == (200, text.body)


def test_a_wrong_offset_occupies_no_slot(client: FlaskClient) -> None:
    kept = Kept(client, "ui")
    before = len(current_runtime().slots)
    for _ in range(3):
        assert kept.get("?startIndex=x")[0] == 400
    assert len(current_runtime().slots) == before
