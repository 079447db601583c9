"""Which dialect reads a request, which encodes its response, and which encodes its errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from flask import abort
from flask.testing import FlaskClient

from flask_llmchat import (
    ChatError,
    ChatRequest,
    ChatResult,
    Event,
    LLMChat,
    Route,
    RouteRequest,
    RouteResponse,
    TextDelta,
    builtin_dialects,
    builtin_providers,
    openapi,
)
from flask_llmchat.testing import FakeUpstream, error_reply, sse_reply
from flask_llmchat.web.negotiation import choose
from tests.support.apps import body, make_app, ui_body

URL = "/api/chat/openai"
ANSWER = "Hello from the fake upstream."
AT_THE_PROVIDER = [dialect for dialect in builtin_dialects if not dialect.path]


GEMINI = [{"role": "user", "parts": [{"text": "Hi"}]}]
GEMINI_IMAGE = [{"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "A"}}]}]
OPENAI = [{"role": "user", "content": "Hi"}]
OPENAI_PARTS = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
UI = ui_body()["messages"]


@pytest.mark.parametrize(
    ("messages", "reads"),
    [
        (OPENAI, "text"),
        (OPENAI_PARTS, "text"),
        (GEMINI, "text"),
        (GEMINI_IMAGE, "text"),
        ([{"role": "model", "parts": []}], "text"),
        ([{"role": "user", "parts": {"type": "text"}}], "text"),
        ([{"role": "user", "parts": ["type"]}], "text"),
        ([], "text"),
        (None, "text"),
        ({"parts": []}, "text"),
        ([None, 1, []], "text"),
        (UI, "ui"),
        ([*OPENAI, *UI], "ui"),
        ([{"role": "user", "parts": [], "content": "Hi"}], "ui"),
        ([{"role": "assistant", "parts": [{"type": "step-start"}]}, *OPENAI], "ui"),
        ([{"parts": [None, {"type": "what"}]}], "ui"),
    ],
)
def test_messages_decide_which_dialect_reads_a_body(messages: Any, reads: str) -> None:
    negotiated = choose(AT_THE_PROVIDER, {"messages": messages}, "*/*")
    assert negotiated.request.name == reads
    assert negotiated.response.name == reads


@pytest.mark.parametrize(
    ("posted", "reads"),
    [
        ({"message": UI[0]}, "ui"),
        ({"message": UI[0], "messages": []}, "ui"),
        ({"trigger": "submit-message"}, "ui"),
        ({"trigger": "submit-message", "messages": OPENAI}, "text"),
        ({"message": UI[0], "messages": OPENAI}, "text"),
        ({"message": OPENAI[0]}, "text"),
        ({"message": GEMINI[0]}, "text"),
        ({"message": "Hi"}, "text"),
        ({}, "text"),
    ],
)
def test_a_body_without_messages_is_read_by_its_other_fields(posted: Any, reads: str) -> None:
    assert choose(AT_THE_PROVIDER, posted, "*/*").request.name == reads


# Accept: what answers a text body and what tells it errors, and what answers a ui body.
ACCEPT = [
    (None, "text", "text", "ui"),
    ("", "text", "text", "ui"),
    ("*/*", "text", "text", "ui"),
    ("text/*", "text", "text", "ui"),
    ("text/plain", "text", "text", "text"),
    ("text/plain;charset=utf-8", "text", "text", "text"),
    ("text/plain, */*;q=0.1", "text", "text", "text"),
    ("text/event-stream", "ui", "ui", "ui"),
    ("text/event-stream, */*", "ui", "ui", "ui"),
    ("text/plain;q=0.5, text/event-stream", "ui", "ui", "ui"),
    ("application/json", "text", "text", "ui"),
    ("image/png", "text", "text", "ui"),
    ("application/json, text/plain, */*", "text", "text", "text"),  # axios, if not told otherwise
    ("garbage", "text", "text", "ui"),
    ("text/event-stream; charset=UTF-8", "ui", "ui", "ui"),
    ("TEXT/Plain", "text", "text", "text"),
    ("text/plain;q=0, */*", "ui", "ui", "ui"),
    ("text/plain, text/event-stream", "text", "text", "ui"),  # both named: as it spoke itself
    ("text/*;q=0.5, text/event-stream;q=0.4", "text", "text", "text"),
    ("text/event-stream;q=0", "text", "text", "ui"),  # neither is wanted: then as it spoke itself
]


@pytest.mark.parametrize(("accept", "answers", "tells", "answers_ui"), ACCEPT)
def test_accept_chooses_the_response_dialect(
    accept: str | None, answers: str, tells: str, answers_ui: str
) -> None:
    negotiated = choose(AT_THE_PROVIDER, {"messages": OPENAI}, accept or "")
    assert negotiated.request.name == "text"
    assert (negotiated.response.name, negotiated.error.name) == (answers, tells)
    negotiated = choose(AT_THE_PROVIDER, {"messages": UI}, accept or "")
    assert (negotiated.request.name, negotiated.error.name) == ("ui", "ui")
    assert negotiated.response.name == answers_ui


@pytest.fixture
def client(upstream: FakeUpstream) -> FlaskClient:
    return make_app(upstream).test_client()


@pytest.mark.parametrize(("accept", "answers", "tells", "answers_ui"), ACCEPT)
def test_accept_chooses_the_response_dialect_over_http(
    client: FlaskClient,
    upstream: FakeUpstream,
    accept: str | None,
    answers: str,
    tells: str,
    answers_ui: str,
) -> None:
    headers = {} if accept is None else {"Accept": accept}
    for posted, expected in ((body(), answers), (ui_body(), answers_ui)):
        with client.post(URL, json=posted, headers=headers) as response:
            assert response.status_code == 200
            if expected == "text":
                assert response.content_type == "text/plain; charset=utf-8"
                assert response.text == ANSWER
            else:
                assert response.content_type == "text/event-stream; charset=utf-8"
                assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"
                assert response.text.startswith('data: {"type":"start","messageId":"msg_')
                assert response.text.endswith("data: [DONE]\n\n")
    for posted, told in ((body(model=""), tells), (ui_body(chatSettings={}), "ui")):
        response = client.post(URL, json=posted, headers=headers)
        assert response.status_code == 422
        if told == "text":
            assert response.get_json()["code"] == "bad_request"
        else:
            assert response.content_type == "text/plain; charset=utf-8"
            assert response.text.startswith("chatSettings.model: ")
            assert response.headers["X-LLMChat-Error"] == "bad_request"
            assert response.headers["X-Request-ID"]


def test_an_error_uses_the_response_dialect_when_the_body_is_unreadable(
    upstream: FakeUpstream,
) -> None:
    of_ui = json.dumps(ui_body()).encode()
    config = {"LLMCHAT_MAX_CONTENT_LENGTH": len(of_ui) - 1}
    client = make_app(upstream, config=config).test_client()
    for posted, status, content_type in (
        (b"{", 400, "application/json"),
        (of_ui[:-1], 400, "text/plain; charset=utf-8"),
        (of_ui, 413, "text/plain; charset=utf-8"),
    ):
        response = client.post(URL, data=posted)
        assert (response.status_code, response.content_type) == (status, content_type)
        response = client.post(URL, data=posted, headers={"Accept": "text/event-stream"})
        assert response.status_code == status
        assert response.text.startswith("The request body is ")


def test_hooks_see_the_dialect(upstream: FakeUpstream) -> None:
    chats: list[ChatRequest] = []
    llmchat = LLMChat()
    llmchat.before_chat(chats.append)
    client = make_app(upstream, llmchat=llmchat).test_client()
    for posted in (body(), ui_body(mine=1)):
        client.post(URL, json=posted).close()
    assert [chat.dialect for chat in chats] == ["text", "ui"]
    assert chats[1].raw == ui_body(mine=1)
    assert chats[1].messages == [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize("path", ["text", "ui", "openai", "openai whole"])
def test_a_whole_answer_in_one_message(upstream: FakeUpstream, path: str) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    message = {"role": "assistant", "content": "Hi", "reasoning": "Hm", "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    whole = {"id": "i", "object": "chat.completion", "created": 1, "model": "m"}
    upstream.add(sse_reply(b"data: %b\n\n" % json.dumps({**whole, "choices": [choice]}).encode()))
    client = make_app(upstream).test_client()
    if path in ("text", "ui"):
        posted = body() if path == "text" else ui_body()
        told = client.post(URL, json=posted).text
    else:
        posted = {"model": "gpt-4.1", "messages": OPENAI, "stream": path == "openai"}
        told = client.post(URL + "/chat/completions", json=posted).text
    if path == "text":
        assert told == "Hi"
    elif path == "ui":
        frames = [json.loads(line[6:]) for line in told.split("\n\n")[:-2]]
        said = {frame["type"]: frame for frame in frames}
        assert said["reasoning-delta"]["delta"] == "Hm"
        assert said["text-delta"]["delta"] == "Hi"
        assert said["tool-input-available"]["input"] == {"a": 1}
    elif path == "openai":
        sent = json.loads(told.split("\n\n")[0].removeprefix("data: "))
        assert sent["object"] == "chat.completion.chunk"
        (only,) = sent["choices"]
        assert "message" not in only
        assert only["delta"] == {**message, "tool_calls": [{**call, "index": 0}]}
    else:
        (only,) = json.loads(told)["choices"]
        assert (only["message"]["content"], only["message"]["tool_calls"]) == ("Hi", [call])


class ToyEncoder:
    mimetype = "application/x-toy"
    headers: Mapping[str, str] = {"X-Toy": "yes"}
    heartbeat = b""
    passes_chunks = False

    def encode(self, events: list[Event]) -> bytes:
        return "".join(e.text.upper() for e in events if isinstance(e, TextDelta)).encode()

    def finish(self, result: ChatResult) -> bytes:
        return f"<{result.outcome}>".encode()

    def fail(self, error: ChatError) -> bytes:
        return f"<{error.code}>".encode()


class Toy:
    """A dialect from outside the package."""

    name = "toy"
    path = ""
    mimetype = ToyEncoder.mimetype

    def recognises(self, body: dict[str, Any]) -> bool:
        return "toy" in body

    def read(self, body: dict[str, Any], max_messages: int) -> ChatRequest:
        if not body["toy"]:
            raise ChatError("toy: Say something.", status=422)
        messages = [{"role": "user", "content": body["toy"]}]
        return ChatRequest(provider="", model="gpt-4.1", messages=messages, raw=body)

    def encoder(self, chat: ChatRequest) -> ToyEncoder:
        return ToyEncoder()

    def error(self, error: ChatError, request_id: str) -> tuple[bytes, str, Mapping[str, str]]:
        return f"<{error.message}>".encode(), "application/x-toy", {"X-Toy-Error": error.code}


class ToyOnAPath(Toy):
    path = "/toy"

    def recognises(self, body: dict[str, Any]) -> bool:
        return True


@pytest.mark.parametrize(("toy", "path"), [(Toy(), ""), (ToyOnAPath(), "/toy")])
def test_a_dialect_from_outside(upstream: FakeUpstream, toy: Toy, path: str) -> None:
    client = make_app(upstream, dialects=[toy, *builtin_dialects]).test_client()
    with client.post(URL + path, json={"toy": "Hi"}) as response:
        assert response.content_type == "application/x-toy"
        assert response.headers["X-Toy"] == "yes"
        assert response.text == ANSWER.upper() + "<ok>"
    assert upstream.requests[0].json["messages"] == [{"role": "user", "content": "Hi"}]
    response = client.post(URL + path, json={"toy": ""})
    assert (response.status_code, response.text) == (422, "<toy: Say something.>")
    upstream.add(error_reply(401, "no"))
    response = client.post(URL + path, json={"toy": "Hi"})
    assert (response.status_code, response.headers["X-Toy-Error"]) == (401, "bad_key")
    assert response.text.startswith("<OpenAI API Key is incorrect.")
    # The others are as they were.
    with client.post(URL, json=body()) as response:
        assert response.text == ANSWER
    assert client.post(URL, json={}).get_json()["message"].startswith("chatSettings: ")
    with client.post(URL, json=ui_body()) as response:
        assert "text-delta" in response.text


def test_a_request_is_negotiated_once(upstream: FakeUpstream) -> None:
    seen: list[dict[str, Any]] = []

    class Counting(Toy):
        def recognises(self, body: dict[str, Any]) -> bool:
            seen.append(body)
            return "toy" in body

    llmchat = LLMChat(dialects=[Counting(), *builtin_dialects])
    app = make_app(upstream, llmchat=llmchat)
    with app.test_client().post(URL, json={"toy": "Hi"}) as response:
        assert response.status_code == 200
    assert seen == [{"toy": "Hi"}]
    llmchat.before_chat(lambda chat: abort(403, "No."))
    assert app.test_client().post(URL, json={"toy": "Hi"}).text == "<No.>"
    assert app.test_client().post(URL, json={"toy": ""}).text == "<toy: Say something.>"
    assert len(seen) == 3


def test_accept_chooses_a_dialect_from_outside_for_the_response(upstream: FakeUpstream) -> None:
    client = make_app(upstream, dialects=[Toy(), *builtin_dialects]).test_client()
    headers = {"Accept": "application/x-toy"}
    for posted in (body(), ui_body()):
        with client.post(URL, json=posted, headers=headers) as response:
            assert response.text == ANSWER.upper() + "<ok>"
    response = client.post(URL, json={}, headers=headers)
    assert response.text.startswith("<chatSettings: ")
    response = client.post(URL, json={"toy": "Hi"}, headers={"Accept": "text/event-stream"})
    assert json.loads(response.text.splitlines()[0].removeprefix("data: "))["type"] == "start"


def toy_facts(request: RouteRequest) -> RouteResponse:
    if request.values["name"] not in request.models:
        raise ChatError(f"No {request.values['name']} here.", "model_not_found")
    text = (
        f"{request.provider.label}: {request.models[request.values['name']]} {request.request_id}"
    )
    return RouteResponse(text.encode(), "application/x-toy", 203, {"X-Toy": "facts"})


class ToyWithRoutes(Toy):
    routes = (
        Route("/facts/<path:name>", "facts", toy_facts),
        Route("/ring", "ring", lambda r: RouteResponse(b"ding"), ["POST"], needs_profile=False),
    )


@pytest.fixture
def routed() -> FlaskClient:
    config = {"LLMCHAT_MODELS": {"groq": {"my/own": {"supports_temperature": False}}}}
    return make_app(config=config, dialects=[ToyWithRoutes(), *builtin_dialects]).test_client()


def test_a_route_of_a_dialect_from_outside_is_served(routed: FlaskClient) -> None:
    response = routed.get("/api/chat/groq/facts/my/own")
    assert (response.status_code, response.headers["X-Toy"]) == (203, "facts")
    assert response.content_type == "application/x-toy"
    assert response.text.startswith("Groq: {'supports_temperature': False} ")
    assert routed.post("/api/chat/openai/ring").text == "ding"


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("get", "openai/facts/my/own", 404, "No my/own here."),
        ("get", "nobody/facts/x", 404, "Unknown provider 'nobody'. Available: openai, "),
        ("delete", "groq/facts/x", 405, "DELETE is not allowed here; use GET."),
        ("get", "groq/ring", 405, "GET is not allowed here; use POST."),
    ],
)
def test_errors_of_a_dialects_route_have_its_format(
    routed: FlaskClient, method: str, path: str, status: int, message: str
) -> None:
    response = getattr(routed, method)(f"/api/chat/{path}")
    assert (response.status_code, response.content_type) == (status, "application/x-toy")
    assert response.text.startswith(f"<{message}")
    assert response.headers["X-Toy-Error"] and response.headers["X-Request-ID"]
    allow = {"delete": "GET, HEAD, OPTIONS", "get": "POST, OPTIONS"}[method]
    assert response.headers.get("Allow", allow) == allow
    assert status == 404 or routed.options(f"/api/chat/{path}").headers["Allow"] == allow


def test_a_dialects_route_needs_a_profile_unless_it_says_otherwise() -> None:
    def shut(view: Any) -> Any:
        return lambda **values: ("shut", 403)

    dialects = [ToyWithRoutes(), *builtin_dialects]
    client = make_app(profile=None, dialects=dialects).test_client()
    response = client.get("/api/chat/groq/facts/x")
    assert (response.status_code, response.text) == (401, "<Profile not found>")
    assert client.post("/api/chat/groq/ring").text == "ding"
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert client.post("/api/chat/groq/ring", headers=foreign).status_code == 403
    client = make_app(decorators=[shut], dialects=dialects).test_client()
    assert client.get("/api/chat/groq/facts/x").text == "shut"
    assert client.post("/api/chat/groq/ring").text == "ding"


def test_a_dialects_route_is_in_the_openapi_document(routed: FlaskClient) -> None:
    document = openapi.document(routed.application)
    facts = document["paths"]["/api/chat/groq/facts/{name}"]
    assert facts["get"]["operationId"] == "llmchat_groq_facts"
    assert facts["parameters"][0]["name"] == "name"
    reference = facts["get"]["responses"]["401"]["$ref"].rpartition("/")[2]
    assert list(document["components"]["responses"][reference]["content"]) == ["application/x-toy"]
    assert list(document["paths"]["/api/chat/openai/ring"]) == ["post"]


def test_without_a_dialect_its_routes_are_missing() -> None:
    text, ui, openai = (
        [one for one in builtin_dialects if one.name in names]
        for names in (["text"], ["text", "ui"], ["text", "openai"])
    )
    for dialects, models, stream in ((text, 404, 404), (ui, 404, 204), (openai, 200, 404)):
        client = make_app(dialects=dialects).test_client()
        assert client.get(f"{URL}/models").status_code == models
        assert client.get(f"{URL}/some-chat/stream").status_code == stream


def test_two_routes_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two routes of the dialects are named 'facts'"):
        LLMChat(dialects=[ToyWithRoutes(), ToyWithRoutes(), *builtin_dialects])


def test_an_app_has_few_rules() -> None:
    rules = [rule.rule for rule in make_app().url_map.iter_rules()]
    assert len(rules) < 20 + 2 * len(builtin_providers)
