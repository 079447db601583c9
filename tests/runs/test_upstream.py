"""What is sent to a provider, byte for byte at a real socket."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest

from flask_llmchat.testing import (
    CUT,
    HOLD,
    FakeUpstream,
    ReceivedRequest,
    Reply,
    error_reply,
    text_reply,
)
from flask_llmchat.transport import runtime
from tests.support.apps import FOUR, KEYS, body, finished, make_app, profile_for


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test an SDK client of its own, made in the environment that it sets."""
    fresh = runtime.Runtime()
    monkeypatch.setattr(runtime, "_current", fresh)
    yield
    for sdk in fresh.sdks.values():
        sdk.close()


def sent(
    upstream: FakeUpstream,
    provider: str = "openai",
    profile: Any = ...,
    config: dict[str, Any] | None = None,
    **settings: Any,
) -> ReceivedRequest:
    """Post a chat; return the request the provider received."""
    app = make_app(upstream, profile=profile, config=config)
    with app.test_client().post(f"/api/chat/{provider}", json=body(**settings)) as response:
        assert response.status_code == 200, response.text
    return upstream.requests[-1]


MESSAGES = body()["messages"]
USAGE = {"include_usage": True}


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        ("openai", {"model": "gpt-4.1", "stream_options": USAGE}),
        ("azure", {"model": "my-deployment", "stream_options": USAGE}),
        ("openrouter", {"model": "gpt-4.1", "stream_options": USAGE}),
        ("groq", {"model": "gpt-4.1", "stream_options": USAGE}),
    ],
)
def test_the_request_body_is_exactly_this(
    upstream: FakeUpstream, provider: str, expected: dict[str, Any]
) -> None:
    request = sent(upstream, provider)
    whole = {
        "model": expected["model"],
        "messages": MESSAGES,
        "stream": True,
        "stream_options": USAGE,
        "temperature": 0.5,
    }
    assert request.body == json.dumps(whole, separators=(",", ":")).encode()
    assert request.method == "POST"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Accept"] == "text/event-stream"


def test_every_optional_setting_is_sent(upstream: FakeUpstream) -> None:
    settings = {
        "maxTokens": 100,
        "topP": 0.9,
        "stop": ["END"],
        "seed": 7,
        "responseFormat": {"type": "json_object"},
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "toolChoice": "auto",
    }
    request = sent(upstream, "groq", **settings).json
    del request["messages"]
    assert request == {
        "model": "gpt-4.1",
        "stream": True,
        "stream_options": USAGE,
        "temperature": 0.5,
        "max_tokens": 100,
        "top_p": 0.9,
        "stop": ["END"],
        "seed": 7,
        "response_format": {"type": "json_object"},
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": "auto",
    }


def test_text_that_is_not_ascii_is_sent_as_utf8(upstream: FakeUpstream) -> None:
    assert "Grüße 😀 \u2028".encode() in sent(upstream, text="Grüße 😀 \u2028").body


@pytest.mark.parametrize(
    ("provider", "model", "settings", "token_limit"),
    [
        # What the original routes sent.
        ("openai", "gpt-4-vision-preview", {}, {"max_tokens": 4096}),
        ("openai", "gpt-4o", {}, {"max_tokens": 4096}),
        ("openai", "gpt-4-turbo-preview", {}, {}),
        ("openai", "gpt-3.5-turbo", {}, {}),
        ("groq", "llama3-8b-8192", {}, {"max_tokens": 8192}),
        ("groq", "mixtral-8x7b-32768", {}, {"max_tokens": 4096}),
        ("groq", "gemma-7b-it", {}, {"max_tokens": 8192}),
        ("openrouter", "openai/gpt-4o-mini", {}, {}),
        # What is not known is passed on, without a limit.
        ("openai", "gpt-unheard-of", {}, {}),
        ("groq", "unheard-of", {}, {}),
        # The client's own limit, under the name the model takes.
        ("openai", "gpt-4o", {"maxTokens": 9}, {"max_tokens": 9}),
        ("openai", "gpt-5-mini", {"maxTokens": 9}, {"max_completion_tokens": 9}),
        ("openai", "o3", {"maxTokens": 9}, {"max_completion_tokens": 9}),
        ("openai", "gpt-unheard-of", {"maxTokens": 9}, {"max_completion_tokens": 9}),
        ("azure", "gpt-5", {"maxTokens": 90}, {"max_output_tokens": 90}),
        ("groq", "openai/gpt-oss-120b", {"maxTokens": 9}, {"max_tokens": 9}),
    ],
)
def test_the_token_limit_has_the_models_parameter(
    upstream: FakeUpstream,
    provider: str,
    model: str,
    settings: dict[str, Any],
    token_limit: dict[str, int],
) -> None:
    request = sent(upstream, provider, model=model, **settings).json
    assert {name: value for name, value in request.items() if name.startswith("max")} == token_limit


