"""The owner's rule: what ended over thirty days ago goes, in small batches; what is active or pinned never."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import Connection

from db import clock, moves, reads, retention
from db.engine import write_engine
from tests.db.making import Made, task

LIMIT = 30.0


def prune(c: Connection) -> retention.Gone:
    return retention.prune(c, clock.from_unix(time.time() - LIMIT * 86400))


def old(made: Made, days: float, **more) -> tuple[str, str]:
    """A task that ran and ended so long ago, and its run."""
    uuid = made.task(**more)
    runid = made.run(uuid)
    made.end(runid)
    made.age("tasks", "uuid", uuid, "ended_at", days)
    made.age("instances", "runid", runid, "end_time", days)
    return uuid, runid


def test_a_run_older_than_thirty_days_goes_with_its_task(c: Connection, made: Made):
    uuid, runid = old(made, LIMIT + 0.01)

    gone = prune(c)

    assert (gone.runids, gone.more) == ([runid], False)
    assert reads.by_uuids(c, [uuid]) == []


def test_a_run_younger_than_thirty_days_stays(c: Connection, made: Made):
    uuid, _ = old(made, LIMIT - 0.01)

    assert prune(c).runids == []
    assert made.status(uuid) == "succeeded"


def test_a_task_stays_while_one_of_its_runs_is_young(c: Connection, made: Made):
    uuid, first = old(made, LIMIT + 1)
    moves.retry(c, [uuid], "ann")
    made.ran(uuid)

    assert prune(c).runids == [first]
    assert [run.attempt for run in made.runs(uuid)] == [2]


def test_what_is_pinned_stays(c: Connection, made: Made):
    uuid, _ = old(made, LIMIT + 1)
    c.exec_driver_sql("UPDATE tasks SET pinned = 1 WHERE uuid = ?", (uuid,))

    assert prune(c).runids == []
    assert len(made.runs(uuid)) == 1


@pytest.mark.parametrize("started", [True, False])
def test_what_is_active_or_waits_stays_however_old(c: Connection, made: Made, started: bool):
    uuid = made.task()
    if started:
        made.age("instances", "runid", made.run(uuid), "start_time", 400)
    made.age("tasks", "uuid", uuid, "created_at", 400)

    assert prune(c).runids == []
    assert made.status(uuid) == ("running" if started else "queued")


def test_a_task_that_was_cancelled_before_it_ran_goes_too(c: Connection, made: Made):
    uuid = made.task()
    moves.cancel(c, [uuid], "ann")
    made.age("tasks", "uuid", uuid, "ended_at", LIMIT + 1)

    prune(c)

    assert reads.by_uuids(c, [uuid]) == []


def test_a_task_that_was_removed_goes_at_once_with_its_runs(c: Connection, made: Made):
    uuid, runid = old(made, 0)
    c.exec_driver_sql("UPDATE tasks SET deleted_at = ? WHERE uuid = ?", (clock.now(), uuid))

    assert prune(c).runids == [runid]
    assert c.exec_driver_sql("SELECT count(*) FROM tasks").scalar() == 0


def test_a_child_outlives_its_parent(c: Connection, made: Made):
    parent, _ = old(made, LIMIT + 1)
    child = made.task(after=[parent])

    prune(c)

    assert (made.status(child), reads.parents(c, child)) == ("queued", [])


def test_events_and_samples_follow_the_same_rule(c: Connection, made: Made):
    uuid = made.task()
    c.exec_driver_sql("UPDATE events SET created_at = ?", (clock.from_unix(time.time() - (LIMIT + 1) * 86400),))
    moves.cancel(c, [uuid], "ann")
    for days in (LIMIT + 1, LIMIT - 1):
        minute = clock.from_unix(time.time() - days * 86400)
        c.exec_driver_sql(
            "INSERT INTO samples (kind, name, minute, created_at, updated_at) VALUES ('queue', 'default', ?, ?, ?)",
            (minute,) * 3,
        )

    prune(c)

    assert [event.status for event in reads.events(c, uuid)] == ["cancelled"]
    assert c.exec_driver_sql("SELECT count(*) FROM samples").scalar() == 1


def test_an_environment_goes_with_the_last_task_that_needs_it(c: Connection, made: Made):
    now = clock.now()
    for sha in ("a" * 64, "b" * 64):
        c.exec_driver_sql("INSERT INTO environments VALUES (?, '{}', ?, ?)", (sha, now, now))
    old(made, LIMIT + 1, env_id="a" * 64)
    made.task(env_id="b" * 64)

    prune(c)

    assert c.exec_driver_sql("SELECT sha256 FROM environments").scalars().all() == ["b" * 64]


def test_much_goes_in_batches_of_a_bounded_size(c: Connection):
    rows = [task() for _ in range(retention.BATCH + 100)]
    moves.submit(c, rows, [], "ann")
    moves.cancel(c, [row["uuid"] for row in rows], "ann")
    c.exec_driver_sql("UPDATE tasks SET ended_at = '2000'")

    assert prune(c).more
    assert reads.counts(c) == {"cancelled": 100}
    assert not prune(c).more
    assert reads.counts(c) == {}


def test_the_file_shrinks_when_much_has_gone(database):
    engine = write_engine(database)
    with engine.begin() as c:
        moves.submit(c, [task(parameters={"x": "y" * 2000}) for _ in range(retention.BATCH - 1)], [], "ann")
        c.exec_driver_sql("UPDATE tasks SET status = 'cancelled', ended_at = '2000'")
    with engine.begin() as c:
        before = c.exec_driver_sql("PRAGMA page_count").scalar_one()
        prune(c)
    with engine.begin() as c:
        after = c.exec_driver_sql("PRAGMA page_count").scalar_one()
    engine.dispose()

    assert after < before / 2
