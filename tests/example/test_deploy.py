"""The example app as example_app/deploy serves it: nginx and gunicorn, from its very files."""

from __future__ import annotations

import http.client
import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flask_llmchat.core.config import Config
from flask_llmchat.testing import CUT, HOLD, FakeUpstream, Reply, error_reply, event, text_reply
from tests.support.apps import KEYS, body
from tests.support.example import ACCOUNT, ROOT, Browser, environment
from tests.support.server_processes import free_port

DEPLOY = ROOT / "example_app" / "deploy"
# Debian keeps it where only root's PATH leads.
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
WORKERS = ("gthread", "gevent")

pytestmark = pytest.mark.external

needs_nginx = pytest.mark.skipif(
    NGINX is None, reason="no nginx here: apt-get install nginx-light, as root"
)


@dataclass
class Site:
    """gunicorn behind nginx, and somebody who has signed up and saved a key."""

    address: str
    folder: Path
    gunicorn: subprocess.Popen[bytes]
    port: int
    browser: Browser
    upstream: FakeUpstream = field(init=False)

    def read(self, stream: str) -> Any:
        return self.browser._opener.open(f"{self._route}/{stream}/stream", timeout=20)

    def stop(self, stream: str) -> Any:
        return self.ask(b"", f"/{stream}/stop")

    @property
    def _route(self) -> str:
        return f"{self.address}/api/chat/openai"

    def ask(self, content: bytes | None = None, path: str = "", **headers: str) -> Any:
        request = urllib.request.Request(
            f"{self._route}{path}",
            json.dumps(body()).encode() if content is None else content,
            {
                "Content-Type": "application/json",
                "X-CSRFToken": self.browser._token,
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )
        return self.browser._opener.open(request, timeout=20)

    def refused(self, content: bytes | None = None, **headers: str) -> tuple[int, Any, Any]:
        with pytest.raises(urllib.error.HTTPError) as error, self.ask(content, **headers):
            pass
        with error.value as answer:
            assert answer.headers["Content-Type"] == "application/json"
            return answer.status, answer.headers, json.load(answer)

    def logs(self) -> str:
        return "".join(log.read_text() for log in self.folder.glob("*.log"))


@contextmanager
def started(worker: str, folder: Path) -> Iterator[Site]:
    (port, provider), socket = (free_port(), free_port()), folder / "gunicorn.sock"
    # A link and no copy; nginx looks for what it includes beside the link.
    (folder / "nginx.conf").symlink_to(DEPLOY / "nginx.conf")
    (folder / "nginx-listen.conf").write_text(f"listen 127.0.0.1:{port};")
    (folder / "nginx-gunicorn.conf").write_text(f"server unix:{socket};")
    environ = {
        **environment(folder / "instance"),
        "EXAMPLE_BIND": f"unix:{socket}",
        "EXAMPLE_LLMCHAT_BASE_URLS": json.dumps({"openai": f"http://127.0.0.1:{provider}/v1"}),
        "WEB_CONCURRENCY": "1",
    }
    # As root it would run its workers as somebody who may not look into pytest's folders.
    options = "daemon off;" + ("user root;" if os.geteuid() == 0 else "")
    commands = (
        [sys.executable, "-m", "gunicorn", "-c", str(DEPLOY / f"gunicorn_{worker}.py")],
        [str(NGINX), "-p", str(folder), "-c", "nginx.conf", "-g", options],
    )
    with (folder / "output.log").open("ab") as log:
        gunicorn, nginx = (
            subprocess.Popen(
                command, cwd=ROOT, env=environ, stdout=log, stderr=log, start_new_session=True
            )
            for command in commands
        )
    address = f"http://127.0.0.1:{port}"
    site = Site(address, folder, gunicorn, provider, Browser(address))
    try:
        until = time.monotonic() + 30
        while True:
            try:
                site.browser.get("/login")
                break
            except OSError:
                running = gunicorn.poll() is None and nginx.poll() is None
                assert running and time.monotonic() < until, site.logs()
                time.sleep(0.05)
        site.browser.post("/signup", ACCOUNT)
        site.browser.post("/settings", {"openai_api_key": KEYS["openai_api_key"]})
        yield site
    finally:
        for process in (gunicorn, nginx):
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # its workers too
                process.wait()
    assert "planted" not in site.logs()


@pytest.fixture(scope="module", params=WORKERS)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with started(request.param, tmp_path_factory.mktemp(request.param)) as site:
        yield site


@pytest.fixture
def site(shared: Site) -> Iterator[Site]:
    with FakeUpstream(port=shared.port) as shared.upstream:
        yield shared


def said(text: str) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}}]})


@needs_nginx
def test_pieces_come_as_they_are_written(site: Site) -> None:
    site.upstream.add(text_reply("one ", "two ", "three", delay=0.3))
    times, pieces = [], []
    with site.ask(Accept_Encoding="gzip") as answer:
        assert answer.headers["Content-Encoding"] is None
        while piece := answer.read1():
            pieces.append(piece)
            times.append(time.monotonic())
    assert pieces == [b"one ", b"two ", b"three"]
    assert times[1] - times[0] > 0.2 and times[2] - times[1] > 0.2


@needs_nginx
def test_a_cut_answer_never_looks_complete(site: Site) -> None:
    cut = text_reply("Hel", finish_reason=None, usage=None, done=False, then=[CUT])
    site.upstream.add(cut)
    with site.ask() as answer:
        assert answer.read1() == b"Hel"
        with pytest.raises(http.client.IncompleteRead):
            answer.read()


