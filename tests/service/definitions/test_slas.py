"""SLA rules: which tasks raise an alert, when, once, and what closes it."""

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Connection, event

from app.errors import Conflict, NotFound, Refused, Usage
from app.service import alerts, board, sla_evaluation
from app.service.context import Call
from app.service.definitions import apply, queues, slas, templates
from app.service.schedules import verbs
from app.service.tasks.changes import actions, retry
from app.service.tasks.submission import submit
from app.service.undo import undo
from db.queries.rules import alerts as db_alerts
from db.queries.rules import sla_cursor
from db.queries.tasks import transitions
from tests.service.calls import (
    count_other_writes,
    execute_sql,
    list_operations,
    open_call,
    submit_task,
    to_stored_time,
)

START = datetime(2026, 11, 25, 10, 0, tzinfo=UTC).timestamp()
MINUTE = 60.0


class SlaScenario:
    """A caller, and tasks whose times are set in minutes after START."""

    def __init__(self, call: Call) -> None:
        self.call = call

    async def submit_at(self, at: float = 0, **spec: Any) -> int:
        made = await submit_task(self.call, **spec)
        created = to_stored_time(START + at * MINUTE)
        await execute_sql(
            self.call, "UPDATE tasks SET created_at = ? WHERE uuid = ?", created, made["uuid"]
        )
        return made["number"]

    async def start_at(self, number: int, at: float) -> None:
        uuid = (await execute_sql(self.call, "SELECT uuid FROM tasks WHERE number = ?", number))[0][
            0
        ]
        when = to_stored_time(START + at * MINUTE)
        await execute_sql(
            self.call,
            "INSERT INTO instances (runid, task_id, status, start_time, tags, created_at,"
            " updated_at, attempt, queue, pool, cpu, memory)"
            " VALUES (?, ?, 'running', ?, '{}', ?, ?, 1, 'default', 'default', 1, 0)",
            f"run-{number}-{at}",
            uuid,
            when,
            when,
            when,
        )
        await execute_sql(
            self.call, "UPDATE tasks SET status = 'running', attempts = 1 WHERE number = ?", number
        )
        await self.insert_events("running", number)

    async def end_at(self, number: int, at: float, status: str = "succeeded") -> None:
        ended = to_stored_time(START + at * MINUTE)
        await execute_sql(
            self.call,
            "UPDATE tasks SET status = ?, ended_at = ? WHERE number = ?",
            status,
            ended,
            number,
        )
        await self.insert_events(status, number)

    async def fail_at(
        self, number: int, at: float, status: str = "failed", reason: str = "exit 1"
    ) -> None:
        await execute_sql(self.call, "UPDATE tasks SET reason = ? WHERE number = ?", reason, number)
        await self.end_at(number, at, status)

    async def list_runs(self) -> list[dict[str, Any]]:
        return (await slas.read_history(self.call, name="rule-0"))["runs"]

    async def insert_events(self, status: str, *numbers: int) -> None:
        insert = (
            'INSERT INTO events (task_id, status, "by", created_at, updated_at) SELECT uuid, ?,'
            " 'ann', '', '' FROM tasks"
        )
        await execute_sql(
            self.call, f"{insert} WHERE number BETWEEN ? AND ?", status, min(numbers), max(numbers)
        )

    async def create_rule(
        self, preset: str = "finishes-within", value: str = "45m", at: float = 0, **match: Any
    ) -> None:
        made = await slas.create(
            self.call,
            name=f"rule-{len(await slas.ls(self.call))}",
            preset=preset,
            value=value,
            **match,
        )
        stamped = to_stored_time(START + at * MINUTE)
        await execute_sql(
            self.call, "UPDATE slas SET updated_at = ? WHERE id = ?", stamped, made["id"]
        )

    async def evaluate_at(self, at: float) -> sla_evaluation.EvaluationResult:
        return await self.call.db.write(
            sla_evaluation.evaluate, datetime.fromtimestamp(START + at * MINUTE, UTC)
        )

    async def has_work_at(self, at: float) -> bool:
        return await self.call.db.read(
            sla_evaluation.has_work, datetime.fromtimestamp(START + at * MINUTE, UTC)
        )

    async def list_alerts(self) -> list[tuple[str, str, str]]:
        rows = await execute_sql(self.call, "SELECT object, status, text FROM alerts ORDER BY id")
        return [(row[0].split()[0], row[1], row[2]) for row in rows]


@pytest.fixture
async def scenario(tmp_path: Path) -> AsyncIterator[SlaScenario]:
    async with open_call(tmp_path) as call:
        yield SlaScenario(call)


async def test_a_late_task_raises_one_alert_which_closes_when_it_ends(
    scenario: SlaScenario,
) -> None:
    await scenario.create_rule()
    number = await scenario.submit_at(at=0)
    await scenario.start_at(number, at=1)
    assert (await scenario.evaluate_at(at=44)).fired == 0
    assert (await scenario.evaluate_at(at=46)).fired == 1
    assert (await scenario.evaluate_at(at=57)).fired == 0
    assert await scenario.list_alerts() == [(f"#{number}", "firing", "running 46m, allowed 45m")]
    await scenario.end_at(number, at=60)
    assert (await scenario.evaluate_at(at=61)).resolved == 1
    assert await scenario.list_alerts() == [(f"#{number}", "resolved", "took 1h, allowed 45m")]
    assert await execute_sql(
        scenario.call, 'SELECT fired_at, resolved_at, value, "limit" FROM alerts'
    ) == [
        (to_stored_time(START + 45 * MINUTE), to_stored_time(START + 60 * MINUTE), 3600.0, 2700.0)
    ]


