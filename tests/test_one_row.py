"""A new error code, parameter or provider is one row: everything else follows from it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

ROWS = {
    "core/error_codes.py": (
        "_ROWS = (\n",
        'ErrorCode(code="asleep", status=423, when="The provider sleeps.", retryable=True,'
        ' fallback=True, openai_type="sleep_error", sentence="{label} sleeps."),\n',
    ),
    "core/parameters.py": (
        "PARAMETERS = (\n",
        'Parameter("typical_p", "number", "typicalP", names=("typ_p",), least=0, most=1),\n',
    ),
    "providers/builtin.py": (
        "builtin_providers: tuple[Provider, ...] = (\n",
        'Provider(name="acme", label="Acme", base_url="https://api.acme.example/v1"),\n',
    ),
}

# Runs where the copied package is the one that is imported.
SCRIPT = """
import json, runpy, sys
from pathlib import Path

from flask import Flask

import flask_llmchat
from flask_llmchat import ChatError, LLMChat, openapi
from flask_llmchat.testing import FakeUpstream, text_reply

HI = [{"role": "user", "content": "Hi"}]
UI_HI = [{"id": "1", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}]
BODIES = {
    "text": ("", lambda p: {"chatSettings": {"model": "m", **p}, "messages": HI}, "typicalP"),
    "ui": ("", lambda p: {"chatSettings": {"model": "m", **p}, "messages": UI_HI}, "typicalP"),
    "openai": ("/chat/completions", lambda p: {"model": "m", "messages": HI, **p}, "typ_p"),
}
found = {"package": str(Path(flask_llmchat.__file__).parent)}
found |= {"sent": {}, "refused": {}, "errors": {}}
llmchat = LLMChat()
llmchat.profile_loader(lambda: {"acme_api_key": "k" * 20, "groq_api_key": "k" * 20})
asleep = []

@llmchat.before_chat
def refuse(chat):
    if asleep:
        raise ChatError.of("asleep", "Acme")

with FakeUpstream() as upstream:
    app = Flask("host")
    app.config["LLMCHAT_BASE_URLS"] = {"acme": upstream.base_url}
    app.register_blueprint(llmchat.blueprint)
    client = app.test_client()
    for dialect, (path, body, name) in BODIES.items():
        with client.post(f"/api/chat/acme{path}", json=body({name: 0.25})) as response:
            response.get_data()
        found["sent"][dialect] = [response.status_code, upstream.requests[-1].json.get("typ_p")]
        with client.post(f"/api/chat/acme{path}", json=body({name: 7})) as response:
            found["refused"][dialect] = [response.status_code, response.text]
    asleep.append(True)
    for dialect, (path, body, name) in BODIES.items():
        with client.post(f"/api/chat/acme{path}", json=body({})) as response:
            headers = {k.lower(): v for k, v in response.headers.items()}
            found["errors"][dialect] = [response.status_code, response.text, headers]
found["listed"] = app.test_cli_runner().invoke(args=["llmchat", "providers"]).output
found["document"] = openapi.document(app)
pages = runpy.run_path(sys.argv[1] + "/docs/settings.py")
found["page"] = pages["updated"](Path(sys.argv[1], "docs", "errors.md"))
from flask_llmchat.core.error_codes import ERROR_CODES
row = ERROR_CODES["asleep"]
found["columns"] = [row.retryable, row.fallback, ChatError("x", "asleep").status]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return what a copy of the package does that has one more row of each kind."""
    folder = tmp_path_factory.mktemp("copy")
    caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "flask_llmchat", folder / "flask_llmchat", ignore=caches)
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=caches)
    for name, (begin, row) in ROWS.items():
        path = folder / "flask_llmchat" / name
        source = path.read_text()
        assert source.count(begin) == 1 and row.count("\n") == 1
        path.write_text(source.replace(begin, begin + row))
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert not ran.returncode, ran.stderr
    result = json.loads(ran.stdout)
    assert result["package"] == str(folder / "flask_llmchat")
    return result


def test_a_parameter_is_sent_from_every_dialect(found: Any) -> None:
    assert found["sent"] == dict.fromkeys(("text", "ui", "openai"), [200, 0.25])
    for dialect, (status, message) in found["refused"].items():
        name = "typ_p" if dialect == "openai" else "chatSettings.typicalP"
        assert status == 422
        assert f"{name}: Must be greater than or equal to 0 and less than or equal to 1" in message


def test_a_parameter_is_in_the_openapi_document(found: Any) -> None:
    schemas = found["document"]["components"]["schemas"]
    expected = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
    assert schemas["LLMChatSettings"]["properties"]["typicalP"] == expected
    assert schemas["LLMChatCompletionBody"]["properties"]["typ_p"] == expected


def test_an_error_code_has_the_form_of_every_dialect(found: Any) -> None:
    errors = found["errors"]
    assert [status for status, _, _ in errors.values()] == [423, 423, 423]
    text = json.loads(errors["text"][1])
    assert (text["code"], text["message"]) == ("asleep", "Acme sleeps.")
    assert errors["ui"][1] == "Acme sleeps." and errors["ui"][2]["x-llmchat-error"] == "asleep"
    openai = json.loads(errors["openai"][1])["error"]
    assert (openai["code"], openai["type"]) == ("asleep", "sleep_error")
    assert found["columns"] == [True, True, 423]


def test_an_error_code_is_in_the_openapi_document(found: Any) -> None:
    document = found["document"]
    assert "asleep" in document["components"]["schemas"]["LLMChatErrorCode"]["enum"]
    responses = document["paths"]["/api/chat/acme"]["post"]["responses"]
    assert "The provider sleeps." in json.dumps([responses["423"], document["components"]])


def test_an_error_code_is_in_the_table_of_the_page(found: Any) -> None:
    row = "| `asleep` | 423 | The provider sleeps. | yes | yes | `sleep_error` |"
    assert row in found["page"].splitlines()


def test_a_provider_is_served_listed_and_documented(found: Any) -> None:
    assert "acme" in found["listed"]
    paths = found["document"]["paths"]
    assert {"/api/chat/acme", "/api/chat/acme/chat/completions"} <= paths.keys()
