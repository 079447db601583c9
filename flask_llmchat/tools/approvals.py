"""Approvals: the user's yes to one tool call, signed so that nobody else can give it.

The client gets a signed id with the request for an approval, and sends it back with the decision,
in the conversation. The server keeps nothing in between but the approvals that were used. The id
holds for one caller, one instance, and one call with its arguments, until it expires.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from itsdangerous import BadData, TimestampSigner
from itsdangerous.encoding import base64_decode, base64_encode

from ..core.caller import Caller
from ..core.events import ApprovalRequest
from ..core.request import Approval
from ..core.result import PendingApproval, ToolCall
from .arguments import InvalidArguments
from .context import ToolContext

logger = logging.getLogger("flask_llmchat")

_SALT = "flask_llmchat.approval"
_KEY_LENGTH = 22  # characters of 16 random bytes
_MAX_LENGTH = 512  # characters of an id; ours have 111
_EXACT = 2**53  # JavaScript's numbers are doubles: larger integers come back changed


NOT_VALID = "This approval is no longer valid."
USED = "This was already carried out; its result is not known here."
NO_PLACE = "This call was not run: it needs the user's approval, which cannot be asked for here."


class InvalidApproval(Exception):
    """An approval is forged, another caller's, of another call, or too old."""


@dataclass(frozen=True, slots=True)
class Denied:
    """Returned by a tool's ``approval`` function: the call must not run, whoever approves.

    :param reason: why, in words for the model and the user.
    """

    reason: str = "This call is not allowed."

    def __post_init__(self) -> None:
        """Refuse what would not look like a denial.

        :raises TypeError: for a reason that is no text, or none.
        """
        if not (isinstance(self.reason, str) and self.reason.strip()):
            raise TypeError(f"the reason of Denied has to be words, not {self.reason!r}")


@dataclass(frozen=True, slots=True)
class ProposedCall:
    """A tool call that has not run: what a tool's ``approval`` function decides on.

    :param name: the name of the tool.
    :param arguments: the arguments as the function will get them.
    """

    name: str
    arguments: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Grant:
    """A valid approval.

    :param key: an id that no other approval has.
    :param expires_at: Unix time, in seconds.
    """

    key: str
    expires_at: float


class ApprovalSigner:
    """Makes and checks the ids of approvals, for one caller of one instance.

    :param keys: the app's secret keys; the last one signs, and all are valid.
    :param instance: what distinguishes the instance within its app.
    :param age: seconds for which an id holds.
    """

    def __init__(
        self, keys: Sequence[str | bytes], instance: Sequence[str], caller: Caller, age: float
    ) -> None:
        encoded = [key.encode() if isinstance(key, str) else key for key in keys]
        self._signer = TimestampSigner(encoded, _SALT, digest_method=hashlib.sha256)
        self._whose = [*instance, caller.id, caller.team]
        self._age = math.ceil(age)

    def sign(self, key: str, call_id: str, name: str, arguments: Mapping[str, Any]) -> str:
        """Return the id of an approval of a call.

        :raises InvalidArguments: when the arguments would not come back from a page unchanged.
        """
        digest = self._digest(key, call_id, name, arguments, exact=True)
        return self._signer.sign(key + digest).decode()

    def check(self, id: str, call_id: str, name: str, arguments: Mapping[str, Any]) -> Grant:
        """Return what an id grants for a call.

        :raises InvalidApproval: when it grants nothing.
        """
        if len(id) > _MAX_LENGTH or not id.isascii():
            raise InvalidApproval
        try:
            signature = id.rpartition(".")[2]
            if base64_encode(base64_decode(signature)).decode() != signature:
                raise InvalidApproval  # the last character has bits that mean nothing
            value, signed = self._signer.unsign(id, self._age, return_timestamp=True)
            key = value.decode()[:_KEY_LENGTH]
            expected = key + self._digest(key, call_id, name, arguments)
        except (BadData, InvalidArguments):
            raise InvalidApproval from None
        if not secrets.compare_digest(value, expected.encode()):
            raise InvalidApproval
        return Grant(key, signed.timestamp() + self._age + 1)  # the last second counts as a whole

    def _digest(
        self, key: str, call_id: str, name: str, arguments: Any, *, exact: bool = False
    ) -> str:
        try:
            arguments = _as_javascript(arguments, exact=exact)
            signed = [*self._whose, key, call_id, name, arguments]
            text = json.dumps(signed, sort_keys=True, separators=(",", ":"))
        except (RecursionError, OverflowError):
            raise InvalidArguments("The arguments are nested too deeply.") from None
        return base64_encode(hashlib.sha256(text.encode()).digest()).decode()


