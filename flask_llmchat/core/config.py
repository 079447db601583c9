"""The configuration: one row per setting, with its name, default, marshmallow field and meaning.

Values are read from ``app.config`` and checked when the blueprint is registered, so that a
mistake stops the app from starting instead of a chat from working.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, get_type_hints

import marshmallow as ma

from .addresses import read_address, shown
from .fields import StrictBoolean, StrictNumber
from .model import Model

logger = logging.getLogger("flask_llmchat")


class _Adapted(ma.fields.Field[Any]):
    """A field whose value is changed before or after it is read (marshmallow 4.3 has this)."""

    def __init__(self, inner: Any, *, before: Any = None, after: Any = None) -> None:
        super().__init__(allow_none=inner.allow_none, error_messages=inner.error_messages)
        self._inner, self._before, self._after = inner, before, after

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        read: Any = self._inner.deserialize(self._before(value) if self._before else value)
        return self._after(read) if self._after else read


class _Mapping(ma.fields.Dict):
    """A mapping; an error in it stands under the name whose value is wrong."""

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
    """The address of an API, as people paste it."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise ma.ValidationError("must be an http(s) URL")
        try:
            return str(read_address(value))
        except ValueError as error:
            raise ma.ValidationError(str(error)) from None


def _must_be(what: str, checked: Any, is_good: Callable[[Any], Any] | None = None) -> Any:
    """Return a field that says one sentence about every value that it refuses."""
    sentence = f"must be {what}"
    checked.error_messages = dict.fromkeys(checked.error_messages, sentence)
    if is_good is not None:

        def check(value: Any) -> None:
            if not is_good(value):
                raise ma.ValidationError(sentence)

        checked.validators = [check]
    return checked


def _count(least: int, **kwargs: Any) -> Any:
    what = f"a whole number of at least {least}" + (", or None" if kwargs else "")
    return _must_be(what, ma.fields.Integer(strict=True, **kwargs), lambda count: count >= least)


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


# By type: a field that is added to Model can be set, or stops the import here.
_FACT_FIELDS = {
    int | None: _count(1, allow_none=True),
    str: _TEXT,
    bool: _FLAG,
    frozenset[str]: _list("strings", _TEXT, frozenset),
}
_FACTS = {n: _FACT_FIELDS[kind] for n, kind in get_type_hints(Model).items() if n != "name"}


class _FactsSchema(ma.Schema):
    error_messages = {
        "type": "must be a mapping of facts to values",
        "unknown": f"is no fact of a model. Known facts: {', '.join(sorted(_FACTS))}",
    }


_MODEL = _must_be("a mapping of facts to values", ma.fields.Nested(_FactsSchema.from_dict(_FACTS)))


def _as_mapping(others: Any) -> Any:
    """Return the mapping that a list of fallbacks stands for."""
    if isinstance(others, Mapping) or not ma.utils.is_collection(others):
        return others
    return {name if isinstance(name, str) else None: {} for name in others}


def _setting(default: Any, checked: Any, doc: str) -> Any:
    made: Any = {"default_factory": dict} if default == {} else {"default": default}
    return field(**made, metadata={"field": checked, "doc": doc})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One app's settings. The key in ``app.config`` is ``LLMCHAT_`` and the name in capitals."""

    url_prefix: str = _setting(
        "/api/chat", _PATH, "Path in front of the provider's name in every route."
    )
    providers: tuple[str, ...] | None = _setting(
        None,
        _list("provider names, or None for all", _TEXT, allow_none=True),
        "Names of the providers to serve; None serves all the instance has.",
    )
    base_urls: Mapping[str, str] = _setting(
        {},
        _mapping(
            "a mapping of provider names to URLs",
            _ADDRESS,
        ),
        "Provider name to URL, where it is not the provider's own: a proxy, a test server. Set by"
        " the operator and trusted.",
    )
    connect_timeout: float = _setting(
        5.0, _SECONDS, "Seconds to wait for a connection to the provider."
    )
    read_timeout: float = _setting(
        60.0, _SECONDS, "Seconds without an event from the provider before giving up."
    )
    heartbeat: float = _setting(
        15.0,
        _SECONDS,
        "Seconds without an event after which a dialect of server-sent events writes a comment.",
    )
    deadline: float = _setting(600.0, _SECONDS, "Seconds one chat may take in all.")
    max_retries: int = _setting(
        1, _count(0), "How often a call that did not get through is made again."
    )
    max_content_length: int = _setting(
        16 * 2**20, _count(1), "Bytes a request body may have; the app's other routes keep theirs."
    )
    max_messages: int = _setting(1000, _count(1), "Messages one request may have.")
    max_streams: int | None = _setting(
        None,
        _count(1, allow_none=True),
        "Chats one process runs at once; the next gets 503. None: under gunicorn's gthread a few"
        " fewer than there are threads, elsewhere no limit.",
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
        "Provider to those asked in its place when it fails before the answer begins: a list of"
        " names, or a mapping of name to the models' names there.",
    )
    models: Mapping[str, Mapping[str, Mapping[str, Any]]] = _setting(
        {},
        _mapping(
            "a mapping of provider names to models",
            _mapping("a mapping of model names to facts", _MODEL),
        ),
        "Provider name to model name to facts of it that go before the catalogue's: fields of"
        " flask_llmchat.models.Model.",
    )
    allow_private_endpoints: bool = _setting(
        False, _FLAG, "Whether users' own endpoints may be at addresses that are not public."
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

        :raises ValueError: naming each key that is wrong and what it should be.
        """
        known = {row.name: f"LLMCHAT_{row.name.upper()}" for row in fields(cls)}
        prefixed = {key for key in app_config if key.startswith("LLMCHAT_")}
        for key in sorted(prefixed - {*known.values()}):
            # No error: an older version may meet the settings of a newer one.
            logger.warning("Unknown setting %s. Known settings: %s", key, ", ".join(known.values()))
        given = {name: app_config[key] for name, key in known.items() if key in app_config}
        try:
            return cls(**_SCHEMA.load(given))
        except ma.ValidationError as error:
            raise ValueError("\n".join(_sentences(error.messages, given))) from None


_SCHEMA = ma.Schema.from_dict({row.name: row.metadata["field"] for row in fields(Config)})()


def _sentences(messages: Any, values: Any, where: str = "") -> Iterator[str]:
    """Say what is wrong, as in "LLMCHAT_BASE_URLS['openai'] must be an http(s) URL, not 7"."""
    for name, found in messages.items():
        if name == "_schema":  # marshmallow's name for the mapping itself
            here, value = where, values
        else:
            here = f"{where}[{shown(name)}]" if where else f"LLMCHAT_{name.upper()}"
            items = values if isinstance(values, Mapping) else dict(enumerate(values))
            value = items.get(name, ())
        if isinstance(found, dict):
            yield from _sentences(found, value, here)
        elif found[0].startswith("must be") and (plain := shown(value)) != "…":
            yield f"{here} {found[0]}, not {plain}"
        else:
            yield f"{here} {found[0]}"