async def test_a_task_in_time_raises_no_alert(scenario: SlaScenario) -> None:
    await scenario.create_rule()
    number = await scenario.submit_at(at=0)
    await scenario.end_at(number, at=44)
    for at in (44, 46, 600):
        assert (await scenario.evaluate_at(at)).fired == 0
    assert await scenario.list_alerts() == []


async def test_a_failure_in_time_fires_at_once_and_a_successful_retry_resolves_it(
    scenario: SlaScenario,
) -> None:
    await scenario.create_rule()
    number = await scenario.submit_at(at=0)
    assert (await scenario.evaluate_at(at=0)).fired == 0
    await scenario.fail_at(number, at=1)
    assert await scenario.has_work_at(at=2)
    assert (await scenario.evaluate_at(at=2)).fired == 1
    said = "failed: exit 1; must succeed within 45m"
    assert await scenario.list_alerts() == [(f"#{number}", "firing", said)]
    (shown,) = await alerts.ls(scenario.call)
    assert (shown["text"], shown["short"], shown["since"]) == (
        said, "failed: exit 1", to_stored_time(START + MINUTE),
    )  # fmt: skip
    assert [(run["late"], run["status"]) for run in await scenario.list_runs()] == [
        (True, "failed")
    ]
    await retry.retry(scenario.call, ids=[number])
    assert (await scenario.evaluate_at(at=3)).resolved == 0
    await scenario.end_at(number, at=4)
    assert (await scenario.evaluate_at(at=5)).resolved == 1
    ended = f"{said}; succeeded Wed 25 Nov 10:04"
    assert await scenario.list_alerts() == [(f"#{number}", "resolved", ended)]


@pytest.mark.parametrize(
    ("status", "reason"), [("timed_out", "limit 20s"), ("lost", "the outcome cannot be known")]
)
async def test_every_kind_of_failure_fires(scenario: SlaScenario, status: str, reason: str) -> None:
    await scenario.create_rule()
    number = await scenario.submit_at(at=0)
    await scenario.fail_at(number, at=1, status=status, reason=reason)
    await scenario.evaluate_at(at=2)
    said = f"{status.replace('_', ' ')}: {reason}; must succeed within 45m"
    assert await scenario.list_alerts() == [(f"#{number}", "firing", said)]


async def test_readers_of_alerts_see_a_failure_that_was_not_evaluated_yet(
    runtime_call: Call, worker: Any
) -> None:
    await slas.create(runtime_call, name="in-time", preset="finishes-within", value="1h")
    await submit_task(runtime_call)
    await worker.run(1, 1)

    assert [row["sla"] for row in (await board.show_status(runtime_call))["alerts"]] == ["in-time"]
    await submit_task(runtime_call)
    await worker.run(2, 1)
    assert [row["status"] for row in await alerts.ls(runtime_call)] == ["firing"] * 2
    assert (await slas.show(runtime_call, name="in-time"))["open"] == {"firing": 2}


async def test_a_failure_breaks_no_start_rule_and_no_rule_made_later(scenario: SlaScenario) -> None:
    await scenario.create_rule("starts-within", "30m")
    await scenario.create_rule(at=2)
    await scenario.create_rule(task="other")
    await scenario.fail_at(await scenario.submit_at(at=0), at=1)
    for at in (3, 50):
        assert (await scenario.evaluate_at(at)).fired == 0


async def test_a_deleted_task_resolves_the_alert_of_its_failure(scenario: SlaScenario) -> None:
    await scenario.create_rule()
    number = await scenario.submit_at(at=0)
    await scenario.fail_at(number, at=1)
    await scenario.evaluate_at(at=2)
    await actions.rm(scenario.call, ids=[number])
    assert [status for _, status, _ in await scenario.list_alerts()] == ["resolved"]
    await scenario.evaluate_at(at=50)
    assert [status for _, status, _ in await scenario.list_alerts()] == ["resolved"]


async def test_an_acknowledged_failure_ends_with_the_next_success_of_its_name(
    scenario: SlaScenario,
) -> None:
    await scenario.create_rule()
    failed, seen = [await scenario.submit_at(at=0, name="nb") for _ in "ab"]
    for number in (failed, seen):
        await scenario.fail_at(number, at=1)
    await scenario.evaluate_at(at=2)
    await alerts.ack(scenario.call, ids=[2])
    await scenario.evaluate_at(at=60)
    other = await scenario.submit_at(at=60, name="other")
    await scenario.end_at(other, at=61)
    assert (await scenario.evaluate_at(at=62)).resolved == 0
    await scenario.end_at(await scenario.submit_at(at=62, name="nb"), at=63)
    assert (await scenario.evaluate_at(at=64)).resolved == 1
    assert [(name, status) for name, status, _ in await scenario.list_alerts()] == [
        (f"#{failed}", "firing"), (f"#{seen}", "resolved"),
    ]  # fmt: skip


