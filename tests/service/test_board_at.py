"""The board at a past minute: running, waiting and ended tasks as of then."""

from __future__ import annotations

import time
from typing import Any

import pytest

from app.core.board import Board, ResourceUse
from app.core.text import units
from app.errors import Usage
from app.service import board_at, sla_evaluation
from app.service.context import Call
from app.service.definitions import queues, slas
from app.service.tasks.changes import actions, retry
from db import timestamps
from tests.service.calls import execute_sql, submit_task, to_stored_time
from tests.service.conftest import Worker
from tests.service.test_history import insert_samples

MINUTE, HOUR = 60.0, 3600.0


async def read_board(call: Call, ago: float) -> Board:
    """Return the board `ago` seconds ago."""
    return Board.from_dict((await read_answer(call, ago))["board"])


async def read_answer(call: Call, ago: float) -> dict[str, Any]:
    """Return the whole answer for `ago` seconds ago."""
    return await board_at.board_at(call, at=timestamps.from_unix(time.time() - ago))


async def add_past_task(
    call: Call,
    created: float,
    began: float | None = None,
    ended: float | None = None,
    code: int = 0,
    **spec: Any,
) -> int:
    """Add a task with these times, in seconds before now; return its number."""
    now, number = time.time(), (await submit_task(call, **spec))["number"]
    made, whose = (
        to_stored_time(now - created),
        "task_id = (SELECT uuid FROM tasks WHERE number = ?)",
    )
    await execute_sql(call, "UPDATE tasks SET created_at = ? WHERE number = ?", made, number)
    await execute_sql(call, f"UPDATE events SET created_at = ? WHERE {whose}", made, number)
    if began is None:
        return number
    worker = Worker(call.db)
    runid = await worker.start(number)
    begun = to_stored_time(now - began)
    await execute_sql(call, "UPDATE instances SET start_time = ? WHERE runid = ?", begun, runid)
    await execute_sql(call, "UPDATE tasks SET started_at = ? WHERE number = ?", begun, number)
    await execute_sql(call, "UPDATE events SET created_at = ? WHERE runid = ?", begun, runid)
    if ended is not None:
        await worker.end(runid, code)
        over, took = to_stored_time(now - ended), "start_time = ?, end_time = ?, run_seconds = ?"
        await execute_sql(
            call, f"UPDATE instances SET {took} WHERE runid = ?", begun, over, began - ended, runid
        )
        await execute_sql(
            call,
            "UPDATE tasks SET started_at = ?, ended_at = ? WHERE number = ?",
            begun,
            over,
            number,
        )
    return number


def find_midnight(board: Board) -> float:
    """Return the midnight before the moment of a board."""
    return board_at.get_midnight(timestamps.parse_time(timestamps.from_unix(board.at))).timestamp()


@pytest.fixture(autouse=True)
async def sampled_minutes(call: Call) -> None:
    """Sample the last two hours, except for ten minutes an hour ago."""
    await insert_samples(call, *(n * MINUTE for n in range(120) if not 55 <= n < 65), running=0)
    # allow changes of the log, as if time passed
    await execute_sql(call, "DROP TRIGGER IF EXISTS operations_stay")
    await execute_sql(
        call, "UPDATE operations SET created_at = ?", to_stored_time(time.time() - 3 * HOUR)
    )


async def test_a_task_running_then_has_the_end_that_followed(call: Call):
    short = await add_past_task(call, 680, 640, 500)
    long = await add_past_task(call, HOUR + 900, HOUR + 600, 60)
    to_this_day = await add_past_task(call, 720, 700)
    await add_past_task(call, 400, 390, 380)

    then = await read_board(call, 540)

    lines = {line.number: line for line in then.running}
    assert lines.keys() == {short, long, to_this_day}
    assert lines[to_this_day].left is None and 0 < (lines[short].left or 0) < 100
    assert [line.number for line in then.running] == [long, to_this_day, short]


