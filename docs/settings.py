"""Writes the tables of the pages that are made from the package's own rows.

``configuration.md`` lists the settings of ``core/config.py``, ``errors.md`` the codes of
``core/error_codes.py``, ``protocols.md`` what the built-in rows speak. Run
``python docs/settings.py`` after changing one; a test fails when a page is out of date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path

from flask_llmchat import builtin_providers
from flask_llmchat.core.config import Config
from flask_llmchat.core.error_codes import ERROR_CODES

BEGIN, END = "<!-- settings.py writes this -->\n", "<!-- as far as here -->\n"


def setting_rows() -> Iterator[str]:
    """Yield the table of settings, line by line."""
    yield "| key | default | what it is |"
    yield "| --- | --- | --- |"
    for option in fields(Config):
        factory = option.default_factory
        default = option.default if factory is MISSING else factory()
        if isinstance(default, float):
            default = f"{default:g}"
        elif isinstance(default, Mapping | frozenset) and not default:
            default = "{}" if isinstance(default, Mapping) else "()"
        else:
            default = repr(default)
        doc = option.metadata["doc"].replace("|", r"\|")
        yield f"| `LLMCHAT_{option.name.upper()}` | `{default}` | {doc} |"


def code_rows() -> Iterator[str]:
    """Yield the table of error codes, line by line."""
    yield "| code | status | when | retry | fallback | OpenAI's `type` |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for row in ERROR_CODES.values():
        retry, fallback = ("yes" if flag else "" for flag in (row.retryable, row.fallback))
        yield (
            f"| `{row.code}` | {row.status} | {row.when} | {retry} | {fallback}"
            f" | `{row.openai_type}` |"
        )


def protocol_rows() -> Iterator[str]:
    """Yield the table of the providers that speak more than chat completions, line by line."""
    yield "| route | protocol | can also speak |"
    yield "| --- | --- | --- |"
    for row in builtin_providers:
        if [*row.protocols] == ["chat_completions"]:
            continue
        others = [
            f"`{name}` at `{url}`" if url else f"`{name}`"
            for name, url in row.protocols.items()
            if name != row.protocol
        ]
        used = f"`{row.protocol}`" if row.protocol else "by model"
        yield f"| `{row.name}` | {used} | {', '.join(others)} |"


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    "configuration.md": setting_rows,
    "errors.md": code_rows,
    "protocols.md": protocol_rows,
}
"""Page to the table on it."""


def updated(page: Path) -> str:
    """Return the text of a page with its table made anew."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join(TABLES[page.name]())
    return f"{before}{BEGIN}\n{table}\n\n{END}{after}"


if __name__ == "__main__":
    for name in TABLES:
        page = Path(__file__).with_name(name)
        page.write_text(updated(page))
