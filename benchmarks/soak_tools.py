"""The tools of soak_app.py: every form of function, and everything that one may do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress

from flask import g

from flask_llmchat import ChatRequest, Tool, ToolContext, ToolError

_DEAF = 2.5  # seconds: longer than a tool may take
_LONG = 60.0


def tools(
    open_session: Callable[[str], None], *, when: Callable[[ChatRequest], bool]
) -> list[Tool]:
    """Return the tools. Each takes a database session of the app, and then does what it is told.

    :param open_session: called by each call with its id, in its app context.
    """

    def begin(context: ToolContext, do: str) -> None:
        open_session(context.call_id)
        if do == "raise":
            raise RuntimeError("a tool that fails")
        if do == "refuse":
            raise ToolError("This does not work.")
        if do == "exit":
            raise SystemExit
        if do == "fail later":
            g.fails = True

    def plain(context: ToolContext, do: str, n: int) -> str:
        """Be a function."""
        begin(context, do)
        if do == "wait":
            context.cancelled.wait(_LONG)
        else:
            time.sleep({"be deaf": _DEAF, "hang": _LONG}.get(do, 0.01))
        return do

    def pieces(context: ToolContext, do: str, n: int) -> Iterator[int]:
        """Be a generator."""
        begin(context, do)
        yield 0
        while do == "wait":
            time.sleep(0.02)
            yield 1
        time.sleep(_DEAF if do == "be deaf" else 0.01)
        yield 2

    async def waits(context: ToolContext, do: str, n: int) -> str:
        """Be a coroutine."""
        begin(context, do)
        try:
            await asyncio.sleep(_LONG if do in ("wait", "be deaf") else 0.01)
        finally:
            if do == "be deaf":
                await asyncio.sleep(1)
        return do

    async def streams(context: ToolContext, do: str, n: int) -> AsyncIterator[int]:
        """Be an asynchronous generator."""
        begin(context, do)
        yield 0
        while do == "wait":
            await asyncio.sleep(0.02)
            yield 1
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(_LONG if do == "be deaf" else 0.01)
        yield 2

    functions = (plain, pieces, waits, streams)
    alone = Tool(plain, name="alone", sequential=True, when=when)
    return [alone, *(Tool(function, when=when) for function in functions)]