@pytest.mark.parametrize(
    ("provider", "model", "settings", "taken"),
    [
        ("openai", "gpt-4.1", {}, True),
        ("openai", "gpt-5-chat-latest", {}, True),
        ("openai", "gpt-5", {}, False),
        ("openai", "gpt-5.4-2026-03-05", {}, False),
        ("openai", "gpt-7-anything", {}, False),
        ("openai", "o3-mini", {}, False),
        ("openai", "gpt-5.1", {}, True),
        ("openai", "gpt-5.1", {"reasoningEffort": "high"}, False),
        ("openai", "gpt-5.4", {"reasoningEffort": "none"}, True),
        ("azure", "gpt-5", {}, False),
        ("groq", "openai/gpt-oss-120b", {"reasoningEffort": "low"}, True),
        ("openrouter", "openai/gpt-5-mini", {}, True),
    ],
)
def test_temperature_goes_only_to_models_that_take_it(
    upstream: FakeUpstream, provider: str, model: str, settings: dict[str, Any], taken: bool
) -> None:
    request = sent(upstream, provider, model=model, topP=0.5, **settings).json
    assert ("temperature" in request, "top_p" in request) == (taken, taken)


@pytest.mark.parametrize(
    ("model", "roles"),
    [
        ("o1-mini-2024-09-12", ["user", "user"]),
        ("o1-preview", ["user", "user"]),
        ("o1", ["system", "user"]),
    ],
)
def test_system_messages_go_only_to_models_that_take_them(
    upstream: FakeUpstream, model: str, roles: list[str]
) -> None:
    messages = sent(upstream, model=model).json["messages"]
    assert [m["role"] for m in messages] == roles
    assert [m["content"] for m in messages] == [m["content"] for m in MESSAGES]


def test_null_temperature_is_left_out(upstream: FakeUpstream) -> None:
    assert "temperature" not in sent(upstream, temperature=None).json


@pytest.mark.parametrize("provider", FOUR)
def test_each_provider_gets_its_own_key_and_no_other(upstream: FakeUpstream, provider: str) -> None:
    request = sent(upstream, provider)
    key = KEYS[f"{provider}_api_key" if provider != "azure" else "azure_openai_api_key"]
    if provider == "azure":
        assert request.headers["api-key"] == key
        assert request.headers["Authorization"] is None
    else:
        assert request.headers["Authorization"] == f"Bearer {key}"
        assert request.headers["api-key"] is None
    everything = f"{request.path} {request.query} {request.headers.items()} {request.body!r}"
    for other in KEYS.values():
        assert (other in everything) == (other == key)


def test_the_organization_goes_to_openai_alone(upstream: FakeUpstream) -> None:
    for provider in FOUR:
        request = sent(upstream, provider, profile_for(upstream, openai_organization_id="org-1"))
        assert request.headers["OpenAI-Organization"] == ("org-1" if provider == "openai" else None)


def test_an_organization_that_cannot_be_sent_is_told(upstream: FakeUpstream) -> None:
    profile = profile_for(upstream, openai_organization_id="org\nX-Evil: 1")
    response = (
        make_app(upstream, profile=profile).test_client().post("/api/chat/openai", json=body())
    )
    assert response.status_code == 400
    assert "OpenAI-Organization is not valid" in response.get_json()["message"]


@pytest.mark.parametrize("provider", FOUR)
def test_nothing_of_the_environment_reaches_a_provider(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-ambient")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-ambient-admin")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-ambient")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-ambient")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/ambient")
    monkeypatch.setenv(
        "OPENAI_CUSTOM_HEADERS", "X-Ambient: ambient\nAuthorization: Bearer ambient\napi-key: amb"
    )
    request = sent(upstream, provider)
    assert "ambient" not in str(request.headers.items()).lower()
    assert request.headers["api-key"] in (None, KEYS["azure_openai_api_key"])
    assert request.headers["OpenAI-Project"] is None


def test_azures_dated_address(upstream: FakeUpstream) -> None:
    request = sent(upstream, "azure")
    assert request.path == "/openai/deployments/my-deployment/chat/completions"
    assert request.query == {"api-version": "2024-10-21"}


def test_azures_version_of_the_profile(upstream: FakeUpstream) -> None:
    profile = profile_for(upstream, azure_openai_api_version="2023-12-01-preview")
    request = sent(upstream, "azure", profile)
    assert request.query == {"api-version": "2023-12-01-preview"}
    assert "stream_options" not in request.json  # it came with a later version


