"""History: counts match the runs, whenever they are counted, and unobserved minutes are gaps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from app.core.maintenance_settings import MaintenanceSettings, RetentionRule, RetentionSettings
from app.errors import Usage
from app.service import history
from app.service.context import Call
from app.service.database import cleanup
from app.service.definitions import queues, shared_resources, templates
from db import timestamps
from db.engine import Database
from db.queries.history import rollups as store
from tests.service.calls import execute_sql, submit_task, to_stored_time
from tests.service.conftest import Worker

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


async def add_past_run(
    call: Call, ago: float, run: float = 10.0, wait: float = 5.0, code: int = 0, **spec: Any
) -> None:
    """Add a task that ended `ago` seconds ago after this wait and run time."""
    task = await submit_task(call, **spec)
    runid = await Worker(call.db).run(task["number"], code)
    ended = time.time() - ago
    times = to_stored_time(ended - run), to_stored_time(ended)
    await execute_sql(
        call,
        "UPDATE instances SET start_time = ?, end_time = ?, run_seconds = ? WHERE runid = ?",
        *times,
        run,
        runid,
    )
    await execute_sql(
        call,
        "UPDATE tasks SET created_at = ? WHERE number = ?",
        to_stored_time(ended - run - wait),
        task["number"],
    )


async def insert_samples(call: Call, *ago: float, **values: Any) -> None:
    """Insert samples of the default queue and pool, in minutes so long ago."""
    queue = {"running": 1, "waiting": 2} | {
        k: v for k, v in values.items() if k in ("running", "waiting")
    }
    pool = {"used_cpu": 2.0, "measured_cpu": 1.5, "used_memory": 512.0, "measured_memory": 256.0}
    now = time.time()
    for seconds in ago:
        at = timestamps.from_unix((now - seconds) // 60 * 60)
        for kind, columns in (("queue", queue), ("pool", pool)):
            names = ", ".join(columns)
            marks = ", ".join("?" * len(columns))
            statement = (
                f"INSERT INTO samples (kind, name, minute, created_at, updated_at, {names}) VALUES"
                f" (?, 'default', ?, ?, ?, {marks})"
            )
            await execute_sql(call, statement, kind, at, at, at, *columns.values())


def get_total(answer: dict[str, Any], name: str | None = None) -> dict[str, Any]:
    """Return the figures of one row."""
    return next(row["total"] for row in answer["rows"] if row["name"] == name)


@pytest.fixture
def query_history(call: Call) -> Callable[..., Any]:

    async def asked(metric: str = "throughput", **args: Any) -> dict[str, Any]:
        return await history.read_history(call, metric=metric, **args)

    return asked


async def test_starts_ends_and_failures_are_counted_by_queue_pool_and_template(
    call: Call, query_history
):
    await queues.queue_create(call, name="gpu", capacity=2)
    await templates.create(call, name="encode", engine="exec", schema={"argv": ["true"]})
    await add_past_run(call, 5 * MINUTE)
    await add_past_run(call, 5 * MINUTE, code=1, queue="gpu")
    await add_past_run(call, 4 * MINUTE, template="encode")

    for counted in (False, True):
        assert not counted or await history.count_minutes(call.db)
        by = {
            kind: await query_history(by=kind, span="day")
            for kind in ("all", "queue", "pool", "template")
        }

        assert get_total(by["all"]) == {"started": 3, "ended": 3, "failed": 1}
        assert get_total(by["queue"], "gpu") == {"started": 1, "ended": 1, "failed": 1}
        assert get_total(by["pool"], "default") == {"started": 3, "ended": 3, "failed": 1}
        assert get_total(by["template"], "encode") == {"started": 1, "ended": 1, "failed": 0}
        assert [row["name"] for row in by["template"]["rows"]] == [None, "", "encode"]


async def test_a_group_splits_by_the_names_inside_it(call: Call, query_history):
    await queues.queue_create(call, name="gpu", capacity=2)
    await templates.create(call, name="encode", engine="exec", schema={"argv": ["true"]})
    await add_past_run(call, 5 * MINUTE, template="encode")
    await add_past_run(call, 5 * MINUTE, template="encode", queue="gpu")
    await history.count_minutes(call.db)
    await add_past_run(call, 0, queue="gpu")

    answer = await query_history(by="template", within={"queue": "gpu"})

    assert {row["name"]: row["total"]["ended"] for row in answer["rows"]} == {
        None: 2,
        "": 1,
        "encode": 1,
    }


async def test_every_span_agrees_on_the_last_hour(call: Call, query_history):
    for ago in (0, 3 * MINUTE, 20 * MINUTE, 50 * MINUTE):
        await add_past_run(call, ago)
    await history.count_minutes(call.db)

    for span, buckets in (("hour", 60), ("day", 96), ("week", 84)):
        answer = await query_history(span=span)
        assert get_total(answer)["ended"] == 4
        assert (
            len(answer["at"])
            == len(answer["known"])
            == len(answer["rows"][0]["series"]["ended"])
            == buckets
        )
        assert answer["at"][1] - answer["at"][0] == answer["step"]


async def test_runs_of_past_days_are_counted_once_in_steps(call: Call, query_history):
    for ago in (6 * DAY, 6 * DAY - HOUR, 3 * DAY, 30 * MINUTE, 2 * MINUTE):
        await add_past_run(call, ago)
    steps = 1
    while not await history.count_minutes(call.db, budget=0.0):
        steps += 1
    before = await execute_sql(call, "SELECT * FROM history ORDER BY width, at")
    week = await query_history(span="week")

    assert steps >= 5 and get_total(week)["ended"] == 5
    await history.count_minutes(call.db)
    assert [
        row[:9] for row in await execute_sql(call, "SELECT * FROM history ORDER BY width, at")
    ] == [row[:9] for row in before]


async def test_counts_outlive_the_tasks(call: Call, query_history):
    await add_past_run(call, 10 * MINUTE)
    await history.count_minutes(call.db)
    await execute_sql(call, "DELETE FROM instances")

    assert get_total(await query_history(span="hour"))["ended"] == 1


async def test_runs_removed_by_a_number_limit_were_counted_first(call: Call, query_history):
    for ago in (10 * MINUTE, 2 * MINUTE, 1 * MINUTE):
        await add_past_run(call, ago, code=1)
    await history.count_minutes(call.db)
    left = len(await execute_sql(call, "SELECT runid FROM instances"))
    rules = MaintenanceSettings(retention=RetentionSettings(all=RetentionRule(runs=1)))

    gone = (await cleanup.clean(call.db, call.home, rules)).sum_all().runs
    await history.count_minutes(call.db)

    assert (left, gone) == (3, 1)
    assert get_total(await query_history(span="hour"))["ended"] == 3


async def test_an_end_recorded_late_is_counted(call: Call, query_history):
    await add_past_run(call, 30 * MINUTE)
    await history.count_minutes(call.db)
    await add_past_run(call, 2 * MINUTE)
    await history.count_minutes(call.db)

    assert [
        get_total(await query_history(span=span))["ended"] for span in ("hour", "day", "week")
    ] == [2, 2, 2]


async def test_ends_while_no_runtime_ran_are_counted_by_the_next_one(call: Call, query_history):
    await add_past_run(call, 5 * HOUR)
    await history.count_minutes(call.db)
    await call.db.write(store.set_counted_until, int(time.time() - 4 * HOUR) // 60)
    for ago in (3 * HOUR, 2 * HOUR, HOUR):
        await add_past_run(call, ago)

    assert get_total(await query_history(span="day"))["ended"] == 1
    await history.count_minutes(call.db)
    assert get_total(await query_history(span="day"))["ended"] == 4


async def test_waits_use_first_attempts_and_durations_use_successes(call: Call, query_history):
    for wait, run, code in ((1.0, 10.0, 0), (2.0, 20.0, 0), (60.0, 600.0, 1)):
        await add_past_run(call, 5 * MINUTE, run=run, wait=wait, code=code)
    await add_past_run(call, 5 * MINUTE, wait=900.0)
    await execute_sql(
        call, "UPDATE instances SET attempt = 2 WHERE runid = (SELECT max(runid) FROM instances)"
    )
    await history.count_minutes(call.db)

    waits, runs = get_total(await query_history("waits")), get_total(await query_history("runs"))

    assert (
        waits["count"] == 3
        and waits["p50"] == pytest.approx(2, rel=0.1)
        and waits["most"] == pytest.approx(60, rel=0.1)
    )
    assert (
        runs["count"] == 3
        and runs["p50"] == pytest.approx(10, rel=0.1)
        and runs["p95"] == pytest.approx(20, rel=0.1)
    )


async def test_a_scheduled_task_waits_from_its_start_time(call: Call, query_history):
    await add_past_run(call, 5 * MINUTE, wait=HOUR)
    start = await execute_sql(call, "SELECT start_time FROM instances")
    await execute_sql(
        call,
        "UPDATE tasks SET not_before = ?",
        to_stored_time(timestamps.to_unix(start[0][0]) - 30),
    )

    assert get_total(await query_history("waits"))["p50"] == pytest.approx(30, rel=0.1)


async def test_failures_are_a_share_of_ends_excluding_cancelled_runs(call: Call, query_history):
    for code in (0, 0, 1, 0):
        await add_past_run(call, 5 * MINUTE, code=code)
    await execute_sql(
        call,
        "UPDATE instances SET status = 'cancelled' WHERE runid = (SELECT max(runid) FROM"
        " instances)",
    )

    assert get_total(await query_history("failures")) == {"ended": 4, "failed": 1, "share": 0.25}


async def test_minutes_without_a_runtime_are_gaps_not_zero(call: Call, query_history):
    await insert_samples(call, 50 * MINUTE, 49 * MINUTE, 10 * MINUTE)
    await add_past_run(call, 30 * MINUTE)
    await history.count_minutes(call.db)

    answer = await query_history(span="hour")

    series = answer["rows"][0]["series"]["ended"]
    assert [value for value, known in zip(series, answer["known"], strict=True) if known] == [
        0,
        0,
        0,
    ]
    assert answer["since"] == answer["at"][answer["known"].index(True)]
    assert sum(value or 0 for value in series) == 1  # existing counts are shown even in a gap
    assert series.count(None) >= 55


async def test_uncounted_minutes_are_not_zero(call: Call, query_history):
    await insert_samples(call, 55 * MINUTE, 20 * MINUTE)
    await add_past_run(call, 30 * MINUTE)

    answer = await query_history(span="hour")

    assert sum(answer["known"]) == 1 and [
        value for value in answer["rows"][0]["series"]["ended"] if value is not None
    ] == [0]


async def test_a_home_without_history_has_only_gaps(query_history):
    for metric, groupings in history.METRICS.items():
        for by in groupings:
            answer = await query_history(metric, by=by)
            assert (
                not any(answer["known"])
                and answer["since"] is None
                and answer["rows"][0]["name"] is None
            )
            lines = [line for row in answer["rows"] for line in row["series"].values()]
            assert all(value is None for line in lines for value in line) and all(
                len(line) == 96 for line in lines
            )


async def test_pool_usage_comes_from_the_samples(call: Call, query_history):
    await insert_samples(call, 5 * MINUTE, 4 * MINUTE)

    cpu, memory = (
        await query_history("cpu", by="pool", span="hour"),
        await query_history("memory", span="hour"),
    )

    pools = await queues.pool_ls(call)
    assert get_total(cpu, "default") == {
        "reserved": 2.0,
        "measured": 1.5,
        "most": 1.5,
        "of": pools[0]["total_cpu"],
    }
    assert get_total(memory)["measured"] == 256.0
    assert [value for value in cpu["rows"][1]["series"]["measured"] if value is not None] == [
        1.5,
        1.5,
    ]


async def test_waiting_tasks_are_counted_by_queue_and_summed_by_pool(call: Call, query_history):
    await queues.queue_create(call, name="gpu", capacity=2)
    await insert_samples(call, 5 * MINUTE, waiting=4)
    await execute_sql(
        call,
        "INSERT INTO samples (kind, name, minute, waiting, running, created_at, updated_at)"
        " SELECT kind, 'gpu', minute, 3, 1, created_at, updated_at FROM samples"
        " WHERE kind = 'queue'",
    )

    by_queue, by_pool = (
        await query_history("waiting", by="queue", span="hour"),
        await query_history("waiting", by="pool", span="hour"),
    )

    assert {row["name"]: row["total"]["waiting"] for row in by_queue["rows"]} == {
        None: 7.0,
        "default": 4.0,
        "gpu": 3.0,
    }
    assert get_total(by_pool, "default") == {
        "waiting": 7.0,
        "running": 2.0,
        "most": None,
        "of": None,
    }


async def test_the_largest_groups_are_shown_and_the_others_counted(
    call: Call, query_history, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(history, "MAX_ROWS", 2)
    for at, many in enumerate((1, 3, 2)):
        await queues.queue_create(call, name=f"q{at}", capacity=2)
        for _ in range(many):
            await add_past_run(call, 5 * MINUTE, queue=f"q{at}")

    answer = await query_history(by="queue")

    assert [row["name"] for row in answer["rows"]] == [None, "q1", "q2"] and answer["more"] == 1


async def test_rows_are_kept_as_long_as_a_span_needs_them(call: Call, db: Database):
    for ago in (40 * DAY, 3 * DAY, 5 * HOUR, 10 * MINUTE):
        await add_past_run(call, ago)
    while not await history.count_minutes(db):
        pass

    rows = await execute_sql(
        call, "SELECT width, count(*) FROM history WHERE ended > 0 GROUP BY width ORDER BY width"
    )

    assert [tuple(row) for row in rows] == [(1, 1), (15, 2), (120, 3)]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"span": "year"}, 'no span "year". There are: hour, day, week'),
        ({"metric": "luck"}, 'no metric "luck"'),
        (
            {"metric": "cpu", "by": "template"},
            'cpu cannot be grouped by "template", only by: all, pool',
        ),
        ({"within": {"user": "ann"}}, "restricted to a name of: queue, pool, template"),
        ({"within": {"queue": 3}}, "restricted to a name of"),
        ({"within": ["queue"]}, "restricted to a name of"),
        ({"span": ["day"]}, "There are: hour, day, week"),
        ({"by": {}}, "only by: all, queue"),
        ({"metric": "memory", "within": {"queue": "gpu"}}, "restricted to a name of: pool"),
    ],
)
async def test_an_invalid_request_is_refused(call: Call, asked: dict[str, Any], said: str):
    with pytest.raises(Usage) as refused:
        await history.read_history(call, **asked)

    assert said in str(refused.value)


async def test_named_resources_come_from_the_samples(call: Call, query_history):
    await execute_sql(call, 'UPDATE pools SET resources = \'{"gpu":4,"tape":1}\'')
    await shared_resources.set_(call, name="license", total=2)
    await insert_samples(call, 5 * MINUTE, 4 * MINUTE, 3 * MINUTE)
    held = "UPDATE samples SET resources = '{\"gpu\":3}' WHERE kind = 'pool' AND minute = ?"
    minute = timestamps.from_unix((time.time() - 4 * MINUTE) // 60 * 60)
    await execute_sql(call, held, minute)

    named = await query_history("resources", by="resource", span="hour")
    pools = await query_history("resources", by="pool", span="day", within={"pool": "default"})

    assert get_total(named, "gpu") == {"reserved": 1.0, "most": 3, "of": 4}
    assert get_total(named, "tape")["of"] == 1
    assert get_total(named, "license")["of"] == 2
    line = next(row for row in named["rows"] if row["name"] == "gpu")["series"]["reserved"]
    assert [value for value in line if value is not None] == [0.0, 3.0, 0.0]
    assert get_total(pools, "default")["of"] == 5
