"""Tools made of functions: what the model is told, and how its arguments are read."""

from __future__ import annotations

import dataclasses
import functools
import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import marshmallow as ma
import pytest
from pydantic import BaseModel, Field

from flask_llmchat import Tool, ToolContext
from flask_llmchat.tools.arguments import InvalidArguments, parse_arguments


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Place(BaseModel):
    """Where it is."""

    title: str
    lat: Annotated[float, Field(ge=-90, le=90)]


@dataclasses.dataclass
class Tree:
    children: list[Tree]


CONTEXT = ToolContext(request_id="r1", call_id="c1", step=2)


def called(tool: Tool, arguments: dict[str, Any]) -> Any:
    """Call a tool with a model's arguments."""
    return tool.call(tool.load(arguments), CONTEXT)


def properties(function: Callable[..., Any], **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = Tool(function, **options).parameters["properties"]
    return found


def refused(tool: Tool, arguments: dict[str, Any]) -> str:
    with pytest.raises(InvalidArguments) as caught:
        tool.load(arguments)
    return str(caught.value)


# What the model is told


def test_a_function_is_told_with_its_docstring_and_hints() -> None:
    def find_orders(
        ctx: ToolContext,
        status: Literal["open", "sent"] = "open",
        limit: Annotated[int, Field(ge=1, le=50, description="How many.")] = 10,
    ) -> None:
        """List the user's own orders, newest first.

        All of them.

        :param status: Which ones,
            of two kinds.
        :param limit: not told, as the hint describes it already.
        :return: nothing.
        """

    assert Tool(find_orders).definition == {
        "type": "function",
        "function": {
            "name": "find_orders",
            "description": "List the user's own orders, newest first.\n\nAll of them.",
            "parameters": {
                "type": "object",
                "properties": {
                    "status": {
                        "type": "string",
                        "enum": ["open", "sent"],
                        "default": "open",
                        "description": "Which ones, of two kinds.",
                    },
                    "limit": {
                        "type": "integer",
                        "minimum": 1,
                        "maximum": 50,
                        "default": 10,
                        "description": "How many.",
                    },
                },
                "additionalProperties": False,
            },
        },
    }


def test_googles_docstrings_describe_parameters() -> None:
    def weather(city: str, days: int = 1, unit: str = "C") -> None:
        """Tell the weather.

        It is right:
        mostly.

        Args:
            city (str): The city,
                with its country: Rome, Italy.
            days: How many: 1 to 7.

            unit: C or F.

        Returns:
            words: that are not told.
        """

    tool = Tool(weather)
    assert tool.description == "Tell the weather.\n\nIt is right:\nmostly."
    told = {n: p["description"] for n, p in tool.parameters["properties"].items()}
    assert told == {
        "city": "The city, with its country: Rome, Italy.",
        "days": "How many: 1 to 7.",
        "unit": "C or F.",
    }


def test_a_docstring_may_begin_a_line_with_a_role() -> None:
    def tool() -> None:
        """Do what
        :meth:`other` does.
        """

    assert Tool(tool).description.endswith(":meth:`other` does.")


def test_the_name_and_description_may_be_given() -> None:
    function = Tool(lambda: 1, name="one", description="One.").definition["function"]
    assert (function["name"], function["description"]) == ("one", "One.")
    assert "description" not in Tool(lambda: 1, name="one").definition["function"]


def test_types_are_written_where_they_are_used_and_without_titles() -> None:
    def tool(title: str, place: Place, color: Color = Color.RED) -> None: ...

    schema = Tool(tool).parameters
    assert schema["properties"] == {
        "title": {"type": "string"},
        "place": {
            "type": "object",
            "description": "Where it is.",
            "properties": {
                "title": {"type": "string"},
                "lat": {"type": "number", "minimum": -90, "maximum": 90},
            },
            "required": ["title", "lat"],
        },
        "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
    }
    assert "$defs" not in schema and schema["required"] == ["title", "place"]


def test_types_that_hold_themselves_are_referred_to() -> None:
    def tool(tree: Tree) -> Any:
        return tree

    made = Tool(tool)
    assert made.parameters["properties"]["tree"] == {"$ref": "#/$defs/Tree"}
    tree = {"$ref": "#/$defs/Tree"}
    children = made.parameters["$defs"]["Tree"]["properties"]["children"]
    assert children == {"type": "array", "items": tree}
    assert called(made, {"tree": {"children": [{"children": []}]}}) == Tree([Tree([])])


def test_a_default_that_is_no_json_is_not_told() -> None:
    marker = object()

    def tool(what: Any = marker) -> Any:
        return what

    assert "default" not in properties(tool)["what"]
    assert called(Tool(tool), {}) is marker


def test_a_default_of_pydantics_is_understood() -> None:
    def tool(n: int = Field(3, le=5)) -> int:
        return n

    assert properties(tool)["n"]["maximum"] == 5
    assert called(Tool(tool), {}) == 3


def test_parameters_may_have_the_names_of_methods() -> None:
    def tool(json: int, copy: int, model_dump: int, self_: int) -> int:
        return json + copy + model_dump + self_

    arguments = {"json": 1, "copy": 2, "model_dump": 3, "self_": 4}
    assert called(Tool(tool), arguments) == 10
    assert "p0" in refused(Tool(tool), arguments | {"p0": 1})


# How arguments are read


def test_arguments_become_what_the_hints_say() -> None:
    def tool(
        day: date, id: uuid.UUID, place: Place, color: Color, price: Decimal, *, tags: set[str]
    ) -> Any:
        return day, id, place, color, price, tags

    given = {
        "day": "2026-11-27",
        "id": "12345678123456781234567812345678",
        "place": {"title": "Rome", "lat": 41.9},
        "color": "blue",
        "price": "9.90",
        "tags": ["a", "a"],
    }
    assert called(Tool(tool), given) == (
        date(2026, 11, 27),
        uuid.UUID("12345678123456781234567812345678"),
        Place(title="Rome", lat=41.9),
        Color.BLUE,
        Decimal("9.90"),
        {"a"},
    )


def test_the_context_is_given_and_not_the_models_to_forge() -> None:
    def tool(a: int, ctx: ToolContext, other: Annotated[ToolContext, "x"] | None = None) -> Any:
        return ctx, other

    assert [*properties(tool)] == ["a"]
    assert called(Tool(tool), {"a": 1}) == (CONTEXT, CONTEXT)
    for name in ("ctx", "other"):
        assert name in refused(Tool(tool), {"a": 1, name: {"profile": "root"}})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "n: Field required"),
        ({"n": "many"}, "n: Input should be a valid integer"),
        ({"n": 11}, "n: Input should be less than or equal to 10"),
        ({"n": 1, "m": 2}, "m: Extra inputs are not permitted"),
        ({"n": 1, "place": {"title": "Rome"}}, "place.lat: Field required"),
    ],
)
def test_wrong_arguments_are_told_by_their_names(arguments: Any, words: str) -> None:
    def tool(n: Annotated[int, Field(le=10)], place: Place | None = None) -> None: ...

    told = refused(Tool(tool), arguments)
    assert told.startswith("The arguments are wrong: ") and words in told
    assert "http" not in told


