"""The OpenAPI document: what it tells of the routes is so, and it fits into others."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from apispec import APISpec
from flask import Blueprint, Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from flask_llmchat import LLMChat, openapi
from flask_llmchat.dialects.builtin import builtin_dialects
from flask_llmchat.dialects.text.dialect import TextDialect
from flask_llmchat.models.catalogue import DEFAULT_MODELS
from flask_llmchat.models.lookup import models_of
from flask_llmchat.testing import HOLD, FakeUpstream, error_reply, text_reply
from tests.dialects import test_openai, test_request, test_ui
from tests.support.apps import HI, asked, body, make_app, run, ui_body
from tests.support.docs_blocks import BLOCKS, ROOT, runs
from tests.support.known_deviations import UNTELLABLE, as_told, forgiving
from tests.support.streams import keeping
from tests.support.ui_conversations import OURS, SAME
from tests.support.ui_streams import with_messages

OPENAI = "/api/chat/openai"
COMPLETIONS = f"{OPENAI}/chat/completions"
MOST = 50  # as in the tests whose bodies are looked at here


@pytest.fixture(scope="module")
def app() -> Iterator[Flask]:
    with FakeUpstream() as upstream:
        yield make_app(upstream, config={"LLMCHAT_MAX_MESSAGES": MOST})


@pytest.fixture(scope="module")
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(scope="module")
def document(app: Flask) -> Any:
    return openapi.document(app)


def target(document: Any, told: Any) -> Any:
    """Return what a reference refers to, or what is no reference itself."""
    while "$ref" in told:
        found = document
        for name in told["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        told = found
    return told


def taken(document: Any, path: str) -> Draft202012Validator:
    """Return what tells whether the document allows a body."""
    content = document["paths"][path]["post"]["requestBody"]["content"]
    schema = content["application/json"]["schema"]
    return Draft202012Validator({**schema, "components": document["components"]})


def blocks(page: str, language: str = "python") -> list[str]:
    return [b.code for b in BLOCKS if (b.page, b.language) == (page, language)]


# What it says of bodies.


def listed(test: Any) -> list[Any]:
    """Return the bodies that a test is parametrized with."""
    (mark,) = [m for m in test.pytestmark if "posted" in m.args[0]]
    return [case[0] for case in mark.args[1]]


ANSWERS = [
    asked(HI, {"role": "assistant", **given}, HI) for given, _ in test_openai.ANSWERS.values()
]
CONVERSATIONS = [with_messages(*messages) for messages in SAME.values()]
CONVERSATIONS += [with_messages(*messages) for messages, _ in OURS.values()]
NAMES = ("apiKey", "API-KEY", "base_url", "azure_endpoint", "url", "extraHeaders", "token")
OTHERS = ("csrf_token", "sessionId", "data", "pageUrl", "keywords", "x")
MORE = [
    *({**body(), **more} for more in ({"messages": []}, {"endpointId": None}, {"x": 1})),
    *({**body(), "selectedTools": rows} for rows in (None, [], [{"id": 7, "x": 1}], [{}], 7)),
    *({**body(), "selectedTools": [{"id": id}]} for id in ("x", "", 1.5, True, None)),
    *({**body(), "conversationId": given} for given in ("c" * 256, None)),
    *(body(**more) for more in ({"seed": 1.0}, {"seed": 1.5}, {"stop": []}, {"stop": ["x"]})),
    *(body(serverTools=names) for names in (None, [], ["a", ""])),
    *(body(toolChoice=choice) for choice in ("auto", {}, 1, None)),
    *(body(tools=[{"type": "function", "function": {}}] * count) for count in (0, 128, 129)),
    *(body(tools=[tool]) for tool in ({}, {"type": "mcp", "server_url": "https://a.example"})),
    *(ui_body(**{name: "x"}) for name in (*NAMES, *OTHERS)),
]
BESIDE = [  # what stands beside a message's own fields
    *({name: "x"} for name in ("id", "createdAt", "keys", "monkey", "metadata", "token")),
    *({name: "x"} for name in ("key", "KEY", "apiKey", "x_api_key", "BaseURL", "headers")),
    *({name: None} for name in ("key", "secret", "id")),
    {f"x{i}": i for i in range(60)},
    {f"x{i}": i for i in range(70)},
]
BODIES = [
    *((OPENAI, posted) for posted in listed(test_request.test_a_wrong_field_is_named)),
    *((OPENAI, posted) for posted in listed(test_ui.test_what_is_wrong_is_named)),
    *((OPENAI, posted) for posted in [*CONVERSATIONS, *MORE]),
    *((COMPLETIONS, posted) for posted in listed(test_openai.test_a_wrong_field_is_named)),
    *((COMPLETIONS, posted) for posted in ANSWERS),
    *((COMPLETIONS, asked({**HI, **beside})) for beside in BESIDE),
    *(
        (OPENAI, {**body(), **more})
        for more in ({"trigger": "x"}, {"trigger": "x", "messages": []})
    ),
    (OPENAI, {**ui_body(), "messages": None}),
    *((OPENAI, ui_body(id=odd)) for odd in (None, "", "c" * 257, 7, {"a": []})),
    *((COMPLETIONS, asked(n=n)) for n in (None, 1, True)),
    *((COMPLETIONS, asked(modalities=m)) for m in (["text"], ["audio"], "text")),
    *((COMPLETIONS, asked(thinking=t)) for t in (True, {"type": "enabled"}, "on")),
]


def test_what_it_allows_is_taken_and_nothing_else(client: FlaskClient, document: Any) -> None:
    paths, loose = (OPENAI, COMPLETIONS), forgiving(document)
    allow = {path: taken(document, path) for path in paths}
    forgive = {path: taken(loose, path) for path in paths}
    counts = dict.fromkeys(("taken", "refused", "forgiven", "untellable"), 0)
    for path, posted in BODIES:
        if len(posted) > 64 or len(json.dumps(posted)) > 100_000:
            continue  # the limits of these are looked at elsewhere, and this would be slow
        with client.post(path, json=posted) as response:
            status, told = response.status_code, response.get_data(as_text=True)
        if allow[path].is_valid(posted) == (status == 200):
            counts["taken" if status == 200 else "refused"] += 1
        elif status == 200:
            assert forgive[path].is_valid(as_told(posted)), posted
            counts["forgiven"] += 1
        else:
            assert status == 422 and UNTELLABLE.search(told), (posted, told)
            counts["untellable"] += 1
    assert counts["taken"] > 100 and counts["refused"] > 100, counts
    assert counts["forgiven"] < 30 and counts["untellable"] < 50, counts


def test_a_providers_own_parameters_are_in_its_path_alone(client: FlaskClient, app: Flask) -> None:
    document = openapi.document(app)
    rows = current(app)
    own = sorted({name for row in rows.values() for name in row.extra_params})
    assert "safe_prompt" in rows["mistral"].extra_params and not rows["openai"].extra_params
    for provider in ("openai", "mistral", "groq", "openrouter", "vllm"):
        path = f"/api/chat/{provider}/chat/completions"
        allowed = taken(document, path)
        for name in [*own, "models", "plugins"]:
            for value in (True, {"x": [1]}, "x"):
                posted = asked(**{name: value})
                with client.post(path, json=posted) as response:
                    # There is no key for most of them: that is looked at after the body.
                    assert allowed.is_valid(posted) == (response.status_code != 422), posted
        text = taken(document, f"/api/chat/{provider}")
        assert not any(text.is_valid(body(**{name: True})) for name in rows[provider].extra_params)


def current(app: Flask) -> Any:
    return app.extensions["llmchat"]["llmchat"].providers


def test_a_body_is_of_one_kind_alone(document: Any) -> None:
    content = document["paths"][OPENAI]["post"]["requestBody"]["content"]["application/json"]
    kinds = target(document, content["schema"])["oneOf"]
    assert [named(kind) for kind in kinds] == ["UIBody", "TextBody"]
    messages = target(document, kinds[1])["properties"]["messages"]
    forms = messages["items"]["oneOf"]
    assert [named(form) for form in forms] == ["Message", "GeminiMessage"]
    forms = target(document, forms[0])["oneOf"]
    assert [named(form) for form in forms] == ["PlainMessage", "CallingMessage"]
    assert (messages["minItems"], messages["maxItems"]) == (1, MOST)


def named(reference: Any) -> Any:
    return reference["$ref"].removeprefix("#/components/schemas/LLMChat")


def test_fields_have_their_types_and_limits(document: Any) -> None:
    schemas = document["components"]["schemas"]
    settings = schemas["LLMChatSettings"]
    fields = settings["properties"]
    assert settings["additionalProperties"] is False and settings["required"] == ["model"]
    assert fields["model"] == {"type": "string", "minLength": 1, "maxLength": 256}
    assert fields["temperature"] == {"type": ["number", "null"], "minimum": 0, "maximum": 2}
    whole = {"type": ["integer", "null"], "format": "int64"}
    assert fields["seed"] == whole and fields["maxTokens"] == {**whole, "minimum": 1}
    assert fields["includeProfileContext"]["type"] == ["boolean", "null"]
    any_object = {"type": "object", "additionalProperties": True}
    assert fields["responseFormat"] == {**any_object, "type": ["object", "null"]}
    assert fields["tools"] == {
        "type": ["array", "null"],
        "items": {
            "oneOf": [
                {"$ref": "#/components/schemas/LLMChatFunctionTool"},
                {"$ref": "#/components/schemas/LLMChatCustomTool"},
            ]
        },
        "maxItems": 128,
    }
    texts, text, null = fields["stop"]["anyOf"]
    assert (texts["maxItems"], text["minLength"]) == (16, 1)
    assert null == {"type": "null"}
    string, parts = schemas["LLMChatPlainMessage"]["properties"]["content"]["anyOf"]
    assert string == {"type": "string"} and (parts["minItems"], parts["maxItems"]) == (1, 256)
    assert parts["items"] == {"$ref": "#/components/schemas/LLMChatPart"}
    url = schemas["LLMChatImageUrl"]["properties"]["url"]["pattern"]
    assert re.search(url, "data:image/png,x") and not re.search(url, "file:///x data:image/")
    body = schemas["LLMChatCompletionBody"]["properties"]
    assert body["n"]["type"] == ["integer", "null"] and "functions" not in body


def inside(value: Any) -> Iterator[dict[str, Any]]:
    """Give all objects in JSON, from the outside in."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from inside(inner)


