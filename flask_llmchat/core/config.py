"""The configuration: one table of names, defaults, types and what they mean.

Values are read from ``app.config`` and checked when the blueprint is registered, so that a
mistake stops the app from starting instead of a chat from working.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, cast

from .addresses import read_address

logger = logging.getLogger("flask_llmchat")


Check = Callable[[Any], Any]
"""Returns the value in the form we use it; raises ValueError saying what it should be."""


def _positive_number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")
    if not (value > 0 and math.isfinite(value)):
        raise ValueError("must be more than 0")
    return float(value)


def _count(least: int) -> Check:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"must be a whole number of at least {least}")
        return value

    return check


def _count_or_none(value: Any) -> int | None:
    return None if value is None else cast(int, _count(1)(value))


def _fallbacks(value: Any) -> dict[str, dict[str, dict[str, str]]]:
    if not isinstance(value, Mapping):
        raise ValueError("must be a mapping of provider name to a list of others")
    read = {}
    for name, others in value.items():
        if isinstance(others, str):
            raise ValueError(f"must have a list, or a mapping of names to models, under {name!r}")
        if not isinstance(others, Mapping):
            others = dict.fromkeys(_names(others) or (), {})
        if name in others:
            raise ValueError(f"names {name!r} as its own fallback")
        for other, models in others.items():
            pairs = _items(models, f"under {other!r}")
            if not all(isinstance(model, str) for pair in pairs for model in pair):
                raise ValueError(f"must map model names to model names under {name!r}, {other!r}")
        read[name] = {other: dict(models) for other, models in others.items()}
    return read


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be True or False")
    return value


def _is_limit(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0)


def _is_names(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset) and all(
        isinstance(name, str) for name in value
    )


_MODEL_FACTS: dict[str, Callable[[Any], bool]] = {
    "context_window": _is_limit,
    "max_output": _is_limit,
    "default_max_tokens": _is_limit,
    "max_tokens_param": lambda value: isinstance(value, str),
    "supports_reasoning": lambda value: isinstance(value, bool),
    "supports_temperature": lambda value: isinstance(value, bool),
    "supports_system_messages": lambda value: isinstance(value, bool),
    "unsupported_params": lambda value: _is_names(value),
    "replay_fields": lambda value: _is_names(value),
}


def _models(value: Any) -> dict[str, dict[str, dict[str, Any]]]:
    if not isinstance(value, Mapping):
        raise ValueError("must be a mapping of provider name to models")
    known = _MODEL_FACTS
    for provider, models in value.items():
        for name, facts in _items(models, f"under {provider!r}"):
            for fact, given in _items(facts, f"under {provider!r}, {name!r}"):
                if fact not in known:
                    raise ValueError(
                        f"has {fact!r} under {provider!r}, {name!r}; there are"
                        f" {', '.join(sorted(known))}"
                    )
                if not known[fact](given):
                    raise ValueError(
                        f"has no fitting {fact} under {provider!r}, {name!r}: see"
                        " flask_llmchat.models.Model"
                    )
    return {p: {name: _facts(facts) for name, facts in m.items()} for p, m in value.items()}


def _facts(given: Mapping[str, Any]) -> dict[str, Any]:
    """Copy what the host says of a model; sets of names may be written as lists."""
    return {fact: frozenset(v) if _is_names(v) else v for fact, v in given.items()}


def _items(value: Any, where: str) -> Iterable[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        raise ValueError(f"must have a mapping {where}")
    return value.items()


def _url_prefix(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError("must be a string that starts with '/'")
    return value


def _names(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, str) or not all(isinstance(name, str) for name in _iterable(value)):
        raise ValueError("must be a list of provider names, or None for all")
    return tuple(value)


def _base_urls(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError("must be a mapping of provider name to URL")
    read = {}
    for name, url in value.items():
        if not isinstance(url, str):
            raise ValueError(f"has no http(s) URL under {name!r}")
        try:
            read[name] = str(read_address(url))
        except ValueError as error:
            raise ValueError(f"has no http(s) URL under {name!r}: what is there {error}") from None
    return read


_ORIGIN = re.compile(r"https?://[^/?#@*\s]+/?", re.IGNORECASE)


def _origins(value: Any) -> frozenset[str]:
    if isinstance(value, str) or not all(isinstance(o, str) for o in _iterable(value)):
        raise ValueError("must be a list of origins such as 'https://app.example.com'")
    for origin in value:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(
                f"has {origin!r}, which is no origin; write 'https://host' or with ':port'"
            )
    return frozenset(origin.rstrip("/").lower() for origin in value)


def _iterable(value: Any) -> Any:
    try:
        return list(value)
    except TypeError:
        raise ValueError("must be a list") from None


def _quoted(value: Any) -> str:
    # A URL may hold a password: only plain values are shown.
    plain = isinstance(value, str) and "://" not in value
    return f", not {value!r}" if plain or isinstance(value, int | float | None) else ""


def _option(default: Any, check: Check, doc: str) -> Any:
    return field(default=default, metadata={"check": check, "doc": doc})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One app's settings. The key in ``app.config`` is ``LLMCHAT_`` and the name in capitals."""

    url_prefix: str = _option(
        "/api/chat", _url_prefix, "Path in front of the provider's name in every route."
    )
    providers: tuple[str, ...] | None = _option(
        None, _names, "Names of the providers to serve; None serves all the instance has."
    )
    base_urls: Mapping[str, str] = field(
        default_factory=dict,
        metadata={
            "check": _base_urls,
            "doc": "Provider name to URL, where it is not the provider's own: a proxy, a test"
            " server. Set by the operator and trusted.",
        },
    )
    connect_timeout: float = _option(
        5.0, _positive_number, "Seconds to wait for a connection to the provider."
    )
    read_timeout: float = _option(
        60.0, _positive_number, "Seconds without an event from the provider before giving up."
    )
    heartbeat: float = _option(
        15.0,
        _positive_number,
        "Seconds without an event after which a dialect of server-sent events writes a comment.",
    )
    deadline: float = _option(600.0, _positive_number, "Seconds one chat may take in all.")
    max_retries: int = _option(
        1, _count(0), "How often a call that did not get through is made again."
    )
    max_content_length: int = _option(
        16 * 2**20, _count(1), "Bytes a request body may have; the app's other routes keep theirs."
    )
    max_messages: int = _option(1000, _count(1), "Messages one request may have.")
    max_streams: int | None = _option(
        None,
        _count_or_none,
        "Chats one process runs at once; the next gets 503. None: under gunicorn's gthread a few"
        " fewer than there are threads, elsewhere no limit.",
    )
    fallbacks: Mapping[str, Mapping[str, Mapping[str, str]]] = field(
        default_factory=dict,
        metadata={
            "check": _fallbacks,
            "doc": "Provider to those asked in its place when it fails before the answer begins:"
            " a list of names, or a mapping of name to the models' names there.",
        },
    )
    models: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(
        default_factory=dict,
        metadata={
            "check": _models,
            "doc": "Provider name to model name to facts of it that go before the catalogue's:"
            " fields of flask_llmchat.models.Model.",
        },
    )
    allow_private_endpoints: bool = _option(
        False, _flag, "Whether users' own endpoints may be at addresses that are not public."
    )
    trusted_origins: frozenset[str] = _option(
        frozenset(), _origins, "Other origins whose pages may post here with the user's cookies."
    )

    @classmethod
    def from_app_config(cls, app_config: Mapping[str, Any]) -> Config:
        """Read and check the settings.

        :raises ValueError: naming the key and what it should be.
        """
        values = {}
        known = {f"LLMCHAT_{option.name.upper()}" for option in fields(cls)}
        for key in sorted(k for k in app_config if k.startswith("LLMCHAT_") and k not in known):
            # No error: an older version may meet the settings of a newer one.
            logger.warning("%s is no setting; there are %s", key, ", ".join(sorted(known)))
        for option in fields(cls):
            key = f"LLMCHAT_{option.name.upper()}"
            if key not in app_config:
                continue
            try:
                values[option.name] = option.metadata["check"](app_config[key])
            except ValueError as error:
                raise ValueError(f"{key} {error}{_quoted(app_config[key])}") from None
        return cls(**values)
