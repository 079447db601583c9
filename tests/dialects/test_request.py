"""What the routes take and what they refuse, through pytest-flask's client."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from flask import Flask, abort
from flask.testing import FlaskClient

from flask_llmchat import ChatError, ChatRequest, LLMChat
from flask_llmchat.testing import FakeUpstream
from tests.support.apps import body, make_app, profile_for

URL = "/api/chat/openai"


@pytest.fixture
def chats() -> list[ChatRequest]:
    return []


@pytest.fixture
def app(upstream: FakeUpstream, chats: list[ChatRequest]) -> Flask:
    llmchat = LLMChat()
    llmchat.before_chat(chats.append)
    return make_app(upstream, llmchat=llmchat, config={"LLMCHAT_MAX_MESSAGES": 50})


def refused(client: FlaskClient, posted: Any, status: int, **kwargs: Any) -> str:
    """Post something that is refused; return the message."""
    data = posted if isinstance(posted, bytes) else json.dumps(posted).encode()
    with client.post(URL, data=data, **kwargs) as response:
        assert response.status_code == status, response.text
        assert response.content_type == "application/json"
        told = response.get_json()
        assert list(told) == ["message", "code", "provider", "request_id"]
        assert response.headers["X-Request-ID"] == told["request_id"]
        return str(told["message"])


def changed(**fields: Any) -> dict[str, Any]:
    return {**body(), **fields}


def with_message(**fields: Any) -> dict[str, Any]:
    return changed(messages=[fields])


def test_the_original_front_ends_body_is_taken(
    client: FlaskClient, upstream: FakeUpstream, chats: list[ChatRequest]
) -> None:
    # As its fetch() sends it: no content type is set, so the browser says text/plain.
    with client.post(
        URL,
        data=json.dumps(body()),
        content_type="text/plain;charset=UTF-8",
        headers={"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"},
    ) as response:
        assert response.status_code == 200
        assert response.text == "Hello from the fake upstream."
    (chat,) = chats
    assert (chat.provider, chat.model, chat.temperature) == ("openai", "gpt-4.1", 0.5)
    assert chat.settings == body()["chatSettings"]
    assert chat.messages == body()["messages"]
    assert chat.raw == body()


@pytest.mark.parametrize("content_type", [None, "application/json", "multipart/form-data", "x"])
def test_any_content_type_is_parsed(client: FlaskClient, content_type: str | None) -> None:
    with client.post(URL, data=json.dumps(body()), content_type=content_type) as response:
        assert response.status_code == 200


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain"])
def test_a_host_that_looks_into_forms_takes_nothing_away(
    upstream: FakeUpstream, content_type: str
) -> None:
    from flask import request

    app = make_app(upstream, config={"LLMCHAT_MAX_CONTENT_LENGTH": 1000})
    app.before_request(lambda: None if request.form.get("csrf_token") is None else abort(400))
    # As curl -d says of any body; Flask-WTF looks for its token in every form.
    for content, status in ((json.dumps(body()), 200), ("x" * 2000, 413)):
        with app.test_client().post(URL, data=content, content_type=content_type) as response:
            assert response.status_code == status
            assert (response.get_json(silent=True) or {}).get("code") != "internal"


def test_requests_that_share_an_app_context_have_each_their_body(
    upstream: FakeUpstream,
) -> None:
    app = make_app(upstream)
    with app.app_context():
        for text in ("one", "two"):
            with app.test_client().post(URL, json=body(text=text)) as response:
                assert response.status_code == 200
    assert [r.json["messages"][-1]["content"] for r in upstream.requests] == ["one", "two"]


def test_text_and_image_parts_are_taken(client: FlaskClient, upstream: FakeUpstream) -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
    ]
    posted = with_message(role="user", content=parts)
    with client.post(URL, data=json.dumps(posted)) as response:
        assert response.status_code == 200
    assert upstream.requests[0].json["messages"] == posted["messages"]


def test_a_tool_turn_is_taken(client: FlaskClient, upstream: FakeUpstream) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    posted = changed(
        messages=[
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "4"},
        ]
    )
    with client.post(URL, data=json.dumps(posted)) as response:
        assert response.status_code == 200
    assert upstream.requests[0].json["messages"] == posted["messages"]


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"", 400, "not valid JSON"),
        (b"{", 400, "not valid JSON"),
        (b"\xff{}", 400, "not UTF-8"),
        (b'{"a": NaN}', 400, "NaN is not a JSON number"),
        (b'{"a": 1, "a": 2}', 400, "'a' occurs twice"),
        (b"[" * 200_000, 400, "nested too deeply"),
        (b'{"a":' * 50_000, 400, "nested too deeply"),
        (b'{"a":' * 100_000, 400, "only of brackets"),
        (b'{"a": ' + b"9" * 5000 + b"}", 400, "a number is too long"),
        (b'{"a": 1e999}', 400, "a number is too large"),
        (b"[]", 422, "must be a JSON object"),
        (b"null", 422, "must be a JSON object"),
    ],
)
def test_bodies_that_are_no_json_object(
    client: FlaskClient, content: bytes, status: int, message: str
) -> None:
    assert message in refused(client, content, status)


@pytest.mark.parametrize(
    ("posted", "message"),
    [
        ({}, "chatSettings: Missing data for required field; messages: Missing data"),
        (changed(messages=[]), "messages: Shorter than minimum length 1"),
        (changed(messages={}), "messages: Not a valid list"),
        (changed(messages=["Hi"]), "messages.0: Invalid input type"),
        (changed(messages=[{}] * 51), "messages: 51 are too many; at most 50 are allowed."),
        (changed(chatSettings=None), "chatSettings: Field may not be null"),
        (changed(chatSettings={}), "chatSettings.model: Missing data"),
        (body(model=""), "chatSettings.model: Length must be between 1 and 256"),
        (body(model=7), "chatSettings.model: Not a valid string"),
        (body(temperature="0.5"), "chatSettings.temperature: Not a valid number"),
        (body(temperature=True), "chatSettings.temperature: Not a valid number"),
        (body(temperature=2.1), "chatSettings.temperature: Must be greater than or equal to 0"),
        (body(temperature=10**400), "chatSettings.temperature: Number too large"),
        (body(contextLength="4096"), "chatSettings.contextLength: Not a valid integer"),
        (body(includeProfileContext="on"), "chatSettings.includeProfileContext: Not a valid bool"),
        (body(maxTokens=0), "chatSettings.maxTokens: Must be greater than or equal to 1"),
        (body(seed=2**70), "chatSettings.seed: Must be greater than or equal to"),
        (body(stop=7), "chatSettings.stop: Not a valid string"),
        (body(tools=[1]), "chatSettings.tools.0: Not an object"),
        (body(serverTools="a"), "chatSettings.serverTools: Not a valid list"),
        (body(serverTools=[1]), "chatSettings.serverTools.0: Not a valid string"),
        (body(serverTools=["a" * 65]), "chatSettings.serverTools.0: Longer than maximum length 64"),
        (body(serverTools=["a"] * 129), "chatSettings.serverTools: Length must be between 0 and"),
        (body(apiKey="sk-x"), "chatSettings.apiKey: Unknown field"),
        (body(baseURL="http://x"), "chatSettings.baseURL: Unknown field"),
        (changed(api_key="sk-x"), "api_key: Unknown field"),
        (changed(headers={}), "headers: Unknown field"),
        (changed(conversationId=""), "conversationId: Length must be between 1 and 256"),
        (changed(conversationId="c" * 257), "conversationId: Length must be between 1 and 256"),
        (changed(conversationId=7), "conversationId: Not a valid string"),
        (changed(conversationId="\ud83d"), "conversationId: Holds half a character"),
        (with_message(role="user"), "messages.0.content: Missing data"),
        (with_message(role="user", content=None), "messages.0.content: Missing data"),
        (with_message(role="user", content=5), "messages.0.content: Not a string or a list"),
        (with_message(role="user", content=[]), "messages.0.content: Must have 1 to 256 parts"),
        (with_message(role="robot", content="Hi"), "messages.0.role: Must be one of"),
        (with_message(role=["user"], content="Hi"), "messages.0.role: Not a valid string"),
        (with_message(role="user", content="\ud83d"), "messages.0.content: Holds half a char"),
        (with_message(role="user", content=[{"type": "text"}]), "messages.0.content.0.text: Miss"),
        (with_message(role="user", content=[{"type": "file"}]), "messages.0.content.0.type: Must"),
        (
            with_message(
                role="user", content=[{"type": "image_url", "image_url": {"url": "file:///etc"}}]
            ),
            "messages.0.content.0.image_url.url: Not a data: or http(s) URL",
        ),
        (body(responseFormat={"a": "\udc00"}), "chatSettings.responseFormat: Holds half a char"),
        ({str(i): 1 for i in range(100_000)}, "Has more than 64 fields"),
    ],
)
def test_a_wrong_field_is_named(
    client: FlaskClient, upstream: FakeUpstream, posted: Any, message: str
) -> None:
    assert message in refused(client, posted, 422)
    assert upstream.requests == []


def test_a_whole_number_may_be_written_with_a_point(
    client: FlaskClient, upstream: FakeUpstream
) -> None:
    content = json.dumps(body(seed=7, maxTokens=5)).replace("7", "7.0").replace("5}", "5e0}")
    assert client.post("/api/chat/openai", data=content).status_code == 200
    sent = upstream.requests[0].json
    assert repr([sent["seed"], sent["max_tokens"]]) == "[7, 5]"
    assert "Not a valid integer" in refused(client, body(seed=7.5), 422)


HOSTILE = {
    "twins": b"{" + b"".join(b'"%d":1,' % i for i in range(100_000)) + b'"0":1,"0":1}',
    "stop": json.dumps(body(stop=[1] * 10**6)).encode(),
    "tools": json.dumps(body(tools=[1] * 10**6)).encode(),
    "tool_calls": json.dumps(with_message(role="assistant", tool_calls=[1] * 10**6)).encode(),
    "parts": json.dumps(changed(messages=[{"role": "user", "content": [1] * 250}] * 50)).encode(),
    "fields": json.dumps(with_message(**{str(i): i for i in range(200_000)})).encode(),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_body_costs_little_more_than_its_parsing(
    client: FlaskClient, content: bytes
) -> None:
    started = time.process_time()
    status = 400 if content.startswith(b'{"0"') else 422
    refused(client, content, status)
    assert time.process_time() - started < 5  # minutes to hours, if it were not looked after


def test_an_odd_name_of_a_field_is_told(client: FlaskClient) -> None:
    assert "\ud800: Unknown field" in refused(client, b'{"\\ud800": 1}', 422)


def test_at_most_twenty_errors_are_told(client: FlaskClient) -> None:
    message = refused(client, changed(messages=[{"role": 1}] * 50), 422)
    assert message.count("messages.") == 20
    assert message.endswith("and more")
    assert len(message) < 2000


def test_nothing_the_client_sent_stands_in_the_error(client: FlaskClient) -> None:
    assert "sk-secret" not in refused(client, changed(apiKey="sk-secret"), 422)


def test_a_large_body_is_refused(client: FlaskClient, app: Flask) -> None:
    message = refused(client, b" " * (16 * 2**20 + 1), 413)
    assert message == "The request body is too large; at most 16777216 bytes are taken."


def test_the_hosts_own_routes_keep_their_limit(client: FlaskClient, app: Flask) -> None:
    from flask import request

    @app.post("/upload")
    def upload() -> str:
        return str(len(request.get_data()))

    app.config["MAX_CONTENT_LENGTH"] = 10
    assert client.post("/upload", data=b"x" * 11).status_code == 413
    with client.post(URL, data=json.dumps(body())) as response:
        assert response.status_code == 200


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}, True),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://app.localhost"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://app.example.com"}, True),
        ({"Origin": "https://APP.example.com"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "http://localhost.evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://["}, False),
        ({"Origin": "http://localhost"}, True),
        ({"Origin": "https://localhost"}, True),  # TLS ended in front of us
    ],
)
def test_the_cross_site_rule(
    client: FlaskClient, app: Flask, upstream: FakeUpstream, headers: dict[str, str], allowed: bool
) -> None:
    app = make_app(upstream, config={"LLMCHAT_TRUSTED_ORIGINS": ["https://app.example.com"]})
    for content_type in ("text/plain", None, "text/plain; application/json"):
        with app.test_client().post(
            URL, data=json.dumps(body()), content_type=content_type, headers=headers
        ) as response:
            assert response.status_code == (200 if allowed else 403)
    # A browser asks before it sends this type across sites, so it needs no rule of ours.
    with app.test_client().post(URL, json=body(), headers=headers) as response:
        assert response.status_code == 200


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
def test_other_methods_are_refused(client: FlaskClient, method: str) -> None:
    response = getattr(client, method)(URL)
    assert response.status_code == 405
    assert response.headers["Allow"] == "POST, OPTIONS"
    assert response.get_json()["message"] == f"{method.upper()} is not allowed here; use POST."


def test_an_unknown_provider_is_named_unknown(client: FlaskClient) -> None:
    response = client.post("/api/chat/nobody", json=body())
    assert response.status_code == 404
    assert "openai, azure, anthropic" in response.get_json()["message"]


def test_options_is_answered_for_cors(client: FlaskClient) -> None:
    assert client.options(URL).headers["Allow"] == "POST, OPTIONS"


def test_no_profile_is_401(upstream: FakeUpstream) -> None:
    client = make_app(upstream, profile=None).test_client()
    assert refused(client, body(), 401) == "Profile not found"
    assert refused(client, b"junk", 401) == "Profile not found"
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("provider", "label"),
    [
        ("openai", "OpenAI"),
        ("azure", "Azure OpenAI"),
        ("openrouter", "OpenRouter"),
        ("groq", "Groq"),
    ],
)
def test_a_missing_key_is_told_in_the_same_words_everywhere(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch, provider: str, label: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-environment")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "environment")
    for nothing in (None, "", "  \u200b "):
        profile = profile_for(upstream) | {
            f"{provider}_api_key": nothing,
            "azure_openai_api_key": nothing,
        }
        client = make_app(upstream, profile=profile).test_client()
        response = client.post(f"/api/chat/{provider}", json=body())
        assert response.status_code == 400
        assert response.get_json()["code"] == "missing_key"
        assert response.get_json()["message"] == (
            f"{label} API Key not found. Please set it in your profile settings."
        )
    assert upstream.requests == []


def test_a_key_is_stripped(upstream: FakeUpstream) -> None:
    profile = {"openai_api_key": "\ufeff sk-pasted\n\u200b"}
    with make_app(upstream, profile=profile).test_client().post(URL, json=body()) as response:
        assert response.status_code == 200
    assert upstream.requests[0].headers["Authorization"] == "Bearer sk-pasted"


@pytest.mark.parametrize("key", ["sk-a\u200bb", "sk-a b", "sk-a\nb", "sk-ключ"])
def test_a_key_that_cannot_be_sent_is_a_bad_key(upstream: FakeUpstream, key: str) -> None:
    client = make_app(upstream, profile={"openai_api_key": key}).test_client()
    response = client.post(URL, json=body())
    assert response.status_code == 401
    assert response.get_json()["code"] == "bad_key"
    assert upstream.requests == []


def test_hooks_may_change_a_chat(upstream: FakeUpstream) -> None:
    llmchat = LLMChat()

    @llmchat.before_chat
    def add_system_prompt(chat: ChatRequest) -> None:
        chat.messages.insert(0, {"role": "system", "content": "Be brief."})
        chat.model = "gpt-4o-mini"
        chat.temperature = None

    with make_app(upstream, llmchat=llmchat).test_client().post(URL, json=body()) as response:
        assert response.status_code == 200
    sent = upstream.requests[0].json
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    assert sent["model"] == "gpt-4o-mini"
    assert "temperature" not in sent


def test_hooks_may_refuse_a_chat(upstream: FakeUpstream) -> None:
    llmchat = LLMChat()

    @llmchat.before_chat
    def quota(chat: ChatRequest) -> None:
        if chat.provider == "groq":
            abort(403, "Not for you.")
        raise ChatError("That was enough for today.", "rate_limited", retry_after=3600)

    client = make_app(upstream, llmchat=llmchat).test_client()
    response = client.post(URL, json=body())
    assert (response.status_code, response.headers["Retry-After"]) == (429, "3600")
    assert response.get_json()["message"] == "That was enough for today."
    assert response.get_json()["provider"] == "openai"
    response = client.post("/api/chat/groq", json=body())
    assert response.status_code == 403
    assert response.get_json() | {"request_id": ""} == {
        "message": "Not for you.",
        "code": "no_permission",
        "provider": "groq",
        "request_id": "",
    }
    assert upstream.requests == []


def test_what_nobody_foresaw_is_told_in_json_and_nothing_more(upstream: FakeUpstream) -> None:
    llmchat = LLMChat()

    @llmchat.before_chat
    def fails(chat: ChatRequest) -> None:
        raise ZeroDivisionError("secret detail")

    client = make_app(upstream, llmchat=llmchat).test_client()
    response = client.post(URL, json=body())
    assert response.status_code == 500
    assert response.get_json()["message"] == "An unexpected error occurred"
    assert response.get_json()["code"] == "internal"
    assert "secret" not in response.text
