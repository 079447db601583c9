"""The parameters of a function that is a tool."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from .context import ToolContext


@dataclass(frozen=True, slots=True)
class Signature:
    """A function's parameters.

    :param arguments: the parameters that the model fills in.
    :param contexts: names of those that are given the context.
    :param whole: the signature with both.
    """

    arguments: list[inspect.Parameter]
    contexts: list[str]
    whole: inspect.Signature


def read_signature(function: Callable[..., Any]) -> Signature:
    """Return the parameters of a function, with evaluated annotations.

    :raises TypeError: when one of them has no name, or a type that is not known.
    """
    try:
        signature = inspect.signature(function, eval_str=True)
    except NameError as error:
        raise TypeError(
            f"{error}: types in annotations have to be defined at the top of the module, outside"
            " `if TYPE_CHECKING`"
        ) from None
    except ValueError as error:  # some built-in functions have none
        raise TypeError(str(error)) from None
    parameters = signature.parameters.values()
    for parameter in parameters:
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            raise TypeError(
                f"the parameter {parameter} has no name to be given by: remove the / or * that"
                " makes it so"
            )
    contexts = [p.name for p in parameters if _is_context(p.annotation)]
    arguments = [p for p in parameters if p.name not in contexts]
    return Signature(arguments, contexts, signature)


def _is_context(annotation: Any) -> bool:
    # Also within Optional or Annotated: a model that could fill it in would forge it.
    return annotation is ToolContext or any(map(_is_context, get_args(annotation)))
