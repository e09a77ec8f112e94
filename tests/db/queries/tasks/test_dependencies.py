"""Tasks that wait for tasks: chains, diamonds, `any`, and failing parents."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from db.queries import reads
from db.queries.tasks import pending_parents, transitions
from tests.db.builders import TaskBuilder, make_task_row


def test_a_child_waits_for_its_parent_to_succeed(builder: TaskBuilder):
    parent = builder.submit_task()
    child = builder.submit_task(after=[parent])
    assert builder.read_status(child) == "blocked"
    runid = builder.start_run(parent)
    assert builder.read_status(child) == "blocked"

    builder.record_end(runid)

    assert builder.read_status(child) == "queued"


def test_a_diamond_opens_when_both_sides_have_ended(builder: TaskBuilder):
    top = builder.submit_task()
    left, right = builder.submit_task(after=[top]), builder.submit_task(after=[top])
    bottom = builder.submit_task(after=[left, right])
    builder.complete_run(top)
    builder.complete_run(left)
    assert builder.read_status(bottom) == "blocked"

    builder.complete_run(right)

    assert builder.read_status(bottom) == "queued"


def test_a_diamond_is_cancelled_once_when_its_top_fails(
    connection: Connection, builder: TaskBuilder
):
    top = builder.submit_task()
    left, right = builder.submit_task(after=[top]), builder.submit_task(after=[top])
    bottom = builder.submit_task(after=[left, right])

    builder.complete_run(top, code=2)

    assert [builder.read_status(uuid) for uuid in (left, right, bottom)] == ["cancelled"] * 3
    assert builder.read_row(left).reason == f"parent #{builder.read_row(top).number} failed"
    assert builder.read_row(bottom).reason == f"parent #{builder.read_row(left).number} cancelled"
    assert [e.status for e in reads.list_events(connection, bottom)].count("cancelled") == 1
    assert builder.read_row(bottom).ended_at is not None


def test_after_any_waits_for_the_end_only(connection: Connection, builder: TaskBuilder):
    parent = builder.submit_task()
    child = builder.submit_task(after_any=[parent])
    assert builder.read_status(child) == "blocked"

    transitions.cancel(connection, [parent], "ann")

    assert builder.read_status(child) == "queued"


def test_one_parent_may_need_success_and_another_only_an_end(builder: TaskBuilder):
    good, bad = builder.submit_task(), builder.submit_task()
    child = builder.submit_task(after=[good], after_any=[bad])
    builder.complete_run(bad, code=1)
    assert builder.read_status(child) == "blocked"

    builder.complete_run(good)

    assert builder.read_status(child) == "queued"


def test_a_retrying_parent_does_not_cancel_its_child_yet(builder: TaskBuilder):
    parent = builder.submit_task(retries=1, retry_delay=0.0)
    child = builder.submit_task(after=[parent])

    builder.complete_run(parent, code=1)
    assert builder.read_status(child) == "blocked"

    builder.complete_run(parent, code=1)
    assert builder.read_status(child) == "cancelled"


@pytest.mark.parametrize(("code", "status"), [(0, "queued"), (1, "cancelled")])
def test_a_parent_that_ended_before_submission_counts(builder: TaskBuilder, code: int, status: str):
    parent = builder.submit_task()
    builder.complete_run(parent, code)

    assert builder.read_status(builder.submit_task(after=[parent])) == status


def test_a_parent_that_failed_before_submission_satisfies_after_any(builder: TaskBuilder):
    parent = builder.submit_task()
    builder.complete_run(parent, 1)

    assert builder.read_status(builder.submit_task(after_any=[parent])) == "queued"


@pytest.mark.parametrize(("code", "status"), [(0, "cancelled"), (1, "queued")])
def test_after_failure_runs_only_if_the_parent_fails(builder: TaskBuilder, code: int, status: str):
    parent = builder.submit_task()
    child = builder.submit_task(after_failure=[parent])
    last = builder.submit_task(after=[child])
    assert builder.read_status(child) == "blocked"

    builder.complete_run(parent, code)

    late = builder.submit_task(after_failure=[parent])
    assert [builder.read_status(one) for one in (child, late)] == [status, status]
    assert builder.read_status(last) == ("blocked" if code else "cancelled")
    number = builder.read_row(parent).number
    assert builder.read_row(child).reason == (None if code else f"skipped: only if #{number} fails")


def test_a_cancelled_parent_counts_as_a_failure_and_undo_waits_again(
    connection: Connection, builder: TaskBuilder
):
    parent = builder.submit_task()
    cleanup, begun = (
        builder.submit_task(after_failure=[parent]),
        builder.submit_task(after_start=[parent]),
    )
    transitions.cancel(connection, [parent], "ann")
    assert [builder.read_status(one) for one in (cleanup, begun)] == ["queued"] * 2

    transitions.undo_cancel(connection, {parent: None}, "ann")

    assert [builder.read_status(one) for one in (cleanup, begun)] == ["blocked"] * 2


def test_after_start_waits_until_the_keeper_reports_the_start(builder: TaskBuilder):
    parent = builder.submit_task()
    child = builder.submit_task(after_start=[parent])
    (runid,) = builder.claim_tasks(parent)
    assert builder.read_status(child) == "blocked"

    builder.record_start(runid)

    assert builder.read_status(child) == "queued"
    assert builder.read_status(builder.submit_task(after_start=[parent])) == "queued"


def test_a_run_that_ended_before_its_start_was_reported_has_started(builder: TaskBuilder):
    parent = builder.submit_task(retries=1, retry_delay=60.0)
    child, cleanup = (
        builder.submit_task(after_start=[parent]),
        builder.submit_task(after_failure=[parent]),
    )
    (runid,) = builder.claim_tasks(parent)

    builder.record_end(runid, code=1)

    assert [builder.read_status(one) for one in (parent, child, cleanup)] == [
        "retrying",
        "queued",
        "blocked",
    ]


def test_a_retried_parent_does_not_change_a_branch_that_was_not_needed(
    connection: Connection, builder: TaskBuilder
):
    parent = builder.submit_task()
    child = builder.submit_task(after_failure=[parent])
    builder.complete_run(parent)
    transitions.retry(connection, [child], "ann")
    assert builder.read_status(child) == "queued"

    transitions.cancel(connection, [child], "ann")
    transitions.retry(connection, [parent], "ann")

    assert [builder.read_status(one) for one in (parent, child)] == ["queued", "cancelled"]


@pytest.mark.parametrize(
    ("codes", "status"),
    [((0, 0), "cancelled"), ((1, 0), "queued"), ((0, 1), "queued"), ((1, None), "blocked")],
)
def test_the_failure_of_one_of_several_is_known_when_all_have_ended(
    connection: Connection, builder: TaskBuilder, codes: tuple[int | None, ...], status: str
):
    parents = [builder.submit_task() for _ in codes]
    row = make_task_row()
    links = [{"task_id": row["uuid"], "parent_id": one, "kind": "failures"} for one in parents]
    transitions.submit(connection, [row], links, "ann")

    for parent, code in zip(parents, codes, strict=True):
        if code is not None:
            builder.complete_run(parent, code)

    assert builder.read_status(row["uuid"]) == status
    if status == "cancelled":
        assert builder.read_row(row["uuid"]).reason == "skipped: only if #2 or another fails"
        transitions.retry(connection, [row["uuid"]], "ann")
        assert builder.read_status(row["uuid"]) == "queued"


def test_many_children_of_a_start_are_updated_in_short_transactions(
    connection: Connection, builder: TaskBuilder
):
    parent = builder.submit_task()
    rows = [make_task_row() for _ in range(transitions.MAX_CHILDREN + 1)]
    links = [{"task_id": one["uuid"], "parent_id": parent, "kind": "start"} for one in rows]
    transitions.submit(connection, rows, links, "ann")

    builder.start_run(parent)
    assert pending_parents.list_uuids(connection) == [parent]
    while pending_parents.has_any(connection):
        transitions.continue_propagation(connection)

    assert reads.count_by_status(connection) == {"running": 1, "queued": len(rows)}


def test_a_held_child_is_cancelled_with_its_parent(connection: Connection, builder: TaskBuilder):
    parent = builder.submit_task()
    child = builder.submit_task(after=[parent], hold=True, held_by="ann")

    transitions.cancel(connection, [parent], "ann")

    assert (builder.read_status(child), builder.read_row(child).reason) == (
        "cancelled",
        f"parent #{builder.read_row(parent).number} cancelled",
    )


def test_a_chain_of_thousands_is_cancelled_with_its_first_task(
    connection: Connection, builder: TaskBuilder
):
    rows = [make_task_row() for _ in range(3000)]
    links = [
        {"task_id": b["uuid"], "parent_id": a["uuid"], "kind": "success"}
        for a, b in zip(rows, rows[1:], strict=False)
    ]
    transitions.submit(connection, rows, links, "ann")
    assert reads.count_by_status(connection) == {"queued": 1, "blocked": 2999}

    transitions.cancel(connection, [rows[0]["uuid"]], "ann")
    while pending_parents.has_any(connection):
        transitions.continue_propagation(connection)

    assert reads.count_by_status(connection) == {"cancelled": 3000}


def test_a_retried_child_does_not_wait_for_a_failed_parent(
    connection: Connection, builder: TaskBuilder
):
    parent = builder.submit_task()
    child = builder.submit_task(after=[parent])
    builder.complete_run(parent, code=1)

    transitions.retry(connection, [child], "ann")

    assert builder.read_status(child) == "queued"


def test_parent_and_child_retried_together_keep_their_order(
    connection: Connection, builder: TaskBuilder
):
    parent = builder.submit_task()
    child = builder.submit_task(after=[parent])
    builder.complete_run(parent, code=1)

    transitions.retry(connection, [child, parent], "ann")

    assert [builder.read_status(uuid) for uuid in (parent, child)] == ["queued", "blocked"]


def test_cancelling_parent_and_child_together_records_who_did_it(
    connection: Connection, builder: TaskBuilder
):
    parent = builder.submit_task()
    child = builder.submit_task(after=[parent])

    transitions.cancel(connection, [parent, child], "ann")

    assert [builder.read_row(uuid).reason for uuid in (parent, child)] == ["cancelled by ann"] * 2


def test_dependencies_can_be_listed(connection: Connection, builder: TaskBuilder):
    parent = builder.submit_task(name="a")
    child = builder.submit_task(name="b", after_any=[parent])

    assert reads.map_parents(connection, [parent, child]) == {
        parent: [],
        child: [(builder.read_row(parent).number, "a", "queued", "any")],
    }
    ((number, name, status, kind),) = reads.list_children(connection, parent)
    assert (number, name, status, kind) == (builder.read_row(child).number, "b", "blocked", "any")
