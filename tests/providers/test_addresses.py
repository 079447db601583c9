"""Addresses as people paste them: understood, or refused with the part to leave out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flask_llmchat import ChatError, ChatRequest, Endpoint, LLMChat, Provider, builtin_providers
from flask_llmchat.core.addresses import read_address
from flask_llmchat.testing import FakeUpstream, Reply
from tests.support.apps import body, make_app, profile_for
from tests.support.recordings import CASES, needs_cases

ROWS = {row.name: row for row in builtin_providers}

UNDERSTOOD = {
    "https://llm.example/v1": "https://llm.example/v1",
    "  https://llm.example/v1/ \n": "https://llm.example/v1",
    "\u200bhttps://llm.example/v1\ufeff": "https://llm.example/v1",
    "HTTPS://llm.example/v1": "https://llm.example/v1",
    "https://llm.example/v1//": "https://llm.example/v1",
    "https://llm.example": "https://llm.example",
    "https://llm.example/v1/chat/completions": "https://llm.example/v1",
    "https://llm.example/v1/chat/completions/": "https://llm.example/v1",
    "https://llm.example/v1/Chat/Completions": "https://llm.example/v1",
    "https://llm.example/v1/completions": "https://llm.example/v1",
    "https://llm.example/v1/responses": "https://llm.example/v1",
    "https://llm.example/v1/messages": "https://llm.example/v1",
    "https://llm.example/v1/embeddings": "https://llm.example/v1",
    "https://responses.example/": "https://responses.example",
    "http://responses": "http://responses",
    "https://llm.example/models": "https://llm.example/models",  # Azure's, where chats are
    "https://llm.example/openai/v1?api-version=preview": (
        "https://llm.example/openai/v1?api-version=preview"
    ),
    "https://llm.example/v1?": "https://llm.example/v1",
    "http://[::1]:8000/v1/": "http://[::1]:8000/v1",
}

REFUSED = {
    "": "is not an http(s) URL",
    "llm.example/v1": "is not an http(s) URL",
    "localhost:11434/v1": "is not an http(s) URL",
    "ftp://llm.example": "is not an http(s) URL",
    "https://llm.example\\@evil.example/v1": "is not an http(s) URL",
    "https://user:hush@llm.example/v1": "leave out what stands before the '@'",
    "https://llm.example/v1?key=hush": "leave out what follows the '?'",
    "https://llm.example/v1?hush": "leave out what follows the '?'",
    "https://llm.example/v1?api-version=1&key=hush": "leave out what follows the '?'",
    "https://llm.example/v1?api-version=1&api-version=2": "leave out what follows the '?'",
    "https://llm.example/v1#hush": "'#': leave it out",
    "https://llm.example/" + "hush" * 600: "is longer than 2000 characters",
}


@pytest.mark.parametrize(("given", "understood"), UNDERSTOOD.items())
def test_an_address_is_understood(given: str, understood: str) -> None:
    address = read_address(given)
    assert str(address) == understood
    assert read_address(str(address)) == address


@pytest.mark.parametrize(("given", "told"), REFUSED.items())
def test_an_address_is_refused_in_every_place_it_may_stand(given: str, told: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_address(given)
    refusals = [str(caught.value)]
    with pytest.raises(ValueError, match=r"LLMCHAT_BASE_URLS\['openai'\]") as at:
        make_app(config={"LLMCHAT_BASE_URLS": {"openai": given}})
    refusals.append(str(at.value))
    if given:
        with pytest.raises(ValueError, match="provider 'acme': its base_url ") as at:
            Provider(name="acme", label="Acme", base_url=given)
        refusals.append(str(at.value))
        with pytest.raises(ChatError) as error:
            azure(given)
        refusals.append(error.value.message)
    with pytest.raises(ChatError) as error:
        custom(given)
    refusals.append(error.value.message)
    assert all(told in refusal and "hush" not in refusal for refusal in refusals), refusals


def test_reading_a_hostile_address_is_no_work() -> None:
    for given in ("https://x" + "/" * 10**6, "https://" + "@" * 10**6, "?" * 10**6):
        with pytest.raises(ValueError, match="is longer than"):
            read_address(given)


def chat(row: str, model: str = "gpt-4.1", **fields: Any) -> ChatRequest:
    return ChatRequest(provider=row, model=model, messages=[], **fields)


def azure(endpoint: str, **profile: Any) -> tuple[str, dict[str, str]]:
    given = profile_for() | {"azure_openai_endpoint": endpoint, **profile}
    target = ROWS["azure"].target(ROWS["azure"], chat("azure", profile=given), "k", "")
    return target.base_url, dict(target.query)


def custom(base_url: str) -> tuple[str, dict[str, str]]:
    one = chat("custom", endpoint=Endpoint(base_url))
    target = ROWS["custom"].target(ROWS["custom"], one, "", "")
    return target.base_url, dict(target.query)


DATED = "/openai/deployments/my-deployment"
RESOURCE = "https://res.openai.azure.com"


@pytest.mark.parametrize(
    ("endpoint", "url", "version"),
    [
        ("", DATED, "2024-10-21"),
        ("/", DATED, "2024-10-21"),
        ("/openai", DATED, "2024-10-21"),
        ("/openai/", DATED, "2024-10-21"),
        ("/openai/deployments", DATED, "2024-10-21"),
        ("/openai/deployments/another", DATED, "2024-10-21"),
        ("/openai/deployments/another/chat/completions", DATED, "2024-10-21"),
        (
            "/openai/deployments/a/chat/completions?api-version=2025-01-01-preview",
            DATED,
            "2025-01-01-preview",
        ),
        ("/api/openai", f"/api{DATED}", "2024-10-21"),
        ("/openai/v1", "/openai/v1", None),
        ("/openai/v1/", "/openai/v1", None),
        ("/openai/v1/chat/completions", "/openai/v1", None),
        ("/openai/v1/responses", "/openai/v1", None),
        ("/openai/v1?api-version=preview", "/openai/v1", "preview"),
    ],
)
def test_azures_endpoint_in_any_form(endpoint: str, url: str, version: str | None) -> None:
    expected = (RESOURCE + url, {"api-version": version} if version else {})
    assert azure(RESOURCE + endpoint) == expected


def test_the_profiles_version_goes_before_the_addresss() -> None:
    _, query = azure(f"{RESOURCE}?api-version=2025-01-01", azure_openai_api_version="2024-12-01")
    assert query == {"api-version": "2024-12-01"}


@pytest.mark.parametrize(
    ("endpoint", "query"),
    [
        ("", {}),
        ("/?api-version=2024-10-21", {}),
        ("/openai/deployments/other/chat/completions?api-version=2025-01-01", {}),
        ("/openai/v1", {}),
        ("/openai/v1/responses?api-version=preview", {"api-version": "preview"}),
    ],
)
def test_azures_responses_are_at_its_version_free_address(
    endpoint: str, query: dict[str, str]
) -> None:
    profile = profile_for() | {"azure_openai_endpoint": RESOURCE + endpoint}
    row = ROWS["azure"].speaking("responses")
    target = row.target(row, chat("azure", profile=profile), "k", "")
    assert (target.base_url, target.query) == (f"{RESOURCE}/openai/v1", query)
    assert target.model == "my-deployment"


ENTRA = "eyJhbGciOiJSUzI1NiJ9.eyJvaWQiOiIxIn0.c2lnbmF0dXJl-_"


@pytest.mark.parametrize(
    ("key", "header", "value"),
    [
        (ENTRA, "Authorization", f"Bearer {ENTRA}"),
        ("0123456789abcdef" * 2, "api-key", "0123456789abcdef" * 2),
        ("eyJhbGciOiJSUzI1NiJ9", "api-key", "eyJhbGciOiJSUzI1NiJ9"),
        ("a.b.c", "api-key", "a.b.c"),
    ],
)
def test_azure_gets_a_token_of_entra_as_a_bearer(key: str, header: str, value: str) -> None:
    target = ROWS["azure"].target(ROWS["azure"], chat("azure", profile=profile_for()), key, "")
    assert target.headers == {header: value}
    assert key in target.secrets()


def test_the_operators_azure_address_is_read_alike(upstream: FakeUpstream) -> None:
    pasted = f"{upstream.url}/openai/deployments/x/chat/completions?api-version=2025-03-01"
    app = make_app(upstream, config={"LLMCHAT_BASE_URLS": {"azure": pasted}})
    with app.test_client().post("/api/chat/azure", json=body()) as response:
        assert response.status_code == 200
    (request,) = upstream.requests
    assert request.path == f"{DATED}/chat/completions"
    assert request.query == {"api-version": "2025-03-01"}


@pytest.mark.parametrize("pasted", ["/v1/chat/completions", "/v1/ ", "/v1?api-version=9"])
def test_a_pasted_address_is_called(upstream: FakeUpstream, pasted: str) -> None:
    llmchat = LLMChat(providers=[*builtin_providers, Provider(name="acme", label="Acme",
                                 base_url=upstream.url + pasted)])  # fmt: skip
    llmchat.endpoint_loader(lambda _: Endpoint(upstream.url + pasted))
    config = {
        "LLMCHAT_BASE_URLS": {"openai": upstream.url + pasted},
        "LLMCHAT_ALLOW_PRIVATE_ENDPOINTS": True,
    }
    app = make_app(profile=profile_for(other_keys={"acme_api_key": "k"}), llmchat=llmchat,
                   config=config)  # fmt: skip
    for name in ("openai", "acme", "custom"):
        posted = {**body(), "endpointId": "e"}
        with app.test_client().post(f"/api/chat/{name}", json=posted) as response:
            assert response.status_code == 200, response.text
    version = {"api-version": "9"} if "?" in pasted else {}
    assert [(r.path, r.query) for r in upstream.requests] == [("/v1/chat/completions", version)] * 3


@pytest.mark.parametrize(
    ("name", "given", "called"),
    [
        ("ollama", "http://localhost:11434", "http://localhost:11434/v1"),
        ("ollama", "http://localhost:11434/api/v1/", "http://localhost:11434/api/v1"),
        ("vllm", "http://gpu:8000/", "http://gpu:8000/v1"),
        ("openai", "https://api.openai.com", "https://api.openai.com/v1"),
        ("openai", "https://proxy.example", "https://proxy.example"),
        ("groq", "https://api.groq.com/", "https://api.groq.com/openai/v1"),
        ("deepseek", "https://api.deepseek.com/beta", "https://api.deepseek.com/beta"),
    ],
)
def test_a_forgotten_path_is_added_where_it_is_known(name: str, given: str, called: str) -> None:
    row = ROWS[name]
    target = row.target(row, chat(name, profile={}), "k", given)
    assert target.base_url == called


def test_the_terminal_shows_the_address_that_is_called() -> None:
    app = make_app(config={"LLMCHAT_BASE_URLS": {"ollama": "http://localhost:11434/"}})
    shown = app.test_cli_runner().invoke(args=["llmchat", "providers"]).output
    assert "http://localhost:11434/v1" in shown


def test_the_log_says_which_address_was_called_in_vain(
    upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.add(Reply(404, {"Content-Type": "text/html"}, [b"<h1>Not Found</h1>"]))
    app = make_app(upstream, config={"LLMCHAT_BASE_URLS": {"openai": f"{upstream.url}/api/v2"}})
    response = app.test_client().post("/api/chat/openai", json=body())
    assert response.get_json()["message"] == "OpenAI could not answer (status 404)."
    assert f"{upstream.url}/api/v2/chat/completions: " in caplog.text


@needs_cases
def test_reported_forms_of_addresses_are_understood() -> None:
    reported = json.loads((CASES / "27-endpoint-forms.json").read_text())
    for endpoint in reported["azure_openai_endpoint"]:
        url, _ = azure(endpoint)
        assert url.count("/openai/") == 1 and "/chat/completions" not in url
    assert [custom(url) for url in reported["custom_base_url"]] == [
        ("https://llm.example/v1", {}),
        ("https://llm.example/openai/v1", {"api-version": "preview"}),
    ]
