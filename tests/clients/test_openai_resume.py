"""OpenAI's SDKs, which come back to a response, or repeat their request."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from openai import APIError, AsyncOpenAI, AsyncStream, OpenAI, Stream
from openai.types.chat import ChatCompletionChunk

from flask_llmchat.testing import HOLD, FakeUpstream, text_reply
from tests.support.apps import HI, finished
from tests.support.docs_blocks import runs
from tests.support.node import run_js
from tests.support.servers import client_of, served
from tests.support.streams import Client, Gate, gated, keeping, opens_for_readers

pytestmark = pytest.mark.external

WORDS = ["One ", "two ", "three ", "four."]
ASKED: dict[str, Any] = {"model": "gpt-4.1", "messages": [HI], "stream": True}
AS_CHUNKS: dict[str, Any] = {
    "cast_to": ChatCompletionChunk,
    "stream": True,
    "stream_cls": Stream[ChatCompletionChunk],
}


def text_of(chunks: Any) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@runs("docs/openai-sdk.md", under="Coming back to a response")
@runs("docs/openai-sdk.md", "js", under="Coming back to a response")
def test_the_code_of_the_openai_sdk_page_comes_back(
    python: list[str], js: list[str], upstream: FakeUpstream, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = Gate()
    upstream.add(gated(gate, 2, text_reply(*WORDS)), gated(gate, 2, text_reply(*WORDS)))
    app = keeping(upstream)
    opens_for_readers(app, gate)
    with served(app) as port, finished(app) as done:
        origin = f"http://127.0.0.1:{port}"
        names: dict[str, Any] = {}
        exec(python[0].replace("http://localhost:5000", origin), names)
        names["client"].close()
        assert capsys.readouterr().out == "".join(WORDS)
        gate.close()
        ran = run_js("openai_page.mjs", {"code": js[0], "origin": origin})
        assert "".join(ran["printed"]) == "".join(WORDS)
        assert [result.outcome for result in done.wait(2)] == ["ok", "ok"]


def test_the_sdk_comes_back_from_any_chunk_on(upstream: FakeUpstream) -> None:
    upstream.add(text_reply(*WORDS))
    with served(keeping(upstream)) as port, client_of(port) as client:
        stream = client.chat.completions.create(**ASKED)
        path = f"/{stream.response.headers['X-LLMChat-Stream']}/stream"
        chunks = list(stream)
        for n in range(len(chunks) + 1):
            params = {"params": {"startIndex": n}}
            with client.get(path, options=params, **AS_CHUNKS) as rest:
                assert list(rest) == chunks[n:]


def test_the_async_sdk_comes_back(upstream: FakeUpstream) -> None:
    upstream.add(text_reply(*WORDS))

    async def come_back(port: int) -> str:
        url = f"http://127.0.0.1:{port}/api/chat/openai"
        async with AsyncOpenAI(base_url=url, api_key="none") as client:
            stream = await client.chat.completions.create(**ASKED)
            path = f"/{stream.response.headers['X-LLMChat-Stream']}/stream"
            await stream.close()
            cls = AsyncStream[ChatCompletionChunk]
            rest = await client.get(path, **{**AS_CHUNKS, "stream_cls": cls})
            return text_of([chunk async for chunk in rest])

    with served(keeping(upstream)) as port:
        assert asyncio.run(come_back(port)) == "".join(WORDS)


def test_the_sdk_raises_that_a_chat_was_stopped(upstream: FakeUpstream) -> None:
    upstream.add(text_reply("Half", then=[HOLD], finish_reason=None, done=False))
    app = keeping(upstream)
    with served(app) as port, client_of(port) as client, finished(app) as done:
        body = {**ASKED, "extra_body": {"conversationId": "c/1"}}
        stream = client.chat.completions.create(**body)
        first = next(stream)
        reader = client.get("/c%2F1/stream", **AS_CHUNKS)
        assert next(reader) == first
        assert Client(port).stop("c/1").json == {"success": True}
        for reading in (stream, reader):
            with pytest.raises(APIError, match="The answer was stopped.") as raised:
                list(reading)
            assert raised.value.code == "stopped"
        assert done.only.outcome == "stopped"


def test_what_the_sdk_repeats_is_one_chat(upstream: FakeUpstream) -> None:
    """It waits less than the provider takes, and sends the request once more."""
    upstream.add(text_reply(*WORDS, delay=0.4))
    app = keeping(upstream)
    with served(app) as port, finished(app) as done:
        url = f"http://127.0.0.1:{port}/api/chat/openai"
        with OpenAI(base_url=url, api_key="none", timeout=0.3, max_retries=4) as client:
            headers = {"Idempotency-Key": "one"}
            # The first byte comes late, the others not so far apart.
            stream = client.chat.completions.create(**ASKED, extra_headers=headers, timeout=0.3)
            first = next(stream)
            stream.close()
            reading = client.with_options(timeout=10)
            path = f"/{stream.response.headers['X-LLMChat-Stream']}/stream"
            with reading.get(path, **AS_CHUNKS) as again:
                assert text_of(again) == "".join(WORDS)
            assert first.choices[0].delta.role == "assistant"
        assert done.only.outcome == "ok"
    assert len(upstream.requests) == 1
