"""Upgrades from every earlier revision: complete or undone, and only after a verified copy."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from app.core.dependency_kinds import KIND_WORDS
from db.defaults import create_defaults
from db.engine import create_write_engine
from db.errors import Storage
from db.maintenance import migrate
from db.maintenance.integrity import check_database
from db.queries.tasks import groups
from db.schema import metadata
from tests.db.builders import TaskBuilder
from tests.db.maintenance.upgrades import (
    LATER,
    add_later_revision,
    fill_database,
    make_old_database,
    read_all_rows,
    read_definitions,
)

EARLIER_REVISIONS = migrate.HEAD


def is_sound(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as c:
        well = c.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return well and c.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a database of the revision before that of the program."""
    made = make_old_database(tmp_path)
    add_later_revision(tmp_path, monkeypatch)
    return made


def test_an_earlier_version_becomes_this_one_with_its_work(path: Path):
    before = read_all_rows(path)
    assert len(before["tasks"]) == 3 and before["instances"] and before["counters"]

    backed_up, upgraded = migrate.migrate(path)

    assert upgraded == f"upgraded from {EARLIER_REVISIONS} to {LATER}"
    assert read_all_rows(path) == before and is_sound(path)
    copy = Path(backed_up.removeprefix("backed up to "))
    assert migrate.read_version(copy) == EARLIER_REVISIONS and read_all_rows(copy) == before
    engine = create_write_engine(path)
    with engine.connect() as c:
        found = compare_metadata(MigrationContext.configure(c), metadata)
    engine.dispose()
    assert [step for step in found if getattr(step[1], "name", "") != "idx_tasks_next"] == []


@pytest.mark.process
def test_an_upgrade_killed_at_any_statement_leaves_the_old_or_new_revision(tmp_path: Path):
    source = make_old_database(tmp_path)
    folder = tmp_path / "killed"
    folder.mkdir()
    run = [sys.executable, "-m", "tests.db.maintenance.upgrades", str(source), str(folder)]

    done = subprocess.run(run, capture_output=True, text=True, check=True)

    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) > 10 and [one["ended"] for one in told] == [False] * (len(told) - 1) + [True]
    assert {one["found"] for one in told[:-1]} == {EARLIER_REVISIONS} and told[-1]["found"] == LATER
    assert all(one["kept"] and one["after"] for one in told)


def make_revision(path: Path, revision: str) -> Path:
    """Return a new database of a revision."""
    with migrate._open_transaction(path) as c:
        migrate._run_revisions(c, "upgrade", revision)
    return path


def read_columns(path: Path) -> dict[str, list[tuple]]:
    """Return all rows by table, but the revision, without the columns that are NULL.

    A table of a later revision has no rows, and a column of a later revision is NULL.
    """
    with closing(sqlite3.connect(path)) as c:
        present = {name for (name,) in c.execute("SELECT name FROM sqlite_master")}
        return {
            name: sorted(_read_rows(c, name), key=repr) if name in present else []
            for name in metadata.tables
        }


def _read_rows(c: sqlite3.Connection, table: str) -> Iterator[tuple]:
    found = c.execute(f"SELECT * FROM {table}")
    names = [column[0] for column in found.description]
    for row in found:
        yield tuple((n, value) for n, value in zip(names, row, strict=True) if value is not None)


def test_every_revision_goes_down_and_up_again_with_all_rows(tmp_path: Path):
    path = tmp_path / "taskdeck.db"
    migrate.migrate(path, create_defaults)
    fill_database(path)
    schemas = {
        revision: read_definitions(make_revision(tmp_path / f"{revision}.db", revision))
        for revision in migrate.REVISIONS
    }
    rows, at = read_columns(path), migrate.HEAD
    assert read_definitions(path) == schemas[at] and rows["tasks"] and rows["operations"]

    for revision in (*reversed(migrate.REVISIONS[:-1]), *migrate.REVISIONS[1:]):
        backed_up, changed = migrate.migrate_to(path, revision)

        assert changed.endswith(f"graded from {at} to {revision}")
        copy = Path(backed_up.removeprefix("backed up to "))
        assert copy.name.startswith(f"before-{revision}-")
        assert (migrate.read_version(copy), read_columns(copy)) == (at, rows)
        assert (migrate.read_version(path), read_columns(path)) == (revision, rows)
        assert read_definitions(path) == schemas[revision] and is_sound(path)
        at = revision
    assert migrate.migrate_to(path, at) == []