@pytest.mark.parametrize("slash", ["", "/"])
def test_azures_version_free_address(upstream: FakeUpstream, slash: str) -> None:
    profile = profile_for(upstream, azure_openai_endpoint=f"{upstream.url}/openai/v1{slash}")
    request = sent(upstream, "azure", profile)
    assert (request.path, request.query) == ("/openai/v1/chat/completions", {})
    assert request.json["model"] == "my-deployment"


@pytest.mark.parametrize(
    ("model", "attribute"),
    [
        ("gpt-3.5-turbo", "azure_openai_35_turbo_id"),
        ("gpt-4-turbo-preview", "azure_openai_45_turbo_id"),
        ("gpt-4-vision-preview", "azure_openai_45_vision_id"),
    ],
)
def test_azures_three_old_deployment_ids(
    upstream: FakeUpstream, model: str, attribute: str
) -> None:
    profile = profile_for(upstream, azure_openai_deployments=None, **{attribute: "dep/../x"})
    request = sent(upstream, "azure", profile, model=model)
    assert request.path == "/openai/deployments/dep%2F..%2Fx/chat/completions"
    mapped = profile | {"azure_openai_deployments": {model: "mapped"}}
    assert sent(upstream, "azure", mapped, model=model).json["model"] == "mapped"


@pytest.mark.parametrize(
    ("missing", "model", "message"),
    [
        ({}, "gpt-unknown", "Model not found"),
        ({"azure_openai_deployments": None}, "gpt-4.1", "Model not found"),
        ({}, "gpt-3.5-turbo", "Azure resources not found"),
        ({"azure_openai_deployments": {"gpt-4.1": ""}}, "gpt-4.1", "Azure resources not found"),
        ({"azure_openai_endpoint": None}, "gpt-4.1", "Azure resources not found"),
        (
            {"azure_openai_endpoint": "my-resource"},
            "gpt-4.1",
            "Azure OpenAI endpoint is not an http(s) URL",
        ),
    ],
)
def test_what_azure_lacks_is_told(
    upstream: FakeUpstream, missing: dict[str, Any], model: str, message: str
) -> None:
    client = make_app(upstream, profile=profile_for(upstream, **missing)).test_client()
    response = client.post("/api/chat/azure", json=body(model))
    assert response.status_code == 400
    assert response.get_json()["message"].startswith(message)
    assert upstream.requests == []


def test_the_operators_address_goes_before_the_profiles(upstream: FakeUpstream) -> None:
    profile = profile_for(azure_openai_endpoint="https://user.example")
    config = {"LLMCHAT_BASE_URLS": {"azure": upstream.url + "/"}}
    assert sent(upstream, "azure", profile, config).path.startswith("/openai/deployments/")


def test_a_redirect_is_not_followed(upstream: FakeUpstream) -> None:
    with FakeUpstream() as elsewhere:
        upstream.add(Reply(307, {"Location": f"{elsewhere.base_url}/chat/completions"}, [b"go"]))
        app = make_app(upstream, config={"LLMCHAT_MAX_RETRIES": 0})
        response = app.test_client().post("/api/chat/azure", json=body())
        assert response.status_code == 502
        assert elsewhere.requests == []


