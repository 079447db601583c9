"""Lists models that are shut down, or will be within 90 days, and where we name them.

Run ``nox -s shutdowns`` after ``nox -s catalogue``. It fails when a page, the example app or a
default names one, or names a model that no catalogue has any longer. It depends on the day, so no
test runs it.
"""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flask_llmchat import Model, get_model
from flask_llmchat.models.catalogue import CATALOGUE, DEFAULT_MODELS

ROOT = Path(__file__).parents[1]
PAGES = ("*.md", "docs/*.md", "docs/*.rst", "example_app/**/*")
TEXTS = {".md", ".rst", ".py", ".js", ".jsx", ".html"}
THEIRS = {"vendor", "node_modules", "dist"}
NAME = re.compile(r"\b(?:gpt|claude|gemini|grok|kimi|glm|qwen|deepseek|mistral|sonar)-[\w.-]*\w")
SOON = datetime.now(UTC).date() + timedelta(days=90)


def is_ending(model: Model) -> bool:
    """Tell whether a model is shut down by the end of the period."""
    return model.shutdown is not None and model.shutdown <= SOON


def main() -> int:
    """Print what was found; return 1 if there is something to change."""
    listed = {
        name: get_model(catalogue, name)
        for catalogue, rows in CATALOGUE.items()
        for name, *_ in rows
    }
    for name, model in listed.items():
        if is_ending(model):
            print(f"catalogue: {name} until {model.shutdown}")
    named = [(f"the default of {catalogue}", name) for catalogue, name in DEFAULT_MODELS.items()]
    for path in sorted({path for pattern in PAGES for path in ROOT.glob(pattern)}):
        local = path.relative_to(ROOT)
        if path.suffix in TEXTS and not THEIRS & {*local.parts}:
            named += [(str(local), name) for name in sorted({*NAME.findall(path.read_text())})]
    wrong = 0
    for place, name in named:
        found = listed.get(name)
        if found is None or is_ending(found):
            wrong += 1
            print(f"{place}: {name} {f'until {found.shutdown}' if found else 'is in no catalogue'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
