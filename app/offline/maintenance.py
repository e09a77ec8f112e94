"""The database made, brought up to this version, looked at whole and mended, while no runtime has the home."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app import paths
from app.home import restore_advice as advices
from app.home.database_presence import check_database_present
from app.home.lock import hold_lock, is_held
from app.home.setup import prepare_database, require_latest_writes
from app.offline.home_errors import translate_os_errors
from app.offline.read_only import find_lost_writes, make_no_database_error, require_database
from app.paths import user_name
from app.service.database import integrity
from db.engine import create_write_engine
from db.errors import BehindDatabase, DamagedDatabase, OlderDatabase, UnnamedDatabase, make_damaged_error
from db.maintenance import integrity as checks
from db.maintenance import migrate
from db.queries.operations import Actor
from db.restore import swap


def migrate_home(home: str) -> list[str]:
    """Make or upgrade the database, while no runtime has the home; what was done. Raises DamagedDatabase."""
    with translate_os_errors(home):
        paths.make_home(Path(home))
        with hold_lock(Path(home)):
            swap.clean_up(paths.database_path(Path(home)))
            check_database_present(Path(home))
            if migrate.read_version(paths.database_path(Path(home))) not in (None, migrate.HEAD):
                require_latest_writes(Path(home))  # as a start is
            done = prepare_database(Path(home))
            if not done:  # what is made anew, or upgraded from a copy that was checked, has been read
                checks.check_pages(paths.database_path(Path(home)))
                require_latest_writes(Path(home))
            return done


def check_home(home: str) -> list[str]:
    """What is wrong with the whole database; nothing when it is well."""
    path = paths.database_path(Path(home))
    with translate_os_errors(home):
        require_database(path)
        return integrity.find_problems(Path(home), is_held(Path(home)))


def make_advice(home: str) -> str:
    """What can be done about the database where its file is damaged or it lacks what was written last, which no mending can derive; else
    empty."""
    place = Path(home)
    if checks.find_damage(paths.database_path(place)):
        return str(advices.advise_restore(place, DamagedDatabase("the database is damaged.")))
    if not is_held(place) and integrity.find_lost_writes(place):
        return str(advices.advise_restore(place, BehindDatabase("the database lacks what was written last.")))
    return ""


def refuse_start(home: str) -> None:
    """Raises BehindDatabase where the next runtime would be kept from starting by what is missing: what can be told of that at once."""
    with translate_os_errors(home):
        if lost := find_lost_writes(Path(home)):
            raise checks.make_behind_error(paths.database_path(Path(home)), lost[0])


def repair_home(home: str) -> dict[str, Any]:
    """Mend what can be derived, while no runtime has the home: `done`, and `problems` that are left. Raises RuntimeExists."""
    path = paths.database_path(Path(home))
    with translate_os_errors(home), hold_lock(_ensure_home(Path(home))):
        swap.clean_up(path)
        check_database_present(Path(home))
        by = Actor(user_name(os.getuid()))
        done = _run_in_transaction(path, integrity.restore_version, by) if checks.is_version_lost(path) else []
        try:
            version = migrate.read_version(path)
        except UnnamedDatabase as unnamed:
            raise make_damaged_error(path, f"{unnamed.why}, and not all else of it is as in this version") from None
        if version is None:
            raise make_no_database_error(Path(home))
        if version != migrate.HEAD:
            raise OlderDatabase(path, version, migrate.HEAD)
        if not (checks.find_damage(path) or integrity.find_lost_writes(Path(home))):
            done += _run_in_transaction(path, integrity.apply_repairs, integrity.find_orphan_logs(Path(home)), by, integrity.find_highest_number(Path(home)))
        problems = integrity.find_problems(Path(home), False)
    return {"ok": not problems, "done": done, "problems": problems}


def _ensure_home(home: Path) -> Path:
    """The home, made around a database that may have come alone. Raises NotFound where there is neither, and DamagedDatabase where there
    was one."""
    if paths.database_path(home).exists():
        paths.make_home(home)
    elif not (home / "run").is_dir():
        check_database_present(home)
        raise make_no_database_error(home)
    return home


def _run_in_transaction(path: Path, mend: Callable[..., list[str]], *more: Any) -> list[str]:
    """What `mend(c, …)` did in one transaction."""
    engine = create_write_engine(path)
    try:
        with engine.begin() as c:
            return mend(c, *more)
    finally:
        engine.dispose()
