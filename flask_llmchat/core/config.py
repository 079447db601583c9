"""The settings: one row each, with name, default, marshmallow field and description.

Values are read from ``app.config`` and checked when the blueprint is registered, so that a
mistake stops the app at its start, and not a chat later.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any, get_type_hints

import marshmallow as ma

from .addresses import read_address, safe_repr
from .fields import StrictBoolean, StrictNumber
from .model import Model

logger = logging.getLogger("flask_llmchat")


class _Adapted(ma.fields.Field[Any]):
    """A field whose value is converted before or after deserializing (in marshmallow from 4.3)."""

    def __init__(self, inner: Any, *, before: Any = None, after: Any = None) -> None:
        super().__init__(allow_none=inner.allow_none, error_messages=inner.error_messages)
        self._inner, self._before, self._after = inner, before, after

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        loaded: Any = self._inner.deserialize(self._before(value) if self._before else value)
        return self._after(loaded) if self._after else loaded


class _Mapping(ma.fields.Dict):
    """A mapping whose errors are listed by the key whose value is wrong."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return super()._deserialize(value, *args, **kwargs)  # type: ignore[no-untyped-call]
        except ma.ValidationError as error:
            if not isinstance(error.messages, dict):
                raise
            if any("key" in found for found in error.messages.values()):
                raise self.make_error("invalid") from None
            messages = {name: found["value"] for name, found in error.messages.items()}
            raise ma.ValidationError(messages) from None


