"""What is where in Redis: the keys, the fields of a stream, and the commands that open and end it.

Every key has a time to live, which the worker of a running stream renews.

| key | value |
| --- | --- |
| ``<id>:log`` | the log, a Redis stream. An entry has bytes and text, and where they belong |
| ``<id>:meta`` | a hash: ``info``, ``worker``, ``key``, ``state``, flags, who has ``ended`` it |
| ``<id>:over`` | there once the stream is over, longer than the others |
| ``<id>:read`` | there while somebody reads the stream |
| ``workers`` | the workers that have, or had, running streams |
| ``lease:<worker>`` | there while the worker is alive |
| ``streams:<worker>`` | its running streams |
| ``owner:<hash>`` | the owner's running streams |
| ``chat:<hash>`` | the newest stream of an owner's conversation |
| ``key:<hash>`` | the stream that was opened with an owner's idempotency key, and the digest |
| ``claim:<hash>`` | there once something is claimed |
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..base import StreamInfo
from .connection import Command

FENCE, END = b"9007199254740990-0", b"9007199254740991-0"
"""Ids of entries after which a writer's own are refused: when the ending of an orphan is claimed,
and when a stream has ended."""

REMEMBERED = 3600.0
"""Seconds for which a stream outlives its worker while there is no other one to end it; and for
which it is known that a stream has ended, so that a writer that was stopped meanwhile finds out."""

DAY = 86_400

_FIELDS = {row.name for row in fields(StreamInfo)}


@dataclass(frozen=True, slots=True)
class Stored:
    """A stream as it is stored.

    :param worker: the worker that runs it.
    :param key: the name in Redis of its idempotency key; "" for none.
    :param digest: the digest that came with it.
    """

    info: StreamInfo
    worker: str
    key: str = ""
    digest: str = ""

    @property
    def key_value(self) -> str:
        """What is stored under its idempotency key."""
        return f"{self.info.id} {self.digest}"


class Keys:
    """The names of all keys.

    :param prefix: what every one of them begins with.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.workers = f"{prefix}workers"

    def of(self, stream_id: str, what: str) -> str:
        """Return a key of a stream: its ``log``, ``meta``, ``over`` or ``read``."""
        return f"{self._prefix}{stream_id}:{what}"

    def lease(self, worker: str) -> str:
        """Return the key of a worker's lease."""
        return f"{self._prefix}lease:{worker}"

    def leasing(self, worker: str, seconds: float) -> Command:
        """Return the command that renews a worker's lease."""
        return ("SET", self.lease(worker), 1, "PX", ms(seconds))

    def streams(self, worker: str) -> str:
        """Return the key of a worker's running streams."""
        return f"{self._prefix}streams:{worker}"

    def hashed(self, kind: str, *names: str) -> str:
        """Return a key whose last part comes from clients, and may be long, or private."""
        text = json.dumps(names)  # which tells ("a", "bc") from ("ab", "c")
        return f"{self._prefix}{kind}:{hashlib.sha256(text.encode()).hexdigest()}"

    def opening(self, stored: Stored, *, again: bool = False) -> Iterator[Command]:
        """Yield the commands that add a running stream. The first reply is 0 if its id is taken.

        :param again: it was lost. A newer stream of its conversation stays the newest.
        """
        info, meta = stored.info, self.of(stored.info.id, "meta")
        yield "HSETNX", meta, "worker", stored.worker
        yield "HSET", meta, "info", json.dumps(asdict(info)), "key", stored.key
        yield "SADD", self.streams(stored.worker), info.id
        yield "SADD", self.hashed("owner", info.owner), info.id
        names = ((self._chat(info), info.id), (stored.key, stored.key_value))
        for name, value in names:
            if name:
                yield "SET", name, value, "PX", ms(REMEMBERED), *(("NX",) if again else ())
        yield from self.renewal(stored)

    def renewal(self, stored: Stored) -> Iterator[Command]:
        """Yield the commands that renew the times to live of a running stream."""
        info = stored.info
        for key in (
            self.of(info.id, "log"),
            self.of(info.id, "meta"),
            self.hashed("owner", info.owner),
            self._chat(info),
            stored.key,
        ):
            if key:
                yield "PEXPIRE", key, ms(REMEMBERED)
        yield "EXPIRE", self.streams(stored.worker), DAY

    def _chat(self, info: StreamInfo) -> str:
        if info.conversation is None:
            return ""
        return self.hashed("chat", info.owner, info.conversation)

    def setting(self, stream_id: str, command: str, *field: Any) -> Iterator[Command]:
        """Yield the commands that set a field of ``meta``, which may just have expired."""
        meta = self.of(stream_id, "meta")
        yield command, meta, *field
        yield "PEXPIRE", meta, ms(REMEMBERED), "NX"

    def last_entry(self, info: StreamInfo, outcome: str, size: int, is_whole: bool) -> Command:
        """Return the command that adds the last entry to a log of so many bytes."""
        fields = ("outcome", outcome, "at", size, "whole", int(is_whole))
        return "XADD", self.of(info.id, "log"), END, *fields

    def ending(self, stored: Stored, keep: float) -> Iterator[Command]:
        """Yield the commands that make a stream one that is over, after its last entry.

        :param keep: seconds for which its log can still be read.
        """
        info, meta = stored.info, self.of(stored.info.id, "meta")
        yield "PEXPIRE", self.of(info.id, "log"), ms(keep)
        yield "HSET", meta, "over", 1
        yield "HDEL", meta, "state"
        yield "PEXPIRE", meta, ms(keep)
        yield "SET", self.of(info.id, "over"), 1, "PX", ms(max(keep, REMEMBERED))
        if stored.key:
            yield "PEXPIRE", stored.key, ms(keep)
        yield "SREM", self.hashed("owner", info.owner), info.id
        yield "SREM", self.streams(stored.worker), info.id  # the last: before it, an orphan


def ms(seconds: float) -> int:
    """Return milliseconds, at least one: Redis refuses 0."""
    return max(round(seconds * 1000), 1)


def read_info(stored: bytes) -> StreamInfo:
    """Parse the field ``info``; fields of a newer version of this package are left out."""
    found = json.loads(stored)
    return StreamInfo(**{name: value for name, value in found.items() if name in _FIELDS})


def is_stream_id(name: str) -> bool:
    """Tell whether a name can be the id of a stream. It may be anything that a client sent."""
    return re.fullmatch("[0-9a-f]{32}", name) is not None
