"""Tests of tasks that their condition made needless."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from db.queries.tasks import groups, skips, transitions
from db.rows import TaskRow
from tests.db.builders import TaskBuilder, make_task_row

SKIPPED = ("cancelled", "skipped: only if #1 fails")


def submit_flow(c: Connection, builder: TaskBuilder) -> list[str]:
    """Submit g1: #1, #2 after it, #3 only if #1 fails, and #4 after #3; return the uuids."""
    first = make_task_row()
    number = groups.create(c, first["uuid"], "flow", "ann", None)
    rows = [first, *(make_task_row() for _ in range(3))]
    uuids = [row["uuid"] for row in rows]
    links = [
        {"task_id": uuids[child], "parent_id": uuids[parent], "kind": kind}
        for child, parent, kind in ((1, 0, "success"), (2, 0, "failure"), (3, 2, "success"))
    ]
    transitions.submit(c, [row | {"group_number": number} for row in rows], links, "ann")
    return uuids


def submit_after(c: Connection, uuids: list[str], kind: str) -> str:
    """Submit a task that waits for these tasks."""
    row = make_task_row()
    links = [{"task_id": row["uuid"], "parent_id": uuid, "kind": kind} for uuid in uuids]
    transitions.submit(c, [row], links, "ann")
    return row["uuid"]


def get_end(row: TaskRow) -> tuple[str, str | None]:
    """Return the status of a task and its reason."""
    return row.status, row.reason


def test_a_needless_task_is_skipped_with_those_after_it(
    connection: Connection, builder: TaskBuilder
):
    uuids = submit_flow(connection, builder)

    builder.complete_run(uuids[0])

    assert get_end(builder.read_row(uuids[2])) == SKIPPED
    assert get_end(builder.read_row(uuids[3])) == ("cancelled", "skipped: parent #3 was skipped")
    counts = groups.map_all_counts(connection, [1])
    skips.split_skipped(connection, counts)
    assert counts == {1: {"succeeded": 1, "queued": 1, "skipped": 2}}


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize(
    ("kind", "code", "end"),
    [
        ("success", 0, ("queued", None)),
        ("success", 1, ("cancelled", "parent #2 failed")),
        ("failures", 0, ("cancelled", "skipped: only if #4 or another fails")),
        ("failures", 1, ("queued", None)),
    ],
)
def test_what_waits_for_a_group_ignores_its_skipped_tasks(
    connection: Connection, builder: TaskBuilder, kind: str, code: int, end: object, late: bool
):
    uuids = submit_flow(connection, builder)
    child = "" if late else submit_after(connection, uuids, kind)

    builder.complete_run(uuids[0])
    assert late or builder.read_status(child) == "blocked"
    builder.complete_run(uuids[1], code)

    child = child or submit_after(connection, uuids, kind)
    assert get_end(builder.read_row(child)) == end


@pytest.mark.parametrize(
    ("kind", "end"),
    [
        ("success", ("cancelled", "skipped: parent #3 was skipped")),
        ("failure", ("cancelled", "skipped: only if #3 fails")),
        ("any", ("queued", None)),
    ],
)
def test_what_waits_for_a_skipped_task_alone_is_skipped(
    connection: Connection, builder: TaskBuilder, kind: str, end: object
):
    uuids = submit_flow(connection, builder)
    builder.complete_run(uuids[0])

    assert get_end(builder.read_row(submit_after(connection, uuids[2:3], kind))) == end


def test_a_cancel_by_a_user_stays_a_cancel(connection: Connection, builder: TaskBuilder):
    uuids = submit_flow(connection, builder)
    transitions.cancel(connection, uuids[1:2], "ann")
    builder.complete_run(uuids[0])

    counts = groups.map_all_counts(connection, [1])
    skips.split_skipped(connection, counts)

    assert counts == {1: {"succeeded": 1, "cancelled": 1, "skipped": 2}}
