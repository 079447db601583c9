"""The example app and its users, for all its tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from example_app import create_app
from example_app.database import db
from flask_llmchat.testing import FakeUpstream
from tests.support.example import KEY, MakeExample, Visitor


@pytest.fixture
def make_example(tmp_path: Path) -> Iterator[MakeExample]:
    """Make the app, with everything it keeps in a folder of this test's own."""
    made: list[Flask] = []

    def make(**config: Any) -> Flask:
        made.append(create_app({"INSTANCE_PATH": tmp_path / "instance", **config}))
        return made[-1]

    yield make
    for app in made:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def example(make_example: MakeExample, upstream: FakeUpstream) -> Flask:
    return make_example(
        LLMCHAT_BASE_URLS={"openai": upstream.base_url, "openrouter": upstream.base_url},
        LLMCHAT_MAX_RETRIES=0,
    )


@pytest.fixture
def ada(example: Flask) -> Visitor:
    return Visitor(example, openai_api_key=KEY)
