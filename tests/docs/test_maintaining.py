"""What the pages for contributors and maintainers name is there."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from flask_llmchat import LLMChat, Provider, builtin_providers
from flask_llmchat.testing import FakeUpstream, text_reply
from tests.support.apps import make_app
from tests.support.docs_blocks import ROOT, runs

PAGES = ("CONTRIBUTING.md", "SECURITY.md", "docs/maintaining.md")
HOME = "https://github.com/flask-llmchat/flask-llmchat"


def read(path: str) -> str:
    return (ROOT / path).read_text()


def sessions() -> set[str]:
    """Return the sessions of the noxfile, read as text: nox is not always installed."""
    functions = [node for node in ast.parse(read("noxfile.py")).body if hasattr(node, "args")]
    decorated = [node for node in functions if getattr(node, "decorator_list", None)]
    return {node.name for node in decorated if isinstance(node, ast.FunctionDef)}


@runs("docs/maintaining.md")
def test_the_maintaining_pages_row_is_a_provider(python: list[str], upstream: FakeUpstream) -> None:
    row = eval(python[0], {"Provider": Provider})
    assert row.name not in {builtin.name for builtin in builtin_providers}
    llmchat = LLMChat(providers=[row])
    llmchat.profile_loader(lambda: {"acme_api_key": "k"})
    upstream.add(text_reply("Hello"))
    posted = {"chatSettings": {"model": "m"}, "messages": [{"role": "user", "content": "Hi"}]}
    client = make_app(upstream, llmchat=llmchat).test_client()
    assert client.post("/api/chat/acme", json=posted).text == "Hello"


@runs("docs/maintaining.md", "sh", 6)
def test_the_maintaining_pages_commands_can_be_read(sh: list[str]) -> None:
    for commands in sh:
        subprocess.run(["bash", "-n", "-c", commands], check=True)


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_for_contributors_name_what_is_there(page: str) -> None:
    text = read(page)
    named = set(re.findall(r"nox -s ([a-z_ ]*[a-z_])", text))
    assert {name for names in named for name in names.split()} <= sessions()
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert ((ROOT / page).parent / target).exists(), target
    for path in re.findall(r"(?:pytest|python) ((?:tests|docs|benchmarks)/[\w/.]+)", text):
        assert (ROOT / path).exists(), path


@pytest.mark.skipif(
    not (ROOT / "flask_llmchat" / "core").is_dir(), reason="the package has no core/ yet"
)
def test_the_maintaining_pages_paths_exist() -> None:
    paths = re.findall(r"`(flask_llmchat/[\w/.]+)`", read("docs/maintaining.md"))
    assert len(paths) >= 8
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_the_repository_has_one_address() -> None:
    urls = tomllib.loads(read("pyproject.toml"))["project"]["urls"]
    assert urls["Source"] == HOME and all(url.startswith(HOME) for url in urls.values())
    shown = re.findall(r"https://github\.com/[\w-]*llmchat[\w-]*/[\w-]+", read("README.md"))
    assert set(shown) <= {HOME}


def test_every_marker_is_explained() -> None:
    markers: Any = tomllib.loads(read("pyproject.toml"))["tool"]["pytest"]["ini_options"]
    for marker in markers["markers"]:
        assert f"`{marker.partition(':')[0]}`: " in read("CONTRIBUTING.md"), marker


def test_ci_runs_every_check_of_the_noxfile() -> None:
    run = Path(ROOT / ".ci" / "run").read_text()
    by_hand = {"fast", "tests", "soak", "settings", "catalogue", "shutdowns"}
    assert {name for name in sessions() if not re.search(rf"\b{name}\b", run)} <= by_hand
