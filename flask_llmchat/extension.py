"""The extension: hooks, the blueprint, and what is kept for each app."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import Any, TypeVar, cast

from blinker import NamedSignal
from flask import Blueprint, Flask, current_app, has_request_context, request
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.local import LocalProxy

from .chat import ChatRequest, ChatResult, Endpoint
from .cli import make_commands
from .config import Config
from .dialects import Dialect, Spoken, builtin_dialects
from .http import http_error, keep_form_body, no_stream, spoken, unknown_provider, wrong_method
from .listing import add_models
from .profiles import read_text
from .providers import Provider, builtin_providers
from .signals import chat_finished
from .views import chat_view, close_unsent

logger = logging.getLogger("flask_llmchat")

ProfileLoader = TypeVar("ProfileLoader", bound=Callable[[], Any])
KeyResolver = TypeVar(
    "KeyResolver", bound=Callable[[str, Any], str | None] | Callable[[str, Any], Awaitable[Any]]
)
EndpointLoader = TypeVar("EndpointLoader", bound=Callable[[str], Any])
BeforeChat = TypeVar("BeforeChat", bound=Callable[[ChatRequest], Any])

_DEFAULT_PREFIX = Config().url_prefix


class LLMChat:
    """Adds one chat route for each provider to a Flask app.

    ::

        llmchat = LLMChat()

        @llmchat.profile_loader
        def load_profile():
            return current_user.profile

        app.register_blueprint(llmchat.blueprint)

    :param app: an app to register with at once; :meth:`init_app` does the same later.
    :param providers: the rows to serve, by default all that are built in.
    :param url_prefix: path in front of the provider's name. It goes before
        ``LLMCHAT_URL_PREFIX``; one given at registration goes before both.
    :param decorators: wrapped around every view, the last one outermost: a login, a rate
        limit.
    :param name: name of the blueprint. Two instances in one app need two names.
    :param dialects: how clients may speak, by default all that are built in. The first that
        recognises a request reads it; of those on one path, the last is the default.
    :raises ValueError: when two providers have the same name.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        providers: Sequence[Provider] | None = None,
        url_prefix: str | None = None,
        decorators: Sequence[Callable[[Any], Any]] = (),
        name: str = "llmchat",
        dialects: Sequence[Dialect] | None = None,
    ) -> None:
        self.dialects = builtin_dialects if dialects is None else tuple(dialects)
        if not any(dialect.path == "" for dialect in self.dialects):
            raise ValueError("dialects needs one whose path is empty, such as the text dialect")
        rows = builtin_providers if providers is None else tuple(providers)
        self.providers: dict[str, Provider] = {row.name: row for row in rows}
        if len(self.providers) != len(rows):
            raise ValueError("two providers have the same name")
        self.decorators = tuple(decorators)
        self._own_prefix = url_prefix
        self._profile_loader: Callable[[], Any] | None = None
        self._key_resolver: Callable[[str, Any], Any] | None = None
        self._endpoint_loader: Callable[[str], Any] | None = None
        self._before_chat: list[Callable[[ChatRequest], Any]] = []
        # A real prefix, not None: under a parent blueprint Flask adds the two together.
        self.blueprint = Blueprint(
            name, __name__, url_prefix=_DEFAULT_PREFIX if url_prefix is None else url_prefix
        )
        """A plain Flask blueprint; registering it is all the set-up there is."""
        self.blueprint.record(self._set_up)
        self.blueprint.register_error_handler(HTTPException, _http_error)
        # Named apart, or the app's own handler for 500 would go first.
        self.blueprint.register_error_handler(InternalServerError, _http_error)
        self.blueprint.teardown_request(close_unsent)
        # These run before the app's own before_request functions.
        self.blueprint.url_value_preprocessor(
            lambda endpoint, values: keep_form_body(_current_state().config.max_content_length)
        )
        for command in make_commands(self):  # flask llmchat providers, and its sisters
            self.blueprint.cli.add_command(command)
        self.blueprint.cli.help = "Chat providers, their models, and a chat in the terminal."
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Register the blueprint with an app.

        :raises RuntimeError: when that has been done already.
        :raises ValueError: for a configuration value that is wrong, naming it.
        """
        name = self.blueprint.name
        if name in app.extensions.get("llmchat", {}):
            raise RuntimeError(
                f"LLMChat {name!r} is registered with this app already: call init_app() or"
                " register_blueprint() once, or give a second instance another name, as in"
                " LLMChat(name='other')."
            )
        app.register_blueprint(self.blueprint)

    def profile_loader(self, function: ProfileLoader) -> ProfileLoader:
        """Set the function that gives the profile of whoever is asking.

        It runs once per request, in its context, and may be ``async def``. It returns a
        :class:`Profile`, a mapping, or any object with these attributes; None answers 401.
        """
        self._profile_loader = function
        return function

    def key_resolver(self, function: KeyResolver) -> KeyResolver:
        """Set the function that gives the key: ``(provider_name, profile) -> str | None``.

        For keys that are kept elsewhere than in the profile. None means that there is no
        key. Mind that for Azure the key is sent to the endpoint that the profile names.
        """
        self._key_resolver = function
        return function

    def endpoint_loader(self, function: EndpointLoader) -> EndpointLoader:
        """Set the function that gives a user's own endpoint: ``(endpoint_id) -> Endpoint | None``.

        For the ``custom`` provider. The id comes from the browser: the function has to check
        that the endpoint belongs to whoever is asking. None answers 404.
        """
        self._endpoint_loader = function
        return function

    def before_chat(self, function: BeforeChat) -> BeforeChat:
        """Add a function that sees every chat before its provider is called.

        ``(chat: ChatRequest) -> None``. It may change what is asked, or refuse it with
        ``abort()`` or a :class:`ChatError`; what it returns is ignored. It runs before the key
        is looked up: what was really asked is for ``chat_finished`` to count. They run in the
        order they were added.
        """
        self._before_chat.append(function)
        return function

    def load_profile(self) -> Any:
        """Return the profile of whoever is asking; a subclass may override this instead.

        :raises RuntimeError: when no loader is set.
        """
        if self._profile_loader is None:
            raise RuntimeError(
                "No profile loader is set, so nobody can chat. Decorate the function that"
                " returns the current user's profile with @llmchat.profile_loader, or override"
                " load_profile() in a subclass of LLMChat."
            )
        return current_app.ensure_sync(self._profile_loader)()

    def _set_up(self, setup: BlueprintSetupState) -> None:
        """Make one app's state and routes; runs when the blueprint is registered."""
        app = cast(Flask, setup.app)
        config = Config.from_app_config(app.config)
        name = f"{setup.name_prefix}.{setup.name}".lstrip(".")
        state = ChatState(self, app, config)
        app.extensions.setdefault("llmchat", {})[name] = state
        if self._own_prefix is None and setup.options.get("url_prefix") is None:
            setup.url_prefix = config.url_prefix
        elif self._own_prefix is None and setup.name_prefix and setup.url_prefix is not None:
            # Under a parent, whose prefix Flask has put in front of the default one.
            parent = setup.url_prefix.removesuffix(_DEFAULT_PREFIX)
            if parent != setup.url_prefix:
                setup.url_prefix = parent + config.url_prefix
        for provider in state.providers.values():
            view = self._decorated(chat_view(state, provider))
            # One endpoint for all paths: who limits or exempts it does so for all of them.
            for path in state.paths:
                for methods, endpoint, function in (
                    (["POST"], provider.name, view),
                    (["GET", "PUT", "PATCH", "DELETE", "OPTIONS"], "_not_post", state.not_post),
                ):
                    # Flask's own answer to OPTIONS would allow all of these.
                    setup.add_url_rule(
                        f"/{provider.name}{path}",
                        endpoint,
                        function,
                        methods=methods,
                        provide_automatic_options=False,
                    )
            # The AI SDK asks here for a stream to go on with, when it is told to resume.
            setup.add_url_rule(
                f"/{provider.name}/<chat_id>/stream", "_no_stream", no_stream, methods=["GET"]
            )
        for path in state.paths:
            setup.add_url_rule(
                f"/<provider>{path}",
                "_unknown_provider",
                state.unknown_provider,
                methods=["POST"],
            )
        add_models(setup, state, self._decorated)

    def _decorated(self, view: Any) -> Any:
        for decorator in self.decorators:
            view = decorator(view)
        return view


