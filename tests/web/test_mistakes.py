"""What a host's developer does wrong, and that what comes then says what to do."""

from __future__ import annotations

import gzip
import json
import logging
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask, redirect

from flask_llmchat import (
    ChatError,
    ChatRequest,
    LLMChat,
    Profile,
    Provider,
    builtin_providers,
    current_llmchat,
)
from flask_llmchat.testing import FakeUpstream
from tests.support.apps import FOUR, KEYS, body, finished, make_app
from tests.support.recordings import CASES
from tests.support.server_processes import APP, GUNICORN, SERVERS, started

URL = "/api/chat/openai"
NO_KEY = "OpenAI API Key not found. Please set it in your profile settings."


def chat(app: Flask, url: str = URL, **posted: Any) -> Any:
    return app.test_client().post(url, json=body(**posted))


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the extension, or Flask, has logged as a warning or worse."""
    return [
        f"{record.getMessage()} {record.exc_info[1] if record.exc_info else ''}"
        for record in caplog.records
        if record.levelno >= logging.WARNING
    ]


# The profile loader: what an end user is told says nothing to a developer, so the log does.


class User:
    """A row without the attribute."""

    name = "Ann"


class Keyless:
    openai_api_key = None


def a_redirect() -> Any:
    with Flask("x").test_request_context():
        return redirect("/login")


@pytest.mark.parametrize(
    ("returned", "kind", "also"),
    [
        ("sk-planted", "str", "to refuse a request, it returns None or calls abort()"),
        (True, "bool", "without the attribute openai_api_key"),
        (("no", 403), "tuple", "calls abort()"),
        (a_redirect(), "Response", "calls abort()"),
        (User(), "User", "without the attribute openai_api_key"),
        (Keyless(), "Keyless", "whose attribute openai_api_key is empty"),
        ({"OPENAI_API_KEY": "sk-planted"}, "dict", "Its 'OPENAI_API_KEY' is not looked at"),
        ({}, "dict", "without the key 'openai_api_key'"),
        ({"openai_api_key": ""}, "dict", "whose 'openai_api_key' is empty"),
        (Profile(), "Profile", "environment variable OPENAI_API_KEY, which is not set"),
    ],
)
def test_a_loader_that_returns_something_without_the_key(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    returned: Any,
    kind: str,
    also: str,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    app = make_app(profile=returned)
    for _ in range(3):
        response = chat(app)
        assert (response.status_code, response.json["message"]) == (400, NO_KEY)
    (line,) = told(caplog)  # once
    assert line.startswith("openai chats are refused: the profile loader returned a " + kind)
    assert "openai_api_key" in line and also in line
    assert "sk-planted" not in line
    chat(app, "/api/chat/groq")
    assert len(told(caplog)) == 2 and "groq_api_key" in told(caplog)[1]


def test_a_key_of_the_environment_that_is_not_there(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "ACME_KEY"):
        monkeypatch.delenv(name, raising=False)
    row = Provider(name="acme", label="Acme", base_url="http://x/v1", key_env="ACME_KEY")
    llmchat = LLMChat(providers=[*builtin_providers, row])
    early = Profile.from_env()
    llmchat.profile_loader(lambda: early)
    app = make_app(llmchat=llmchat, config={"OPENAI_API_KEY": "sk-planted"})
    chat(app)
    assert (
        "OPENAI_API_KEY, which is not set. app.config['OPENAI_API_KEY'] is not looked at."
        in (told(caplog)[-1])
    )
    chat(app, "/api/chat/huggingface")
    assert "the environment variable HF_TOKEN, which is not set." in told(caplog)[-1]
    chat(app, "/api/chat/acme")
    assert "the environment variable ACME_KEY, which is not set." in told(caplog)[-1]
    monkeypatch.setenv("ACME_KEY", "sk-planted")  # but from_env() does not know the row
    chat(app, "/api/chat/acme")
    assert "Profile.from_env(providers=[…])" in told(caplog)[-1]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted")
    chat(app)
    assert "is set now, and was not when the profile was made" in told(caplog)[-1]


def test_a_resolver_that_finds_no_key(caplog: pytest.LogCaptureFixture) -> None:
    llmchat = LLMChat()
    llmchat.key_resolver(lambda provider, profile: None)
    assert chat(make_app(llmchat=llmchat)).json["message"] == NO_KEY
    assert "key_resolver returned no key for 'openai'" in told(caplog)[0]


@pytest.mark.parametrize("key", [b"sk-x", 7, {"key": "sk-x"}])
def test_a_key_that_is_no_string_is_named_in_the_log(
    caplog: pytest.LogCaptureFixture, key: Any
) -> None:
    assert chat(make_app(profile={"openai_api_key": key})).status_code == 500
    kind = type(key).__name__
    assert f"the profile's openai_api_key must be a string, not {kind}" in told(caplog)[0]
    llmchat = LLMChat()
    llmchat.key_resolver(lambda provider, profile: key)
    assert chat(make_app(llmchat=llmchat)).status_code == 500
    assert f"key_resolver must return a string or None, not {kind}" in told(caplog)[-1]


def test_azure_without_its_endpoint_or_deployments(caplog: pytest.LogCaptureFixture) -> None:
    key = {"azure_openai_api_key": KEYS["azure_openai_api_key"]}
    for profile, message, lacks in (
        (key, "Model not found", "no deployment for the model"),
        ({**key, "azure_openai_deployments": {"gpt-4.1": "d"}}, "Azure resources", "_endpoint"),
    ):
        response = chat(make_app(profile=profile), "/api/chat/azure")
        assert response.json["message"].startswith(message)
        assert lacks in told(caplog)[-1] and "AZURE_OPENAI_ENDPOINT" in told(caplog)[-1]


def test_users_without_keys_do_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    kinds = iter(type(f"User{i}", (), {}) for i in range(300))
    llmchat = LLMChat()
    llmchat.profile_loader(lambda: next(kinds)())
    app = make_app(llmchat=llmchat)
    for _ in range(150):
        chat(app)
    assert len(told(caplog)) == 100


def test_a_fallback_without_a_key_is_no_mistake(
    upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(
        upstream,
        profile={"openai_api_key": "sk-x"},
        config={"LLMCHAT_FALLBACKS": {"openai": ["groq"]}, "LLMCHAT_MAX_RETRIES": 0},
    )
    app.config["TESTING"] = True
    upstream.stop()
    chat(app)
    assert not any("the profile loader" in line for line in told(caplog))


@pytest.mark.parametrize(
    ("loader", "words"),
    [
        (None, "No profile loader is set, so no user can chat. Decorate the function"),
        (lambda user_id: {}, "missing 1 required positional argument: 'user_id'"),
        (lambda: Profile(openai_key="sk-x"), "unexpected keyword argument 'openai_key'"),  # type: ignore[call-arg]
        (lambda: 1 / 0, "division by zero"),
    ],
)
def test_a_failing_loader_is_explained_in_the_log(
    caplog: pytest.LogCaptureFixture, loader: Callable[..., Any] | None, words: str
) -> None:
    app = Flask("host")
    llmchat = LLMChat(app)
    if loader is not None:
        llmchat.profile_loader(loader)
    response = chat(app)
    assert (response.status_code, response.json["code"]) == (500, "internal")
    assert any(words in line for line in told(caplog))


# Hooks: set, and what they return.

SETTERS = ["profile_loader", "key_resolver", "endpoint_loader", "before_chat"]


@pytest.mark.parametrize("setter", SETTERS)
def test_hooks_that_are_no_functions(setter: str) -> None:
    llmchat = LLMChat()
    with pytest.raises(TypeError, match=f"write @llmchat.{setter} above the function, without"):
        getattr(llmchat, setter)()
    for value, named in ((Profile(), "a Profile"), ("load", "a str"), (None, "a NoneType")):
        with pytest.raises(TypeError, match=f"{setter} takes a function .*, not {named}"):
            getattr(llmchat, setter)(value)


def test_async_hooks_without_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flask_llmchat.web.checks.find_spec", lambda name: None)

    async def load() -> None: ...

    with pytest.raises(RuntimeError, match=r"function load is async.*flask-llmchat\[async\]"):
        LLMChat().profile_loader(load)


async def refuse_later(chat: ChatRequest) -> Any:
    return {"message": "no"}, 403


@pytest.mark.parametrize(
    ("hook", "kind"),
    [
        (lambda chat: ("no", 403), "tuple"),
        (lambda chat: False, "bool"),
        (lambda chat: "no", "str"),
        (lambda chat: a_redirect(), "Response"),
        (lambda chat: chat, "ChatRequest"),
        (refuse_later, "tuple"),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_a_hook_that_returns_something_pays_for_no_chat(
    upstream: FakeUpstream, caplog: pytest.LogCaptureFixture, hook: Any, kind: str, place: int
) -> None:
    """In Flask a returned value refuses a request; here the chat would be asked and paid for."""
    hook.__qualname__ = "refuse"
    hooks: list[Any] = [lambda chat: None]
    hooks.insert(place, hook)
    llmchat = LLMChat()
    for one in hooks:
        llmchat.before_chat(one)
    app = make_app(upstream, llmchat=llmchat)
    with finished(app) as done:
        response = chat(app)
    assert (response.status_code, response.json["code"]) == (500, "internal")
    assert upstream.requests == [] and done.only.outcome == "refused"
    (line,) = told(caplog)
    assert f"the before_chat hook refuse returned a {kind}" in line
    assert "call abort() or raise ChatError" in line


def test_other_mistakes_in_a_hook(upstream: FakeUpstream, caplog: pytest.LogCaptureFixture) -> None:
    def no_argument() -> None: ...

    def unknown_code(chat: ChatRequest) -> None:
        raise ChatError("That was enough.", "quota_exceeded")  # type: ignore[arg-type]

    for hook, words in (
        (no_argument, "takes 0 positional arguments but 1 was given"),
        (unknown_code, "unknown code 'quota_exceeded'; use one of"),
    ):
        llmchat = LLMChat()
        llmchat.before_chat(hook)
        assert chat(make_app(upstream, llmchat=llmchat)).status_code == 500
        assert words in told(caplog)[-1]
    llmchat = LLMChat()
    llmchat.endpoint_loader(lambda endpoint_id: {"url": "http://x"})
    app = make_app(upstream, llmchat=llmchat)
    posted = {**body(), "endpointId": "1"}
    assert app.test_client().post("/api/chat/custom", json=posted).status_code == 500
    assert "endpoint_loader must return an Endpoint or None, not dict" in told(caplog)[-1]
    assert upstream.requests == []


# Registering.


def test_the_instance_is_no_blueprint() -> None:
    with pytest.raises(TypeError, match=r"write app.register_blueprint\(llmchat.blueprint\)"):
        Flask("host").register_blueprint(LLMChat())  # type: ignore[arg-type]


def quart_like() -> Any:
    module = types.ModuleType("quart.app")
    return type("Quart", (), {"__module__": module.__name__, "extensions": {}, "config": {}})()


def test_quart_is_refused_by_name() -> None:
    for register in (LLMChat, LLMChat().init_app):
        with pytest.raises(TypeError, match="does not run in Quart.*WsgiToAsgi"):
            register(quart_like())
    quart = pytest.importorskip("quart")
    for register in (
        LLMChat,
        LLMChat().init_app,
        lambda app: app.register_blueprint(LLMChat().blueprint),
    ):
        with pytest.raises(TypeError, match="does not run in Quart"):
            register(quart.Quart("host"))


@pytest.mark.parametrize("value", ["app", Flask, object()])
def test_other_things_that_are_no_app(value: Any) -> None:
    with pytest.raises(TypeError, match="LLMChat needs the Flask app, not (a|the class) "):
        LLMChat(value)


def test_an_app_registers_an_instance_once() -> None:
    app = Flask("host")
    llmchat = LLMChat(app)
    for again in (llmchat.init_app, LLMChat):
        with pytest.raises(RuntimeError, match="once, or give a second instance another name"):
            again(app)
    with pytest.raises(ValueError, match="is already registered"):
        app.register_blueprint(llmchat.blueprint)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {}),
        ({"url_prefix": "/c/"}, {"url_prefix": "/c"}),
        ({"providers": builtin_providers[:1]}, {}),
    ],
)
def test_two_instances_with_the_same_routes(first: dict[str, Any], second: dict[str, Any]) -> None:
    app = Flask("host")
    LLMChat(app, **first)
    with pytest.raises(RuntimeError, match=r"'team' and 'llmchat' have the same routes, such as /"):
        LLMChat(app, name="team", **second)
    with app.app_context():
        assert current_llmchat.llmchat.blueprint.name == "llmchat"


def test_instances_that_do_not_collide() -> None:
    app = Flask("host")
    LLMChat(app)
    LLMChat(app, name="team", url_prefix="/team")
    LLMChat(app, name="other", providers=[Provider(name="mine", label="Mine")])
    outer = Blueprint("outer", "outer", url_prefix="/outer")
    outer.register_blueprint(LLMChat(name="inner").blueprint)
    app.register_blueprint(outer)
    again = LLMChat(name="again")
    with pytest.raises(RuntimeError, match="have the same routes"):
        app.register_blueprint(again.blueprint, url_prefix="/outer/api/chat")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("LLMCHAT_URL_PREFIX", "api/chat", "must be a string that starts with '/'"),
        ("LLMCHAT_URL_PREFIX", None, "must be a string that starts with '/'"),
        ("LLMCHAT_BASE_URLS", "http://x", "LLMCHAT_BASE_URLS"),
        ("LLMCHAT_BASE_URLS", {"openai": "api.openai.com/v1"}, "LLMCHAT_BASE_URLS"),
        ("LLMCHAT_BASE_URLS", {"opnai": "http://x/v1"}, "available are openai, "),
        ("LLMCHAT_READ_TIMEOUT", "30s", "LLMCHAT_READ_TIMEOUT"),
        ("LLMCHAT_MAX_STREAMS", -1, "LLMCHAT_MAX_STREAMS"),
        ("LLMCHAT_PROVIDERS", "openai", "LLMCHAT_PROVIDERS"),
        ("LLMCHAT_PROVIDERS", ["opnai"], "names 'opnai'; available are openai, "),
        ("LLMCHAT_FALLBACKS", {"openai": ["opnai"]}, "names 'opnai'; available are openai, "),
        ("LLMCHAT_MODELS", {"opnai": {}}, "names 'opnai'; available are openai, "),
        ("LLMCHAT_MODELS", {"openai": {"m": {"protocol": "response"}}}, "is 'response', which"),
        ("LLMCHAT_TRUSTED_ORIGINS", ["app.example.com"], "LLMCHAT_TRUSTED_ORIGINS"),
    ],
)
def test_a_wrong_setting_is_named_at_registration(key: str, value: Any, words: str) -> None:
    app = Flask("host")
    app.config[key] = value
    with pytest.raises(ValueError, match=key) as raised:
        LLMChat(app)
    assert words in str(raised.value)


def test_a_setting_that_is_none(caplog: pytest.LogCaptureFixture) -> None:
    app = Flask("host")
    app.config["LLMCHAT_READTIMEOUT"] = 30
    LLMChat(app)
    assert "LLMCHAT_READTIMEOUT" in told(caplog)[0]


def test_state_where_there_is_none() -> None:
    with Flask("host").app_context(), pytest.raises(RuntimeError, match=r"call llmchat.init_app"):
        _ = current_llmchat.config


# Paths.


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("openai/", "Leave out the slash at the end."),
        ("openai/chat/completions/", "Leave out the slash at the end."),
        ("openai/v1/chat/completions", "Chats are at /chat/completions"),
        ("openai/responses", "Chats are at /chat/completions"),
        ("openia", f"Unknown provider 'openia'. Available: {FOUR[0]}, "),
    ],
)
def test_wrong_paths_are_answered_in_the_client_s_form(method: str, path: str, words: str) -> None:
    response = getattr(make_app().test_client(), method)(f"/api/chat/{path}", json=body())
    assert response.status_code == 404
    told = (
        response.json["error"] if "/chat/completions" in path or "resp" in path else response.json
    )
    assert words in told["message"]


@pytest.mark.parametrize("path", ["/api/chat", "/api/chat/", "/api/chat/openia/x/y", "/nothing"])
def test_other_paths_are_the_host_s(path: str) -> None:
    app = make_app()
    app.register_error_handler(404, lambda error: ("The host's own page.", 404))
    for method in ("get", "post"):
        assert getattr(app.test_client(), method)(path).text == "The host's own page."


@pytest.mark.parametrize("prefix", ["/", "/<any(a, b):team>/"])
def test_without_a_prefix_the_host_s_paths_stay_its_own(prefix: str) -> None:
    llmchat = LLMChat()
    llmchat.blueprint.url_value_preprocessor(lambda endpoint, values: (values or {}).pop("team", 0))
    app = Flask("host")
    app.register_blueprint(llmchat.blueprint, url_prefix=prefix)
    app.register_error_handler(404, lambda error: ("The host's own page.", 404))
    start = "/a" if "team" in prefix else ""
    for path in ("/nothing", "/nothing/models", "/nothing/chat/completions", "/favicon.ico"):
        for method in ("get", "post"):
            assert getattr(app.test_client(), method)(start + path).text == "The host's own page."
    assert app.test_client().post(f"{start}/openai/v1/x").json["error"]["message"]
    assert "slash" in app.test_client().post(f"{start}/openai/").json["message"]


def case(name: str) -> dict[str, Any]:
    """Return a request that somebody reported."""
    path = CASES / name
    if not path.exists():
        pytest.skip(f"no reported cases at {path.parent.name}/ beside the checkout")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_a_reported_slash_at_the_end(upstream: FakeUpstream) -> None:
    reported = case("30-trailing-slash.json")
    response = make_app(upstream).test_client().post(reported["POST"], json=reported["body"])
    assert response.status_code == 404
    assert "Leave out the slash" in response.json["message"]


def test_a_reported_compressed_body(upstream: FakeUpstream) -> None:
    reported = case("29-gzip-request.json")
    content = gzip.compress(json.dumps(reported["body_before_gzip"]).encode())
    response = (
        make_app(upstream)
        .test_client()
        .post(reported["POST"], data=content, headers=reported["headers"])
    )
    assert response.status_code == 415
    assert "Content-Encoding gzip is not taken" in response.json["error"]["message"]


def test_a_compressed_body(upstream: FakeUpstream) -> None:
    client = make_app(upstream).test_client()
    for coding, status in (("gzip", 415), ("br", 415), ("identity", 200), ("", 200)):
        headers = {"Content-Encoding": coding}
        with client.post(URL, json=body(), headers=headers) as response:
            assert response.status_code == status
            if status == 415:
                assert f"Content-Encoding {coding} is not taken" in response.json["message"]


# Servers.

PYWSGI = (
    "from gevent.pywsgi import WSGIServer; from tests.support.served_app import app;"
    " WSGIServer(('127.0.0.1', {port}), app).serve_forever()"
)


@dataclass
class Unfit:
    command: list[str]
    words: str


UNFIT = {
    "sync": Unfit([*GUNICORN, f"{APP}:app"], "-k gthread --threads 100"),
    "pywsgi": Unfit([sys.executable, "-c", PYWSGI], "monkey.patch_all()"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", UNFIT)
def test_servers_that_stand_still_for_a_chat(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SERVERS, name, UNFIT[name].command)
    with started(name, tmp_path) as server, server.upstream:
        assert UNFIT[name].words not in server.log.read_text()
        for _ in range(2):
            with server.posted() as connection, connection.getresponse() as response:
                assert response.read()
        assert server.log.read_text().count(UNFIT[name].words) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gthread", "gevent", "dev"])
def test_servers_that_do_not_are_not_warned_about(name: str, tmp_path: Path) -> None:
    with started(name, tmp_path) as server, server.upstream:
        with server.posted() as connection, connection.getresponse() as response:
            assert response.read()
        assert "every other request waits" not in server.log.read_text().replace("\n", " ")
