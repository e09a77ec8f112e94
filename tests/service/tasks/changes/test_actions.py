"""Actions on tasks: effects, refusals, recorded operations and undo."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.errors import Conflict, NotFound, Problem, Usage
from app.service import operations as log
from app.service.context import Call
from app.service.definitions import limits, queues
from app.service.tasks.changes import actions, apply, retry
from app.service.tasks.inspection import pages, views, wait
from app.service.tasks.submission import submit
from db import raw_sql, timestamps
from db.queries import reads
from db.queries.scheduling import dispatch
from db.queries.tasks import dependencies, pending_parents, transitions
from tests.service.calls import count_other_writes, execute_sql, list_operations, submit_task


async def read_status(call: Call, number: int) -> str:
    return (await views.show(call, id=number))["status"]


async def list_queue_order(call: Call, queue: str = "default") -> list[int]:
    """Return the queued numbers in dispatch order."""
    rows = await execute_sql(
        call,
        "SELECT number FROM tasks WHERE queue = ? AND status = 'queued' ORDER BY front DESC,"
        " priority DESC, number",
        queue,
    )
    return [row[0] for row in rows]


def list_refusals(answer: dict[str, Any]) -> list[tuple[int, int, str]]:
    """Return number, exit code and message of each refusal."""
    return [(row["number"], row["exit_code"], row["message"]) for row in answer["refused"]]


# Cancel and signal


async def test_a_waiting_task_is_cancelled_at_once(call: Call):
    await submit_task(call, name="a")

    done = await actions.cancel(call, ids=[1])

    assert [(row["number"], row["name"], row["status"]) for row in done["done"]] == [
        (1, "a", "cancelled")
    ]
    assert (await views.show(call, id=1))["reason"] == "cancelled by ann"
    assert await list_operations(call) == [("submit", "task #1"), ("cancel", "task #1")]


async def test_flags_are_recorded_as_booleans(call: Call):
    await submit_task(call)

    done = await actions.hold(call, ids=[1])

    recorded = await execute_sql(call, "SELECT before, after FROM operations WHERE verb = 'hold'")
    assert done["done"][0]["changes"]["hold"] == [False, True]
    assert [json.loads(text) for text in recorded[0]] == [
        {"status": "queued", "hold": False},
        {"status": "held", "hold": True},
    ]
    assert '"hold": true' in recorded[0][1]


async def test_a_brief_cancel_counts_equal_results(call: Call, worker, monkeypatch):
    monkeypatch.setattr(apply, "BATCH_SIZE", 2)
    for _ in range(6):
        await submit_task(call)
    await worker.start(1)
    await actions.hold(call, ids=[2])

    done = await actions.cancel(call, select={"queue": "default"}, brief=True)

    counted = {"grace": 5.0, "run": None, "status": "cancelled"}
    assert sorted(done["done"], key=lambda row: (row["count"], row["status"])) == [
        {**counted, "count": 1, "changes": {"status": ["held", "cancelled"]}},
        {"status": "running", "run": "stopping", "grace": 5.0, "count": 1,
         "changes": {"run": ["running", "stopping"]}},
        {**counted, "count": 4, "changes": {"status": ["queued", "cancelled"]}},
    ]  # fmt: skip
    assert (done["refused"], done["notes"]) == ([], [])


async def test_a_cancel_of_many_reads_few_columns_by_few_statements(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    executed: list[str] = []
    usual = raw_sql.execute_on_driver

    def note(driver: Any, sql: str, parameters: Any, many: bool = False) -> Any:
        executed.append(sql)
        return usual(driver, sql, parameters, many)

    await submit.submit(call, tasks=[{"argv": ["true"]}] * apply.BATCH_SIZE)
    monkeypatch.setattr(raw_sql, "execute_on_driver", note)

    done = await actions.cancel(call, select={"queue": "default"}, brief=True)

    assert [row["count"] for row in done["done"]] == [apply.BATCH_SIZE]
    assert len([sql for sql in executed if not sql.startswith("BEGIN")]) == 11
    read = [sql for sql in executed if sql.startswith("SELECT uuid")]
    assert [sql.partition(" FROM ")[0].count(",") for sql in read] == [24, 3]
    assert not any("parameters" in sql or "tags" in sql for sql in read)


async def test_a_cancel_preview_lists_waiting_dependents_outside_the_selection(call: Call):
    await submit_task(call, name="parent")
    await submit_task(call, name="needs success", after=[1])
    await submit_task(call, name="needs an end", after_any=[1])
    await submit_task(call, name="cancelled already", after=[1])
    await submit_task(call, name="also selected", after=[1, 2])
    await submit_task(call, name="needs a child", after=[2])
    await actions.cancel(call, ids=[4])
    uuids = [(await views.show(call, id=number))["uuid"] for number in (1, 5)]

    preview = await actions.preview_cancel(call, ids=uuids)

    assert [(task["number"], task["status"]) for task in preview["tasks"]] == [
        (1, "queued"),
        (5, "blocked"),
    ]
    assert preview["dependents"] == [
        {"number": 2, "name": "needs success"},
        {"number": 6, "name": "needs a child"},
    ]


async def test_a_running_task_begins_to_stop(call: Call, worker):
    await submit_task(call)
    runid = await worker.start(1)

    done = await actions.cancel(call, ids=[1], grace=0.5)

    row = await views.show(call, id=1)
    assert (done["done"][0]["status"], row["instances"][0]["status"], row["grace"]) == (
        "running",
        "stopping",
        0.5,
    )
    await worker.end(runid, 0)
    assert await read_status(call, 1) == "cancelled"


async def test_cancelling_an_ended_task_is_a_note_not_a_failure(call: Call, worker):
    await submit_task(call)
    await worker.run(1)

    done = await actions.cancel(call, ids=[1])

    assert (done["done"], done["refused"]) == ([], [])
    assert done["notes"] == ["#1 has ended (succeeded, 0s ago); there is nothing to cancel."]
    assert await list_operations(call) == [("submit", "task #1")]


async def test_a_signal_goes_only_to_running_tasks(runtime_call: Call, fake_runtime, worker):
    await submit_task(runtime_call)
    await submit_task(runtime_call)
    runid = await worker.start(1)

    done = await actions.cancel(runtime_call, ids=[1, 2], signal=10)

    assert fake_runtime.signals == [([runid], 10)]
    assert list_refusals(done) == [(2, 4, "#2 is queued: it has no process to send USR1 to.")]
    assert await read_status(runtime_call, 1) == "running"


@pytest.mark.parametrize("signal", [0, -1, 65, 1000, "KILL", 1.5, True])
async def test_an_invalid_signal_is_refused(runtime_call: Call, fake_runtime, worker, signal: Any):
    await submit_task(runtime_call)
    await worker.start(1)

    with pytest.raises(Usage, match="signal"):
        await actions.cancel(runtime_call, ids=[1], signal=signal)

    assert fake_runtime.signals == []


async def test_signals_and_pauses_read_all_active_runs_by_one_query(
    runtime_call: Call, fake_runtime, worker, monkeypatch: pytest.MonkeyPatch
):
    for _ in range(5):
        await submit_task(runtime_call)
    runids = [await worker.start(number) for number in range(1, 6)]
    counts = {"list_runs": 0, "list_running": 0}

    def count(name: str) -> Any:
        usual = getattr(reads, name)

        def read(*args: Any) -> Any:
            counts[name] += 1
            return usual(*args)

        return read

    for name in counts:
        monkeypatch.setattr(reads, name, count(name))
    everything = {"status": ["running"]}

    await actions.cancel(runtime_call, select=everything, signal=10)
    await actions.pause(runtime_call, select=everything)

    assert sorted(fake_runtime.signals[0][0]) == sorted(runids)
    assert counts["list_runs"] == 0 and counts["list_running"] < 10


@pytest.mark.parametrize("grace", [-1, float("nan"), float("inf"), "soon", [1]])
async def test_an_invalid_grace_is_refused(call: Call, worker, grace: Any):
    await submit_task(call)

    with pytest.raises(Usage, match="grace"):
        await actions.cancel(call, ids=[1], grace=grace)

    assert await read_status(call, 1) == "queued"


@pytest.mark.parametrize("signal", [None, 9])
async def test_a_task_retried_since_it_was_shown_is_left_alone(
    call: Call, worker, signal: int | None
):
    uuid = (await submit_task(call))["uuid"]
    runid = await worker.start(1)
    await actions.cancel(call, ids=[uuid], attempts={uuid: 1})
    await worker.end(runid, 0)
    await retry.retry(call, ids=[1])

    waiting = await actions.cancel(call, ids=[uuid], attempts={uuid: 1}, signal=signal)
    await worker.start(1)
    running = await actions.cancel(call, ids=[uuid], attempts={uuid: 1}, signal=signal)

    left = "so it was left alone: check it, then repeat."
    assert list_refusals(running) == [(1, 4, f"#1 has ended meanwhile and runs again, {left}")]
    assert [(number, code) for number, code, _ in list_refusals(waiting)] == [(1, 4)] and (
        await views.show(call, id=1)
    )["status"] == "running"
    meant = await actions.cancel(call, ids=[uuid], attempts={uuid: 2}, signal=signal)
    assert [row["number"] for row in meant["done"]] == [1]


@pytest.mark.parametrize("verb", [actions.rm, retry.retry])
async def test_a_task_that_ended_again_since_it_was_shown_is_left_alone(
    call: Call, worker, verb: Any
):
    uuid = (await submit_task(call))["uuid"]
    ends = []
    for _ in range(2):
        await worker.end(await worker.start(1), 1)
        ends.append(timestamps.to_unix((await views.show(call, id=1))["ended_at"]))
        await retry.retry(call, ids=[uuid], ends={uuid: ends[-1]})
    await actions.cancel(call, ids=[1])

    left = await verb(call, ids=[uuid], ends={uuid: ends[-1]})

    assert list_refusals(left) == [
        (
            1,
            4,
            (
                "#1 has ended again meanwhile (cancelled), so it was left alone: check it, then"
                " repeat."
            ),
        )
    ]
    assert await read_status(call, 1) == "cancelled"


# Pause, resume, hold, release


async def test_a_running_task_is_paused_and_resumed(call: Call, worker):
    await submit_task(call)
    await worker.start(1)

    await actions.pause(call, ids=[1])
    assert (await views.show(call, id=1))["instances"][0]["status"] == "paused"
    await actions.resume(call, ids=[1])

    assert (await views.show(call, id=1))["instances"][0]["status"] == "running"
    assert await list_operations(call) == [
        ("submit", "task #1"),
        ("pause", "task #1"),
        ("resume", "task #1"),
    ]


async def test_pausing_a_waiting_or_ended_task_suggests_the_right_verb(call: Call, worker):
    await submit_task(call)
    await submit_task(call)
    await worker.run(2)

    done = await actions.pause(call, ids=[1, 2])

    assert list_refusals(done) == [
        (1, 4, "#1 has not started; to keep it from starting: taskdeck hold 1"),
        (2, 4, "#2 has ended (succeeded, 0s ago); there is nothing to pause."),
    ]


async def test_resuming_a_task_that_is_not_paused_is_refused(call: Call):
    await submit_task(call, hold=True)

    done = await actions.resume(call, ids=[1])

    assert list_refusals(done) == [
        (1, 4, "#1 is held, not paused. To let it start: taskdeck release 1")
    ]


async def test_a_task_is_held_and_released(call: Call):
    await submit_task(call)

    held = await actions.hold(call, ids=[1])
    assert (held["done"][0]["status"], (await views.show(call, id=1))["held_by"]) == ("held", "ann")
    released = await actions.release(call, ids=[1])

    row = await views.show(call, id=1)
    assert (released["done"][0]["status"], row["hold"], row["held_by"]) == ("queued", False, None)


async def test_releasing_a_task_that_is_not_held_is_a_note(call: Call):
    await submit_task(call)

    done = await actions.release(call, ids=[1])

    assert (done["done"], done["refused"], done["notes"]) == ([], [], ["#1 is not held."])


@pytest.mark.parametrize("verb", [actions.hold, actions.release, actions.front])
async def test_an_ended_task_cannot_be_held_released_or_moved(call: Call, worker, verb: Any):
    await submit_task(call)
    await worker.run(1, 1)

    done = await verb(call, ids=[1])

    assert [(number, code) for number, code, _ in list_refusals(done)] == [(1, 4)]
    assert "has ended (failed" in done["refused"][0]["message"]


@pytest.mark.parametrize(
    ("code", "again"), [(1, "taskdeck retry 1"), (0, "taskdeck retry --again 1")]
)
async def test_an_ended_task_cannot_be_set_and_the_error_suggests_retry(
    call: Call, worker, code: int, again: str
):
    await submit_task(call)
    await worker.run(1, code)

    done = await actions.set_(call, ids=[1], fields={"memory": 900})

    assert (
        done["refused"][0]["hint"]
        == f"To run it again: {again}, also with --cpu, --memory or --timeout; to submit a"
        " changed copy: R in the deck"
    )


# Retry, remove


async def test_a_retry_examines_some_of_many_cancelled_children(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dependencies, "MAX_CHILDREN", 12)
    child = {"argv": ["true"], "after": ["parent"]}
    await submit.submit(call, tasks=[{"argv": ["true"], "name": "parent"}, *[child] * 20])
    await actions.cancel(call, ids=["parent"])

    (note,) = (await retry.retry(call, ids=["parent"]))["notes"]

    assert "#11 and at least 2 more were cancelled with #1 and stay cancelled." in note


async def test_a_task_whose_children_are_being_updated_is_not_retried_yet(call: Call):
    child = {"argv": ["true"], "after": ["parent"]}
    many = transitions.MAX_CHILDREN + 1
    await submit.submit(call, tasks=[{"argv": ["true"], "name": "parent"}, *[child] * many])
    await actions.cancel(call, ids=["parent"])

    refused = await retry.retry(call, ids=["parent"])
    await call.db.write(transitions.continue_propagation)
    while await call.db.read(pending_parents.has_any):
        await call.db.write(transitions.continue_propagation)
    done = await retry.retry(call, ids=["parent"])

    said = "#1 has just ended, and its many dependents are still being updated."
    assert list_refusals(refused) == [(1, 4, f"{said} In a few seconds: taskdeck retry 1")]
    assert [row["status"] for row in done["done"]] == ["queued"]


async def test_a_failed_task_can_be_retried_a_succeeded_one_only_with_again(call: Call, worker):
    for code in (1, 0):
        await worker.run((await submit_task(call))["number"], code)

    done = await retry.retry(call, ids=[1, 2])

    assert [(row["number"], row["status"]) for row in done["done"]] == [(1, "queued")]
    assert list_refusals(done) == [
        (2, 4, "#2 succeeded. To run it again anyway: taskdeck retry --again 2")
    ]
    assert (await retry.retry(call, ids=[2], again=True))["done"][0]["status"] == "queued"


async def test_a_retry_names_dependent_tasks_that_stay_cancelled(call: Call, worker):
    for parents in ([], [1], [2], [1]):
        await submit_task(call, after=parents)
    await worker.run(1, 1)

    alone = await retry.retry(call, ids=[1])
    with_them = await retry.retry(call, ids=[2, 3, 4])

    assert alone["notes"] == [
        "#2, #3 and #4 were cancelled with #1 and stay cancelled."
        " To run them too: taskdeck retry --with-dependents 1"
    ]
    assert (
        with_them["notes"] == [] and [row["status"] for row in with_them["done"]] == ["blocked"] * 3
    )


async def test_a_retry_of_a_child_warns_about_its_failed_parent(call: Call, worker):
    for parents in ([], [1], [], [3]):
        await submit_task(call, after=parents)
    await worker.run(1, 1)
    await worker.run(3, 1)

    together = await retry.retry(call, ids=[1, 2])
    alone = await retry.retry(call, ids=[4])

    assert together["notes"] == []
    assert alone["notes"] == ["#4 runs anyway: #3, which it depends on, has failed."]


async def test_an_unended_task_is_neither_retried_nor_deleted(call: Call, worker):
    await submit_task(call)

    for verb in (retry.retry, actions.rm):
        done = await verb(call, ids=[1])
        assert [(number, code) for number, code, _ in list_refusals(done)] == [(1, 4)]
        assert "#1 is queued: only a task that has ended" in done["refused"][0]["message"]


async def test_a_deleted_task_disappears_from_every_view(call: Call, worker):
    await submit_task(call, name="gone")
    await worker.run(1)

    done = await actions.rm(call, ids=[1])

    assert done["done"][0]["status"] == "deleted"
    for look in (
        views.show(call, id=1),
        views.show(call, id="gone"),
        views.find_logs(call, id=1),
        views.explain(call, ids=[1]),
    ):
        with pytest.raises(NotFound):
            await look
    listed = await views.ls(call)
    assert (listed["tasks"], listed["total"], listed["of"]) == ([], 0, 0)
    assert await views.list_instances(call) == []
    assert (await actions.rm(call, ids=[1]))["refused"][0]["exit_code"] == 3
    assert (await submit_task(call))["number"] == 2


# Front, set


async def test_tasks_move_to_the_front_in_the_given_order(call: Call):
    for priority in (5, 0, 0, 0):
        await submit_task(call, priority=priority)

    await actions.front(call, ids=[3, 2])
    assert await list_queue_order(call) == [3, 2, 1, 4]
    await actions.front(call, ids=[4])

    assert await list_queue_order(call) == [4, 3, 2, 1]


async def test_many_tasks_move_to_the_front_in_the_given_order(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(apply, "BATCH_SIZE", 20)
    monkeypatch.setattr(apply, "STEP_SECONDS", 0.0)
    await submit.submit(call, tasks=[{"argv": ["true"]}] * 101, env={})
    order = [*range(100, 1, -2), *range(1, 101, 2)]

    moving = actions.front(call, ids=order)

    assert await count_other_writes(call, moving) >= 4
    assert await list_queue_order(call) == [*order, 101]


async def test_ids_are_looked_up_by_a_reader_unless_they_are_few(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    await submit_task(call)
    written: list[Any] = []
    write = call.db.write

    async def write_and_note(fn: Any, *args: Any) -> Any:
        written.append(fn)
        return await write(fn, *args)

    monkeypatch.setattr(call.db, "write", write_and_note)
    unknown = [f"no such task {at}" for at in range(apply.MAX_UNRESOLVED)]
    answer = await actions.hold(call, ids=[*unknown, 1])

    assert len(answer["refused"]) == len(unknown)
    assert [row["number"] for row in answer["done"]] == [1]
    assert written == [apply._apply_for_a_while]  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(("count", "trims"), [(4, [apply.TRIM_DELAY]), (3, [])])
async def test_memory_is_trimmed_after_the_answer_to_many_tasks(
    call: Call, monkeypatch: pytest.MonkeyPatch, count: int, trims: list[float]
):
    monkeypatch.setattr(apply, "MANY", 4)
    asked: list[float] = []
    monkeypatch.setattr(call.db, "trim_later", asked.append)
    for _ in range(count):
        await submit_task(call)

    await actions.cancel(call, select={"queue": "default"})

    assert asked == trims


async def test_a_running_task_is_not_moved_to_the_front(call: Call, worker):
    await submit_task(call)
    await worker.start(1)

    done = await actions.front(call, ids=[1])

    assert (done["done"], done["refused"], done["notes"]) == ([], [], ["#1 is running already."])


async def test_an_undo_of_front_restores_the_old_value(call: Call):
    for _ in range(2):
        await submit_task(call)
    done = await actions.front(call, ids=[2])
    assert await list_queue_order(call) == [2, 1]

    await actions.front(call, ids=[2], value=done["done"][0]["before"]["front"])

    assert await list_queue_order(call) == [1, 2]


async def test_set_changes_the_request_and_reports_old_values(call: Call):
    await queues.queue_create(call, name="other", capacity=1)
    await submit_task(call, priority=3)

    fields = {
        "priority": "9",
        "memory": "1M",
        "timeout": "5m",
        "queue": "other",
        "name": "new",
        "retries": 2,
    }
    done = await actions.set_(call, ids=[1], fields=fields)

    row = await views.show(call, id=1)
    assert [row[name] for name in fields] == [9, 1.0, 300.0, "other", "new", 2]
    before = done["done"][0]["before"]
    assert {name: before[name] for name in fields} == {
        "priority": 3,
        "memory": 0.0,
        "timeout": None,
        "queue": "default",
        "name": "true",
        "retries": 0,
    }
    await actions.set_(call, ids=[1], fields={name: before[name] for name in fields})
    undone = await views.show(call, id=1)
    assert {name: undone[name] for name in fields} == {name: before[name] for name in fields}


@pytest.mark.parametrize(
    ("fields", "kind", "said"),
    [
        ({}, Usage, "nothing to set"),
        ({"prioriti": 1}, Usage, "Nearest: priority"),
        ({"status": "succeeded"}, Usage, 'no option "status"'),
        ({"priority": "high"}, Usage, "priority"),
        ({"cpu": "-1"}, Usage, "cpu"),
        ({"memory": float("nan")}, Usage, "memory"),
        ({"name": "a/b"}, Usage, "name"),
        ({"queue": "defualt"}, NotFound, "Nearest: default"),
        ({"queue": 5}, Usage, "queue"),
    ],
)
async def test_an_invalid_set_changes_nothing(
    call: Call, fields: dict[str, Any], kind: type[Problem], said: str
):
    await submit_task(call)
    before = await views.show(call, id=1)

    with pytest.raises(kind) as told:
        await actions.set_(call, ids=[1], fields={"retries": 5, **fields} if fields else fields)

    assert said in str(told.value)
    assert {**await views.show(call, id=1), "updated_at": ""} == {**before, "updated_at": ""}


async def test_a_shorter_timeout_limits_the_run_and_a_longer_one_the_next(call: Call, worker):
    await submit_task(call, name="free")
    await submit_task(call, name="limited", timeout="1h")
    for number in (1, 2):
        await worker.start(number)

    async def read_limits() -> list[float | None]:
        notes = (await views.ls(call, brief=True))["notes"].values()
        return sorted(note[5] for note in notes if note[5] is not None)

    assert (await actions.set_(call, ids=[1, 2], fields={"timeout": "20s"}))["notes"] == []
    assert await read_limits() == [20.0, 20.0]
    assert sorted((await call.db.read(dispatch.map_run_limits)).values()) == [
        (20.0, None),
        (20.0, None),
    ]

    longer = await actions.set_(call, ids=[1, 2], fields={"timeout": "2h"})

    assert longer["notes"] == [
        "#2 is running: this run keeps its limit of 1h, and the change applies to the next one."
    ]
    assert await read_limits() == [3600.0, 7200.0]


async def test_a_timeout_that_has_passed_is_refused(call: Call, worker):
    await submit_task(call)
    await worker.start(1)
    begun = timestamps.format_time(timestamps.utcnow() - timedelta(minutes=5))
    await execute_sql(call, "UPDATE instances SET start_time = ?", begun)

    report = await actions.set_(call, ids=[1], fields={"timeout": "20s"})

    (refusal,) = report["refused"]
    assert refusal["message"] == (
        "#1 has run for 5m, so a timeout of 20s would end it at once. It was not changed."
        " End it: taskdeck cancel 1"
    )
    assert (await views.show(call, id=1))["timeout"] is None


async def test_a_running_task_keeps_its_request_until_the_next_attempt(call: Call, worker):
    await submit_task(call, retries=1, retry_delay=0)
    runid = await worker.start(1)

    done = await actions.set_(call, ids=[1], fields={"memory": 5})

    assert done["notes"] == [
        "#1 is running: this run keeps its values, and the change applies to the next one."
    ]
    assert (await views.show(call, id=1))["instances"][0]["memory"] == 0.0
    await worker.end(runid, 1)
    await worker.start(1)
    assert (await views.show(call, id=1))["instances"][1]["memory"] == 5.0


async def test_each_verb_is_recorded_with_author_and_old_and_new_values(call: Call):
    await submit_task(call)
    await actions.hold(call, ids=[1])

    newest = (await log.ls(call))[0]

    assert (newest["by"], newest["verb"], newest["object"]) == ("ann", "hold", "task #1")
    assert (newest["before"]["status"], newest["after"]["status"]) == ("queued", "held")


async def test_a_set_does_what_it_can_and_lists_tasks_that_never_fit(call: Call):
    await queues.pool_create(call, name="small", cpu=1, memory="1G")
    await queues.queue_create(call, name="small", pool="small")
    await submit_task(call, memory="2G")
    await submit_task(call, memory="512M")

    done = await actions.set_(call, ids=[1, 2], fields={"queue": "small"})

    assert [row["number"] for row in done["done"]] == [2]
    assert [(number, code) for number, code, _ in list_refusals(done)] == [(1, 4)]
    assert list_refusals(done)[0][2].startswith(
        "#1 needs 2.0G memory, but pool small has 1.0G in all: it could never start. It was not"
    )
    assert (await views.show(call, id=1))["queue"] == "default"


async def test_a_request_above_a_limit_is_refused_as_at_submission(call: Call):
    await queues.pool_set(call, name="default", cpu=8, resources={"gpu": 4, "tape": 2})
    given = {"cpu": 2, "resources": {"gpu": 2, "tape": 1}}
    await limits.set_(call, name="team", **given)
    for tags in ({"team": "a"}, {"user": "ann"}):
        await submit_task(call, tags=tags)

    for fields, excess in (
        ({"cpu": 3}, "#1 needs 3 cpu, but limit team gives at most 2 in all: it could"),
        ({"resources": {"gpu": 3}}, "#1 needs 3 gpu, but limit team"),
        ({"resources": {"tape": 2}}, "#1 needs 2 tape, but limit team"),
    ):
        done = await actions.set_(call, ids=[1, 2], fields=fields)

        assert [row["number"] for row in done["done"]] == [2]
        ((number, code, text),) = list_refusals(done)
        assert (number, code) == (1, 4) and text.startswith(excess)
    done = await actions.set_(call, ids=[1, 2], fields={"resources": {"gpu": 5}})
    assert [code for _, code, _ in list_refusals(done)] == [4, 4]
    await actions.set_(call, ids=[1], fields=given)
    assert (await views.show(call, id=1))["cpu"] == 2
    await actions.cancel(call, ids=[1])
    done = await retry.retry(call, ids=[1], fields={"cpu": 3})
    assert [code for _, code, _ in list_refusals(done)] == [4]


async def test_the_priority_of_a_task_that_no_longer_fits_can_be_set(call: Call):
    await submit_task(call, memory="2G")
    await queues.pool_set(call, name="default", memory="1G")

    assert [
        row["number"] for row in (await actions.set_(call, ids=[1], fields={"priority": 5}))["done"]
    ] == [1]


async def test_a_selection_by_state_skips_tasks_that_left_that_state(
    call: Call, worker, monkeypatch: pytest.MonkeyPatch
):
    await submit_task(call)
    await submit_task(call)
    read = call.db.read

    async def read_and_start(*asked: Any) -> Any:
        found = await read(*asked)
        await worker.start(1)
        return found

    monkeypatch.setattr(call.db, "read", read_and_start)
    done = await actions.cancel(call, select={"status": ["queued"]})

    assert [row["number"] for row in done["done"]] == [2]


@pytest.mark.parametrize("select", [{"queue": "default"}, {"filter": "queue:default"}])
async def test_a_reviewed_selection_skips_tasks_that_changed_since(
    call: Call, worker, select: dict[str, Any]
):
    for _ in range(3):
        await submit_task(call)
    run = await worker.start(2)
    reviewed = await pages.review(call, filter="queue:default")
    listed = await views.ls(call, queue="default", limit=1)
    assert (
        reviewed["statuses"] == {"queued": 2, "running": 1} and listed["as_of"] == reviewed["as_of"]
    )
    await worker.start(1)
    await worker.end(run, code=1)
    await submit_task(call)

    done = await actions.cancel(call, select=select | {"as_of": reviewed["as_of"]})
    assert (
        [row["number"] for row in done["done"]] == [3] and not done["refused"] and not done["notes"]
    )

    assert not (await actions.rm(call, select=select | {"as_of": reviewed["as_of"]}))["done"]
    assert [row["number"] for row in (await actions.rm(call, select=select))["done"]] == [3, 2]


async def test_a_selection_with_an_unknown_review_event_is_refused(call: Call):
    await submit_task(call)
    with pytest.raises(Usage, match="as_of must be an event number"):
        await actions.cancel(call, select={"queue": "default", "as_of": "now"})


async def test_a_set_is_recorded_with_its_values(call: Call):
    await submit_task(call)
    await actions.set_(call, ids=[1], fields={"priority": 4})

    newest = (await log.ls(call))[0]

    assert (newest["before"]["priority"], newest["after"]["priority"]) == (0, 4)


# Wait


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ({"code": 0}, 0), ({"code": 7}, 7), ({"code": None, "signal": 9}, 137),
        ({"code": 127, "reason": "no program"}, 127),
        ({"code": 126, "reason": "no such folder"}, 126), ({"code": None, "stop": "timeout"}, 124),
        ({"code": None, "lost": True}, 125),
        ({"code": None, "signal": 15, "stop": "cancel"}, 125),
        ({"code": None, "signal": 15, "stop": "log limit"}, 143),
    ],
)  # fmt: skip
async def test_wait_returns_the_exit_code_of_each_outcome(
    runtime_call: Call, worker, end: dict[str, Any], code: int
):
    await submit_task(runtime_call, timeout="1m", log_limit="1M")
    waiting = asyncio.create_task(wait.wait(runtime_call, ids=[1], timeout=20))
    await worker.run(1, **end)

    (answer,) = await waiting

    assert answer["code"] == code
    assert (answer["exit_code"], answer["signal"]) == (end["code"], end.get("signal"))


async def test_wait_answers_in_the_given_order(runtime_call: Call, worker):
    for code in (3, 0, 5):
        await worker.run((await submit_task(runtime_call))["number"], code)

    assert [row["code"] for row in await wait.wait(runtime_call, ids=[3, 1, 2])] == [5, 3, 0]


async def test_wait_includes_retries(runtime_call: Call, worker):
    await submit_task(runtime_call, retries=1, retry_delay=0)
    waiting = asyncio.create_task(wait.wait(runtime_call, ids=[1], timeout=20))
    await worker.run(1, 1)
    await worker.run(1, 0)

    assert [row["code"] for row in await waiting] == [0]


async def test_a_task_cancelled_before_it_ran_exits_with_125(runtime_call: Call):
    await submit_task(runtime_call)
    await actions.cancel(runtime_call, ids=[1])

    assert [
        (row["code"], row["exit_code"], row["reason"])
        for row in await wait.wait(runtime_call, ids=[1])
    ] == [(125, None, "cancelled by ann")]


async def test_a_task_retried_after_a_failure_returns_its_last_exit_code(
    runtime_call: Call, worker
):
    await submit_task(runtime_call)
    await worker.run(1, 9)
    await retry.retry(runtime_call, ids=[1])
    await actions.cancel(runtime_call, ids=[1])

    assert [row["code"] for row in await wait.wait(runtime_call, ids=[1])] == [125]


async def test_a_wait_that_times_out_exits_with_6(runtime_call: Call):
    await submit_task(runtime_call)

    with pytest.raises(Problem, match="the wait ended after") as told:
        await wait.wait(runtime_call, ids=[1], timeout=0.01)

    assert told.value.exit_code == 6


async def test_wait_notes_once_which_tasks_cannot_proceed_by_themselves(
    runtime_call: Call, caller_notes: list[str]
):
    await submit_task(runtime_call, hold=True)
    await submit_task(runtime_call)
    waiting = asyncio.create_task(wait.wait(runtime_call, ids=[1], timeout=20))
    await actions.set_(runtime_call, ids=[2], fields={"priority": 1})
    await actions.cancel(runtime_call, ids=[2])
    await actions.cancel(runtime_call, ids=[1])
    await waiting

    assert [note for note in caller_notes if "#1 is held" in note] == caller_notes[:1]


async def read_first_note(call: Call) -> str:
    """Return the first note of a wait for task 1."""
    noted: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(wait.wait(replace(call, note=noted.set_result), ids=[1]))
    async with asyncio.timeout(60):
        note = await noted
    waiting.cancel()
    return note


@pytest.mark.parametrize(
    ("close", "said"),
    [
        (
            lambda call: queues.queue_pause(call, name="default"),
            "queue default is paused: #1 starts only after",
        ),
        (
            lambda call: queues.pool_drain(call, name="default"),
            "pool default is draining: #1 starts only after",
        ),
        (
            lambda call: queues.queue_set(call, name="default", capacity=0),
            "queue default has capacity 0: #1 starts only after",
        ),
    ],
)
async def test_wait_notes_why_the_queue_starts_nothing(runtime_call: Call, close: Any, said: str):
    await submit_task(runtime_call)
    await close(runtime_call)

    assert (await read_first_note(runtime_call)).startswith(said)


async def test_wait_notes_why_nothing_starts_at_all(runtime_call: Call, fake_runtime: Any):
    await submit_task(runtime_call)
    fake_runtime.halted = "the runtime is draining"

    assert await read_first_note(runtime_call) == "nothing starts: the runtime is draining"


async def test_waiting_without_a_runtime_is_refused(call: Call):
    await submit_task(call)

    with pytest.raises(Conflict, match="no runtime is running"):
        await wait.wait(call, ids=[1])


async def test_waiting_for_no_task_or_an_unknown_task_is_refused(runtime_call: Call):
    with pytest.raises(Usage):
        await wait.wait(runtime_call, ids=[])
    with pytest.raises(NotFound):
        await wait.wait(runtime_call, ids=[5])


@pytest.mark.parametrize("timeout", [-1, float("nan"), "soon"])
async def test_an_invalid_wait_timeout_is_refused(runtime_call: Call, timeout: Any):
    await submit_task(runtime_call)

    with pytest.raises(Problem) as told:
        await wait.wait(runtime_call, ids=[1], timeout=timeout)

    assert told.value.exit_code in (2, 6)


async def test_the_start_time_of_a_waiting_task_can_be_changed_and_cleared(call: Call):
    await submit_task(call)
    await submit_task(call, hold=True)
    await submit_task(call, after=["1"])

    later = await actions.set_(call, ids=[1, 2, 3], fields={"at": "2h"})
    assert [row["status"] for row in later["done"]] == ["scheduled", "held", "scheduled"]
    assert [row["before"]["not_before"] for row in later["done"]] == [None, None, None]
    assert (await views.show(call, id=1))["not_before"] > timestamps.from_unix(time.time() + 7000)

    at_once = await actions.set_(call, ids=[1, 2, 3], fields={"at": "now"})
    assert [row["status"] for row in at_once["done"]] == ["queued", "held", "blocked"]
    assert (await views.show(call, id=1))["not_before"] is None


async def test_a_start_time_in_the_past_is_accepted_and_noted(call: Call):
    await submit_task(call, at="2h")

    done = await actions.set_(
        call, ids=[1], fields={"at": timestamps.from_unix(time.time() - 7300)}
    )

    assert done["done"][0]["status"] == "queued" and done["notes"] == [
        "start time is 2h01m in the past: it is ignored."
    ]


async def test_the_start_time_of_a_started_or_ended_task_cannot_be_set(call: Call, worker):
    await submit_task(call)
    await submit_task(call)
    await worker.run(1)
    await worker.start(2)

    done = await actions.set_(call, ids=[1, 2], fields={"at": "2h"})

    ended, running = [(row["message"], row["exit_code"]) for row in done["refused"]]
    assert done["done"] == [] and ended[1] == running[1] == 4
    assert (
        ended[0].startswith("#1 has ended (succeeded")
        and running[0] == "#2 has started, so its start time cannot change."
    )
    with pytest.raises(Usage, match="at must be a time such as"):
        await actions.set_(call, ids=[1], fields={"at": "soon"})
