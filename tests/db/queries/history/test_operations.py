"""The operation log: append-only but for the undo mark, and pruned by whole months."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from db import raw_sql, timestamps
from db.queries.history import operations
from db.queries.history.operations import Actor
from db.queries.home import retention
from tests.db.queries.home.pruning import make_rules, prune_all


def insert_operations(c: Connection, *times: str) -> list[int]:
    """Insert one operation for each time and return the ids."""
    made = []
    for at in times:
        c.exec_driver_sql(
            "INSERT INTO operations (\"by\", verb, object, created_at, updated_at) VALUES ('ann',"
            " 'hold', 'task #1', ?, ?)",
            (at, at),
        )
        made.append(c.exec_driver_sql("SELECT max(id) FROM operations").scalar_one())
    return made


def list_ids(c: Connection) -> list[int]:
    return [
        row.id
        for row in reversed(operations.list_operations(c, operations.OperationFilter(by="ann"), 0))
    ]


@pytest.fixture
def empty_log_connection(connection: Connection) -> Connection:
    """Return a connection whose own first log entries are gone."""
    retention._allow_deletion(connection, 999912)
    connection.exec_driver_sql("DELETE FROM operations")
    connection.exec_driver_sql(
        "DELETE FROM counters WHERE name = ?", (retention.OPERATIONS_KEPT_FROM,)
    )
    return connection


@pytest.mark.parametrize(
    "column",
    [
        "by",
        "verb",
        "object",
        "before",
        "after",
        "created_at",
        "source",
        "origin",
        "batch",
        "undoes",
    ],
)
def test_no_written_column_can_be_changed(connection: Connection, column: str):
    (made,) = insert_operations(connection, timestamps.now())

    with pytest.raises(IntegrityError, match="append-only"):
        connection.exec_driver_sql(
            f"UPDATE operations SET \"{column}\" = '7' WHERE id = ?", (made,)
        )


def test_an_undo_is_marked_once(connection: Connection):
    by = Actor("ann")
    operations.record(connection, by, "hold", "task #1", {"hold": False}, {"hold": True})
    (row,) = operations.list_by_id(connection, by.recorded)

    operations.record_undone(connection, Actor("bob"), [(row, {"hold": True}, {"hold": False})])

    (marked,) = operations.list_by_id(connection, by.recorded)
    (undo,) = operations.list_by_id(connection, [marked.undone_by or 0])
    assert (undo.verb, undo.undoes, undo.by) == ("undo hold", row.id, "bob")
    assert marked.updated_at > row.updated_at
    assert marked._replace(undone_by=None, updated_at=row.updated_at) == row
    with pytest.raises(IntegrityError, match="append-only"):
        connection.exec_driver_sql("UPDATE operations SET undone_by = NULL WHERE id = ?", (row.id,))


def test_no_entry_can_be_deleted_before_its_month_expires(connection: Connection):
    (made,) = insert_operations(connection, "2026-10-31T23:59:59.999999Z")
    retention._allow_deletion(connection, 202610)

    with pytest.raises(IntegrityError, match="append-only"):
        connection.exec_driver_sql("DELETE FROM operations WHERE id = ?", (made,))


def test_whole_months_expire_and_the_newest_entry_never(empty_log_connection: Connection):
    days = (
        "2025-09-30T10:00:00",
        "2025-10-01T00:00:00",
        "2025-10-31T23:59:59",
        "2025-11-01T00:00:00",
    )
    made = insert_operations(empty_log_connection, *(f"{day}.000000Z" for day in days))

    prune_all(empty_log_connection, make_rules(month=202511))
    assert list_ids(empty_log_connection) == made[3:]

    prune_all(empty_log_connection, make_rules(month=202612))
    assert list_ids(empty_log_connection) == made[3:]


def test_an_expired_month_stays_expired(empty_log_connection: Connection):
    made = insert_operations(
        empty_log_connection, "2025-09-30T10:00:00.000000Z", "2025-12-01T00:00:00.000000Z"
    )

    prune_all(empty_log_connection, make_rules(month=202512))
    prune_all(empty_log_connection, make_rules(month=202501))

    value = empty_log_connection.exec_driver_sql(
        "SELECT value FROM counters WHERE name = ?", (retention.OPERATIONS_KEPT_FROM,)
    ).scalar()
    assert (value, list_ids(empty_log_connection)) == (202512, made[1:])


def test_operations_that_change_alike_are_inserted_by_one_statement(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    inserted: list[int] = []
    usual = raw_sql.execute_on_driver

    def note(driver: Any, sql: str, parameters: Any, many: bool = False) -> Any:
        if sql.startswith("INSERT INTO operations"):
            inserted.append(len(parameters))
        return usual(driver, sql, parameters, many)

    monkeypatch.setattr(raw_sql, "execute_on_driver", note)
    entries = [
        (f"queue „{at}\"'", {"hold": at % 2 == 0}, None if at % 2 else {"hold": False})
        for at in range(40)
    ]
    operations.record_all(connection, Actor("ann"), "hold", entries)

    rows = operations.list_operations(connection, operations.OperationFilter(by="ann"), 0)[::-1]
    assert inserted == [2]
    assert [(row.object, row.before, row.after) for row in rows] == entries
    assert {row.batch for row in rows} == {rows[0].id}
