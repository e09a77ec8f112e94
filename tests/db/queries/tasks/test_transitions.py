"""Every status transition against the table of allowed ones; a lost race changes nothing."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from sqlalchemy import Connection

from app.core.ids import make_following_id, make_uuid7
from db import raw_sql, timestamps
from db.queries import reads
from db.queries.history import operations
from db.queries.history.operations import OperationFilter
from db.queries.scheduling import loads
from db.queries.tasks import transitions
from db.states import (
    ACTIVE,
    ENDED,
    RUN_ENDED,
    RUN_TRANSITIONS,
    TASK_TRANSITIONS,
    WAITING,
    RunStatus,
    TaskStatus,
    find_source_states,
)
from tests.db.builders import TaskBuilder, make_task_row


def force_status(c: Connection, table: str, key: str, value: str, status: str) -> None:
    c.exec_driver_sql(f"UPDATE {table} SET status = ? WHERE {key} = ?", (status, value))


def list_task_transitions() -> set[tuple[TaskStatus, TaskStatus]]:
    """Return the allowed transitions of tasks, written independently of the code."""
    pairs = set(itertools.permutations(WAITING, 2))
    pairs |= {(TaskStatus.QUEUED, TaskStatus.RUNNING)} | {
        (state, TaskStatus.CANCELLED) for state in WAITING
    }
    pairs |= {(TaskStatus.RUNNING, state) for state in ENDED | WAITING}
    return pairs | {(ended, state) for ended in ENDED for state in WAITING}


def list_run_transitions() -> set[tuple[RunStatus, RunStatus]]:
    """Return the allowed transitions of runs, written independently of the code."""
    pairs = {
        (RunStatus.STARTING, RunStatus.RUNNING),
        (RunStatus.RUNNING, RunStatus.PAUSED),
        (RunStatus.PAUSED, RunStatus.RUNNING),
    }
    pairs |= {
        (state, RunStatus.STOPPING)
        for state in (RunStatus.STARTING, RunStatus.RUNNING, RunStatus.PAUSED)
    }
    pairs |= {
        (state, end)
        for state in (RunStatus.STARTING, RunStatus.RUNNING, RunStatus.PAUSED)
        for end in RUN_ENDED
    }
    return pairs | {(RunStatus.STOPPING, end) for end in RUN_ENDED - {RunStatus.SUCCEEDED}}


def test_task_transitions_match_the_design():
    assert {
        (a, b) for a, targets in TASK_TRANSITIONS.items() for b in targets
    } == list_task_transitions()


def test_run_transitions_match_the_design():
    assert {
        (a, b) for a, targets in RUN_TRANSITIONS.items() for b in targets
    } == list_run_transitions()


@pytest.mark.parametrize("was", TaskStatus)
def test_a_task_moves_only_as_the_table_allows(
    connection: Connection, builder: TaskBuilder, was: TaskStatus
):
    for to in TaskStatus:
        uuid = builder.submit_task()
        force_status(connection, "tasks", "uuid", uuid, was)
        before = len(reads.list_events(connection, uuid))

        moved = transitions.move_tasks(connection, to, [{"uuid": uuid}], "ann", "why not")

        may = (was, to) in list_task_transitions()
        assert (len(moved), builder.read_status(uuid)) == ((1, to) if may else (0, was)), (
            f"{was} to {to}"
        )
        assert [(e.status, e.by, e.note) for e in reads.list_events(connection, uuid)[before:]] == [
            (to, "ann", "why not")
        ] * may


@pytest.mark.parametrize("was", RunStatus)
def test_a_run_moves_only_as_the_table_allows(
    connection: Connection, builder: TaskBuilder, was: RunStatus
):
    for to in RunStatus:
        uuid = builder.submit_task()
        runid = builder.start_run(uuid)
        force_status(connection, "instances", "runid", runid, was)

        moved = transitions.move_runs(connection, to, [{"runid": runid, "task_id": uuid}], "ann")

        may = (was, to) in list_run_transitions()
        assert (len(moved), builder.list_runs(uuid)[0].status) == ((1, to) if may else (0, was)), (
            f"{was} to {to}"
        )


def test_ended_runs_never_change_again():
    assert RUN_TRANSITIONS.keys() == ACTIVE
    assert all(state not in find_source_states(to) for state in RUN_ENDED for to in RunStatus)


def test_in_a_batch_only_allowed_tasks_move_and_leave_events(
    connection: Connection, builder: TaskBuilder
):
    waiting, over = builder.submit_task(), builder.submit_task()
    builder.complete_run(over)

    moved = transitions.move_tasks(
        connection,
        TaskStatus.CANCELLED,
        [{"uuid": waiting}, {"uuid": over}, {"uuid": "nobody"}],
        "ann",
    )

    assert [row["uuid"] for row in moved] == [waiting]
    assert builder.read_status(over) == "succeeded"
    assert reads.list_events(connection, over)[-1].status == "succeeded"


def test_a_task_cancelled_first_is_not_claimed(connection: Connection, builder: TaskBuilder):
    uuid = builder.submit_task()
    transitions.cancel(connection, [uuid], "ann")

    assert builder.claim_tasks(uuid) == []
    assert builder.list_runs(uuid) == []


@pytest.mark.parametrize("status", sorted(WAITING - {TaskStatus.QUEUED}))
def test_only_a_queued_task_can_be_claimed(
    connection: Connection, builder: TaskBuilder, status: TaskStatus
):
    uuid = builder.submit_task()
    force_status(connection, "tasks", "uuid", uuid, status)

    assert builder.claim_tasks(uuid) == []


def test_one_task_is_claimed_once(connection: Connection, builder: TaskBuilder):
    uuid = builder.submit_task()

    assert len(builder.claim_tasks(uuid)) == 1
    assert builder.claim_tasks(uuid) == []
    assert len(builder.list_runs(uuid)) == 1


def test_a_start_records_pid_and_deadline(builder: TaskBuilder):
    uuid = builder.submit_task(timeout=90.0)
    builder.start_run(uuid)

    (run,) = builder.list_runs(uuid)

    assert (run.status, run.pid, run.attempt) == ("running", 4242, 1)
    assert run.start_time is not None and run.deadline is not None and run.deadline > run.start_time
    assert builder.read_row(uuid).started_at == run.start_time


def test_an_end_before_the_start_is_seen_is_recorded(builder: TaskBuilder):
    uuid = builder.submit_task()
    (runid,) = builder.claim_tasks(uuid)

    assert builder.record_end(runid, 0) == [uuid]
    assert builder.read_status(uuid) == "succeeded"


def test_a_start_reported_after_the_end_changes_nothing(builder: TaskBuilder):
    uuid = builder.submit_task()
    (runid,) = builder.claim_tasks(uuid)
    builder.record_end(runid, 3)

    builder.record_start(runid)

    assert (builder.list_runs(uuid)[0].status, builder.read_status(uuid)) == ("failed", "failed")


def test_an_end_is_recorded_once(connection: Connection, builder: TaskBuilder):
    uuid = builder.submit_task()
    runid = builder.start_run(uuid)
    builder.record_end(runid, 0)
    events = len(reads.list_events(connection, uuid))

    assert builder.record_end(runid, 1) == []
    assert (builder.read_status(uuid), len(reads.list_events(connection, uuid))) == (
        "succeeded",
        events,
    )


def test_an_end_keeps_the_measured_usage(builder: TaskBuilder):
    uuid = builder.submit_task()
    runid = builder.start_run(uuid)

    builder.record_end(
        runid, None, signal=9, run_seconds=2.5, cpu=1.25, maxrss=2048, logs="bye", log_bytes=3
    )

    (run,) = builder.list_runs(uuid)
    assert (run.exit_code, run.signal, run.run_seconds, run.cpu_seconds, run.max_rss) == (
        None,
        9,
        2.5,
        1.25,
        2.0,
    )
    assert (run.log_bytes, run.reason, run.status) == (3, "signal 9 (KILL)", "failed")
    assert run.end_time is not None and builder.read_row(uuid).ended_at == run.end_time


@pytest.mark.parametrize("took", [2.5, None])
def test_an_end_after_the_clock_was_set_back_follows_the_start(
    builder: TaskBuilder, took: float | None
):
    uuid = builder.submit_task()
    runid = builder.start_run(uuid)
    began = builder.list_runs(uuid)[0].start_time
    assert began is not None

    builder.record_end(runid, at=timestamps.to_unix(began) - 7200, run_seconds=took)

    (run,) = builder.list_runs(uuid)
    assert run.end_time == timestamps.from_unix(timestamps.to_unix(began) + (took or 0.0))
    assert builder.read_row(uuid).ended_at == run.end_time


@pytest.mark.parametrize(
    ("why", "status"), [("cancel", "cancelled"), ("timeout", "timed_out"), ("log limit", "failed")]
)
def test_a_stop_in_progress_wins_over_a_clean_exit(
    connection: Connection, builder: TaskBuilder, why: str, status: str
):
    uuid = builder.submit_task(timeout=5.0, log_limit=1.0)
    runid = builder.start_run(uuid)
    assert transitions.stop(connection, [runid], why, "ann") == [runid]

    builder.record_end(runid, 0)

    assert (builder.list_runs(uuid)[0].status, builder.read_status(uuid)) == (status, status)
    rows = operations.list_operations(
        connection, OperationFilter(object=f"task #{builder.read_row(uuid).number}"), 9
    )
    recorded = [(row.by, row.verb, row.source, row.before, row.after["status"]) for row in rows]
    itself = (transitions.SYSTEM, why, "duty", {"status": "stopping"}, status)
    assert recorded == ([] if why == "cancel" else [itself])  # the verb records a person's stop


def test_a_cancel_wins_over_a_timeout_that_would_be_retried(
    connection: Connection, builder: TaskBuilder
):
    uuid = builder.submit_task(timeout=5.0, retries=3)
    runid = builder.start_run(uuid)
    transitions.stop(connection, [runid], "timeout", transitions.SYSTEM)

    transitions.cancel(connection, [uuid], "ann")
    builder.record_end(runid, None, signal=15)

    assert (builder.read_status(uuid), builder.read_row(uuid).reason) == (
        "cancelled",
        "cancelled by ann",
    )


def test_a_cancel_before_the_start_is_seen_keeps_the_pid(
    connection: Connection, builder: TaskBuilder
):
    uuid = builder.submit_task()
    (runid,) = builder.claim_tasks(uuid)
    transitions.cancel(connection, [uuid], "ann")

    builder.record_start(runid)

    (run,) = builder.list_runs(uuid)
    assert (run.status, run.pid) == ("stopping", 4242)


def test_pause_and_resume_move_only_running_tasks(connection: Connection, builder: TaskBuilder):
    running, waiting = builder.submit_task(), builder.submit_task()
    runid = builder.start_run(running)

    assert transitions.pause(connection, [running, waiting], "ann") == [runid]
    assert builder.list_runs(running)[0].reason == "paused by ann"
    assert transitions.pause(connection, [running], "bob") == []
    assert transitions.resume(connection, [running, waiting], "ann") == [runid]
    assert (builder.list_runs(running)[0].status, builder.list_runs(running)[0].reason) == (
        "running",
        None,
    )


def test_a_hold_while_running_applies_to_the_next_attempt(
    connection: Connection, builder: TaskBuilder
):
    uuid = builder.submit_task(retries=1, retry_delay=0.0)
    runid = builder.start_run(uuid)
    transitions.hold(connection, [uuid], True, "ann")
    assert builder.read_status(uuid) == "running"

    builder.record_end(runid, 1)

    assert builder.read_status(uuid) == "held"
    transitions.hold(connection, [uuid], False, "ann")
    assert builder.read_status(uuid) == "queued"


def test_the_first_applicable_reason_decides_the_waiting_status(
    connection: Connection, builder: TaskBuilder
):
    parent = builder.submit_task()
    far = "2099-01-01T00:00:00.000000Z"
    uuid = builder.submit_task(after=[parent], not_before=far, hold=True, held_by="ann")
    assert builder.read_status(uuid) == "held"

    transitions.hold(connection, [uuid], False, "ann")
    assert builder.read_status(uuid) == "scheduled"
    connection.exec_driver_sql("UPDATE tasks SET not_before = NULL WHERE uuid = ?", (uuid,))
    transitions.recompute_waiting_state(connection, [uuid], "ann")
    assert builder.read_status(uuid) == "blocked"
    builder.complete_run(parent)
    assert builder.read_status(uuid) == "queued"


def test_a_run_refused_before_its_fork_costs_no_attempt(
    connection: Connection, builder: TaskBuilder
):
    uuid = builder.submit_task(retries=1)
    (runid,) = builder.claim_tasks(uuid)

    transitions.unclaim(connection, [runid])

    row = builder.read_row(uuid)
    assert (row.status, row.attempts, row.failures, row.started_at) == ("queued", 0, 0, None)
    assert builder.list_runs(uuid) == []
    assert [queue.current_load for queue in reads.list_queues(connection)] == [0]


def test_a_cancelled_and_refused_run_ends_its_task_without_an_attempt(
    connection: Connection, builder: TaskBuilder
):
    uuid = builder.submit_task()
    child = builder.submit_task(after=[uuid])
    (runid,) = builder.claim_tasks(uuid)
    transitions.cancel(connection, [uuid], "ann")

    transitions.unclaim(connection, [runid])

    assert (
        builder.read_status(uuid),
        builder.read_status(child),
        builder.read_row(uuid).attempts,
    ) == ("cancelled", "cancelled", 0)
    assert builder.list_runs(uuid) == []


def test_a_refused_run_of_a_held_task_goes_back_to_held(
    connection: Connection, builder: TaskBuilder
):
    uuid = builder.submit_task()
    (runid,) = builder.claim_tasks(uuid)
    transitions.hold(connection, [uuid], True, "ann")

    transitions.unclaim(connection, [runid])

    assert builder.read_status(uuid) == "held"


def test_a_started_run_is_not_unclaimed(connection: Connection, builder: TaskBuilder):
    uuid = builder.submit_task()
    runid = builder.start_run(uuid)

    transitions.unclaim(connection, [runid])

    assert (builder.read_status(uuid), len(builder.list_runs(uuid))) == ("running", 1)


def test_due_scheduled_and_retrying_tasks_are_released(
    connection: Connection, builder: TaskBuilder
):
    far, past = "2099-01-01T00:00:00.000000Z", "2000-01-01T00:00:00.000000Z"
    later, due = builder.submit_task(not_before=far), builder.submit_task(not_before=far)
    again = builder.submit_task(retries=1, retry_delay=3600.0)
    builder.complete_run(again, code=1)
    connection.exec_driver_sql("UPDATE tasks SET not_before = ? WHERE uuid = ?", (past, due))
    transitions.queue_due_tasks(connection)
    assert [builder.read_status(uuid) for uuid in (later, due, again)] == [
        "scheduled",
        "queued",
        "retrying",
    ]

    connection.exec_driver_sql("UPDATE tasks SET retry_at = ? WHERE uuid = ?", (past, again))
    transitions.queue_due_tasks(connection)

    assert builder.read_status(again) == "queued"


def test_many_due_tasks_take_several_transactions(
    connection: Connection, builder: TaskBuilder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(transitions, "MAX_DUE", 2)
    found = [builder.submit_task(not_before=f"2099-01-0{day}T00:00:00.000000Z") for day in "312"]
    connection.exec_driver_sql("UPDATE tasks SET not_before = '2000' || substr(not_before, 5)")

    transitions.queue_due_tasks(connection)
    assert [builder.read_status(uuid) for uuid in found] == ["scheduled", "queued", "queued"]
    transitions.queue_due_tasks(connection)

    assert builder.read_status(found[0]) == "queued"


def test_a_not_before_in_the_past_starts_at_once(builder: TaskBuilder):
    assert (
        builder.read_status(builder.submit_task(not_before="2000-01-01T00:00:00.000000Z"))
        == "queued"
    )


def test_loads_follow_claims_and_ends(connection: Connection, builder: TaskBuilder):
    first, second = (
        builder.submit_task(cpu=0.5, memory=100.0),
        builder.submit_task(cpu=2.0, memory=28.5),
    )
    runids = builder.claim_tasks(first, second)

    (queue,), (pool,) = reads.list_queues(connection), reads.list_pools(connection)
    assert (queue.current_load, pool.used_cpu, pool.used_memory) == (2, 2.5, 128.5)

    for runid in runids:
        builder.record_end(runid)
    (queue,), (pool,) = reads.list_queues(connection), reads.list_pools(connection)
    assert (queue.current_load, pool.used_cpu, pool.used_memory) == (0, 0.0, 0.0)


def test_recount_repairs_wrong_loads_and_names_them(connection: Connection, builder: TaskBuilder):
    builder.start_run(builder.submit_task(cpu=1.0))
    connection.exec_driver_sql("UPDATE queues SET current_load = 7")
    connection.exec_driver_sql("UPDATE pools SET used_cpu = 3.5")

    assert loads.recount_loads(connection) == ["default", "default"]
    assert loads.recount_loads(connection) == []
    assert (
        reads.list_queues(connection)[0].current_load,
        reads.list_pools(connection)[0].used_cpu,
    ) == (1, 1.0)


def test_many_tasks_are_stored_and_cancelled_by_few_statements(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    executed: list[str] = []
    usual = raw_sql.execute_on_driver

    def count(driver: Any, sql: str, parameters: Any, many: bool = False) -> Any:
        executed.extend([" ".join(sql.split()[:3])] * (len(parameters) if many else 1))
        return usual(driver, sql, parameters, many)

    monkeypatch.setattr(raw_sql, "execute_on_driver", count)
    uuids = [make_following_id(make_uuid7(), at) for at in range(100)]

    transitions.submit(connection, [make_task_row(uuid=uuid) for uuid in uuids], [], "ann")
    submitted = len(executed)
    transitions.cancel(connection, uuids, "ann")

    assert executed.count("INSERT INTO tasks") == 4
    assert executed[submitted:] == [
        "SELECT queue, group_number,",
        "INSERT INTO counters",
        "UPDATE tasks SET",
        "DELETE FROM counters",
        *["INSERT INTO counters"] * 2,
        "INSERT INTO events",
        "SELECT DISTINCT task_id",
    ]
    assert executed.count("INSERT INTO events") == 2
    assert {row.status for row in reads.list_by_uuid(connection, uuids)} == {"cancelled"}


def test_many_tasks_are_counted_together_and_right(connection: Connection, builder: TaskBuilder):
    builder.submit_task()
    driver: Any = connection.connection.driver_connection
    rows = [make_task_row(hold=at % 3 == 0) for at in range(60)]
    uuids = [row["uuid"] for row in rows]

    before = driver.total_changes
    transitions.submit(connection, rows, [], "ann")
    assert driver.total_changes - before < 2 * len(rows) + 10, "a task and its event, each once"
    assert reads.count_by_status(connection) == count_rows(connection) == {"held": 20, "queued": 41}

    connection.exec_driver_sql("UPDATE tasks SET deleted_at = 'x' WHERE uuid = ?", (uuids[1],))
    before = driver.total_changes
    transitions.cancel(connection, uuids, "ann")
    assert driver.total_changes - before < 2 * len(rows) + 10
    expected = {"cancelled": 59, "queued": 1}
    assert reads.count_by_status(connection) == count_rows(connection) == expected

    builder.submit_task()
    assert reads.count_by_status(connection) == count_rows(connection), "the triggers count again"


def count_rows(connection: Connection) -> dict[str, int]:
    """Return {status: tasks} by a count of the rows."""
    counted = "SELECT status, count(*) FROM tasks WHERE deleted_at IS NULL GROUP BY status"
    return {status: count for status, count in connection.exec_driver_sql(counted)}


def test_numbers_count_up_and_are_never_reused(connection: Connection, builder: TaskBuilder):
    first = builder.read_row(builder.submit_task()).number
    second = builder.submit_task()
    number = builder.read_row(second).number
    connection.exec_driver_sql("DELETE FROM events")
    connection.exec_driver_sql("DELETE FROM tasks WHERE uuid = ?", (second,))

    assert number == first + 1
    assert builder.read_row(builder.submit_task()).number == number + 1


def test_a_repeated_submission_is_one_task(connection: Connection, builder: TaskBuilder):
    row = make_task_row()
    first = transitions.submit(connection, [dict(row)], [], "ann")
    events = len(reads.list_events(connection, row["uuid"]))

    assert transitions.submit(connection, [dict(row)], [], "ann") == first
    assert reads.count_by_status(connection) == {"queued": 1}
    assert len(reads.list_events(connection, row["uuid"])) == events
    assert builder.read_row(builder.submit_task()).number == first[row["uuid"]] + 1


def test_every_status_change_is_an_event(connection: Connection, builder: TaskBuilder):
    uuid = builder.submit_task(retries=1, retry_delay=0.0)
    builder.complete_run(uuid, code=1)
    builder.complete_run(uuid)

    statuses = [
        event.status for event in reads.list_events(connection, uuid) if event.runid is None
    ]
    runs = [
        event.status for event in reads.list_events(connection, uuid) if event.runid is not None
    ]

    assert statuses == ["queued", "running", "retrying", "queued", "running", "succeeded"]
    assert runs == ["starting", "running", "failed", "starting", "running", "succeeded"]
