"""Real recorded streams, which are kept beside the checkout, a folder for each protocol."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flask_llmchat import builtin_providers
from flask_llmchat.protocols.sse import SSEDecoder
from flask_llmchat.testing import FakeUpstream, sse_reply
from tests.support.apps import SPEAKING_CHAT_COMPLETIONS, body, finished, profile_for
from tests.support.servers import served

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "recorded"
CASES = RECORDED.parent / "cases"
CHAT_COMPLETIONS = "chat_completions"

needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="no cases beside the checkout")


def folder_of(protocol: str) -> Path:
    """Return the folder with the recordings of a protocol; chat completions have none below."""
    return RECORDED if protocol == CHAT_COMPLETIONS else RECORDED / protocol


def _listed(name: str, protocol: str) -> list[dict[str, Any]] | None:
    file = folder_of(protocol) / name
    return json.loads(file.read_text()) if file.exists() else None


def _as_parameters(found: list[dict[str, Any]] | None) -> list[Any]:
    """Return pytest parameters; one skipped one where there are no recordings."""
    if found is None:
        reason = f"no recordings at {RECORDED.name}/ beside the checkout"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="no-recordings")]
    return [pytest.param(one, id=one["id"]) for one in found]


def recordings(provider: str | None = None, protocol: str = CHAT_COMPLETIONS) -> list[Any]:
    """Return the recorded streams of a protocol as pytest parameters."""
    found = _listed("index.json", protocol)
    if found is not None:
        found = [s for s in found if provider is None or s["provider"] == provider]
    return _as_parameters(found)


def error_answers(protocol: str = CHAT_COMPLETIONS) -> list[Any]:
    """Return the recorded error answers of a protocol as pytest parameters."""
    return _as_parameters(_listed("errors.json", protocol))


def chunks_of(stream: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the JSON objects of a recorded stream."""
    file = folder_of(stream.get("protocol", CHAT_COMPLETIONS)) / stream["chunks"]
    return [json.loads(line) for line in file.read_text().splitlines()]


def wire_form(stream: dict[str, Any]) -> bytes:
    """Return a recorded stream as its bytes came, or as they must have come."""
    protocol = stream.get("protocol", CHAT_COMPLETIONS)
    if stream["sse"]:
        return (folder_of(protocol) / stream["sse"]).read_bytes()
    lines = (folder_of(protocol) / stream["chunks"]).read_text().splitlines()
    if protocol == CHAT_COMPLETIONS:
        return "".join(f"data: {line}\n\n" for line in lines).encode() + b"data: [DONE]\n\n"
    return "".join(f"event: {json.loads(s)['type']}\ndata: {s}\n\n" for s in lines).encode()


def server_sent(raw: bytes, size: int = 1 << 30) -> Iterator[tuple[str, bytes]]:
    """Give the server-sent events of a stream that comes in pieces of a size: name and data."""
    decoder = SSEDecoder()
    for i in range(0, len(raw), size):
        yield from decoder.feed(raw[i : i + size])
    yield from decoder.finish()


def _awkward_cuts(raw: bytes) -> list[int]:
    """Return offsets inside line ends, between events, and in the middle of characters."""
    cuts = set()
    for i, byte in enumerate(raw):
        if byte == 0x0A:
            cuts |= {i, i + 1}
        elif byte >= 0xC0:
            cuts.add(i + 1)
    return sorted(cuts)[:1000]


def splits(raw: bytes) -> dict[str, Any]:
    """Return ways to split a stream into HTTP chunks, for :func:`sse_reply`."""
    if len(raw) > 60_000:  # the long ones differ from the others in nothing but their length
        return {"whole": None, "prime": 499, "awkward": _awkward_cuts(raw)}
    return {
        "whole": None,
        "every byte": 1 if len(raw) < 6000 else 17,
        "prime": 61,
        "awkward": _awkward_cuts(raw),
    }


def answers(
    app: Any, upstream: FakeUpstream, route: str, raw: bytes, model: str = "gpt-4.1"
) -> tuple[list[tuple[int, str]], list[Any]]:
    """Send a stream through an app by real sockets, split in every way, in the ``text`` dialect.

    :return: status and body of each response, and the results.
    """
    ways = splits(raw)
    upstream.add(*[sse_reply(raw, split=split) for split in ways.values()])
    told = []
    with (
        served(app) as port,
        finished(app) as done,
        closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection,
    ):
        for _ in ways:
            connection.request("POST", f"/api/chat/{route}", json.dumps(body(model)))
            with connection.getresponse() as response:
                told.append((response.status, response.read().decode()))
        return told, done.wait(len(ways))


ROUTE_OF = {"openrouter/novita": "openrouter"}


def everybodys_keys(upstream: FakeUpstream) -> dict[str, Any]:
    keys = {row.key_attr: "sk-x" for row in builtin_providers if row.key_attr}
    return profile_for(upstream, **keys)


def route_of(recorded: dict[str, Any]) -> str:
    """Return the route a recording goes through; of providers without a row it is any."""
    name = ROUTE_OF.get(recorded["provider"], recorded["provider"])
    return name if name in SPEAKING_CHAT_COMPLETIONS else "openai"


def assert_as_expected(result: Any, expected: dict[str, Any]) -> None:
    assert result.text == expected["text"]
    assert result.reasoning == expected["reasoning"]
    outcome = {"stop": "ok"}.get(expected["finish_reason"], expected["finish_reason"])
    assert result.outcome == outcome
    assert tool_calls(result.tool_calls) == expected_calls(expected)
    assert_usage(result.usage, expected["usage"])
    assert_sources(result.sources, expected)


def assert_sources(sources: Any, expected: dict[str, Any]) -> None:
    annotated = [a["url_citation"] for a in expected["annotations"]]
    told = [*expected["citations"], *[a["url"] for a in annotated]]
    assert [source.url for source in sources] == list(dict.fromkeys(told))
    titles = {a["url"]: a["title"] for a in annotated}
    assert all(source.title == titles.get(source.url, source.title) for source in sources)


def tool_calls(calls: Any) -> list[tuple[str, str, str]]:
    return [(call.id, call.name, call.arguments) for call in calls]


def expected_calls(expected: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(c["id"], c["name"], c["arguments"]) for c in expected["tool_calls"]]


def assert_usage(usage: Any, expected: dict[str, Any] | None) -> None:
    if expected is None:
        assert usage is None
        return
    assert dict(usage.details) == expected
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert getattr(usage, name) == expected[name]