async def test_tasks_cancelled_after_a_failure_fire_and_those_a_user_cancels_do_not(
    scenario: SlaScenario,
) -> None:
    await scenario.create_rule(task="last")
    first = await scenario.submit_at(name="first")
    middle = await scenario.submit_at(name="middle", after=[first])
    last = await scenario.submit_at(name="last", after=[middle])
    await scenario.submit_at(name="last", after=[await scenario.submit_at(name="given up")])
    await actions.cancel(scenario.call, ids=["given up"])
    await scenario.fail_at(first, at=1)
    uuids = await execute_sql(scenario.call, "SELECT uuid FROM tasks WHERE number = ?", first)
    await scenario.call.db.write(transitions.propagate_to_children, [uuids[0][0]])
    await scenario.evaluate_at(at=2)
    said = f"cancelled: parent #{middle} cancelled; must succeed within 45m"
    assert await scenario.list_alerts() == [(f"#{last}", "firing", said)]


async def test_a_long_chain_that_failed_is_walked_once_for_all_its_tasks(
    scenario: SlaScenario,
) -> None:
    many, steps = 200, [0]
    tasks = [{"argv": ["a"], "name": "t0"}]
    tasks += [{"argv": ["a"], "name": f"t{n}", "after": [f"t{n - 1}"]} for n in range(1, many)]
    await submit.submit(scenario.call, tasks=tasks)

    def evaluate(c: Connection) -> list[sla_cursor.SlaTask]:
        c.exec_driver_sql("UPDATE tasks SET status = 'failed', ended_at = 'x' WHERE number = 1")
        (uuid,) = c.exec_driver_sql("SELECT uuid FROM tasks WHERE number = 1").one()
        transitions.propagate_to_children(c, [uuid])
        driver = cast(sqlite3.Connection, c.connection.driver_connection)
        driver.set_progress_handler(lambda: steps.append(steps.pop() + 1), 1000)
        try:
            return sla_cursor.read_page(c, sla_cursor.TaskScope("1", {}), 0, many, "")
        finally:
            driver.set_progress_handler(None, 0)

    found = await scenario.call.db.write(evaluate)

    assert [task.orphaned for task in found] == [False, *[True] * (many - 1)]
    assert steps[0] < 150, "thousands of SQLite steps"


async def test_an_undo_of_a_cancel_opens_its_alerts_again(scenario: SlaScenario) -> None:
    await scenario.create_rule()
    waiting, failed, unseen = [await scenario.submit_at(at=0) for _ in "abc"]
    await actions.cancel(scenario.call, ids=[unseen])
    early = to_stored_time(START + MINUTE)
    await execute_sql(scenario.call, "UPDATE tasks SET ended_at = ? WHERE number = 3", early)
    await scenario.fail_at(failed, at=1)
    await retry.retry(scenario.call, ids=[failed])
    await scenario.evaluate_at(at=46)
    about = "SELECT id FROM alerts WHERE task_id = (SELECT uuid FROM tasks WHERE number = ?)"
    ((known,),) = await execute_sql(scenario.call, about, waiting)
    await alerts.ack(scenario.call, ids=[known])
    before = [(number, status) for number, status, _ in await scenario.list_alerts()]
    assert {*before} == {(f"#{failed}", "firing"), (f"#{waiting}", "acknowledged")}
    await actions.cancel(scenario.call, ids=[waiting, failed])
    assert (await scenario.evaluate_at(at=47)).resolved == 2
    for operation in await execute_sql(
        scenario.call, "SELECT id FROM operations WHERE verb = 'cancel'"
    ):
        await undo.undo(scenario.call, ids=[operation[0]])
    await scenario.evaluate_at(at=48)
    assert [(number, status) for number, status, _ in await scenario.list_alerts()] == [
        *before, (f"#{unseen}", "firing"),
    ]  # fmt: skip


async def test_a_rule_without_data_says_so(scenario: SlaScenario) -> None:
    await scenario.create_rule(task="nb")
    await slas.create(
        scenario.call, name="replica", preset="stays-below", value="5m", metric="replica-lag"
    )
    await scenario.submit_at(name="other")
    assert {row["state"] for row in await slas.ls(scenario.call)} == {"no data"}
    number = await scenario.submit_at(name="nb")
    assert (await slas.show(scenario.call, name="rule-0"))["state"] == "ok"
    await scenario.fail_at(number, at=1)
    await scenario.evaluate_at(at=2)
    assert (await slas.show(scenario.call, name="rule-0"))["state"] == "firing"


async def test_a_task_that_ended_late_between_evaluations_is_reported_as_ended(
    scenario: SlaScenario,
) -> None:
    await scenario.create_rule()
    number = await scenario.submit_at(at=0)
    await scenario.evaluate_at(at=40)
    await scenario.end_at(number, at=50)
    assert (await scenario.evaluate_at(at=300)).fired == 1
    assert await scenario.list_alerts() == [(f"#{number}", "resolved", "took 50m, allowed 45m")]


