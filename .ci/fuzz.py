"""Requests made from the OpenAPI document, right and wrong ones, against an app that is served.

Every right one has to be answered as documented, every wrong one refused. Needs the ``fuzz``
extra, and takes half a minute. The requests are the same every time, unless options of
schemathesis are given: ``python .ci/fuzz.py --seed 7 --max-examples 1000``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import schemathesis
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

sys.path.insert(0, str(Path(__file__).parents[1]))

from flask_llmchat import LLMChat, builtin_providers, openapi
from flask_llmchat.testing import FakeUpstream
from tests.support.known_deviations import UNTELLABLE, as_told, forgiving

PROVIDER = "mistral"
"""One that takes parameters of its own."""


@schemathesis.check
def right_ones_are_taken(ctx: Any, response: Any, case: Any) -> None:
    """Stricter than schemathesis' own: a refusal has to be for what no schema can tell."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code < 300:
        return
    text = response.content.decode()
    if case.path.endswith("/{model}") and response.status_code == 404:
        return
    assert response.status_code == 422 and UNTELLABLE.search(text), (
        f"a request that the document allows was refused ({response.status_code}): {text}"
    )


@schemathesis.check
def wrong_ones_are_refused(ctx: Any, response: Any, case: Any) -> None:
    """More lenient than schemathesis' own: some is taken that nobody is told to send."""
    if case.method == "POST" and response.status_code < 300:
        body = json.loads(response.request.body)
        validator = _validators()[case.path]
        assert validator.is_valid(body) or validator.is_valid(as_told(body)), (
            f"a request that the document does not allow was taken: {body}"
        )


@cache
def _validators() -> dict[str, Any]:
    told = forgiving(openapi.document(_make_app("http://nowhere")))
    return {
        path: jsonschema_rs.Draft202012Validator(
            {
                **methods["post"]["requestBody"]["content"]["application/json"]["schema"],
                "components": told["components"],
            }
        )
        for path, methods in told["paths"].items()
        if "post" in methods
    }


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


def _make_app(base_url: str) -> Flask:
    (row,) = (row for row in builtin_providers if row.name == PROVIDER)
    llmchat = LLMChat(providers=[row])
    llmchat.profile_loader(lambda: {row.key_attr: "k"})
    app = Flask("fuzzed")
    app.config["LLMCHAT_BASE_URLS"] = {row.name: base_url}
    app.config["LLMCHAT_MAX_MESSAGES"] = 4
    app.register_blueprint(llmchat.blueprint)

    @app.errorhandler(404)
    def no_route(error: Exception) -> Any:
        # A model's name with a line break in it leads to no route of ours.
        told = {"message": "Not found", "type": "x", "code": "model_not_found", "param": None}
        return {"error": told}, 404

    @app.get("/openapi.json")
    def document() -> Any:
        told = openapi.document(app)
        for response in told["components"]["responses"].values():
            # Schemathesis takes the schema of a stream for that of each event in it.
            if "text/event-stream" in response["content"]:
                response["content"]["text/event-stream"] = {}
        for path in told["paths"].values():
            for method in path.values():
                if isinstance(method, dict):
                    method["responses"].pop("default", None)  # or any status would be documented
        return told

    return app


def _main() -> int:
    with FakeUpstream() as upstream:
        server = make_server(
            "127.0.0.1", 0, _make_app(upstream.base_url), threaded=True, request_handler=_Quiet
        )
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run"),
            f"http://127.0.0.1:{server.server_port}/openapi.json",
            *("--phases", "examples,coverage,fuzzing", "--checks", "all"),
            *("--exclude-checks", "positive_data_acceptance,negative_data_rejection"),  # see above
            *("--suppress-health-check", "all"),
            *("--request-timeout", "10", "--continue-on-failure", "--no-color", "--no-shrink"),
            *(sys.argv[1:] or ["--generation-deterministic", "--max-examples", "100"]),
        ]
        hooks = {"SCHEMATHESIS_HOOKS": "fuzz", "PYTHONPATH": str(Path(__file__).parent.resolve())}
        try:
            with tempfile.TemporaryDirectory() as here:  # it keeps what failed where it runs
                limit = None if sys.argv[1:] else 300
                environ = {**os.environ, **hooks}
                done = subprocess.run(command, env=environ, cwd=here, timeout=limit)
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
        answered = len(upstream.requests)
        print(f"{answered} chats reached the provider")
        return done.returncode or (0 if answered > 100 else 1)


if __name__ == "__main__":
    sys.exit(_main())
