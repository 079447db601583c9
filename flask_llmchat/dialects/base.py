"""What every dialect does alike: reading a JSON body, and telling what is wrong with it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Protocol

import marshmallow as ma

from ..answer import Encoder
from ..chat import ChatRequest
from ..errors import ChatError
from .describing import ANY_OBJECT, Book, JSONSchema

MOST_ERRORS = 20
"""How many fields one error names. Nothing is looked at any further once more are wrong."""


class Dialect(Protocol):
    """A way clients speak: what they send, and what they understand.

    It keeps nothing of a chat: one instance serves all of them.

    :ivar name: what hooks see in ``chat.dialect``.
    :ivar path: what follows the provider in the route: ``""``, or such as ``/chat/completions``.
    :ivar mimetype: of a streaming answer; a client whose ``Accept`` names it gets this
        dialect's answer, whatever it spoke itself.
    """

    name: str
    path: str
    mimetype: str

    def recognises(self, body: dict[str, Any]) -> bool:
        """Tell whether a request body is in this dialect."""

    def read(self, body: dict[str, Any], max_messages: int) -> ChatRequest:
        """Make a chat of a request body.

        :raises ChatError: with status 422, naming the fields that are wrong and why.
        """

    def encoder(self, chat: ChatRequest) -> Encoder:
        """Return what writes the answer to this chat down."""

    def error(self, error: ChatError, request_id: str) -> tuple[bytes, str, Mapping[str, str]]:
        """Write down an error that comes instead of an answer: body, mimetype, headers."""


def load(schema: ma.Schema, body: dict[str, Any]) -> dict[str, Any]:
    """Load a body with a schema.

    :raises ChatError: with status 422, naming the fields that are wrong and why.
    """
    try:
        loaded: dict[str, Any] = _narrowed(schema, body).load(body)
    except ma.ValidationError as error:
        told: list[str] = []
        for path, reason in _flatten(error.messages):
            if len(told) == MOST_ERRORS:
                told.append("and more")
                break
            told.append(f"{path}: {reason}" if path else reason)
        raise ChatError("; ".join(told), status=422) from None
    return loaded


def _flatten(messages: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Give (``messages.0.role``, reason) for every reason in marshmallow's nested errors."""
    if isinstance(messages, dict):
        for name, inner in messages.items():
            own = "" if name == ma.exceptions.SCHEMA else str(name)[:50]
            yield from _flatten(inner, f"{path}.{own}".strip("."))
    elif isinstance(messages, list):
        for inner in messages:
            yield from _flatten(inner, path)
    else:
        yield path, str(messages).rstrip(".")


def is_whole(text: str) -> bool:
    """Tell whether a text can be written as UTF-8: no half of a surrogate pair is in it."""
    if text.isascii():  # known without looking
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Text(ma.fields.String):
    """A string that can be sent on: half a surrogate pair cannot be written as UTF-8."""

    default_error_messages = {"surrogate": "Holds half a character (a lone surrogate)."}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if not is_whole(text):
            raise self.make_error("surrogate")
        return text


class Address(Text):
    """A URL that has to be there and to begin in a certain way.

    :param start: pattern of how it begins, in lower case; it may have any.
    :param error: what to say of any other.
    """

    def __init__(self, start: str, error: str) -> None:
        super().__init__(
            required=True,
            validate=ma.validate.Regexp(f"(?i)({start})", error=error),
            metadata={"pattern": f"^({start})"},
        )