def test_what_is_told_of_wrong_arguments_is_bounded() -> None:
    def tool() -> None: ...

    told = refused(Tool(tool), {f"{n}" * 1000: n for n in range(1000)})
    assert len(told) < 2100 and "and more" in told
    schema = {"type": "object"}
    for made in (Tool(tool), Tool(tool, parameters=schema), Tool(tool, args=ma.Schema)):
        told = refused(made, {"\ud800" + "x" * 10**6: 1})
        assert len(told.encode()) < 2100


@pytest.mark.parametrize("text", ["", " \n", "{}"])
def test_no_arguments_are_an_empty_object(text: str) -> None:
    assert parse_arguments(text) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": ', "not valid JSON: Expecting value"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ("[1]", "not a JSON object"),
        ("null", "not a JSON object"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' + "1" * 5000 + "}", "not valid JSON"),
        ('{"a": "' + "x" * 2**20 + '"}', "longer than"),
    ],
)
def test_arguments_that_are_no_json_object_are_told(text: str, words: str) -> None:
    with pytest.raises(InvalidArguments, match=words):
        parse_arguments(text)


def test_marshmallow_schemas_describe_and_load_arguments() -> None:
    class Person(ma.Schema):
        name = ma.fields.String(required=True, metadata={"description": "Whole."})

    class Args(ma.Schema):
        day = ma.fields.Date(required=True)
        people = ma.fields.List(ma.fields.Nested(Person), validate=ma.validate.Length(max=2))

    def tool(day: date, people: Any = None) -> Any:
        """Meet.

        :param day: When.
        """
        return day, people

    for args in (Args, Args()):
        made = Tool(tool, args=args)
        person = made.parameters["properties"]["people"]["items"]
        person.pop("additionalProperties", None)  # which older versions of apispec do not tell
        assert made.parameters == {
            "type": "object",
            "properties": {
                "day": {"type": "string", "format": "date", "description": "When."},
                "people": {
                    "type": "array",
                    "maxItems": 2,
                    "items": {
                        "type": "object",
                        "properties": {"name": {"type": "string", "description": "Whole."}},
                        "required": ["name"],
                    },
                },
            },
            "required": ["day"],
            "additionalProperties": False,
        }
        assert called(made, {"day": "2026-11-27"}) == (date(2026, 11, 27), None)
        told = refused(made, {"day": "soon", "people": [{}], "x": 1})
        for words in ("day: Not a valid date", "people.0.name: Missing data", "x: Unknown field"):
            assert words in told


