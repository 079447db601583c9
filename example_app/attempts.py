"""A limit of attempts for each address: enough for an example, and no more than that.

Each process counts separately, and starts at zero. Flask-Limiter with a shared store counts for all
processes.
"""

from __future__ import annotations

import ipaddress
import threading
import time

_HOUR = 3600
_MAX_ADDRESSES = 10_000  # all others share one count, so that the counts cannot fill the memory


class Attempts:
    """Counts the attempts of all addresses within an hour.

    :param most: attempts that one address may make.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[str, int] = {}
        self._began = time.monotonic()
        self._lock = threading.Lock()

    def take(self, address: str | None) -> bool:
        """Count an attempt before it is made; return False if there were too many."""
        with self._lock:
            name = self._name(address)
            count = self._counts.get(name, 0)
            if count >= self._most:
                return False
            self._counts[name] = count + 1
            return True

    def give_back(self, address: str | None) -> None:
        """Count one attempt less, after one that is not limited, such as a correct login."""
        with self._lock:
            name = self._name(address)
            self._counts[name] = max(0, self._counts.get(name, 0) - 1)

    def _name(self, address: str | None) -> str:
        if time.monotonic() - self._began > _HOUR:
            self._counts.clear()
            self._began = time.monotonic()
        name = _network(address or "")
        is_known = name in self._counts or len(self._counts) < _MAX_ADDRESSES
        return name if is_known else "others"


def _network(address: str) -> str:
    """Return the network of one customer: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # a socket file, or a name
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((address, 64), strict=False))
