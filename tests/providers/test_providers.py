"""Every row: its route, its address, its key, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flask_llmchat import (
    ChatRequest,
    Endpoint,
    LLMChat,
    Profile,
    Provider,
    Target,
    builtin_providers,
)
from flask_llmchat.models.catalogue import CATALOGUE
from flask_llmchat.models.lookup import get_model
from flask_llmchat.protocols.chat_completions.request import build_body
from flask_llmchat.testing import FakeUpstream, ReceivedRequest, error_reply, text_reply
from tests.support.apps import body, finished, make_app

ROWS = {row.name: row for row in builtin_providers}
HOSTED = [row for row in builtin_providers if row.name not in ("azure", "custom")]


def keys_for(*rows: Provider) -> dict[str, str]:
    return {row.key_attr: f"planted-key-of-{row.name}" for row in rows if row.key_attr}


def app_for(upstream: FakeUpstream, *rows: Provider, **config: Any) -> Any:
    llmchat = LLMChat(providers=rows or builtin_providers)
    llmchat.endpoint_loader(lambda _: Endpoint(upstream.base_url, None, None))
    profile = keys_for(*builtin_providers) | {
        "azure_openai_endpoint": upstream.url,
        "azure_openai_deployments": {"m": "d"},
    }
    config = {"LLMCHAT_ALLOW_PRIVATE_ENDPOINTS": True, **config}
    return make_app(upstream, profile=profile, llmchat=llmchat, config=config)


def sent(upstream: FakeUpstream, row: Provider, **settings: Any) -> ReceivedRequest:
    posted = {**body(model="m"), **settings.pop("posted", {}), "endpointId": "e1"}
    posted["chatSettings"] = {**posted["chatSettings"], **settings}
    path = f"/api/chat/{row.name}"
    with app_for(upstream, row).test_client().post(path, json=posted) as response:
        assert response.status_code == 200, response.text
    return upstream.requests[-1]


@pytest.mark.parametrize("row", builtin_providers, ids=lambda row: str(row.name))
def test_every_row_has_a_line_in_the_docs(row: Provider) -> None:
    docs = (Path(__file__).parents[2] / "docs" / "providers.md").read_text()
    assert f"\n| `{row.name}` | {row.label} |" in docs


def test_names_and_addresses() -> None:
    assert {row.name: row.base_url for row in HOSTED} == {
        "openai": "https://api.openai.com/v1",
        "anthropic": "https://api.anthropic.com/v1",
        "google": "https://generativelanguage.googleapis.com/v1beta/openai",
        "mistral": "https://api.mistral.ai/v1",
        "groq": "https://api.groq.com/openai/v1",
        "perplexity": "https://api.perplexity.ai/v1",
        "openrouter": "https://openrouter.ai/api/v1",
        "deepseek": "https://api.deepseek.com",
        "xai": "https://api.x.ai/v1",
        "together": "https://api.together.ai/v1",
        "fireworks": "https://api.fireworks.ai/inference/v1",
        "cerebras": "https://api.cerebras.ai/v1",
        "moonshot": "https://api.moonshot.ai/v1",
        "huggingface": "https://router.huggingface.co/v1",
        "meta": "https://api.meta.ai/v1",
        "zai": "https://api.z.ai/api/paas/v4",
        "alibaba": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        "minimax": "https://api.minimax.io/v1",
        "bedrock": "https://bedrock-mantle.us-east-1.api.aws/v1",
        "nvidia": "https://integrate.api.nvidia.com/v1",
        "deepinfra": "https://api.deepinfra.com/v1/openai",
        "vercel": "https://ai-gateway.vercel.sh/v1",
        "ollama": "",
        "vllm": "",
        "lmstudio": "",
        "llamacpp": "",
        "litellm": "",
    }


def test_protocols_and_their_addresses() -> None:
    by_default = {row.name: row.protocol for row in builtin_providers}
    assert {name: used for name, used in by_default.items() if used != "chat_completions"} == {
        "openai": None,
        "azure": None,
        "anthropic": "messages",
        "xai": "responses",
        "perplexity": "responses",
    }
    assert set(ROWS["perplexity"].protocols) == {"responses"}
    assert {
        row.name: {name: url for name, url in row.protocols.items() if url}
        for row in builtin_providers
        if any(row.protocols.values())
    } == {
        "deepseek": {"messages": "https://api.deepseek.com/anthropic/v1"},
        "moonshot": {"messages": "https://api.moonshot.ai/anthropic/v1"},
        "zai": {"messages": "https://api.z.ai/api/anthropic/v1"},
        "minimax": {"messages": "https://api.minimax.io/anthropic/v1"},
        "bedrock": {"responses": "https://bedrock-mantle.us-east-1.api.aws/openai/v1"},
    }


@pytest.mark.parametrize("row", builtin_providers, ids=lambda row: str(row.name))
def test_the_row_and_the_profile_agree_on_the_key(row: Provider) -> None:
    if not row.key_attr:
        return
    profile = Profile.from_env({row.key_env or "": "k"})
    assert getattr(profile, row.key_attr) == "k"
    assert f"{row.key_attr}='k'" not in repr(profile)


@pytest.mark.parametrize("row", HOSTED, ids=lambda row: str(row.name))
def test_each_row_sends_its_own_key_and_no_other(row: Provider, upstream: FakeUpstream) -> None:
    request = sent(upstream, row)
    key = f"planted-key-of-{row.name}"
    if row.protocol == "messages":
        assert request.headers["x-api-key"] == key
    else:
        assert request.headers["Authorization"] == f"Bearer {key}"
    assert f"{request.headers.items()}{request.body!r}".count("planted") == 1


@pytest.mark.parametrize("row", HOSTED, ids=lambda row: str(row.name))
def test_a_missing_key_is_told_in_the_same_words(row: Provider, upstream: FakeUpstream) -> None:
    app = make_app(upstream, profile={}, providers=[row])
    with app.test_client().post(f"/api/chat/{row.name}", json=body()) as response:
        if row.key_required:
            assert response.status_code == 400
            assert response.get_json()["message"] == (
                f"{row.label} API Key not found. Please set it in your profile settings."
            )
        else:
            assert response.status_code == 200
            assert upstream.requests[0].headers["Authorization"] is None


@pytest.mark.parametrize("name", ["ollama", "vllm", "lmstudio", "llamacpp", "litellm"])
def test_a_local_provider_without_an_address_says_so(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(profile={}, providers=[ROWS[name]])
    response = app.test_client().post(f"/api/chat/{name}", json=body())
    assert response.status_code == 501
    assert response.get_json()["message"] == f"{ROWS[name].label} is not set up here."
    assert f"set LLMCHAT_BASE_URLS['{name}']" in caplog.text


@pytest.mark.parametrize(
    ("name", "settings", "there", "not_there"),
    [
        ("mistral", {"seed": 7, "maxTokens": 9}, {"random_seed": 7, "max_tokens": 9},
         {"seed", "stream_options", "tools", "max_completion_tokens"}),
        ("mistral", {"tools": []}, {}, {"tools", "tool_choice"}),
        ("mistral", {"temperature": 2}, {"temperature": 1.5}, set()),
        ("google", {"seed": 7}, {"stream_options": {"include_usage": True}}, {"seed"}),
        ("anthropic", {"temperature": 1.7}, {"temperature": 1.0}, set()),
        ("anthropic", {"temperature": 0.3}, {"temperature": 0.3}, set()),
        ("perplexity", {"temperature": 2}, {"temperature": 1.99}, set()),
        ("moonshot", {"temperature": 1.2}, {"temperature": 1.0}, set()),
        ("cerebras", {"maxTokens": 9}, {"max_completion_tokens": 9}, {"max_tokens"}),
        ("openai", {"toolChoice": "auto"}, {}, {"tool_choice"}),
        ("openai", {"model": "o3", "stop": "x"}, {}, {"stop", "temperature"}),
        ("openai", {"model": "gpt-4.1", "stop": "x"}, {"stop": "x"}, set()),
        ("xai", {"stop": "x"}, {}, {"stop"}),
        ("anthropic", {"topP": 0.5}, {"temperature": 0.5}, {"top_p"}),
        ("anthropic", {"topP": 0.5, "temperature": None}, {"top_p": 0.5}, {"temperature"}),
        ("anthropic", {"model": "claude-opus-5-5"}, {}, {"temperature"}),
        ("anthropic", {"model": "claude-sonnet-9"}, {}, {"temperature"}),
        ("moonshot", {"model": "kimi-k9"}, {}, {"temperature"}),
    ],
)  # fmt: skip
def test_what_a_row_refuses_is_left_out(
    upstream: FakeUpstream,
    name: str,
    settings: dict[str, Any],
    there: dict[str, Any],
    not_there: set[str],
) -> None:
    request = sent(upstream, ROWS[name], **settings).json
    assert request.items() >= there.items()
    assert not not_there & set(request)


def test_what_is_left_out_is_logged(
    upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "flask_llmchat")
    sent(upstream, ROWS["google"], seed=7)
    assert "seed is left out: google with 'm' refuses it" in caplog.text


def message(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def test_geminis_own_form_is_taken(upstream: FakeUpstream) -> None:
    posted = {
        "messages": [
            {"role": "user", "parts": [{"text": "Be brief."}]},
            {"role": "model", "parts": [{"text": "Yes"}, {"text": "."}]},
            {
                "role": "user",
                "parts": [
                    {"text": "And this?"},
                    {"inlineData": {"data": "data:image/png;base64,AAAA", "mimeType": "image/png"}},
                ],
            },
        ]
    }
    request = sent(upstream, ROWS["google"], posted=posted)
    assert request.json["messages"] == [
        message("user", "Be brief."),
        message("assistant", "Yes."),
        message(
            "user",
            [
                {"type": "text", "text": "And this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            ],
        ),
    ]


# A user's own endpoints


def custom_app(upstream: FakeUpstream, endpoint: Any, **config: Any) -> Any:
    llmchat = LLMChat()
    llmchat.endpoint_loader(lambda id_: endpoint if id_ == "mine" else None)
    app = make_app(upstream, llmchat=llmchat, config={"LLMCHAT_MAX_RETRIES": 0, **config})
    return app


def post_custom(app: Any, **fields: Any) -> Any:
    return app.test_client().post("/api/chat/custom", json={**body(), **fields})


PRIVATE = {"LLMCHAT_ALLOW_PRIVATE_ENDPOINTS": True}


@pytest.mark.parametrize("name", ["endpointId", "customModelId"])
def test_a_custom_endpoint_is_called(upstream: FakeUpstream, name: str) -> None:
    endpoint = Endpoint(upstream.base_url, " sk-custom ", "their-model")
    with post_custom(custom_app(upstream, endpoint, **PRIVATE), **{name: "mine"}) as response:
        assert response.status_code == 200
    request = upstream.requests[0]
    assert request.headers["Authorization"] == "Bearer sk-custom"
    assert request.json["model"] == "their-model"
    assert "planted" not in f"{request.headers.items()}"
    assert "sk-custom" not in repr(endpoint)


def test_a_custom_endpoint_without_key_and_model(upstream: FakeUpstream) -> None:
    app = custom_app(upstream, Endpoint(f"{upstream.base_url}/"), **PRIVATE)
    with post_custom(app, endpointId="mine") as response:
        assert response.status_code == 200
    assert upstream.requests[0].headers["Authorization"] is None
    assert upstream.requests[0].json["model"] == "gpt-4.1"


@pytest.mark.parametrize("fields", [{}, {"endpointId": ""}, {"endpointId": "another"}])
def test_an_unknown_endpoint_is_404(upstream: FakeUpstream, fields: dict[str, str]) -> None:
    response = post_custom(custom_app(upstream, Endpoint(upstream.base_url)), **fields)
    assert response.status_code == 404
    assert response.get_json()["message"] == "Endpoint not found"
    without_loader = make_app(upstream)
    assert post_custom(without_loader, endpointId="mine").status_code == 404


@pytest.mark.parametrize(
    "url", ["ftp://example.com", "javascript:alert(1)", "", "https://user:pw@example.com", "x"]
)
def test_an_endpoint_that_is_no_url_is_refused(upstream: FakeUpstream, url: str) -> None:
    response = post_custom(custom_app(upstream, Endpoint(url)), endpointId="mine")
    assert response.status_code == 400
    assert "is not an http(s) URL" in response.get_json()["message"]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "no-such-name.invalid",
        "localhost",
        "2130706433",
        "0x7f000001",
        "127.1",
        "[::ffff:127.0.0.1]",
    ],
)
def test_a_private_address_is_refused(upstream: FakeUpstream, host: str) -> None:
    url = upstream.base_url.replace("127.0.0.1", host)
    app = custom_app(upstream, Endpoint(url, "sk-custom"))
    with finished(app) as done:
        response = post_custom(app, endpointId="mine")
    assert response.status_code == 400
    assert response.get_json()["message"] == (
        "Custom endpoint could not be reached at a public address. Please check its address."
    )
    assert upstream.connections == 0
    assert done.only.error and done.only.error.code == "bad_request"


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
def test_nothing_a_custom_host_says_of_an_error_is_shown(
    upstream: FakeUpstream, status: int
) -> None:
    upstream.add(error_reply(status, "Visit https://evil.example", code="invalid_request"))
    app = custom_app(upstream, Endpoint(upstream.base_url, "sk-custom"), **PRIVATE)
    response = post_custom(app, endpointId="mine")
    assert response.status_code == status
    assert "evil" not in response.text
    expected = {401: "Custom API Key is incorrect. Please fix it in your profile settings."}
    assert response.get_json()["message"] == expected.get(
        status, f"Custom could not answer (status {status})."
    )


def test_an_endless_error_is_not_read_for_ever(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flask_llmchat.testing import Reply

    upstream.add(Reply(400, {"Content-Length": str(2**30)}, [b"x" * 2**16] * 64))
    app = custom_app(upstream, Endpoint(upstream.base_url), **PRIVATE)
    assert post_custom(app, endpointId="mine").status_code == 400
    upstream.wait_for(lambda u: u.open_connections == 0)


# Rows of the host's own


def test_a_key_in_an_odd_place_is_redacted_too(upstream: FakeUpstream) -> None:
    def odd(provider: Provider, chat: Any, key: str, base_url: str) -> Target:
        headers, query = {"X-Goog-Api-Key": key}, {"key": key}
        return Target(base_url=base_url, model=chat.model, headers=headers, query=query)

    row = Provider(name="odd", label="Odd", base_url=upstream.base_url, target=odd)
    upstream.add(error_reply(400, "What is odd-key-0123456789 good for?"))
    app = make_app(profile={"odd_api_key": "odd-key-0123456789"}, providers=[row])
    response = app.test_client().post("/api/chat/odd", json=body())
    assert response.get_json()["message"] == "What is [key] good for?"
    target = odd(row, ChatRequest(provider="odd", model="m", messages=[]), "k1", "http://x")
    assert "k1" not in repr(target)


def test_a_made_up_provider_is_one_row(upstream: FakeUpstream) -> None:
    row = Provider(name="acme", label="Acme", base_url=upstream.base_url, thinking_tags=True)
    upstream.add(text_reply("<th", "ink>Hm", "m</thi", "nk>", "Hi <think>"))
    profile = Profile.from_env({"ACME_API_KEY": "k"}, providers=[row])
    assert "'k'" not in repr(profile)
    app = make_app(profile=Profile().over(profile), providers=[*builtin_providers, row])
    with (
        finished(app) as done,
        app.test_client().post("/api/chat/acme", json=body()) as response,
    ):
        assert response.text == "Hi <think>"
    assert done.only.reasoning == "Hmm"
    assert upstream.requests[0].headers["Authorization"] == "Bearer k"


# The catalogue


def test_every_catalogue_belongs_to_a_row() -> None:
    assert set(CATALOGUE) <= {row.catalogue for row in builtin_providers}


def test_the_host_may_add_and_override_models(upstream: FakeUpstream) -> None:
    config = {
        "LLMCHAT_MODELS": {
            "openai": {
                "gpt-4o": {"default_max_tokens": 99},
                "house-model": {
                    "max_tokens_param": "max_tokens",
                    "supports_temperature": False,
                    "unsupported_params": ["top_p"],
                },
            }
        }
    }
    app = make_app(upstream, config=config)
    for model, settings in (
        ("gpt-4o", {}),
        ("house-model", {"maxTokens": 7, "topP": 0.5}),
    ):
        with app.test_client().post(
            "/api/chat/openai", json=body(model=model, **settings)
        ) as response:
            assert response.status_code == 200
    first, second = (json.loads(request.body) for request in upstream.requests)
    assert (first["max_tokens"], first["temperature"]) == (99, 0.5)
    assert second["max_tokens"] == 7 and not {"temperature", "top_p"} & set(second)


@pytest.mark.parametrize(
    ("models", "hint"),
    [
        ([], "must be a mapping of provider names to models"),
        ({"openai": []}, "['openai'] must be a mapping of model names to facts"),
        ({"openai": {"m": 7}}, "['openai']['m'] must be a mapping of facts to values, not 7"),
        ({"openai": {"m": None}}, "['m'] must be a mapping of facts to values, not None"),
        (
            {"openai": {"m": {"limit": 7}}},
            "['m']['limit'] is not a fact of a model. Known facts: context_",
        ),
        (
            {"openai": {"m": {"max_output": "9"}}},
            "['max_output'] must be a whole number of at least 1, or None",
        ),
        (
            {"openai": {"m": {"supports_reasoning": 1}}},
            "['supports_reasoning'] must be True or False, not 1",
        ),
        (
            {"openai": {"m": {"unsupported_params": "stop"}}},
            "['unsupported_params'] must be a list of strings",
        ),
        (
            {"openai": {"m": {"replay_fields": [7]}}},
            "['replay_fields'][0] must be a string, not 7",
        ),
        ({"nobody": {}}, "names 'nobody'"),
    ],
)
def test_wrong_models_are_named(models: Any, hint: str) -> None:
    with pytest.raises(ValueError, match="LLMCHAT_MODELS") as caught:
        make_app(config={"LLMCHAT_MODELS": models})
    assert hint in str(caught.value)


def told(name: str, model: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the body that a row makes of some messages."""
    (row,) = [row for row in builtin_providers if row.name == name]
    chat = ChatRequest(provider=name, model=model, messages=messages)
    target = Target(model=model, headers={})
    return build_body(chat, row, target, get_model(row.catalogue, model))