def test_code_generators_can_read_it() -> None:
    """What they stumble over: seen with openapi-python-client and openapi-typescript."""
    schemas = openapi.document(make_app())["components"]["schemas"]
    for schema in inside(schemas):
        fields = schema.get("properties")
        if isinstance(fields, dict) and "type" in schema:
            beside = {"anyOf", "oneOf", "allOf", "not", "patternProperties", "propertyNames"}
            assert not beside & {*schema}, schema  # they leave the whole body out
            assert {"type": "null"} not in [v for n, v in fields.items() if n != "param"], schema
        elif schema.get("type") == "object":
            assert schema["additionalProperties"] is True, schema  # else it has to be empty
        assert "array" not in schema.get("type", "") or "items" in schema, schema
        assert "title" not in schema or "properties" in schema["title"]  # two may be one class


def test_every_example_is_answered(client: FlaskClient, document: Any) -> None:
    kinds = []
    for path in (OPENAI, COMPLETIONS):
        content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        for kind, example in content["examples"].items():
            assert taken(document, path).is_valid(example["value"])
            response = client.post(path, json=example["value"])
            assert response.status_code == 200
            told = target(document, document["paths"][path]["post"]["responses"]["200"])
            (answer,) = told["content"][response.mimetype]["schema"]["examples"]
            assert ends(answer) == ends(response.text)
            kinds.append(kind)
    assert kinds == ["ui", "text", "openai"]