def _as_javascript(value: Any, *, exact: bool) -> Any:
    """Return parsed JSON as it comes back from a browser, where every number is a double.

    :param exact: whether integers that are none are refused: the user would be shown another one.
    """
    if isinstance(value, dict):
        return {name: _as_javascript(item, exact=exact) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_javascript(item, exact=exact) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if exact and isinstance(value, int) and abs(value) > _EXACT:
        raise InvalidArguments(
            "The arguments have a number that is too large to be shown for approval: send it as"
            " text, or do without."
        )
    return float(value) or 0.0  # it has one zero, too


class Pending(NamedTuple):
    """A call that waits for an approval: for the result of the chat, and for the client."""

    record: PendingApproval
    request: ApprovalRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvals:
    """How the tool calls of one chat are approved.

    :param signer: None where there can be no approvals: in nobody's chat.
    :param may_ask: whether the client has a place for the question.
    :param enter: makes an app context.
    :param sync: makes a function of the app's that is ``async`` callable like any other.
    :param claimer: takes a grant's key and its expiry; returns whether it had not been claimed.
    """

    signer: ApprovalSigner | None
    may_ask: bool
    enter: Callable[[], AbstractContextManager[Any]]
    sync: Callable[[Callable[..., Any]], Callable[..., Any]]
    claimer: Callable[[str, float], bool]

    def decide(self, rule: Any, call: ProposedCall, context: ToolContext) -> bool | Denied:
        """Return whether a call needs the user's approval, by a tool's ``approval``.

        What cannot be decided needs it.
        """
        if not callable(rule):
            return bool(rule)
        return Context().run(self._decide, rule, call, context)

    def request(self, call: ToolCall, arguments: Mapping[str, Any], step: int) -> Pending | None:
        """Return what asks the user for a call that needs an approval; None where nobody can ask.

        :raises InvalidArguments: when the arguments would not come back from a page unchanged.
        """
        if not self.may_ask or self.signer is None:
            return None
        key, sign = secrets.token_urlsafe(16), self.signer.sign
        return Pending(
            PendingApproval(
                call_id=call.id,
                name=call.name,
                step=step,
                key=key,
                id=sign(key, call.id, call.name, arguments),
                arguments=call.arguments,
            ),
            ApprovalRequest(
                call.id, call.name, lambda call_id: sign(key, call_id, call.name, arguments)
            ),
        )

    def check(self, approval: Approval, arguments: Mapping[str, Any]) -> Grant:
        """Return what an approval grants that a client has sent back.

        :raises InvalidApproval: when it grants nothing.
        """
        if self.signer is None:
            raise InvalidApproval
        call = approval.call
        return self.signer.check(approval.id, call.id, call.name, arguments)

    def claim(self, grant: Grant) -> str:
        """Use an approval, which can be done once; return "", or why the call must not run."""
        try:
            # In an empty context, as the tool itself: in the first step there is a request.
            unused = Context().run(self.claimer, grant.key, grant.expires_at)
            return "" if unused else USED
        except Exception:
            logger.exception("the approval of a tool call could not be claimed")
            return "This call was not run: its approval could not be checked. Try again later."

    def _decide(
        self, rule: Callable[..., Any], call: ProposedCall, context: ToolContext
    ) -> bool | Denied:
        try:
            with self.enter():
                decision = self.sync(rule)(call, context)
        except Exception:
            logger.exception("the approval function of tool %r failed", call.name)
            return True
        if not isinstance(decision, bool | Denied):
            logger.error(
                "the approval function of tool %r returned a %s, not True, False or Denied",
                call.name,
                type(decision).__name__,
            )
            return True
        return decision
