"""The operation log stays as it was written: nothing is changed but the mark of an undo, and only whole old months leave."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from db import timestamps
from db.queries import operations, retention
from db.queries.operations import By
from tests.db.queries.pruning import prune, rules


def written(c: Connection, *times: str) -> list[int]:
    """An operation at each of these times, later ones last; their ids."""
    made = []
    for at in times:
        c.exec_driver_sql(
            'INSERT INTO operations ("by", verb, object, created_at, updated_at) VALUES (\'ann\', \'hold\', \'task #1\', ?, ?)', (at, at)
        )
        made.append(c.exec_driver_sql("SELECT max(id) FROM operations").scalar_one())
    return made


def ids(c: Connection) -> list[int]:
    return [row.id for row in reversed(operations.listed(c, operations.Wanted(by="ann"), 0))]


@pytest.fixture
def only(c: Connection) -> Connection:
    """A log whose own first entries have left."""
    retention._let_go(c, 999912)
    c.exec_driver_sql("DELETE FROM operations")
    c.exec_driver_sql("DELETE FROM counters WHERE name = ?", (retention.OPERATIONS_FROM,))
    return c


@pytest.mark.parametrize("column", ["by", "verb", "object", "before", "after", "created_at", "source", "origin", "batch", "undoes"])
def test_nothing_that_was_written_can_be_changed(c: Connection, column: str):
    (made,) = written(c, timestamps.now())

    with pytest.raises(IntegrityError, match="append-only"):
        c.exec_driver_sql(f'UPDATE operations SET "{column}" = \'7\' WHERE id = ?', (made,))


def test_what_took_it_back_is_marked_once_and_for_all(c: Connection):
    by = By("ann")
    operations.record(c, by, "hold", "task #1", {"hold": False}, {"hold": True})
    (row,) = operations.by_ids(c, by.recorded)

    operations.record_undone(c, By("bob"), [(row, {"hold": True}, {"hold": False})])

    (marked,) = operations.by_ids(c, by.recorded)
    (undo,) = operations.by_ids(c, [marked.undone_by or 0])
    assert (undo.verb, undo.undoes, undo.by) == ("undo hold", row.id, "bob")
    assert marked._replace(undone_by=None) == row
    with pytest.raises(IntegrityError, match="append-only"):
        c.exec_driver_sql("UPDATE operations SET undone_by = NULL WHERE id = ?", (row.id,))


def test_none_can_be_deleted_before_its_month_has_left(c: Connection):
    (made,) = written(c, "2026-10-31T23:59:59.999999Z")
    retention._let_go(c, 202610)

    with pytest.raises(IntegrityError, match="append-only"):
        c.exec_driver_sql("DELETE FROM operations WHERE id = ?", (made,))


def test_whole_months_leave_and_the_newest_entry_never(only: Connection):
    days = ("2025-09-30T10:00:00", "2025-10-01T00:00:00", "2025-10-31T23:59:59", "2025-11-01T00:00:00")
    made = written(only, *(f"{day}.000000Z" for day in days))

    prune(only, rules(month=202511))
    assert ids(only) == made[3:]

    prune(only, rules(month=202612))
    assert ids(only) == made[3:]


def test_what_may_go_never_comes_to_stay_again(only: Connection):
    made = written(only, "2025-09-30T10:00:00.000000Z", "2025-12-01T00:00:00.000000Z")

    prune(only, rules(month=202512))
    prune(only, rules(month=202501))

    value = only.exec_driver_sql("SELECT value FROM counters WHERE name = ?", (retention.OPERATIONS_FROM,)).scalar()
    assert (value, ids(only)) == (202512, made[1:])
