"""The table of an instance's routes: the blueprint and the OpenAPI document are made from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from flask.blueprints import BlueprintSetupState
from werkzeug.routing import PathConverter

from ..dialects.base import Dialect, Route, routes_of
from ..openapi.instance import RouteEntry
from .refusals import no_such_path_view, unknown_provider_view, wrong_method_view
from .state import AppState
from .stream_views import caller_routes, stream_routes
from .views import chat_view, route_view

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

# A route with its dialect, if it is one's own, and its view.
_Found = tuple[Dialect | None, Route, Callable[..., Any]]


def refuse_collision(state: AppState, name: str, others: Mapping[str, AppState]) -> None:
    """Refuse an instance whose routes another one has already: no request would reach it.

    :param name: name of its blueprint.
    :param others: the instances that the app has, by name.
    :raises RuntimeError: for that, naming both.
    """
    for other_name, other in others.items():
        both = other.providers.keys() & state.providers.keys()
        if (other.subdomain, other.prefix) == (state.subdomain, state.prefix) and both:
            raise RuntimeError(
                f"LLMChat {name!r} and {other_name!r} have the same routes, such as"
                f" {state.subdomain}{state.prefix}/{min(both)}, and only one of them would be"
                f" reached: give one a prefix of its own, as in LLMChat(name={name!r},"
                f" url_prefix='/{name}/chat')."
            )


class _AnyPath(PathConverter):
    """A path with any characters: in Werkzeug's own a line break has no place."""

    regex = r"[^/][\s\S]*?"


def add_routes(setup: BlueprintSetupState, state: AppState) -> None:
    """Make the table of one instance, and register its rules."""
    setup.app.url_map.converters["llmchat_id"] = _AnyPath
    state.routes = tuple(_entries(state))
    for entry in state.routes:
        # Entries of one rule differ in their methods alone.
        state.routes_by_rule.setdefault(state.prefix + entry.rule, entry)
        setup.add_url_rule(
            entry.rule,
            entry.endpoint,
            entry.view,
            methods=[*entry.methods],
            # Flask's own response to OPTIONS would allow all methods that have a rule here.
            provide_automatic_options=entry.purpose == "path",
            # Or a conversation "/a" would be sent to the stream of "a".
            merge_slashes=entry.purpose != "stream",
        )


def _decorated(state: AppState, view: Callable[..., Any]) -> Callable[..., Any]:
    for decorator in state.llmchat.decorators:
        view = decorator(view)
    return view


def _entries(state: AppState) -> Iterator[RouteEntry]:
    wrong_methods: dict[str, Callable[..., Any]] = {}
    of_all = [(None, *found) for found in caller_routes(state)]
    yield from _route_entries(state, of_all, {}, wrong_methods)
    for provider in state.providers.values():
        view = _decorated(state, chat_view(state, provider))
        # One endpoint for all paths of a provider: a limit or an exemption is for all of them.
        for path in reversed(state.paths):  # url_for() gives the first
            yield RouteEntry(
                rule=f"/{provider.name}{path}",
                endpoint=provider.name,
                methods=("POST",),
                view=view,
                purpose="chat",
                path=path,
                provider=provider,
            )
    # A served provider first: of two rules that match, Werkzeug takes the one that is added first.
    shared = tuple(_shared_entries(state, wrong_methods))
    if state.providers:
        served = "/<any({}):provider>".format(", ".join(f'"{name}"' for name in state.providers))
        yield from (replace(entry, rule=served + entry.rule) for entry in shared)
        view = no_such_path_view(state)
        # SDKs also look at such paths as /responses and /v1/chat/completions.
        for rest in ("/<path:rest>", "/"):
            yield RouteEntry(
                rule=served + rest,
                endpoint="_no_such_path",
                methods=_METHODS,
                view=view,
                purpose="path",
                path=None,
            )
    # Without a prefix these would take the host's paths: /<provider> is any page that is missing.
    if re.sub(r"<[^>]*>|/", "", state.prefix):
        # Nor any that begin with two variables: these could be paths of the host's as well.
        for entry in shared:
            if entry.dialect and not entry.rule.startswith("/<"):
                yield replace(entry, rule="/<provider>" + entry.rule)
        view = unknown_provider_view(state)
        for path in state.paths:
            yield RouteEntry(
                rule=f"/<provider>{path}",
                endpoint="_unknown_provider",
                methods=("POST",) if path else _METHODS,
                view=view,
                purpose="path",
                path=path,
            )


def _shared_entries(
    state: AppState, wrong_methods: dict[str, Callable[..., Any]]
) -> Iterator[RouteEntry]:
    """Give what stands behind each provider: routes of streams and dialects, and wrong methods."""
    found: list[_Found] = [(None, *of_streams) for of_streams in stream_routes(state)]
    of_streams = {route.path for _, route, _ in found}
    found += [
        (dialect, route, route_view(state, dialect, route))
        for dialect in state.llmchat.dialects
        for route in routes_of(dialect)
        if route.path not in of_streams
    ]
    chats = {path: ["POST"] for path in state.paths}
    yield from _route_entries(state, found, chats, wrong_methods)


def _route_entries(
    state: AppState,
    found: Iterable[_Found],
    methods: dict[str, list[str]],
    wrong_methods: dict[str, Callable[..., Any]],
) -> Iterator[RouteEntry]:
    """Give the entries of routes, and those for their wrong methods.

    :param methods: the methods of further paths.
    :param wrong_methods: the views for wrong methods, by their endpoints, which are added to.
    """
    owners: dict[str, Dialect | None] = {}
    for dialect, route, view in found:
        yield RouteEntry(
            rule=route.path,
            endpoint=f"_{route.name}",
            methods=route.methods,
            view=_decorated(state, view) if route.needs_profile else view,
            purpose="dialect" if dialect else "stream",
            dialect=dialect,
            route=route,
        )
        methods.setdefault(route.path, []).extend(route.methods)
        owners.setdefault(route.path, dialect)
    for path, allowed in methods.items():
        endpoint = "_".join(["_not", *allowed]).lower()
        if endpoint not in wrong_methods:
            wrong_methods[endpoint] = wrong_method_view(state, allowed)
        yield RouteEntry(
            rule=path,
            endpoint=endpoint,
            methods=[one for one in (*_METHODS, "OPTIONS") if one not in allowed],
            view=wrong_methods[endpoint],
            purpose="method",
            path=path,
            dialect=owners.get(path),
        )