def test_a_failed_downgrade_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "taskdeck.db"
    migrate.migrate(path, create_defaults)
    schema = read_definitions(path)
    run_revisions = migrate._run_revisions

    def fail(c: Connection, verb: str, revision: str) -> None:
        run_revisions(c, verb, revision)
        raise RuntimeError("power cut")

    monkeypatch.setattr(migrate, "_run_revisions", fail)
    with pytest.raises(RuntimeError, match="power cut"):
        migrate.migrate_to(path, migrate.REVISIONS[0])

    assert (migrate.read_version(path), read_definitions(path)) == (migrate.HEAD, schema)


def test_no_upgrade_without_a_copy(path: Path):
    before = read_all_rows(path)
    (path.parent / "backups").write_text("no folder")

    with pytest.raises(
        Storage, match="could not be backed up before its change.*Nothing was changed"
    ):
        migrate.migrate(path)

    assert migrate.read_version(path) == EARLIER_REVISIONS and read_all_rows(path) == before


def test_an_unsound_copy_is_not_a_backup(path: Path, monkeypatch: pytest.MonkeyPatch):
    counted = iter([{"tasks": 2}, {"tasks": 3}])
    monkeypatch.setattr(migrate, "_count_rows", lambda c: next(counted))

    with pytest.raises(Storage, match="the copy is incomplete: rows are missing"):
        migrate.migrate(path)

    assert migrate.read_version(path) == EARLIER_REVISIONS
    assert os.listdir(path.parent / "backups") == []


def test_only_silences_with_matchers_are_lost_below_their_revision(tmp_path: Path):
    path = tmp_path / "taskdeck.db"
    migrate.migrate(path, create_defaults)
    rows = "SELECT id, sla_id, matchers, reason, until FROM silences ORDER BY id"
    with closing(sqlite3.connect(path)) as c:
        c.executescript(
            "INSERT INTO slas (id, name, conditions, actions, priority, enabled, created_at,"
            " updated_at) VALUES (7, 'late', '{}', '{}', 2, 1, '', '');"
            "INSERT INTO silences (sla_id, matchers, by, until, created_at, updated_at) VALUES"
            " (7, NULL, 'ann', '2026', '', ''), (NULL, '{}', 'ann', '2026', '', '')"
        )
        assert len(c.execute(rows).fetchall()) == 2

    for direction, revision in (("downgrade", "0008"), ("upgrade", migrate.HEAD)):
        with migrate._open_transaction(path) as c:
            migrate._run_revisions(c, direction, revision)

    with closing(sqlite3.connect(path)) as c:
        assert c.execute(rows).fetchall() == [(1, 7, None, None, "2026")]
    assert is_sound(path)


def test_a_task_that_waits_for_a_failure_is_held_below_its_revision(tmp_path: Path):
    path = tmp_path / "taskdeck.db"
    migrate.migrate(path, create_defaults)
    engine = create_write_engine(path)
    with engine.begin() as c:
        made = TaskBuilder(c)
        first = made.submit_task(name="first")
        gone = made.submit_task(name="gone", after=[first])
        made.submit_task(name="cleanup", after_failure=[first])
        made.submit_task(name="beside", after_start=[first])
        c.exec_driver_sql("DELETE FROM dependencies WHERE task_id = ?", (gone,))
    engine.dispose()
    rows = (
        "SELECT d.rowid, t.name, t.status, d.kind FROM dependencies d JOIN tasks t ON t.uuid ="
        " d.task_id ORDER BY d.rowid"
    )

    for direction, revision in (("downgrade", "0012"), ("upgrade", migrate.HEAD)):
        with migrate._open_transaction(path) as c:
            migrate._run_revisions(c, direction, revision)

    with closing(sqlite3.connect(path)) as c:
        assert c.execute(rows).fetchall() == [
            (2, "cleanup", "held", "any"),
            (3, "beside", "blocked", "any"),
        ]
    assert is_sound(path) and check_database(path) == []


