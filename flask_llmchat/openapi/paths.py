"""The paths of one instance in an OpenAPI document, and the components that they refer to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ..core.errors import ChatError
from ..dialects.base import Dialect, Route
from ..dialects.builtin import builtin_dialects
from ..dialects.json_schema import ANY_OBJECT, Components, DialectSpec, RouteSpec
from ..models import default_model
from ..providers import Provider
from .error_responses import PROFILE_ERRORS, ErrorDoc, chat_errors, content_of, error_content
from .instance import IDEMPOTENCY_KEY, JSON, PREFIX, STREAM_HEADERS, Instance

if TYPE_CHECKING:
    from .converter import SchemaConverter

_REQUEST_ID = {
    "description": "The id of the request and its chat, as in the app's log.",
    "schema": {"type": "string"},
}

_RETRY_AFTER = {
    "description": "When to retry, if that is known: seconds, or a date.",
    "schema": {"type": "string"},
}

_TYPES: dict[str, JSON] = {
    "int": {"type": "integer", "minimum": 0},
    "float": {"type": "number", "minimum": 0},
    "uuid": {"type": "string", "format": "uuid"},
    "path": {"type": "string", "pattern": r"^[^/\n][^\n]*$"},
}

_VARIABLE = re.compile(r"<(?:(?P<kind>\w+)(?:\([^)]*\))?:)?(?P<name>\w+)>")

Described = Sequence[tuple[Dialect, DialectSpec]]


class InstanceSpec:
    """What the document says of one instance.

    :param name: the name of its blueprint, with the names of the blueprints around it.
    """

    def __init__(self, name: str, instance: Instance) -> None:
        self._name = name
        self._instance = instance
        # Instances differ in their dialects: each has responses of its own, but shares schemas.
        self._own = "" if name == "llmchat" else _kind(name)
        self._schemas = _make_schemas(instance.config.max_messages)
        self._described: dict[str, Described] = {}
        self._responses: JSON = {}

    def components(self) -> dict[str, JSON]:
        """Return the components that :meth:`paths`, which comes first, refers to."""
        return {
            "schemas": self._schemas.all,
            "responses": self._responses,
            "headers": {f"{PREFIX}RequestID": _REQUEST_ID, f"{PREFIX}RetryAfter": _RETRY_AFTER},
        }

    def paths(self) -> JSON:
        """Return the routes, by their paths."""
        dialects = self._instance.llmchat.dialects
        specs = [(dialect, describe(dialect, self._schemas)) for dialect in dialects]
        shared: dict[str, JSON] = {}
        for path in self._instance.paths:
            self._described[path] = [found for found in specs if found[0].path == path]
            shared[path] = self._chat(path)
        paths: JSON = {}
        for rule, method, operation in self._operations(shared, specs):
            slug = re.sub(r"\W+", "_", f"{self._name}_{operation['operationId']}")
            route = self._instance.prefix + rule
            item = paths.setdefault(_VARIABLE.sub(r"{\g<name>}", route), {})
            item[method] = {**operation, "operationId": slug, "tags": [self._name]}
            if parameters := [_parameter(found) for found in _VARIABLE.finditer(route)]:
                item["parameters"] = parameters
        return dict(sorted(paths.items()))

    def _operations(
        self, shared: Mapping[str, JSON], specs: Described
    ) -> Iterator[tuple[str, str, JSON]]:
        """Give each chat and each route of a dialect's: rule, method, operation."""
        routes: dict[str, tuple[Route, JSON]] = {}
        resumable = self._instance.config.resumable
        for entry in self._instance.routes:
            if entry.purpose == "chat" and entry.provider and entry.path is not None:
                operation = {
                    "operationId": entry.provider.name + entry.path,
                    "summary": f"Chat with {entry.provider.label}" + _named(entry.path),
                    **({"parameters": [IDEMPOTENCY_KEY]} if resumable else {}),
                    "requestBody": self._body(entry.path, entry.provider),
                    **shared[entry.path],
                }
                yield entry.rule, "post", operation
            elif entry.route and entry.route.name not in routes:
                described = [found for found in specs if found[0] is entry.dialect]
                operation = self._route(entry.route, described or self._described[""])
                if entry.rule == entry.route.path:  # it is not behind a provider
                    operation = {"operationId": entry.route.name, **operation}
                    yield entry.rule, entry.methods[0].lower(), operation
                else:
                    routes[entry.route.name] = entry.route, operation
        for provider in self._instance.providers.values():
            for route, operation in routes.values():
                for method in route.methods:
                    own = {"operationId": f"{provider.name}_{route.name}", **operation}
                    own["summary"] = operation["summary"].replace("{label}", provider.label)
                    if method != route.methods[0]:
                        own["operationId"] += f"_{method.lower()}"
                    yield f"/{provider.name}{route.path}", method.lower(), own

    def _body(self, path: str, provider: Provider) -> JSON:
        """Return the request body of a provider's chats."""
        own = {
            name: {"description": f"A parameter of {provider.label}'s own, sent there as it is."}
            for name in sorted(provider.extra_params)
        }
        config = self._instance.config
        known = config.models.get(provider.name, ())
        model = default_model(provider.catalogue, known) or "model-name"
        schemas, examples, name = [], {}, f"{self._own}{_kind(path)}Body"
        for dialect, spec in self._described[path]:
            schema = spec.body
            if own and spec.takes_extra_params:
                schema = self._schemas.widened(schema, own, provider.name)
                name = f"{self._own}{_kind(path)}Body_{provider.name}"
            schemas.append(schema)
            if spec.example:
                examples[dialect.name] = {"value": spec.example(model)}
        if len(schemas) > 1:
            # No body is valid in two built-in dialects; of others this is not known.
            ours = {dialect for dialect, _ in self._described[path]} <= {*builtin_dialects}
            schema = self._schemas.add_schema(name, {"oneOf" if ours else "anyOf": schemas})
        content = {"schema": schema, **({"examples": examples} if examples else {})}
        return {
            "description": f"At most {config.max_content_length} bytes. It is read whatever its"
            " Content-Type says.",
            "required": True,
            "content": {"application/json": content},
        }

    def _chat(self, path: str) -> JSON:
        """Return what the chats of all providers on this path share."""
        described = self._described[path]
        headers: JSON = {"X-Request-ID": _header("RequestID")}
        for _, spec in described:
            headers |= spec.headers
        if self._instance.config.resumable:
            headers |= STREAM_HEADERS
        response = {
            "description": "The response, from its first byte on. Its media type depends on the"
            " body, and on `Accept` where that names one of these.",
            "headers": headers,
            "content": content_of(item for _, spec in described for item in spec.responses.items()),
        }
        kind = _kind(path)
        complete = {"200": self._response(f"{kind}Answer", response)}
        errors = chat_errors(resumable=self._instance.config.resumable)
        return {"responses": {**complete, **self._errors(kind, described, errors)}}

    def _route(self, route: Route, described: Described) -> JSON:
        """Return the operation of a dialect's own route."""
        spec = route.describe(self._schemas) if route.describe else RouteSpec(summary=route.name)
        errors = {
            str(error.status): ErrorDoc(when, error.message, error.code)
            for when, error in spec.errors.items()
        }
        if route.needs_profile:
            errors |= PROFILE_ERRORS
        response: JSON = {"description": spec.response}
        if spec.headers:
            response["headers"] = {**spec.headers}
        if spec.content:
            response["content"] = content_of(spec.content.items())
        operation: JSON = {"summary": spec.summary}
        if spec.description:
            operation["description"] = spec.description
        if spec.parameters:
            operation["parameters"] = [*spec.parameters]
        if spec.body is not None:
            content = {"application/json": {"schema": spec.body}}
            operation["requestBody"] = {"required": False, "content": content}
        operation["responses"] = {
            str(spec.status): response,
            **({"204": {"description": spec.empty}} if spec.empty else {}),
            **self._errors(_kind(route.name), described, errors),
        }
        return operation

    def _response(self, name: str, response: JSON) -> JSON:
        """Add a response; return a reference to it."""
        name = f"{PREFIX}{self._own}{name}"
        self._responses[name] = response
        return {"$ref": f"#/components/responses/{name}"}

    def _errors(self, kind: str, described: Described, docs: Mapping[str, ErrorDoc]) -> JSON:
        """Add the responses for errors; return references to them, by status."""
        headers = {"X-Request-ID": _header("RequestID"), "Retry-After": _header("RetryAfter")}
        for _, spec in described:
            headers |= spec.error_headers
        errors, most = {}, self._instance.config.max_content_length
        for status, doc in docs.items():
            response = {
                "description": doc.when.format(most=most),
                "headers": headers,
                "content": error_content(status, doc, described, most),
            }
            errors[status] = self._response(f"{kind}{status.capitalize()}", response)
        return errors


