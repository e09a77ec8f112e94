"""Children of ended tasks, updated in transactions of few rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, cast

import pytest
from sqlalchemy import Connection

from db import raw_sql, timestamps
from db.queries.home import retention
from db.queries.tasks import pending_parents, transitions
from tests.db.builders import TaskBuilder, make_task_row
from tests.db.queries.home.pruning import make_rules, prune_all

ROWS_PER_CHILD = 6
"""The child, its event, and two counters, each twice at most."""


def count_changes(c: Connection, work: Callable[..., Any], *args: Any) -> int:
    """Return the number of rows that a function changes."""
    driver = cast(sqlite3.Connection, c.connection.driver_connection)
    before = driver.total_changes
    work(c, *args)
    return driver.total_changes - before


def submit_many(c: Connection, count: int, parent: str, kind: str = "success") -> list[str]:
    rows = [make_task_row() for _ in range(count)]
    uuids = [row["uuid"] for row in rows]
    links = [{"task_id": uuid, "parent_id": parent, "kind": kind} for uuid in uuids]
    transitions.submit(c, rows, links, "ann")
    return uuids


def map_statuses(c: Connection) -> dict[str, int]:
    return dict(raw_sql.fetch_rows(c, "SELECT status, count(*) FROM tasks GROUP BY status"))


def finish(c: Connection) -> list[int]:
    """Update all children; return the number of rows that each transaction changed."""
    counts: list[int] = []
    while pending_parents.has_any(c):
        counts.append(count_changes(c, transitions.continue_propagation))
    return counts


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each transaction end at its first look at the clock."""
    monkeypatch.setattr(transitions, "STEP_SECONDS", -1.0)


def test_few_children_are_updated_with_their_parent(connection: Connection, builder: TaskBuilder):
    parent = builder.submit_task()
    submit_many(connection, transitions.PIECE, parent)

    transitions.cancel(connection, [parent], "ann")

    assert not pending_parents.has_any(connection)
    assert map_statuses(connection) == {"cancelled": 1 + transitions.PIECE}


