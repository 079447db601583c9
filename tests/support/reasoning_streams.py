"""Made-up streams of the protocols that take reasoning back, and what goes back in a request."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from typing import Any

Json = dict[str, Any]


def responses_wire(*items: tuple[Any, ...]) -> bytes:
    """Write a stream of the Responses protocol.

    Each item is ``("reasoning", id, encrypted content, *summaries)``, ``("text", text)`` or
    ``("call", id, name, arguments)``.
    """
    output = [_item(i, *item) for i, item in enumerate(items)]
    head = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m"}
    events: list[Json] = [
        {"type": "response.created", "response": {**head, "status": "in_progress", "output": []}}
    ]
    for index, item in enumerate(output):
        events += _item_events({"output_index": index}, item)
    usage: Json = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    usage |= {"input_tokens_details": {"cached_tokens": 0}}
    usage |= {"output_tokens_details": {"reasoning_tokens": 2}}
    done = {**head, "status": "completed", "output": output, "usage": usage}
    events.append({"type": "response.completed", "response": done})
    return _wire(events)


def _item(index: int, kind: str, *values: Any) -> Json:
    if kind == "reasoning":
        id, encrypted, *summaries = values
        summary = [{"type": "summary_text", "text": text} for text in summaries]
        item = {"type": kind, "id": id, "summary": summary, "encrypted_content": encrypted}
        return {**item, "status": "completed"}
    if kind == "call":
        id, name, arguments = values
        call = {"type": "function_call", "id": f"fc_{id}", "call_id": id, "name": name}
        return {**call, "arguments": json.dumps(arguments), "status": "completed"}
    content = [{"type": "output_text", "text": values[0], "annotations": []}]
    message = {"type": "message", "id": f"msg_{index}", "role": "assistant", "content": content}
    return {**message, "status": "completed"}


def _item_events(place: Json, item: Json) -> Iterator[Json]:
    added, part = {**item}, {**place, "item_id": item["id"]}
    started = {"reasoning": {"summary": []}, "message": {"content": []}}
    added |= started.get(item["type"], {"arguments": ""})
    yield {"type": "response.output_item.added", **place, "item": added}
    for number, summary in enumerate(item.get("summary", ())):
        at = {**part, "summary_index": number}
        part_type = {"type": "summary_text"}
        kind = "response.reasoning_summary"
        yield {"type": f"{kind}_part.added", **at, "part": {**part_type, "text": ""}}
        for piece in _pieces(summary["text"]):
            yield {"type": f"{kind}_text.delta", **at, "delta": piece}
        yield {"type": f"{kind}_text.done", **at, "text": summary["text"]}
        yield {"type": f"{kind}_part.done", **at, "part": summary}
    if item["type"] == "message":
        for piece in _pieces(item["content"][0]["text"]):
            at = {**part, "content_index": 0, "logprobs": []}
            yield {"type": "response.output_text.delta", **at, "delta": piece}
    if item["type"] == "function_call":
        for piece in _pieces(item["arguments"]):
            yield {"type": "response.function_call_arguments.delta", **part, "delta": piece}
    yield {"type": "response.output_item.done", **place, "item": item}


def messages_wire(*blocks: tuple[Any, ...]) -> bytes:
    """Write a stream of the Messages protocol.

    Each block is ``("thinking", text, signature)``, ``("redacted", data)``, ``("text", text)`` or
    ``("call", id, name, arguments)``.
    """
    usage: Json = {"input_tokens": 3, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}
    message |= {"content": [], "stop_reason": None, "stop_sequence": None}
    events: list[Json] = [{"type": "message_start", "message": {**message, "usage": usage}}]
    for index, block in enumerate(blocks):
        start, deltas = _block(*block)
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [
            {"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas
        ]
        events.append({"type": "content_block_stop", "index": index})
    reason = "tool_use" if any(kind == "call" for kind, *_ in blocks) else "end_turn"
    delta = {"stop_reason": reason, "stop_sequence": None}
    events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 4}})
    events.append({"type": "message_stop"})
    return _wire(events)


def _block(kind: str, *values: Any) -> tuple[Json, list[Json]]:
    if kind == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(values[0])]
        deltas.append({"type": "signature_delta", "signature": values[1]})
        return {"type": kind, "thinking": "", "signature": ""}, deltas
    if kind == "redacted":
        return {"type": "redacted_thinking", "data": values[0]}, []
    if kind == "text":
        deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(values[0])]
        return {"type": kind, "text": ""}, deltas
    id, name, arguments = values
    pieces = _pieces(json.dumps(arguments))
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return {"type": "tool_use", "id": id, "name": name, "input": {}}, deltas


def _pieces(text: str) -> list[str]:
    return [text[i : i + 5] for i in range(0, len(text), 5)]


def _wire(events: list[Json]) -> bytes:
    return "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events).encode()


def sent_back(body: Json, left_out: Container[str] = ()) -> list[tuple[Any, ...]]:
    """Return what a request says, in the words of the functions above, whichever server wrote it.

    Left out is what says the same in another way: ids of texts and calls, whether a text stands in
    a list, and how many texts one is.

    :param left_out: kinds of what else is left out.
    """
    items = body.get("input") or [
        {"role": message["role"], **block}
        for message in body["messages"]
        for block in _listed(message["content"])
    ]
    told: list[tuple[Any, ...]] = []
    for said in (said for item in items for said in _said(item)):
        if told and said[0] == told[-1][0] == "assistant":
            told[-1] = ("assistant", told[-1][1] + said[1])
        elif said != ("assistant", "") and said[0] not in left_out:
            told.append(said)
    return told


_RUN_BY_THE_PROVIDER = ("_call", "_tool_use", "_tool_result")


def _input(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _listed(content: Any) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _said(item: Json) -> Iterator[tuple[Any, ...]]:
    match item:
        case {"type": "reasoning", "content": content}:
            yield ("raw reasoning", "".join(part["text"] for part in content))
        case {"type": "reasoning"}:
            texts = [part["text"] for part in item["summary"]]
            yield ("reasoning", item["id"], item["encrypted_content"], *texts)
        case {"type": "thinking"}:
            yield ("thinking", item["thinking"], item["signature"])
        case {"type": "redacted_thinking"}:
            yield ("redacted", item["data"])
        case {"type": "function_call"}:
            yield ("call", item["call_id"], item["name"], _input(item["arguments"]))
        case {"type": "tool_use"}:
            yield ("call", item["id"], item["name"], item["input"])
        case {"type": "tool_result"}:
            said = "".join(part["text"] for part in _listed(item["content"]))
            yield ("result", item["tool_use_id"], said)
        case {"type": "custom_tool_call"}:
            yield ("call", item["call_id"], item["name"], item["input"])
        case {"type": "function_call_output" | "custom_tool_call_output"}:
            yield ("result", item["call_id"], item["output"])
        case {"type": kind} if kind.endswith(_RUN_BY_THE_PROVIDER):
            yield ("tool of the provider",)
        case {"role": role, "text": text}:
            yield (role, text)
        case {"role": role, "content": content}:
            yield (role, "".join(part["text"] for part in _listed(content)))
