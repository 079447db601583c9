"""Profiles: whatever shape they have, and whose key goes where."""

from __future__ import annotations

import sqlite3
from types import SimpleNamespace
from typing import Any

import pytest

from flask_llmchat import Profile
from flask_llmchat.core.profiles import read, read_text

ENV = {
    "OPENAI_API_KEY": " sk-env ",
    "OPENAI_ORGANIZATION_ID": "org-env",
    "AZURE_OPENAI_API_KEY": "azure-env",
    "AZURE_OPENAI_ENDPOINT": "https://env.openai.azure.com",
    "AZURE_GPT_35_TURBO_NAME": "env-35",
    "AZURE_GPT_45_TURBO_NAME": "env-45",
    "AZURE_GPT_45_VISION_NAME": "",
    "OPENROUTER_API_KEY": "sk-or-env",
    "GROQ_API_KEY": "",
}


def test_from_env_reads_the_original_names() -> None:
    profile = Profile.from_env(ENV)
    assert profile.openai_api_key == "sk-env"
    assert profile.openai_organization_id == "org-env"
    assert profile.azure_openai_api_key == "azure-env"
    assert profile.azure_openai_endpoint == "https://env.openai.azure.com"
    assert profile.azure_openai_35_turbo_id == "env-35"
    assert profile.azure_openai_45_turbo_id == "env-45"
    assert profile.openrouter_api_key == "sk-or-env"
    assert profile.groq_api_key is None and profile.azure_openai_45_vision_id is None


def test_from_env_reads_the_real_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk_env")
    assert Profile.from_env().groq_api_key == "gsk_env"


def test_no_key_is_in_a_repr() -> None:
    shown = repr(Profile.from_env(ENV))
    assert "org-env" in shown
    for key in ("sk-env", "azure-env", "sk-or-env"):
        assert key not in shown


@pytest.mark.parametrize("shape", [dict, SimpleNamespace, Profile])
def test_over_takes_any_shape_of_profile(shape: Any) -> None:
    user = shape(openai_api_key="sk-user", groq_api_key="gsk_user", openrouter_api_key="")
    servers_first = Profile.from_env(ENV).over(user)
    assert servers_first.openai_api_key == "sk-env"
    assert servers_first.groq_api_key == "gsk_user"
    users_first = Profile().over(user).over(Profile.from_env(ENV))
    assert users_first.openai_api_key == "sk-user"
    assert users_first.groq_api_key == "gsk_user"
    assert users_first.openrouter_api_key == "sk-or-env"


def test_a_key_is_never_parted_from_its_endpoint() -> None:
    hostile = {"azure_openai_endpoint": "https://evil.example"}
    server = Profile(azure_openai_api_key="azure-server")
    assert server.over(hostile).azure_openai_endpoint is None
    assert Profile().over(hostile).over(Profile.from_env(ENV)).azure_openai_endpoint == (
        "https://env.openai.azure.com"
    )
    hostile_key = hostile | {"azure_openai_api_key": "theirs"}
    merged = Profile.from_env(ENV).over(hostile_key)
    assert merged.azure_openai_api_key == "azure-env"
    assert merged.azure_openai_endpoint == "https://env.openai.azure.com"
    merged = Profile().over(hostile_key).over(Profile.from_env(ENV))
    assert merged.azure_openai_api_key == "theirs"
    assert merged.azure_openai_endpoint == "https://evil.example"


def test_an_organization_goes_with_its_key() -> None:
    server = Profile(openai_api_key="sk-server")
    user = {"openai_api_key": "sk-user", "openai_organization_id": "org-user"}
    assert server.over(user).openai_organization_id is None
    assert Profile().over(user).over(server).openai_organization_id == "org-user"


def test_deployments_may_come_from_either() -> None:
    user = {"azure_openai_35_turbo_id": "mine", "azure_openai_deployments": {"gpt-5": "five"}}
    merged = Profile(azure_openai_api_key="k", azure_openai_endpoint="https://e").over(user)
    assert merged.azure_openai_35_turbo_id == "mine"
    assert merged.azure_openai_deployments == {"gpt-5": "five"}


def test_a_row_of_sqlite_is_a_profile() -> None:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    row = connection.execute("select 'sk-row' as openai_api_key, null as groq_api_key").fetchone()
    connection.close()
    assert read_text(row, "openai_api_key") == "sk-row"
    assert read_text(row, "groq_api_key") == ""
    assert read_text(row, "openrouter_api_key") == ""


def test_an_object_with_keys_of_its_own_is_still_an_object() -> None:
    user = SimpleNamespace(keys=["k1"], openai_api_key="sk-user")
    assert read(user, "openai_api_key") == "sk-user"


def test_a_key_that_is_no_text_is_named_and_not_shown() -> None:
    with pytest.raises(TypeError, match="openai_api_key must be a string, not int") as caught:
        read_text({"openai_api_key": 123456}, "openai_api_key")
    assert "123456" not in str(caught.value)


class Row:
    key_attr, key_env = "acme_api_key", "ACME_API_KEY"


@pytest.mark.parametrize("theirs", [{"acme_api_key": "u"}, SimpleNamespace(acme_api_key="u")])
def test_keys_of_added_rows_are_merged(theirs: Any) -> None:
    unset = Profile.from_env({}, providers=[Row()])
    assert read_text(unset.over(theirs), "acme_api_key") == "u"
    blank = Profile(other_keys={"acme_api_key": " "})
    assert read_text(blank.over(theirs), "acme_api_key") == "u"
    server = Profile.from_env({"ACME_API_KEY": "s"}, providers=[Row()])
    assert read_text(server.over(theirs), "acme_api_key") == "s"
    assert read_text(Profile().over({"other_keys": theirs}), "acme_api_key") in ("u", "")


def test_added_keys_cannot_stand_in_for_other_fields() -> None:
    server = Profile(azure_openai_api_key="server", azure_openai_endpoint="https://srv.example")
    hostile = {"other_keys": {"azure_openai_endpoint": "https://evil.example"}}
    merged = server.over(hostile)
    assert read_text(merged, "azure_openai_endpoint") == "https://srv.example"
    empty = Profile(azure_openai_api_key="server").over(hostile)
    assert read_text(empty, "azure_openai_endpoint") == ""
    assert Profile(openai_api_key="k").over({"other_keys": None}).openai_api_key == "k"
