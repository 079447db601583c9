"""The extension: its hooks, and the blueprint that it registers with each app."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from flask import Blueprint, Flask, current_app, got_request_exception
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import HTTPException, InternalServerError

from .core.config import Config
from .core.request import ChatRequest, Message
from .core.result import ChatResult, Step
from .dialects import Dialect, builtin_dialects
from .openapi import make_command
from .providers import Provider, builtin_providers
from .runs.from_python import ChatStream
from .runs.sdk import user_client
from .tools import Tool
from .web.body import guard_body
from .web.checks import MISSING, check_app, check_dialects, checked_hook
from .web.cli.commands import make_commands
from .web.from_python import open_chat, profile_for
from .web.responses import close_failed, close_unsent, http_error
from .web.routes import add_routes, refuse_collision
from .web.state import AppState, Hooks, state_of

if TYPE_CHECKING:
    import openai

ProfileLoader = TypeVar("ProfileLoader", bound=Callable[[], Any])

KeyResolver = TypeVar(
    "KeyResolver", bound=Callable[[str, Any], str | None] | Callable[[str, Any], Awaitable[Any]]
)

EndpointLoader = TypeVar("EndpointLoader", bound=Callable[[str], Any])

BeforeChat = TypeVar("BeforeChat", bound=Callable[[ChatRequest], Any])

BeforeStep = TypeVar("BeforeStep", bound=Callable[[ChatRequest, tuple[Step, ...]], Any])

Function = TypeVar("Function", bound=Callable[..., Any])

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
    :param url_prefix: path in front of the provider's name. It takes precedence over
        ``LLMCHAT_URL_PREFIX``; one given at registration takes precedence over both.
    :param decorators: wrapped around every view, the last one outermost: a login, a rate
        limit.
    :param name: name of the blueprint. Two instances in one app need two names.
    :param dialects: client formats, by default all that are built in. The first that
        recognises a request body reads it; of those on one path, the last is the default.
    :raises ValueError: when two providers have the same name, or two routes of the dialects, or no
        dialect has the empty path.
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
        check_dialects(self.dialects)
        rows = builtin_providers if providers is None else tuple(providers)
        self.providers: dict[str, Provider] = {row.name: row for row in rows}
        if len(self.providers) != len(rows):
            raise ValueError("two providers have the same name")
        self.decorators = tuple(decorators)
        self._own_prefix = url_prefix
        self.hooks = Hooks()
        # A real prefix, not None: under a parent blueprint Flask adds the two together.
        self.blueprint = Blueprint(
            name, __name__, url_prefix=_DEFAULT_PREFIX if url_prefix is None else url_prefix
        )
        """A plain Flask blueprint; to register it is all the set-up there is."""
        self.blueprint.record(self._set_up)
        self.blueprint.register_error_handler(HTTPException, http_error)
        # By its own name, or the app's own handler for 500 would take precedence.
        self.blueprint.register_error_handler(InternalServerError, http_error)
        self.blueprint.teardown_request(close_unsent)
        # These run before the app's own before_request functions.
        self.blueprint.url_value_preprocessor(guard_body)
        # flask llmchat providers, models, chat, openapi
        for command in (*make_commands(self), make_command(self)):
            self.blueprint.cli.add_command(command)
        self.blueprint.cli.help = "Chat providers, their models, and a chat in the terminal."
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Register the blueprint with an app.

        :raises RuntimeError: when that has been done already.
        :raises TypeError: for anything but a Flask app.
        :raises ValueError: for a configuration value that is wrong, naming it.
        """
        check_app(app)
        name = self.blueprint.name
        if name in app.extensions.get("llmchat", {}):
            raise RuntimeError(
                f"LLMChat {name!r} is registered with this app already: call init_app() or"
                " register_blueprint() once, or give a second instance another name, as in"
                " LLMChat(name='other')."
            )
        app.register_blueprint(self.blueprint)

    def profile_loader(self, function: ProfileLoader = MISSING) -> ProfileLoader:
        """Set the function that returns the profile of the current user.

        It runs once per request, in its context, and may be ``async def``. It returns a
        :class:`Profile`, a mapping, or any object with these attributes. For None the response
        is 401.
        """
        self.hooks.profile_loader = checked_hook("profile_loader", function)
        return function

    def key_resolver(self, function: KeyResolver = MISSING) -> KeyResolver:
        """Set the function that returns the key: ``(provider_name, profile) -> str | None``.

        For keys that are kept elsewhere than in the profile. None means that there is no
        key. Note that for Azure the key is sent to the endpoint that the profile names.
        """
        self.hooks.key_resolver = checked_hook("key_resolver", function)
        return function

    def endpoint_loader(self, function: EndpointLoader = MISSING) -> EndpointLoader:
        """Set the function that returns a user's endpoint: ``(endpoint_id) -> Endpoint | None``.

        For the ``custom`` provider. The id comes from the browser: the function has to check
        that the endpoint belongs to the current user. For None the response is 404.
        """
        self.hooks.endpoint_loader = checked_hook("endpoint_loader", function)
        return function

    def before_chat(self, function: BeforeChat = MISSING) -> BeforeChat:
        """Add a function that sees every chat before its provider is called.

        ``(chat: ChatRequest) -> None``. It may change the chat, or refuse it with ``abort()`` or a
        :class:`ChatError`. To return anything is a TypeError, because in Flask a returned value
        refuses. It runs before the key is looked up, so it also sees chats that are never sent:
        count in ``chat_finished`` what was really sent. The functions run in the order in which
        they were added.
        """
        self.hooks.before_chat.append(checked_hook("before_chat", function))
        return function

    def before_step(self, function: BeforeStep = MISSING) -> BeforeStep:
        """Add a function that sees every further step of a chat with tools of the server.

        ``(chat: ChatRequest, steps: tuple[Step, ...]) -> None``. It is called before the model is
        called again, with the steps so far, in an app context and without a request. It may refuse
        the step with ``abort()`` or a :class:`ChatError`: the response then ends with that error.
        """
        self.hooks.before_step.append(checked_hook("before_step", function))
        return function

    @overload
    def tool(self, function: Function) -> Function: ...
    @overload
    def tool(self, function: None = None, **options: Any) -> Callable[[Function], Function]: ...
    def tool(self, function: Function | None = None, **options: Any) -> Any:
        """Let models call a function of the app; the server runs it.

        ::

            @llmchat.tool
            def find_orders(context: ToolContext, status: Literal["open", "sent"] = "open"):
                \"\"\"List the user's own orders, newest first.\"\"\"
                return [order.as_dict() for order in orders_of(context.profile.user, status)]

        Type hints and docstring tell the model how to call it. It runs with an app context of its
        own and without a request, in a thread or, if it is ``async``, on one event loop.

        :param options: those of :class:`Tool`: ``name``, ``when`` and others.
        :return: the function, unchanged.
        :raises TypeError: when the function cannot be a tool, saying what to write.
        :raises ValueError: for an invalid name, or one that another tool has.
        """
        if function is None:
            return lambda given: self.tool(given, **options)
        self.add_tools(Tool(function, **options))
        return function

    def add_tools(self, *tools: Tool) -> None:
        """Add tools that the server runs, at any time.

        :raises ValueError: when another tool has the name of one.
        """
        for tool in tools:
            if not isinstance(tool, Tool):
                raise TypeError(f"add_tools takes Tool objects, not {type(tool).__name__}")
            if self.hooks.tools.setdefault(tool.name, tool) is not tool:
                raise ValueError(f"there is a tool {tool.name!r} already: give one of them name=")

    def load_profile(self) -> Any:
        """Return the profile of the current user; a subclass may override this instead.

        :raises RuntimeError: when no loader is set.
        """
        if self.hooks.profile_loader is None:
            raise RuntimeError(
                "No profile loader is set, so no user can chat. Decorate the function that"
                " returns the current user's profile with @llmchat.profile_loader, or override"
                " load_profile() in a subclass of LLMChat."
            )
        return current_app.ensure_sync(self.hooks.profile_loader)()

    def complete(
        self,
        provider: str,
        messages: str | Sequence[Message],
        *,
        model: str,
        profile: Any = None,
        context: Mapping[str, Any] | None = None,
        endpoint_id: str | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **parameters: Any,
    ) -> ChatResult:
        """Run one chat to its end and return its result.

        It works in any app context: in a view, a command or a job. Hooks, keys, fallbacks,
        deadlines and ``chat_finished`` are those of every chat; ``chat.dialect`` is ``"python"``.
        ::

            title = llmchat.complete("openai", f"A title for: {text}", model="gpt-6-luna").text

        :param provider: name of the provider's row.
        :param messages: the conversation in the chat-completions form, or one question.
        :param model: the model's name.
        :param profile: whose keys are used; None asks the profile loader, which needs a request.
        :param context: for the app's own data, as in :attr:`ChatRequest.context`.
        :param endpoint_id: the user's own endpoint, for ``custom``.
        :param tools: the caller's own tools, in the chat-completions form; see ``tool_calls``.
        :param parameters: further parameters of chat completions: ``max_tokens=50``.
        :raises ChatError: when the chat is refused or fails, as over HTTP.
        :raises RuntimeError: without an app context, or when a loader needs a request.
        """
        parameters |= {"model": model, "tools": tools}
        with open_chat(
            state_of(self),
            provider,
            messages,
            parameters,
            profile=profile,
            context=context,
            endpoint_id=endpoint_id,
            whole=True,
        ) as chat:
            for _ in chat:
                pass
        return chat.result

    def stream(
        self,
        provider: str,
        messages: str | Sequence[Message],
        *,
        model: str,
        profile: Any = None,
        context: Mapping[str, Any] | None = None,
        endpoint_id: str | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **parameters: Any,
    ) -> ChatStream:
        """Run one chat and return its events as they come, as a context manager.

        ::

            with llmchat.stream("openai", "Why is the sky blue?", model="gpt-6-luna") as chat:
                for event in chat:
                    if isinstance(event, TextDelta):
                        print(event.text, end="")
            print(chat.result.usage)

        Leaving the block closes the upstream response. The arguments are those of
        :meth:`complete`. An error before the first event is raised here, a later one by the loop.
        """
        parameters |= {"model": model, "tools": tools}
        return open_chat(
            state_of(self),
            provider,
            messages,
            parameters,
            profile=profile,
            context=context,
            endpoint_id=endpoint_id,
        )

    def client(self, provider: str, *, profile: Any = None, model: str = "") -> openai.OpenAI:
        """Return the official client with this user's key and address.

        For embeddings, images, speech and files. Its requests are no chats: no hook sees them,
        and no ``chat_finished`` is sent.
        ::

            llmchat.client("openai").embeddings.create(model="text-embedding-3-small", input=text)

        :param provider: name of the provider's row.
        :param profile: whose key is used; None asks the profile loader, which needs a request.
        :param model: for providers whose address depends on it.
        :raises ChatError: when there is no such provider, or no key for it.
        """
        state = state_of(self)
        row = state.provider_named(provider)
        return user_client(state, row, profile_for(state, profile), model)

    def register(self, app: Flask, options: Any) -> None:
        """Refuse ``app.register_blueprint(llmchat)``, which calls this, and say what to write.

        :raises TypeError: always.
        """
        raise TypeError(
            "LLMChat is no blueprint but has one: write app.register_blueprint(llmchat.blueprint),"
            " or llmchat.init_app(app)."
        )

    def _set_up(self, setup: BlueprintSetupState) -> None:
        """Make one app's state and routes; runs when the blueprint is registered."""
        check_app(setup.app)
        app = cast(Flask, setup.app)
        config = Config.from_app_config(app.config)
        name = f"{setup.name_prefix}.{setup.name}".lstrip(".")
        if self._own_prefix is None and setup.options.get("url_prefix") is None:
            setup.url_prefix = config.url_prefix
        elif self._own_prefix is None and setup.name_prefix and setup.url_prefix is not None:
            # Under a parent, whose prefix Flask has put in front of the default one.
            parent = setup.url_prefix.removesuffix(_DEFAULT_PREFIX)
            if parent != setup.url_prefix:
                setup.url_prefix = parent + config.url_prefix
        prefix = (setup.url_prefix or "").rstrip("/")
        state = AppState(self, app, config, setup.subdomain or "", prefix)
        states: dict[str, AppState] = app.extensions.setdefault("llmchat", {})
        refuse_collision(state, name, states)
        states[name] = state
        got_request_exception.connect(close_failed, app)
        add_routes(setup, state)
