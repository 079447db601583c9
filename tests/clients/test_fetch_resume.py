"""The page of docs/fetch.md, which reads text, when its connection breaks."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from flask_llmchat.testing import CUT, FakeUpstream, text_reply
from tests.support.docs_blocks import runs
from tests.support.node import run_js
from tests.support.servers import served
from tests.support.streams import URL, keeping

pytestmark = pytest.mark.external

WORDS = ["Grüße ", "aus ", "日本 ", "🎉!"]


def chat(code: list[str], app: Flask, *cuts: int) -> Any:
    """Return what the page has shown, how it ended, and what it asked for."""
    with served(app) as port:
        origin = f"http://127.0.0.1:{port}"
        told = run_js("fetch_page.mjs", {"code": code[0], "origin": origin, "cuts": cuts})
    told["asked"] = [" ".join(asked.split(" ")[:2]) for asked in told["asked"]]
    return told


@runs("docs/fetch.md", "js", under="When the connection breaks")
def test_a_page_that_is_cut_off_gets_the_rest(js: list[str], upstream: FakeUpstream) -> None:
    """Also in the middle of a character."""
    app = keeping(upstream)
    for cut in (1, 3, 8, 17, 18):
        upstream.add(text_reply(*WORDS, delay=0.05))
        told = chat(js, app, cut)
        assert (told["shown"], told["error"]) == ("".join(WORDS), None)
        posted, got = told["asked"]
        assert posted == f"POST {URL}" and got.endswith(f"/stream?after={cut}")


@runs("docs/fetch.md", "js", under="When the connection breaks")
def test_a_page_that_is_cut_off_again_and_again_gets_the_rest(
    js: list[str], upstream: FakeUpstream
) -> None:
    upstream.add(text_reply(*WORDS, delay=0.05))
    told = chat(js, keeping(upstream), 2, 3, 4)
    assert (told["shown"], told["error"]) == ("".join(WORDS), None)
    assert [asked.rpartition("=")[2] for asked in told["asked"][1:]] == ["2", "5", "9"]
    assert len(upstream.requests) == 1


@runs("docs/fetch.md", "js", under="When the connection breaks")
def test_a_page_whose_chat_has_failed_is_told_so(js: list[str], upstream: FakeUpstream) -> None:
    upstream.add(text_reply("Half", finish_reason=None, usage=None, done=False, then=[CUT]))
    told = chat(js, keeping(upstream))
    assert told["shown"] == "Half" and told["error"]
    assert len(told["asked"]) == 2


@runs("docs/fetch.md", "js", under="When the connection breaks")
def test_a_page_whose_app_keeps_nothing_is_told_so(js: list[str], upstream: FakeUpstream) -> None:
    upstream.add(text_reply(*WORDS))
    told = chat(js, keeping(upstream, resumable=False), 3)
    assert told["shown"] == "Gr" and told["error"]
    assert told["asked"] == [f"POST {URL}"]