async def test_tasks_waiting_then_are_in_their_start_order(call: Call):
    later = await add_past_task(call, 700, 300, 200)
    sooner = await add_past_task(call, 600, 400, 200)
    for_ever = await add_past_task(call, 650)
    await add_past_task(call, 300, 250, 200)
    held = await add_past_task(call, 640, hold=True)

    then = await read_board(call, 500)

    assert [line.number for line in then.next] == [sooner, later, for_ever, held]
    assert [line.status for line in then.next] == ["queued", "queued", "queued", "held"]
    assert (
        then.next[0].why in ("started 1m later", "started 2m later")
        and then.next[2].why == "still waits today"
    )
    assert 99 < (then.next[0].starts_in or 0) < 162


async def test_a_cancelled_task_waited_until_its_cancel(call: Call):
    number = await add_past_task(call, 700)
    await actions.cancel(call, ids=[str(number)])

    then = await read_board(call, 500)

    assert [line.number for line in then.next] == [number]
    assert (await read_board(call, 900)).next == ()


async def test_a_scheduled_task_cancelled_later_never_started(call: Call):
    number = await add_past_task(call, 700, at="3h")
    await actions.cancel(call, ids=[str(number)])

    (line,) = (then := await read_board(call, 500)).next

    assert (line.number, line.status) == (number, "scheduled")
    assert (
        line.why.startswith("cancelled ") and line.why.endswith(" later") and line.starts_in is None
    )
    assert then.counts["scheduled"] == 1


@pytest.mark.parametrize("removed", [False, True])
async def test_a_task_retried_later_had_ended_then(call: Call, removed: bool):
    number = await add_past_task(call, 900, 800, 790, code=3)
    whose = "task_id = (SELECT uuid FROM tasks WHERE number = ?)"
    await execute_sql(
        call,
        f"UPDATE events SET created_at = ? WHERE {whose} AND status <> 'queued'",
        to_stored_time(time.time() - 790),
        number,
    )
    await retry.retry(call, ids=[str(number)])
    await Worker(call.db).run(number, 4)
    if removed:
        await actions.rm(call, ids=[str(number)])

    then = await read_board(call, 500)

    (line,) = then.ended
    assert (line.number, line.status) == (number, "failed") and "exit 3 after 10" in line.how
    assert line.ended_at == pytest.approx(time.time() - 790, abs=30)
    assert then.next == then.running == () and then.today_failed == (
        line.ended_at > find_midnight(then)
    )


async def test_a_task_waiting_again_had_ended_then(call: Call):
    number = await add_past_task(call, 900)
    await actions.cancel(call, ids=[str(number)])
    whose = "task_id = (SELECT uuid FROM tasks WHERE number = ?)"
    await execute_sql(
        call,
        f"UPDATE events SET created_at = ? WHERE {whose}",
        to_stored_time(time.time() - 790),
        number,
    )
    await retry.retry(call, ids=[str(number)])

    then = await read_board(call, 500)

    assert [(line.number, line.status, line.how) for line in then.ended] == [
        (number, "cancelled", "cancelled by ann")
    ]
    assert then.next == ()


async def test_the_oldest_of_a_queue_is_shown_only_when_all_are_known(call: Call):
    await add_past_task(call, 700, 300, 200)
    await add_past_task(call, 600)
    await add_past_task(call, 900, hold=True)
    await execute_sql(call, "UPDATE samples SET waiting = 2 WHERE kind = 'queue'")

    then = await read_board(call, 500)

    assert (then.queues[0].oldest_at or 0) == pytest.approx(time.time() - 700, abs=30)


async def test_tasks_ended_then_show_their_outcome(call: Call):
    good, bad = (
        await add_past_task(call, 900, 800, 700),
        await add_past_task(call, 900, 790, 780, code=3),
    )
    await add_past_task(call, 900, 300, 200)

    then = await read_board(call, 500)

    assert [(line.number, line.status) for line in then.ended] == [
        (good, "succeeded"),
        (bad, "failed"),
    ]
    assert "exit 3" in then.ended[1].how
    assert then.today_ok + then.today_failed == sum(
        line.ended_at > find_midnight(then) for line in then.ended
    )