class ChatState:
    """One instance in one app: its settings, its rows, and how its hooks are called.

    :ivar config: the app's settings, checked.
    :ivar providers: the rows served here, by name.
    :ivar paths: what may follow a provider in a route; "" is the first.
    :raises ValueError: for a configuration value that is wrong, naming it.
    """

    def __init__(self, llmchat: LLMChat, app: Flask, config: Config) -> None:
        self.llmchat = llmchat
        self.app = app
        self.config = config
        known = llmchat.providers
        for key, names in (
            ("LLMCHAT_PROVIDERS", config.providers or ()),
            ("LLMCHAT_BASE_URLS", config.base_urls),
            ("LLMCHAT_MODELS", config.models),
            ("LLMCHAT_FALLBACKS", {*config.fallbacks, *chain(*config.fallbacks.values())}),
        ):
            if unknown := [name for name in names if name not in known]:
                raise ValueError(
                    f"{key} names {', '.join(map(repr, unknown))}; there are {', '.join(known)}"
                )
        served = config.providers if config.providers is not None else known
        self.providers = {name: known[name] for name in served}
        for name in chain(*config.fallbacks.values()):
            if name not in self.providers or known[name].public_only:
                raise ValueError(f"LLMCHAT_FALLBACKS names {name!r}, which cannot be one here")
        self._threads: list[int | None] = []  # not known before the first request
        self.paths = sorted({dialect.path for dialect in llmchat.dialects})

    def spoken(self) -> Spoken:
        """Tell in which dialects the present request is read and answered."""
        return spoken(self.llmchat.dialects, self.config.max_content_length)

    def not_post(self) -> ResponseReturnValue:
        """Answer any other method on a provider's route."""
        return wrong_method(self.spoken().tells_errors, "POST")

    def unknown_provider(self, provider: str) -> ResponseReturnValue:
        """Answer for a provider that is not served here."""
        return unknown_provider(self.providers, self.spoken().tells_errors)

    def most_streams(self, server_threads: Callable[[], int | None]) -> int | None:
        """Return how many chats this process may run at once; None for as many as come.

        :param server_threads: tells how many requests the server handles at once.
        """
        if self.config.max_streams is not None:
            return self.config.max_streams
        if not self._threads:
            self._threads = [server_threads()]
        (threads,) = self._threads
        if threads is None:
            return None
        # Streams hold their threads for long: some are left for everything else the host does.
        return max(1, threads - max(1, threads // 16))

    def load_profile(self) -> Any:
        """Return the profile of whoever is asking, or None."""
        return self.app.ensure_sync(self.llmchat.load_profile)()

    def resolve_key(self, provider: Provider, profile: Any) -> str:
        """Return the key for a provider; "" when there is none."""
        resolver = self.llmchat._key_resolver
        if resolver is not None:
            return self.app.ensure_sync(resolver)(provider.name, profile) or ""
        return read_text(profile, provider.key_attr) if provider.key_attr else ""

    def load_endpoint(self, endpoint_id: str | None) -> Any:
        """Return the endpoint of this id, or None."""
        loader = self.llmchat._endpoint_loader
        if loader is None or not endpoint_id:
            return None
        endpoint = self.app.ensure_sync(loader)(endpoint_id)
        if endpoint is not None and not isinstance(endpoint, Endpoint):
            raise TypeError(
                f"endpoint_loader must return an Endpoint or None, not {type(endpoint).__name__}"
            )
        return endpoint

    def run_before_chat(self, chat: ChatRequest) -> None:
        """Let every ``before_chat`` hook see, change or refuse a chat."""
        for hook in self.llmchat._before_chat:
            self.app.ensure_sync(hook)(chat)

    def send(self, signal: NamedSignal, **kwargs: Any) -> None:
        """Send a signal; a receiver that fails keeps it from nobody else."""
        for receiver in signal.receivers_for(self.app):
            try:
                receiver(self.app, **kwargs)
            except Exception:
                logger.exception("a receiver of %s failed", signal.name)

    def tell_finished(self, result: ChatResult) -> None:
        """Send ``chat_finished``, in an app context of its own."""
        try:
            with self.app.app_context():
                self.send(chat_finished, result=result)
        except Exception:  # in a teardown function of the host's: the answer is none the worse
            logger.exception("after chat_finished")


def _http_error(error: HTTPException) -> ResponseReturnValue:
    return http_error(error, _current_state().spoken().tells_errors)


def _current_state() -> ChatState:
    states: dict[str, ChatState] = current_app.extensions.get("llmchat", {})
    if has_request_context() and request.blueprint in states:
        return states[request.blueprint]
    if len(states) == 1:
        return next(iter(states.values()))
    if not states:
        raise RuntimeError(
            "The current app has no LLMChat: register llmchat.blueprint with it, or call"
            " llmchat.init_app(app)."
        )
    raise RuntimeError(
        "The current app has several LLMChat instances, and none is serving this request:"
        f" look in app.extensions['llmchat'] for one of {', '.join(states)}."
    )


current_llmchat: ChatState = LocalProxy(_current_state)  # type: ignore[assignment]
"""The :class:`ChatState` of the current app (or, in a request, of the instance serving it)."""
