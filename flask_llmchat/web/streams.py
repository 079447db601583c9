"""The streams of one instance: responses that clients read again, and chats that they stop."""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

from flask import request

from ..core.caller import Caller
from ..core.errors import ChatError
from ..core.request import ChatRequest
from ..core.result import ChatResult, Usage
from ..dialects.base import Dialect, Encoder, prelude_of
from ..transport.runtime import PerProcess, current_runtime
from .capacity import max_streams
from .missing import NO_CALLERS

if TYPE_CHECKING:
    from ..streams.base import KeyEntry, Orphan, StreamInfo, StreamReader, StreamStore
    from ..streams.response import StreamedResponse
    from .state import AppState

MAX_ID = 256
"""Characters of the id of a conversation; a longer one is not looked for."""

_MAX_DETACHED = 100  # where there is no limit of chats

_OPENING = 1.0
"""Seconds to wait for a stream whose key is taken: another worker may be about to open it."""

_IN_MEMORY = (
    "LLMCHAT_STORE is memory://, and this app has {workers} workers: a response can be read again,"
    " stopped, or counted only in the worker that runs it. Set LLMCHAT_STORE to the address of a"
    " Redis server."
)


class AlreadyOpen(Exception):
    """The same request came before, with the same ``Idempotency-Key``.

    :param info: the stream of its response.
    """

    def __init__(self, info: StreamInfo) -> None:
        super().__init__(info.id)
        self.info = info


