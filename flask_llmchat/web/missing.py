"""What an app has not set, and which chats need it.

It is told at the first chat that needs it, and by ``flask llmchat providers``: not when the
blueprint is registered, for hooks may be added afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .state import AppState

NO_CALLERS = (
    "LLMCHAT_RESUMABLE needs to know whose chats are kept: decorate a function that returns the"
    " user's id with @llmchat.caller_loader."
)


def no_callers_for(tool: str) -> str:
    """Return what is missing for a tool that may ask for approval, without a caller loader."""
    return (
        f"tool {tool!r} is not offered: it may ask for the user's approval, which holds for one"
        " caller. Decorate a function that returns the user's id with @llmchat.caller_loader."
    )


def no_secret_for(tool: str) -> str:
    """Return what is missing for a tool that may ask for approval, without a secret key."""
    return (
        f"tool {tool!r} may ask for the user's approval, which is signed: set"
        " app.config['SECRET_KEY']."
    )


def missing(state: AppState) -> Iterator[str]:
    """Give a sentence for each thing that an app needs and has not set."""
    no_callers = state.hooks.caller_loader is None
    if no_callers and state.config.resumable:
        yield NO_CALLERS
    for tool in state.hooks.tools.values():
        if tool.approval and no_callers:
            yield no_callers_for(tool.name)
        if tool.approval and not state.app.secret_key:
            yield no_secret_for(tool.name)
