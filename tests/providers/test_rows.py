"""What a host may write into a row: coerced, or refused by the name of the field."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import pytest

from flask_llmchat import ChatRequest, LLMChat, Provider, Target
from flask_llmchat.protocols.responses import Responses
from flask_llmchat.providers.provider import _CHECKS
from flask_llmchat.testing import FakeUpstream, error_reply
from tests.support.apps import body, finished, make_app


def row(**fields_: Any) -> Provider:
    return Provider(**{"name": "acme", "label": "Acme", "base_url": "https://a.example", **fields_})


SETS = [f.name for f in fields(Provider) if f.type == "frozenset[str]"]
MAPPINGS = ["headers", "param_names", "profile_headers"]
FLAGS = [f.name for f in fields(Provider) if f.type == "bool"]
TEXTS = [f.name for f in fields(Provider) if f.type in ("str", "str | None")]


def test_every_field_is_checked() -> None:
    assert all(f.name in _CHECKS or f.type in _CHECKS for f in fields(Provider) if f.init)
    assert len(SETS) == 5 and len(MAPPINGS) == 3 and len(FLAGS) >= 7 and len(TEXTS) >= 7


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("kind", [tuple, list, set, frozenset, dict.fromkeys, str])
def test_a_set_may_be_written_in_any_way(name: str, kind: Any) -> None:
    value = "reasoning_content" if kind is str else kind(["reasoning_content"])
    if isinstance(value, dict):
        with pytest.raises(ValueError, match=f"its {name} must be a set of names.*not dict"):
            row(**{name: value})
        return
    assert getattr(row(**{name: value}), name) == frozenset({"reasoning_content"})


BAD = [
    *((name, 7, "must be a set of names") for name in SETS),
    *((name, None, "must be a set of names") for name in SETS),
    *((name, ["a", 7], "must hold only names, not int") for name in SETS),
    *((name, "a, b", "which is not a name: write each by itself") for name in SETS),
    *((name, [""], "which is not a name") for name in SETS),
    *((name, value, "must be a mapping") for name in MAPPINGS for value in ("a", ["a"], None)),
    *((name, {"A": 7}, "must have a string under 'A', not int") for name in MAPPINGS),
    *((name, {7: "a"}, "must have names as keys, not int") for name in MAPPINGS),
    *((name, value, "must be True or False") for name in FLAGS for value in (1, "no", None)),
    *((name, 7, "must be a string, not int") for name in TEXTS),
    ("name", "Acme Inc", "cannot stand in a route"),
    ("base_url", "a.example/v1", "is not an http(s) URL"),
    ("base_url", "https://a.example?key=hush", "leave out what follows the '?'"),
    ("protocols", {"responses": 7}, "must have a string under 'responses', not int"),
    ("protocols", {"responses": "api"}, "is not an http(s) URL"),
    ("protocols", 7, "must be a set of names"),
    ("protocol", 7, "must be a name, an UpstreamProtocol or None, not int"),
    ("protocol", Responses, "must be a name, an UpstreamProtocol or None, not type"),
    (
        "protocol",
        SimpleNamespace(build_body=print, path="/chat"),
        "is no UpstreamProtocol: it has no headers, parser",
    ),
    ("protocol", None, "must have chat_completions"),
    ("path", "v1", "must be a path such as '/v1'"),
    ("path", "/v1/", "must be a path such as '/v1'"),
    ("max_temperature", "1", "must be a number, not str"),
    ("max_temperature", True, "must be a number"),
    ("max_temperature", float("nan"), "must be 0 or more"),
    (
        "replay_fields",
        {"prefix"},
        "has unknown 'prefix'; known are extra_content, provider_specific",
    ),
    ("key_header", "X Key", "'X Key', which is not a header name"),
    ("headers", {"X Acme": "a"}, "'X Acme', which is not a header name"),
    ("headers", {"X-Acme": "hush\r\nX: y"}, "'X-Acme' holds a line break"),
    ("headers", {"X-Acme": "hush-é"}, "'X-Acme' holds a line break or a character"),
    ("profile_headers", {"X:": "a"}, "'X:', which is not a header name"),
    ("messages", "as_they_are", "must be a function (messages), not str"),
    ("messages", lambda: None, "must be a function (messages), and cannot be called that way"),
    ("target", None, "must be a function (provider, chat, key, base_url), not NoneType"),
    ("target", lambda chat: None, "must be a function (provider, chat, key, base_url), and"),
]


@pytest.mark.parametrize(("name", "value", "told"), BAD)
def test_what_is_wrong_is_told_by_its_field(name: str, value: Any, told: str) -> None:
    if name in ("key_attr", "key_env") and value is None:
        return
    with pytest.raises(ValueError) as caught:
        row(**{name: value})
    assert f": its {name} " in str(caught.value)
    assert told in str(caught.value)
    assert "hush" not in str(caught.value)


def test_by_model_needs_a_protocol_for_unknown_models() -> None:
    """Else every chat with such a model would fail."""
    with pytest.raises(ValueError, match="must have chat_completions"):
        row(protocol=None, protocols=["responses", "messages"])
    assert row(protocol=None, protocols=["responses", "chat_completions"]).protocol is None


def test_a_row_keeps_nothing_of_the_hosts_mappings() -> None:
    headers = {"X-Acme": "a"}
    made = row(headers=headers)
    headers["X-Acme"] = "b"
    assert made.headers == {"X-Acme": "a"}


def test_a_row_written_with_tuples_serves_chats(upstream: FakeUpstream) -> None:
    made = row(
        base_url=upstream.base_url,
        unsupported_params=["seed"],
        replay_fields=("reasoning_content",),
    )
    app = make_app(profile={"acme_api_key": "k"}, providers=[made])
    with app.test_client().post("/api/chat/acme", json=body(seed=1)) as response:
        assert response.status_code == 200
    assert "seed" not in upstream.requests[0].json


# What must not be told of a row's headers


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Row-Header": "planted-12345678"},
        {"CF-Access-Client-Secret": "planted-12345678"},
        {"Cookie": "a=b; session=planted-12345678"},
        {"X-Goog-Api-Key": "planted"},
        {"Authorization": "Basic planted-12345678"},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_whatever_a_header_is_called_its_value_is_a_secret(
    headers: dict[str, str], upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")

    def target(provider: Provider, chat: ChatRequest, key: str, base_url: str) -> Target:
        return Target(base_url=base_url, model=chat.model, headers=headers)

    secret = "planted-12345678" if "planted-" in str(headers) else "planted"
    upstream.add(error_reply(400, f"Who is {secret}? And who uses Basic?"))
    app = make_app(
        profile={"acme_api_key": "k" * 9},
        providers=[row(base_url=upstream.base_url, target=target)],
        config={"LLMCHAT_MAX_RETRIES": 0},
    )
    with finished(app) as done:
        response = app.test_client().post("/api/chat/acme", json=body())
    told = f"{response.text} {done.only!r} {done.only.error!r} {vars(done.only.error)} "
    # Of anybody's log: the SDK's first versions wrote all of a call's headers into theirs.
    assert "planted" not in told + caplog.text
    assert "Who is [key]? And who uses Basic?" in response.get_json()["message"]


def test_headers_known_to_be_harmless_are_no_secrets() -> None:
    headers = {
        "User-Agent": "acme-client/1.0",
        "anthropic-version": "2023-06-01",
        "HTTP-Referer": "https://host.example",
        "X-Title": "The host's name",
        "X-Beta": "on",
    }
    target = Target(model="m", headers=headers, query={"api-version": "2024-10-21"})
    assert target.secrets() == ()


def test_a_query_is_as_secret_as_a_header() -> None:
    target = Target(model="m", headers={}, query={"customer": "c-12345678"})
    assert target.secrets() == ("c-12345678",)


HOSTILE = "o1\n2026-11-27 CRITICAL all is lost \x1b[31m"


def test_a_models_name_writes_no_line_of_the_log(
    upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "flask_llmchat")
    llmchat = LLMChat()
    app = make_app(upstream, llmchat=llmchat, config={"LLMCHAT_FALLBACKS": {"openai": ["groq"]}})
    upstream.add(*[error_reply(503, HOSTILE)] * 4)
    response = app.test_client().post("/api/chat/openai", json=body(HOSTILE, stop="x"))
    assert response.status_code == 503
    ours = [r.getMessage() for r in caplog.records if r.name == "flask_llmchat"]
    assert any("stop is left out" in line for line in ours)
    assert not [line for line in ours if "\n" in line or "\x1b" in line]