def describe(dialect: Dialect, components: Components) -> DialectSpec:
    """Return what the document says of a dialect.

    Of one without a ``describe`` method, that is what its attributes show.
    """
    if hasattr(dialect, "describe"):
        described: DialectSpec = dialect.describe(components)
        return described
    _, mimetype, _ = dialect.error(ChatError("Any."), "")
    return DialectSpec(body=ANY_OBJECT, responses={dialect.mimetype: {}}, errors={mimetype: {}})


def _named(path: str) -> str:
    """Return what distinguishes the chats of one provider: nothing, or `: chat completions`."""
    words = re.findall(r"\w+", path)
    return f": {' '.join(words)}" if words else ""


def _kind(path: str) -> str:
    return "".join(word.capitalize() for word in re.findall("[A-Za-z0-9]+", path))


def _parameter(found: re.Match[str]) -> JSON:
    schema = _TYPES.get(found["kind"] or "", {"type": "string", "minLength": 1})
    return {"name": found["name"], "in": "path", "required": True, "schema": schema}


def _header(name: str) -> JSON:
    return {"$ref": f"#/components/headers/{PREFIX}{name}"}


def _make_schemas(max_messages: int) -> SchemaConverter:
    try:
        from .converter import SchemaConverter
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "apispec":
            raise
        raise RuntimeError("This needs apispec: pip install 'flask-llmchat[openapi]'") from None
    return SchemaConverter(max_messages)