def test_no_proxy_stands_before_this_machine(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert sent(upstream)


def test_a_proxy_of_the_environment_is_used(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", upstream.url)
    monkeypatch.setenv("http_proxy", upstream.url)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    request = sent(upstream, config={"LLMCHAT_BASE_URLS": {"openai": "http://provider.example/v1"}})
    assert request.headers["Host"] == "provider.example"


@pytest.mark.parametrize("steps", [[b"half", CUT], [b"half", HOLD]])
def test_an_error_whose_body_fails_is_told_by_its_status(
    upstream: FakeUpstream, steps: list[Any]
) -> None:
    upstream.add(*[Reply(503, body=steps)] * 2)
    app = make_app(upstream, config={"LLMCHAT_READ_TIMEOUT": 0.5, "LLMCHAT_MAX_RETRIES": 0})
    response = app.test_client().post("/api/chat/openai", json=body())
    expected = [(503, "overloaded")]
    if HOLD in steps:  # whichever notices the silence first, the read or the watch
        expected.append((504, "timeout"))
    assert (response.status_code, response.get_json()["code"]) in expected


@pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, gzip"])
def test_an_errors_body_is_not_decoded(upstream: FakeUpstream, encoding: str) -> None:
    bomb = gzip.compress(b"\0" * 10**8)
    upstream.add(Reply(400, {"Content-Encoding": encoding}, [bomb]))
    app = make_app(upstream)
    started = time.process_time()
    response = app.test_client().post("/api/chat/openai", json=body())
    assert response.status_code == 400
    assert response.get_json()["message"] == "OpenAI could not answer (status 400)."
    assert time.process_time() - started < 1


def test_no_compression_is_asked_for(upstream: FakeUpstream) -> None:
    assert sent(upstream).headers["Accept-Encoding"] == "identity"


def test_cookies_are_not_kept(upstream: FakeUpstream) -> None:
    reply = text_reply("Hello")
    upstream.add(Reply(headers={"Set-Cookie": "user=1; Path=/"}, body=reply.body))
    sent(upstream)
    assert sent(upstream).headers["Cookie"] is None


# Retries


def statuses(upstream: FakeUpstream, *replies: Reply, retries: int = 1) -> tuple[int, int]:
    """Answer with these; return the status the client got, and how many calls there were."""
    upstream.add(*replies)
    app = make_app(upstream, config={"LLMCHAT_MAX_RETRIES": retries})
    with app.test_client().post("/api/chat/openai", json=body()) as response:
        return response.status_code, len(upstream.requests)


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 529])
def test_what_may_pass_is_tried_again(upstream: FakeUpstream, status: int) -> None:
    assert statuses(upstream, error_reply(status, "Busy")) == (200, 2)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422])
def test_what_will_not_pass_is_not(upstream: FakeUpstream, status: int) -> None:
    assert statuses(upstream, error_reply(status, "No")) == (status, 1)


@pytest.mark.parametrize(
    ("code", "headers", "expected"),
    [
        ("rate_limit_exceeded", {}, (200, 2)),
        ("rate_limit_exceeded", {"Retry-After": "0"}, (200, 2)),
        ("rate_limit_exceeded", {"Retry-After": "60"}, (429, 1)),
        ("rate_limit_exceeded", {"Retry-After": "Fri, 20 Nov 2020 10:00:00 GMT"}, (200, 2)),
        ("rate_limit_exceeded", {"Retry-After": formatdate(time.time() + 3600)}, (429, 1)),
        ("rate_limit_exceeded", {"x-should-retry": "false"}, (429, 1)),
        ("insufficient_quota", {}, (429, 1)),
        ("credit_balance_exhausted", {}, (429, 1)),
        ("project_spend_limit_exceeded", {}, (429, 1)),
    ],
)
def test_429_is_tried_again_for_rate_and_never_for_money(
    upstream: FakeUpstream, code: str, headers: dict[str, str], expected: tuple[int, int]
) -> None:
    reply = error_reply(429, "Wait", code=code, headers=headers)
    assert statuses(upstream, reply) == expected


@pytest.mark.slow
def test_max_retries_bounds_the_attempts(upstream: FakeUpstream) -> None:
    assert statuses(upstream, *[error_reply(500, "Busy")] * 3, retries=2) == (500, 3)
    upstream.requests.clear()
    assert statuses(upstream, error_reply(500, "Busy"), retries=0) == (500, 1)


def test_the_deadline_is_kept_while_retrying(upstream: FakeUpstream) -> None:
    upstream.add(*[error_reply(500, "Busy")] * 9)
    app = make_app(upstream, config={"LLMCHAT_MAX_RETRIES": 9, "LLMCHAT_DEADLINE": 0.6})
    started = time.monotonic()
    assert app.test_client().post("/api/chat/openai", json=body()).status_code == 500
    assert time.monotonic() - started < 1


def test_a_provider_that_cannot_be_reached(upstream: FakeUpstream) -> None:
    app = make_app(upstream)
    upstream.stop()
    with finished(app) as done:
        response = app.test_client().post("/api/chat/openai", json=body())
    assert response.status_code == 502
    assert response.get_json()["message"] == "OpenAI could not be reached. Please try again."
    assert done.only.outcome == "upstream_error"


@pytest.mark.slow
def test_a_provider_that_does_not_answer() -> None:
    def slow(request: ReceivedRequest) -> Reply:
        time.sleep(1)
        return text_reply("late")

    with FakeUpstream(slow) as late:
        app = make_app(late, config={"LLMCHAT_READ_TIMEOUT": 0.3})
        response = app.test_client().post("/api/chat/openai", json=body())
    assert response.status_code == 504
    assert response.get_json()["code"] == "timeout"


def test_importing_the_package_does_not_import_the_sdk() -> None:
    late = ("openai", "httpx2", "urllib3")
    code = f"import sys, flask_llmchat; print([m for m in {late} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert run.stdout.strip() == "[]"
