"""The documentation's code runs, and README and CI say the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

ROOT = Path(__file__).parents[1]


def blocks(name: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL)


def test_the_readmes_file_is_a_whole_app(monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = blocks("README.md")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    names: dict[str, Any] = {"__name__": "app"}
    exec(code, names)
    app: Flask = names["app"]
    posted = {"chatSettings": {"model": "m"}, "messages": [{"role": "user", "content": "Hi"}]}
    response = app.test_client().post("/api/chat/openai", json=posted)
    assert response.get_json()["code"] == "missing_key"


def test_the_testing_pages_tests_pass() -> None:
    (code,) = blocks("docs/testing.md")
    names: dict[str, Any] = {"__name__": "tests"}
    exec(code, names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert len(tests) == 3
    for test in tests:
        test()


@pytest.mark.parametrize("code", blocks("docs/providers.md"))
def test_the_providers_pages_code_runs(code: str) -> None:
    names: dict[str, Any] = {}
    exec(code, names)
    if llmchat := names.get("llmchat"):
        llmchat.init_app(Flask("host"))
    if models := names.get("LLMCHAT_MODELS"):
        from conftest import make_app

        make_app(config={"LLMCHAT_MODELS": models})


def test_the_servers_pages_fallbacks_can_be_set() -> None:
    from conftest import make_app

    (code,) = blocks("docs/servers.md")
    config: dict[str, Any] = {}
    exec(code, config)
    make_app(config={"LLMCHAT_FALLBACKS": config["LLMCHAT_FALLBACKS"]})


def test_the_hooks_pages_code_runs() -> None:
    (code,) = blocks("docs/hooks.md")
    names: dict[str, Any] = {"__name__": "app"}
    exec(code, names)
    assert "llmchat.openai" in names["app"].view_functions


def test_the_readme_has_its_two_commands_and_fits_a_screen() -> None:
    readme = (ROOT / "README.md").read_text()
    commands = re.findall(r"^```sh\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    assert ["flask --app example_app run" in c for c in commands] == [True, False]
    assert ["pytest" in c for c in commands] == [False, True]
    assert len(readme.splitlines()) <= 60
