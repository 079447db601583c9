"""Conversations of UIMessages, as pages keep them."""

from __future__ import annotations

import base64
from typing import Any

Json = dict[str, Any]


def text(value: str, **more: Any) -> Json:
    return {"type": "text", "text": value, **more}


def says(role: str, *parts: Json | str, **more: Any) -> Json:
    listed = [text(part) if isinstance(part, str) else part for part in parts]
    return {"id": f"{role}-1", "role": role, "parts": listed, **more}


def user(*parts: Json | str, **more: Any) -> Json:
    return says("user", *parts, **more)


def assistant(*parts: Json | str, **more: Any) -> Json:
    return says("assistant", *parts, **more)


def tool(state: str, name: str = "f", id: str = "c1", **more: Any) -> Json:
    return {"type": f"tool-{name}", "toolCallId": id, "state": state, "input": {"a": 1}, **more}


def done(output: Any, **more: Any) -> Json:
    return tool("output-available", output=output, **more)


def file(media_type: str, content: bytes | str, **more: Any) -> Json:
    """Return a file part: of bytes as a data: URL, else of the URL."""
    if isinstance(content, bytes):
        content = f"data:{media_type};base64,{base64.b64encode(content).decode()}"
    return {"type": "file", "mediaType": media_type, "url": content, **more}


def approval(approved: bool | None = None, **more: Any) -> Json:
    return {"id": "a1", **({} if approved is None else {"approved": approved}), **more}


STEP = {"type": "step-start"}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(40))
JPEG = b"\xff\xd8\xff\xe0" + bytes(30)
HI, GO = user("Hi"), user("Go on")

