"""What has to hold, as sessions: ``nox -l`` lists them, ``nox -s lint types`` runs two.

``.ci/run`` runs them all. What follows ``--`` goes to pytest, or to the fuzzer:
``nox -s tests -- tests/protocols/test_sse.py``, ``nox -s fuzz -- --seed 7 --max-examples 1000``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "types", "fast"]
nox.options.reuse_venv = "yes"

ROOT = Path(__file__).parent
# Node, nginx, browsers and the soak say the same with any Python and any versions; what starts real
# servers or waits takes longer than it tells about versions.
REPEATED = ("-m", "not external and not slow", "-p", "no:cacheprovider")


def newest_python() -> str:
    """Return the newest Python here that we support and that can make environments."""
    for minor in (14, 13, 12, 11):
        installed = Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python")
        for python in (f"python3.{minor}", *map(str, installed)):
            # pyenv's shims are found, and fail.
            works = [python, "-c", "import venv, ensurepip"]
            if shutil.which(python) and not subprocess.run(works, capture_output=True).returncode:
                return python
    return sys.executable


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and form of the code."""
    session.install("ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the package and of the example."""
    session.install("-e", ".[async,example,openapi]", "mypy")
    session.run("mypy")


@nox.session
def fast(session: nox.Session) -> None:
    """Run the tests that are not marked slow."""
    session.install("-e", ".[test]")
    session.run("pytest", "-q", "-m", "not slow", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests."""
    session.install("-e", ".[test]")
    session.run("pytest", "-q", *session.posargs)


@nox.session
def tests_min(session: nox.Session) -> None:
    """Run the tests with the lowest versions that the package claims to work with."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    floors = [requirement.replace(">=", "==") for requirement in project["dependencies"]]
    session.install("-e", ".[test]", *floors)
    session.run("pytest", "-q", *REPEATED, *session.posargs)


@nox.session(python=newest_python())
def newest(session: nox.Session) -> None:
    """Run the tests with the newest Python that is installed."""
    session.install("-e", ".[test]")
    session.run("pytest", "-q", *REPEATED, *session.posargs)


@nox.session
def browser(session: nox.Session) -> None:
    """Test the example's pages in Chromium. A test that is skipped counts as failed."""
    session.install("-e", ".[test,browser]")
    names = ("browser", "browser_streams", "browser_tools", "frontend")
    files = [f"tests/example/test_{name}.py" for name in names]
    printed = session.run("pytest", "-q", "-rs", *(session.posargs or files), silent=True)
    print(printed)
    if "skipped" in str(printed).lower():
        session.error("tests were skipped: is Chromium installed, and npm?")


@nox.session
def agents(session: nox.Session) -> None:
    """Let OpenAI's Agents SDK talk to the app."""
    session.install("-e", ".[test,agents]")
    session.run("python", "-c", "import agents")  # or they would be skipped
    session.run("pytest", "-q", "tests/clients/test_openai_tools.py", "-k", "agent")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the pages; a warning is an error."""
    session.install("-e", ".[openapi,docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-b", "html", "docs", "build/docs")


@nox.session
def package(session: nox.Session) -> None:
    """Build the archive and the wheel, and import the package from the wheel alone."""
    session.install("build", "twine")
    made = Path(session.create_tmp()).resolve() / "dist"
    shutil.rmtree(made, ignore_errors=True)
    session.run("python", "-m", "build", "-q", "--outdir", str(made))
    archive, wheel = *made.glob("*.tar.gz"), *made.glob("*.whl")
    session.run("twine", "check", "--strict", str(archive), str(wheel))
    with tarfile.open(archive) as opened:
        inside = {name.partition("/")[2] for name in opened.getnames()}
    assert {
        "tests/conftest.py",
        "tests/support/apps.py",
        "docs/index.md",
        "CONTRIBUTING.md",
        "noxfile.py",
    } <= inside
    clean = made.parent / "clean"
    session.run("python", "-m", "venv", "--clear", str(clean))
    python = str(clean / "bin" / "python")
    session.run(python, "-m", "pip", "install", "-q", str(wheel), external=True)
    session.chdir(made.parent)  # or the package would be imported from here
    session.run(python, "-c", "import flask_llmchat", external=True)
    (typed,) = clean.glob("lib/*/site-packages/flask_llmchat/py.typed")


@nox.session
def fuzz(session: nox.Session) -> None:
    """Send requests made from the OpenAPI document, right ones and wrong ones."""
    # Alone, as schemathesis brings a plugin for pytest.
    session.install("-e", ".[fuzz]")
    session.run("python", ".ci/fuzz.py", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Run 5000 chats with every ending, under each of gunicorn's two workers. Linux only."""
    session.install("-e", ".[test]")
    for server in ("gevent", "gthread"):
        session.run("python", "benchmarks/soak.py", "--server", server, "--chats", "5000")


@nox.session
def settings(session: nox.Session) -> None:
    """Write the tables of settings, error codes and protocols in docs/ anew."""
    session.install("-e", ".")
    session.run("python", "docs/settings.py")


@nox.session
def catalogue(session: nox.Session) -> None:
    """Make the list of models anew, from packages that pip and npm download."""
    session.install("pip", "ruff")
    session.run("python", "maintenance/catalogue.py")


@nox.session
def shutdowns(session: nox.Session) -> None:
    """List the models that we name and that are or will soon be shut down."""
    session.install("-e", ".")
    session.run("python", "maintenance/shutdowns.py")
