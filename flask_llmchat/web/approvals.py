"""How an app's tool calls are approved: by its secret key, its hook, and its callers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.request import ChatRequest
from .missing import no_callers_for, no_secret_for

if TYPE_CHECKING:
    from ..tools import Tool
    from ..tools.approvals import Approvals
    from .state import AppState


def may_offer(state: AppState, tool: Tool, chat: ChatRequest, *, may_ask: bool) -> bool:
    """Return whether a tool may be offered to a chat, as far as approvals go.

    :param may_ask: whether the client has a place for the question.
    :raises RuntimeError: when the app has no secret key to sign approvals with.
    """
    if not tool.approval:
        return True
    if chat.caller is None:
        if state.hooks.caller_loader is None:
            state.warn_once(no_callers_for(tool.name))
        return False
    if not may_ask:
        return tool.approval is not True
    if not state.app.secret_key:
        raise RuntimeError(no_secret_for(tool.name))
    return True


def approvals_for(state: AppState, chat: ChatRequest, *, may_ask: bool) -> Approvals:
    """Return how the tool calls of a chat are approved.

    :raises RuntimeError: when the app's older secret keys are no list.
    """
    from ..tools.approvals import Approvals, ApprovalSigner

    app, signer = state.app, None
    if chat.caller is not None and app.secret_key:
        older = app.config.get("SECRET_KEY_FALLBACKS") or ()
        if isinstance(older, str | bytes):
            raise RuntimeError(
                "SECRET_KEY_FALLBACKS has to be a list: of a string, each letter would be a key."
            )
        keys = [*older, app.secret_key]
        instance = (state.subdomain, state.prefix)
        signer = ApprovalSigner(keys, instance, chat.caller, state.config.approval_age)
    return Approvals(
        signer=signer,
        may_ask=may_ask,
        enter=app.app_context,
        sync=app.ensure_sync,
        # A call that was checked in time may wait for others of its chat until this one's deadline.
        claimer=lambda key, expires_at: _claim(state, key, expires_at + state.config.deadline),
    )


def _claim(state: AppState, key: str, expires_at: float) -> bool:
    """Use an approval; return whether it had not been used."""
    if (claimer := state.hooks.approval_claimer) is not None:
        with state.app.app_context():
            claimed = state.app.ensure_sync(claimer)(key, expires_at)
        if not isinstance(claimed, bool):
            raise TypeError(
                f"approval_claimer must return True or False, not {type(claimed).__name__}"
            )
        return claimed
    return state.streams.store.claim(f"approval:{key}", expires_at)
