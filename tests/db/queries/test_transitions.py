"""Every move between states, by what the table allows; who loses loses politely."""

from __future__ import annotations

import itertools

import pytest
from sqlalchemy import Connection

from db.queries import operations, reads, transitions
from db.queries.operations import Wanted
from db.states import ACTIVE, ENDED, RUN_ENDED, RUN_MOVES, TASK_MOVES, WAITING, Run, Task, sources
from tests.db.builders import Made, task


def force(c: Connection, table: str, key: str, value: str, status: str) -> None:
    c.exec_driver_sql(f"UPDATE {table} SET status = ? WHERE {key} = ?", (status, value))


def allowed_tasks() -> set[tuple[Task, Task]]:
    """What the states allow, written down a second time."""
    pairs = set(itertools.permutations(WAITING, 2))
    pairs |= {(Task.QUEUED, Task.RUNNING)} | {(state, Task.CANCELLED) for state in WAITING}
    pairs |= {(Task.RUNNING, state) for state in ENDED | WAITING}
    return pairs | {(ended, state) for ended in ENDED for state in WAITING}


def allowed_runs() -> set[tuple[Run, Run]]:
    """What the states allow, written down a second time."""
    pairs = {(Run.STARTING, Run.RUNNING), (Run.RUNNING, Run.PAUSED), (Run.PAUSED, Run.RUNNING)}
    pairs |= {(state, Run.STOPPING) for state in (Run.STARTING, Run.RUNNING, Run.PAUSED)}
    pairs |= {(state, end) for state in (Run.STARTING, Run.RUNNING, Run.PAUSED) for end in RUN_ENDED}
    return pairs | {(Run.STOPPING, end) for end in RUN_ENDED - {Run.SUCCEEDED}}


def test_the_table_of_task_moves_is_the_designs():
    assert {(a, b) for a, targets in TASK_MOVES.items() for b in targets} == allowed_tasks()


def test_the_table_of_run_moves_is_the_designs():
    assert {(a, b) for a, targets in RUN_MOVES.items() for b in targets} == allowed_runs()


@pytest.mark.parametrize("was", Task)
def test_a_task_moves_exactly_where_the_table_says(c: Connection, made: Made, was: Task):
    for to in Task:
        uuid = made.task()
        force(c, "tasks", "uuid", uuid, was)
        before = len(reads.events(c, uuid))

        moved = transitions.move_tasks(c, to, [{"uuid": uuid}], "ann", "why not")

        may = (was, to) in allowed_tasks()
        assert (len(moved), made.status(uuid)) == ((1, to) if may else (0, was)), f"{was} to {to}"
        assert [(e.status, e.by, e.note) for e in reads.events(c, uuid)[before:]] == [(to, "ann", "why not")] * may


@pytest.mark.parametrize("was", Run)
def test_a_run_moves_exactly_where_the_table_says(c: Connection, made: Made, was: Run):
    for to in Run:
        uuid = made.task()
        runid = made.run(uuid)
        force(c, "instances", "runid", runid, was)

        moved = transitions.move_runs(c, to, [{"runid": runid, "task_id": uuid}], "ann")

        may = (was, to) in allowed_runs()
        assert (len(moved), made.runs(uuid)[0].status) == ((1, to) if may else (0, was)), f"{was} to {to}"


def test_terminal_runs_never_change_again():
    assert RUN_MOVES.keys() == ACTIVE
    assert all(state not in sources(to) for state in RUN_ENDED for to in Run)


def test_of_a_batch_only_those_move_that_may_and_only_they_leave_events(c: Connection, made: Made):
    waiting, over = made.task(), made.task()
    made.ran(over)

    moved = transitions.move_tasks(c, Task.CANCELLED, [{"uuid": waiting}, {"uuid": over}, {"uuid": "nobody"}], "ann")

    assert [row["uuid"] for row in moved] == [waiting]
    assert made.status(over) == "succeeded"
    assert reads.events(c, over)[-1].status == "succeeded"


def test_a_task_that_was_cancelled_first_is_not_claimed(c: Connection, made: Made):
    uuid = made.task()
    transitions.cancel(c, [uuid], "ann")

    assert made.claim(uuid) == []
    assert made.runs(uuid) == []


@pytest.mark.parametrize("status", sorted(WAITING - {Task.QUEUED}))
def test_only_a_queued_task_can_be_claimed(c: Connection, made: Made, status: Task):
    uuid = made.task()
    force(c, "tasks", "uuid", uuid, status)

    assert made.claim(uuid) == []


def test_the_same_task_is_claimed_once(c: Connection, made: Made):
    uuid = made.task()

    assert len(made.claim(uuid)) == 1
    assert made.claim(uuid) == []
    assert len(made.runs(uuid)) == 1


def test_a_start_is_recorded_with_its_pid_and_deadline(made: Made):
    uuid = made.task(timeout=90.0)
    made.run(uuid)

    (run,) = made.runs(uuid)

    assert (run.status, run.pid, run.attempt) == ("running", 4242, 1)
    assert run.start_time is not None and run.deadline is not None and run.deadline > run.start_time
    assert made.row(uuid).started_at == run.start_time


