"""What an OpenAPI document says of one instance: its routes, and what they refer to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..core.errors import ChatError
from ..dialects.base import Dialect
from ..dialects.builtin import builtin_dialects
from ..dialects.json_schema import ANY_OBJECT, TEXT, Components, DialectSpec, const, object_schema
from ..models.lookup import default_model
from ..web.negotiation import COMPLETIONS
from .error_responses import (
    CHAT_ERRORS,
    MODEL_ERRORS,
    MODELS_ERRORS,
    ErrorDoc,
    content_of,
    error_content,
)

if TYPE_CHECKING:
    from werkzeug.routing import Rule

    from ..providers.provider import Provider
    from ..web.state import AppState
    from .converter import SchemaConverter


def describe(dialect: Dialect, components: Components) -> DialectSpec:
    """Return what an OpenAPI document tells of a dialect.

    One without a ``describe`` method of its own is asked for what can be seen of it.
    """
    if hasattr(dialect, "describe"):
        described: DialectSpec = dialect.describe(components)
        return described
    _, mimetype, _ = dialect.error(ChatError("Any."), "")
    return DialectSpec(body=ANY_OBJECT, answers={dialect.mimetype: {}}, errors={mimetype: {}})


JSON = dict[str, Any]


_PREFIX = "LLMChat"


_REQUEST_ID = {
    "description": "The chat's id, as in the app's log.",
    "schema": {"type": "string"},
}


_RETRY_AFTER = {
    "description": "When to ask again, if anybody said: seconds, or a date.",
    "schema": {"type": "string"},
}


_MODEL = object_schema(
    "A model that is known here. Others can be asked for just the same.",
    id=TEXT,
    object=const("model"),
    created={"type": "integer"},
    owned_by={"type": "string", "description": "The provider."},
)


_TYPES: dict[str, JSON] = {
    "int": {"type": "integer", "minimum": 0},
    "float": {"type": "number", "minimum": 0},
    "uuid": {"type": "string", "format": "uuid"},
    "path": {"type": "string", "pattern": r"^[^/\n][^\n]*$"},
}


_SERVED = re.compile(r"<any\([^)]*\):provider>")


_VARIABLE = re.compile(r"<(?:(?P<kind>\w+)(?:\([^)]*\))?:)?(?P<name>\w+)>")


class InstanceSpec:
    """What the document says of one instance.

    :param name: its blueprint's, with those of the blueprints around it.
    """

    def __init__(self, name: str, state: AppState) -> None:
        self._name = name
        self._state = state
        # Two instances speak differently: each has components of its own, but for the schemas.
        self._own = "" if name == "llmchat" else _kind(name)
        self._schemas = _make_schemas(state.config.max_messages)
        self._described: dict[str, list[tuple[Dialect, DialectSpec]]] = {}
        self._told: dict[str, JSON] = {}
        self._responses: JSON = {}

    def components(self) -> dict[str, JSON]:
        """Return what the paths refer to; :meth:`paths` comes first."""
        return {
            "schemas": self._schemas.all,
            "responses": self._responses,
            "headers": {f"{_PREFIX}RequestID": _REQUEST_ID, f"{_PREFIX}RetryAfter": _RETRY_AFTER},
        }

    def paths(self) -> JSON:
        """Return the routes, by their paths."""
        for path in self._state.paths:
            dialects = [one for one in self._state.llmchat.dialects if one.path == path]
            self._described[path] = [(one, describe(one, self._schemas)) for one in dialects]
            self._told[path] = self._chat(path)
        paths: JSON = {}
        for rule in self._state.app.url_map.iter_rules():
            blueprint, _, endpoint = rule.endpoint.rpartition(".")
            if blueprint != self._name:
                continue
            for route, method, operation in self._operations(rule, endpoint):
                slug = re.sub(r"\W+", "_", operation["operationId"])
                spec_part: JSON = {method: {**operation, "operationId": slug, "tags": [self._name]}}
                if parameters := [_parameter(found) for found in _VARIABLE.finditer(route)]:
                    spec_part["parameters"] = parameters
                paths[_VARIABLE.sub(r"{\g<name>}", route)] = spec_part
        return dict(sorted(paths.items()))

    def _operations(self, rule: Rule, endpoint: str) -> Iterator[tuple[str, str, JSON]]:
        """Give what a rule of the app's serves: route, method, operation.

        Nothing for one that tells of a wrong method, or of a provider that is not served.
        """
        providers = self._state.providers
        if endpoint in providers and "POST" in (rule.methods or ()):
            path = next(path for path in self._state.paths if rule.rule.endswith(path))
            operation = {
                "operationId": f"{self._name}_{endpoint}{path}",
                "summary": f"Chat with {providers[endpoint].label}" + _named(path),
                "requestBody": self._body(path, providers[endpoint]),
                **self._told[path],
            }
            yield rule.rule, "post", operation
        elif endpoint == "_models" and _SERVED.search(rule.rule):
            one = rule.rule.endswith("<path:model>")
            for name, row in providers.items():
                operation = {
                    "operationId": f"{self._name}_{name}_model{'' if one else 's'}",
                    "summary": f"A model of {row.label}" if one else f"The models of {row.label}",
                    **self._models(one),
                }
                yield _SERVED.sub(name, rule.rule), "get", operation
        elif endpoint == "_no_stream":
            name = rule.rule.split("/")[-3]
            yield rule.rule, "get", {"operationId": f"{self._name}_{name}_stream", **_NO_STREAM}

    def _body(self, path: str, provider: Provider) -> JSON:
        """Return what a provider's route takes."""
        own = {
            name: {"description": f"A parameter of {provider.label}'s own, sent there as it is."}
            for name in sorted(provider.extra_params)
        }
        known = self._state.config.models.get(provider.name, ())
        model = default_model(provider.catalogue, known) or "model-name"
        schemas, examples, name = [], {}, f"{self._own}{_kind(path)}Body"
        for dialect, spec_part in self._described[path]:
            schema = spec_part.body
            if own and spec_part.takes_own:
                schema = self._schemas.widened(schema, own, provider.name)
                name = f"{self._own}{_kind(path)}Body_{provider.name}"
            schemas.append(schema)
            if spec_part.example:
                examples[dialect.name] = {"value": spec_part.example(model)}
        if len(schemas) > 1:
            # No body is right for two of those that are built in; of others nobody knows that.
            ours = {one for one, _ in self._described[path]} <= {*builtin_dialects}
            schema = self._schemas.add_schema(name, {"oneOf" if ours else "anyOf": schemas})
        most = self._state.config.max_content_length
        content = {"schema": schema, **({"examples": examples} if examples else {})}
        return {
            "description": f"At most {most} bytes. It is read whatever its Content-Type says.",
            "required": True,
            "content": {"application/json": content},
        }

    def _chat(self, path: str) -> JSON:
        """Return what the operations of all providers' routes that end with this path share."""
        spec_part = [spec_part for _, spec_part in self._described[path]]
        headers: JSON = {"X-Request-ID": _header("RequestID")}
        for one in spec_part:
            headers |= one.headers
        kind = _kind(path)
        answer = {
            "description": "The answer, from its first byte on. What the request is, and its"
            " `Accept` where that names one of these, say which.",
            "headers": headers,
            "content": content_of(item for one in spec_part for item in one.answers.items()),
        }
        answered = {"200": self._response(f"{kind}Answer", answer)}
        return {"responses": {**answered, **self._errors(kind, path, CHAT_ERRORS)}}

    def _response(self, name: str, response: JSON) -> JSON:
        """Add a response; return a reference to it."""
        name = f"{_PREFIX}{self._own}{name}"
        self._responses[name] = response
        return {"$ref": f"#/components/responses/{name}"}

    def _errors(self, kind: str, path: str, statuses: Mapping[str, ErrorDoc]) -> JSON:
        headers = {
            "X-Request-ID": _header("RequestID"),
            "Retry-After": _header("RetryAfter"),
        }
        for _, described in self._described[path]:
            headers |= described.error_headers
        errors = {}
        for status, spec_part in statuses.items():
            spec_part = spec_part.with_limit(self._state.config.max_content_length)
            response = {
                "description": spec_part.when,
                "headers": headers,
                "content": error_content(status, spec_part, self._described[path]),
            }
            errors[status] = self._response(f"{kind}{status.capitalize()}", response)
        return errors

    def _models(self, one: bool) -> JSON:
        """Return the operation that lists models, or tells of one."""
        model = self._schemas.add_schema("Model", _MODEL)
        items = {"type": "array", "items": model}
        listed = object_schema("The models that are known here.", object=const("list"), data=items)
        answer = {
            "description": "What is known of it." if one else "Those that are known.",
            "content": {
                "application/json": {
                    "schema": model if one else self._schemas.add_schema("Models", listed)
                }
            },
        }
        errors = self._errors("Models", COMPLETIONS, MODEL_ERRORS if one else MODELS_ERRORS)
        return {"responses": {"200": answer, **errors}}


def _named(path: str) -> str:
    """Return what tells the routes of one provider apart: nothing, or `: chat completions`."""
    words = re.findall(r"\w+", path)
    return f": {' '.join(words)}" if words else ""


def _kind(path: str) -> str:
    return "".join(const.capitalize() for const in re.findall("[A-Za-z0-9]+", path))


def _parameter(found: re.Match[str]) -> JSON:
    schema = _TYPES.get(found["kind"] or "", {"type": "string", "minLength": 1})
    return {"name": found["name"], "in": "path", "required": True, "schema": schema}


_NO_STREAM: JSON = {
    "summary": "No stream to resume",
    "description": "For pages that ask whether an answer is still being written. A stream ends"
    " when its reader leaves.",
    "responses": {"204": {"description": "There is none, whatever the chat."}},
}


def _header(name: str) -> JSON:
    return {"$ref": f"#/components/headers/{_PREFIX}{name}"}


def _make_schemas(max_messages: int) -> SchemaConverter:
    try:
        from .converter import SchemaConverter
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "apispec":
            raise
        raise RuntimeError("This needs apispec: pip install 'flask-llmchat[openapi]'") from None
    return SchemaConverter(max_messages)