def ends(answer: str) -> tuple[bool, bool]:
    return answer.startswith("data: {"), answer.endswith("data: [DONE]\n\n")


def test_an_example_asks_a_model_of_its_provider(document: Any) -> None:
    def model(provider: str) -> Any:
        operation = document["paths"][f"/api/chat/{provider}/chat/completions"]["post"]
        examples = operation["requestBody"]["content"]["application/json"]["examples"]
        return examples["openai"]["value"]["model"]

    assert model("groq") == DEFAULT_MODELS["groq"] and model("vllm") == "model-name"
    assert model("mistral") in models_of("mistral")


def test_every_error_has_an_example(document: Any) -> None:
    for path, kinds in ((OPENAI, 2), (COMPLETIONS, 1)):
        responses = document["paths"][path]["post"]["responses"]
        for status in responses.keys() - {"200", "default"}:
            content = target(document, responses[status])["content"]
            assert len(content) == kinds
            for told in content.values():
                schema = {**told["schema"], "components": document["components"]}
                Draft202012Validator(schema).validate(told["example"])
    missing = target(document, document["paths"][OPENAI]["post"]["responses"]["400"])["content"]
    assert missing["application/json"]["example"]["code"] == "missing_key"
    assert missing["text/plain"]["example"].startswith("OpenAI API Key not found.")


