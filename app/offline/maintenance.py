"""The database made, brought up to this version, looked at whole and mended, while no runtime has the home."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app import paths
from app.home import restore_advice as advices
from app.home.database_presence import check_in_place
from app.home.lock import held, hold_lock
from app.home.setup import prepare, refuse_behind
from app.offline.home_errors import usable
from app.offline.read_only import behind, look_there, none_yet
from app.paths import user_name
from app.service.database import integrity
from db.engine import write_engine
from db.errors import BehindDatabase, DamagedDatabase, OlderDatabase, UnnamedDatabase, damaged
from db.maintenance import integrity as checks
from db.maintenance import migrate
from db.queries.operations import By
from db.restore import swap


def migrate_home(home: str) -> list[str]:
    """Make or upgrade the database, while no runtime has the home; what was done. Raises DamagedDatabase."""
    with usable(home):
        paths.make_home(Path(home))
        with hold_lock(Path(home)):
            swap.sweep(paths.database(Path(home)))
            check_in_place(Path(home))
            if migrate.version_of(paths.database(Path(home))) not in (None, migrate.HEAD):
                refuse_behind(Path(home))  # as a start is
            done = prepare(Path(home))
            if not done:  # what is made anew, or upgraded from a copy that was checked, has been read
                checks.quick(paths.database(Path(home)))
                refuse_behind(Path(home))
            return done


def check_home(home: str) -> list[str]:
    """What is wrong with the whole database; nothing when it is well."""
    path = paths.database(Path(home))
    with usable(home):
        look_there(path)
        return integrity.examine(Path(home), held(Path(home)))


def advice(home: str) -> str:
    """What can be done about the database where its file is damaged or it lacks what was written last, which no mending can derive; else
    empty."""
    place = Path(home)
    if checks.damage(paths.database(place)):
        return str(advices.advice(place, DamagedDatabase("the database is damaged.")))
    if not held(place) and integrity.lacking(place):
        return str(advices.advice(place, BehindDatabase("the database lacks what was written last.")))
    return ""


def refuse_start(home: str) -> None:
    """Raises BehindDatabase where the next runtime would be kept from starting by what is missing: what can be told of that at once."""
    with usable(home):
        if lost := behind(Path(home)):
            raise checks.behind(paths.database(Path(home)), lost[0])


def repair_home(home: str) -> dict[str, Any]:
    """Mend what can be derived, while no runtime has the home: `done`, and `problems` that are left. Raises RuntimeExists."""
    path = paths.database(Path(home))
    with usable(home), hold_lock(_made(Path(home))):
        swap.sweep(path)
        check_in_place(Path(home))
        by = By(user_name(os.getuid()))
        done = _written(path, integrity.name_version, by) if checks.is_unnamed(path) else []
        try:
            version = migrate.version_of(path)
        except UnnamedDatabase as unnamed:
            raise damaged(path, f"{unnamed.why}, and not all else of it is as in this version") from None
        if version is None:
            raise none_yet(Path(home))
        if version != migrate.HEAD:
            raise OlderDatabase(path, version, migrate.HEAD)
        if not (checks.damage(path) or integrity.lacking(Path(home))):
            done += _written(path, integrity.mend, integrity.logs_of_nobody(Path(home)), by, integrity.highest(Path(home)))
        problems = integrity.examine(Path(home), False)
    return {"ok": not problems, "done": done, "problems": problems}


def _made(home: Path) -> Path:
    """The home, made around a database that may have come alone. Raises NotFound where there is neither, and DamagedDatabase where there
    was one."""
    if paths.database(home).exists():
        paths.make_home(home)
    elif not (home / "run").is_dir():
        check_in_place(home)
        raise none_yet(home)
    return home


def _written(path: Path, mend: Callable[..., list[str]], *more: Any) -> list[str]:
    """What `mend(c, …)` did in one transaction."""
    engine = write_engine(path)
    try:
        with engine.begin() as c:
            return mend(c, *more)
    finally:
        engine.dispose()
