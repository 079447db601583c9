"""The provider of the benchmarks, in each upstream protocol: a word again and again."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass

WORD = "word "


@dataclass(frozen=True)
class Stream:
    """What a response is made of: its beginning, one event for each word, its end."""

    start: bytes
    word: bytes
    end: bytes


def data(value: dict[str, object], *, named: bool = False) -> bytes:
    """Encode one server-sent event, with its type as a name where the protocol has names."""
    name = f"event: {value['type']}\n" if named else ""
    return f"{name}data: {json.dumps(value, separators=(',', ':'))}\n\n".encode()


def chat_completions() -> Stream:
    """OpenAI's older protocol."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}

    def chunk(delta: dict[str, str], reason: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return data({**head, "choices": [choice]})

    end = chunk({}, "stop") + b"data: [DONE]\n\n"
    return Stream(b"", chunk({"content": WORD}, None), end)


def responses() -> Stream:
    """OpenAI's newer protocol."""
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    shared = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
    start = data({"type": "response.created", "response": {"id": "resp_1"}}, named=True)
    start += data(
        {"type": "response.output_item.added", "output_index": 0, "item": item}, named=True
    )
    delta = {"type": "response.output_text.delta", **shared, "delta": WORD, "sequence_number": 7}
    end = {"type": "response.completed", "response": {"id": "resp_1", "usage": usage}}
    return Stream(start, data(delta, named=True), data(end, named=True))


def messages() -> Stream:
    """Anthropic's protocol."""
    usage = {"input_tokens": 1, "output_tokens": 1}
    begun = {"type": "message_start", "message": {"id": "msg_1", "usage": usage}}
    block = {"type": "content_block_start", "index": 0}
    start = data(begun, named=True)
    start += data({**block, "content_block": {"type": "text", "text": ""}}, named=True)
    delta = {"type": "content_block_delta", "index": 0}
    word = data({**delta, "delta": {"type": "text_delta", "text": WORD}}, named=True)
    end = data({"type": "content_block_stop", "index": 0}, named=True)
    stop = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
    end += data(stop, named=True) + data({"type": "message_stop"}, named=True)
    return Stream(start, word, end)


def tool_call() -> Stream:
    """A response of chat completions that calls a tool."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    function = {"name": "find_orders", "arguments": '{"status": "sent"}'}
    call = {"index": 0, "id": "call_1", "type": "function", "function": function}
    begun = {"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}
    ended = {"index": 0, "delta": {}, "finish_reason": "tool_calls"}
    end = data({**head, "choices": [ended]}) + b"data: [DONE]\n\n"
    return Stream(data({**head, "choices": [begun]}), b"", end)


TOOL_CALL = tool_call()

STREAMS = {
    b"/chat/completions": chat_completions(),
    b"/responses": responses(),
    b"/messages": messages(),
}
"""By the path of the request."""


def framed(content: bytes) -> bytes:
    """Return one chunk of the body."""
    return b"%x\r\n%b\r\n" % (len(content), content) if content else b""


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be the provider: ``words-N-every-MS`` in a request determines the response."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])  # type: ignore[index]
            body = await reader.readexactly(length)
            count, pause = map(int, re.search(rb"words-(\d+)-every-(\d+)", body).groups())  # type: ignore[union-attr]
            target = head.split(b" ", 2)[1]
            stream = next(made for path, made in STREAMS.items() if target.endswith(path))
            if b"calls-a-tool" in body and not re.search(rb'"role": ?"tool"', body):
                stream, count = TOOL_CALL, 0
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
            writer.write(b"Transfer-Encoding: chunked\r\n\r\n" + framed(stream.start))
            word = framed(stream.word)
            for _ in range(count):
                writer.write(word)
                if pause:
                    await asyncio.sleep(pause / 1000)
            writer.write(framed(stream.end) + b"0\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def provide(port: int) -> None:
    """Serve until the process ends."""
    async with await asyncio.start_server(answer, "127.0.0.1", port) as server:
        await server.serve_forever()
