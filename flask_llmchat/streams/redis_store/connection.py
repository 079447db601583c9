"""The connections of one process to a Redis server, with time-outs of their own.

redis-py's defaults wait for minutes: with them a blocking XREAD on an idle key hung for 59 seconds
before it failed. Here no command is repeated by the client, for it may have been carried out.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..base import StoreUnavailable

logger = logging.getLogger("flask_llmchat")

TIMEOUT = 0.5
"""Seconds to wait for a connection, or for the next bytes of a reply."""

BLOCK = 0.2
"""Seconds that a read waits for new entries. A reader that comes meanwhile waits for its end."""

_TURNS = 16  # requests that wait for replies at once; further ones wait for their turn
_OWN = 4  # connections for the threads of this package, which wait for no turn
_PATIENCE = 10.0  # seconds to wait for a turn
_COUNT = 500  # entries of a log that are read at once
_PAUSE = 5.0  # seconds in which requests do not try again after a failure
_QUIET = 30.0  # seconds between two lines in the log

_OPTIONS = ("db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs")

_CLUSTER = re.compile("^(Moved|Ask|Cluster)|: (MOVED|ASK|CLUSTERDOWN|CROSSSLOT) ")
_NO_CLUSTER = (
    "it is a Redis Cluster, which is not supported: set LLMCHAT_STORE to a single server, or to one"
    " with replicas"
)

Command = tuple[Any, ...]
Entries = list[tuple[bytes, dict[bytes, bytes]]]
"""Entries of a log, by their ids."""


def check_url(url: str) -> str:
    """Return the URL of a server without its user and password, for logs.

    :raises ValueError: for a URL of another kind, without showing what is in it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # whose message may have a part of the password
        raise ValueError(
            "has no valid host and port: are special characters of the password escaped, as '%2F'?"
        ) from None
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ValueError("must begin with memory://, redis://, rediss:// or unix://")
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _OPTIONS or (name == "db" and not value.isdecimal()):
            raise ValueError(f"must have no options but a numeric db and {', '.join(_OPTIONS[1:])}")
    if parts.scheme == "unix":
        return f"unix://{parts.path}"
    if not re.fullmatch(r"/?\d*", parts.path):
        raise ValueError("must have nothing after its host but the number of a database")
    return f"{parts.scheme}://{parts.hostname or 'localhost'}:{port or 6379}{parts.path}"


class Connection:
    """Sends commands to a server. Making it connects to nothing.

    :param url: as for :func:`check_url`; its query may have options of redis-py for TLS.
    """

    def __init__(self, url: str) -> None:
        redis: Any = import_module("redis")  # which takes 0.3 s

        self._address = check_url(url)
        self._errors = (redis.RedisError, OSError)

        def client(seconds: float, connections: int) -> Any:
            options: dict[str, Any] = {
                **redis.connection.parse_url(url),
                "socket_timeout": seconds,
                "socket_connect_timeout": TIMEOUT,
                "retry": None,
                "retry_on_timeout": False,
                "retry_on_error": [],
                "health_check_interval": 30,
                "protocol": 2,
                "decode_responses": False,
                "max_connections": connections,
                "timeout": TIMEOUT,  # to wait for one of them
            }
            return redis.Redis(connection_pool=redis.BlockingConnectionPool(**options))

        self._commands = client(TIMEOUT, _TURNS + _OWN)
        self._blocking = client(BLOCK + 2, 1)
        self._turns = threading.BoundedSemaphore(_TURNS)
        self._failed_at = -_PAUSE
        self._logged_at = -_QUIET
        self.answered_at = time.monotonic()

    def check(self) -> None:
        """Spare a request the wait, where the server did not answer in the last seconds.

        :raises StoreUnavailable: then.
        """
        if time.monotonic() < self._failed_at + _PAUSE:
            raise StoreUnavailable(f"{self._address} has just failed")

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the turn of a request to send commands.

        When thousands of clients come back at once, those that wait for the others' replies must
        not take the server for down.

        :raises StoreUnavailable: where the server does not answer, or the turn does not come.
        """
        self.check()
        if not self._turns.acquire(timeout=_PATIENCE):
            raise StoreUnavailable(f"{self._address} is used by too many requests")
        try:
            self.check()
            yield
        finally:
            self._turns.release()

    def ask(self, *commands: Command) -> list[Any]:
        """Send commands and return the replies.

        :raises StoreUnavailable: when the server does not answer, or refuses one of them.
        """
        replies = self.send(commands)
        for reply in replies:
            if isinstance(reply, Exception):
                raise self.failure(reply)
        return replies

    def send(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands and return the replies, of which each may be an exception.

        :raises StoreUnavailable: when the server does not answer.
        """
        if not commands:
            return []
        pipeline = self._commands.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        try:
            replies: list[Any] = pipeline.execute(raise_on_error=False)
        except self._errors as error:
            self._failed_at = time.monotonic()
            raise self.failure(error) from None
        self._failed_at, self.answered_at = -_PAUSE, time.monotonic()
        return replies

    def entries(self, key: str, last_id: bytes) -> Entries:
        """Return the next entries of a log, some hundreds at most.

        :param last_id: the id after which to read.
        :raises StoreUnavailable: when the server does not answer.
        """
        found: Entries
        (found,) = self.ask(("XRANGE", key, b"(" + last_id, "+", "COUNT", _COUNT))
        return found

    def wait_for_entries(self, last_ids: dict[str, bytes]) -> list[tuple[bytes, Entries]]:
        """Wait for new entries of logs, and return them with their keys.

        :param last_ids: the ids after which to read, by key.
        :raises StoreUnavailable: when the server does not answer.
        """
        try:
            found: list[tuple[bytes, Entries]] = self._blocking.xread(
                dict(last_ids), count=_COUNT, block=round(BLOCK * 1000)
            )
        except self._errors as error:
            raise self.failure(error) from None
        return found

    def failure(self, error: Exception) -> StoreUnavailable:
        """Return the error for the rest of the package, and log it now and then."""
        # The server's words for an unknown command go on with its arguments.
        reason = f"{type(error).__name__}: {str(error).partition(', with args')[0]}"
        if _CLUSTER.search(reason):
            reason = _NO_CLUSTER
        if time.monotonic() >= self._logged_at + _QUIET:
            self._logged_at = time.monotonic()
            logger.warning("the store %s is not available: %s", self._address, reason)
        return StoreUnavailable(f"{self._address}: {reason}")

    def close(self) -> None:
        """Close all connections."""
        self._commands.connection_pool.disconnect()
        self._blocking.connection_pool.disconnect()
