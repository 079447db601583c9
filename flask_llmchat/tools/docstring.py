"""The descriptions that a docstring has of a function and of its parameters."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

_FIELD = re.compile(r":(?:param|parameter|arg|argument)\s+(?:\S+\s+)?(\w+):\s*(.*)")
_ARGS = re.compile(r"(?:Args|Arguments|Parameters):\s*$")
_ARG = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)")
# What follows the description: a field, or one of Google's sections.
_END = re.compile(
    r":(?:param|parameter|arg|argument|type|returns?|rtype|raises?|yields?)\b"
    r"|(?:Args|Arguments|Parameters|Returns?|Raises|Yields?):\s*$"
)


def read_docstring(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Return the description of a function, and those of its parameters by their names.

    Parameters are described by Sphinx's ``:param x:`` or in Google's section ``Args:``.
    """
    # The docstring of any other callable is that of its class.
    doc = inspect.getdoc(function) if inspect.isroutine(function) else None
    lines = (doc or "").splitlines()
    end = next((i for i, line in enumerate(lines) if _END.match(line)), len(lines))
    found: dict[str, str] = {}
    name, in_args, indent = "", False, 0
    for line in lines[end:]:
        text = line.strip()
        depth = len(line) - len(line.lstrip())
        if _END.match(line):
            match = _FIELD.match(line)
            in_args, indent = bool(_ARGS.match(line)), 0
        elif in_args and text and depth <= (indent or depth):
            match, indent = _ARG.match(text), depth
        elif name and text:
            found[name] += f" {text}"  # goes on
            continue
        else:
            match = None  # an empty line, or what is none of ours
        name = match[1] if match else ""
        if match:
            found[name] = match[2]
    return "\n".join(lines[:end]).strip(), {n: t.strip() for n, t in found.items() if t.strip()}
