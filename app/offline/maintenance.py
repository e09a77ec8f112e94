"""Offline maintenance: create, migrate, check and repair the database without a runtime."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app import paths
from app.core.text.sanitize import sanitize
from app.errors import NotFound
from app.home import restore_advice as advices
from app.home.database_presence import check_database_present
from app.home.lock import hold_lock, hold_stopped_home, is_held
from app.home.setup import prepare_database, require_latest_writes
from app.offline.home_errors import translate_os_errors
from app.offline.read_only import find_lost_writes, make_no_database_error, require_database
from app.paths import get_user_name
from app.service.database import integrity
from app.translation import tr
from db.engine import create_write_engine
from db.errors import (
    BehindDatabase,
    DamagedDatabase,
    OlderDatabase,
    UnnamedDatabase,
    make_damaged_error,
)
from db.maintenance import integrity as checks
from db.maintenance import migrate
from db.maintenance.value_checks import find_unreadable
from db.queries.history.operations import Actor
from db.readonly import open_read_only
from db.restore import swap


def migrate_home(home: str) -> list[str]:
    """Create or upgrade the database without a runtime; return the steps done.

    Raise DamagedDatabase.
    """
    with translate_os_errors(home):
        paths.make_home(Path(home))
        with hold_lock(Path(home)):
            swap.clean_up(paths.get_database_path(Path(home)))
            check_database_present(Path(home))
            if migrate.read_version(paths.get_database_path(Path(home))) not in (
                None,
                migrate.HEAD,
            ):
                require_latest_writes(Path(home))  # same check as at a start
            changes = prepare_database(Path(home))
            if not changes:  # a new database needs no check, and an upgrade has read every page
                checks.check_pages(paths.get_database_path(Path(home)))
                require_latest_writes(Path(home))
            return changes


def migrate_home_to(home: str, revision: str) -> list[str]:
    """Upgrade or downgrade the database to a revision; return the steps done.

    Raise NotFound for an unknown revision or a missing database, and RuntimeExists.
    """
    if revision not in migrate.REVISIONS:
        raise NotFound(
            'there is no revision "{revision}". Known: {known}. Nothing was changed.',
            "The revision of this version: taskdeck db migrate --to {version}",
            revision=sanitize(revision),
            known=", ".join(migrate.REVISIONS),
            version=migrate.HEAD,
        )
    path = paths.get_database_path(Path(home))
    with translate_os_errors(home):
        require_database(path)
        with hold_stopped_home(Path(home), "Nothing was changed."):
            swap.clean_up(path)
            require_latest_writes(Path(home))  # same check as at a start
            return migrate.migrate_to(path, revision)


def check_home(home: str) -> list[str]:
    """Return the problems of the whole database."""
    path = paths.get_database_path(Path(home))
    with translate_os_errors(home):
        require_database(path)
        return integrity.find_problems(Path(home), is_held(Path(home)))


def make_advice(home: str) -> str:
    """Return advice for damage that no repair can fix, else an empty string.

    Such damage is a damaged file, values that cannot be read, or a file that lacks its latest
    writes.
    """
    home_path = Path(home)
    path = paths.get_database_path(home_path)
    if checks.find_damage(path):
        return str(advices.advise_restore(home_path, DamagedDatabase("the database is damaged.")))
    if not is_held(home_path) and integrity.find_lost_writes(home_path):
        return str(
            advices.advise_restore(
                home_path, BehindDatabase("the database lacks its latest writes.")
            )
        )
    with open_read_only(path) as c:
        found = next(find_unreadable(c.execute, integrity.VALIDATORS), None)
    if found is not None:
        return str(
            advices.advise_restore(
                home_path, DamagedDatabase("the database has values that cannot be read.")
            )
        )
    return ""


def refuse_start(home: str) -> None:
    """Raise BehindDatabase if lost writes would prevent a start.

    Only what can be determined quickly is checked.
    """
    with translate_os_errors(home):
        if lost := find_lost_writes(Path(home)):
            raise checks.make_behind_error(paths.get_database_path(Path(home)), lost[0])


def repair_home(home: str) -> dict[str, Any]:
    """Repair derivable data without a runtime; return `done` and remaining `problems`.

    Raise RuntimeExists.
    """
    path = paths.get_database_path(Path(home))
    with translate_os_errors(home), hold_lock(_ensure_home(Path(home))):
        swap.clean_up(path)
        check_database_present(Path(home))
        by = Actor(get_user_name(os.getuid()))
        changes = (
            _run_in_transaction(path, integrity.restore_version, by)
            if checks.is_version_lost(path)
            else []
        )
        try:
            version = migrate.read_version(path)
        except UnnamedDatabase as unnamed:
            raise make_damaged_error(
                path, tr("{why}, and its schema differs from this version", why=unnamed.why)
            ) from None
        if version is None:
            raise make_no_database_error(Path(home))
        if version != migrate.HEAD:
            migrate.require_schema(path, version)
            raise OlderDatabase(path, version, migrate.HEAD)
        if not (checks.find_damage(path) or integrity.find_lost_writes(Path(home))):
            changes += _run_in_transaction(
                path,
                integrity.apply_repairs,
                integrity.find_orphan_logs(Path(home)),
                by,
                integrity.find_highest_number(Path(home)),
                integrity.find_home_uuid(Path(home)),
            )
        problems = integrity.find_problems(Path(home), False)
    return {"ok": not problems, "done": changes, "problems": problems}


def _ensure_home(home: Path) -> Path:
    """Return the home, creating it around a database that exists alone.

    Raise NotFound without both, and DamagedDatabase if a database is missing.
    """
    if paths.get_database_path(home).exists():
        paths.make_home(home)
    elif not (home / "run").is_dir():
        check_database_present(home)
        raise make_no_database_error(home)
    return home


def _run_in_transaction(path: Path, repair: Callable[..., list[str]], *more: Any) -> list[str]:
    """Run `mend(c, …)` in one transaction and return its result."""
    engine = create_write_engine(path)
    try:
        with engine.begin() as c:
            return repair(c, *more)
    finally:
        engine.dispose()
