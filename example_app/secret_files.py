"""Secrets that are generated once, and stored in a file that only its owner can read."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def read_or_make(folder: str, name: str, make: Callable[[], str]) -> str:
    """Return the secret stored under a name; generate it if there is none.

    Several workers may start at the same moment, and all must get the same secret. So each writes
    a complete file first and then tries to give it the name, at which only one succeeds: no worker
    reads half a secret, or one that is replaced afterwards.

    :param make: returns a new secret.
    """
    path = Path(folder, name)
    if not path.exists():
        handle, draft = tempfile.mkstemp(dir=folder, prefix=f".{name}.")  # has mode 0600
        try:
            with os.fdopen(handle, "w") as file:
                file.write(make())
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            os.unlink(draft)
    return path.read_text().strip()