@pytest.mark.usefixtures("no_time")
def test_no_transaction_updates_more_children_than_one_piece(
    connection: Connection, builder: TaskBuilder
):
    parent, many = builder.submit_task(), transitions.MAX_CHILDREN + 70
    submit_many(connection, many, parent)

    first = count_changes(connection, transitions.cancel, [parent], "ann")
    assert map_statuses(connection) == {"blocked": many, "cancelled": 1}
    rest = finish(connection)

    assert first < 10
    assert max(rest) <= transitions.PIECE * ROWS_PER_CHILD
    assert len(rest) == -(-many // transitions.PIECE)
    assert map_statuses(connection) == {"cancelled": 1 + many}


@pytest.mark.usefixtures("no_time")
def test_slow_children_are_left_after_the_first_piece(connection: Connection, builder: TaskBuilder):
    parent = builder.submit_task()
    submit_many(connection, transitions.PIECE * 2, parent)

    first = count_changes(connection, transitions.cancel, [parent], "ann")

    assert first <= transitions.PIECE * ROWS_PER_CHILD
    assert map_statuses(connection)["cancelled"] == 1 + transitions.PIECE
    finish(connection)
    assert map_statuses(connection) == {"cancelled": 1 + 2 * transitions.PIECE}


def test_a_long_chain_is_updated_in_several_transactions(
    connection: Connection, builder: TaskBuilder
):
    links, uuid = transitions.MAX_CHILDREN + 100, builder.submit_task()
    first = uuid
    for _ in range(links):
        (uuid,) = submit_many(connection, 1, uuid)

    changed = count_changes(connection, transitions.cancel, [first], "ann")
    counts = finish(connection)

    assert changed <= transitions.MAX_CHILDREN * ROWS_PER_CHILD and counts
    assert map_statuses(connection) == {"cancelled": links + 1}


@pytest.mark.usefixtures("no_time")
def test_children_left_stay_blocked_and_then_follow_their_facts(
    connection: Connection, builder: TaskBuilder
):
    parent, other, many = builder.submit_task(), builder.submit_task(), transitions.MAX_CHILDREN + 1
    submit_many(connection, many, parent, "any")
    both = builder.submit_task(after=[other], after_any=[parent])
    runid = builder.start_run(parent)

    builder.record_end(runid, 0)
    assert map_statuses(connection) == {"blocked": many + 1, "queued": 1, "succeeded": 1}
    finish(connection)

    assert map_statuses(connection) == {"blocked": 1, "queued": many + 1, "succeeded": 1}
    assert builder.read_status(both) == "blocked"


@pytest.mark.usefixtures("no_time")
def test_an_undone_cancel_blocks_the_children_left_again(
    connection: Connection, builder: TaskBuilder
):
    parent = builder.submit_task()
    submit_many(connection, transitions.MAX_CHILDREN + 1, parent)
    transitions.cancel(connection, [parent], "ann")
    transitions.continue_propagation(connection)
    assert pending_parents.has_any(connection)

    transitions.undo_cancel(connection, {parent: None}, "ann")
    finish(connection)

    assert map_statuses(connection) == {"blocked": transitions.MAX_CHILDREN + 1, "queued": 1}


@pytest.mark.usefixtures("no_time")
def test_no_transaction_brings_back_more_children_than_one_piece(
    connection: Connection, builder: TaskBuilder
):
    parent, many = builder.submit_task(), transitions.MAX_CHILDREN + 70
    middle, *_ = submit_many(connection, many, parent)
    (last,) = submit_many(connection, 1, middle)
    transitions.cancel(connection, [parent], "ann")
    finish(connection)

    first = count_changes(connection, transitions.undo_cancel, {parent: None}, "ann")
    assert map_statuses(connection) == {"cancelled": many + 1, "queued": 1}
    rest = finish(connection)

    assert first < 10
    assert max(rest) <= transitions.PIECE * ROWS_PER_CHILD * 2
    assert map_statuses(connection) == {"blocked": many + 1, "queued": 1}
    assert builder.read_row(last).reason is None


@pytest.mark.usefixtures("no_time")
def test_children_brought_back_late_stay_cancelled_with_a_new_cancel(
    connection: Connection, builder: TaskBuilder
):
    parent = builder.submit_task()
    submit_many(connection, transitions.MAX_CHILDREN + 1, parent)
    transitions.cancel(connection, [parent], "ann")
    finish(connection)
    transitions.undo_cancel(connection, {parent: None}, "ann")
    transitions.continue_propagation(connection)

    transitions.cancel(connection, [parent], "ann")
    finish(connection)

    assert map_statuses(connection) == {"cancelled": transitions.MAX_CHILDREN + 2}


@pytest.mark.usefixtures("no_time")
def test_all_children_are_updated_again_after_a_start(connection: Connection, builder: TaskBuilder):
    parent = builder.submit_task()
    children = submit_many(connection, transitions.MAX_CHILDREN + 1, parent)
    transitions.cancel(connection, [parent], "ann")
    transitions.continue_propagation(connection)
    connection.exec_driver_sql("UPDATE tasks SET status = 'blocked' WHERE uuid = ?", (children[0],))

    pending_parents.start_again(connection)
    finish(connection)

    assert builder.read_status(children[0]) == "cancelled"


@pytest.mark.usefixtures("no_time")
def test_a_task_with_children_left_is_not_removed(connection: Connection, builder: TaskBuilder):
    parent = builder.submit_task()
    submit_many(connection, transitions.MAX_CHILDREN + 1, parent)
    transitions.cancel(connection, [parent], "ann")
    past, rules = timestamps.from_unix(0), make_rules(before="2020")
    connection.exec_driver_sql(
        "UPDATE tasks SET ended_at = ?, deleted_at = ? WHERE uuid = ?", (past, past, parent)
    )

    prune_all(connection, rules)
    assert map_statuses(connection)["cancelled"] == 1
    finish(connection)
    prune_all(connection, rules)

    assert map_statuses(connection) == {"cancelled": transitions.MAX_CHILDREN + 1}


def test_a_task_with_many_children_is_removed_in_several_transactions(
    connection: Connection, builder: TaskBuilder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(retention, "DEPENDENCIES_PER_BATCH", 4)
    parent = builder.submit_task()
    submit_many(connection, 10, parent)
    transitions.cancel(connection, [parent], "ann")

    removed = [list(retention.remove_runs(connection, (), [parent]).tasks) for _ in range(3)]

    assert removed == [[], [], [parent]]
    assert map_statuses(connection) == {"cancelled": 10}