# What the AI SDK's own server sends for these, we send.
SAME: dict[str, list[Json]] = {
    "one question": [HI],
    "a system message": [says("system", "Be ", "brief."), HI],
    "a turn": [HI, assistant(STEP, "Hello", " you"), GO],
    "several texts": [user("Look at", "this")],
    "empty texts": [user("", "Hi", ""), assistant(STEP, text("", state="done"), "Hello"), GO],
    "unknown fields": [user("Hi", content="Hi", createdAt="2026-01-01", metadata={"a": 1})],
    "non-ASCII": [user("é 😀 \u2028 \x00"), assistant("ñ", done({"é": "😀\n"})), GO],
    "a step without step-start": [HI, assistant("Hello"), GO],
    "two steps": [HI, assistant(STEP, "A", done(1), STEP, "B"), GO],
    "text after a tool in one step": [HI, assistant(STEP, "A", done(1), "B"), GO],
    "two calls in a step": [HI, assistant(STEP, done(1), done(2, id="c2", name="g"))],
    "a call alone": [HI, assistant(STEP, done("4"))],
    "results of all kinds": [
        HI,
        assistant(
            *[
                done(value, id=f"c{i}")
                for i, value in enumerate(
                    ["text", "", None, True, 0, -1.5, [], {}, [1, {"a": None}], {"a": 'b"\\\n'}]
                )
            ]
        ),
    ],
    "small numbers": [
        HI,
        assistant(
            done([0.0001, 0.00001, -0.0000123, 1e-6, 1.5e-7, -1e-9, 1e-10, 2.5e-300, "1e-05 \\"])
        ),
    ],
    "large numbers": [HI, assistant(done([1e21, 1.5e300, 2**53, 123456.789]))],
    "no output": [HI, assistant(tool("output-available"))],
    "inputs of all kinds": [
        HI,
        assistant(
            *[
                done(1, id=f"c{i}", input=value)
                for i, value in enumerate(
                    [{}, {"b": [1.5, "é"]}, None, "text", '{"a": 1}', "", 7, [1], "12", "nul"]
                )
            ]
        ),
    ],
    "a dynamic tool": [HI, assistant({**done([1]), "type": "dynamic-tool", "toolName": "x-y"})],
    "a tool that is gone": [
        HI,
        assistant({**done([1]), "type": "dynamic-tool", "toolName": "x", "dynamic": False}),
    ],
    "a tool's name with a dash": [HI, assistant(done(1, name="get-the-weather"))],
    "an error": [HI, assistant(tool("output-error", errorText="No such city"))],
    "an error of a raw input": [
        HI,
        assistant({**tool("output-error", errorText="Bad", rawInput='{"a":'), "input": None}),
    ],
    "denied": [HI, assistant(tool("output-denied", approval=approval(False, reason="No!")))],
    "denied without a reason": [HI, assistant(tool("output-denied", approval=approval(False)))],
    "said no": [HI, assistant(tool("approval-responded", approval=approval(False)))],
    "said no, and why": [
        HI,
        assistant(tool("approval-responded", approval=approval(False, reason="No!"))),
    ],
    "approved and run": [HI, assistant(done(1, approval=approval(True)))],
    "unanswered approval, gone on": [
        HI,
        assistant(STEP, "May I?", tool("approval-requested", approval=approval())),
        GO,
    ],
    "broken off in a call's input": [HI, assistant("A", tool("input-streaming")), GO],
    "a call among broken off ones": [
        HI,
        assistant(tool("input-streaming"), done(1, id="c2"), tool("input-streaming", id="c3")),
        GO,
    ],
    "reasoning": [
        HI,
        assistant(STEP, {"type": "reasoning", "text": "Hm", "id": "reasoning-0"}, "Hello"),
        GO,
    ],
    "reasoning in two pieces, and a call": [
        HI,
        assistant(
            STEP,
            {"type": "reasoning", "text": "Hm"},
            {"type": "reasoning", "text": "m"},
            done(1),
            STEP,
            {"type": "reasoning", "text": "Ah"},
            "Hello",
        ),
        GO,
    ],
    "reasoning alone": [HI, assistant(STEP, {"type": "reasoning", "text": "Hm"}), GO],
    "a signed call": [
        HI,
        assistant(done(1, callProviderMetadata={"lab": {"thoughtSignature": "sig=="}})),
    ],
    "a call signed by google": [
        HI,
        assistant(done(1, callProviderMetadata={"google": {"thoughtSignature": "sig=="}})),
    ],
    "a failed call, signed": [
        HI,
        assistant(
            tool(
                "output-error",
                errorText="Bad",
                resultProviderMetadata={"lab": {"thoughtSignature": "sig=="}},
            )
        ),
    ],
    "what says nothing to a model": [
        user("Hi", {"type": "data-x", "data": 1}, {"type": "source-url", "url": "u"}),
        assistant(
            STEP,
            {"type": "data-x", "id": "d", "data": {"a": 1}},
            {"type": "source-url", "sourceId": "s", "url": "https://a.example"},
            {
                "type": "source-document",
                "sourceId": "s2",
                "mediaType": "text/plain",
                "title": "T",
            },
            "Hello",
        ),
        GO,
    ],
    "custom and reasoning files": [
        HI,
        assistant(
            "Hello",
            {"type": "custom", "kind": "a.b"},
            {**file("image/png", PNG), "type": "reasoning-file"},
        ),
        GO,
    ],
    "an image of the assistant's": [HI, assistant(STEP, "Here", file("image/png", PNG)), GO],
    "steering": [
        HI,
        assistant(
            STEP,
            done(1),
            {"type": "steering-message", "id": "s", "parts": [text("Faster!")]},
            STEP,
            "Done",
        ),
        GO,
    ],
    "steering with an image": [
        HI,
        assistant(
            "A",
            {
                "type": "steering-message",
                "id": "s",
                "parts": [text("This:"), file("image/png", PNG)],
            },
            "B",
        ),
        GO,
    ],
    "tools in a user's message": [user("Hi", done(1), STEP)],
    "files in a system message": [says("system", "Be brief.", file("image/png", PNG)), HI],
    "an image": [user("What is this?", file("image/png", PNG))],
    "an image alone": [user(file("image/png", PNG))],
    "an image at an address": [user(file("image/png", "https://a.example/b.png"), "This?")],
    "an image of any type": [user(file("image/*", "https://a.example/b.png"))],
    "an image of no type": [user(file("image", "https://a.example/b.png"))],
    "an image that is of another type": [user(file("image/png", JPEG))],
    "an image without a subtype": [user(file("image/*", PNG))],
    "bytes that are an image": [user(file("application/octet-stream", PNG))],
    "images of all kinds": [
        user(
            *[
                file("image/x", head + bytes(20))
                for head in (
                    *(b"GIF87a", b"GIF89a", b"RIFF1234WEBP", b"BM1234", b"II*\0", b"MM\0*"),
                    *(b"\0\0\0\x1cftypavif", b"\0\0\0\x1cftypheic", b"<svg/>"),
                )
            ]
        )
    ],
    "a PDF": [user("Read", file("application/pdf", b"%PDF-1.7", filename="a.pdf"))],
    "a PDF without a name": [user(file("application/pdf", b"%PDF-1.7"))],
    "a text file": [user("Read", file("text/markdown", "# Hé".encode(), filename="a.md"))],
    "a text file alone": [user(file("text/csv", b"a,b\n1,2"))],
    "a text file with a byte order mark": [user(file("text/plain", b"\xef\xbb\xbfHi \xff"))],
    "a text with a charset": [
        user(file("text/plain", "data:text/plain;charset=utf-8;base64,SGk="))
    ],
    "audio": [user(file("audio/wav", b"RIFF1234WAVE"), file("audio/mpeg", b"ID3"))],
    "audio as mp3": [user(file("audio/mp3", b"\xff\xfb1234"))],
}

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
NOT_RUN = {"role": "tool", "tool_call_id": "c1", "content": "This tool call was not carried out."}
INTERRUPTED = "This tool call was interrupted. Whether it was carried out is not known."
DETAIL = {"type": "reasoning.text", "text": "Hm", "signature": "s"}
FIRST, LAST = {"role": "user", "content": "Hi"}, {"role": "user", "content": "Go on"}


