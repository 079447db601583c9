"""Files that a browser gives no useful media type, and messages as AI SDK 4 stored them."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_llmchat import ChatError
from flask_llmchat.core.request import Message
from flask_llmchat.dialects.ui.dialect import UIDialect
from flask_llmchat.dialects.ui.files import _unescaped
from tests.support.recordings import CASES, needs_cases
from tests.support.ui_conversations import HI, INTERRUPTED, PNG, assistant, file, user


def read(*messages: Any) -> list[Message]:
    return UIDialect().read({"chatSettings": {"model": "m"}, "messages": [*messages]}, 50).messages


def read_file(media_type: str, content: bytes, **more: Any) -> Any:
    (message,) = read(user(file(media_type, content, **more)))
    (part,) = message["content"]
    return part.get("text", part)


@pytest.mark.parametrize(
    ("media_type", "content", "name", "text"),
    [
        ("application/vnd.ms-excel", b"a,b\n1,2\n", "a.csv", "a,b\n1,2\n"),
        ("application/vnd.ms-excel", "Köln;€".encode("cp1252"), "A.CSV", "Köln;€"),
        ("application/vnd.ms-excel", b"K\x81ln", "a.csv", "K\x81ln"),
        ("application/octet-stream", "ä,b".encode("utf-16"), "a.csv", "ä,b"),
        ("application/octet-stream", b"# Hi", "readme.md", "# Hi"),
        ("application/octet-stream", b"# Hi", None, "# Hi"),
        ("", b"print(1)", "a.py", "print(1)"),
        ("", b'{"a": 1}', "a.json", '{"a": 1}'),
        ("", b"FROM a", "Dockerfile", "FROM a"),
        ("", b"\xef\xbb\xbfHi", "notes", "Hi"),
        ("video/mp2t", b"let a = 1;", "a.ts", "let a = 1;"),
        ("application/x-unheard-of", b"x", "a.toml", "x"),
        ("text/plain", "ä,b".encode("utf-16"), "a.txt", "ä,b"),
        (
            "text/csv",
            ("Name\tOrt\n" * 200 + "Köln").encode("utf-16"),
            "a.csv",
            "Name\tOrt\n" * 200 + "Köln",
        ),
        ("text/csv", "Köln;€".encode("cp1252"), "a.csv", "Köln;€"),
        ("text/csv", "Köln ü".encode() + b"\xe4", "a.csv", "Köln ü\ufffd"),
    ],
)
def test_a_file_is_a_text_by_its_name_or_its_content(
    media_type: str, content: bytes, name: str | None, text: str
) -> None:
    assert read_file(media_type, content, **({} if name is None else {"filename": name})) == text


@pytest.mark.parametrize(
    ("media_type", "content", "name"),
    [
        ("application/vnd.ms-excel", b"\xd0\xcf\x11\xe0\0\0", "a.xls"),
        ("application/vnd.ms-excel", b"\xd0\xcf\x11\xe0\0\0", "a.csv"),
        ("video/mp2t", b"G\x40\0\x10", "a.ts"),
        ("application/octet-stream", b"\xff\xfe\0\xd8", "a.bin"),
        ("application/octet-stream", b"K\xf6ln", "a.bin"),
        ("", b"PK\x03\x04", "a.zip"),
        ("application/zip", b"PK", "a.zip"),
    ],
)
def test_what_holds_no_text_is_refused_whatever_its_name(
    media_type: str, content: bytes, name: str
) -> None:
    with pytest.raises(ChatError, match="cannot be sent to a model here"):
        read_file(media_type, content, filename=name)


def test_files_of_other_kinds_are_known_by_how_they_begin() -> None:
    pdf = read_file("application/octet-stream", b"%PDF-1.7", filename="a.pdf")
    assert pdf["file"]["filename"] == "a.pdf"
    assert read_file("", b"RIFF\0\0\0\0WAVE")["input_audio"]["format"] == "wav"
    assert read_file("", b"ID3\4")["input_audio"]["format"] == "mp3"
    assert read_file("", PNG)["image_url"]["url"].startswith("data:image/png;")
    assert read_file("text/plain", b"ID3 is a tag") == "ID3 is a tag"


def test_a_text_that_is_none_is_refused() -> None:
    for content in (b"\0" * 100, b"\xff" * 100):
        with pytest.raises(ChatError, match="not a text in UTF-8"):
            read_file("text/plain", content)


@given(
    st.lists(st.sampled_from(["%", "4", "aF", "=", "\n", "\r\n", " ", "é", "%41", "%fF", "%0a"]))
)
def test_escapes_are_undone_as_urllib_does_it(pieces: list[str]) -> None:
    text = "".join(pieces) + "a" * 8 * pieces.count("=")
    if "\n" in text:  # no URL holds lines: browsers take them out
        assert _unescaped(text) == unquote_to_bytes(text.translate({9: None, 10: None, 13: None}))
    else:
        assert _unescaped(text) == unquote_to_bytes(text)


def test_very_many_signs_that_are_no_escapes_are_refused() -> None:
    assert read(user(file("text/plain", "data:,100% of 20%"))) != []
    for data in ("%" * 99, "%zz" * 99, "%41" + "=" * 99):
        with pytest.raises(ChatError, match="url holds many"):
            read(user(file("text/plain", f"data:,{data}")))


# AI SDK 4


def call_of_4(state: str = "result", **more: Any) -> dict[str, Any]:
    call = {"state": state, "toolCallId": "t1", "toolName": "weather", "args": {"city": "Ulm"}}
    return {**call, **({"result": "18 C"} if state == "result" else {}), **more}


CALLED = {
    "id": "t1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city":"Ulm"}'},
}


def test_stored_calls_of_version_4_are_read() -> None:
    part = {"type": "tool-invocation", "toolInvocation": call_of_4()}
    sent = read(HI, assistant(part, "18 C"), HI)
    assert sent[1:3] == [
        {"role": "assistant", "content": "18 C", "tool_calls": [CALLED]},
        {"role": "tool", "tool_call_id": "t1", "content": "18 C"},
    ]
    before = {"role": "assistant", "content": "18 C", "toolInvocations": [call_of_4()]}
    assert read(HI, before, HI) == sent
    broken_off = {"type": "tool-invocation", "toolInvocation": call_of_4("partial-call")}
    assert len(read(HI, assistant(broken_off, "Hm"), HI)) == 3
    waiting = {"type": "tool-invocation", "toolInvocation": call_of_4("call")}
    assert read(HI, assistant(waiting), HI)[2]["content"] == INTERRUPTED
    with pytest.raises(ChatError, match="messages.1.parts.0: state is not one of"):
        read(HI, assistant({"type": "tool-invocation", "toolInvocation": {"state": []}}))


def test_other_stored_parts_of_version_4_are_read() -> None:
    png = b64encode(PNG).decode()
    attachment = {"name": "a.txt", "contentType": "text/plain", "url": "data:,Hello"}
    sent = read(
        {"role": "user", "content": "Look", "experimental_attachments": [attachment]},
        assistant({"type": "reasoning", "reasoning": "Hm"}, {"type": "source", "source": {}}, "So"),
        user("And", {"type": "file", "mimeType": "image/png", "data": png}),
    )
    assert sent[0]["content"] == [{"type": "text", "text": t} for t in ("Look", "Hello")]
    assert sent[1] == {"role": "assistant", "content": "So", "reasoning_content": "Hm"}
    assert sent[2]["content"][1]["image_url"]["url"] == f"data:image/png;base64,{png}"


@needs_cases
@pytest.mark.parametrize("name", ["33a-csv-from-windows", "33c-v4-stored-message"])
def test_the_reported_bodies_are_taken(name: str) -> None:
    body = json.loads((CASES / f"{name}.json").read_text())["body"]
    messages = UIDialect().read(body, 50).messages
    if name.startswith("33a"):
        assert messages[0]["content"][1] == {"type": "text", "text": "a,b\n1,2\n"}
    else:
        assert [m["role"] for m in messages] == ["user", "assistant", "tool", "user"] or len(
            messages
        ) > 3
