"""Creating and upgrading the database: completely or not at all, and never a foreign file."""

from __future__ import annotations

import importlib
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest
from alembic import op
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect
from sqlalchemy.exc import OperationalError

from app.core.ids import make_uuid7
from db.engine import create_write_engine
from db.errors import DamagedDatabase, NewerDatabase, Problem, Storage
from db.maintenance import migrate
from db.queries.tasks import transitions
from db.restore import previous_databases
from db.schema import TRIGGERS, metadata
from tests.db.builders import make_task_row
from tests.db.maintenance.upgrades import read_definitions


def run_query(path: Path, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(path)) as file:
        return file.execute(sql).fetchall()


def run_statement(path: Path, sql: str) -> None:
    """Run a statement as another program would, and truncate the WAL."""
    with closing(sqlite3.connect(path)) as file:
        file.execute(sql)
        file.commit()
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def test_a_new_database_equals_one_made_by_all_revisions(home: Path, database_path: Path):
    revised = home / "revised.db"
    migrate.upgrade(revised)

    assert read_definitions(database_path) == read_definitions(revised)
    indexes = (
        "SELECT tbl_name, group_concat(name) FROM (SELECT * FROM sqlite_master WHERE type = 'index'"
        " ORDER BY rowid) GROUP BY 1"
    )
    assert run_query(database_path, indexes) == run_query(revised, indexes), (
        "their order decides between plans"
    )
    assert {"table", "index", "trigger"} <= {kind for kind, _ in read_definitions(database_path)}
    for pragma in ("application_id", "auto_vacuum", "journal_mode"):
        assert run_query(database_path, f"PRAGMA {pragma}") == run_query(
            revised, f"PRAGMA {pragma}"
        )
    assert (
        run_query(revised, "SELECT * FROM alembic_version")
        == run_query(database_path, "SELECT * FROM alembic_version")
        == [(migrate.HEAD,)]
    )


def test_the_revisions_create_the_schema(home: Path):
    path = home / "revised.db"
    migrate.upgrade(path)
    engine = create_write_engine(path)
    with engine.connect() as c:
        found = compare_metadata(MigrationContext.configure(c), metadata)
    engine.dispose()

    # Reflection cannot see the expressions of this index; the query plan tests cover it.
    unseen = {"idx_tasks_next"}
    assert [step for step in found if getattr(step[1], "name", "") not in unseen] == []


def test_a_database_is_created_once(home: Path):
    path = home / "new.db"

    assert migrate.read_version(path) is None
    assert migrate.migrate(path) == [f"created at {migrate.HEAD}"]
    assert migrate.read_version(path) == migrate.HEAD
    assert migrate.migrate(path) == []


def test_each_new_database_has_a_uuid_of_its_own(home: Path):
    made = [home / "one.db", home / "other.db"]
    for path in made:
        migrate.migrate(path)

    (one,), (other,) = (run_query(path, "SELECT uuid FROM home") for path in made)
    assert len({UUID(one[0]), UUID(other[0])}) == 2


def test_the_known_revisions_match_the_folder():
    folder = Path(importlib.import_module("db.migrations.versions").__path__[0])

    assert sorted(path.name[:4] for path in folder.glob("[0-9]*.py")) == list(migrate.REVISIONS)
    assert migrate.REVISIONS[-1] == migrate.HEAD