def test_the_pages_examples_are_allowed(document: Any) -> None:
    (first,) = re.findall(r"`(curl [^`]*)`", (ROOT / "README.md").read_text())
    (second,) = blocks("docs/openai-sdk.md", "sh")
    for path, curl in ((OPENAI, first), (COMPLETIONS, second)):
        words = shlex.split(curl.replace("\\\n", ""))
        posted = json.loads(words[words.index("-d") + 1])
        assert taken(document, path).is_valid(posted)
        assert not taken(document, path).is_valid({**posted, "api_key": "x"})


# What it says of answers.


def is_as_told(document: Any, path: str, response: Any, status: int) -> None:
    assert response.status_code == status
    told = target(document, document["paths"][path]["post"]["responses"][str(status)])
    schema = told["content"][response.mimetype]["schema"]
    content = response.json if response.mimetype == "application/json" else response.text
    Draft202012Validator({**schema, "components": document["components"]}).validate(content)
    assert "X-Request-ID" in response.headers and "X-Request-ID" in told["headers"]
    for name, header in told["headers"].items():
        schema = target(document, target(document, header)["schema"])
        if name in response.headers:
            Draft202012Validator(schema).validate(response.headers[name])


@pytest.mark.parametrize(
    ("path", "posted"),
    [
        (OPENAI, body()),
        (OPENAI, ui_body()),
        (COMPLETIONS, asked()),
        (COMPLETIONS, asked(stream=True)),
    ],
    ids=["text", "ui", "completion", "chunks"],
)
def test_answers_and_errors_are_as_told(path: str, posted: Any) -> None:
    with FakeUpstream() as upstream:
        app = make_app(upstream, config={"LLMCHAT_MAX_RETRIES": 0})
        client, document = app.test_client(), openapi.document(app)
        is_as_told(document, path, client.post(path, json=posted), 200)
        is_as_told(document, path, client.post(path, json={**posted, "messages": []}), 422)
        for status in (401, 402, 429, 503):
            upstream.add(error_reply(status, "No.", headers={"Retry-After": "7"}))
            response = client.post(path, json=posted)
            is_as_told(document, path, response, status)
            assert response.headers["Retry-After"] == "7"
        (header,) = {
            target(document, response)["headers"]["Retry-After"]["$ref"]
            for status, response in document["paths"][path]["post"]["responses"].items()
            if status != "200"
        }
        assert target(document, {"$ref": header})["schema"] == {"type": "string"}


