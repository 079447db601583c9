"""The shape of the package: who may import whom, and that what is public is documented."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import flask_llmchat

PACKAGE = Path(flask_llmchat.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# Lower rooms know nothing of higher ones.
ORDER = [
    (
        "chat",
        "errors",
        "profiles",
        "addresses",
        "models",
        "catalogue",
        "config",
        "signals",
        "limits",
    ),
    ("providers", "upstream"),
    ("answer",),
    ("dialects",),
    ("body", "missing"),
    ("http", "asking", "hosting"),
    ("state",),
    ("views",),
    ("listing",),
    ("routes",),
    ("openapi",),
    ("cli",),
    ("extension",),
]


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> set[str]:
    """Return the modules a file imports at run time, those of our own as ``.room``."""
    found = set()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for inner in ast.walk(node):
                inner.typing_only = True  # type: ignore[attr-defined]
        if getattr(node, "typing_only", False):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            depth = len(path.relative_to(PACKAGE).parts) - node.level
            own = room(path) if depth > 0 else (node.module or "").partition(".")[0]
            found.add(f".{own}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_who_imports_whom(path: Path) -> None:
    found, here = imports(path), room(path)
    assert "openai" not in found or here == "upstream"
    assert not {"httpx2", "urllib3"} & found or here == "upstream"
    assert not {"httpcore2", "h11"} & found
    assert "marshmallow" not in found or here == "dialects"
    # apispec is an extra: what is always imported must not need it.
    assert "apispec" not in found or path == PACKAGE / "dialects" / "schemas.py"
    assert not {"flask", "werkzeug"} & found or here in (
        "body",
        "hosting",
        "http",
        "routes",
        "views",
        "asking",
        "state",
        "listing",
        "openapi",
        "extension",
        "cli",
    )
    if here == "testing":
        assert not {name for name in found if name.startswith(".")}
    if here in ("__init__", "testing"):
        return
    (level,) = [i for i, rooms in enumerate(ORDER) if here in rooms]
    lower = {f".{name}" for rooms in ORDER[:level] for name in rooms}
    siblings = {f".{name}" for name in ORDER[level]} if level == 0 else {f".{here}"}
    assert {name for name in found if name.startswith(".")} <= lower | siblings


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_module_grows_past_a_few_screens(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 360


def test_every_public_name_is_there_and_documented() -> None:
    assert flask_llmchat.__all__ == sorted(flask_llmchat.__all__)
    for name in flask_llmchat.__all__:
        value = getattr(flask_llmchat, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), name


def test_chatresult_and_request_say_what_their_fields_are() -> None:
    for cls in (flask_llmchat.ChatRequest, flask_llmchat.ChatResult, flask_llmchat.Provider):
        assert ":param" in (inspect.getdoc(cls) or "")
