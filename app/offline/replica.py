"""Promotion of a replica to a home."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from app import paths
from app.errors import Conflict, NotFound
from app.home.lock import hold_lock
from app.offline.home_errors import translate_os_errors
from app.paths import get_user_name
from db.restore import promote, swap
from db.restore.replica_file import read_identity


def describe_replica(home: str) -> dict[str, Any]:
    """Return origin, at, highest and running of the replica at `home`.

    Raise NotFound and Conflict.
    """
    path = paths.get_replica_path(Path(home))
    with translate_os_errors(home):
        if paths.get_database_path(Path(home)).exists():
            raise Conflict("{home} is already a home.", home=home)
        if not path.exists():
            raise NotFound(
                "there is no replica in {home}.",
                "Give the folder of the replica: --home DIR",
                home=home,
            )
        return read_identity(path)._asdict()


def promote_home(home: str) -> int:
    """Turn the replica at `home` into a home; return the high-water mark.

    Raise NotFound and Conflict: the replica may have been promoted since the confirmation.
    """
    with translate_os_errors(home):
        paths.make_home(Path(home))
        with hold_lock(Path(home)):
            swap.clean_up(paths.get_database_path(Path(home)))
            describe_replica(home)
            return promote.promote_replica(
                paths.get_replica_path(Path(home)),
                paths.get_database_path(Path(home)),
                get_user_name(os.getuid()),
            )
