"""Stores to test, and what has to hold after each test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flask_llmchat.streams import make_store
from flask_llmchat.streams.base import Limits, StreamStore
from tests.support.redis_server import RedisServer
from tests.support.stores import wait_until


@pytest.fixture
def worker(redis: RedisServer) -> Iterator[Callable[..., StreamStore]]:
    """Return a function that makes one more worker of a shared store."""
    from flask_llmchat.streams.redis_store.flusher import Timing
    from flask_llmchat.streams.redis_store.store import RedisStore

    made = []

    def make(url: str = "", lease: float = 5, **limits: Any) -> StreamStore:
        timing = Timing(gather=0.01, beat=0.05, lease=lease)
        made.append(RedisStore(url or redis.url, "test:", Limits(**limits), timing))
        return made[-1]

    before = threading.active_count()
    yield make
    for store in made:
        store.close()
    wait_until(lambda: threading.active_count() <= before)


@pytest.fixture(params=["memory", "redis"])
def new_store(request: pytest.FixtureRequest) -> Callable[..., StreamStore]:
    """Return a function that makes a store."""
    if request.param == "redis":
        return request.getfixturevalue("worker")
    return lambda **limits: make_store("memory://", "", Limits(**limits)).get()


@pytest.fixture
def store(new_store: Callable[..., StreamStore]) -> StreamStore:
    return new_store()


@pytest.fixture
def elsewhere(request: pytest.FixtureRequest, store: StreamStore) -> StreamStore:
    """The store as another worker has it; in memory there is but one."""
    is_shared = request.node.callspec.params["new_store"] == "redis"
    return request.getfixturevalue("worker")() if is_shared else store