async def test_the_next_evaluation_is_due_with_the_next_deadline(scenario: SlaScenario) -> None:
    await scenario.create_rule()
    assert (await scenario.evaluate_at(at=0)).next_due is None
    await scenario.end_at(await scenario.submit_at(at=5), at=6)
    await scenario.submit_at(at=10)
    await scenario.evaluate_at(at=54)
    await scenario.submit_at(at=20)
    assert (await scenario.evaluate_at(at=54)).next_due == START + 55 * MINUTE
    assert not await scenario.has_work_at(at=54)
    assert await scenario.has_work_at(at=55)
    found = await scenario.evaluate_at(at=55)
    assert (found.fired, found.next_due) == (1, START + 65 * MINUTE)


async def test_a_late_start_raises_an_alert_which_closes_with_the_start(
    scenario: SlaScenario,
) -> None:
    await scenario.create_rule("starts-within", "30m")
    number = await scenario.submit_at(at=0)
    await scenario.evaluate_at(at=132)
    assert await scenario.list_alerts() == [(f"#{number}", "firing", "waiting 2h12m, allowed 30m")]
    await scenario.start_at(number, at=140)
    assert (await scenario.evaluate_at(at=141)).resolved == 1
    assert await scenario.list_alerts() == [(f"#{number}", "resolved", "waited 2h20m, allowed 30m")]


async def test_waiting_counts_from_the_time_a_task_may_start(scenario: SlaScenario) -> None:
    await scenario.create_rule("starts-within", "30m")
    number = await scenario.submit_at(at=0)
    await execute_sql(
        scenario.call,
        "UPDATE tasks SET not_before = ? WHERE number = ?",
        to_stored_time(START + 60 * MINUTE),
        number,
    )
    found = await scenario.evaluate_at(at=31)
    assert (found.fired, found.next_due) == (0, START + 90 * MINUTE)
    assert not await scenario.has_work_at(at=89)
    assert (await scenario.evaluate_at(at=89)).fired == 0
    assert await scenario.has_work_at(at=91)
    assert (await scenario.evaluate_at(at=91)).fired == 1
    assert (await scenario.evaluate_at(at=92)).next_due is None


async def test_only_matching_tasks_are_evaluated(scenario: SlaScenario) -> None:
    call = scenario.call
    await queues.queue_create(call, name="media", capacity=1)
    await templates.create(call, name="encode", engine="shell", schema={"script": "true"})
    matches: list[dict[str, Any]] = [
        {"template": "encode"},
        {"queue": "media"},
        {"task": "nightly"},
        {"tag": "team=ml"},
    ]
    for match in matches:
        await scenario.create_rule(**match)
    await scenario.create_rule(queue="media", tag={"team": "ml"})
    numbers = [
        await scenario.submit_at(template="encode"),
        await scenario.submit_at(queue="media"),
        await scenario.submit_at(name="nightly"),
        await scenario.submit_at(tags={"team": "ml", "a": "b"}),
        await scenario.submit_at(queue="media", tags={"team": "ml"}),
        await scenario.submit_at(tags={"team": "mlx"}),
    ]
    await scenario.evaluate_at(at=60)
    rows = await execute_sql(call, "SELECT name, object FROM alerts ORDER BY name, id")
    found = [(name, int(about.split()[0][1:]) - numbers[0]) for name, about in rows]
    expected = [
        ("rule-0", 0),
        ("rule-1", 1),
        ("rule-1", 4),
        ("rule-2", 2),
        ("rule-3", 3),
        ("rule-3", 4),
        ("rule-4", 4),
    ]
    assert found == expected


async def test_the_rule_of_a_pool_covers_the_tasks_of_its_queues(scenario: SlaScenario) -> None:
    await scenario.create_rule()
    await queues.pool_create(scenario.call, name="gpu", cpu=8, memory="1G", sla="rule-0")
    await queues.queue_create(scenario.call, name="media", pool="gpu")
    inside = await scenario.submit_at(queue="media")
    await scenario.submit_at()
    await scenario.evaluate_at(at=60)
    assert [row[0] for row in await scenario.list_alerts()] == [f"#{inside}"]


async def test_a_new_rule_reports_tasks_late_now_not_past_ones(scenario: SlaScenario) -> None:
    open_task, past = await scenario.submit_at(at=0), await scenario.submit_at(at=0)
    await scenario.end_at(past, at=100)
    await scenario.create_rule(at=200)
    await scenario.evaluate_at(at=201)
    assert [row[:2] for row in await scenario.list_alerts()] == [(f"#{open_task}", "firing")]


async def test_many_late_tasks_are_reported_in_batches(scenario: SlaScenario) -> None:
    await scenario.create_rule("starts-within", "30m")
    first = await scenario.submit_at()
    await _copy_task(scenario.call, first, 1_200)
    found = await scenario.evaluate_at(at=60)
    assert (found.fired, found.next_due) == (500, START + 60 * MINUTE)
    while found.next_due is not None:
        found = await scenario.evaluate_at(at=60)
    assert len(await scenario.list_alerts()) == 1_201
    await execute_sql(
        scenario.call,
        "UPDATE tasks SET status = 'cancelled', ended_at = ?",
        to_stored_time(START + 61 * MINUTE),
    )
    await scenario.insert_events("cancelled", first, first + 1_200)
    assert [(await scenario.evaluate_at(at=62)).resolved for _ in range(4)] == [500, 500, 201, 0]


