"""The exceptions of a chat.

::

    Exception
    ├── ChatError          a chat cannot continue; has a safe message, a code and a status
    ├── StreamAborted      raised inside a streaming body, so that the server aborts it
    └── StreamErrorEvent   raised by a parser for an error in a provider's stream
        └── EmptyResponse  raised by a parser for a response without content

Hosts raise :class:`ChatError` in hooks to refuse a chat, and read it in
:attr:`ChatResult.error <flask_llmchat.ChatResult.error>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .error_codes import ERROR_CODES

_CODE_OF_STATUS = {
    401: "no_permission",
    402: "out_of_credit",
    403: "no_permission",
    408: "timeout",
    429: "rate_limited",
    503: "overloaded",
}


class ChatError(Exception):
    """A chat that cannot continue, with a message that may be shown to its user.

    :param message: one sentence for people. It reaches the browser: no keys, no internals.
    :param code: one of :data:`~flask_llmchat.core.error_codes.ERROR_CODES`.
    :param status: HTTP status; by default the code's.
    :param provider: name of the provider the chat was meant for.
    :param retry_after: value for the ``Retry-After`` header: seconds, or an HTTP date.
    :param upstream_request_id: the provider's own id of the failed call.
    :param by_provider: whether the provider itself reported it. Its own time-out, say, is then a
        failure of the provider, and not the end of the wait for it.
    :param detail: for the log only: the provider's full message, without keys, or what the app's
        developer has to set.
    :ivar may_repeat: False once tools of the chat have run: sent again, it would run them again.
    :raises ValueError: for an unknown code, or a ``retry_after`` with control characters.
    """

    def __init__(
        self,
        message: str,
        code: str = "bad_request",
        *,
        status: int | None = None,
        provider: str | None = None,
        retry_after: str | int | None = None,
        upstream_request_id: str | None = None,
        by_provider: bool = False,
        detail: str = "",
    ) -> None:
        if code not in ERROR_CODES:
            raise ValueError(f"unknown code {code!r}; use one of {', '.join(ERROR_CODES)}")
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status or ERROR_CODES[code].status
        self.provider = provider
        self.retry_after = None if retry_after is None else str(retry_after).strip()
        if self.retry_after and not self.retry_after.isprintable():
            raise ValueError("retry_after must be seconds or an HTTP date")
        self.upstream_request_id = upstream_request_id
        self.by_provider = by_provider
        self.may_repeat = True
        self.detail = detail

    @classmethod
    def of(cls, code: str, label: str = "The provider", **fields: Any) -> ChatError:
        """Return an error with the sentence of its code.

        :param label: the provider's name, as people know it.
        :param fields: the other arguments of the constructor.
        """
        return cls(ERROR_CODES[code].sentence.format(label=label), code, **fields)

    @classmethod
    def from_status(cls, status: int, message: str) -> ChatError:
        """Return an error for an HTTP status without a code, as ``abort()`` raises it."""
        code = _CODE_OF_STATUS.get(status, "internal" if status >= 500 else "bad_request")
        return cls(message, code, status=status)


class StreamAborted(Exception):
    """Ends a streaming body whose dialect has no other way to report a failure.

    The server aborts the connection and logs this exception, so its text holds a code and a request
    id, and nothing that the client or the provider sent.
    """


class StreamErrorEvent(Exception):
    """The provider reported an error in the middle of its stream.

    :param body: the error, as the provider sent it.
    :param is_small: whether it is a small part of the event, however long that is.
    """

    def __init__(self, body: Any, *, is_small: bool = False) -> None:
        super().__init__()
        self.body = body
        self.is_small = is_small


class EmptyResponse(StreamErrorEvent):
    """A response ended as it should, and has nothing in it.

    That is a failure, unless the response goes on after tools, or after a pause.
    """


# Keys in the forms of the providers, keys masked with asterisks, and everything after "Bearer".
_KEY_LIKE = re.compile(
    r"\b(?:sk-|gsk_|xai-|pplx-|csk-|fw_|hf_|tgp_|nvapi-|vck_|bedrock-api-key-|AIza)[\w*.-]{4,}"
    r"|(?<![\w-])[\w-]*\*{3,}[\w*-]*"  # from the start of words, or it takes quadratic time
    r"|(?<=[Bb]earer )\S+"
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return ``text`` without the given secrets, and without anything that looks like a key."""
    for secret in secrets:
        if len(secret) >= 4:  # a shorter one would match inside ordinary words
            text = text.replace(secret, "[key]")
        if len(secret) >= 20:  # some providers quote the beginning of the key
            text = re.sub(re.escape(secret[:8]) + r"[\w*.-]*", "[key]", text)
    return _KEY_LIKE.sub("[key]", text)


def safe_sentence(text: str, secrets: Iterable[str] = (), limit: int = 500) -> str:
    """Return a provider's message in a form that may be shown: one line without keys.

    :param limit: most characters.
    """
    line = " ".join(redact(text, secrets).split())
    line = "".join(c for c in line if c.isprintable())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
