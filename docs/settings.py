"""Writes the table in configuration.md from the one in ``flask_llmchat/config.py``.

``python docs/settings.py`` after a setting has changed; a test sees when it was forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path

from flask_llmchat.core.config import Config

PAGE = Path(__file__).with_name("configuration.md")
BEGIN, END = "<!-- settings.py writes this -->\n", "<!-- as far as here -->\n"


def rows() -> Iterator[str]:
    """Give the table, line by line."""
    yield "| key | default | what it is |"
    yield "| --- | --- | --- |"
    for option in fields(Config):
        made = option.default_factory
        default = option.default if made is MISSING else made()
        if isinstance(default, float):
            default = f"{default:g}"
        elif isinstance(default, Mapping | frozenset) and not default:
            default = "{}" if isinstance(default, Mapping) else "()"
        else:
            default = repr(default)
        doc = option.metadata["doc"].replace("|", r"\|")
        yield f"| `LLMCHAT_{option.name.upper()}` | `{default}` | {doc} |"


def written(page: str) -> str:
    """Return the page with its table written anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join(rows())
    return f"{before}{BEGIN}\n{table}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
