"""Real recorded streams, which are kept beside the checkout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "recorded"
CASES = RECORDED.parent / "cases"


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
