"""What a task submitted from the deck inherits: its directory, umask and environment, less the terminal session."""

from __future__ import annotations

import os
from typing import Any

from app.core import session


def here() -> dict[str, Any]:
    """`cwd`, `umask` and `env` as the verb `submit` takes them."""
    return {"cwd": _directory(), "umask": session.umask(), "env": session.environment()}


def _directory() -> str:
    """The directory that the deck was opened in; the root when it no longer exists."""
    try:
        return os.getcwd()
    except OSError:
        return "/"