def test_what_a_provider_takes_back_of_an_earlier_answer() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    signed = {**call, "extra_content": {"google": {"thought_signature": "s"}}}
    details = [{"type": "reasoning.text", "text": "Hm"}]
    earlier = {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Hm",
        "reasoning_details": details,
        "tool_calls": [signed],
    }
    bare = {"role": "assistant", "content": None, "tool_calls": [call]}
    expected = {
        "openai": bare,
        "google": {**bare, "tool_calls": [signed]},
        "openrouter": {**bare, "reasoning_details": details},
        "deepseek": {**bare, "reasoning_content": "Hm"},
        "moonshot": {**bare, "reasoning_content": "Hm"},
    }
    for name, message in expected.items():
        assert told(name, "m", messages=[earlier])["messages"] == [message]
    thoughtless = {"role": "assistant", "content": None, "tool_calls": [call]}
    (message,) = told("deepseek", "m", messages=[thoughtless])["messages"]
    assert message["reasoning_content"] == ""  # missing would be an error there


def test_a_turn_of_nothing_but_thoughts_goes_to_those_who_take_them() -> None:
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "", "reasoning_content": "Hm"},
        {"role": "user", "content": "Well?"},
    ]
    assert len(told("openai", "m", messages=turns)["messages"]) == 2
    assert len(told("deepseek", "m", messages=turns)["messages"]) == 3
