"""One chat request, told from top to bottom."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Request, Response, g, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from .answer import Answer, Record
from .chat import ChatRequest
from .dialects import Dialect, TextDialect, parse_object
from .errors import UNEXPECTED, ChatError
from .models import find
from .profiles import clean, is_sendable
from .providers import Provider
from .providers.chunks import ChunkReader
from .signals import chat_started
from .upstream.client import Call
from .upstream.stream import Stream

if TYPE_CHECKING:
    from .extension import ChatState

TEXT = TextDialect()

_DISCARDED = 64 * 2**20  # bytes over the limit that are read, to be able to say so

# Proxies must pass every piece on as it comes, and a browser must not take it for a page.
_STREAM_HEADERS = {
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


def chat_view(state: ChatState, provider: Provider) -> Callable[[], ResponseReturnValue]:
    """Return the view that serves one provider in one app."""

    def view() -> ResponseReturnValue:
        dialect = TEXT
        request_id = uuid.uuid4().hex
        try:
            refuse_cross_site(request, state.config.trusted_origins)
            profile = load_profile(state)
            chat = read_chat(state, dialect)
            chat.provider, chat.profile, chat.request_id = provider.name, profile, request_id
            answer = start_answer(state, provider, dialect, chat)
        except ChatError as error:
            error.provider = error.provider or provider.name
            return error_response(dialect, error, request_id)
        response = Response(answer, mimetype=dialect.mimetype, headers=_STREAM_HEADERS)
        response.headers["X-Request-ID"] = request_id
        response.call_on_close(answer.close)
        g._llmchat_answer = answer
        return response

    view.__name__ = view.__qualname__ = f"chat_with_{provider.name}"
    return view


def load_profile(state: ChatState) -> Any:
    """Return the profile of whoever is asking.

    :raises ChatError: with status 401, when the host's loader knows none.
    """
    profile = state.load_profile()
    if profile is None:
        raise ChatError("Profile not found", "no_permission", status=401)
    return profile


def close_unsent(exception: BaseException | None) -> None:
    """Close an answer that no server will: the host's own ``after_request`` failed."""
    answer: Answer | None = g.pop("_llmchat_answer", None)
    if exception is not None and answer is not None:
        answer.close()


def read_chat(state: ChatState, dialect: Dialect) -> ChatRequest:
    """Read the request body into a chat.

    :raises ChatError: saying which field is wrong and why.
    """
    limit = state.config.max_content_length
    # One more, for of a chunked body Werkzeug gives as much as it may, and does not complain.
    request.max_content_length = limit + 1
    try:
        content = request.get_data(cache=False)
    except RequestEntityTooLarge:
        content = None
    if content is None or len(content) > limit:
        discard_body(limit + _DISCARDED)
        raise ChatError(
            f"The request body is too large; at most {limit} bytes are taken.", status=413
        )
    return dialect.read(parse_object(content), state.config.max_messages)


def discard_body(most: int) -> None:
    """Read a body that is too large to its end, unless that is very far away.

    A server that closes while the client is still sending resets the connection, and the
    client never sees why.
    """
    length = request.content_length
    if length is None:  # chunked: a server that takes it says when it ends
        left = most if request.environ.get("wsgi.input_terminated") else 0
    else:
        left = length if length <= most else 0
    while left > 0 and (piece := request.environ["wsgi.input"].read(min(left, 65536))):
        left -= len(piece)


def start_answer(
    state: ChatState, provider: Provider, dialect: Dialect, chat: ChatRequest
) -> Answer:
    """Call the provider, and wait until its answer begins.

    From here on the chat has started, and how it ends is told exactly once.

    :raises ChatError: when a hook or the provider refuses, or a key is missing.
    """
    reader = ChunkReader(inline_think=provider.inline_think)
    record = Record(chat, reader, state.tell_finished)
    deadline = time.monotonic() + state.config.deadline
    try:
        state.send(chat_started, chat=chat)
        state.run_before_chat(chat)
        record.model = chat.model
        if provider.public_only:
            chat.endpoint = state.load_endpoint(chat.endpoint_id)
        call = prepare(state, provider, chat, deadline)
    except ChatError as error:
        record.end("refused", error)
        raise
    except HTTPException as error:
        status = error.response.status_code if error.response else error.code
        record.end("refused", ChatError.from_status(status or 500, error.description or ""))
        raise
    except BaseException:  # also a worker's being stopped
        record.end("refused", ChatError(UNEXPECTED, "internal"))
        raise
    try:
        stream = Stream(call, reader, client_socket())
        record.upstream_request_id = stream.request_id
        answer = Answer(stream, dialect.encoder(), record)
        answer.start()
    except ChatError as error:
        record.end_broken(error)
        raise
    except BaseException:
        record.end_broken(ChatError(UNEXPECTED, "internal"))
        raise
    return answer


