"""The ``openai`` dialect's routes for models, where OpenAI's SDKs look for them.

https://platform.openai.com/docs/api-reference/models
"""

from __future__ import annotations

from typing import Any

from ...core.errors import ChatError
from ...models import models_of
from ..base import Route, RouteRequest, RouteResponse
from ..json_schema import TEXT, Components, RouteSpec, const, object_schema
from .envelope import dump

_MODEL = object_schema(
    "A model in the catalogue. Chats may use other models as well.",
    id=TEXT,
    object=const("model"),
    created={"type": "integer"},
    owned_by={"type": "string", "description": "The provider."},
)
_UNKNOWN = "This model is not in the catalogue of {label}; it may still be available."


def _list_models(request: RouteRequest) -> RouteResponse:
    return RouteResponse(dump({"object": "list", "data": list(_models(request).values())}))


def _get_model(request: RouteRequest) -> RouteResponse:
    model = _models(request).get(request.values["model"])
    if model is None:
        raise ChatError(_UNKNOWN.format(label=request.provider.label), "model_not_found")
    return RouteResponse(dump(model))


def _models(request: RouteRequest) -> dict[str, dict[str, Any]]:
    # The catalogue does not know when a model was made, and the SDKs require a number.
    owner = request.provider.name
    return {
        name: {"id": name, "object": "model", "created": 0, "owned_by": owner}
        for name in {**models_of(request.provider.catalogue), **request.models}
    }


def _describe_list(components: Components) -> RouteSpec:
    items = {"type": "array", "items": components.add_schema("Model", _MODEL)}
    models = object_schema("The models in the catalogue.", object=const("list"), data=items)
    return RouteSpec(
        summary="The models of {label}",
        response="The models in the catalogue.",
        content={"application/json": components.add_schema("Models", models)},
    )


def _describe_model(components: Components) -> RouteSpec:
    unknown = ChatError(_UNKNOWN.format(label="OpenAI"), "model_not_found")
    return RouteSpec(
        summary="A model of {label}",
        response="The model.",
        content={"application/json": components.add_schema("Model", _MODEL)},
        errors={"The model is not in the catalogue; it may still be available.": unknown},
    )


MODELS_ROUTES = (
    Route("/models", "models", _list_models, describe=_describe_list),
    Route("/models/<path:model>", "model", _get_model, describe=_describe_model),
)
