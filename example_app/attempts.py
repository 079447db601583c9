"""How often one address may try something: enough for an example, and no more than that.

Each process counts for itself, and begins anew when it is started. Flask-Limiter with a store of
its own counts for all of them.
"""

from __future__ import annotations

import ipaddress
import threading
import time

_HOUR = 3600
_MOST_ADDRESSES = 10_000  # the rest share one count, or the counts would be what fills memory


class Attempts:
    """What the addresses of the world have tried within an hour.

    :param most: of one address.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[str, int] = {}
        self._began = time.monotonic()
        self._lock = threading.Lock()

    def take(self, address: str | None) -> bool:
        """Count one more, before it is carried out; or tell that there were too many."""
        with self._lock:
            name = self._name(address)
            count = self._counts.get(name, 0)
            if count >= self._most:
                return False
            self._counts[name] = count + 1
            return True

    def give_back(self, address: str | None) -> None:
        """Count one less: it was none of those that are to be few."""
        with self._lock:
            name = self._name(address)
            self._counts[name] = max(0, self._counts.get(name, 0) - 1)

    def _name(self, address: str | None) -> str:
        if time.monotonic() - self._began > _HOUR:
            self._counts.clear()
            self._began = time.monotonic()
        name = _network(address or "")
        is_known = name in self._counts or len(self._counts) < _MOST_ADDRESSES
        return name if is_known else "others"


def _network(address: str) -> str:
    """Return what one customer of a provider has: of IPv6 that is a whole network."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # a socket file's, or a name
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((address, 64), strict=False))