async def test_a_changed_rule_evaluates_all_tasks_again(scenario: SlaScenario) -> None:
    await templates.create(scenario.call, name="slow", engine="shell", schema={"script": "true"})
    text = (
        '[slas.a]\nconditions = { preset = "finishes-within", value = "45m", match = { template ='
        ' "slow" } }'
    )
    await apply.apply(scenario.call, text=text)
    number = await scenario.submit_at(template="slow")
    await scenario.evaluate_at(at=60)
    await apply.apply(scenario.call, text=text.replace("45m", "2h"))
    assert (await scenario.evaluate_at(at=61)).fired == 0
    assert (await scenario.list_alerts())[0][:2] == (f"#{number}", "resolved")
    await apply.apply(scenario.call, text=text.replace("45m", "50m"))
    assert (await scenario.evaluate_at(at=62)).fired == 1
    assert await scenario.list_alerts() == [
        (f"#{number}", "firing", "waiting 1h02m, allowed 50m in all")
    ]


async def test_a_disabled_rule_raises_nothing_and_closes_its_alerts(scenario: SlaScenario) -> None:
    text = '[slas.a]\nconditions = { preset = "finishes-within", value = "45m" }\nenabled = true'
    await apply.apply(scenario.call, text=text)
    await scenario.submit_at()
    await scenario.evaluate_at(at=60)
    await apply.apply(scenario.call, text=text.replace("true", "false"))
    assert (await scenario.evaluate_at(at=61)).fired == 0
    assert [row[1] for row in await scenario.list_alerts()] == ["resolved"]
    assert not await scenario.has_work_at(at=600)


async def test_nothing_due_writes_nothing(scenario: SlaScenario) -> None:
    await scenario.create_rule()
    await scenario.submit_at()
    await scenario.evaluate_at(at=60)
    was = (
        await execute_sql(scenario.call, "SELECT * FROM counters"),
        await execute_sql(scenario.call, "SELECT * FROM alerts"),
    )
    assert not await scenario.has_work_at(at=61)
    await scenario.evaluate_at(at=61)
    assert (
        await execute_sql(scenario.call, "SELECT * FROM counters"),
        await execute_sql(scenario.call, "SELECT * FROM alerts"),
    ) == was


async def test_a_rule_is_created_shown_listed_and_deleted(scenario: SlaScenario) -> None:
    made = await slas.create(
        scenario.call,
        name="soon",
        preset="starts-within",
        value="30m",
        severity="critical",
        tag="a=b",
    )
    assert made["conditions"] == {
        "preset": "starts-within",
        "value": "30m",
        "match": {"tag": {"a": "b"}},
    }
    assert (made["priority"], made["enabled"], made["actions"]) == (3, True, {})
    assert made == await slas.show(scenario.call, name="soon")
    assert (made.pop("deliveries"), made.pop("due")) == ([], None)
    assert await slas.ls(scenario.call) == [made]
    await slas.rm(scenario.call, name="soon")
    assert await slas.ls(scenario.call) == []
    assert await list_operations(scenario.call) == [
        ("sla create", "sla soon"),
        ("sla rm", "sla soon"),
    ]


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"name": "a/b"}, Usage, "name must not"),
        ({"preset": "soon"}, Usage, "unknown preset"),
        ({"value": "-1s"}, Usage, "value must be 0 or more"),
        ({"severity": "loud"}, Usage, "severity must be"),
        ({"template": "nope"}, NotFound, 'there is no template "nope"'),
        ({"queue": "defualt"}, NotFound, "Nearest: default"),
        ({"tag": "x"}, Usage, "tag must be KEY=VALUE"),
        ({"name": "taken"}, Conflict, "already"),
    ],
)
async def test_an_invalid_rule_is_refused(
    scenario: SlaScenario, given: dict[str, Any], kind: type[Exception], words: str
) -> None:
    await slas.create(scenario.call, name="taken", preset="starts-within", value=1)
    with pytest.raises(kind) as caught:
        await slas.create(
            scenario.call, **{"name": "new", "preset": "finishes-within", "value": "45m", **given}
        )
    assert words in str(caught.value)
    assert len(await slas.ls(scenario.call)) == 1