class _Address(ma.fields.Field[str]):
    """The base URL of an API, as people paste it."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise ma.ValidationError("must be an http(s) URL")
        try:
            return str(read_address(value))
        except ValueError as error:
            raise ma.ValidationError(str(error)) from None


def _must_be(what: str, inner: Any, is_valid: Callable[[Any], Any] | None = None) -> Any:
    """Return a field with one and the same message for every invalid value."""
    message = f"must be {what}"
    inner.error_messages = dict.fromkeys(inner.error_messages, message)
    if is_valid is not None:

        def validate(value: Any) -> None:
            if not is_valid(value):
                raise ma.ValidationError(message)

        inner.validators = [validate]
    return inner


def _count(minimum: int, **kwargs: Any) -> Any:
    what = f"a whole number of at least {minimum}" + (", or None" if kwargs else "")
    return _must_be(what, ma.fields.Integer(strict=True, **kwargs), lambda count: count >= minimum)


def _list(what: str, item: Any, into: Callable[[Any], Any] = tuple, **kwargs: Any) -> Any:
    return _Adapted(_must_be(f"a list of {what}", ma.fields.List(item, **kwargs)), after=into)


def _mapping(what: str, values: Any) -> Any:
    return _must_be(what, _Mapping(_TEXT, values))


_TEXT = _must_be("a string", ma.fields.String())
_FLAG = _must_be("True or False", StrictBoolean())
_SECONDS = _must_be("a finite number greater than 0", StrictNumber(), lambda number: number > 0)
_PATH = _must_be("a string that starts with '/'", ma.fields.String(), re.compile("/").match)
_ADDRESS = _Address()
_ORIGIN = _must_be(
    "an origin such as 'https://host' or 'https://host:port'",
    ma.fields.String(),
    re.compile(r"https?://[^/?#@*\s]+/?", re.IGNORECASE).fullmatch,
)

# By type: a fact that is added to Model becomes a setting, or fails here at import.
_FACT_FIELDS = {
    int | None: _count(1, allow_none=True),
    str: _TEXT,
    bool: _FLAG,
    frozenset[str]: _list("strings", _TEXT, frozenset),
    date | None: _must_be("a date such as '2027-01-14', or None", ma.fields.Date(allow_none=True)),
}
_FACTS = {n: _FACT_FIELDS[kind] for n, kind in get_type_hints(Model).items() if n != "name"}


class _FactsSchema(ma.Schema):
    error_messages = {
        "type": "must be a mapping of facts to values",
        "unknown": f"is not a fact of a model. Known facts: {', '.join(sorted(_FACTS))}",
    }


_MODEL = _must_be("a mapping of facts to values", ma.fields.Nested(_FactsSchema.from_dict(_FACTS)))


def _as_mapping(fallbacks: Any) -> Any:
    """Return a list of fallbacks as the mapping that it is short for."""
    if isinstance(fallbacks, Mapping) or not ma.utils.is_collection(fallbacks):
        return fallbacks
    return {name if isinstance(name, str) else None: {} for name in fallbacks}


def _setting(default: Any, ma_field: Any, doc: str) -> Any:
    default_args: Any = {"default_factory": dict} if default == {} else {"default": default}
    return field(**default_args, metadata={"field": ma_field, "doc": doc})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings of one instance; each key is ``LLMCHAT_`` and the name in upper case."""

    url_prefix: str = _setting(
        "/api/chat", _PATH, "Path before the provider's name in every route."
    )
    providers: tuple[str, ...] | None = _setting(
        None,
        _list("provider names, or None for all", _TEXT, allow_none=True),
        "Names of the providers to serve; None serves all that the instance has.",
    )
    base_urls: Mapping[str, str] = _setting(
        {},
        _mapping("a mapping of provider names to URLs", _ADDRESS),
        "Provider name to a base URL that replaces the provider's own: a proxy, a test server. Set"
        " by the operator and trusted.",
    )
    protocols: Mapping[str, str] = _setting(
        {},
        _mapping("a mapping of provider names to protocols", _TEXT),
        "Provider name to the upstream protocol that it is called by: one that its row can speak.",
    )
    connect_timeout: float = _setting(
        5.0, _SECONDS, "Seconds to wait for a connection to the provider."
    )
    read_timeout: float = _setting(
        60.0, _SECONDS, "Seconds without an event from the provider after which a chat times out."
    )
    heartbeat: float = _setting(
        15.0,
        _SECONDS,
        "Seconds without an event after which a dialect of server-sent events sends a comment.",
    )
    deadline: float = _setting(600.0, _SECONDS, "Seconds that one chat may take in all.")
    max_retries: int = _setting(
        1,
        _count(0),
        "How often a request that failed for a passing reason is repeated.",
    )
    max_content_length: int = _setting(
        16 * 2**20,
        _count(1),
        "Bytes of a request body; the app's other routes keep their limit.",
    )
    max_messages: int = _setting(1000, _count(1), "Messages in one request.")
    max_streams: int | None = _setting(
        None,
        _count(1, allow_none=True),
        "Chats that one process runs at once; the next one gets 503. None: under gunicorn's gthread"
        " a few fewer than there are threads, elsewhere no limit.",
    )
    fallbacks: Mapping[str, Mapping[str, Mapping[str, str]]] = _setting(
        {},
        _mapping(
            "a mapping of provider names to their fallbacks",
            _Adapted(
                _mapping(
                    "a list of provider names, or a mapping of provider names to models",
                    _mapping("a mapping of model names to model names", _TEXT),
                ),
                before=_as_mapping,
            ),
        ),
        "Provider name to the providers to try when it fails before the response begins: a list of"
        " names, or a mapping of each name to the names that models have there.",
    )
    models: Mapping[str, Mapping[str, Mapping[str, Any]]] = _setting(
        {},
        _mapping(
            "a mapping of provider names to models",
            _mapping("a mapping of model names to facts", _MODEL),
        ),
        "Provider name to model name to facts that take precedence over the catalogue's: fields of"
        " flask_llmchat.Model.",
    )
    tool_steps: int = _setting(
        8,
        _count(1),
        "Responses of the model in a chat whose tools the server runs; the last one may call none."
        " 1: the server runs no tools.",
    )
    tool_calls: int = _setting(
        32, _count(1), "Tool calls that the server runs in one chat; further ones are refused."
    )
    tool_timeout: float = _setting(
        30.0,
        _SECONDS,
        "Seconds that one tool call may take, if the tool has no timeout of its own.",
    )
    tool_concurrency: int = _setting(
        4, _count(1), "Tool calls of one chat that run at once; further ones wait."
    )
    tool_threads: int = _setting(
        32,
        _count(1),
        "Threads of a process that run tools. Those of tools that timed out count until they end.",
    )
    tool_result: int = _setting(
        32_000,
        _count(1),
        "Characters of a tool's result. Of a longer one the model gets the beginning and the end.",
    )
    approval_age: float = _setting(
        900.0,
        _SECONDS,
        "Seconds for which a tool call waits for the user's approval.",
    )
    store: str = _setting(
        "memory://",
        _TEXT,
        "Where streams are kept, and what may be used once: ``memory://``, for one process, or the"
        " address of a Redis server: ``redis://``, ``rediss://`` or ``unix://``.",
    )
    store_prefix: str | None = _setting(
        None,
        _must_be("a string or None", ma.fields.String(allow_none=True)),
        "What every key in Redis begins with; None: the names of the app and the blueprint.",
    )
    resumable: bool = _setting(
        False,
        _FLAG,
        "Whether responses are kept while they are written, and chats go on when their clients"
        " leave. It needs a caller loader.",
    )
    stream_keep: float = _setting(
        300.0, _SECONDS, "Seconds for which a finished response can be read again, by its id."
    )
    stream_max_bytes: int = _setting(
        4 * 2**20,
        _count(1),
        "Bytes of a response that is kept. A longer one goes on, but cannot be read again.",
    )
    store_max_bytes: int = _setting(
        256 * 2**20,
        _count(1),
        "Bytes that the responses kept by one process may take in its memory.",
    )
    detached_seconds: float | None = _setting(
        None,
        _must_be(
            "a finite number greater than 0, or None",
            StrictNumber(allow_none=True),
            lambda number: number > 0,
        ),
        "Seconds that a chat runs without any reader. None: until its deadline.",
    )
    max_detached: int | None = _setting(
        None,
        _count(1, allow_none=True),
        "Chats of one process that go on without their clients; where there are more, a chat ends"
        " when its client leaves. None: half of those that it may run at once, or 100 where there"
        " is no limit.",
    )
    max_running: int = _setting(
        8, _count(1), "Chats of one caller that are kept and run at once; the next one gets 429."
    )
    allow_private_endpoints: bool = _setting(
        False, _FLAG, "Whether users' own endpoints may have addresses that are not public."
    )
    trusted_origins: frozenset[str] = _setting(
        frozenset(),
        _list(
            "origins such as 'https://app.example.com'",
            _ORIGIN,
            lambda origins: frozenset(origin.rstrip("/").lower() for origin in origins),
        ),
        "Other origins whose pages may post here with the user's cookies.",
    )

    @classmethod
    def from_app_config(cls, app_config: Mapping[str, Any]) -> Config:
        """Read and check the settings.

        :raises ValueError: naming each invalid key and what its value must be.
        """
        known = {row.name: f"LLMCHAT_{row.name.upper()}" for row in fields(cls)}
        prefixed = {key for key in app_config if key.startswith("LLMCHAT_")}
        for key in sorted(prefixed - {*known.values()}):
            # Not an error: an older version may read the settings of a newer one.
            logger.warning("Unknown setting %s. Known settings: %s", key, ", ".join(known.values()))
        given = {name: app_config[key] for name, key in known.items() if key in app_config}
        try:
            return cls(**_SCHEMA.load(given))
        except ma.ValidationError as error:
            raise ValueError("\n".join(_sentences(error.messages, given))) from None


_SCHEMA = ma.Schema.from_dict({row.name: row.metadata["field"] for row in fields(Config)})()


def _sentences(messages: Any, values: Any, where: str = "") -> Iterator[str]:
    """Word the errors: "LLMCHAT_BASE_URLS['openai'] must be an http(s) URL, not 7"."""
    for name, found in messages.items():
        if name == "_schema":  # marshmallow's name for the mapping itself
            here, value = where, values
        else:
            here = f"{where}[{safe_repr(name)}]" if where else f"LLMCHAT_{name.upper()}"
            items = values if isinstance(values, Mapping) else dict(enumerate(values))
            value = items.get(name, ())
        if isinstance(found, dict):
            yield from _sentences(found, value, here)
        elif found[0].startswith("must be") and (plain := safe_repr(value)) != "…":
            yield f"{here} {found[0]}, not {plain}"
        else:
            yield f"{here} {found[0]}"