@needs_nginx
def test_an_answer_goes_on_without_its_reader(site: Site) -> None:
    site.upstream.add(text_reply("one ", "two ", "three", delay=0.5))
    with site.ask() as answer:
        assert answer.read1() == b"one "
    times, pieces = [], []
    with site.read(answer.headers["X-LLMChat-Stream"]) as again:
        while piece := again.read1():
            pieces.append(piece)
            times.append(time.monotonic())
    assert b"".join(pieces) == b"one two three"
    assert times[-1] - times[0] > 0.2  # nginx holds nothing of it back either
    assert not site.upstream.gone


@needs_nginx
@pytest.mark.parametrize("body", [[said("Hm"), 0.05] * 200, [said("Hm"), HOLD]])
def test_a_stop_closes_the_upstream(site: Site, body: list[Any]) -> None:
    site.upstream.add(Reply(body=body))
    with site.ask() as answer:
        assert answer.read1().startswith(b"Hm")
    stopped = time.monotonic()
    with site.stop(answer.headers["X-LLMChat-Stream"]) as told:
        assert json.load(told) == {"success": True}
    site.upstream.wait_for(lambda upstream: bool(upstream.gone))
    assert site.upstream.gone[0] - stopped < 1.5


@needs_nginx
def test_a_silent_stream_is_left_alone(site: Site) -> None:
    end = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    site.upstream.add(Reply(body=[0.5, said("Well"), 1.5, said(", yes"), end]))
    with site.ask() as answer:
        assert answer.read() == b"Well, yes"


@needs_nginx
def test_errors_keep_their_status_and_their_words(site: Site) -> None:
    site.upstream.add(error_reply(429, "Slow down", headers={"Retry-After": "9"}))
    status, headers, told = site.refused()
    assert (status, headers["Retry-After"]) == (429, "9")
    assert (told["message"], told["code"]) == ("Slow down", "rate_limited")
    # Statuses for which nginx has words of its own.
    page = Reply(body=[b"<h1>Hello</h1>"], headers={"Content-Type": "text/html"})
    site.upstream.add(page, page)
    status, _, told = site.refused()
    assert (status, told["code"]) == (502, "upstream_error")


@needs_nginx
def test_a_large_body_is_refused_in_words(site: Site) -> None:
    content = json.dumps(body()).encode()
    status, _, told = site.refused(content.ljust(Config().max_content_length + 1))
    assert (status, told["code"]) == (413, "bad_request")
    assert told["message"].startswith("The request is too large")
    with site.ask(content.ljust(Config().max_content_length)) as answer:
        assert answer.read() == b"Hello from the fake upstream."


@needs_nginx
def test_the_app_knows_who_asks_and_of_whom(site: Site) -> None:
    # The host with its port, or this page's own origin would be taken for another site.
    mine = {"Content_Type": "text/plain", "Origin": site.address}
    with site.ask(**mine, X_Forwarded_For="203.0.113.9", X_Forwarded_Host="elsewhere") as answer:
        assert answer.read() == b"Hello from the fake upstream."
    until = time.monotonic() + 5
    while len(lines := re.findall(f".*{answer.headers['X-Request-ID']}", site.logs())) < 2:
        assert time.monotonic() < until, site.logs()
        time.sleep(0.02)
    for line in lines:  # nginx's and gunicorn's
        assert line.startswith("127.0.0.1 ") and '"POST /api/chat/openai" 200' in line


@needs_nginx
def test_a_stop_lets_chats_finish(site: Site) -> None:
    """The last one: it stops the shared server."""
    site.upstream.add(text_reply(*["word "] * 6, delay=0.4))
    texts = []
    with site.ask() as answer:
        reader = threading.Thread(target=lambda: texts.append(answer.read()))
        reader.start()
        site.gunicorn.send_signal(signal.SIGTERM)
        # It listens no more, and nginx says so in a way the page can show.
        until = time.monotonic() + 2
        while (site.folder / "gunicorn.sock").exists():
            assert time.monotonic() < until
            time.sleep(0.02)
        status, headers, told = site.refused()
        assert (status, headers["Retry-After"], told["code"]) == (503, "5", "overloaded")
        assert reader.is_alive()
        reader.join(10)
    assert texts == [b"word " * 6]
    assert site.gunicorn.wait(5) == 0


def test_the_times_go_together() -> None:
    """What waits for a chat waits longer than a chat may take, and so on outwards."""
    defaults = Config()
    nginx = (DEPLOY / "nginx.conf").read_text()
    unit = (DEPLOY / "llmchat.service").read_text()

    def number(pattern: str, text: str) -> int:
        found = re.search(pattern, text)
        assert found
        return int(found[1])

    assert number(r"proxy_read_timeout (\d+)s;", nginx) > defaults.deadline
    assert number(r"client_max_body_size (\d+)m;", nginx) * 2**20 == defaults.max_content_length
    for worker in WORKERS:
        settings = runpy.run_path(str(DEPLOY / f"gunicorn_{worker}.py"))
        assert settings["worker_class"] == worker
        assert settings["graceful_timeout"] > defaults.deadline
        assert number(r"TimeoutStopSec=(\d+)", unit) > settings["graceful_timeout"]
