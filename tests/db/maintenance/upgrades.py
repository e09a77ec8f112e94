"""Databases of earlier revisions, and upgrades that are killed at the n-th statement.

`python -m tests.db.maintenance.upgrades OLD FOLDER` upgrades copies of OLD and kills each upgrade
one statement later than the previous one, until an upgrade completes. It prints one JSON line for
each upgrade: the statement, and the revision found afterwards.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from db.defaults import create_defaults
from db.engine import create_write_engine
from db.maintenance import migrate
from db.queries.history import operations
from db.queries.tasks import transitions
from tests.db.builders import TaskBuilder

LATER = f"{int(migrate.HEAD) + 1:04d}"
"""A made-up revision that adds the tables of `_ADDED`, which the revision before then lacks."""
_ADDED = ("history", "slow_queries")
_WITHOUT_ADDED = f"""
_upgrade = upgrade


def upgrade():
    _upgrade()
    for name in {_ADDED}:
        op.drop_table(name)
"""
_REVISION = f"""
from alembic import op
from db.schema import TRIGGERS, metadata

revision = "{LATER}"
down_revision = "{migrate.REVISIONS[-1]}"


def upgrade():
    for name in {_ADDED}:
        metadata.tables[name].create(op.get_bind())
        op.execute(TRIGGERS["touch_" + name])
    op.execute("UPDATE tasks SET updated_at = updated_at")
    op.execute("UPDATE instances SET updated_at = updated_at")
"""


def add_later_revision(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the program be of the made-up revision, which is written into `folder`."""
    scripts = folder / "migrations"
    shutil.copytree(
        Path(migrate.__file__).parents[1] / "migrations",
        scripts,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    (present,) = (scripts / "versions").glob(f"{migrate.HEAD}_*.py")
    present.write_text(present.read_text() + _WITHOUT_ADDED)
    (scripts / "versions" / f"{LATER}_later.py").write_text(_REVISION)
    monkeypatch.setattr(migrate, "SCRIPTS", os.fspath(scripts))
    monkeypatch.setattr(migrate, "REVISIONS", (*migrate.REVISIONS, LATER))
    monkeypatch.setattr(migrate, "HEAD", LATER)


def make_old_database(folder: Path) -> Path:
    """Return a database of `revision` with tasks in several states.

    It holds runs, events and operations too.
    """
    path = folder / "old.db"
    migrate.migrate(path, create_defaults)
    fill_database(path)
    engine = create_write_engine(path)
    with engine.begin() as c:
        for name in _ADDED:
            c.exec_driver_sql(f"DROP TABLE {name}")
    engine.dispose()
    return path


def fill_database(path: Path) -> None:
    """Add tasks in several states, with a run, events and operations."""
    engine = create_write_engine(path)
    with engine.begin() as c:
        made = TaskBuilder(c)
        first, second = made.submit_task(name="first"), made.submit_task(name="second")
        made.submit_task(name="third", after=[first])
        made.claim_tasks(first)
        transitions.cancel(c, [second], "ann")
        operations.record(c, "ann", "cancel", "task #2", {"status": "queued"})
    engine.dispose()


def read_definitions(path: Path) -> dict[tuple[str, str], list[str]]:
    """Return {(kind, name): sorted parts of the definition}.

    The order of constraints means nothing.
    """
    with closing(sqlite3.connect(path)) as c:
        found = c.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master").fetchall()
    return {
        (kind, name): sorted(
            part.strip(",()") for part in re.split("(?=CONSTRAINT)", "".join(sql.split()))
        )
        for kind, name, sql in found
    }


def read_all_rows(path: Path) -> dict[str, list[tuple]]:
    """Return all rows by table in key order, limited to columns of the first revision."""
    wanted = {"tasks": "uuid, number, status", "instances": "runid, task_id, status",
    "events": "id, task_id, status",
              "operations": 'id, verb, object', "queues": "name, capacity",
              "counters": "name, value"}  # fmt: skip
    with closing(sqlite3.connect(path)) as c:
        return {
            table: c.execute(f"SELECT {names} FROM {table} ORDER BY 1").fetchall()
            for table, names in wanted.items()
        }


def _upgrade_until(path: Path, statement: int) -> bool:
    """Upgrade in a process that kills itself before `statement`.

    Return True when the upgrade completed first.
    """
    pid = os.fork()
    if not pid:
        seen = 0

        def look(*_: object) -> None:
            nonlocal seen
            seen += 1
            if seen == statement:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(Engine, "before_cursor_execute", look)
        event.listen(Engine, "commit", look)
        migrate.migrate(path)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def main(source: Path, folder: Path) -> None:
    """Kill upgrades one statement later each time, until one completes."""
    add_later_revision(source.parent, pytest.MonkeyPatch())
    before, statement, ended = read_all_rows(source), 0, False
    while not ended:
        statement += 1
        path = folder / "taskdeck.db"
        shutil.copyfile(source, path)
        ended = _upgrade_until(path, statement)
        found = migrate.read_version(path)
        kept = read_all_rows(path) == before
        migrate.migrate(path)
        print(
            json.dumps(
                {
                    "statement": statement,
                    "ended": ended,
                    "found": found,
                    "kept": kept,
                    "after": read_all_rows(path) == before,
                }
            )
        )
        shutil.rmtree(folder)
        folder.mkdir()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