def test_streams_are_as_told(upstream: FakeUpstream) -> None:
    app = keeping(upstream)
    client, document = app.test_client(), openapi.document(app)

    def check(path: str, response: Any, status: int) -> Any:
        method = response.request.method.lower()
        assert response.status_code == status
        told = target(document, document["paths"][path][method]["responses"][str(status)])
        content = told.get("content", {})
        assert bool(response.data) == bool(content)
        if content:
            schema = content[response.mimetype]["schema"]
            found = response.json if response.is_json else response.text
            Draft202012Validator({**schema, "components": document["components"]}).validate(found)
        assert {"X-LLMChat-Stream", "x-workflow-run-id"} & {*told.get("headers", {})} or (
            "X-LLMChat-Stream" not in response.headers
        )
        return response

    for path in (OPENAI, COMPLETIONS):
        (key,) = document["paths"][path]["post"]["parameters"]
        assert (key["name"], key["in"]) == ("Idempotency-Key", "header")
    stream, stop = f"{OPENAI}/{{name}}/stream", f"{OPENAI}/{{name}}/stop"
    for posted in (body(), ui_body()):
        chat = check(OPENAI, client.post(OPENAI, json=posted), 200)
        path = f"{OPENAI}/{chat.headers['X-LLMChat-Stream']}"
        assert check(stream, client.get(f"{path}/stream"), 200).data == chat.data
    check(stream, client.get(f"{path}/stream?startIndex=x"), 400)
    check(stream, client.get(f"{OPENAI}/nobody/stream"), 204)
    check(stop, client.post(f"{path}/stop"), 200)
    check(stop, client.post(f"{path}/stop", json={"activeStreamId": None, "more": 1}), 200)
    check(stop, client.post(f"{path}/stop", data=b"x"), 400)
    check(stop, client.post(f"{path}/stop", json={"activeStreamId": 7}), 422)
    evil = {"Origin": "https://evil.example"}
    check(stop, client.post(f"{path}/stop", headers=evil), 403)
    assert check("/api/chat/streams", client.get("/api/chat/streams"), 200).json == []
    upstream.add(text_reply("Half", then=[HOLD], finish_reason=None, done=False))
    writing = client.post(OPENAI, json=ui_body())
    assert next(writing.response)
    (running,) = check("/api/chat/streams", client.get("/api/chat/streams"), 200).json
    assert (running["chat"], running["provider"], running["model"]) == ("c", "openai", "gpt-4.1")
    client.post(f"{OPENAI}/c/stop")
    writing.close()


def test_what_streams_bring_is_told_of_apps_that_keep_them_alone(document: Any) -> None:
    text = json.dumps(document["paths"][OPENAI]["post"])
    assert "Idempotency" not in text and '"499"' not in text and '"409"' not in text
    responses = document["components"]["responses"]
    assert not any("X-LLMChat-Stream" in told.get("headers", {}) for told in responses.values())


# Which routes are in it.


def routes(app: Flask) -> set[tuple[str, str]]:
    """Return the routes that do anything, as an OpenAPI document writes them."""
    found = set()
    for rule in app.url_map.iter_rules():
        blueprint, _, endpoint = rule.endpoint.rpartition(".")
        if not blueprint or endpoint.startswith(("_not_", "_no_such_path", "_unknown_provider")):
            continue
        method = "post" if "POST" in (rule.methods or ()) else "get"
        if (
            endpoint.startswith("_") and endpoint != "_streams"
        ):  # a dialect's own: for all providers, and for unknown ones
            served = re.search(r"<any\(([^)]*)\):provider>", rule.rule)
            for name in served[1].replace('"', "").split(", ") if served else ():
                found.add((method, rule.rule.replace(served[0], name)))  # type: ignore[index]
        else:
            found.add((method, rule.rule))
    return {(method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)) for method, rule in found}


