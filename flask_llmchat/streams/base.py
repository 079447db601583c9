"""Streams: responses that other requests can read, while they are written and for a while after.

A *stream* is the response of one chat, under an id of its own. Its *log* is the bytes that the
client of the chat gets. One *writer*, in the worker that runs the chat, appends to it; any number
of *readers*, in any worker, read it from its beginning or from an offset. It belongs to an *owner*,
the caller whose chat it is, and nobody else finds it, reads it or stops it.

A worker holds a *lease*, which it renews. When that runs out, the worker has died or hangs, and its
streams are *orphans*: another worker claims the *ending* of each, once, and tells the readers.

A *store* keeps the streams: in the memory of one process, or in Redis. This module is all that the
rest of the package needs to know of it, but for :func:`flask_llmchat.streams.make_store`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Interruption = Literal["stopped", "interrupted"]
"""Why a chat has to end: somebody pressed stop, or its ending was claimed by another worker."""


class StoreUnavailable(Exception):
    """The store cannot be reached, refuses to write, or is full. A chat can run without it."""


class TooManyRunning(Exception):
    """The owner has as many running streams as are allowed."""


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """What is remembered of an idempotency key.

    :param stream_id: the stream that was opened with it.
    :param digest: what tells its request's body from another one with the same key.
    """

    stream_id: str
    digest: str


class KeyInUse(Exception):
    """A stream of this owner was opened with this idempotency key before.

    :param entry: what is remembered of it.
    """

    def __init__(self, entry: KeyEntry) -> None:
        super().__init__(f"the idempotency key was used for the stream {entry.stream_id}")
        self.entry = entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long streams are kept, and how large they may be.

    :param keep: seconds for which a finished stream can still be read.
    :param longest: seconds after which a running stream is given up: more than any chat takes.
    :param max_bytes: bytes of the largest log. The chat of a larger one goes on, but nobody else
        can read it any more.
    :param store_max_bytes: bytes that all logs in the memory of one process may take. In
        ``memory://`` the oldest finished ones are removed for it.
    """

    keep: float = 300.0
    longest: float = 660.0
    max_bytes: int = 4 * 2**20
    store_max_bytes: int = 256 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """What is known of a stream from its opening.

    :param owner: whose it is: any text that names the caller.
    :param request_id: the chat's id.
    :param provider: the provider in the path of the chat's request.
    :param model: the model that the client asked for.
    :param dialect: the dialect that its bytes are in.
    :param mimetype: the media type of its bytes.
    :param conversation: the client's id of the conversation; None when it sent none.
    :param details: more that readers, or an ending, need; JSON values.
    :param id: never used twice, and not to be guessed.
    :param started: when it was opened, in seconds since the epoch.
    """

    owner: str
    request_id: str
    provider: str
    model: str
    dialect: str
    mimetype: str
    conversation: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    started: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class Orphan:
    """A stream whose worker died, for the one who claimed its ending.

    :param text: the text of the response, as far as it was stored.
    :param state: what its writer passed to :meth:`StreamWriter.update` last.
    """

    info: StreamInfo
    text: str = field(repr=False)
    state: Mapping[str, Any] = field(repr=False)


class StreamWriter(Protocol):
    """The side of a stream that writes it. Only :meth:`StreamStore.open` waits for the store.

    Its chat ends in this order: :meth:`claim_end`; if that is True, the signal ``chat_finished``;
    the last bytes; :meth:`end`. So whoever finds the stream over also finds the chat saved.

    :ivar info: what is known of the stream.
    :ivar interruption: why the chat has to end; None while it may go on.
    """

    info: StreamInfo
    interruption: Interruption | None

    @property
    def is_kept(self) -> bool:
        """Whether it can be read again. False once it, or all streams together, grew too large."""

    @property
    def has_readers(self) -> bool:
        """Whether anybody reads it, in any worker. In Redis this is a few seconds old."""

    def append(self, data: bytes, text: str = "") -> None:
        r"""Add bytes to the log. No comments that only keep a connection open.

        :param data: whole server-sent events, each with the empty line that ends it; or, in a
            dialect without events, any bytes.
        :param text: the text of the response that these bytes bring, for :class:`Orphan`.
        """

    def update(self, state: Mapping[str, Any]) -> None:
        """Replace the state that an ending needs if this worker dies: JSON values, and few."""

    def claim_end(self, outcome: str) -> bool:
        """Claim the ending of the chat. True for one caller alone, among all workers.

        It is also True while the store does not answer: what a claim elsewhere then makes of the
        same chat has its ``request_id``.
        """

    def end(self) -> None:
        """Write the last entry of the log, with the outcome that was claimed.

        It does nothing when another worker has claimed the ending, or when it is called again.
        """

    def discard(self) -> None:
        """Remove the stream, as if it had never been opened: nothing was sent upstream.

        Its idempotency key is free again. Those who read it already get the outcome ``refused``.
        """


