"""The copy of another home's database: nothing is started from it until it is made a home of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app import paths
from app.errors import Conflict, NotFound
from app.offline.usable import usable
from db.copies import look


def copy_at(home: str) -> dict[str, Any]:
    """What the copy at `home` says of itself: origin, at, highest, running. Raises NotFound and Conflict."""
    path = paths.replica(Path(home))
    with usable(home):
        if paths.database(Path(home)).exists():
            raise Conflict(f"{home} is a home of its own already.")
        if not path.exists():
            raise NotFound(f"there is no replica in {home}.", "Name the folder of the copy: --home DIR")
        return look(path)._asdict()