def told(document: Any) -> set[tuple[str, str]]:
    return {
        (method, path)
        for path, methods in document["paths"].items()
        for method in methods
        if method != "parameters"
    }


def nested() -> Flask:
    app = Flask("host")
    outer = Blueprint("outer", __name__, url_prefix="/t/<int:tenant>")
    app.config["LLMCHAT_PROVIDERS"] = ["openai"]
    outer.register_blueprint(LLMChat().blueprint)
    app.register_blueprint(outer)
    return app


def two() -> Flask:
    app = make_app(config={"LLMCHAT_PROVIDERS": ["openai"]})
    LLMChat(app, name="other", url_prefix="/other", dialects=[TextDialect()])
    return app


def own() -> Flask:
    names: dict[str, Any] = {}
    for code in blocks("docs/dialects.md"):
        exec(code, names)
    return make_app(llmchat=names["llmchat"], config=GROQ)


def described() -> Flask:
    names: dict[str, Any] = {}
    exec(blocks("docs/dialects.md")[0], names)
    exec(blocks("docs/openapi.md")[2], names)
    return make_app(dialects=[names["DescribedLines"](), *builtin_dialects], config=GROQ)


GROQ = {"LLMCHAT_PROVIDERS": ["groq"]}
KEPT = {"LLMCHAT_RESUMABLE": True}
APPS = {
    "all": lambda: make_app(),
    "some": lambda: make_app(config={"LLMCHAT_PROVIDERS": ["groq", "azure"]}),
    "none": lambda: make_app(config={"LLMCHAT_PROVIDERS": []}),
    "a prefix": lambda: make_app(config={**GROQ, "LLMCHAT_URL_PREFIX": "/llm"}),
    "a variable": lambda: make_app(config=GROQ, url_prefix="/<string(length=2):lang>/chat"),
    "nested": nested,
    "two": two,
    "streams": lambda: make_app(config={**GROQ, **KEPT}),
    "own dialect": own,
    "own words": described,
}


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=name, marks=() if name == "all" else pytest.mark.slow)
        for name, make in APPS.items()
    ],
)
def test_every_route_is_in_a_valid_document(make: Any) -> None:
    app = make()
    document = openapi.document(app)
    validate(document)
    assert told(document) == {
        (method, re.sub(r"<[^>]*:(\w+)>", r"{\1}", path)) for method, path in routes(app)
    }
    operations = [m for p in document["paths"].values() for n, m in p.items() if n != "parameters"]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert "security" not in document and not any("security" in o for o in operations)


def test_paths_that_are_not_the_default() -> None:
    paths = openapi.document(nested())["paths"]
    assert paths["/t/{tenant}/api/chat/openai"]["parameters"] == [
        {"name": "tenant", "in": "path", "required": True, "schema": _WHOLE}
    ]
    assert "/llm/groq" in openapi.document(APPS["a prefix"]())["paths"]
    app = make_app(config={"APPLICATION_ROOT": "/app"})
    assert openapi.document(app)["servers"] == [{"url": "/app"}]


_WHOLE = {"type": "integer", "minimum": 0}


def test_the_hosts_decorators_make_no_difference(document: Any) -> None:
    def shut(view: Any) -> Any:
        def refuse() -> Any:
            return "no", 403

        return refuse

    app = make_app(decorators=[shut], config={"LLMCHAT_MAX_MESSAGES": MOST})
    assert openapi.document(app) == document