def test_tasks_of_groups_keep_their_variables_below_the_revision(tmp_path: Path):
    path = tmp_path / "taskdeck.db"
    migrate.migrate(path, create_defaults)
    engine = create_write_engine(path)
    with engine.begin() as c:
        made = TaskBuilder(c)
        numbers = [groups.create(c, made.submit_task(name="x"), "x", "ann", n) for n in (None, 8)]
        sweep = json.dumps({"lr": "\udc80"})
        made.submit_task(name="free", group_number=numbers[0], group_index=7, env={"A": "1"})
        made.submit_task(name="limited", group_number=numbers[1], sweep=sweep)
    engine.dispose()

    for direction, revision in (("downgrade", "0014"), ("upgrade", migrate.HEAD)):
        with migrate._open_transaction(path) as c:
            migrate._run_revisions(c, direction, revision)

    with closing(sqlite3.connect(path)) as c:
        rows = c.execute("SELECT name, status, env FROM tasks WHERE name <> 'x'").fetchall()
    assert [(name, status, json.loads(env)) for name, status, env in rows] == [
        ("free", "queued", {"A": "1", "TASKDECK_ARRAY_INDEX": "7", "TASKDECK_GROUP": "g1"}),
        ("limited", "held", {"TASKDECK_PARAM_lr": "\udc80", "TASKDECK_GROUP": "g2"}),
    ]
    assert is_sound(path) and check_database(path) == []


def test_an_upgraded_database_equals_a_new_one_and_takes_all_kinds(tmp_path: Path):
    path = make_revision(tmp_path / "taskdeck.db", "0012")
    fill = "INSERT INTO dependencies (task_id, parent_id, kind, created_at, updated_at) VALUES"
    with closing(sqlite3.connect(path)) as c, c:
        c.execute(f"{fill} ('a', 'b', 'success', '', '')")  # without foreign keys

    migrate.migrate(path)

    new = tmp_path / "new.db"
    migrate.migrate(new, create_defaults)
    assert read_definitions(path) == read_definitions(new)
    with closing(sqlite3.connect(path)) as c:
        for kind in KIND_WORDS:
            c.execute(f"{fill} (?, 'b', ?, '', '')", (kind, kind))
        with pytest.raises(sqlite3.IntegrityError, match="ck_dependencies_kind"):
            c.execute(f"{fill} ('x', 'b', 'x', '', '')")


def test_a_silence_of_a_missing_rule_does_not_prevent_the_upgrade(tmp_path: Path):
    path = make_revision(tmp_path / "taskdeck.db", "0008")
    with closing(sqlite3.connect(path)) as c:
        c.executescript(
            "INSERT INTO silences (sla_id, by, until, created_at, updated_at) VALUES"
            " (99, 'ann', '2026', '', '')"
        )

    make_revision(path, "0009")

    with closing(sqlite3.connect(path)) as c:
        assert c.execute("SELECT count(*) FROM silences").fetchone() == (0,)


def test_only_the_channels_of_templates_are_lost_below_their_revision(tmp_path: Path):
    path = tmp_path / "taskdeck.db"
    migrate.migrate(path, create_defaults)
    with closing(sqlite3.connect(path)) as c:
        c.executescript(
            "INSERT INTO templates (name, type, engine, schema, parameters, queue, notify,"
            " notify_on, created_at, updated_at) VALUES ('t', 'exec', 'exec', '{}', '{}',"
            " 'default', 'ops', 'failed', '', '')"
        )

    for direction, revision in (("downgrade", "0009"), ("upgrade", migrate.HEAD)):
        with migrate._open_transaction(path) as c:
            migrate._run_revisions(c, direction, revision)

    with closing(sqlite3.connect(path)) as c:
        rows = c.execute("SELECT name, queue, notify, notify_on FROM templates").fetchall()
    assert rows == [("t", "default", None, None)] and is_sound(path)
