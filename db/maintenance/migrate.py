"""Schema upgrades and downgrades, applied whole or not at all.

A usual start costs one SELECT, and a new home only its tables: Alembic is imported only for a
change of revision.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Index
from sqlalchemy.schema import CreateIndex, CreateTable

from app.translation import tr, tr_noop
from db import raw_sql, timestamps
from db.engine import create_write_engine
from db.error_translation import translate_error
from db.errors import (
    DamagedDatabase,
    NewerDatabase,
    Problem,
    Storage,
    UnnamedDatabase,
    make_damaged_error,
    make_unreleased_error,
)
from db.queries.home import home_identity
from db.readonly import open_read_only
from db.restore import previous_databases
from db.schema import APPLICATION_ID, TRIGGERS, metadata
from db.sqlite_files import fsync_path, make_read_only_uri, remove_database

HEAD = "0024"
REVISIONS = (
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
    "0008",
    "0009",
    "0010",
    "0011",
    "0012",
    "0013",
    "0014",
    "0015",
    "0016",
    "0017",
    "0018",
    "0019",
    "0020",
    "0021",
    "0022",
    "0023",
    "0024",
)
"""All revisions, oldest first."""
SCRIPTS = "db:migrations"
"""Folder of Alembic's environment, in Alembic's notation for a package."""


def read_version(path: Path, make_uri: Callable[[Path], str] = make_read_only_uri) -> str | None:
    """Return the revision of a database, or None for a missing or empty file.

    Raise Storage for a foreign, newer or damaged file.
    """
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(make_uri(path), uri=True, timeout=10)) as c:
            found = _read_version(c, path)
    except raw_sql.DRIVER_ERRORS as error:
        raise translate_error(error, path) or Storage(
            "the database cannot be read ({error}): {path}.", error=error, path=path
        ) from error
    if found is not None and found not in REVISIONS:
        raise NewerDatabase(
            "the database is newer than this program (version {found!r}, expected {head!r}):"
            " {path}. It was not touched, because this program would damage it.",
            "Upgrade Taskdeck.",
            found=found,
            head=HEAD,
            path=path,
        )
    return found


def _read_version(c: sqlite3.Connection, path: Path) -> str | None:
    if not c.execute("PRAGMA page_count").fetchone()[0]:
        return None
    application = c.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID:
        raise DamagedDatabase(
            "{path} is a database of another program. It was not touched.",
            "Choose another home: --home DIR.",
            path=path,
        )
    _require_complete(c, path)
    return _read_revision(c, path)


def _read_revision(c: sqlite3.Connection, path: Path) -> str:
    """Return the revision of the database. Raise DamagedDatabase if there is none.

    The version row is created together with the tables, so a missing row was lost.
    """
    if not c.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"
    ).fetchone():
        raise make_damaged_error(path, "table alembic_version is missing")
    wrong = c.execute("PRAGMA integrity_check(alembic_version)").fetchone()[0]  # takes 10 µs
    if wrong != "ok":
        raise make_damaged_error(
            path, " ".join(wrong.replace("*** in database main ***", "").split())
        )
    found = c.execute("SELECT version_num FROM alembic_version").fetchall()
    if len(found) != 1:
        raise make_damaged_error(
            path,
            tr("{n} rows of alembic_version instead of one", n=len(found)),
            DamagedDatabase if found else UnnamedDatabase,
        )
    return found[0][0]


def _require_complete(c: sqlite3.Connection, path: Path) -> None:
    """Raise DamagedDatabase for a truncated file.

    Without this check, only a read of a missing row would fail.
    """
    pages, size = (
        c.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
    )
    wal = path.with_name(path.name + "-wal")
    if os.path.getsize(path) < pages * size and not (wal.exists() and os.path.getsize(wal)):
        raise DamagedDatabase(
            "the database is damaged: {path} ends early. It was not written to.",
            "Put a good copy in its place.",
            path=path,
        )


def find_missing_columns(c: sqlite3.Connection, revision: str) -> list[str]:
    """Return the missing tables and columns of a revision."""
    found, faults = _list_columns(c.execute), []
    for table, columns in _list_expected_columns(revision).items():
        if table not in found:
            faults.append(tr("table {name} is missing", name=table))
            continue
        faults += [
            tr("column {name} of {table} is missing", name=column, table=table)
            for column in columns
            if column not in found[table]
        ]
    return faults


def _list_expected_columns(revision: str) -> dict[str, list[str]]:
    """Return {table: columns} of a revision.

    For an earlier one than HEAD, run the revisions in memory, which takes 0.5 s.
    """
    if revision == HEAD:
        return {
            table.name: [column.name for column in table.columns]
            for table in metadata.sorted_tables
        }
    engine = create_write_engine(Path(":memory:"))
    try:
        with engine.begin() as c:
            _run_revisions(c, "upgrade", revision)
            return _list_columns(c.exec_driver_sql)
    finally:
        engine.dispose()


def _list_columns(execute: Callable[[str], Iterable[Any]]) -> dict[str, list[str]]:
    """Return {table: columns} of a database. Damaged names may be no text."""
    found: dict[str, list[str]] = {}
    for table, column in execute(
        "SELECT CAST(m.name AS BLOB), CAST(p.name AS BLOB) FROM sqlite_master m"
        " JOIN pragma_table_info(m.name) p WHERE m.type = 'table'"
    ):
        found.setdefault(os.fsdecode(table), []).append(os.fsdecode(column))
    return found


def require_schema(path: Path, revision: str) -> None:
    """Raise Storage if the database lacks tables or columns of its revision.

    Nothing is written. All revisions here have the table `home`; those of the first numbering
    lacked the table, and no commit upgrades them.
    """
    with open_read_only(path) as c:
        missing = find_missing_columns(c, revision)
        has_home = "home" in _list_columns(c.execute)
    if missing and has_home:
        raise make_damaged_error(path, missing[0])
    if missing:
        raise make_unreleased_error(
            tr_noop(
                "the database is from before revisions were renumbered, and commit {commit} is"
                " the last that opens it: {path}. No version upgrades the database. Nothing was"
                " written."
            ),
            path=path,
        )


def _seed_nothing(c: Connection) -> None: ...


def migrate(path: Path, seed: Callable[[Connection], None] = _seed_nothing) -> list[str]:
    """Create or upgrade the database and apply `seed`; return what was done.

    The caller holds the runtime lock.
    """
    found = read_version(path)
    if found == HEAD:
        return []
    if found is None:
        _create(path, seed)
        return [tr("created at {version}", version=HEAD)]
    require_schema(path, found)
    copy = _backup(path, HEAD)
    _upgrade(path, seed)
    return [
        tr("backed up to {copy}", copy=copy),
        tr("upgraded from {found} to {version}", found=found, version=HEAD),
    ]


def migrate_to(path: Path, revision: str) -> list[str]:
    """Upgrade or downgrade the database to a revision; return what was done.

    The caller holds the runtime lock, and the database exists.
    """
    found = str(read_version(path))
    require_schema(path, found)
    if found == revision:
        return []
    copy = _backup(path, revision)
    is_downgrade = REVISIONS.index(revision) < REVISIONS.index(found)
    with _open_transaction(path) as c:
        _run_revisions(c, "downgrade" if is_downgrade else "upgrade", revision)
    done = "downgraded" if is_downgrade else "upgraded"
    return [
        tr("backed up to {copy}", copy=copy),
        tr("{done} from {found} to {revision}", done=done, found=found, revision=revision),
    ]


def _backup(path: Path, revision: str) -> Path:
    """Make and verify a copy with SQLite's backup API before any change."""
    folder = previous_databases.get_copies_folder(path)
    target = folder / f"before-{revision}-{timestamps.now().replace(':', '')}.db"
    part = target.with_suffix(".part")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        _remove_partial_copies(folder)
        part.touch(mode=0o600)
        _copy_verified(path, part)
        part.rename(target)
        fsync_path(folder)
    except (OSError, *raw_sql.DRIVER_ERRORS) as error:
        said = tr(
            "the database could not be backed up before its change ({error}): {folder}."
            " Nothing was changed.",
            error=error,
            folder=folder,
        )
        raise translate_error(error, path) or Storage(
            said, "Make room there, then try again."
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()
    return target


def _remove_partial_copies(folder: Path) -> None:
    """Remove partial copies of a killed process. The lock excludes other writers."""
    for name in os.listdir(folder):
        if (match := previous_databases.COPY_NAME.fullmatch(name)) and match[4] == "part":
            (folder / name).unlink()


def _copy_verified(path: Path, part: Path) -> None:
    """Copy the database and verify the copy: row counts and every page.

    Raise sqlite3.Error for a bad copy, and DamagedDatabase if the database itself is damaged.
    """
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(part)) as copy:
        source.execute("BEGIN")
        source.backup(copy)
        wrong = [row[0] for row in copy.execute("PRAGMA integrity_check(1)") if row[0] != "ok"]
        if wrong:  # the copy equals the source page by page
            raise make_damaged_error(path, " ".join(wrong[0].split()))
        if _count_rows(copy) != _count_rows(source):
            raise sqlite3.DatabaseError("the copy is incomplete: rows are missing")
    fsync_path(part)


