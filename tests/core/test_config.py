"""The configuration: checked when the blueprint is registered, each mistake by its name."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from flask import Flask

from flask_llmchat import LLMChat, current_llmchat
from flask_llmchat.core.addresses import is_http_url
from flask_llmchat.core.config import Config
from flask_llmchat.core.model import Model
from tests.support.apps import make_app


def test_settings_have_their_documented_defaults() -> None:
    config = Config.from_app_config({})
    assert config == Config()
    assert (config.url_prefix, config.connect_timeout, config.read_timeout) == ("/api/chat", 5, 60)
    assert (config.deadline, config.max_retries, config.max_messages) == (600, 1, 1000)
    assert config.max_content_length == 16 * 2**20


def test_every_option_is_documented() -> None:
    for option in fields(Config):
        assert option.metadata["doc"].endswith("."), option.name


def test_values_are_read_into_the_form_we_use() -> None:
    given: dict[str, Any] = {
        "LLMCHAT_PROVIDERS": ["openai", "groq"],
        "LLMCHAT_BASE_URLS": {"openai": " http://x/v1/ "},
        "LLMCHAT_FALLBACKS": {"openai": ["groq"], "groq": {"openai": {"a": "b"}}},
        "LLMCHAT_MODELS": {"openai": {"m": {"max_output": None, "unsupported_params": ["stop"]}}},
        "LLMCHAT_TRUSTED_ORIGINS": ("https://App.example.com/",),
        "LLMCHAT_READ_TIMEOUT": 3,
        "LLMCHAT_MAX_STREAMS": None,
    }
    assert Config.from_app_config(given) == Config(
        providers=("openai", "groq"),
        base_urls={"openai": "http://x/v1"},
        fallbacks={"openai": {"groq": {}}, "groq": {"openai": {"a": "b"}}},
        models={"openai": {"m": {"max_output": None, "unsupported_params": frozenset({"stop"})}}},
        trusted_origins=frozenset({"https://app.example.com"}),
        read_timeout=3.0,
    )


def test_every_fact_of_a_model_can_be_set() -> None:
    facts = {fact.name: fact.default for fact in fields(Model) if fact.name != "name"}
    config = Config.from_app_config({"LLMCHAT_MODELS": {"openai": {"m": facts}}})
    assert config.models == {"openai": {"m": facts}}


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(ValueError) as caught:
        Config.from_app_config({"LLMCHAT_DEADLINE": 0, "LLMCHAT_MAX_RETRIES": -1})
    assert [line.split()[0] for line in str(caught.value).splitlines()] == [
        "LLMCHAT_DEADLINE",
        "LLMCHAT_MAX_RETRIES",
    ]


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("LLMCHAT_URL_PREFIX", "chat", "must be a string that starts with '/', not 'chat'"),
        ("LLMCHAT_PROVIDERS", "openai", "must be a list of provider names"),
        ("LLMCHAT_PROVIDERS", 7, "must be a list"),
        ("LLMCHAT_PROVIDERS", ["opnai"], "names 'opnai'; available are openai, azure"),
        ("LLMCHAT_BASE_URLS", "http://x", "must be a mapping"),
        (
            "LLMCHAT_BASE_URLS",
            {"openai": "localhost:80"},
            "['openai'] is not an http(s) URL",
        ),
        (
            "LLMCHAT_BASE_URLS",
            {"openai": "http://me:secret@x"},
            "['openai'] is not an http(s) URL",
        ),
        ("LLMCHAT_BASE_URLS", {"openai": "me:secret@x"}, "['openai'] is not an http(s) URL"),
        ("LLMCHAT_BASE_URLS", {"openai": "http://me:secret"}, "['openai'] is not an http(s) URL"),
        ("LLMCHAT_BASE_URLS", {"http://me:secret@x": "openai"}, "[…] is not an http(s) URL"),
        ("LLMCHAT_BASE_URLS", {"http://me:secret@x": "http://x"}, "names …; available are openai"),
        ("LLMCHAT_BASE_URLS", "http://me:secret@x", "must be a mapping of provider names to URLs"),
        ("LLMCHAT_BASE_URLS", {7: "http://x"}, "must be a mapping of provider names to URLs"),
        ("LLMCHAT_PROVIDERS", ["http://me:secret@x"], "names …; available are openai"),
        ("LLMCHAT_URL_PREFIX", "me:secret@x", "must be a string that starts with '/'"),
        ("LLMCHAT_BASE_URLS", {"opnai": "http://x"}, "names 'opnai'"),
        ("LLMCHAT_CONNECT_TIMEOUT", "5", "must be a finite number greater than 0, not '5'"),
        ("LLMCHAT_READ_TIMEOUT", 0, "must be a finite number greater than 0, not 0"),
        ("LLMCHAT_DEADLINE", float("inf"), "must be a finite number greater than 0, not inf"),
        ("LLMCHAT_MAX_RETRIES", -1, "must be a whole number of at least 0"),
        ("LLMCHAT_MAX_RETRIES", True, "must be a whole number"),
        ("LLMCHAT_MAX_CONTENT_LENGTH", 1.5, "must be a whole number"),
        ("LLMCHAT_MAX_MESSAGES", 0, "must be a whole number of at least 1"),
        ("LLMCHAT_ALLOW_PRIVATE_ENDPOINTS", "yes", "must be True or False, not 'yes'"),
        ("LLMCHAT_TRUSTED_ORIGINS", ["https://*.example.com"], "not 'https://*.example.com'"),
        ("LLMCHAT_TRUSTED_ORIGINS", ["https://me:secret@x.com"], "[0] must be an origin"),
        ("LLMCHAT_TRUSTED_ORIGINS", "https://x", "must be a list of origins"),
        ("LLMCHAT_TRUSTED_ORIGINS", {"example.com"}, "or 'https://host:port', not 'example.com'"),
        ("LLMCHAT_MAX_STREAMS", 0, "must be a whole number of at least 1, or None, not 0"),
    ],
)
def test_a_bad_value_names_its_key(key: str, value: Any, hint: str) -> None:
    with pytest.raises(ValueError) as caught:
        make_app(config={key: value})
    assert str(caught.value).startswith(key)
    assert hint in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_setting_that_is_none_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    make_app(config={"LLMCHAT_READ_TIMOUT": 5, "OTHER": 1})
    assert "Unknown setting LLMCHAT_READ_TIMOUT. Known settings: LLMCHAT_" in caplog.text
    assert "OTHER" not in caplog.text


def test_each_app_has_its_own_values() -> None:
    llmchat = LLMChat()
    apps = [Flask("one"), Flask("two")]
    for app, timeout in zip(apps, (1, 2), strict=True):
        app.config["LLMCHAT_READ_TIMEOUT"] = timeout
        llmchat.init_app(app)
    seen = []
    for app in apps:
        with app.app_context():
            seen.append(current_llmchat.config.read_timeout)
    assert seen == [1, 2]


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://example.com/v1", True),
        ("http://127.0.0.1:8000", True),
        ("http://[::1]:8000/v1", True),
        ("ftp://example.com", False),
        ("https://", False),
        ("https://user@example.com", False),
        ("https://example.com:port", False),
        ("https://exa mple.com", False),
        ("https://example.com/\n", True),
        ("https://exam\nple.com/", False),
        ("//example.com", False),
        ("", False),
    ],
)
def test_what_is_a_url_to_post_to(url: str, good: bool) -> None:
    assert is_http_url(url) is good
