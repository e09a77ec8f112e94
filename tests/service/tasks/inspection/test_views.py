"""Views of tasks: lists, details, reasons, logs and operations."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from app.errors import Conflict, NotFound, Usage
from app.health.left_processes import LeftProcess
from app.service import operations as log
from app.service.context import Call
from app.service.definitions import limits, queues
from app.service.scheduling import dispatch_view
from app.service.tasks import lookup
from app.service.tasks.changes import actions
from app.service.tasks.inspection import views
from app.service.tasks.submission import submit
from db import timestamps
from db.queries.scheduling.run_history import RunSeconds
from db.rows import InstanceRow, TaskRow
from tests.service.calls import execute_sql, submit_task


async def list_numbers(call: Call, **asked: Any) -> list[int]:
    return [row["number"] for row in (await views.ls(call, **asked))["tasks"]]


async def test_tasks_are_listed_newest_first_with_a_limit_and_counts(call: Call):
    for _ in range(5):
        await submit_task(call)

    found = await views.ls(call, limit=2)

    assert [row["number"] for row in found["tasks"]] == [5, 4]
    assert (found["total"], found["of"]) == (5, 5)
    assert await list_numbers(call, limit=0) == [5, 4, 3, 2, 1]


async def test_displayed_columns_are_listed_in_the_order_of_dispatch(call: Call):
    for _ in range(3):
        await submit_task(call)

    found = await views.ls(call, limit=2, brief=True)

    assert [line[1] for line in json.loads(found["lines"])] == [1, 2]


async def test_a_listed_task_has_all_columns_and_its_wait_reason(call: Call):
    await submit_task(call, hold=True)

    (row,) = (await views.ls(call))["tasks"]

    columns = {*TaskRow._fields, "group", "wait_short", "expected"} - {"group_number"}
    assert columns <= row.keys()
    assert row["wait_short"] is not None and len(row["wait_short"]) <= 44


async def test_a_list_filters_by_status_queue_name_tag_and_age(call: Call, worker):
    await submit_task(call, name="a", tags={"team": "ml", "run": "7"})
    await submit_task(call, name="b", tags={"team": "ops"})
    await worker.run(2, 1)

    assert await list_numbers(call, status="failed") == [2]
    assert await list_numbers(call, status=["failed", "queued"]) == [2, 1]
    assert await list_numbers(call, status="timed-out") == []
    assert await list_numbers(call, name="a") == [1]
    assert await list_numbers(call, tag={"team": "ml", "run": "7"}) == [1]
    assert await list_numbers(call, tag={"team": "ml", "run": "8"}) == []
    assert await list_numbers(call, queue="default", since=3600) == [2, 1]


async def test_a_run_known_only_by_its_timeout_may_end_any_time_before(call: Call, worker):
    await submit_task(call, name="parent", timeout="10m")
    await worker.start(1)
    await submit_task(call, name="child", after=[1])
    parent, child = await call.db.read(lambda c: [lookup.find_task(c, number) for number in (1, 2)])

    ((run,), why) = await call.db.read(lambda c: _read_expected_start(c, child))

    assert parent.status == "running" and not run.likely and run.ends_in == run.limit
    assert why.expected_in == (0.0, run.limit) and 0 < run.limit <= 600


async def test_a_paused_parent_is_named_as_paused(call: Call, worker):
    await submit_task(call, name="parent")
    await worker.start(1)
    await submit_task(call, after=[1])
    await execute_sql(call, "UPDATE instances SET status = 'paused'")

    (why,) = await views.explain(call, ids=[2])

    assert why["reasons"][-1]["text"] == "after #1 parent, which is paused"


async def test_a_run_longer_than_its_predecessors_still_has_its_timeout(call: Call, worker):
    """Keep the timeout as the bound, so that other tasks can still be backfilled."""
    for number in (1, 2, 3):
        await submit_task(call, name="sync")
        await worker.run(number, 0)
    await submit_task(call, name="sync", timeout="10m")
    await worker.start(4)
    await submit_task(call, name="child", after=[4])
    begun = "UPDATE instances SET start_time = ? WHERE end_time IS NULL"
    await execute_sql(
        call, begun, timestamps.format_time(timestamps.utcnow() - timedelta(seconds=60))
    )
    child = await call.db.read(lambda c: lookup.find_task(c, 5))

    ((run,), why) = await call.db.read(lambda c: _read_expected_start(c, child))

    assert not run.likely and run.ends_in == run.limit and 500 < run.limit <= 540
    assert why.expected_in == (0.0, run.limit)


def _read_expected_start(c: Connection, child: TaskRow) -> tuple[Any, Any]:
    """Return the active runs and the expected start of a child."""
    seen = dispatch_view.read_view(c, dispatch_view.RunTimeCache())
    return seen.active, dispatch_view.explain_waiting(
        c, dispatch_view.RunTimeCache(), [child], None, seen
    )[child.uuid]


async def test_the_default_list_leaves_out_tasks_ended_over_a_day_ago(call: Call, worker):
    for _ in range(3):
        await submit_task(call)
    await worker.run(1)
    await worker.run(2)
    await execute_sql(
        call, "UPDATE tasks SET ended_at = '2000-01-01T00:00:00.000000Z' WHERE number = 1"
    )

    found = await views.ls(call, recent=True)

    assert ([row["number"] for row in found["tasks"]], found["total"], found["of"]) == (
        [3, 2],
        2,
        3,
    )


async def test_an_unknown_state_or_queue_is_refused_with_the_nearest(call: Call):
    with pytest.raises(Usage, match="Nearest: failed"):
        await views.ls(call, status="faild")
    with pytest.raises(NotFound, match="Nearest: default"):
        await views.ls(call, queue="defualt")


async def test_show_includes_runs_parents_children_and_history(call: Call, worker):
    await submit_task(call, name="first", retries=1, retry_delay=0)
    await submit_task(call, name="second", after=["first"])
    await worker.run(1, 1)
    await worker.run(1, 0, logs="hello\nworld\n", log_bytes=12)

    first, second = await views.show(call, id=1), await views.show(call, id=2)

    assert [(run["attempt"], run["status"], run["exit_code"]) for run in first["instances"]] == [
        (1, "failed", 1),
        (2, "succeeded", 0),
    ]
    assert set(InstanceRow._fields) <= first["instances"][0].keys()
    assert first["children"] == [
        {"number": 2, "name": "second", "status": "queued", "kind": "success"}
    ]
    assert second["parents"] == [
        {"number": 1, "name": "first", "status": "succeeded", "kind": "success"}
    ]
    assert first["last_lines"] == ["hello", "world"]
    assert [(event["status"], event["by"]) for event in second["events"]] == [
        ("queued", "ann"),
        ("blocked", "taskdeck"),
        ("queued", "taskdeck"),
    ]
    assert (first["place"], second["place"]) == (None, {"position": 0, "total": 1})


async def test_why_lists_each_reason_that_a_task_waits(runtime_call: Call, worker):
    await queues.queue_set(runtime_call, name="default", capacity=1)
    await submit_task(runtime_call, name="runs")
    await worker.start(1)
    await submit_task(runtime_call, name="waits")
    await submit_task(runtime_call, name="held", hold=True)
    await submit_task(runtime_call, name="later", at="2h")
    await submit_task(runtime_call, name="after", after=["runs"])

    answers = await views.explain(runtime_call, ids=[1, 2, 3, 4, 5])

    codes = {row["name"]: row["reasons"][0]["code"] for row in answers}
    assert codes == {
        "runs": "running",
        "waits": "queue-full",
        "held": "held",
        "later": "not-before",
        "after": "dependency",
    }
    texts = {row["name"]: row["reasons"][0]["text"] for row in answers}
    assert "queue default is full (1 of 1)" in texts["waits"]
    assert "held by ann" in texts["held"] and "after #1 runs" in texts["after"]
    assert all(len(reason["short"]) <= 44 for row in answers for reason in row["reasons"])


async def test_a_start_time_is_the_expected_start_only_without_other_reasons(runtime_call: Call):
    await submit_task(runtime_call, at="2h")
    (free,) = await views.explain(runtime_call, ids=[1])
    await queues.queue_pause(runtime_call, name="default")
    (closed,) = await views.explain(runtime_call, ids=[1])

    assert free["expected_start"] and closed["expected_start"] is None
    assert [reason["code"] for reason in closed["reasons"]] == ["not-before", "queue-paused"]


async def test_why_of_a_task_far_back_tells_the_tasks_before_it_and_the_rate(
    runtime_call: Call, monkeypatch: pytest.MonkeyPatch
):
    await queues.queue_set(runtime_call, name="default", capacity=1)
    await submit.submit(runtime_call, tasks=[{"argv": ["true"]}] * 100, env={})
    started = timestamps.format_time(timestamps.utcnow() - timedelta(minutes=30))
    await execute_sql(runtime_call, "UPDATE tasks SET started_at = ? WHERE number <= 25", started)

    near, far = await views.explain(runtime_call, ids=[2, 100])

    assert near["outlook"] is None
    assert far["outlook"] == {"before": 99, "starts": 25, "seconds": 3600.0}
    monkeypatch.setattr(views, "COMMON_CODES", set[str]())  # as for a task that waits for a limit
    (stopped,) = await views.explain(runtime_call, ids=[100])
    assert stopped["outlook"] == {"before": 99}


async def test_why_of_an_ended_task_describes_its_end(runtime_call: Call, worker):
    await submit_task(runtime_call)
    await submit_task(runtime_call)
    await worker.run(1, 3, logs="it began\nno such file\n\n")
    await worker.run(2, 0, logs="done\n")

    answer, well = await views.explain(runtime_call, ids=[1, 2])

    assert answer["reasons"] == [
        {"code": "ended", "text": "failed: exit 3", "short": "failed: exit 3"}
    ]
    assert (answer["last_lines"], well["last_lines"]) == (["it began", "no such file"], [])


async def test_why_without_a_runtime_says_so_first(call: Call):
    await submit_task(call)

    ((answer),) = await views.explain(call, ids=[1])

    assert answer["reasons"][0]["code"] == "halted"


async def test_why_of_all_tasks_counts_by_reason(runtime_call: Call, worker):
    await queues.queue_set(runtime_call, name="default", capacity=0)
    for _ in range(3):
        await submit_task(runtime_call)
    await submit_task(runtime_call, hold=True)

    found = await views.explain(runtime_call)

    assert (found["total"], sum(group["count"] for group in found["groups"])) == (4, 4)
    assert {"text": "are held", "count": 1} in found["groups"]


async def test_why_of_all_tasks_tells_that_a_queue_is_closed(runtime_call: Call):
    day = f"{timestamps.utcnow().astimezone() + timedelta(days=2):%a}".lower()
    await queues.queue_set(runtime_call, name="default", open=day)
    await submit_task(runtime_call)

    found = await views.explain(runtime_call)

    assert found["groups"] == [{"text": "wait until queue default opens", "count": 1}]


async def test_why_of_all_tasks_names_the_limit(runtime_call: Call):
    await submit_task(runtime_call, tags={"team": "{a}"})
    await limits.set_(runtime_call, name="team", running=0)

    found = await views.explain(runtime_call)

    assert found["groups"] == [{"text": "wait in queue default: limit team={a}", "count": 1}]


async def test_runs_are_listed_for_one_task_and_for_all(call: Call, worker):
    await submit_task(call)
    await submit_task(call)
    first, second = await worker.run(1), await worker.run(2)

    assert [row["runid"] for row in await views.list_instances(call)] == [second, first]
    assert [row["runid"] for row in await views.list_instances(call, id=1)] == [first]
    assert [row["runid"] for row in await views.list_instances(call, limit=1)] == [second]


async def test_the_runs_of_a_group_are_listed_newest_first(call: Call, worker):
    await submit_task(call)
    group = {"argv": ["true"]}
    await submit.submit(call, tasks=[{"argv": ["true"]}] * 2, env={}, group=group)
    _, first, second = [await worker.run(number) for number in (1, 2, 3)]

    assert [row["runid"] for row in await views.list_instances(call, id="g1")] == [second, first]
    (newest,) = await views.list_instances(call, id="g1", limit=1)
    assert newest["runid"] == second


async def test_logs_are_found_for_the_latest_one_and_all_attempts(call: Call, worker):
    await submit_task(call, retries=1, retry_delay=0)
    runs = [await worker.run(1, code, logs=f"run {code}", log_bytes=5) for code in (1, 0)]

    latest = await views.find_logs(call, id=1)
    assert [(row["runid"], row["logs"], row["attempt"]) for row in latest["runs"]] == [
        (runs[1], "run 0", 2)
    ]
    assert latest["runs"][0]["path"] == f"{call.home}/runs/{runs[1][-2:]}/{runs[1]}.log"
    assert [row["runid"] for row in (await views.find_logs(call, id=1, attempt="1"))["runs"]] == [
        runs[0]
    ]
    assert [
        row["runid"] for row in (await views.find_logs(call, id=1, attempt="all"))["runs"]
    ] == runs
    with pytest.raises(Usage, match="#1 has no attempt 3. Attempts so far: 2"):
        await views.find_logs(call, id=1, attempt=3)


async def test_the_log_of_a_waiting_task_explains_the_wait(call: Call):
    await submit_task(call, hold=True)

    found = await views.find_logs(call, id=1)

    assert found["runs"] == [] and found["why"] is not None


async def test_the_operation_log_is_newest_first(call: Call):
    await submit_task(call)
    await actions.cancel(call, ids=[1])

    rows = await log.ls(call, limit=2)

    assert [(row["verb"], row["by"]) for row in rows] == [("cancel", "ann"), ("submit", "ann")]


async def test_every_reading_verb_refuses_an_ambiguous_name(call: Call):
    for _ in range(2):
        await submit_task(call, name="twin")

    for look in (
        views.show(call, id="twin"),
        views.find_logs(call, id="twin"),
        views.explain(call, ids=["twin"]),
        views.list_instances(call, id="twin"),
    ):
        with pytest.raises(Conflict, match="#2, #1"):
            await look


async def test_a_lack_of_past_runs_is_cached_only_briefly(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    """Keep two screens from showing different expected ends."""
    moment, runs = [1000.0], list[float]()
    monkeypatch.setattr(
        timestamps, "utcnow", lambda: datetime.fromtimestamp(moment[0], UTC)
    )  # fmt: skip
    monkeypatch.setattr(
        dispatch_view.run_history,
        "list_seconds_of_template",
        lambda c, template: [RunSeconds(seconds, True) for seconds in runs],
    )
    habits = dispatch_view.RunTimeCache()

    async def usual() -> Any:
        return await call.db.read(lambda c: habits.get_usual(c, "encode"))

    assert await usual() is None
    runs += [6.0, 7.0, 8.0]
    moment[0] += 2.0
    found = await usual()
    assert found is not None and found.median == 7.0
    runs[:] = [60.0] * 3
    moment[0] += 29.0
    assert await usual() == found


@pytest.mark.parametrize(("began", "is_disguised", "certain"), [
    (-10, False, None), (30, False, False), (90, False, None),
    (-10, True, None), (30, True, False), (90, True, False),
])  # fmt: skip
def test_a_disguised_process_may_be_of_each_run_before_it(
    began: int, is_disguised: bool, certain: bool | None
):
    start = timestamps.utcnow()
    times = {"start_time": start, "end_time": start + timedelta(seconds=60)}
    run = {"runid": "r", "pid": 7} | {k: timestamps.format_time(v) for k, v in times.items()}
    process = LeftProcess(9, "sh", 9, "", start.timestamp() + began, is_disguised)

    assert views._judge_origin(process, [run]) is certain
    assert views._judge_origin(process, [run | {"start_time": None}]) is None


def test_a_process_that_proc_hides_may_be_of_each_run():
    run = {"runid": "r", "pid": 7, "start_time": timestamps.now(), "end_time": None}
    assert views._judge_origin(LeftProcess(9, "hidden", 0, "", 0.0, True), [run]) is False
