"""A home in which the copy of another one lies."""

from __future__ import annotations

import shlex
from pathlib import Path

from app import paths
from app.errors import Conflict
from db.copies import whose


def refuse_copy(home: Path) -> None:
    """Raise Conflict where the copy of another home lies: a fresh home beside it would only hide it."""
    if paths.replica(home).exists() and not paths.database(home).exists():
        of = whose(paths.replica(home))[0] or "another home"
        said = f"{home} is the replica of {of}. Nothing is started from it."
        raise Conflict(said, f"Make it the home: taskdeck --home {shlex.quote(str(home))} db promote")