class Number(ma.fields.Float):
    """A JSON number; marshmallow's own Float takes "0.5" and true as well."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class Flag(ma.fields.Boolean):
    """true or false; marshmallow's own Boolean takes "on" and 1 as well."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Whole(ma.fields.Integer):
    """A JSON integer that fits 64 bits."""

    _LEAST = -(2**63)

    def __init__(self, least: int = _LEAST, **kwargs: Any) -> None:
        super().__init__(strict=True, validate=ma.validate.Range(least, 2**63 - 1), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            return int(value)  # JSON knows one kind of number: 1.0 is 1
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.make_error("invalid", input=value)
        return value

    def describe(self, told: JSONSchema, book: Book) -> None:
        """Add how wide it is, instead of bounds that JavaScript would round."""
        told["format"] = "int64"
        del told["maximum"]
        if told["minimum"] == self._LEAST:
            del told["minimum"]


class Limit(Whole):
    """How many tokens an answer may have: a positive number; -1, as llama.cpp has it, is none."""

    def __init__(self) -> None:
        super().__init__(1, allow_none=True)

    def deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the limit; None where there is none."""
        return super().deserialize(None if value == -1 else value, *args, **kwargs)


def load_each(load: Callable[[Any], Any], values: list[Any]) -> list[Any]:
    """Load all values of a list with a function, and give up once more are wrong than are told.

    An error costs twenty times what its value did, and a million of them tell no more.

    :raises marshmallow.ValidationError: with the errors by index.
    """
    loaded, errors = [], {}
    for index, value in enumerate(values):
        try:
            loaded.append(load(value))
        except ma.ValidationError as error:
            errors[index] = error.messages
            if len(errors) > MOST_ERRORS:
                break
    if errors:
        raise ma.ValidationError(errors)
    return loaded


class Items(ma.fields.List[Any]):
    """A list whose length is looked at before its items are.

    :param most: how many items it may have; None where they are counted elsewhere.
    """

    def __init__(
        self, inner: ma.fields.Field[Any], most: int | None, least: int = 0, **kw: Any
    ) -> None:
        limits = {"maxItems": most, "minItems": least or None}
        given = {name: limit for name, limit in limits.items() if limit is not None}
        super().__init__(inner, metadata=given | kw.pop("metadata", {}), **kw)
        self._bounds = ma.validate.Length(least, most)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        self._bounds(value)
        if type(self.inner) is Object:
            return self._objects(value)
        return load_each(lambda item: self.inner.deserialize(item, **kwargs), value)

    def _objects(self, values: list[Any]) -> list[Any]:
        """Load objects, of which all at once is told far more cheaply that they can be sent on."""
        others = [i for i, value in enumerate(values) if value.__class__ is not dict]
        if others:
            reason = self.inner.error_messages["invalid"]
            raise ma.ValidationError({i: [reason] for i in others[: MOST_ERRORS + 1]})
        if not is_sendable(values):
            raise self.inner.make_error("unsendable")
        return values


# Nothing that was JSON holds itself: not to look for it takes half the time.
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode


def is_sendable(value: Any) -> bool:
    """Tell whether JSON can be sent on: no half characters, and not nested too deeply."""
    try:
        _encode(value).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True


class Object(ma.fields.Field[dict[str, Any]]):
    """A JSON object that goes to the provider as it is."""

    default_error_messages = {
        "invalid": "Not an object.",
        "unsendable": "Holds half a character (a lone surrogate), or is nested too deeply.",
    }

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.make_error("invalid")
        if not is_sendable(value):
            raise self.make_error("unsendable")
        return value

    def describe(self, told: JSONSchema, book: Book) -> None:
        """Add that it may hold anything."""
        told |= ANY_OBJECT


class OneOf(ma.fields.Field[Any]):
    """A value that one of several fields takes; the error is the last one's."""

    def __init__(self, *choices: ma.fields.Field[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._choices = choices

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        for choice in self._choices[:-1]:
            with contextlib.suppress(ma.ValidationError):
                return choice.deserialize(value, attr, data)
        return self._choices[-1].deserialize(value, attr, data)

    def describe(self, told: JSONSchema, book: Book) -> None:
        """Add what it may be."""
        told["anyOf"] = [book.tell(choice) for choice in self._choices]


class Sparse(ma.fields.Nested):
    """An object of many possible fields and few given ones: those alone are looked for.

    marshmallow spends as much on a field that is not there as on one that is.
    """

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, partial: Any = None, **kwargs: Any
    ) -> Any:
        if not isinstance(value, dict):
            return super()._deserialize(value, attr, data, partial, **kwargs)
        return _narrowed(self.schema, value).load(value)


def _narrowed(schema: ma.Schema, value: dict[str, Any]) -> ma.Schema:
    """Return a schema without the fields that are optional and not there."""
    return _with_fields(type(schema), frozenset(value.keys() & schema.fields))


@lru_cache(256)
def _with_fields(kind: type[ma.Schema], given: frozenset[str]) -> ma.Schema:
    declared = kind().fields.items()  # in their order, which is that of errors
    return kind(only=[name for name, field in declared if field.required or name in given])


class StrictSchema(ma.Schema):
    """Refuses fields it does not know, and objects made of nothing else."""

    MOST_FIELDS = 64

    @ma.pre_load
    def _bounded(self, data: Any, **kwargs: Any) -> Any:
        if isinstance(data, dict) and len(data) > self.MOST_FIELDS:
            raise ma.ValidationError(f"Has more than {self.MOST_FIELDS} fields.")
        return data

    def describe(self, told: JSONSchema, book: Book) -> None:
        """Add to what an OpenAPI document tells of it; its fields are there already."""
        if self.unknown != ma.RAISE:
            told["maxProperties"] = self.MOST_FIELDS