def called(*results: Json, **more: Any) -> list[Json]:
    return [{"role": "assistant", "content": None, "tool_calls": [{**CALL, **more}]}, *results]


# Where it throws, or sends what no provider takes, we send these.
OURS: dict[str, tuple[list[Json], list[Json]]] = {
    "a call without a result": (
        [HI, assistant(tool("input-available")), GO],
        [FIRST, *called({**NOT_RUN, "content": INTERRUPTED}), LAST],
    ),
    "a call at the end": (
        [HI, assistant(tool("input-available"))],
        [FIRST, *called({**NOT_RUN, "content": INTERRUPTED})],
    ),
    "a preliminary result": (
        [HI, assistant(done([1], preliminary=True)), GO],
        [FIRST, *called({**NOT_RUN, "content": f"{INTERRUPTED} It had come to this: [1]"}), LAST],
    ),
    "approval asked for at the end": (
        [HI, assistant(tool("approval-requested", approval=approval()))],
        [FIRST, *called({**NOT_RUN, "content": "Tool call execution denied."})],
    ),
    "approved, and then the user went on": (
        [HI, assistant(tool("approval-responded", approval=approval(True))), GO],
        [FIRST, *called({**NOT_RUN, "content": INTERRUPTED}), LAST],
    ),
    "run by the provider": (
        [HI, assistant("A", done(1, providerExecuted=True)), GO],
        [FIRST, {"role": "assistant", "content": "A"}, LAST],
    ),
    "an error without an input": (
        [HI, assistant({**tool("output-error", errorText="Bad"), "input": None})],
        [
            FIRST,
            *called(
                {"role": "tool", "tool_call_id": "c1", "content": "Bad"},
                function={"name": "f", "arguments": "{}"},
            ),
        ],
    ),
    "messages left with nothing": (
        [says("system"), HI, assistant(STEP), user(), assistant(text("")), user("", "Go on")],
        [FIRST, LAST],
    ),
    "a metadata field that would become the message's": (
        [user(text("Hi", providerMetadata={"openaiCompatible": {"role": "system"}}))],
        [FIRST],
    ),
    "reasoning details": (
        [
            HI,
            assistant(
                {"type": "reasoning", "text": "Hm"},
                text("Hello", providerMetadata={"x": {"reasoning_details": [DETAIL, 1]}}),
                done(1, callProviderMetadata={"y": {"reasoning_details": [DETAIL, {"b": 1}]}}),
            ),
        ],
        [
            FIRST,
            {
                "role": "assistant",
                "content": "Hello",
                "reasoning_content": "Hm",
                "reasoning_details": [DETAIL, {"b": 1}],
                "tool_calls": [CALL],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "1"},
        ],
    ),
    "a call signed by another": (
        [HI, assistant(done(1, callProviderMetadata={"vertex": {"thoughtSignature": "sig"}}))],
        [
            FIRST,
            *called(
                {"role": "tool", "tool_call_id": "c1", "content": "1"},
                extra_content={"google": {"thought_signature": "sig"}},
            ),
        ],
    ),
    "JSON and other text": (
        [
            user(
                file("application/json", b'{"a": 1}'),
                file("application/atom+xml", b"<a/>"),
                file("application/yaml", b"a: 1"),
                file("text/javascript", b"1"),
                file("text/plain", "data:text/plain,a%20%C3%A9"),
                file("text/plain", "data:,b"),
                file("text/plain", b""),
                *[
                    file(f"application/{name}", name.encode())
                    for name in ("sql", "x-sh", "toml", "ndjson", "x-ndjson")
                ],
            )
        ],
        [
            {
                "role": "user",
                "content": [
                    text(t)
                    for t in (
                        *('{"a": 1}', "<a/>", "a: 1", "1", "a é", "b"),
                        *("sql", "x-sh", "toml", "ndjson", "x-ndjson"),
                    )
                ],
            }
        ],
    ),
    "audio as browsers name it": (
        [user(file("audio/x-wav", b"RIFF"), file("audio/wave", b"RIFF"))],
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
                ]
                * 2,
            }
        ],
    ),
    "an image as text": (
        [user(file("image/svg+xml", "data:image/svg+xml,%3Csvg/%3E"))],
        [
            {
                "role": "user",
                "content": [
                    {
                        "type": "image_url",
                        "image_url": {"url": "data:image/svg+xml;base64,PHN2Zy8+"},
                    }
                ],
            }
        ],
    ),
    "base64 as browsers take it": (
        [
            user(
                file("text/plain", "data:text/plain;base64,SG k%3D"),
                file("text/plain", "data:;base64,Pz8_Pw"),
            )
        ],
        [{"role": "user", "content": [text("Hi"), text("????")]}],
    ),
    "a mixed case scheme": (
        [user(file("image/png", "HTTPS://a.example/b.png"))],
        [
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "HTTPS://a.example/b.png"}}],
            }
        ],
    ),
}
