"""Streams that outlive their reader, kept in memory or in Redis."""

from __future__ import annotations

import weakref
from importlib.util import find_spec

from ..transport.runtime import PerProcess
from .base import Limits, StreamStore

__all__ = ["make_store"]


def make_store(url: str, prefix: str, limits: Limits) -> PerProcess[StreamStore]:
    """Return what gives each process its store. It connects to nothing, and starts no thread.

    :param url: ``memory://``, or the address of a Redis server.
    :param prefix: what every key in Redis begins with.
    :raises ValueError: for a URL of another kind, in words that go on after "The address".
    :raises RuntimeError: when the package redis is needed and missing.
    """
    if url == "memory://":
        from .memory import MemoryStore

        return PerProcess(lambda: MemoryStore(limits))
    from .redis_store.connection import check_url

    check_url(url)
    if find_spec("redis") is None:
        raise RuntimeError(
            "LLMCHAT_STORE needs the package redis: pip install 'flask-llmchat[redis]'"
        )

    def make() -> StreamStore:
        from .redis_store.store import RedisStore

        store = RedisStore(url, prefix, limits)
        # Its threads refer to it, so it would not be closed by itself.
        weakref.finalize(stores, store.close).atexit = False
        return store

    stores = PerProcess(make)
    return stores
