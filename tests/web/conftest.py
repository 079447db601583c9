"""What the tests of streams are run with."""

from __future__ import annotations

import pytest

from tests.support.redis_server import RedisServer
from tests.support.streams import DIALECTS


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest) -> str:
    """The address of a store."""
    if request.param == "memory":
        return "memory://"
    server: RedisServer = request.getfixturevalue("redis")
    return server.url


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    """The dialect of a chat."""
    return str(request.param)