async def test_a_rule_is_listed_with_its_condition_and_state(scenario: SlaScenario) -> None:
    await scenario.create_rule("starts-within", "30m")
    first, second = [await scenario.submit_at(at=0) for _ in range(2)]
    await scenario.evaluate_at(at=40)
    await execute_sql(
        scenario.call,
        "UPDATE alerts SET status = 'acknowledged' WHERE object LIKE ?",
        f"#{first} %",
    )
    (row,) = await slas.ls(scenario.call)
    assert (row["words"], row["severity"], row["limit"]) == ("starts within 30m", "warning", 1800.0)
    assert (row["open"], row["silence"], row["late"], row["last_late"]) == (
        {"firing": 1, "acknowledged": 1},
        None,
        0,
        None,
    )
    await execute_sql(scenario.call,
    "UPDATE alerts SET status = 'resolved', resolved_at = ? WHERE object LIKE ?",
                  to_stored_time(datetime.now(UTC).timestamp() - 60), f"#{second} %")  # fmt: skip
    (row,) = await slas.ls(scenario.call)
    assert (row["open"], row["late"]) == ({"acknowledged": 1}, 1) and row["last_late"] is not None


async def test_the_last_runs_of_a_rule_are_listed_oldest_first(scenario: SlaScenario) -> None:
    call = scenario.call
    await templates.create(call, name="encode", engine="shell", schema={"script": "true"})
    await scenario.create_rule(template="encode")
    await scenario.create_rule("starts-within", "5m")
    for took in (10, 50):
        await scenario.end_at(await scenario.submit_at(template="encode"), at=took)
    await scenario.end_at(await scenario.submit_at(), at=20, status="failed")
    await scenario.submit_at(template="encode")
    first = await slas.read_history(call, name="rule-0")
    assert (first["limit"], [(run["value"] / MINUTE, run["late"]) for run in first["runs"]]) == (
        2700.0,
        [(10, False), (50, True)],
    )
    second = await slas.read_history(call, name="rule-1")
    assert [(run["value"] / MINUTE, run["status"]) for run in second["runs"]] == [
        (10, "succeeded"), (20, "failed"), (50, "succeeded"),
    ]  # fmt: skip


async def test_a_change_affects_only_the_given_fields(scenario: SlaScenario) -> None:
    await scenario.create_rule(queue="default", tag="a=b", severity="critical")
    changed = await slas.set_(scenario.call, name="rule-0", value="1h")
    assert changed["conditions"] == {
        "preset": "finishes-within", "value": "1h",
        "match": {"queue": "default", "tag": {"a": "b"}},
    }  # fmt: skip
    changed = await slas.set_(
        scenario.call, name="rule-0", preset="starts-within", queue="", tag="c=d", severity="info"
    )
    assert changed["conditions"] == {
        "preset": "starts-within",
        "value": "1h",
        "match": {"tag": {"c": "d"}},
    }
    assert (changed["severity"], changed["enabled"]) == ("info", True)
    changed = await slas.set_(scenario.call, name="rule-0", tag={})
    assert changed["conditions"] == {"preset": "starts-within", "value": "1h"}
    assert [verb for verb, _ in await list_operations(scenario.call)] == [
        "sla create",
        "sla set",
        "sla set",
        "sla set",
    ]


async def test_a_changed_condition_evaluates_all_tasks_again(scenario: SlaScenario) -> None:
    await scenario.create_rule()
    number = await scenario.submit_at()
    await scenario.evaluate_at(at=60)
    await slas.set_(scenario.call, name="rule-0", value="2h")
    assert (await scenario.evaluate_at(at=61)).fired == 0
    assert (await scenario.list_alerts())[0][:2] == (f"#{number}", "resolved")
    await slas.set_(scenario.call, name="rule-0", value="50m")
    assert (await scenario.evaluate_at(at=62)).fired == 1


async def test_a_rule_is_disabled_and_enabled(scenario: SlaScenario) -> None:
    await scenario.create_rule()
    await scenario.submit_at()
    await scenario.evaluate_at(at=60)
    assert not (await slas.set_(scenario.call, name="rule-0", enabled=False))["enabled"]
    assert (await scenario.evaluate_at(at=61)).fired == 0
    assert [row[1] for row in await scenario.list_alerts()] == ["resolved"]
    await slas.set_(scenario.call, name="rule-0", enabled=True)
    assert (await scenario.evaluate_at(at=62)).fired == 1


async def test_a_changed_severity_keeps_open_alerts(scenario: SlaScenario) -> None:
    await scenario.create_rule()
    await scenario.submit_at()
    await scenario.evaluate_at(at=60)
    await slas.set_(scenario.call, name="rule-0", severity="critical")
    assert await execute_sql(scenario.call, "SELECT severity, status FROM alerts") == [
        ("critical", "firing")
    ]
    assert (await scenario.evaluate_at(at=61)).fired == 0


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({}, Usage, "nothing to set"),
        ({"value": "-1s"}, Usage, "value must be 0 or more"),
        ({"preset": "soon"}, Usage, "unknown preset"),
        ({"queue": "defualt"}, NotFound, "Nearest: default"),
        ({"tag": "x"}, Usage, "tag must be KEY=VALUE"),
        ({"severity": "loud"}, Usage, "severity must be"),
        ({"enabled": "no"}, Usage, "true or false"),
        ({"name": "nope", "value": "1h"}, NotFound, 'there is no rule "nope"'),
    ],
)
async def test_an_invalid_change_is_refused(
    scenario: SlaScenario, given: dict[str, Any], kind: type[Exception], words: str
) -> None:
    await scenario.create_rule()
    was = await slas.ls(scenario.call)
    with pytest.raises(kind, match=words):
        await slas.set_(scenario.call, **{"name": "rule-0", **given})
    assert await slas.ls(scenario.call) == was


