"""How one chat is asked: of its provider, and of others when that one fails."""

from __future__ import annotations

import logging
import socket
import time
from typing import TYPE_CHECKING

from werkzeug.exceptions import HTTPException

from ..core.error_codes import ERROR_CODES
from ..core.errors import ChatError
from ..core.keys import clean_key, is_header_safe
from ..core.request import ChatRequest
from ..core.signals import chat_started
from ..dialects.base import Dialect
from ..models.lookup import get_model
from ..protocols.chat_completions.parser import ChatCompletionParser
from ..providers.provider import Provider
from ..transport.runtime import current_runtime
from .body import StreamingBody
from .recorder import ChatRecorder
from .response_stream import ResponseStream
from .upstream_request import UpstreamRequest

if TYPE_CHECKING:
    from ..web.state import AppState


logger = logging.getLogger("flask_llmchat")


class ChatRun:
    """One chat from its start to the first byte of its answer.

    How it ends is told exactly once.

    :param dialect: the one of the answer.
    :param client: the client's connection, if the server shows it.
    """

    def __init__(
        self, state: AppState, dialect: Dialect, chat: ChatRequest, client: socket.socket | None
    ) -> None:
        self._state = state
        self._dialect = dialect
        self._chat = chat
        self._client = client
        self._record = ChatRecorder(chat, state.emit_finished)
        self._deadline = time.monotonic() + state.config.deadline

    def answer(self, provider: Provider) -> StreamingBody:
        """Call the provider, or a fallback, and wait until the answer begins.

        :raises ChatError: when a hook or the provider refuses, or a key is missing.
        """
        record = self._record
        try:
            call = self._admit(provider)
        except ChatError as error:
            record.finish("refused", error)
            raise
        except HTTPException as error:
            status = error.response.status_code if error.response else error.code
            record.finish("refused", ChatError.from_status(status or 500, error.description or ""))
            raise
        except BaseException:  # also a worker's being stopped
            record.finish("refused", ChatError.of("internal"))
            raise
        try:
            return self._attempt_with_fallbacks(provider, call)
        except ChatError as error:
            record.finish_failed(error)
            raise
        except BaseException:
            record.finish_failed(ChatError.of("internal"))
            raise

    def _admit(self, provider: Provider) -> UpstreamRequest:
        """Let the host see, change or refuse the chat; return what is to be called."""
        state, chat = self._state, self._chat
        state.send(chat_started, chat=chat)
        if provider.public_only:
            chat.endpoint = state.load_endpoint(chat.endpoint_id)
        state.run_before_chat(chat)
        self._record.start_attempt(chat)  # hooks may have changed the model
        try:
            return build_request(state, provider, chat, self._deadline)
        except ChatError as error:
            if error.detail:
                state.tell_once(f"{provider.name} chats are refused: {error.detail}")
            raise

    def _attempt_with_fallbacks(self, provider: Provider, call: UpstreamRequest) -> StreamingBody:
        try:
            return self._attempt(provider, self._chat, call)
        except ChatError as error:
            reader = self._record.reader
            if ERROR_CODES[error.code].fallback and (answer := self._try_fallbacks(provider)):
                return answer
            self._record.start_attempt(
                self._chat, reader
            )  # it is the first one's error that is told
            raise

    def _try_fallbacks(self, failed: Provider) -> StreamingBody | None:
        """Ask the fallbacks; None when none of them answers either."""
        chat, state = self._chat, self._state
        server = current_runtime().watchdog.server
        if server is not None and server.is_stopping():
            return None  # it is we who fail, and would fail again
        for name, models in state.config.fallbacks.get(failed.name, {}).items():
            logger.warning("chat %s: %s failed, %s is asked", chat.request_id, failed.name, name)
            other = state.providers[name]
            asked = other.fallback_chat(failed, chat, models.get(chat.model, chat.model))
            try:
                call = build_request(state, other, asked, self._deadline)
                return self._attempt(other, asked, call)
            except ChatError as error:
                logger.warning("chat %s: %s failed too: %s", chat.request_id, name, error.code)
                if error.code in ("cancelled", "deadline"):
                    raise
            except Exception:  # of a hook of the host's: the first one's error tells more
                logger.exception("chat %s: %s could not be asked", chat.request_id, name)
        return None

    def _attempt(
        self, provider: Provider, chat: ChatRequest, call: UpstreamRequest
    ) -> StreamingBody:
        """Make one call, and wait until its answer begins."""
        encoder = self._dialect.encoder(chat)
        reader = ChatCompletionParser(
            thinking_tags=provider.thinking_tags, passes_chunks=encoder.passes_chunks
        )
        self._record.start_attempt(chat, reader)
        stream = ResponseStream(call, reader, self._client)
        self._record.upstream_request_id = stream.request_id
        answer = StreamingBody(stream, encoder, self._record, self._state.config.heartbeat)
        answer.start()
        return answer


def build_request(
    state: AppState, provider: Provider, chat: ChatRequest, deadline: float
) -> UpstreamRequest:
    """Turn a chat into a call of its provider, with the key of this chat's user.

    :raises ChatError: when the key, or what the provider needs besides, is missing.
    """
    key = clean_key(state.resolve_key(provider, chat.profile))
    if provider.key_attr and provider.key_required and not key:
        raise ChatError.of(
            "missing_key",
            provider.label,
            provider=provider.name,
            detail=state.why_no_key(provider, chat.profile),
        )
    if not is_header_safe(key):
        raise ChatError.of("bad_key", provider.label, provider=provider.name)
    base_url = state.config.base_urls.get(provider.name, provider.base_url)
    target = provider.target(provider, chat, key, base_url)
    return UpstreamRequest(
        provider=provider.name,
        label=provider.label,
        request_id=chat.request_id,
        url=target.url,
        headers=target.headers,
        query=target.query,
        body=provider.body(
            chat,
            target,
            get_model(
                provider.catalogue,
                chat.model,
                state.config.models.get(provider.name),
                sent_as=target.model,
            ),
        ),
        secrets=tuple({key, *target.secrets()} - {""}),
        connect_timeout=state.config.connect_timeout,
        read_timeout=state.config.read_timeout,
        deadline=deadline,
        max_retries=state.config.max_retries,
        expose_errors=provider.expose_errors,
        public_only=provider.public_only and not state.config.allow_private_endpoints,
    )
