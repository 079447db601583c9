"""Apps made from configuration, whose providers are a fake upstream, and how their chats end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from flask import Flask

from flask_llmchat import ChatResult, LLMChat, Provider, builtin_providers, chat_finished
from flask_llmchat.testing import FakeUpstream

KEYS = {
    "openai_api_key": "sk-planted-openai-0123456789abcdef",
    "azure_openai_api_key": "planted0azure0key0123456789abcdef",
    "openrouter_api_key": "sk-or-v1-planted-0123456789abcdef",
    "groq_api_key": "gsk_planted0groq0123456789abcdef",
}
SPEAKING_CHAT_COMPLETIONS = [
    row.name for row in builtin_providers if "chat_completions" in row.protocols
]
BY_CHAT_COMPLETIONS = {
    "LLMCHAT_PROTOCOLS": dict.fromkeys(SPEAKING_CHAT_COMPLETIONS, "chat_completions")
}
"""For what is tested with this protocol, whatever a row prefers."""

HI = {"role": "user", "content": "Hi"}
FOUR = ("openai", "azure", "openrouter", "groq")


def body(model: str = "gpt-4.1", text: str = "Hi", **settings: Any) -> dict[str, Any]:
    """Return what chatbot-ui posts."""
    return {
        "chatSettings": {
            "model": model,
            "prompt": "You are a helpful assistant.",
            "temperature": 0.5,
            "contextLength": 4096,
            "includeProfileContext": True,
            "includeWorkspaceInstructions": True,
            "embeddingsProvider": "openai",
            **settings,
        },
        "messages": [
            {"role": "system", "content": "Today is 11/20/2026."},
            {"role": "user", "content": text},
        ],
        "customModelId": "",
    }


def profile_for(upstream: FakeUpstream | None = None, **more: Any) -> dict[str, Any]:
    """Return a profile with every key, whose Azure resource is the fake upstream."""
    endpoint = upstream.url if upstream else "https://example.openai.azure.com"
    return {
        **KEYS,
        "azure_openai_endpoint": endpoint,
        "azure_openai_deployments": {"gpt-4.1": "my-deployment", "gpt-5": "my-five"},
        **more,
    }


def make_app(
    upstream: FakeUpstream | None = None,
    profile: Any = ...,
    config: dict[str, Any] | None = None,
    llmchat: LLMChat | None = None,
    **instance: Any,
) -> Flask:
    """Make an app whose providers are all the fake upstream."""
    llmchat = llmchat or LLMChat(**instance)
    given = profile_for(upstream) if profile is ... else profile
    if llmchat.hooks.profile_loader is None:
        llmchat.profile_loader(lambda: given)
    app = Flask("host")
    if upstream:
        names = [n for n in llmchat.providers if n != "azure"]
        app.config["LLMCHAT_BASE_URLS"] = dict.fromkeys(names, upstream.base_url)
    app.config.update(config or {})
    app.register_blueprint(llmchat.blueprint)
    return app


def rows_speaking(protocols: dict[str, str]) -> list[Provider]:
    """Return the built-in rows of these providers, each with one protocol alone."""
    return [
        replace(row, protocol=protocols[row.name], protocols={protocols[row.name]: ""})
        for row in builtin_providers
        if row.name in protocols
    ]


class Finished:
    """The results that one app's chats ended with."""

    def __init__(self) -> None:
        self.results: list[ChatResult] = []
        self._came = threading.Condition()

    def __call__(self, sender: Flask, result: ChatResult) -> None:
        told = f"{result!r} {result.error!r} {result.error and vars(result.error)}"
        assert not any(key in told for key in KEYS.values())
        with self._came:
            self.results.append(result)
            self._came.notify_all()

    def wait(self, count: int = 1, timeout: float = 5.0) -> list[ChatResult]:
        """Wait until so many chats have ended; return their results."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.results) >= count, timeout), self.results
            return self.results

    @property
    def only(self) -> ChatResult:
        (result,) = self.wait()
        return result


@contextmanager
def finished(app: Flask) -> Iterator[Finished]:
    """Collect how the chats of an app end."""
    collected = Finished()
    with chat_finished.connected_to(collected, sender=app):
        yield collected


def ui_body(*parts: Any, **more: Any) -> dict[str, Any]:
    message = {"id": "u1", "role": "user", "parts": list(parts) or [{"type": "text", "text": "Hi"}]}
    return {"chatSettings": {"model": "gpt-4.1"}, "id": "c", "messages": [message], **more}


def run(app: Flask, *args: str, exit_code: int = 0, **more: Any) -> str:
    group = more.pop("group", () if args[0].startswith("llmchat") else ("llmchat",))
    result = app.test_cli_runner().invoke(args=[*group, *args], **more)
    assert result.exit_code == exit_code, result.output
    assert "planted" not in result.output
    return str(result.output)


def asked(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "gpt-4.1", "messages": list(messages) or [HI], **more}
