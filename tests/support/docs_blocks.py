"""The code blocks of the documentation, and which test runs which of them."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from blinker import NamedSignal

ROOT = Path(__file__).parents[2]
Test = TypeVar("Test", bound=Callable[..., Any])


@dataclass(frozen=True)
class Block:
    page: str
    heading: str
    language: str
    code: str


@dataclass(frozen=True)
class Claim:
    """What a test says that it runs."""

    page: str
    language: str
    count: int
    under: tuple[str, ...]

    def blocks(self) -> list[Block]:
        return [
            block
            for block in BLOCKS
            if (block.page, block.language) == (self.page, self.language)
            and (not self.under or block.heading in self.under)
        ]


def _pages() -> Iterator[Path]:
    yield ROOT / "README.md"
    yield from sorted(ROOT.glob("docs/**/*.md"))
    yield ROOT / "example_app" / "README.md"
    yield ROOT / "example_app" / "deploy" / "README.md"


def blocks_of(page: str, text: str) -> Iterator[Block]:
    """Give the fenced blocks of a page; Sphinx's directives, ``{toctree}`` say, are no code."""
    heading = ""
    fenced = re.compile(r"^#+ (.*)$|^( *)```(.*)\n((?:.*\n)*?) *```$", re.MULTILINE)
    for found in fenced.finditer(text):
        title, indent, language, code = found.groups()
        heading = title or heading
        if language is not None and not language.startswith("{"):
            yield Block(page, heading, language, re.sub(f"^{indent}", "", code, flags=re.M))


BLOCKS = [
    block
    for path in _pages()
    for block in blocks_of(path.relative_to(ROOT).as_posix(), path.read_text())
]
CLAIMS: list[Claim] = []


def runs(
    page: str, language: str = "python", count: int = 1, *, under: str | tuple[str, ...] = ()
) -> Callable[[Test], Test]:
    """Give a test the blocks of a page as the argument named like their language.

    :param count: how many there are; one more fails until a test says that it runs it.
    :param under: the headings they stand under, when it is not all of the page's.
    """
    claim = Claim(page, language, count, (under,) if isinstance(under, str) else under)
    CLAIMS.append(claim)
    codes = [block.code for block in claim.blocks()]
    return pytest.mark.parametrize(language, [pytest.param(codes, id=Path(page).stem)])


def unclaimed() -> Iterator[str]:
    """Tell of every block that no test says it runs, and of claims that are not so."""
    for claim in CLAIMS:
        found = len(claim.blocks())
        if found != claim.count:
            yield f"{claim}: there are {found}"
    claimed = {block for claim in CLAIMS for block in claim.blocks()}
    for block in BLOCKS:
        if block not in claimed:
            yield f"no test runs this {block.language!r} block of {block.page}:\n{block.code}"


@contextmanager
def heard(signal: NamedSignal) -> Iterator[None]:
    """Disconnect, afterwards, whoever listens to a signal from now on."""
    before = set(signal.receivers)
    yield
    for key in set(signal.receivers) - before:
        receiver = signal.receivers[key]
        signal.disconnect(receiver() if isinstance(receiver, weakref.ref) else receiver)