async def test_queues_and_pools_match_the_samples(call: Call):
    await execute_sql(
        call, "UPDATE samples SET running = 3, waiting = 7, started = 1 WHERE kind = 'queue'"
    )

    then = await read_board(call, 600)

    (queue,), (pool,) = then.queues, then.pools
    assert (queue.load, queue.waiting, queue.oldest_at) == (3, 7, None) and sum(queue.starts) >= 25
    assert (pool.used_cpu, pool.measured_cpu, pool.measured_memory) == (2.0, 1.5, 256.0)
    assert then.counts == {"running": 3, "queued": 7} and then.runtime.state == "past"


async def test_named_resources_are_those_of_the_sample(call: Call):
    await queues.pool_set(call, name="default", resources={"gpu": 4, "tape": 1})
    await execute_sql(call, "UPDATE operations SET created_at = '2020-01-01T00:00:00.000000Z'")
    await execute_sql(call, "UPDATE samples SET resources = ?", '{"gpu": 3, "license": 1}')

    (pool,) = (await read_board(call, 600)).pools

    assert pool.resources == (ResourceUse("gpu", 4, 3), ResourceUse("tape", 1, 0))


async def test_later_changes_of_settings_are_reverted(call: Call):
    before = (await queues.queue_show(call, name="default"))["capacity"]
    await queues.queue_create(call, name="old", capacity=2)
    # allow changes of the log, as if time passed
    await execute_sql(call, "DROP TRIGGER IF EXISTS operations_stay")
    await execute_sql(
        call, "UPDATE operations SET created_at = ?", to_stored_time(time.time() - 2 * HOUR)
    )
    await queues.queue_set(call, name="default", capacity=before + 5)
    await queues.queue_pause(call, name="default")
    await queues.queue_rm(call, name="old")
    await queues.queue_create(call, name="new", capacity=2)

    then = await read_board(call, 600)

    assert {queue.name: queue.capacity for queue in then.queues} == {"default": before, "old": 2}
    assert {queue.name: (queue.status, queue.word) for queue in then.queues}["default"] == (
        "active",
        "open",
    )


async def test_a_queue_whose_first_task_exceeded_the_free_cores_lacked_room(call: Call):
    free = (await queues.pool_show(call, name="default"))["total_cpu"] - 2.0  # as in the samples
    small = await add_past_task(call, 700, cpu=free)
    assert [queue.word for queue in (await read_board(call, 500)).queues] == ["open"]

    await add_past_task(call, 690, cpu=free + 1)
    assert [queue.word for queue in (await read_board(call, 500)).queues] == ["open"]

    await execute_sql(call, "UPDATE tasks SET priority = -5 WHERE number = ?", small)
    assert [queue.word for queue in (await read_board(call, 500)).queues] == ["no room"]
    assert [queue.word for queue in (await read_board(call, 800)).queues] == ["open"]


