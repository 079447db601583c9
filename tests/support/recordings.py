"""Real recorded streams, which are kept beside the checkout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flask_llmchat import builtin_providers
from flask_llmchat.testing import FakeUpstream
from tests.support.apps import profile_for

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "recorded"
CASES = RECORDED.parent / "cases"

needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="no cases beside the checkout")


def recordings(provider: str | None = None) -> list[Any]:
    """Return the recorded streams as pytest parameters; one skipped one where there are none."""
    index = RECORDED / "index.json"
    if not index.exists():
        reason = f"no recordings at {index.parent.name}/ beside the checkout"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="no-recordings")]
    streams = json.loads(index.read_text())
    chosen = [s for s in streams if provider is None or s["provider"] == provider]
    return [pytest.param(s, id=s["id"]) for s in chosen]


def wire_form(stream: dict[str, Any]) -> bytes:
    """Return a recorded stream as its bytes came, or as they must have come."""
    if stream["sse"]:
        return (RECORDED / stream["sse"]).read_bytes()
    lines = (RECORDED / stream["chunks"]).read_text().splitlines()
    return "".join(f"data: {line}\n\n" for line in lines).encode() + b"data: [DONE]\n\n"


ROUTES = {row.name for row in builtin_providers}
ROUTE_OF = {"anthropic-compat": "anthropic", "openrouter/novita": "openrouter"}


def everybodys_keys(upstream: FakeUpstream) -> dict[str, Any]:
    keys = {row.key_attr: "sk-x" for row in builtin_providers if row.key_attr}
    return profile_for(upstream, **keys)


def route_of(recorded: dict[str, Any]) -> str:
    """Return the route a recording goes through; of providers without a row it is any."""
    name = ROUTE_OF.get(recorded["provider"], recorded["provider"])
    return name if name in ROUTES else "openai"


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
