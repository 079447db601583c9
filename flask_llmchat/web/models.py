"""The models of a provider, where OpenAI's SDKs look for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue

from ..core.errors import ChatError
from ..models.lookup import models_of
from .responses import error_response, unknown_provider, wrong_method
from .views import load_profile

if TYPE_CHECKING:
    from .state import AppState


def add_models(
    setup: BlueprintSetupState, state: AppState, starts: list[str], decorated: Callable[[Any], Any]
) -> None:
    """Add the routes of all providers that are served, and one to say that another is not.

    :param starts: how these routes begin.
    :param decorated: puts the host's decorators around a view.
    """
    view = decorated(models_view(state))

    def not_get(provider: str, model: str = "") -> ResponseReturnValue:
        return wrong_method(state.negotiate().error, "GET, HEAD")

    for start in starts:
        for path in (f"{start}/models", f"{start}/models/<path:model>"):
            for methods, endpoint, function in (
                (["GET"], "_models", view),
                (["POST", "PUT", "PATCH", "DELETE", "OPTIONS"], "_not_get", not_get),
            ):
                setup.add_url_rule(
                    path,
                    endpoint,
                    function,
                    methods=methods,
                    provide_automatic_options=False,
                )


def models_view(state: AppState) -> Callable[..., ResponseReturnValue]:
    """Return the view that lists the models of a provider, or tells of one of them."""

    def view(provider: str, model: str | None = None) -> ResponseReturnValue:
        dialect = state.negotiate().error
        if provider not in state.providers:
            return unknown_provider(state.providers, dialect)
        try:
            load_profile(state)
            models = _models(state, provider)
            if model is None:
                return {"object": "list", "data": list(models.values())}
            if model not in models:
                label = state.providers[provider].label
                raise ChatError(
                    f"{label} is not known here to have this model. Ask for it: it may.",
                    "model_not_found",
                )
            return models[model]
        except ChatError as error:
            return error_response(dialect, error)

    view.__name__ = view.__qualname__ = "list_models"
    return view


def _models(state: AppState, provider: str) -> dict[str, dict[str, Any]]:
    own = state.config.models.get(provider, {})
    # Nobody says when a model was made, and the SDKs want a number.
    return {
        name: {"id": name, "object": "model", "created": 0, "owned_by": provider}
        for name in {**models_of(state.providers[provider].catalogue), **own}
    }