def test_a_run_that_ends_before_its_start_is_seen_has_its_end(made: Made):
    uuid = made.task()
    (runid,) = made.claim(uuid)

    assert made.end(runid, 0) == [uuid]
    assert made.status(uuid) == "succeeded"


def test_a_start_heard_after_the_end_changes_nothing(made: Made):
    uuid = made.task()
    (runid,) = made.claim(uuid)
    made.end(runid, 3)

    made.started(runid)

    assert (made.runs(uuid)[0].status, made.status(uuid)) == ("failed", "failed")


def test_an_end_is_recorded_once(c: Connection, made: Made):
    uuid = made.task()
    runid = made.run(uuid)
    made.end(runid, 0)
    events = len(reads.events(c, uuid))

    assert made.end(runid, 1) == []
    assert (made.status(uuid), len(reads.events(c, uuid))) == ("succeeded", events)


def test_an_end_keeps_what_was_measured(made: Made):
    uuid = made.task()
    runid = made.run(uuid)

    made.end(runid, None, signal=9, run_seconds=2.5, cpu=1.25, maxrss=2048, logs="bye", log_bytes=3)

    (run,) = made.runs(uuid)
    assert (run.exit_code, run.signal, run.run_seconds, run.cpu_seconds, run.max_rss) == (None, 9, 2.5, 1.25, 2.0)
    assert (run.log_bytes, run.reason, run.status) == (3, "signal 9 (KILL)", "failed")
    assert run.end_time is not None and made.row(uuid).ended_at == run.end_time


@pytest.mark.parametrize(
    ("why", "status"), [("cancel", "cancelled"), ("timeout", "timed_out"), ("log limit", "failed")]
)
def test_a_stop_in_progress_wins_over_a_clean_exit(c: Connection, made: Made, why: str, status: str):
    uuid = made.task(timeout=5.0, log_limit=1.0)
    runid = made.run(uuid)
    assert transitions.stop(c, [runid], why, "ann") == [runid]

    made.end(runid, 0)

    assert (made.runs(uuid)[0].status, made.status(uuid)) == (status, status)
    rows = operations.listed(c, Wanted(object=f"task #{made.row(uuid).number}"), 9)
    recorded = [(row.by, row.verb, row.source, row.before, row.after["status"]) for row in rows]
    itself = (transitions.SYSTEM, why, "duty", {"status": "stopping"}, status)
    assert recorded == ([] if why == "cancel" else [itself])  # a person's stop is recorded by the verb


def test_a_cancel_wins_over_a_timeout_in_progress_that_would_be_retried(c: Connection, made: Made):
    uuid = made.task(timeout=5.0, retries=3)
    runid = made.run(uuid)
    transitions.stop(c, [runid], "timeout", transitions.SYSTEM)

    transitions.cancel(c, [uuid], "ann")
    made.end(runid, None, signal=15)

    assert (made.status(uuid), made.row(uuid).reason) == ("cancelled", "cancelled by ann")


def test_a_cancel_before_the_start_was_seen_still_keeps_the_pid(c: Connection, made: Made):
    uuid = made.task()
    (runid,) = made.claim(uuid)
    transitions.cancel(c, [uuid], "ann")

    made.started(runid)

    (run,) = made.runs(uuid)
    assert (run.status, run.pid) == ("stopping", 4242)


def test_pause_and_resume_move_only_what_runs(c: Connection, made: Made):
    running, waiting = made.task(), made.task()
    runid = made.run(running)

    assert transitions.pause(c, [running, waiting], "ann") == [runid]
    assert made.runs(running)[0].reason == "paused by ann"
    assert transitions.pause(c, [running], "bob") == []
    assert transitions.resume(c, [running, waiting], "ann") == [runid]
    assert (made.runs(running)[0].status, made.runs(running)[0].reason) == ("running", None)


def test_a_hold_while_running_takes_effect_at_the_next_attempt(c: Connection, made: Made):
    uuid = made.task(retries=1, retry_delay=0.0)
    runid = made.run(uuid)
    transitions.hold(c, [uuid], True, "ann")
    assert made.status(uuid) == "running"

    made.end(runid, 1)

    assert made.status(uuid) == "held"
    transitions.hold(c, [uuid], False, "ann")
    assert made.status(uuid) == "queued"


def test_a_waiting_task_stands_where_the_first_fact_puts_it(c: Connection, made: Made):
    parent = made.task()
    far = "2099-01-01T00:00:00.000000Z"
    uuid = made.task(after=[parent], not_before=far, hold=True, held_by="ann")
    assert made.status(uuid) == "held"

    transitions.hold(c, [uuid], False, "ann")
    assert made.status(uuid) == "scheduled"
    c.exec_driver_sql("UPDATE tasks SET not_before = NULL WHERE uuid = ?", (uuid,))
    transitions.settle(c, [uuid], "ann")
    assert made.status(uuid) == "blocked"
    made.ran(parent)
    assert made.status(uuid) == "queued"