def _count_rows(c: sqlite3.Connection) -> dict[str, int]:
    """Return {table: rows}."""
    tables = [
        row[0]
        for row in c.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
    ]
    return {name: c.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables}


def upgrade(path: Path) -> None:
    """Upgrade a database without a backup first. Raise Storage."""
    _upgrade(path)


def _upgrade(path: Path, seed: Callable[[Connection], None] = _seed_nothing) -> None:
    """Apply all revisions in one transaction: a failure leaves the file unchanged."""
    with _open_transaction(path) as c:
        _run_revisions(c, "upgrade", "head")
        seed(c)


def _run_revisions(c: Connection, verb: str, revision: str) -> None:
    """Let Alembic upgrade or downgrade the database to a revision."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    config.attributes["connection"] = c
    getattr(command, verb)(config, revision)


VERSION_TABLE = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc"
    " PRIMARY KEY (version_num))"
)
"""The table as Alembic creates it."""


LATER_INDEXES = (
    "idx_tasks_next", "idx_tasks_priority", "idx_tasks_submitted_by", "idx_instances_long",
    "idx_tasks_of_template", "idx_tasks_started",
    "idx_operations_batch", "idx_operations_origin", "idx_tasks_over", "idx_instances_copies",
    "idx_groups_uuid", "idx_groups_first", "idx_groups_limited", "idx_tasks_group",
    "idx_tasks_single",
    "idx_tasks_oldest",
    "idx_instances_error_copies",
)  # fmt: skip
"""Indexes added by revisions, in order, after those of the first schema.