async def test_a_silence_is_deleted_with_its_rule(scenario: SlaScenario) -> None:
    await scenario.create_rule()
    await alerts.silence(scenario.call, until="1h", sla="rule-0")
    await slas.rm(scenario.call, name="rule-0")
    assert await execute_sql(scenario.call, "SELECT count(*) FROM silences") == [(0,)]


async def test_a_refused_deletion_keeps_alerts_and_silence(scenario: SlaScenario) -> None:
    await scenario.create_rule()
    await queues.pool_create(scenario.call, name="gpu", cpu=8, memory="1G", sla="rule-0")
    await queues.queue_create(scenario.call, name="media", pool="gpu")
    await scenario.submit_at(queue="media")
    await scenario.evaluate_at(at=60)
    await alerts.silence(scenario.call, until="1h", sla="rule-0")
    with pytest.raises(Refused):
        await slas.rm(scenario.call, name="rule-0")
    assert [row["status"] for row in await alerts.ls(scenario.call)] == ["silenced"]


async def test_a_rule_that_a_pool_refers_to_stays(scenario: SlaScenario) -> None:
    await scenario.create_rule()
    await queues.pool_create(scenario.call, name="gpu", cpu=8, memory="1G", sla="rule-0")
    with pytest.raises(Refused, match="1 pool"):
        await slas.rm(scenario.call, name="rule-0")


async def test_the_alerts_of_a_deleted_rule_keep_its_name(scenario: SlaScenario) -> None:
    await scenario.create_rule()
    await scenario.submit_at()
    await scenario.evaluate_at(at=60)
    await slas.rm(scenario.call, name="rule-0")
    assert await execute_sql(scenario.call, "SELECT sla_id, name, status FROM alerts") == [
        (None, "rule-0", "resolved")
    ]
    assert await execute_sql(
        scenario.call, "SELECT count(*) FROM counters WHERE name LIKE 'sla/%/%'"
    ) == [(0,)]


