"""The catalogue: what its rows and rules say of a model, and which models it lists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from flask_llmchat import Model, builtin_providers, default_model, get_model, models_of
from flask_llmchat.models.catalogue import CATALOGUE, DEFAULT_MODELS
from tests.support.apps import make_app

TODAY = datetime.now(UTC).date()


@pytest.fixture(scope="module", autouse=True)
def acme() -> Iterator[None]:
    """Add a catalogue with a model that is shut down, one that will be, and another."""
    last_days = {"old": TODAY - timedelta(days=2), "last": TODAY + timedelta(days=1), "new": ""}
    rows = tuple((name, 1_000, None, False, str(day)) for name, day in last_days.items())
    CATALOGUE["acme-test"] = rows
    yield
    del CATALOGUE["acme-test"]


def test_a_model_that_is_shut_down_is_known_and_not_listed() -> None:
    assert list(models_of("acme-test")) == ["last", "new"]
    old = get_model("acme-test", "old")
    assert (old.context_window, old.shutdown) == (1_000, TODAY - timedelta(days=2))
    assert get_model("acme-test", "new").shutdown is None


def test_the_default_is_a_model_that_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DEFAULT_MODELS, "acme-test", "new")
    assert default_model("acme-test") == "new"
    monkeypatch.setitem(DEFAULT_MODELS, "acme-test", "old")
    assert default_model("acme-test") == "last"
    assert default_model("none", ["own"]) == "own"


def test_the_models_route_lists_what_is_served() -> None:
    (groq,) = (row for row in builtin_providers if row.name == "groq")
    app = make_app(profile={"groq_api_key": "k"}, providers=[replace(groq, catalogue="acme-test")])
    listed = app.test_client().get("/api/chat/groq/models").get_json()["data"]
    assert [model["id"] for model in listed] == ["last", "new"]


def test_names_and_limits_of_every_row_are_possible() -> None:
    for catalogue, rows in CATALOGUE.items():
        names = [row[0] for row in rows]
        assert len(set(names)) == len(names), catalogue
        for name in names:
            model = get_model(catalogue, name)
            assert model.name == name
            if model.context_window and model.max_output:
                assert model.max_output <= model.context_window, (catalogue, name)


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("gpt-6-luna", "responses"),
        ("gpt-6-luna-2026-09-01", "responses"),
        ("gpt-7.3-comet", "responses"),
        ("my-gpt5", "responses"),
        ("gpt-5.2", "responses"),
        ("gpt-5.5-pro", "responses"),
        ("gpt-5.3-codex", "responses"),
        ("o3", "responses"),
        ("o3-deep-research", "responses"),
        ("gpt-daybreak-red-latest", "responses"),
        ("chat-latest", "responses"),
        ("o1-mini-2024-09-12", ""),
        ("gpt-5-search-api-2025-10-14", ""),
        ("gpt-5-chat-latest", ""),
        ("gpt-4.1", ""),
        ("gpt-4o-mini", ""),
        ("gpt-audio-1.5", ""),
        ("unheard-of", ""),
    ],
)
def test_the_protocol_of_a_model(name: str, protocol: str) -> None:
    assert get_model("openai", name).protocol == protocol


def test_only_openais_models_have_a_protocol_of_their_own() -> None:
    others = CATALOGUE.keys() - {"openai"}
    assert not [m for c in others for m in models_of(c).values() if m.protocol]


EFFORTS = (None, "none", "high")


@pytest.mark.parametrize(
    ("catalogue", "name", "accepted"),
    [
        ("openai", "gpt-6-luna", (False, True, False)),
        ("openai", "gpt-5.2", (True, True, False)),
        ("openai", "gpt-4.1", (True, True, True)),
        ("anthropic", "claude-sonnet-5-5", (False, True, False)),
        # Messages sees for itself whether they reason.
        ("anthropic", "claude-sonnet-4-6", (True, True, True)),
        ("anthropic", "claude-haiku-4-5-20251001", (True, True, True)),
        ("google", "gemini-3.8-flash", (True, True, True)),
        ("groq", "openai/gpt-oss-120b", (True, True, True)),
        ("mistral", "unheard-of", (True, True, True)),
    ],
)
def test_when_temperature_may_be_sent(
    catalogue: str, name: str, accepted: tuple[bool, ...]
) -> None:
    model = get_model(catalogue, name)
    assert tuple(map(model.supports_temperature_at, EFFORTS)) == accepted


def test_a_model_that_never_reasons_may_reject_temperature_at_every_effort() -> None:
    model = Model(name="m", supports_temperature=False)
    assert not any(map(model.supports_temperature_at, EFFORTS))


@pytest.mark.parametrize(
    ("catalogue", "name"),
    [("google", "gemini-4-neon"), ("groq", "openai/gpt-oss-20b"), ("mistral", "mistral-large-4")],
)
def test_which_models_reason(catalogue: str, name: str) -> None:
    assert get_model(catalogue, name).supports_reasoning


@pytest.mark.parametrize(
    ("catalogue", "name", "limit"),
    [
        ("mistral", "mistral-tiny", 2_000),
        ("anthropic", "claude-3-haiku-20240307", 4_096),
        ("openai", "gpt-4-vision-preview", 4_096),
        ("openai", "gpt-4o-2024-08-06", 4_096),
        ("openai", "gpt-4o-mini", None),
        ("groq", "llama3-70b-8192", 8_192),
        ("anthropic", "claude-sonnet-5-5", None),
    ],
)
def test_the_original_limits_are_sent_as_they_were(
    catalogue: str, name: str, limit: int | None
) -> None:
    assert get_model(catalogue, name).default_max_tokens == limit
