"""Runs the real clients of other makers, under Node, against our servers."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parents[1] / "js"


@cache
def _node() -> str | None:
    """Return the Node that npm brings, installing what is not there of it and the clients."""
    modules = HERE / "node_modules"
    node = modules / ".bin" / "node"
    wanted = json.loads((HERE / "package.json").read_text())["dependencies"]
    if not node.exists() or not all((modules / name).exists() for name in wanted):
        npm = shutil.which("npm")
        if npm is None:
            return None
        command = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund"]
        subprocess.run([*command, "--loglevel=error"], cwd=HERE, check=True, timeout=300)
    return str(node)


def run_js(script: str, job: Any, timeout: float = 120.0) -> Any:
    """Run a script of ``tests/js`` with a JSON job on its stdin; return the JSON it prints.

    Skips the test, saying so, on a machine without npm.
    """
    node = _node()
    if node is None:
        pytest.skip("npm is not installed: the JavaScript clients cannot be run")
    done = subprocess.run(
        [node, script],
        cwd=HERE,
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)
