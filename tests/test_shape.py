"""The shape of the package: who imports whom, how long modules are, what the public names are."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import flask_llmchat
from tests.support.docs_blocks import BLOCKS, ROOT

PACKAGE = Path(flask_llmchat.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

LAYERS = (
    {"core"},
    {"models", "providers"},
    {"dialects", "protocols", "transport"},
    {"runs"},
    {"openapi", "streams", "tools"},
    {"extension", "web"},
)
"""Rooms import from layers before their own. Those of one layer do not know each other; only
``extension`` and ``web`` do."""

ONLY_IN = {
    "openai": ("runs/", "extension.py"),  # the latter for the type of client()
    "httpx2": ("runs/", "transport/"),
    "urllib3": ("transport/", "protocols/errors.py"),  # the latter for dates in Retry-After
    "marshmallow": (
        "dialects/",
        "core/config.py",
        "core/fields.py",
        "openapi/converter.py",
        "tools/arguments.py",
    ),
    "flask": ("extension.py", "openapi/", "web/"),
    "werkzeug": ("extension.py", "openapi/", "web/"),
    # An extra, which what is always imported must not need.
    "apispec": ("openapi/", "tools/arguments.py"),
    "pydantic": ("tools/",),  # within functions: it takes long to load
    "pydantic_core": ("tools/",),
    "redis": (),  # an extra, which one module imports by its name, when it is used
    "httpcore2": (),
    "h11": (),
}
PUBLIC = {"flask_llmchat", "flask_llmchat.testing", "flask_llmchat.openapi"}
LINES = 360

# What does not keep the rules yet. A line that is no longer needed fails its test: remove it.
IMPORTS_THE_WRONG_WAY: dict[str, set[str]] = {}
TOO_LONG: set[str] = set()
IMPORTS_INTERNALS = {
    "docs/settings.py": {"flask_llmchat.core.config", "flask_llmchat.core.error_codes"}
}  # writes tables from them


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imports_of(source: str, package: str = "") -> Iterator[str]:
    """Give the full names of the modules and names that are imported, for types too.

    :param package: the package that relative imports start from.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = parents[: len(parents) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def rooms_of(name: str) -> tuple[str, set[str]]:
    """Return a module's room, and the rooms it may import from; none are named for the root."""
    room = name.partition("/")[0].removesuffix(".py")
    level = next((i for i, rooms in enumerate(LAYERS) if room in rooms), len(LAYERS))
    allowed = {room}.union(*LAYERS[:level])
    return room, allowed | ({"extension", "web"} if room in LAYERS[-1] else set())


def imported_the_wrong_way(path: Path) -> set[str]:
    """Return the rooms and packages that a module imports and must not."""
    name = name_of(path)
    room, allowed = rooms_of(name)
    folder = name.split("/")[1] if name.count("/") > 1 else ""
    folders = {name_of(path.parent) for path in PACKAGE.glob("*/*/__init__.py")}
    package = ".".join(["flask_llmchat", *path.relative_to(PACKAGE).parts[:-1]])
    wrong = set()
    for imported in imports_of(path.read_text(), package):
        top, _, rest = imported.partition(".")
        if top == "flask_llmchat":
            other, _, below = rest.partition(".")
            alone = room == "testing" and other != "testing"
            if name != "__init__.py" and (alone or other not in allowed):
                wrong.add(other)
            # One dialect knows nothing of another, nor does one protocol.
            sibling = below.partition(".")[0]
            if folder and sibling not in ("", folder) and other == room:
                wrong |= {f"{room}/{sibling}"} & folders
        elif not name.startswith(ONLY_IN.get(top, "")):
            wrong.add(top)
    return wrong


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    assert imported_the_wrong_way(path) == IMPORTS_THE_WRONG_WAY.get(name_of(path), set())


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_grows_past_a_few_screens(path: Path) -> None:
    assert (len(path.read_text().splitlines()) > LINES) == (name_of(path) in TOO_LONG)


def test_the_lists_of_exceptions_name_modules_that_exist() -> None:
    names = {name_of(path) for path in MODULES}
    assert {*IMPORTS_THE_WRONG_WAY, *TOO_LONG} <= names


def test_every_public_name_is_documented() -> None:
    assert flask_llmchat.__all__ == sorted(flask_llmchat.__all__)
    for name in flask_llmchat.__all__:
        value = getattr(flask_llmchat, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), name


@pytest.mark.parametrize("name", ["ChatRequest", "ChatResult", "Provider", "Model", "Profile"])
def test_the_fields_of_a_public_class_are_documented(name: str) -> None:
    assert ":param" in (inspect.getdoc(getattr(flask_llmchat, name)) or "")


def internals_in(source: str) -> set[str]:
    """Return the modules below the public ones that are imported."""
    ours = (name for name in imports_of(source) if name.startswith("flask_llmchat"))
    modules = {name if name in PUBLIC else name.rpartition(".")[0] for name in ours}
    return modules - PUBLIC


@pytest.mark.parametrize(
    "path",
    [*sorted((ROOT / "example_app").rglob("*.py")), *sorted((ROOT / "docs").glob("*.py"))],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_example_and_docs_import_public_names_only(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    assert internals_in(path.read_text()) == IMPORTS_INTERNALS.get(name, set())


@pytest.mark.parametrize("page", sorted({block.page for block in BLOCKS}))
def test_code_on_a_page_imports_public_names_only(page: str) -> None:
    for block in BLOCKS:
        if block.page == page:
            lines = re.findall(r"^\s*((?:from|import) flask_llmchat[^\n(]*)", block.code, re.M)
            for line in lines:
                # A list of names in brackets is cut off: which names they are does not matter.
                source = line if not line.rstrip().endswith("import") else f"{line} *"
                assert not internals_in(source), block.code


def test_what_several_test_modules_use_is_in_support() -> None:
    for path in [*ROOT.glob("tests/*/test_*.py"), *ROOT.glob("tests/*/*/test_*.py")]:
        if path.name != "test_openapi.py":  # which validates the very bodies that others post
            imported = [name for name in imports_of(path.read_text()) if name.startswith("tests.")]
            assert all(name.startswith("tests.support.") for name in imported), path
