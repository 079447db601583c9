"""Why a profile has no key, for the log: the message to the user does not help a developer."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Container, Mapping
from dataclasses import fields
from typing import Any

from ..core.profiles import KeyedRow, Profile

_FIELDS = {field.name for field in fields(Profile)}


def why_no_key(provider: KeyedRow, profile: Any, app_config: Container[str]) -> str:
    """Return what the profile loader returned, and where in it the key was looked for.

    Only the type of the profile is named, nothing that it holds.

    :param app_config: the app's settings, where some developers put the key.
    """
    name, variable = str(provider.key_attr), str(provider.key_env)
    returned = f"the profile loader returned a {type(profile).__name__}"
    misplaced = f" app.config[{variable!r}] is not looked at." if variable in app_config else ""
    if isinstance(profile, Profile):
        return f"{returned} whose {name} is not set. {_of_environment(name, variable)}{misplaced}"
    if isinstance(profile, Mapping | sqlite3.Row):
        names = profile.keys()
        if name in names:
            return f"{returned} whose {name!r} is empty.{misplaced}"
        other = f" Its {variable!r} is not looked at." if variable in names else ""
        return f"{returned} without the key {name!r}.{other}{misplaced}"
    if hasattr(profile, name):
        return f"{returned} whose attribute {name} is empty.{misplaced}"
    return (
        f"{returned} without the attribute {name}.{misplaced} It has to return a Profile, a mapping"
        " or an object with such attributes; to refuse a request, it returns None or calls abort()."
    )


def _of_environment(name: str, variable: str) -> str:
    source = f"Profile.from_env() reads it from the environment variable {variable}"
    if not os.environ.get(variable):
        return f"{source}, which is not set."
    if name not in _FIELDS:
        return f"{source} when it is given the row: Profile.from_env(providers=[…])."
    return f"{source}, which is set now, and was not when the profile was made."
