"""Rules on internal metrics: one alert each, which fires, shows current values and resolves."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.util import await_only

from app.core.metrics import METRICS, get_unit
from app.errors import NotFound, Refused, Usage
from app.service import alerts, board, sla_evaluation
from app.service.context import Call
from app.service.definitions import apply, queues, slas
from app.service.tasks.inspection import detail
from app.service.undo import undo
from db import timestamps
from db.maintenance.slow_queries import SLOW, WAIT
from db.queries.rules import alerts as db_alerts
from db.queries.rules import metrics as figures
from tests.service.calls import execute_sql, list_operations, open_call, submit_task

MINUTE = 60.0


@pytest.fixture
async def call(tmp_path: Path) -> AsyncIterator[Call]:
    async with open_call(tmp_path) as found:
        yield found


def format_ago(seconds: float) -> str:
    return timestamps.format_time(timestamps.utcnow() - timedelta(seconds=seconds))


async def add_replica(call: Call, minutes: float | None = None, chosen: float = 60) -> None:
    """Add a replica configured and last synchronized this many minutes ago."""
    synced = format_ago(minutes * MINUTE) if minutes is not None else None
    await execute_sql(call, "DELETE FROM replicas")
    row = ("there", "here", synced, format_ago(chosen * MINUTE), format_ago(chosen * MINUTE))
    await execute_sql(
        call,
        "INSERT INTO replicas (target, origin, synced_at, created_at, updated_at) VALUES (?, ?, ?,"
        " ?, ?)",
        *row,
    )


async def add_backup(
    call: Call, hours: float, problem: str | None = None, checked: bool = True
) -> None:
    at = format_ago(hours * 3600)
    folder = call.home / "backups"
    folder.mkdir(exist_ok=True)
    (folder / at).touch()
    statement = (
        "INSERT INTO backups (kind, file, verified_at, problem, created_at, updated_at) VALUES"
        " ('full', ?, ?, ?, ?, ?)"
    )
    await execute_sql(call, statement, at, at if checked else None, problem, at, at)


async def add_counter(call: Call, name: str, minutes: float, value: int) -> None:
    """Add a counter of slow statements or lock waits, `minutes` ago."""
    at = format_ago(minutes * MINUTE)
    statement = "INSERT INTO counters (name, value, created_at, updated_at) VALUES (?, ?, ?, ?)"
    await execute_sql(call, statement, name + at[:16], value, at, at)


async def create_replica_rule(call: Call, **more: Any) -> dict[str, Any]:
    """Create a rule that the replica is less than 5 minutes old."""
    given = {
        "name": "replica-fresh",
        "preset": "stays-below",
        "metric": "replica-lag",
        "value": "5m",
        "severity": "critical",
    }
    return await slas.create(call, **given | more)


async def evaluate_rules(call: Call) -> tuple[int, int]:
    """Evaluate the rules if due; return how many alerts fired and resolved."""
    if not await call.db.read(sla_evaluation.has_work, timestamps.utcnow()):
        return 0, 0
    done = await call.db.write(sla_evaluation.evaluate, timestamps.utcnow())
    return done.fired, done.resolved


async def read_alerts(call: Call) -> list[tuple[str, str, str]]:
    return [
        tuple(row)
        for row in await execute_sql(call, "SELECT status, object, text FROM alerts ORDER BY id")
    ]


def test_every_metric_can_be_read():
    assert figures.METRIC_READERS.keys() == METRICS.keys()


async def test_a_metric_at_its_limit_fires_once_and_resolves_below(call: Call) -> None:
    await create_replica_rule(call)
    await add_replica(call, minutes=4)
    assert await evaluate_rules(call) == (0, 0)
    await add_replica(call, minutes=7)
    assert await evaluate_rules(call) == (1, 0)
    assert [await evaluate_rules(call) for _ in range(3)] == [(0, 0)] * 3
    (row,) = await alerts.ls(call)
    assert (row["sla"], row["severity"], row["status"], row["object"]) == (
        "replica-fresh",
        "critical",
        "firing",
        "taskdeck",
    )
    assert (row["text"], row["short"], row["limit"], row["metric"]) == (
        "replica 7m old, allowed 5m",
        "7m > 5m",
        300.0,
        "replica-lag",
    )
    assert 420 <= row["value"] < 430 and row["task_uuid"] is None
    assert 120 <= (timestamps.utcnow() - timestamps.parse_time(row["since"])).total_seconds() < 130
    await add_replica(call, minutes=0)
    assert await evaluate_rules(call) == (0, 1)
    assert await read_alerts(call) == [("resolved", "taskdeck", "replica 0s old, allowed 5m")]
    assert await alerts.ls(call) == [] and await evaluate_rules(call) == (0, 0)


async def test_a_metric_over_its_limit_again_is_another_alert(call: Call) -> None:
    await create_replica_rule(call)
    for minutes in (7, 1, 9):
        await add_replica(call, minutes=minutes)
        assert sum(await evaluate_rules(call)) == 1
    assert [status for status, _, _ in await read_alerts(call)] == ["resolved", "firing"]
    shown = await alerts.show(call, id=(await alerts.ls(call))[0]["id"])
    history = await slas.read_history(call, name="replica-fresh")
    assert history["was"] == shown["was"] and len(history["was"]) == 1
    assert history["was"][0]["since"] < history["was"][0]["until"]
    assert (history["runs"], history["stands"], shown["runs"], shown["task"]) == (
        [],
        "replica 9m old",
        [],
        None,
    )
    assert shown["rule"]["words"] == "replica-lag stays below 5m"
    (rule,) = await slas.ls(call)
    assert (rule["open"], rule["late"]) == ({"firing": 1}, 1)


async def test_an_open_alert_shows_current_values_without_a_write(call: Call) -> None:
    await create_replica_rule(call)
    await add_replica(call, minutes=6)
    await evaluate_rules(call)
    await add_replica(call, minutes=12)
    before = await execute_sql(call, "SELECT text, updated_at FROM alerts")
    assert [row["text"] for row in await alerts.ls(call)] == ["replica 12m old, allowed 5m"]
    assert [line.why for line in (await call.db.read(board.read_board, call)).alerts] == [
        "replica 12m old, allowed 5m"
    ]
    assert await evaluate_rules(call) == (0, 0)
    assert await execute_sql(call, "SELECT text, updated_at FROM alerts") == before


async def test_an_idle_evaluation_writes_nothing_and_reads_little(call: Call) -> None:
    for at, metric in enumerate(METRICS):
        value = {"count": 20, "bytes": "1T", "seconds": "5d"}[get_unit(metric)]
        await create_replica_rule(call, name=f"rule-{at}", metric=metric, value=value)
    asked: list[str] = []

    def due(c: Any) -> bool:
        driver: Any = c.connection.driver_connection
        await_only(driver.set_trace_callback(asked.append))
        found = sla_evaluation.has_work(c, timestamps.utcnow())
        await_only(driver.set_trace_callback(None))
        return found

    assert not await call.db.read(due)
    assert {text.split()[0] for text in asked} == {"SELECT", "PRAGMA"}, asked
    assert len(asked) <= len(METRICS) + 3, asked


async def test_a_missing_object_makes_no_alert_and_says_so(call: Call) -> None:
    await create_replica_rule(call)
    await create_replica_rule(call, name="backed-up", metric="backup-age", value="2h")
    assert await evaluate_rules(call) == (0, 0)
    assert {row["name"]: (row["now"], row["stands"]) for row in await slas.ls(call)} == {
        "replica-fresh": (None, "no replica"), "backed-up": (None, "no backup"),
    }  # fmt: skip


async def test_removing_the_replica_resolves_the_alert(call: Call) -> None:
    await create_replica_rule(call)
    await add_replica(call, minutes=7)
    await evaluate_rules(call)
    await execute_sql(call, "DELETE FROM replicas")
    assert await evaluate_rules(call) == (0, 1)
    assert await read_alerts(call) == [("resolved", "taskdeck", "no replica")]


async def test_a_replica_never_made_is_as_old_as_its_configuration(call: Call) -> None:
    await create_replica_rule(call)
    await add_replica(call, chosen=8)
    assert await evaluate_rules(call) == (1, 0)
    assert (await alerts.ls(call))[0]["text"] == "replica 8m old, allowed 5m"


async def test_only_a_good_backup_counts(call: Call) -> None:
    await create_replica_rule(call, metric="backup-age", value="2h")
    await add_backup(call, hours=3)
    await add_backup(call, hours=1, problem="bad sha256")
    await add_backup(call, hours=0.5, checked=False)
    assert await evaluate_rules(call) == (1, 0)
    assert (await alerts.ls(call))[0]["text"] == "backup 3h old, allowed 2h"
    await add_backup(call, hours=0.1)
    assert await evaluate_rules(call) == (0, 1)


async def test_a_backup_without_its_file_no_longer_counts(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.service.database.backups.NEWEST_TTL", 0.0)
    await create_replica_rule(call, metric="backup-age", value="2h")
    await add_backup(call, hours=3)
    await add_backup(call, hours=1)
    assert await evaluate_rules(call) == (0, 0)
    older, newer = sorted((call.home / "backups").iterdir())
    newer.unlink()
    assert await evaluate_rules(call) == (1, 0)
    assert (await alerts.ls(call))[0]["text"] == "backup 3h old, allowed 2h"
    older.unlink()
    assert await call.db.read(sla_evaluation.find_unreadable_metrics, timestamps.utcnow()) == {
        "backup-age": "cannot be read: there is no good backup any more (its file is gone)"
    }  # fmt: skip
    assert await evaluate_rules(call) == (0, 0)


async def test_slow_statements_count_for_an_hour(call: Call) -> None:
    await create_replica_rule(call, metric="slow-queries", value=20)
    await create_replica_rule(call, name="waits", metric="lock-wait", value="250ms")
    await add_counter(call, SLOW, 90, 500)
    await add_counter(call, WAIT, 90, 9_000_000)
    await add_counter(call, SLOW, 30, 12)
    await add_counter(call, WAIT, 30, 249_000)
    assert await evaluate_rules(call) == (0, 0)
    assert {row["name"]: row["now"] for row in await slas.ls(call)} == {
        "replica-fresh": 12.0,
        "waits": 0.249,
    }
    await add_counter(call, SLOW, 10, 8)
    await add_counter(call, WAIT, 10, 1_240_000)
    assert await evaluate_rules(call) == (2, 0)
    assert {row["text"] for row in await alerts.ls(call)} == {
        "slow statements in an hour: 20, allowed 20",
        "longest wait for the lock 1.2s, allowed 250ms",
    }  # fmt: skip


async def test_the_wal_metric_is_the_size_of_its_file(call: Call) -> None:
    await create_replica_rule(call, metric="wal-size", value="1K")
    (rule,) = await slas.ls(call)
    assert rule["now"] == Path(f"{call.db.path}-wal").stat().st_size > 1024
    assert (rule["limit"], rule["unit"]) == (1024.0, "bytes")
    assert await evaluate_rules(call) == (1, 0)


async def test_a_metric_alert_is_acknowledged_silenced_and_ranked_as_usual(call: Call) -> None:
    await create_replica_rule(call)
    await create_replica_rule(
        call, name="old-backup", metric="backup-age", value="2h", severity="warning"
    )
    await add_replica(call, minutes=7)
    await add_backup(call, hours=3)
    await evaluate_rules(call)
    assert [row["sla"] for row in await alerts.ls(call)] == ["replica-fresh", "old-backup"]
    await alerts.ack(call, ids=["replica-fresh"])
    assert ("alert ack", "alert replica-fresh on taskdeck") in await list_operations(call)
    assert await evaluate_rules(call) == (0, 0)
    first = (await alerts.ls(call))[-1]
    assert (first["status"], first["acknowledged_by"]) == ("acknowledged", "ann")
    await alerts.silence(call, ids=[first["id"]], until="5h")
    assert [(row["sla"], row["status"]) for row in await alerts.ls(call)] == [
        ("old-backup", "firing"),
        ("replica-fresh", "silenced"),
    ]
    await undo.undo(
        call,
        ids=[
            row[0]
            for row in await execute_sql(
                call, "SELECT id FROM operations WHERE verb LIKE 'alert %'"
            )
        ],
    )
    assert [(row["sla"], row["status"]) for row in await alerts.ls(call)] == [
        ("replica-fresh", "firing"),
        ("old-backup", "firing"),
    ]
    await add_replica(call, minutes=0)
    assert await evaluate_rules(call) == (0, 1)


async def test_runtime_alerts_and_rule_alerts_are_independent(call: Call) -> None:
    await create_replica_rule(call, name="replica")
    await add_replica(call, minutes=7)
    await evaluate_rules(call)
    await call.db.write(db_alerts.set_system_alerts, {"replica": "the replica is 420 s old"})
    assert len(await alerts.ls(call)) == 2
    await call.db.write(db_alerts.set_system_alerts, {})
    assert [row["text"] for row in await alerts.ls(call)] == ["replica 7m old, allowed 5m"]


@pytest.mark.parametrize("change", [{"enabled": False}, {"value": "10m"}, {"metric": "backup-age"}])
async def test_changing_or_disabling_a_rule_closes_its_alert(
    call: Call, change: dict[str, Any]
) -> None:
    await create_replica_rule(call)
    await add_replica(call, minutes=7)
    await evaluate_rules(call)
    await slas.set_(call, name="replica-fresh", **change)
    assert await alerts.ls(call) == [] and await evaluate_rules(call) == (0, 0)
    await undo.undo(call, ids=[(await execute_sql(call, "SELECT max(id) FROM operations"))[0][0]])
    assert await evaluate_rules(call) == (1, 0)


async def test_a_changed_severity_is_applied_and_deletion_closes_the_alert(call: Call) -> None:
    await create_replica_rule(call)
    await add_replica(call, minutes=7)
    await evaluate_rules(call)
    await slas.set_(call, name="replica-fresh", severity="info")
    assert [row["severity"] for row in await alerts.ls(call)] == ["info"]
    await slas.rm(call, name="replica-fresh")
    assert await alerts.ls(call) == []
    await undo.undo(call, ids=[(await execute_sql(call, "SELECT max(id) FROM operations"))[0][0]])
    assert (await slas.show(call, name="replica-fresh"))["words"] == "replica-lag stays below 5m"
    assert await evaluate_rules(call) == (1, 0)


async def test_two_rules_on_one_metric_have_one_alert_each(call: Call) -> None:
    await create_replica_rule(call)
    await create_replica_rule(call, name="replica-warm", value="6m", severity="warning")
    await add_replica(call, minutes=7)
    assert await evaluate_rules(call) == (2, 0)
    await add_replica(call, minutes=5.5)
    assert await evaluate_rules(call) == (0, 1)
    assert [row["sla"] for row in await alerts.ls(call)] == ["replica-fresh"]


async def test_an_unreadable_metric_leaves_its_rule_unchanged(call: Call) -> None:
    await create_replica_rule(call)
    await create_replica_rule(call, name="log", metric="wal-size", value="1K")
    await add_replica(call, minutes=7)
    await evaluate_rules(call)
    await execute_sql(call, "UPDATE replicas SET synced_at = 'yesterday'")
    await execute_sql(
        call,
        "UPDATE alerts SET status = 'resolved', resolved_at = ? WHERE name = 'log'",
        format_ago(0),
    )
    assert await evaluate_rules(call) == (1, 0)
    assert sorted(row["sla"] for row in await alerts.ls(call)) == ["log", "replica-fresh"]
    shown = await slas.show(call, name="replica-fresh")
    assert (shown["now"], shown["stands"]) == (None, "cannot be read (ValueError)")
    assert await call.db.read(sla_evaluation.find_unreadable_metrics, timestamps.utcnow()) == {
        "replica-lag": "cannot be read (ValueError)"
    }
    await add_replica(call, minutes=0)
    assert await evaluate_rules(call) == (0, 1)


async def test_a_database_without_one_metric_still_judges_the_others(call: Call) -> None:
    await create_replica_rule(call)
    await create_replica_rule(call, name="log", metric="wal-size", value="1K")
    await slas.create(call, name="on-tasks", preset="starts-within", value="1h")
    await submit_task(call)
    await execute_sql(call, "UPDATE tasks SET created_at = ?", format_ago(7200))
    await execute_sql(call, "DROP TABLE replicas")
    assert await evaluate_rules(call) == (2, 0)
    assert sorted(row["sla"] for row in await alerts.ls(call)) == ["log", "on-tasks"]
    assert (await slas.show(call, name="replica-fresh"))[
        "stands"
    ] == "cannot be read (OperationalError)"


async def test_a_task_rule_and_a_metric_rule_can_be_converted(call: Call) -> None:
    await slas.create(call, name="one", preset="finishes-within", value="45m", queue="default")
    made = await slas.set_(call, name="one", preset="stays-below", metric="replica-lag", value="5m")
    assert made["conditions"] == {"preset": "stays-below", "metric": "replica-lag", "value": "5m"}
    changed = await slas.set_(call, name="one", value="6m")
    assert changed["words"] == "replica-lag stays below 6m"
    back = await slas.set_(call, name="one", preset="starts-within", value="1h", queue="default")
    assert back["conditions"] == {
        "preset": "starts-within",
        "value": "1h",
        "match": {"queue": "default"},
    }
    assert (back["metric"], back["now"], back["stands"], back["unit"]) == (
        None,
        None,
        None,
        "seconds",
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"metric": "replica-lga"},
            'unknown metric "replica-lga". Nearest: replica-lag. Nothing was changed.',
        ),
        ({"metric": None}, "stays-below needs a metric: "),
        ({"metric": "wal-size"}, 'value must be a size such as 64M for wal-size, not "5m"'),
        ({"value": "-5m"}, "value must be 0 or more"),
        ({"value": "0"}, "value must be above 0"),
        (
            {"preset": "finishes-within"},
            "metric goes with preset stays-below, not with finishes-within",
        ),
        (
            {"queue": "default"},
            "match: replica-lag is one value for the whole home, so it takes no queue",
        ),
        ({"tag": {"a": "b"}, "template": "x"}, "it takes no template or tag"),
    ],
)
async def test_an_invalid_rule_is_refused_and_not_stored(
    call: Call, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(Usage) as refusal:
        await create_replica_rule(call, **given)
    assert words in refusal.value.message
    await create_replica_rule(call)
    if given.get("metric", "kept") and "preset" not in given:
        with pytest.raises(Usage):
            await slas.set_(call, name="replica-fresh", **given)
    assert (await slas.show(call, name="replica-fresh"))["words"] == "replica-lag stays below 5m"


async def test_no_task_is_judged_by_a_metric_rule(call: Call) -> None:
    await create_replica_rule(call, metric="wal-size", value="1K")
    task = await submit_task(call)
    await execute_sql(call, "UPDATE tasks SET created_at = ?", format_ago(9 * 3600))
    assert await evaluate_rules(call) == (1, 0)
    assert (await call.db.read(detail.build_detail, call, task["number"]))["slas"] == []


async def test_no_pool_refers_to_a_metric_rule(call: Call) -> None:
    await create_replica_rule(call)
    await slas.create(call, name="on-tasks", preset="finishes-within", value="1h")
    with pytest.raises(Refused, match="replica-fresh is about replica-lag"):
        await queues.pool_set(call, name="default", sla="replica-fresh")
    await queues.pool_set(call, name="default", sla="on-tasks")
    with pytest.raises(Refused, match="no pool can use it"):
        await slas.set_(
            call, name="on-tasks", preset="stays-below", metric="replica-lag", value="5m"
        )
    text = (
        '[slas.on-tasks]\nconditions = { preset = "stays-below", metric = "replica-lag", value ='
        ' "5m" }\n'
    )
    with pytest.raises(Refused, match=r"pools\.default: rule on-tasks is about"):
        await apply.apply(call, text=text)


DEFINITIONS = """
[slas.replica-fresh]
conditions = { preset = "stays-below", metric = "replica-lag", value = "5m" }
severity = "critical"