async def test_a_changed_severity_reaches_many_open_alerts_in_short_transactions(
    scenario: SlaScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = scenario.call
    monkeypatch.setattr(db_alerts, "CHANGED_AT_ONCE", 4)
    await scenario.create_rule()
    for _ in range(20):
        await scenario.submit_at()
    await scenario.evaluate_at(at=60)
    found = "SELECT DISTINCT severity FROM alerts"

    others = await count_other_writes(call, slas.set_(call, name="rule-0", severity="info"))

    assert others >= 5 and await execute_sql(call, found) == [("info",)]
    file = (await apply.export(call)).replace('severity = "info"', 'severity = "critical"')
    assert await count_other_writes(call, apply.apply(call, text=file)) >= 5
    assert await execute_sql(call, found) == [("critical",)]


async def test_the_undo_of_a_rule_with_many_alerts_is_refused(
    scenario: SlaScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_alerts, "CHANGED_AT_ONCE", 1)
    await scenario.create_rule()
    for _ in range(2):
        await scenario.submit_at()
    await scenario.evaluate_at(at=60)

    async def undo_last() -> Any:
        ((last,),) = await execute_sql(
            scenario.call, "SELECT max(id) FROM operations WHERE verb LIKE 'sla%'"
        )
        done = await undo.undo(scenario.call, ids=[last])
        assert done["done"] == []
        return done["refused"][0]

    created = await undo_last()
    await slas.set_(scenario.call, name="rule-0", severity="info")
    changed = await undo_last()

    assert "has more than 1 alerts, too many for an undo" in created["message"]
    assert created["hint"] == "Change the rule itself: taskdeck sla rm rule-0"
    assert changed["hint"] == "Change the rule itself: taskdeck sla set rule-0"


async def test_many_alerts_of_a_changed_rule_are_closed_in_short_transactions(
    scenario: SlaScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = scenario.call
    monkeypatch.setattr(db_alerts, "CHANGED_AT_ONCE", 4)
    await scenario.create_rule()
    for _ in range(20):
        await scenario.submit_at()
    await scenario.evaluate_at(at=60)

    assert await count_other_writes(call, slas.set_(call, name="rule-0", enabled=False)) >= 5
    assert {status for _, status, _ in await scenario.list_alerts()} == {"resolved"}
    await slas.set_(call, name="rule-0", enabled=True)
    await scenario.evaluate_at(at=60)
    assert {status for _, status, _ in await scenario.list_alerts()} == {"firing"}
    assert await count_other_writes(call, slas.rm(call, name="rule-0")) >= 10
    found = "SELECT sla_id, status, count(*) FROM alerts GROUP BY 1, 2"
    assert await execute_sql(call, found) == [(None, "resolved", 20)]


TASK_COUNT = 100_000


async def _copy_task(call: Call, number: int, many: int) -> None:
    """Insert `many` copies of a task."""
    columns = [row[1] for row in await execute_sql(call, "PRAGMA table_info(tasks)")]
    other = ", ".join(name for name in columns if name not in ("uuid", "number"))
    await execute_sql(
        call,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        f" INSERT INTO tasks (uuid, number, {other})"
        f" SELECT uuid || '-' || i, number + i, {other} FROM tasks, n WHERE number = ?",
        many,
        number,
    )


async def test_no_evaluation_statement_reads_all_of_a_hundred_thousand_tasks(
    scenario: SlaScenario,
) -> None:
    await scenario.create_rule(task="nightly")
    await scenario.create_rule("starts-within", "30m", queue="default")
    await _copy_task(scenario.call, await scenario.submit_at(), TASK_COUNT)
    plans: list[str] = []

    def explained(c: Any) -> None:
        def explain(
            conn: Any, cursor: Any, statement: str, given: Any, context: Any, many: bool
        ) -> None:
            if not many and statement.startswith("SELECT"):
                cursor.execute(f"EXPLAIN QUERY PLAN {statement}", given)
                plans.extend(row[3] for row in cursor.fetchall())

        event.listen(c, "before_cursor_execute", explain)
        sla_evaluation.evaluate(c, datetime.fromtimestamp(START + 60 * MINUTE, UTC))
        event.remove(c, "before_cursor_execute", explain)

    await scenario.call.db.write(explained)
    assert [plan for plan in plans if plan.startswith("SCAN t")] == []
    assert any("idx_tasks_number (number>? AND number<?)" in plan for plan in plans)
    assert any("idx_tasks_created (created_at<?)" in plan for plan in plans)


async def test_a_changed_preset_keeps_what_no_option_names(scenario: SlaScenario) -> None:
    given = {"preset": "queue-wait", "value": "30m", "queue": "default", "severity": "critical"}
    made = await slas.create(scenario.call, name="wait", **given)

    assert made["words"] == "queue default: longest wait over 30m"
    changed = await slas.set_(scenario.call, name="wait", preset="queue-wait", value="5s")
    assert (changed["words"], changed["severity"]) == (
        "queue default: longest wait over 5s", "critical",
    )  # fmt: skip
    assert (await slas.set_(scenario.call, name="wait", queue=""))["words"].startswith("every")


async def test_a_deadline_becomes_a_preset_with_its_match(scenario: SlaScenario) -> None:
    await slas.create(
        scenario.call, name="soon", preset="starts-within", value="30m", tag="a=b", task="etl"
    )

    changed = await slas.set_(scenario.call, name="soon", preset="not-started", value="1h")
    assert changed["conditions"]["match"] == {"task": "etl", "tags": {"a": "b"}}
    with pytest.raises(Usage, match="--value"):
        await slas.set_(scenario.call, name="soon", preset="starts-within", value="1h")


@pytest.mark.parametrize(
    ("tz", "match", "hinted"),
    [
        ("UTC", {"task": "etl"}, True),
        ("UTC", {"schedule": "e*"}, True),
        ("Europe/Paris", {"task": "etl"}, False),
        ("UTC", {"task": "other"}, False),
        ("UTC", {}, False),
    ],
)
async def test_a_time_in_another_zone_than_its_schedule_is_noted(
    call: Call, tz: str, match: Any, hinted: bool
) -> None:
    notes: list[str] = []
    told = replace(call, note=notes.append)
    times: Any = {"cron": "0 2 * * *", "timezone": "Europe/Berlin"}
    await verbs.create(call, name="etl", argv=["true"], **times)
    await verbs.create(call, name="other", argv=["true"], cron="0 2 * * *", timezone="UTC")

    await slas.create(told, name="a b", preset="succeeds-by", value="06:00", tz=tz, **match)

    assert (notes != []) is hinted
    if hinted:
        assert notes == [
            "the deadline of a b is in UTC, but the schedule etl is in Europe/Berlin."
            " To use that zone: taskdeck sla set 'a b' --tz Europe/Berlin"
        ]
        await slas.set_(told, name="a b", tz="Europe/Berlin")
        assert len(notes) == 1


async def test_a_schedule_in_an_unknown_zone_does_not_prevent_a_rule(call: Call) -> None:
    await verbs.create(call, name="etl", argv=["true"], every="1h")
    await execute_sql(call, "UPDATE schedules SET zone = 'Mars/Base'")
    await slas.create(call, name="a", preset="succeeds-by", value="06:00", task="etl")
    assert (await slas.show(call, name="a"))["name"] == "a"


async def test_an_unknown_queue_of_a_rule_can_be_created(call: Call) -> None:
    with pytest.raises(NotFound, match="Create it: taskdeck queue create gup"):
        await slas.create(call, name="a", preset="queue-wait", queue="gup")


async def test_refusals_of_rules_say_what_to_type(scenario: SlaScenario) -> None:
    await slas.create(scenario.call, name="a b", preset="starts-within", value="1h")
    with pytest.raises(Conflict) as caught:
        await slas.create(scenario.call, name="a b", preset="starts-within", value="1h")
    assert caught.value.hint == "Change it: taskdeck sla set 'a b'"
    with pytest.raises(Usage) as refused:
        await slas.create(
            scenario.call, name="b", preset="starts-within", value="1h", pool="default"
        )
    assert refused.value.hint == "For a pool: taskdeck pool set POOL --sla RULE"
