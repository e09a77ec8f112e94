"""The copy of another home's database made a home of its own."""

from __future__ import annotations

import os
from pathlib import Path

from app import paths
from app.offline.copies import copy_at
from app.offline.usable import usable
from app.paths import user_name
from app.runtime.lock import hold_lock
from db import promote, restore


def promote_home(home: str) -> int:
    """Make the copy at `home` a home of its own; the last number that counts as given. Raises NotFound and Conflict: it may be one since
    a person was asked."""
    with usable(home):
        paths.make_home(Path(home))
        with hold_lock(Path(home)):
            restore.sweep(paths.database(Path(home)))
            copy_at(home)
            return promote.promote(paths.replica(Path(home)), paths.database(Path(home)), user_name(os.getuid()))
