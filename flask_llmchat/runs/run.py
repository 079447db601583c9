"""Run one chat: admission hooks, the provider's response, and fallbacks until the first byte."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from ..core.error_codes import ERROR_CODES
from ..core.errors import ChatError
from ..core.request import ChatRequest
from ..core.result import ChatResult
from ..dialects import Encoder
from ..protocols import ResponseParser
from ..providers import Provider
from ..transport.runtime import current_runtime
from ..transport.watchdog import CancelToken
from .body import StreamingBody
from .continued_response import ContinuedResponse
from .event_source import EventSource
from .host import Host
from .kept_response import KeptResponse
from .recorder import ChatRecorder
from .response_stream import ResponseStream
from .tool_loop import ToolLoop
from .tool_runner import tool_name
from .upstream_request import UpstreamRequest, build_request

logger = logging.getLogger("flask_llmchat")


class ChatRun:
    """One chat, from its hooks to the first byte of its response.

    Its result is emitted exactly once, whatever happens.

    :param host: the app.
    :param new_encoder: makes the encoder for a response.
    :param may_ask: whether the client can ask the user to approve tool calls.
    :param kept: keeps the response for others; the chat then goes on when its client leaves.
    :param client: the client's socket, if the server gives access to it. When the client closes
        it, a chat whose response is not kept is cancelled.
    """

    def __init__(
        self,
        host: Host,
        new_encoder: Callable[[ChatRequest], Encoder],
        chat: ChatRequest,
        client: socket.socket | None = None,
        *,
        may_ask: bool = False,
        kept: KeptResponse | None = None,
    ) -> None:
        self._host = host
        self._may_ask = may_ask
        self._kept = kept
        self._new_encoder = new_encoder
        self._chat = chat
        self._recorder = ChatRecorder(chat, partial(_finish, host, kept))
        deadline = time.monotonic() + host.config.deadline
        self._cancel = CancelToken(client, deadline, outlives_client=kept is not None)
        if kept is not None:
            self._recorder.stream_id = kept.id
        self._watchdog = current_runtime().watchdog
        self._tools: list[dict[str, Any]] = []  # those of the server, as they are sent

    def start(self, provider: Provider) -> StreamingBody:
        """Call the provider, or a fallback, and wait for the first bytes of the response.

        :return: the body, which owns the event source and has its first bytes.
        :raises ChatError: when a hook or the provider refuses, or a key is missing.
        """
        try:
            request = self._admit(provider)
        except BaseException as error:  # also when the worker is being stopped
            self._recorder.finish("refused", self._host.refusal(error))
            if self._kept:
                self._kept.discard()
            raise
        try:
            self._watchdog.add(self._cancel)
            return self._attempt_with_fallbacks(provider, request)
        except BaseException as error:
            self._watchdog.remove(self._cancel)
            self._recorder.finish_failed(_as_chat_error(error))
            if self._kept:
                self._kept.fail(_as_chat_error(error))
            raise

    def _admit(self, provider: Provider) -> UpstreamRequest:
        """Let the host see, change or refuse the chat; return the request to send."""
        host, chat = self._host, self._chat
        host.chat_started(chat)
        if provider.public_only:
            chat.endpoint = host.load_endpoint(chat.endpoint_id)
        host.offer_tools(chat, may_ask=self._may_ask)
        host.run_before_chat(chat)
        self._recorder.update(chat)
        self._tools = host.tool_definitions(chat)
        if self._kept:
            self._kept.admit(chat)
            self._kept.attach(self._cancel)
        try:
            return build_request(host, provider, self._with_tools(chat), self._cancel.deadline)
        except ChatError as error:
            if error.detail:  # only the app's developer can fix it
                host.warn_once(f"{provider.name} chats are refused: {error.detail}")
            raise

    def _with_tools(self, chat: ChatRequest) -> ChatRequest:
        """Return the chat with the server's tools beside those of the client."""
        return replace(chat, tools=[*(chat.tools or ()), *self._tools]) if self._tools else chat

    def _attempt_with_fallbacks(
        self, provider: Provider, request: UpstreamRequest
    ) -> StreamingBody:
        try:
            return self._attempt(self._with_tools(self._chat), request)
        except ChatError as error:
            first = self._recorder.attempt
            # A tool is never run twice.
            may_fall_back = ERROR_CODES[error.code].fallback and not self._recorder.tool_runs
            if may_fall_back and (body := self._try_fallbacks(provider)):
                return body
            self._recorder.attempt = first  # when all fail, the result has the first error
            raise

    def _try_fallbacks(self, failed: Provider) -> StreamingBody | None:
        """Try the fallbacks in their order; None when all of them fail."""
        chat, host = self._chat, self._host
        if self._watchdog.server_is_stopping():
            return None  # the failure is this server's own, and would repeat
        for name, models in host.config.fallbacks.get(failed.name, {}).items():
            logger.warning("chat %s: %s failed, trying %s", chat.request_id, failed.name, name)
            other = host.providers[name]
            fallback_chat = self._with_tools(
                other.fallback_chat(failed, chat, models.get(chat.model, chat.model))
            )
            try:
                request = build_request(host, other, fallback_chat, self._cancel.deadline)
                return self._attempt(fallback_chat, request)
            except ChatError as error:
                logger.warning("chat %s: %s failed too: %s", chat.request_id, name, error.code)
                if self._cancel.reason not in (None, "timeout"):
                    raise  # no other provider would be called
            except Exception:  # in a hook of the app: the first provider's error is more useful
                logger.exception("chat %s: %s could not be tried", chat.request_id, name)
        return None

    def _attempt(self, chat: ChatRequest, request: UpstreamRequest) -> StreamingBody:
        """Call one provider, with retries, and wait for the first bytes of the response."""
        recorder, runner, approvals = self._recorder, None, self._chat.approvals
        if self._tools or approvals:  # of its own: that of an attempt that failed is closed with it
            deadline = self._cancel.deadline
            runner = self._host.tool_runner(self._chat, deadline, may_ask=self._may_ask)
        encoder = self._new_encoder(chat)
        recorder.message_id = getattr(encoder, "message_id", None)
        if self._kept:
            encoder = self._kept.encoder(encoder)
        self._cancel.forget_timeout()

        def open_response(request: UpstreamRequest) -> tuple[EventSource, ResponseParser]:
            # Chunks hold tool calls that the client must not see.
            passthrough = encoder.passes_chunks and runner is None
            parser = request.protocol.parser(request.row, passthrough=passthrough)
            stream = ResponseStream(
                request,
                parser,
                self._cancel,
                on_failure=recorder.fail_attempt,
                on_retry=recorder.retry_attempt,
                may_be_empty=recorder.has_content,
            )
            recorder.open_attempt(parser, stream.upstream_request_id)
            return stream, parser

        def open_continuation(request: UpstreamRequest) -> tuple[EventSource, ResponseParser]:
            recorder.continue_step()
            return open_response(request)

        def open_step(request: UpstreamRequest) -> EventSource:
            recorder.start_attempt(chat.provider, chat.model)
            if self._kept and (usage := recorder.earlier_usage()):
                self._kept.add_usage(usage)
            source, parser = open_response(request)
            if (chat.provider_tools or chat.extra) and hasattr(parser, "continue_body"):
                return ContinuedResponse(source, parser, request, open_continuation)
            return source

        try:
            if runner is None:
                source = open_step(request)
            else:
                recorder.tool_runs, recorder.approvals = runner.runs, runner.approvals
                source = ToolLoop(
                    None if approvals else open_step(request),
                    request,
                    chat,
                    open_step,
                    runner=runner,
                    recorder=recorder,
                    cancel=self._cancel,
                    host=self._host,
                    client_tools=frozenset(map(tool_name, self._chat.tools or ())),
                    shows_tools=getattr(encoder, "shows_tools", False),
                )
            body = StreamingBody(
                source,
                encoder,
                recorder,
                self._cancel,
                heartbeat=self._host.config.heartbeat,
                kept=self._kept,
            )
            body.start()
        except BaseException as error:
            recorder.fail_attempt(_as_chat_error(error))
            raise
        return body


def _finish(host: Host, kept: KeptResponse | None, result: ChatResult) -> None:
    if kept is None or kept.claim_end(result.outcome):
        host.chat_finished(result)


def _as_chat_error(error: BaseException) -> ChatError:
    if isinstance(error, KeyboardInterrupt):  # somebody at a terminal has stopped it
        return ChatError.of("cancelled")
    return error if isinstance(error, ChatError) else ChatError.of("internal")
