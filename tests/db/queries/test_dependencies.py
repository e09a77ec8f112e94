"""Tasks that wait for tasks: chains, diamonds, `any`, and parents that end badly."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from db.queries import reads, transitions
from tests.db.builders import Made, task


def test_a_child_waits_for_its_parent_to_succeed(made: Made):
    parent = made.task()
    child = made.task(after=[parent])
    assert made.status(child) == "blocked"
    runid = made.run(parent)
    assert made.status(child) == "blocked"

    made.end(runid)

    assert made.status(child) == "queued"


def test_a_diamond_opens_when_both_sides_have_ended(made: Made):
    top = made.task()
    left, right = made.task(after=[top]), made.task(after=[top])
    bottom = made.task(after=[left, right])
    made.ran(top)
    made.ran(left)
    assert made.status(bottom) == "blocked"

    made.ran(right)

    assert made.status(bottom) == "queued"


def test_a_diamond_is_cancelled_once_when_its_top_fails(c: Connection, made: Made):
    top = made.task()
    left, right = made.task(after=[top]), made.task(after=[top])
    bottom = made.task(after=[left, right])

    made.ran(top, code=2)

    assert [made.status(uuid) for uuid in (left, right, bottom)] == ["cancelled"] * 3
    assert made.row(left).reason == f"parent #{made.row(top).number} failed"
    assert made.row(bottom).reason == f"parent #{made.row(left).number} cancelled"
    assert [e.status for e in reads.events(c, bottom)].count("cancelled") == 1
    assert made.row(bottom).ended_at is not None


def test_after_any_waits_for_the_end_only(c: Connection, made: Made):
    parent = made.task()
    child = made.task(after_any=[parent])
    assert made.status(child) == "blocked"

    transitions.cancel(c, [parent], "ann")

    assert made.status(child) == "queued"


def test_success_of_one_and_end_of_another_may_be_asked_together(made: Made):
    good, bad = made.task(), made.task()
    child = made.task(after=[good], after_any=[bad])
    made.ran(bad, code=1)
    assert made.status(child) == "blocked"

    made.ran(good)

    assert made.status(child) == "queued"


def test_a_parent_that_tries_again_does_not_cancel_yet(made: Made):
    parent = made.task(retries=1, retry_delay=0.0)
    child = made.task(after=[parent])

    made.ran(parent, code=1)
    assert made.status(child) == "blocked"

    made.ran(parent, code=1)
    assert made.status(child) == "cancelled"


@pytest.mark.parametrize(("code", "status"), [(0, "queued"), (1, "cancelled")])
def test_a_parent_that_ended_before_the_submission_counts(made: Made, code: int, status: str):
    parent = made.task()
    made.ran(parent, code)

    assert made.status(made.task(after=[parent])) == status


def test_a_parent_that_failed_before_the_submission_satisfies_after_any(made: Made):
    parent = made.task()
    made.ran(parent, 1)

    assert made.status(made.task(after_any=[parent])) == "queued"


def test_a_held_child_is_cancelled_with_its_parent_too(c: Connection, made: Made):
    parent = made.task()
    child = made.task(after=[parent], hold=True, held_by="ann")

    transitions.cancel(c, [parent], "ann")

    assert (made.status(child), made.row(child).reason) == ("cancelled", f"parent #{made.row(parent).number} cancelled")


def test_a_chain_of_thousands_ends_with_its_first(c: Connection, made: Made):
    rows = [task() for _ in range(3000)]
    links = [
        {"task_id": b["uuid"], "parent_id": a["uuid"], "kind": "success"} for a, b in zip(rows, rows[1:], strict=False)
    ]
    transitions.submit(c, rows, links, "ann")
    assert reads.counts(c) == {"queued": 1, "blocked": 2999}

    transitions.cancel(c, [rows[0]["uuid"]], "ann")

    assert reads.counts(c) == {"cancelled": 3000}


def test_a_child_that_is_asked_to_run_again_does_not_wait_for_a_parent_that_failed(c: Connection, made: Made):
    parent = made.task()
    child = made.task(after=[parent])
    made.ran(parent, code=1)

    transitions.retry(c, [child], "ann")

    assert made.status(child) == "queued"


def test_parent_and_child_asked_to_run_again_together_keep_their_order(c: Connection, made: Made):
    parent = made.task()
    child = made.task(after=[parent])
    made.ran(parent, code=1)

    transitions.retry(c, [child, parent], "ann")

    assert [made.status(uuid) for uuid in (parent, child)] == ["queued", "blocked"]


def test_cancelling_parent_and_child_together_says_who_did_it(c: Connection, made: Made):
    parent = made.task()
    child = made.task(after=[parent])

    transitions.cancel(c, [parent, child], "ann")

    assert [made.row(uuid).reason for uuid in (parent, child)] == ["cancelled by ann"] * 2


def test_who_waits_for_whom_can_be_read(c: Connection, made: Made):
    parent = made.task(name="a")
    child = made.task(name="b", after_any=[parent])

    assert reads.parents(c, [parent, child]) == {parent: [], child: [(made.row(parent).number, "a", "queued", "any")]}
    ((number, name, status, kind),) = reads.children(c, parent)
    assert (number, name, status, kind) == (made.row(child).number, "b", "blocked", "any")
