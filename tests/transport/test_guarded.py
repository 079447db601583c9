"""Users' own addresses: what they must not reach, and what they must not hold up."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from flask_llmchat.transport import ssrf, tcp

pytest.importorskip("gevent")


def run(code: str, *before: str, timeout: float = 60) -> Any:
    """Run code in a process of its own; return what it printed as JSON."""
    command = [*before, sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


DEAD_NAMES = """
    from gevent import monkey; monkey.patch_all()
    import gevent, json, socket, time
    from gevent.hub import get_hub
    from flask_llmchat.transport import ssrf as public, tcp

    wait = monkey.get_original("time", "sleep")

    class Resolver(type(get_hub().resolver)):
        def getaddrinfo(self, host, *args, **kwargs):
            if isinstance(host, bytes):
                host = host.decode()
            if host.endswith(".dead.test"):  # in one of the pool's threads, as gevent's own does
                return get_hub().threadpool.apply(wait, (4,)) or []
            return super().getaddrinfo("127.0.0.1", *args, **kwargs)

    get_hub().resolver = Resolver()
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    took = []

    def attack(n):
        begun = time.monotonic()
        try:
            public.connect(f"n{n}.dead.test", port, 0.5)
        except OSError:
            took.append(time.monotonic() - begun)

    attackers = [gevent.spawn(attack, n) for n in range(40)]
    gevent.sleep(0.1)
    begun = time.monotonic()
    tcp.connect("provider.test", port, 5).close()
    honest = time.monotonic() - begun
    gevent.sleep(1.5)
    print(json.dumps({"honest": honest, "gave_up": len(took), "longest": max(took)}))
    import os, sys
    sys.stdout.flush(); os._exit(0)
"""


@pytest.mark.slow
def test_names_that_are_never_answered_hold_up_nobody_else() -> None:
    told = run(DEAD_NAMES)
    assert told["honest"] < 1  # 4 and more, while they hold all threads of the resolver
    assert told["gave_up"] >= 37 and told["longest"] < 1.5


def test_threads_look_names_up_without_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssrf, "current_runtime", None)
    with ssrf._lookup(0):
        pass


class Reached:
    """A socket that is connected somewhere."""

    def __init__(self, own: str, peer: str) -> None:
        self._own, self._peer = own, peer

    def getsockname(self) -> tuple[str, int]:
        return self._own, 1

    def getpeername(self) -> tuple[str, int]:
        return self._peer, 2


@pytest.mark.parametrize(
    ("own", "peer", "passes"),
    [
        ("10.0.0.5", "9.9.9.9", True),
        ("8.8.8.8", "9.9.9.9", True),
        ("2001:4860::1", "2620:fe::fe", True),
        ("9.9.9.9", "9.9.9.9", False),
        ("2620:fe::fe", "2620:fe::fe", False),
        ("10.0.0.5", "10.0.0.6", False),
    ],
)
def test_a_machines_own_address_is_not_public(own: str, peer: str, passes: bool) -> None:
    sock: Any = Reached(own, peer)
    if passes:
        ssrf._check("h", sock)
        return
    with pytest.raises(ssrf.BlockedAddress, match="^'h' does not lead"):
        ssrf._check("h", sock)


OWN_ADDRESS = """
    import json, socket, subprocess
    for command in ("ip addr add 9.9.9.9/32 dev lo", "ip link set lo up"):
        subprocess.run(command.split(), check=True)
    from flask_llmchat.transport import ssrf as public, tcp
    server = socket.create_server(("0.0.0.0", 0))
    port = server.getsockname()[1]
    tcp.connect("9.9.9.9", port, 5).close()  # there is somebody
    try:
        public.connect("9.9.9.9", port, 5)
        told = "connected"
    except public.BlockedAddress as error:
        told = str(error)
    print(json.dumps(told))
"""


@pytest.mark.slow
def test_a_service_of_the_same_machine_is_not_reached_at_its_public_address() -> None:
    apart = ("unshare", "--user", "--map-root-user", "--net")
    can = shutil.which("unshare") and shutil.which("ip")
    if not can or subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespaces here")
    assert run(OWN_ADDRESS, *apart) == "'9.9.9.9' does not lead to a public internet address"


def test_a_connection_that_is_refused_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    made: list[socket.socket] = []
    monkeypatch.setattr(ssrf, "_resolve", lambda *_, **__: tcp.resolve("127.0.0.1", port))
    check = ssrf._check

    def noting(host: str, sock: socket.socket) -> None:
        made.append(sock)
        check(host, sock)

    monkeypatch.setattr(ssrf, "_check", noting)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ssrf.BlockedAddress):
            ssrf.connect("h", port, 5)
    assert made[0].fileno() == -1
