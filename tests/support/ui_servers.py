"""Our server and the AI SDK's own, in front of one fake upstream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from flask_llmchat import LLMChat
from flask_llmchat.testing import FakeUpstream, ReceivedRequest, Reply
from tests.support.apps import make_app, rows_speaking
from tests.support.servers import served

PROTOCOLS = {
    "openai": "responses",
    "azure": "responses",
    "xai": "responses",
    "anthropic": "messages",
}
"""The rows that are compared, and what they speak."""


class Servers:
    """What a job for a script of ``tests/js`` has to say of each server."""

    def __init__(self, port: int, base_url: str) -> None:
        self._port = port
        self._base_url = base_url

    def ours(self, provider: str, model: str) -> dict[str, Any]:
        """Return the job's fields for our server."""
        api = f"http://127.0.0.1:{self._port}/api/chat/{provider}"
        return {"api": api, "body": {"chatSettings": {"model": model}}}

    def theirs(self, provider: str, model: str, **more: Any) -> dict[str, Any]:
        """Return the job's fields for their server."""
        told = {"protocol": PROTOCOLS[provider], "provider": provider, "model": model}
        # It asks for encrypted reasoning of models that reason, whose names it knows.
        told["options"] = {"forceReasoning": True} if provider in ("openai", "azure") else {}
        return {**told, "baseURL": self._base_url, **more}


@contextmanager
def serving(
    respond: Callable[[ReceivedRequest], Reply], models: Iterable[str]
) -> Iterator[Servers]:
    """Run our server, with these models."""
    with FakeUpstream(respond) as upstream:
        profile: dict[str, Any] = {
            f"{name}_api_key": "sk-x" for name in (*PROTOCOLS, "azure_openai")
        }
        profile["azure_openai_endpoint"] = upstream.base_url
        profile["azure_openai_deployments"] = {model: model for model in models}
        llmchat = LLMChat(providers=rows_speaking(PROTOCOLS))
        with served(make_app(upstream, profile=profile, llmchat=llmchat)) as port:
            yield Servers(port, upstream.base_url)