[slas.quick]
conditions = { preset = "stays-below", metric = "slow-queries", value = "20" }

[slas.small-log]
conditions = { preset = "stays-below", metric = "wal-size", value = 64 }
"""


@pytest.mark.parametrize("format", ["toml", "yaml"])
async def test_exported_definitions_apply_unchanged(call: Call, format: str) -> None:
    await apply.apply(call, text=DEFINITIONS)
    assert {row["name"]: row["words"] for row in await slas.ls(call)} == {
        "replica-fresh": "replica-lag stays below 5m", "quick": "slow-queries stays below 20",
        "small-log": "wal-size stays below 64M",
    }  # fmt: skip
    for text, written in ((DEFINITIONS, "toml"), (await apply.export(call, format=format), format)):
        again = await apply.apply(call, text=text, format=written)
        assert {change["change"] for change in again["changes"]} == {"same"}


async def test_an_applied_definition_closes_and_fires_alerts(call: Call) -> None:
    await apply.apply(call, text=DEFINITIONS)
    await add_replica(call, minutes=7)
    assert await evaluate_rules(call) == (1, 0)
    await apply.apply(call, text=DEFINITIONS.replace('"5m"', '"1h"'))
    assert await alerts.ls(call) == [] and await evaluate_rules(call) == (0, 0)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            'value = "5m"',
            'value = "5m", match = { queue = "default" }',
            "replica-lag is one value for the whole home, so it takes no queue",
        ),
        ('"replica-lag"', '"replica-leg"', 'unknown metric "replica-leg". Nearest: replica-lag'),
        ('"20"', '"20s"', "slas.quick: conditions: value must be a count"),
        ("64 ", "-64 ", "slas.small-log: conditions: value must be 0 or more"),
        ("metric = ", "metrik = ", 'unknown key "metrik". Nearest: metric'),
    ],
)
async def test_an_invalid_definition_is_refused_completely(
    call: Call, old: str, new: str, words: str
) -> None:
    with pytest.raises(Usage) as refusal:
        await apply.apply(call, text=DEFINITIONS.replace(old, new, 1))
    assert words in refusal.value.message
    with pytest.raises(NotFound):
        await slas.show(call, name="quick")
