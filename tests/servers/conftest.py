"""Servers with one store, for all tests of streams: they start slowly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from flask_llmchat.testing import FakeUpstream
from tests.support.machines import ELSEWHERE, Machines
from tests.support.redis_server import RedisServer
from tests.support.server_processes import Server


@pytest.fixture(scope="package")
def machines(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machines]:
    """Start servers with one store, one provider and one list of results."""
    with FakeUpstream() as upstream:
        folder = tmp_path_factory.mktemp("machines")
        machines = Machines(folder, upstream, FLASK_LLMCHAT_STORE=redis_server.url)
        yield machines
    assert redis_server.keys_without_expiry() == []
    endings = Counter(result["id"] for result in machines.results())
    assert [id for id, count in endings.items() if count > 1] == []


@pytest.fixture(scope="package")
def servers(machines: Machines) -> Iterator[dict[str, Server]]:
    """Two machines, with two workers each."""
    options = ("--workers", "2", "--graceful-timeout", "5")
    with (
        machines.started("gthread", "--preload", *options) as gthread,
        machines.started("gevent", *options) as gevent,
    ):
        yield {"gthread": gthread, "gevent": gevent}


@pytest.fixture(params=ELSEWHERE)
def here(request: pytest.FixtureRequest, servers: dict[str, Server]) -> Server:
    return servers[request.param]


@pytest.fixture
def elsewhere(request: pytest.FixtureRequest, servers: dict[str, Server]) -> Server:
    return servers[ELSEWHERE[request.node.callspec.params["here"]]]
