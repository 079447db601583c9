"""What a request may cost: no more than so many times what it takes to parse it.

The whole way is measured, from the body's bytes to what is sent to the provider (at whose address
nothing listens), against :func:`json.loads` of the same bytes in the same run. So it makes no
difference how fast the machine is, or how busy.
"""

from __future__ import annotations

import gc
import json
import logging
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_llmchat import Endpoint, LLMChat, Profile
from flask_llmchat.providers.builtin import builtin_providers

MAX_RATIO = 12
MAX_MEMORY = 40  # bytes for each byte of the body
MiB, KiB = 2**20, 2**10

# What the few items that bounds allow may cost more: as much as a body of so many objects.
ITEMS_ALLOWED = b"[" + b"{}," * 60_000 + b"1]"

NOWHERE = "http://127.0.0.1:9/v1"
TEXT, UI, OPENAI = "/api/chat/openai", "/api/chat/openai?ui", "/api/chat/openai/chat/completions"


def filled(piece: bytes, size: int = MiB) -> bytes:
    """Return a JSON string of this size."""
    return b'"' + piece * (size // len(piece)) + b'"'


def listed(item: bytes, size: int = 96 * KiB, first: bytes = b"1") -> bytes:
    """Return a JSON list of this size."""
    return b"[" + b",".join([first, *[item] * (size // (len(item) + 1))]) + b"]"


def named(value: bytes, count: int = 8_000) -> bytes:
    """Return a JSON object of so many names."""
    return b"{" + b",".join(b'"%d":%s' % (i, value) for i in range(count)) + b"}"


def in_string(value: bytes) -> bytes:
    return json.dumps(value.decode()).encode()


LONG = b"9" * 4299
STRINGS = {
    "letters": filled(b"a"),
    "escapes": filled(b"\\u00e9"),
    "pairs": filled(b"\\ud83d\\ude00"),
    "halves": filled(b"\\ud800"),
    "a half at the end": filled(b"a")[:-1] + b'\\ud800"',
    "quotes": filled(b'\\"'),
    "backslashes": filled(b"\\\\"),
    "lines": filled(b"\\n"),
    "emoji": filled("😀".encode()),
    "umlauts": filled("ü".encode()),
    "small numbers": filled(b"1e-05,"),
    "lists in a string": in_string(listed(b"[]", MiB, b"[]")),
    "objects in a string": in_string(b'{"a":' + listed(b"{}", MiB) + b"}"),
    "depth in a string": in_string(listed(b"[" * 400 + b"]" * 400, MiB)),
    "numbers in a string": in_string(listed(b"1.5", MiB)),
    "a long number in a string": in_string(b"9" * MiB),
    "roles": filled(b"assistant"),
    "an address": b'"https://' + b"a" * MiB + b'"',
}
URLS = {
    f"{head} {piece}": b'"data:' + head + piece * (MiB // len(piece) // 4 * 4) + b'"'
    for head in (b",", b"text/plain;base64,")
    for piece in (b"%", b"%41", b"%ff", b"%00", b"a%41", b"%2", b"=", b"a ", b"AAAA", b"____")
} | {
    "a head": b'"data:' + b";" * MiB + b',x"',
    "bytes": b'"data:;base64,' + b"/w//" * MiB + b'"',
}
VALUES = {
    "integers": listed(b"1"),
    "floats": listed(b"1.5"),
    "small": listed(b"1e-5"),
    "smaller": listed(b"1e-9"),
    "integers and a small one": listed(b"1", first=b"1e-5"),
    "texts and a small one": listed(b'"a"', first=b"1e-5"),
    "long integers": listed(LONG),
    "long integers and a small one": listed(LONG, first=b"1e-5"),
    "long fractions": listed(b"0." + b"1" * 4000 + b"e-5"),
    "too long an integer": b"9" * 96 * KiB,
    "lists": listed(b"[]"),
    "objects": listed(b"{}"),
    "lists in lists": listed(b"[[]]"),
    "objects in lists": listed(b"[{}]"),
    "objects in objects": listed(b'{"a":{}}'),
    "objects with a name": listed(b'{"a":1}'),
    "objects of a number": listed(b'{"a":123456}'),
    "lists of numbers": listed(b"[1,2]"),
    "words": listed(b"true"),
    "nulls": listed(b"null"),
    "empty texts": listed(b'""'),
    "short texts": listed(b'"a"'),
    "halves of characters": listed(b'"\\ud800"'),
    "names": named(b"1"),
    "names of lists": named(b"[]"),
    "one name again and again": b"{" + b",".join([b'"a":1'] * 16_000) + b"}",
    "a long name": b'{"' + b"a" * MiB + b'":1}',
    "deep lists": listed(b"[" * 400 + b"]" * 400),
    "deep objects": listed(b'{"a":' * 400 + b"1" + b"}" * 400),
    "deeper than can be": b"[" * 50_000 + b"]" * 50_000,
}
FEW = ("letters", "halves", "lists in a string", "objects", "short texts", "words", "names")
FEW += ("a long name", "objects with a name", "deep objects", "long integers and a small one")

HI = b'{"role":"user","content":"Hi"}'
SAID = b'{"type":"text","text":"Hi"}'


def text(messages: bytes = HI, more: bytes = b"", beside: bytes = b"") -> tuple[str, bytes]:
    return TEXT, b'{"chatSettings":{"model":"m"%s},"messages":[%s]%s}' % (more, messages, beside)


def ui(parts: bytes, role: bytes = b"assistant", more: bytes = b"") -> tuple[str, bytes]:
    first = b'{"role":"user","parts":[%s]}' % SAID
    message = b'{"role":"%s","parts":[%s]%s}' % (role, parts, more)
    return UI, b'{"chatSettings":{"model":"m"},"messages":[%s,%s]}' % (first, message)


def openai(messages: bytes = HI, more: bytes = b"") -> tuple[str, bytes]:
    return OPENAI, b'{"model":"m","messages":[%s]%s}' % (messages, more)


def called(input: bytes = b"{}", output: bytes = b'"x"', more: bytes = b"") -> bytes:
    return (
        b'{"type":"tool-f","state":"output-available","toolCallId":"c","input":%s,"output":%s%s}'
        % (input, output, more)
    )


def tool(value: bytes) -> bytes:
    function = b'{"name":"f","parameters":%s}' % value
    return b'"tools":[{"type":"function","function":%s}]' % function


def answer(more: bytes) -> bytes:
    return b'{"role":"assistant","content":"x",%s}' % more


CALL = b'{"id":"c","type":"function","function":{"name":"f","arguments":%s}%s}'

Shape = tuple[str, bytes]
# Where any value at all may stand, and is read or written again.
DEEP: dict[str, Callable[[bytes], Shape]] = {
    "ui input": lambda v: ui(called(v)),
    "ui output": lambda v: ui(called(output=v)),
    "text tool": lambda v: text(more=b"," + tool(v)),
    "openai tool": lambda v: openai(more=b"," + tool(v)),
    "openai unknown": lambda v: openai(more=b',"own":' + v),
    "openai metadata": lambda v: openai(more=b',"metadata":{"a":%s}' % v),
}
PLACES: dict[str, Callable[[bytes], Shape]] = {
    "ui raw input": lambda v: ui(
        b'{"type":"tool-f","state":"output-error","toolCallId":"c","rawInput":%s}' % v
    ),
    "ui text": lambda v: ui(b'{"type":"text","text":%s}' % v, b"user"),
    "ui parts": lambda v: (UI, ui(SAID)[1].replace(b"[%s]}]" % SAID, v + b"}]")),
    "ui steering": lambda v: ui(b'{"type":"steering-message","parts":%s}' % v),
    "ui details": lambda v: ui(
        b'{"type":"text","text":"","providerMetadata":{"a":{"reasoning_details":%s}}}' % v
    ),
    "ui metadata": lambda v: ui(b'{"type":"text","text":"","providerMetadata":%s}' % v),
    "ui signature": lambda v: ui(
        called(more=b',"callProviderMetadata":{"google":{"thoughtSignature":%s}}' % v)
    ),
    "ui type": lambda v: ui(b'{"type":%s}' % v),
    "ui state": lambda v: ui(b'{"type":"tool-f","state":%s}' % v),
    "ui data": lambda v: ui(b'{"type":"data-x","data":%s}' % v),
    "ui old call": lambda v: ui(b'{"type":"tool-invocation","toolInvocation":{"result":%s}}' % v),
    "ui attachments": lambda v: ui(SAID, b"user", b',"experimental_attachments":%s' % v),
    "ui id": lambda v: ui(SAID, b"user", b',"id":%s' % v),
    "ui own": lambda v: (UI, ui(SAID)[1][:-1] + b',"own":%s}' % v),
    "ui messages": lambda v: (UI, b'{"trigger":"","chatSettings":{"model":"m"},"messages":%s}' % v),
    "text content": lambda v: text(b'{"role":"user","content":%s}' % v),
    "text gemini": lambda v: text(b'{"role":"user","parts":%s}' % v),
    "text inline": lambda v: text(
        b'{"role":"user","parts":[{"inlineData":{"mimeType":"image/png","data":%s}}]}' % v
    ),
    "text calls": lambda v: text(b'{"role":"assistant","tool_calls":%s}' % v),
    "text call": lambda v: text(b'{"role":"assistant","tool_calls":[{"a":%s}]}' % v),
    "text settings": lambda v: (TEXT, b'{"chatSettings":%s,"messages":[]}' % v),
    "text tools": lambda v: text(more=b',"tools":%s' % v),
    "text choice": lambda v: text(more=b',"toolChoice":%s' % v),
    "text format": lambda v: text(more=b',"responseFormat":%s' % v),
    "text stop": lambda v: text(more=b',"stop":%s' % v),
    "text prompt": lambda v: text(more=b',"prompt":%s' % v),
    "text messages": lambda v: (TEXT, b'{"chatSettings":{"model":"m"},"messages":%s}' % v),
    "openai content": lambda v: openai(b'{"role":"user","content":%s}' % v),
    "openai answer": lambda v: openai(answer(b'"content":%s' % v)),
    "openai calls": lambda v: openai(answer(b'"tool_calls":%s' % v)),
    "openai arguments": lambda v: openai(answer(b'"tool_calls":[%s]' % (CALL % (v, b"")))),
    "openai extra": lambda v: openai(
        answer(b'"tool_calls":[%s]' % (CALL % (b'"{}"', b',"extra_content":{"a":%s}' % v)))
    ),
    "openai details": lambda v: openai(answer(b'"reasoning_details":%s' % v)),
    "openai format": lambda v: openai(answer(b'"reasoning_details":[{"format":%s}]' % v)),
    "openai reasoning": lambda v: openai(answer(b'"reasoning":%s' % v)),
    "openai role": lambda v: openai(b'{"role":%s,"content":""}' % v),
    "openai message": lambda v: openai(v),
    "openai file": lambda v: openai(
        b'{"role":"user","content":[{"type":"file","file":{"file_data":%s}}]}' % v
    ),
    "openai image": lambda v: openai(
        b'{"role":"user","content":[{"type":"image_url","image_url":{"url":%s}}]}' % v
    ),
    "openai tools": lambda v: openai(more=b',"tools":%s' % v),
    "openai bias": lambda v: openai(more=b',"logit_bias":%s' % v),
    "openai stop": lambda v: openai(more=b',"stop":%s' % v),
    "openai n": lambda v: openai(more=b',"n":%s' % v),
    "openai options": lambda v: openai(more=b',"stream_options":%s' % v),
    "openai template": lambda v: openai(more=b',"chat_template_kwargs":%s' % v),
    "openai messages": lambda v: (OPENAI, b'{"model":"m","messages":%s}' % v),
    "a body": lambda v: (OPENAI, v),
}


def file(url: bytes) -> Shape:
    named = b'"mediaType":"","filename":"a.csv"'
    return ui(b'{"type":"file",%s,"url":%s}' % (named, url), b"user")


def messages(count: int, *given: bytes) -> bytes:
    return b",".join(given * (count // len(given)))


def of_parts(part: bytes, count: int = 4096, name: bytes = b"content") -> bytes:
    message = b'{"role":"user","%s":[%s]}' % (name, b",".join([part] * 256))
    return messages(count // 256, message)


def of_calls(call: bytes, count: int, calls: int = 128) -> bytes:
    return messages(count, answer(b'"tool_calls":[%s]' % b",".join([call] * calls)))


IMAGE = b'{"type":"image_url","image_url":{"url":"https://example.com/%s.png"}}' % (b"a" * 99)
BAD = b'{"type":1,"text":1,"image_url":1,"input_audio":1,"file":1,"video_url":1,"refusal":1}'
# As many items as the bounds allow, and more than that.
ITEMS: dict[str, Shape] = {
    "ui texts": ui(b",".join([SAID] * 16_000)),
    "ui calls": ui(b",".join([called()] * 16_000)),
    "ui small numbers": ui(b",".join([called(b"[1e-5]")] * 16_000)),
    "ui calls of strings": ui(b",".join([called(b'"{}"')] * 16_000)),
    "ui steps": ui(b",".join([called(), b'{"type":"step-start"}'] * 8_000)),
    "ui images": ui(
        b",".join([b'{"type":"file","mediaType":"image/png","url":"http://a"}'] * 16_000), b"user"
    ),
    "ui files": ui(
        b",".join([b'{"type":"file","mediaType":"","url":"data:,x%20y"}'] * 16_000), b"user"
    ),
    "ui old calls": ui(
        b",".join(
            [
                b'{"type":"tool-invocation","toolInvocation":'
                b'{"state":"result","toolCallId":"c","toolName":"f","args":{},"result":1}}'
            ]
            * 16_000
        )
    ),
    "ui bad parts": ui(b",".join([b"{}"] * 16_000)),
    "ui bad parts in steering": ui(
        b'{"type":"steering-message","parts":%s}' % listed(b"1", 15_000 * 2)
    ),
    "ui steering in steering": ui(
        b",".join([b'{"type":"steering-message","parts":[%s]}' % b",".join([SAID] * 100)] * 400)
    ),
    "ui details": ui(
        b",".join(
            [
                b'{"type":"text","text":"","providerMetadata":{"a":{"reasoning_details":%s}}}'
                % listed(b'{"a":1}', 8_000)
            ]
            * 30
        )
    ),
    "text messages": text(messages(999, HI)),
    "text bad messages": text(messages(999, b"{}")),
    "text parts": text(of_parts(SAID)),
    "text images": text(of_parts(IMAGE, 1024)),
    "text bad parts": text(of_parts(b"{}", 1024)),
    "text gemini": text(of_parts(b'{"text":"a"}', 4096, b"parts")),
    "text gemini's images": text(
        of_parts(b'{"inlineData":{"mimeType":"image/png","data":"a"}}', 1024, b"parts")
    ),
    "text calls of numbers": text(of_calls(b"1", 999)),
    "text calls": text(of_calls(b"{}", 999)),
    "openai messages": openai(messages(999, HI)),
    "openai answers": openai(messages(998, HI, answer(b'"reasoning_content":"Hm"'))),
    "openai parts": openai(of_parts(SAID)),
    "openai images": openai(of_parts(IMAGE, 1024)),
    "openai more images": openai(of_parts(IMAGE, 4096)),
    "openai bad parts": openai(of_parts(BAD, 1024)),
    "openai parts of unknown fields": openai(of_parts(named(b"1", 60), 1024)),
    "openai calls": openai(of_calls(CALL % (b'"{}"', b""), 8)),
    "openai many calls": openai(of_calls(CALL % (b'"{}"', b""), 100)),
    "openai bad calls": openai(of_calls(b"{}", 8)),
    "openai details": openai(messages(20, answer(b'"reasoning_details":' + listed(b"{}", 8_000)))),
    "openai bad details": openai(
        messages(20, answer(b'"reasoning_details":' + listed(b"1", 8_000)))
    ),
}
SHAPES: dict[str, Shape] = {
    **{f"{p}: {n}": put(v) for p, put in DEEP.items() for n, v in (STRINGS | VALUES).items()},
    **{f"{p}: {n}": put((STRINGS | VALUES)[n]) for p, put in PLACES.items() for n in FEW},
    **{f"file: {n}": file(url) for n, url in URLS.items()},
}


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    logging.disable()  # pytest keeps all of it
    llmchat = LLMChat()
    keys = {row.key_attr: "k" for row in builtin_providers if row.key_attr}
    profile = Profile(
        **keys,
        azure_openai_endpoint="http://127.0.0.1:9",
        azure_openai_deployments={"m": "deployment"},
    )
    llmchat.profile_loader(lambda: profile)
    llmchat.endpoint_loader(lambda name: Endpoint(NOWHERE))
    app = Flask("host")
    app.config["LLMCHAT_BASE_URLS"] = {
        row.name: NOWHERE for row in builtin_providers if row.name not in ("azure", "custom")
    }
    app.config |= {"LLMCHAT_MAX_RETRIES": 0, "LLMCHAT_ALLOW_PRIVATE_ENDPOINTS": True}
    app.register_blueprint(llmchat.blueprint)
    client = app.test_client()
    for shape in (text(), ui(SAID), openai()):
        assert post(client, shape) == 502  # all the way, and nobody there
    gc.collect()
    gc.freeze()  # else each collection walks through pytest as well
    yield client
    gc.unfreeze()
    logging.disable(logging.NOTSET)


def post(client: FlaskClient, shape: Shape) -> int:
    url, body = shape
    with client.post(url, data=body, content_type="application/json") as response:
        return response.status_code


def seconds(function: Callable[[], object], times: int) -> float:
    """Return the least CPU time that something took."""
    least = float("inf")
    for _ in range(times):
        started = time.thread_time()
        with suppress(ValueError, RecursionError):
            function()
        least = min(least, time.thread_time() - started)
    return least


def times_parsing(client: FlaskClient, shape: Shape, more: bytes = b"1") -> float:
    """Return how many times as long as parsing its body a request takes, beyond the least one.

    :param more: a body of which the time to parse it is added.
    """
    ratio = float("inf")
    for attempt in range(60):  # what is within the bounds once is not looked at again
        if attempt > 8:
            time.sleep(0.1)  # something else has the machine's caches
        took = seconds(lambda: post(client, shape), 1 + min(attempt, 4))
        parsing = seconds(lambda: json.loads(shape[1]), 2) + seconds(lambda: json.loads(more), 2)
        if took > MAX_RATIO * parsing:
            took -= seconds(lambda: post(client, openai()), 3)
        ratio = min(ratio, took / parsing)
        if ratio <= MAX_RATIO:
            break
    return ratio


def is_copied(body: bytes) -> bool:
    """Return whether a body has so few values that parsing it is copying a string."""
    try:
        values = [json.loads(body)]
    except (ValueError, RecursionError):
        return False
    for value in values:  # grows while it is read
        if isinstance(value, dict | list):
            values += value.values() if isinstance(value, dict) else value
        if len(values) > 200:
            return False
    return True


def test_no_shape_of_body_costs_much_more_than_to_parse_it(client: FlaskClient) -> None:
    ratios = {name: times_parsing(client, shape) for name, shape in SHAPES.items()}
    ratios |= {name: times_parsing(client, s, ITEMS_ALLOWED) for name, s in ITEMS.items()}
    # To parse a body that is one long string is to copy it: of such a small time the machine's own
    # noise is a third.
    copied = {name for name in ratios if is_copied((SHAPES.get(name) or ITEMS[name])[1])}
    dear = {
        name: round(ratio, 1)
        for name, ratio in ratios.items()
        if ratio > MAX_RATIO * (4 / 3 if name in copied else 1)
    }
    assert not dear, json.dumps(dear, indent=1)


def test_no_row_costs_more_than_another(client: FlaskClient) -> None:
    said = b'{"role":"user","content":"%s"}' % ("😀" + "a" * 2_000).encode()
    thought = answer(b'"reasoning_content":"Hm","reasoning_details":[{"a":1}]')
    call = answer(b'"tool_calls":[%s]' % (CALL % (b'"{}"', b',"extra_content":{"a":1}')))
    parts = b'{"role":"user","content":[%s]}' % SAID
    for row in builtin_providers:
        for turn in ([said], [said, thought], [said, call], [parts], [said, parts]):
            body = openai(messages(998, *turn), b',"endpointId":"e"')[1]
            shape = (f"/api/chat/{row.name}/chat/completions", body)
            assert times_parsing(client, shape, ITEMS_ALLOWED) <= MAX_RATIO, (row.name, turn)


def test_no_shape_of_body_needs_much_memory(client: FlaskClient) -> None:
    items = (b"1", b"1.5", b'"a"', b"[]", b"[1]", b"[1,2]", b"[1,20]", b"{}", b'{"a":1}', b"null")
    items += (b'{"a":123456}', b"[" * 400 + b"]" * 400, b'{"a":' * 400 + b"1" + b"}" * 400, LONG)
    values = {str(item[:20]): listed(item, 320 * KiB) for item in items}
    deep = {place: DEEP[place] for place in ("ui input", "openai unknown")}
    shapes = {f"{p}: {n}": put(v) for p, put in deep.items() for n, v in values.items()}
    shapes |= {f"file: {n}": file(url) for n, url in URLS.items()}
    shapes |= {n: ui(called(v)) for n, v in STRINGS.items()}
    dear = {}
    for name, shape in shapes.items():
        tracemalloc.start()
        try:
            post(client, shape)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        if peak > MAX_MEMORY * len(shape[1]):
            dear[name] = round(peak / len(shape[1]), 1)
    assert not dear, json.dumps(dear, indent=1)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20)
    | st.sampled_from([1e-5, "e-0", "%", "{}"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(item=JSON, place=st.sampled_from(sorted({**DEEP, **PLACES})))
def test_nor_does_one_that_was_made_up(client: FlaskClient, item: object, place: str) -> None:
    value = listed(json.dumps(item).encode(), 64 * KiB)
    assert times_parsing(client, {**DEEP, **PLACES}[place](value)) <= MAX_RATIO
