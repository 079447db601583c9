"""The WSGI server of this process: which one it is, and the client's connection."""

from __future__ import annotations

import sys
from functools import partial
from importlib import import_module
from typing import Any

from flask import request

from ..core.server import Server

_SYNC_WORKER = (
    "gunicorn's sync worker serves one request at a time: while a response is streamed every other"
    " request waits, and a response that takes longer than --timeout is killed. Use"
    " `-k gthread --threads 100` or `-k gevent`."
)

_UNPATCHED = (
    "this chat runs under gevent, but {names} of the standard library is not patched: while a"
    " chat waits for its provider every other request waits. Begin the module that starts the"
    " server with `from gevent import monkey; monkey.patch_all()`, before any other import."
)

# The modules in which a connection to a provider waits.
_WAITING = ("socket", "ssl", "select", "time")


def client_socket() -> Any:
    """Return the client's socket where the server shows it: gunicorn and the dev server."""
    environ = request.environ
    return environ.get("gunicorn.socket") or environ.get("werkzeug.socket")


def server() -> Server:
    """Return the server of this request.

    gunicorn does not pass its settings to an app, so this looks for its worker in the call stack.
    """
    frame = sys._getframe()
    while (caller := frame.f_back) is not None:
        frame = caller
        module = frame.f_globals.get("__name__", "")
        worker = frame.f_locals.get("self")
        config = getattr(worker, "cfg", None)
        if module.startswith("gunicorn.workers.") and config is not None:
            return Server(
                threads=config.threads if module.endswith(".gthread") else None,
                workers=config.workers,
                grace=float(config.graceful_timeout),
                is_stopping=partial(_is_stopping, worker),
                unfit=_SYNC_WORKER if module.endswith(".sync") else unpatched_gevent(),
            )
    return Server(unfit=unpatched_gevent())


def _is_stopping(worker: Any) -> bool:
    return not worker.alive


def unpatched_gevent() -> str:
    """Return a warning when this request runs in a greenlet and would block all others; or ""."""
    gevent: Any = sys.modules.get("gevent")
    if gevent is None or not isinstance(gevent.getcurrent(), gevent.Greenlet):
        return ""
    monkey = import_module("gevent.monkey")
    missing = [name for name in _WAITING if not monkey.is_module_patched(name)]
    return _UNPATCHED.format(names=", ".join(missing)) if missing else ""
