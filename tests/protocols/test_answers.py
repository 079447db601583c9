"""Answers in forms that no specification has, and what each client gets of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from flask_llmchat import ChatResult, builtin_providers
from flask_llmchat.core.errors import StreamAborted
from flask_llmchat.testing import FakeUpstream, sse_reply
from tests.support.apps import body, finished, make_app, profile_for
from tests.support.edge_case_streams import HEAD, call, delta, wire
from tests.support.recordings import CASES, needs_cases

SDK = "chat/completions"
ASKED = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hi"}]}
UI = {
    "chatSettings": {"model": "gpt-4.1"},
    "messages": [{"id": "m", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}],
}


@dataclass
class Got:
    """What one stream became: for each kind of client, and for the host."""

    text: tuple[int, str]
    ui: tuple[int, list[dict[str, Any]]]
    chunks: tuple[int, list[dict[str, Any]]]
    whole: tuple[int, dict[str, Any]]
    results: list[ChatResult]

    @property
    def statuses(self) -> list[int]:
        return [self.text[0], self.ui[0], self.chunks[0], self.whole[0]]

    @property
    def message(self) -> dict[str, Any]:
        (choice,) = self.whole[1]["choices"]
        message: dict[str, Any] = choice["message"]
        return message

    @property
    def finish_reasons(self) -> list[Any]:
        streamed = [c["finish_reason"] for c in self.choices if c["finish_reason"]]
        return [streamed[-1:], self.whole[1]["choices"][0]["finish_reason"]]

    @property
    def choices(self) -> list[dict[str, Any]]:
        return [choice for chunk in self.chunks[1] for choice in chunk["choices"]]

    @property
    def deltas(self) -> list[dict[str, Any]]:
        return [choice["delta"] for choice in self.choices]

    @property
    def pieces(self) -> list[dict[str, Any]]:
        return [piece for d in self.deltas for piece in d.get("tool_calls") or ()]

    def texts(self) -> set[str]:
        """Return the text of the answer as each client, and the host, has it."""
        frames = "".join(f["delta"] for f in self.ui[1] if f["type"] == "text-delta")
        streamed = "".join(d.get("content") or d.get("refusal") or "" for d in self.deltas)
        whole = self.message["content"] or self.message["refusal"] or ""
        return {self.text[1], frames, streamed, whole, *[r.text for r in self.results]}


def payloads(data: bytes) -> list[dict[str, Any]]:
    lines = [line[6:] for line in data.decode().splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


def got(upstream: FakeUpstream, raw: bytes, provider: str = "openai", headers: Any = None) -> Got:
    reply = sse_reply(raw, headers=headers)
    upstream.add(*[reply] * 4)
    keys = {row.key_attr: "sk-x" for row in builtin_providers if row.key_attr}
    app = make_app(upstream, profile=profile_for(upstream, **keys))
    client = app.test_client()
    path = f"/api/chat/{provider}"
    with finished(app) as done:
        text = client.post(path, json=body())
        ui = client.post(path, json=UI)
        streamed = client.post(f"{path}/{SDK}", json={**ASKED, "stream": True})
        whole = client.post(f"{path}/{SDK}", json=ASKED)
        statuses = [r.status_code for r in (text, ui, streamed, whole)]
        try:
            plain = text.text
        except StreamAborted:
            plain = ""
        said = [r.data for r in (ui, streamed, whole)]
    ids = [r.headers["X-Request-ID"] for r in (text, ui, streamed, whole)]
    results = sorted(done.results, key=lambda result: ids.index(result.request_id))
    return Got(
        (statuses[0], plain),
        (statuses[1], payloads(said[0])),
        (statuses[2], payloads(said[1])),
        (statuses[3], json.loads(said[2])),
        results,
    )


def case(name: str) -> bytes:
    (file,) = CASES.glob(f"{name}*.sse")
    return file.read_bytes()


def choice(index: Any, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """Return a chunk with a choice of this index."""
    return {**HEAD, "choices": [{"index": index, "delta": fields, "finish_reason": finish}]}


def choices(*given: dict[str, Any]) -> dict[str, Any]:
    """Return a chunk with the choices of these."""
    return {**HEAD, "choices": [choice for chunk in given for choice in chunk["choices"]]}


A_CALL = [
    {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
]
OPENS = {"role": "assistant", "content": ""}

# ---- Choices.


@pytest.mark.parametrize(
    ("chunks", "text"),
    [
        ([choice(i, content=c) for i, c in enumerate("Hello")] + [choice(9, "stop")], "Hello"),
        (
            [choice(0, **OPENS), *[choice(7, content=c) for c in "Hello"], choice(0, "stop")],
            "Hello",
        ),
        ([choice("3", content="Hello"), choice("3", "stop")], "Hello"),
        ([choice([], content="Hello"), choice(None, "stop")], "Hello"),
        ([choice(-1, content="Hello"), choice(-1, "stop")], "Hello"),
        (
            [choice(1, role="assistant", content="Hel"), choice(1, content="lo"), delta("stop")],
            "Hello",
        ),
        ([choices(choice(1, content="lo"), choice(0, content="Hel")), delta("stop")], "Hello"),
        # Another answer beside it, whichever opens first.
        (
            [
                choice(0, **OPENS),
                choice(1, **OPENS),
                choice(1, content="Hel"),
                choice(0, content="x"),
                choice(1, "stop", content="lo"),
                choice(0, "stop"),
            ],
            "Hello",
        ),
        (
            [
                choices(choice(1, role="a", content="x"), choice(0, role="a", content="Hello")),
                choice(1, "length", content="x"),
                choice(0, "stop"),
            ],
            "Hello",
        ),
    ],
)
def test_choices_of_any_index_are_the_answer(
    upstream: FakeUpstream, chunks: list[Any], text: str
) -> None:
    answer = got(upstream, wire(chunks))
    assert answer.statuses == [200] * 4
    assert answer.texts() == {text}
    assert {c["index"] for c in answer.choices} == {0}
    assert {r.outcome for r in answer.results} == {"ok"}


LOOK = choice(0, role="assistant", content="Look")


@pytest.mark.parametrize(
    "chunks",
    [
        [LOOK, choice(1, tool_calls=A_CALL), choice(0, "tool_calls")],
        [LOOK, choice(1, role="assistant", tool_calls=A_CALL), choice(0, "stop")],
        [LOOK, choice(0, "stop"), choice(1, role="assistant", tool_calls=A_CALL)],
        [LOOK, choice(1, "tool_calls", role="assistant", tool_calls=A_CALL)],
        [choices(choice(0, "stop", content="Look"), choice(1, "tool_calls", tool_calls=A_CALL))],
        [
            choices(
                {"choices": [{"message": {"role": "assistant", "content": "Look"}}]},
                {"choices": [{"index": 1, "message": {"role": "assistant", "tool_calls": A_CALL}}]},
                {"choices": [{"index": 0, "finish_reason": "tool_calls"}]},
            )
        ],
    ],
)
def test_a_call_in_a_choice_of_its_own(upstream: FakeUpstream, chunks: list[Any]) -> None:
    answer = got(upstream, wire(chunks))
    assert answer.texts() == {"Look"}
    assert {r.outcome for r in answer.results} == {"tool_calls"}
    assert [(c.id, c.name) for r in answer.results for c in r.tool_calls] == [("c1", "f")] * 4
    assert answer.finish_reasons == [["tool_calls"], "tool_calls"]
    assert [p["id"] for p in answer.pieces] == ["c1"]
    assert answer.message["tool_calls"][0]["id"] == "c1"
    (frame,) = [f for f in answer.ui[1] if f["type"] == "tool-input-available"]
    assert (frame["toolCallId"], frame["input"]) == ("c1", {})


def test_calls_of_another_answer_are_dropped_where_the_first_has_some(
    upstream: FakeUpstream,
) -> None:
    other = [{**A_CALL[0], "id": "c2"}]
    chunks = [LOOK, choice(1, role="assistant", tool_calls=other), choice(0, tool_calls=A_CALL)]
    answer = got(upstream, wire([*chunks, choice(0, "tool_calls")]))
    assert {c.id for r in answer.results for c in r.tool_calls} == {"c1"}
    assert [p["id"] for p in answer.pieces] == ["c1"]


def test_an_answer_in_parts_that_look_like_answers_is_no_whole_one(upstream: FakeUpstream) -> None:
    """Never "Hel" as a whole answer."""
    parts = [choice(i, role="assistant", content=c) for i, c in enumerate(("Hel", "lo"))]
    answer = got(upstream, wire([*parts, choice(2, "stop")]))
    assert answer.whole[0] == 502
    assert {r.outcome for r in answer.results} == {"upstream_error"}


# ---- Errors in other clothes, and answers with nothing in them.

WORDS = "Upstream service unavailable"


@pytest.mark.parametrize(
    "chunk",
    [
        {"base_resp": {"status_code": 1000, "status_msg": WORDS}, "choices": None},
        {**HEAD, "choices": [], "base_resp": {"status_code": 1000, "status_msg": WORDS}},
        {"success": False, "errors": [{"code": 7009, "message": WORDS}], "result": None},
        {"errors": [WORDS]},
        {"code": 500, "msg": WORDS},
        {"code": "X_1", "msg": WORDS, "data": None},
        {"code": 500, "message": WORDS, "data": {**HEAD, "choices": []}},
        {"code": 0, "data": {"error": {"message": WORDS}}},
        {"result": {"object": "error", "error": WORDS}},
        {"event": "error", "data": "x", "msg": WORDS},
        {"status": "failed", "detail": WORDS},
        # Known as an error only when the answer turns out to be empty.
        {"output": {"message": WORDS}},
        {"response": {"detail": WORDS}, "choices": []},
        {"Error": {"Message": WORDS, "Code": "X"}},
        {"fault": {"faultstring": WORDS}},
        {"exception": WORDS},
        delta(error={"message": WORDS}),
        {**HEAD, "choices": [{"index": 0, "delta": {}, "error": {"message": WORDS}}]},
    ],
)
def test_an_error_in_other_clothes(upstream: FakeUpstream, chunk: dict[str, Any]) -> None:
    for raw in (wire([chunk]), wire([chunk]).replace(b"data: [DONE]\n\n", b"")):
        answer = got(upstream, raw)
        assert set(answer.statuses) <= {500, 502}
        assert json.loads(answer.text[1])["message"] == WORDS
        assert answer.whole[1]["error"]["message"] == WORDS
        assert {r.outcome for r in answer.results} == {"upstream_error"}


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda c: {"code": 0, "data": c},
        lambda c: {"result": c},
        lambda c: {"n": 1, "x": c, "msg": ""},
    ],
)
def test_a_chunk_wrapped_up_is_unwrapped(upstream: FakeUpstream, wrapped: Any) -> None:
    chunks = [delta(role="assistant", content="Hel"), delta(content="lo"), delta("stop")]
    answer = got(upstream, wire([wrapped(chunk) for chunk in chunks]))
    assert answer.texts() == {"Hello"}
    assert all("choices" in chunk and "x" not in chunk for chunk in answer.chunks[1])


@pytest.mark.parametrize(
    "chunk",
    [
        {"status": "failure", "reason": WORDS},
        {"type": "response.failed", "message": WORDS},
        delta(error={"message": WORDS}),
        {**HEAD, "choices": [{"index": 0, "delta": {"content": ""}, "error": {"message": WORDS}}]},
        {
            **HEAD,
            "choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "error": WORDS}],
        },
    ],
)
@pytest.mark.parametrize("more", [[], [delta("stop")]])
def test_an_answer_with_an_error_in_it_is_no_whole_one(
    upstream: FakeUpstream, chunk: dict[str, Any], more: list[Any]
) -> None:
    answer = got(upstream, wire([delta(role="assistant", content="Hal"), chunk, *more]))
    assert answer.whole[0] == 502 and answer.whole[1]["error"]["message"] == WORDS
    assert {r.outcome for r in answer.results} == {"upstream_error"}


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda c: {"code": 0, "data": c},
        lambda c: {"success": True, "errors": [], "result": c},
        lambda c: {"result": [c]},
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
def test_a_whole_answer_wrapped_up_is_unwrapped(
    upstream: FakeUpstream, wrapped: Any, kind: str
) -> None:
    message = {"role": "assistant", "content": "Hello"}
    whole = {**HEAD, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    raw = json.dumps(wrapped(whole)).encode()
    assert got(upstream, raw, headers={"Content-Type": kind}).texts() == {"Hello"}


def test_a_whole_answer_without_one_is_not_told_as_success(upstream: FakeUpstream) -> None:
    raw = b'{"code": 0, "data": null, "message": "success"}'
    answer = got(upstream, raw, headers={"Content-Type": "application/json"})
    assert answer.statuses == [502] * 4 and "success" not in answer.text[1]


@pytest.mark.parametrize("beat", [b'"ping"', b'"keep-alive"', b"null", b'""', b"0", b"false"])
def test_a_heartbeat_that_is_a_json_string_is_no_error(upstream: FakeUpstream, beat: bytes) -> None:
    chunks = [delta(role="assistant", content="Hel"), delta(content="lo"), delta("stop")]
    raw = b"data: " + beat + b"\n\n"
    first, rest = wire(chunks).split(b"\n\n", 1)
    assert got(upstream, raw + first + b"\n\n" + raw + rest).texts() == {"Hello"}


def test_good_news_beside_an_answer_is_no_error(upstream: FakeUpstream) -> None:
    good = {"base_resp": {"status_code": 0, "status_msg": ""}}
    news = [
        {"msg": "working"},
        {"code": 0, "msg": "success", "data": None},
        {"code": "200", "message": "ok"},
        good,
    ]
    answer = got(upstream, wire([*news, {**delta(content="Hello"), **good}, delta("stop"), *news]))
    assert answer.texts() == {"Hello"}


USAGE = {**HEAD, "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 0}}


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [delta("stop")],
        [delta(role="assistant", content=""), delta("stop"), USAGE],
        [delta("tool_calls")],
        [delta("end_turn", content=[])],
        [delta(content=None, tool_calls=[{"index": 0, "id": "c", "function": {}}]), delta("stop")],
        [USAGE],
    ],
)
def test_a_good_ending_of_nothing_is_an_error(upstream: FakeUpstream, chunks: list[Any]) -> None:
    answer = got(upstream, wire(chunks))
    assert answer.statuses == [502] * 4
    assert json.loads(answer.text[1])["message"] == "The answer had nothing in it."
    assert {r.outcome for r in answer.results} == {"upstream_error"}


@pytest.mark.parametrize(
    "said",
    [
        {"content": " "},
        {"refusal": "No."},
        {"content": [{"type": "refusal", "refusal": "No."}]},
        {"reasoning": "Hm"},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]},
        {"images": [{"image_url": {"url": "https://a.example/a.png"}}]},
        {"tool_calls": A_CALL},
        {"executed_tools": [{"type": "search"}]},
        {"audio": {"data": "AAAA"}},
    ],
)
def test_whatever_says_anything_is_an_answer(upstream: FakeUpstream, said: Any) -> None:
    answer = got(upstream, wire([delta(**said), delta("stop")]))
    assert answer.statuses == [200] * 4


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("length", "length"),
        ("MAX_TOKENS", "length"),
        ("max_output_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("content_filter", "content_filtered"),
        ("IMAGE_SAFETY", "content_filtered"),
        ("SPII", "content_filtered"),
        ("MODEL_ARMOR", "content_filtered"),
        ("guardrail_intervened", "content_filtered"),
        ("guardrailIntervened", "content_filtered"),
        ("content_filter: PROHIBITED_CONTENT", "content_filtered"),
        ("FinishReason.BLOCKLIST", "content_filtered"),
        ("image_recitation", "content_filtered"),
        ("sensitive", "content_filtered"),
        ("moderation_blocked", "content_filtered"),
        ("function_call_filter: MALFORMED_FUNCTION_CALL", "upstream_error"),
        ("function_call_filter: UNEXPECTED_TOOL_CALL", "upstream_error"),
        ("content_filter_error", "upstream_error"),
        ("TOO_MANY_TOOL_CALLS", "upstream_error"),
        ("OTHER", "upstream_error"),
        ("incomplete", "upstream_error"),
        ("made_up_tomorrow", "upstream_error"),
        ("error", "upstream_error"),
    ],
)
@pytest.mark.parametrize("text", ["", "Hello"])
def test_endings_of_any_name(upstream: FakeUpstream, reason: str, outcome: str, text: str) -> None:
    answer = got(upstream, wire([delta(role="assistant", content=text), delta(reason)]))
    assert {r.outcome for r in answer.results} == {outcome}
    assert {r.text for r in answer.results} == {text}
    if outcome == "upstream_error":
        assert answer.whole[0] == 502
        assert reason in answer.whole[1]["error"]["message"]
    else:
        expected = "length" if outcome == "length" else "content_filter"
        assert answer.finish_reasons == [[expected], expected]


@pytest.mark.parametrize(
    "reason",
    ["stop", "STOP", "end_turn", "EndTurn", "eos", "eos_token", "stop_sequence", "completed",
     "FINISH_REASON_STOP", "finished", "done"],
)  # fmt: skip
def test_good_endings_of_any_name(upstream: FakeUpstream, reason: str) -> None:
    answer = got(upstream, wire([delta(content="Hello"), delta(reason)]))
    assert answer.texts() == {"Hello"}
    assert answer.finish_reasons == [["stop"], "stop"]


# ---- Parts of an answer in another form.

PNG = "data:image/png;base64,iVBO"


@pytest.mark.parametrize(
    "said",
    [
        {"content": [{"type": "image_url", "image_url": {"url": PNG}}]},
        {"content": [{"type": "image_url", "image_url": PNG}]},
        {"content": [{"type": "output_image", "image_url": PNG}]},
        {"content": [{"type": "image", "image": PNG}]},
        {"content": [{"type": "image", "source": {"media_type": "image/png", "data": "iVBO"}}]},
        {"content": [{"type": "image", "data": "iVBO", "mimeType": "image/png"}]},
        {"content": [{"inline_data": {"mime_type": "image/png", "data": "iVBO"}}]},
        {"content": [{"type": "image", "b64_json": "iVBO"}]},
        {"images": [{"type": "image_url", "image_url": {"url": PNG}}]},
        {"images": [{"b64_json": "iVBO"}]},
        {"images": [PNG, PNG]},
        {"images": ["iVBO"]},
        {"images": {"url": PNG}},
        {"image": {"url": PNG}},
        {"image_url": {"url": PNG}},
        {"attachments": [{"type": "image", "url": PNG}]},
        {"multi_mod_content": [{"inlineData": {"mimeType": "image/png", "data": "iVBO"}}]},
        {"content": [{"type": "file", "mediaType": "image/png", "url": PNG}]},
        {"content": [{"type": "file", "mediaType": "image/png", "data": "iVBO"}]},
        {"content": [{"type": "file", "file": {"file_data": PNG, "filename": "a.png"}}]},
        {"images": [{"image_url": {"url": PNG}}], "content": [{"image_url": {"url": PNG}}]},
    ],
)
@pytest.mark.parametrize("in_message", [False, True])
def test_an_image_in_any_form(upstream: FakeUpstream, said: Any, in_message: bool) -> None:
    chunks = [delta(role="assistant", **said), delta(**said), delta("stop")]
    if in_message:
        message = {"role": "assistant", "content": None, **said}
        chunks = [{**HEAD, "choices": [{"message": message, "finish_reason": "stop"}]}]
    answer = got(upstream, wire(chunks))
    usual = {"type": "image_url", "image_url": {"url": PNG}}
    assert answer.message["images"] == [usual]
    assert [image for d in answer.deltas for image in d.get("images") or ()] in (
        [usual],
        [{"image_url": {"url": PNG}}],
    )
    assert [f["url"] for f in answer.ui[1] if f["type"] == "file"] == [PNG]
    assert {r.images for r in answer.results} == {(PNG,)}


def test_what_a_sound_says_is_text(upstream: FakeUpstream) -> None:
    chunks = [
        delta(role="assistant", content=None, audio={"id": "a1", "transcript": "Hel"}),
        delta(audio={"data": "AAAA"}),
        delta(audio={"transcript": "lo", "data": "BBBB"}),
        delta("stop", audio={"expires_at": 7}),
    ]
    answer = got(upstream, wire(chunks))
    assert answer.texts() == {"Hello"}
    sound = {"id": "a1", "transcript": "Hello", "data": "AAAABBBB", "expires_at": 7}
    assert answer.message["audio"] == sound
    in_parts = [{"type": "audio", "audio": {"transcript": "Hello"}}]
    assert got(upstream, wire([delta(content=in_parts), delta("stop")])).texts() == {"Hello"}


@pytest.mark.parametrize(
    "chunk",
    [
        {**HEAD, "choices": [{"index": 0, "text": "Hello", "finish_reason": None}]},
        {**HEAD, "choices": [{"index": 0, "delta": "Hello"}]},
        delta(content={"type": "text", "text": "Hello"}),
        delta(content=[{"type": "output_text", "text": "Hel"}, "lo"]),
        delta(refusal="Hello"),
    ],
)
def test_text_in_any_place(upstream: FakeUpstream, chunk: Any) -> None:
    assert got(upstream, wire([chunk, delta("stop")])).texts() == {"Hello"}


def test_flat_and_repeated_annotations(upstream: FakeUpstream) -> None:
    flat = {"type": "url_citation", "url": "https://a.example", "title": "A"}
    page = {"url": "https://b.example", "title": "B", "start_index": 0, "end_index": 5}
    nested = {"type": "url_citation", "url_citation": page}
    in_part = {"type": "text", "text": "Hello", "annotations": [nested]}
    chunks = [
        delta(role="assistant", content="", annotations=[flat]),
        delta(content=[in_part]),
        delta("stop", annotations=[flat, nested, None]),
    ]
    answer = got(upstream, wire(chunks))
    made = {"url": "https://a.example", "title": "A", "start_index": 0, "end_index": 0}
    expected = [{"type": "url_citation", "url_citation": made}, nested]
    assert answer.message["annotations"] == expected
    streamed = [a for d in answer.deltas for a in d.get("annotations") or ()]
    assert [a["url_citation"] for a in streamed] == [a["url_citation"] for a in expected]
    for result in answer.results:
        assert [s.url for s in result.sources] == ["https://a.example", "https://b.example"]
    assert answer.texts() == {"Hello"}


# ---- Tool calls.


def piece(**fields: Any) -> dict[str, Any]:
    return delta(tool_calls=[{"index": 0, **fields}])


NAMED = {"name": "f"}


@pytest.mark.parametrize(
    ("pieces", "id"),
    [
        ([piece(id="c1", function={"arguments": ""}), piece(function=NAMED)], "c1"),
        ([piece(function={"arguments": '{"a"', **NAMED}), piece(id="c1")], "c1"),
        ([piece(function={"arguments": '{"a"'}), piece(id="c1"), piece(function=NAMED)], "c1"),
        ([piece(function=NAMED)], None),
        ([piece(id="", function=NAMED)], None),
        ([delta(function_call=NAMED)], None),
        ([piece(id="c1", **NAMED)], "c1"),
    ],
)
def test_the_first_piece_of_a_call_has_its_id_and_its_name(
    upstream: FakeUpstream, pieces: list[Any], id: str | None
) -> None:
    begun = '{"a"' if '{\\"a\\"' in json.dumps(pieces) else ""
    rest = '{"a":1}'.removeprefix(begun)
    more = piece(function={"arguments": rest})
    if "function_call" in pieces[0]["choices"][0]["delta"]:
        more = delta(function_call={"arguments": rest})
    elif id and "function" not in json.dumps(pieces):
        more = piece(arguments=rest)
    answer = got(upstream, wire([*pieces, more, delta("tool_calls")]))
    first, *others = answer.pieces
    assert first["id"] and first["function"]["name"] == "f" and first["type"] == "function"
    assert not any("id" in p or "name" in p["function"] for p in others)
    assert "".join(p["function"]["arguments"] for p in answer.pieces) == '{"a":1}'
    starts = [f for f in answer.ui[1] if f["type"] == "tool-input-start"]
    ids = [[c.id for c in r.tool_calls] for r in answer.results]
    # Each client has the id that its host has.
    assert ids[1] == [starts[0]["toolCallId"]]
    assert ids[2] == [first["id"]]
    assert ids[3] == [answer.message["tool_calls"][0]["id"]]
    assert id is None or [id] in ids
    assert all(call.arguments == '{"a":1}' for r in answer.results for call in r.tool_calls)


@pytest.mark.parametrize(
    "arguments",
    [
        ['{"city":', '{"city":"Ulm"}'],
        ["{", '{"city"', '{"city":"U', '{"city":"Ulm"}'],
        ['{"city":"', "Ulm", '"}', '{"city":"Ulm"}'],  # all of it once more, at the end
        ['{"city":"Ulm"}', '{"city":"Ulm"}'],
        ["", '{"city":"Ulm"', '{"city":"Ulm"}', ""],
    ],
)
def test_arguments_that_are_said_again(upstream: FakeUpstream, arguments: list[str]) -> None:
    first = call(0, "c1", "f", arguments[0])
    rest = [call(0, None, None, text) for text in arguments[1:]]
    answer = got(upstream, wire([first, *rest, delta("tool_calls")]))
    for result in answer.results:
        assert [c.arguments for c in result.tool_calls] == ['{"city":"Ulm"}']
    assert "".join(p["function"]["arguments"] for p in answer.pieces) == '{"city":"Ulm"}'
    (frame,) = [f for f in answer.ui[1] if f["type"] == "tool-input-available"]
    assert frame["input"] == {"city": "Ulm"}


@pytest.mark.parametrize(
    "arguments",
    [
        ['{"a":', '{"a":', "1}}"],
        ['{"a":', '{"a":1}', "}"],
        ['{"a":', '{"a":{"a":', "1}}}"],
        ['{"', '{"', ":1}"],
    ],
)
def test_an_object_in_another_of_its_name_is_not_said_again(
    upstream: FakeUpstream, arguments: list[str]
) -> None:
    pieces = [
        call(0, "c1" if not i else None, None if i else "f", a) for i, a in enumerate(arguments)
    ]
    answer = got(upstream, wire([*pieces, delta("tool_calls")]))
    expected = "".join(arguments)
    assert json.loads(expected)
    assert {c.arguments for r in answer.results for c in r.tool_calls} == {expected}
    assert "".join(p["function"]["arguments"] for p in answer.pieces) == expected


@pytest.mark.parametrize(
    "chunks",
    [
        [call(0, "c1", "f", '{"a"'), call(1, None, None, ":1}"), call(2, None, None, None)],
        [call(0, "c1", "f", '{"a"'), call(1, "c1", None, ":1}")],
        [call(0, "c1", "f", '{"a"'), call(1, "c1", "f", ":1}")],
    ],
)
def test_an_index_of_a_call_that_counts_up(upstream: FakeUpstream, chunks: list[Any]) -> None:
    answer = got(upstream, wire([*chunks, delta("tool_calls")]))
    for result in answer.results:
        assert [(c.id, c.name, c.arguments) for c in result.tool_calls] == [("c1", "f", '{"a":1}')]


def test_two_calls_of_one_id_become_two(upstream: FakeUpstream) -> None:
    answer = got(upstream, wire([call(0, "c", "f", "{}"), call(1, "c", "g", "{}"), delta("stop")]))
    for result in answer.results:
        assert len({c.id for c in result.tool_calls}) == 2
    assert [p["id"] for p in answer.pieces] == [c.id for c in answer.results[2].tool_calls]
    assert answer.finish_reasons == [["tool_calls"], "tool_calls"]


def test_custom_calls(upstream: FakeUpstream) -> None:
    def custom(index: Any, **fields: Any) -> Any:
        return delta(tool_calls=[{"index": index, "type": "custom", **fields}])

    chunks = [
        custom(0, id="c1", custom={"name": "f", "input": ""}),
        delta(tool_calls=[{"index": 0, "custom": {"input": '{"a":'}}]),
        delta(tool_calls=[{"index": 0, "custom": {"input": '{"a":'}}]),
        custom(1, id="c2", custom={"name": "g", "input": "x"}),
        delta("tool_calls"),
    ]
    answer = got(upstream, wire(chunks))
    told = [("c1", "f", '{"a":{"a":'), ("c2", "g", "x")]
    calls = answer.message["tool_calls"]
    assert [(c["id"], c["custom"]["name"], c["custom"]["input"]) for c in calls] == told
    for result in answer.results:
        assert [(c.id, c.name, c.arguments) for c in result.tool_calls] == told
        assert all(c.custom for c in result.tool_calls)
    assert [p.get("id") for p in answer.pieces] == ["c1", None, None, "c2"]


@pytest.mark.parametrize(
    "calls",
    [
        1,
        True,
        1.5,
        "x",
        [1, None, [[]]],
        {"x": 1},
        [{"index": [], "custom": {"name": "f"}}, {"index": {}, "custom": {"name": []}}],
        [{"index": 0, "id": ["x"], "function": {"name": {}, "arguments": [1]}}],
    ],
)
def test_calls_that_are_none_are_passed_over(upstream: FakeUpstream, calls: Any) -> None:
    answer = got(upstream, wire([delta(content="Hello", tool_calls=calls), delta("length")]))
    assert answer.statuses == [200] * 4
    assert answer.texts() == {"Hello"}


# ---- Counts.


@pytest.mark.parametrize("odd", [None, "5", 5.0, -1, True, [], ...])
@pytest.mark.parametrize("with_text", [False, True])
def test_counts_are_integers(upstream: FakeUpstream, odd: Any, with_text: bool) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": odd, "total_tokens": 5, "x": None}
    usage = {name: value for name, value in usage.items() if value is not ...}
    last = {**(delta(content="!") if with_text else HEAD | {"choices": []}), "usage": usage}
    upstream.add(*[sse_reply(wire([delta(content="Hello"), last, delta("stop")]))] * 2)
    client = make_app(upstream).test_client()
    options = {"stream": True, "stream_options": {"include_usage": True}}
    streamed = client.post(f"/api/chat/openai/{SDK}", json={**ASKED, **options})
    whole = client.post(f"/api/chat/openai/{SDK}", json=ASKED)
    counts = [chunk["usage"] for chunk in payloads(streamed.data) if chunk.get("usage")]
    for told in (*counts, whole.json["usage"]):
        for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
            assert told[name].__class__ is int and told[name] >= 0
        assert told["x"] is None
    assert counts


# ---- The inputs of the reports themselves.


@needs_cases
def test_reported_streams_have_one_response_in_every_dialect(upstream: FakeUpstream) -> None:
    def read(name: str) -> Got:
        return got(upstream, case(name), "google" if name.startswith("03") else "openai")

    for name, text in (("01a", "Hello you"), ("01b", "Hello"), ("02a", "Hello"), ("23", "Hello")):
        answer = read(name)
        assert (answer.statuses, answer.texts()) == ([200] * 4, {text}), name
    for name, words in (
        ("02b", "insufficient balance"),
        ("02d", WORDS),
        ("03a", "MALFORMED_FUNCTION_CALL"),
        ("03b", "UNEXPECTED_TOOL_CALL"),
    ):
        answer = read(name)
        assert all(status >= 400 for status in answer.statuses)
        assert words in json.loads(answer.text[1])["message"], name
    assert {r.outcome for r in read("03c").results} == {"content_filtered"}
    answer = read("04")
    assert answer.texts() == {"Here it is."}
    assert len(answer.message["images"]) == len(answer.results[0].images) == 1
    for name in ("07a", "07b", "22", "26"):
        answer = read(name)
        assert answer.pieces[0]["id"] == "call_w1", name
        assert answer.pieces[0]["function"]["name"] == "weather"
        assert answer.finish_reasons == [["tool_calls"], "tool_calls"]
        for result in answer.results:
            (made,) = result.tool_calls
            assert (made.id, json.loads(made.arguments)) == ("call_w1", {"city": "Ulm"}), name
    assert len(read("08a").results[0].tool_calls[0].id) > 256
    assert len(read("24a").message["annotations"]) == 1