def prepare(state: ChatState, provider: Provider, chat: ChatRequest, deadline: float) -> Call:
    """Turn a chat into a call of its provider, with the key of this chat's user.

    :raises ChatError: when the key, or what the provider needs besides, is missing.
    """
    key = clean(state.resolve_key(provider, chat.profile))
    if provider.key_attr and provider.key_required and not key:
        raise ChatError(
            f"{provider.label} API Key not found. Please set it in your profile settings.",
            "missing_key",
            provider=provider.name,
        )
    if not is_sendable(key):
        raise ChatError(
            f"{provider.label} API Key is incorrect. Please fix it in your profile settings.",
            "bad_key",
            provider=provider.name,
        )
    base_url = state.config.base_urls.get(provider.name, provider.base_url)
    target = provider.target(provider, chat, key, base_url)
    return Call(
        provider=provider.name,
        label=provider.label,
        request_id=chat.request_id,
        url=target.url,
        headers=target.headers,
        query=target.query,
        body=provider.body(
            chat,
            target,
            find(provider.catalogue, chat.model, state.config.models.get(provider.name)),
        ),
        secrets=target.secrets(),
        connect_timeout=state.config.connect_timeout,
        read_timeout=state.config.read_timeout,
        deadline=deadline,
        max_retries=state.config.max_retries,
        tells_errors=provider.tells_errors,
        public_only=provider.public_only and not state.config.allow_private_endpoints,
    )


def error_response(dialect: Dialect, error: ChatError, request_id: str) -> Response:
    """Answer with an error, in the words of the dialect."""
    body, mimetype, headers = dialect.error(error, request_id)
    response = Response(body, status=error.status, mimetype=mimetype, headers=dict(headers))
    response.headers["X-Request-ID"] = request_id
    if error.retry_after is not None:
        response.headers["Retry-After"] = error.retry_after
    return response


def http_error(error: HTTPException) -> ResponseReturnValue:
    """Answer with what the host's own guards raised on our routes: ``abort()``, a rate limit."""
    if error.response is not None:
        return error.get_response()
    status = error.code or 500
    message = UNEXPECTED if status == 500 else error.description or error.name
    told = ChatError.from_status(status, message)
    endpoint = (request.endpoint or "").rpartition(".")[2]
    told.provider = None if endpoint.startswith("_") else endpoint
    answer = error_response(TEXT, told, uuid.uuid4().hex)
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            answer.headers.setdefault(name, value)
    return answer


def not_post() -> Response:
    """Answer any other method on a provider's route."""
    if request.method == "OPTIONS":
        return Response(status=204, headers={"Allow": "POST, OPTIONS"})
    error = ChatError(f"{request.method} is not allowed here; use POST.", status=405)
    response = error_response(TEXT, error, uuid.uuid4().hex)
    response.headers["Allow"] = "POST, OPTIONS"
    return response


def unknown_provider(state: ChatState) -> Callable[[str], Response]:
    """Return the view for a provider that is not served here."""

    def view(provider: str) -> Response:
        served = ", ".join(state.providers)
        error = ChatError(f"There is no provider of this name; there are {served}.", status=404)
        return error_response(TEXT, error, uuid.uuid4().hex)

    return view


def refuse_cross_site(request: Request, trusted: frozenset[str]) -> None:
    """Refuse what another site's page posted with the user's cookies.

    A browser asks first before it sends JSON to another site, but not for a body of another
    type; and ours is read whatever its type is, for the original front end says none.

    :raises ChatError: with status 403.
    """
    if request.mimetype == "application/json":
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if origin is not None and origin.lower() in trusted:
        return
    if site is None:
        foreign = origin is not None and host_of(origin) != request.host.lower()
    else:
        foreign = site == "cross-site"
    if foreign:
        raise ChatError(
            "This request comes from another site. Send it as application/json, or name the"
            " site in LLMCHAT_TRUSTED_ORIGINS.",
            "no_permission",
        )


def host_of(origin: str) -> str:
    """Return the host, and port if there is one, that an origin names; "" for what is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def client_socket() -> Any:
    """Return the client's connection where the server shows it: gunicorn and the dev server."""
    environ = request.environ
    return environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