class Streams:
    """The streams of one instance in one app. Nothing of them is loaded before it is needed.

    :param name: name of the blueprint.
    :ivar longest: seconds that no chat, and no reader, takes longer than.
    :raises ValueError: when ``LLMCHAT_STORE`` is no address of a store.
    :raises RuntimeError: when a package for it is missing.
    """

    def __init__(self, state: AppState, name: str) -> None:
        self._state = state
        self._name = name
        self.longest = state.config.deadline + 60
        self._store: PerProcess[StreamStore] | None = None
        if state.config.store != "memory://":
            self._store = self._make()

    @property
    def store(self) -> StreamStore:
        """Where they are kept."""
        if self._store is None:
            self._store = self._make()
        return self._store.get()

    def _make(self) -> PerProcess[StreamStore]:
        from ..streams import make_store
        from ..streams.base import Limits

        config, app = self._state.config, self._state.app
        limits = Limits(
            keep=config.stream_keep,
            longest=self.longest,
            max_bytes=config.stream_max_bytes,
            store_max_bytes=config.store_max_bytes,
        )
        prefix = config.store_prefix
        if prefix is None:
            prefix = f"{app.name}:{self._name}:"
        try:
            return make_store(config.store, prefix, limits)
        except ValueError as error:
            raise ValueError(f"LLMCHAT_STORE {error}") from None

    def watch(self) -> None:
        """Look after the streams of workers that die, from the first request on."""
        from ..streams.base import StoreUnavailable

        try:
            self.store.watch(self._finish_orphan)
        except StoreUnavailable:
            return  # the next request tries again

    def _finish_orphan(self, orphan: Orphan) -> None:
        """Send ``chat_finished`` for a chat whose worker died."""
        info, state = orphan.info, orphan.state
        id, team = json.loads(info.owner)
        self._state.chat_finished(
            ChatResult(
                provider=info.provider,
                model=state.get("model", info.model),
                outcome="interrupted",
                text=orphan.text,
                usage=Usage(**state["usage"]) if "usage" in state else None,
                error=ChatError.of("interrupted", provider=info.provider),
                request_id=info.request_id,
                stream_id=info.id,
                message_id=info.details.get("message_id"),
                caller=Caller(id, team),
                conversation_id=info.conversation,
                context=state.get("context", {}),
            )
        )

    def open(
        self, chat: ChatRequest, dialect: Dialect, body: dict[str, Any]
    ) -> StreamedResponse | None:
        """Open the stream of a chat; None for one whose response is not kept.

        :param dialect: that of its response.
        :param body: its request's body.
        :raises AlreadyOpen: when the same request has opened one before.
        :raises ChatError: when the caller has too many chats running, or the key was used for
            another body.
        :raises RuntimeError: when there is no caller loader.
        """
        from ..streams.base import KeyInUse, StoreUnavailable, StreamInfo, TooManyRunning
        from ..streams.response import StreamedResponse

        if self._state.hooks.caller_loader is None:
            raise RuntimeError(NO_CALLERS)
        encoder = dialect.encoder(chat)
        if chat.caller is None or getattr(encoder, "whole", False):
            return None
        prelude = prelude_of(dialect, chat)
        if len(prelude) > self._state.config.stream_max_bytes:
            return None
        info = StreamInfo(
            owner=owner_of(chat.caller),
            request_id=chat.request_id,
            provider=chat.provider,
            model=chat.model,
            dialect=dialect.name,
            mimetype=encoder.mimetype,
            conversation=chat.conversation_id,
            details={
                "message_id": getattr(encoder, "message_id", None),
                "prelude": prelude.decode(errors="backslashreplace"),
            },
        )
        config, key = self._state.config, request.headers.get("Idempotency-Key")
        response = StreamedResponse(
            lambda: dialect.encoder(chat),
            max_detached=config.max_detached or self._default_detached(),
            detached_seconds=config.detached_seconds,
        )
        self._warn_of_memory()
        try:
            writer = self.store.open(
                info,
                response.on_interrupt,
                max_running=config.max_running,
                idempotency_key=key or None,
                digest=_digest(request.path, body) if key else "",
            )
        except TooManyRunning:
            raise ChatError(
                f"{config.max_running} answers are being written for you already. Stop one, or wait"
                " for its end.",
                "rate_limited",
            ) from None
        except KeyInUse as error:
            raise self._of_key(info.owner, error.entry, body) from None
        except StoreUnavailable:
            return None
        response.open(writer)
        return response

    def _of_key(self, owner: str, entry: KeyEntry, body: dict[str, Any]) -> Exception:
        if entry.digest != _digest(request.path, body):
            return ChatError(
                "Idempotency-Key: it was used for another request. Send a new one.", status=422
            )
        until = time.monotonic() + _OPENING
        while (info := self.find(owner, entry.stream_id)) is None and time.monotonic() < until:
            time.sleep(0.05)
        return AlreadyOpen(info) if info else not_kept()

    def _default_detached(self) -> int:
        places = max_streams(self._state.config)
        return _MAX_DETACHED if places is None else max(1, places // 2)

    def _warn_of_memory(self) -> None:
        server = current_runtime().watchdog.server
        if server is not None and server.workers > 1 and self._state.config.store == "memory://":
            self._state.warn_once(_IN_MEMORY.format(workers=server.workers))

    def find(self, owner: str, name: str) -> StreamInfo | None:
        """Return the running stream of a conversation, or any by its own id; None for no stream.

        The same while the store is down: a page would take an error for the end of the chat.
        """
        from ..streams.base import StoreUnavailable

        try:
            return self._find(owner, name)
        except StoreUnavailable:
            return None

    def _find(self, owner: str, name: str) -> StreamInfo | None:
        return self.store.find(owner, name) if len(name) <= MAX_ID else None

    def read(self, info: StreamInfo, after_bytes: int, after_events: int) -> StreamReader | None:
        """Return a reader of a stream, from an offset on; None if it is no longer kept."""
        from ..streams.base import StoreUnavailable

        try:
            return self.store.read(
                info.owner, info.id, after_bytes=after_bytes, after_events=after_events
            )
        except StoreUnavailable:
            return None

    def stop(self, owner: str, name: str, active: str | None) -> None:
        """Stop the chat of a conversation or a stream.

        :param active: the stream that the client takes for the running one; another one goes on.
        :raises ChatError: when the store cannot be reached.
        """
        from ..streams.base import StoreUnavailable

        try:
            info = self._find(owner, name)
            if info is not None and active in (None, info.id):
                self.store.stop(owner, info.id)
        except StoreUnavailable:
            raise cannot_stop() from None

    def running(self, owner: str) -> list[dict[str, Any]]:
        """Return the caller's running streams, as JSON."""
        from ..streams.base import StoreUnavailable

        try:
            found = self.store.running(owner)
        except StoreUnavailable:
            return []
        return [
            {
                "id": info.id,
                "chat": info.conversation,
                "provider": info.provider,
                "model": info.model,
                "started": info.started,
            }
            for info in found
        ]

    def encoder(self, info: StreamInfo) -> Encoder | None:
        """Return an encoder in a stream's dialect; None where the app does not have it any more."""
        for dialect in self._state.llmchat.dialects:
            if dialect.name == info.dialect:
                return dialect.encoder(
                    ChatRequest(
                        provider=info.provider,
                        model=info.model,
                        messages=[],
                        raw={"stream": True},
                        request_id=info.request_id,
                        dialect=info.dialect,
                    )
                )
        return None


def owner_of(caller: Caller) -> str:
    """Return whose streams a caller's are."""
    return json.dumps([caller.id, caller.team])


def cannot_stop() -> ChatError:
    """Return the error for a chat that cannot be stopped while the store is away."""
    return ChatError("The answer could not be stopped. Please try again.", "overloaded")


def not_kept() -> ChatError:
    """Return the error for a chat that was sent before, and whose response is lost."""
    return ChatError("The answer to this request is no longer kept.", status=409)


def _digest(path: str, body: dict[str, Any]) -> str:
    text = json.dumps([path, body], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
