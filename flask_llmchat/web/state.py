"""The state of an instance in one app: its settings, its providers, and its hooks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from blinker import NamedSignal
from flask import Flask, current_app, has_request_context, request
from werkzeug.exceptions import HTTPException
from werkzeug.local import LocalProxy

from ..core.addresses import safe_repr
from ..core.caller import Caller, as_caller
from ..core.config import Config
from ..core.errors import ChatError
from ..core.profiles import read_text
from ..core.request import ChatRequest, Endpoint
from ..core.result import ChatResult, Step
from ..core.signals import chat_finished, chat_started, tool_finished
from ..openapi.instance import RouteEntry
from ..protocols import check_protocols
from ..providers import Provider
from ..runs.tool_runner import ToolRunner
from .approvals import approvals_for, may_offer
from .missing_key import why_no_key
from .streams import Streams
from .tools import definitions, with_loaded

if TYPE_CHECKING:
    from ..extension import LLMChat


logger = logging.getLogger("flask_llmchat")

_MAX_WARNINGS = 100  # that are logged once


class AppState:
    """One instance in one app: its settings, its providers, and how its hooks are called.

    :param name: name of its blueprint.
    :param subdomain: the subdomain that its routes are under; "" for none.
    :param prefix: what stands in front of the provider's name in every rule.
    :ivar config: the app's settings, checked.
    :ivar providers: the providers served here, by name.
    :ivar streams: the responses that are kept.
    :ivar paths: what may follow a provider in a chat's path, the longest first.
    :ivar routes: the table of its routes.
    :ivar routes_by_rule: the same by their whole rules, which is how a request finds its entry.
    :raises ValueError: for a configuration value that is wrong, naming it.
    """

    def __init__(
        self, llmchat: LLMChat, app: Flask, config: Config, name: str, subdomain: str, prefix: str
    ) -> None:
        self.llmchat = llmchat
        self.hooks = llmchat.hooks
        self.app = app
        self.config = config
        self.subdomain = subdomain
        self.prefix = prefix
        self.routes: Sequence[RouteEntry] = ()
        self.routes_by_rule: dict[str, RouteEntry] = {}
        self._warned: set[str] = set()
        known = llmchat.providers
        for key, names in (
            ("LLMCHAT_PROVIDERS", config.providers or ()),
            ("LLMCHAT_BASE_URLS", config.base_urls),
            ("LLMCHAT_PROTOCOLS", config.protocols),
            ("LLMCHAT_MODELS", config.models),
            ("LLMCHAT_FALLBACKS", {*config.fallbacks, *chain(*config.fallbacks.values())}),
        ):
            if unknown := [name for name in names if name not in known]:
                raise ValueError(
                    f"{key} names {', '.join(map(safe_repr, unknown))};"
                    f" available are {', '.join(known)}"
                )
        served = config.providers if config.providers is not None else known
        self.providers = {name: known[name] for name in served}
        for provider in self.providers.values():
            check_protocols(provider)
        named = [("LLMCHAT_PROTOCOLS", *item) for item in config.protocols.items()]
        for name, models in config.models.items():
            found = (facts.get("protocol") for facts in models.values())
            named += [("LLMCHAT_MODELS", name, protocol) for protocol in found if protocol]
        for key, name, protocol in named:
            try:
                known[name].speaking(protocol)
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None
        for failed, others in config.fallbacks.items():
            for name in others:
                if name == failed or name not in self.providers or known[name].public_only:
                    raise ValueError(
                        f"LLMCHAT_FALLBACKS[{failed!r}] names {name!r}, which cannot be one"
                    )
        self.streams = Streams(self, name)
        self.paths = sorted({dialect.path for dialect in llmchat.dialects}, key=len, reverse=True)

    def current_route(self) -> RouteEntry | None:
        """Return the entry of the current request; None for a route that the host added."""
        return self.routes_by_rule.get(request.url_rule.rule) if request.url_rule else None

    def provider_named(self, name: str) -> Provider:
        """Return the row of a provider.

        :raises ChatError: with status 404, when it is not served.
        """
        if name not in self.providers:
            raise self.unknown_provider(name)
        return self.providers[name]

    def unknown_provider(self, name: str) -> ChatError:
        """Return the error for a provider that is not served here."""
        available = ", ".join(self.providers)
        return ChatError(
            f"Unknown provider {safe_repr(name[:50])}. Available: {available}.", status=404
        )

    def require_profile(self) -> Any:
        """Return the profile of the user, from the host's loader.

        :raises ChatError: with status 401, when the loader returns None.
        """
        profile = self.app.ensure_sync(self.llmchat.load_profile)()
        if profile is None:
            raise ChatError("Profile not found", "no_permission", status=401)
        return profile

    def load_caller(self, profile: Any) -> Caller | None:
        """Return whose chat it is; None without a caller loader."""
        if (loader := self.hooks.caller_loader) is None:
            return None
        return as_caller(self.app.ensure_sync(loader)(profile), "caller_loader")

    def resolve_key(self, provider: Provider, profile: Any) -> str:
        """Return the key for a provider; "" when there is none."""
        if (resolver := self.hooks.key_resolver) is not None:
            key = self.app.ensure_sync(resolver)(provider.name, profile) or ""
            if not isinstance(key, str):
                raise TypeError(
                    f"key_resolver must return a string or None, not {type(key).__name__}"
                )
            return key
        return read_text(profile, provider.key_attr) if provider.key_attr else ""

    def why_no_key(self, provider: Provider, profile: Any) -> str:
        """Return why there is no key for a provider, for the app's developer."""
        if self.hooks.key_resolver is not None:
            return f"key_resolver returned no key for {provider.name!r}."
        return why_no_key(provider, profile, self.app.config)

    def load_endpoint(self, endpoint_id: str | None) -> Any:
        """Return the endpoint of this id, or None."""
        loader = self.hooks.endpoint_loader
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
        self._run_hooks("before_chat", self.hooks.before_chat, chat)

    def _run_hooks(self, kind: str, hooks: Iterable[Callable[..., Any]], *arguments: Any) -> None:
        for hook in hooks:
            returned = self.app.ensure_sync(hook)(*arguments)
            if returned is not None:  # Flask's own before_request refuses in this way
                raise TypeError(
                    f"the {kind} hook {getattr(hook, '__qualname__', hook)} returned a"
                    f" {type(returned).__name__}, and it has to return nothing: to refuse a chat,"
                    " call abort() or raise ChatError; to change it, change the chat it is given"
                )

    def offer_tools(self, chat: ChatRequest, *, may_ask: bool) -> None:
        """Set the tools that the server runs for a chat.

        :param may_ask: whether the client can ask the user to approve calls.
        """
        takes_none = "tools" in self.providers[chat.provider].unsupported_params
        if self.config.tool_steps == 1 or takes_none:
            return
        tools, sync = self.hooks.tools, self.app.ensure_sync
        if (loader := self.hooks.tools_loader) is not None:
            tools = with_loaded(tools, sync(loader)(chat), chat)
        wanted = chat.settings.get("serverTools")
        chat.server_tools = {
            name: tool
            for name, tool in tools.items()
            if (wanted is None or name in wanted)
            and may_offer(self, tool, chat, may_ask=may_ask)
            and (tool.when is None or sync(tool.when)(chat))
        }

    def tool_definitions(self, chat: ChatRequest) -> list[dict[str, Any]]:
        """Return the server's tools for a chat, in the form of chat completions.

        :raises ChatError: with status 422, when a tool of the client's has the name of one.
        """
        return definitions(chat)

    def tool_runner(self, chat: ChatRequest, deadline: float, *, may_ask: bool) -> ToolRunner:
        """Return a new runner of the server's tools for a chat."""
        from ..tools.runner import Runner

        return Runner(
            chat.server_tools.values(),
            chat,
            self.config,
            approvals=approvals_for(self, chat, may_ask=may_ask),
            enter=self.app.app_context,
            finished=lambda run: self.send_signal(tool_finished, run=run),
            deadline=deadline,
        )

    def run_before_step(self, chat: ChatRequest, steps: tuple[Step, ...]) -> None:
        """Let every ``before_step`` hook see, change or refuse a further step of a chat.

        :raises ChatError: also for a hook that has called ``abort()``.
        """
        try:
            with self.app.app_context():
                self._run_hooks("before_step", self.hooks.before_step, chat, steps)
        except HTTPException as error:
            raise self.refusal(error) from error

    def warn_once(self, message: str) -> None:
        """Log, once in a process, what only the app's developer can fix."""
        if message not in self._warned and len(self._warned) < _MAX_WARNINGS:
            self._warned.add(message)
            logger.warning("%s", message)

    def send_signal(self, signal: NamedSignal, **kwargs: Any) -> None:
        """Send a signal to all receivers, also when one of them fails."""
        for receiver in signal.receivers_for(self.app):
            try:
                receiver(self.app, **kwargs)
            except Exception:
                logger.exception("a receiver of %s failed", signal.name)

    def chat_started(self, chat: ChatRequest) -> None:
        """Send the ``chat_started`` signal."""
        self.send_signal(chat_started, chat=chat)

    def refusal(self, error: BaseException) -> ChatError:
        """Return what a hook's exception means for the chat: ``abort(403)`` is a 403."""
        if isinstance(error, ChatError):
            return error
        if not isinstance(error, HTTPException):
            return ChatError.of("internal")
        status = error.response.status_code if error.response else error.code
        return ChatError.from_status(status or 500, error.description or "")

    def chat_finished(self, result: ChatResult) -> None:
        """Send the ``chat_finished`` signal, in an app context of its own."""
        try:
            with self.app.app_context():
                self.send_signal(chat_finished, result=result)
        except Exception:  # the response is complete all the same
            logger.exception("a teardown function of the app failed after chat_finished")


def current_state() -> AppState:
    """Return the state of the instance that serves this request, or of the app's only one.

    :raises RuntimeError: when there is none, or there are several.
    """
    states: dict[str, AppState] = current_app.extensions.get("llmchat", {})
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


def state_of(llmchat: LLMChat) -> AppState:
    """Return an instance's state in the current app.

    :raises RuntimeError: without an app context, or when the app has not registered it.
    """
    states: dict[str, AppState] = current_app.extensions.get("llmchat", {})
    for state in states.values():
        if state.llmchat is llmchat:
            return state
    raise RuntimeError(
        "The current app has not registered this LLMChat: register llmchat.blueprint with it,"
        " or call llmchat.init_app(app)."
    )


current_llmchat: AppState = LocalProxy(current_state)  # type: ignore[assignment]
"""The :class:`AppState` of the current app (or, in a request, of the instance serving it)."""
