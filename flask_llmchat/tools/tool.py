"""``Tool``: a function of the app that a model may call."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ..core.request import ChatRequest
from .approvals import ProposedCall
from .arguments import InvalidArguments, from_hints, from_json_schema, from_marshmallow
from .context import ToolContext
from .docstring import read_docstring
from .signature import read_signature

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class Tool:
    """A function that models may call, run by this server.

    It may be ``def``, ``async def``, or a generator of either kind, whose values are preliminary
    results. The result is what it returns; for a generator that returns nothing, the last value.
    Results are strings, or what pydantic can write as JSON.

    ``async`` tools share one event loop: one that blocks holds up all others of the process.

    The arguments are read from the type hints by pydantic. A parameter that is annotated
    :class:`ToolContext` is given the context, and the model does not see it.

    :param name: the name that models call it by, by default the function's.
    :param description: what models are told of it, by default the docstring. There, parameters are
        described too: ``:param city: …``, or in a section ``Args:``.
    :param args: a marshmallow schema of the arguments, in place of type hints. It needs the extra
        ``openapi``. Its validators run without an app context.
    :param parameters: a JSON schema of the arguments, in place of type hints. It is told to the
        model, but only names are checked against it: none required is missing, and the function
        takes them all.
    :param approval: whether a call runs only after the user has approved it. Or a function of a
        :class:`ProposedCall` and the :class:`ToolContext`, which may be ``async``: it returns
        whether the call needs the approval, or :class:`Denied`, and is called again once it has
        come. When it fails, the call needs the approval.
    :param id: for a tool from a tools loader: the id that a client selects it by, as in
        :attr:`ChatRequest.tool_ids`.
    :param when: called with the chat; False does not offer the tool. What is not offered cannot be
        called.
    :param timeout: seconds that a call may take; None is ``LLMCHAT_TOOL_TIMEOUT``.
    :param sequential: whether no other call of its chat runs at the same time.
    :raises TypeError: when the function or its parameters cannot be a tool's, saying what to write.
    :raises ValueError: for an invalid name or timeout.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        args: Any = None,
        parameters: Mapping[str, Any] | None = None,
        approval: bool | Callable[[ProposedCall, ToolContext], Any] = False,
        id: str | None = None,
        when: Callable[[ChatRequest], bool] | None = None,
        timeout: float | None = None,
        sequential: bool = False,
    ) -> None:
        if not callable(function):
            raise TypeError(f"a tool is made of a function, not of {type(function).__name__}")
        self.name: str = getattr(function, "__name__", "") if name is None else name
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ValueError(
                f"the tool's name {self.name!r} has to be 1 to 64 letters, digits, _ and -; give"
                " name="
            )
        if timeout is not None and not (
            isinstance(timeout, int | float) and 0 < timeout < math.inf
        ):
            raise ValueError(f"tool {self.name!r}: timeout has to be seconds, not {timeout!r}")
        if when is not None and not callable(when):
            raise TypeError(f"tool {self.name!r}: when has to be a function of the chat")
        if not (isinstance(approval, bool) or callable(approval)):
            raise TypeError(f"tool {self.name!r}: approval has to be True, False or a function")
        if args is not None and parameters is not None:
            raise TypeError(f"tool {self.name!r}: give args= or parameters=, not both")
        self.approval = approval
        if id is not None and not isinstance(id, str):
            raise TypeError(f"tool {self.name!r}: id has to be a string, such as str(row.id)")
        self.id = id
        self.when = when
        self.timeout = timeout
        self.sequential = sequential
        self._function = function
        told, told_of_parameters = read_docstring(function)
        self.description = told if description is None else description
        try:
            self._signature = read_signature(function)
            if args is not None:
                schema, self._load = from_marshmallow(args)
            elif parameters is not None:
                schema, self._load = from_json_schema(dict(parameters))
                names = [*schema.get("properties", ()), *self._signature.contexts]
                self._signature.whole.bind(**dict.fromkeys(names))  # or the function lacks one
            else:
                schema, self._load = from_hints(self._signature.arguments)
            if schema.get("type") != "object":
                raise TypeError('the schema of the arguments has to be of the type "object"')
        except TypeError as error:
            raise TypeError(f"tool {self.name!r}: {error}") from error
        properties = {
            parameter: {"description": told_of_parameters[parameter], **described}
            if parameter in told_of_parameters
            else described
            for parameter, described in schema.get("properties", {}).items()
        }
        self.parameters = {**schema, "properties": properties}

    def __repr__(self) -> str:
        """Return its name, its id if it has one, and where its function is."""
        function = self._function
        while isinstance(function, partial):
            function = function.func
        where = f"{function.__module__}.{getattr(function, '__qualname__', '…')}"
        return f"<Tool {self.name!r}{f' of id {self.id!r}' if self.id else ''}: {where}>"

    @property
    def definition(self) -> dict[str, Any]:
        """The tool in the form of chat completions."""
        function = {"name": self.name, "parameters": self.parameters}
        if self.description:
            function["description"] = self.description
        return {"type": "function", "function": function}

    @property
    def is_async(self) -> bool:
        """Whether :meth:`call` returns an awaitable or an asynchronous generator."""
        function = self._function
        if not (inspect.isroutine(function) or isinstance(function, partial)):
            function = type(function).__call__
        return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)

    def load(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the model's arguments as the function takes them.

        :raises InvalidArguments: when they are wrong.
        """
        contexts = dict.fromkeys(self._signature.contexts)
        given = {n: v for n, v in self._load(arguments).items() if n not in contexts}
        try:
            self._signature.whole.bind(**given, **contexts)
        except TypeError as error:  # only where the function has not said what it takes
            raise InvalidArguments(f"The arguments are wrong: {error}.") from None
        return given

    def call(self, given: dict[str, Any], context: ToolContext) -> Any:
        """Call the function with what :meth:`load` has returned.

        :return: the result, or an awaitable or a generator that gives it.
        """
        contexts = dict.fromkeys(self._signature.contexts, context)
        bound = self._signature.whole.bind(**given, **contexts)
        return self._function(*bound.args, **bound.kwargs)
