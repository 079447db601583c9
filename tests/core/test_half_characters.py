"""Half characters in JSON, as models write them."""

from __future__ import annotations

import json

import pytest

from flask_llmchat.core.half_characters import replace_halves


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"\ud83d"', "\ufffd"),
        (r'"a\uDE00b"', "a\ufffdb"),
        (r'"\ud83d\ude00"', "\U0001f600"),
        (r'"\uD83D\uDE00\ude00"', "\U0001f600\ufffd"),
        (r'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600"),
        (r'"\ude00\ud83d"', "\ufffd\ufffd"),
        (r'"\\ud83d"', r"\ud83d"),
        (r'"\\\ud83d"', "\\\ufffd"),
        (r'"\ud83d\n"', "\ufffd\n"),
        (r'"\ud7ff\ue000"', "\ud7ff\ue000"),
        (r'{"\ud83d": ["\ude00"]}', {"\ufffd": ["\ufffd"]}),
    ],
)
def test_halves_are_replaced(text: str, value: object) -> None:
    assert json.loads(replace_halves(text)) == value


@pytest.mark.parametrize("text", ["", "{}", '"\\u00e9"', '"\\ud8', "\\ud83", '"\\', r"\ud83z"])
def test_anything_else_stays(text: str) -> None:
    assert replace_halves(text) == text
