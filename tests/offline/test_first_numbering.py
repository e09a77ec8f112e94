"""Homes whose tables are not those of their revision: refused, and not written to."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from app import paths
from app.home.lock import hold_lock
from app.home.setup import prepare_in_subprocess
from app.offline import backup, maintenance, read_only, restore
from db.errors import DamagedDatabase, Problem, UnreleasedDatabase
from db.maintenance import integrity, migrate

SCHEMA = Path(__file__).with_name("first_numbering.sql")
READ_ONLY_FILES = {"taskdeck.db-shm", "taskdeck.db-wal"}
"""Files that a reader of SQLite makes."""


@pytest.fixture
def first_home(home: Path) -> Path:
    """Return a home of revision 0005 of the first numbering."""
    with closing(sqlite3.connect(paths.get_database_path(home))) as c:
        c.executescript(SCHEMA.read_text("utf-8"))
    return home


def start(home: str) -> None:
    with hold_lock(Path(home)):
        prepare_in_subprocess(Path(home))


def read_files(home: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in home.iterdir()
        if path.is_file() and path.name not in READ_ONLY_FILES
    } | {folder.name: b"" for folder in home.iterdir() if folder.is_dir()}


WAYS_IN: dict[str, Callable[[str], object]] = {
    "start": start,
    "migrate": maintenance.migrate_home,
    "migrate --to a later one": lambda home: maintenance.migrate_home_to(home, "0010"),
    "migrate --to the same one": lambda home: maintenance.migrate_home_to(home, "0005"),
    "check": maintenance.check_home,
    "repair": maintenance.repair_home,
    "status": lambda home: read_only.read(home, "status", {}),
    "ls": lambda home: read_only.read(home, "ls", {}),
}


@pytest.mark.parametrize("way", WAYS_IN)
def test_a_home_of_the_first_numbering_is_refused_unwritten(first_home: Path, way: str):
    before = read_files(first_home)

    with pytest.raises(UnreleasedDatabase, match="commit c03696b5 is the last") as refused:
        WAYS_IN[way](os.fspath(first_home))

    assert refused.value.exit_code == 5 and refused.value.hint.endswith("taskdeck ls --json")
    assert read_files(first_home) == before


def test_a_backup_of_the_first_numbering_is_not_restored(first_home: Path):
    backup.take_backup(os.fspath(first_home), {}, lambda text: None)
    before = read_files(first_home)

    with pytest.raises(UnreleasedDatabase, match="commit c03696b5.*Nothing was restored"):
        restore.restore_home(
            os.fspath(first_home), None, None, lambda told: True, is_interactive=True
        )

    assert read_files(first_home) == before


def test_an_earlier_revision_without_one_of_its_tables_is_damaged(home: Path, database_path: Path):
    migrate.migrate_to(database_path, "0023")
    with closing(sqlite3.connect(database_path)) as c:
        c.execute("DROP TABLE silences")
    copies = sorted((home / "backups").iterdir())
    before = read_files(home)

    for change in (maintenance.migrate_home, start):
        with pytest.raises(DamagedDatabase, match="table silences is missing"):
            change(os.fspath(home))

    assert read_files(home) == before and sorted((home / "backups").iterdir()) == copies


def test_a_start_after_a_crash_finds_a_missing_table(database_path: Path):
    with closing(sqlite3.connect(database_path)) as c:
        c.execute("DROP TABLE silences")

    with pytest.raises(Problem, match="table silences is missing"):
        integrity.check_pages(database_path)
