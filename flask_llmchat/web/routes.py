"""Which routes one instance has in one app."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from flask.blueprints import BlueprintSetupState

from .models import add_models
from .negotiation import COMPLETIONS
from .responses import no_stream
from .views import chat_view

if TYPE_CHECKING:
    from .state import AppState


_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def where(setup: BlueprintSetupState) -> str:
    """Return what stands in front of the provider's name in every route."""
    return f"{setup.subdomain or ''}{(setup.url_prefix or '').rstrip('/')}"


def refuse_collision(state: AppState, name: str, others: Mapping[str, AppState]) -> None:
    """Refuse an instance whose routes another one has already: it would never be reached.

    :param name: of its blueprint.
    :param others: the instances that the app has, by name.
    :raises RuntimeError: for that, naming both.
    """
    for other_name, other in others.items():
        both = other.providers.keys() & state.providers.keys()
        if other.where == state.where and both:
            raise RuntimeError(
                f"LLMChat {name!r} and {other_name!r} have the same routes, such as"
                f" {state.where}/{min(both)}, and only one of them would be reached: give one a"
                f" prefix of its own, as in LLMChat(name={name!r}, url_prefix='/{name}/chat')."
            )


def add_routes(
    setup: BlueprintSetupState, state: AppState, decorated: Callable[[Any], Any]
) -> None:
    """Add the routes of one instance.

    :param decorated: puts the host's decorators around a view.
    """
    for provider in state.providers.values():
        view = decorated(chat_view(state, provider))
        # One endpoint for all paths: who limits or exempts it does so for all of them.
        for path in reversed(state.paths):  # url_for() gives the first
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
            f"/{provider.name}/<chat_id>/stream",
            "_no_stream",
            no_stream,
            methods=["GET", "OPTIONS"],
            provide_automatic_options=False,
        )
    starts = []
    if state.providers:
        served = ", ".join(f'"{name}"' for name in state.providers)
        starts.append(f"/<any({served}):provider>")
        # /responses and /v1/chat/completions are where some SDKs look first.
        for rule in (f"{starts[0]}/<path:rest>", f"{starts[0]}/"):
            setup.add_url_rule(rule, "_no_such_path", state.no_such_path, methods=_METHODS)
    # Without a prefix these would answer for any page of the host's that is not there.
    if re.sub(r"<[^>]*>|/", "", setup.url_prefix or ""):
        starts.append("/<provider>")
        for path in state.paths:
            setup.add_url_rule(
                f"/<provider>{path}",
                "_unknown_provider",
                state.unknown_provider,
                methods=["POST"] if path else _METHODS,
            )
    if COMPLETIONS in state.paths:
        add_models(setup, state, starts, decorated)