@pytest.mark.process
@pytest.mark.parametrize("new", [False, True])
def test_a_usual_start_or_a_new_home_does_not_import_alembic(
    home: Path, database_path: Path, new: bool
):
    look = (
        "import sys; from pathlib import Path; from db.maintenance import migrate;"
        f" migrate.migrate(Path({str(home / 'new.db' if new else database_path)!r}));"
        " print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"


def test_a_failed_creation_leaves_no_table(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(TRIGGERS, "fails", "CREATE TRIGGER of nothing")  # all tables exist by then
    path = home / "new.db"

    with pytest.raises(OperationalError, match="syntax error"):
        migrate.migrate(path)

    assert not path.exists()
    monkeypatch.undo()
    assert migrate.migrate(path) == [f"created at {migrate.HEAD}"]


def test_a_failed_revision_leaves_no_table(home: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(sql: str) -> None:
        assert "pools" in inspect(op.get_bind()).get_table_names()
        raise RuntimeError("power cut")

    monkeypatch.setattr(op, "execute", fail)  # all tables exist by then
    path = home / "new.db"

    with pytest.raises(RuntimeError, match="power cut"):
        migrate.upgrade(path)

    assert run_query(path, "SELECT name FROM sqlite_master") == []


def test_a_failed_upgrade_keeps_the_rows_and_leaves_a_copy(
    database_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(migrate, "HEAD", "0999")

    def half(path: Path, seed: object) -> None:
        engine = create_write_engine(path)
        try:
            with engine.begin() as c:
                c.exec_driver_sql("ALTER TABLE tasks ADD COLUMN mood TEXT")
                c.exec_driver_sql("DELETE FROM queues")
                raise RuntimeError("power cut")
        finally:
            engine.dispose()

    monkeypatch.setattr(migrate, "_upgrade", half)

    with pytest.raises(RuntimeError, match="power cut"):
        migrate.migrate(database_path)

    assert run_query(database_path, "SELECT name FROM queues") == [("default",)]
    assert "mood" not in {row[1] for row in run_query(database_path, "PRAGMA table_info(tasks)")}
    (copy,) = (database_path.parent / "backups").glob("before-0999-*.db")
    assert run_query(copy, "SELECT name FROM queues") == [("default",)]
    assert copy.stat().st_mode & 0o077 == 0


def test_the_copy_of_a_killed_upgrade_goes_with_the_next_one(
    database_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = database_path.parent / "backups"
    folder.mkdir()
    left, other = folder / "before-0005-2026-01-31T080000.000000Z.part", folder / "notes.part"
    for path in (left, left.with_name(f"{left.name}-journal"), other):
        path.write_text("x")
    monkeypatch.setattr(migrate, "HEAD", "0999")
    monkeypatch.setattr(migrate, "_upgrade", lambda path, seed: None)

    migrate.migrate(database_path)

    (copy,) = folder.glob("before-0999-*.db")
    assert {path.name for path in folder.iterdir()} == {copy.name, other.name}


def test_old_copies_from_before_upgrades_go_except_the_newest(database_path: Path):
    folder = database_path.parent / "backups"
    previous_databases.prune_previous(database_path, 0.0)
    folder.mkdir()
    names = [f"before-000{n}-2026-01-3{n}T080000.000000Z.db" for n in (0, 1)]
    for name in (*names, "before-mine.db"):
        (folder / name).write_text("x")
    previous_databases.prune_previous(database_path, 10 * 365 * 86400.0)
    assert len(list(folder.iterdir())) == 3

    previous_databases.prune_previous(database_path, 0.0)

    assert {path.name for path in folder.iterdir()} == {names[1], "before-mine.db"}


def test_a_newer_database_is_refused_and_unchanged(database_path: Path):
    run_statement(database_path, "UPDATE alembic_version SET version_num = '0999'")
    before = database_path.read_bytes()

    with pytest.raises(NewerDatabase, match="newer than this program.*It was not touched") as told:
        migrate.migrate(database_path)

    assert database_path.read_bytes() == before
    assert (told.value.exit_code, "Upgrade" in told.value.hint) == (5, True)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("of another program", "CREATE TABLE songs (title TEXT)"),
        (
            "of another program with its own alembic",
            "CREATE TABLE alembic_version (version_num TEXT)",
        ),
    ],
)
def test_a_foreign_database_is_refused_and_unchanged(home: Path, name: str, make: str):
    path = home / "taskdeck.db"
    run_statement(path, make)
    before = path.read_bytes()

    with pytest.raises(DamagedDatabase, match="another program"):
        migrate.migrate(path)

    assert path.read_bytes() == before, name


def overwrite_header(path: Path) -> None:
    path.write_bytes(b"not a database, " * 64 + path.read_bytes()[1024:])


def cut_last_pages(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8192])


def cut_within_page(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def find_root_offset(path: Path, name: str) -> int:
    """Return the file offset of the root page of a table or index."""
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return (
            file.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0]
            - 1
        ) * 4096


def overwrite_at(path: Path, place: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data)


def empty_version_page(path: Path) -> None:
    overwrite_at(path, find_root_offset(path, "alembic_version") + 4, b"\0")


def empty_first_page(path: Path) -> None:
    overwrite_at(path, 100 + 3, b"\0\0")


def delete_version(path: Path) -> None:
    run_statement(path, "DELETE FROM alembic_version")


def insert_second_version(path: Path) -> None:
    run_statement(path, "INSERT INTO alembic_version VALUES ('0000')")


def drop_version_table(path: Path) -> None:
    run_statement(path, "DROP TABLE alembic_version")


def create_empty_database(path: Path) -> None:
    path.unlink()
    migrate._prepare(path)


def flip_version_bit(path: Path, bit: int) -> None:
    """Flip a bit of the version in its row, not in its index."""
    root, page = find_root_offset(path, "alembic_version"), path.read_bytes()
    at = page.index(migrate.HEAD.encode(), root, root + 4096) + 3
    overwrite_at(path, at, bytes([page[at] ^ bit]))


def flip_version_to_older(path: Path) -> None:
    flip_version_bit(path, 1)


def flip_version_to_newer(path: Path) -> None:
    flip_version_bit(path, 2)


VERSION_LOSSES = (
    empty_version_page, empty_first_page, delete_version, insert_second_version, drop_version_table,
    create_empty_database, flip_version_to_older, flip_version_to_newer,
)  # fmt: skip
"""Ways to lose the version of a database."""


@pytest.mark.parametrize(
    "spoil", [overwrite_header, cut_last_pages, cut_within_page, *VERSION_LOSSES]
)
def test_a_damaged_file_is_refused_and_unchanged(database_path: Path, spoil):
    spoil(database_path)
    before = database_path.read_bytes()

    with pytest.raises(DamagedDatabase, match="damaged") as told:
        migrate.migrate(database_path)

    assert database_path.read_bytes() == before and not (database_path.parent / "backups").exists()
    assert (told.value.exit_code, told.value.code) == (5, DamagedDatabase.code)


def test_a_database_without_tables_is_not_replaced(home: Path):
    path = home / "taskdeck.db"
    run_statement(path, "VACUUM")
    before = path.read_bytes()

    with pytest.raises(DamagedDatabase, match="another program"):
        migrate.migrate(path)

    assert before and path.read_bytes() == before


def test_an_empty_file_becomes_a_database(home: Path):
    path = home / "taskdeck.db"
    path.touch()

    assert migrate.migrate(path) == [f"created at {migrate.HEAD}"]


def test_damage_found_by_the_copy_before_an_upgrade_is_reported(
    database_path: Path, monkeypatch: pytest.MonkeyPatch
):
    index = run_query(
        database_path, "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'queues'"
    )[0][0]
    overwrite_at(database_path, find_root_offset(database_path, index) + 3, b"\0\0")
    monkeypatch.setattr(migrate, "HEAD", "0999")

    with pytest.raises(DamagedDatabase, match="the database is damaged.*It was not written to"):
        migrate.migrate(database_path)

    assert list((database_path.parent / "backups").iterdir()) == []


def test_a_folder_in_place_of_the_database_is_reported(home: Path):
    (home / "taskdeck.db").mkdir()

    with pytest.raises(Storage) as told:
        migrate.migrate(home / "taskdeck.db")

    assert "taskdeck.db" in str(told.value)


def test_an_overwritten_page_is_found_by_the_check(database_path: Path):
    size = 4096
    root = run_query(
        database_path, "SELECT rootpage FROM sqlite_master WHERE name = 'idx_tasks_created'"
    )[0][0]
    with open(database_path, "r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)

    try:
        found = migrate.check_database(database_path)
    except Problem as problem:
        found = [str(problem)]

    assert found and "ok" not in found


def test_the_check_finds_dangling_references_and_wrong_counters(database_path: Path):
    assert migrate.check_database(database_path) == []
    engine = create_write_engine(database_path)
    with engine.begin() as c:
        row = make_task_row()
        transitions.submit(c, [row], [], "ann")
    engine.dispose()
    assert migrate.check_database(database_path) == []

    run_statement(
        database_path, "UPDATE counters SET value = 5 WHERE name = 'tasks/default/queued'"
    )
    run_statement(database_path, f"UPDATE tasks SET env_id = '{make_uuid7()}'")

    found = migrate.check_database(database_path)
    assert "counter tasks/default/queued says 5, there are 1" in found
    assert any("tasks" in line and "environments" in line for line in found)