def test_marshmallow_schemas_need_apispec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apispec", None)
    with pytest.raises(RuntimeError, match=r"flask-llmchat\[openapi\]"):
        Tool(print_nothing, args=ma.Schema)


def test_a_json_schema_is_told_as_it_is() -> None:
    schema = {
        "type": "object",
        "properties": {"a-b": {"type": "integer"}, "c": {}},
        "required": ["a-b"],
    }

    def tool(ctx: ToolContext, **given: Any) -> Any:
        """:param c: Not written into the host's own schema."""
        return ctx, given

    made = Tool(tool, parameters=schema)
    assert schema["properties"]["c"] == {}  # type: ignore[index]
    assert made.parameters["required"] == ["a-b"]
    arguments = {"a-b": "one", "ctx": "forged"}
    assert called(made, arguments) == (CONTEXT, {"a-b": "one"})
    assert "a-b: Field required" in refused(made, {"c": 1})


def test_a_function_with_a_json_schema_refuses_names_that_it_does_not_take() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}

    def tool(city: str) -> str:
        return city

    assert called(Tool(tool, parameters=schema), {"city": "Rome"}) == "Rome"
    assert "'city'" in refused(Tool(tool, parameters=schema), {})
    assert "'x'" in refused(Tool(tool, parameters=schema), {"city": "Rome", "x": 1})


# Which functions can be tools


def none(x) -> None: ...  # type: ignore[no-untyped-def]


def positional(x: int, /) -> None: ...


def several(*xs: int) -> None: ...


def named(**xs: int) -> None: ...


def unreadable(x: Callable[[], int]) -> None: ...


def unknown(x: Nowhere) -> None: ...  # type: ignore[name-defined] # noqa: F821


def print_nothing() -> None: ...


SCHEMA = {"type": "object", "properties": {"y": {}}}


@pytest.mark.parametrize(
    ("function", "options", "words"),
    [
        (none, {}, "tool 'none': the parameter 'x' has no type hint: write x: str"),
        (positional, {}, "the parameter x: int has no name"),
        (several, {}, r"the parameter \*xs: int has no name"),
        (named, {}, r"name the parameters in place of \*\*xs"),
        (unreadable, {}, "tool 'unreadable': the parameter 'x'"),
        (unknown, {}, "'Nowhere' is not defined: types in annotations have to be defined"),
        (3, {}, "a tool is made of a function, not of int"),
        (none, {"args": dict}, "args has to be a marshmallow schema"),
        (none, {"args": ma.Schema(many=True)}, 'type "object"'),
        (print_nothing, {"parameters": {"type": "string"}}, 'type "object"'),
        (none, {"parameters": SCHEMA}, "tool 'none': .*'x'"),
        (none, {"parameters": SCHEMA, "args": ma.Schema}, "args= or parameters=, not both"),
        (none, {"when": True}, "when has to be a function"),
    ],
)
def test_what_cannot_be_a_tool_is_told_when_it_is_made(
    function: Any, options: Any, words: str
) -> None:
    with pytest.raises(TypeError, match=words):
        Tool(function, **options)


@pytest.mark.parametrize(
    "options",
    [{"name": n} for n in ("", "a b", "ä", "x" * 65, "a.b", "a\n", 7)]
    + [{"timeout": t} for t in (0, -1, float("inf"), float("nan"), "3")]
    + [{}],
)
def test_wrong_names_and_timeouts_are_told(options: Any) -> None:
    with pytest.raises(ValueError, match="name|timeout"):
        Tool(lambda: 1, **({"name": "one"} | options if options else {}))


def test_methods_partials_and_objects_can_be_tools() -> None:
    class Shop:
        def price(self, item: str) -> str:
            """Tell a price."""
            return f"{item}: 3"

        async def __call__(self, item: str) -> None: ...

    async def price(currency: str, item: str) -> str:
        return f"{item}: 3 {currency}"

    assert Tool(Shop().price).call({"item": "Tea"}, CONTEXT) == "Tea: 3"
    assert Tool(Shop(), name="shop").is_async
    made = Tool(functools.partial(price, "EUR"), name="price")
    assert made.is_async and [*made.parameters["properties"]] == ["item"]
    assert made.description == ""


def test_a_context_can_be_made_for_tests_of_tools() -> None:
    assert ToolContext(context={"user": 3}).context["user"] == 3
    assert CONTEXT.key == "r1:2:c1"
    CONTEXT.progress(1)


def test_pydantic_is_not_loaded_before_there_is_a_tool() -> None:
    code = "import sys, flask_llmchat; assert 'pydantic' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
