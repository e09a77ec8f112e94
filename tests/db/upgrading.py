"""Databases of earlier versions with work in them, and upgrades that are killed at their n-th statement.

`python -m tests.db.upgrading OLD FOLDER` kills one upgrade of a copy of OLD after another, one statement later each time, until one
comes to its end; it prints a JSON line for each: the statement, and the version that was found then.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, event

from db import migrate, moves
from db.writer import write_engine
from tests.db.making import Made


def old(folder: Path, revision: str) -> Path:
    """A database of that revision, with tasks in several states, their runs, events and operations."""
    new, path = folder / "new.db", folder / f"{revision}.db"
    if not new.exists():
        _fill(new)
    _make(path, revision)
    with closing(sqlite3.connect(path, isolation_level=None)) as c:
        c.execute("ATTACH ? AS new", (str(new),))
        c.execute("BEGIN")
        for table in _tables(c):
            shared = ", ".join(f'"{name}"' for name in _columns(c, "main", table) if name in _columns(c, "new", table))
            c.execute(f'DELETE FROM "{table}"')
            c.execute(f'INSERT INTO "{table}" ({shared}) SELECT {shared} FROM new."{table}"')
        c.execute("COMMIT")
        c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def rows(path: Path) -> dict[str, list[tuple]]:
    """All rows by table, as far as the first revision has the columns, in the order of their keys."""
    wanted = {"tasks": "uuid, number, status", "instances": "runid, task_id, status", "events": "id, task_id, status",
              "operations": 'id, verb, object', "queues": "name, capacity", "counters": "name, value"}  # fmt: skip
    with closing(sqlite3.connect(path)) as c:
        return {table: c.execute(f"SELECT {names} FROM {table} ORDER BY 1").fetchall() for table, names in wanted.items()}


def _fill(path: Path) -> None:
    _make(path, migrate.HEAD)
    engine = write_engine(path)
    with engine.begin() as c:
        from db.seed import seed

        seed(c)
        made = Made(c)
        first, second = made.task(name="first"), made.task(name="second")
        made.task(name="third", after=[first])
        made.claim(first)
        moves.cancel(c, second, "ann")
    engine.dispose()


def _make(path: Path, revision: str) -> None:
    migrate._prepare(path)
    engine = write_engine(path)
    with engine.begin() as c:
        config = Config()
        config.set_main_option("script_location", "db:migrations")
        config.attributes["connection"] = c
        command.upgrade(config, revision)
    engine.dispose()


def _tables(c: sqlite3.Connection) -> list[str]:
    names = "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'alembic_version'"
    tables = [row[0] for row in c.execute(names)]
    return sorted(tables, key=lambda name: name == "counters")  # last: what triggers counted meanwhile is put right


def _columns(c: sqlite3.Connection, database: str, table: str) -> list[str]:
    return [row[1] for row in c.execute(f'PRAGMA {database}.table_info("{table}")')]


def _kill_at(path: Path, statement: int) -> bool:
    """Upgrade in a process that kills itself before that statement of the transaction; whether it came to its end instead."""
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
    """Kill, look, and let the next upgrade come to its end; until one was not killed."""
    before, statement, ended = rows(source), 0, False
    while not ended:
        statement += 1
        path = folder / "taskdeck.db"
        shutil.copyfile(source, path)
        ended = _kill_at(path, statement)
        found = migrate.version_of(path)
        kept = rows(path) == before
        migrate.migrate(path)
        print(json.dumps({"statement": statement, "ended": ended, "found": found, "kept": kept, "after": rows(path) == before}))
        shutil.rmtree(folder)
        folder.mkdir()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