async def test_settings_are_current_after_too_many_later_operations(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("db.queries.history.state_at.MAX_OPERATIONS", 1)
    for capacity in (3, 4, 5):
        await queues.queue_set(call, name="default", capacity=capacity)

    answer = await read_answer(call, 600)

    assert answer["notes"] == ["Capacities and paused states are as of now."]
    assert answer["board"]["queues"][0]["capacity"] == 5


async def test_alerts_open_then_are_shown_open(call: Call):
    now = time.time()
    for name, known, fired, resolved, seen in (
        ("over", 900, 900, 700, None), ("was-open", 900, 900, 100, 50),
        ("seen", 900, 900, None, 700), ("later", 100, 100, None, None),
        ("its rule came later", 100, 900, None, None), ("that one is over", 100, 900, 50, None),
    ):  # fmt: skip
        values = [to_stored_time(now - ago) if ago else None for ago in (fired, resolved, seen)]
        await execute_sql(
            call,
            "INSERT INTO alerts (name, severity, status, object, text, short, fired_at,"
            " resolved_at, acknowledged_at, acknowledged_by, created_at, updated_at)"
            " VALUES (?, 'warning', ?, 'task', 't', 's', ?, ?, ?, 'ann', ?, ?)",
            name,
            "resolved" if resolved else "firing",
            *values,
            to_stored_time(now - known),
            to_stored_time(now),
        )

    then = await read_board(call, 500)

    assert {(line.sla, line.status) for line in then.alerts} == {
        ("was-open", "firing"),
        ("seen", "acknowledged"),
    }


async def test_an_alert_shows_the_lateness_of_that_minute(call: Call):
    await slas.create(call, name="late", preset="finishes-within", value="1m")
    done, waits = await add_past_task(call, 900, 900, 100), await add_past_task(call, 700)
    await execute_sql(
        call,
        "UPDATE slas SET created_at = ?, updated_at = ?",
        to_stored_time(time.time() - 1000),
        to_stored_time(time.time() - 1000),
    )
    await call.db.write(sla_evaluation.evaluate, timestamps.utcnow())
    await execute_sql(call, "UPDATE alerts SET created_at = fired_at")

    then = await read_board(call, 500)

    made = await call.db.read(
        lambda c: dict(c.exec_driver_sql("SELECT number, created_at FROM tasks").all())
    )
    ages = {
        number: units.format_age(then.at - timestamps.to_unix(at)) for number, at in made.items()
    }
    assert {line.number: line.why for line in then.alerts} == {
        done: f"running {ages[done]}, allowed 1m",
        waits: f"waiting {ages[waits]}, allowed 1m in all",
    }  # fmt: skip


async def test_a_minute_without_a_runtime_shows_no_counts(call: Call):
    number = await add_past_task(call, 2 * HOUR, HOUR + 600, HOUR - 600)

    answer = await read_answer(call, HOUR)

    then = Board.from_dict(answer["board"])
    assert answer["up"] is False and answer["notes"] == ["Nothing was recorded for this minute."]
    assert [line.number for line in then.running] == [number]
    assert then.counts == {} and then.queues[0].load is None and then.pools[0].used_cpu is None
    assert then.runtime.state == "past"
    assert answer["before"] < answer["at"] < answer["after"]


async def test_runs_that_were_deleted_are_counted(call: Call):
    await execute_sql(call, "UPDATE samples SET running = 3 WHERE kind = 'queue'")
    await add_past_task(call, 800, 750)

    answer = await read_answer(call, 600)

    assert answer["notes"] == [
        "2 more ran: they have been deleted since, or there are too many to list."
    ]


async def test_a_time_outside_the_samples_uses_the_nearest_sampled_minute(call: Call):
    first, last = (
        await board_at.board_at(call, at="1999-01-01"),
        await board_at.board_at(call, at="2999-01-01T00:00Z"),
    )

    assert first["at"] == first["first"] and first["before"] is None
    assert last["at"] == last["last"] and last["after"] is None
    assert (await board_at.board_at(call)) | {"board": None} == await board_at.board_at(call)


async def test_a_home_without_samples_has_no_past_board(call: Call):
    await execute_sql(call, "DELETE FROM samples")

    answer = await read_answer(call, 60)

    assert answer["board"] is answer["at"] is answer["first"] is None and answer["notes"]


@pytest.mark.parametrize(
    "text", ["", "yesterday", "\x1b[2J", "10000-01-01", "2026-13-01T00:00", 7, ["x"]]
)
async def test_an_invalid_time_is_refused(call: Call, text: Any):
    with pytest.raises(Usage, match="is not a time"):
        await board_at.board_at(call, at=text)