def test_two_instances_have_each_their_own() -> None:
    first, second = LLMChat(), LLMChat(name="other", url_prefix="/o", dialects=[TextDialect()])
    app = Flask("host")
    app.config["LLMCHAT_PROVIDERS"] = ["openai"]
    first.init_app(app)
    second.init_app(app)
    both, one = openapi.document(app), openapi.document(app, second)
    validate(one)
    assert {path.split("/")[1] for path in both["paths"]} == {"api", "o"}
    assert {path.split("/")[1] for path in one["paths"]} == {"o"}
    errors = target(both, both["paths"]["/o/openai"]["post"]["responses"]["422"])["content"]
    assert list(errors) == ["application/json"]  # the other one's has text, too
    assert "LLMChatUIBody" not in one["components"]["schemas"]


def test_a_dialect_of_the_hosts_own() -> None:
    document = openapi.document(own())
    operation = document["paths"]["/api/chat/groq"]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    kinds = target(document, content["schema"])["anyOf"]
    assert kinds[0] == {"type": "object", "additionalProperties": True}
    assert "application/x-ndjson" in target(document, operation["responses"]["200"])["content"]
    document = openapi.document(described())
    operation = document["paths"]["/api/chat/groq/lines"]["post"]
    assert taken(document, "/api/chat/groq/lines").is_valid({"ask": "Hi"})
    assert list(target(document, operation["responses"]["422"])["content"]) == ["application/json"]


# Where it goes.


@runs("docs/openapi.md", "sh")
def test_the_command_prints_the_routes_of_its_instance(sh: list[str]) -> None:
    assert sh == ["flask llmchat openapi > openapi.json\n"]
    app = make_app(config=GROQ)
    second = LLMChat(name="other", url_prefix="/other")
    second.init_app(app)
    document = json.loads(run(app, "openapi"))
    validate(document)
    assert {path.split("/")[1] for path in document["paths"]} == {"api"}
    assert {path.split("/")[3] for path in document["paths"]} == {"groq"}
    document = json.loads(run(app, "other", "openapi", group=()))
    assert {path.split("/")[1] for path in document["paths"]} == {"other"}


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apispec", None)
    monkeypatch.delitem(sys.modules, "flask_llmchat.openapi.converter", raising=False)
    out = run(make_app(), "openapi", exit_code=1)
    assert out == "Error: This needs apispec: pip install 'flask-llmchat[openapi]'\n"
    with pytest.raises(RuntimeError, match="pip install"):
        openapi.fragment(make_app())


@pytest.mark.slow
@runs("docs/openapi.md", count=3)  # the third is one of the apps above
def test_the_pages_apispec_and_flask_smorest(python: list[str]) -> None:
    apispec, smorest, _ = python
    names: dict[str, Any] = {"__name__": "app"}
    exec(apispec, names)
    validate(names["document"])
    assert "/api/chat/openai" in names["document"]["paths"]
    assert names["document"]["security"] == [{"login": []}]
    assert "login" in names["document"]["components"]["securitySchemes"]
    exec(smorest, names)
    document = names["app"].test_client().get("/openapi.json").json
    validate(document)
    assert document["info"]["title"] == "My app" and COMPLETIONS in document["paths"]


def test_what_is_in_the_hosts_document_stays() -> None:
    app = make_app(config=GROQ)
    spec = APISpec("Host", "1", "3.1.0")
    answers = {"200": {"description": "x"}}
    spec.components.schema("Message", {"type": "string"})
    spec.path("/before", operations={"get": {"responses": answers}})
    openapi.add_to(spec, app)
    openapi.add_to(spec, app)
    spec.to_dict()
    spec.path("/after", operations={"get": {"responses": answers}})
    document = spec.to_dict()
    validate(document)
    assert {"/before", "/after", "/api/chat/groq", "/api/chat/groq/models"} <= {*document["paths"]}
    assert document["components"]["schemas"]["Message"] == {"type": "string"}


def test_an_older_openapi_is_refused() -> None:
    with pytest.raises(ValueError, match=r"OpenAPI 3\.0\.3; the chat routes need 3\.1"):
        openapi.add_to(APISpec("Host", "1", "3.0.3"), make_app())
