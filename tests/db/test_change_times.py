"""Tests that `updated_at` moves with every change of a row."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Float, Integer, LargeBinary, Table

from db import timestamps
from db.queries.history import operations
from db.queries.history.operations import Actor
from db.queries.tasks import transitions
from db.schema import metadata
from tests.db.builders import TaskBuilder

OLD = "2026-01-31T08:00:00.000000Z"


def make_values(table: Table, column: Column) -> tuple[Any, Any]:
    """Return two values of a column."""
    if isinstance(column.type, LargeBinary):
        return b"1", b"2"
    is_number = isinstance(column.type, (Integer, Float))
    return (1, 2) if is_number else ("one", "other")


@pytest.fixture
def file(database_path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection of another program, which checks no foreign keys and constraints."""
    with closing(sqlite3.connect(database_path, isolation_level=None)) as opened:
        opened.execute("PRAGMA ignore_check_constraints = ON")
        yield opened


@pytest.mark.parametrize("name", metadata.tables)
def test_a_change_of_any_column_moves_the_time(file: sqlite3.Connection, name: str):
    table = metadata.tables[name]
    first = {column.name: make_values(table, column)[0] for column in table.columns}
    first["updated_at"] = OLD
    if name == "operations":  # nobody can delete the first ones
        first |= {"id": 99, "undone_by": None}
        where = "WHERE id = 99"
    else:
        file.execute(f"DELETE FROM {name}")
        where = ""
    names = ", ".join(f'"{column}"' for column in first)
    file.execute(
        f"INSERT INTO {name} ({names}) VALUES ({', '.join('?' * len(first))})", list(first.values())
    )

    last = OLD
    for column in table.columns:
        if column.name == "updated_at" or (name, column.name) in APPEND_ONLY:
            continue
        file.execute(
            f'UPDATE {name} SET "{column.name}" = ? {where}', (make_values(table, column)[1],)
        )
        ((moved,),) = file.execute(f"SELECT updated_at FROM {name} {where}")
        assert moved > last and timestamps.is_time(moved), column.name
        last = moved


APPEND_ONLY = {
    ("operations", column.name)
    for column in metadata.tables["operations"].columns
    if column.name != "undone_by"
}
"""Columns that the database never lets anybody change."""


def test_a_given_time_is_kept(file: sqlite3.Connection):
    file.execute("UPDATE queues SET capacity = 7, updated_at = ?", (OLD,))

    assert file.execute("SELECT updated_at FROM queues").fetchall() == [(OLD,)]


def read_rows(c: Connection) -> dict[tuple[str, Any], dict[str, Any]]:
    """Return all rows by table and key."""
    return {
        (table.name, tuple(row._mapping[key.name] for key in table.primary_key)): dict(row._mapping)
        for table in metadata.tables.values()
        for row in c.execute(table.select())
    }


def undo_operation(c: Connection) -> None:
    operations.record(c, Actor("ann"), "hold", "task #1", {"hold": False}, {"hold": True})
    (row,) = operations.list_operations(c, operations.OperationFilter(), 1)
    before = read_rows(c)[("operations", (row.id,))]["updated_at"]
    operations.record_undone(c, Actor("ann"), [(row, {"hold": True}, {"hold": False})])
    assert read_rows(c)[("operations", (row.id,))]["updated_at"] > before


def test_every_step_of_a_task_moves_the_times_of_the_rows_it_changes(
    connection: Connection, builder: TaskBuilder
):
    c = connection
    task = builder.submit_task(retries=1)
    runs: list[str] = []
    steps: list[tuple[Callable[[], Any], set[str]]] = [
        (lambda: transitions.hold(c, [task], True, "ann"), {"tasks", "counters"}),
        (lambda: transitions.hold(c, [task], False, "ann"), {"tasks", "counters"}),
        (lambda: runs.extend(builder.claim_tasks(task)), {"tasks", "queues", "pools", "counters"}),
        (lambda: builder.record_start(runs[0]), {"tasks", "instances"}),
        (lambda: transitions.pause(c, [task], "ann"), {"instances"}),
        (lambda: transitions.cancel(c, [task], "ann"), {"instances"}),
        (
            lambda: builder.record_end(runs[0], None),
            {"tasks", "instances", "queues", "pools", "counters"},
        ),
        (lambda: undo_operation(c), set()),
    ]
    for act, changed in steps:
        before = read_rows(c)
        act()
        after = read_rows(c)
        moved = {
            key: row["updated_at"] > before[key]["updated_at"]
            for key, row in after.items()
            if before.get(key, row) != row
        }
        assert all(moved.values()), moved
        assert {name for name, _ in moved} >= changed


def test_a_task_changed_no_earlier_than_it_started(builder: TaskBuilder):
    task = builder.submit_task()
    builder.start_run(task)

    row = builder.read_row(task)
    assert row.started_at is not None and row.updated_at >= row.started_at
