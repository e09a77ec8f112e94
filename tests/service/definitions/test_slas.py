"""SLAs: which tasks are told of, when, once, and what closes an alert."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from app.errors import Conflict, NotFound, Refused, Usage
from app.service import alerts
from app.service.context import Call
from app.service.definitions import apply, queues, slas, templates
from tests.service.calls import a_call, execute, operations, stamp, submitted

START = datetime(2026, 11, 25, 10, 0, tzinfo=UTC).timestamp()
MINUTE = 60.0


class Scene:
    """A caller, and tasks whose times are set by hand (in minutes after START)."""

    def __init__(self, call: Call) -> None:
        self.call = call

    async def task(self, at: float = 0, **spec: Any) -> int:
        made = await submitted(self.call, **spec)
        created = stamp(START + at * MINUTE)
        await execute(self.call, "UPDATE tasks SET created_at = ? WHERE uuid = ?", created, made["uuid"])
        return made["number"]

    async def start(self, number: int, at: float) -> None:
        uuid = (await execute(self.call, "SELECT uuid FROM tasks WHERE number = ?", number))[0][0]
        when = stamp(START + at * MINUTE)
        await execute(
            self.call,
            "INSERT INTO instances (runid, task_id, status, start_time, tags, created_at, updated_at, attempt, queue, pool, cpu, "
            "memory) VALUES (?, ?, 'running', ?, '{}', ?, ?, 1, 'default', 'default', 1, 0)",
            f"run-{number}-{at}", uuid, when, when, when,
        )  # fmt: skip
        await execute(self.call, "UPDATE tasks SET status = 'running', attempts = 1 WHERE number = ?", number)
        await self.happened("running", number)

    async def end(self, number: int, at: float, status: str = "succeeded") -> None:
        ended = stamp(START + at * MINUTE)
        await execute(self.call, "UPDATE tasks SET status = ?, ended_at = ? WHERE number = ?", status, ended, number)
        await self.happened(status, number)

    async def happened(self, status: str, *numbers: int) -> None:
        insert = "INSERT INTO events (task_id, status, \"by\", created_at, updated_at) SELECT uuid, ?, 'ann', '', '' FROM tasks"
        await execute(self.call, f"{insert} WHERE number BETWEEN ? AND ?", status, min(numbers), max(numbers))

    async def rule(self, preset: str = "finishes-within", value: str = "45m", at: float = 0, **match: Any) -> None:
        made = await slas.create(self.call, name=f"rule-{len(await slas.ls(self.call))}", preset=preset, value=value, **match)
        stamped = stamp(START + at * MINUTE)
        await execute(self.call, "UPDATE slas SET updated_at = ? WHERE id = ?", stamped, made["id"])

    async def look(self, at: float) -> slas.Evaluated:
        return await self.call.db.write(slas.evaluate, datetime.fromtimestamp(START + at * MINUTE, UTC))

    async def due(self, at: float) -> bool:
        return await self.call.db.read(slas.due, datetime.fromtimestamp(START + at * MINUTE, UTC))

    async def alerts(self) -> list[tuple[str, str, str]]:
        rows = await execute(self.call, "SELECT object, status, text FROM alerts ORDER BY id")
        return [(row[0].split()[0], row[1], row[2]) for row in rows]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with a_call(tmp_path) as call:
        yield Scene(call)


async def test_a_late_task_is_told_of_once_and_closed_when_it_ends(scene: Scene) -> None:
    await scene.rule()
    number = await scene.task(at=0)
    await scene.start(number, at=1)
    assert (await scene.look(at=44)).fired == 0
    assert (await scene.look(at=46)).fired == 1
    assert (await scene.look(at=57)).fired == 0
    assert await scene.alerts() == [(f"#{number}", "firing", "running 46m, allowed 45m")]
    await scene.end(number, at=60)
    assert (await scene.look(at=61)).resolved == 1
    assert await scene.alerts() == [(f"#{number}", "resolved", "took 1h, allowed 45m")]
    assert await execute(scene.call, "SELECT fired_at, resolved_at, value, \"limit\" FROM alerts") == [
        (stamp(START + 45 * MINUTE), stamp(START + 60 * MINUTE), 3600.0, 2700.0)
    ]


async def test_a_task_in_time_is_never_told_of(scene: Scene) -> None:
    await scene.rule()
    number = await scene.task(at=0)
    await scene.end(number, at=44)
    for at in (44, 46, 600):
        assert (await scene.look(at)).fired == 0
    assert await scene.alerts() == []


async def test_a_task_that_ended_late_between_two_looks_is_told_of_as_over(scene: Scene) -> None:
    await scene.rule()
    number = await scene.task(at=0)
    await scene.look(at=40)
    await scene.end(number, at=50)
    assert (await scene.look(at=300)).fired == 1
    assert await scene.alerts() == [(f"#{number}", "resolved", "took 50m, allowed 45m")]


async def test_the_next_look_is_worth_it_when_the_next_task_is_due(scene: Scene) -> None:
    await scene.rule()
    assert (await scene.look(at=0)).next_due is None
    await scene.end(await scene.task(at=5), at=6)
    await scene.task(at=10)
    await scene.look(at=54)
    await scene.task(at=20)
    assert (await scene.look(at=54)).next_due == START + 55 * MINUTE
    assert not await scene.due(at=54)
    assert await scene.due(at=55)
    found = await scene.look(at=55)
    assert (found.fired, found.next_due) == (1, START + 65 * MINUTE)


async def test_a_waiting_task_is_late_to_start_and_closed_when_it_starts(scene: Scene) -> None:
    await scene.rule("starts-within", "30m")
    number = await scene.task(at=0)
    await scene.look(at=132)
    assert await scene.alerts() == [(f"#{number}", "firing", "waiting 2h12m, allowed 30m")]
    await scene.start(number, at=140)
    assert (await scene.look(at=141)).resolved == 1
    assert await scene.alerts() == [(f"#{number}", "resolved", "waited 2h20m, allowed 30m")]


async def test_waiting_counts_from_the_time_a_task_may_start(scene: Scene) -> None:
    await scene.rule("starts-within", "30m")
    number = await scene.task(at=0)
    await execute(scene.call, "UPDATE tasks SET not_before = ? WHERE number = ?", stamp(START + 60 * MINUTE), number)
    found = await scene.look(at=31)
    assert (found.fired, found.next_due) == (0, START + 90 * MINUTE)
    assert not await scene.due(at=89)
    assert (await scene.look(at=89)).fired == 0
    assert await scene.due(at=91)
    assert (await scene.look(at=91)).fired == 1
    assert (await scene.look(at=92)).next_due is None


async def test_only_what_a_rule_matches_is_looked_at(scene: Scene) -> None:
    call = scene.call
    await queues.queue_create(call, name="media", capacity=1)
    await templates.create(call, name="encode", engine="shell", schema={"script": "true"})
    for match in ({"template": "encode"}, {"queue": "media"}, {"task": "nightly"}, {"tag": "team=ml"}):
        await scene.rule(**match)
    await scene.rule(queue="media", tag={"team": "ml"})
    numbers = [
        await scene.task(template="encode"),
        await scene.task(queue="media"),
        await scene.task(name="nightly"),
        await scene.task(tags={"team": "ml", "a": "b"}),
        await scene.task(queue="media", tags={"team": "ml"}),
        await scene.task(tags={"team": "mlx"}),
    ]
    await scene.look(at=60)
    rows = await execute(call, "SELECT name, object FROM alerts ORDER BY name, id")
    found = [(name, int(about.split()[0][1:]) - numbers[0]) for name, about in rows]
    expected = [("rule-0", 0), ("rule-1", 1), ("rule-1", 4), ("rule-2", 2), ("rule-3", 3), ("rule-3", 4), ("rule-4", 4)]
    assert found == expected


async def test_a_pool_s_rule_is_about_the_tasks_of_its_queues(scene: Scene) -> None:
    await scene.rule()
    await queues.pool_create(scene.call, name="gpu", cpu=8, memory="1G", sla="rule-0")
    await queues.queue_create(scene.call, name="media", pool="gpu")
    inside = await scene.task(queue="media")
    await scene.task()
    await scene.look(at=60)
    assert [row[0] for row in await scene.alerts()] == [f"#{inside}"]


async def test_a_new_rule_tells_of_what_is_late_now_and_not_of_the_past(scene: Scene) -> None:
    open_task, past = await scene.task(at=0), await scene.task(at=0)
    await scene.end(past, at=100)
    await scene.rule(at=200)
    await scene.look(at=201)
    assert [row[:2] for row in await scene.alerts()] == [(f"#{open_task}", "firing")]


async def test_many_late_tasks_are_told_of_in_batches(scene: Scene) -> None:
    await scene.rule("starts-within", "30m")
    first = await scene.task()
    await _copies(scene.call, first, 1_200)
    found = await scene.look(at=60)
    assert (found.fired, found.next_due) == (500, START + 60 * MINUTE)
    while found.next_due is not None:
        found = await scene.look(at=60)
    assert len(await scene.alerts()) == 1_201
    await execute(scene.call, "UPDATE tasks SET status = 'cancelled', ended_at = ?", stamp(START + 61 * MINUTE))
    await scene.happened("cancelled", first, first + 1_200)
    assert [(await scene.look(at=62)).resolved for _ in range(4)] == [500, 500, 201, 0]


async def test_a_rule_that_changes_looks_again_at_everything(scene: Scene) -> None:
    await templates.create(scene.call, name="slow", engine="shell", schema={"script": "true"})
    text = '[slas.a]\nconditions = { preset = "finishes-within", value = "45m", match = { template = "slow" } }'
    await apply.apply(scene.call, text=text)
    number = await scene.task(template="slow")
    await scene.look(at=60)
    await apply.apply(scene.call, text=text.replace("45m", "2h"))
    assert (await scene.look(at=61)).fired == 0
    assert (await scene.alerts())[0][:2] == (f"#{number}", "resolved")
    await apply.apply(scene.call, text=text.replace("45m", "50m"))
    assert (await scene.look(at=62)).fired == 1
    assert await scene.alerts() == [(f"#{number}", "firing", "waiting 1h02m, allowed 50m in all")]


async def test_a_rule_that_is_off_tells_nothing_and_closes_its_alerts(scene: Scene) -> None:
    text = '[slas.a]\nconditions = { preset = "finishes-within", value = "45m" }\nenabled = true'
    await apply.apply(scene.call, text=text)
    await scene.task()
    await scene.look(at=60)
    await apply.apply(scene.call, text=text.replace("true", "false"))
    assert (await scene.look(at=61)).fired == 0
    assert [row[1] for row in await scene.alerts()] == ["resolved"]
    assert not await scene.due(at=600)


async def test_when_nothing_is_due_nothing_is_written(scene: Scene) -> None:
    await scene.rule()
    await scene.task()
    await scene.look(at=60)
    was = await execute(scene.call, "SELECT * FROM counters"), await execute(scene.call, "SELECT * FROM alerts")
    assert not await scene.due(at=61)
    await scene.look(at=61)
    assert (await execute(scene.call, "SELECT * FROM counters"), await execute(scene.call, "SELECT * FROM alerts")) == was


async def test_an_sla_is_made_shown_listed_and_taken_away(scene: Scene) -> None:
    made = await slas.create(scene.call, name="soon", preset="starts-within", value="30m", severity="critical", tag="a=b")
    assert made["conditions"] == {"preset": "starts-within", "value": "30m", "match": {"tag": {"a": "b"}}}
    assert (made["priority"], made["enabled"], made["actions"]) == (3, True, {})
    assert [made] == await slas.ls(scene.call) == [await slas.show(scene.call, name="soon")]
    await slas.rm(scene.call, name="soon")
    assert await slas.ls(scene.call) == []
    assert await operations(scene.call) == [("sla create", "sla soon"), ("sla rm", "sla soon")]


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"name": "a/b"}, Usage, "name must not"),
        ({"preset": "soon"}, Usage, "preset must be"),
        ({"value": "-1s"}, Usage, "value must not be negative"),
        ({"severity": "loud"}, Usage, "severity must be"),
        ({"template": "nope"}, NotFound, 'no template "nope"'),
        ({"queue": "defualt"}, NotFound, "Nearest: default"),
        ({"tag": "x"}, Usage, "tag must be KEY=VALUE"),
        ({"name": "taken"}, Conflict, "already"),
    ],
)
async def test_an_sla_that_makes_no_sense_is_refused(
    scene: Scene, given: dict[str, Any], kind: type[Exception], words: str
) -> None:
    await slas.create(scene.call, name="taken", preset="starts-within", value=1)
    with pytest.raises(kind) as caught:
        await slas.create(scene.call, **{"name": "new", "preset": "finishes-within", "value": "45m", **given})
    assert words in str(caught.value)
    assert len(await slas.ls(scene.call)) == 1


async def test_an_sla_is_listed_with_its_words_and_how_it_stands(scene: Scene) -> None:
    await scene.rule("starts-within", "30m")
    first, second = [await scene.task(at=0) for _ in range(2)]
    await scene.look(at=40)
    await execute(scene.call, "UPDATE alerts SET status = 'acknowledged' WHERE object LIKE ?", f"#{first} %")
    (row,) = await slas.ls(scene.call)
    assert (row["words"], row["severity"], row["limit"]) == ("starts within 30m", "warning", 1800.0)
    assert (row["open"], row["silence"], row["late"], row["last_late"]) == ({"firing": 1, "acknowledged": 1}, None, 0, None)
    await execute(scene.call, "UPDATE alerts SET status = 'resolved', resolved_at = ? WHERE object LIKE ?",
                  stamp(datetime.now(UTC).timestamp() - 60), f"#{second} %")  # fmt: skip
    (row,) = await slas.ls(scene.call)
    assert (row["open"], row["late"]) == ({"acknowledged": 1}, 1) and row["last_late"] is not None


async def test_the_last_runs_of_a_rule_are_those_of_its_template_else_its_queue_oldest_first(scene: Scene) -> None:
    call = scene.call
    await templates.create(call, name="encode", engine="shell", schema={"script": "true"})
    await scene.rule(template="encode")
    await scene.rule("starts-within", "5m")
    for took in (10, 50):
        await scene.end(await scene.task(template="encode"), at=took)
    await scene.end(await scene.task(), at=20, status="failed")
    await scene.task(template="encode")
    first = await slas.history(call, name="rule-0")
    assert (first["limit"], [(run["value"] / MINUTE, run["late"]) for run in first["runs"]]) == (2700.0, [(10, False), (50, True)])
    second = await slas.history(call, name="rule-1")
    assert [(run["value"] / MINUTE, run["status"]) for run in second["runs"]] == [
        (10, "succeeded"), (20, "failed"), (50, "succeeded"),
    ]  # fmt: skip


async def test_a_rule_is_changed_in_what_was_said_only(scene: Scene) -> None:
    await scene.rule(queue="default", tag="a=b", severity="critical")
    changed = await slas.set_(scene.call, name="rule-0", value="1h")
    assert changed["conditions"] == {
        "preset": "finishes-within", "value": "1h", "match": {"queue": "default", "tag": {"a": "b"}},
    }  # fmt: skip
    changed = await slas.set_(scene.call, name="rule-0", preset="starts-within", queue="", tag="c=d", severity="info")
    assert changed["conditions"] == {"preset": "starts-within", "value": "1h", "match": {"tag": {"c": "d"}}}
    assert (changed["severity"], changed["enabled"]) == ("info", True)
    changed = await slas.set_(scene.call, name="rule-0", tag={})
    assert changed["conditions"] == {"preset": "starts-within", "value": "1h"}
    assert [verb for verb, _ in await operations(scene.call)] == ["sla create", "sla set", "sla set", "sla set"]


async def test_a_rule_that_asks_something_else_now_looks_again_at_everything(scene: Scene) -> None:
    await scene.rule()
    number = await scene.task()
    await scene.look(at=60)
    await slas.set_(scene.call, name="rule-0", value="2h")
    assert (await scene.look(at=61)).fired == 0
    assert (await scene.alerts())[0][:2] == (f"#{number}", "resolved")
    await slas.set_(scene.call, name="rule-0", value="50m")
    assert (await scene.look(at=62)).fired == 1


async def test_a_rule_is_turned_off_and_on(scene: Scene) -> None:
    await scene.rule()
    await scene.task()
    await scene.look(at=60)
    assert not (await slas.set_(scene.call, name="rule-0", enabled=False))["enabled"]
    assert (await scene.look(at=61)).fired == 0
    assert [row[1] for row in await scene.alerts()] == ["resolved"]
    await slas.set_(scene.call, name="rule-0", enabled=True)
    assert (await scene.look(at=62)).fired == 1


async def test_another_severity_leaves_open_alerts_open(scene: Scene) -> None:
    await scene.rule()
    await scene.task()
    await scene.look(at=60)
    await slas.set_(scene.call, name="rule-0", severity="critical")
    assert await execute(scene.call, "SELECT severity, status FROM alerts") == [("critical", "firing")]
    assert (await scene.look(at=61)).fired == 0


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({}, Usage, "nothing to set"),
        ({"value": "-1s"}, Usage, "value must not be negative"),
        ({"preset": "soon"}, Usage, "preset must be"),
        ({"queue": "defualt"}, NotFound, "Nearest: default"),
        ({"tag": "x"}, Usage, "tag must be KEY=VALUE"),
        ({"severity": "loud"}, Usage, "severity must be"),
        ({"enabled": "no"}, Usage, "true or false"),
        ({"name": "nope", "value": "1h"}, NotFound, 'no sla "nope"'),
    ],
)
async def test_a_change_that_makes_no_sense_is_refused(
    scene: Scene, given: dict[str, Any], kind: type[Exception], words: str
) -> None:
    await scene.rule()
    was = await slas.ls(scene.call)
    with pytest.raises(kind, match=words):
        await slas.set_(scene.call, **{"name": "rule-0", **given})
    assert await slas.ls(scene.call) == was


async def test_a_silence_goes_with_its_sla_and_keeps_none_from_going(scene: Scene) -> None:
    await scene.rule()
    await alerts.silence(scene.call, until="1h", sla="rule-0")
    await slas.rm(scene.call, name="rule-0")
    assert await execute(scene.call, "SELECT count(*) FROM silences") == [(0,)]


async def test_a_refused_removal_leaves_alerts_and_silence_as_they_were(scene: Scene) -> None:
    await scene.rule()
    await queues.pool_create(scene.call, name="gpu", cpu=8, memory="1G", sla="rule-0")
    await queues.queue_create(scene.call, name="media", pool="gpu")
    await scene.task(queue="media")
    await scene.look(at=60)
    await alerts.silence(scene.call, until="1h", sla="rule-0")
    with pytest.raises(Refused):
        await slas.rm(scene.call, name="rule-0")
    assert [row["status"] for row in await alerts.ls(scene.call)] == ["silenced"]


async def test_an_sla_that_a_pool_points_at_stays(scene: Scene) -> None:
    await scene.rule()
    await queues.pool_create(scene.call, name="gpu", cpu=8, memory="1G", sla="rule-0")
    with pytest.raises(Refused, match="1 pool"):
        await slas.rm(scene.call, name="rule-0")


async def test_the_alerts_of_an_sla_that_goes_keep_its_name(scene: Scene) -> None:
    await scene.rule()
    await scene.task()
    await scene.look(at=60)
    await slas.rm(scene.call, name="rule-0")
    assert await execute(scene.call, "SELECT sla_id, name, status FROM alerts") == [(None, "rule-0", "resolved")]
    assert await execute(scene.call, "SELECT count(*) FROM counters WHERE name LIKE 'sla/%/%'") == [(0,)]


PLANS = 100_000


async def _copies(call: Call, number: int, many: int) -> None:
    """`many` more tasks like this one."""
    columns = [row[1] for row in await execute(call, "PRAGMA table_info(tasks)")]
    other = ", ".join(name for name in columns if name not in ("uuid", "number"))
    await execute(
        call,
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO tasks (uuid, number, {other}) "
        f"SELECT uuid || '-' || i, number + i, {other} FROM tasks, n WHERE number = ?",
        many, number,
    )  # fmt: skip


async def test_at_a_hundred_thousand_tasks_no_statement_of_a_look_reads_them_all(scene: Scene) -> None:
    await scene.rule(task="nightly")
    await scene.rule("starts-within", "30m", queue="default")
    await _copies(scene.call, await scene.task(), PLANS)
    plans: list[str] = []

    def explained(c: Any) -> None:
        def explain(conn: Any, cursor: Any, statement: str, given: Any, context: Any, many: bool) -> None:
            if not many and statement.startswith("SELECT"):
                cursor.execute(f"EXPLAIN QUERY PLAN {statement}", given)
                plans.extend(row[3] for row in cursor.fetchall())

        event.listen(c, "before_cursor_execute", explain)
        slas.evaluate(c, datetime.fromtimestamp(START + 60 * MINUTE, UTC))
        event.remove(c, "before_cursor_execute", explain)

    await scene.call.db.write(explained)
    assert [plan for plan in plans if plan.startswith("SCAN t")] == []
    assert any("idx_tasks_number (number>? AND number<?)" in plan for plan in plans)
    assert any("idx_tasks_created (created_at<?)" in plan for plan in plans)