Of two equally useful indexes SQLite uses the newest, so the order decides query plans.
"""


def _in_order(index: Index) -> tuple[int, str]:
    name = str(index.name)
    return (LATER_INDEXES.index(name) + 1 if name in LATER_INDEXES else 0), name


def _create(path: Path, seed: Callable[[Connection], None]) -> None:
    """Create the current schema at once; a test compares it with the revisions.

    The file is renamed into place when complete. A process killed earlier would leave a journal
    that makes the file unreadable.
    """
    part = path.with_name(f"{path.name}.new")
    remove_database(part)
    with _open_transaction(part) as c:
        for table in metadata.sorted_tables:
            c.execute(CreateTable(table))
        for index in sorted(
            (index for table in metadata.sorted_tables for index in table.indexes), key=_in_order
        ):
            c.execute(CreateIndex(index))
        for statement in (*TRIGGERS.values(), VERSION_TABLE):
            c.exec_driver_sql(statement)
        c.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (HEAD,))
        home_identity.create(c)
        seed(c)
    try:
        fsync_path(part)
        remove_database(path)
        part.rename(path)
        fsync_path(path.parent)
    except OSError as error:
        raise Storage(
            "the database could not be made ({reason}): {path}.",
            "Make room there, then try again.",
            reason=error.strerror,
            path=path,
        ) from error


@contextmanager
def _open_transaction(path: Path) -> Iterator[Connection]:
    """Open a connection with one transaction around all changes. Raise Storage."""
    try:
        _prepare(path)
        engine = create_write_engine(path)
        try:
            with engine.begin() as c:
                yield c
        finally:
            engine.dispose()
    except Exception as error:
        cause = getattr(error, "orig", error)
        problem: Problem | None = (
            translate_error(cause, path) if isinstance(cause, raw_sql.DRIVER_ERRORS) else None
        )
        if problem is None:
            raise
        raise problem from error


def _prepare(path: Path) -> None:
    """Set the pragmas that must precede the first table."""
    with closing(sqlite3.connect(path, isolation_level=None)) as c:
        if not c.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            c.execute("PRAGMA auto_vacuum=INCREMENTAL")
            c.execute(f"PRAGMA application_id={APPLICATION_ID}")
            c.execute("PRAGMA journal_mode=WAL")
    os.chmod(path, 0o600)


def check_database(path: Path) -> list[str]:
    """Run `integrity.check_database`."""
    from db.maintenance.integrity import check_database as whole

    return whole(path)