class StreamReader(Protocol):
    """The side of a stream that reads it. One thread or greenlet at a time uses it.

    :ivar info: what is known of the stream.
    :ivar outcome: how the chat ended, once :meth:`read` has returned ``b""``.
    :ivar is_whole: False when the log ends before its writer's last bytes: that worker died, or the
        log was lost. The reader's client then lacks what its dialect writes at an end.
    """

    info: StreamInfo
    outcome: str | None
    is_whole: bool

    def read(self, timeout: float | None = None) -> bytes | None:
        """Wait for the next bytes and return them.

        :param timeout: seconds to wait; None waits until bytes or the end come.
        :return: the next bytes; None when the timeout has passed without any, after which reading
            goes on with the next call; ``b""`` at the end, at this call and every further one.
        """

    def close(self) -> None:
        """Release what it holds. It may be called at any time, and more than once."""


class StreamStore(Protocol):
    """Keeps streams. All methods but :meth:`close` may raise :class:`StoreUnavailable`."""

    def open(
        self,
        info: StreamInfo,
        on_interrupt: Callable[[Interruption], object],
        *,
        max_running: int | None = None,
        idempotency_key: str | None = None,
        digest: str = "",
    ) -> StreamWriter:
        """Open a stream. It becomes the running one of its conversation.

        :param on_interrupt: is called once, from another thread, when the chat has to end.
        :param max_running: how many streams of this owner may run at once, this one included.
        :param idempotency_key: the stream is found by it as long as it is kept.
        :param digest: see :class:`KeyEntry`.
        :raises TooManyRunning: when that many are running.
        :raises KeyInUse: when a stream of this owner was opened with this key.
        """

    def find(self, owner: str, name: str) -> StreamInfo | None:
        """Return a stream of the owner: the running one of a conversation, or any by its own id.

        :param name: the conversation's id, or the stream's.
        """

    def find_key(self, owner: str, idempotency_key: str) -> KeyEntry | None:
        """Return what is remembered of an idempotency key of the owner."""

    def read(
        self, owner: str, stream_id: str, *, after_bytes: int = 0, after_events: int = 0
    ) -> StreamReader | None:
        """Return a reader; None when this owner has no such stream, or it is no longer kept.

        :param after_bytes: how many bytes of the log to pass over.
        :param after_events: how many server-sent events to pass over.
        """

    def stop(self, owner: str, stream_id: str) -> bool:
        """Have the worker that runs a stream end its chat; False where there is nothing to end."""

    def running(self, owner: str) -> list[StreamInfo]:
        """Return the owner's running streams, the oldest first."""

    def claim(self, key: str, expires_at: float) -> bool:
        """Claim something that may be done once. True for the first caller among all workers.

        :param expires_at: when it can no longer be done anyway, in seconds since the epoch: the
            claim is remembered until then.
        """

    def watch(self, on_orphan: Callable[[Orphan], object]) -> None:
        """Look after workers that die, from now on and as long as this process lives.

        :param on_orphan: is called, in a thread of its own, with each stream whose ending this
            worker has claimed. Only the first call counts.
        """

    def close(self) -> None:
        """End the threads and connections of this process. Its streams are given up."""
