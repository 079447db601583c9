"""Registering: every way there is, with guards in front, several of everything."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Blueprint, Flask, request, url_for
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_login import LoginManager, UserMixin, login_required, login_user

from flask_llmchat import (
    ChatRequest,
    LLMChat,
    Profile,
    Provider,
    builtin_providers,
    chat_started,
    current_llmchat,
)
from flask_llmchat.testing import FakeUpstream
from tests.support.apps import body, finished, make_app


def chat(app: Flask, path: str = "/api/chat/openai") -> int:
    with app.test_client().post(path, json=body()) as response:
        return response.status_code


@pytest.fixture
def llmchat() -> LLMChat:
    instance = LLMChat()
    instance.profile_loader(lambda: {"openai_api_key": "sk-x"})
    return instance


def host(upstream: FakeUpstream, **config: Any) -> Flask:
    app = Flask("host")
    app.config["LLMCHAT_BASE_URLS"] = {"openai": upstream.base_url}
    app.config.update(config)
    return app


def test_the_three_ways_to_register_are_one(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    first, second, third = (host(upstream) for _ in range(3))
    first.register_blueprint(llmchat.blueprint)
    llmchat.init_app(second)
    LLMChat(third).profile_loader(lambda: {"openai_api_key": "sk-x"})
    for app in (first, second, third):
        assert chat(app) == 200
        with app.test_request_context():
            assert url_for("llmchat.openai") == "/api/chat/openai"
            for provider in builtin_providers:
                assert url_for(f"llmchat.{provider.name}") == f"/api/chat/{provider.name}"


def test_registering_twice_says_what_to_do(llmchat: LLMChat) -> None:
    app = Flask("host")
    llmchat.init_app(app)
    with pytest.raises(RuntimeError, match="call init_app\\(\\) or register_blueprint\\(\\) once"):
        llmchat.init_app(app)
    with pytest.raises(RuntimeError, match="LLMChat\\(name='other'\\)"):
        LLMChat(app)


def test_two_instances_serve_one_app(upstream: FakeUpstream, llmchat: LLMChat) -> None:
    app = host(upstream)
    llmchat.init_app(app)
    team = LLMChat(app, name="team", url_prefix="/team/chat")
    team.profile_loader(lambda: None)
    assert chat(app) == 200
    assert chat(app, "/team/chat/openai") == 401
    with app.test_request_context("/team/chat/openai", method="POST"):
        assert request.blueprint == "team"
        assert current_llmchat.llmchat is team
    with (
        app.app_context(),
        pytest.raises(RuntimeError, match="several LLMChat instances.*llmchat, team"),
    ):
        _ = current_llmchat.config


def test_current_llmchat_without_one_says_so() -> None:
    with Flask("host").app_context(), pytest.raises(RuntimeError, match="has no LLMChat"):
        _ = current_llmchat.config


@pytest.mark.parametrize(
    ("constructor", "config", "registration", "path"),
    [
        (None, None, None, "/api/chat/openai"),
        (None, "/c", None, "/c/openai"),
        ("/b", "/c", None, "/b/openai"),
        ("/b", "/c", "/a", "/a/openai"),
        (None, "/c", "/a", "/a/openai"),
        (None, "/c/", None, "/c/openai"),
        (None, None, "/", "/openai"),
    ],
)
def test_which_prefix_wins(
    upstream: FakeUpstream,
    constructor: str | None,
    config: str | None,
    registration: str | None,
    path: str,
) -> None:
    app = host(upstream, **({"LLMCHAT_URL_PREFIX": config} if config else {}))
    llmchat = LLMChat(url_prefix=constructor)
    llmchat.profile_loader(lambda: {"openai_api_key": "sk-x"})
    options = {"url_prefix": registration} if registration else {}
    app.register_blueprint(llmchat.blueprint, **options)
    assert chat(app, path) == 200


@pytest.mark.parametrize(
    ("parent", "config", "nested", "path"),
    [
        ("/v1", None, None, "/v1/api/chat/openai"),
        ("/v1", "/c", None, "/v1/c/openai"),
        ("/v1", "/c", "/x", "/v1/x/openai"),
        (None, None, None, "/api/chat/openai"),
        (None, "/c", None, "/c/openai"),
    ],
)
def test_under_a_parent_blueprint(
    upstream: FakeUpstream,
    llmchat: LLMChat,
    parent: str | None,
    config: str | None,
    nested: str | None,
    path: str,
) -> None:
    app = host(upstream, **({"LLMCHAT_URL_PREFIX": config} if config else {}))
    api = Blueprint("api", __name__, url_prefix=parent)
    api.register_blueprint(llmchat.blueprint, **({"url_prefix": nested} if nested else {}))
    app.register_blueprint(api)
    assert chat(app, path) == 200
    with app.test_request_context():
        assert url_for("api.llmchat.openai") == path
    with app.test_request_context(path, method="POST"):
        assert current_llmchat.llmchat is llmchat


def test_only_the_configured_providers_are_served(upstream: FakeUpstream) -> None:
    app = make_app(upstream, config={"LLMCHAT_PROVIDERS": ["groq"]})
    assert chat(app, "/api/chat/groq") == 200
    assert chat(app, "/api/chat/openai") == 404


def test_a_provider_is_one_row(upstream: FakeUpstream) -> None:
    row = Provider(name="my-own", label="My Own", base_url=upstream.base_url)
    app = make_app(profile={"my_own_api_key": "k"}, providers=[*builtin_providers, row])
    assert chat(app, "/api/chat/my-own") == 200
    assert upstream.requests[0].headers["Authorization"] == "Bearer k"
    keyless = Provider(name="local", label="Local", base_url=upstream.base_url, key_attr="")
    assert chat(make_app(profile={}, providers=[keyless]), "/api/chat/local") == 200
    assert upstream.requests[1].headers["Authorization"] is None


@pytest.mark.parametrize("name", ["", "A", "a b", "a/b", "_not_post", "1a", "a."])
def test_a_provider_name_must_fit_a_route(name: str) -> None:
    with pytest.raises(ValueError, match="cannot stand in a route"):
        Provider(name=name, label="X")


def test_two_rows_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two providers have the same name"):
        LLMChat(providers=[*builtin_providers, builtin_providers[0]])


def test_without_a_loader_no_route_is_open(upstream: FakeUpstream) -> None:
    app = host(upstream)
    LLMChat(app)
    assert chat(app) == 500
    app.testing = True
    with pytest.raises(RuntimeError, match="@llmchat.profile_loader"):
        chat(app)
    assert upstream.requests == []


def test_hooks_may_be_async(upstream: FakeUpstream) -> None:
    llmchat = LLMChat()
    seen: list[str] = []

    @llmchat.profile_loader
    async def load() -> Profile:
        return Profile(openai_api_key="sk-async")

    @llmchat.key_resolver
    async def resolve(provider: str, profile: Profile) -> str:
        return f"{profile.openai_api_key}-for-{provider}"

    @llmchat.before_chat
    async def look(chat: ChatRequest) -> None:
        seen.append(chat.model)

    app = host(upstream)
    llmchat.init_app(app)
    assert chat(app) == 200
    assert seen == ["gpt-4.1"]
    assert upstream.requests[0].headers["Authorization"] == "Bearer sk-async-for-openai"


def test_a_subclass_may_override_the_loader(upstream: FakeUpstream) -> None:
    class Mine(LLMChat):
        async def load_profile(self) -> Profile:
            return Profile(openai_api_key="sk-subclass")

    app = host(upstream)
    Mine(app)
    assert chat(app) == 200
    assert upstream.requests[0].headers["Authorization"] == "Bearer sk-subclass"


def test_the_loader_runs_once_a_request_in_its_context(upstream: FakeUpstream) -> None:
    llmchat = LLMChat()
    paths: list[str] = []

    @llmchat.profile_loader
    def load() -> dict[str, str]:
        paths.append(request.path)
        return {"openai_api_key": "sk-x"}

    app = host(upstream)
    llmchat.init_app(app)
    chat(app)
    assert paths == ["/api/chat/openai"]


def test_chat_started_comes_before_chat_finished(upstream: FakeUpstream) -> None:
    app = make_app(upstream)
    order: list[str] = []

    def started(sender: Flask, chat: ChatRequest) -> None:
        order.append(f"started {chat.provider} {chat.request_id}")

    with chat_started.connected_to(started, sender=app), finished(app) as done:
        chat(app)
    assert order == [f"started openai {done.only.request_id}"]


def test_what_was_refused_is_finished_too(upstream: FakeUpstream) -> None:
    app = make_app(upstream, profile={})
    with finished(app) as done:
        assert chat(app) == 400
        assert chat(app, "/api/chat/nobody") == 404
        app.test_client().post("/api/chat/openai", data=b"junk")
    assert done.only.outcome == "refused"
    assert done.only.error and done.only.error.code == "missing_key"


class User(UserMixin):
    id = "1"


def with_login(app: Flask) -> Flask:
    app.secret_key = "test"
    manager = LoginManager(app)
    manager.user_loader(lambda user_id: User())

    @app.get("/login")
    def login() -> str:
        login_user(User())
        return "in"

    return app


def test_flask_login_guards_the_routes(upstream: FakeUpstream) -> None:
    app = with_login(make_app(upstream, decorators=[login_required]))
    client = app.test_client()
    for provider in ("openai", "azure", "openrouter", "groq"):
        response = client.post(f"/api/chat/{provider}", json=body())
        assert response.status_code == 401
        assert response.get_json()["code"] == "no_permission"
        assert response.get_json()["provider"] == provider
    assert upstream.requests == []
    client.get("/login")
    with client.post("/api/chat/openai", json=body()) as response:
        assert response.status_code == 200


def test_flask_login_may_guard_the_whole_blueprint(upstream: FakeUpstream) -> None:
    llmchat = LLMChat()
    llmchat.blueprint.before_request(login_required(lambda: None))
    app = with_login(make_app(upstream, llmchat=llmchat))
    client = app.test_client()
    assert client.post("/api/chat/openai", json=body()).status_code == 401
    assert client.get("/api/chat/openai").status_code == 401
    client.get("/login")
    with client.post("/api/chat/openai", json=body()) as response:
        assert response.status_code == 200


def test_flask_limiter_guards_each_route(upstream: FakeUpstream) -> None:
    limiter = Limiter(get_remote_address, storage_uri="memory://", headers_enabled=True)
    app = make_app(upstream, decorators=[limiter.limit("2 per minute")])
    limiter.init_app(app)
    assert [chat(app) for _ in range(3)] == [200, 200, 429]
    assert chat(app, "/api/chat/groq") == 200  # a limit of its own
    response = app.test_client().post("/api/chat/openai", json=body())
    assert response.get_json()["code"] == "rate_limited"
    assert int(response.headers["Retry-After"]) > 0
    assert len(upstream.requests) == 3


def test_flask_limiter_may_guard_the_whole_blueprint(upstream: FakeUpstream) -> None:
    llmchat = LLMChat()
    app = make_app(upstream, llmchat=llmchat)
    limiter = Limiter(get_remote_address, storage_uri="memory://")
    limiter.limit("2 per minute")(llmchat.blueprint)
    limiter.init_app(app)
    assert [chat(app) for _ in range(3)] == [200, 200, 429]


def test_decorators_wrap_the_last_outermost(upstream: FakeUpstream) -> None:
    order: list[str] = []

    def noting(name: str) -> Any:
        def decorate(view: Any) -> Any:
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                order.append(name)
                return view(*args, **kwargs)

            return wrapped

        return decorate

    chat(make_app(upstream, decorators=[noting("inner"), noting("outer")]))
    assert order == ["outer", "inner"]


def test_there_is_no_stream_to_resume() -> None:
    """The AI SDK asks when it is told to: 204 is its word for none."""
    response = make_app().test_client().get("/api/chat/openai/some-chat/stream")
    assert (response.status_code, response.data) == (204, b"")
