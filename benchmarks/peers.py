"""The same chat route written by hand, without this extension."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

MODEL = "m"


def flask_and_openai() -> Any:
    """Flask, one OpenAI client, and its Stream objects."""
    from flask import Flask, Response, request
    from openai import OpenAI

    app = Flask(__name__)
    client = OpenAI(api_key="sk-bench", base_url=os.environ["UPSTREAM"])

    @app.post("/chat")
    def chat() -> Response:
        messages = request.get_json()["messages"]
        stream = client.chat.completions.create(model=MODEL, messages=messages, stream=True)

        def pieces() -> Iterator[str]:
            for chunk in stream:
                if chunk.choices and (text := chunk.choices[0].delta.content):
                    yield text

        return Response(pieces(), mimetype="text/plain")

    return app


def fastapi_and_httpx() -> Any:
    """FastAPI, one httpx client, and chunks parsed by hand."""
    import httpx
    from fastapi import Body, FastAPI
    from fastapi.responses import StreamingResponse

    app = FastAPI()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
    client = httpx.AsyncClient(limits=limits, timeout=60)

    @app.post("/chat")
    async def chat(body: dict[str, Any] = Body()) -> StreamingResponse:  # noqa: B008
        sent = {"model": MODEL, "messages": body["messages"], "stream": True}

        async def pieces() -> AsyncIterator[str]:
            url = os.environ["UPSTREAM"] + "/chat/completions"
            head = {"Authorization": "Bearer sk-bench"}
            async with client.stream("POST", url, json=sent, headers=head) as response:
                async for line in response.aiter_lines():
                    if line.startswith("data: {"):
                        choices = json.loads(line[6:])["choices"]
                        if choices and (text := choices[0]["delta"].get("content")):
                            yield text

        return StreamingResponse(pieces(), media_type="text/plain")

    return app


def ours(*tools: Callable[..., Any], store: str = "") -> Any:
    """This extension, with all features on.

    :param store: where responses are kept; "" keeps none.
    """
    from flask import Flask, request

    from flask_llmchat import LLMChat

    llmchat = LLMChat()
    for tool in tools:
        llmchat.tool(tool)
    rows = {"openai": "chat_completions", "xai": "responses", "anthropic": "messages"}
    llmchat.profile_loader(lambda: {f"{name}_api_key": "sk-bench" for name in rows})
    app = Flask(__name__)
    app.config["LLMCHAT_BASE_URLS"] = dict.fromkeys(rows, os.environ["UPSTREAM"])
    app.config["LLMCHAT_PROTOCOLS"] = rows
    if store:
        app.config.update(LLMCHAT_RESUMABLE=True, LLMCHAT_STORE=store, LLMCHAT_MAX_RUNNING=10_000)
        llmchat.caller_loader(lambda profile: request.headers.get("X-User", "bench"))
    app.register_blueprint(llmchat.blueprint)
    return app


def ours_with_a_tool() -> Any:
    """This extension, with a tool of the server's."""

    def find_orders(status: str = "open", limit: int = 10) -> list[dict[str, Any]]:
        """List the user's orders."""
        return [{"id": 1, "status": status, "total": "9.50"}][:limit]

    return ours(find_orders)