def test_a_run_refused_before_its_fork_leaves_no_instance_and_costs_no_attempt(c: Connection, made: Made):
    uuid = made.task(retries=1)
    (runid,) = made.claim(uuid)

    transitions.unclaim(c, [runid])

    row = made.row(uuid)
    assert (row.status, row.attempts, row.failures, row.started_at) == ("queued", 0, 0, None)
    assert made.runs(uuid) == []
    assert [queue.current_load for queue in reads.queues(c)] == [0]


def test_a_refused_run_that_was_cancelled_ends_its_task_and_costs_no_attempt(c: Connection, made: Made):
    uuid = made.task()
    child = made.task(after=[uuid])
    (runid,) = made.claim(uuid)
    transitions.cancel(c, [uuid], "ann")

    transitions.unclaim(c, [runid])

    assert (made.status(uuid), made.status(child), made.row(uuid).attempts) == ("cancelled", "cancelled", 0)
    assert made.runs(uuid) == []


def test_a_refused_run_of_a_task_held_meanwhile_goes_back_to_held(c: Connection, made: Made):
    uuid = made.task()
    (runid,) = made.claim(uuid)
    transitions.hold(c, [uuid], True, "ann")

    transitions.unclaim(c, [runid])

    assert made.status(uuid) == "held"


def test_a_run_that_has_started_is_not_unclaimed(c: Connection, made: Made):
    uuid = made.task()
    runid = made.run(uuid)

    transitions.unclaim(c, [runid])

    assert (made.status(uuid), len(made.runs(uuid))) == ("running", 1)


def test_time_promotes_scheduled_and_retrying_tasks(c: Connection, made: Made):
    far, past = "2099-01-01T00:00:00.000000Z", "2000-01-01T00:00:00.000000Z"
    later, due = made.task(not_before=far), made.task(not_before=far)
    again = made.task(retries=1, retry_delay=3600.0)
    made.ran(again, code=1)
    c.exec_driver_sql("UPDATE tasks SET not_before = ? WHERE uuid = ?", (past, due))
    transitions.promote(c)
    assert [made.status(uuid) for uuid in (later, due, again)] == ["scheduled", "queued", "retrying"]

    c.exec_driver_sql("UPDATE tasks SET retry_at = ? WHERE uuid = ?", (past, again))
    transitions.promote(c)

    assert made.status(again) == "queued"


def test_a_not_before_that_lies_in_the_past_starts_at_once(made: Made):
    assert made.status(made.task(not_before="2000-01-01T00:00:00.000000Z")) == "queued"


def test_loads_follow_claims_and_ends(c: Connection, made: Made):
    first, second = made.task(cpu=0.5, memory=100.0), made.task(cpu=2.0, memory=28.5)
    runids = made.claim(first, second)

    (queue,), (pool,) = reads.queues(c), reads.pools(c)
    assert (queue.current_load, pool.used_cpu, pool.used_memory) == (2, 2.5, 128.5)

    for runid in runids:
        made.end(runid)
    (queue,), (pool,) = reads.queues(c), reads.pools(c)
    assert (queue.current_load, pool.used_cpu, pool.used_memory) == (0, 0.0, 0.0)


def test_recount_mends_wrong_loads_and_names_them(c: Connection, made: Made):
    made.run(made.task(cpu=1.0))
    c.exec_driver_sql("UPDATE queues SET current_load = 7")
    c.exec_driver_sql("UPDATE pools SET used_cpu = 3.5")

    assert transitions.recount(c) == ["default", "default"]
    assert transitions.recount(c) == []
    assert (reads.queues(c)[0].current_load, reads.pools(c)[0].used_cpu) == (1, 1.0)


def test_numbers_count_up_and_are_never_given_twice(c: Connection, made: Made):
    first = made.row(made.task()).number
    second = made.task()
    number = made.row(second).number
    c.exec_driver_sql("DELETE FROM events")
    c.exec_driver_sql("DELETE FROM tasks WHERE uuid = ?", (second,))

    assert number == first + 1
    assert made.row(made.task()).number == number + 1


def test_the_same_submission_twice_is_one_task(c: Connection, made: Made):
    row = task()
    first = transitions.submit(c, [dict(row)], [], "ann")
    events = len(reads.events(c, row["uuid"]))

    assert transitions.submit(c, [dict(row)], [], "ann") == first
    assert reads.counts(c) == {"queued": 1}
    assert len(reads.events(c, row["uuid"])) == events
    assert made.row(made.task()).number == first[row["uuid"]] + 1


def test_every_change_of_status_is_an_event(c: Connection, made: Made):
    uuid = made.task(retries=1, retry_delay=0.0)
    made.ran(uuid, code=1)
    made.ran(uuid)

    statuses = [event.status for event in reads.events(c, uuid) if event.runid is None]
    runs = [event.status for event in reads.events(c, uuid) if event.runid is not None]

    assert statuses == ["queued", "running", "retrying", "queued", "running", "succeeded"]
    assert runs == ["starting", "running", "failed", "starting", "running", "succeeded"]
