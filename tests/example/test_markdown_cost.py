"""What the example's page spends on a text of a model's making: no shape costs its square."""

from __future__ import annotations

import pytest

from tests.support.node import run_js

pytestmark = pytest.mark.external

LENGTH = 20_000

SHAPES = {
    "ftp": "ftp://a.b/",
    "FTP": "FTP://a.b/",
    "two slashes": "//a.b/",
    "two slashes in quotes": 'http://x.y/"a',
    "http": "http://a.b/",
    "http alone": "http://",
    "http with a user": "http://a:b@c/",
    "http with a port": "http://a.b:99999/",
    "http with a dash": "http://a-",
    "http with dots": "http://a.b/.",
    "http with brackets": "http://x.y/(",
    "other schemes": "a://b",
    "mailto": "mailto:a@b.c/",
    "mailto alone": "mailto:",
    "mailto without an end": "mailto:a.b.c@",
    "mail": "a@b.c ",
    "www": "www.a.b ",
    "brackets": "[",
    "images": "![",
    "links without an end": "[a](",
    "links in links": "[[a](b)](c)",
    "titles without an end": '[a](b "',
    "definitions": "[a]: b\n",
    "definitions and uses": "[a]\n\n",
    "emphasis": "*a **b ",
    "emphasis of two kinds": "_*",
    "strikes": "~~a ",
    "backticks": "`a",
    "angles": "<a:",
    "html": "<div>",
    "comments": "<!--",
    "entities": "&amp",
    "backslashes": "\\",
    "quotes": ">",
    "lists": "- a\n",
    "lists in quotes": "> - ",
    "rules": "* * ",
    "fences": "```\n",
    "headings": "a\n=\n",
    "tables": "|a|b\n",
    "tables with heads": "a|b\n-|-\n",
    "wide rows": "|-",
    "tabs": "\t",
    "lines": "a\n",
}


def test_no_text_costs_its_square() -> None:
    links = "http://a.b/ https://a.b/ mailto:a@b.c ftp://a.b/ //a.b/ FTP://a.b/ [t](http://c.d/)"
    told = run_js("markdown.mjs", {"shapes": SHAPES, "length": LENGTH, "links": links})
    assert told["links"] == ["http://a.b/", "https://a.b/", "mailto:a@b.c", "http://c.d/"]
    plain = told["costs"].pop("plain")[1]
    dear = {
        name: (once, twice)
        for name, (once, twice) in told["costs"].items()
        # Linear would be 2, a square 4; and below some milliseconds it is chance.
        if twice > 40 * plain or (twice > 10 * plain and twice > 3 * once)
    }
    assert dear == {}
